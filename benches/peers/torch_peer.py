"""PyTorch, eager or compiled (`--form compile`).

What makes it fast: no DataLoader but one gather of the rows of a batch; Adam's fused form, one call for all parameters;
images with channels last, the layout that its convolutions on a processor want. Compiled, the whole step, gradients and
Adam included, is one graph, so that the small models pay for one call and not for fifty.
"""

import sys

import torch
import torch.nn.functional as F
from torch import nn

import mnist

args = mnist.arguments()
samples, batch = mnist.TASKS[args.task]
torch.set_num_threads(args.threads)
torch.manual_seed(0)


class Rows(nn.Module):
    """The last state of an LSTM over the 28 rows of an image."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(28, 128, batch_first=True)

    def forward(self, x):
        return self.lstm(x)[0][:, -1]


x, y = (torch.from_numpy(a) for a in mnist.load(args))
y = y.long()
if args.task == "mlp":
    model = nn.Sequential(nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 10))
elif args.task == "mlp2":
    model = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
elif args.task == "cnn":
    x = x.view(-1, 1, 28, 28)
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Dropout(0.25), nn.Flatten(), nn.Linear(1600, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10),
    )  # fmt: skip
    model = model.to(memory_format=torch.channels_last)
elif args.task == "lstm":
    x = x.view(-1, 28, 28)
    model = nn.Sequential(Rows(), nn.Linear(128, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=0.001, fused=True)


def step(x, y):
    loss = F.cross_entropy(model(x), y)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return loss.detach()


def epoch():
    order = torch.randperm(samples)
    for rows in order[: samples // batch * batch].split(batch):
        yield batch, step(x.index_select(0, rows), y.index_select(0, rows)).item()


mnist.measure(args, epoch)
