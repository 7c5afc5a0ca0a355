//! Metrics over several batches.

use super::{ROUNDINGS, Targets, cases, close, devices, golden, list, number, numbers, shape, tensor, text};
use handgrad::Loss;
use handgrad::metrics::{self, Metric};

#[test]
fn metrics_are_keras_s() {
    let file = golden("metrics.json");
    for (dev, epsilon) in devices() {
        for case in cases(&file) {
            let batches = list(&case["batches"]);
            let sparse = batches[0]["labels"].is_array();
            let loss = match sparse {
                true => Loss::SparseCategoricalCrossentropy { from_logits: false },
                false => Loss::CategoricalCrossentropy { from_logits: false },
            };
            let output = shape(&batches[0]["prediction"]["shape"]).sample();
            let name = format!("{} of {output} on {}", text(&case["metric"]), dev.describe());
            let mut metric = metrics::from_name(text(&case["metric"]), loss, output).unwrap();
            assert_eq!(metric.name(), text(&case["metric"]));
            metric.plan(&dev, output, 5).unwrap();
            // The second epoch must not remember the first.
            for epoch in 0..2 {
                metric.reset(&dev).unwrap();
                assert_eq!(metric.result().unwrap(), 0.0, "{name}: of nothing");
                for batch in batches {
                    let prediction = tensor(&dev, &batch["prediction"]);
                    metric.update(&dev, prediction.view(), Targets::new(&dev, batch).target()).unwrap();
                }
                let what = format!("{name}, epoch {epoch}");
                close(&[metric.result().unwrap()], &[number(&case["result"])], ROUNDINGS * epsilon, &what);
            }
        }
    }
}

#[test]
fn the_confusion_matrix_counts_pairs() {
    let file = golden("metrics.json");
    let case = cases(&file).iter().find(|case| case["matrix"].is_array()).unwrap();
    let want: Vec<Vec<f64>> = list(&case["matrix"]).iter().map(numbers).collect();
    for (dev, _) in devices() {
        let mut confusion = metrics::ConfusionMatrix::new("confusion_matrix");
        confusion.plan(&dev, [4].into(), 5).unwrap();
        for batch in list(&case["batches"]) {
            let prediction = tensor(&dev, &batch["prediction"]);
            confusion.update(&dev, prediction.view(), Targets::new(&dev, batch).target()).unwrap();
        }
        let got = confusion.counts().unwrap();
        let got: Vec<Vec<f64>> =
            got.rows().iter().map(|row| row.iter().map(|&n| n as f64).collect()).collect();
        assert_eq!(got, want, "{}", dev.describe());
    }
}
