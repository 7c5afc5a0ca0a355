"""Writes dense.npz: weights as numpy saves them, one array compressed in its own archive's way, one in 64 bits."""
import numpy as np
from pathlib import Path

kernel = np.array([[0.5, -1.0, 1.5], [-2.0, 2.5, -3.0]], np.float32)
bias = np.array([1.0, 2.0, 3.0], np.float64)
second = np.array([[1e-30, 2.0], [-3.0, 4.0], [5.0, 6e30]], np.float32)
arrays = {"dense/kernel": kernel, "dense/bias": bias, "dense_1/kernel": second}
np.savez_compressed(Path(__file__).with_name("dense.npz"), **arrays)
