//! Mistakes that people really make in a backward pass, each as a layer that makes it. The gradient check must notice
//! every one, and must be content with the same layer without it.

use handgrad::gradcheck::{Case, End, check};
use handgrad::layers::{
    AveragePooling1D, BatchNormalization, Build, Conv2D, Cx, Dense, Dropout, Layer, Param, Plan, SimpleRNN,
};
use handgrad::{Activation, Device, Padding, Result, Shape, View, ViewMut};

/// A layer whose backward is right up to a mistake made before it, or after.
struct Wrong {
    right: Box<dyn Layer>,
    mistake: Mistake,
}

#[derive(Clone, Copy)]
enum Mistake {
    None,
    /// The layer is misused: this is done to it before its backward, and undone after.
    Misuse(fn(&mut dyn Layer, bool)),
    /// What it wrote is spoilt.
    Spoil(fn(&mut Backward)),
}

/// What a backward had, and what it wrote.
struct Backward<'a> {
    layer: &'a mut dyn Layer,
    x: Vec<f64>,
    dy: Vec<f64>,
    dx: Vec<f64>,
    /// Channels, or units: the last extent of dy.
    columns: usize,
}

impl Backward<'_> {
    /// Spoils the gradient of one parameter.
    fn gradient(&mut self, name: &str, spoil: impl Fn(&mut Vec<f64>, &[f64])) {
        let (mut found, value_of) = (false, |p: &Param| p.value.view().to_vec_f64());
        let visit = &mut |p: &mut Param| {
            if p.name != name {
                return Ok(());
            }
            found = true;
            let mut grad = p.grad.view().to_vec_f64();
            spoil(&mut grad, &value_of(p));
            p.grad.view_mut().write(&grad)
        };
        self.layer.params(visit).unwrap();
        assert!(found, "no parameter {name}");
    }

    fn value(&mut self, name: &str) -> Vec<f64> {
        let mut value = Vec::new();
        let visit = &mut |p: &mut Param| {
            if p.name == name {
                value = p.value.view().to_vec_f64();
            }
            Ok(())
        };
        self.layer.params(visit).unwrap();
        value
    }
}

impl Layer for Wrong {
    fn kind(&self) -> &'static str {
        self.right.kind()
    }

    fn build(&mut self, cx: &mut Build, input: Shape) -> Result<Shape> {
        self.right.build(cx, input)
    }

    fn plan(&mut self, plan: &mut Plan) -> Result<()> {
        self.right.plan(plan)
    }

    fn forward(&mut self, cx: &mut Cx, x: View, y: ViewMut) -> Result<()> {
        self.right.forward(cx, x, y)
    }

    fn backward(
        &mut self,
        cx: &mut Cx,
        x: View,
        y: View,
        dy: ViewMut,
        mut dx: Option<ViewMut>,
    ) -> Result<()> {
        let (columns, sent) = (dy.shape().last(), dy.as_view().to_vec_f64());
        if let Mistake::Misuse(misuse) = self.mistake {
            misuse(&mut *self.right, true);
        }
        self.right.backward(cx, x, y, dy, dx.as_mut().map(ViewMut::reborrow))?;
        match self.mistake {
            Mistake::None => {}
            Mistake::Misuse(misuse) => misuse(&mut *self.right, false),
            Mistake::Spoil(spoil) => {
                let written = dx.as_ref().map_or(Vec::new(), |dx| dx.as_view().to_vec_f64());
                let layer = &mut *self.right;
                let mut b = Backward { layer, x: x.to_vec_f64(), dy: sent, dx: written, columns };
                spoil(&mut b);
                if let Some(dx) = dx {
                    dx.write(&b.dx)?;
                }
            }
        }
        Ok(())
    }

    fn params(&mut self, visit: &mut dyn FnMut(&mut Param) -> Result<()>) -> Result<()> {
        self.right.params(visit)
    }
}

/// The check notices the mistake, and is content without it.
fn noticed<L: Layer + 'static>(batch: usize, input: impl Into<Shape>, make: fn() -> L, mistake: Mistake) {
    let input = input.into();
    let case = |mistake| {
        let layers = move || vec![Box::new(Wrong { right: Box::new(make()), mistake }) as Box<dyn Layer>];
        Case::new("Wrong", "on purpose", batch, input, End::Cotangent, layers)
    };
    let report = |mistake| check(&Device::reference(), &case(mistake)).unwrap();
    assert!(report(Mistake::None).passed(), "{}", report(Mistake::None));
    assert!(!report(mistake).passed(), "{}", report(mistake));
    // And it is the gradient that gives the mistake away.
    assert!(report(mistake).worst.error > 1e-3, "{}", report(mistake));
}

#[test]
fn a_bias_gradient_that_is_forgotten() {
    noticed(3, [4], || Dense::new(2), Mistake::Spoil(|b| b.gradient("bias", |db, _| db.fill(0.0))));
}

#[test]
fn a_bias_gradient_that_is_never_written() {
    // Stale numbers would do as well: the check fills what is to be written with NaN.
    noticed(3, [4], || Dense::new(2), Mistake::Spoil(|b| b.gradient("bias", |db, _| db.fill(f64::NAN))));
}

#[test]
fn a_bias_gradient_that_sees_the_first_sample_only() {
    noticed(
        3,
        [4],
        || Dense::new(2),
        Mistake::Spoil(|b| {
            let first = b.dy[..b.columns].to_vec();
            b.gradient("bias", |db, _| db.copy_from_slice(&first));
        }),
    );
}

#[test]
fn a_batch_mean_where_a_sum_belongs() {
    noticed(
        3,
        [4],
        || Dense::new(2),
        Mistake::Spoil(|b| b.gradient("kernel", |dw, _| dw.iter_mut().for_each(|g| *g /= 3.0))),
    );
}

#[test]
fn a_square_kernel_gradient_transposed() {
    noticed(
        3,
        [4],
        || Dense::new(4),
        Mistake::Spoil(|b| {
            b.gradient("kernel", |dw, _| {
                let right = dw.clone();
                (0..16).for_each(|i| dw[i] = right[i % 4 * 4 + i / 4]);
            });
        }),
    );
}

#[test]
fn an_activation_derivative_that_is_forgotten() {
    let misuse = Mistake::Misuse(|layer, on| layer.skip_activation(on));
    noticed(3, [4], || Dense::new(2).activation(Activation::Tanh), misuse);
    noticed(2, [4, 3, 1], || Conv2D::new(2, 2).activation(Activation::Sigmoid), misuse);
}

#[test]
fn a_convolution_kernel_flipped() {
    // The gradient of a true convolution, where the forward is a correlation: taps in reverse order.
    noticed(
        2,
        [4, 5, 2],
        || Conv2D::new(3, [2, 3]).padding(Padding::Same),
        Mistake::Spoil(|b| {
            b.gradient("kernel", |dk, _| {
                let right = dk.clone();
                let taps = right.chunks(2 * 3).rev();
                dk.chunks_mut(2 * 3).zip(taps).for_each(|(to, from)| to.copy_from_slice(from));
            });
        }),
    );
}

#[test]
fn a_normalisation_whose_rows_do_not_move_the_mean() {
    // dx without its term − γ / √(σ² + ε) · dβ / R.
    noticed(
        5,
        [3],
        BatchNormalization::new,
        Mistake::Spoil(|b| {
            let gamma = b.value("gamma");
            for (c, gamma) in gamma.iter().enumerate() {
                let column = |v: &[f64]| v.iter().skip(c).step_by(b.columns).copied().collect::<Vec<_>>();
                let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
                let x = column(&b.x);
                let mu = mean(&x);
                let variance = mean(&x.iter().map(|x| (x - mu) * (x - mu)).collect::<Vec<_>>());
                let missing = gamma / (variance + 1e-3).sqrt() * mean(&column(&b.dy));
                b.dx.iter_mut().skip(c).step_by(b.columns).for_each(|dx| *dx += missing);
            }
        }),
    );
}

#[test]
fn a_dropout_mask_that_only_forward_knows() {
    noticed(5, [7], || Dropout::new(0.4), Mistake::Spoil(|b| b.dx = b.dy.clone()));
}

#[test]
fn an_average_that_is_shared_out_whole() {
    let shared_whole = Mistake::Spoil(|b| b.dx.iter_mut().for_each(|dx| *dx *= 2.0));
    noticed(2, [6, 2], || AveragePooling1D::new(2), shared_whole);
}

#[test]
fn a_recurrent_gradient_that_stops_at_a_cut() {
    // Truncation is wanted, but it is not the gradient of the whole, and must not pass for it.
    for (steps, whole) in [(2, false), (4, true)] {
        let layers = move || vec![Box::new(SimpleRNN::new(3).truncate(steps)) as Box<dyn Layer>];
        let case = Case::new("SimpleRNN", "truncated", 2, [4, 2], End::Cotangent, layers);
        let report = check(&Device::reference(), &case).unwrap();
        assert_eq!(report.passed(), whole, "{report}");
    }
}
