"""PyTorch, eager or compiled (`--form compile`).

What makes it fast: no DataLoader but one gather of the rows of a batch; Adam's fused form, one call for all parameters;
images with channels last, the layout that its convolutions on a processor want. Compiled, the whole step, gradients and
Adam included, is one graph, so that the small models pay for one call and not for fifty.
"""

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


class SpelledRows(nn.Module):
    """The same step by step: torch.compile cannot look into nn.LSTM, and fuses this."""

    def __init__(self):
        super().__init__()
        self.w, self.u = nn.Linear(28, 512), nn.Linear(128, 512, bias=False)

    def forward(self, x):
        h = c = x.new_zeros(len(x), 128)
        for row in self.w(x).unbind(1):
            i, f, g, o = (row + self.u(h)).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        return h


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
    model = nn.Sequential(SpelledRows() if args.form == "compile" else Rows(), nn.Linear(128, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=0.001, fused=True)


def eager(rows):
    loss = F.cross_entropy(model(x.index_select(0, rows)), y.index_select(0, rows))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return loss.detach()


params = {name: p.detach() for name, p in model.named_parameters()}
m, v = ({name: torch.zeros_like(p) for name, p in params.items()} for _ in "mv")
t = torch.zeros(())


def loss_of(params, rows):
    return F.cross_entropy(torch.func.functional_call(model, params, x.index_select(0, rows)), y.index_select(0, rows))


@torch.compile(fullgraph=True, dynamic=False)
def compiled(rows):
    """Without the graph that `backward` walks: the gradients are a function of the parameters, and Adam is spelled out."""
    gradients, loss = torch.func.grad_and_value(loss_of)(params, rows)
    t.add_(1)
    rate = 0.001 * (1 - 0.999**t).sqrt() / (1 - 0.9**t)
    for name, g in gradients.items():
        m[name].mul_(0.9).add_(g, alpha=0.1)
        v[name].mul_(0.999).addcmul_(g, g, value=0.001)
        params[name].sub_(rate * m[name] / (v[name].sqrt() + 1e-8))
    return loss


step = compiled if args.form == "compile" else eager


def epoch():
    order = torch.randperm(samples)
    for rows in order[: samples // batch * batch].split(batch):
        yield batch, step(rows).item()


mnist.measure(args, epoch)
