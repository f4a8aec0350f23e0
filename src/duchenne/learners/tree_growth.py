"""Building one-vs-rest trees one after the other: figures, checkpoints, resuming, the deadline."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..datasets.faceset import FaceSet
from ..errors import DataError, RunError
from ..labels import Output
from ..scratch.scores import multi_figures, single_figures
from ..transforms import Preprocess
from .arrayfile import read_last, write_arrays
from .contract import Array, Listener, Row, Storage, epoch_seed, sample_weights, target_arrays
from .tree import Tree, from_sklearn, pack_trees, stump, unpack_trees
from .tree_settings import TreeSettings

# Faces whose inputs are made at a time.
_BATCH = 1024


def check_memory(faces: int, features: int) -> None:
    """Raise DataError where one float32 input a face and feature is more than the machine's memory."""
    need = 4 * faces * features
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows does not say
        return
    if need > memory:
        raise DataError(
            f"trees need all inputs in memory: {faces:,} faces x {features:,} inputs x 4 bytes are "
            f"{need / 2**30:.1f} GiB, this machine has {memory / 2**30:.1f} GiB",
            "a smaller preprocess.size needs less",
        )


class _Part:
    """Inputs ``(N, D)``, targets and the log-odds so far of the training or validation faces."""

    def __init__(self, faces: FaceSet, preprocess: Preprocess) -> None:
        height, width = preprocess.input_size
        features = height * width * preprocess.input_channels
        self.x = np.empty((len(faces), features), np.float32)
        for begin in range(0, len(faces), _BATCH):
            rows = np.arange(begin, min(begin + _BATCH, len(faces)))
            self.x[rows] = preprocess(faces.pixels(rows)).reshape(len(rows), features)
        self.positive: dict[str, Array] = {}
        self.known: dict[str, Array] = {}
        for output in faces.outputs:
            if output.kind == "single":
                codes = faces.hard(output.name)
                target_arrays(faces, output)  # raises where a code has no label
                self.positive[output.name] = np.asarray(codes[:, None] == np.arange(output.num_classes))
                self.known[output.name] = np.repeat((codes >= 0)[:, None], output.num_classes, axis=1)
            else:
                values, mask = target_arrays(faces, output)
                self.positive[output.name], self.known[output.name] = values >= 0.5, mask > 0
        self.logits = {o.name: np.empty((len(faces), o.num_classes), np.float32) for o in faces.outputs}

    def figures(self, outputs: tuple[Output, ...], prefix: str) -> dict[str, float]:
        """A history row's loss and figures, as of the other learners."""
        row: dict[str, float] = {}
        losses: dict[str, float] = {}
        for output in outputs:
            logits, truth = self.logits[output.name].astype(np.float64), self.positive[output.name]
            known = self.known[output.name]
            if output.kind == "single":
                rows = np.asarray(known[:, 0])
                logits, codes = logits[rows], truth[rows].argmax(axis=1)
                top = logits.max(axis=1)
                log_total = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
                loss = log_total - logits[np.arange(len(codes)), codes]
                said = single_figures(logits.argmax(axis=1), codes, output.num_classes)
            else:
                cells = np.logaddexp(0.0, np.where(truth, -logits, logits)) * known
                rows = np.asarray(known.any(axis=1))
                loss = cells[rows].sum(axis=1) / known[rows].sum(axis=1)
                said = multi_figures(logits > 0, truth, known)
            losses[output.name] = float(loss.mean()) if len(loss) else 0.0
            row |= {f"{prefix}_{output.name}_{name}": value for name, value in said.items()}
        several = {f"{prefix}_{k}_loss": v for k, v in losses.items()} if len(losses) > 1 else {}
        return {f"{prefix}_loss": sum(losses.values()), **several, **row}


class Growth:
    """One training: `run` builds the trees that are missing.

    Attributes:
        labels: (output, label) of each tree, in the order of building.
        trees: Output name -> a tree a label; a stump of the label's share where none is built yet.
        kept: (output, label number) of the trees that are taken over and stay as they are.
        done: How many of `labels` stand.
        history, best: As in the other learners; an epoch is a tree, the best one is the last.
    """

    def __init__(
        self,
        faces: FaceSet,
        val: FaceSet | None,
        weight: Array | None,
        *,
        preprocess: Preprocess,
        settings: TreeSettings,
        seed: int,
        monitor: str,
        taken_over: Mapping[tuple[str, int], Tree],
    ) -> None:
        self.outputs = faces.outputs
        self.labels = [(o, k) for o in faces.outputs for k in range(o.num_classes)]
        self.settings, self.seed, self.monitor = settings, seed, monitor
        self.weight = sample_weights(faces, weight)
        self.train = _Part(faces, preprocess)
        self.val = None if val is None else _Part(val, preprocess)
        self.trees: dict[str, list[Tree]] = {o.name: [] for o in self.outputs}
        for output, k in self.labels:
            positive, weights = self._task(output, k)
            seen = weights > 0
            total, hits = float(weights.sum()), float(weights[positive].sum())
            prior = stump(hits, total, int(seen.sum()))
            self.trees[output.name].append(taken_over.get((output.name, k), prior))
        self.kept = set(taken_over)
        self.done = 0
        self.history: list[Row] = []
        self.best: Row = {}

    def run(self, facts: Mapping[str, Any], storage: Storage | None, listener: Listener | None) -> str:
        """Build what is missing; return why it ended.

        Args:
            facts: What describes the learner, for the checkpoints.
            storage, listener: As for `fit`.

        Raises:
            RunError: A checkpoint cannot be read or written.
        """
        if storage is not None and storage.resume:
            self._resume(storage)
        for output, k in self.labels:
            self._answer(output, k)
        if listener is not None:
            listener.on_start(self.done, len(self.labels), 1)
        begun = time.monotonic()
        while self.done < len(self.labels):
            deadline = None if storage is None else storage.deadline
            spent = time.monotonic() - begun
            if deadline is not None and self.history and spent + self.history[-1]["seconds"] > deadline:
                return f"time limit of {deadline:.0f} s"
            row = self._next()
            if storage is not None:
                self._store(storage, facts)
            if listener is not None:
                listener.on_batch(1)
                listener.on_epoch(row, self.history, self.best)
        return "all trees built"

    def _task(self, output: Output, k: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
        """Whether each face is a positive of a label ``(N,)``, and its weight (0: not annotated)."""
        positive, known = self.train.positive[output.name][:, k], self.train.known[output.name][:, k]
        weights = np.where(known, self.weight, 0.0).astype(np.float64)
        if self.settings.class_weight == "balanced":
            seen = weights > 0
            for side in (positive & seen, ~positive & seen):
                weights[side] *= seen.sum() / (2 * max(1, int(side.sum())))
        return positive, weights

    def _build(self, output: Output, k: int) -> Tree:
        from sklearn.tree import DecisionTreeClassifier

        positive, weights = self._task(output, k)
        seen = weights > 0
        if positive[seen].all() or not positive[seen].any():
            return self.trees[output.name][k]  # nothing to tell apart
        s = self.settings
        model = DecisionTreeClassifier(
            max_depth=s.max_depth,
            min_samples_leaf=s.min_samples_leaf,
            criterion=s.criterion,
            max_features=s.max_features,
            random_state=epoch_seed(self.seed, 1 + self.outputs.index(output), 1 + k),
        )
        # A weight of 0 keeps a face out of the tree without a copy of the others' inputs.
        model.fit(self.train.x, positive, sample_weight=None if (weights == 1).all() else weights)
        return from_sklearn(model)

    def _next(self) -> Row:
        """Build one tree, or leave a kept one; returns its history row."""
        begun = time.monotonic()
        output, k = self.labels[self.done]
        kept = (output.name, k) in self.kept
        if not kept:
            self.trees[output.name][k] = self._build(output, k)
            self._answer(output, k)
        tree = self.trees[output.name][k]
        self.done += 1
        row: Row = {
            "epoch": self.done,
            "output": output.name,
            "class": output.labels[k],
            "built": int(not kept),
            "depth": int(tree.levels.max()),
            "leaves": int(tree.is_leaf.sum()),
            **self.train.figures(self.outputs, "train"),
            **({} if self.val is None else self.val.figures(self.outputs, "val")),
        }
        row["seconds"] = round(time.monotonic() - begun, 3)
        self.history.append(row)
        self.best = {"epoch": self.done, "monitor": self.monitor, "value": row.get(self.monitor)}
        return row

    def _answer(self, output: Output, k: int) -> None:
        tree = self.trees[output.name][k]
        for part in (self.train, self.val):
            if part is not None:
                part.logits[output.name][:, k] = tree.answer(part.x)

    # -- state --------------------------------------------------------------------------------

    def _store(self, storage: Storage, facts: Mapping[str, Any]) -> None:
        state = dict(facts) | {
            "tag": storage.tag, "epoch": self.done, "history": self.history, "best": self.best,
            "kept": sorted(self.kept),
        }  # fmt: skip
        for name in ("best", "last"):
            path = storage.folder / f"{name}.safetensors"
            write_arrays(path, {"model": pack_trees(self.trees, self.outputs)}, state)

    def _resume(self, storage: Storage) -> None:
        """Put back the state of ``last.safetensors``, where there is one."""
        path = storage.folder / "last.safetensors"
        last = read_last(storage, ("model",))
        if last is None:
            return
        groups, facts = last
        try:
            self.done, self.history, self.best = facts["epoch"], facts["history"], facts["best"]
            self.kept = {(name, k) for name, k in facts["kept"]}
            self.trees = unpack_trees(groups["model"], self.outputs, self.train.x.shape[1])
        except KeyError as error:
            raise RunError(f"checkpoint {path} does not say its {error}") from None
        except ValueError as error:
            raise RunError(f"checkpoint {path} is damaged: {error}", "train again with --force") from None
