"""From finished (or unfinished) runs of one recipe to its result file. No figure is typed in by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import RecipeError, RunError
from ..experiment.run import Run
from ..recipe import Recipe, load_recipe, recipe_ids
from .claims import claimed_text
from .measured import (
    Evaluated,
    evaluations,
    flat_figures,
    history_figures,
    main_output,
    output_names,
    split_figures,
)
from .resultfile import Confusion, DataUsed, ResultFile, ResultStatus, SeedResult, load_results, write_result

# Sections of a recipe that may differ without making the training another one.
_NOT_LEARNING = ("title", "source", "cost", "evaluate", "tune", "expect")


def result_from_runs(runs: Sequence[Run], *, not_comparable: str = "", command: str = "") -> ResultFile:
    """Gather the runs of one recipe, one a seed, into a result file.

    Args:
        runs: Runs of one recipe on one and the same data; seeds must differ.
        not_comparable: Why the figures cannot be held against the claims, a sentence; "": as the recipe says.
        command: What brings the figures again; by default `duchenne reproduce ID`.

    Raises:
        RunError: No run, runs of several recipes or data, a seed twice, or nothing measured.
    """
    if not runs:
        raise RunError("a result needs at least one run", "train the recipe first")
    recipes = [run.recipe for run in runs]
    ids = sorted({r.id for r in recipes})
    if len(ids) > 1:
        raise RunError(f"these runs are of several recipes: {', '.join(ids)}", "give the runs of one recipe")
    seeds = [r.train.seed for r in recipes]
    if len(set(seeds)) < len(seeds):
        raise RunError(f"two runs of {ids[0]} have the same seed ({seeds})", "give each training a seed")
    data = _data(runs)
    packaged = load_recipe(ids[0]) if ids[0] in recipe_ids() else recipes[0]
    entries = [_seed_result(run, packaged) for run in runs]
    if not any(s.train or s.val or s.test for s in entries):
        raise RunError(f"nothing has been measured of {ids[0]} yet", "finish an epoch, or evaluate the run")
    entries.sort(key=lambda s: s.seed)
    changed = sorted({line for recipe in recipes for line in changed_fields(packaged, recipe)})
    status, sentence = _status(
        runs, entries, changed, not_comparable or packaged.expect.not_comparable, packaged
    )
    claims = claims_of(packaged)
    shown = next((s.confusion for s in entries if s.confusion is not None), None)
    if shown is not None and claims["claimed_confusion"]:
        _check_matrix(claims["claimed_confusion"], shown.labels)
    return ResultFile(
        id=packaged.id,
        status=status,
        sentence=sentence + _own_splits(runs),
        seeds=entries,
        data=data,
        versions=versions_of(runs[-1]),
        command=command or f"duchenne reproduce {packaged.id}",
        **claims,
    )


def _own_splits(runs: Sequence[Run]) -> str:
    """That every seed has a split of its own, where it has."""
    own = {run.recipe.data.options.get("seed") for run in runs}
    if len(runs) < 2 or len(own) < len(runs):
        return ""
    return (
        " Each seed also draws the split anew; the parts of different seeds share faces, so the deviation is "
        "not that of independent test parts."
    )


def versions_of(run: Run) -> dict[str, str]:
    """Package -> version that a run was made with."""
    return {str(k): str(v) for k, v in run.info("environment").get("versions", {}).items()}


def claims_of(recipe: Recipe) -> dict[str, Any]:
    """The fields of a result file that a recipe says, and no run: what is claimed, and the words about it."""
    expect = recipe.expect
    return {
        "title": recipe.title,
        "source": recipe.source,
        "claimed": {"train": dict(expect.train), "val": dict(expect.val), "test": dict(expect.test)},
        "claimed_headline": _best_claimed_trial(recipe),
        "claimed_confusion": [list(row) for row in expect.confusion],
        "notes": list(expect.notes),
        "differences": list(expect.differences),
    }


def _best_claimed_trial(recipe: Recipe) -> str:
    values = [trial.val["accuracy"] for trial in recipe.expect.trials if "accuracy" in trial.val]
    if not values:
        return ""
    text = f"val {claimed_text('accuracy', max(values))}"
    return text + (f", the best of {len(values)} settings" if len(values) > 1 else "")


def renew_claims(folder: Path) -> list[Path]:
    """Bring what the packaged recipes say into their result files; no figure is touched.

    A sentence on a difference is written after it was measured, and must not need a training.

    Returns:
        The files that changed.
    """
    changed = []
    for result in load_results(folder):
        if result.id in recipe_ids():
            renewed = replace(result, **claims_of(load_recipe(result.id)))
            if renewed != result:
                changed.append(write_result(renewed, folder))
    return changed


def _check_matrix(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> None:
    if len(matrix) != len(labels) or any(len(row) != len(labels) for row in matrix):
        shape = f"{len(matrix)} rows of {sorted({len(row) for row in matrix})} cells"
        raise RecipeError(
            f"expect.confusion has {shape}, the output has {len(labels)} labels",
            f"one row a true class, one column an answer: {', '.join(labels)}",
        )


def _data(runs: Sequence[Run]) -> DataUsed:
    """What the runs saw; of runs that each draw their own split, the first one's."""
    ordered = sorted(runs, key=lambda r: r.recipe.train.seed)
    used = [
        (str(i.get("name", "")), str(i.get("fingerprint", ""))) for i in (r.info("data") for r in ordered)
    ]
    splits = {run.recipe.data.options.get("seed") for run in runs}
    if len(set(used)) > 1 and (len(splits) < len(runs) or len({name for name, _ in used}) > 1):
        names = "; ".join(f"{name} {fingerprint}" for name, fingerprint in sorted(set(used)))
        raise RunError(f"these runs saw different data: {names}", "give runs on the same data")
    name, fingerprint = used[0]
    parts = {e.name: e.part for run in runs for e in evaluations(run) if e.part and "-" not in e.name}
    return DataUsed(name, fingerprint, parts)


def _seed_result(run: Run, packaged: Recipe) -> SeedResult:
    state = run.state
    main = main_output(run)
    done = {e.name: e for e in evaluations(run)}
    best = state.best.get("epoch")
    for e in done.values():
        if (
            e.epoch is not None
            and best is not None
            and e.epoch != best
            and "-" not in e.name  # another data set's
        ):
            raise RunError(
                f"{run.path.name}: the '{e.name}' figures are of epoch {e.epoch}, the best one is now {best}",
                f"duchenne evaluate {run.path.name}",
            )
    figures = split_figures(run)
    history = run.history()
    last = {}
    if history:
        losses = [row["train_loss"] for row in history if row.get("train_loss") is not None]
        figures["train"]["min_loss"] = min(losses, default=None)
        last = {s: history_figures(history[-1], s, main, output_names(run)) for s in ("train", "val")}
    intervals = {}
    also = [name for name in packaged.evaluate.also if name in done]
    for split in ("train", "val", "test", *also):
        found = done[split].output(main) if split in done else None
        if found is not None and "accuracy" in found.intervals:
            intervals[split] = found.intervals["accuracy"]
    return SeedResult(
        seed=state.seed,
        epochs_done=state.epochs_done,
        epochs_planned=packaged.train.epochs,
        best_epoch=best,
        train=figures["train"],
        val=figures["val"],
        test=figures["test"],
        n_test=done["test"].n if "test" in done else 0,
        train_seconds=round(state.train_seconds, 1),
        run_fingerprint=run_fingerprint(run),
        last=last,
        intervals=intervals,
        num_parameters=state.num_parameters,
        confusion=_confusion(done, main),
        also={name: flat_figures(done[name], main) for name in also},
        views=sorted({e.views for e in done.values()} - {"single"}),
    )


def _confusion(done: dict[str, Evaluated], main: str) -> Confusion | None:
    for split in ("test", "val"):
        found = done[split].output(main) if split in done else None
        if found is not None and found.confusion:
            return Confusion(split, found.labels, found.confusion)
    return None


def changed_fields(packaged: Recipe, used: Recipe, but: Sequence[str] = _NOT_LEARNING) -> list[str]:
    """["train.batch_size = 64 (recipe: 128)", ...] for what was trained otherwise; seeds and epochs aside."""
    before, after = flat_fields(packaged.to_dict()), flat_fields(used.to_dict())
    lines = []
    for field in sorted(before.keys() | after.keys()):
        aside = field in ("train.seed", "train.epochs") or field.split(".")[0] in but
        # A split that is drawn anew with each seed, where the recipe draws one.
        aside = aside or (field == "data.options.seed" and field in before)
        if not aside and before.get(field) != after.get(field):
            lines.append(f"{field} = {after.get(field)} (recipe: {before.get(field)})")
    return lines


def flat_fields(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as dotted fields."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict) and value:
            flat |= flat_fields(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _status(
    runs: Sequence[Run],
    seeds: Sequence[SeedResult],
    changed: Sequence[str],
    not_comparable: str,
    packaged: Recipe,
) -> tuple[ResultStatus, str]:
    short = [
        s
        for run, s in zip(sorted(runs, key=lambda r: r.state.seed), seeds, strict=True)
        if not _whole(run, s)
    ]
    unread = [s.seed for s in seeds if not s.test and "test" in packaged.evaluate.splits]
    words = []
    if short:
        epochs = ", ".join(f"{s.epochs_done} of {s.epochs_planned} epochs (seed {s.seed})" for s in short)
        words.append(f"Shortened: {epochs}.")
    if changed:
        words.append(f"Changed: {'; '.join(changed)}.")
    if unread:
        words.append(
            "The test part was not read" + ("." if len(unread) == len(seeds) else f" for seed {unread}.")
        )
    for name in packaged.evaluate.also:
        if lacking := [s.seed for s in seeds if name not in s.also]:
            words.append(f"{name} was not read (seeds {lacking}).")
    moved = [run.state.seed for run in runs if any(e.data_changed for e in evaluations(run))]
    if moved:
        words.append(f"The data changed between training and evaluation (seeds {moved}).")
    if not_comparable:
        return "not comparable", " ".join([not_comparable, *words])
    if words:
        return "partial", " ".join(words)
    early = [s for s in seeds if s.epochs_done < s.epochs_planned]
    number = "one seed" if len(seeds) == 1 else f"{len(seeds)} seeds"
    if early:
        return (
            "complete",
            f"Exact settings, {number}; the recipe's own stopping rule ended the training early.",
        )
    planned = seeds[0].epochs_planned
    epochs = f"all {planned} epochs" if planned > 1 else "its one epoch"
    return "complete", f"Exact settings, {epochs}, {number}."


def _whole(run: Run, seed: SeedResult) -> bool:
    """Whether all planned epochs were trained, or the recipe's own rule ended a training of the full plan."""
    if seed.epochs_done >= seed.epochs_planned:
        return True
    full_plan = run.recipe.train.epochs >= seed.epochs_planned
    rule = run.recipe.stop.patience is not None or bool(run.recipe.stop.targets)
    return full_plan and run.state.status == "finished" and rule


def run_fingerprint(run: Run) -> str:
    """SHA-256 (16 hex digits) over a run's recipe, history, predictions and metrics."""
    digest = hashlib.sha256()
    files = [run.path / "recipe.json", run.path / "history.jsonl"]
    files += sorted((run.path / "predictions").glob("*.csv")) + sorted((run.path / "metrics").glob("*.json"))
    for path in files:
        if path.is_file():
            digest.update(path.relative_to(run.path).as_posix().encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]
