//! A graph under construction: nodes in order, constants, and where the current value stands.

use super::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto, attribute_proto::AttributeType, tensor_proto::DataType, tensor_shape_proto,
    type_proto,
};

/// The version of the operators: the first that all run times of the last years know.
const OPSET: i64 = 17;
/// The version of the file format that goes with it.
const IR_VERSION: i64 = 8;
/// What the extent of the batch is called: it is known when the model runs.
const BATCH: &str = "N";

/// Nodes, constants, and the value that the next layer gets.
pub(super) struct Graph {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    /// The layer that is being written: the first part of every name.
    layer: String,
    /// The tensor that the next node reads.
    value: String,
    /// Its shape, channels-last and without the batch, whatever way it stands.
    pub(super) shape: Vec<usize>,
    /// Whether it stands channels-first, as ONNX's windows want it and nothing else here does.
    channels_first: bool,
    count: usize,
}

impl Graph {
    /// A graph that begins with samples of `shape`.
    pub(super) fn new(shape: &[usize]) -> Graph {
        Graph {
            nodes: Vec::new(),
            constants: Vec::new(),
            layer: String::new(),
            value: "input".into(),
            shape: shape.to_vec(),
            channels_first: false,
            count: 0,
        }
    }

    /// Begins the next layer.
    pub(super) fn layer(&mut self, name: &str) {
        (self.layer, self.count) = (name.to_string(), 0);
    }

    /// The tensor that the next node reads.
    pub(super) fn value(&self) -> String {
        self.value.clone()
    }

    /// Reads on at another tensor.
    pub(super) fn go_on_with(&mut self, value: String) {
        self.value = value;
    }

    /// A node from the current value and more; its output is the current value then.
    pub(super) fn then(&mut self, op: &str, more: &[String], attributes: Vec<AttributeProto>) {
        let inputs = [std::slice::from_ref(&self.value), more].concat();
        self.value = self.node(op, inputs, 1, attributes).remove(0);
    }

    /// A node apart from the current value. Returns its outputs; those before the last are left out.
    pub(super) fn node(
        &mut self,
        op: &str,
        inputs: Vec<String>,
        outputs: usize,
        attributes: Vec<AttributeProto>,
    ) -> Vec<String> {
        let name = format!("{}/{}", self.layer, self.count);
        self.count += 1;
        let mut output = vec![String::new(); outputs];
        if let Some(last) = output.last_mut() {
            *last = name.clone();
        }
        let node = NodeProto {
            input: inputs,
            output: output.clone(),
            name,
            op_type: op.into(),
            attribute: attributes,
        };
        self.nodes.push(node);
        output
    }

    /// A constant of reals under a name of its own.
    pub(super) fn reals(&mut self, name: &str, dims: &[usize], values: &[f64]) -> String {
        let bytes = values.iter().flat_map(|&v| (v as f32).to_le_bytes()).collect();
        self.constant(name, dims, DataType::Float, bytes)
    }

    /// A constant list of integers under a name of its own.
    pub(super) fn integers(&mut self, name: &str, values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(name, &[values.len()], DataType::Int64, bytes)
    }

    fn constant(&mut self, name: &str, dims: &[usize], kind: DataType, raw_data: Vec<u8>) -> String {
        let name = format!("{}/{name}", self.layer);
        self.constants.push(TensorProto {
            dims: dims.iter().map(|&d| d as i64).collect(),
            data_type: kind as i32,
            name: name.clone(),
            raw_data,
        });
        name
    }

    /// Whether the current value stands channels-first.
    pub(super) fn stands_channels_first(&self) -> bool {
        self.channels_first
    }

    /// Turns the current value so that channels come first: `[N, C, ...]`.
    pub(super) fn channels_first(&mut self) {
        let rank = self.shape.len() as i64 + 1;
        if !self.channels_first && rank > 2 {
            let order = [0, rank - 1].into_iter().chain(1..rank - 1);
            self.then("Transpose", &[], vec![integers("perm", order)]);
            self.channels_first = true;
        }
    }

    /// Turns the current value so that channels come last: `[N, ..., C]`.
    pub(super) fn channels_last(&mut self) {
        let rank = self.shape.len() as i64 + 1;
        if std::mem::take(&mut self.channels_first) {
            let order = [0].into_iter().chain(2..rank).chain([1]);
            self.then("Transpose", &[], vec![integers("perm", order)]);
        }
    }

    /// The layer's windows took channels away with space: a value of rank 2 stands both ways.
    pub(super) fn flattened(&mut self) {
        self.channels_first = false;
    }

    /// The whole model, whose output is the current value.
    pub(super) fn finish(mut self, name: &str, input: &[usize]) -> ModelProto {
        self.channels_last();
        if self.value == "input" {
            self.then("Identity", &[], Vec::new());
        }
        // The last node's output gets a name that does not depend on the layers; nobody else reads it.
        for output in self.nodes.iter_mut().flat_map(|n| &mut n.output).filter(|o| **o == self.value) {
            *output = "output".into();
        }
        let graph = GraphProto {
            node: self.nodes,
            name: name.into(),
            initializer: self.constants,
            doc_string: String::new(),
            input: vec![described("input", input)],
            output: vec![described("output", &self.shape)],
        };
        ModelProto {
            ir_version: IR_VERSION,
            producer_name: "handgrad".into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            graph: Some(graph),
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
            ..ModelProto::default()
        }
    }
}

/// Reals of shape `[N, sample...]`.
fn described(name: &str, sample: &[usize]) -> ValueInfoProto {
    use tensor_shape_proto::{Dimension, dimension::Value};
    let batch = Value::DimParam(BATCH.into());
    let extents = sample.iter().map(|&d| Value::DimValue(d as i64));
    let dim = [batch].into_iter().chain(extents).map(|v| Dimension { value: Some(v) }).collect();
    let tensor =
        type_proto::Tensor { elem_type: DataType::Float as i32, shape: Some(TensorShapeProto { dim }) };
    let r#type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)) };
    ValueInfoProto { name: name.into(), r#type: Some(r#type) }
}

/// An attribute that is one integer.
pub(super) fn integer(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i, r#type: AttributeType::Int as i32, ..AttributeProto::default() }
}

/// An attribute that is a list of integers.
pub(super) fn integers(name: &str, ints: impl IntoIterator<Item = i64>) -> AttributeProto {
    let ints = ints.into_iter().collect();
    AttributeProto {
        name: name.into(),
        ints,
        r#type: AttributeType::Ints as i32,
        ..AttributeProto::default()
    }
}

/// An attribute that is one real.
pub(super) fn real(name: &str, f: f64) -> AttributeProto {
    let f = f as f32;
    AttributeProto { name: name.into(), f, r#type: AttributeType::Float as i32, ..AttributeProto::default() }
}

/// An attribute that is a list of reals.
pub(super) fn reals(name: &str, values: &[f64]) -> AttributeProto {
    let floats = values.iter().map(|&v| v as f32).collect();
    AttributeProto {
        name: name.into(),
        floats,
        r#type: AttributeType::Floats as i32,
        ..AttributeProto::default()
    }
}

/// An attribute that is a list of words.
pub(super) fn words(name: &str, words: &[&str]) -> AttributeProto {
    let strings = words.iter().map(|w| w.as_bytes().to_vec()).collect();
    AttributeProto {
        name: name.into(),
        strings,
        r#type: AttributeType::Strings as i32,
        ..AttributeProto::default()
    }
}
