//! GRU: the gated recurrent unit. One state, which is kept or replaced, and a candidate that may forget it first.
//!
//! ```text
//! Forward   a = xₜ W + bᵢ                                  [N, 3U], blocks in the order z, r, ĥ
//!           s = hₜ₋₁ U + bᵣ                                [N, 3U]
//!           z = σ(a_z + s_z)   r = σ(aᵣ + sᵣ)              update and reset gate
//!           ĥ = tanh(aₕ + r ⊙ sₕ)                          reset_after: r acts after the product with U
//!           ĥ = tanh(aₕ + (r ⊙ hₜ₋₁) Uₕ)                   otherwise: before it; there is no bᵣ then
//!           hₜ = z ⊙ hₜ₋₁ + (1 − z) ⊙ ĥ                    keep where z is 1, replace where it is 0
//!
//! Backward  for t = T−1 … 0                                backpropagation through time
//!             dz = dhₜ ⊙ (hₜ₋₁ − ĥ) ⊙ σ′
//!             dĥ = dhₜ ⊙ (1 − z) ⊙ tanh′
//!             dr = dĥ ⊙ sₕ ⊙ σ′                            da = [dz, dr, dĥ]   ds = [dz, dr, dĥ ⊙ r]
//!             dhₜ₋₁ += dhₜ ⊙ z + ds Uᵀ
//!           dW = Σₜ xₜᵀ da   dbᵢ = Σₜ Σₙ da   dxₜ = da Wᵀ
//!           dU = Σₜ hₜ₋₁ᵀ ds   dbᵣ = Σₜ Σₙ ds
//!
//! Shapes    x [N, T, F]   W [F, 3U]   U [U, 3U]   b [2, 3U]: bᵢ and bᵣ, or [3U]   h [T, N, U]
//!           y [N, U], or [N, T, U] as a sequence
//! ```
//!
//! Only the lines inside the loop wait for each other; each sum over t is one GEMM over all T·N rows.
//!
//! Source: Cho et al. 2014 (r before the product); Keras 3 (gate order, and r after the product by default, which
//! leaves one GEMM a step); Goodfellow et al. 2016, §10.10.2.

use super::recurrent::{Options, State, Weights, at, at_mut, before, pair_mut, recurrent_options, state_mut};
use super::{Build, Cx, FromConfig, Layer, Param, Plan, not_built};
use crate::activations::Activation;
use crate::backend::{CellActivations, Gemm};
use crate::config::{Config, Reader};
use crate::device::Device;
use crate::error::Result;
use crate::initializers::Initializer;
use crate::shape::Shape;
use crate::tensor::{Tensor, View, ViewMut};

/// A gated recurrent unit; see the [module](self) for the equations.
///
/// ```
/// use handgrad::{Activation, Sequential, layers::{Dense, GRU}};
/// let mut model = Sequential::new()
///     .with(GRU::new(128))
///     .with(Dense::new(10).activation(Activation::Softmax));
/// model.build([28, 28])?; // an image as 28 steps of 28 pixels
/// assert_eq!(model.parameter_count()?, 3 * 128 * (28 + 128 + 2) + 10 * (128 + 1));
/// # Ok::<(), handgrad::Error>(())
/// ```
pub struct GRU {
    options: Options,
    activations: CellActivations,
    reset_after: bool,
    state: Option<State<Cache>>,
}

/// What forward leaves for backward, time-major.
struct Cache {
    /// x in the order of the walk.                     [T, N, F]
    x: Tensor,
    /// First a, then z, r, ĥ; after backward da.        [T, N, 3U]
    gates: Tensor,
    /// The state after each step.                       [T, N, U]
    h: Tensor,
    /// What goes back to h₋₁.
    /// With `reset_after` s, in backward ds.            [T, N, 3U]
    /// Without, z, r and ĥ, in backward dz, dr and dĥ, and q = r ⊙ h₋₁.   4 × [T, N, U]
    recurrent: Tensor,
}

impl GRU {
    /// A layer of `units` states with Keras's defaults: tanh, sigmoid gates, `reset_after`, bias, the last state as
    /// output.
    pub fn new(units: usize) -> GRU {
        GRU {
            options: Options::new(units),
            activations: CellActivations { activation: Activation::Tanh, recurrent: Activation::Sigmoid },
            reset_after: true,
            state: None,
        }
    }

    /// What squashes the candidate ĥ; `tanh` by default. Its derivative must be one that can be written in ĥ.
    pub fn activation(mut self, activation: Activation) -> GRU {
        self.activations.activation = activation;
        self
    }

    /// σ of the two gates; `sigmoid` by default. As [`activation`](GRU::activation).
    pub fn recurrent_activation(mut self, activation: Activation) -> GRU {
        self.activations.recurrent = activation;
        self
    }

    /// Whether r acts after the product with U, and U has biases of its own; `true` by default. `false` is the
    /// paper's form, and slower.
    pub fn reset_after(mut self, reset_after: bool) -> GRU {
        self.reset_after = reset_after;
        self
    }
}

recurrent_options!(GRU);

impl FromConfig for GRU {
    fn from_config(r: &mut Reader) -> Result<GRU> {
        let options = Options::from_config(r)?;
        let default = GRU::new(options.units);
        let CellActivations { activation, recurrent } = default.activations;
        Ok(GRU {
            options,
            activations: CellActivations {
                activation: r.or("activation", activation)?,
                recurrent: r.or("recurrent_activation", recurrent)?,
            },
            reset_after: r.or("reset_after", default.reset_after)?,
            state: None,
        })
    }
}

impl Layer for GRU {
    fn kind(&self) -> &'static str {
        "GRU"
    }

    fn describe(&self) -> String {
        format!("GRU {}", self.options.units)
    }

    fn config(&self) -> Option<Config> {
        let mut config = self.options.config();
        config.insert("activation".into(), self.activations.activation.to_value()?);
        config.insert("recurrent_activation".into(), self.activations.recurrent.to_value()?);
        config.insert("reset_after".into(), self.reset_after.into());
        Some(config)
    }

    fn build(&mut self, cx: &mut Build, input: Shape) -> Result<Shape> {
        let acts = [self.activations.activation, self.activations.recurrent];
        let (steps, features) = self.options.extents(cx, self, input, &acts)?;
        let biases = if self.reset_after { 2 } else { 1 };
        let weights = Weights::build(cx, &self.options, features, 3, biases)?;
        self.state = Some(State { weights, steps, features, cache: None });
        Ok(self.options.output_shape(steps))
    }

    fn plan(&mut self, plan: &mut Plan) -> Result<()> {
        let s = self.state.as_mut().ok_or_else(|| not_built("GRU"))?;
        let (n, steps, u) = (plan.max_batch, s.steps, self.options.units);
        s.cache = Some(Cache {
            x: plan.cache([steps, s.features])?,
            gates: plan.cache([steps, 3 * u])?,
            h: plan.cache([steps, u])?,
            recurrent: plan.cache([steps, if self.reset_after { 3 * u } else { 4 * u }])?,
        });
        plan.scratch(n * steps * u + if self.reset_after { 0 } else { 3 * u * (n + u) });
        Ok(())
    }

    fn forward(&mut self, cx: &mut Cx, x: View, y: ViewMut) -> Result<()> {
        let (dev, o, u, acts) = (cx.device, &self.options, self.options.units, self.activations);
        let (steps, features, w, cache) = State::ready(&mut self.state, "GRU")?;
        let n = x.shape().rows();
        let mut xs = cache.x.prefix_mut([steps, n, features].into())?;
        let mut gates = cache.gates.prefix_mut([steps, n, 3 * u].into())?;
        let mut h = cache.h.prefix_mut([steps, n, u].into())?;
        let (w_x, w_h) = (w.kernel.view(), w.recurrent.view());
        let b_in = w.bias.as_ref().map(|b| b.value.prefix([3 * u].into())).transpose()?;

        o.to_steps(dev, x, xs.reborrow())?;
        dev.dense(Activation::Linear, xs.as_view(), w_x, b_in, gates.reborrow())?; // a = x W + bᵢ     [T, N, 3U]
        if self.reset_after {
            let mut s = cache.recurrent.prefix_mut([steps, n, 3 * u].into())?;
            let b_rec = w.bias.as_ref().map(|b| at(b.view(), 1)).transpose()?;
            dev.fill(0.0, at_mut(&mut s, 0)?)?;
            if let Some(b) = b_rec {
                dev.add_bias(b, at_mut(&mut s, 0)?)?; //                             s₀ = bᵣ: h₋₁ = 0 [N, 3U]
            }
            for t in 0..steps {
                let (h_prev, h_t) = state_mut(&mut h, t)?;
                let (a, mut s) = (at_mut(&mut gates, t)?, at_mut(&mut s, t)?);
                if let Some(h_prev) = h_prev {
                    dev.dense(Activation::Linear, h_prev, w_h, b_rec, s.reborrow())?; // s = h₋₁ U + bᵣ [N, 3U]
                }
                dev.gru_step(acts, a, s.as_view(), h_prev, h_t)?; //                 a → z r ĥ, h
            }
        } else {
            let mut cell = ResetBefore::new(dev, acts, h.shape(), &mut cache.recurrent)?;
            cell.forward(w_h, gates.as_view(), h.reborrow(), cx.scratch.reborrow())?;
        }
        o.output(dev, h.as_view(), y)
    }

    /// Uses up what forward left: one backward for each forward.
    fn backward(&mut self, cx: &mut Cx, _x: View, _y: View, dy: ViewMut, dx: Option<ViewMut>) -> Result<()> {
        let (dev, o, u, acts) = (cx.device, &self.options, self.options.units, self.activations);
        let (steps, features, w, cache) = State::ready(&mut self.state, "GRU")?;
        let n = dy.shape().rows();
        let mut xs = cache.x.prefix_mut([steps, n, features].into())?;
        let mut gates = cache.gates.prefix_mut([steps, n, 3 * u].into())?;
        let h = cache.h.prefix([steps, n, u].into())?;
        let (mut dh, scratch) = cx.scratch.reborrow().split([steps, n, u])?;

        o.output_backward(dev, dy.as_view(), dh.reborrow())?;
        if self.reset_after {
            let mut s = cache.recurrent.prefix_mut([steps, n, 3 * u].into())?;
            for t in (0..steps).rev() {
                let (a, mut s) = (at_mut(&mut gates, t)?, at_mut(&mut s, t)?);
                let dh_t = at_mut(&mut dh, t)?;
                dev.gru_step_backward(acts, a, s.reborrow(), before(h, t)?, dh_t)?; // a → da, s → ds, dh ⊙= z
                if !o.is_cut(t) {
                    let (mut dh_prev, dh_t) = pair_mut(&mut dh, t)?;
                    let (ds, w_h) = (s.as_view(), w.recurrent.view());
                    dev.add_scaled(1.0, dh_t.as_view(), dh_prev.reborrow())?; //     dh₋₁ += dh ⊙ z   [N, U]
                    dev.gemm(Gemm::nt().add(), ds, w_h, dh_prev)?; //                dh₋₁ += ds Uᵀ    [N, U]
                }
            }
            let ds = s.as_view();
            let (h_prev, ds_next) = (h.rows(0..steps - 1)?, ds.rows(1..steps)?);
            dev.gemm(Gemm::tn(), h_prev, ds_next, w.recurrent.grad_mut())?; //       dU = h₋₁ᵀ ds     [U, 3U]
            if let Some(b) = &mut w.bias {
                dev.sum_rows(ds, at_mut(&mut b.grad_mut(), 1)?)?; //                 dbᵣ = Σₜ Σₙ ds   [3U]
            }
        } else {
            let mut cell = ResetBefore::new(dev, acts, h.shape(), &mut cache.recurrent)?;
            cell.backward(o, &mut w.recurrent, gates.reborrow(), h, dh, scratch)?;
        }
        let da = gates.into_view();
        dev.gemm(Gemm::tn(), xs.as_view(), da, w.kernel.grad_mut())?; //             dW = xᵀ da       [F, 3U]
        if let Some(b) = &mut w.bias {
            let (db_in, _) = b.grad_mut().split([3 * u])?;
            dev.sum_rows(da, db_in)?; //                                             dbᵢ = Σₜ Σₙ da   [3U]
        }
        let Some(dx) = dx else { return Ok(()) };
        dev.gemm(Gemm::nt(), da, w.kernel.view(), xs.reborrow())?; //                dx = da Wᵀ       [T, N, F]
        o.to_samples(dev, xs.as_view(), dx)
    }

    fn params(&mut self, visit: &mut dyn FnMut(&mut Param) -> Result<()>) -> Result<()> {
        self.state.as_mut().map_or(Ok(()), |s| s.weights.each(visit))
    }
}

/// The steps of a GRU whose reset gate acts before the product with U, in plain ops: each gate has its own matrix.
struct ResetBefore<'a> {
    dev: &'a Device,
    acts: CellActivations,
    z: ViewMut<'a>,
    r: ViewMut<'a>,
    candidate: ViewMut<'a>,
    q: ViewMut<'a>,
}

impl<'a> ResetBefore<'a> {
    fn new(
        dev: &'a Device,
        acts: CellActivations,
        shape: Shape,
        cache: &'a mut Tensor,
    ) -> Result<ResetBefore<'a>> {
        let (z, rest) = cache.view_mut().split(shape)?;
        let (r, rest) = rest.split(shape)?;
        let (candidate, rest) = rest.split(shape)?;
        let (q, _) = rest.split(shape)?;
        Ok(ResetBefore { dev, acts, z, r, candidate, q })
    }

    /// `a` holds x W + b of all steps, [T, N, 3U]; writes h [T, N, U]. Scratch: U in blocks, and a state of zeros.
    fn forward(&mut self, recurrent: View, a: View, mut h: ViewMut, scratch: ViewMut) -> Result<()> {
        let (dev, u, steps) = (self.dev, h.shape().last(), h.shape().rows());
        let CellActivations { activation: tanh, recurrent: sigma } = self.acts;
        let (blocks, scratch) = scratch.split([3, u, u])?;
        let [u_z, u_r, u_h] = split_blocks(dev, recurrent, blocks)?;
        let (mut zero, _) = scratch.split(h.shape().sample())?;
        dev.fill(0.0, zero.reborrow())?;
        for (gate, block) in [&mut self.z, &mut self.r, &mut self.candidate].into_iter().enumerate() {
            dev.copy_columns(a, gate * u, block.reborrow(), 0, u)?;
        }
        for t in 0..steps {
            let (h_prev, mut h) = state_mut(&mut h, t)?;
            let h_prev = h_prev.unwrap_or(zero.as_view());
            let (mut z, mut r) = (at_mut(&mut self.z, t)?, at_mut(&mut self.r, t)?);
            let (mut candidate, mut q) = (at_mut(&mut self.candidate, t)?, at_mut(&mut self.q, t)?);

            dev.gemm(Gemm::nn().add(), h_prev, u_z, z.reborrow())?;
            dev.activate(sigma, z.reborrow())?; //                              z = σ(a_z + h₋₁ U_z)
            dev.gemm(Gemm::nn().add(), h_prev, u_r, r.reborrow())?;
            dev.activate(sigma, r.reborrow())?; //                              r = σ(aᵣ + h₋₁ Uᵣ)
            dev.copy(h_prev, q.reborrow())?;
            dev.multiply(r.as_view(), q.reborrow())?; //                        q = r ⊙ h₋₁
            dev.gemm(Gemm::nn().add(), q.as_view(), u_h, candidate.reborrow())?;
            dev.activate(tanh, candidate.reborrow())?; //                       ĥ = tanh(aₕ + q Uₕ)
            dev.copy(h_prev, h.reborrow())?;
            dev.add_scaled(-1.0, candidate.as_view(), h.reborrow())?;
            dev.multiply(z.as_view(), h.reborrow())?;
            dev.add_scaled(1.0, candidate.as_view(), h)?; //                    h = z ⊙ (h₋₁ − ĥ) + ĥ
        }
        Ok(())
    }

    /// Writes dU, and `da` [T, N, 3U]. `dh` [T, N, U] is used up. Scratch: U in blocks, and three states.
    fn backward(
        &mut self,
        o: &Options,
        recurrent: &mut Param,
        mut da: ViewMut,
        h: View,
        mut dh: ViewMut,
        scratch: ViewMut,
    ) -> Result<()> {
        let (dev, u, steps) = (self.dev, h.shape().last(), h.shape().rows());
        let CellActivations { activation: tanh, recurrent: sigma } = self.acts;
        let state = h.shape().sample();
        let (mut blocks, scratch) = scratch.split([3, u, u])?;
        let [u_z, u_r, u_h] = split_blocks(dev, recurrent.view(), blocks.reborrow())?;
        let (mut zero, scratch) = scratch.split(state)?;
        let (mut d, scratch) = scratch.split(state)?;
        let (mut e, _) = scratch.split(state)?;
        dev.fill(0.0, zero.reborrow())?;
        for t in (0..steps).rev() {
            let h_prev = before(h, t)?.unwrap_or(zero.as_view());
            let (mut z, mut r) = (at_mut(&mut self.z, t)?, at_mut(&mut self.r, t)?);
            let mut candidate = at_mut(&mut self.candidate, t)?;
            let mut dh_t = at_mut(&mut dh, t)?;

            // dz = dh ⊙ (h₋₁ − ĥ) ⊙ σ′
            dev.copy(h_prev, d.reborrow())?;
            dev.add_scaled(-1.0, candidate.as_view(), d.reborrow())?;
            dev.multiply(dh_t.as_view(), d.reborrow())?;
            dev.activation_backward(sigma, None, z.as_view(), d.reborrow())?;

            // dh ← dh ⊙ z, which goes on to h₋₁; what is left of dh is (1 − z) ⊙ dh: dĥ = dh ⊙ (1 − z) ⊙ tanh′
            dev.copy(dh_t.as_view(), e.reborrow())?;
            dev.multiply(z.as_view(), dh_t.reborrow())?;
            dev.add_scaled(-1.0, dh_t.as_view(), e.reborrow())?;
            dev.activation_backward(tanh, None, candidate.as_view(), e.reborrow())?;
            dev.copy(d.as_view(), z.reborrow())?;
            dev.copy(e.as_view(), candidate.reborrow())?;

            // dq = dĥ Uₕᵀ, shared out between h₋₁, dh ← dh + dq ⊙ r, and the gate, dr = dq ⊙ h₋₁ ⊙ σ′
            dev.gemm(Gemm::nt(), candidate.as_view(), u_h, d.reborrow())?;
            dev.copy(d.as_view(), e.reborrow())?;
            dev.multiply(r.as_view(), e.reborrow())?;
            dev.add_scaled(1.0, e.as_view(), dh_t)?;
            dev.multiply(h_prev, d.reborrow())?;
            dev.activation_backward(sigma, None, r.as_view(), d.reborrow())?;
            dev.copy(d.as_view(), r.reborrow())?;

            // dh₋₁ += dh + dz U_zᵀ + dr Uᵣᵀ
            if !o.is_cut(t) {
                let (mut dh_prev, dh_t) = pair_mut(&mut dh, t)?;
                dev.add_scaled(1.0, dh_t.as_view(), dh_prev.reborrow())?;
                dev.gemm(Gemm::nt().add(), z.as_view(), u_z, dh_prev.reborrow())?;
                dev.gemm(Gemm::nt().add(), r.as_view(), u_r, dh_prev)?;
            }
        }
        // da = [dz, dr, dĥ]   dU = [h₋₁ᵀ dz, h₋₁ᵀ dr, qᵀ dĥ]
        let (mut du, _) = blocks.split([u, u])?;
        let (h_prev, q) = (h.rows(0..steps - 1)?, self.q.as_view().rows(1..steps)?);
        let gates = [(&self.z, h_prev), (&self.r, h_prev), (&self.candidate, q)];
        for (gate, (d, left)) in gates.into_iter().enumerate() {
            dev.copy_columns(d.as_view(), 0, da.reborrow(), gate * u, u)?;
            dev.gemm(Gemm::tn(), left, d.as_view().rows(1..steps)?, du.reborrow())?;
            dev.copy_columns(du.as_view(), 0, recurrent.grad_mut(), gate * u, u)?;
        }
        Ok(())
    }
}

/// The three blocks of U [U, 3U], each made contiguous: [U, U].
fn split_blocks<'a>(dev: &Device, recurrent: View, blocks: ViewMut<'a>) -> Result<[View<'a>; 3]> {
    let u = recurrent.shape().rows();
    let (mut z, rest) = blocks.split([u, u])?;
    let (mut r, rest) = rest.split([u, u])?;
    let mut candidate = rest.reshape([u, u])?;
    for (gate, block) in [&mut z, &mut r, &mut candidate].into_iter().enumerate() {
        dev.copy_columns(recurrent, gate * u, block.reborrow(), 0, u)?;
    }
    Ok([z.into_view(), r.into_view(), candidate.into_view()])
}
