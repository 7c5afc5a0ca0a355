//! One table of cases for every op of every device, and four ways to use it.
//!
//! A [`Case`] makes its inputs, calls one op, and shows what the op wrote together with a bound on the rounding. The
//! bound follows the arithmetic: `c · eps · Σ |terms|` for sums, a few units in the last place for functions. The same
//! case serves
//!
//! - [`compare`]: a device against the oracle, which computes in f64;
//! - [`same_bits`]: two devices that must agree to the last bit, as 1 thread and 3 do;
//! - [`misfits`]: every view in turn is given a shape that does not fit, and the op must refuse;
//! - [`strangers`]: all views live on another device, and the op must refuse.
//!
//! [`mistakes`] are those that shapes do not show.
//!
//! Inputs are rounded to f32 first, so that both devices see the same numbers. Outputs begin as NaN: what an op leaves
//! out or reads too early shows. Every view lies between guards of NaN, not always at a cache line's start: what is
//! read beyond the end spoils the result, and what is written there is noticed.

mod activation;
mod conv;
mod elementwise;
mod gemm;
mod loss;
mod mistakes;
mod normalize;
mod pool;
mod recurrent;
mod score;
mod update;
mod winograd;

pub(crate) use mistakes::mistakes;

use handgrad::tensor::ViewMut;
use handgrad::{Device, Error, Indices, Result, Rng, Shape, Tensor, View};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The distance from 1 to the next f32; one rounding is off by up to half of it.
pub(crate) const EPS: f64 = f32::EPSILON as f64;

/// Extents around the widths of registers and tiles: 1, primes, powers of two and their neighbours.
pub(crate) const SIZES: [usize; 14] = [1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65];

/// Adds the cases of a family of ops.
type Family = fn(&mut Table);

/// The families of ops, by the file that has their cases.
pub(crate) const FAMILIES: [(&str, Family); 10] = [
    ("elementwise", elementwise::cases),
    ("gemm", gemm::cases),
    ("activation", activation::cases),
    ("conv", conv::cases),
    ("pool", pool::cases),
    ("normalize", normalize::cases),
    ("recurrent", recurrent::cases),
    ("loss", loss::cases),
    ("score", score::cases),
    ("update", update::cases),
];

/// A test for each family, which calls `$check` with its name. All of them stand here, so that no device leaves one out.
macro_rules! test_each_family {
    ($check:ident) => {
        $crate::parity::test_each_family! {
            $check: elementwise gemm activation conv pool normalize recurrent loss score update
        }
    };
    ($check:ident: $($family:ident)*) => {
        $(
            #[test]
            fn $family() {
                $check(stringify!($family));
            }
        )*

        #[test]
        fn every_family_has_its_test() {
            let tested = [$(stringify!($family)),*];
            assert_eq!(tested, $crate::parity::FAMILIES.map(|(name, _)| name));
        }
    };
}
pub(crate) use test_each_family;

/// The cases of one family.
pub(crate) fn cases(family: &str) -> Vec<Case> {
    let mut table = Table::default();
    let found = FAMILIES.iter().find(|(name, _)| *name == family);
    found.unwrap_or_else(|| panic!("no family `{family}`")).1(&mut table);
    table.0
}

// ---------------------------------------------------------------- cases

/// What a case does.
type Call = dyn Fn(&mut Run) -> Result<()>;

/// One call of one op.
pub(crate) struct Case {
    name: String,
    run: Box<Call>,
}

impl Case {
    /// The op, its configuration and its shapes.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// The cases of a family, as they are collected.
#[derive(Default)]
pub(crate) struct Table(Vec<Case>);

impl Table {
    /// Adds a case.
    pub(crate) fn case(&mut self, name: impl Into<String>, run: impl Fn(&mut Run) -> Result<()> + 'static) {
        self.0.push(Case { name: name.into(), run: Box::new(run) });
    }

    /// Random numbers of the next case's own.
    pub(crate) fn draw(&self) -> Draw {
        Draw(Rng::new(20, self.0.len() as u64))
    }
}

/// Numbers on the host, each representable in f32.
#[derive(Clone, Debug)]
pub(crate) struct Array {
    pub(crate) shape: Shape,
    pub(crate) values: Vec<f64>,
}

impl Array {
    pub(crate) fn new(shape: impl Into<Shape>, values: impl IntoIterator<Item = f64>) -> Array {
        let (shape, values) = (shape.into(), values.into_iter().map(|x| f64::from(x as f32)).collect());
        let array = Array { shape, values };
        assert_eq!(array.values.len(), shape.len(), "an array of shape {shape}");
        array
    }

    pub(crate) fn map(&self, f: impl Fn(f64) -> f64) -> Array {
        Array::new(self.shape, self.values.iter().map(|&x| f(x)))
    }

    /// Element `e`; behind the last one it begins anew.
    fn at(&self, e: usize) -> f64 {
        if self.values.is_empty() { 0.0 } else { self.values[e % self.values.len()] }
    }

    pub(crate) fn abs(&self) -> Array {
        self.map(f64::abs)
    }

    /// On the reference device.
    pub(crate) fn reference(&self) -> Tensor {
        Device::reference().tensor(self.shape, &self.values).unwrap()
    }
}

/// A source of random arrays.
pub(crate) struct Draw(Rng);

impl Draw {
    pub(crate) fn normal(&mut self, shape: impl Into<Shape>) -> Array {
        let shape = shape.into();
        Array::new(shape, (0..shape.len()).map(|_| self.0.normal()))
    }

    pub(crate) fn uniform(&mut self, shape: impl Into<Shape>, low: f64, high: f64) -> Array {
        let shape = shape.into();
        Array::new(shape, (0..shape.len()).map(|_| low + (high - low) * self.0.uniform()))
    }

    /// Whole numbers from −max to max: their sums are exact in any order, so no term can hide in a bound.
    pub(crate) fn whole(&mut self, shape: impl Into<Shape>, max: u32) -> Array {
        let (shape, max) = (shape.into(), u64::from(max));
        Array::new(shape, (0..shape.len()).map(|_| self.0.below(2 * max + 1) as f64 - max as f64))
    }

    pub(crate) fn labels(&mut self, n: usize, classes: usize) -> Vec<u32> {
        (0..n).map(|_| self.0.below(classes as u64) as u32).collect()
    }
}

// ---------------------------------------------------------------- bounds

/// No rounding at all.
pub(crate) fn exact(want: &[f64]) -> Vec<f64> {
    vec![0.0; want.len()]
}

/// `n` units in the last place.
pub(crate) fn ulps(n: f64) -> impl FnOnce(&[f64]) -> Vec<f64> {
    move |want| want.iter().map(|w| n * EPS * w.abs()).collect()
}

/// `n · eps` times a magnitude of each element: the sum of its terms' sizes.
pub(crate) fn times(n: f64, magnitude: &[f64]) -> impl FnOnce(&[f64]) -> Vec<f64> {
    move |_| magnitude.iter().map(|m| n * EPS * m).collect()
}

/// What `n` additions may be off by, in eps · Σ |terms|: n/2 at worst; roundings have either sign, so that 4 √n is
/// never seen (Higham and Mary 2019), in whichever order the terms are added. And two units for the terms themselves.
pub(crate) fn additions(n: usize) -> f64 {
    (n as f64 / 2.0).min(4.0 * (n as f64).sqrt()) + 2.0
}

// ---------------------------------------------------------------- runs

/// Which extents of a view the op must check.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fit {
    /// All of them.
    All,
    /// The last one; there may be any number of rows.
    Columns,
    /// The first one.
    Rows,
    /// None: any shape will do.
    Free,
    /// Scratch, of which there must be enough.
    Enough,
}

/// A way to make a view unfit.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Spoil {
    ColumnMore,
    RowMore,
    /// One number less: the op may refuse or do without, but nothing worse.
    OneLess,
    /// A label that is no class.
    BadLabel,
}

/// One execution of a case: makes its views, and keeps what it shows.
pub(crate) struct Run<'d> {
    /// Whose op is called.
    pub(crate) device: &'d Device,
    /// Whose results the bounds are for.
    tested: &'d Device,
    /// Where the numbers live: on the same device, but for [`strangers`].
    home: &'d Device,
    /// Numbers in front of each view and behind it.
    guard: usize,
    /// The view to spoil, by the order of making, and how.
    spoil: Option<(usize, Spoil)>,
    /// What each view could suffer.
    spoils: Vec<Vec<Spoil>>,
    /// How many numbers the views hold.
    numbers: usize,
    /// Whether bounds are wanted: they are worked out beside the oracle.
    bounds: bool,
    shown: Vec<Shown>,
    overruns: Vec<&'static str>,
}

struct Shown {
    name: &'static str,
    values: Vec<f64>,
    bounds: Vec<f64>,
}

/// Numbers on a device between two guards.
pub(crate) struct Buffer {
    tensor: Tensor,
    shape: Shape,
    guard: usize,
}

impl Buffer {
    pub(crate) fn view(&self) -> View<'_> {
        let all = self.tensor.view().rows(self.guard..self.guard + self.shape.len());
        all.and_then(|v| v.reshape(self.shape)).unwrap()
    }

    pub(crate) fn view_mut(&mut self) -> ViewMut<'_> {
        let all = self.tensor.view_mut().rows(self.guard..self.guard + self.shape.len());
        all.and_then(|v| v.reshape(self.shape)).unwrap()
    }

    fn overrun(&self) -> bool {
        let all = self.tensor.view().to_vec_f64();
        let inside = self.guard..self.guard + self.shape.len();
        all.iter().enumerate().any(|(i, x)| !inside.contains(&i) && !x.is_nan())
    }
}

impl<'d> Run<'d> {
    fn new(device: &'d Device, home: &'d Device, number: usize) -> Run<'d> {
        // A cache line and an odd number, in turn.
        let guard = if number.is_multiple_of(2) { 16 } else { 5 };
        let (spoil, spoils, shown) = (None, Vec::new(), Vec::new());
        Run {
            device,
            tested: device,
            home,
            guard,
            spoil,
            spoils,
            numbers: 0,
            bounds: false,
            shown,
            overruns: Vec::new(),
        }
    }

    /// The shape to use for the next view, and whether to use a bad label: changed if it is its turn.
    fn register(&mut self, shape: Shape, spoils: Vec<Spoil>) -> (Shape, bool) {
        let turn = self.spoil.filter(|(i, _)| *i == self.spoils.len()).map(|(_, spoil)| spoil);
        self.spoils.push(spoils);
        let mut dims = shape.dims().to_vec();
        match turn {
            Some(Spoil::ColumnMore) => *dims.last_mut().unwrap() += 1,
            Some(Spoil::RowMore) => dims[0] += 1,
            Some(Spoil::OneLess) => dims[0] -= 1,
            Some(Spoil::BadLabel) | None => {}
        }
        let shape = Shape::new(&dims).unwrap();
        self.numbers += shape.len();
        (shape, turn == Some(Spoil::BadLabel))
    }

    fn buffer(&mut self, shape: Shape, fit: Fit, values: &dyn Fn(usize) -> f64) -> Buffer {
        let rows = (shape.rank() > 1).then_some(Spoil::RowMore);
        let columns = (shape.rank() > 0).then_some(Spoil::ColumnMore);
        let spoils = match fit {
            Fit::All => columns.into_iter().chain(rows).collect(),
            Fit::Columns => columns.into_iter().collect(),
            Fit::Rows => rows.into_iter().collect(),
            Fit::Free => vec![],
            Fit::Enough => (shape.len() > 0).then_some(Spoil::OneLess).into_iter().collect(),
        };
        // An empty view with one column more is as empty.
        let spoils = if shape.len() == 0 { vec![] } else { spoils };
        let (shape, _) = self.register(shape, spoils);
        let mut all = vec![f64::NAN; shape.len() + 2 * self.guard];
        (0..shape.len()).for_each(|e| all[self.guard + e] = values(e));
        Buffer { tensor: self.home.tensor([all.len()], &all).unwrap(), shape, guard: self.guard }
    }

    /// A view of `x`, whose shape the op must check whole. In-place ops write it as well.
    pub(crate) fn input(&mut self, x: &Array) -> Buffer {
        self.input_fit(x, Fit::All)
    }

    /// A view of `x`.
    pub(crate) fn input_fit(&mut self, x: &Array, fit: Fit) -> Buffer {
        self.buffer(x.shape, fit, &|e| x.at(e))
    }

    /// NaN, to be written; the op must check the whole shape.
    pub(crate) fn output(&mut self, shape: impl Into<Shape>) -> Buffer {
        self.output_fit(shape, Fit::All)
    }

    /// NaN, to be written.
    pub(crate) fn output_fit(&mut self, shape: impl Into<Shape>, fit: Fit) -> Buffer {
        self.buffer(shape.into(), fit, &|_| f64::NAN)
    }

    /// As many numbers of scratch, all NaN.
    pub(crate) fn scratch(&mut self, len: usize) -> Buffer {
        self.output_fit([len], Fit::Enough)
    }

    /// A tensor of its own, for the ops that take tensors.
    pub(crate) fn tensor(&mut self, x: &Array) -> Tensor {
        let (shape, _) = self.register(x.shape, vec![Spoil::ColumnMore]);
        let values: Vec<f64> = (0..shape.len()).map(|e| x.at(e)).collect();
        self.home.tensor(shape, &values).unwrap()
    }

    /// Labels, [R].
    pub(crate) fn labels(&mut self, labels: &[u32]) -> Indices {
        let (shape, bad) = self.register([labels.len()].into(), vec![Spoil::ColumnMore, Spoil::BadLabel]);
        let mut values: Vec<u32> = (0..shape.len()).map(|e| labels[e % labels.len()]).collect();
        if bad {
            *values.last_mut().unwrap() = 1_000_000;
        }
        let mut indices = self.home.indices(shape).unwrap();
        indices.write(&values).unwrap();
        indices
    }

    /// What the op wrote, with a bound on the distance of each element from the oracle's.
    pub(crate) fn show(
        &mut self,
        name: &'static str,
        written: &Buffer,
        bound: impl FnOnce(&[f64]) -> Vec<f64>,
    ) {
        if written.overrun() {
            self.overruns.push(name);
        }
        self.show_view(name, written.view(), bound);
    }

    /// As [`show`](Run::show), of something without guards.
    pub(crate) fn show_view(
        &mut self,
        name: &'static str,
        written: View,
        bound: impl FnOnce(&[f64]) -> Vec<f64>,
    ) {
        let values = written.to_vec_f64();
        let bounds = if self.bounds { bound(&values) } else { Vec::new() };
        self.shown.push(Shown { name, values, bounds });
    }
}

/// Runs `case`; a panic counts as an answer, too.
fn execute(case: &Case, run: &mut Run) -> Result<Result<()>, String> {
    catch_unwind(AssertUnwindSafe(|| (case.run)(run))).map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("?");
        format!("panicked: {text}")
    })
}

// ---------------------------------------------------------------- the four checks

/// What the oracle says to a case, with bounds.
pub(crate) struct Expected<'c> {
    case: &'c Case,
    number: usize,
    shown: Vec<Shown>,
    /// How many numbers the case's views hold.
    pub(crate) numbers: usize,
}

impl<'c> Expected<'c> {
    /// Runs case `number` on `oracle`, with bounds for `tested`.
    pub(crate) fn new(case: &'c Case, number: usize, oracle: &Device, tested: &Device) -> Expected<'c> {
        let mut run = Run::new(oracle, oracle, number);
        (run.bounds, run.tested) = (true, tested);
        let answer = execute(case, &mut run);
        assert!(matches!(answer, Ok(Ok(()))), "{} on the oracle: {answer:?}", case.name);
        assert!(run.overruns.is_empty(), "{} wrote beyond the end of {:?}", case.name, run.overruns);
        assert!(!run.shown.is_empty(), "{} shows nothing", case.name);
        for shown in &run.shown {
            assert_eq!(
                shown.values.len(),
                shown.bounds.len(),
                "{} {}: a bound for each",
                case.name,
                shown.name
            );
        }
        Expected { case, number, shown: run.shown, numbers: run.numbers }
    }

    /// The largest error on `device`, as a part of its bound, and everything that is wrong there, in words.
    pub(crate) fn differences(&self, device: &Device) -> (f64, Vec<String>) {
        let (case, mut run) = (self.case, Run::new(device, device, self.number));
        let failed = match execute(case, &mut run) {
            Ok(Ok(())) if run.overruns.is_empty() => None,
            Ok(Ok(())) => Some(format!("wrote beyond the end of {:?}", run.overruns)),
            Ok(Err(e)) => Some(e.to_string()),
            Err(panic) => Some(panic),
        };
        if let Some(failed) = failed {
            return (f64::INFINITY, vec![format!("{}: {failed}", case.name)]);
        }
        let (mut worst, mut failures) = (0f64, Vec::new());
        for (want, got) in self.shown.iter().zip(&run.shown) {
            assert_eq!(want.values.len(), got.values.len(), "{} {}: as many numbers", case.name, want.name);
            let errors = want.values.iter().zip(&got.values).zip(&want.bounds);
            let parts = errors.map(|((&w, &g), &b)| part_of_bound(w, g, b));
            let (at, part) = parts.enumerate().fold((0, 0f64), |a, b| if b.1 <= a.1 { a } else { b });
            worst = worst.max(part);
            if part > 1.0 {
                let (w, g, n) = (want.values[at], got.values[at], want.values.len());
                failures.push(format!(
                    "{}: {}[{at} of {n}] is {g:e}, not {w:e}: off by {:e}, {part:.3} of the bound",
                    case.name,
                    want.name,
                    (g - w).abs(),
                ));
            }
        }
        (worst, failures)
    }
}

/// Every case on `device` against `oracle`. Returns the largest error, as a part of its bound.
///
/// # Panics
/// With a list of the cases that failed.
pub(crate) fn compare(cases: &[Case], device: &Device, oracle: &Device) -> f64 {
    let (mut failures, mut worst) = (Vec::new(), 0f64);
    for (number, case) in cases.iter().enumerate() {
        let (part, more) = Expected::new(case, number, oracle, device).differences(device);
        worst = worst.max(part);
        failures.extend(more);
    }
    fail(cases.len(), device, failures);
    worst
}

/// How far `got` is from `want`, as a part of `bound`: never NaN. NaN must stay NaN, and what f32 cannot hold be infinite.
fn part_of_bound(want: f64, got: f64, bound: f64) -> f64 {
    let same = want.is_nan() && got.is_nan() || (want as f32).is_infinite() && f64::from(want as f32) == got;
    // Below the normal numbers, eight units of the smallest.
    let bound = bound + if bound > 0.0 { 8.0 * f64::from(f32::from_bits(1)) } else { 0.0 };
    match (got - want).abs() / bound {
        _ if same || got == want => 0.0,
        part if part.is_nan() => f64::INFINITY,
        part => part,
    }
}

/// Every case on both devices: all outputs must agree to the last bit.
///
/// # Panics
/// With a list of the cases where they do not.
pub(crate) fn same_bits(cases: &[Case], a: &Device, b: &Device) {
    let mut failures = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let mut runs = [Run::new(a, a, number), Run::new(b, b, number)];
        for run in &mut runs {
            match execute(case, run) {
                Ok(Ok(())) => {}
                Ok(Err(e)) => failures.push(format!("{}: {e}", case.name)),
                Err(panic) => failures.push(format!("{}: {panic}", case.name)),
            }
        }
        for (x, y) in runs[0].shown.iter().zip(&runs[1].shown) {
            let differ = x.values.iter().zip(&y.values).position(|(x, y)| x.to_bits() != y.to_bits());
            if let Some(i) = differ {
                let (name, x, y) = (x.name, x.values[i], y.values[i]);
                failures.push(format!("{}: {name}[{i}] is {x:e} and {y:e}", case.name));
            }
        }
    }
    fail(cases.len(), b, failures);
}

/// Every view of every case, made unfit in every way that the op must notice. It must return an error and not panic.
///
/// # Panics
/// With a list of the cases where it does not.
pub(crate) fn misfits(cases: &[Case], device: &Device) {
    let (mut failures, mut tried) = (Vec::new(), 0);
    for (number, case) in cases.iter().enumerate() {
        let mut fitting = Run::new(device, device, number);
        let answer = execute(case, &mut fitting);
        assert!(matches!(answer, Ok(Ok(()))), "{} with views that fit: {answer:?}", case.name);
        for (view, spoils) in fitting.spoils.iter().enumerate() {
            for &spoil in spoils {
                let mut run = Run::new(device, device, number);
                run.spoil = Some((view, spoil));
                tried += 1;
                match execute(case, &mut run) {
                    Ok(Err(Error::OpShape { .. })) => {}
                    Ok(Ok(())) if spoil == Spoil::OneLess && run.overruns.is_empty() => {}
                    answer => failures.push(format!("{}, view {view}, {spoil:?}: {answer:?}", case.name)),
                }
            }
        }
    }
    assert!(tried > 0, "no view to spoil");
    fail(tried, device, failures);
}

/// Every case with views that live on `other`. The device must return an error and not panic.
///
/// # Panics
/// With a list of the cases where it does not.
pub(crate) fn strangers(cases: &[Case], device: &Device, other: &Device) {
    let mut failures = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let answer = execute(case, &mut Run::new(device, other, number));
        if !matches!(answer, Ok(Err(Error::WrongDevice { .. }))) {
            failures.push(format!("{}: {answer:?}", case.name));
        }
    }
    fail(cases.len(), device, failures);
}

fn fail(of: usize, device: &Device, failures: Vec<String>) {
    if !failures.is_empty() {
        let shown = failures.iter().take(25).map(|f| format!("\n  {f}")).collect::<String>();
        panic!("{} of {of} failed on {}:{shown}", failures.len(), device.describe());
    }
}
