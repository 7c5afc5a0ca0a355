//! What each layer is in ONNX's operators.
//!
//! | layer | operators |
//! |---|---|
//! | Input, Dropout | none |
//! | Dense | Gemm, or MatMul and Add over more than one dimension |
//! | Conv1D to Conv3D | Conv, channels-first |
//! | MaxPooling, AveragePooling | MaxPool, AveragePool, channels-first |
//! | their global forms | GlobalMaxPool, GlobalAveragePool, then Flatten |
//! | BatchNormalization | BatchNormalization with the moving mean and variance |
//! | Flatten, Reshape | Flatten, Reshape, channels-last |
//! | SimpleRNN, LSTM, GRU | RNN, LSTM, GRU, time first |
//! | Activation, and a layer's own | one operator; gelu and silu have none in opset 17 and are written out |

use super::graph::{Graph, integer, integers, real, reals, words};
use crate::activations::{Activation, SELU_ALPHA, SELU_SCALE};
use crate::config::{Config, FromValue};
use crate::error::{Error, Result};
use crate::model::Weight;
use serde_json::Value;
use std::collections::HashMap;

/// A layer as its configuration and weights have it.
pub(super) struct Written<'a> {
    pub(super) name: &'a str,
    pub(super) class: &'a str,
    pub(super) config: &'a Config,
    /// All of the model, by name: `layer/kernel`.
    pub(super) weights: &'a HashMap<&'a str, &'a Weight>,
    /// The shape of one sample of its output.
    pub(super) output: Vec<usize>,
}

impl Written<'_> {
    /// Adds the layer to the graph.
    pub(super) fn add_to(&self, g: &mut Graph) -> Result<()> {
        g.layer(self.name);
        match self.class {
            "Input" | "InputLayer" | "Dropout" => {}
            "Activation" => self.activation(g)?,
            "Dense" => self.dense(g)?,
            "Flatten" => {
                g.channels_last();
                g.then("Flatten", &[], Vec::new());
            }
            "Reshape" => {
                g.channels_last();
                // 0 stands for the extent that is there: the batch.
                let extents: Vec<i64> =
                    [0].into_iter().chain(self.output.iter().map(|&d| d as i64)).collect();
                let shape = g.integers("shape", &extents);
                g.then("Reshape", &[shape], Vec::new());
            }
            "Conv1D" | "Conv2D" | "Conv3D" => self.conv(g)?,
            "MaxPooling1D" | "MaxPooling2D" | "MaxPooling3D" => self.pool(g, "MaxPool")?,
            "AveragePooling1D" | "AveragePooling2D" | "AveragePooling3D" => self.pool(g, "AveragePool")?,
            "GlobalMaxPooling1D" | "GlobalMaxPooling2D" | "GlobalMaxPooling3D" => global(g, "GlobalMaxPool"),
            "GlobalAveragePooling1D" | "GlobalAveragePooling2D" | "GlobalAveragePooling3D" => {
                global(g, "GlobalAveragePool");
            }
            "BatchNormalization" => self.batch_normalization(g)?,
            "SimpleRNN" => self.recurrent(g, "RNN", &[0], 1)?,
            "LSTM" => self.recurrent(g, "LSTM", &[0, 3, 1, 2], 3)?, // i, f, ĉ, o → i, o, f, c
            "GRU" => self.recurrent(g, "GRU", &[0, 1, 2], 2)?,
            _ => return Err(self.refusal("this kind of layer")),
        }
        g.shape.clone_from(&self.output);
        Ok(())
    }

    fn refusal(&self, what: &str) -> Error {
        Error::invalid(
            format!("layer `{} ({})`: {what} has no form in ONNX", self.name, self.class),
            "leave the layer out, or save the model as .safetensors or .keras",
        )
    }

    /// An entry of the configuration; absent ones are a bug of the layer's `config`.
    fn get(&self, key: &str) -> Result<&Value> {
        let problem =
            || format!("layer `{} ({})` has no `{key}` in its configuration", self.name, self.class);
        self.config.get(key).ok_or_else(|| Error::invalid(problem(), "report it: the layer should have one"))
    }

    fn flag(&self, key: &str) -> bool {
        self.config.get(key).and_then(Value::as_bool).unwrap_or(false)
    }

    fn extents(&self, key: &str) -> Result<Vec<i64>> {
        let list = self.get(key)?.as_array().cloned().unwrap_or_default();
        Ok(list.iter().filter_map(Value::as_i64).collect())
    }

    /// The weight of that name.
    fn weight(&self, name: &str) -> Option<&Weight> {
        self.weights.get(format!("{}/{name}", self.name).as_str()).copied()
    }

    fn needed(&self, name: &str) -> Result<&Weight> {
        let problem = || format!("layer `{} ({})` has no weight `{name}`", self.name, self.class);
        self.weight(name).ok_or_else(|| Error::invalid(problem(), "build the model first"))
    }

    /// A weight as it is.
    fn as_is(&self, g: &mut Graph, w: &Weight, name: &str) -> String {
        g.reals(name, w.shape.dims(), &w.values)
    }

    fn activation(&self, g: &mut Graph) -> Result<()> {
        let f = Activation::from_value(self.get("activation")?)?;
        self.apply(g, f)
    }

    fn dense(&self, g: &mut Graph) -> Result<()> {
        g.channels_last();
        let kernel = self.needed("kernel")?;
        let kernel = self.as_is(g, kernel, "kernel");
        let bias = self.weight("bias").map(|b| self.as_is(g, b, "bias"));
        if g.shape.len() == 1 {
            let more: Vec<String> = [kernel].into_iter().chain(bias).collect();
            g.then("Gemm", &more, Vec::new());
        } else {
            g.then("MatMul", &[kernel], Vec::new());
            if let Some(bias) = bias {
                g.then("Add", &[bias], Vec::new());
            }
        }
        self.activation(g)
    }

    fn conv(&self, g: &mut Graph) -> Result<()> {
        let dilations = self.extents("dilation_rate")?;
        let mut attributes = self.windows(g, "kernel_size", &dilations)?;
        attributes.push(integers("dilations", dilations));
        g.channels_first();
        let kernel = self.needed("kernel")?; //  [k..., C, F] → [F, C, k...]
        let rank = kernel.shape.rank();
        let order: Vec<usize> = [rank - 1, rank - 2].into_iter().chain(0..rank - 2).collect();
        let (dims, values) = permuted(kernel.shape.dims(), &kernel.values, &order);
        let kernel = g.reals("kernel", &dims, &values);
        let bias = self.weight("bias").map(|b| self.as_is(g, b, "bias"));
        let more: Vec<String> = [kernel].into_iter().chain(bias).collect();
        g.then("Conv", &more, attributes);
        g.shape.clone_from(&self.output);
        self.activation(g)
    }

    fn pool(&self, g: &mut Graph, op: &str) -> Result<()> {
        let ones = vec![1; self.extents("pool_size")?.len()];
        let attributes = self.windows(g, "pool_size", &ones)?;
        g.channels_first();
        g.then(op, &[], attributes); // both leave the border out, as this crate does
        Ok(())
    }

    /// The attributes that all windows have. Padding is worked out here: the shapes are known.
    fn windows(&self, g: &Graph, size: &str, dilations: &[i64]) -> Result<Vec<super::proto::AttributeProto>> {
        let (kernel, strides) = (self.extents(size)?, self.extents("strides")?);
        let same = self.get("padding")?.as_str() == Some("same");
        let mut pads = vec![0; 2 * kernel.len()];
        for a in (0..kernel.len()).filter(|_| same) {
            let (n, out) = (g.shape[a] as i64, self.output[a] as i64);
            let reach = (kernel[a] - 1) * dilations[a] + 1;
            let all = ((out - 1) * strides[a] + reach - n).max(0);
            pads[a] = all / 2; //                     the odd one behind
            pads[kernel.len() + a] = all - all / 2;
        }
        Ok(vec![integers("kernel_shape", kernel), integers("strides", strides), integers("pads", pads)])
    }

    fn batch_normalization(&self, g: &mut Graph) -> Result<()> {
        let mean = self.needed("moving_mean")?;
        let channels = mean.values.len();
        let variance = self.needed("moving_variance")?;
        let epsilon = self.get("epsilon")?.as_f64().unwrap_or(1e-3);
        g.channels_first();
        let mut or = |name: &str, value: f64| match self.weight(name) {
            Some(w) => self.as_is(g, w, name),
            None => g.reals(name, &[channels], &vec![value; channels]),
        };
        let (gamma, beta) = (or("gamma", 1.0), or("beta", 0.0));
        let (mean, variance) =
            (self.as_is(g, mean, "moving_mean"), self.as_is(g, variance, "moving_variance"));
        g.then("BatchNormalization", &[gamma, beta, mean, variance], vec![real("epsilon", epsilon)]);
        Ok(())
    }

    /// A recurrent layer whose blocks stand in `order` in ONNX, with so many activations.
    fn recurrent(&self, g: &mut Graph, op: &str, order: &[usize], activations: usize) -> Result<()> {
        g.channels_last();
        let (kernel, recurrent) = (self.needed("kernel")?, self.needed("recurrent_kernel")?);
        let (features, units) = (kernel.shape.dims()[0], recurrent.shape.dims()[0]);
        let blocks = order.len();
        // [F, G·U] → [1, G·U, F], the blocks in ONNX's order
        let turned = |w: &Weight| -> Vec<f64> {
            let (rows, columns) = w.shape.as_matrix();
            let column = |c: usize| (0..rows).map(move |r| w.values[r * columns + c]);
            order.iter().flat_map(|b| b * units..(b + 1) * units).flat_map(column).collect()
        };
        let (w, r) = (turned(kernel), turned(recurrent));
        let w = g.reals("kernel", &[1, blocks * units, features], &w);
        let r = g.reals("recurrent_kernel", &[1, blocks * units, units], &r);
        let bias = self.weight("bias").map(|b| {
            // ONNX has two: that of the input's product, and that of the state's.
            let mut both = vec![0.0; 2 * blocks * units];
            for (half, row) in b.values.chunks_exact(blocks * units).enumerate().take(2) {
                let place = &mut both[half * blocks * units..][..blocks * units];
                let blocks = order.iter().map(|o| &row[o * units..][..units]);
                place.chunks_exact_mut(units).zip(blocks).for_each(|(to, from)| to.copy_from_slice(from));
            }
            g.reals("bias", &[1, both.len()], &both)
        });

        let mut attributes = vec![integer("hidden_size", units as i64)];
        let own = self.function("activation")?;
        let functions = match activations {
            1 => vec![own],
            n => [self.function("recurrent_activation")?].into_iter().chain(vec![own; n - 1]).collect(),
        };
        let names: Vec<&str> = functions.iter().map(|f| f.0).collect();
        attributes.push(words("activations", &names));
        // One for each function that has a parameter, none for the others.
        let alphas: Vec<f64> = functions.iter().filter_map(|f| f.1).collect();
        if !alphas.is_empty() {
            attributes.push(reals("activation_alpha", &alphas));
        }
        if self.flag("reset_after") {
            attributes.push(integer("linear_before_reset", 1));
        }

        g.then("Transpose", &[], vec![integers("perm", [1, 0, 2])]); //      [N, T, F] → [T, N, F]
        if self.flag("go_backwards") {
            // From the last step to the first: ONNX's own `reverse` would put the outputs back in order.
            let ends = [("start", -1), ("end", i64::MIN), ("time", 0), ("step", -1)];
            let ends = ends.map(|(name, value)| g.integers(name, &[value]));
            g.then("Slice", &ends, Vec::new());
        }
        let inputs: Vec<String> = [g.value(), w, r].into_iter().chain(bias).collect();
        let sequences = self.flag("return_sequences");
        let outputs = if sequences { 1 } else { 2 }; //                       all states [T, 1, N, U], the last [1, N, U]
        let made = g.node(op, inputs, outputs, attributes);
        g.go_on_with(made.into_iter().last().unwrap_or_default());
        let axis = g.integers("direction", &[i64::from(sequences)]);
        g.then("Squeeze", &[axis], Vec::new());
        if sequences {
            g.then("Transpose", &[], vec![integers("perm", [1, 0, 2])]); //  [T, N, U] → [N, T, U]
        }
        Ok(())
    }

    /// What ONNX's recurrent operators call an activation, with its parameter.
    fn function(&self, key: &str) -> Result<(&'static str, Option<f64>)> {
        Ok(match Activation::from_value(self.get(key)?)? {
            Activation::Linear => ("Affine", Some(1.0)),
            Activation::Relu => ("Relu", None),
            Activation::Sigmoid => ("Sigmoid", None),
            Activation::Tanh => ("Tanh", None),
            Activation::Softplus => ("Softplus", None),
            Activation::Softsign => ("Softsign", None),
            Activation::Elu { alpha } => ("Elu", Some(alpha)),
            Activation::LeakyRelu { negative_slope } => ("LeakyRelu", Some(negative_slope)),
            other => return Err(self.refusal(&format!("`{other}` inside of a recurrent layer"))),
        })
    }

    /// Applies a function of every number, or softmax, to the current value.
    fn apply(&self, g: &mut Graph, f: Activation) -> Result<()> {
        let plain = |g: &mut Graph, op: &str| g.then(op, &[], Vec::new());
        match f {
            Activation::Linear => {}
            Activation::Relu => plain(g, "Relu"),
            Activation::Sigmoid => plain(g, "Sigmoid"),
            Activation::Tanh => plain(g, "Tanh"),
            Activation::Softplus => plain(g, "Softplus"),
            Activation::Softsign => plain(g, "Softsign"),
            Activation::Exponential => plain(g, "Exp"),
            Activation::Softmax => {
                let axis = if g.stands_channels_first() { 1 } else { -1 };
                g.then("Softmax", &[], vec![integer("axis", axis)]);
            }
            Activation::Elu { alpha } => g.then("Elu", &[], vec![real("alpha", alpha)]),
            Activation::Selu => {
                g.then("Selu", &[], vec![real("alpha", SELU_ALPHA), real("gamma", SELU_SCALE)]);
            }
            Activation::LeakyRelu { negative_slope } => {
                g.then("LeakyRelu", &[], vec![real("alpha", negative_slope)]);
            }
            Activation::Silu => {
                let x = g.value(); //                                         y = x σ(x)
                plain(g, "Sigmoid");
                g.then("Mul", &[x], Vec::new());
            }
            Activation::Gelu { approximate } => gelu(g, approximate),
            Activation::Custom(_) => return Err(self.refusal("an activation of your own")),
        }
        Ok(())
    }
}

/// y = x Φ(x) = x (1 + erf(x / √2)) / 2, or with tanh(√(2/π) (x + 0.044715 x³)) for erf.
fn gelu(g: &mut Graph, approximate: bool) {
    let x = g.value();
    let mut scalar = |name: &str, value: f64| g.reals(name, &[], &[value]);
    let (half, one) = (scalar("half", 0.5), scalar("one", 1.0));
    if approximate {
        let (cubic, factor) =
            (scalar("cubic", 0.044715), scalar("factor", (2.0 / std::f64::consts::PI).sqrt()));
        g.then("Mul", std::slice::from_ref(&x), Vec::new()); //               x²
        g.then("Mul", &[cubic], Vec::new());
        g.then("Add", std::slice::from_ref(&one), Vec::new()); //             1 + 0.044715 x²
        g.then("Mul", std::slice::from_ref(&x), Vec::new());
        g.then("Mul", &[factor], Vec::new());
        g.then("Tanh", &[], Vec::new());
    } else {
        let factor = scalar("factor", std::f64::consts::FRAC_1_SQRT_2);
        g.then("Mul", &[factor], Vec::new());
        g.then("Erf", &[], Vec::new());
    }
    g.then("Add", &[one], Vec::new());
    g.then("Mul", &[x], Vec::new());
    g.then("Mul", &[half], Vec::new());
}

fn global(g: &mut Graph, op: &str) {
    g.channels_first();
    g.then(op, &[], Vec::new()); //          [N, C, 1, ...]
    g.then("Flatten", &[], Vec::new()); //   [N, C]
    g.flattened();
}

/// Row-major values with their axes in another order.
fn permuted(dims: &[usize], values: &[f64], order: &[usize]) -> (Vec<usize>, Vec<f64>) {
    let stride: Vec<usize> = (0..dims.len()).map(|a| dims[a + 1..].iter().product()).collect();
    let to: Vec<usize> = order.iter().map(|&a| dims[a]).collect();
    let mut out = Vec::with_capacity(values.len());
    for i in 0..values.len() {
        let (mut rest, mut from) = (i, 0);
        for (a, &d) in to.iter().enumerate().rev() {
            from += (rest % d) * stride[order[a]];
            rest /= d;
        }
        out.push(values[from]);
    }
    (to, out)
}

#[cfg(test)]
mod tests {
    #[test]
    fn axes_change_places() {
        let values: Vec<f64> = (0..6).map(f64::from).collect();
        assert_eq!(super::permuted(&[2, 3], &values, &[1, 0]), (vec![3, 2], vec![0., 3., 1., 4., 2., 5.]));
        let (dims, moved) = super::permuted(&[1, 2, 3], &values, &[2, 1, 0]);
        assert_eq!((dims, moved), (vec![3, 2, 1], vec![0., 3., 1., 4., 2., 5.]));
    }
}
