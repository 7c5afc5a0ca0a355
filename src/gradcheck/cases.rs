//! THE case table: gradient checks, parity and benches walk over it.
//!
//! Shapes are small, and awkward on purpose: 1, primes, one less and one more than a tile, batches above 1.
//! Where a kink lies too near for a step in f32, another seed moves it away.

use super::case::{Case, End, Goal, Targets};
use crate::activations::{Activation, Custom};
use crate::layers::{
    ActivationLayer, AveragePooling1D, AveragePooling2D, AveragePooling3D, BatchNormalization, Conv1D,
    Conv2D, Conv3D, Dense, Dropout, Flatten, GRU, GlobalAveragePooling1D, GlobalAveragePooling2D,
    GlobalAveragePooling3D, GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D, Input, LSTM, Layer,
    MaxPooling1D, MaxPooling2D, MaxPooling3D, Reshape, SimpleRNN,
};
use crate::losses::Loss;
use crate::shape::Shape;
use crate::window::Padding;

/// Every activation, with parameters that are not the defaults where it has any.
pub(super) const ACTIVATIONS: [Activation; 15] = [
    Activation::Linear,
    Activation::Relu,
    Activation::Sigmoid,
    Activation::Softmax,
    Activation::Tanh,
    Activation::Softplus,
    Activation::Softsign,
    Activation::Elu { alpha: 0.7 },
    Activation::Selu,
    Activation::Exponential,
    Activation::LeakyRelu { negative_slope: 0.15 },
    Activation::Gelu { approximate: false },
    Activation::Gelu { approximate: true },
    Activation::Silu,
    Activation::Custom(Custom { name: "arctan", f: f64::atan, df: |x| 1.0 / (1.0 + x * x) }),
];

/// All cases, in the order of the table: layers, losses, models.
pub fn cases() -> Vec<Case> {
    let mut t = Table(Vec::new());
    dense(&mut t);
    shapes(&mut t);
    convolutions(&mut t);
    pooling(&mut t);
    normalisation(&mut t);
    recurrent(&mut t);
    losses(&mut t);
    models(&mut t);
    t.0
}

struct Table(Vec<Case>);

impl Table {
    /// One layer under a random cotangent.
    fn layer<L: Layer + 'static>(
        &mut self,
        configuration: impl Into<String>,
        batch: usize,
        input: impl Into<Shape>,
        make: impl Fn() -> L + Send + Sync + 'static,
    ) -> &mut Case {
        let kind = make().kind();
        let layers = move || vec![Box::new(make()) as Box<dyn Layer>];
        self.push(Case::new(kind, configuration, batch, input, End::Cotangent, layers))
    }

    fn push(&mut self, case: Case) -> &mut Case {
        self.0.push(case);
        let last = self.0.len() - 1;
        &mut self.0[last]
    }
}

fn dense(t: &mut Table) {
    use Activation::*;
    for f in ACTIVATIONS {
        t.layer(format!("5 units, {}", label(f)), 3, [7], move || Dense::new(5).activation(f));
    }
    t.layer("1 unit", 1, [1], || Dense::new(1));
    t.layer("no bias, tanh", 4, [3], || Dense::new(2).use_bias(false).activation(Tanh));
    t.layer("rank 3, sigmoid", 2, [3, 4], || Dense::new(5).activation(Sigmoid));
    t.layer("rank 4, softmax", 2, [2, 3, 2], || Dense::new(3).activation(Softmax));
    t.layer("a tile less one", 5, [15], || Dense::new(15).activation(Tanh));
    t.layer("a tile and one", 7, [17], || Dense::new(17).activation(Tanh));
    t.layer("two tiles and one", 13, [11], || Dense::new(33).activation(Relu)).seed = 2;
}

/// Layers without parameters that leave numbers alone, bend them, or drop some.
fn shapes(t: &mut Table) {
    for f in ACTIVATIONS {
        t.layer(label(f), 3, [2, 5], move || ActivationLayer::new(f));
    }
    t.layer("tanh, one number", 1, [1], || ActivationLayer::new(Activation::Tanh));
    t.layer("softmax, a tile and one", 2, [17], || ActivationLayer::new(Activation::Softmax));
    t.layer("[2, 3]", 2, [2, 3], || Input::new([2, 3]));
    t.layer("rank 4", 2, [2, 3, 2], Flatten::new);
    t.layer("[3, 4]", 2, [2, 6], || Reshape::new([3, 4]));
    t.layer("rate 0.4", 5, [13], || Dropout::new(0.4));
    t.layer("rate 0", 2, [3], || Dropout::new(0.0));
    t.layer("rate 0.5, inference", 2, [3], || Dropout::new(0.5)).training = false;
}

fn convolutions(t: &mut Table) {
    use Activation::*;
    t.layer("2 filters, 3", 2, [7, 3], || Conv1D::new(2, 3));
    t.layer("3 filters, 4, same, strides 2, tanh", 2, [7, 2], || {
        Conv1D::new(3, 4).padding(Padding::Same).strides(2).activation(Tanh)
    });
    t.layer("2 filters, 3, same, dilation 2, no bias", 3, [5, 2], || {
        Conv1D::new(2, 3).padding(Padding::Same).dilation_rate(2).use_bias(false)
    });
    t.layer("1 filter, 1", 1, [1, 1], || Conv1D::new(1, 1));

    t.layer("1 filter, 1×1", 1, [1, 1, 1], || Conv2D::new(1, 1));
    t.layer("3 filters, 3×3", 2, [5, 5, 2], || Conv2D::new(3, 3));
    t.layer("2 filters, 2×3, same", 2, [4, 5, 3], || Conv2D::new(2, [2, 3]).padding(Padding::Same));
    t.layer("2 filters, 3×2, strides 2×1, sigmoid", 2, [7, 4, 1], || {
        Conv2D::new(2, [3, 2]).strides([2, 1]).activation(Sigmoid)
    });
    t.layer("2 filters, 3×3, same, strides 2×3, softplus", 2, [5, 7, 2], || {
        Conv2D::new(2, 3).padding(Padding::Same).strides([2, 3]).activation(Softplus)
    });
    t.layer("2 filters, 2×2, dilation 2×3, no bias", 2, [5, 6, 1], || {
        Conv2D::new(2, 2).dilation_rate([2, 3]).use_bias(false)
    });
    t.layer("2 filters, 3×3, same, dilation 2, relu", 2, [4, 4, 2], || {
        Conv2D::new(2, 3).padding(Padding::Same).dilation_rate(2).activation(Relu)
    });
    t.layer("3 filters, 2×2, softmax", 2, [3, 3, 2], || Conv2D::new(3, 2).activation(Softmax));
    t.layer("2 filters, 2×2, gelu", 2, [3, 4, 2], || {
        Conv2D::new(2, 2).activation(Gelu { approximate: false })
    });
    t.layer("3 filters, 1×1, silu", 2, [3, 2, 2], || Conv2D::new(3, 1).activation(Silu));
    t.layer("2 filters, 1×1, strides 2", 2, [4, 5, 3], || Conv2D::new(2, 1).strides(2));
    t.layer("17 filters, 3×3, a tile and one", 1, [5, 6, 2], || Conv2D::new(17, 3).activation(Tanh));

    t.layer("2 filters, 2×2×2", 2, [3, 3, 3, 2], || Conv3D::new(2, 2));
    t.layer("2 filters, 2×1×3, same, strides 2×1×2, elu", 2, [3, 2, 5, 1], || {
        Conv3D::new(2, [2, 1, 3]).padding(Padding::Same).strides([2, 1, 2]).activation(Elu { alpha: 1.0 })
    });
    t.layer("1 filter, 2×2×2, dilation 2×1×2, no bias", 1, [3, 2, 4, 2], || {
        Conv3D::new(1, 2).dilation_rate([2, 1, 2]).use_bias(false)
    });
}

fn pooling(t: &mut Table) {
    // Windows that leave a rest, that overlap, that hang over the border of an image smaller than they are.
    macro_rules! pools {
        ($($layer:ident $wide:expr, $small:expr;)*) => { $(
            t.layer("2", 2, $wide, || $layer::new(2));
            t.layer("3, strides 2", 3, $wide, || $layer::new(3).strides(2));
            t.layer("2, same", 1, $wide, || $layer::new(2).padding(Padding::Same));
            t.layer("3, strides 1, same", 2, $small, || $layer::new(3).strides(1).padding(Padding::Same));
        )* };
    }
    pools! {
        MaxPooling1D [7, 2], [2, 3];
        MaxPooling2D [5, 4, 2], [2, 4, 1];
        MaxPooling3D [3, 3, 5, 1], [2, 3, 1, 2];
        AveragePooling1D [7, 2], [2, 3];
        AveragePooling2D [5, 4, 2], [2, 4, 1];
        AveragePooling3D [3, 3, 5, 1], [2, 3, 1, 2];
    }
    t.layer("2×3, strides 3×1, same", 2, [5, 4, 2], || {
        MaxPooling2D::new([2, 3]).strides([3, 1]).padding(Padding::Same)
    });
    t.layer("2×3, strides 3×1, same", 2, [5, 4, 2], || {
        AveragePooling2D::new([2, 3]).strides([3, 1]).padding(Padding::Same)
    });
    macro_rules! global {
        ($($layer:ident $shape:expr;)*) => { $(t.layer(concat!("over ", stringify!($shape)), 2, $shape, $layer::new);)* };
    }
    global! {
        GlobalMaxPooling1D [7, 3];
        GlobalMaxPooling2D [3, 5, 2];
        GlobalMaxPooling3D [2, 3, 2, 3];
        GlobalAveragePooling1D [7, 3];
        GlobalAveragePooling2D [3, 5, 2];
        GlobalAveragePooling3D [2, 3, 2, 3];
        GlobalAveragePooling2D [1, 1, 1];
    }
}

fn normalisation(t: &mut Table) {
    let new = BatchNormalization::new;
    t.layer("plain", 5, [3], new);
    t.layer("images", 2, [3, 2, 4], new);
    t.layer("a tile and one", 3, [17], new);
    t.layer("no center", 4, [3], move || new().center(false));
    t.layer("no scale", 4, [3], move || new().scale(false));
    t.layer("neither, ε 0.1", 4, [3], move || new().center(false).scale(false).epsilon(0.1));
    t.layer("inference", 4, [3], new).training = false;
}

/// Sequences of 1 step and of several, forwards and backwards, the last state and all of them.
fn recurrent(t: &mut Table) {
    use Activation::*;
    macro_rules! cells {
        ($($cell:ident)*) => { $(
            t.layer("3 units", 2, [5, 4], || $cell::new(3));
            t.layer("1 unit, 1 step", 1, [1, 1], || $cell::new(1));
            t.layer("2 units, 1 step, sequences", 3, [1, 2], || $cell::new(2).return_sequences(true));
            t.layer("4 units, sequences", 3, [4, 2], || $cell::new(4).return_sequences(true));
            t.layer("3 units, backwards", 2, [3, 2], || $cell::new(3).go_backwards(true));
            t.layer("2 units, backwards, sequences", 2, [4, 3], || {
                $cell::new(2).go_backwards(true).return_sequences(true)
            });
            t.layer("3 units, no bias", 2, [3, 2], || $cell::new(3).use_bias(false));
            t.layer("2 units, softsign", 2, [3, 3], || $cell::new(2).activation(Softsign).return_sequences(true));
            t.layer("3 units, relu", 2, [3, 2], || $cell::new(3).activation(Relu));
            t.layer("5 units, cut nowhere", 1, [3, 1], || $cell::new(5).truncate(3));
        )* };
    }
    cells!(SimpleRNN LSTM GRU);
    t.layer("2 units, tanh gates", 2, [3, 3], || LSTM::new(2).recurrent_activation(Tanh).activation(Sigmoid));
    t.layer("17 units, a tile and one", 2, [2, 1], || LSTM::new(17));
    t.layer("2 units, tanh gates", 2, [3, 3], || GRU::new(2).recurrent_activation(Tanh).activation(Sigmoid));
    t.layer("17 units, a tile and one", 2, [2, 1], || GRU::new(17));
    t.layer("3 units, reset before", 2, [4, 2], || GRU::new(3).reset_after(false));
    t.layer("1 unit, 1 step, reset before", 1, [1, 1], || GRU::new(1).reset_after(false));
    t.layer("2 units, reset before, backwards, sequences, no bias", 3, [3, 2], || {
        GRU::new(2).reset_after(false).go_backwards(true).return_sequences(true).use_bias(false)
    });
    t.layer("2 units, reset before, softplus, tanh gates", 2, [3, 2], || {
        GRU::new(2).reset_after(false).activation(Softplus).recurrent_activation(Tanh).return_sequences(true)
    });
}

/// Several layers and a loss: what only their composition can break.
fn models(t: &mut Table) {
    use Activation::*;
    let sparse = Loss::SparseCategoricalCrossentropy { from_logits: false };
    let labels = Goal { loss: sparse, targets: Targets::Labels, weighted: true };
    let cnn = || -> Vec<Box<dyn Layer>> {
        vec![
            Box::new(Conv2D::new(3, 3).activation(Tanh)),
            Box::new(MaxPooling2D::new(2)),
            Box::new(Conv2D::new(2, 2).padding(Padding::Same).activation(Relu)),
            Box::new(AveragePooling2D::new([1, 2])),
            Box::new(Flatten::new()),
            Box::new(Dense::new(4).activation(Softmax)),
        ]
    };
    t.push(Case::new("Model", "CNN, softmax folded", 3, [8, 7, 1], End::Step(labels, Softmax), cnn)).seed = 2;
    t.push(Case::new("Model", "CNN, probabilities", 2, [8, 7, 1], End::Loss(labels), cnn)).seed = 3;
    let bits = Loss::BinaryCrossentropy { from_logits: false };
    let bits = Goal { loss: bits, targets: Targets::Bits, weighted: false };
    let mlp = || -> Vec<Box<dyn Layer>> {
        vec![
            // No bias before a normalisation: it would be subtracted again, and its gradient 0.
            Box::new(Dense::new(6).use_bias(false)),
            Box::new(BatchNormalization::new()),
            Box::new(ActivationLayer::new(Selu)),
            Box::new(Dropout::new(0.3)),
            Box::new(Dense::new(2).activation(Sigmoid)),
        ]
    };
    t.push(Case::new("Model", "MLP, sigmoid folded", 7, [5], End::Step(bits, Sigmoid), mlp));
    t.push(Case::new("Model", "MLP, probabilities", 7, [5], End::Loss(bits), mlp));
    let squares = Goal { loss: Loss::MeanSquaredError, targets: Targets::Reals, weighted: true };
    let stack = || -> Vec<Box<dyn Layer>> {
        vec![Box::new(LSTM::new(3).return_sequences(true)), Box::new(LSTM::new(4)), Box::new(Dense::new(3))]
    };
    t.push(Case::new("Model", "stacked LSTM, mse", 3, [4, 2], End::Step(squares, Linear), stack));
}

/// Every loss on its own, on values and on labels, with and without weights, and by way of a step.
fn losses(t: &mut Table) {
    use Activation::{Linear, Sigmoid, Softmax};
    use Targets::*;
    let (wide, probabilities) = ((-2.0, 2.0), (0.05, 0.95));
    // The loss, what to call it, its targets, where its input lies, and the activation that a step folds into it.
    let table = [
        (Loss::MeanSquaredError, "", Reals, wide, Linear),
        (Loss::MeanAbsoluteError, "", Reals, wide, Linear),
        (Loss::MeanAbsolutePercentageError, "", Reals, wide, Linear),
        (Loss::MeanSquaredLogarithmicError, "", Reals, (0.05, 3.0), Linear),
        (Loss::Hinge, "", Signs, wide, Linear),
        (Loss::Hinge, "targets 0 and 1", Bits, wide, Linear),
        (Loss::SquaredHinge, "", Signs, wide, Linear),
        (Loss::SquaredHinge, "targets 0 and 1", Bits, wide, Linear),
        (Loss::Huber { delta: 1.0 }, "", Reals, wide, Linear),
        (Loss::Huber { delta: 0.3 }, "δ 0.3", Reals, wide, Linear),
        (Loss::BinaryCrossentropy { from_logits: false }, "", Bits, probabilities, Sigmoid),
        (Loss::BinaryCrossentropy { from_logits: true }, "logits", Bits, wide, Linear),
        (Loss::CategoricalCrossentropy { from_logits: false }, "", Distributions, probabilities, Softmax),
        (Loss::CategoricalCrossentropy { from_logits: true }, "logits", Distributions, wide, Linear),
        (Loss::SparseCategoricalCrossentropy { from_logits: false }, "", Labels, probabilities, Softmax),
        (Loss::SparseCategoricalCrossentropy { from_logits: true }, "logits", Labels, wide, Linear),
        (Loss::BinaryCrossentropy { from_logits: false }, "soft", Distributions, probabilities, Sigmoid),
        (Loss::BinaryCrossentropy { from_logits: true }, "soft, logits", Distributions, wide, Linear),
    ];
    for (loss, note, targets, range, folded) in table {
        // One class alone would always be certain.
        let least = if matches!(targets, Labels | Distributions) { 2 } else { 1 };
        for (batch, columns, weighted) in [(1, least, false), (5, 3, false), (4, 7, true)] {
            let weights = if weighted { "weighted" } else { "" };
            let goal = Goal { loss, targets, weighted };
            let mut push = |how: &str, end, (low, high)| {
                let words: Vec<&str> = [note, weights, how].into_iter().filter(|w| !w.is_empty()).collect();
                let words = if words.is_empty() { "plain".into() } else { words.join(", ") };
                t.push(Case::new(kind(loss), words, batch, [columns], end, Vec::new).range(low, high));
            };
            push("", End::Loss(goal), range);
            // The step of a loss from probabilities begins before the folded activation, where anything goes.
            let before = if folded == Linear { range } else { wide };
            let how = if folded == Linear { "step".into() } else { format!("step with {folded}") };
            push(&how, End::Step(goal, folded), before);
        }
    }
}

/// An activation's name, and its parameter where one tells two apart.
fn label(f: Activation) -> String {
    match f {
        Activation::Gelu { approximate: true } => "gelu by tanh".into(),
        _ => f.to_string(),
    }
}

/// The loss's name, for as long as the program runs.
fn kind(loss: Loss) -> &'static str {
    let name = loss.to_string();
    Loss::NAMES.into_iter().find(|known| *known == name).unwrap_or("loss")
}
