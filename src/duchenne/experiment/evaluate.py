"""Evaluation: a run's artifact on splits of its own data set or of another; the only reader of "test"."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np

from ..artifacts import VIEWS, Artifact
from ..build import build_faces
from ..datasets import load
from ..datasets.audit import exact_keys
from ..datasets.faceset import SPLITS, FaceSet
from ..errors import DataError, RecipeError, RunError, did_you_mean
from ..evaluation import Predictions, evaluate_predictions
from ..evaluation.groups import check_attributes
from ..labels import match_labels
from ..recipe import Recipe
from ..recipe.sections import Evaluate as EvaluateSection
from .finish import ensure_artifact
from .run import Run
from .temperature import How, said, set_temperature

# Faces per call of the progress function.
BLOCK = 512

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Evaluated:
    """One evaluation: the name of its files in the run, and its figures (see `evaluate_predictions`)."""

    name: str
    metrics: dict[str, Any]


def evaluate(
    run: Run,
    *,
    data: Path | None = None,
    splits: Sequence[str] = (),
    other: str = "",
    other_options: Mapping[str, Any] | None = None,
    views: str = "",
    by: Sequence[str] = (),
    protocol: EvaluateSection | None = None,
    temperature: str = "",
    progress: Progress | None = None,
) -> list[Evaluated]:
    """Evaluate a run's best epoch; predictions and metrics are written into the run.

    Args:
        run: A run with at least one finished epoch.
        data: Folder of the published data sets.
        splits: "train", "val", "test"; validation is evaluated first, whatever the order. Empty: what the
            recipe says, with what it evaluates also (on another data set: "test").
        other: Name of another data set to test on, classes matched by name; "" is the run's own.
        other_options: Options of the other data set's loader.
        views: "single", "flip" or "ten-crop"; "" is what the recipe says.
        by: Attributes by whose groups all figures are given too ("subject", or one that the set carries);
            empty: what the recipe says, of its own data.
        protocol: What stands for the `evaluate` section of the recipe that the run was made with.
        temperature: "fit", "vector" or "one", see the recipe's section `evaluate`; "": what that says, but
            where it says "one" the artifact keeps what it has.
        progress: Told (split, faces done, faces).

    Raises:
        DuchenneError: No checkpoint, data missing, a split is empty, no class in common, a group names an
            unknown label, an attribute of `by` that a set does not carry.
    """
    recipe = run.recipe
    if protocol is not None:
        recipe = recipe.model_copy(update={"evaluate": protocol})
    views = views or recipe.evaluate.views
    _check_words(views, splits, temperature)
    artifact = ensure_artifact(run)
    _check_groups(recipe, artifact)
    own: FaceSet | None
    if not other:
        own = faces = build_faces(recipe, data)
        # The recipe's own wish takes what is there; a split that was asked for by name must be.
        held = tuple(part for part in recipe.evaluate.splits if (own.split == part).any())
        wanted, prefix = tuple(splits) or held or recipe.evaluate.splits, ""
    else:
        faces = load(other, data, **dict(other_options or {}))
        own = _own_faces(run, data)
        wanted, prefix = tuple(splits) or ("test",), f"{other}-"
    changed = own is not None and _changed(run, own)
    held_out = None if own is None else own.where("val")
    if held_out is not None and len(held_out):
        held_out = match_faces(held_out, artifact)[0]
    how = temperature or recipe.evaluate.temperature
    if temperature or how != "one":  # what was fitted by hand stays otherwise
        artifact = set_temperature(artifact, cast(How, how), held_out)
    # Validation first, whatever the order asked for: the others take the thresholds that it chooses.
    todo = [(f"{prefix}{split}", split, faces) for split in sorted(wanted, key=lambda split: split != "val")]
    if not other and not splits:
        todo += [(name, "test", _also(recipe, name, data)) for name in recipe.evaluate.also]
    by = tuple(by) or (() if other else recipe.evaluate.by)
    for _, _, faces in todo:  # before any part is read
        check_attributes(by, list(faces.group), faces.subject is not None, faces.name)
    done = []
    for name, split, faces in todo:
        part = _part_of(faces, split)
        evaluated = _evaluate_part(run, recipe, artifact, part, split, name, views, by, own, progress)
        metrics = evaluated.metrics | {"data_changed": changed}
        run.save_metrics(evaluated.name, metrics)
        done.append(Evaluated(evaluated.name, metrics))
    return done


def _check_words(views: str, splits: Sequence[str], temperature: str) -> None:
    if views not in VIEWS:
        raise RecipeError(f"there are no views '{views}'", did_you_mean(views, VIEWS))
    for split in splits:
        if split not in SPLITS:
            raise RecipeError(f"there is no split '{split}'", did_you_mean(split, SPLITS))
    if temperature and temperature not in get_args(How):
        raise RecipeError(
            f"there is no temperature '{temperature}'", did_you_mean(temperature, get_args(How))
        )


def _part_of(faces: FaceSet, split: str) -> FaceSet:
    part = faces.where(split)
    if len(part) == 0:
        shown = ", ".join(f"{k} {v}" for k, v in faces.describe()["splits"].items())
        raise DataError(
            f"{faces.name} has no '{split}' part", f"it has: {shown}; --split names what to evaluate"
        )
    return part


def _also(recipe: Recipe, name: str, data: Path | None) -> FaceSet:
    """The recipe's data, loaded with the options of `evaluate.also.NAME`."""
    options = dict(recipe.data.options)
    for key, value in recipe.evaluate.also[name].items():
        before = options.get(key)
        options[key] = {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value
    section = recipe.data.model_copy(update={"options": options})
    return build_faces(recipe.model_copy(update={"data": section}), data)


def _check_groups(recipe: Recipe, artifact: Artifact) -> None:
    """Every label of `evaluate.groups` must be one of the first single-label output."""
    output = next((o for o in artifact.outputs if o.kind == "single"), None)
    for name, labels in recipe.evaluate.groups.items():
        if output is None:
            raise RecipeError(f"evaluate.groups.{name}: there is no single-label output", "remove the group")
        for label in labels:
            if label not in output.labels:
                raise RecipeError(
                    f"evaluate.groups.{name}: {output.name} has no label '{label}'",
                    did_you_mean(label, output.labels),
                )


def _changed(run: Run, own: FaceSet) -> bool:
    """Whether the run's own data are others now than when it was trained."""
    before = run.info("data").get("fingerprint")
    return before is not None and before != own.fingerprint()


def _own_faces(run: Run, data: Path | None) -> FaceSet | None:
    """The run's own data, to find images shared with another set; None where they are not here."""
    try:
        return build_faces(run.recipe, data)
    except DataError:
        return None


def _evaluate_part(
    run: Run,
    recipe: Recipe,
    artifact: Artifact,
    part: FaceSet,
    split: str,
    name: str,
    views: str,
    by: Sequence[str],
    own: FaceSet | None,
    progress: Progress | None,
) -> Evaluated:
    part, matching = match_faces(part, artifact)
    if split == "test":
        run.note_test_read(f"evaluate {name}, views {views}", int(artifact.card.training["epoch"]))
    probs = _predict(artifact, part, views, name, progress)
    in_train = None
    if own is not None and split != "train":
        in_train = np.isin(exact_keys(part), exact_keys(own.where("train")))
    predictions = Predictions(
        ids=part.ids, outputs=artifact.outputs, probs=probs, targets=part.targets, masks=part.masks,
        subject=part.subject, group=part.group, in_train=in_train,
    )  # fmt: skip
    predictions.save(run.predictions_path(name))
    training = dict(artifact.card.training)
    groups = recipe.evaluate.groups
    metrics = evaluate_predictions(
        predictions,
        views=views,
        groups=groups,
        thresholds="choose" if name == "val" else _thresholds(run, artifact, views),
        by=by,
    ) | {
        "name": name,
        "split": split,
        "part": sorted(set(part.part.tolist()) - {""}),
        "data": part.name,
        "matching": matching,
        "epoch": training["epoch"],
        "epochs_done": training["epochs_done"],
        "epochs_planned": training["epochs_planned"],
        "partial": training["status"] != "finished",
        "temperature": said(artifact.card),
        "notes": list(part.notes),
    }
    return Evaluated(name, metrics)


def _thresholds(run: Run, artifact: Artifact, views: str) -> dict[str, list[float]]:
    """What validation chose for each label of the multi-label outputs, for the same weights and views."""
    try:
        val = run.metrics().get("val", {})
    except RunError:  # it says so where that file is asked for
        return {}
    if val.get("epoch") != artifact.card.training["epoch"] or val.get("views") != views:
        return {}
    found = {}
    for output in artifact.outputs:
        entry = val.get("outputs", {}).get(output.name, {})
        if entry.get("labels") == list(output.labels) and "at_thresholds" in entry:
            found[output.name] = [float(t) for t in entry["at_thresholds"]["thresholds"]]
    return found


def _predict(
    artifact: Artifact, part: FaceSet, views: str, name: str, progress: Progress | None
) -> dict[str, Any]:
    blocks = []
    for start in range(0, len(part), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(part)))
        blocks.append(artifact.predict(part.pixels(rows), views=views))
        if progress is not None:
            progress(name, int(rows[-1]) + 1, len(part))
    return {o.name: np.concatenate([b[o.name] for b in blocks]) for o in artifact.outputs}


def match_faces(part: FaceSet, artifact: Artifact) -> tuple[FaceSet, dict[str, Any]]:
    """Bring a set's targets into the model's outputs and label order, by name.

    Faces whose class the model does not know are left out where no output knows them; a label that only one
    side has is listed. Raises DataError when nothing matches.
    """
    targets: dict[str, Any] = {}
    masks: dict[str, Any] = {}
    report: dict[str, Any] = {}
    for output in artifact.outputs:
        source = next((o for o in part.outputs if o.name == output.name and o.kind == output.kind), None)
        if source is None:
            report[output.name] = {"only_in_data": [], "only_in_model": list(output.labels)}
            continue
        pairs, unknown, missing = match_labels(source, output)
        report[output.name] = {"only_in_data": unknown, "only_in_model": missing}
        if not pairs:
            continue
        value = np.asarray(part.targets[output.name])
        if output.kind == "single" and value.ndim == 1:
            table = np.full(source.num_classes + 1, -1, np.int64)
            for mine, theirs in pairs.items():
                table[mine] = theirs
            targets[output.name] = table[value]  # code -1 reads the last entry, -1
        else:
            spread = np.zeros((len(part), output.num_classes), np.float32)
            spread[:, list(pairs.values())] = value[:, list(pairs)]
            targets[output.name] = spread
        if output.kind == "multi":
            known = np.zeros(targets[output.name].shape, bool)
            annotated = part.masks.get(output.name, np.ones(value.shape, bool))
            known[:, list(pairs.values())] = annotated[:, list(pairs)]
            masks[output.name] = known
    if not targets:
        raise DataError(f"{part.name} and the model have no label in common", _answers(artifact))
    keep = _usable(targets, masks)
    if not keep.any():
        raise DataError(
            f"no face of this part of {part.name} has a label that the model knows", _answers(artifact)
        )
    report["left_out"] = int((~keep).sum())
    outputs = tuple(o for o in artifact.outputs if o.name in targets)
    chosen = replace(part, outputs=outputs, targets=targets, masks=masks, truth={}).select(keep)
    return chosen, report


def _answers(artifact: Artifact) -> str:
    return "the model answers " + "; ".join(f"{o.name}: {', '.join(o.labels)}" for o in artifact.outputs)


def _usable(targets: Mapping[str, Any], masks: Mapping[str, Any]) -> Any:
    """``(N,)`` bool: faces with at least one annotated output."""
    columns = []
    for name, value in targets.items():
        if name in masks:
            columns.append(masks[name].any(axis=1))
        else:
            columns.append(value >= 0 if value.ndim == 1 else value.sum(axis=1) > 0)
    return np.logical_or.reduce(columns)
