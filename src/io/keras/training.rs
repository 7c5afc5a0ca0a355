//! What the model was compiled with, and what its optimizer remembers.
//!
//! Keras 3 keeps an optimizer's state as `optimizer/vars/0`, `1`, ...: how many steps were made, the learning rate unless
//! it follows a schedule, and then the slots. They come in blocks: Adam's m and v of the first weight, of the second, and
//! so on, and only then, with amsgrad, the s of all weights; RMSprop has each kind of slot in a block of its own.

use crate::config::{Config, FromValue, class, drop_neutral, record, snake_case};
use crate::error::{Error, Result};
use crate::io::hdf5::{Group, Hdf5, Numbers};
use crate::losses::Loss;
use crate::model::Sequential;
use crate::optimizers::Optimizer;
use crate::shape::Shape;
use serde_json::{Value, json};

const VARS: &str = "optimizer/vars";

/// Metrics of this crate's that Keras does not know by name.
const OURS_ALONE: [&str; 8] = [
    "r2_score",
    "r2",
    "precision",
    "recall",
    "f1_score",
    "f1",
    "confusion_matrix",
    "root_mean_squared_error",
];

/// Compiles the model as Keras did, and lets the optimizer go on where it was. If this crate has not all of what it was
/// compiled with, it stays not compiled, and knows why: it predicts all the same.
pub(super) fn read(model: &mut Sequential, training: Option<&Value>, h5: &mut Hdf5) {
    let Some(training) = training.and_then(Value::as_object).filter(|t| t.contains_key("loss")) else {
        return;
    };
    let compiled = compile(training).and_then(|config| model.compile_from_config(&config));
    if let Err(why) = compiled.and_then(|()| restore(model, h5)) {
        model.leave_uncompiled(why.to_string());
    }
}

/// Keras's way to say how a model learns, as this crate's.
fn compile(training: &Config) -> Result<Config> {
    let optimizer = training.get("optimizer").or(training.get("optimizer_config")).unwrap_or(&Value::Null);
    let (name, mut options) = class("an optimizer", optimizer)?;
    let off = [
        ("use_ema", json!(false)),
        ("ema_overwrite_frequency", Value::Null),
        ("loss_scale_factor", Value::Null),
        ("gradient_accumulation_steps", Value::Null),
    ];
    drop_neutral(&mut options, &off);
    options.remove("ema_momentum");
    let (loss, mut about) = class("a loss", training.get("loss").unwrap_or(&Value::Null))?;
    let off = [
        ("reduction", json!("sum_over_batch_size")),
        ("label_smoothing", json!(0)),
        ("axis", json!(-1)),
        ("ignore_class", Value::Null),
        ("dtype", Value::Null),
    ];
    drop_neutral(&mut about, &off);
    Loss::from_value(&json!({ "class_name": loss, "config": about }))?;
    if ["loss_weights", "weighted_metrics"].iter().any(|key| training.get(*key).is_some_and(|v| !empty(v))) {
        return Err(Error::invalid("handgrad has no weighted losses and metrics", ""));
    }
    let mut metrics = Vec::new();
    flatten(training.get("metrics").unwrap_or(&Value::Null), &mut metrics)?;
    Ok(record([
        ("optimizer", json!({ "class_name": name, "config": options })),
        ("loss", json!({ "class_name": loss, "config": about })),
        ("metrics", metrics.into()),
    ]))
}

fn empty(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(|list| list.iter().all(empty))
}

/// The names of metrics, which Keras may keep in lists of lists and as objects.
fn flatten(metrics: &Value, names: &mut Vec<String>) -> Result<()> {
    match metrics {
        Value::Null => Ok(()),
        Value::Array(several) => several.iter().try_for_each(|metric| flatten(metric, names)),
        one => {
            let (name, mut options) = class("a metric", one)?;
            options.remove("name");
            // Keras 3's name for a number type is an object.
            if let Some(policy) = options.get("dtype").and_then(|d| d.pointer("/config/name")).cloned() {
                options.insert("dtype".into(), policy);
            }
            drop_neutral(&mut options, &plain_metric());
            options.retain(|_, value| !value.is_null());
            if let Some((option, value)) = options.iter().next() {
                let problem = format!("the metric `{name}` has `{option}` {value}, which handgrad cannot do");
                return Err(Error::invalid(problem, ""));
            }
            names.push(snake_case(&name));
            Ok(())
        }
    }
}

/// Options of Keras's metrics with the values that this crate computes them with. A `null` says so everywhere.
fn plain_metric() -> [(&'static str, Value); 11] {
    [
        ("dtype", "float32".into()),
        ("threshold", 0.5.into()),
        ("thresholds", 0.5.into()),
        ("k", 5.into()),
        ("from_logits", false.into()),
        ("label_smoothing", 0.into()),
        ("axis", (-1).into()),
        ("average", "macro".into()),
        ("class_aggregation", "uniform_average".into()),
        ("num_regressors", 0.into()),
        ("reduction", "sum_over_batch_size".into()),
    ]
}

/// Gives the optimizer its state, if the file has one.
fn restore(model: &mut Sequential, h5: &mut Hdf5) -> Result<()> {
    if !h5.has_group(VARS) {
        return Ok(());
    }
    model.build_optimizer()?;
    let Some(optimizer) = model.optimizer_mut() else { return Ok(()) };
    let (first, order) = layout(optimizer)?;
    let shapes: Vec<Shape> = optimizer.slots().map(|slot| slot.shape()).collect();
    if h5.datasets(VARS)?.len() != first + order.len() {
        return Ok(()); // compiled, and never trained
    }
    let [iterations] = h5.numbers::<i64>(&format!("{VARS}/0"))?[..] else {
        return Err(Error::invalid("its optimizer has more than one count of steps", ""));
    };
    let mut slots = Vec::new();
    for (theirs, shape) in order.into_iter().zip(shapes) {
        let place = format!("{VARS}/{}", first + theirs);
        let found = h5.shape(&place)?;
        if found != shape.dims() {
            let problem =
                format!("its optimizer is another model's: `{place}` is {found:?}, and should be {shape}");
            return Err(Error::invalid(problem, ""));
        }
        slots.push(h5.numbers::<f32>(&place)?.into_iter().map(f64::from).collect());
    }
    optimizer.restore(u64::try_from(iterations).unwrap_or(0), &slots)
}

/// How many variables stand in front of Keras's slots, and for each of this crate's slots its place among Keras's.
fn layout(optimizer: &mut Optimizer) -> Result<(usize, Vec<usize>)> {
    let each = optimizer.slots_each();
    let params = optimizer.slots().count().checked_div(each).unwrap_or(0);
    let blocks: Vec<usize> = match (optimizer.name(), each) {
        ("rmsprop", _) => vec![1; each],
        ("adam" | "adamw", 3) => vec![2, 1],
        _ => vec![each],
    };
    let mut order = Vec::new();
    for param in 0..params {
        let mut before = 0;
        for width in &blocks {
            order.extend((0..*width).map(|slot| before * params + param * width + slot));
            before += width;
        }
    }
    let rate_is_fixed = optimizer.config()?.get("learning_rate").is_some_and(Value::is_number);
    Ok((1 + usize::from(rate_is_fixed), order))
}

/// Adds loss, optimizer and metrics to the description, and the optimizer's state to the weights.
pub(super) fn write(model: &mut Sequential, described: &mut Value, file: &mut Group) -> Result<()> {
    let Some(mut config) = model.compile_config()? else { return Ok(()) };
    if let Some(Value::Array(metrics)) = config.get_mut("metrics") {
        metrics.retain(|name| !name.as_str().is_some_and(|name| OURS_ALONE.contains(&name)));
    }
    described["compile_config"] = config.into();
    model.build_optimizer()?;
    let Some(optimizer) = model.optimizer_mut() else { return Ok(()) };
    let (first, order) = layout(optimizer)?;
    let vars = file.group("optimizer").group("vars");
    vars.text("name", optimizer.name());
    vars.dataset("0", Numbers::I32(i32::try_from(optimizer.iterations()).unwrap_or(i32::MAX)));
    if first == 2 {
        vars.dataset("1", Numbers::F32(Vec::new(), vec![optimizer.learning_rate_now() as f32]));
    }
    for (slot, theirs) in optimizer.slots().zip(order) {
        let dims = slot.shape().dims().iter().map(|&d| d as u64).collect();
        let values = slot.view().values()?.into_iter().map(|v| v as f32).collect();
        vars.dataset(&(first + theirs).to_string(), Numbers::F32(dims, values));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::Dense;
    use crate::model::Compile;
    use std::path::Path;

    /// As many numbers are not yet the same slot: the other shape would turn it around.
    #[test]
    fn a_slot_of_another_shape_is_another_model_s() {
        let mut model = Sequential::new().with(Dense::new(3).use_bias(false));
        model.build([2]).unwrap();
        model.compile(Compile::new("mse").optimizer("adam")).unwrap();
        let (mut described, path) = (json!({}), Path::new("a.keras"));
        write(&mut model, &mut described, &mut Group::default()).unwrap();
        for (shape, why) in [
            (vec![2, 3], None),
            (
                vec![3, 2],
                Some("its optimizer is another model's: `optimizer/vars/3` is [3, 2], and should be [2, 3]"),
            ),
            (
                vec![6],
                Some("its optimizer is another model's: `optimizer/vars/3` is [6], and should be [2, 3]"),
            ),
        ] {
            let mut file = Group::default();
            let vars = file.group("optimizer").group("vars");
            vars.dataset("0", Numbers::I32(4));
            vars.dataset("1", Numbers::F32(Vec::new(), vec![0.1]));
            vars.dataset("2", Numbers::F32(vec![2, 3], vec![0.5; 6]));
            vars.dataset("3", Numbers::F32(shape, vec![0.5; 6]));
            let mut h5 = Hdf5::parse(path, file.to_bytes(path).unwrap()).unwrap();
            read(&mut model, described.get("compile_config"), &mut h5);
            assert_eq!(model.why_not_compiled(), why);
            assert_eq!(model.optimizer_mut().map(|o| o.iterations()), why.is_none().then_some(4));
        }
    }
}
