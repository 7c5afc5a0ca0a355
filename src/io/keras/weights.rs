//! Which weight stands where in Keras's files.
//!
//! Keras 3 names a layer's folder after the layer's class, not after the layer: the second `Dense` of a model is
//! `layers/dense_1`, whatever it is called. In it, `vars/0`, `vars/1`, ... are the layer's weights in the order of
//! [`Layer::params`](crate::layers::Layer::params), and those of a recurrent layer are its cell's, `cell/vars/0`. The layouts are the same on both
//! sides: channels last, an LSTM's blocks i f ĉ o, a GRU's z r ĥ with both biases where the reset comes after.
//!
//! The older `.h5` has a group for each layer's own name, and in it, somewhere, data sets called `kernel` and `bias`.

use crate::config::snake_case;
use crate::error::{Error, Result};
use crate::io::hdf5::{Group, Hdf5, Numbers};
use crate::model::Sequential;
use crate::shape::Shape;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// More groups than Keras makes for any layer.
const MOST_GROUPS: usize = 50;

/// A layer with weights.
struct Holder {
    /// As errors call it: ``digits (Dense 10)``.
    shown: String,
    name: String,
    /// Where Keras 3 keeps its weights: `layers/dense_1/vars`.
    vars: String,
    params: Vec<(&'static str, Shape)>,
}

/// The layers with weights, in order.
fn holders(model: &mut Sequential) -> Result<Vec<Holder>> {
    let (mut holders, mut seen) = (Vec::new(), HashMap::<String, usize>::new());
    model.each_layer(&mut |name, layer| {
        let class = snake_case(layer.kind());
        let before = seen.entry(class.clone()).or_default();
        let folder = if *before == 0 { class } else { format!("{class}_{before}") };
        *before += 1;
        let cell = if matches!(layer.kind(), "SimpleRNN" | "LSTM" | "GRU") { "/cell" } else { "" };
        let mut params = Vec::new();
        layer.params(&mut |p| {
            params.push((p.name, p.value.shape()));
            Ok(())
        })?;
        if !params.is_empty() {
            holders.push(Holder {
                shown: format!("{name} ({})", layer.describe()),
                name: name.to_string(),
                vars: format!("layers/{folder}{cell}/vars"),
                params,
            });
        }
        Ok(())
    })?;
    Ok(holders)
}

/// Lays out all weights as Keras 3 does.
pub(super) fn write(path: &Path, model: &mut Sequential, file: &mut Group) -> Result<()> {
    let (holders, mut weights) = (holders(model)?, model.get_weights()?.into_iter());
    file.group("layers");
    for holder in holders {
        let vars = holder.vars.split('/').fold(&mut *file, |group, name| group.group(name));
        vars.text("name", &holder.name);
        for (i, weight) in weights.by_ref().take(holder.params.len()).enumerate() {
            let dims = weight.shape.dims().iter().map(|&d| d as u64).collect();
            let values = weight.values.iter().map(|&v| v as f32).collect();
            vars.dataset(&i.to_string(), Numbers::F32(dims, values));
        }
    }
    match weights.next() {
        None => Ok(()),
        Some(w) => Err(Error::format(path, format!("weight `{}` belongs to no layer", w.name), "")),
    }
}

/// Reads all weights, of either layout.
pub(super) fn read(path: &Path, model: &mut Sequential, h5: &mut Hdf5) -> Result<()> {
    let holders = holders(model)?;
    let places = match h5.has_group("layers") {
        true => by_class(path, &holders, h5)?,
        false => by_name(path, &holders, h5)?,
    };
    for ((holder, (param, shape)), place) in
        holders.iter().flat_map(|h| h.params.iter().map(move |p| (h, p))).zip(&places)
    {
        let found = h5.shape(place)?;
        if found != shape.dims() {
            let problem =
                format!("`{param}` of layer `{}` is {shape}, in the file it is {found:?}", holder.shown);
            return Err(another(path, problem));
        }
    }
    let values = places.iter().map(|place| h5.numbers::<f32>(place)).collect::<Result<Vec<_>>>()?;
    let mut values = values.into_iter();
    model.each_layer(&mut |_, layer| {
        layer.params(&mut |p| {
            let given: Vec<f64> = values.next().unwrap_or_default().into_iter().map(f64::from).collect();
            p.value.view_mut().write(&given)
        })
    })
}

/// Where the weights stand in the layout of Keras 3.
fn by_class(path: &Path, holders: &[Holder], h5: &Hdf5) -> Result<Vec<String>> {
    let mut places = Vec::new();
    for Holder { shown, vars, params, .. } in holders {
        let found = if h5.has_group(vars) { h5.datasets(vars)?.len() } else { 0 };
        if found != params.len() {
            let problem =
                format!("layer `{shown}` has {} weights, the file has {found} at `{vars}`", params.len());
            return Err(another(path, problem));
        }
        places.extend((0..found).map(|i| format!("{vars}/{i}")));
    }
    let wanted: HashSet<&str> = holders.iter().map(|h| h.vars.as_str()).collect();
    for folder in h5.groups("layers")? {
        for vars in ["vars", "cell/vars"].map(|vars| format!("layers/{folder}/{vars}")) {
            if !wanted.contains(vars.as_str()) && h5.has_group(&vars) && !h5.datasets(&vars)?.is_empty() {
                let problem = format!("the file has weights at `{vars}`, the model has no such layer");
                return Err(another(path, problem));
            }
        }
    }
    Ok(places)
}

/// Where the weights stand in the older layout. Layers are matched by their order, as Keras does: names may differ.
fn by_name(path: &Path, holders: &[Holder], h5: &Hdf5) -> Result<Vec<String>> {
    let root = if h5.has_group("model_weights") { "model_weights" } else { "" };
    let mut lists = h5.lists(root)?;
    // A list that is too long for one attribute is in several.
    let parts = (0..).map_while(|i| lists.remove(&format!("layer_names{i}"))).flatten().collect();
    let Some(names) = lists.remove("layer_names").or(Some(parts).filter(|all: &Vec<String>| !all.is_empty()))
    else {
        let hint = "read a `.keras`, `.weights.h5` or `.h5` file that Keras saved";
        return Err(Error::format(path, "there are no layers in it", hint));
    };
    let mut groups = Vec::new();
    for name in names {
        let group = if root.is_empty() { name } else { format!("{root}/{name}") };
        let mut found = Vec::new();
        leaves(path, h5, &group, &mut 0, &mut found)?;
        if !found.is_empty() {
            groups.push((group, found));
        }
    }
    if groups.len() != holders.len() {
        let (model, file) = (holders.len(), groups.len());
        return Err(another(path, format!("the model has {model} layers with weights, the file has {file}")));
    }
    let mut places = Vec::new();
    for (Holder { shown, params, .. }, (group, found)) in holders.iter().zip(&groups) {
        for (param, _) in params {
            // `dense/kernel:0` in Keras 2.
            let named = |place: &&String| {
                let leaf = place.rsplit('/').next().unwrap_or_default();
                leaf.strip_suffix(":0").unwrap_or(leaf) == *param
            };
            let place = found.iter().find(named).ok_or_else(|| {
                another(path, format!("layer `{shown}` has a `{param}`, the file has none at `{group}`"))
            })?;
            places.push(place.clone());
        }
        if found.len() != params.len() {
            let (n, m) = (params.len(), found.len());
            return Err(another(
                path,
                format!("layer `{shown}` has {n} weights, the file has {m} at `{group}`"),
            ));
        }
    }
    Ok(places)
}

/// Adds the data sets in `group`, and in the groups in it, to `found`; `seen` counts groups, which may contain each other.
fn leaves(path: &Path, h5: &Hdf5, group: &str, seen: &mut usize, found: &mut Vec<String>) -> Result<()> {
    *seen += 1;
    if *seen > MOST_GROUPS {
        let hint = "the file is broken: copy it again, or save the model again";
        return Err(Error::format(path, format!("`{group}` goes on without end"), hint));
    }
    if h5.has_group(group) {
        found.extend(h5.datasets(group)?.into_iter().map(|name| format!("{group}/{name}")));
        for inner in h5.groups(group)? {
            leaves(path, h5, &format!("{group}/{inner}"), seen, found)?;
        }
    }
    Ok(())
}

/// The error of a file whose weights are another model's.
fn another(path: &Path, problem: String) -> Error {
    Error::format(path, problem, "make the model with the same layers as the saved one, in the same order")
}
