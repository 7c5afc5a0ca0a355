//! The microkernel: one tile of C, held in registers, that all of GEMM and convolution is made of.
//!
//! ```text
//!              NV registers →
//!            b b b b b b b b         step p: one row of B's panel           (loaded)
//!   MR  a    c c c c c c c c                 one column of A's sliver       (each number spread over a register)
//!   ↓   a    c c c c c c c c                 c += a · b, MR · NV times      (accumulators never leave registers)
//!       a    c c c c c c c c
//! ```
//!
//! A step loads NV registers of B and MR numbers of A for MR · NV multiply-adds. The tile's shape is what the
//! instruction set's registers can hold: MR · NV accumulators, NV for B and one for A.
//!
//! | set | registers | MR | NR = NV · lanes |
//! |---|---|---|---|
//! | AVX-512 | 32 of 16 | 14 | 32 |
//! | AVX2 | 16 of 8 | 6 | 16 |
//! | NEON | 32 of 4 | 12 | 8 |
//! | portable | 16 of 4 | 4 | 8 |
//!
//! A tile at the lower border has fewer rows, one at the right border has one register or part of one, with AVX-512 half of
//! one: the same code with other constants. Every element of C is a sum over p in ascending order in all of them, so how C
//! was cut into tiles does not show in a single bit.
//!
//! One call computes a whole column of tiles, since what stands between two of them counts: a tile of 32 steps takes 192
//! cycles on AVX2, and finding it, entering its function and starting its loops took 50 more.
//!
//! Source: Goto and van de Geijn 2008, "Anatomy of High-Performance Matrix Multiplication"; Van Zee and van de Geijn
//! 2015, "BLIS".

use super::cut::Cut;
use super::simd::{Isa, Kernel, Lanes, Simd};
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::tensor::View;

/// Registers in a row of a full tile.
const NV: usize = 2;

/// MR, the rows of a full tile.
const fn rows_of_tile<S: Simd>() -> usize {
    S::ROWS
}

/// NR, the columns of a full tile: the width of B's panels.
pub(super) const fn columns_of_tile<S: Simd>() -> usize {
    NV * S::LANES
}

/// (MR, NR) of an instruction set.
pub(super) fn size(isa: Isa) -> (usize, usize) {
    struct Size;
    impl Kernel for Size {
        type Output = (usize, usize);

        #[inline(always)]
        fn run<S: Simd>(self, _: S) -> (usize, usize) {
            (rows_of_tile::<S>(), columns_of_tile::<S>())
        }
    }
    isa.run(Size)
}

/// How to walk through A: the number at row i, run r and position p is at `i·row + r·jump + p·step`, where r counts
/// through three nested loops. A matrix is one run; a convolution's window is one run for each row of the kernel, read
/// from the image itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk<'a> {
    /// From a row to the next.
    pub(super) row: usize,
    /// From a position of a run to the next.
    pub(super) step: usize,
    /// Positions of one run.
    pub(super) len: usize,
    /// How many runs, outermost loop first.
    pub(super) runs: [usize; 3],
    /// From a run to the next in each of the loops.
    pub(super) jump: [usize; 3],
    /// Where B has rows that A has no columns for: (rows of B to leave out, steps that follow), in place of one run of
    /// `len` steps.
    pub(super) gaps: Option<&'a [(usize, usize)]>,
}

impl Walk<'_> {
    /// Through a matrix: k steps.
    pub(super) fn matrix(row: usize, step: usize, k: usize) -> Walk<'static> {
        Walk { row, step, len: k, runs: [1; 3], jump: [0; 3], gaps: None }
    }
}

/// What becomes of the sums: C = max(α · sums + β C + bias, floor), or 0 where relu was flat.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tail<'a> {
    pub(super) alpha: f32,
    /// 0 means that C is not read.
    pub(super) beta: f32,
    /// One number for each column of C.
    pub(super) bias: Option<&'a [f32]>,
    /// 0 for relu, −∞ for none.
    pub(super) floor: f32,
    /// What a relu gave, in a matrix that lies as C does, and the address of C: C is 0 where that is not above 0.
    pub(super) relu: Option<(&'a [f32], usize)>,
}

impl Tail<'_> {
    /// C = sums.
    pub(super) const PLAIN: Tail<'static> =
        Tail { alpha: 1.0, beta: 0.0, bias: None, floor: f32::NEG_INFINITY, relu: None };
    /// C = C + sums.
    pub(super) const ADD: Tail<'static> = Tail { beta: 1.0, ..Tail::PLAIN };

    /// The part of the tail that holds for block `at` of `blocks` along k: β belongs to the first, the rest to the
    /// last.
    pub(super) fn of_block(self, at: usize, blocks: usize) -> Self {
        let beta = if at == 0 { self.beta } else { 1.0 };
        match at + 1 == blocks {
            true => Tail { beta, ..self },
            false => Tail { beta, bias: None, floor: f32::NEG_INFINITY, relu: None, ..self },
        }
    }
}

impl<'a> Tail<'a> {
    /// The tail of a layer with `units` outputs, and the activation that is left to do behind it.
    pub(super) fn of_layer(
        op: &'static str,
        f: Activation,
        bias: Option<View<'a>>,
        units: usize,
    ) -> Result<(Tail<'a>, Activation)> {
        let bias = match bias {
            Some(b) if b.len() != units => {
                return Err(Error::op(op, format!("a bias {} for {units} units", b.shape())));
            }
            Some(b) => Some(b.f32()?),
            None => None,
        };
        Ok(match f {
            Activation::Relu => (Tail { bias, floor: 0.0, ..Tail::PLAIN }, Activation::Linear),
            f => (Tail { bias, ..Tail::PLAIN }, f),
        })
    }
}

/// A column of tiles: rows of A, sliver after sliver, times one panel of B.
#[derive(Clone, Copy)]
pub(super) struct Tiles<'a> {
    /// The first row in A.
    pub(super) a: *const f32,
    /// From a sliver's beginning to the next one's in A; if `None`, as many rows further as it has.
    pub(super) a_sliver: Option<usize>,
    /// The rows, cut into slivers of up to MR.
    pub(super) slivers: Cut,
    /// B's panel.
    pub(super) b: *const f32,
    /// From a row of B to the next.
    pub(super) b_row: usize,
    /// Whether the panel has but `columns` columns; else it has NR, of which those past `columns` may hold anything.
    pub(super) b_ends: bool,
    /// The first tile in C.
    pub(super) c: *mut f32,
    /// From a row of C to the next.
    pub(super) c_row: usize,
    /// The rows of C, counted from `c`, that those of A belong to; if `None`, rows below each other.
    pub(super) c_rows: Option<&'a [u32]>,
    /// Columns, up to NR.
    pub(super) columns: usize,
    /// The first column in the bias.
    pub(super) column: usize,
}

/// Computes some tiles of C.
///
/// # Safety
/// `t.a` must be readable wherever `walk` goes in all rows of `t.slivers`; `t.b` in as many rows as the walk has steps,
/// of `t.columns` if `t.b_ends`, else of NR, and in those that gaps leave out before them; `t.c` must have rows of
/// `t.columns`, lent to nobody else, for all rows of A. No sliver has more than MR rows, no panel more than NR columns.
#[inline]
pub(super) unsafe fn compute(isa: Isa, t: &Tiles, walk: &Walk, tail: &Tail) {
    // Two copies of all that follows, so that who leaves nothing out does not pay for the question.
    match walk.gaps.is_some() || t.c_rows.is_some() {
        true => isa.run(Compute::<true> { t, walk, tail }),
        false => isa.run(Compute::<false> { t, walk, tail }),
    }
}

/// Tiles whose operands our caller vouches for: made in [`compute`] alone. SPARSE, if rows of B or of C are left out.
struct Compute<'a, const SPARSE: bool> {
    t: &'a Tiles<'a>,
    walk: &'a Walk<'a>,
    tail: &'a Tail<'a>,
}

impl<const SPARSE: bool> Kernel for Compute<'_, SPARSE> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Compute { t, walk, tail } = self;
        if t.columns > S::LANES && (!t.b_ends || t.columns % S::LANES == 0) {
            // SAFETY: who called `compute` vouches for all of it.
            return unsafe { of_width::<S, NV, SPARSE>(s, t, walk, tail) };
        }
        for j in (0..t.columns).step_by(S::LANES) {
            let t = Tiles {
                b: t.b.wrapping_add(j),
                c: t.c.wrapping_add(j),
                columns: S::LANES.min(t.columns - j),
                column: t.column + j,
                ..*t
            };
            // SAFETY: as above; these are columns of the same tiles.
            unsafe {
                match t.columns <= S::Half::LANES {
                    true => of_width::<S::Half, 1, SPARSE>(s.half(), &t, walk, tail),
                    false => of_width::<S, 1, SPARSE>(s, &t, walk, tail),
                }
            }
        }
    }
}

/// A column of tiles of up to NV registers in width.
///
/// # Safety
/// As for [`compute`].
#[inline(always)]
unsafe fn of_width<S: Simd, const NV: usize, const SPARSE: bool>(s: S, t: &Tiles, walk: &Walk, tail: &Tail) {
    let (mut a, mut c, mut first) = (t.a, t.c, 0);
    // A cut has parts of two sizes, the longer ones first.
    for (rows, count) in t.slivers.sizes() {
        let next = t.a_sliver.unwrap_or(rows * walk.row);
        /// One arm for each height, with the constants filled in.
        macro_rules! heights {
            ($($mr:literal)*) => {
                match rows {
                    // Constant conditions: heights that this set has no tile for are not even compiled.
                    $($mr => if const { $mr <= rows_of_tile::<S>() } {
                        let mut left = count;
                        if const { NV == 1 && rows_of_tile::<S>() <= FEW_SUMS } {
                            while left >= 2 {
                                // SAFETY: the caller vouches for all of it.
                                unsafe { of_size::<S, $mr, NV, 2, SPARSE>(s, a, next, (c, first), t, walk, tail) };
                                (a, c) = (a.wrapping_add(2 * next), c.wrapping_add(2 * $mr * t.c_row));
                                first += 2 * $mr;
                                left -= 2;
                            }
                        }
                        for _ in 0..left {
                            // SAFETY: as above.
                            unsafe { of_size::<S, $mr, NV, 1, SPARSE>(s, a, next, (c, first), t, walk, tail) };
                            (a, c) = (a.wrapping_add(next), c.wrapping_add($mr * t.c_row));
                            first += $mr;
                        }
                    })*
                    rows => debug_assert!(rows == 0 || count == 0, "tiles of {rows} rows"),
                }
            };
        }
        heights!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    }
}

/// So few sums wait for each other: a multiply-add takes four cycles, and processors begin two in each. Narrow tiles of
/// so few rows are computed two at a time.
const FEW_SUMS: usize = 6;
/// Rows of B ahead of the one that is multiplied whose lines are asked for, where a panel is as large as L1.
const AHEAD: usize = 8;
/// Pointers into A that a tile of the most rows takes.
const MAX_STARTS: usize = 14_usize.div_ceil(3);

/// The same pointer, of which the compiler does not know where it came from.
#[inline(always)]
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_mut))]
fn apart(mut p: *const f32) -> *const f32 {
    #[cfg(target_arch = "x86_64")]
    #[allow(clippy::pointers_in_nomem_asm_block)] // it is a number here
    // SAFETY: no instruction at all.
    unsafe {
        std::arch::asm!("/* {0} */", inout(reg) p, options(pure, nomem, nostack, preserves_flags));
    }
    p
}

/// The statements once for each row of a tile, with the row's number filled in. A loop would do, but the compiler
/// leaves one of more than nine rows as it is, and then the sums are in memory: a register has no index.
macro_rules! each_row {
    ($mr:ident, |$i:ident| $body:expr) => {
        each_row!(@ $mr, $i, $body; 0 1 2 3 4 5 6 7 8 9 10 11 12 13)
    };
    (@ $mr:ident, $i:ident, $body:expr; $($row:literal)*) => {
        $(if $row < $mr {
            let $i: usize = $row;
            $body
        })*
    };
}

/// Where row i of a tile begins whose first row is number `first`, at `c` if rows are below each other.
#[inline(always)]
fn row_of<const SPARSE: bool>(t: &Tiles, (c, first): (*mut f32, usize), i: usize) -> *mut f32 {
    match t.c_rows {
        Some(rows) if SPARSE => t.c.wrapping_add(rows[first + i] as usize * t.c_row),
        _ => c.wrapping_add(i * t.c_row),
    }
}

/// P tiles below each other at `c`, from row `a` and `next` on, all of it in registers.
///
/// # Safety
/// As for [`compute`], with MR rows in a tile and up to NV registers of columns; of B's rows, `t.columns` if NV is 1.
#[inline(always)]
unsafe fn of_size<S: Simd, const MR: usize, const NV: usize, const P: usize, const SPARSE: bool>(
    s: S,
    a: *const f32,
    next: usize,
    c: (*mut f32, usize),
    t: &Tiles,
    walk: &Walk,
    tail: &Tail,
) {
    let mut sums = [[[s.splat(0.0); NV]; MR]; P];
    // C will be written, perhaps read too, when the sums are done; by then it is here.
    for i in 0..P * MR {
        let row = row_of::<SPARSE>(t, c, i);
        s.prefetch(row);
        s.prefetch(row.wrapping_add(NV * S::LANES - 1));
    }
    if let Some((x, start)) = tail.relu {
        for i in 0..P * MR {
            let x = x.as_ptr().wrapping_byte_add(row_of::<SPARSE>(t, c, i).addr() - start);
            s.prefetch(x);
            s.prefetch(x.wrapping_add(NV * S::LANES - 1));
        }
    }
    let (row, step, b_row) = (walk.row, walk.step, t.b_row);
    let (mut b, mut run_0) = (t.b, a);
    let whole = [(0, walk.len)];
    let parts = match walk.gaps {
        Some(gaps) if SPARSE => gaps,
        _ => &whole,
    };
    // Pointers move by additions, and nothing is prepared ahead of the loops: the less there is to do between two tiles,
    // the sooner the next one's multiply-adds follow, and the processor does not notice the border.
    for _ in 0..walk.runs[0] {
        let mut run_1 = run_0;
        for _ in 0..walk.runs[1] {
            let mut run_2 = run_1;
            for _ in 0..walk.runs[2] {
                // One pointer for every three rows: the rows between are at 1 and 2 strides from it, which an address can
                // hold. (Left alone, the compiler adds the stride row after row, a chain of MR additions a step, as long
                // as the sums'; or, if it may look into a step, keeps a pointer for each row, half of them in memory.)
                let mut a = [[run_2; MAX_STARTS]; P];
                for (q, a) in a.iter_mut().enumerate() {
                    for (i, a) in a.iter_mut().enumerate().skip(usize::from(q == 0)) {
                        *a = apart(run_2.wrapping_add(q * next + 3 * i * row));
                    }
                }
                for &(left_out, len) in parts {
                    b = b.wrapping_add(left_out * b_row);
                    for _ in 0..len {
                        if const { NV * S::LANES >= 32 } {
                            s.prefetch(b.wrapping_add(AHEAD * b_row));
                            s.prefetch(b.wrapping_add(AHEAD * b_row + S::LANES));
                        }
                        let mut bs = [s.splat(0.0); NV];
                        for (j, v) in bs.iter_mut().enumerate() {
                            // SAFETY: the caller vouches for NV registers in each row of B, or for the tile's columns.
                            *v = unsafe {
                                match NV {
                                    1 => s.load_part(b, t.columns),
                                    _ => s.load(b.add(j * S::LANES)),
                                }
                            };
                        }
                        for (sums, a) in sums.iter_mut().zip(&a) {
                            each_row!(MR, |i| {
                                // SAFETY: the caller vouches for the walk through A.
                                let ai = s.splat(unsafe { *a[i / 3].add(i % 3 * row) });
                                for (sum, bj) in sums[i].iter_mut().zip(bs) {
                                    *sum = ai.mul_add(bj, *sum);
                                }
                            });
                        }
                        for a in a.as_flattened_mut() {
                            *a = apart(a.wrapping_add(step)); // past the last element after the last step
                        }
                        b = b.wrapping_add(b_row);
                    }
                }
                run_2 = run_2.wrapping_add(walk.jump[2]);
            }
            run_1 = run_1.wrapping_add(walk.jump[1]);
        }
        run_0 = run_0.wrapping_add(walk.jump[0]);
    }
    for (q, sums) in sums.into_iter().enumerate() {
        // SAFETY: the caller vouches for MR rows of each tile of C.
        unsafe {
            finish::<S, MR, NV, SPARSE>(s, (c.0.wrapping_add(q * MR * t.c_row), c.1 + q * MR), t, sums, tail)
        };
    }
}

/// v, or 0 where what relu gave is not above 0: `lanes` of them, at `c`.
#[inline(always)]
fn where_above_0<S: Simd>(s: S, (x, start): (&[f32], usize), c: *const f32, lanes: usize, v: S::V) -> S::V {
    let x = &x[(c.addr() - start) / size_of::<f32>()..][..lanes];
    // SAFETY: the slice has so many.
    let x = unsafe { s.load_up_to(x.as_ptr(), lanes) };
    S::V::select(x.gt(s.splat(0.0)), v, s.splat(0.0))
}

/// Writes the sums to C.
///
/// # Safety
/// As for [`of_size`].
#[inline(always)]
unsafe fn finish<S: Simd, const MR: usize, const NV: usize, const SPARSE: bool>(
    s: S,
    c: (*mut f32, usize),
    t: &Tiles,
    sums: [[S::V; NV]; MR],
    tail: &Tail,
) {
    let plain = tail.alpha == 1.0 && tail.bias.is_none() && tail.floor == f32::NEG_INFINITY;
    let ragged = t.columns % S::LANES;
    if NV > 1 && plain && ragged == 0 {
        /// A statement for each register of the tile and its place in C.
        macro_rules! each_register {
            (|$v:ident, $c:ident| $body:expr) => {
                each_row!(MR, |i| {
                    let row = row_of::<SPARSE>(t, c, i);
                    for (j, $v) in sums[i].into_iter().enumerate() {
                        // SAFETY: LANES columns from j · LANES on are inside the tile.
                        unsafe {
                            let $c = row.add(j * S::LANES);
                            s.store($body, $c);
                        }
                    }
                });
            };
        }
        match (tail.beta, tail.relu) {
            (0.0, None) => {
                each_register!(|v, c| v);
                return;
            }
            (1.0, None) => {
                each_register!(|v, c| v + s.load(c));
                return;
            }
            (0.0, Some(relu)) => {
                each_register!(|v, c| where_above_0(s, relu, c, S::LANES, v));
                return;
            }
            _ => {}
        }
    }
    let (alpha, beta, floor) = (s.splat(tail.alpha), s.splat(tail.beta), s.splat(tail.floor));
    let mut bias = [s.splat(0.0); NV];
    if let Some(all) = tail.bias {
        for (j, v) in bias.iter_mut().enumerate() {
            let part = &all[(t.column + j * S::LANES).min(all.len())..];
            // SAFETY: no more than the slice has.
            *v = unsafe { s.load_part(part.as_ptr(), part.len().min(S::LANES)) };
        }
    }
    /// The whole tail for one register of the tile.
    macro_rules! finish {
        ($row:ident, $j:expr, $sum:expr) => {
            let (c, mut v) = ($row.wrapping_add($j * S::LANES), $sum * alpha);
            let lanes = if ragged == 0 || $j + 1 < NV { S::LANES } else { ragged };
            // SAFETY: these columns of the row are inside the tile.
            unsafe {
                if tail.beta != 0.0 {
                    v = s.load_up_to(c, lanes).mul_add(beta, v);
                }
                v = floor.max(v + bias[$j]); // NaN is second, and stays
                if let Some(relu) = tail.relu {
                    v = where_above_0(s, relu, c, lanes, v);
                }
                s.store_up_to(v, c, lanes);
            }
        };
    }
    if NV > 1 {
        each_row!(MR, |i| {
            let row = row_of::<SPARSE>(t, c, i);
            for (j, sum) in sums[i].into_iter().enumerate() {
                finish!(row, j, sum);
            }
        });
        return;
    }
    // Narrow tiles are few, and there are many kinds of them: a loop, by way of memory, is less to compile.
    let mut rows = [s.splat(0.0); MR];
    each_row!(MR, |i| rows[i] = sums[i][0]);
    for (i, sum) in rows.into_iter().enumerate() {
        let row = row_of::<SPARSE>(t, c, i);
        finish!(row, 0, sum);
    }
}
