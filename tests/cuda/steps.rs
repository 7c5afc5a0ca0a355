//! What a training step asks of the driver: no allocation, no waiting, and from the third time on a single launch.

use super::{alone, faults, gpu, in_each_order};
use handgrad::callbacks::{Callback, Flow, Running};
use handgrad::cuda::{Cuda, Software, Stopwatch};
use handgrad::data::{Dataset, Features, Targets};
use handgrad::layers::{
    BatchNormalization, Conv2D, Dense, Dropout, Flatten, GRU, LSTM, MaxPooling2D, Reshape,
};
use handgrad::model::{Compile, Fit};
use handgrad::{Activation, Device, Result, Sequential, Shape};

/// The driver's counters at the end of each batch.
struct Watch<'a> {
    soft: &'a Software,
    seen: Vec<[u64; 4]>,
}

impl Callback for Watch<'_> {
    fn on_batch_end(&mut self, _running: &Running) -> Result<Flow> {
        let calls = |name| self.soft.calls(name);
        let waits = calls("cuStreamSynchronize") + calls("cuCtxSynchronize");
        self.seen.push([self.soft.allocations(), waits, calls("cuLaunchKernel"), calls("cuGraphLaunch")]);
        Ok(Flow::Continue)
    }
}

fn data(n: usize) -> Dataset {
    let sample = Shape::from([28, 28]);
    let bytes = (0..n * sample.len()).map(|i| (i * 37 % 251) as u8).collect();
    let labels = (0..n as u32).map(|i| i % 10).collect();
    Dataset::new(Features::Bytes { sample, bytes, scale: 1.0 / 255.0 }, Targets::labels(labels)).unwrap()
}

fn model(device: &Device) -> Sequential {
    let mut model = Sequential::new()
        .device(device)
        .with(Flatten::new())
        .with(Dense::new(24).activation(Activation::Relu))
        .with(Dropout::new(0.3))
        .with(Dense::new(10).activation(Activation::Softmax));
    let compile = Compile::new("sparse_categorical_crossentropy").optimizer("adam").metric("accuracy");
    model.compile(compile).unwrap();
    model
}

#[test]
fn a_step_that_comes_again_is_one_launch_without_allocation_or_waiting() {
    let Some(soft) = gpu::software() else { return };
    let _alone = alone();
    let mut watch = Watch { soft: &soft, seen: Vec::new() };
    let device = gpu::device().unwrap();
    let fit = Fit::new().epochs(3).batch_size(32).verbose(0).callback(&mut watch);
    model(&device).fit(&data(150), fit).unwrap(); // 4 full batches and one of 22, three times
    let seen = watch.seen;
    assert_eq!(seen.len(), 15);
    let change = |batch: usize| -> [u64; 4] { std::array::from_fn(|i| seen[batch][i] - seen[batch - 1][i]) };
    let [allocations, waits, launches, graphs] = change(1);
    assert!((allocations, waits, graphs) == (0, 0, 1) && launches <= 1, "the second step: {:?}", change(1));
    for batch in [2, 3, 6, 7, 8, 11, 12, 13] {
        // The one kernel launched by itself turns the batch's bytes into floats, before the step.
        assert_eq!(change(batch), [0, 0, 1, 1], "batch {batch}: allocations, waits, launches, graphs");
    }
    // The short batch is a step of its own: kernel by kernel in the first epoch, a graph from the second on.
    assert!(change(4)[2] > 5, "{:?}", change(4));
    assert_eq!((change(9)[3], change(14)), (1, [0, 0, 1, 1]));
}

/// Graphs change nothing: the same weights, bit for bit, as from launches one by one. The dropout's mask and Adam's
/// step size differ from step to step, and must reach the graph. Kernels that a graph leaves free to run side by side run
/// in the order of the step here, and then latest first: one that does not wait for what it needs computes something else.
#[test]
fn graphs_give_the_same_bits() {
    let Some(device) = gpu::device() else { return };
    // A device that hands every op on, and knows nothing of steps.
    let (one_by_one, _) = faults::faulty(&device);
    let output = || Dense::new(10).activation(Activation::Softmax);
    let dense = || {
        let hidden = Dense::new(24).activation(Activation::Relu);
        Sequential::new().with(Flatten::new()).with(hidden).with(Dropout::new(0.3))
    };
    let convolution = || {
        let conv = |filters| Conv2D::new(filters, 3).activation(Activation::Relu);
        let first =
            Sequential::new().with(Reshape::new([28, 28, 1])).with(conv(4)).with(MaxPooling2D::new(2));
        first.with(conv(8)).with(BatchNormalization::new()).with(Dropout::new(0.2)).with(Flatten::new())
    };
    let recurrent = || Sequential::new().with(LSTM::new(8).return_sequences(true)).with(GRU::new(6));
    let models: [(&str, &dyn Fn() -> Sequential); 3] =
        [("dense", &dense), ("convolution", &convolution), ("recurrent", &recurrent)];
    in_each_order(|order| {
        for (name, layers) in &models {
            let train = |device: &Device| {
                let mut model = layers().with(output()).device(device);
                let compile = Compile::new("sparse_categorical_crossentropy").optimizer("adam");
                model.compile(compile.metric("accuracy")).unwrap();
                model.fit(&data(36), Fit::new().epochs(4).batch_size(8).verbose(0)).unwrap();
                model.get_weights().unwrap()
            };
            let (graphs, launches) = (train(&device), train(&one_by_one));
            for (a, b) in graphs.iter().zip(&launches) {
                let same = a.values.iter().zip(&b.values).all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(same && !a.values.is_empty(), "{name}, {}, {order}", a.name);
            }
        }
    });
}

/// A GPU in software has no clock worth reading; that the stopwatch, the roofline and the flushed cache work at all is
/// shown here, so that they do on the day a GPU is there.
#[test]
fn a_stopwatch_runs() {
    if !gpu::is_there() {
        return;
    }
    let _alone = alone();
    let cuda = Cuda::new(0).unwrap();
    let watch = Stopwatch::new(&cuda).unwrap();
    let mut runs = 0;
    let mut work = || {
        runs += 1;
        Ok(())
    };
    assert!(watch.cold(&mut work).unwrap() >= 0.0);
    assert!(watch.warm(&mut work).unwrap() >= 0.0);
    assert_eq!(runs, (1 + 21) + 2 + 10 * (2 + 21), "runs or steps of ten, and those before");
    let roofline = cuda.roofline().unwrap();
    assert!(roofline.flops > 1e9 && roofline.bytes > 1e9, "{roofline:?}");
    assert_eq!(roofline.seconds(roofline.flops, 0.0), 1.0);
    assert_eq!(roofline.seconds(0.0, 2.0 * roofline.bytes), 2.0);
}
