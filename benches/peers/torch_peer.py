"""PyTorch, eager, compiled (`--form compile`), or on a GPU as one CUDA graph a step (`--form graph`).

What makes it fast: no DataLoader but one gather of the rows of a batch; Adam's fused form, one call for all parameters;
images with channels last, the layout that its convolutions on a processor want. Compiled, the whole step, gradients and
Adam included, is one graph, so that the small models pay for one call and not for fifty. On a GPU all samples live there,
products are f32 and not tf32, and losses are read every hundred steps.
"""

import torch
import torch.nn.functional as F
from torch import nn

import mnist

args = mnist.arguments()
samples, batch = mnist.TASKS[args.task]
torch.set_num_threads(args.threads)
torch.manual_seed(0)
torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
device = torch.device(args.device)


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


x, y = (torch.from_numpy(a).to(device) for a in mnist.load(args))
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
model = model.to(device)
optimizer = torch.optim.Adam(model.parameters(), lr=0.001, fused=True, capturable=args.form == "graph")


def eager(rows):
    loss = F.cross_entropy(model(x.index_select(0, rows)), y.index_select(0, rows))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return loss.detach()


params = {name: p.detach() for name, p in model.named_parameters()}
m, v = ({name: torch.zeros_like(p) for name, p in params.items()} for _ in "mv")
t = torch.zeros((), device=device)


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


def graph():
    """The eager step, recorded once and replayed on other rows."""
    rows = torch.arange(batch, device=device)
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            eager(rows)
    torch.cuda.current_stream().wait_stream(aside)
    recorded = torch.cuda.CUDAGraph()
    with torch.cuda.graph(recorded):
        loss = eager(rows)

    def step(new):
        rows.copy_(new)
        recorded.replay()
        return loss

    return step


step = {"": lambda: eager, "compile": lambda: compiled, "graph": graph}[args.form]()
# steps between two looks at the loss, which wait for a GPU
every = 1 if args.device == "cpu" else 100


def epoch():
    order = torch.randperm(samples, device=device)
    batches = order[: samples // batch * batch].split(batch)
    for some in (batches[i : i + every] for i in range(0, len(batches), every)):
        total = sum(step(rows) for rows in some)
        yield batch * len(some), total.item() / len(some)


mnist.measure(args, epoch)
