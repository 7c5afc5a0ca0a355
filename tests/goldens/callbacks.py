"""Writes callbacks.json: what Keras's callbacks do with scripted figures, for ../callbacks.rs to compare with.

    pip install keras==3.15.1 numpy
    python tests/goldens/callbacks.py

No model is trained: Keras's own CallbackList is called as its trainer calls it, and a stand-in for the model notes what the
callbacks do to it. Everything is float64; the file holds numbers as text, so that no bit is lost. The figures lie on
coarse grids, so that ties and changes of exactly min_delta are common, and some are NaN or infinite.
"""

import csv
import json
import os
import pathlib
import random
import tempfile

os.environ["KERAS_BACKEND"] = "numpy"

import keras
from keras.src.callbacks.callback_list import CallbackList
from keras.src.trainers.compile_utils import MetricsList

keras.config.set_floatx("float64")
CASES = 400
INITIAL_RATE = 0.08


class Model:
    """What callbacks may ask of a model, or do to it. Its weights are the number of the epoch."""

    def __init__(self):
        self.optimizer = keras.optimizers.SGD(INITIAL_RATE)
        self.metrics = [MetricsList([keras.metrics.BinaryAccuracy(name="accuracy")])]
        self.stop_training = False
        self.weights = -1

    def get_weights(self):
        return self.weights

    def set_weights(self, weights):
        self.weights = weights


def figures(rng, epochs, edges):
    """A walk that gets better, then hardly; on a grid of eighths or of tenths, which float64 cannot hold."""
    grid = 0.1 if edges else rng.choice([0.125, 0.1, 0.01])
    steps = rng.choice([[-2, -1, -1, 0, 1], [-1, 0, 0, 1], [-1, 0, 1], [-3, -1, 0, 2]])
    spoilt = rng.choice([0, 0, 0.05, 0.2])
    at, values = rng.randint(5, 30), []
    for _ in range(epochs):
        at += rng.choice(steps)
        values.append(rng.choice([float("nan"), float("nan"), float("inf")]) if rng.random() < spoilt else at * grid)
    return values


def early_stopping(rng):
    return {
        "monitor": rng.choice(["loss", "val_loss", "accuracy", "val_accuracy"]),
        "min_delta": rng.choice([0.0, 0.0, 0.1, -0.125, 0.3, 0.01]),
        "patience": rng.randint(0, 5),
        "mode": rng.choice(["auto", "auto", "min", "max"]),
        "baseline": rng.choice([None, None, 0.5, 1.0, 2.0]),
        "restore_best_weights": rng.random() < 0.5,
        "start_from_epoch": rng.choice([0, 0, 0, 1, 3, 50]),
    }


def reduce_lr(rng):
    return {
        "monitor": rng.choice(["loss", "val_loss", "accuracy", "val_accuracy"]),
        "factor": rng.choice([0.1, 0.5, 0.7, 0.0]),
        "patience": rng.randint(0, 4),
        "mode": rng.choice(["auto", "auto", "min", "max"]),
        "min_delta": rng.choice([1e-4, 0.0, 0.1, 0.125]),
        "cooldown": rng.choice([0, 0, 1, 3]),
        "min_lr": rng.choice([0.0, 0.001, 0.03, 0.08]),
    }


def scheduler(rng):
    return {"from": rng.randint(0, 8), "factor": rng.choice([0.9, 0.5, 1.01])}


MAKE = {"EarlyStopping": early_stopping, "ReduceLROnPlateau": reduce_lr, "LearningRateScheduler": scheduler}


def build(kind, options, log):
    if kind == "LearningRateScheduler":
        first, factor = options["from"], options["factor"]
        return keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate if epoch < first else rate * factor)
    if kind == "CSVLogger":
        return keras.callbacks.CSVLogger(log)
    return getattr(keras.callbacks, kind)(**options)


def text(value):
    return value if isinstance(value, str) else repr(float(value))


def case(number, folder):
    rng = random.Random(number)
    epochs = rng.randint(1, 30)
    names = ["loss", "accuracy", "val_loss", "val_accuracy"]
    edges = number % 2 == 0  # every second with changes of min_delta to within a rounding
    script = {name: figures(rng, epochs, edges) for name in names}
    kinds = rng.choice([["EarlyStopping"], ["ReduceLROnPlateau"], list(MAKE), list(MAKE)])
    chosen = [(kind, MAKE[kind](rng)) for kind in kinds]
    for _, options in chosen:
        if edges and "min_delta" in options:
            options["min_delta"] = rng.choice([0.1, 0.2, 0.3])
    if len(chosen) > 1 and number % 3 == 0:  # every third pair, with a log
        chosen.append(("CSVLogger", {}))
        rng.shuffle(chosen)
    log = str(folder / "log.csv")
    callbacks, model = [build(kind, options, log) for kind, options in chosen], Model()
    calls = CallbackList(callbacks, add_history=True, model=model)
    calls.on_train_begin()
    for epoch in range(epochs):
        calls.on_epoch_begin(epoch)
        model.weights = epoch
        calls.on_epoch_end(epoch, {name: script[name][epoch] for name in names})
        if model.stop_training:
            break
    calls.on_train_end()
    history = calls._history.history
    out = {
        "epochs": len(calls._history.epoch),
        "weights": model.weights,
        "rate": text(model.optimizer.learning_rate),
        "rates": " ".join(map(text, history.get("learning_rate", []))),
    }
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.EarlyStopping):
            watched = callback.best is not None
            out["best"] = text(callback.best) if watched else None
            out["best_epoch"] = callback.best_epoch if watched else None
            out["stopped_epoch"] = callback.stopped_epoch or None
        if isinstance(callback, keras.callbacks.CSVLogger):
            out["csv"] = [" ".join(row) for row in csv.reader(open(log))]
    options = [[kind, {k: text(v) if isinstance(v, float) else v for k, v in o.items()}] for kind, o in chosen]
    return {"script": {n: " ".join(map(text, v)) for n, v in script.items()}, "callbacks": options, "keras": out}


with tempfile.TemporaryDirectory() as folder:
    lines = [json.dumps(case(i, pathlib.Path(folder)), separators=(",", ":")) for i in range(CASES)]
head = f'{{"source":"Keras {keras.__version__}","initial_rate":"{INITIAL_RATE}","cases":[\n'
path = pathlib.Path(__file__).parent / "callbacks.json"
path.write_text(head + ",\n".join(lines) + "\n]}\n")
print(f"{path.name}: {CASES} cases, {path.stat().st_size} bytes")
