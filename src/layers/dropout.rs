//! Dropout: in training, every number is forgotten with probability r, so that no unit can lean on a single other.
//!
//! ```text
//! Forward   y = x ⊙ m / (1 − r)      m is 0 with probability r, else 1; drawn anew in each step
//! Backward  dx = dy ⊙ m / (1 − r)    the same m
//!           in inference y = x: the division above has already made up for what was missing
//!
//! Shapes    x, y, m [N, ...]
//! ```
//!
//! m is never stored: it is a function of (seed, layer, step, element), and backward draws it again.
//!
//! Source: Srivastava et al. 2014.

use super::{Build, Cx, FromConfig, Layer};
use crate::config::{Config, Reader, record};
use crate::error::Result;
use crate::shape::Shape;
use crate::tensor::{View, ViewMut};

/// Forgets a share of its input while training; see the [module](self) for the equations.
///
/// ```
/// use handgrad::{Sequential, layers::Dropout};
/// let mut model = Sequential::new().with(Dropout::new(0.5));
/// model.build([128])?;
/// assert!(Sequential::new().with(Dropout::new(50.0)).build([128]).is_err());
/// # Ok::<(), handgrad::Error>(())
/// ```
pub struct Dropout {
    rate: f64,
}

impl Dropout {
    /// Drops the share `rate` of all numbers, 0 ≤ rate < 1.
    pub fn new(rate: f64) -> Dropout {
        Dropout { rate }
    }

    /// y from x and dx from dy alike.
    fn apply(&self, cx: &Cx, x: View, y: ViewMut) -> Result<()> {
        match cx.training {
            true => cx.device.dropout(self.rate, cx.noise, x, y), //       y = x ⊙ m / (1 − r)     [N, ...]
            false => cx.device.copy(x, y),
        }
    }
}

impl FromConfig for Dropout {
    fn from_config(r: &mut Reader) -> Result<Dropout> {
        Ok(Dropout::new(r.need("rate")?))
    }
}

impl Layer for Dropout {
    fn kind(&self) -> &'static str {
        "Dropout"
    }

    fn describe(&self) -> String {
        format!("Dropout {}", self.rate)
    }

    fn config(&self) -> Option<Config> {
        Some(record([("rate", self.rate.into())]))
    }

    fn build(&mut self, cx: &mut Build, input: Shape) -> Result<Shape> {
        if !(0.0..1.0).contains(&self.rate) {
            let problem = format!("rate {} is not in 0 ≤ rate < 1", self.rate);
            return Err(cx.config_error(
                self,
                problem,
                "the rate is the share to drop: 0.25 drops a quarter",
            ));
        }
        Ok(input)
    }

    fn forward(&mut self, cx: &mut Cx, x: View, y: ViewMut) -> Result<()> {
        self.apply(cx, x, y)
    }

    fn backward(&mut self, cx: &mut Cx, _x: View, _y: View, dy: ViewMut, dx: Option<ViewMut>) -> Result<()> {
        dx.map_or(Ok(()), |dx| self.apply(cx, dy.as_view(), dx)) //        dx = dy ⊙ m / (1 − r)   [N, ...]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::trial::{Trial, refusal};

    /// What is left is scaled up, about a quarter is gone (five standard deviations), and backward has the same mask.
    #[test]
    fn a_quarter_is_forgotten() {
        let mut t = Trial::new(Dropout::new(0.25), [1000]).unwrap();
        let x = vec![3.0; 8000];
        let y = t.forward(&x);
        assert!(y.iter().all(|&y| y == 0.0 || y == 4.0));
        let gone = y.iter().filter(|&&y| y == 0.0).count() as f64;
        assert!((gone - 2000.0).abs() <= 5.0 * (8000.0f64 * 0.25 * 0.75).sqrt(), "{gone} of 8000");
        assert_eq!(t.backward(&x, &x), y);
    }

    #[test]
    fn inference_and_rate_0_change_nothing() {
        let x = [1., -2., 3., 4.];
        for (rate, training) in [(0.5, false), (0.0, true)] {
            let mut t = Trial::new(Dropout::new(rate), [4]).unwrap();
            t.training = training;
            assert_eq!(t.forward(&x), x);
            assert_eq!(t.backward(&x, &x), x);
        }
    }

    #[test]
    fn a_rate_that_is_no_share_is_an_error() {
        for rate in [1.0, 25.0, -0.1, f64::NAN] {
            let (error, hint) = refusal(Dropout::new(rate), [4]);
            let problem = format!("rate {rate} is not in 0 ≤ rate < 1");
            assert_eq!(error, format!("layer `on_trial (Dropout {rate})`: {problem}"));
            assert!(hint.contains("0.25 drops a quarter"));
        }
    }
}
