//! What the Rust peers share: the tasks, the images, the clock, and the line that each prints for run.py. mnist.py in Rust.

use flate2::read::GzDecoder;
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use std::{fs::File, io::Read, time::Instant};

/// `PEER TASK --data DIR --seconds S`, and the task's data.
pub struct Run {
    pub task: String,
    pub batch: usize,
    seconds: f64,
    /// [samples, 784], 0 to 1.
    x: Vec<f32>,
    /// [samples], 0 to 9.
    y: Vec<u8>,
}

impl Run {
    pub fn from_arguments() -> Run {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let task = arguments.first().expect("a task").clone();
        let option = |name: &str| {
            let at = arguments.iter().position(|a| a == name);
            at.map(|at| arguments[at + 1].clone())
        };
        let (samples, batch) = match task.as_str() {
            "mlp" => (48_000, 32),
            "mlp2" => (42_000, 128),
            "cnn" | "lstm" => (60_000, 128),
            _ => panic!("no such task: {task}"),
        };
        let folder = option("--data").unwrap_or("data/mnist".into());
        let idx = |name: &str, header: usize, size: usize| {
            let mut bytes = Vec::new();
            let file = File::open(format!("{folder}/{name}.gz")).expect("MNIST");
            GzDecoder::new(file).read_to_end(&mut bytes).expect("gzip");
            bytes[header..][..samples * size].to_vec()
        };
        let pixels = idx("train-images-idx3-ubyte", 16, 784);
        Run {
            task,
            batch,
            seconds: option("--seconds").map_or(10.0, |s| s.parse().expect("seconds")),
            x: pixels.iter().map(|&p| p as f32 / 255.0).collect(),
            y: idx("train-labels-idx1-ubyte", 8, 1),
        }
    }

    /// Trains for about `seconds` after a warm-up of one epoch, and prints what came of it. `step` trains one batch of
    /// images, [batch, 784], and labels, and returns the loss. An epoch that takes longer than `seconds` is cut off there,
    /// the warm-up too.
    pub fn measure(&self, mut step: impl FnMut(Vec<f32>, &[u8]) -> f32) {
        let mut random = StdRng::seed_from_u64(0);
        let mut order: Vec<usize> = (0..self.y.len()).collect();
        let (mut rates, mut spent, mut seen, mut loss) = (Vec::new(), 0.0, 0, 0.0);
        while spent < self.seconds {
            let (start, mut took, mut batches, mut sum) = (Instant::now(), 0.0, 0, 0.0);
            order.shuffle(&mut random);
            for rows in order.chunks_exact(self.batch) {
                let mut x = Vec::with_capacity(self.batch * 784);
                rows.iter().for_each(|&r| x.extend_from_slice(&self.x[r * 784..][..784]));
                let y: Vec<u8> = rows.iter().map(|&r| self.y[r]).collect();
                sum += step(x, &y) as f64;
                batches += 1;
                took = start.elapsed().as_secs_f64();
                if took > self.seconds {
                    break;
                }
            }
            if seen > 0 {
                rates.push((batches * self.batch) as f64 / took);
                spent += took;
            }
            seen += batches * self.batch;
            loss = sum / batches as f64; // the mean over the last epoch, or what there was of it
        }
        let epochs = seen as f64 / self.y.len() as f64;
        println!("{}", serde_json::json!({ "rates": rates, "loss": loss, "epochs": epochs }));
    }
}
