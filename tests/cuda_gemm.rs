//! Every rung of the matrix product on a GPU, against f64: all transposes, sizes around tiles, α and β, tails, parts,
//! batches, and operands at any address; and every rung of the convolution.
//!
//! Bounds follow the arithmetic: `c · K · eps · Σ |a| |b|`. C begins as NaN wherever β is 0, so what is not written, or read
//! too early, shows. On the software GPU each case runs under several orders of warps, with accesses checked for bounds,
//! for words that nobody wrote, and for races.
#![cfg(feature = "cuda")]

#[path = "support/gpu.rs"]
#[allow(dead_code, unreachable_pub)]
mod gpu;

use handgrad::cuda::{Cuda, Rung};
use handgrad::window::Window;
use handgrad::{Activation, Backend, Device, Gemm, Padding, Rng, Shape, Tensor};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const EPS: f64 = f32::EPSILON as f64;
const TRANSPOSES: [Gemm; 4] = [Gemm::nn(), Gemm::tn(), Gemm::nt(), Gemm::tt()];

/// The device, alone: the software GPU has one order of warps for the whole process.
fn cuda() -> Option<(Arc<Cuda>, MutexGuard<'static, ()>)> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    gpu::is_there().then(|| (Arc::new(Cuda::new(0).unwrap()), alone))
}

/// The rungs that this device has.
fn rungs(cuda: &Cuda) -> impl Iterator<Item = Rung> + use<> {
    let have = cuda.facts().architecture;
    Rung::ALL.into_iter().filter(move |r| r.needs() <= have)
}

/// Numbers that f32 holds exactly.
fn normal(rng: &mut Rng, n: usize) -> Vec<f64> {
    (0..n).map(|_| f64::from(rng.normal() as f32)).collect()
}

/// A tensor of which the first `skip` numbers, and some behind, are NaN: a view of the rest starts at any address.
struct Place {
    tensor: Tensor,
    skip: usize,
    shape: Shape,
}

impl Place {
    fn new(cuda: &Cuda, skip: usize, shape: impl Into<Shape>, values: &[f64]) -> Place {
        let shape = shape.into();
        let mut all = vec![f32::NAN; skip + shape.len() + 5];
        for (to, from) in all[skip..].iter_mut().zip(values) {
            *to = *from as f32;
        }
        let mut tensor = cuda.zeros(Shape::from([all.len()])).unwrap();
        tensor.view_mut().write_f32(&all).unwrap();
        Place { tensor, skip, shape }
    }

    fn view(&self) -> handgrad::View<'_> {
        let rows = self.skip..self.skip + self.shape.len();
        self.tensor.view().rows(rows).unwrap().reshape(self.shape).unwrap()
    }

    fn view_mut(&mut self) -> handgrad::tensor::ViewMut<'_> {
        let rows = self.skip..self.skip + self.shape.len();
        self.tensor.view_mut().rows(rows).unwrap().reshape(self.shape).unwrap()
    }

    /// The numbers, once it is sure that none around them was touched.
    fn values(&self, what: &str) -> Vec<f32> {
        let all = self.tensor.to_vec();
        let end = self.skip + self.shape.len();
        let outside = all[..self.skip].iter().chain(&all[end..]);
        assert!(outside.copied().all(f32::is_nan), "{what}: wrote outside of C");
        all[self.skip..end].to_vec()
    }
}

fn reference(g: Gemm, [m, n, k]: [usize; 3], a: &[f64], b: &[f64], c: &[f64]) -> Vec<f64> {
    let dev = Device::reference();
    let shape = |t, r, c| Shape::from(if t { [c, r] } else { [r, c] });
    let a = dev.tensor(shape(g.transpose_a, m, k), a).unwrap();
    let b = dev.tensor(shape(g.transpose_b, k, n), b).unwrap();
    let mut c = dev.tensor([m, n], c).unwrap();
    dev.gemm(g, a.view(), b.view(), c.view_mut()).unwrap();
    c.view().to_vec_f64()
}

fn abs(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| x.abs()).collect()
}

/// What a sum of k products of this size may be off by.
fn bound(rung: Rung, k: usize, size: f64) -> f64 {
    let sum = 2.0 * (k + 4) as f64 * EPS * size;
    if rung.is_exact() { sum } else { sum + size / 1024.0 }
}

/// One product on one rung, in `parts` parts, against f64. Returns the largest error as a part of its bound, and the bits.
fn check(
    cuda: &Cuda,
    rung: Rung,
    parts: usize,
    g: Gemm,
    [m, n, k]: [usize; 3],
    skip: [usize; 3],
) -> (f64, Vec<u32>) {
    let what = format!("{rung}, {parts} parts, {g:?}, {m} × {n} × {k}, at {skip:?}");
    let mut rng = Rng::new(7, (m * 1_000_000 + n * 1000 + k) as u64);
    let (a, b, c) = (normal(&mut rng, m * k), normal(&mut rng, k * n), normal(&mut rng, m * n));
    let shape = |t: bool, r, c| if t { [c, r] } else { [r, c] };
    let pa = Place::new(cuda, skip[0], shape(g.transpose_a, m, k), &a);
    let pb = Place::new(cuda, skip[1], shape(g.transpose_b, k, n), &b);
    let mut pc = Place::new(cuda, skip[2], [m, n], if g.beta == 0.0 { &[] } else { &c });
    cuda.gemm_parts(rung, parts, g, pa.view(), pb.view(), pc.view_mut())
        .unwrap_or_else(|e| panic!("{what}: {e}"));
    let got = pc.values(&what);
    let want = reference(g, [m, n, k], &a, &b, &c);
    let positive = Gemm { alpha: g.alpha.abs(), beta: g.beta.abs(), ..g };
    let sizes = reference(positive, [m, n, k], &abs(&a), &abs(&b), &abs(&c));
    let mut worst = 0.0f64;
    for (e, ((got, want), size)) in got.iter().zip(&want).zip(&sizes).enumerate() {
        let (error, bound) = ((f64::from(*got) - want).abs(), bound(rung, k, *size));
        assert!(error <= bound, "{what}: element {e} is {got}, not {want}: off by {error:e} > {bound:e}");
        worst = worst.max(if bound > 0.0 { error / bound } else { 0.0 });
    }
    (worst, got.iter().map(|x| x.to_bits()).collect())
}

/// Around the edges of tiles and panels, primes, and 1; and long ones. Few enough for a GPU in software.
const SIZES: [[usize; 3]; 17] = [
    [1, 1, 1],
    [1, 7, 3],
    [5, 1, 16],
    [3, 4, 0],
    [17, 31, 7],
    [31, 33, 8],
    [32, 32, 9],
    [33, 65, 24],
    [64, 64, 32],
    [65, 63, 41],
    [127, 129, 17],
    [128, 128, 64],
    [129, 127, 8],
    [132, 136, 20],
    [20, 260, 12],
    [300, 9, 33],
    [13, 11, 500],
];

/// Fails if a rung mistakes a transpose or an edge, reads C where β is 0, forgets α or β, or takes an address for aligned.
#[test]
fn every_rung_at_every_size_and_transpose() {
    let Some((cuda, _alone)) = cuda() else { return };
    let scales = [(1.0, 0.0), (1.0, 1.0), (-0.5, 0.0), (2.0, -0.25), (0.3, 0.7)];
    for rung in rungs(&cuda) {
        let mut worst = 0.0f64;
        for (i, size) in SIZES.into_iter().enumerate() {
            for (j, g) in TRANSPOSES.into_iter().enumerate() {
                let (alpha, beta) = scales[(i + j) % scales.len()];
                // A third of the views are aligned.
                let skip =
                    [[0, 0, 0], [4, 8, 0], [1, 0, 3], [0, 2, 1], [3, 1, 2], [4, 4, 1]][(2 * i + j) % 6];
                worst = worst.max(check(&cuda, rung, 1, Gemm { alpha, beta, ..g }, size, skip).0);
            }
        }
        println!("{rung}: the largest error is {worst:.3} of its bound");
    }
}

/// Fails if parts overlap, miss steps, or are added in an order that warps decide.
#[test]
fn parts_of_k_add_up_and_every_run_gives_the_same_bits() {
    let Some((cuda, _alone)) = cuda() else { return };
    let soft = gpu::software();
    for rung in rungs(&cuda) {
        for (i, g) in TRANSPOSES.into_iter().enumerate() {
            let (parts, size) =
                [(1, [70, 133, 37]), (3, [65, 36, 100]), (7, [40, 72, 264]), (50, [9, 130, 90])][i];
            let g = Gemm { alpha: 0.5, beta: [0.0, 1.5][i % 2], ..g };
            let mut first = None;
            for order in ["forward", "reverse", "random:5", "forward"] {
                if let Some(soft) = &soft {
                    gpu::set(soft, "order", order);
                }
                let (_, bits) = check(&cuda, rung, parts, g, size, [4 * i, 0, 0]);
                assert_eq!(*first.get_or_insert(bits.clone()), bits, "{rung}, {g:?}, warps in {order}");
            }
        }
    }
}

/// Fails if a rung forgets the bias, adds it to another column, or applies f before it.
#[test]
fn tails_are_fused_on_every_rung() {
    let Some((cuda, _alone)) = cuda() else { return };
    let activations = [
        Activation::Linear,
        Activation::Relu,
        Activation::Tanh,
        Activation::Gelu { approximate: false },
        Activation::LeakyRelu { negative_slope: 0.2 },
        Activation::Softmax,
    ];
    let reference = Device::reference();
    for rung in rungs(&cuda) {
        for (i, f) in activations.into_iter().enumerate() {
            let [m, n, k] = [[33, 40, 20], [130, 67, 9], [5, 129, 64]][i % 3];
            let parts = 1 + i % 2 * 3;
            let mut rng = Rng::new(9, i as u64);
            let (x, w, b) = (normal(&mut rng, m * k), normal(&mut rng, k * n), normal(&mut rng, n));
            let bias = i != 4;
            let tensor =
                |shape: &[usize], v: &[f64]| reference.tensor(Shape::new(shape).unwrap(), v).unwrap();
            let dense = |f, x: &[f64], w: &[f64], b: &[f64]| {
                let (x, w, b) = (tensor(&[m, k], x), tensor(&[k, n], w), tensor(&[n], b));
                let mut y = reference.zeros(Shape::from([m, n])).unwrap();
                let b = bias.then_some(b.view());
                reference.dense(f, x.view(), w.view(), b, y.view_mut()).unwrap();
                y.view().to_vec_f64()
            };
            let (want, sizes) =
                (dense(f, &x, &w, &b), dense(Activation::Linear, &abs(&x), &abs(&w), &abs(&b)));
            let (px, pw) = (Place::new(&cuda, i % 2, [m, k], &x), Place::new(&cuda, 0, [k, n], &w));
            let (pb, mut y) = (Place::new(&cuda, 3, [n], &b), Place::new(&cuda, 1, [m, n], &[]));
            let b = bias.then_some(pb.view());
            cuda.dense_with(rung, parts, f, px.view(), pw.view(), b, y.view_mut()).unwrap();
            let got = y.values("y");
            for (e, got) in got.iter().enumerate() {
                // No slope of these is above 1.2; softmax moves by at most twice what the row's largest moves.
                let row = &sizes[e / n * n..][..n];
                let size =
                    if f == Activation::Softmax { row.iter().copied().fold(0.0, f64::max) } else { sizes[e] };
                let bound = 2.0 * bound(rung, k + 1, size) + 8.0 * EPS * (1.0 + want[e].abs());
                let error = (f64::from(*got) - want[e]).abs();
                assert!(
                    error <= bound,
                    "{rung}, {f}: element {e} is {got}, not {}: {error:e} > {bound:e}",
                    want[e]
                );
            }
        }
    }
}

/// Fails if a product of a batch takes another one's operands, or a shared operand moves on.
#[test]
fn batches_are_so_many_products() {
    let Some((cuda, _alone)) = cuda() else { return };
    for (i, g) in TRANSPOSES.into_iter().enumerate() {
        let (products, [m, n, k]) =
            [(3, [17, 33, 20]), (5, [64, 8, 300]), (2, [1, 70, 40]), (4, [36, 36, 36])][i];
        let g = Gemm { alpha: 1.5, beta: [0.0, 0.5][i % 2], ..g };
        let mut rng = Rng::new(11, i as u64);
        let shared = i == 2;
        let of_a = if shared { 1 } else { products };
        let (a, b) = (normal(&mut rng, of_a * m * k), normal(&mut rng, products * k * n));
        let c = normal(&mut rng, products * m * n);
        let shape = |p, t: bool, r, c| if t { [p, c, r] } else { [p, r, c] };
        let pa = Place::new(&cuda, i, shape(of_a, g.transpose_a, m, k), &a);
        let pb = Place::new(&cuda, 0, shape(products, g.transpose_b, k, n), &b);
        let mut pc = Place::new(&cuda, 0, [products, m, n], if g.beta == 0.0 { &[] } else { &c });
        cuda.gemm_batched(g, pa.view(), pb.view(), pc.view_mut()).unwrap();
        let got = pc.values("C");
        for p in 0..products {
            let a = &a[if shared { 0 } else { p * m * k }..][..m * k];
            let (b, c) = (&b[p * k * n..][..k * n], &c[p * m * n..][..m * n]);
            let want = reference(g, [m, n, k], a, b, c);
            let sizes = reference(g, [m, n, k], &abs(a), &abs(b), &abs(c));
            for e in 0..m * n {
                let error = (f64::from(got[p * m * n + e]) - want[e]).abs();
                assert!(
                    error <= bound(Rung::Small, k, sizes[e]),
                    "{g:?}: product {p}, element {e}: off by {error:e}"
                );
            }
        }
        let fewer = pc.view_mut().rows(0..1).unwrap();
        assert!(cuda.gemm_batched(g, pa.view(), pb.view(), fewer).is_err(), "{g:?}");
    }
}

/// Fails if tf32 were as exact as f32 (then nothing is tested), or if the split operands were not.
#[test]
fn split_operands_are_as_exact_as_f32_and_tf32_is_not() {
    let Some((cuda, _alone)) = cuda() else { return };
    if cuda.facts().architecture < Rung::Tensor.needs() {
        return;
    }
    let worst = |rung| check(&cuda, rung, 1, Gemm::nn(), [64, 64, 64], [0; 3]).0;
    let (exact, split) = (worst(Rung::WarpTiled), worst(Rung::Tensor3));
    println!("f32 is off by {exact:.4} of its bound, tf32 split in two by {split:.4}");
    assert!(split < 4.0 * exact);
    // The same product on tf32, measured by f32's bound.
    let mut rng = Rng::new(7, 64_064_064);
    let (a, b) = (normal(&mut rng, 4096), normal(&mut rng, 4096));
    let (pa, pb) = (Place::new(&cuda, 0, [64, 64], &a), Place::new(&cuda, 0, [64, 64], &b));
    let mut pc = Place::new(&cuda, 0, [64, 64], &[]);
    cuda.gemm_with(Rung::Tensor, Gemm::nn(), pa.view(), pb.view(), pc.view_mut()).unwrap();
    let want = reference(Gemm::nn(), [64; 3], &a, &b, &[0.0; 4096]);
    let sizes = reference(Gemm::nn(), [64; 3], &abs(&a), &abs(&b), &[0.0; 4096]);
    let far = pc
        .values("C")
        .iter()
        .zip(&want)
        .zip(&sizes)
        .any(|((got, want), size)| (f64::from(*got) - want).abs() > bound(Rung::WarpTiled, 64, *size));
    assert!(far, "tf32 was never off by more than f32 may be");
}

/// Every rung of the convolution, and both ways of loading, against f64: forward, and backward to kernel and input.
#[test]
fn every_rung_of_the_convolution() {
    let Some((cuda, _alone)) = cuda() else { return };
    let reference = Device::reference();
    for rung in [Rung::WarpTiled, Rung::Medium, Rung::Small] {
        for (i, (channels, filters)) in [(8, 12), (3, 5), (4, 132), (33, 8)].into_iter().enumerate() {
            let padding = [Padding::Same, Padding::Valid][i % 2];
            let w =
                Window::new([9, 10, channels].into(), &[3, 2], &[1, 1], &[1 + i / 2, 1], padding).unwrap();
            let (n, taps) = (2, w.taps());
            let images = Shape::from([n, 9, 10, channels]);
            let maps = Shape::from([n, w.output[1], w.output[2], filters]);
            let kernel = Shape::from([3, 2, channels, filters]);
            let mut rng = Rng::new(13, i as u64);
            let [x, k, dz] = [images, kernel, maps].map(|s| normal(&mut rng, s.len()));
            let (px, pk) = (Place::new(&cuda, 0, images, &x), Place::new(&cuda, 0, kernel, &k));
            let pz = Place::new(&cuda, 0, maps, &dz);
            let place = |shape| Place::new(&cuda, 0, shape, &[]);
            let (mut y, mut dk, mut dx) = (place(maps), place(kernel), place(images));
            cuda.conv_with(rung, &w, Activation::Relu, px.view(), pk.view(), None, y.view_mut()).unwrap();
            cuda.conv_backward_kernel_with(rung, &w, px.view(), pz.view(), dk.view_mut()).unwrap();
            cuda.conv_backward_input_with(rung, &w, pz.view(), pk.view(), dx.view_mut()).unwrap();
            let of = |f: Activation, x: &[f64], k: &[f64], dz: &[f64]| {
                let tensor = |shape: Shape, v: &[f64]| reference.tensor(shape, v).unwrap();
                let (x, k, dz) = (tensor(images, x), tensor(kernel, k), tensor(maps, dz));
                let zeros = |shape| reference.zeros(shape).unwrap();
                let (mut y, mut dk, mut dx) = (zeros(maps), zeros(kernel), zeros(images));
                let mut scratch = zeros([reference.conv_scratch(&w, filters, n)].into());
                reference.conv(&w, f, x.view(), k.view(), None, scratch.view_mut(), y.view_mut()).unwrap();
                let (vx, vz, vk) = (x.view(), dz.view(), k.view());
                reference.conv_backward_kernel(&w, vx, vz, scratch.view_mut(), dk.view_mut()).unwrap();
                reference.conv_backward_input(&w, vz, vk, scratch.view_mut(), dx.view_mut()).unwrap();
                [y, dk, dx].map(|t| t.view().to_vec_f64())
            };
            let want = of(Activation::Relu, &x, &k, &dz);
            let sizes = of(Activation::Linear, &abs(&x), &abs(&k), &abs(&dz));
            let lengths = [taps, n * w.positions(), taps / channels * filters];
            for (p, got) in [y.values("y"), dk.values("dK"), dx.values("dx")].into_iter().enumerate() {
                for (e, got) in got.into_iter().enumerate() {
                    let error = (f64::from(got) - want[p][e]).abs();
                    let bound = bound(rung, lengths[p], sizes[p][e]);
                    assert!(
                        error <= bound,
                        "{rung}, {channels} channels, {filters} filters, product {p}: element {e} is off by {error:e}"
                    );
                }
            }
        }
    }
}

/// What the kernels do, by the software GPU's count, at 256³. Fails if the best exact rung falls behind: fewer than 85 % of
/// the instructions of its main loop are multiply-adds, an access is not coalesced, a bank is met twice, or it reads more
/// than a tile of 128 × 128 must.
#[test]
fn the_best_rung_does_little_else_than_multiply_and_add() {
    let Some((cuda, _alone)) = cuda() else { return };
    let Some(soft) = gpu::software() else { return };
    const N: usize = 256;
    let mut rng = Rng::new(1, 0);
    let numbers = normal(&mut rng, N * N);
    let (a, b) = (Place::new(&cuda, 0, [N, N], &numbers), Place::new(&cuda, 0, [N, N], &numbers));
    let mut c = Place::new(&cuda, 0, [N, N], &[]);
    gpu::set(&soft, "counters", "1");
    for rung in rungs(&cuda).filter(|r| r.splits()) {
        for (name, g) in ["nn", "tn", "nt", "tt"].into_iter().zip(TRANSPOSES) {
            soft.reset();
            cuda.gemm_with(rung, g, a.view(), b.view(), c.view_mut()).unwrap();
            cuda.synchronize().unwrap();
            let all = gpu::counters(&soft);
            let k = &all[format!("gemm_{rung}_{name}")];
            let number = |path: &str| {
                k.pointer(path).and_then(|v| v.as_f64()).unwrap_or_else(|| panic!("{path}: {k}"))
            };
            let share = number("/main_loop/fma_share");
            let sectors = [number("/global_memory/load/sectors"), number("/global_memory/store/sectors")];
            let fewest = [
                number("/global_memory/load/sectors_coalesced"),
                number("/global_memory/store/sectors_coalesced"),
            ];
            let conflicts =
                ["load", "store"].map(|way| number(&format!("/main_loop/shared_memory/{way}/conflicts")));
            let passes = number("/main_loop/shared_memory/load/wavefronts");
            let bytes = number("/global_memory/load/bytes_requested");
            println!(
                "{rung} {name}: {:.1} % multiply-adds; sectors {sectors:?} of {fewest:?}; conflicts {conflicts:?} in {passes} \
                 passes; {bytes} bytes read",
                100.0 * share
            );
            if rung == Rung::WarpTiled {
                assert!(share >= 0.85, "{name}: {share}");
                assert_eq!(sectors, fewest, "{name}");
                assert_eq!(conflicts, [0.0; 2], "{name}");
                assert_eq!(bytes, (4 * 2 * N * N * N / 128) as f64, "{name}");
            }
        }
    }
    gpu::set(&soft, "counters", "0");
}
