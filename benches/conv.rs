//! How fast convolution and pooling are, on the layers of `mnist-cnn` at batch 128: multiply-adds by the definition (the
//! second layer works in tiles, and does with a third of them), or numbers of the larger image, per second.
//!
//! ```text
//! cargo bench --bench conv
//! cargo bench --bench conv -- 'dK'           # those whose name has dK
//! ```
//!
//! `im2col + sgemm` is the forward pass as textbooks have it, with `matrixmultiply` for the product and without bias
//! and activation: what reading the images where they are saves.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use handgrad::cpu::{Cpu, Floor, matrixmultiply};
use handgrad::window::Window;
use handgrad::{Activation, Device, Gemm, Padding, Result, Rng, Shape, Tensor};
use std::sync::Arc;
use std::time::Duration;

/// Numbers in [−1, 1).
fn uniform(dev: &Device, shape: impl Into<Shape>) -> Tensor {
    let (shape, mut rng) = (shape.into(), Rng::new(1, 2));
    let values: Vec<f64> = (0..shape.len()).map(|_| rng.uniform() * 2.0 - 1.0).collect();
    dev.tensor(shape, &values).unwrap()
}

fn layers(criterion: &mut Criterion) {
    let cpu = Arc::new(Cpu::new(Some(1), None).unwrap());
    let floor = Floor::measure(&cpu, Duration::from_secs(1));
    println!("at best {floor}: {:.1} Gelem/s of a convolution below", floor.flops * 0.5e-9);
    let dev = &Device::from_shared(cpu);
    let n = 128;
    let mut bench = |name: String, elements: usize, op: &mut dyn FnMut() -> Result<()>| {
        let mut group = criterion.benchmark_group("conv");
        group.throughput(Throughput::Elements(elements as u64));
        group.bench_function(name, |b| b.iter(|| op().unwrap()));
    };

    for (side, channels, filters) in [(28, 1, 32), (13, 32, 64)] {
        let image = [side, side, channels].into();
        let w = Window::new(image, &[3, 3], &[1, 1], &[1, 1], Padding::Valid).unwrap();
        let (out, rows, taps) = (w.output[2], n * w.positions(), w.taps());
        let (x, dz) = (uniform(dev, [n, side, side, channels]), uniform(dev, [n, out, out, filters]));
        let (k, b) = (uniform(dev, [3, 3, channels, filters]), uniform(dev, [filters]));
        let mut scratch = uniform(dev, [dev.conv_scratch(&w, filters, n)]);
        let (mut y, mut cols) = (uniform(dev, dz.shape()), uniform(dev, [rows, taps]));
        let (mut dk, mut dx) = (uniform(dev, k.shape()), uniform(dev, x.shape()));
        let (layer, work) = (format!("{side}×{side}×{channels} 3×3×{filters}"), rows * taps * filters);

        bench(format!("{layer} y"), work, &mut || {
            let (b, s) = (Some(b.view()), scratch.view_mut());
            dev.conv(&w, Activation::Relu, x.view(), k.view(), b, s, y.view_mut())
        });
        bench(format!("{layer} y, im2col + sgemm"), work, &mut || {
            dev.im2col(&w, x.view(), cols.view_mut())?;
            let (k, y) = (k.view().reshape([taps, filters])?, y.view_mut().reshape([rows, filters])?);
            matrixmultiply(Gemm::nn(), cols.view(), k, y)
        });
        bench(format!("{layer} dK"), work, &mut || {
            dev.conv_backward_kernel(&w, x.view(), dz.view(), scratch.view_mut(), dk.view_mut())
        });
        bench(format!("{layer} dx"), work, &mut || {
            dev.conv_backward_input(&w, dz.view(), k.view(), scratch.view_mut(), dx.view_mut())
        });
    }

    for (side, channels) in [(26, 32), (11, 64)] {
        let image = [side, side, channels].into();
        let w = Window::new(image, &[2, 2], &[2, 2], &[1, 1], Padding::Valid).unwrap();
        let (x, dy) =
            (uniform(dev, [n, side, side, channels]), uniform(dev, [n, side / 2, side / 2, channels]));
        let (mut y, mut dx) = (uniform(dev, dy.shape()), uniform(dev, x.shape()));
        let (layer, numbers) = (format!("{side}×{side}×{channels} max pool 2×2"), x.shape().len());
        bench(format!("{layer} y"), numbers, &mut || dev.max_pool(&w, x.view(), y.view_mut()));
        bench(format!("{layer} dx"), numbers, &mut || {
            dev.max_pool_backward(&w, x.view(), y.view(), dy.view(), dx.view_mut())
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = layers
}
criterion_main!(benches);
