//! Work for every kernel: each op once, on tensors of a size that is small for a GPU in software and large for a real
//! one. `handgrad bench --kernels` times it or counts what the kernels do; tests make sure that no kernel is left out.

use super::{Cuda, Rung};
use crate::activations::Activation;
use crate::backend::{Affine, CellActivations, Gemm, HostRows, LossTerm, Target};
use crate::device::Device;
use crate::error::Result;
use crate::losses::Loss;
use crate::metrics::Score;
use crate::optimizers::{Rule, Update};
use crate::rng::{Noise, Rng};
use crate::shape::Shape;
use crate::tensor::{Indices, Tensor};
use crate::window::{Padding, Window};
use std::sync::Arc;

/// How large the tensors are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// A few milliseconds in software.
    Small,
    /// Enough to fill a large GPU.
    Large,
}

/// One op on tensors of its own.
pub struct Exercise {
    /// The op and its shapes.
    pub name: String,
    /// Multiplications and additions of the op's definition.
    pub flops: f64,
    /// Bytes of its inputs and outputs, each once.
    pub bytes: f64,
    /// m, n, k of the product that cuBLAS would be asked for, where the op is one.
    pub gemm: Option<[usize; 3]>,
    run: Box<dyn FnMut() -> Result<()>>,
}

impl Exercise {
    /// Asks the device for the op once.
    ///
    /// # Errors
    /// Those of the op.
    pub fn run(&mut self) -> Result<()> {
        (self.run)()
    }
}

/// Hands out exercises one by one, with tensors of random numbers: no more than two are on the device at once.
struct Course<'a> {
    device: &'a Device,
    rng: Rng,
    /// Normal numbers, and some in ½ .. 1½, that all tensors are pieces of: drawing gigabytes takes minutes.
    drawn: [Tensor; 2],
    /// The latest exercise, whose author may not be done with it.
    pending: Option<Exercise>,
    visit: &'a mut dyn FnMut(Exercise) -> Result<()>,
}

/// How many numbers are drawn.
const DRAWN: usize = 1 << 20;

impl<'a> Course<'a> {
    fn new(device: &'a Device, visit: &'a mut dyn FnMut(Exercise) -> Result<()>) -> Result<Course<'a>> {
        let mut rng = Rng::new(1, 0);
        let normal: Vec<f32> = (0..DRAWN).map(|_| rng.normal() as f32).collect();
        let positive: Vec<f32> = (0..DRAWN).map(|_| 0.5 + rng.uniform() as f32).collect();
        let mut drawn = [device.zeros([DRAWN].into())?, device.zeros([DRAWN].into())?];
        drawn[0].view_mut().write_f32(&normal)?;
        drawn[1].view_mut().write_f32(&positive)?;
        Ok(Course { device, rng, drawn, pending: None, visit })
    }

    fn normal(&mut self, shape: impl Into<Shape>) -> Result<Tensor> {
        self.piece(0, shape.into())
    }

    /// Numbers in ½ .. 1½.
    fn positive(&mut self, shape: impl Into<Shape>) -> Result<Tensor> {
        self.piece(1, shape.into())
    }

    /// A tensor of drawn numbers, from a random place on.
    fn piece(&mut self, which: usize, shape: Shape) -> Result<Tensor> {
        let mut t = self.device.zeros(shape)?;
        let all = self.drawn[which].view();
        let mut rest = t.view_mut().reshape([shape.len()])?;
        let mut at = self.rng.below(DRAWN as u64) as usize;
        while rest.len() > 0 {
            let len = rest.len().min(DRAWN - at);
            let (piece, others) = rest.split([len])?;
            self.device.copy(all.rows(at..at + len)?, piece)?;
            (rest, at) = (others, 0);
        }
        Ok(t)
    }

    fn labels(&mut self, n: usize, classes: usize) -> Result<Indices> {
        let labels: Vec<u32> = (0..n).map(|_| self.rng.below(classes as u64) as u32).collect();
        let mut t = self.device.indices(Shape::from([n]))?;
        t.write(&labels)?;
        Ok(t)
    }

    /// Adds an op that moves `numbers` floats.
    fn add(
        &mut self,
        name: impl Into<String>,
        numbers: usize,
        mut run: impl FnMut(&Device) -> Result<()> + 'static,
    ) -> Result<&mut Exercise> {
        self.hand_out()?;
        let device = self.device.clone();
        let run = Box::new(move || run(&device));
        let bytes = 4.0 * numbers as f64;
        Ok(self.pending.insert(Exercise { name: name.into(), flops: 0.0, bytes, gemm: None, run }))
    }

    fn hand_out(&mut self) -> Result<()> {
        self.pending.take().map_or(Ok(()), |exercise| (self.visit)(exercise))
    }
}

/// An exercise for every op, in the order of the op table.
///
/// # Errors
/// The device is out of memory.
pub fn exercises(cuda: &Arc<Cuda>, size: Size) -> Result<Vec<Exercise>> {
    let mut all = Vec::new();
    each_exercise(cuda, size, &mut |exercise| {
        all.push(exercise);
        Ok(())
    })?;
    Ok(all)
}

/// Hands out the same exercises one by one, so that their tensors need not be on the device together.
///
/// # Errors
/// The device is out of memory; those of `visit`.
pub fn each_exercise(
    cuda: &Arc<Cuda>,
    size: Size,
    visit: &mut dyn FnMut(Exercise) -> Result<()>,
) -> Result<()> {
    let device = &Device::from_shared(cuda.clone());
    let c = &mut Course::new(device, visit)?;
    elementwise(c, size)?;
    products(c, size)?;
    ladder(c, cuda, size)?;
    rungs(c, cuda, size)?;
    activations(c, size)?;
    windows(c, size)?;
    normalization(c, size)?;
    recurrent(c, size)?;
    losses(c, size)?;
    scores(c, size)?;
    updates(c, size)?;
    c.hand_out()
}

/// The small number in software, the large one on a GPU.
fn pick(size: Size, small: usize, large: usize) -> usize {
    if size == Size::Small { small } else { large }
}

fn elementwise(c: &mut Course, size: Size) -> Result<()> {
    let n = pick(size, 1 << 16, 1 << 26);
    let (rows, cols) = (pick(size, 256, 8192), pick(size, 256, 8192));
    let bytes: Vec<u8> = (0..n / 4).map(|i| (i * 37 % 251) as u8).collect();
    let order: Vec<u32> = (0..n as u32 / 4096).rev().collect();
    let mut y = c.normal([n / 4096, 1024])?;
    c.add(format!("load_rows {}", y.shape()), n / 4 + n / 16, move |dev| {
        dev.load_rows(HostRows::U8 { bytes: &bytes, scale: 1.0 / 255.0 }, &order, y.view_mut())
    })?;
    let mut y = c.normal([n])?;
    c.add(format!("fill {n}"), n, move |dev| dev.fill(0.5, y.view_mut()))?;
    let (x, mut y) = (c.normal([n])?, c.normal([n])?);
    c.add(format!("copy {n}"), 2 * n, move |dev| dev.copy(x.view(), y.view_mut()))?;
    let mut y = c.normal([n])?;
    c.add(format!("scale {n}"), 2 * n, move |dev| dev.scale(0.999, y.view_mut()))?;
    let (x, mut y) = (c.normal([n])?, c.normal([n])?);
    c.add(format!("add_scaled {n}"), 3 * n, move |dev| dev.add_scaled(0.01, x.view(), y.view_mut()))?;
    let (x, mut y) = (c.normal([n])?, c.normal([n])?);
    c.add(format!("interpolate {n}"), 3 * n, move |dev| dev.interpolate(0.01, x.view(), y.view_mut()))?;
    let (x, mut y) = (c.positive([n])?, c.normal([n])?);
    c.add(format!("multiply {n}"), 3 * n, move |dev| dev.multiply(x.view(), y.view_mut()))?;
    let mut y = c.normal([n])?;
    c.add(format!("clamp {n}"), 2 * n, move |dev| dev.clamp(-1.0, 1.0, y.view_mut()))?;
    for rest in [1, 32] {
        let (x, mut y) = (c.normal([rows, cols / rest, rest])?, c.normal([cols / rest, rows, rest])?);
        let name = format!("swap_axes {}", x.shape());
        c.add(name, 2 * rows * cols, move |dev| dev.swap_axes(x.view(), y.view_mut()))?;
    }
    let (x, mut y) = (c.normal([rows, cols])?, c.normal([rows, 2 * cols])?);
    c.add(format!("copy_columns {}", x.shape()), 2 * rows * cols, move |dev| {
        dev.copy_columns(x.view(), 0, y.view_mut(), cols, cols)
    })?;
    let (b, mut y) = (c.normal([cols])?, c.normal([rows, cols])?);
    c.add(format!("add_bias {}", y.shape()), 2 * rows * cols, move |dev| {
        dev.add_bias(b.view(), y.view_mut())
    })?;
    for (rows, cols) in [(rows, cols), (rows * cols / 32, 32)] {
        let (x, mut y) = (c.normal([rows, cols])?, c.normal([cols])?);
        let name = format!("sum_rows {}", x.shape());
        c.add(name, rows * cols, move |dev| dev.sum_rows(x.view(), y.view_mut()))?;
    }
    let (x, mut y) = (c.normal([n])?, c.normal([n])?);
    let noise = Noise { seed: 1, layer: 2, step: 3 };
    c.add(format!("dropout {n}"), 2 * n, move |dev| dev.dropout(0.3, noise, x.view(), y.view_mut()))?;
    Ok(())
}

fn products(c: &mut Course, size: Size) -> Result<()> {
    let mut sizes = vec![[pick(size, 256, 4096); 3]];
    sizes.push([100, pick(size, 60, 784), 128]); // a small layer's product
    sizes.push([128, 96, pick(size, 4096, 131_072)]); // tall: a weight's gradient
    sizes.push([pick(size, 96, 1024), 64, 96]);
    for [m, n, k] in sizes {
        for (name, g) in [("nn", Gemm::nn()), ("tn", Gemm::tn()), ("nt", Gemm::nt()), ("tt", Gemm::tt())] {
            let a = c.normal(if g.transpose_a { [k, m] } else { [m, k] })?;
            let b = c.normal(if g.transpose_b { [n, k] } else { [k, n] })?;
            let mut y = c.normal([m, n])?;
            let numbers = m * k + k * n + m * n;
            let e = c.add(format!("gemm {name} {m} × {n} × {k}"), numbers, move |dev| {
                dev.gemm(g, a.view(), b.view(), y.view_mut())
            })?;
            (e.flops, e.gemm) = (2.0 * (m * n * k) as f64, (name == "nn").then_some([m, n, k]));
        }
    }
    let (m, n, k) = (pick(size, 128, 4096), pick(size, 96, 1024), pick(size, 64, 1024));
    let (x, w, b, mut y) = (c.normal([m, k])?, c.normal([k, n])?, c.normal([n])?, c.normal([m, n])?);
    let e = c.add(format!("dense relu {m} × {n} × {k}"), m * k + k * n + n + m * n, move |dev| {
        dev.dense(Activation::Relu, x.view(), w.view(), Some(b.view()), y.view_mut())
    })?;
    e.flops = 2.0 * (m * n * k) as f64;
    Ok(())
}

/// Every rung of the ladder, every transpose, as one product and in parts.
fn ladder(c: &mut Course, cuda: &Arc<Cuda>, size: Size) -> Result<()> {
    let side = pick(size, 256, 4096);
    for rung in Rung::ALL.into_iter().filter(|r| r.needs() <= cuda.facts().architecture) {
        for (name, g) in [("nn", Gemm::nn()), ("tn", Gemm::tn()), ("nt", Gemm::nt()), ("tt", Gemm::tt())] {
            let (a, b, mut y) = (c.normal([side, side])?, c.normal([side, side])?, c.normal([side, side])?);
            let cuda = cuda.clone();
            let e = c.add(format!("rung {rung} {name} {side}³"), 3 * side * side, move |_| {
                cuda.gemm_with(rung, g, a.view(), b.view(), y.view_mut())
            })?;
            (e.flops, e.gemm) = (2.0 * (side as f64).powi(3), (name == "nn").then_some([side; 3]));
        }
    }
    let (products, m, n, k) = (pick(size, 3, 64), 96, 64, pick(size, 50, 512));
    let (a, b) = (c.normal([products, m, k])?, c.normal([products, k, n])?);
    let (mut y, cuda) = (c.normal([products, m, n])?, cuda.clone());
    let numbers = products * (m * k + k * n + m * n);
    c.add(format!("gemm batched {products} × {m} × {n} × {k}"), numbers, move |_| {
        cuda.gemm_batched(Gemm::nn(), a.view(), b.view(), y.view_mut())
    })?
    .flops = 2.0 * (products * m * n * k) as f64;
    Ok(())
}

/// The kernels that no op takes for small shapes: a product without steps, and every rung of the convolution.
fn rungs(c: &mut Course, cuda: &Arc<Cuda>, size: Size) -> Result<()> {
    let (mut y, a, b) = (c.normal([50, 30])?, c.normal([50, 0])?, c.normal([0, 30])?);
    c.add("gemm without steps", 2 * 1500, move |dev| {
        dev.gemm(Gemm::nn().add(), a.view(), b.view(), y.view_mut())
    })?;
    let (n, side, channels) = (pick(size, 1, 256), pick(size, 12, 56), pick(size, 8, 64));
    let w = Window::new([side, side, channels].into(), &[3, 3], &[1, 1], &[1, 1], Padding::Same)?;
    let (images, maps) = (Shape::from([n, side, side, channels]), Shape::from([n, side, side, channels]));
    let kernel = Shape::from([3, 3, channels, channels]);
    for rung in [Rung::WarpTiled, Rung::Medium, Rung::Small] {
        let flops = 2.0 * (maps.len() * 9 * channels) as f64;
        let numbers = images.len() + maps.len() + kernel.len();
        let (x, k, mut y, gpu) = (c.normal(images)?, c.normal(kernel)?, c.normal(maps)?, cuda.clone());
        let name = format!("conv 3×3 {images} on {rung}");
        c.add(name, numbers, move |_| {
            gpu.conv_with(rung, &w, Activation::Relu, x.view(), k.view(), None, y.view_mut())
        })?
        .flops = flops;
        let (x, dz, mut dk, gpu) = (c.normal(images)?, c.normal(maps)?, c.normal(kernel)?, cuda.clone());
        let name = format!("conv 3×3 {images} backward, kernel, on {rung}");
        c.add(name, numbers, move |_| {
            gpu.conv_backward_kernel_with(rung, &w, x.view(), dz.view(), dk.view_mut())
        })?
        .flops = flops;
        let (dz, k, mut dx, gpu) = (c.normal(maps)?, c.normal(kernel)?, c.normal(images)?, cuda.clone());
        let name = format!("conv 3×3 {images} backward, input, on {rung}");
        c.add(name, numbers, move |_| {
            gpu.conv_backward_input_with(rung, &w, dz.view(), k.view(), dx.view_mut())
        })?
        .flops = flops;
    }
    Ok(())
}

fn activations(c: &mut Course, size: Size) -> Result<()> {
    let n = pick(size, 1 << 14, 1 << 26);
    for name in Activation::NAMES {
        let f: Activation = name.parse()?;
        // Softmax in rows that a warp holds, that a block holds, and that nobody holds.
        let widths = if f == Activation::Softmax { vec![10, 1000, 20_000] } else { vec![1] };
        for width in widths {
            let rows = (n / width).max(2);
            let (x, mut y) = (c.normal([rows, width])?, c.normal([rows, width])?);
            let numbers = rows * width;
            let shape = if width == 1 { rows.to_string() } else { y.shape().to_string() };
            c.add(format!("{name} {shape}"), 2 * numbers, move |dev| dev.activate(f, y.view_mut()))?;
            let mut y = c.device.zeros([rows, width].into())?;
            c.device.copy(x.view(), y.view_mut())?;
            c.device.activate(f, y.view_mut())?;
            let mut d = c.normal([rows, width])?;
            let inputs = 3 + usize::from(f.needs_input());
            c.add(format!("{name} backward {shape}"), inputs * numbers, move |dev| {
                dev.activation_backward(f, Some(x.view()), y.view(), d.view_mut())
            })?;
        }
    }
    Ok(())
}

fn windows(c: &mut Course, size: Size) -> Result<()> {
    let n = pick(size, 4, 128);
    let same = |extents: [usize; 3], k: usize, stride: usize, padding| {
        Window::new(Shape::from(extents), &[k, k], &[stride, stride], &[1, 1], padding)
    };
    let layers = [
        (same([28, 28, 1], 3, 1, Padding::Valid)?, 32),
        (same([13, 13, 32], 3, 1, Padding::Valid)?, 64),
        (same([9, 9, 5], 3, 2, Padding::Same)?, 130),
    ];
    for (w, filters) in layers {
        let ([_, h, v], [_, oh, ow], ch) = (w.input, w.output, w.channels);
        let (images, maps) = (n * h * v * ch, n * oh * ow * filters);
        let flops = 2.0 * (n * w.positions() * w.taps() * filters) as f64;
        let kernel = [w.kernel[1], w.kernel[2], ch, filters];
        let what = format!("{h}×{v}×{ch} to {oh}×{ow}×{filters}");
        let words = c.device.conv_scratch(&w, filters, n);
        let (x, k, b) = (c.normal([n, h, v, ch])?, c.normal(kernel)?, c.normal([filters])?);
        let (mut y, mut scratch) = (c.normal([n, oh, ow, filters])?, c.normal([words])?);
        let weights = k.shape().len();
        c.add(format!("conv relu {what}"), images + maps + weights, move |dev| {
            dev.conv(
                &w,
                Activation::Relu,
                x.view(),
                k.view(),
                Some(b.view()),
                scratch.view_mut(),
                y.view_mut(),
            )
        })?
        .flops = flops;
        let (x, dz, mut scratch) =
            (c.normal([n, h, v, ch])?, c.normal([n, oh, ow, filters])?, c.normal([words])?);
        let mut dk = c.normal(kernel)?;
        c.add(format!("conv backward kernel {what}"), images + maps + weights, move |dev| {
            dev.conv_backward_kernel(&w, x.view(), dz.view(), scratch.view_mut(), dk.view_mut())
        })?
        .flops = flops;
        let (k, dz, mut scratch) = (c.normal(kernel)?, c.normal([n, oh, ow, filters])?, c.normal([words])?);
        let mut dx = c.normal([n, h, v, ch])?;
        c.add(format!("conv backward input {what}"), images + maps + weights, move |dev| {
            dev.conv_backward_input(&w, dz.view(), k.view(), scratch.view_mut(), dx.view_mut())
        })?
        .flops = flops;
    }
    let w = same([13, 13, 8], 3, 1, Padding::Valid)?;
    let (images, cols) = (n * w.input_len(), n * w.positions() * w.taps());
    let (x, mut y) = (c.normal([n, 13, 13, 8])?, c.normal([n * w.positions(), w.taps()])?);
    c.add("im2col 13×13×8", images + cols, move |dev| dev.im2col(&w, x.view(), y.view_mut()))?;
    let (x, mut y) = (c.normal([n * w.positions(), w.taps()])?, c.normal([n, 13, 13, 8])?);
    c.add("col2im 13×13×8", images + cols, move |dev| dev.col2im(&w, x.view(), y.view_mut()))?;

    // Windows side by side, and windows that overlap.
    for (k, side) in [(2, 13), (3, 12)] {
        let w = same([26, 26, 32], k, 2, Padding::Valid)?;
        let (images, maps) = (n * w.input_len(), n * w.positions() * 32);
        let (x, mut y) = (c.normal([n, 26, 26, 32])?, c.normal([n, side, side, 32])?);
        c.device.max_pool(&w, x.view(), y.view_mut())?;
        let mut highest = c.device.zeros([n, side, side, 32].into())?;
        c.device.copy(y.view(), highest.view_mut())?;
        let mut same_x = c.device.zeros([n, 26, 26, 32].into())?;
        c.device.copy(x.view(), same_x.view_mut())?;
        c.add(format!("max_pool 26×26×32 by {k}×{k}"), images + maps, move |dev| {
            dev.max_pool(&w, x.view(), y.view_mut())
        })?;
        let (dy, mut dx) = (c.normal([n, side, side, 32])?, c.normal([n, 26, 26, 32])?);
        c.add(format!("max_pool backward 26×26×32 by {k}×{k}"), 2 * images + 2 * maps, move |dev| {
            dev.max_pool_backward(&w, same_x.view(), highest.view(), dy.view(), dx.view_mut())
        })?;
    }
    let w = same([26, 26, 32], 2, 2, Padding::Valid)?;
    let (images, maps) = (n * w.input_len(), n * w.positions() * 32);
    let (x, mut y) = (c.normal([n, 26, 26, 32])?, c.normal([n, 13, 13, 32])?);
    c.add("average_pool 26×26×32", images + maps, move |dev| dev.average_pool(&w, x.view(), y.view_mut()))?;
    let (dy, mut dx) = (c.normal([n, 13, 13, 32])?, c.normal([n, 26, 26, 32])?);
    c.add("average_pool backward 26×26×32", images + maps, move |dev| {
        dev.average_pool_backward(&w, dy.view(), dx.view_mut())
    })?;
    Ok(())
}

fn normalization(c: &mut Course, size: Size) -> Result<()> {
    for (rows, cols) in [(pick(size, 2048, 1 << 20), 32), (pick(size, 64, 4096), pick(size, 512, 4096))] {
        let numbers = rows * cols;
        let shape = Shape::from([rows, cols]);
        let (x, mut mean, mut variance) = (c.normal(shape)?, c.normal([cols])?, c.normal([cols])?);
        c.add(format!("moments {shape}"), numbers, move |dev| {
            dev.moments(x.view(), mean.view_mut(), variance.view_mut())
        })?;
        let mut parts = || -> Result<[Tensor; 4]> {
            Ok([c.normal([cols])?, c.positive([cols])?, c.normal([cols])?, c.normal([cols])?])
        };
        let (forward, backward) = (parts()?, parts()?);
        let (x, mut y) = (c.normal(shape)?, c.normal(shape)?);
        fn affine([mean, variance, gamma, beta]: &[Tensor; 4]) -> Affine<'_> {
            let (mean, variance) = (mean.view(), variance.view());
            Affine { mean, variance, gamma: Some(gamma.view()), beta: Some(beta.view()), epsilon: 1e-3 }
        }
        c.add(format!("normalize {shape}"), 2 * numbers, move |dev| {
            dev.normalize(&affine(&forward), x.view(), y.view_mut())
        })?;
        let (x, dy, mut dx) = (c.normal(shape)?, c.normal(shape)?, c.normal(shape)?);
        let (mut dgamma, mut dbeta) = (c.normal([cols])?, c.normal([cols])?);
        c.add(format!("normalize backward {shape}"), 3 * numbers, move |dev| {
            let (dgamma, dbeta, dx) = (dgamma.view_mut(), dbeta.view_mut(), Some(dx.view_mut()));
            dev.normalize_backward(&affine(&backward), x.view(), dy.view(), dgamma, dbeta, dx)
        })?;
    }
    Ok(())
}

fn recurrent(c: &mut Course, size: Size) -> Result<()> {
    let (n, u) = (pick(size, 64, 8192), pick(size, 64, 1024));
    let acts = CellActivations { activation: Activation::Tanh, recurrent: Activation::Sigmoid };
    let (mut gates, before) = (c.normal([n, 4 * u])?, c.normal([n, u])?);
    let (mut now, mut h) = (c.normal([n, u])?, c.normal([n, u])?);
    c.add(format!("lstm_step {n} × {u}"), 11 * n * u, move |dev| {
        dev.lstm_step(acts, gates.view_mut(), Some(before.view()), now.view_mut(), h.view_mut())
    })?;
    let (mut gates, before, now) = (c.positive([n, 4 * u])?, c.normal([n, u])?, c.normal([n, u])?);
    let (dh, mut dc) = (c.normal([n, u])?, c.normal([n, u])?);
    c.add(format!("lstm_step backward {n} × {u}"), 13 * n * u, move |dev| {
        dev.lstm_step_backward(
            acts,
            gates.view_mut(),
            Some(before.view()),
            now.view(),
            dh.view(),
            dc.view_mut(),
        )
    })?;
    let (mut gates, inner) = (c.normal([n, 3 * u])?, c.normal([n, 3 * u])?);
    let (before, mut h) = (c.normal([n, u])?, c.normal([n, u])?);
    c.add(format!("gru_step {n} × {u}"), 11 * n * u, move |dev| {
        dev.gru_step(acts, gates.view_mut(), inner.view(), Some(before.view()), h.view_mut())
    })?;
    let (mut gates, mut inner) = (c.positive([n, 3 * u])?, c.normal([n, 3 * u])?);
    let (before, mut dh) = (c.normal([n, u])?, c.normal([n, u])?);
    c.add(format!("gru_step backward {n} × {u}"), 13 * n * u, move |dev| {
        dev.gru_step_backward(acts, gates.view_mut(), inner.view_mut(), Some(before.view()), dh.view_mut())
    })?;
    Ok(())
}

fn losses(c: &mut Course, size: Size) -> Result<()> {
    let n = pick(size, 1 << 14, 1 << 24);
    let named = |name: &str| name.parse::<Loss>();
    let logits = Loss::SparseCategoricalCrossentropy { from_logits: true };
    let folded = [
        (logits, Activation::Softmax, 10),
        (logits, Activation::Softmax, 1000),
        (logits, Activation::Softmax, 20_000),
        (Loss::CategoricalCrossentropy { from_logits: true }, Activation::Softmax, 10),
        (Loss::CategoricalCrossentropy { from_logits: true }, Activation::Softmax, 1000),
        (Loss::BinaryCrossentropy { from_logits: true }, Activation::Sigmoid, 10),
        (Loss::MeanSquaredError, Activation::Linear, 10),
        (Loss::MeanSquaredError, Activation::Linear, 1000),
    ];
    for (loss, folded, classes) in folded {
        let rows = (n / classes).max(2);
        let shape = Shape::from([rows, classes]);
        let (z, mut y, mut dz) = (c.normal(shape)?, c.normal(shape)?, c.normal(shape)?);
        let (mut losses, values, labels) = (c.normal([rows])?, c.positive(shape)?, c.labels(rows, classes)?);
        let sparse = loss.is_sparse();
        let numbers = 3 * rows * classes + rows + if sparse { rows } else { rows * classes };
        c.add(format!("loss_step {loss} {shape}"), numbers, move |dev| {
            let target = if sparse { Target::Labels(labels.view()) } else { Target::Values(values.view()) };
            let term = LossTerm { loss, folded, target, weights: None, scale: 1.0 / rows as f64 };
            dev.loss_step(&term, z.view(), y.view_mut(), losses.view_mut(), dz.view_mut())
        })?;
    }
    for name in Loss::NAMES {
        let loss = named(name)?;
        let widths = if name.contains("categorical") { vec![10, 1000, 20_000] } else { vec![10] };
        for classes in widths {
            let rows = (n / classes).max(2);
            let shape = Shape::from([rows, classes]);
            let (p, values, labels) = (c.positive(shape)?, c.positive(shape)?, c.labels(rows, classes)?);
            let (mut losses, sparse) = (c.normal([rows])?, loss.is_sparse());
            let targets = if sparse { rows } else { rows * classes };
            c.add(format!("loss {loss} {shape}"), rows * classes + targets + rows, move |dev| {
                let target =
                    if sparse { Target::Labels(labels.view()) } else { Target::Values(values.view()) };
                dev.loss(loss, p.view(), target, losses.view_mut())
            })?;
            let (p, values, labels) = (c.positive(shape)?, c.positive(shape)?, c.labels(rows, classes)?);
            let (mut d, weights) = (c.normal(shape)?, c.positive([rows])?);
            c.add(
                format!("loss backward {loss} {shape}"),
                2 * rows * classes + targets + rows,
                move |dev| {
                    let target =
                        if sparse { Target::Labels(labels.view()) } else { Target::Values(values.view()) };
                    let (folded, weights) = (Activation::Linear, Some(weights.view()));
                    let term = LossTerm { loss, folded, target, weights, scale: 1.0 / rows as f64 };
                    dev.loss_backward(&term, p.view(), d.view_mut())
                },
            )?;
        }
    }
    Ok(())
}

fn scores(c: &mut Course, size: Size) -> Result<()> {
    let (rows, classes) = (pick(size, 1024, 1 << 20), 10);
    let shape = Shape::from([rows, classes]);
    for score in [Score::Binary { threshold: 0.5 }, Score::Categorical, Score::TopK(3)] {
        for sparse in [false, true] {
            if sparse && matches!(score, Score::Binary { .. }) {
                continue;
            }
            let (p, t, labels) = (c.normal(shape)?, c.normal(shape)?, c.labels(rows, classes)?);
            let mut out = c.normal([rows])?;
            c.add(format!("score {score:?} {shape}"), (2 + usize::from(!sparse) * 9) * rows, move |dev| {
                let target = if sparse { Target::Labels(labels.view()) } else { Target::Values(t.view()) };
                dev.score(score, p.view(), target, out.view_mut())
            })?;
        }
    }
    for sparse in [false, true] {
        let (p, t, labels) = (c.normal(shape)?, c.normal(shape)?, c.labels(rows, classes)?);
        let mut counts = c.device.zeros(Shape::from([3, classes]))?;
        c.add(format!("count_classes {shape}"), rows * classes, move |dev| {
            let target = if sparse { Target::Labels(labels.view()) } else { Target::Values(t.view()) };
            dev.count_classes(None, p.view(), target, counts.view_mut())
        })?;
        let (p, t, labels) = (c.normal(shape)?, c.normal(shape)?, c.labels(rows, classes)?);
        let mut counts = c.device.zeros(Shape::from([classes, classes]))?;
        c.add(format!("count_pairs {shape}"), rows * classes, move |dev| {
            let target = if sparse { Target::Labels(labels.view()) } else { Target::Values(t.view()) };
            dev.count_pairs(p.view(), target, counts.view_mut())
        })?;
    }
    let n = pick(size, 1 << 16, 1 << 26);
    let (x, w, mut acc) = (c.normal([n])?, c.positive([n])?, c.device.zeros(Shape::from([2]))?);
    c.add(format!("accumulate {n}"), 2 * n, move |dev| {
        dev.accumulate(x.view(), Some(w.view()), acc.view_mut())
    })?;
    let (x, mut acc) = (c.normal([n])?, c.device.zeros(Shape::from([2]))?);
    c.add(format!("accumulate_squares {n}"), n, move |dev| dev.accumulate_squares(x.view(), acc.view_mut()))?;
    Ok(())
}

fn updates(c: &mut Course, size: Size) -> Result<()> {
    let n = pick(size, 1 << 14, 1 << 26);
    let (beta_1, beta_2, epsilon) = (0.9, 0.999, 1e-7);
    let rules = [
        ("sgd", Rule::Sgd { lr: 0.01, momentum: 0.0, nesterov: false }),
        ("momentum", Rule::Sgd { lr: 0.01, momentum: 0.9, nesterov: false }),
        ("nesterov", Rule::Sgd { lr: 0.01, momentum: 0.9, nesterov: true }),
        ("rmsprop", Rule::RmsProp { lr: 0.001, rho: 0.9, momentum: 0.0, epsilon, centered: false }),
        ("rmsprop momentum", Rule::RmsProp { lr: 0.001, rho: 0.9, momentum: 0.9, epsilon, centered: false }),
        ("rmsprop centered", Rule::RmsProp { lr: 0.001, rho: 0.9, momentum: 0.0, epsilon, centered: true }),
        ("rmsprop both", Rule::RmsProp { lr: 0.001, rho: 0.9, momentum: 0.9, epsilon, centered: true }),
        ("adagrad", Rule::Adagrad { lr: 0.001, epsilon }),
        ("adadelta", Rule::Adadelta { lr: 0.001, rho: 0.95, epsilon }),
        ("adam", Rule::Adam { alpha: 3e-4, beta_1, beta_2, epsilon, amsgrad: false }),
        ("amsgrad", Rule::Adam { alpha: 3e-4, beta_1, beta_2, epsilon, amsgrad: true }),
        ("adamax", Rule::Adamax { alpha: 0.01, beta_1, beta_2, epsilon }),
        ("nadam", Rule::Nadam { lr: 0.001, beta_1, beta_2, epsilon, from_m: 1.2, from_g: 0.9, from_v: 30.0 }),
    ];
    for (name, rule) in rules {
        let (mut value, grad) = (c.normal([n])?, c.normal([n])?);
        let mut slots = Vec::new();
        for _ in 0..rule.slots() {
            slots.push(c.positive([n])?);
        }
        c.add(format!("update {name} {n}"), (3 + 2 * rule.slots()) * n, move |dev| {
            dev.update(&Update { decay: 1e-5, rule }, value.view_mut(), grad.view(), &mut slots)
        })?;
    }
    let (acc, mut y) = (c.positive([2])?, c.normal([n])?);
    c.add(format!("limit_norm {n}"), 2 * n, move |dev| dev.limit_norm(0.9, acc.view(), y.view_mut()))?;
    Ok(())
}
