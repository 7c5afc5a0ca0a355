"""Makes the files in this folder with Keras: python3 tests/keras/make.py

Every model of models.py as `.keras` and what Keras predicts with it; some as `.weights.h5` and as the older `.h5` too.
Needs keras 3.15.1, jax, h5py, numpy: `tests/fetch_keras.sh` gets them.
"""

import json
import zipfile
from pathlib import Path

from models import MODELS, keras, make, mlp
import numpy as np

here = Path(__file__).parent
weights_too = {"mlp", "lstm"}
older_too = {"mlp", "conv2d", "lstm"}
as_keras_writes = {"mlp"}


def compress(path):
    """A `.keras` file is not compressed, and may be: these are small."""
    with zipfile.ZipFile(path) as file:
        entries = [(name, file.read(name)) for name in file.namelist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in entries:
            file.writestr(name, data)


cases = {}
for model in MODELS:
    made, x = make(model)
    name = model.__name__
    if model is mlp:
        made.compile(keras.optimizers.Adam(0.002, beta_1=0.8), "categorical_crossentropy", metrics=["accuracy"])
        made.fit(x, np.eye(3, dtype="float32"), epochs=3, verbose=0)
    made.save(here / f"{name}.keras")
    if name not in as_keras_writes:
        compress(here / f"{name}.keras")
    if name in weights_too:
        made.save_weights(here / f"{name}.weights.h5")
    if name in older_too:
        made.save(here / f"{name}.h5")
    y = made.predict(x, verbose=0)
    # Nine digits name a float exactly.
    rounded = lambda a: [float(f"{v:.9g}") for v in a.ravel()]
    cases[name] = {"x": rounded(x), "y": rounded(y), "output": list(y.shape[1:])}

keras.utils.set_random_seed(1)
x = first = keras.Input((4,), name="in")
for layer in [keras.layers.Dense(3, activation="relu"), keras.layers.Dense(2)]:
    x = layer(x)
chain = keras.Model(first, x, name="chain")
chain.save(here / "chain.keras")
compress(here / "chain.keras")
x = np.random.default_rng(1).normal(size=(3, 4)).astype("float32")
cases["chain"] = {"x": rounded(x), "y": rounded(chain.predict(x, verbose=0)), "output": [2]}

# What this crate must refuse: a file for each reason, named after the layer and the option.
L = keras.layers
refused = {
    "kernel_regularizer": [L.Dense(2, kernel_regularizer="l2", name="here")],
    "Bidirectional": [L.Reshape((4, 1)), L.Bidirectional(L.LSTM(2), name="here")],
    "relu6": [L.Dense(2, activation="relu6", name="here")],
    "recurrent_dropout": [L.Reshape((4, 1)), L.LSTM(2, recurrent_dropout=0.5, name="here")],
    "axis": [L.Reshape((4, 1)), L.BatchNormalization(axis=1, name="here")],
    "trainable": [L.Dense(2, trainable=False, name="here")],
    "dtype": [L.Dense(2, dtype="mixed_float16", name="here")],
    "groups": [L.Reshape((2, 2)), L.Conv1D(2, 1, groups=2, name="here")],
    "causal": [L.Reshape((2, 2)), L.Conv1D(2, 1, padding="causal", name="here")],
    "max_value": [L.ReLU(max_value=6, name="here")],
}
refusals = {}
for reason, found in refused.items():
    model = keras.Sequential([keras.Input((4,)), *found])
    refusals[reason] = json.loads(model.to_json())
first = keras.Input((4,))
branches = keras.Model(first, keras.layers.Add()([first, keras.layers.Dense(4)(first)]))
refusals["branches"] = json.loads(branches.to_json())
(here / "refusals.json").write_text(json.dumps(refusals) + "\n", encoding="utf-8")
(here / "cases.json").write_text(json.dumps(cases) + "\n", encoding="utf-8")
