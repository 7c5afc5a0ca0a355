"""Keras with `model.fit`, on TensorFlow or JAX, as KERAS_BACKEND says.

What makes it fast: `steps_per_execution`, several steps for each call of the compiled function, and XLA only where it
is the faster. To try others: `--form spe=10,jit=1,unroll=1`.
"""

import os
import time

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from keras import layers

import mnist

args = mnist.arguments()
form = dict(part.split("=") for part in args.form.split(",") if part)
samples, batch = mnist.TASKS[args.task]
backend = keras.backend.backend()
if backend == "tensorflow":
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    tf.config.threading.set_inter_op_parallelism_threads(int(form.get("inter", args.threads)))
keras.utils.set_random_seed(0)
# a step of the small models is short beside a call; those of the others are not, and compile for long
spe = int(form.get("spe", {"mlp": 50, "mlp2": 41}.get(args.task, 1)))
# JAX compiles in any case; TensorFlow's own kernels beat XLA's on a processor, by far in convolutions, but for the LSTM
jit = backend == "jax" or bool(int(form.get("jit", args.task == "lstm")))

x, y = mnist.load(args)
dense = layers.Dense
if args.task == "mlp":
    model = keras.Sequential([layers.Input((784,)), dense(100, "relu"), dense(10)])
elif args.task == "mlp2":
    model = keras.Sequential([layers.Input((784,)), dense(64, "relu"), dense(32, "relu"), dense(10)])
elif args.task == "cnn":
    x = x.reshape(-1, 28, 28, 1)
    model = keras.Sequential([
        layers.Input((28, 28, 1)),
        layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(2), layers.Dropout(0.25),
        layers.Flatten(), dense(128, "relu"), layers.Dropout(0.5), dense(10),
    ])  # fmt: skip
elif args.task == "lstm":
    x = x.reshape(-1, 28, 28)
    model = keras.Sequential([layers.Input((28, 28)), layers.LSTM(128, unroll=bool(int(form.get("unroll", 0)))), dense(10)])
model.compile(
    optimizer=keras.optimizers.Adam(0.001),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    jit_compile=jit,
    steps_per_execution=spe,
)


class Clock(keras.callbacks.Callback):
    """The seconds of each epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self.start)

    def fit(self, samples, epochs):
        self.seconds = []
        # whole batches, so that there is one shape to compile
        history = model.fit(x[:samples], y[:samples], batch, epochs, verbose=0, callbacks=[self])
        return history.history["loss"][-1]


clock = Clock()
whole = samples // batch // spe * spe * batch
n = min(whole, 8 * spe * batch)
clock.fit(n, 2)  # compiles, then says how long an epoch will take: one of more than `--seconds` is cut to the first n
speed = n / clock.seconds[1]
n = min(whole, max(1, int(speed * args.seconds) // (spe * batch)) * spe * batch)
epochs = 1 + max(1, round(args.seconds * speed / n))
loss = clock.fit(n, epochs)
mnist.report(args, [n / s for s in clock.seconds[1:]], loss, n * epochs)
