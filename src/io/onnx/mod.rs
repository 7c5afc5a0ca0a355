//! ONNX: a model for other programs to predict with.
//!
//! The file holds what [`predict`](crate::Sequential::predict) does and nothing of training: dropout is gone, batch
//! normalisation has its moving statistics. It is written in opset 17, with one input, `input`, and one output, `output`,
//! both `float32` and of shape `[N, ...]` with N open. Data stays channels-last, as in this crate; where ONNX wants
//! channels first, the graph turns it, and turns it back where that ends.
//!
//! `proto.rs` is generated from `onnx.proto`, the part of ONNX's own that is written here, by the program in `generate/`.
//!
//! Source: the ONNX specification, IR version 8 and operator set 17.

mod graph;
mod layers;
#[allow(dead_code, missing_docs, clippy::all, unreachable_pub)] // generated
#[rustfmt::skip]
mod proto;

use crate::data::AtomicFile;
use crate::error::{Error, Result};
use crate::model::{Sequential, Weight};
use graph::Graph;
use layers::Written;
use prost::Message;
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;

/// The model as the bytes of an ONNX file.
///
/// ```
/// use handgrad::{Activation, Sequential, io::onnx, layers::Dense};
/// let mut model = Sequential::new().with(Dense::new(10).activation(Activation::Softmax));
/// model.build([784])?;
/// let bytes = onnx::encode(&mut model)?;
/// assert!(bytes.len() > 4 * model.parameter_count()?);
/// # Ok::<(), handgrad::Error>(())
/// ```
///
/// # Errors
/// The model is not built; a layer or an activation has no form in ONNX, or is a user's own; the file would pass the 2 GiB
/// that a protocol buffer can have.
pub fn encode(model: &mut Sequential) -> Result<Vec<u8>> {
    let message = to_proto(model)?;
    let length = message.encoded_len();
    if length > i32::MAX as usize {
        return Err(Error::invalid(
            format!("the model takes {length} bytes, and an ONNX file can have 2³¹"),
            "save it as .safetensors",
        ));
    }
    Ok(message.encode_to_vec())
}

/// Writes the model as an ONNX file, which appears whole or not at all.
///
/// # Errors
/// As [`encode`]; the system cannot write it.
pub fn save(model: &mut Sequential, path: impl AsRef<Path>) -> Result<()> {
    AtomicFile::write(path, &encode(model)?)
}

fn to_proto(model: &mut Sequential) -> Result<proto::ModelProto> {
    let weights = model.get_weights()?; // builds a model that says for which samples
    let config = model.config()?;
    let shapes = model.output_shapes();
    let input = model.input_shape().unwrap_or(crate::Shape::SCALAR);
    let by_name: HashMap<&str, &Weight> = weights.iter().map(|w| (w.name.as_str(), w)).collect();
    let none = Vec::new();
    let layers = config.get("layers").and_then(Value::as_array).unwrap_or(&none);
    let mut graph = Graph::new(input.dims());
    for (layer, shape) in layers.iter().zip(shapes) {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_string();
        let empty = crate::config::Config::new();
        let config = layer.get("config").and_then(Value::as_object).unwrap_or(&empty);
        let (name, class) = (text(config.get("name")), text(layer.get("class_name")));
        let output = shape.dims().to_vec();
        Written { name: &name, class: &class, config, weights: &by_name, output }.add_to(&mut graph)?;
    }
    let name = config.get("name").and_then(Value::as_str).unwrap_or("sequential");
    Ok(graph.finish(name, input.dims()))
}
