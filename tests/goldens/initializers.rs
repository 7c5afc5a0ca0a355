//! Initializers: their bounds for each shape.

use super::{cases, golden, number, shape, text};
use handgrad::{Initializer, Rng};

/// Draws lie within the bounds that Keras gives its generator for the same shape, and reach them.
#[test]
fn initializers_have_keras_s_bounds() {
    for case in cases(&golden("initializers.json")) {
        let (name, shape) = (text(&case["initializer"]), shape(&case["shape"]));
        let rule: Initializer = name.parse().unwrap();
        let mut draws = Vec::new();
        let mut rng = Rng::new(11, 0);
        while draws.len() < 20_000 {
            draws.extend(rule.draw(shape, &mut rng).unwrap());
        }
        let bound = match text(&case["draw"]) {
            "uniform" => number(&case["maxval"]),
            "truncated_normal" => 2.0 * number(&case["stddev"]), // Keras cuts at two deviations
            other => panic!("no draw {other}"),
        };
        let furthest = draws.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        // Of 20,000 draws, the furthest misses the bound by 1 % with a probability below 1e-9.
        assert!(
            furthest <= bound * (1.0 + 1e-12) && furthest >= 0.99 * bound,
            "{name} {shape}: {furthest}, {bound}"
        );
    }
}
