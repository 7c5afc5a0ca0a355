"""The models of tests/keras_files.rs: every layer that Keras 3 and handgrad both have, small.

Each function of MODELS makes one, with weights that are not the initial ones, and says the shape of its samples.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"

import keras
import numpy as np
from keras import layers as L


def mlp():
    return (6,), [
        L.Dense(8, activation="relu", kernel_initializer="he_normal"),
        L.BatchNormalization(momentum=0.9, epsilon=1e-4),
        L.Dropout(0.25),
        L.Dense(5, use_bias=False, activation="sigmoid"),
        L.BatchNormalization(center=False, scale=False),
        L.Dense(3, activation="softmax", name="출력"),
    ]


def activations():
    names = "linear relu sigmoid softmax tanh softplus softsign elu selu exponential leaky_relu gelu silu".split()
    found = [L.Dense(4, activation=name) for name in names]
    found += [L.Activation("gelu"), L.ReLU(), L.Dense(4), L.LeakyReLU(), L.Dense(4), L.LeakyReLU(negative_slope=0.1)]
    found += [L.Dense(4), L.ELU(), L.Dense(4), L.ELU(alpha=0.5), L.Dense(4, activation=L.LeakyReLU(negative_slope=0.4))]
    return (4,), found + [L.Softmax()]


def conv1d():
    return (20, 2), [
        L.Conv1D(3, 3, padding="same", dilation_rate=2, activation="tanh"),
        L.MaxPooling1D(2),
        L.Conv1D(4, 2, strides=2, use_bias=False),
        L.AveragePooling1D(2, strides=1, padding="same"),
        L.GlobalMaxPooling1D(),
    ]


def conv2d():
    return (9, 10, 2), [
        L.Conv2D(4, 3, padding="same", activation="relu"),
        L.BatchNormalization(),
        L.Activation("relu"),
        L.MaxPooling2D(2),
        L.Conv2D(3, (2, 3), strides=(1, 2), padding="same", name="둘째"),
        L.AveragePooling2D((2, 1), strides=1, padding="same"),
        L.Conv2D(5, 2, dilation_rate=(2, 1)),
        L.Flatten(),
        L.Dense(4),
    ]


def conv3d():
    return (6, 7, 5, 2), [
        L.Conv3D(3, (2, 3, 1), padding="same", activation="silu"),
        L.MaxPooling3D(2),
        L.Conv3D(2, 2, strides=1),
        L.AveragePooling3D((1, 2, 1)),
        L.GlobalAveragePooling3D(),
    ]


def pooled():
    return (4, 6, 3), [
        L.Reshape((2, 2, 6, 3)),
        L.MaxPooling3D((1, 2, 3), strides=(1, 2, 2), padding="same"),
        L.Reshape((-1, 3)),
        L.AveragePooling1D(2),
        L.Reshape((3, 1, 3)),
        L.GlobalAveragePooling2D(),
    ]


def globals_1d():
    return (5, 3), [L.GlobalAveragePooling1D(), L.Reshape((3, 1, 1)), L.GlobalMaxPooling2D()]


def globals_3d():
    return (2, 3, 2, 4), [L.GlobalMaxPooling3D(), L.Flatten()]


def lstm():
    return (5, 3), [
        L.LSTM(4, return_sequences=True),
        L.LSTM(3, go_backwards=True, return_sequences=True, use_bias=False, activation="softsign"),
        L.LSTM(4, unit_forget_bias=False, recurrent_activation="tanh"),
        L.Dense(2, activation="softmax"),
    ]


def gru():
    return (5, 3), [
        L.GRU(4, return_sequences=True),
        L.GRU(3, reset_after=False, return_sequences=True, go_backwards=True),
        L.GRU(3, return_sequences=True, use_bias=False),
        L.GRU(2, recurrent_activation="tanh", activation="elu"),
    ]


def simple_rnn():
    return (6, 2), [L.SimpleRNN(4, return_sequences=True), L.SimpleRNN(3, activation="relu", use_bias=False)]


MODELS = [mlp, activations, conv1d, conv2d, conv3d, pooled, globals_1d, globals_3d, lstm, gru, simple_rnn]


def make(model):
    """The model with weights that are far from the initial ones, and a batch for it."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(MODELS.index(model) + 1)
    shape, found = model()
    made = keras.Sequential([keras.Input(shape), *found], name=model.__name__)
    draw = np.random.default_rng(MODELS.index(model))
    made.set_weights([
        draw.uniform(0.5, 1.5, w.shape) if w.path.endswith("moving_variance") else draw.normal(0, 0.6, w.shape)
        for w in made.weights
    ])
    return made, draw.normal(0, 1, (3, *shape)).astype("float32")
