//! Configurations: whatever can be made can be written down, and comes back the same; what is misspelt is named.

use handgrad::config::{Config, FromValue};
use handgrad::layers::*;
use handgrad::model::Compile;
use handgrad::optimizers::*;
use handgrad::schedules::Schedule;
use handgrad::{Activation, Initializer, Loss, Optimizer, Padding, Sequential};
use serde_json::{Value, json};

/// One of each layer, with nothing at its default.
fn layers() -> Vec<Box<dyn Layer>> {
    let bias = Initializer::Constant(0.1);
    let normal = Initializer::RandomNormal { mean: 0.25, stddev: 1.0 / 3.0 };
    let relu = Activation::LeakyRelu { negative_slope: 0.1 };
    vec![
        Box::new(Input::new([28, 28])),
        Box::new(
            Dense::new(7)
                .activation(Activation::Elu { alpha: 0.5 })
                .use_bias(false)
                .kernel_initializer(normal)
                .bias_initializer(bias),
        ),
        Box::new(ActivationLayer::new(Activation::Gelu { approximate: true })),
        Box::new(Flatten::new()),
        Box::new(Reshape::new([4, 3, 2])),
        Box::new(Dropout::new(0.3)),
        Box::new(
            BatchNormalization::new()
                .momentum(0.9)
                .epsilon(1e-5)
                .center(false)
                .scale(false)
                .beta_initializer(normal)
                .gamma_initializer(bias),
        ),
        Box::new(
            Conv1D::new(3, 5)
                .dilation_rate(2)
                .padding(Padding::Same)
                .activation(relu)
                .use_bias(false)
                .kernel_initializer(Initializer::HeNormal)
                .bias_initializer(bias),
        ),
        Box::new(
            Conv2D::new(3, [5, 4]).strides([2, 1]).kernel_initializer(Initializer::Orthogonal { gain: 0.5 }),
        ),
        Box::new(Conv3D::new(3, [5, 4, 3]).activation(Activation::Tanh)),
        Box::new(MaxPooling1D::new(3).strides(2).padding(Padding::Same)),
        Box::new(MaxPooling2D::new([3, 4]).strides([2, 1])),
        Box::new(MaxPooling3D::new([3, 4, 5])),
        Box::new(AveragePooling1D::new(3).padding(Padding::Same)),
        Box::new(AveragePooling2D::new([3, 4]).strides([2, 1])),
        Box::new(AveragePooling3D::new([3, 4, 5])),
        Box::new(GlobalMaxPooling1D::new()),
        Box::new(GlobalMaxPooling2D::new()),
        Box::new(GlobalMaxPooling3D::new()),
        Box::new(GlobalAveragePooling1D::new()),
        Box::new(GlobalAveragePooling2D::new()),
        Box::new(GlobalAveragePooling3D::new()),
        Box::new(
            SimpleRNN::new(4)
                .activation(Activation::Relu)
                .use_bias(false)
                .kernel_initializer(normal)
                .recurrent_initializer(Initializer::Identity { gain: 0.9 })
                .bias_initializer(bias)
                .return_sequences(true)
                .go_backwards(true)
                .truncate(3),
        ),
        Box::new(
            LSTM::new(4)
                .activation(Activation::Softsign)
                .recurrent_activation(Activation::Relu)
                .unit_forget_bias(false)
                .return_sequences(true),
        ),
        Box::new(
            GRU::new(4)
                .activation(Activation::Softsign)
                .recurrent_activation(Activation::Relu)
                .reset_after(false)
                .go_backwards(true),
        ),
    ]
}

fn object(value: Value) -> Config {
    value.as_object().cloned().unwrap()
}

/// Through text, as in a file: a float must come back with the same bits.
fn through_text(value: &Value) -> Value {
    serde_json::from_str(&value.to_string()).unwrap()
}

/// Fails if a layer forgets an option when it is written, or when it is read: then that one is at its default again.
#[test]
fn every_layer_comes_back_with_all_its_options() {
    for layer in layers() {
        let kind = layer.kind();
        let config = layer.config().unwrap_or_else(|| panic!("{kind} has no configuration"));
        let read = object(through_text(&config.clone().into()));
        let twin = from_config(kind, &read).unwrap_or_else(|e| panic!("{kind}: {e}"));
        assert_eq!((twin.kind(), twin.describe()), (kind, layer.describe()));
        assert_eq!(twin.config().unwrap(), config, "{kind}");
    }
    let tested: Vec<&str> = layers().iter().map(|l| l.kind()).collect();
    for kind in kinds().filter(|&kind| kind != "InputLayer") {
        assert!(tested.contains(&kind), "{kind} is not tested");
    }
}

/// Every entry of every layer, with one letter too many.
#[test]
fn a_misspelt_entry_is_refused_with_the_nearest_name() {
    for layer in layers() {
        let (kind, config) = (layer.kind(), layer.config().unwrap());
        for key in config.keys() {
            let mut wrong = config.clone();
            let value = wrong.remove(key).unwrap();
            let misspelt = format!("{key}z");
            wrong.insert(misspelt.clone(), value);
            let error = from_config(kind, &wrong).err().unwrap_or_else(|| panic!("{kind} took {misspelt}"));
            assert_eq!(error.to_string(), format!("unknown option of {kind} `{misspelt}`"));
            let hint = error.hint().unwrap();
            assert!(hint.starts_with(&format!("did you mean `{key}`?")), "{kind}, {misspelt}: {hint}");
        }
    }
    let error = from_config("Dens", &Config::new()).err().unwrap();
    assert!(error.hint().unwrap().starts_with("did you mean `Dense`?"), "{error:?}");
    let error = from_config("Dense", &object(json!({"units": 3, "activation": "rleu"}))).err().unwrap();
    assert!(error.hint().unwrap().starts_with("did you mean `relu`?"), "{error:?}");
    let error = from_config("Dense", &object(json!({"units": -3}))).err().unwrap();
    assert!(error.to_string().starts_with("`units` of Dense: -3 is not"), "{error}");
}

#[test]
fn what_is_left_out_or_null_has_its_default() {
    let plain = Dense::new(3).config().unwrap();
    for short in [json!({"units": 3}), json!({"units": 3, "activation": null, "use_bias": null, "name": "a"})]
    {
        assert_eq!(from_config("Dense", &object(short)).unwrap().config().unwrap(), plain);
    }
    let people = from_config("Input", &object(json!({"shape": [28, 28]}))).unwrap();
    assert_eq!(people.describe(), "Input [28, 28]");
    let one_for_all = from_config("Conv2D", &object(json!({"filters": 3, "kernel_size": 5}))).unwrap();
    assert_eq!(one_for_all.describe(), "Conv2D 3, 5×5");
}

fn same<T: FromValue + std::fmt::Debug + PartialEq>(thing: T, value: Value) {
    assert_eq!(T::from_value(&through_text(&value)).unwrap(), thing, "{value}");
}

#[test]
fn initializers_activations_losses_and_schedules_come_back() {
    let third = 1.0 / 3.0;
    for name in Initializer::NAMES {
        let plain: Initializer = name.parse().unwrap();
        same(plain, plain.to_value());
        same(plain, name.into());
    }
    for initializer in [
        Initializer::Constant(third),
        Initializer::RandomUniform { minval: -third, maxval: 1e-300 },
        Initializer::TruncatedNormal { mean: third, stddev: 7.0 },
        Initializer::Orthogonal { gain: third },
        Initializer::Identity { gain: third },
    ] {
        same(initializer, initializer.to_value());
    }
    for name in Activation::NAMES {
        let plain: Activation = name.parse().unwrap();
        assert_eq!(plain.to_value().unwrap(), name);
        same(plain, name.into());
    }
    for activation in [
        Activation::LeakyRelu { negative_slope: third },
        Activation::LeakyRelu { negative_slope: 0.3 },
        Activation::Elu { alpha: third },
        Activation::Gelu { approximate: true },
    ] {
        same(activation, activation.to_value().unwrap());
    }
    for name in Loss::NAMES {
        let plain: Loss = name.parse().unwrap();
        same(plain, plain.to_value());
        same(plain, name.into());
    }
    same(Loss::Huber { delta: third }, Loss::Huber { delta: third }.to_value());
    let logits = Loss::CategoricalCrossentropy { from_logits: true };
    same(logits, logits.to_value());
    for schedule in schedules() {
        same(schedule.clone(), schedule.to_value());
    }
}

fn schedules() -> Vec<Schedule> {
    let initial = 1.0 / 3.0;
    vec![
        Schedule::Constant(initial),
        Schedule::ExponentialDecay { initial, decay_steps: 7, decay_rate: 0.9, staircase: true },
        Schedule::InverseTimeDecay { initial, decay_steps: 7, decay_rate: 0.9, staircase: true },
        Schedule::PolynomialDecay { initial, decay_steps: 7, end: 0.01, power: 2.0, cycle: true },
        Schedule::PiecewiseConstantDecay { boundaries: vec![3, 9], values: vec![0.1, 0.2, 0.3] },
        Schedule::CosineDecay {
            initial,
            decay_steps: 7,
            alpha: 0.1,
            warmup_target: Some(0.5),
            warmup_steps: 3,
        },
        Schedule::CosineDecay { initial, decay_steps: 7, alpha: 0.1, warmup_target: None, warmup_steps: 0 },
        Schedule::CosineDecayRestarts { initial, first_decay_steps: 7, t_mul: 1.5, m_mul: 0.9, alpha: 0.1 },
    ]
}

fn optimizers() -> Vec<Optimizer> {
    let rate = || schedules().swap_remove(3);
    vec![
        Optimizer::from(Sgd::new().learning_rate(rate()).momentum(0.9).nesterov(true)).clip_value(0.5),
        Optimizer::from(RmsProp::new().rho(0.8).momentum(0.7).epsilon(1e-5).centered(true)).clip_norm(0.5),
        Optimizer::from(Adagrad::new().initial_accumulator_value(0.3).epsilon(1e-5)).global_clip_norm(0.5),
        Adadelta::new().learning_rate(1.0).rho(0.8).epsilon(1e-5).into(),
        Optimizer::from(Adam::new().beta_1(0.8).beta_2(0.9).epsilon(1e-5).amsgrad(true)).weight_decay(0.1),
        AdamW::new().adam(Adam::new().beta_1(0.8)).into(),
        Adamax::new().beta_1(0.8).beta_2(0.9).epsilon(1e-5).into(),
        Nadam::new().beta_1(0.8).beta_2(0.9).epsilon(1e-5).into(),
    ]
}

#[test]
fn optimizers_come_back_with_the_learning_rate_of_now() {
    for optimizer in optimizers() {
        let config = optimizer.config().unwrap();
        let twin = Optimizer::from_config(optimizer.name(), &config).unwrap();
        assert_eq!(twin.config().unwrap(), config, "{}", optimizer.name());
        let twin = Optimizer::from_value(&through_text(&optimizer.to_value().unwrap())).unwrap();
        assert_eq!((twin.name(), twin.config().unwrap()), (optimizer.name(), config));
    }
    let mut sgd = Optimizer::from(Sgd::new());
    sgd.set_learning_rate(0.125).unwrap();
    assert_eq!(sgd.config().unwrap()["learning_rate"], 0.125);
    let error = Optimizer::from_config("adam", &object(json!({"beta1": 0.9}))).err().unwrap();
    assert!(error.hint().unwrap().starts_with("did you mean `beta_1`?"), "{error:?}");
    assert!(Optimizer::from_config("adam", &object(json!({"beta_1": 2.0}))).is_err());
}

/// As Keras 3.15 serialised them, word for word.
#[test]
fn what_keras_wrote_is_read() {
    let adam = json!({"module": "keras.optimizers", "class_name": "Adam", "config": {"name": "adam", "learning_rate":
        0.0010000000474974513, "weight_decay": null, "clipnorm": null, "global_clipnorm": null, "clipvalue": null,
        "use_ema": false, "ema_momentum": 0.99, "ema_overwrite_frequency": null, "loss_scale_factor": null,
        "gradient_accumulation_steps": null, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-07, "amsgrad": false},
        "registered_name": null});
    assert_eq!(Optimizer::from_value(&adam).unwrap().name(), "adam");
    let loss = json!({"module": "keras.losses", "class_name": "BinaryCrossentropy", "config": {"name":
        "binary_crossentropy", "reduction": "sum_over_batch_size", "from_logits": false, "label_smoothing": 0.0, "axis":
        -1}, "registered_name": null});
    assert_eq!(Loss::from_value(&loss).unwrap(), Loss::BinaryCrossentropy { from_logits: false });
    let cosine = json!({"module": "keras.optimizers.schedules", "class_name": "CosineDecay", "config":
        {"initial_learning_rate": 0.1, "decay_steps": 100, "alpha": 0.0, "name": "CosineDecay", "warmup_target": null,
        "warmup_steps": 0}, "registered_name": null});
    assert!(matches!(Schedule::from_value(&cosine).unwrap(), Schedule::CosineDecay { decay_steps: 100, .. }));
    let orthogonal = json!({"module": "keras.initializers", "class_name": "Orthogonal", "config": {"seed": null,
        "gain": 1.0}, "registered_name": null});
    assert_eq!(Initializer::from_value(&orthogonal).unwrap(), Initializer::Orthogonal { gain: 1.0 });
    let leaky = json!({"module": "keras.layers", "class_name": "LeakyReLU", "config": {"name": "leaky_re_lu", "trainable":
        true, "dtype": {"class_name": "DTypePolicy", "config": {"name": "float32"}}, "negative_slope": 0.1},
        "registered_name": null});
    assert_eq!(Activation::from_value(&leaky).unwrap(), Activation::LeakyRelu { negative_slope: 0.1 });
    let function = json!({"module": "builtins", "class_name": "function", "config": "relu", "registered_name":
        "function"});
    assert_eq!(Activation::from_value(&function).unwrap(), Activation::Relu);
    let smooth = json!({"class_name": "BinaryCrossentropy", "config": {"label_smoothing": 0.1}});
    assert!(Loss::from_value(&smooth).unwrap_err().to_string().contains("label_smoothing"));
}

fn model() -> Sequential {
    Sequential::new()
        .name("패션 MNIST 모델")
        .seed(u64::MAX)
        .with(Input::new([6, 6, 1]))
        .with(("눈", Conv2D::new(4, 3).activation(Activation::Relu)))
        .with(BatchNormalization::new())
        .with(Flatten::new())
        .with(Dense::new(3).activation(Activation::Softmax))
}

#[test]
fn a_model_comes_back_with_its_names_and_its_seed() {
    let mut model = model();
    let unbuilt = model.config().unwrap();
    assert!(unbuilt["build_input_shape"].is_null() && model.compile_config().unwrap().is_none());
    model.build([6, 6, 1]).unwrap();
    model
        .compile(Compile::new("categorical_crossentropy").optimizer("nadam").metric("accuracy").metric("f1"))
        .unwrap();
    let config = model.config().unwrap();
    assert_eq!(config["build_input_shape"], json!([null, 6, 6, 1]));
    let mut twin = Sequential::from_config(&object(through_text(&config.clone().into()))).unwrap();
    assert_eq!(twin.config().unwrap(), config);
    assert_eq!(twin.layer_names(), ["input", "눈", "batch_normalization", "flatten", "dense"]);
    // The seed is the same, so the weights are.
    assert_eq!(twin.get_weights().unwrap(), model.get_weights().unwrap());
    let compile = model.compile_config().unwrap().unwrap();
    twin.compile_from_config(&object(through_text(&compile.clone().into()))).unwrap();
    assert_eq!(twin.compile_config().unwrap().unwrap(), compile);
    assert_eq!(compile["metrics"], json!(["accuracy", "f1"]));

    let unbuilt = Sequential::from_config(&unbuilt).unwrap();
    assert_eq!(unbuilt.input_shape(), None);
}

#[test]
fn what_makes_no_model_is_refused() {
    for (config, words) in [
        (json!({"name": "a"}), "the model has no `layers`"),
        (
            json!({"layers": [{"class_name": "Dense", "config": {"unit": 3}}]}),
            "unknown option of Dense `unit`",
        ),
        (json!({"layers": [{"class": "Dense"}]}), "is not a layer"),
        (json!({"layers": [], "lairs": 3}), "unknown option of the model `lairs`"),
        (json!({"layers": [{"class_name": "Dense", "config": {"units": 3, "name": 7}}]}), "7 is not text"),
        (json!({"layers": ["Flatten"], "build_input_shape": [3]}), "behind an unknown batch"),
        (json!({"layers": [], "build_input_shape": [null, 3]}), "has no layers"),
    ] {
        let error = Sequential::from_config(&object(config)).err().unwrap().to_string();
        assert!(error.contains(words), "{error} should say {words}");
    }
    struct Own;
    impl Layer for Own {
        fn kind(&self) -> &'static str {
            "Own"
        }
        fn build(&mut self, _: &mut Build, input: handgrad::Shape) -> handgrad::Result<handgrad::Shape> {
            Ok(input)
        }
        fn forward(&mut self, _: &mut Cx, _: handgrad::View, _: handgrad::ViewMut) -> handgrad::Result<()> {
            Ok(())
        }
        fn backward(
            &mut self,
            _: &mut Cx,
            _: handgrad::View,
            _: handgrad::View,
            _: handgrad::ViewMut,
            _: Option<handgrad::ViewMut>,
        ) -> handgrad::Result<()> {
            Ok(())
        }
    }
    let error = Sequential::new().with(("mine", Own)).config().unwrap_err();
    assert!(error.to_string().contains("`mine (Own)` cannot be written down"), "{error}");
    assert!(error.hint().unwrap().contains("save_weights"));
}
