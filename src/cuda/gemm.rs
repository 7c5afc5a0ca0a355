//! Matrix products: C = f(α op(A) op(B) + β C + bias), and which kernel computes which.
//!
//! The kernels form a ladder of [`Rung`]s, from the definition to tensor cores. An op of the table takes the best exact
//! one for its shape; benches and tests take any, through [`Cuda::gemm_with`] and its kin.

use super::abi::{self, GemmArgs, GemmStrides, Ptr};
use super::driver::dotted;
use super::stream::Grid;
use super::{Cuda, activation};
use crate::activations::Activation;
use crate::backend::Gemm;
use crate::error::{Error, Result};
use crate::tensor::{View, ViewMut};
use std::fmt;
use std::str::FromStr;

/// The kernels of the matrix product, each with one idea more than the one before; see `kernels/gemm_ladder.cu`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rung {
    /// 1: a thread computes one element of C.
    Naive,
    /// 2: neighbouring threads compute neighbouring elements.
    Coalesced,
    /// 3: tiles in shared memory.
    Shared,
    /// 4: tiles in registers.
    RegisterTiled,
    /// 5: loads of 16 bytes, two buffers.
    Vectorised,
    /// 6: tiles of warps. The best exact one, with tiles of 128 × 128.
    WarpTiled,
    /// 6 with tiles of 64 × 64.
    Medium,
    /// 6 with tiles of 32 × 32.
    Small,
    /// 7: asynchronous copies.
    Asynchronous,
    /// 8: tensor cores, on operands rounded to tf32. Not exact, so never chosen unasked.
    Tensor,
    /// 9: tensor cores on operands split in two, with f32's accuracy. Never chosen unasked.
    Tensor3,
}

impl Rung {
    /// All rungs, the lowest first.
    pub const ALL: [Rung; 11] = [
        Rung::Naive,
        Rung::Coalesced,
        Rung::Shared,
        Rung::RegisterTiled,
        Rung::Vectorised,
        Rung::WarpTiled,
        Rung::Medium,
        Rung::Small,
        Rung::Asynchronous,
        Rung::Tensor,
        Rung::Tensor3,
    ];

    /// The rung's name, as the kernels have it.
    pub const fn name(self) -> &'static str {
        match self {
            Rung::Naive => "naive",
            Rung::Coalesced => "coalesced",
            Rung::Shared => "shared",
            Rung::RegisterTiled => "register_tiled",
            Rung::Vectorised => "vectorised",
            Rung::WarpTiled => "warp_tiled",
            Rung::Medium => "medium",
            Rung::Small => "small",
            Rung::Asynchronous => "async",
            Rung::Tensor => "tensor",
            Rung::Tensor3 => "tensor3",
        }
    }

    /// The oldest compute capability that has what the rung needs: 80 for 8.0.
    pub const fn needs(self) -> u32 {
        match self {
            Rung::Asynchronous | Rung::Tensor | Rung::Tensor3 => 80,
            _ => 75,
        }
    }

    /// Whether products are rounded as f32 rounds them.
    pub const fn is_exact(self) -> bool {
        !matches!(self, Rung::Tensor)
    }

    /// Whether it can sum a part of the steps along k only.
    pub const fn splits(self) -> bool {
        !matches!(self, Rung::Naive | Rung::Coalesced | Rung::Shared | Rung::RegisterTiled)
    }

    /// Rows and columns of C that a block computes; 0 where a block has no tile.
    pub(super) const fn tile(self) -> usize {
        match self {
            Rung::Naive | Rung::Coalesced => 0,
            Rung::Shared | Rung::Small => 32,
            Rung::RegisterTiled | Rung::Medium => 64,
            _ => 128,
        }
    }

    /// Threads of a block.
    pub(super) const fn threads(self) -> u32 {
        match self {
            Rung::Shared => 1024,
            Rung::RegisterTiled => 64,
            Rung::Medium => 128,
            _ => 256,
        }
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Rung {
    type Err = Error;

    fn from_str(name: &str) -> Result<Rung> {
        let names = Rung::ALL.map(Rung::name);
        let found = Rung::ALL.into_iter().find(|r| r.name() == name);
        found.ok_or_else(|| Error::unknown("rung", name, &names))
    }
}

/// Steps that blocks go along k at once: parts of a split product are multiples of it.
const STEP: usize = 8;
/// Threads that keep a large GPU busy: 256 for each multiprocessor, with fewer it mostly waits for memory. A constant, so
/// that the order of sums, and with it every bit, is the same on all GPUs.
const FILL: usize = 128 * 256;
/// The fewest steps of a part: with fewer, writing and adding up the partial sums would be the larger work.
const MIN_PART: usize = 512;
/// The most blocks along a grid's z.
const MAX_Z: usize = 65_535;

/// Which kernel computes `products` products of m × n × k, and in how many parts along k.
///
/// A large tile reads less memory for each multiplication, but a small C has few large tiles, and a narrow one fills them
/// badly. So each tile size has a speed, that is what it reaches when all multiprocessors are busy and all of it lies
/// within C; it is multiplied with the part of it that does, and with the part of the GPU that its blocks keep busy.
/// A sum that is long enough is cut into parts that blocks of their own add up.
pub(super) fn plan(m: usize, n: usize, k: usize, products: usize, may_split: bool) -> (Rung, usize) {
    let (mut best, mut chosen) = (0.0, (Rung::Small, 1));
    for (rung, speed) in [(Rung::WarpTiled, 1.0), (Rung::Medium, 0.75), (Rung::Small, 0.45)] {
        let tile = rung.tile();
        let tiles = m.div_ceil(tile) * n.div_ceil(tile) * products;
        let most = if may_split { (k / MIN_PART).max(1) } else { 1 };
        let threads = tiles.max(1) * rung.threads() as usize;
        let parts = FILL.div_ceil(threads).clamp(1, most);
        let used = (m * n * products) as f64 / (tiles * tile * tile) as f64;
        let busy = ((threads * parts) as f64 / FILL as f64).min(1.0);
        let score = speed * used * busy;
        if score > best {
            (best, chosen) = (score, (rung, parts));
        }
    }
    chosen
}

/// A number of rows, columns or steps, as kernels take it.
pub(super) fn int(op: &'static str, x: usize) -> Result<i32> {
    // Kernels add tiles and steps to it, and multiply it with the four bytes of a float.
    match i32::try_from(x) {
        Ok(i) if i < 1 << 29 => Ok(i),
        _ => Err(Error::op(op, format!("an extent of {x}: kernels count to 2²⁹"))),
    }
}

/// A product, or some of one shape, with everything behind it.
#[derive(Clone, Copy)]
pub(super) struct Product {
    pub(super) transpose: [bool; 2],
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) k: usize,
    pub(super) products: usize,
    /// Floats from one product's operand to the next one's.
    pub(super) batch: [usize; 3],
    pub(super) alpha: f32,
    pub(super) beta: f32,
    pub(super) f: abi::Activation,
}

impl Product {
    fn new(g: Gemm, (m, n, k): (usize, usize, usize), f: Activation) -> Result<Product> {
        Ok(Product {
            transpose: [g.transpose_a, g.transpose_b],
            m,
            n,
            k,
            products: 1,
            batch: [0, 0, m * n],
            alpha: g.alpha as f32,
            beta: g.beta as f32,
            f: abi::Activation::new(f)?,
        })
    }

    /// The kernels' arguments, where all steps are one part.
    pub(super) fn args(&self, op: &'static str) -> Result<GemmArgs> {
        let &Product { m, n, k, .. } = self;
        let [batch_a, batch_b, batch_c] = self.batch.map(|b| b as u64);
        let (m, n, k) = (int(op, m)?, int(op, n)?, int(op, k)?);
        let [ta, tb] = self.transpose;
        Ok(GemmArgs {
            batch_a,
            batch_b,
            batch_c,
            m,
            n,
            k,
            lda: if ta { m } else { k },
            ldb: if tb { k } else { n },
            ldc: n,
            split: 1,
            part: k,
            alpha: self.alpha,
            beta: self.beta,
            f: self.f,
        })
    }

    /// Computes on `rung`, in about `parts` parts along k.
    fn run(&self, cuda: &Cuda, rung: Rung, parts: usize, [a, b, bias, c]: [Ptr; 4]) -> Result<()> {
        let op = "gemm";
        let &Product { m, n, k, products, .. } = self;
        if m == 0 || n == 0 || products == 0 {
            return Ok(());
        }
        let mut g = self.args(op)?;
        if k == 0 {
            let (grid, products) = (Grid::elements(products * m * n), int(op, products)?);
            return cuda.kernels.gemm()?.gemm_no_steps(&cuda.stream, grid, bias, c, products, g);
        }
        let have = cuda.facts().architecture;
        if have < rung.needs() {
            return Err(Error::Device {
                problem: format!(
                    "the rung `{rung}` needs compute capability {}, not {}",
                    dotted(rung.needs()),
                    dotted(have)
                ),
                hint: "take `warp_tiled`, which any GPU can run".into(),
            });
        }
        let parts = if rung.splits() { parts.clamp(1, MAX_Z) } else { 1 };
        let part = k.div_ceil(parts).next_multiple_of(STEP);
        let parts = k.div_ceil(part);
        (g.split, g.part) = (int(op, parts)?, int(op, part)?);
        // As many products at once as the grid's z takes.
        let at_once = MAX_Z / parts;
        for first in (0..products).step_by(at_once) {
            let count = at_once.min(products - first);
            let shift = |p: Ptr, stride: usize| p.plus(first * stride);
            let (a, b) = (shift(a, self.batch[0]), shift(b, self.batch[1]));
            let c = shift(c, self.batch[2]);
            if parts == 1 {
                launch(cuda, rung, self.transpose, count, a, b, bias, c, g)?;
                continue;
            }
            let partial = cuda.scratch(count * parts * m * n)?;
            launch(cuda, rung, self.transpose, count * parts, a, b, Ptr::NULL, partial.ptr(), g.partial())?;
            add_parts(cuda, partial.ptr(), bias, c, count, g)?;
        }
        Ok(())
    }
}

impl GemmArgs {
    /// The same, for one part into its own [m, n] of a scratch block: no tail, C not read.
    pub(super) fn partial(self) -> GemmArgs {
        let batch_c = self.m as u64 * self.n as u64;
        GemmArgs { batch_c, ldc: self.n, alpha: 1.0, beta: 0.0, f: abi::Activation::LINEAR, ..self }
    }
}

/// Adds up what the parts left behind, and does the tail.
pub(super) fn add_parts(
    cuda: &Cuda,
    partial: Ptr,
    bias: Ptr,
    c: Ptr,
    products: usize,
    g: GemmArgs,
) -> Result<()> {
    let grid = Grid::elements(products * g.m as usize * g.n as usize);
    cuda.kernels.gemm()?.gemm_add_parts(&cuda.stream, grid, partial, bias, c, int("gemm", products)?, g)
}

/// A block for each tile of C (or a few elements of it), and `z` layers of them.
pub(super) fn grid(op: &'static str, rung: Rung, m: usize, n: usize, z: usize) -> Result<Grid> {
    let tiles = match rung.tile() {
        0 => {
            return Ok(Grid {
                blocks: [Grid::elements(m * n).blocks[0], 1, z as u32],
                ..Grid::elements(m * n)
            });
        }
        tile => m.div_ceil(tile) * n.div_ceil(tile),
    };
    match u32::try_from(tiles) {
        Ok(tiles) if tiles < 1 << 31 => Ok(Grid::new([tiles, 1, z as u32], [rung.threads(), 1, 1])),
        _ => Err(Error::op(op, format!("a product of {m} × {n}, which is {tiles} tiles"))),
    }
}

fn launch(
    cuda: &Cuda,
    rung: Rung,
    [ta, tb]: [bool; 2],
    z: usize,
    a: Ptr,
    b: Ptr,
    bias: Ptr,
    c: Ptr,
    g: GemmArgs,
) -> Result<()> {
    let (s, grid) = (&cuda.stream, grid("gemm", rung, g.m as usize, g.n as usize, z)?);
    let strides = GemmStrides {
        row_a: if ta { 1 } else { g.lda },
        step_a: if ta { g.lda } else { 1 },
        step_b: if tb { 1 } else { g.ldb },
        column_b: if tb { g.ldb } else { 1 },
    };
    match rung {
        Rung::Naive => cuda.kernels.gemm_ladder()?.gemm_naive(s, grid, a, b, bias, c, g, strides),
        Rung::Coalesced => cuda.kernels.gemm_ladder()?.gemm_coalesced(s, grid, a, b, bias, c, g, strides),
        Rung::Shared => cuda.kernels.gemm_ladder()?.gemm_shared(s, grid, a, b, bias, c, g, strides),
        Rung::RegisterTiled => {
            cuda.kernels.gemm_ladder()?.gemm_register_tiled(s, grid, a, b, bias, c, g, strides)
        }
        Rung::Vectorised => {
            let k = cuda.kernels.gemm_ladder()?;
            match (ta, tb) {
                (false, false) => k.gemm_vectorised_nn(s, grid, a, b, bias, c, g),
                (true, false) => k.gemm_vectorised_tn(s, grid, a, b, bias, c, g),
                (false, true) => k.gemm_vectorised_nt(s, grid, a, b, bias, c, g),
                (true, true) => k.gemm_vectorised_tt(s, grid, a, b, bias, c, g),
            }
        }
        Rung::WarpTiled | Rung::Medium | Rung::Small => {
            let k = cuda.kernels.gemm()?;
            match (rung, ta, tb) {
                (Rung::Medium, false, false) => k.gemm_medium_nn(s, grid, a, b, bias, c, g),
                (Rung::Medium, true, false) => k.gemm_medium_tn(s, grid, a, b, bias, c, g),
                (Rung::Medium, false, true) => k.gemm_medium_nt(s, grid, a, b, bias, c, g),
                (Rung::Medium, true, true) => k.gemm_medium_tt(s, grid, a, b, bias, c, g),
                (Rung::Small, false, false) => k.gemm_small_nn(s, grid, a, b, bias, c, g),
                (Rung::Small, true, false) => k.gemm_small_tn(s, grid, a, b, bias, c, g),
                (Rung::Small, false, true) => k.gemm_small_nt(s, grid, a, b, bias, c, g),
                (Rung::Small, true, true) => k.gemm_small_tt(s, grid, a, b, bias, c, g),
                (_, false, false) => k.gemm_warp_tiled_nn(s, grid, a, b, bias, c, g),
                (_, true, false) => k.gemm_warp_tiled_tn(s, grid, a, b, bias, c, g),
                (_, false, true) => k.gemm_warp_tiled_nt(s, grid, a, b, bias, c, g),
                (_, true, true) => k.gemm_warp_tiled_tt(s, grid, a, b, bias, c, g),
            }
        }
        Rung::Asynchronous | Rung::Tensor | Rung::Tensor3 => {
            let k = cuda.kernels.gemm_tensor()?;
            match (rung, ta, tb) {
                (Rung::Asynchronous, false, false) => k.gemm_async_nn(s, grid, a, b, bias, c, g),
                (Rung::Asynchronous, true, false) => k.gemm_async_tn(s, grid, a, b, bias, c, g),
                (Rung::Asynchronous, false, true) => k.gemm_async_nt(s, grid, a, b, bias, c, g),
                (Rung::Asynchronous, true, true) => k.gemm_async_tt(s, grid, a, b, bias, c, g),
                (Rung::Tensor, false, false) => k.gemm_tensor_nn(s, grid, a, b, bias, c, g),
                (Rung::Tensor, true, false) => k.gemm_tensor_tn(s, grid, a, b, bias, c, g),
                (Rung::Tensor, false, true) => k.gemm_tensor_nt(s, grid, a, b, bias, c, g),
                (Rung::Tensor, true, true) => k.gemm_tensor_tt(s, grid, a, b, bias, c, g),
                (_, false, false) => k.gemm_tensor3_nn(s, grid, a, b, bias, c, g),
                (_, true, false) => k.gemm_tensor3_tn(s, grid, a, b, bias, c, g),
                (_, false, true) => k.gemm_tensor3_nt(s, grid, a, b, bias, c, g),
                (_, true, true) => k.gemm_tensor3_tt(s, grid, a, b, bias, c, g),
            }
        }
    }
}

/// See [`Backend::gemm`](crate::Backend::gemm).
pub(super) fn gemm(cuda: &Cuda, g: Gemm, a: View, b: View, c: ViewMut) -> Result<()> {
    let (m, n, k) = g.extents(a.shape(), b.shape(), c.shape())?;
    let (rung, parts) = plan(m, n, k, 1, true);
    let at = [cuda.read(a)?, cuda.read(b)?, Ptr::NULL, cuda.write(c)?];
    Product::new(g, (m, n, k), Activation::Linear)?.run(cuda, rung, parts, at)
}

/// See [`Backend::dense`](crate::Backend::dense). Bias and activation are done while the sums are in registers.
pub(super) fn dense(cuda: &Cuda, f: Activation, x: View, w: View, b: Option<View>, y: ViewMut) -> Result<()> {
    let (m, n, k) = Gemm::nn().extents(x.shape(), w.shape(), y.shape())?;
    let (rung, parts) = plan(m, n, k, 1, true);
    cuda.dense_with(rung, parts, f, x, w, b, y)
}

/// What a kernel can do of `f` for each number by itself, and what is left to do behind it.
pub(super) fn fused(f: Activation) -> (Activation, Option<Activation>) {
    match f {
        Activation::Softmax | Activation::Custom(_) => (Activation::Linear, Some(f)),
        f => (f, None),
    }
}

/// A bias of `units` numbers, or null.
pub(super) fn bias(cuda: &Cuda, op: &'static str, b: Option<View>, units: usize) -> Result<Ptr> {
    match b {
        Some(b) if b.len() != units => Err(Error::op(op, format!("a bias {} for {units} units", b.shape()))),
        b => cuda.read_or_null(b),
    }
}

impl Cuda {
    /// [`gemm`](crate::Backend::gemm) on the rung of your choice.
    ///
    /// # Errors
    /// As `gemm`; or the device is too old for the rung.
    pub fn gemm_with(&self, rung: Rung, g: Gemm, a: View, b: View, c: ViewMut) -> Result<()> {
        self.gemm_parts(rung, 1, g, a, b, c)
    }

    /// The same, with k cut into about `parts` parts, whose sums are added up in order. Rungs below
    /// [`Rung::Vectorised`] do not cut.
    ///
    /// # Errors
    /// As [`Cuda::gemm_with`].
    pub fn gemm_parts(&self, rung: Rung, parts: usize, g: Gemm, a: View, b: View, c: ViewMut) -> Result<()> {
        let extents = g.extents(a.shape(), b.shape(), c.shape())?;
        let at = [self.read(a)?, self.read(b)?, Ptr::NULL, self.write(c)?];
        Product::new(g, extents, Activation::Linear)?.run(self, rung, parts, at)
    }

    /// [`dense`](crate::Backend::dense) on the rung of your choice, with k cut into about `parts` parts.
    ///
    /// # Errors
    /// As `dense`; or the device is too old for the rung.
    pub fn dense_with(
        &self,
        rung: Rung,
        parts: usize,
        f: Activation,
        x: View,
        w: View,
        b: Option<View>,
        mut y: ViewMut,
    ) -> Result<()> {
        let extents = Gemm::nn().extents(x.shape(), w.shape(), y.shape())?;
        let ((f, rest), bias) = (fused(f), bias(self, "dense", b, extents.1)?);
        let at = [self.read(x)?, self.read(w)?, bias, self.write(y.reborrow())?];
        Product::new(Gemm::nn(), extents, f)?.run(self, rung, parts, at)?;
        rest.map_or(Ok(()), |f| activation::activate(self, f, y))
    }

    /// Many products of one shape at once: A is [P, ·, ·], B [P, ·, ·], C [P, m, n]. An A or B with P = 1 serves all.
    ///
    /// # Errors
    /// The shapes do not fit each other.
    pub fn gemm_batched(&self, g: Gemm, a: View, b: View, c: ViewMut) -> Result<()> {
        let (sa, sb, sc) = (a.shape(), b.shape(), c.shape());
        let misfit = || Error::op("gemm_batched", format!("{sa} times {sb} into {sc}"));
        if sa.rank() != 3 || sb.rank() != 3 || sc.rank() != 3 {
            return Err(misfit());
        }
        let products = sc.rows();
        if [sa, sb].iter().any(|s| s.rows() != products && s.rows() != 1) {
            return Err(misfit());
        }
        let (m, n, k) = g.extents(sa.sample(), sb.sample(), sc.sample())?;
        let (rung, parts) = plan(m, n, k, products, true);
        let stride = |s: crate::Shape| if s.rows() == 1 { 0 } else { s.sample().len() };
        let batch = [stride(sa), stride(sb), m * n];
        let at = [self.read(a)?, self.read(b)?, Ptr::NULL, self.write(c)?];
        Product { products, batch, ..Product::new(g, (m, n, k), Activation::Linear)? }
            .run(self, rung, parts, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_products_take_small_tiles_and_tall_ones_are_cut() {
        assert_eq!(plan(4096, 4096, 4096, 1, true), (Rung::WarpTiled, 1));
        assert_eq!(plan(64, 10, 128, 1, true).0, Rung::Small);
        assert_eq!(plan(100_000, 10, 784, 1, true), (Rung::Small, 1));
        let (_, parts) = plan(288, 64, 100_000, 1, true);
        assert!(parts > 16, "{parts}");
        assert_eq!(plan(288, 64, 100_000, 1, false).1, 1);
        assert_eq!(plan(128, 128, 64, 500, true), (Rung::WarpTiled, 1));
        for (m, n, k) in [(1, 1, 1), (0, 5, 3), (1, 1, 100_000)] {
            assert!(plan(m, n, k, 1, true).1 >= 1);
        }
    }

    #[test]
    fn rungs_have_names() {
        for rung in Rung::ALL {
            assert_eq!(rung.to_string().parse::<Rung>().unwrap(), rung);
        }
        assert_eq!("warptiled".parse::<Rung>().unwrap_err().to_string(), "unknown rung `warptiled`");
    }
}
