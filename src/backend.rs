//! THE op table: everything that a device can do.
//!
//! A layer, loss, optimizer or metric calls these methods on its [`Device`](crate::Device) and nothing else.
//! Every op writes into views that the caller supplies and returns an error when their shapes do not fit; it never
//! allocates. Outputs are written whole and never read first, unless the op's contract says "in place" or "adds to".
//! Matrices are row-major. `[R, C]` means: the last dimension is C, all others together are R.
//!
//! A **fused** op has a default body. That body *is* its definition, in plain ops; a backend overrides it with one
//! pass over memory, and a test compares the two.
//!
//! Sums run in an order that depends on shapes alone: the same bits on every run and at any number of threads.

// Brackets in these comments are shapes and indices.
#![allow(rustdoc::broken_intra_doc_links)]

mod live_columns;
pub(crate) mod step_by_step;

use crate::activations::Activation;
use crate::error::Result;
use crate::losses::Loss;
use crate::metrics::Score;
use crate::optimizers::Update;
use crate::rng::Noise;
use crate::shape::Shape;
use crate::tensor::{IndexView, Indices, Tensor, View, ViewMut};
use crate::window::Window;
pub use live_columns::LiveColumns;

/// What a matrix product does: C = α op(A) op(B) + β C, where op transposes or not.
///
/// The constructors have α = 1 and β = 0; [`Gemm::add`] makes β = 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gemm {
    /// Whether A is stored as [k, m].
    pub transpose_a: bool,
    /// Whether B is stored as [n, k].
    pub transpose_b: bool,
    /// Scales the product.
    pub alpha: f64,
    /// Scales what C held before; 0 means that C is not read.
    pub beta: f64,
}

impl Gemm {
    /// C = A B, with A [m, k] and B [k, n].
    pub const fn nn() -> Gemm {
        Gemm { transpose_a: false, transpose_b: false, alpha: 1.0, beta: 0.0 }
    }

    /// C = Aᵀ B, with A [k, m] and B [k, n].
    pub const fn tn() -> Gemm {
        Gemm { transpose_a: true, ..Gemm::nn() }
    }

    /// C = A Bᵀ, with A [m, k] and B [n, k].
    pub const fn nt() -> Gemm {
        Gemm { transpose_b: true, ..Gemm::nn() }
    }

    /// C = Aᵀ Bᵀ, with A [k, m] and B [n, k].
    pub const fn tt() -> Gemm {
        Gemm { transpose_a: true, transpose_b: true, ..Gemm::nn() }
    }

    /// The same product added to C.
    pub const fn add(self) -> Gemm {
        Gemm { beta: 1.0, ..self }
    }

    /// `(m, n, k)` of this product.
    ///
    /// # Errors
    /// The shapes, read as `[R, C]`, do not fit each other.
    pub fn extents(&self, a: Shape, b: Shape, c: Shape) -> Result<(usize, usize, usize)> {
        let flip = |transpose: bool, (r, c): (usize, usize)| if transpose { (c, r) } else { (r, c) };
        let (m, k) = flip(self.transpose_a, a.as_matrix());
        let (k2, n) = flip(self.transpose_b, b.as_matrix());
        if k != k2 || c.as_matrix() != (m, n) {
            let t = |transpose| if transpose { "ᵀ" } else { "" };
            let (ta, tb) = (t(self.transpose_a), t(self.transpose_b));
            return Err(crate::Error::op("gemm", format!("{a}{ta} times {b}{tb} into {c}")));
        }
        Ok((m, n, k))
    }
}

/// Samples in the program's memory, which [`Backend::load_rows`] gathers into a batch.
#[derive(Clone, Copy)]
pub enum HostRows<'a> {
    /// Reals.
    F32(&'a [f32]),
    /// Bytes, each times `scale`: images as their files hold them.
    U8 {
        /// The bytes.
        bytes: &'a [u8],
        /// What one step of a byte is worth, 1/255 for pixels in [0, 1].
        scale: f32,
    },
}

impl HostRows<'_> {
    /// How many numbers there are.
    pub fn len(&self) -> usize {
        match self {
            HostRows::F32(v) => v.len(),
            HostRows::U8 { bytes, .. } => bytes.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many numbers a row has, if the rows `order` can be gathered into a batch of shape `into`.
    ///
    /// # Errors
    /// There are not as many rows in `into`, the numbers are not whole rows, or `order` names a row that is not there.
    pub fn width(&self, order: &[u32], into: Shape) -> Result<usize> {
        let (width, len) = (into.sample().len(), self.len());
        if into.rank() == 0 || order.len() != into.rows() || (width > 0 && !len.is_multiple_of(width)) {
            let problem = format!("{} rows out of {len} numbers into {into}", order.len());
            return Err(crate::Error::op("load_rows", problem));
        }
        let there = len.checked_div(width).unwrap_or(0);
        match order.iter().find(|&&r| width > 0 && r as usize >= there) {
            Some(r) => Err(crate::Error::op("load_rows", format!("row {r} of {there}"))),
            None => Ok(width),
        }
    }
}

/// What the prediction should have been.
#[derive(Clone, Copy)]
pub enum Target<'a> {
    /// Numbers of the prediction's own shape, `[R, C]`: reals, or one-hot rows.
    Values(View<'a>),
    /// One class in 0..C for each row, `[R]`.
    Labels(IndexView<'a>),
}

impl Target<'_> {
    /// The extents.
    pub fn shape(&self) -> Shape {
        match self {
            Target::Values(v) => v.shape(),
            Target::Labels(l) => l.shape(),
        }
    }
}

/// The two activations of a recurrent cell, both element by element and with a derivative in terms of their value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CellActivations {
    /// Of the candidate and of the output: tanh in Keras.
    pub activation: Activation,
    /// Of the gates: sigmoid in Keras.
    pub recurrent: Activation,
}

/// Running statistics and affine parameters of a normalisation over columns, each `[C]`.
#[derive(Clone, Copy)]
pub struct Affine<'a> {
    /// μ, the mean of each column.
    pub mean: View<'a>,
    /// σ², the variance of each column: the mean squared distance from μ.
    pub variance: View<'a>,
    /// γ, or 1.
    pub gamma: Option<View<'a>>,
    /// β, or 0.
    pub beta: Option<View<'a>>,
    /// ε, which keeps the root away from 0.
    pub epsilon: f64,
}

/// The loss and what it needs besides the prediction.
#[derive(Clone, Copy)]
pub struct LossTerm<'a> {
    /// The formula.
    pub loss: Loss,
    /// The activation that was folded into the loss: the prediction comes before it. Linear if none was.
    pub folded: Activation,
    /// What the prediction should have been.
    pub target: Target<'a>,
    /// A weight for each row, `[R]`; 1 if absent. Weighs the gradient and the recorded loss.
    pub weights: Option<View<'a>>,
    /// What a row's gradient is multiplied by: 1/R for the mean over the batch.
    pub scale: f64,
}

/// The op table. See the [module](self) for what holds for all ops.
pub trait Backend: Send + Sync + 'static {
    // ---------------------------------------------------------------- the device

    /// What `--device` calls it: `cpu`, `reference`, `cuda:0`.
    fn name(&self) -> &str;

    /// For people: the processor, its instruction set, its threads.
    fn describe(&self) -> String;

    /// For people: all that decides the bits of its results. Devices that say the same compute the same, at any number of
    /// threads.
    fn arithmetic(&self) -> String {
        self.describe()
    }

    /// How many threads compute.
    fn threads(&self) -> usize {
        1
    }

    /// A new tensor of zeros. The one op that allocates, with [`indices`](Backend::indices).
    fn zeros(&self, shape: Shape) -> Result<Tensor>;

    /// New indices, all 0.
    fn indices(&self, shape: Shape) -> Result<Indices>;

    /// A training step begins: a device may note the ops from here to [`end_step`](Backend::end_step) and run them
    /// later, all at once. Whoever reads a tensor in between still gets what the ops before it wrote.
    fn begin_step(&self) -> Result<()> {
        Ok(())
    }

    /// The training step ends: everything noted since [`begin_step`](Backend::begin_step) runs now.
    fn end_step(&self) -> Result<()> {
        Ok(())
    }

    /// Gathers a batch: row r of `y` [R, ...] is row `order[r]` of `rows`, converted. `order` has R entries.
    fn load_rows(&self, rows: HostRows, order: &[u32], y: ViewMut) -> Result<()>;

    /// Whether a batch of samples of `width` numbers may lie in blocks of columns, when only [`dense`](Backend::dense)
    /// and [`gemm`](Backend::gemm) read it, as x or a: then [`load_blocks`](Backend::load_blocks) gathers it, and they get
    /// a view [in blocks](View::in_blocks).
    fn has_blocks(&self, _width: usize) -> bool {
        false
    }

    /// [`load_rows`](Backend::load_rows) in this device's own blocks of columns. A column that is 0 in all samples may
    /// stay out of `y` and of `live`, and so out of the products: in them 0 · ∞ and 0 · NaN are 0 where x has such a column.
    ///
    /// # Errors
    /// Those of [`HostRows::width`]; the device has no blocks.
    fn load_blocks(
        &self,
        _rows: HostRows,
        _order: &[u32],
        y: ViewMut,
        _live: &mut LiveColumns,
    ) -> Result<()> {
        Err(crate::Error::op("load_blocks", format!("{}, but {} has no blocks", y.shape(), self.name())))
    }

    // ---------------------------------------------------------------- element by element

    /// y = value.
    fn fill(&self, value: f64, y: ViewMut) -> Result<()>;

    /// y = x, both of one length.
    fn copy(&self, x: View, y: ViewMut) -> Result<()>;

    /// y = a y, in place.
    fn scale(&self, a: f64, y: ViewMut) -> Result<()>;

    /// y = y + a x, in place.
    fn add_scaled(&self, a: f64, x: View, y: ViewMut) -> Result<()>;

    /// y = y + a (x − y), in place: a moving average's step towards x.
    fn interpolate(&self, a: f64, x: View, y: ViewMut) -> Result<()>;

    /// y = x ⊙ y, in place.
    fn multiply(&self, x: View, y: ViewMut) -> Result<()>;

    /// y = min(max(y, low), high), in place.
    fn clamp(&self, low: f64, high: f64, y: ViewMut) -> Result<()>;

    /// y[b, a, ...] = x[a, b, ...]: batch-major into time-major and back. x is [A, B, ...], y [B, A, ...].
    fn swap_axes(&self, x: View, y: ViewMut) -> Result<()>;

    /// y[r, to .. to + width] = x[r, from .. from + width] for every row; the other columns of y stay.
    /// x is [R, Cx], y [R, Cy].
    fn copy_columns(&self, x: View, from: usize, y: ViewMut, to: usize, width: usize) -> Result<()>;

    // ---------------------------------------------------------------- matrices

    /// C = α op(A) op(B) + β C, row-major.
    ///
    /// `op(A)` is [m, k], `op(B)` is [k, n], `C` is [m, n], each read as `[R, C]`. With β = 0, C is written and never
    /// read, so it may hold anything, NaN included. Any m, n, k ≥ 0; k = 0 gives β C.
    fn gemm(&self, g: Gemm, a: View, b: View, c: ViewMut) -> Result<()>;

    /// y[r, :] = y[r, :] + b, in place. b is [C], y [R, C].
    fn add_bias(&self, b: View, y: ViewMut) -> Result<()>;

    /// y = Σᵣ x[r, :]. x is [R, C], y [C].
    fn sum_rows(&self, x: View, y: ViewMut) -> Result<()>;

    // ---------------------------------------------------------------- activations

    /// y = f(y), in place. Softmax works on the last dimension.
    fn activate(&self, f: Activation, y: ViewMut) -> Result<()>;

    /// dy = dy ⊙ f′, in place. `x` is what f was applied to; it must be there if [`Activation::needs_input`].
    fn activation_backward(&self, f: Activation, x: Option<View>, y: View, dy: ViewMut) -> Result<()>;

    /// y = f(x W + b). Fused. x is [R, F], w [F, U], b [U], y [R, U].
    fn dense(&self, f: Activation, x: View, w: View, b: Option<View>, mut y: ViewMut) -> Result<()> {
        self.gemm(Gemm::nn(), x, w, y.reborrow())?;
        if let Some(b) = b {
            self.add_bias(b, y.reborrow())?;
        }
        self.activate(f, y)
    }

    /// dx = dz Wᵀ ⊙ f′, where x = f(…) and f′ follows from x, as for relu. Fused. dz is [R, U], w [F, U], x and dx [R, F].
    fn dense_backward_input(&self, f: Activation, dz: View, w: View, x: View, mut dx: ViewMut) -> Result<()> {
        self.gemm(Gemm::nt(), dz, w, dx.reborrow())?;
        self.activation_backward(f, None, x, dx)
    }

    // ---------------------------------------------------------------- convolution and pooling

    /// Unrolls windows into rows: cols[n·p, tap] = x[n, input position of (p, tap)], or 0 in the padding.
    ///
    /// x is [N, D, H, W, C] (or without D, or without D and H), cols [N·od·oh·ow, kd·kh·kw·C].
    fn im2col(&self, w: &Window, x: View, cols: ViewMut) -> Result<()>;

    /// The transpose of im2col: dx[n, i] = Σ of all dcols[n·p, tap] that were copied from there.
    fn col2im(&self, w: &Window, dcols: View, dx: ViewMut) -> Result<()>;

    /// How many numbers of scratch the three convolution ops want for `filters` filters and a batch of `n`.
    fn conv_scratch(&self, w: &Window, _filters: usize, n: usize) -> usize {
        n * w.positions() * w.taps()
    }

    /// Whether the three convolution ops work on tiles of 4×4 outputs for this shape (Winograd 1980; Lavin and Gray 2016):
    /// a quarter of the multiplications, two to five times the rounding, and each output of a tile has a share of the
    /// rounding of all the inputs that the tile sees. One that is NaN or infinite makes the whole tile NaN. An output that
    /// sees nothing but zeros is exactly 0, whatever the kernel holds.
    fn conv_in_tiles(&self, _w: &Window, _filters: usize) -> bool {
        false
    }

    /// y = f(im2col(x) K + b). Fused. K is [kd, kh, kw, C, F], y [N, od, oh, ow, F].
    fn conv(
        &self,
        w: &Window,
        f: Activation,
        x: View,
        kernel: View,
        b: Option<View>,
        scratch: ViewMut,
        y: ViewMut,
    ) -> Result<()> {
        let (mut cols, _) = scratch.split([y.shape().as_matrix().0, w.taps()])?;
        self.im2col(w, x, cols.reborrow())?;
        let filters = y.shape().last();
        self.dense(f, cols.as_view(), kernel.reshape([w.taps(), filters])?, b, y)
    }

    /// dK = im2col(x)ᵀ dz. Fused. x is [N, ..., C], dz [N, od, oh, ow, F], dK [kd, kh, kw, C, F].
    fn conv_backward_kernel(
        &self,
        w: &Window,
        x: View,
        dz: View,
        scratch: ViewMut,
        dk: ViewMut,
    ) -> Result<()> {
        let (rows, filters) = dz.shape().as_matrix();
        let (mut cols, _) = scratch.split([rows, w.taps()])?;
        self.im2col(w, x, cols.reborrow())?;
        self.gemm(Gemm::tn(), cols.as_view(), dz, dk.reshape([w.taps(), filters])?)
    }

    /// dx = col2im(dz Kᵀ). Fused. Shapes as above.
    fn conv_backward_input(
        &self,
        w: &Window,
        dz: View,
        kernel: View,
        scratch: ViewMut,
        dx: ViewMut,
    ) -> Result<()> {
        let (rows, filters) = dz.shape().as_matrix();
        let (mut dcols, _) = scratch.split([rows, w.taps()])?;
        self.gemm(Gemm::nt(), dz, kernel.reshape([w.taps(), filters])?, dcols.reborrow())?;
        self.col2im(w, dcols.as_view(), dx)
    }

    /// y[n, o, c] = the largest x in the window of o. Padding never wins. x is [N, ..., C], y [N, od, oh, ow, C].
    fn max_pool(&self, w: &Window, x: View, y: ViewMut) -> Result<()>;

    /// dx: each dy goes to the first element of its window (in row-major order) that equals y; the rest is 0.
    fn max_pool_backward(&self, w: &Window, x: View, y: View, dy: View, dx: ViewMut) -> Result<()>;

    /// dK and db of a convolution whose y went through max pooling and became q, from q's gradient. Fused: dz, which is as
    /// large as y, need not be anywhere in memory. `dz` holds anything afterwards.
    ///
    /// x is [N, ..., C], y and dz [N, od, oh, ow, F], q and dq [N, pd, ph, pw, F], dK [kd, kh, kw, C, F], db [F].
    fn conv_pool_backward(
        &self,
        w: &Window,
        pool: &Window,
        x: View,
        [y, q, dq]: [View; 3],
        scratch: ViewMut,
        mut dz: ViewMut,
        dk: ViewMut,
        db: Option<ViewMut>,
    ) -> Result<()> {
        self.max_pool_backward(pool, y, q, dq, dz.reborrow())?;
        self.conv_backward_kernel(w, x, dz.as_view(), scratch, dk)?;
        db.map_or(Ok(()), |db| self.sum_rows(dz.as_view(), db))
    }

    /// y[n, o, c] = the mean of x over the window of o, padding not counted.
    fn average_pool(&self, w: &Window, x: View, y: ViewMut) -> Result<()>;

    /// dx: each dy is shared out evenly over its window.
    fn average_pool_backward(&self, w: &Window, dy: View, dx: ViewMut) -> Result<()>;

    // ---------------------------------------------------------------- normalisation

    /// μ = mean of each column of x, σ² = mean squared distance from it, in two passes. x is [R, C].
    fn moments(&self, x: View, mean: ViewMut, variance: ViewMut) -> Result<()>;

    /// y = γ (x − μ) / √(σ² + ε) + β. x and y are [R, C].
    fn normalize(&self, a: &Affine, x: View, y: ViewMut) -> Result<()>;

    /// Backward of moments and normalize together, where μ and σ² are x's own:
    /// with x̂ = (x − μ) / √(σ² + ε): dγ = Σᵣ dy ⊙ x̂, dβ = Σᵣ dy,
    /// dx = γ / √(σ² + ε) · (dy − dβ / R − x̂ ⊙ dγ / R).
    ///
    /// dγ and dβ are always written, each [C].
    fn normalize_backward(
        &self,
        a: &Affine,
        x: View,
        dy: View,
        dgamma: ViewMut,
        dbeta: ViewMut,
        dx: Option<ViewMut>,
    ) -> Result<()>;

    // ---------------------------------------------------------------- recurrent cells

    /// One step of an LSTM behind its GEMMs. Blocks of U columns in the order i, f, ĉ, o.
    ///
    /// In: `gates` [N, 4U] holds the pre-activations x W + h₋₁ U + b; `c_prev` is c₋₁ [N, U], 0 if absent.
    /// Out: `gates` holds i = σ(·), f = σ(·), ĉ = tanh(·), o = σ(·); c = f ⊙ c₋₁ + i ⊙ ĉ; h = o ⊙ tanh(c).
    fn lstm_step(
        &self,
        acts: CellActivations,
        gates: ViewMut,
        c_prev: Option<View>,
        c: ViewMut,
        h: ViewMut,
    ) -> Result<()>;

    /// Backward of one LSTM step.
    ///
    /// In: `gates` [N, 4U] and `c` as [`lstm_step`](Backend::lstm_step) left them, dh [N, U] in full, `dc` [N, U] what
    /// the next step passed back (0 at the last). Out: `gates` holds the gradients of its pre-activations, `dc` that
    /// of c₋₁. With t = tanh(c): dc += dh ⊙ o ⊙ tanh′; do = dh ⊙ t; di = dc ⊙ ĉ; df = dc ⊙ c₋₁; dĉ = dc ⊙ i;
    /// each times its gate's derivative; then dc ← dc ⊙ f.
    fn lstm_step_backward(
        &self,
        acts: CellActivations,
        gates: ViewMut,
        c_prev: Option<View>,
        c: View,
        dh: View,
        dc: ViewMut,
    ) -> Result<()>;

    /// All steps of an LSTM, each with its GEMMs: z = x W + b + h₋₁ U, then [`lstm_step`](Backend::lstm_step). Fused.
    ///
    /// Time-major: xs [T, N, F], kernel W [F, 4U], recurrent U [U, 4U], bias [4U]. Out: gates [T, N, 4U], c and
    /// h [T, N, U].
    fn lstm(
        &self,
        acts: CellActivations,
        xs: View,
        kernel: View,
        recurrent: View,
        bias: Option<View>,
        gates: ViewMut,
        c: ViewMut,
        h: ViewMut,
    ) -> Result<()> {
        step_by_step::lstm(self, acts, xs, kernel, recurrent, bias, gates, c, h)
    }

    /// All steps of an LSTM backwards: [`lstm_step_backward`](Backend::lstm_step_backward) from the last step to the
    /// first, and dh₋₁ += dz Uᵀ between two steps. Where the sequence is cut, every `truncate` steps, neither dh nor
    /// dc flows back. Fused.
    ///
    /// In: `gates` and `c` as [`lstm`](Backend::lstm) left them, dh [T, N, U] what the layer above says. Out: `gates`
    /// holds dz, `dh` dh in full. `dc` [N, U] is room to work in.
    fn lstm_backward(
        &self,
        acts: CellActivations,
        recurrent: View,
        truncate: Option<usize>,
        gates: ViewMut,
        c: View,
        dh: ViewMut,
        dc: ViewMut,
    ) -> Result<()> {
        step_by_step::lstm_backward(self, acts, recurrent, truncate, gates, c, dh, dc)
    }

    /// The gradients of a recurrent layer's weights, from all steps: dW = xᵀ dz, dU = h₋₁ᵀ dz, db = Σₜ Σₙ dz. Fused.
    ///
    /// Time-major: xs [T, N, F], h [T, N, U], dz [T, N, G]; dw [F, G], du [U, G], db [G]. Before the first step h is 0.
    fn recurrent_gradients(
        &self,
        xs: View,
        h: View,
        dz: View,
        dw: ViewMut,
        du: ViewMut,
        db: Option<ViewMut>,
    ) -> Result<()> {
        step_by_step::recurrent_gradients(self, xs, h, dz, dw, du, db)
    }

    /// One step of a GRU with `reset_after`, behind its GEMMs. Blocks of U columns in the order z, r, ĥ.
    ///
    /// In: `gates` [N, 3U] holds x W + bᵢ, `recurrent` [N, 3U] holds h₋₁ U + bᵣ, `h_prev` is h₋₁ [N, U], 0 if absent.
    /// Out: `gates` holds z = σ(·), r = σ(·), ĥ = tanh(xĥ + r ⊙ recurrentĥ); h = z ⊙ h₋₁ + (1 − z) ⊙ ĥ.
    fn gru_step(
        &self,
        acts: CellActivations,
        gates: ViewMut,
        recurrent: View,
        h_prev: Option<View>,
        h: ViewMut,
    ) -> Result<()>;

    /// Backward of one GRU step.
    ///
    /// In: `gates` and `recurrent` as [`gru_step`](Backend::gru_step) left them, `dh` [N, U] in full.
    /// Out: `gates` holds the gradient of x W + bᵢ, `recurrent` that of h₋₁ U + bᵣ, and `dh` the part of dh₋₁ that
    /// does not go through the GEMM, dh ⊙ z.
    fn gru_step_backward(
        &self,
        acts: CellActivations,
        gates: ViewMut,
        recurrent: ViewMut,
        h_prev: Option<View>,
        dh: ViewMut,
    ) -> Result<()>;

    // ---------------------------------------------------------------- dropout

    /// y[e] = x[e] / (1 − rate) if [`Noise::word`]`(e) ≥ rate · 2³²`, else 0. With the same noise it is its own
    /// backward. 0 ≤ rate < 1.
    fn dropout(&self, rate: f64, noise: Noise, x: View, y: ViewMut) -> Result<()>;

    // ---------------------------------------------------------------- losses and scores

    /// rows[r] = the loss of row r, unweighted. The prediction is [R, C], rows [R]; see [`Loss`] for the formulas.
    fn loss(&self, loss: Loss, prediction: View, target: Target, rows: ViewMut) -> Result<()>;

    /// d[r, :] = scale · weight[r] · ∂loss[r] / ∂prediction[r, :], where the loss is [`LossTerm::loss`] alone
    /// and nothing is folded. Written whole.
    fn loss_backward(&self, term: &LossTerm, prediction: View, d: ViewMut) -> Result<()>;

    /// The whole end of a training step. Fused.
    ///
    /// `z` [R, C] comes before the folded activation. Writes `y` = folded(z), `rows` = the rows' losses, unweighted,
    /// and `dz` = scale · weight · ∂loss/∂z. A folded softmax or sigmoid meets a cross-entropy from logits, which
    /// stays exact where the probabilities underflow.
    fn loss_step(&self, term: &LossTerm, z: View, mut y: ViewMut, rows: ViewMut, dz: ViewMut) -> Result<()> {
        self.copy(z, y.reborrow())?;
        self.activate(term.folded, y)?;
        self.loss(term.loss, z, term.target, rows)?;
        self.loss_backward(term, z, dz)
    }

    /// rows[r] = how right row r is, in 0 ..= 1; see [`Score`].
    fn score(&self, score: Score, prediction: View, target: Target, rows: ViewMut) -> Result<()>;

    /// Adds to counts [3, C]: true positives, predicted positives, actual positives of each class.
    ///
    /// Predicted positive is a prediction above `threshold`, or the row's largest if there is none.
    /// Actual positive is a target value above ½, or the label's class.
    fn count_classes(
        &self,
        threshold: Option<f64>,
        prediction: View,
        target: Target,
        counts: ViewMut,
    ) -> Result<()>;

    /// Adds to counts [C, C]: row = actual class, column = predicted class, both by the largest entry.
    /// With one column, the classes are 0 and 1 (above ½) and counts is [2, 2].
    fn count_pairs(&self, prediction: View, target: Target, counts: ViewMut) -> Result<()>;

    /// Adds Σᵣ weight[r] · x[r] to the sum that acc [2] holds as acc[0] + acc[1].
    ///
    /// The second number is the first one's rounding error (Neumaier 1974): an epoch's sum keeps its digits in f32.
    fn accumulate(&self, x: View, weights: Option<View>, acc: ViewMut) -> Result<()>;

    // ---------------------------------------------------------------- optimizers

    /// One step of an optimizer on one parameter, in place: value, and slots (moments and the like) of the same shape.
    /// See [`Update`] for the formulas. Fused by nature: each number is read and written once.
    fn update(&self, rule: &Update, value: ViewMut, grad: View, slots: &mut [Tensor]) -> Result<()>;

    /// acc[0] + acc[1] += Σ x², as in [`accumulate`](Backend::accumulate).
    fn accumulate_squares(&self, x: View, acc: ViewMut) -> Result<()>;

    /// y = y · min(1, limit / √(acc[0] + acc[1])), in place: scales a gradient of that squared norm down to `limit`.
    fn limit_norm(&self, limit: f64, acc: View, y: ViewMut) -> Result<()>;
}
