//! Scores, counts, and sums that keep their digits.

use super::*;
use handgrad::Target;
use handgrad::metrics::Score;

pub(super) fn cases(t: &mut Table) {
    let small = SIZES.into_iter().enumerate().map(|(i, rows)| (rows, SIZES[(5 * i + 3) % SIZES.len()]));
    for (rows, cols) in small.chain([(128, 10), (65, 1), (1, 65), (5000, 1), (1001, 100)]) {
        // Few different predictions, so that there are ties.
        for ties in [false, true] {
            for labels in [false, true] {
                scores(t, rows, cols, ties, labels);
                counts(t, rows, cols, ties, labels);
            }
        }
    }
    for n in SIZES.into_iter().chain([0, 1000, 100_003]) {
        for weighted in [false, true] {
            sums(t, n, weighted);
        }
        squares(t, n);
    }
}

/// A prediction, and one-hot targets or labels.
fn prediction(draw: &mut Draw, rows: usize, cols: usize, ties: bool) -> (Array, Array, Vec<u32>) {
    let p = if ties {
        draw.whole([rows, cols], 2).map(|x| 0.25 * x)
    } else {
        draw.uniform([rows, cols], 0.0, 1.0)
    };
    let labels = draw.labels(rows, cols);
    let one_hot = |e: usize| match cols {
        1 => f64::from(e as u32 % 2), // both classes occur
        _ => f64::from(u8::from(labels[e / cols] as usize == e % cols)),
    };
    let values = Array::new([rows, cols], (0..rows * cols).map(one_hot));
    (p, values, labels)
}

/// What an op must check of a prediction: beside labels, there may be any number of columns.
fn fit(labels: bool) -> Fit {
    if labels { Fit::Rows } else { Fit::All }
}

fn scores(t: &mut Table, rows: usize, cols: usize, ties: bool, labels: bool) {
    let all = [Score::Binary { threshold: 0.5 }, Score::Categorical, Score::TopK(1), Score::TopK(5)];
    for score in all.into_iter().filter(|s| !labels || !matches!(s, Score::Binary { .. })) {
        let (p, values, classes) = prediction(&mut t.draw(), rows, cols, ties);
        t.case(format!("score {score:?} {rows}x{cols}, ties {ties}, labels {labels}"), move |r| {
            let (p, mut out) = (r.input_fit(&p, fit(labels)), r.output([rows]));
            if labels {
                let target = r.labels(&classes);
                r.device.score(score, p.view(), Target::Labels(target.view()), out.view_mut())?;
            } else {
                let target = r.input(&values);
                r.device.score(score, p.view(), Target::Values(target.view()), out.view_mut())?;
            }
            r.show("rows", &out, ulps(1.0));
            Ok(())
        });
    }
}

fn counts(t: &mut Table, rows: usize, cols: usize, ties: bool, labels: bool) {
    for threshold in [Some(0.5), None] {
        let mut draw = t.draw();
        let (p, values, classes) = prediction(&mut draw, rows, cols, ties);
        let before = draw.whole([3, cols], 100);
        t.case(
            format!("count_classes {rows}x{cols} above {threshold:?}, ties {ties}, labels {labels}"),
            move |r| {
                let (p, mut counts) = (r.input(&p), r.input(&before));
                if labels {
                    let target = r.labels(&classes);
                    r.device.count_classes(
                        threshold,
                        p.view(),
                        Target::Labels(target.view()),
                        counts.view_mut(),
                    )?;
                } else {
                    let target = r.input(&values);
                    r.device.count_classes(
                        threshold,
                        p.view(),
                        Target::Values(target.view()),
                        counts.view_mut(),
                    )?;
                }
                r.show("counts", &counts, exact);
                Ok(())
            },
        );
    }
    let mut draw = t.draw();
    let classes = if cols == 1 { 2 } else { cols };
    let (p, values, _) = prediction(&mut draw, rows, cols, ties);
    let (actual, before) = (draw.labels(rows, classes), draw.whole([classes, classes], 100));
    t.case(format!("count_pairs {rows}x{cols}, ties {ties}, labels {labels}"), move |r| {
        // With one column or two there are two classes.
        let fit = if cols == 1 { fit(labels) } else { Fit::All };
        let (p, mut counts) = (r.input_fit(&p, fit), r.input(&before));
        if labels {
            let target = r.labels(&actual);
            r.device.count_pairs(p.view(), Target::Labels(target.view()), counts.view_mut())?;
        } else {
            let target = r.input(&values);
            r.device.count_pairs(p.view(), Target::Values(target.view()), counts.view_mut())?;
        }
        r.show("counts", &counts, exact);
        Ok(())
    });
}

/// What the two numbers of a sum stand for: their sum, as a tensor of one number on the oracle.
fn show_sum(r: &mut Run, acc: &Buffer, bound: f64) {
    let both = acc.view().to_vec_f64();
    let sum = Array { shape: [1].into(), values: vec![both[0] + both[1]] }.reference();
    r.show_view("acc[0] + acc[1]", sum.view(), |_| vec![bound]);
    r.show("acc", acc, |_| vec![f64::INFINITY; 2]); // how the sum is shared between them is the device's business
}

/// A sum that has come far: adding to it plainly would lose most of each x.
const SO_FAR: [f64; 2] = [1048576.0, 0.03125];

fn sums(t: &mut Table, n: usize, weighted: bool) {
    let mut draw = t.draw();
    let (x, weights) = (draw.uniform([n], -0.5, 1.5), draw.uniform([n], 0.0, 2.0));
    t.case(format!("accumulate {n}, weights {weighted}"), move |r| {
        let mut acc = r.input(&Array::new([2], SO_FAR));
        let v = r.input_fit(&x, if weighted { Fit::All } else { Fit::Free });
        let w = weighted.then(|| r.input(&weights));
        r.device.accumulate(v.view(), w.as_ref().map(Buffer::view), acc.view_mut())?;
        let terms =
            x.values.iter().zip(&weights.values).map(|(x, w)| (x * if weighted { *w } else { 1.0 }).abs());
        let terms: f64 = terms.sum();
        // Products are rounded; sums only in the second number, each to eps of what it corrects.
        let products = if weighted { EPS * terms } else { 0.0 };
        show_sum(r, &acc, products + additions(n) * EPS * EPS * (SO_FAR[0] + terms) * 4.0);
        Ok(())
    });
}

fn squares(t: &mut Table, n: usize) {
    let x = t.draw().normal([n]);
    t.case(format!("accumulate_squares {n}"), move |r| {
        let mut acc = r.input(&Array::new([2], SO_FAR));
        let v = r.input_fit(&x, Fit::Free);
        r.device.accumulate_squares(v.view(), acc.view_mut())?;
        let terms: f64 = x.values.iter().map(|x| x * x).sum();
        show_sum(r, &acc, EPS * terms + additions(n) * EPS * EPS * (SO_FAR[0] + terms) * 4.0);
        Ok(())
    });
}
