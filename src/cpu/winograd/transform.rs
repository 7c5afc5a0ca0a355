//! The transforms of [`winograd`](super): a matrix along both axes of each tile, from images to points and back.

use super::super::simd::{Isa, Kernel, Lanes, Simd};
use crate::window::Window;
use std::marker::PhantomData;
use std::ops::Range;

/// Outputs of a tile along one axis.
pub(super) const M: usize = 4;
/// Taps of the window along one axis.
pub(super) const R: usize = 3;
/// Inputs of a tile along one axis, and points.
pub(super) const N: usize = M + R - 1;
/// Points of a tile.
pub(super) const POINTS: usize = N * N;

// ---------------------------------------------------------------- the matrices

/// The points p = ±P and ±Q; the others are 0 and ∞.
const P: f32 = 0.75;
const Q: f32 = 1.5;
const P2: f32 = P * P;
const Q2: f32 = Q * Q;

/// One of the matrices or its transpose, times a vector: what happens along one axis.
pub(super) trait Axis<const FROM: usize, const TO: usize> {
    /// From a vector of registers, a vector of registers.
    fn of<S: Simd>(s: S, x: [S::V; FROM]) -> [S::V; TO];
}

/// A window's values at the points: G, whose row for point p is [1, p, p²] / ∏ (p − p′) over the other finite points p′.
pub(super) struct Window3;

/// 1 / ∏ (p − p′) for the points 0, ±P and ±Q.
const AT_0: f32 = 1.0 / (P2 * Q2);
const AT_P: f32 = 1.0 / (2.0 * P2 * (P2 - Q2));
const AT_Q: f32 = 1.0 / (2.0 * Q2 * (Q2 - P2));

impl Axis<R, N> for Window3 {
    #[inline(always)]
    fn of<S: Simd>(s: S, [k0, k1, k2]: [S::V; R]) -> [S::V; N] {
        let (p_even, p_odd) = (k2.mul_add(s.splat(P2), k0) * s.splat(AT_P), k1 * s.splat(P * AT_P));
        let (q_even, q_odd) = (k2.mul_add(s.splat(Q2), k0) * s.splat(AT_Q), k1 * s.splat(Q * AT_Q));
        [k0 * s.splat(AT_0), p_even + p_odd, p_even - p_odd, q_even + q_odd, q_even - q_odd, k2]
    }
}

/// Gᵀ: from dL/d(values at the points) to dL/d(window).
pub(super) struct WindowBack;

impl Axis<N, R> for WindowBack {
    #[inline(always)]
    fn of<S: Simd>(s: S, [m0, m1, m2, m3, m4, m5]: [S::V; N]) -> [S::V; R] {
        let (p_even, p_odd) = ((m1 + m2) * s.splat(AT_P), (m1 - m2) * s.splat(P * AT_P));
        let (q_even, q_odd) = ((m3 + m4) * s.splat(AT_Q), (m3 - m4) * s.splat(Q * AT_Q));
        [
            m0.mul_add(s.splat(AT_0), p_even + q_even),
            p_odd + q_odd,
            p_even.mul_add(s.splat(P2), q_even.mul_add(s.splat(Q2), m5)),
        ]
    }
}

/// Inputs at the points: Bᵀ, whose row for point p has the coefficients of ∏ (x − p′) over the other finite points p′.
pub(super) struct Input;

impl Axis<N, N> for Input {
    #[inline(always)]
    fn of<S: Simd>(s: S, [x0, x1, x2, x3, x4, x5]: [S::V; N]) -> [S::V; N] {
        let (p, q, p2, q2) = (s.splat(P), s.splat(Q), s.splat(P2), s.splat(Q2));
        let (both, sum) = (s.splat(P2 * Q2), s.splat(P2 + Q2));
        let (p_even, p_odd) = (q2.neg_mul_add(x2, x4), q2.neg_mul_add(x1, x3));
        let (q_even, q_odd) = (p2.neg_mul_add(x2, x4), p2.neg_mul_add(x1, x3));
        [
            both.mul_add(x0, sum.neg_mul_add(x2, x4)),
            p.mul_add(p_odd, p_even),
            p.neg_mul_add(p_odd, p_even),
            q.mul_add(q_odd, q_even),
            q.neg_mul_add(q_odd, q_even),
            both.mul_add(x1, sum.neg_mul_add(x3, x5)),
        ]
    }
}

/// B: from dL/d(inputs at the points) to dL/d(inputs).
pub(super) struct InputBack;

impl Axis<N, N> for InputBack {
    #[inline(always)]
    fn of<S: Simd>(s: S, [m0, m1, m2, m3, m4, m5]: [S::V; N]) -> [S::V; N] {
        let (p, q, p2, q2) = (s.splat(P), s.splat(Q), s.splat(P2), s.splat(Q2));
        let (both, sum) = (s.splat(P2 * Q2), s.splat(P2 + Q2));
        let (p_even, p_odd) = (m1 + m2, p * (m1 - m2));
        let (q_even, q_odd) = (m3 + m4, q * (m3 - m4));
        [
            both * m0,
            p2.neg_mul_add(q_odd, q2.neg_mul_add(p_odd, both * m5)),
            -p2.mul_add(q_even, q2.mul_add(p_even, sum * m0)),
            sum.neg_mul_add(m5, p_odd + q_odd),
            m0 + (p_even + q_even),
            m5,
        ]
    }
}

/// The sums, read off the products at the points: Aᵀ, whose column for point p is [1, p, p², p³].
pub(super) struct Output;

impl Axis<N, M> for Output {
    #[inline(always)]
    fn of<S: Simd>(s: S, [m0, m1, m2, m3, m4, m5]: [S::V; N]) -> [S::V; M] {
        let (p_even, p_odd) = (m1 + m2, s.splat(P) * (m1 - m2));
        let (q_even, q_odd) = (m3 + m4, s.splat(Q) * (m3 - m4));
        let (p2, q2) = (s.splat(P2), s.splat(Q2));
        [
            m0 + (p_even + q_even),
            p_odd + q_odd,
            p2.mul_add(p_even, q2 * q_even),
            p2.mul_add(p_odd, q2.mul_add(q_odd, m5)),
        ]
    }
}

/// A: from dL/d(sums) to dL/d(products at the points).
pub(super) struct OutputBack;

impl Axis<M, N> for OutputBack {
    #[inline(always)]
    fn of<S: Simd>(s: S, [y0, y1, y2, y3]: [S::V; M]) -> [S::V; N] {
        let (p, q, p2, q2) = (s.splat(P), s.splat(Q), s.splat(P2), s.splat(Q2));
        let (p_even, p_odd) = (p2.mul_add(y2, y0), p2.mul_add(y3, y1));
        let (q_even, q_odd) = (q2.mul_add(y2, y0), q2.mul_add(y3, y1));
        [
            y0,
            p.mul_add(p_odd, p_even),
            p.neg_mul_add(p_odd, p_even),
            q.mul_add(q_odd, q_even),
            q.neg_mul_add(q_odd, q_even),
            y3,
        ]
    }
}

// ---------------------------------------------------------------- along both axes

/// Where tiles lie in images: channels-last, `line` and `position` floats apart.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    pub(super) image: usize,
    pub(super) line: usize,
    pub(super) position: usize,
    /// Height and width of an image.
    pub(super) extents: [usize; 2],
    /// Tiles down and across an image, M positions apart.
    pub(super) tiles: [usize; 2],
    /// How far in front of the image the first tile begins.
    pub(super) before: [usize; 2],
}

impl Grid {
    /// The input of a convolution.
    pub(super) fn input(w: &Window) -> Grid {
        let [_, height, width] = w.input;
        Grid { before: [w.before[1], w.before[2]], ..Grid::new(w, [height, width], w.channels) }
    }

    /// Its output.
    pub(super) fn output(w: &Window, filters: usize) -> Grid {
        Grid::new(w, [w.output[1], w.output[2]], filters)
    }

    fn new(w: &Window, extents: [usize; 2], channels: usize) -> Grid {
        let ([height, width], tiles) = (extents, [w.output[1], w.output[2]].map(|o| o.div_ceil(M)));
        let line = width * channels;
        Grid { image: height * line, line, position: channels, extents, tiles, before: [0; 2] }
    }

    /// Windows of 3×3 one behind the other, a tile each: kernels [3, 3, C, F], of which `image` is from a C to the next.
    pub(super) fn kernels(channels: usize, filters: usize) -> Grid {
        let position = channels * filters;
        let line = R * position;
        Grid { image: filters, line, position, extents: [R; 2], tiles: [1; 2], before: [0; 2] }
    }

    /// Where a tile begins, which may be in front of the image, and which lines and positions of it lie inside.
    #[inline(always)]
    fn tile(&self, tile: usize) -> (isize, [Range<usize>; 2]) {
        let [down, across] = self.tiles;
        let (image, corner) = (tile / (down * across), [tile / across % down * M, tile % across * M]);
        let [lines, positions] = [0, 1].map(|axis| {
            let first = self.before[axis].saturating_sub(corner[axis]);
            first..(self.extents[axis] + self.before[axis]).saturating_sub(corner[axis])
        });
        let at = |axis: usize| corner[axis] as isize - self.before[axis] as isize;
        let start =
            (image * self.image) as isize + at(0) * self.line as isize + at(1) * self.position as isize;
        (start, [lines, positions])
    }

    pub(super) fn tiles_of_image(&self) -> usize {
        self.tiles[0] * self.tiles[1]
    }

    /// How many numbers there must be for the first `tiles` tiles, `width` of each position.
    fn reach(&self, tiles: usize, width: usize) -> usize {
        let last = [(tiles - 1) / self.tiles_of_image(), self.extents[0] - 1, self.extents[1] - 1];
        last[0] * self.image + last[1] * self.line + last[2] * self.position + width
    }

    /// Asks for the memory of a tile of `size` lines and positions, which may not be there.
    #[inline(always)]
    fn prefetch<S: Simd>(&self, s: S, images: *const f32, tile: usize, size: usize, width: usize) {
        let images = images.wrapping_offset(self.tile(tile).0);
        for i in 0..size {
            for j in 0..size {
                let at = images.wrapping_add(i * self.line + j * self.position);
                for v in (0..width).step_by(16) {
                    s.prefetch(at.wrapping_add(v));
                }
            }
        }
    }
}

/// Tiles at their points: a number is at i·point + tile·row + channel, for the i-th point of 36.
#[derive(Clone, Copy)]
pub(super) struct AtPoints<T> {
    pub(super) data: T,
    /// From a point to the next.
    pub(super) point: usize,
    /// From a tile to the next.
    pub(super) row: usize,
}

/// T X Tᵀ of some tiles of images, for `width` channels.
struct ToPoints<'a, T, const FROM: usize> {
    grid: Grid,
    images: &'a [f32],
    tiles: Range<usize>,
    width: usize,
    to: AtPoints<&'a mut [f32]>,
    transform: PhantomData<T>,
}

impl<T: Axis<FROM, N>, const FROM: usize> Kernel for ToPoints<'_, T, FROM> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let ToPoints { grid, images, tiles, width, to, .. } = self;
        assert!(images.len() >= grid.reach(tiles.end, width));
        let images = images.as_ptr();
        assert!(to.data.len() >= (POINTS - 1) * to.point + (tiles.len() - 1) * to.row + width);
        let mut half = [[s.splat(0.0); N]; FROM];
        for (r, tile) in tiles.enumerate() {
            let (start, inside) = grid.tile(tile);
            let from = images.wrapping_offset(start);
            let is_inside = inside.iter().all(|i| i.start == 0 && i.end >= FROM);
            grid.prefetch(s, images, tile + 1, FROM, width);
            for v in (0..width).step_by(S::LANES) {
                let (from, to_row, lanes) = (from.wrapping_add(v), r * to.row + v, S::LANES.min(width - v));
                for (i, half) in half.iter_mut().enumerate() {
                    let line = from.wrapping_add(i * grid.line);
                    let mut x = [s.splat(0.0); FROM];
                    if is_inside && lanes == S::LANES {
                        for (j, x) in x.iter_mut().enumerate() {
                            // SAFETY: the tile lies inside of an image, and the slice has all images up to its own.
                            *x = unsafe { s.load(line.wrapping_add(j * grid.position)) };
                        }
                    } else if inside[0].contains(&i) {
                        for (j, x) in x.iter_mut().enumerate() {
                            if inside[1].contains(&j) {
                                // SAFETY: as above; this line and position do.
                                *x = unsafe { s.load_up_to(line.wrapping_add(j * grid.position), lanes) };
                            }
                        }
                    }
                    *half = T::of(s, x);
                }
                for j in 0..N {
                    let mut column = [s.splat(0.0); FROM];
                    for (x, half) in column.iter_mut().zip(&half) {
                        *x = half[j];
                    }
                    for (i, y) in T::of(s, column).into_iter().enumerate() {
                        let at = (i * N + j) * to.point + to_row;
                        // SAFETY: the assertion above.
                        unsafe { s.store_up_to(y, to.data.as_mut_ptr().add(at), lanes) };
                    }
                }
            }
        }
    }
}

/// T X Tᵀ of some tiles: see [`ToPoints`].
pub(super) fn to_points<T: Axis<FROM, N>, const FROM: usize>(
    isa: Isa,
    grid: Grid,
    images: &[f32],
    tiles: Range<usize>,
    width: usize,
    to: AtPoints<&mut [f32]>,
) {
    isa.run(ToPoints { grid, images, tiles, width, to, transform: PhantomData::<T> });
}

/// T M Tᵀ of some tiles to images, for `width` channels. ADD: to what is there; else as the tail says.
pub(super) struct FromPoints<'a, T, const TO: usize, const ADD: bool> {
    pub(super) from: AtPoints<&'a [f32]>,
    pub(super) grid: Grid,
    pub(super) images: *mut f32,
    pub(super) tiles: Range<usize>,
    pub(super) width: usize,
    /// What [`looks_at`] says of each tile: where there is nothing but zeros, the sum is 0 and not rounding.
    pub(super) live: Option<&'a [u16]>,
    pub(super) bias: Option<&'a [f32]>,
    pub(super) floor: f32,
    pub(super) transform: PhantomData<T>,
}

/// For each tile of the input, which of its outputs look at anything but zeros: bit i·M + j is for line i, position j. Blank
/// parts of an image give exactly 0 so, as sums by the definition do, and relu behind them has no noise to take for a sign.
pub(super) fn looks_at(isa: Isa, grid: Grid, images: &[f32], tiles: Range<usize>, live: &mut [u16]) {
    isa.run(LooksAt { grid, images, tiles, live });
}

struct LooksAt<'a> {
    grid: Grid,
    images: &'a [f32],
    tiles: Range<usize>,
    live: &'a mut [u16],
}

impl Kernel for LooksAt<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let LooksAt { grid, images, tiles, live } = self;
        for (tile, live) in tiles.zip(live) {
            let (start, [lines, positions]) = grid.tile(tile);
            let mut windows = [0u16; N]; // of each line: bit j, if one of positions j to j + 2 is not all zeros
            for (i, window) in windows.iter_mut().enumerate() {
                if !lines.contains(&i) {
                    continue;
                }
                let mut line = 0u16;
                for j in positions.start..positions.end.min(N) {
                    let at = start + (i * grid.line + j * grid.position) as isize;
                    let mut bits = 0;
                    for x in &images[at as usize..][..grid.position] {
                        bits |= x.to_bits();
                    }
                    line |= u16::from(bits << 1 != 0) << j; // −0 is a zero, too
                }
                *window = (line | line >> 1 | line >> 2) & ((1 << M) - 1);
            }
            *live = 0;
            for i in 0..M {
                *live |= (windows[i] | windows[i + 1] | windows[i + 2]) << (i * M);
            }
        }
    }
}

/// See [`FromPoints`].
///
/// # Safety
/// `job.images` must have the positions of all these tiles that lie inside of an image, `job.width` floats each, lent to
/// nobody else.
pub(super) unsafe fn from_points<T: Axis<N, TO>, const TO: usize, const ADD: bool>(
    isa: Isa,
    job: FromPoints<T, TO, ADD>,
) {
    isa.run(Vouched(job));
}

/// A job whose images our caller vouches for: made in [`from_points`] alone.
struct Vouched<J>(J);

impl<T: Axis<N, TO>, const TO: usize, const ADD: bool> Kernel for Vouched<FromPoints<'_, T, TO, ADD>> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let FromPoints { from, grid, images, tiles, width, live, bias, floor, .. } = self.0;
        assert!(live.is_none_or(|l| l.len() >= tiles.len()));
        assert!(from.data.len() >= (POINTS - 1) * from.point + (tiles.len() - 1) * from.row + width);
        assert!(bias.is_none_or(|b| b.len() >= width));
        let floor = s.splat(floor);
        let mut half = [[s.splat(0.0); TO]; N];
        for (r, tile) in tiles.enumerate() {
            let (start, inside) = grid.tile(tile);
            let to = images.wrapping_offset(start);
            let is_inside = inside.iter().all(|i| i.start == 0 && i.end >= TO);
            grid.prefetch(s, images, tile + 1, TO, width);
            for v in (0..width).step_by(S::LANES) {
                let lanes = S::LANES.min(width - v);
                for (i, half) in half.iter_mut().enumerate() {
                    let mut x = [s.splat(0.0); N];
                    for (j, x) in x.iter_mut().enumerate() {
                        let at = (i * N + j) * from.point + r * from.row + v;
                        // SAFETY: the assertion above.
                        *x = unsafe { s.load_up_to(from.data.as_ptr().add(at), lanes) };
                    }
                    *half = T::of(s, x);
                }
                let mut b = s.splat(0.0);
                if let Some(bias) = bias {
                    // SAFETY: the bias has as many as the width.
                    b = unsafe { s.load_up_to(bias[v..].as_ptr(), lanes) };
                }
                for j in 0..TO {
                    let mut column = [s.splat(0.0); N];
                    for (x, half) in column.iter_mut().zip(&half) {
                        *x = half[j];
                    }
                    let to = to.wrapping_add(j * grid.position + v);
                    for (i, mut y) in T::of(s, column).into_iter().enumerate() {
                        if live.is_some_and(|live| live[r] >> (i * TO + j) & 1 == 0) {
                            y = s.splat(0.0);
                        }
                        if !(is_inside || inside[0].contains(&i) && inside[1].contains(&j)) {
                            continue;
                        }
                        let to = to.wrapping_add(i * grid.line);
                        // SAFETY: who called `from_points` vouches for it: this line and position lie inside of an image.
                        unsafe {
                            match ADD {
                                true => y = y + s.load_up_to(to, lanes),
                                false => y = floor.max(y + b), // NaN is second, and stays
                            }
                            s.store_up_to(y, to, lanes);
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd::Portable;
    use crate::rng::Rng;

    /// T x for numbers.
    fn times<T: Axis<FROM, TO>, const FROM: usize, const TO: usize>(x: [f64; FROM]) -> [f64; TO] {
        let y = T::of(Portable, x.map(|x| Portable.splat(x as f32)));
        y.map(|y| f64::from(y.sum()) / Portable::LANES as f64)
    }

    fn numbers<const LEN: usize>(rng: &mut Rng) -> [f64; LEN] {
        std::array::from_fn(|_| f64::from(rng.uniform() as f32) - 0.5)
    }

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    /// Aᵀ[(G k) ⊙ (Bᵀ x)] are the four sums of a window of three over six numbers.
    #[test]
    fn six_products_are_four_sums() {
        let mut rng = Rng::new(1, 0);
        for _ in 0..100 {
            let (k, x) = (numbers::<R>(&mut rng), numbers::<N>(&mut rng));
            let (at_points, inputs) = (times::<Window3, R, N>(k), times::<Input, N, N>(x));
            let y = times::<Output, N, M>(std::array::from_fn(|p| at_points[p] * inputs[p]));
            for (o, y) in y.into_iter().enumerate() {
                let want = dot(&k, &x[o..o + R]);
                assert!((y - want).abs() < 4e-6, "{y} is not {want}");
            }
        }
    }

    /// ⟨T x, y⟩ = ⟨x, Tᵀ y⟩ for each of the three matrices: what goes backwards is the transpose of what goes forward.
    #[test]
    fn backward_is_the_transpose() {
        fn check<T, B, const FROM: usize, const TO: usize>(rng: &mut Rng)
        where
            T: Axis<FROM, TO>,
            B: Axis<TO, FROM>,
        {
            for _ in 0..100 {
                let (x, y) = (numbers::<FROM>(rng), numbers::<TO>(rng));
                let (one, other) = (dot(&times::<T, FROM, TO>(x), &y), dot(&x, &times::<B, TO, FROM>(y)));
                assert!((one - other).abs() < 4e-6, "{one} is not {other}");
            }
        }
        let mut rng = Rng::new(2, 0);
        check::<Window3, WindowBack, R, N>(&mut rng);
        check::<Input, InputBack, N, N>(&mut rng);
        check::<Output, OutputBack, N, M>(&mut rng);
    }
}
