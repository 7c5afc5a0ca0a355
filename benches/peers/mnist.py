"""What the Python peers share: the tasks, the images, the clock, and the line that each prints for run.py."""

import argparse
import gzip
import json
import os
import time
from collections import namedtuple

import numpy as np

Task = namedtuple("Task", "samples batch")
TASKS = {
    "mlp": Task(48_000, 32),  # 784-100 relu-10
    "mlp2": Task(42_000, 128),  # 784-64 relu-32 relu-10
    "cnn": Task(60_000, 128),  # conv 32, pool, conv 64, pool, dropout, dense 128, dropout, 10
    "lstm": Task(60_000, 128),  # 28 rows of 28 pixels, LSTM 128, 10
}


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--data", default="data/mnist")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="for the peers that know GPUs")
    parser.add_argument("--form", default="", help="a variant that the peer has; the fastest is the default")
    return parser.parse_args()


def load(args):
    """The task's images, [samples, 784] floats of 0 to 1, and labels, [samples] of int32, before any clock starts."""

    def idx(name, header):
        with gzip.open(f"{args.data}/{name}.gz") as f:
            return np.frombuffer(f.read(), np.uint8, offset=header)

    n = TASKS[args.task].samples
    x = idx("train-images-idx3-ubyte", 16).reshape(-1, 784)[:n].astype(np.float32) / np.float32(255)
    return x, idx("train-labels-idx1-ubyte", 8)[:n].astype(np.int32)


def measure(args, epoch):
    """Trains for about `args.seconds` after a warm-up of one epoch, and prints what came of it.

    `epoch()` shuffles and trains one epoch; it yields (samples, mean loss) whenever it has trained some. An epoch that
    takes longer than `args.seconds` is cut off there, the warm-up too.
    """
    rates, spent, seen = [], 0.0, 0
    while spent < args.seconds:
        samples, weighted, start = 0, 0.0, time.perf_counter()
        for n, loss in epoch():
            samples, weighted = samples + n, weighted + n * loss
            took = time.perf_counter() - start
            if took > args.seconds:
                break
        if seen > 0:
            rates.append(samples / took)
            spent += took
        seen += samples
    report(args, rates, weighted / samples, seen)


def report(args, rates, loss, seen):
    """`loss` is the mean over the last epoch, or what there was of it; `seen` counts the samples of the warm-up too."""
    print(json.dumps({"rates": rates, "loss": loss, "epochs": seen / TASKS[args.task].samples}))
