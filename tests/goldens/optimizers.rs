//! Optimizers over ten steps, and learning-rate schedules.

use super::{
    Config, ROUNDINGS, cases, close, count, devices, flag, golden, list, number, numbers, tensor, text,
    unwritten,
};
use handgrad::layers::Param;
use handgrad::optimizers::*;
use handgrad::schedules::Schedule;
use handgrad::{Device, Error};
use serde_json::Value;

fn schedule(v: &Value) -> Schedule {
    if let Some(rate) = v.as_f64() {
        return Schedule::Constant(rate);
    }
    let (steps, rate) = (|key: &str| count(&v[key]) as u64, |key: &str| number(&v[key]));
    let or = |key: &str, default: f64| v[key].as_f64().unwrap_or(default);
    let on = |key: &str| v[key].as_bool().unwrap_or(false);
    match text(&v["schedule"]) {
        "ExponentialDecay" => Schedule::ExponentialDecay {
            initial: rate("initial_learning_rate"),
            decay_steps: steps("decay_steps"),
            decay_rate: rate("decay_rate"),
            staircase: on("staircase"),
        },
        "InverseTimeDecay" => Schedule::InverseTimeDecay {
            initial: rate("initial_learning_rate"),
            decay_steps: steps("decay_steps"),
            decay_rate: rate("decay_rate"),
            staircase: on("staircase"),
        },
        "PolynomialDecay" => Schedule::PolynomialDecay {
            initial: rate("initial_learning_rate"),
            decay_steps: steps("decay_steps"),
            end: or("end_learning_rate", 0.0001),
            power: or("power", 1.0),
            cycle: on("cycle"),
        },
        "PiecewiseConstantDecay" => Schedule::PiecewiseConstantDecay {
            boundaries: list(&v["boundaries"]).iter().map(|b| count(b) as u64).collect(),
            values: numbers(&v["values"]),
        },
        "CosineDecay" => Schedule::CosineDecay {
            initial: rate("initial_learning_rate"),
            decay_steps: steps("decay_steps"),
            alpha: or("alpha", 0.0),
            warmup_target: v["warmup_target"].as_f64(),
            warmup_steps: v["warmup_steps"].as_u64().unwrap_or(0),
        },
        "CosineDecayRestarts" => Schedule::CosineDecayRestarts {
            initial: rate("initial_learning_rate"),
            first_decay_steps: steps("first_decay_steps"),
            t_mul: or("t_mul", 2.0),
            m_mul: or("m_mul", 1.0),
            alpha: or("alpha", 0.0),
        },
        other => panic!("no schedule {other}"),
    }
}

#[test]
fn schedules_are_keras_s() {
    for case in cases(&golden("schedules.json")) {
        let made = schedule(case);
        made.check().unwrap();
        let steps = list(&case["steps"]).iter().map(|s| count(s) as u64);
        let rates: Vec<f64> = steps.map(|s| made.at(s)).collect();
        // Near a cycle's end 1 − p cancels: no more digits are left than those of the largest rate.
        close(&rates, &numbers(&case["rates"]), ROUNDINGS * f64::EPSILON, &format!("{made:?}"));
    }
}

fn optimizer(case: &Value) -> Optimizer {
    let mut config = Config::new(&case["config"]);
    let c = &mut config;
    let name = text(&case["optimizer"]);
    macro_rules! configured {
        ($made:expr, $($setting:ident),*) => {{
            let made = $made;
            $(let made = c.set(stringify!($setting), made, |o, v| o.$setting(number(&v)));)*
            made
        }};
    }
    let adam = |c: &mut Config| {
        let made = c.set("beta_1", Adam::new(), |o, v| o.beta_1(number(&v)));
        let made = c.set("beta_2", made, |o, v| o.beta_2(number(&v)));
        let made = c.set("epsilon", made, |o, v| o.epsilon(number(&v)));
        c.set("amsgrad", made, |o, v| o.amsgrad(flag(v)))
    };
    let made: Optimizer = match name {
        _ if c.0.is_empty() => name.parse().unwrap(),
        "SGD" => {
            let sgd = configured!(Sgd::new(), momentum);
            c.set("nesterov", sgd, |o, v| o.nesterov(flag(v))).into()
        }
        "RMSprop" => {
            let rmsprop = configured!(RmsProp::new(), rho, momentum, epsilon);
            c.set("centered", rmsprop, |o, v| o.centered(flag(v))).into()
        }
        "Adagrad" => configured!(Adagrad::new(), initial_accumulator_value, epsilon).into(),
        "Adadelta" => configured!(Adadelta::new(), rho, epsilon).into(),
        "Adam" => adam(c).into(),
        "AdamW" => AdamW::new().adam(adam(c)).into(),
        "Adamax" => configured!(Adamax::new(), beta_1, beta_2, epsilon).into(),
        "Nadam" => configured!(Nadam::new(), beta_1, beta_2, epsilon).into(),
        _ => panic!("no optimizer {name}"),
    };
    let made = c.set("learning_rate", made, |o, v| o.learning_rate(schedule(&v)));
    let made = c.set("weight_decay", made, |o, v| o.weight_decay(number(&v)));
    let made = c.set("clipvalue", made, |o, v| o.clip_value(number(&v)));
    let made = c.set("clipnorm", made, |o, v| o.clip_norm(number(&v)));
    let made = c.set("global_clipnorm", made, |o, v| o.global_clip_norm(number(&v)));
    config.finish();
    made
}

/// Two parameters, and between them one that is not trained.
fn parameters(dev: &Device, start: &Value) -> Vec<Param> {
    let param = |name, v: &Value, trainable| {
        let value = tensor(dev, v);
        let grad = unwritten(dev, value.shape());
        Param { name, value, grad, trainable }
    };
    let start = list(start);
    vec![param("kernel", &start[0], true), param("kept", &start[1], false), param("bias", &start[1], true)]
}

fn set_gradients(params: &mut [Param], gradients: &Value) {
    for (i, golden) in [0, 2].into_iter().zip(list(gradients)) {
        params[i].grad.view_mut().write(&numbers(&golden["values"])).unwrap();
    }
}

#[test]
fn optimizers_are_keras_s() {
    let file = golden("optimizers.json");
    for (dev, epsilon) in devices() {
        for case in cases(&file) {
            let name = format!("{} {} on {}", case["optimizer"], case["config"], dev.describe());
            let mut optimizer = optimizer(case);
            let mut params = parameters(&dev, &file["start"]);
            optimizer.build(&dev, &mut params).unwrap();
            for (t, (gradients, want)) in
                list(&file["gradients"]).iter().zip(list(&case["steps"])).enumerate()
            {
                set_gradients(&mut params, gradients);
                optimizer.step(&dev, &mut params).unwrap();
                assert_eq!(optimizer.iterations(), t as u64 + 1);
                for (i, want) in [0, 2].into_iter().zip(list(want)) {
                    let what = format!("{name}, step {}: {}", t + 1, params[i].name);
                    close(&params[i].view().to_vec_f64(), &numbers(want), ROUNDINGS * epsilon, &what);
                }
            }
            assert_eq!(params[1].view().to_vec_f64(), numbers(&file["start"][1]["values"]), "{name}: kept");
        }
    }
}

/// What an optimizer remembers is its iterations and slots, and nothing else: with them, another one goes on bit for bit.
#[test]
fn a_restored_optimizer_goes_on() {
    let file = golden("optimizers.json");
    for (dev, _) in devices() {
        for case in cases(&file) {
            let (mut params, mut first) = (parameters(&dev, &file["start"]), optimizer(case));
            first.build(&dev, &mut params).unwrap();
            let gradients = list(&file["gradients"]);
            for step in &gradients[..4] {
                set_gradients(&mut params, step);
                first.step(&dev, &mut params).unwrap();
            }
            let slots: Vec<Vec<f64>> = first.slots().map(|s| s.view().to_vec_f64()).collect();
            let mut second = optimizer(case);
            second.build(&dev, &mut params).unwrap();
            second.restore(first.iterations(), &slots).unwrap();
            let values: Vec<Vec<f64>> = params.iter().map(|p| p.view().to_vec_f64()).collect();
            let mut ends = [first, second].map(|mut optimizer| {
                let mut params = parameters(&dev, &file["start"]);
                for (p, value) in params.iter_mut().zip(&values) {
                    p.value.view_mut().write(value).unwrap();
                }
                for step in &gradients[4..] {
                    set_gradients(&mut params, step);
                    optimizer.step(&dev, &mut params).unwrap();
                }
                params.iter().map(|p| p.view().to_vec_f64()).collect::<Vec<_>>()
            });
            let (first, second) = ends.split_at_mut(1);
            assert_eq!(first, second, "{}", case["optimizer"]);
        }
    }
}

#[test]
fn an_optimizer_knows_its_parameters() {
    let (dev, file) = (Device::reference(), golden("optimizers.json"));
    let mut params = parameters(&dev, &file["start"]);
    let mut adam = Optimizer::from(Adam::new());
    let refused = |e: Error, word: &str| assert!(e.to_string().contains(word) && e.hint().is_some(), "{e}");
    refused(adam.step(&dev, &mut params).unwrap_err(), "before it is built");
    adam.build(&dev, &mut params).unwrap();
    adam.build(&dev, &mut params).unwrap();
    assert_eq!(adam.slots().count(), 4);
    params[1].trainable = true;
    refused(adam.build(&dev, &mut params).unwrap_err(), "other parameters");
    set_gradients(&mut params, &file["gradients"][0]);
    refused(adam.step(&dev, &mut params).unwrap_err(), "other parameters");
    assert_eq!(adam.iterations(), 0);
    refused(adam.restore(1, &[vec![0.0]]).unwrap_err(), "other parameters");
}
