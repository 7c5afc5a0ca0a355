//! Pooling.

use super::*;
use handgrad::Padding::{self, Same, Valid};
use handgrad::window::Window;

/// Input extents, window, strides, padding, channels, batch.
type Config = (&'static [usize], &'static [usize], &'static [usize], Padding, usize, usize);

const CONFIGS: [Config; 20] = [
    (&[8], &[2], &[2], Valid, 1, 1),
    (&[9], &[2], &[2], Valid, 3, 2),
    (&[9], &[3], &[1], Same, 17, 2),
    (&[6, 6], &[2, 2], &[2, 2], Valid, 1, 1),
    (&[7, 5], &[2, 2], &[2, 2], Valid, 3, 2),
    (&[7, 5], &[2, 2], &[2, 2], Same, 8, 2),
    (&[7, 5], &[3, 2], &[1, 2], Same, 15, 3),
    (&[9, 8], &[3, 3], &[2, 2], Valid, 16, 2),
    (&[9, 8], &[3, 3], &[1, 1], Same, 7, 2),
    (&[5, 5], &[5, 5], &[1, 1], Valid, 33, 2),
    (&[3, 3], &[5, 5], &[1, 1], Same, 2, 2),
    (&[4, 5], &[2, 2], &[2, 2], Same, 119, 1),
    (&[10, 11], &[2, 1], &[3, 4], Valid, 5, 2),
    (&[7, 9], &[3, 2], &[3, 4], Same, 6, 3),
    (&[26, 26], &[2, 2], &[2, 2], Valid, 32, 4),
    (&[33, 31], &[3, 3], &[2, 2], Same, 9, 5),
    (&[1, 1], &[1, 1], &[1, 1], Valid, 1, 65),
    (&[4, 5, 6], &[2, 2, 2], &[2, 2, 2], Valid, 3, 2),
    (&[4, 5, 6], &[2, 3, 2], &[1, 2, 2], Same, 9, 2),
    (&[5, 5, 5], &[3, 3, 3], &[2, 2, 2], Same, 4, 3),
];

pub(super) fn cases(t: &mut Table) {
    for config in CONFIGS {
        for ties in [false, true] {
            max(t, config, ties);
        }
        average(t, config);
    }
}

/// The window, and the shapes of x and y.
fn geometry((input, kernel, stride, padding, channels, n): Config) -> (Window, Shape, Shape) {
    let joined =
        |front: &[usize], middle: &[usize]| Shape::new(&[front, middle, &[channels]].concat()).unwrap();
    let unit = vec![1; input.len()];
    let w = Window::new(joined(&[], input), kernel, stride, &unit, padding).unwrap();
    (w, joined(&[n], input), joined(&[n], &w.output[3 - input.len()..]))
}

fn max(t: &mut Table, config: Config, ties: bool) {
    let (w, xs, ys) = geometry(config);
    let mut draw = t.draw();
    // Negative numbers show padding that wins; few different ones show which of equals is taken.
    let x = if ties { draw.whole(xs, 1).map(|x| x - 5.0) } else { draw.normal(xs).map(|x| x - 5.0) };
    let dy = draw.normal(ys);
    let mut exact_y = Device::reference().zeros(ys).unwrap();
    Device::reference().max_pool(&w, x.reference().view(), exact_y.view_mut()).unwrap();
    let y = Array::new(ys, exact_y.view().to_vec_f64());
    let again = x.clone();
    t.case(format!("max_pool {config:?}, ties {ties}"), move |r| {
        let (x, mut y) = (r.input(&again), r.output(ys));
        r.device.max_pool(&w, x.view(), y.view_mut())?;
        r.show("y", &y, exact);
        Ok(())
    });
    t.case(format!("max_pool_backward {config:?}, ties {ties}"), move |r| {
        let (vx, vy, vdy, mut dx) = (r.input(&x), r.input(&y), r.input(&dy), r.output(xs));
        r.device.max_pool_backward(&w, vx.view(), vy.view(), vdy.view(), dx.view_mut())?;
        r.show("dx", &dx, |_| {
            let (dev, mut sizes) = (Device::reference(), Device::reference().zeros(xs).unwrap());
            let (x, y, dy) = (x.reference(), y.reference(), dy.abs().reference());
            dev.max_pool_backward(&w, x.view(), y.view(), dy.view(), sizes.view_mut()).unwrap();
            times(additions(w.taps() / w.channels), &sizes.view().to_vec_f64())(&[])
        });
        Ok(())
    });
}

fn average(t: &mut Table, config: Config) {
    let (w, xs, ys) = geometry(config);
    let mut draw = t.draw();
    let (x, dy) = (draw.normal(xs), draw.normal(ys));
    let count = additions(w.taps() / w.channels);
    t.case(format!("average_pool {config:?}"), move |r| {
        let (vx, mut y) = (r.input(&x), r.output(ys));
        r.device.average_pool(&w, vx.view(), y.view_mut())?;
        r.show("y", &y, |_| {
            let (dev, mut sizes) = (Device::reference(), Device::reference().zeros(ys).unwrap());
            dev.average_pool(&w, x.abs().reference().view(), sizes.view_mut()).unwrap();
            times(count, &sizes.view().to_vec_f64())(&[])
        });
        Ok(())
    });
    t.case(format!("average_pool_backward {config:?}"), move |r| {
        let (vdy, mut dx) = (r.input(&dy), r.output(xs));
        r.device.average_pool_backward(&w, vdy.view(), dx.view_mut())?;
        r.show("dx", &dx, |_| {
            let (dev, mut sizes) = (Device::reference(), Device::reference().zeros(xs).unwrap());
            dev.average_pool_backward(&w, dy.abs().reference().view(), sizes.view_mut()).unwrap();
            times(count, &sizes.view().to_vec_f64())(&[])
        });
        Ok(())
    });
}
