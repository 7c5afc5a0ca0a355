"""Makes the files in this folder with Keras: python3 tests/keras/make.py

Every model of models.py as `.keras` and what Keras predicts with it; some as `.weights.h5` and as the older `.h5` too.
Needs keras 3.15.1, jax, h5py, numpy: `tests/fetch_keras.sh` gets them.
"""

import json
from pathlib import Path

from models import MODELS, keras, make, mlp
import numpy as np

here = Path(__file__).parent
weights_too = {"mlp", "conv2d", "lstm"}
older_too = {"mlp", "activations", "conv2d", "lstm", "gru", "simple_rnn"}

cases = {}
for model in MODELS:
    made, x = make(model)
    name = model.__name__
    if model is mlp:
        made.compile(keras.optimizers.Adam(0.002, beta_1=0.8), "categorical_crossentropy", metrics=["accuracy"])
        made.fit(x, np.eye(3, dtype="float32"), epochs=3, verbose=0)
    made.save(here / f"{name}.keras")
    if name in weights_too:
        made.save_weights(here / f"{name}.weights.h5")
    if name in older_too:
        made.save(here / f"{name}.h5")
    y = made.predict(x, verbose=0)
    # Nine digits name a float exactly.
    rounded = lambda a: [float(f"{v:.9g}") for v in a.ravel()]
    cases[name] = {"x": rounded(x), "y": rounded(y), "output": list(y.shape[1:])}

chain = [keras.Input((4,), name="in"), keras.layers.Dense(3, activation="relu"), keras.layers.Dense(2)]
keras.utils.set_random_seed(1)
x = chain[0]
for layer in chain[1:]:
    x = layer(x)
keras.Model(chain[0], x, name="chain").save(here / "functional.keras")

(here / "cases.json").write_text(json.dumps(cases) + "\n", encoding="utf-8")
