//! What is said about each mistake in English.

use super::{
    Count, Kind, Mistake, Range, Units, Weighted, argument, as_image, as_sequence, is_column, more_units,
};
use crate::losses::Loss;

/// The sentence and the hint.
pub(super) fn told(mistake: &Mistake) -> (String, String) {
    match mistake {
        Mistake::UnknownName { what, name, nearest, known } => {
            (format!("unknown {what} `{name}`"), did_you_mean(nearest, known))
        }
        Mistake::OtherKind { what, name, kind } => (
            format!("`{name}` is {kind}, not {what}"),
            match kind {
                Kind::Loss => format!("give it to `compile` as the loss: `Compile::new(\"{name}\")`"),
                Kind::Metric => format!("give it to `compile` beside a loss: `Compile::new(\"mse\").metric(\"{name}\")`"),
                Kind::Optimizer => format!("give it to `compile` beside a loss: `Compile::new(\"mse\").optimizer(\"{name}\")`"),
                Kind::Activation => format!("give it to a layer: `Dense::new(10).activation(\"{name}\".parse()?)`"),
            },
        ),
        Mistake::UnknownFigure { figure, nearest, known } => {
            let recorded = known.join(", ");
            let remedy = match figure.strip_prefix("val_") {
                Some(_) if !known.iter().any(|k| k.starts_with("val_")) => {
                    "give `fit` data to validate on: `.validation_split(0.2)` or `.validation(&data)`".into()
                }
                Some(own) if !known.iter().any(|k| k == own) && nearest.is_none() => {
                    format!("give `compile` the metric: `.metric(\"{own}\")`")
                }
                None if nearest.is_none() => format!("give `compile` the metric: `.metric(\"{figure}\")`"),
                _ => did_you_mean(nearest, known),
            };
            (format!("a callback watches `{figure}`, but the epochs have only {recorded}"), remedy)
        }

        Mistake::NoLayers => (
            "the model has no layers".into(),
            "add one with `add` or `with`: `model.add(Dense::new(10))`".into(),
        ),
        Mistake::SameName { name } => (
            format!("two layers are named `{name}`"),
            format!("give each layer a name of its own: `model.add((\"{name}_2\", Dense::new(10)))`"),
        ),
        Mistake::NoUnits { layer, units } => {
            let (many, one) = match units {
                Units::Units => ("units", "unit"),
                Units::Filters => ("filters", "filter"),
            };
            (format!("layer `{layer}` has no {many}"), format!("give it at least one {one}: the first number after the layer's name says how many"))
        }
        Mistake::DropoutRate { layer, rate } => (
            format!("layer `{layer}`: rate {rate} is not in 0 ≤ rate < 1"),
            match *rate > 1.0 && *rate < 100.0 {
                true => format!("the rate is the share to drop, not per cent: did you mean {}?", rate / 100.0),
                false => "the rate is the share to drop: 0.25 drops a quarter".into(),
            },
        ),
        Mistake::ImageWanted { layer, got, axes, flattened } => {
            let expected = match axes {
                1 => "[N, steps, channels]",
                2 => "[N, height, width, channels]",
                _ => "[N, depth, height, width, channels]",
            };
            let remedy = match (flattened, as_image(got, *axes)) {
                (Some(flatten), _) => format!(
                    "`{flatten}` below has put each sample into one row: convolution and pooling come first, then Flatten, then Dense"
                ),
                (None, Some(image)) => format!("add Reshape::new({image:?}) before it"),
                (None, None) => {
                    format!("add a Reshape before it that gives extents of space ({axes}) and then channels")
                }
            };
            (format!("layer `{layer}` got {}, expected {expected}", got.per_sample()), remedy)
        }
        Mistake::SequenceWanted { layer, got, last_step_of } => {
            let remedy = match (got.rank(), last_step_of) {
                (_, Some(below)) => {
                    format!("`{below}` below gives its last step only: make it return_sequences(true)")
                }
                (0 | 1, None) => format!(
                    "a sequence has time steps: add Reshape::new({:?}) before it, or return_sequences(true) to the recurrent layer below",
                    as_sequence(got)
                ),
                _ => format!(
                    "a recurrent layer walks over one dimension: fold the others with Reshape::new({:?})",
                    as_sequence(got)
                ),
            };
            (format!("layer `{layer}` got {}, expected [N, steps, features]", got.per_sample()), remedy)
        }
        Mistake::WindowTooLarge { layer, got, reach, extent, channels_first } => {
            let window = format!(
                "layer `{layer}`: a window that reaches over {reach} does not fit into an extent of {extent} of {}",
                got.per_sample()
            );
            let remedy = match channels_first {
                true => "channels come last here: give each image as [height, width, channels]".into(),
                false => "use a smaller kernel, fewer layers of pooling before it, a larger input, or padding `same`".into(),
            };
            (window, remedy)
        }
        Mistake::ReshapeCount { layer, from, to, nearest } => {
            let (have, want) = (from.len(), to.len());
            let rule = format!("a reshape keeps every number, and {have} are not {want}");
            let remedy = match nearest {
                Some(near) => format!("{rule}: did you mean {near}?"),
                None => format!("{rule}: choose extents whose product is {have}"),
            };
            let problem = match layer {
                Some(layer) => format!(
                    "layer `{layer}` got {}, expected [N, ...] with {want} numbers a sample",
                    from.per_sample()
                ),
                None => format!("samples of shape {from} ({have} numbers) cannot become {to} ({want})"),
            };
            (problem, remedy)
        }
        Mistake::DeclaredInput { layer, declared, got } => (
            format!("layer `{layer}` got {}, expected {}", got.per_sample(), declared.per_sample()),
            match declared.len() == got.len() {
                true => format!(
                    "reshape the samples: `data.reshape({})?`, or declare Input::new({})",
                    argument(declared),
                    argument(got)
                ),
                false => format!("give samples of that shape, or declare Input::new({})", argument(got)),
            },
        ),
        Mistake::OtherInput { layer, built, got } => (
            format!(
                "layer `{layer}`, the model's first, is built for samples {}, the data has {}",
                built.per_sample(),
                got.per_sample()
            ),
            match built.len() == got.len() {
                true => format!("give the data that shape: `data.reshape({})?`", argument(built)),
                false => format!(
                    "a sample has {} numbers and should have {}: prepare the data as for the training, or build a model for it",
                    got.len(),
                    built.len()
                ),
            },
        ),

        Mistake::NotBuilt { model, sample } => (
            format!("the model `{model}` is used before it is built: it has no weights yet"),
            match sample {
                Some(sample) => format!(
                    "train it with `fit`, load weights, or make untrained ones: `model.build({})?`",
                    argument(sample)
                ),
                None => "call `fit`, or `build` with the shape of one sample, or begin the model with an `Input`".into(),
            },
        ),
        Mistake::NotCompiled { model } => (
            format!("the model `{model}` is not compiled: it has no loss to make small"),
            "call `compile` first: `model.compile(Compile::new(\"mse\").optimizer(\"adam\"))?`".into(),
        ),

        Mistake::SoftmaxOverOne { layer } => (
            format!("layer `{layer}` is a softmax over one unit, which is always 1"),
            "use `sigmoid` with `binary_crossentropy`, or give it one unit for each class".into(),
        ),
        Mistake::OneOutput { loss, layer } => (
            format!("`{loss}` needs one output for each class, layer `{layer}` has one"),
            "give the last layer one unit for each class, or use `sigmoid` with `binary_crossentropy`".into(),
        ),
        Mistake::SigmoidForClasses { loss, layer } => (
            format!("`{loss}` needs probabilities that sum to 1, layer `{layer}` ends in `sigmoid`"),
            "use `softmax`, or `binary_crossentropy` where several classes may hold at once".into(),
        ),
        Mistake::Hyperparameter { name, value, range } => (
            match name.contains(' ') {
                true => format!("the {name} is {value}"),
                false => format!("{name} is {value}"),
            },
            match (*name, range) {
                ("learning rate", Range::Positive) => "give a number above 0, such as 0.01".into(),
                ("learning rate", _) => "give a number that is 0 or more, such as 0.01".into(),
                (_, Range::Positive) => "give a number above 0".into(),
                (_, Range::NotNegative) => "give a number that is 0 or more".into(),
                (_, Range::Fraction) => "give a number from 0 up to, but not, 1".into(),
            },
        ),
        Mistake::MetricTargets { metric, loss } => {
            let (has, wants) = match loss.is_sparse() {
                true => ("class numbers", "one-hot rows"),
                false => ("values", "class numbers"),
            };
            (
                format!("the metric `{metric}` is for {wants}, but the loss `{loss}` is for {has}"),
                "use the metric `accuracy`: it takes the targets as the loss does".into(),
            )
        }

        Mistake::LabelsWanted { loss, layer, target, classes } => {
            let targets = target.per_sample();
            (
                format!("`{loss}` wants class numbers for layer `{layer}`, the targets are {targets} values"),
                match target.last() {
                    width if width == *classes => "use `categorical_crossentropy` for one-hot rows, or give the data class numbers: `Targets::labels(vec![3, 0, 2])`".into(),
                    1 => "give the numbers as classes: `Targets::labels(vec![3, 0, 2])`".into(),
                    _ => "give the data class numbers, `Targets::labels(vec![3, 0, 2])`; for values that are no classes use `mse`".into(),
                },
            )
        }
        Mistake::ValuesWanted { loss, layer, outputs } => (
            format!(
                "`{loss}` wants a value for each of the {outputs} outputs of layer `{layer}`, the targets are labels"
            ),
            match loss {
                Loss::CategoricalCrossentropy { .. } => format!(
                    "use `sparse_categorical_crossentropy`, or encode the labels: `data.one_hot({outputs})?`"
                ),
                _ => format!(
                    "for classes use softmax with `sparse_categorical_crossentropy`; to keep `{loss}` encode the labels: `data.one_hot({outputs})?`"
                ),
            },
        ),
        Mistake::LabelOutside { layer, label, sample, classes, from_one } => {
            let of = layer.as_ref().map_or(String::new(), |layer| format!(" of layer `{layer}`"));
            let rule = format!("labels go from 0 to {}", classes.saturating_sub(1));
            (
                format!("sample {sample} has label {label}, outside the {classes} classes{of}"),
                match (from_one, layer) {
                    (true, _) => format!("{rule}, and yours from 1 to {label}: subtract 1 from each"),
                    (false, Some(_)) if more_units(*label, *classes) => {
                        format!("{rule}: correct the label, or give the layer {} units", u64::from(*label) + 1)
                    }
                    (false, _) => format!("{rule}: correct the label, or count the classes again"),
                },
            )
        }
        Mistake::NotBinary { layer, value, sample, column } => (
            format!(
                "`binary_crossentropy` wants targets from 0 to 1 for layer `{layer}`, sample {sample} has {value} in column {column}"
            ),
            match *value == -1.0 {
                true => "write the two classes as 0 and 1, not as -1 and 1; or use `hinge`".into(),
                false => "write the two classes as 0 and 1; for more classes use softmax with `sparse_categorical_crossentropy`, for other numbers `mse`".into(),
            },
        ),
        Mistake::TargetWidth { loss, layer, output, target } => {
            let remedy = match (output.rank(), target.rank(), loss) {
                (1, 0 | 1, Loss::CategoricalCrossentropy { .. }) => {
                    format!("one-hot rows of {n} want a last layer of {n} units", n = target.last())
                }
                (1, 0 | 1, _) => {
                    let units = if target.last() == 1 { "1 unit".into() } else { format!("{} units", target.last()) };
                    format!("give the last layer {units}, or give each sample {} to aim at", numbers(output.last()))
                }
                _ => "give the last layer as many outputs as a target has values".into(),
            };
            (
                format!(
                    "targets are {}, layer `{layer}` gives {}",
                    target.per_sample(),
                    output.per_sample()
                ),
                remedy,
            )
        }
        Mistake::MissingFlatten { layer, output } => (
            format!(
                "layer `{layer}` gives {}, a row for each of {} places, but a sample has one target",
                output.per_sample(),
                output.as_matrix().0
            ),
            match output.rank() {
                2 => "add Flatten::new() before the first Dense; or take return_sequences(true) off the last recurrent layer".into(),
                _ => "add Flatten::new() before the first Dense: a Dense works on the last dimension alone".into(),
            },
        ),
        Mistake::EncodedAgain { targets, classes } => {
            let again: Vec<usize> = targets.iter().copied().chain([*classes]).collect();
            (
                format!("the targets are already {targets:?}: one-hot labels encoded twice would be {again:?}"),
                "call `one_hot` once, on labels; or keep labels and use `sparse_categorical_crossentropy`".into(),
            )
        }
        Mistake::EncodedTwice { layer, targets, output } => {
            let once = targets.first().map_or(*output, |&n| output.batched(n));
            (
                format!("the targets are {targets:?}, one-hot labels encoded twice or more; layer `{layer}` wants {once}"),
                format!(
                    "go back to the labels and encode them once: `data.one_hot({})?`; or keep them and use `sparse_categorical_crossentropy`",
                    output.last()
                ),
            )
        }

        Mistake::Empty { part, shape } => {
            let what = part.map_or("the data".to_string(), |part| part.to_string());
            (
                format!("{what} is empty: its shape is {shape:?}"),
                "give at least one sample of at least one number: was every row filtered out, or the wrong file read?".into(),
            )
        }
        Mistake::NotFinite { part, value, sample, at } => {
            let place = match is_column(at) {
                Some(column) => format!("column {column}"),
                None => format!("position {at:?}"),
            };
            (
                format!("{part} has {value} in sample {sample}, {place} (counted from 0)"),
                match value.is_nan() {
                    true => "NaN stands for a missing number: drop that sample, or put the column's mean in its place".into(),
                    false => "a division by 0 or a logarithm of 0 gives that: drop the sample, or correct the number".into(),
                },
            )
        }
        Mistake::Counts { samples, targets } => (
            format!("{samples} samples came with {targets} targets"),
            "give each sample one target, in the same order".into(),
        ),
        Mistake::RaggedRow { part, row, numbers: has, expected } => (
            format!("row {row} of {part} has {}, row 0 has {expected}", numbers(*has)),
            "give rows of equal length: is a value missing, or one too many?".into(),
        ),
        Mistake::BrokenSample { part, sample, numbers } => (
            format!(
                "{part} has {numbers} numbers, not a multiple of a sample's {} (shape {sample})",
                sample.len()
            ),
            format!(
                "give whole samples, one after the other: {} of them would be {} numbers",
                numbers / sample.len() + 1,
                (numbers / sample.len() + 1).saturating_mul(sample.len())
            ),
        ),
        Mistake::NothingLeft { part, of } => (
            format!("{part} of {of} samples on one side leaves nothing on {}", if *part == 0 { "it" } else { "the other" }),
            "leave at least one sample on each side: change the share, or use more samples (`--limit` on the command line)".into(),
        ),

        Mistake::Zero(count) => {
            let (what, code, option) = match count {
                Count::Epochs => ("the number of epochs", "epochs", "--epochs"),
                Count::BatchSize => ("the batch size", "batch_size", "--batch-size"),
            };
            let usual = if *count == Count::Epochs { 5 } else { 32 };
            (
                format!("{what} is 0"),
                format!("give 1 or more: `.{code}({usual})` in a program, `{option} {usual}` on the command line"),
            )
        }
        Mistake::ValidationSplit { share, training, samples } => (
            format!("a validation split of {share} leaves {training} of {samples} samples for training"),
            "give a share between 0 and 1 that leaves samples on both sides: `.validation_split(0.2)`".into(),
        ),
        Mistake::TestShare { share } => (
            format!("a test share of {share} leaves nothing on one side"),
            "give a share between 0 and 1: `data.train_test_split(0.2, 42, true)?`; or a count of samples".into(),
        ),
        Mistake::SampleWeights { weights, samples } => (
            format!("{weights} sample weights for {samples} samples"),
            "give one weight for each sample".into(),
        ),
        Mistake::BadWeight { of, weight } => {
            let whose = match of {
                Weighted::Class(class) => format!("class {class}"),
                Weighted::Sample(sample) => format!("sample {sample}"),
            };
            (
                format!("the weight of {whose} is {weight}"),
                "weights are finite and at least 0: 2 counts double, 0 not at all".into(),
            )
        }
        Mistake::Diverged { epoch, learning_rate } => (
            format!("training diverged: after epoch {epoch} the loss is no longer a number"),
            format!(
                "give a learning rate below {learning_rate}: `--learning-rate {}`; or another `--optimizer`",
                super::tenth(*learning_rate)
            ),
        ),

        Mistake::WeightShape { weight, shape, given, given_shape } => (
            format!("weight `{weight}` is {shape}, the given one (`{given}`) is {given_shape}"),
            OTHER_MODEL.into(),
        ),
        Mistake::WeightCount { model, given, unpaired } => (
            format!("the model has {model} weights, {given} are given: `{unpaired}` has no partner"),
            OTHER_MODEL.into(),
        ),
    }
}

const OTHER_MODEL: &str =
    "these are weights of another model: load them into one with the same layers, units and input";

fn did_you_mean(nearest: &Option<String>, known: &[String]) -> String {
    let known = known.join(", ");
    match nearest {
        Some(near) => format!("did you mean `{near}`? known: {known}"),
        None => format!("known: {known}"),
    }
}

fn numbers(n: usize) -> String {
    if n == 1 { "1 number".into() } else { format!("{n} numbers") }
}
