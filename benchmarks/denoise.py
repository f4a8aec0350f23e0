"""What denoising finds and what it costs, where the truth is known: planted label flips, and FER+ votes.

    python benchmarks/denoise.py run synthetic --trials runs/denoise.jsonl
    python benchmarks/denoise.py run fer2013 --trials runs/denoise.jsonl --data DATA
    python benchmarks/denoise.py cost
    python benchmarks/denoise.py write --trials runs/denoise.jsonl --out docs/denoise.md

`run` appends a line a trial and leaves out those that are there; `write` makes the page from the lines.
Flips are planted in the training part alone; validation, which picks the epoch, and test stay as published.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from denoise_page import page

from duchenne.datasets import load
from duchenne.datasets.faceset import FaceSet
from duchenne.datasets.splits import folds
from duchenne.denoise import label_issues
from duchenne.errors import TrainingError
from duchenne.recipe import Denoise, Loss, Optimizer, Schedule, Train
from duchenne.transforms import Preprocess

RATES = (0.0, 0.1, 0.2, 0.05)
FOLDS = {"synthetic": 3, "fer2013": 2}
# After this epoch of 10; wang2020 has 6 of 31.
START = {"synthetic": 3, "fer2013": 4}


def learner(data: str, seed: int, denoise: Denoise | None = None) -> Any:
    """A small CNN on synthetic faces; the net of kontogouris2018, section 5.5, on FER2013."""
    if data == "synthetic":
        from duchenne.learners.torch_learner import TorchLearner

        return TorchLearner(
            model="smallnet", args={"filters": [16, 32, 64], "grid": 6}, accelerator="cpu",
            optimizer=Optimizer(name="adamw", lr=0.003, weight_decay=0.01),
            schedule=Schedule(name="one_cycle", warmup=0.2),
            train=Train(epochs=10, batch_size=64, seed=seed), denoise=denoise,
        )  # fmt: skip
    from duchenne.learners.scratch_learner import ScratchLearner

    return ScratchLearner(
        args={"hidden": [512, 256], "dropout": 0.01, "init": "he"},
        preprocess=Preprocess(size=(48, 48), mean=(0.5077,), std=(0.2550,)),
        optimizer=Optimizer(name="sgd", lr=0.01, momentum=0.9),
        schedule=Schedule(name="epoch_decay", rate=0.95), loss=Loss(l2=0.01),
        train=Train(epochs=10, batch_size=100, seed=seed), denoise=denoise,
    )  # fmt: skip


def planted(train: FaceSet, rate: float, seed: int) -> tuple[FaceSet, np.ndarray]:
    """The faces with round(rate * N) labels replaced by another class (uniformly), and which those are."""
    rng = np.random.default_rng((seed, 77))
    codes, k = train.hard("emotion").copy(), train.output("emotion").num_classes
    flipped = np.zeros(len(codes), dtype=bool)
    flipped[rng.permutation(len(codes))[: round(rate * len(codes))]] = True
    codes[flipped] = (codes[flipped] + rng.integers(1, k, flipped.sum())) % k
    return replace(train, targets={"emotion": codes}), flipped


def methods(data: str, rate: float) -> dict[str, Denoise | None]:
    """What is compared; confident learning is trained twice and so stands apart."""
    share, start = rate or 0.05, START[data]
    found = {
        "none": None,
        "BDR, k = 1, one round": Denoise(name="bdr", start=start),
        "BDR, k = 1, three rounds": Denoise(name="bdr", start=start, rounds=3, max_share=0.5),
        "BDR, start when settled": Denoise(name="bdr", tolerance=0.25, max_share=0.5),
        f"largest {share:.0%} of the losses": Denoise(name="drop_largest", start=start, share=share),
        "confident learning": None,
    }
    return found if data == "synthetic" else {k: v for k, v in found.items() if "settled" not in k}


def out_of_sample(data: str, train: FaceSet, val: FaceSet, seed: int) -> np.ndarray:
    """Probabilities of each face by a net that has not seen it, ``(N, K)``."""
    fold = folds(train.hard("emotion"), FOLDS[data], seed)
    probs = np.empty((len(train), train.output("emotion").num_classes))
    for i in range(FOLDS[data]):
        net = learner(data, seed).fit(train.select(fold != i), val=val)
        logits = net.logits(train.select(fold == i))["emotion"].astype(np.float64)
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        probs[fold == i] = e / e.sum(axis=1, keepdims=True)
    return probs


def trial(data: str, parts: dict[str, FaceSet], rate: float, method: str, seed: int) -> dict[str, Any]:
    """Train once and say what went and what became of the test figures."""
    train, flipped = planted(parts["train"], rate, seed)
    begun = time.perf_counter()
    gone = np.zeros(len(train), dtype=bool)
    if method == "confident learning":
        gone = label_issues(train.hard("emotion"), out_of_sample(data, train, parts["val"], seed))
        net = learner(data, seed).fit(train.select(~gone), val=parts["val"])
    else:
        net = learner(data, seed, methods(data, rate)[method]).fit(train, val=parts["val"])
        out = [one["id"] for record in net.denoised_ for one in record["removed"]]
        gone = np.isin(train.ids, out)
    test = parts["test"]
    truth, said = test.hard("emotion"), net.logits(test)["emotion"].argmax(axis=1)
    codes, k = train.hard("emotion"), train.output("emotion").num_classes
    figures = {
        "data": data, "rate": rate, "method": method, "seed": seed, "n": len(train),
        "labels": list(train.output("emotion").labels), "n_test": len(test),
        "rounds": [(r["epoch"], len(r["removed"])) for r in getattr(net, "denoised_", [])],
        "removed": int(gone.sum()), "flipped": int(flipped.sum()), "hits": int((gone & flipped).sum()),
        "accuracy": float((said == truth).mean()), "best_epoch": int(net.best_["epoch"]),
        "recall": [float((said[truth == c] == c).mean()) for c in range(k)],
        "train_counts": np.bincount(codes, minlength=k).tolist(),
        "removed_counts": np.bincount(codes[gone], minlength=k).tolist(),
        # Of the faces whose label was left as published: what was thrown away without cause.
        "clean_removed_counts": np.bincount(codes[gone & ~flipped], minlength=k).tolist(),
        "seconds": round(time.perf_counter() - begun, 1),
    }  # fmt: skip
    if data == "fer2013":
        figures |= judged(parts["judge"], train, gone, flipped)
    return figures


def judged(votes: FaceSet, train: FaceSet, gone: np.ndarray, flipped: np.ndarray) -> dict[str, Any]:
    """How often the majority of the FER+ votes says otherwise, among removed and kept faces.

    Only faces that were not flipped here, and whose majority is one of FER2013's seven emotions.
    """
    ours, theirs = train.output("emotion").labels, votes.output("emotion").labels
    code_of = {str(i): c for i, c in zip(votes.ids, votes.hard("emotion"), strict=True)}
    majority = [code_of.get(str(i), -1) for i in train.ids]
    said = np.array([ours.index(theirs[c]) if c >= 0 and theirs[c] in ours else -1 for c in majority])
    known = (said >= 0) & ~flipped
    other = known & (said != train.hard("emotion"))
    return {
        "judged": int(known.sum()), "judged_other": int(other.sum()),
        "judged_removed": int((known & gone).sum()), "judged_removed_other": int((other & gone).sum()),
    }  # fmt: skip


def parts_of(data: str, root: Path | None) -> dict[str, FaceSet]:
    """Train, val and test, with output `emotion` alone; of FER2013 also the FER+ votes."""
    if data == "synthetic":
        faces = load("synthetic", n=5000, size=48).keep_outputs(["emotion"])
    else:
        faces = load("fer2013", root)
    parts = {s: faces.where(s) for s in ("train", "val", "test")}
    if data == "fer2013":
        parts["judge"] = load("fer2013", root, labels="ferplus")
    return parts


def run(data: str, root: Path | None, file: Path, seeds: int, rates: list[float]) -> None:
    """Append what is missing to the file, the cheap part of each rate first."""
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.is_file() else []
    done = {(t["data"], t["rate"], t["method"], t["seed"]) for t in lines}
    parts = parts_of(data, root)
    file.parent.mkdir(parents=True, exist_ok=True)
    for seed in range(seeds):
        for rate in rates:
            for method in methods(data, rate):
                if (data, rate, method, seed) in done:
                    continue
                try:
                    found = trial(data, parts, rate, method, seed)
                except TrainingError as error:  # a finding too: what the guards are for
                    found = {
                        "data": data,
                        "rate": rate,
                        "method": method,
                        "seed": seed,
                        "refused": error.what,
                    }
                    found |= {"n": len(parts["train"]), "n_test": len(parts["test"])}
                with file.open("a", encoding="utf-8") as out:
                    out.write(json.dumps(found) + "\n")
                print(_line(found), flush=True)


def _line(t: dict[str, Any]) -> str:
    head = f"{t['data']} {t['rate']:.0%} seed {t['seed']} {t['method']}: "
    if "refused" in t:
        return head + t["refused"]
    return (
        f"{head}removed {t['removed']:,}, of them flipped {t['hits']:,} of {t['flipped']:,}, "
        f"test {t['accuracy']:.4f}, {t['seconds']} s"
    )


def cost(data: str, turns: int) -> float:
    """Processor time of a training of one epoch with BDR's round in it, over one without; median of turns."""
    faces = load("synthetic", n=2000, size=48, split={"train": 1.0}).keep_outputs(["emotion"])
    ratios = []
    for turn in range(turns):
        times = []
        for denoise in (None, Denoise(name="bdr", start=1))[:: 1 if turn % 2 else -1]:
            net = learner(data, 0, denoise)
            net.train = net.train.model_copy(update={"epochs": 1})
            begun = time.process_time()
            net.fit(faces)
            times.append(time.process_time() - begun)
        plain, cleaned = times if turn % 2 else times[::-1]
        ratios.append(cleaned / plain)
    return statistics.median(ratios)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    runner, writer = verbs.add_parser("run"), verbs.add_parser("write")
    for verb in (runner, writer):
        verb.add_argument("--trials", type=Path, default=Path("runs/denoise.jsonl"))
    runner.add_argument("set", choices=tuple(START))
    runner.add_argument("--data", type=Path)
    runner.add_argument("--seeds", type=int, default=1)
    runner.add_argument("--rates", type=float, nargs="+", default=list(RATES))
    writer.add_argument("--out", type=Path, default=Path("docs/denoise.md"))
    meter = verbs.add_parser("cost")
    meter.add_argument("--turns", type=int, default=15)
    args = parser.parse_args()
    if args.verb in ("run", "cost"):
        import torch

        torch.set_num_threads(1)
    if args.verb == "cost":
        for data in START:
            kind = "torch loop" if data == "synthetic" else "NumPy engine"
            print(f"{kind}: an epoch with BDR takes {cost(data, args.turns):.3f} of one without")
    elif args.verb == "run":
        run(args.set, args.data, args.trials, args.seeds, args.rates)
    else:
        rows = [json.loads(line) for line in args.trials.read_text("utf-8").splitlines()]
        args.out.write_text(page(rows), "utf-8")


if __name__ == "__main__":
    main()
