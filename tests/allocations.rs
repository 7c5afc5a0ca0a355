//! After its first step, training allocates nothing: every step runs in the memory that was planned for it.
//!
//! A counting allocator watches the whole process, all threads included. Fails if an op, a layer, a loss, an
//! optimizer or the batch loader touches the heap in a step.

#[cfg(feature = "cuda")]
#[path = "support/gpu.rs"]
#[allow(dead_code, unreachable_pub)]
mod gpu;

use handgrad::callbacks::{Callback, Flow, Running};
use handgrad::data::{Dataset, Features, Targets};
use handgrad::layers::*;
use handgrad::model::{Compile, Fit};
use handgrad::optimizers::Optimizer;
use handgrad::{Activation, Device, Result, Sequential, Shape};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Notes how many allocations there were at the end of each batch.
struct Watch(Vec<usize>);

impl Callback for Watch {
    fn on_batch_end(&mut self, _running: &Running) -> Result<Flow> {
        assert!(self.0.len() < self.0.capacity(), "the watch itself must not allocate");
        self.0.push(ALLOCATIONS.load(Ordering::Relaxed));
        Ok(Flow::Continue)
    }
}

/// `n` samples with labels in 0..10, and the same with one-hot rows.
fn data(sample: Shape, n: usize) -> [Dataset; 2] {
    let bytes = (0..n * sample.len()).map(|i| (i * 37 % 251) as u8).collect();
    let labels = (0..n as u32).map(|i| i % 10).collect();
    let x = Features::Bytes { sample, bytes, scale: 1.0 / 255.0 };
    let labelled = Dataset::new(x, Targets::labels(labels)).unwrap();
    [labelled.clone(), labelled.one_hot(10).unwrap()]
}

/// Trains on 5 batches an epoch, the last one short; no batch of the last epoch but its first may allocate.
///
/// On the processor that is the first epoch. A GPU's steps become graphs when they come the second time, the short one's
/// in the second epoch; from then on nothing is allocated, neither here nor by the driver.
fn check(name: &str, mut model: Sequential, compile: Compile, data: &Dataset, epochs: usize) {
    model.compile(compile).unwrap();
    let mut watch = Watch(Vec::with_capacity(100));
    model.fit(data, Fit::new().epochs(epochs).batch_size(32).verbose(0).callback(&mut watch)).unwrap();
    assert_eq!(watch.0.len(), 5 * epochs, "{name}: batches");
    let last = &watch.0[5 * (epochs - 1)..];
    let extra = last[4] - last[0];
    assert_eq!(extra, 0, "{name}: {extra} allocations in the last four batches");
}

/// One test, so that no other thread of the test runner allocates meanwhile.
#[test]
fn a_training_step_allocates_nothing() {
    let digits = |out| Dense::new(out).activation(Activation::Softmax);
    #[cfg_attr(not(feature = "cuda"), allow(unused_mut))]
    let mut devices =
        vec![Device::cpu_with(Some(1), None).unwrap(), Device::cpu_with(Some(2), None).unwrap()];
    #[cfg(feature = "cuda")]
    devices.extend(gpu::device());
    for device in devices {
        let epochs = if device.name().starts_with("cuda") { 3 } else { 1 };
        let model = || Sequential::new().device(&device);
        let [labels, one_hot] = data(Shape::from([28, 28]), 150);

        let mlp = || {
            model().with(Flatten::new()).with(Dense::new(100).activation(Activation::Relu)).with(digits(10))
        };
        let sparse = || Compile::new("sparse_categorical_crossentropy").metric("accuracy");
        check("mlp", mlp(), sparse().optimizer("adam"), &labels, epochs);
        for name in Optimizer::NAMES {
            check(name, mlp(), sparse().optimizer(name), &labels, epochs);
        }
        let clipped = name_with_clip();
        let full =
            Compile::new("categorical_crossentropy").metric("accuracy").metric("precision").metric("mae");
        check("metrics, clipping", mlp(), full.optimizer(clipped), &one_hot, epochs);

        let cnn = model()
            .with(Reshape::new([28, 28, 1]))
            .with(Conv2D::new(8, [3, 3]).activation(Activation::Relu))
            .with(MaxPooling2D::new([2, 2]))
            .with(BatchNormalization::new())
            .with(AveragePooling2D::new([2, 2]))
            .with(Conv2D::new(4, [3, 3]).activation(Activation::Gelu { approximate: false }))
            .with(GlobalAveragePooling2D::new())
            .with(Dropout::new(0.25))
            .with(digits(10));
        check("cnn", cnn, sparse().optimizer("adam"), &labels, epochs);

        let recurrent = model()
            .with(LSTM::new(16).return_sequences(true))
            .with(GRU::new(12).return_sequences(true))
            .with(GRU::new(12).reset_after(false).return_sequences(true))
            .with(SimpleRNN::new(8))
            .with(digits(10));
        check("recurrent", recurrent, sparse(), &labels, epochs);
    }
}

fn name_with_clip() -> Optimizer {
    Optimizer::try_from("sgd").unwrap().global_clip_norm(1.0)
}
