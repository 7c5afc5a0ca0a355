"""What Keras makes of files that handgrad wrote: python3 tests/keras/check.py FOLDER

For each NAME.json in the folder, with a batch x and handgrad's predictions y: NAME.keras must load and predict y, and so
must the same model after its weights are lost and NAME.weights.h5 is read. Where there is an `after`, Keras trains a step
with the optimizer in the file, and must arrive there. Prints a line for each, and the largest difference of all.
"""

import json
import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"

import keras
import numpy as np

assert keras.__version__ == "3.15.1", keras.__version__
worst = 0.0
for path in sorted(Path(sys.argv[1]).glob("*.json")):
    case = json.loads(path.read_text(encoding="utf-8"))
    model = keras.saving.load_model(path.with_suffix(".keras"))
    assert model.name == case["name"], (path.stem, model.name)
    x = np.array(case["x"], "float32").reshape(3, *model.input_shape[1:])
    y = np.array(case["y"], "float32").reshape(3, *model.output_shape[1:])
    differences = [np.abs(model(x, training=False) - y).max()]
    weights = model.get_weights()
    model.set_weights([np.zeros_like(w) for w in weights])
    model.load_weights(path.with_suffix(".weights.h5"))
    differences.append(np.abs(model(x, training=False) - y).max())
    if "after" in case:
        target = np.array(case["target"], "float32").reshape(y.shape)
        model.fit(x, target, batch_size=3, epochs=1, shuffle=False, verbose=0)
        after = np.array(case["after"], "float32").reshape(y.shape)
        differences.append(np.abs(model(x, training=False) - after).max())
    print(path.stem, *(f"{d:.1e}" for d in differences))
    worst = max([worst, *(float(d) if np.isfinite(d) else np.inf for d in differences)])
print(worst)
