//! Convolution: unrolling, its transpose, and the three fused ops.

use super::gemm::behind;
use super::winograd;
use super::*;
use handgrad::window::Window;
use handgrad::{Activation, Padding};

/// A convolution: input extents, kernel, strides, dilations, padding, channels, filters, batch.
type Config =
    (&'static [usize], &'static [usize], &'static [usize], &'static [usize], Padding, usize, usize, usize);

use Padding::{Same, Valid};

const CONFIGS: [Config; 26] = [
    (&[9], &[3], &[1], &[1], Valid, 1, 1, 1),
    (&[17], &[5], &[2], &[1], Same, 3, 7, 2),
    (&[31], &[3], &[1], &[4], Same, 5, 8, 3),
    (&[16], &[4], &[3], &[2], Valid, 2, 17, 2),
    (&[7, 7], &[3, 3], &[1, 1], &[1, 1], Valid, 1, 1, 1),
    (&[8, 9], &[3, 2], &[2, 1], &[1, 1], Same, 3, 5, 2),
    (&[28, 28], &[3, 3], &[1, 1], &[1, 1], Valid, 1, 32, 2),
    (&[28, 28], &[5, 5], &[1, 1], &[1, 1], Same, 1, 6, 3),
    (&[13, 11], &[5, 3], &[2, 2], &[1, 1], Valid, 7, 8, 2),
    (&[13, 11], &[3, 3], &[1, 1], &[2, 3], Same, 4, 9, 2),
    (&[9, 9], &[1, 1], &[1, 1], &[1, 1], Valid, 8, 16, 2),
    (&[9, 9], &[1, 1], &[2, 2], &[1, 1], Same, 9, 15, 2),
    (&[5, 6], &[5, 6], &[1, 1], &[1, 1], Valid, 3, 4, 3),
    (&[3, 3], &[5, 5], &[1, 1], &[1, 1], Same, 2, 3, 2),
    (&[10, 10], &[2, 2], &[3, 3], &[1, 1], Valid, 3, 2, 2),
    (&[16, 15], &[3, 3], &[1, 1], &[1, 1], Same, 16, 33, 1),
    (&[13, 13], &[3, 3], &[1, 1], &[1, 1], Valid, 32, 64, 3),
    (&[32, 31], &[3, 3], &[1, 1], &[1, 1], Same, 8, 16, 4),
    (&[9, 15], &[3, 3], &[1, 1], &[1, 1], Same, 19, 37, 2),
    (&[7, 6], &[3, 3], &[1, 1], &[1, 1], Same, 40, 70, 5),
    (&[14, 13], &[3, 3], &[1, 1], &[1, 1], Valid, 16, 16, 9),
    (&[2, 6, 5], &[1, 3, 3], &[1, 1, 1], &[1, 1, 1], Valid, 17, 16, 2),
    (&[4, 5, 6], &[2, 3, 2], &[1, 1, 1], &[1, 1, 1], Valid, 3, 5, 2),
    (&[4, 5, 6], &[3, 3, 3], &[2, 1, 2], &[1, 1, 1], Same, 2, 7, 2),
    (&[5, 5, 5], &[2, 2, 2], &[1, 1, 1], &[2, 2, 2], Valid, 1, 3, 2),
    (&[6, 7, 8], &[3, 3, 3], &[1, 1, 1], &[1, 1, 1], Same, 4, 17, 2),
];

/// Convolutions, and the window, strides and padding of the max pooling above: one image in a block and several parts of
/// the batch, several images in a block, windows that overlap or leave something out, more filters than registers, images
/// that are too large for a cache, one in tiles, one whose kernel is cut.
type Pool = (&'static [usize], &'static [usize], Padding);
const POOLED: [(Config, Pool); 11] = [
    ((&[28, 28], &[3, 3], &[1, 1], &[1, 1], Valid, 1, 32, 17), (&[2, 2], &[2, 2], Valid)),
    ((&[7, 7], &[3, 3], &[1, 1], &[1, 1], Valid, 3, 5, 23), (&[2, 2], &[2, 2], Same)),
    ((&[9, 8], &[3, 2], &[2, 1], &[1, 1], Same, 2, 7, 3), (&[3, 3], &[2, 2], Same)),
    ((&[12, 10], &[5, 5], &[1, 1], &[1, 1], Same, 3, 70, 2), (&[2, 2], &[2, 2], Valid)),
    ((&[17], &[3], &[1], &[2], Valid, 4, 17, 5), (&[2], &[3], Valid)),
    ((&[4, 6, 5], &[2, 3, 2], &[1, 1, 1], &[1, 1, 1], Valid, 2, 9, 4), (&[2, 2, 2], &[1, 1, 1], Valid)),
    ((&[6, 6], &[6, 6], &[1, 1], &[1, 1], Valid, 1, 3, 300), (&[1, 1], &[1, 1], Valid)),
    ((&[64, 64], &[3, 3], &[1, 1], &[1, 1], Valid, 1, 32, 1), (&[2, 2], &[2, 2], Valid)),
    ((&[13, 13], &[3, 3], &[1, 1], &[1, 1], Valid, 16, 16, 3), (&[2, 2], &[2, 2], Valid)),
    ((&[16, 16], &[5, 5], &[1, 1], &[1, 1], Valid, 40, 24, 2), (&[2, 2], &[2, 2], Valid)),
    ((&[10, 10], &[7, 7], &[1, 1], &[1, 1], Same, 8, 33, 2), (&[3, 2], &[3, 2], Valid)),
];

/// The shapes of one convolution.
#[derive(Clone, Copy)]
struct Geometry {
    w: Window,
    x: Shape,
    y: Shape,
    kernel: Shape,
    cols: Shape,
    filters: usize,
    n: usize,
}

fn geometry(c: Config) -> Geometry {
    let (input, kernel, stride, dilation, padding, channels, filters, n) = c;
    let w = Window::new(joined(&[], input, channels), kernel, stride, dilation, padding).unwrap();
    let outputs = &w.output[3 - input.len()..];
    Geometry {
        w,
        x: joined(&[n], input, channels),
        y: joined(&[n], outputs, filters),
        kernel: Shape::new(&[kernel, &[channels, filters]].concat()).unwrap(),
        cols: [n * w.positions(), w.taps()].into(),
        filters,
        n,
    }
}

fn joined(front: &[usize], middle: &[usize], last: usize) -> Shape {
    Shape::new(&[front, middle, &[last]].concat()).unwrap()
}

pub(super) fn cases(t: &mut Table) {
    for (i, config) in CONFIGS.into_iter().enumerate() {
        let g = geometry(config);
        unroll(t, &config, g);
        for whole in [false, true] {
            let activations = [Activation::Linear, Activation::Relu, Activation::Tanh, Activation::Softmax];
            forward(
                t,
                &config,
                g,
                if whole { Activation::Relu } else { activations[i % 4] },
                whole,
                i % 3 > 0,
            );
            backward_kernel(t, &config, g, whole);
            backward_input(t, &config, g, whole);
        }
    }
    for (i, (config, pool)) in POOLED.into_iter().enumerate() {
        pool_backward(t, &config, &pool, i % 2 == 0);
    }
}

fn unroll(t: &mut Table, config: &Config, g: Geometry) {
    let mut draw = t.draw();
    let (x, dcols) = (draw.normal(g.x), draw.normal(g.cols));
    t.case(format!("im2col {config:?}"), move |r| {
        let (x, mut cols) = (r.input(&x), r.output(g.cols));
        r.device.im2col(&g.w, x.view(), cols.view_mut())?;
        r.show("cols", &cols, exact);
        Ok(())
    });
    t.case(format!("col2im {config:?}"), move |r| {
        let (v, mut dx) = (r.input(&dcols), r.output(g.x));
        r.device.col2im(&g.w, v.view(), dx.view_mut())?;
        r.show("dx", &dx, |_| {
            let (dev, mut sizes) = (Device::reference(), Device::reference().zeros(g.x).unwrap());
            dev.col2im(&g.w, dcols.abs().reference().view(), sizes.view_mut()).unwrap();
            times(additions(g.w.taps() / g.w.channels), &sizes.view().to_vec_f64())(&[])
        });
        Ok(())
    });
}

fn forward(t: &mut Table, config: &Config, g: Geometry, f: Activation, whole: bool, bias: bool) {
    let mut draw = t.draw();
    let mut array = |shape: Shape| if whole { draw.whole(shape, 3) } else { draw.normal(shape) };
    let (x, b) = (array(g.x), array([g.filters].into()));
    let kernel = if whole { array(g.kernel) } else { array(g.kernel).map(|k| 0.3 * k) };
    t.case(format!("conv {config:?} {f}, bias {bias}, whole {whole}"), move |r| {
        let (vx, vk, vb) = (r.input(&x), r.input(&kernel), bias.then(|| r.input(&b)));
        let mut scratch = r.scratch(r.device.conv_scratch(&g.w, g.filters, g.n));
        let mut y = r.output(g.y);
        let bias = vb.as_ref().map(Buffer::view);
        r.device.conv(&g.w, f, vx.view(), vk.view(), bias, scratch.view_mut(), y.view_mut())?;
        let in_tiles = r.tested.conv_in_tiles(&g.w, g.filters);
        if whole && !in_tiles {
            r.show("y", &y, exact);
            return Ok(());
        }
        r.show("y", &y, |want| {
            if in_tiles {
                let mut sizes = winograd::forward(&g.w, g.filters, &x.values, &kernel.values);
                for (size, at) in sizes.iter_mut().zip(0..) {
                    *size += if bias.is_some() { b.at(at % g.filters).abs() } else { 0.0 };
                }
                return behind(f, g.filters, want, &times(winograd::additions(g.w.channels), &sizes)(&[]));
            }
            let (x, kernel, b) = (x.abs().reference(), kernel.abs().reference(), b.abs().reference());
            let dev = Device::reference();
            let mut scratch = dev.zeros([dev.conv_scratch(&g.w, g.filters, g.n)].into()).unwrap();
            let mut sizes = dev.zeros(g.y).unwrap();
            let b = vb.is_some().then_some(b.view());
            let views = (scratch.view_mut(), sizes.view_mut());
            dev.conv(&g.w, Activation::Linear, x.view(), kernel.view(), b, views.0, views.1).unwrap();
            let dz = times(additions(g.w.taps() + 1), &sizes.view().to_vec_f64())(&[]);
            behind(f, g.filters, want, &dz)
        });
        Ok(())
    });
}

fn backward_kernel(t: &mut Table, config: &Config, g: Geometry, whole: bool) {
    let mut draw = t.draw();
    let mut array = |shape: Shape| if whole { draw.whole(shape, 3) } else { draw.normal(shape) };
    let (x, dz) = (array(g.x), array(g.y));
    t.case(format!("conv_backward_kernel {config:?}, whole {whole}"), move |r| {
        let (vx, vdz) = (r.input(&x), r.input(&dz));
        let mut scratch = r.scratch(r.device.conv_scratch(&g.w, g.filters, g.n));
        let mut dk = r.output(g.kernel);
        r.device.conv_backward_kernel(&g.w, vx.view(), vdz.view(), scratch.view_mut(), dk.view_mut())?;
        let in_tiles = r.tested.conv_in_tiles(&g.w, g.filters);
        if whole && !in_tiles {
            r.show("dk", &dk, exact);
            return Ok(());
        }
        r.show("dk", &dk, |_| {
            if in_tiles {
                let sizes = winograd::backward_kernel(&g.w, g.filters, &x.values, &dz.values);
                return times(winograd::additions(g.n * g.w.positions()), &sizes)(&[]);
            }
            let (x, dz) = (x.abs().reference(), dz.abs().reference());
            let dev = Device::reference();
            let mut scratch = dev.zeros([dev.conv_scratch(&g.w, g.filters, g.n)].into()).unwrap();
            let mut sizes = dev.zeros(g.kernel).unwrap();
            let views = (scratch.view_mut(), sizes.view_mut());
            dev.conv_backward_kernel(&g.w, x.view(), dz.view(), views.0, views.1).unwrap();
            times(additions(g.n * g.w.positions()), &sizes.view().to_vec_f64())(&[])
        });
        Ok(())
    });
}

fn pool_backward(t: &mut Table, config: &Config, pool: &Pool, bias: bool) {
    let g = geometry(*config);
    let axes = config.0.len();
    let size = &g.y.dims()[1..];
    let above = Window::new(Shape::new(size).unwrap(), pool.0, pool.1, &vec![1; axes], pool.2).unwrap();
    let pooled = joined(&[g.n], &above.output[3 - axes..], g.filters);
    let mut draw = t.draw();
    let (x, y, dq) = (draw.normal(g.x), draw.normal(g.y), draw.normal(pooled));
    let mut largest = Device::reference().zeros(pooled).unwrap();
    Device::reference().max_pool(&above, y.reference().view(), largest.view_mut()).unwrap();
    let q = Array::new(pooled, largest.view().to_vec_f64());
    t.case(format!("conv_pool_backward {config:?} {pool:?}, bias {bias}"), move |r| {
        let (vx, vy, vq, vdq) = (r.input(&x), r.input(&y), r.input(&q), r.input(&dq));
        let mut scratch = r.scratch(r.device.conv_scratch(&g.w, g.filters, g.n));
        let (mut dz, mut dk) = (r.output(g.y), r.output(g.kernel));
        let mut db = bias.then(|| r.output([g.filters]));
        r.device.conv_pool_backward(
            &g.w,
            &above,
            vx.view(),
            [vy.view(), vq.view(), vdq.view()],
            scratch.view_mut(),
            dz.view_mut(),
            dk.view_mut(),
            db.as_mut().map(Buffer::view_mut),
        )?;
        // dz of absolute values, which is also what the rows of a bias add up.
        let dev = Device::reference();
        let mut sizes = dev.zeros(g.y).unwrap();
        let (of_y, of_q, of_dq) = (y.reference(), q.reference(), dq.abs().reference());
        dev.max_pool_backward(&above, of_y.view(), of_q.view(), of_dq.view(), sizes.view_mut()).unwrap();
        let dz = Array::new(g.y, sizes.view().to_vec_f64());
        // A number of dz may be a sum over windows that overlap.
        let terms = additions(g.n * g.w.positions()) + additions(above.taps() / above.channels);
        if let Some(db) = &db {
            let (rows, mut sum) = (dz.reference(), dev.zeros([g.filters].into()).unwrap());
            dev.sum_rows(rows.view(), sum.view_mut()).unwrap();
            r.show("db", db, times(terms, &sum.view().to_vec_f64()));
        }
        r.show("dk", &dk, |_| {
            if r.tested.conv_in_tiles(&g.w, g.filters) {
                let sizes = winograd::backward_kernel(&g.w, g.filters, &x.values, &dz.values);
                return times(winograd::additions(g.n * g.w.positions()), &sizes)(&[]);
            }
            let (x, dz) = (x.abs().reference(), dz.reference());
            let mut scratch = dev.zeros([dev.conv_scratch(&g.w, g.filters, g.n)].into()).unwrap();
            let mut sizes = dev.zeros(g.kernel).unwrap();
            dev.conv_backward_kernel(&g.w, x.view(), dz.view(), scratch.view_mut(), sizes.view_mut())
                .unwrap();
            times(terms, &sizes.view().to_vec_f64())(&[])
        });
        Ok(())
    });
}

fn backward_input(t: &mut Table, config: &Config, g: Geometry, whole: bool) {
    let mut draw = t.draw();
    let mut array = |shape: Shape| if whole { draw.whole(shape, 3) } else { draw.normal(shape) };
    let (dz, kernel) = (array(g.y), array(g.kernel));
    t.case(format!("conv_backward_input {config:?}, whole {whole}"), move |r| {
        let (vdz, vk) = (r.input(&dz), r.input(&kernel));
        let mut scratch = r.scratch(r.device.conv_scratch(&g.w, g.filters, g.n));
        let mut dx = r.output(g.x);
        r.device.conv_backward_input(&g.w, vdz.view(), vk.view(), scratch.view_mut(), dx.view_mut())?;
        let in_tiles = r.tested.conv_in_tiles(&g.w, g.filters);
        if whole && !in_tiles {
            r.show("dx", &dx, exact);
            return Ok(());
        }
        r.show("dx", &dx, |_| {
            if in_tiles {
                let sizes = winograd::backward_input(&g.w, g.filters, &dz.values, &kernel.values);
                return times(winograd::additions(g.filters), &sizes)(&[]);
            }
            let (dz, kernel) = (dz.abs().reference(), kernel.abs().reference());
            let dev = Device::reference();
            let mut scratch = dev.zeros([dev.conv_scratch(&g.w, g.filters, g.n)].into()).unwrap();
            let mut sizes = dev.zeros(g.x).unwrap();
            let views = (scratch.view_mut(), sizes.view_mut());
            dev.conv_backward_input(&g.w, dz.view(), kernel.view(), views.0, views.1).unwrap();
            times(additions(g.filters * g.w.taps() / g.w.channels), &sizes.view().to_vec_f64())(&[])
        });
        Ok(())
    });
}
