"""One-vs-rest decision trees as a learner like the others: recipes, runs, checkpoints, export.

Each label has a tree of its own, which tells its faces from all others. Its answer for a face is the log-odds
of p_k, the smoothed share of positives in the leaf that the face ends in (`tree.smoothed_logit`). Of a
single-label output that label is taken whose tree is surest. Probabilities are the softmax of the log-odds,
that is p_k / (1 - p_k) normalised over the labels: were the trees independent, the chance that label k alone
holds, given that exactly one does. Of a multi-label output the sigmoid gives back p_k itself.

Source: Rifkin & Klautau, "In defense of one-vs-all classification", JMLR 5, 2004 (the surest one wins);
wright2019, section 7.2 (a new emotion needs one new tree).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..datasets.faceset import FaceSet
from ..errors import RecipeError, RunError
from ..labels import Output
from ..recipe import Balance, Stop, Train
from .classifier import OneShotLearner
from .contract import (
    Array,
    Listener,
    Storage,
    check_trainable,
    monitor_of,
    refuse_unused,
)
from .start import begins, label_places, read_trained
from .tree import Tree, pack_trees, unpack_trees
from .tree_growth import Growth, check_memory
from .tree_settings import TreeSettings
from .weighting import balanced

# Faces whose inputs are made at a time in a prediction: 1,024 of 48x48 are 9 MiB.
EVAL_BATCH = 1024

HONOURED = {"train": ("epochs", "seed"), "stop": ("monitor",)}


class TreeLearner(OneShotLearner):
    """A decision tree a label, built by scikit-learn one after the other.

    An "epoch" is a tree. Until a label's tree stands, the share of that label among the training faces
    answers for it, so that figures and checkpoints make sense after each. The last state is what is kept.

    Args:
        args: max_depth, min_samples_leaf, criterion, max_features, class_weight; see `TreeSettings`.
        preprocess: From faces to inputs; all training faces stand in memory as one float32 copy ``(N, D)``.
        balance: Weights of faces; a repeated face is one face of more weight (a leaf counts it once).
        stop: Only the figure to watch (`monitor`); it decides nothing.
        train: `seed`; `epochs`, where given, must be the number of trees.
        start: A checkpoint of trees; labels are matched by name.
        start_train: "head": trees of labels that `start` has are taken over as they are, and only the others
            are built; "all": all are built anew.
    """

    NAME = "trees"

    # -- fitting --------------------------------------------------------------------------------

    def fit(
        self,
        X: FaceSet | Array,
        y: Any = None,
        val: FaceSet | tuple[Array, Any] | None = None,
        *,
        storage: Storage | None = None,
        listener: Listener | None = None,
    ) -> TreeLearner:
        """Build the trees; arguments as in `TorchLearner.fit`.

        Raises:
            DataError: No samples, one class only, other labels in `val`, or more inputs than memory holds.
            RecipeError: A setting that trees have not, or that does not fit the data.
            RunError: A checkpoint cannot be read or written, or `start` is of other inputs.
        """
        faces = self._as_faces(X, y)
        held_out, settings = self._checked(faces, val)
        rows, weight = balanced(faces, self.balance or Balance(), self._train.seed)
        if rows is not None:
            copies = np.bincount(rows, minlength=len(faces)).astype(np.float32)
            weight = copies if weight is None else np.bincount(rows, weight, len(faces)).astype(np.float32)
        growth = Growth(
            faces,
            held_out,
            weight,
            preprocess=self._preprocess,
            settings=settings,
            seed=self._train.seed,
            monitor=monitor_of(self.outputs_, self.stop or Stop()) if held_out is not None else "",
            taken_over=self._taken_over(storage),
        )
        self.reason_ = growth.run(self._facts(), storage, listener)
        self.trees_, self.history_, self.best_ = growth.trees, growth.history, growth.best
        self.n_iter_, self.finished_ = growth.done, growth.done == len(growth.labels)
        return self

    def check(self, faces: FaceSet, val: FaceSet | None = None) -> None:
        """Raise what `fit` would raise of settings and data before its first step; nothing is kept.

        Raises:
            DataError, RecipeError, RunError: As `fit`.
        """
        twin = type(self)(**self.get_params(deep=False))
        twin._values = None
        twin._checked(faces, val)
        balanced(faces, twin.balance or Balance(), twin._train.seed)
        twin._taken_over(None)

    @property
    def _train(self) -> Train:
        return self.train or Train()

    @property
    def _num_features(self) -> int:
        height, width = self._preprocess.input_size
        return height * width * self._preprocess.input_channels

    def _checked(
        self, faces: FaceSet, val: FaceSet | tuple[Array, Any] | None
    ) -> tuple[FaceSet | None, TreeSettings]:
        """The held-out faces and the settings, checked; sets `outputs_`."""
        check_trainable(faces)
        self.outputs_ = faces.outputs
        stop, epochs = self.stop or Stop(), self._train.epochs
        refuse_unused("trees", {"train": self._train, "stop": stop}, HONOURED)
        wanted = sum(o.num_classes for o in faces.outputs)
        if epochs not in (Train().epochs, wanted):
            raise RecipeError(
                f"train.epochs = {epochs}: learner 'trees' builds one tree a label, here {wanted}",
                "leave it out",
            )
        monitor_of(faces.outputs, stop)
        settings = TreeSettings.from_args(self.args or {})
        settings.check_features(self._num_features)
        held_out = None if val is None else self._held_out(val)
        check_memory(len(faces) + (0 if held_out is None else len(held_out)), self._num_features)
        return held_out, settings

    def _taken_over(self, storage: Storage | None) -> dict[tuple[str, int], Tree]:
        """(output, label number) -> tree of `start` that stays as it is; none where a fit is resumed."""
        if not begins(self.start, self.start_train, storage):
            return {}
        assert self.start is not None
        trained = read_trained(self.start, "trees", {"preprocess": self._preprocess.to_json()})
        places = label_places(trained, self.outputs_)
        if self.start_train == "all":
            return {}
        old = _unpacked(trained.arrays, trained.outputs, self._num_features, trained.path)
        return {
            (name, place): tree
            for name, where in places.items()
            for place, tree in zip(where, old[name], strict=True)
        }

    # -- answering --------------------------------------------------------------------------------

    def logits(self, X: FaceSet | Array) -> dict[str, npt.NDArray[np.float32]]:
        """Log-odds ``{output: (N, K)}`` float32 of images or a FaceSet."""
        self._check_fitted()
        out = {o.name: np.empty((len(X), o.num_classes), np.float32) for o in self.outputs_}
        for begin in range(0, len(X), EVAL_BATCH):
            rows = np.arange(begin, min(begin + EVAL_BATCH, len(X)))
            pixels = X.pixels(rows) if isinstance(X, FaceSet) else np.asarray(X)[rows]
            x = self._preprocess(pixels).reshape(len(rows), -1)
            for name, trees in self.trees_.items():
                for k, tree in enumerate(trees):
                    out[name][rows, k] = tree.answer(x)
        return out

    @property
    def num_parameters_(self) -> int:
        """How many numbers the trees have: input and threshold of each split, the answer of each leaf."""
        trees = [t for trees in self.trees_.values() for t in trees]
        return int(sum(2 * (~t.is_leaf).sum() + t.is_leaf.sum() for t in trees))

    # -- keeping --------------------------------------------------------------------------------

    def _arrays(self) -> dict[str, Array]:
        return pack_trees(self.trees_, self.outputs_)

    def _take(self, arrays: Mapping[str, Array]) -> None:
        self.trees_ = unpack_trees(arrays, self.outputs_, self._num_features)

    def to_onnx(self) -> bytes:
        """The trees as ONNX: preprocessed images in, log-odds per output out."""
        from .tree_export import export_trees

        self._check_fitted()
        preprocess = self._preprocess
        return export_trees(self.trees_, self.outputs_, preprocess.input_channels, preprocess.input_size)


def _unpacked(
    arrays: Mapping[str, Array], outputs: tuple[Output, ...], num_features: int, path: Path
) -> dict[str, list[Tree]]:
    try:
        return unpack_trees(arrays, outputs, num_features)
    except ValueError as error:
        raise RunError(f"checkpoint {path} is damaged: {error}", "train again with --force") from None
