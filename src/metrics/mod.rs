//! What a person wants to know about a model besides its loss.

/// How right one row of a prediction [R, C] is; ops write one number in 0 ..= 1 for each row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Score {
    /// The share of the row's columns where (prediction > threshold) equals the target, which is 0 or 1.
    Binary {
        /// Usually ½.
        threshold: f64,
    },
    /// 1 if the largest prediction stands where the largest target does, or at the label. The first of equals counts.
    Categorical,
    /// 1 if the target's class is among the k largest predictions: fewer than k are strictly larger than it.
    TopK(
        /// k, at least 1.
        usize,
    ),
}
