"""Writes the golden files of this folder: what Keras and PyTorch say, for main.rs beside it to compare with.

    pip install keras==3.15.1 jax==0.10.2 torch==2.15.0
    python tests/goldens/make.py

Everything is computed in float64. The same versions write the same files, byte for byte.

Inputs, weights and targets are odd multiples of 1/128, or halves of ones: exact in float32 too, so that a device
which computes in float32 is measured by its arithmetic and not by its input; never 0, so that no activation sits on
its kink; and all different inside one input, so that no maximum is tied.
Gradients are those of the sum of r * y, with a random r of y's shape.
"""

import json
import os
import pathlib

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_ENABLE_X64"] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp
import keras
import numpy as np
import torch
from keras.src.backend.common import dtypes
from keras.src.initializers import random_initializers

# Keras narrows float64 to float32 on JAX when it mixes types; here it must not.
dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"
keras.config.set_floatx("float64")
keras.config.set_dtype_policy("float64")
FOLDER = pathlib.Path(__file__).parent


# ---------------------------------------------------------------- numbers


def rng(*key):
    """A generator of its own for each case: adding one changes no other."""
    return np.random.default_rng([sum(map(ord, str(part))) * 31 + len(str(part)) for part in key])


def spread(shape, scale, *key):
    """All different odd multiples of 1/128, centred at 0, about `scale` large."""
    n = int(np.prod(shape))
    steps = 2 * np.arange(n) + 1 - n // 2 * 2
    stride = max(1, int(round(scale * 128 / max(n, 1))) | 1)
    return (rng(*key).permutation(steps) * stride / 128.0).reshape(shape)


def uniform(shape, low, high, *key):
    """Odd multiples of 1/128 in [low, high)."""
    return (2 * rng(*key).integers(int(low * 64), int(high * 64), shape) + 1) / 128.0


def tensor(x):
    x = np.asarray(x)
    assert x.dtype == np.float64, f"computed in {x.dtype}"
    return {"shape": list(x.shape), "values": [float(v) for v in x.reshape(-1)]}


def number(x):
    return tensor(x)["values"][0]


def write(name, source, cases, **shared):
    """One case a line, so that a change shows where it is."""
    head = {"source": source, **shared}
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    text = json.dumps(head, separators=(",", ":"))[:-1] + ',"cases":[\n' + lines + "\n]}\n"
    (FOLDER / name).write_text(text)
    print(f"{name}: {len(cases)} cases, {len(text)} bytes")


KERAS = f"Keras {keras.__version__} on JAX {jax.__version__}"
TORCH = f"PyTorch {torch.__version__.split('+')[0]}"


# ---------------------------------------------------------------- layers


def layer_case(name, layer, config, shape, training=True, scale=1.0, **special):
    """One layer forward and backward, with weights of its own. `special` are arguments that only Keras needs."""
    arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()} | special
    made = getattr(keras.layers, layer)(**arguments)
    x = spread(shape, 1.5, name, "x")
    made.build(x.shape)
    for i, w in enumerate(made.weights):
        low, high = (0.5, 1.5) if w.name in ("gamma", "moving_variance") else (-scale, scale)
        w.assign(uniform(w.shape, low, high, name, i))
    params = [{"name": w.name, **tensor(w)} for w in made.weights]
    trained = [v.value for v in made.trainable_variables]
    kept = [v.value for v in made.non_trainable_variables]

    phase = {"training": training} if layer == "BatchNormalization" else {}

    def forward(trained, x):
        return made.stateless_call(trained, kept, x, **phase)

    y, after = forward(trained, jnp.asarray(x))
    r = uniform(y.shape, -1, 1, name, "r")
    gradient = jax.grad(lambda trained, x: jnp.sum(r * forward(trained, x)[0]), argnums=(0, 1))
    dparams, dx = gradient(trained, jnp.asarray(x))
    case = {"name": name, "layer": layer, "config": config, "training": training, "x": tensor(x), "params": params}
    case |= {"r": tensor(r), "y": tensor(y), "dx": tensor(dx), "dparams": [tensor(d) for d in dparams]}
    case["kept"] = [tensor(a) for v, a in zip(made.non_trainable_variables, after) if "seed" not in v.path]
    return case


def layers():
    cases = []

    def add(layer, shape, config, note="", **more):
        cases.append(layer_case(f"{layer} {note or list(config.items())} {shape}", layer, config, shape, **more))

    for activation in ("linear relu sigmoid softmax tanh softplus softsign elu selu exponential leaky_relu gelu silu").split():
        add("Dense", (3, 4), {"units": 3, "activation": activation})
    add("Dense", (2, 2, 4), {"units": 2, "use_bias": False})
    tanh_gelu = lambda x: keras.activations.gelu(x, approximate=True)
    case = layer_case("Dense gelu by tanh", "Dense", {"units": 3}, (3, 4), activation=tanh_gelu)
    case["config"]["activation"] = "gelu_by_tanh"
    cases.append(case)
    for name in ["elu", "leaky_relu", "softmax"]:
        add("Activation", (2, 3, 4), {"activation": name})

    add("Conv1D", (2, 7, 2), {"filters": 3, "kernel_size": [3]})
    add("Conv1D", (2, 7, 2), {"filters": 2, "kernel_size": [4], "padding": "same", "strides": [2]})
    add("Conv1D", (2, 7, 2), {"filters": 2, "kernel_size": [3], "dilation_rate": [2], "activation": "silu"})
    add("Conv2D", (2, 4, 5, 2), {"filters": 3, "kernel_size": [3, 3]})
    add("Conv2D", (2, 4, 5, 2), {"filters": 2, "kernel_size": [3, 3], "padding": "same", "activation": "relu"})
    add("Conv2D", (2, 5, 6, 1), {"filters": 2, "kernel_size": [3, 2], "strides": [2, 1], "use_bias": False})
    add("Conv2D", (2, 5, 6, 2), {"filters": 2, "kernel_size": [3, 3], "strides": [2, 2], "padding": "same"})
    add("Conv2D", (1, 6, 6, 1), {"filters": 2, "kernel_size": [3, 2], "dilation_rate": [2, 3], "padding": "same"})
    add("Conv2D", (2, 3, 3, 3), {"filters": 2, "kernel_size": [1, 1], "activation": "softmax"})
    add("Conv3D", (1, 3, 4, 3, 2), {"filters": 2, "kernel_size": [2, 2, 2]})
    add("Conv3D", (1, 3, 4, 3, 1), {"filters": 2, "kernel_size": [3, 2, 2], "strides": [2, 2, 1], "padding": "same"})
    add("Conv3D", (1, 3, 4, 3, 1), {"filters": 1, "kernel_size": [2, 2, 2], "dilation_rate": [2, 1, 2]})

    for kind in ["Max", "Average"]:
        add(f"{kind}Pooling1D", (2, 7, 2), {"pool_size": [2]})
        add(f"{kind}Pooling1D", (2, 7, 2), {"pool_size": [3], "strides": [2], "padding": "same"})
        add(f"{kind}Pooling2D", (2, 4, 5, 2), {"pool_size": [2, 2]})
        add(f"{kind}Pooling2D", (2, 4, 5, 2), {"pool_size": [3, 2], "strides": [1, 2]})
        add(f"{kind}Pooling2D", (1, 5, 5, 2), {"pool_size": [2, 3], "strides": [2, 2], "padding": "same"})
        add(f"{kind}Pooling3D", (1, 4, 3, 4, 2), {"pool_size": [2, 2, 2]})
        add(f"{kind}Pooling3D", (1, 3, 3, 3, 1), {"pool_size": [2, 2, 2], "strides": [1, 2, 1], "padding": "same"})
        add(f"Global{kind}Pooling1D", (2, 5, 3), {})
        add(f"Global{kind}Pooling2D", (2, 3, 4, 2), {})
        add(f"Global{kind}Pooling3D", (2, 2, 3, 2, 2), {})

    for training in [True, False]:
        note = f"training={training}"
        add("BatchNormalization", (5, 3), {}, note, training=training)
        add("BatchNormalization", (2, 3, 2, 2), {"momentum": 0.9, "epsilon": 0.01}, note, training=training)
        add("BatchNormalization", (4, 2), {"center": False, "scale": False}, f"plain, {note}", training=training)

    for layer in ["SimpleRNN", "LSTM", "GRU"]:
        for config in [{}, {"return_sequences": True}, {"return_sequences": True, "go_backwards": True}]:
            add(layer, (2, 4, 3), {"units": 2} | config, scale=0.75)
        add(layer, (2, 3, 2), {"units": 3, "use_bias": False, "go_backwards": True}, scale=0.75)
    add("SimpleRNN", (2, 3, 2), {"units": 2, "activation": "relu"}, scale=0.75)
    for layer in ["LSTM", "GRU"]:
        config = {"units": 2, "activation": "softsign", "recurrent_activation": "tanh", "return_sequences": True}
        add(layer, (2, 3, 2), config, scale=0.75)
    for config in [{}, {"return_sequences": True}, {"use_bias": False, "go_backwards": True}]:
        add("GRU", (2, 4, 3), {"units": 2, "reset_after": False} | config, scale=0.75)
    write("layers.json", KERAS, cases)


def torch_layers():
    """A second witness, where PyTorch's formulas are Keras's: its weights are brought into Keras's order."""
    cases = []

    def add(name, layer, config, x, module, weights, forward, training=True, kept=()):
        """`weights` are pairs of a name and a function from the module's parameters to Keras's order."""
        module = module.double()
        for i, (key, p) in enumerate(module.named_parameters()):
            with torch.no_grad():
                p.copy_(torch.from_numpy(uniform(tuple(p.shape), -0.75, 0.75, name, i)))
        x = torch.from_numpy(x).requires_grad_()
        y = forward(module, x)
        r = uniform(tuple(y.shape), -1, 1, name, "r")
        (y * torch.from_numpy(r)).sum().backward()
        value = {k: p.detach().numpy() for k, p in module.named_parameters()}
        slope = {k: p.grad.numpy() for k, p in module.named_parameters()}
        case = {"name": f"{name} (PyTorch)", "layer": layer, "config": config, "training": training}
        case |= {"x": tensor(x.detach()), "params": [{"name": n, **tensor(f(value))} for n, f in weights]}
        case["params"] += [{"name": n, **tensor(v)} for n, v in kept]
        case |= {"r": tensor(r), "y": tensor(y.detach()), "dx": tensor(x.grad)}
        # Two biases that Keras has as one get the same gradient: any of them is the gradient of their sum.
        case |= {"dparams": [tensor(f(slope | {"gradient": True})) for n, f in weights], "kept": []}
        cases.append(case)

    def sequence(module, x):
        return module(x)[0]

    def one_bias(p):
        return p["bias_ih_l0"] if "gradient" in p else p["bias_ih_l0"] + p["bias_hh_l0"]

    lstm = [("kernel", lambda p: p["weight_ih_l0"].T), ("recurrent_kernel", lambda p: p["weight_hh_l0"].T), ("bias", one_bias)]
    config = {"units": 2, "return_sequences": True}
    add("LSTM", "LSTM", config, spread((2, 4, 3), 1.5, "torch lstm"), torch.nn.LSTM(3, 2, batch_first=True), lstm, sequence)
    rnn = torch.nn.RNN(3, 2, batch_first=True)
    add("SimpleRNN", "SimpleRNN", config, spread((2, 4, 3), 1.5, "torch rnn"), rnn, lstm, sequence)

    def zrh(w):
        """PyTorch's gates stand in the order r, z, h along the first axis."""
        r, z, h = np.split(w, 3)
        return np.concatenate([z, r, h])

    gru = [
        ("kernel", lambda p: zrh(p["weight_ih_l0"]).T),
        ("recurrent_kernel", lambda p: zrh(p["weight_hh_l0"]).T),
        ("bias", lambda p: np.stack([zrh(p["bias_ih_l0"]), zrh(p["bias_hh_l0"])])),
    ]
    add("GRU", "GRU", config, spread((2, 4, 3), 1.5, "torch gru"), torch.nn.GRU(3, 2, batch_first=True), gru, sequence)

    def channels_last(module, x):
        return module(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

    conv = [("kernel", lambda p: p["weight"].transpose(2, 3, 1, 0)), ("bias", lambda p: p["bias"])]
    config = {"filters": 3, "kernel_size": [3, 2], "strides": [2, 1]}
    x = spread((2, 5, 4, 2), 1.5, "torch conv")
    add("Conv2D strides", "Conv2D", config, x, torch.nn.Conv2d(2, 3, (3, 2), stride=(2, 1)), conv, channels_last)
    config = {"filters": 2, "kernel_size": [3, 3], "dilation_rate": [1, 2]}
    x = spread((1, 5, 6, 2), 1.5, "torch dilated conv")
    add("Conv2D dilation", "Conv2D", config, x, torch.nn.Conv2d(2, 2, 3, dilation=(1, 2)), conv, channels_last)
    config = {"pool_size": [3, 3], "strides": [2, 2]}
    x = spread((2, 5, 5, 2), 1.5, "torch pool")
    add("MaxPooling2D", "MaxPooling2D", config, x, torch.nn.MaxPool2d(3, 2), [], channels_last)
    add("AveragePooling2D", "AveragePooling2D", config, x, torch.nn.AvgPool2d(3, 2), [], channels_last)

    norm = [("gamma", lambda p: p["weight"]), ("beta", lambda p: p["bias"])]
    kept = [("moving_mean", np.zeros(3)), ("moving_variance", np.ones(3))]
    x = spread((5, 3), 1.5, "torch norm")
    config = {"epsilon": 0.001}
    module = torch.nn.BatchNorm1d(3, eps=0.001)
    add("BatchNormalization", "BatchNormalization", config, x, module, norm, lambda m, x: m(x), kept=kept)
    add("Dense", "Dense", {"units": 2, "activation": "gelu"}, spread((3, 4), 1.5, "torch dense"), torch.nn.Linear(4, 2),
        [("kernel", lambda p: p["weight"].T), ("bias", lambda p: p["bias"])], lambda m, x: torch.nn.functional.gelu(m(x)))
    write("torch.json", TORCH, cases)


# ---------------------------------------------------------------- optimizers and schedules

SCHEDULES = [
    {"schedule": "ExponentialDecay", "initial_learning_rate": 0.1, "decay_steps": 4, "decay_rate": 0.5},
    {"schedule": "ExponentialDecay", "initial_learning_rate": 0.1, "decay_steps": 4, "decay_rate": 0.5, "staircase": True},
    {"schedule": "InverseTimeDecay", "initial_learning_rate": 0.1, "decay_steps": 1, "decay_rate": 0.01},
    {"schedule": "InverseTimeDecay", "initial_learning_rate": 0.1, "decay_steps": 5, "decay_rate": 0.5, "staircase": True},
    {"schedule": "PolynomialDecay", "initial_learning_rate": 0.1, "decay_steps": 8},
    {"schedule": "PolynomialDecay", "initial_learning_rate": 0.1, "decay_steps": 8, "end_learning_rate": 0.01, "power": 2.0},
    {"schedule": "PolynomialDecay", "initial_learning_rate": 0.1, "decay_steps": 8, "end_learning_rate": 0.01, "power": 0.5, "cycle": True},
    {"schedule": "PiecewiseConstantDecay", "boundaries": [3, 10, 20], "values": [0.1, 0.05, 0.02, 0.01]},
    {"schedule": "CosineDecay", "initial_learning_rate": 0.1, "decay_steps": 20},
    {"schedule": "CosineDecay", "initial_learning_rate": 0.01, "decay_steps": 20, "alpha": 0.1, "warmup_target": 0.1, "warmup_steps": 5},
    {"schedule": "CosineDecayRestarts", "initial_learning_rate": 0.1, "first_decay_steps": 7},
    {"schedule": "CosineDecayRestarts", "initial_learning_rate": 0.1, "first_decay_steps": 5, "t_mul": 1.0, "m_mul": 0.8, "alpha": 0.05},
    {"schedule": "CosineDecayRestarts", "initial_learning_rate": 0.1, "first_decay_steps": 5, "t_mul": 1.5, "m_mul": 0.9, "alpha": 0.1},
]


def schedule(config):
    arguments = {k: v for k, v in config.items() if k != "schedule"}
    return getattr(keras.optimizers.schedules, config["schedule"])(**arguments)


def schedules():
    steps = [*range(42), 64, 100, 1000]
    cases = []
    for config in SCHEDULES:
        made = schedule(config)
        # A restart's first step sits on a floor() of logarithms that rounding may push to either side: stay off it.
        cycle = config.get("first_decay_steps")
        use = [s for s in steps if cycle is None or s == 0 or not on_restart(s / cycle, config.get("t_mul", 2.0))]
        cases.append(config | {"steps": use, "rates": [number(made(s)) for s in use]})
    write("schedules.json", KERAS, cases)


def on_restart(periods, t_mul):
    start, length = 0.0, 1.0
    while start < periods - 1e-9:
        start, length = start + length, length * t_mul
    return abs(start - periods) < 1e-9


def optimizers():
    shapes = [(2, 3), (3,)]
    start = [uniform(s, -1, 1, "start", i) for i, s in enumerate(shapes)]
    grads = [[uniform(s, -2, 2, "gradient", step, i) for i, s in enumerate(shapes)] for step in range(10)]
    cases = []

    def add(optimizer, **config):
        arguments = dict(config)
        rate = arguments.get("learning_rate")
        if isinstance(rate, dict):
            arguments["learning_rate"] = schedule(rate)
        made = getattr(keras.optimizers, optimizer)(**arguments)
        variables = [keras.Variable(w, dtype="float64") for w in start]
        made.build(variables)
        steps = []
        for gradients in grads:
            made.apply([jnp.asarray(g) for g in gradients], variables)
            steps.append([tensor(w)["values"] for w in variables])
        cases.append({"optimizer": optimizer, "config": config, "steps": steps})

    add("SGD")
    add("SGD", learning_rate=0.1, momentum=0.9)
    add("SGD", learning_rate=0.1, momentum=0.9, nesterov=True)
    add("SGD", learning_rate=0.1, nesterov=True)
    add("SGD", learning_rate=0.1, clipvalue=0.5)
    add("SGD", learning_rate=0.1, clipnorm=1.5)
    add("SGD", learning_rate=0.1, global_clipnorm=1.5)
    add("SGD", learning_rate=0.1, weight_decay=0.1, momentum=0.5)
    for config in SCHEDULES[2], SCHEDULES[7], SCHEDULES[9]:
        add("SGD", learning_rate=config)
    add("RMSprop")
    add("RMSprop", learning_rate=0.02, rho=0.8, epsilon=0.01)
    add("RMSprop", learning_rate=0.02, momentum=0.7)
    add("RMSprop", learning_rate=0.02, centered=True)
    add("RMSprop", learning_rate=0.02, momentum=0.7, centered=True, weight_decay=0.05)
    add("Adagrad")
    add("Adagrad", learning_rate=0.1, initial_accumulator_value=0.0, epsilon=0.001)
    add("Adadelta")
    add("Adadelta", learning_rate=1.0, rho=0.8, epsilon=0.001)
    add("Adam")
    add("Adam", learning_rate=0.05, beta_1=0.8, beta_2=0.95, epsilon=0.01)
    add("Adam", learning_rate=0.05, beta_2=0.5, amsgrad=True)
    add("Adam", learning_rate=0.05, clipnorm=1.0)
    add("Adam", learning_rate=SCHEDULES[0], global_clipnorm=2.0, weight_decay=0.01)
    add("AdamW")
    add("AdamW", learning_rate=0.05, weight_decay=0.1, beta_1=0.8, amsgrad=True)
    add("Adamax")
    add("Adamax", learning_rate=0.05, beta_1=0.8, beta_2=0.9, epsilon=0.01)
    add("Nadam")
    add("Nadam", learning_rate=0.05, beta_1=0.8, beta_2=0.9, epsilon=0.01, weight_decay=0.02)
    shared = {"start": [tensor(w) for w in start], "gradients": [[tensor(g) for g in step] for step in grads]}
    write("optimizers.json", KERAS, cases, **shared)


# ---------------------------------------------------------------- losses and metrics


def one_hot(rows, classes, *key):
    return np.eye(classes)[rng(*key).integers(0, classes, rows)]


def probabilities(shape, *key):
    """Not summing to 1: Keras divides by the sum."""
    return uniform(shape, 0.02, 0.98, *key)


def losses():
    cases = []

    def add(loss, prediction, target, weights=None, note="", **config):
        fn = getattr(keras.losses, {"mean_squared_error": "MeanSquaredError", "mean_absolute_error": "MeanAbsoluteError",
            "mean_absolute_percentage_error": "MeanAbsolutePercentageError",
            "mean_squared_logarithmic_error": "MeanSquaredLogarithmicError", "hinge": "Hinge",
            "squared_hinge": "SquaredHinge", "huber": "Huber", "binary_crossentropy": "BinaryCrossentropy",
            "categorical_crossentropy": "CategoricalCrossentropy",
            "sparse_categorical_crossentropy": "SparseCategoricalCrossentropy"}[loss])
        sparse = loss.startswith("sparse")
        rows = fn(**config, reduction="none")(target, jnp.asarray(prediction))
        mean = lambda p: fn(**config)(target, p, sample_weight=weights)
        value, gradient = jax.value_and_grad(mean)(jnp.asarray(prediction))
        case = {"name": f"{loss} {config} {note}".strip(), "loss": loss, "config": config, "prediction": tensor(prediction)}
        case |= {"labels": [int(t) for t in np.reshape(target, -1)]} if sparse else {"target": tensor(target)}
        case["weights"] = None if weights is None else [float(w) for w in weights]
        case |= {"rows": tensor(rows)["values"], "value": number(value), "gradient": tensor(gradient)}
        if config.get("from_logits"):
            binary = loss.startswith("binary")
            activated = (jax.nn.sigmoid if binary else jax.nn.softmax)(jnp.asarray(prediction))
            case |= {"folded": "sigmoid" if binary else "softmax", "activated": tensor(activated)}
        cases.append(case)

    weights = uniform((5,), 0, 2, "weights")
    p, t = spread((5, 4), 2, "values p"), uniform((5, 4), -2, 2, "values t")
    sign = np.where(uniform((5, 4), -1, 1, "signs") > 0, 1.0, -1.0)
    for loss in ["mean_squared_error", "mean_absolute_error", "mean_absolute_percentage_error"]:
        add(loss, p, t)
        add(loss, p, t, weights, "weighted")
    add("mean_squared_logarithmic_error", np.abs(p), np.abs(t), weights, "weighted")
    add("mean_squared_logarithmic_error", p, t, note="below 0")
    zeros = np.where(uniform((5, 4), -1, 1, "zeros") > 0, t, 0.0)
    add("mean_absolute_percentage_error", p, zeros, note="targets of 0")
    for loss in ["hinge", "squared_hinge"]:
        add(loss, p, sign)
        add(loss, p, (sign + 1) / 2, weights, "of 0 and 1, weighted")
    add("huber", p, t)
    add("huber", p, t, weights, "weighted", delta=0.5)

    q, bits = probabilities((5, 3), "binary p"), np.where(uniform((5, 3), -1, 1, "bits") > 0, 1.0, 0.0)
    add("binary_crossentropy", q, bits)
    add("binary_crossentropy", q, probabilities((5, 3), "soft bits"), weights, "soft, weighted")
    edge = np.array([[0.0, 1.0], [1.0, 0.0], [0.25, 1.0]])
    add("binary_crossentropy", edge, np.array([[1.0, 1.0], [1.0, 0.0], [1.0, 0.0]]), note="clipped")
    z = spread((5, 3), 3, "binary z")
    add("binary_crossentropy", z, bits, weights, "weighted", from_logits=True)
    far = np.array([[80.0, -80.0], [300.0, -300.0], [-20.0, 20.0]])
    add("binary_crossentropy", far, np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), note="far out", from_logits=True)

    q, hot = probabilities((5, 4), "classes p"), one_hot(5, 4, "classes")
    soft = probabilities((5, 4), "soft classes")
    labels = hot.argmax(-1)
    add("categorical_crossentropy", q, hot)
    add("categorical_crossentropy", q, soft, weights, "soft, weighted")
    edge = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.5, 0.5, 0.0]])
    wrong = np.array([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5]])
    add("categorical_crossentropy", edge, wrong, note="clipped")
    z = spread((5, 4), 3, "classes z")
    add("categorical_crossentropy", z, hot, from_logits=True)
    add("categorical_crossentropy", z, soft, weights, "soft, weighted", from_logits=True)
    far = np.array([[100.0, 0.0, -100.0], [-500.0, 500.0, 0.0], [30.0, 29.0, -30.0]])
    add("categorical_crossentropy", far, np.eye(3)[[2, 0, 1]], note="far out", from_logits=True)
    add("sparse_categorical_crossentropy", q, labels)
    add("sparse_categorical_crossentropy", q, labels, weights, "weighted")
    add("sparse_categorical_crossentropy", edge, np.array([1, 1, 2]), note="clipped")
    add("sparse_categorical_crossentropy", z, labels, weights, "weighted", from_logits=True)
    add("sparse_categorical_crossentropy", far, np.array([2, 0, 1]), note="far out", from_logits=True)
    steps = spread((2, 3, 4), 3, "steps z")
    add("sparse_categorical_crossentropy", steps, np.array([[0, 3, 1], [2, 2, 0]]), note="of steps", from_logits=True)
    add("mean_squared_error", steps, uniform((2, 3, 4), -2, 2, "steps t"), note="of steps")
    write("losses.json", KERAS, cases)


def metrics():
    cases, sizes = [], [4, 5, 3]

    def add(name, metric, batches, sparse=False, **more):
        """`name` is what our from_name is asked for."""
        for prediction, target in batches:
            metric.update_state(target, prediction)
        case = {"metric": name, "batches": [], "result": number(metric.result())} | more
        for prediction, target in batches:
            batch = {"prediction": tensor(prediction)}
            batch |= {"labels": [int(t) for t in np.reshape(target, -1)]} if sparse else {"target": tensor(target)}
            case["batches"].append(batch)
        cases.append(case)

    def batches(columns, predict, target):
        return [(predict((n, columns), n, columns), target((n, columns), n, columns)) for n in sizes]

    some = lambda shape, *key: uniform(shape, 0, 1, "metric p", *key)
    real = lambda shape, *key: uniform(shape, -3, 3, "metric real", *key)
    near = lambda shape, *key: real(shape, *key) + uniform(shape, -1, 1, "metric error", *key)
    bits = lambda shape, *key: np.where(uniform(shape, -1, 1, "metric bits", *key) > 0, 1.0, 0.0)
    hot = lambda shape, *key: one_hot(shape[0], shape[1], "metric classes", *key)
    label = lambda shape, *key: hot(shape, *key).argmax(-1)
    m = keras.metrics

    add("binary_accuracy", m.BinaryAccuracy(), batches(3, some, bits))
    add("accuracy", m.BinaryAccuracy(), batches(1, some, bits))
    add("categorical_accuracy", m.CategoricalAccuracy(), batches(4, some, hot))
    add("accuracy", m.CategoricalAccuracy(), batches(4, some, hot))
    add("accuracy", m.SparseCategoricalAccuracy(), batches(4, some, label), sparse=True)
    add("sparse_categorical_accuracy", m.SparseCategoricalAccuracy(), batches(4, some, label), sparse=True)
    add("top_k_categorical_accuracy", m.TopKCategoricalAccuracy(), batches(8, some, hot))
    add("sparse_top_k_categorical_accuracy", m.SparseTopKCategoricalAccuracy(), batches(8, some, label), sparse=True)
    steps = [(uniform((n, 3, 4), 0, 1, "metric steps", n), rng("steps", n).integers(0, 4, (n, 3))) for n in sizes]
    add("accuracy", m.SparseCategoricalAccuracy(), steps, sparse=True)
    for name, metric in [("mse", m.MeanSquaredError), ("rmse", m.RootMeanSquaredError), ("mae", m.MeanAbsoluteError),
                         ("mape", m.MeanAbsolutePercentageError), ("hinge", m.Hinge), ("squared_hinge", m.SquaredHinge)]:
        target = (lambda *a: 2 * bits(*a) - 1) if "hinge" in name else real
        add(name, metric(), batches(3, near, target))
    add("msle", m.MeanSquaredLogarithmicError(), batches(3, some, some))
    add("r2_score", m.R2Score(), batches(1, near, real))
    add("r2", m.R2Score(), batches(3, near, real))
    add("binary_crossentropy", m.BinaryCrossentropy(), batches(3, some, bits))
    add("categorical_crossentropy", m.CategoricalCrossentropy(), batches(4, some, hot))
    add("sparse_categorical_crossentropy", m.SparseCategoricalCrossentropy(), batches(4, some, label), sparse=True)
    for columns, target in [(1, bits), (3, bits), (4, hot)]:
        add("precision", m.Precision(), batches(columns, some, target))
        add("recall", m.Recall(), batches(columns, some, target))
    keras.config.set_epsilon(1e-300)  # Keras adds it to every divisor of F1, where we ask for 0 / 0
    add("f1_score", m.F1Score(average="macro"), batches(4, some, hot))
    add("f1_score", m.F1Score(average="macro", threshold=0.5), batches(1, some, bits))
    keras.config.set_epsilon(1e-7)

    class Confusion(keras.metrics.Metric):
        """Keras has no such metric: its parts, counted."""

        def update_state(self, target, prediction):
            pairs = zip(np.argmax(target, -1), np.argmax(prediction, -1))
            self.matrix = getattr(self, "matrix", np.zeros((4, 4), int))
            for actual, predicted in pairs:
                self.matrix[actual, predicted] += 1

        def result(self):
            return np.trace(self.matrix) / self.matrix.sum()

    confusion = Confusion()
    data = batches(4, some, hot)
    for prediction, target in data:
        confusion.update_state(target, prediction)
    matrix = confusion.matrix.tolist()
    add("confusion_matrix", Confusion(), data, matrix=matrix)
    write("metrics.json", KERAS, cases)


# ---------------------------------------------------------------- initializers


def initializers():
    """What Keras hands to its generators: the bound of a uniform rule, the deviation of a truncated normal one."""
    asked = {}
    draw = random_initializers.random
    cases = []

    class Spy:
        def __getattr__(self, name):
            def watched(*args, **kwargs):
                asked.update(draw=name, **kwargs)
                return getattr(draw, name)(*args, **kwargs)

            return watched

    random_initializers.random = Spy()
    for name in ["glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal"]:
        for shape in [(12, 20), (40,), (3, 5, 8), (3, 3, 4, 8), (2, 3, 2, 4, 6)]:
            asked.clear()
            keras.initializers.get(name)(shape)
            case = {"initializer": name, "shape": list(shape), "draw": asked["draw"]}
            cases.append(case | {k: float(asked[k]) for k in ["minval", "maxval", "mean", "stddev"] if k in asked})
    random_initializers.random = draw
    write("initializers.json", KERAS, cases)


if __name__ == "__main__":
    layers()
    torch_layers()
    schedules()
    optimizers()
    losses()
    metrics()
    initializers()
