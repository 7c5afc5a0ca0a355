#!/usr/bin/env python3
"""handgrad beside other frameworks: the same four trainings, in turn, on the same threads. README.md has the rules.

    python3 benches/peers/run.py                                   # everything: about an hour, the first time with 4 GB to fetch
    python3 benches/peers/run.py --tasks mlp --peers handgrad,torch --rounds 1 --seconds 3
    python3 benches/peers/run.py --device cuda --peers handgrad,torch,torch-graph,jax      # on the first GPU
"""

import argparse
import datetime
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILT = ROOT / "target/peers"
PYTHON = BUILT / "venv/bin/python"

# name: (handgrad's preset, samples of an epoch, what it is)
TASKS = {
    "mlp": ("fashion-adam", 48_000, "784-100 relu-10, batch 32, 48,000 samples"),
    "mlp2": ("mnist-mlp", 42_000, "784-64 relu-32 relu-10, batch 128, 42,000 samples"),
    "cnn": ("mnist-cnn", 60_000, "conv 32, pool, conv 64, pool, dropout, 128 relu, dropout, 10, batch 128, 60,000 samples"),
    "lstm": ("mnist-lstm", 60_000, "28 rows of 28 pixels, LSTM 128, 10, batch 128, 60,000 samples"),
}

# name: (program, what `--form` says, what it is made of: packages of requirements.txt or crates)
PEERS = {
    "handgrad": ("handgrad", "", []),
    "torch": ("torch_peer.py", "", ["torch"]),
    "torch-compile": ("torch_peer.py", "compile", ["torch"]),
    "torch-graph": ("torch_peer.py", "graph", ["torch"]),
    "jax": ("jax_peer.py", "", ["jax"]),
    "keras-tf": ("keras_peer.py", "", ["keras", "tensorflow-cpu"]),
    "keras-jax": ("keras_peer.py", "", ["keras", "jax"]),
    "burn": ("burn", "", ["burn"]),
    "candle": ("candle", "", ["candle-core"]),
}

# those whose programs know `--device`
ON_GPUS = ["torch_peer.py", "jax_peer.py"]


class NotRun(Exception):
    """Why a peer has no figures."""


def run(command, **options):
    """The command's output; NotRun with its last words where it fails."""
    try:
        done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True, **options)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotRun(str(error)) from error
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()
        errors = [line for line in lines if "rror" in line]
        raise NotRun((errors or lines)[-1].strip()[:200])
    return done.stdout


def install(peers):
    """Makes the virtual environment and builds the crates that the peers need. A peer that lacks its own fails later."""
    programs = {PEERS[p][0] for p in peers}
    wanted = {package for p in peers if PEERS[p][0].endswith(".py") for package in [*PEERS[p][2], "numpy"]}
    if wanted and not PYTHON.exists():
        run([sys.executable, "-m", "venv", BUILT / "venv"])
    steps = [([PYTHON, "-m", "pip", "install", "-q", "-c", HERE / "requirements.txt", p], {}, p) for p in sorted(wanted)]
    # as an expert would build them: for this processor. handgrad chooses its instructions at run time.
    native = {**os.environ, "RUSTFLAGS": "-C target-cpu=native"}
    for crate in sorted(programs & {"burn", "candle"}):
        manifest = HERE / crate / "Cargo.toml"
        cargo = ["cargo", "build", "-q", "--release", "--locked", "--manifest-path", manifest, "--target-dir", BUILT / "rust"]
        steps.append((cargo, {"env": native}, crate))
    for command, options, what in steps:
        try:
            say(f"installing {what}")
            run(command, **options)
        except NotRun as error:
            say(f"{what} cannot be installed: {error}")


def say(text):
    print(text, file=sys.stderr, flush=True)


def version(peer, python):
    """What of which version: from handgrad's Cargo.toml, the venv, or the crate's Cargo.lock."""
    program, _, parts = PEERS[peer]
    if program == "handgrad":
        return re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    if not program.endswith(".py"):
        lock = (HERE / program / "Cargo.lock").read_text()
        return re.search(rf'name = "{parts[0]}"\nversion = "(.*)"', lock)[1]
    ask = "import importlib.metadata as m, sys; print(*(m.version(p) for p in sys.argv[1:]))"
    found = run([python, "-c", ask, *parts]).split()
    return found[0] if len(found) == 1 else ", ".join(" ".join(pair) for pair in zip(parts, found))


def train(peer, task, args, epochs):
    """One process. Returns its rates, samples a second, one for each epoch; its last loss; the epochs that it trained."""
    program, form, _ = PEERS[peer]
    threads = str(args.threads)
    # the cores too, for those whose pools follow the machine's
    cores = sorted(os.sched_getaffinity(0))[: args.threads]
    names = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "MATMUL_NUM_THREADS", "CANDLE_NUM_THREADS"]
    env = {
        **os.environ,
        **dict.fromkeys(names, threads),
        "KERAS_BACKEND": "jax" if peer == "keras-jax" else "tensorflow",
        "JAX_PLATFORMS": args.device,
    }
    if args.device == "cpu":
        env["CUDA_VISIBLE_DEVICES"] = ""
    options = {
        "env": env,
        "preexec_fn": lambda: os.sched_setaffinity(0, cores),
        "timeout": 600 + 10 * args.seconds,
    }
    if program == "handgrad":
        preset, samples, _ = TASKS[task]
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            command = [ROOT / "target/release/handgrad", "train", preset, "--data", args.data, "--epochs", epochs]
            device = "cpu" if args.device == "cpu" else "cuda:0"
            run([*command, "--threads", threads, "--device", device, "--verbose", 0, "--json", file.name], **options)
            history = json.load(open(file.name))["epochs"]
        return {
            "rates": [samples / epoch["seconds"] for epoch in history[1:]] or [samples / history[0]["seconds"]],
            "loss": history[-1]["loss"],
            "epochs": len(history),
        }
    start = [args.python, HERE / program] if program.endswith(".py") else [BUILT / f"rust/release/{program}-peer"]
    rest = [task, "--data", args.data, "--seconds", args.seconds, "--threads", threads, *(["--form", form] if form else [])]
    if program in ON_GPUS:
        rest += ["--device", args.device]
    elif args.device != "cpu":
        raise NotRun("not made for GPUs here")
    return json.loads(run([*start, *rest], **options).splitlines()[-1])


def compare(task, args):
    """Every peer, round after round: {peer: {version, rates, loss, epochs} or {not_run}}."""
    results, epochs = {}, 0
    for round_ in range(1, args.rounds + 1):
        for peer in args.peers:
            result = results.setdefault(peer, {"rates": []})
            if "not_run" in result:
                continue
            try:
                result["version"] = version(peer, args.python)
                if peer == "handgrad" and not epochs:
                    # it counts in whole epochs: how many are so many seconds?
                    epochs = 1 + math.ceil(args.seconds * train(peer, task, args, 1)["rates"][0] / TASKS[task][1])
                got = train(peer, task, args, epochs)
                bound = 0.5 if got["epochs"] >= 1 else math.log(10)  # ln 10: a guess among ten
                if not got["loss"] < bound:
                    raise NotRun(f"it does not learn: loss {got['loss']:.3f} after {got['epochs']:.1f} epochs")
                rates = result["rates"] + got["rates"]
                result.update(got, rates=rates)
                say(f"{task}, round {round_}, {peer}: {statistics.median(got['rates']):,.0f} samples/s, loss {got['loss']:.3f}")
            except NotRun as error:
                result["not_run"] = str(error)
                say(f"{task}, {peer}: not run: {error}")
    return results


def table(task, results):
    """Markdown, the fastest first."""
    medians = {p: statistics.median(r["rates"]) for p, r in results.items() if "not_run" not in r}
    own = medians.get("handgrad")
    others = {p: m for p, m in medians.items() if p != "handgrad"}
    rows = [["peer", "samples/s", "least to most", "of handgrad's", "loss", "after epochs"]]
    for peer in sorted(medians, key=medians.get, reverse=True):
        r = results[peer]
        share = f"{medians[peer] / own:.2f}" if own else ""
        if peer == "handgrad" and others:
            share = f"**{own / max(others.values()):.2f} of {max(others, key=others.get)}'s**"
        spread = f"{min(r['rates']):,.0f} to {max(r['rates']):,.0f}"
        cells = [f"{medians[peer]:,.0f}", spread, share, f"{r['loss']:.3f}", f"{r['epochs']:.1f}"]
        rows.append([f"{peer} ({r['version']})", *cells])
    for peer, r in results.items():
        if "not_run" in r:
            rows.append([peer, "not run", r["not_run"].replace("|", "/"), "", "", ""])
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    rows.insert(1, ["-" * w for w in widths])
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths)) + " |" for row in rows]
    return "\n".join([f"**{task}**: {TASKS[task][2]}", "", *lines, ""])


def machine(args):
    """Date, processor, threads, tools: the header of the result."""
    how = f"{args.rounds} rounds of {args.seconds:g} s, Python {platform.python_version()}"
    date = f"{datetime.date.today():%-d %B %Y}"
    if args.device != "cpu":
        gpu = run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]).splitlines()[0]
        return f"{date}, {gpu.replace(', ', ', driver ')}, {args.threads} threads of the host, {how}"
    info = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", info)
    flags = re.search(r"^flags\s*: (.*)", info, re.M)
    isa = [name for name, flag in [("avx2", "avx2"), ("fma", "fma"), ("avx512", "avx512f")] if flags and flag in flags[1].split()]
    return (
        f"{date}, {model[1] if model else platform.machine()} ({', '.join(isa)}), {args.threads} threads, {how}, "
        f"{run(['rustc', '--version']).split(' (')[0]}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = lambda known: lambda text: [n if n in known else parser.error(f"no such thing: {n}") for n in text.split(",")]
    parser.add_argument("--tasks", type=names(TASKS), default=list(TASKS), help=",".join(TASKS))
    parser.add_argument("--peers", type=names(PEERS), help=",".join(PEERS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each process trains after its warm-up")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--python", type=Path, default=PYTHON, help="one that has the packages, instead of an environment of its own")
    parser.add_argument("--data", type=Path, default=ROOT / "data/mnist")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--skip-install", action="store_true", help="take what earlier runs installed and built")
    args = parser.parse_args()
    if not args.peers:
        able = lambda program: args.device == "cpu" or program in ["handgrad", *ON_GPUS]
        args.peers = [p for p, (program, form, _) in PEERS.items() if able(program) and (args.device, form) != ("cpu", "graph")]
    args.data = args.data.resolve()
    args.markdown, args.json = (p and p.resolve() for p in (args.markdown, args.json))
    if not args.skip_install:
        if "handgrad" in args.peers:
            say("building handgrad")
            run(["cargo", "build", "-q", "--release", "--target-dir", "target"])
        install(args.peers)
    header, results = machine(args), {}
    text = header + "\n"
    print(text, flush=True)
    for task in args.tasks:
        results[task] = compare(task, args)
        text += "\n" + table(task, results[task])
        print(table(task, results[task]), flush=True)
        # after each task, for those who stop it early
        if args.markdown:
            args.markdown.write_text(text)
        if args.json:
            args.json.write_text(json.dumps({"machine": header, "tasks": results}, indent=2) + "\n")


if __name__ == "__main__":
    try:
        main()
    except NotRun as error:
        sys.exit(f"error: {error}")
