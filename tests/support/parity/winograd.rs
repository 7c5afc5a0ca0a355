//! Bounds for convolutions that a device computes in tiles (`Backend::conv_in_tiles`).
//!
//! Each step is a sum, so the rounding of all of them together is at most `n · eps` times the same computation with the
//! absolute values of inputs and matrices (Barabasz et al. 2020, §4): |Aᵀ| [(|G| |K| |Gᵀ|) ⊙ (|Bᵀ| |X| |B|)] |A|, and so on
//! backwards. The matrices are worked out here from the points, apart from those that are tested.

use handgrad::window::Window;

/// Outputs of a tile, taps and points along one axis.
const M: usize = 4;
const R: usize = 3;
const N: usize = M + R - 1;
/// The finite points; the last one is ∞.
const POINTS: [f64; N - 1] = [0.0, 0.75, -0.75, 1.5, -1.5];

/// A matrix, row by row.
type Matrix = Vec<Vec<f64>>;

/// What additions along a sum of `n` terms and the transforms in front of it and behind it may be off by, in eps · Σ |terms|:
/// of a transform's roundings no more than four follow each other along an axis, and there are three transforms.
pub(super) fn additions(n: usize) -> f64 {
    super::additions(n) + 24.0 / 2.0
}

/// |Aᵀ| [M, N]: row i has pⁱ.
fn output() -> Matrix {
    let row = |i: usize| {
        let at_infinity = f64::from(u8::from(i == M - 1));
        POINTS.iter().map(|p| p.abs().powi(i as i32)).chain([at_infinity]).collect()
    };
    (0..M).map(row).collect()
}

/// |G| [N, R]: row p has pⁱ / ∏ (p − p′) over the other points p′.
fn window() -> Matrix {
    let of = |p: f64| POINTS.iter().filter(|&&q| q != p).map(|q| p - q).product::<f64>();
    let row = |p: &f64| (0..R).map(|i| (p.powi(i as i32) / of(*p)).abs()).collect();
    POINTS.iter().map(row).chain([vec![0.0, 0.0, 1.0]]).collect()
}

/// |Bᵀ| [N, N]: row p has the coefficients of ∏ (x − p′) over the other points p′, of all points for ∞.
fn input() -> Matrix {
    let row = |left_out: Option<f64>| {
        let mut polynomial = vec![1.0];
        for q in POINTS.into_iter().filter(|&q| Some(q) != left_out) {
            polynomial.push(0.0);
            for i in (0..polynomial.len()).rev() {
                let lower = if i > 0 { polynomial[i - 1] } else { 0.0 };
                polynomial[i] = lower - q * polynomial[i];
            }
        }
        polynomial.resize(N, 0.0);
        polynomial.into_iter().map(f64::abs).collect()
    };
    POINTS.into_iter().map(Some).chain([None]).map(row).collect()
}

fn transposed(m: &Matrix) -> Matrix {
    (0..m[0].len()).map(|j| m.iter().map(|row| row[j]).collect()).collect()
}

/// T X Tᵀ, of numbers that `x` has at (i, j).
fn both(t: &Matrix, x: impl Fn(usize, usize) -> f64) -> Matrix {
    let size = t[0].len();
    let half: Matrix =
        (0..size).map(|i| t.iter().map(|r| (0..size).map(|j| r[j] * x(i, j)).sum()).collect()).collect();
    t.iter().map(|r| (0..t.len()).map(|j| (0..size).map(|i| r[i] * half[i][j]).sum()).collect()).collect()
}

/// The tiles of a batch: image (each slice of a volume is one), and the first line and position of its outputs.
fn tiles(w: &Window, images: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let [_, height, width] = w.output;
    let of_image =
        move |n| (0..height).step_by(M).flat_map(move |y| (0..width).step_by(M).map(move |x| (n, y, x)));
    (0..images).flat_map(of_image)
}

/// Where the number at line y, position x, channel c of an image is, if that is inside.
fn place(
    image: usize,
    [height, width]: [usize; 2],
    channels: usize,
) -> impl Fn(usize, usize, usize) -> Option<usize> {
    move |y, x, c| (y < height && x < width).then(|| ((image * height + y) * width + x) * channels + c)
}

/// The same, where lines and positions are counted from the beginning of the padding.
fn padded(w: &Window, image: usize) -> impl Fn(usize, usize, usize) -> Option<usize> {
    let [_, before_y, before_x] = w.before;
    let inside = place(image, [w.input[1], w.input[2]], w.channels);
    move |y, x, c| inside(y.checked_sub(before_y)?, x.checked_sub(before_x)?, c)
}

/// |G| |K| |Gᵀ| of all channels and filters: [C·F] of points [N, N].
fn windows(w: &Window, filters: usize, kernel: &[f64]) -> Vec<Matrix> {
    let each = w.channels * filters;
    (0..each).map(|at| both(&window(), |i, j| kernel[(i * R + j) * each + at].abs())).collect()
}

/// Inputs of a tile at the points: [C] of [N, N].
fn inputs(w: &Window, x: &[f64], (n, top, left): (usize, usize, usize)) -> Vec<Matrix> {
    let (at, t) = (padded(w, n), input());
    (0..w.channels).map(|c| both(&t, |i, j| at(top + i, left + j, c).map_or(0.0, |at| x[at].abs()))).collect()
}

/// Outputs of a tile at the points: [F] of [N, N].
fn outputs(w: &Window, filters: usize, dz: &[f64], (n, top, left): (usize, usize, usize)) -> Vec<Matrix> {
    let (at, t) = (place(n, [w.output[1], w.output[2]], filters), transposed(&output()));
    (0..filters).map(|f| both(&t, |i, j| at(top + i, left + j, f).map_or(0.0, |at| dz[at].abs()))).collect()
}

/// The sizes behind each element of y.
pub(super) fn forward(w: &Window, filters: usize, x: &[f64], kernel: &[f64]) -> Vec<f64> {
    let (images, windows) = (x.len() / (w.input[1] * w.input[2] * w.channels), windows(w, filters, kernel));
    let mut sizes = vec![0.0; images * w.output[1] * w.output[2] * filters];
    for tile in tiles(w, images) {
        let (v, at) = (inputs(w, x, tile), place(tile.0, [w.output[1], w.output[2]], filters));
        for f in 0..filters {
            let sum = |i: usize, j: usize| {
                (0..w.channels).map(|c| v[c][i][j] * windows[c * filters + f][i][j]).sum()
            };
            for (i, row) in both(&output(), sum).into_iter().enumerate() {
                for (j, size) in row.into_iter().enumerate() {
                    if let Some(at) = at(tile.1 + i, tile.2 + j, f) {
                        sizes[at] = size;
                    }
                }
            }
        }
    }
    sizes
}

/// The sizes behind each element of dx.
pub(super) fn backward_input(w: &Window, filters: usize, dz: &[f64], kernel: &[f64]) -> Vec<f64> {
    let (images, windows) = (dz.len() / (w.output[1] * w.output[2] * filters), windows(w, filters, kernel));
    let mut sizes = vec![0.0; images * w.input[1] * w.input[2] * w.channels];
    for tile in tiles(w, images) {
        let (d, at) = (outputs(w, filters, dz, tile), padded(w, tile.0));
        for c in 0..w.channels {
            let sum =
                |i: usize, j: usize| (0..filters).map(|f| d[f][i][j] * windows[c * filters + f][i][j]).sum();
            for (i, row) in both(&transposed(&input()), sum).into_iter().enumerate() {
                for (j, size) in row.into_iter().enumerate() {
                    if let Some(at) = at(tile.1 + i, tile.2 + j, c) {
                        sizes[at] += size;
                    }
                }
            }
        }
    }
    sizes
}

/// The sizes behind each element of dK.
pub(super) fn backward_kernel(w: &Window, filters: usize, x: &[f64], dz: &[f64]) -> Vec<f64> {
    let images = x.len() / (w.input[1] * w.input[2] * w.channels);
    let each = w.channels * filters;
    let mut sums = vec![[[0.0; N]; N]; each];
    for tile in tiles(w, images) {
        let (v, d) = (inputs(w, x, tile), outputs(w, filters, dz, tile));
        for (at, sum) in sums.iter_mut().enumerate() {
            let (v, d) = (&v[at / filters], &d[at % filters]);
            for (i, row) in sum.iter_mut().enumerate() {
                row.iter_mut().enumerate().for_each(|(j, s)| *s += v[i][j] * d[i][j]);
            }
        }
    }
    let mut sizes = vec![0.0; R * R * each];
    for (at, sum) in sums.iter().enumerate() {
        for (i, row) in both(&transposed(&window()), |i, j| sum[i][j]).into_iter().enumerate() {
            row.into_iter().enumerate().for_each(|(j, size)| sizes[(i * R + j) * each + at] = size);
        }
    }
    sizes
}
