//! Element by element, bias, sums over rows, dropout.

use super::*;
use handgrad::HostRows;
use handgrad::rng::Noise;

/// Lengths of flat views: small ones, and one that is shared out to several threads.
fn lengths() -> impl Iterator<Item = usize> {
    SIZES.into_iter().chain([0, 1000, 100_003])
}

/// Rows and columns.
fn matrices() -> impl Iterator<Item = (usize, usize)> {
    let small = SIZES.into_iter().enumerate().map(|(i, rows)| (rows, SIZES[(5 * i + 3) % SIZES.len()]));
    small.chain([(1, 1), (0, 3), (65, 1), (1, 65), (300, 301), (20_011, 3), (5, 20_011)])
}

pub(super) fn cases(t: &mut Table) {
    one_view(t);
    two_views(t);
    moves(t);
    rows(t);
    loads(t);
    dropout(t);
}

fn one_view(t: &mut Table) {
    for n in lengths() {
        t.case(format!("fill {n}"), move |r| {
            let mut y = r.output_fit([n], Fit::Free);
            r.device.fill(-1.5, y.view_mut())?;
            r.show("y", &y, exact);
            Ok(())
        });
        let y = t.draw().normal([n]);
        t.case(format!("scale {n}"), move |r| {
            let mut y = r.input_fit(&y, Fit::Free);
            r.device.scale(0.1, y.view_mut())?;
            r.show("y", &y, ulps(1.0));
            Ok(())
        });
        let mut y = t.draw().normal([n]);
        if let Some(y) = y.values.get_mut(n / 2) {
            *y = f64::NAN; // stays
        }
        t.case(format!("clamp {n}"), move |r| {
            let mut y = r.input_fit(&y, Fit::Free);
            r.device.clamp(-0.5, 0.75, y.view_mut())?;
            r.show("y", &y, exact);
            Ok(())
        });
    }
}

fn two_views(t: &mut Table) {
    for n in lengths() {
        let mut draw = t.draw();
        let (x, y) = (draw.normal([n]), draw.normal([n]));
        t.case(format!("copy {n}"), move |r| {
            let (x, mut y) = (r.input(&x), r.input(&y));
            r.device.copy(x.view(), y.view_mut())?;
            r.show("y", &y, exact);
            Ok(())
        });
        let (x, y) = (draw.normal([n]), draw.normal([n]));
        t.case(format!("add_scaled {n}"), move |r| {
            let (a, mut out) = (r.input(&x), r.input(&y));
            r.device.add_scaled(-0.3, a.view(), out.view_mut())?;
            let sizes: Vec<f64> =
                x.values.iter().zip(&y.values).map(|(x, y)| (0.3 * x).abs() + y.abs()).collect();
            r.show("y", &out, times(2.0, &sizes));
            Ok(())
        });
        let (x, y) = (draw.normal([n]), draw.normal([n]));
        t.case(format!("interpolate {n}"), move |r| {
            let (a, mut out) = (r.input(&x), r.input(&y));
            r.device.interpolate(0.01, a.view(), out.view_mut())?;
            let size = |(x, y): (&f64, &f64)| y.abs() + 0.01 * (x.abs() + y.abs());
            let sizes: Vec<f64> = x.values.iter().zip(&y.values).map(size).collect();
            r.show("y", &out, times(2.0, &sizes));
            Ok(())
        });
        let (x, y) = (draw.normal([n]), draw.normal([n]));
        t.case(format!("multiply {n}"), move |r| {
            let (x, mut y) = (r.input(&x), r.input(&y));
            r.device.multiply(x.view(), y.view_mut())?;
            r.show("y", &y, ulps(1.0));
            Ok(())
        });
    }
}

fn moves(t: &mut Table) {
    for (a, b) in matrices() {
        for rest in [1, 3, 16, 17] {
            if a * b > 70_000 && rest > 3 {
                continue;
            }
            let x = t.draw().normal([a, b, rest]);
            t.case(format!("swap_axes {a}x{b}x{rest}"), move |r| {
                let (x, mut y) = (r.input(&x), r.output([b, a, rest]));
                r.device.swap_axes(x.view(), y.view_mut())?;
                r.show("y", &y, exact);
                Ok(())
            });
        }
        let x = t.draw().normal([a, b]);
        t.case(format!("swap_axes {a}x{b}"), move |r| {
            let (x, mut y) = (r.input(&x), r.output([b, a]));
            r.device.swap_axes(x.view(), y.view_mut())?;
            r.show("y", &y, exact);
            Ok(())
        });
        for (from, to, more) in [(0, 0, 0), (2, 0, 5), (0, 3, 3), (1, 4, 6)] {
            let mut draw = t.draw();
            let (x, y) = (draw.normal([a, b + more]), draw.normal([a, b + more]));
            t.case(format!("copy_columns {a}x{b} from {from} to {to}"), move |r| {
                let (x, mut y) = (r.input_fit(&x, Fit::Rows), r.input_fit(&y, Fit::Rows));
                r.device.copy_columns(x.view(), from, y.view_mut(), to, b)?;
                r.show("y", &y, exact);
                Ok(())
            });
        }
    }
}

fn rows(t: &mut Table) {
    for (rows, cols) in matrices() {
        let mut draw = t.draw();
        let (b, y) = (draw.normal([cols]), draw.normal([rows, cols]));
        t.case(format!("add_bias {rows}x{cols}"), move |r| {
            let (b, mut y) = (r.input(&b), r.input_fit(&y, Fit::Columns));
            r.device.add_bias(b.view(), y.view_mut())?;
            r.show("y", &y, ulps(1.0));
            Ok(())
        });
        let x = draw.normal([rows, cols]);
        t.case(format!("sum_rows {rows}x{cols}"), move |r| {
            let (v, mut y) = (r.input_fit(&x, Fit::Columns), r.output([cols]));
            r.device.sum_rows(v.view(), y.view_mut())?;
            let column = |j: usize| (0..rows).map(|i| x.values[i * cols + j].abs()).sum();
            let sizes: Vec<f64> = (0..cols).map(column).collect();
            r.show("y", &y, times(additions(rows), &sizes));
            Ok(())
        });
        let x = draw.whole([rows, cols], 9);
        t.case(format!("sum_rows {rows}x{cols} of whole numbers"), move |r| {
            let (x, mut y) = (r.input_fit(&x, Fit::Columns), r.output([cols]));
            r.device.sum_rows(x.view(), y.view_mut())?;
            r.show("y", &y, exact);
            Ok(())
        });
    }
}

fn loads(t: &mut Table) {
    // The last one is cut into columns, and into rows.
    for (rows, width) in matrices().filter(|&(rows, _)| rows > 0).chain([(150, 700)]) {
        let mut draw = t.draw();
        let there = rows + 3;
        let floats: Vec<f32> = draw.normal([there, width]).values.iter().map(|&x| x as f32).collect();
        let order = draw.labels(rows, there);
        let again = order.clone();
        t.case(format!("load_rows {rows}x{width} of floats"), move |r| {
            let mut y = r.output_fit([rows, width], Fit::Rows);
            r.device.load_rows(HostRows::F32(&floats), &again, y.view_mut())?;
            r.show("y", &y, exact);
            Ok(())
        });
        let bytes: Vec<u8> = draw.labels(there * width, 256).iter().map(|&x| x as u8).collect();
        t.case(format!("load_rows {rows}x{width} of bytes"), move |r| {
            let mut y = r.output_fit([rows, width], Fit::Rows);
            let rows = HostRows::U8 { bytes: &bytes, scale: 1.0 / 255.0 };
            r.device.load_rows(rows, &order, y.view_mut())?;
            r.show("y", &y, ulps(1.0));
            Ok(())
        });
    }
}

fn dropout(t: &mut Table) {
    for n in lengths() {
        for (i, rate) in [0.0, 0.2, 0.5, 0.9].into_iter().enumerate() {
            let x = t.draw().normal([n]);
            let noise = Noise { seed: 0x0123_4567_89ab_cdef + n as u64, layer: i as u32, step: 3 };
            t.case(format!("dropout {n} at {rate}"), move |r| {
                let (x, mut y) = (r.input(&x), r.output([n]));
                r.device.dropout(rate, noise, x.view(), y.view_mut())?;
                r.show("y", &y, ulps(2.0));
                Ok(())
            });
        }
    }
}
