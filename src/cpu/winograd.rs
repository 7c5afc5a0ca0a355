//! Convolution with windows of 3×3 in a quarter of the multiplications: Winograd's minimal filtering, F(4×4, 3×3).
//! [`transform`] has its matrices.
//!
//! A window of three that slides over six numbers gives four sums: 12 multiplications by the definition. But the window
//! and the numbers are polynomials, their product has degree five at most, and a polynomial is known by its values at six
//! points. So: evaluate both at six points, multiply point by point (6 multiplications), and read the four sums off the
//! product. In two dimensions, a tile of 4×4 outputs takes 36 multiplications where the definition has 144.
//!
//! ```text
//! forward   Y  = Aᵀ [ (G K Gᵀ) ⊙ (Bᵀ X B) ] A       X: 6×6 of the input    Y: 4×4 of the output
//! kernel    dK = Gᵀ [ Σ (Bᵀ X B) ⊙ (A dY Aᵀ) ] G    Σ over all tiles       K: 3×3
//! input     dX = B  [ (G K Gᵀ) ⊙ (A dY Aᵀ) ] Bᵀ     summed where the 6×6 of neighbouring tiles overlap
//! ```
//!
//! The backward passes are the transposes of the forward pass, step by step, so they use the same matrices. Channels and
//! filters turn each of the 36 products into a matrix product, which is where the time goes:
//!
//! ```text
//! forward   for each point   M[tiles, F]  = X[tiles, C] K[C, F]
//! kernel                     dK[C, F]     = X[tiles, C]ᵀ dY[tiles, F]
//! input                      M[tiles, C]  = dY[tiles, F] K[C, F]ᵀ
//! ```
//!
//! Tiles are worked on in blocks, so that all of X and M of a block stay in L2 between the three steps. A tile that looks
//! over the border finds zeros there: padding costs nothing.
//!
//! **The points** are 0, ±¾, ±3/2 and ∞. The usual choice, 0, ±1, ±2 and ∞, has smaller whole numbers in its matrices and
//! twice the rounding error: where points lie evenly around 1, powers neither grow nor vanish. What is left is two to five
//! times the error of sums by the definition (32 channels, 48 filters, root mean square, in that of the results: 5.6e-7
//! to 6.9e-7 for y, dK and dx, where im2col and a product have 1.4e-7 to 2.9e-7). And errors spread within a tile: each of
//! its 16 outputs has a share of the rounding of all 36 inputs, and an input that is NaN or infinite makes all 16 NaN. Only
//! an output that looks at nothing but zeros is exactly 0: much of an image may be blank, and what relu would take for a
//! sign there were rounding.
//!
//! Source: Winograd 1980, "Arithmetic Complexity of Computations"; Lavin and Gray 2016, "Fast Algorithms for
//! Convolutional Neural Networks"; Barabasz et al. 2020, "Error Analysis and Improving the Accuracy of Winograd
//! Convolution for Deep Neural Networks" (points other than whole numbers).

mod transform;

use super::Cpu;
use super::conv::WIDEST;
use super::cut::Cut;
use super::pack::{Matrix, PackPanels};
use super::parallel::{self, Pieces};
use super::simd::Isa;
use super::tile::{self, Tail, Tiles, Walk};
use crate::window::Window;
use std::marker::PhantomData;
use std::ops::Range;
use transform::{
    AtPoints, FromPoints, Grid, Input, InputBack, M, N, Output, OutputBack, POINTS, R, Window3, WindowBack,
    from_points, looks_at, to_points,
};

/// Channels or filters below which the 36 products are too small to pay for the transforms.
const FEW: usize = 16;
/// Channels or filters above which a block has no room in a thread's own memory.
const MANY: usize = 512;
/// Floats of a block's tiles at their points: what L2 holds beside a panel of kernels.
const BLOCK: usize = 64 * 1024;
/// Tiles of a block, at most: those of the fewest channels.
const MAX_TILES: usize = BLOCK / (POINTS * FEW);
/// Between the tiles of one point and those of the next: at a distance of a power of two, all points would share a few
/// places of the cache.
const APART: usize = 16;
/// Tasks of a pass, if its sizes allow: more blocks, or else panels, than that are not asked for.
const TASKS: usize = 8;
/// Channels and filters of one task's share of dK: its 36 matrices stay in L2.
const CHANNELS: usize = 32;
const FILTERS: usize = 64;
/// Tiles of a partial sum of dK, at least: the steps that its sums stay in registers.
const STEPS: usize = 32;
/// Filters that are turned at a time when kernels are packed for dx.
const TURNED: usize = 64;

/// Whether convolutions of this shape are computed this way: 3×3, without strides, and worth it. It depends on the layer
/// alone, so a sample's result does not depend on the batch that it is in.
pub(super) fn fits(w: &Window, filters: usize) -> bool {
    let [_, height, width] = w.output;
    let tiles = height.div_ceil(M) * width.div_ceil(M);
    w.kernel == [1, R, R]
        && w.stride == [1; 3]
        && w.dilation == [1; 3]
        && (FEW..=MANY).contains(&w.channels)
        && (FEW..=MANY).contains(&filters)
        && 2 * tiles * POINTS <= height * width * R * R
}

/// Floats of kernels at their points, in panels.
pub(super) fn scratch(w: &Window, filters: usize) -> usize {
    let panels = |rows: usize, columns: usize| POINTS * rows * columns.next_multiple_of(WIDEST);
    panels(w.channels, filters).max(panels(filters, w.channels))
}

/// Tiles of a batch of `n`.
fn tiles(w: &Window, n: usize) -> usize {
    n * w.input[0] * Grid::input(w).tiles_of_image()
}

/// Tiles of a block with `width` floats at each point: as many whole slivers as [`BLOCK`] has room for, but one at least.
fn tiles_of_block(width: usize, mr: usize) -> usize {
    (BLOCK / (POINTS * width * mr)).max(1) * mr
}

/// Floats of some tiles at their points, `width` each.
fn len(tiles: usize, width: usize) -> usize {
    POINTS * (tiles * width + APART)
}

/// Some tiles at their points, `width` floats each.
fn at_points<T>(data: T, tiles: usize, width: usize) -> AtPoints<T> {
    AtPoints { data, point: tiles * width + APART, row: width }
}

/// M[tiles, NR] = X[tiles, k] U[k, NR] for each point: X at the points of some tiles, `panel` the kernels at theirs.
fn multiply(isa: Isa, x: &[f32], tiles: usize, k: usize, panel: &[f32], m: &mut [f32]) {
    let (mr, nr) = tile::size(isa);
    let (walk, slivers) = (Walk::matrix(k, 1, k), Cut::at_most(tiles, mr));
    assert!(panel.len() == POINTS * k * nr && x.len() == len(tiles, k) && m.len() == len(tiles, nr));
    for point in 0..POINTS {
        let t = Tiles {
            a: x[point * (tiles * k + APART)..].as_ptr(),
            a_sliver: None,
            slivers,
            b: panel[point * k * nr..].as_ptr(),
            b_row: nr,
            b_ends: false,
            c: m[point * (tiles * nr + APART)..].as_mut_ptr(),
            c_row: nr,
            c_rows: None,
            columns: nr,
            column: 0,
        };
        // SAFETY: the assertion above.
        unsafe { tile::compute(isa, &t, &walk, &Tail::PLAIN) };
    }
}

/// y = f(conv(x, K) + b): f and b are the tail's. `packed` has room for [`scratch`].
pub(super) fn conv(
    cpu: &Cpu,
    w: &Window,
    [n, filters]: [usize; 2],
    x: &[f32],
    kernel: &[f32],
    tail: Tail,
    packed: &mut [f32],
    y: &mut [f32],
) {
    let (isa, (mr, nr), c) = (cpu.isa, tile::size(cpu.isa), w.channels);
    let (of_panel, panels) = (POINTS * c * nr, filters.div_ceil(nr));
    let packed = &mut packed[..panels * of_panel];
    cpu.pool.run_chunks(packed, of_panel, |j, panel| {
        let width = nr.min(filters - j * nr);
        if width < nr {
            panel.fill(0.0);
        }
        let (grid, kernel) = (Grid::kernels(c, filters), &kernel[j * nr..]);
        to_points::<Window3, R>(
            isa,
            grid,
            kernel,
            0..c,
            width,
            AtPoints { data: panel, point: c * nr, row: nr },
        );
    });
    let packed = &*packed;
    let blocks = Cut::at_most(tiles(w, n), tiles_of_block(c + nr, mr));
    let along = Cut::new(panels, (TASKS / blocks.parts()).clamp(1, panels));
    let y = Pieces::new(y);
    cpu.pool.run(blocks.parts() * along.parts(), &|task| {
        let (tiles, panels) = (blocks.part(task / along.parts()), along.part(task % along.parts()));
        parallel::with_own(|own| {
            let n = tiles.len();
            let (x_points, own) = own.split_at_mut(len(n, c));
            let m = &mut own[..len(n, nr)];
            to_points::<Input, N>(isa, Grid::input(w), x, tiles.clone(), c, at_points(&mut *x_points, n, c));
            let mut live = [0; MAX_TILES];
            looks_at(isa, Grid::input(w), x, tiles.clone(), &mut live[..n]);
            for j in panels {
                multiply(isa, x_points, n, c, &packed[j * of_panel..][..of_panel], m);
                let job = FromPoints::<Output, M, false> {
                    from: at_points(&*m, n, nr),
                    grid: Grid::output(w, filters),
                    images: y.start().wrapping_add(j * nr),
                    tiles: tiles.clone(),
                    width: nr.min(filters - j * nr),
                    live: Some(&live[..n]),
                    bias: tail.bias.map(|b| &b[j * nr..]),
                    floor: tail.floor,
                    transform: PhantomData,
                };
                // SAFETY: no other task has these tiles of these panels.
                unsafe { from_points(isa, job) };
            }
        });
    });
}

/// dx, from dz. `packed` has room for [`scratch`].
pub(super) fn backward_input(
    cpu: &Cpu,
    w: &Window,
    filters: usize,
    dz: &[f32],
    kernel: &[f32],
    packed: &mut [f32],
    dx: &mut [f32],
) {
    let (isa, (mr, nr), c) = (cpu.isa, tile::size(cpu.isa), w.channels);
    let (of_panel, panels) = (POINTS * filters * nr, c.div_ceil(nr));
    let packed = &mut packed[..panels * of_panel];
    // (G K Gᵀ)ᵀ in panels: some filters at a time go to the points, and are turned there.
    cpu.pool.run_chunks(packed, of_panel, |j, panel| {
        parallel::with_own(|own| {
            let channels = nr.min(c - j * nr);
            for f in (0..filters).step_by(TURNED) {
                let width = TURNED.min(filters - f);
                let own = &mut own[..POINTS * channels * width];
                let to = AtPoints { data: &mut *own, point: channels * width, row: width };
                let (grid, kernel) = (Grid::kernels(c, filters), &kernel[j * nr * filters + f..]);
                to_points::<Window3, R>(isa, grid, kernel, 0..channels, width, to);
                for (u, panel) in own.chunks_exact(channels * width).zip(panel.chunks_exact_mut(filters * nr))
                {
                    let panels = &mut panel[f * nr..][..width * nr];
                    isa.run(PackPanels {
                        b: Matrix::new(u, width, true),
                        columns: channels,
                        kc: width,
                        panels,
                    });
                }
            }
        });
    });
    let (packed, to) = (&*packed, Grid::input(w));
    // Tiles of an image overlap in dx, so a task has whole images: as many as a block has tiles for.
    let (images, of_image, most) =
        (dx.len() / to.image, to.tiles_of_image(), tiles_of_block(filters + nr, mr));
    let groups = Cut::at_most(images, (most / of_image).max(1));
    let along = Cut::new(panels, (TASKS / groups.parts()).clamp(1, panels));
    let dx = Pieces::new(dx);
    cpu.pool.run(groups.parts() * along.parts(), &|task| {
        let (images, panels) = (groups.part(task / along.parts()), along.part(task % along.parts()));
        let channels = panels.start * nr..c.min(panels.end * nr);
        for position in images.start * to.image / c..images.end * to.image / c {
            // SAFETY: these images and channels are this task's.
            unsafe { dx.piece(position * c + channels.start..position * c + channels.end) }.fill(0.0);
        }
        let first = images.start * of_image;
        let blocks = Cut::at_most(images.len() * of_image, most);
        parallel::with_own(|own| {
            for block in (0..blocks.parts()).map(|i| blocks.part(i)) {
                let (tiles, n) = (first + block.start..first + block.end, block.len());
                let (dy_points, own) = own.split_at_mut(len(n, filters));
                let m = &mut own[..len(n, nr)];
                let at = at_points(&mut *dy_points, n, filters);
                to_points::<OutputBack, M>(isa, Grid::output(w, filters), dz, tiles.clone(), filters, at);
                for j in panels.clone() {
                    multiply(isa, dy_points, n, filters, &packed[j * of_panel..][..of_panel], m);
                    let job = FromPoints::<InputBack, N, true> {
                        from: at_points(&*m, n, nr),
                        grid: to,
                        images: dx.start().wrapping_add(j * nr),
                        tiles: tiles.clone(),
                        width: nr.min(c - j * nr),
                        live: None,
                        bias: None,
                        floor: f32::NEG_INFINITY,
                        transform: PhantomData,
                    };
                    // SAFETY: no other task has these images of these panels.
                    unsafe { from_points(isa, job) };
                }
            }
        });
    });
}

/// The most partial sums of dK that a batch of `n` is worth.
pub(super) fn parts(w: &Window, n: usize) -> usize {
    tiles(w, n) / STEPS
}

/// dK, as `parts` partial sums: the first to `dk`, the others one behind the other to `partial`.
pub(super) fn backward_kernel(
    cpu: &Cpu,
    w: &Window,
    [n, filters]: [usize; 2],
    x: &[f32],
    dz: &[f32],
    parts: usize,
    partial: &mut [f32],
    dk: &mut [f32],
) {
    let tiles = Cut::new(tiles(w, n), parts);
    let (channels, some) = (Cut::at_most(w.channels, CHANNELS), Cut::at_most(filters, FILTERS));
    let (size, isa, shares) = (dk.len(), cpu.isa, channels.parts() * some.parts());
    let (sums, more) = (Pieces::new(dk), Pieces::new(partial));
    cpu.pool.run(parts * shares, &|t| {
        let (p, share) = (t / shares, t % shares);
        let dk = if p == 0 { sums.start() } else { more.start().wrapping_add((p - 1) * size) };
        let (tiles, channels) = (tiles.part(p), channels.part(share / some.parts()));
        let of = some.part(share % some.parts());
        let share = Share { isa, w, filters, x, dz, tiles, channels, of, dk };
        parallel::with_own(|own| share.run(own));
    });
}

/// A share of dK: of some tiles, for some channels and some filters.
struct Share<'a> {
    isa: Isa,
    w: &'a Window,
    filters: usize,
    x: &'a [f32],
    dz: &'a [f32],
    tiles: Range<usize>,
    channels: Range<usize>,
    /// Its filters.
    of: Range<usize>,
    /// Where this part's sum goes, as a whole.
    dk: *mut f32,
}

impl Share<'_> {
    /// `own` holds the sums at the points, and a block of tiles at theirs.
    fn run(self, own: &mut [f32]) {
        let Share { isa, w, filters, x, dz, tiles, channels, of, dk } = self;
        let ((mr, nr), c, f) = (tile::size(isa), channels.len(), of.len());
        let (wide, slivers) = (f.next_multiple_of(nr), Cut::at_most(c, mr));
        let (sums, own) = own.split_at_mut(POINTS * c * f);
        let blocks = Cut::at_most(tiles.len(), STEPS);
        for block in (0..blocks.parts()).map(|i| blocks.part(i)) {
            let (tail, n) = (if block.start == 0 { Tail::PLAIN } else { Tail::ADD }, block.len());
            let tiles = tiles.start + block.start..tiles.start + block.end;
            let (x_points, own) = own.split_at_mut(len(n, c));
            let dy_points = &mut own[..len(n, wide)];
            let at = at_points(&mut *x_points, n, c);
            to_points::<Input, N>(isa, Grid::input(w), &x[channels.start..], tiles.clone(), c, at);
            let at = at_points(&mut *dy_points, n, wide);
            to_points::<OutputBack, M>(isa, Grid::output(w, filters), &dz[of.start..], tiles, f, at);
            let walk = Walk::matrix(1, c, n);
            for (point, j) in (0..POINTS).flat_map(|p| (0..f).step_by(nr).map(move |j| (p, j))) {
                let t = Tiles {
                    a: x_points[point * (n * c + APART)..].as_ptr(),
                    a_sliver: None,
                    slivers,
                    b: dy_points[point * (n * wide + APART) + j..].as_ptr(),
                    b_row: wide,
                    b_ends: false,
                    c: sums[point * c * f + j..].as_mut_ptr(),
                    c_row: f,
                    c_rows: None,
                    columns: nr.min(f - j),
                    column: 0,
                };
                // SAFETY: each point has a row of c and one of `wide` numbers for each tile, and c rows of f sums.
                unsafe { tile::compute(isa, &t, &walk, &tail) };
            }
        }
        let job = FromPoints::<WindowBack, R, false> {
            from: AtPoints { data: sums, point: c * f, row: f },
            grid: Grid::kernels(w.channels, filters),
            images: dk.wrapping_add(channels.start * filters + of.start),
            tiles: 0..c,
            width: f,
            live: None,
            bias: None,
            floor: f32::NEG_INFINITY,
            transform: PhantomData,
        };
        // SAFETY: no other task has these channels and filters of this partial sum.
        unsafe { from_points(isa, job) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::random;
    use crate::rng::Rng;
    use crate::window::Padding;
    use crate::{Activation, Backend, Device, Gemm, Shape};

    /// An output that sees nothing but zeros is 0, whatever else its tile sees: images with one pixel each.
    #[test]
    fn blank_stays_blank() {
        let (side, c, filters) = (9, 16, 20);
        let image = Shape::new(&[side, side, c]).unwrap();
        let w = Window::new(image, &[3, 3], &[1, 1], &[1, 1], Padding::Same).unwrap();
        for isa in Isa::available() {
            let cpu = Cpu::new(Some(1), Some(isa)).unwrap();
            assert!(cpu.conv_in_tiles(&w, filters));
            let n = side * side;
            let k = random(&mut Rng::new(5, 0), [w.taps(), filters]);
            let mut x = cpu.zeros(image.batched(n)).unwrap();
            for i in 0..n {
                x.view_mut().f32().unwrap()[(i * n + i) * c + i % c] = 0.3;
            }
            let mut y = cpu.zeros([n * n, filters].into()).unwrap();
            let mut s = cpu.zeros([cpu.conv_scratch(&w, filters, n)].into()).unwrap();
            let to = y.view_mut();
            cpu.conv(&w, Activation::Linear, x.view(), k.view(), None, s.view_mut(), to).unwrap();
            for (at, y) in y.to_vec().into_iter().enumerate() {
                let (i, o) = (at / filters / n, at / filters % n);
                let near = (i / side).abs_diff(o / side) <= 1 && (i % side).abs_diff(o % side) <= 1;
                assert!(near == (y != 0.0), "{isa}: pixel {i}, output {o} is {y}");
            }
        }
    }

    /// The root mean square of the errors, in that of the results: below ten units in the last place. With the points 0,
    /// ±1, ±2 and ∞ it is more.
    /// (Bounds for each element, and unusual shapes, are in tests/parity.)
    #[test]
    fn errors_are_small() {
        let (n, filters, shape) = (6, 48, Shape::new(&[13, 13, 32]).unwrap());
        let w = Window::new(shape, &[3, 3], &[1, 1], &[1, 1], Padding::Valid).unwrap();
        let (rows, taps) = (n * w.positions(), w.taps());
        let reference = Device::reference();
        for isa in Isa::available() {
            let cpu = Cpu::new(Some(1), Some(isa)).unwrap();
            assert!(cpu.conv_in_tiles(&w, filters));
            let mut rng = Rng::new(3, 0);
            let x = random(&mut rng, [n, w.input_len()]);
            let (k, dz) = (random(&mut rng, [taps, filters]), random(&mut rng, [rows, filters]));
            let exact = |x: &crate::Tensor| reference.tensor(x.shape(), &x.view().to_vec_f64()).unwrap();
            let (ex, ek, ez) = (exact(&x), exact(&k), exact(&dz));
            let images = shape.batched(n);
            let mut s = cpu.zeros([cpu.conv_scratch(&w, filters, n)].into()).unwrap();
            let mut es = reference.zeros([reference.conv_scratch(&w, filters, n)].into()).unwrap();
            let mut cols = cpu.zeros([rows, taps].into()).unwrap();
            let mut dcols = cpu.zeros([rows, taps].into()).unwrap();
            let x = x.view().reshape(images).unwrap();
            let ex = ex.view().reshape(images).unwrap();
            cpu.im2col(&w, x, cols.view_mut()).unwrap();
            cpu.gemm(Gemm::nt(), dz.view(), k.view(), dcols.view_mut()).unwrap();
            for name in ["y", "dK", "dx"] {
                let size: Shape = match name {
                    "y" => [rows, filters].into(),
                    "dK" => [taps, filters].into(),
                    _ => images,
                };
                let [mut tiled, mut plain] = [0, 1].map(|_| cpu.zeros(size).unwrap());
                let mut want = reference.zeros(size).unwrap();
                let f = Activation::Linear;
                match name {
                    "y" => {
                        reference.conv(&w, f, ex, ek.view(), None, es.view_mut(), want.view_mut()).unwrap();
                        cpu.conv(&w, f, x, k.view(), None, s.view_mut(), tiled.view_mut()).unwrap();
                        cpu.gemm(Gemm::nn(), cols.view(), k.view(), plain.view_mut()).unwrap();
                    }
                    "dK" => {
                        let to = want.view_mut();
                        reference.conv_backward_kernel(&w, ex, ez.view(), es.view_mut(), to).unwrap();
                        cpu.conv_backward_kernel(&w, x, dz.view(), s.view_mut(), tiled.view_mut()).unwrap();
                        cpu.gemm(Gemm::tn(), cols.view(), dz.view(), plain.view_mut()).unwrap();
                    }
                    _ => {
                        let to = want.view_mut();
                        reference.conv_backward_input(&w, ez.view(), ek.view(), es.view_mut(), to).unwrap();
                        let to = tiled.view_mut();
                        cpu.conv_backward_input(&w, dz.view(), k.view(), s.view_mut(), to).unwrap();
                        cpu.col2im(&w, dcols.view(), plain.view_mut()).unwrap();
                    }
                }
                let want = want.view().to_vec_f64();
                let error = |got: &crate::Tensor| {
                    let got = got.view().to_vec_f64();
                    let squares = got.iter().zip(&want).map(|(g, w)| (g - w) * (g - w));
                    (squares.sum::<f64>() / want.iter().map(|w| w * w).sum::<f64>()).sqrt()
                };
                let (tiled, plain) = (error(&tiled), error(&plain));
                println!("{isa} {name}: {tiled:.2e} in tiles, {plain:.2e} by im2col");
                assert!(tiled < 10.0 * f64::from(f32::EPSILON), "{isa} {name}: {tiled:e}");
            }
        }
    }
}
