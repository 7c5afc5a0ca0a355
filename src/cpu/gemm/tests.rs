//! Products against three loops in f64, and what threads and tails may not change.

use super::*;
use crate::backend::Backend;
use crate::cpu::random;
use crate::rng::Rng;

/// Every transpose, α and β, at sizes around the tile, the blocks and the tasks, against three loops in f64. With
/// β = 0, C holds NaN before. Rounding: k additions and one of βC.
#[test]
fn products_are_products() {
    let mut rng = Rng::new(1, 0);
    let sizes = [
        [1, 1, 1],
        [2, 3, 0],
        [5, 17, 3],
        [6, 16, 16],
        [7, 15, 33],
        [13, 33, 383],
        [65, 31, 20],
        [66, 64, 400],
        [130, 100, 70],
        [1, 300, 129],
        [300, 1, 129],
        [29, 1100, 5],
        [200, 70, 800],
        [33, 100, 784],
        [130, 37, 1111],
        [40, 260, 1030],
        [9, 530, 20],
        [600, 520, 100],
    ];
    for isa in Isa::available() {
        let cpu = Cpu::new(Some(2), Some(isa)).unwrap();
        for ([m, n, k], flags) in sizes.into_iter().flat_map(|s| (0..4).map(move |f| (s, f))) {
            let (ta, tb) = (flags & 1 != 0, flags & 2 != 0);
            let (alpha, beta) = [(1.0, 0.0), (0.5, 1.0), (1.0, -2.0), (-1.5, 0.0)][flags];
            let g = Gemm { transpose_a: ta, transpose_b: tb, alpha, beta };
            let a = if ta { random(&mut rng, [k, m]) } else { random(&mut rng, [m, k]) };
            let b = if tb { random(&mut rng, [n, k]) } else { random(&mut rng, [k, n]) };
            let mut c = random(&mut rng, [m, n]);
            if beta == 0.0 {
                c.view_mut().write_f32(&vec![f32::NAN; m * n]).unwrap();
            }
            let (av, bv, before) = (a.to_vec(), b.to_vec(), c.to_vec());
            cpu.gemm(g, a.view(), b.view(), c.view_mut()).unwrap();
            for (at, got) in c.to_vec().into_iter().enumerate() {
                let (i, j) = (at / n, at % n);
                let (mut sum, mut size) = (0.0, 0.0);
                for p in 0..k {
                    let x = av[if ta { p * m + i } else { i * k + p }] as f64;
                    let y = bv[if tb { j * k + p } else { p * n + j }] as f64;
                    (sum, size) = (sum + x * y, size + (x * y).abs());
                }
                let old = if beta == 0.0 { 0.0 } else { beta * before[at] as f64 };
                let tol = (alpha.abs() * size + old.abs()) * (k + 4) as f64 * f32::EPSILON as f64;
                let err = (got as f64 - (alpha * sum + old)).abs();
                assert!(err <= tol, "{isa} {m}×{n}×{k} {g:?}: C[{i}, {j}] = {got}, off by {err:e}");
            }
        }
    }
}

/// The same bits on 1, 2 and 5 threads.
#[test]
fn threads_do_not_show() {
    for [m, n, k] in [[32, 100, 784], [784, 100, 32], [150, 130, 900], [64, 50, 1600], [600, 520, 100]] {
        let mut bits: Option<Vec<u32>> = None;
        for threads in [1, 2, 5] {
            let cpu = Cpu::new(Some(threads), None).unwrap();
            let mut rng = Rng::new(m as u64, 2);
            let (a, b) = (random(&mut rng, [m, k]), random(&mut rng, [k, n]));
            let mut c = cpu.zeros([m, n].into()).unwrap();
            cpu.gemm(Gemm::nn(), a.view(), b.view(), c.view_mut()).unwrap();
            let now: Vec<u32> = c.to_vec().iter().map(|x| x.to_bits()).collect();
            assert!(*bits.get_or_insert_with(|| now.clone()) == now, "{threads} threads");
        }
    }
}

/// The tail in registers is the plain ops one after the other: bias and relu, NaN kept.
#[test]
fn bias_and_relu_ride_along() {
    let mut rng = Rng::new(3, 0);
    let cpu = Cpu::new(Some(1), None).unwrap();
    for [m, n, k] in [[1, 1, 1], [7, 19, 5], [20, 16, 800], [3, 5, 0]] {
        let (mut x, w, b) = (random(&mut rng, [m, k]), random(&mut rng, [k, n]), random(&mut rng, [1, n]));
        if k > 0 {
            x.view_mut().f32().unwrap()[0] = f32::NAN;
        }
        let (mut y, mut want) = (cpu.zeros([m, n].into()).unwrap(), cpu.zeros([m, n].into()).unwrap());
        cpu.dense(Activation::Relu, x.view(), w.view(), Some(b.view()), y.view_mut()).unwrap();
        cpu.gemm(Gemm::nn(), x.view(), w.view(), want.view_mut()).unwrap();
        let (bias, want) = (b.to_vec(), want.to_vec());
        for (at, (got, sum)) in y.to_vec().into_iter().zip(want).enumerate() {
            let z = sum + bias[at % n];
            let relu = if z < 0.0 { 0.0 } else { z };
            assert!((got - relu).abs() <= 1e-6 || (got.is_nan() && relu.is_nan()), "{got} is not {relu}");
        }
    }
}

/// Relu's derivative in the tail is a product and then its derivative, to the bit, whatever x and w hold.
#[test]
fn the_derivative_of_relu_rides_along() {
    let mut rng = Rng::new(4, 0);
    for isa in Isa::available() {
        let cpu = Cpu::new(Some(2), Some(isa)).unwrap();
        for [m, n, k] in [[1, 1, 1], [7, 19, 5], [20, 16, 800], [150, 130, 70], [3, 5, 0]] {
            let (mut dz, w) = (random(&mut rng, [m, k]), random(&mut rng, [n, k]));
            let mut x = random(&mut rng, [m, n]);
            x.view_mut().f32().unwrap()[m * n / 2] = f32::NAN;
            if k > 0 {
                dz.view_mut().f32().unwrap()[0] = f32::INFINITY;
            }
            let [mut dx, mut want] = [0, 1].map(|_| cpu.zeros([m, n].into()).unwrap());
            dx.view_mut().write_f32(&vec![f32::NAN; m * n]).unwrap();
            let f = Activation::Relu;
            cpu.dense_backward_input(f, dz.view(), w.view(), x.view(), dx.view_mut()).unwrap();
            cpu.gemm(Gemm::nt(), dz.view(), w.view(), want.view_mut()).unwrap();
            cpu.activation_backward(f, None, x.view(), want.view_mut()).unwrap();
            let bits = |t: crate::Tensor| t.to_vec().into_iter().map(f32::to_bits).collect::<Vec<_>>();
            assert!(bits(dx) == bits(want), "{isa} {m}×{n}×{k}");
        }
    }
}
