"""PyTorch eager on the work of `handgrad train fashion-adam`: 784-100 relu-10, batch 32, 48,000 samples, Adam 0.001.

    pip install torch==2.* numpy
    python3 benches/peers/torch_mlp.py [--epochs 5] [--threads 2] [--data data/mnist]

Prints the samples a second of each epoch after the first, shuffled anew each epoch, and their median. The images are
floats in memory before the clock starts.
"""

import argparse
import gzip
import statistics
import time

import numpy as np
import torch

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--data", default="data/mnist")
args = parser.parse_args()
torch.set_num_threads(args.threads)
torch.manual_seed(0)


def idx(name, header):
    with gzip.open(f"{args.data}/{name}.gz") as f:
        return np.frombuffer(f.read(), np.uint8, offset=header)


n = 48_000
x = torch.tensor(idx("train-images-idx3-ubyte", 16).reshape(-1, 784)[:n] / np.float32(255.0))
y = torch.tensor(idx("train-labels-idx1-ubyte", 8)[:n].astype(np.int64))
model = torch.nn.Sequential(torch.nn.Linear(784, 100), torch.nn.ReLU(), torch.nn.Linear(100, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
loss_fn = torch.nn.CrossEntropyLoss()

rates = []
for epoch in range(args.epochs):
    start = time.perf_counter()
    order, total = torch.randperm(n), 0.0
    for at in range(0, n, 32):
        rows = order[at : at + 32]
        loss = loss_fn(model(x[rows]), y[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total += float(loss.detach())
    rates.append(n / (time.perf_counter() - start))
    print(f"epoch {epoch + 1}: {rates[-1]:,.0f} samples/s, loss {total / (n / 32):.4f}", flush=True)
print(f"median {statistics.median(rates[1:] or rates):,.0f} samples/s, torch {torch.__version__}, {args.threads} threads")
