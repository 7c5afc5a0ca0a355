"""What Keras makes of files that handgrad wrote: python3 tests/keras/check.py FOLDER

For each NAME.json in the folder, with a batch x and handgrad's predictions y: NAME.keras must load and predict y, and so
must the same model after its weights are lost and NAME.weights.h5 is read. Where there is an `after`, Keras trains a step
with the optimizer in the file, and must arrive there. Prints a line for each, and the largest difference of all.
Predictions are made on NumPy, which has nothing to compile, and training on JAX, by this script called with `train` in
addition.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

TRAIN = sys.argv[2:] == ["train"]
os.environ["KERAS_BACKEND"] = "jax" if TRAIN else "numpy"
os.environ["JAX_PLATFORMS"] = "cpu"

import keras
import numpy as np

assert keras.__version__ == "3.15.1", keras.__version__
folder = Path(sys.argv[1])


def cases():
    """Of each case: where it is, what it says, the model in its file, and x."""
    for path in sorted(folder.glob("*.json")):
        case = json.loads(path.read_text(encoding="utf-8"))
        if TRAIN and "after" not in case:
            continue
        model = keras.saving.load_model(path.with_suffix(".keras"))
        assert model.name == case["name"], (path.stem, model.name)
        yield path, case, model, array(case["x"], model.input_shape)


def array(values, shape):
    return np.array(values, "float32").reshape(3, *shape[1:])


def difference(model, x, values):
    largest = float(np.abs(model(x, training=False) - array(values, model.output_shape)).max())
    return largest if np.isfinite(largest) else float("inf")


def trained():
    """How far a step of Keras's takes each model from where handgrad's went."""
    after = {}
    for path, case, model, x in cases():
        model.fit(x, array(case["target"], model.output_shape), batch_size=3, shuffle=False, verbose=0)
        after[path.stem] = difference(model, x, case["after"])
    return after


if TRAIN:
    print(json.dumps(trained()))
    sys.exit()
command = [sys.executable, __file__, str(folder), "train"]
after = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.splitlines()[-1])
worst = 0.0
for path, case, model, x in cases():
    differences = [difference(model, x, case["y"])]
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    model.load_weights(path.with_suffix(".weights.h5"))
    differences.append(difference(model, x, case["y"]))
    if "after" in case:
        differences.append(after[path.stem])
    print(path.stem, *(f"{d:.1e}" for d in differences))
    worst = max(worst, *differences)
print(worst)
