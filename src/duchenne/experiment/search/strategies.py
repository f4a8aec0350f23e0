"""Which trials a search makes: a plan of slots, the same in every process that shares the search.

A slot is one trial's place. The plan depends on the recipe and on trials that ended, never on time or on the
process, so that it can be made again after a kill: a slot without a trial is filled, one that has a trial is
left alone. Each strategy gives the stages as far as they can be known.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...recipe import Range, Recipe, Tune
from .result import Trial, best_of
from .space import Field, decode, encode, fields_of
from .storage import optuna


@dataclass(frozen=True)
class Slot:
    """One planned trial; fields that `params` leaves out are the sampler's (TPE) or the recipe's own."""

    key: str
    stage: str
    params: dict[str, Any]
    epochs: int


@dataclass(frozen=True)
class Stage:
    """Slots that may be trained in any order, and what they are in a sentence.

    Attributes:
        narrowed: The space that a fine stage draws from.
    """

    name: str
    words: str
    slots: tuple[Slot, ...]
    narrowed: dict[str, list[Any]] | None = None


Trials = Sequence[Trial]


def plan(recipe: Recipe, trials: Trials, direction: str, narrowed: Mapping[str, list[Any]]) -> list[Stage]:
    """The stages as far as they can be known; the last one given is the one to be filled.

    Args:
        recipe: The searched recipe.
        trials: All trials so far.
        direction: "maximize" or "minimize".
        narrowed: Of "coarse_to_fine": the ranges that were chosen before; they are not chosen anew.
    """
    tune = recipe.tune
    assert tune is not None
    fields = fields_of(recipe)
    if tune.method == "coarse_to_fine":
        return _coarse_to_fine(recipe, tune, fields, trials, direction, narrowed)
    if tune.method == "one_at_a_time":
        return _one_at_a_time(recipe, fields, trials, direction)
    one_stage = {"grid": _grid, "random": _random, "tpe": _tpe}[tune.method]
    return [one_stage(recipe, tune, fields)]


def _grid(recipe: Recipe, tune: Tune, fields: Sequence[Field]) -> Stage:
    names = [f.name for f in fields]
    combinations = itertools.product(*(f.listed() for f in fields))
    slots = _slots(
        "grid", "grid", [dict(zip(names, c, strict=True)) for c in combinations], recipe.train.epochs
    )
    return Stage("grid", f"every combination of the listed values: {len(slots)}", slots)


def _random(recipe: Recipe, tune: Tune, fields: Sequence[Field]) -> Stage:
    drawn = _draw(fields, tune.trials, tune.seed)
    slots = _slots("random", "random", drawn, recipe.train.epochs)
    return Stage("random", f"{tune.trials} random draws", slots)


def _tpe(recipe: Recipe, tune: Tune, fields: Sequence[Field]) -> Stage:
    slots = _slots("tpe", "tpe", [{} for _ in range(tune.trials)], recipe.train.epochs)
    return Stage("tpe", f"{tune.trials} trials proposed by the tree-structured Parzen estimator", slots)


def _slots(prefix: str, stage: str, params: Sequence[dict[str, Any]], epochs: int) -> tuple[Slot, ...]:
    # A field train.epochs of the space says how many epochs; nothing overrides it.
    return tuple(
        Slot(f"{prefix}-{i}", stage, p, int(p.get("train.epochs", epochs))) for i, p in enumerate(params)
    )


def _draw(fields: Sequence[Field], count: int, seed: int) -> list[dict[str, Any]]:
    """Random values of all fields: `count` draws of one stream, so that more trials only add to them."""
    lib = optuna()
    study = lib.create_study(sampler=lib.samplers.RandomSampler(seed=seed))
    distributions = {f.name: f.distribution() for f in fields}
    drawn = [study.ask(fixed_distributions=distributions).params for _ in range(count)]
    return [{f.name: decode(f, params[f.name]) for f in fields} for params in drawn]


# -- coarse to fine -----------------------------------------------------------------------------------


def _coarse_to_fine(
    recipe: Recipe,
    tune: Tune,
    fields: Sequence[Field],
    trials: Trials,
    direction: str,
    narrowed: Mapping[str, list[Any]],
) -> list[Stage]:
    drawn = _draw(fields, tune.trials, tune.seed)
    slots = _slots("coarse", "coarse", drawn, tune.coarse_epochs)
    coarse = Stage("coarse", f"{tune.trials} random draws of {tune.coarse_epochs} epochs", slots)
    if not _all_settled(coarse, trials):
        return [coarse]
    chosen = dict(narrowed) or narrow(
        fields, [t for t in trials if t.stage == "coarse"], direction, tune.keep
    )
    if not chosen:
        return [coarse]  # none came through: there is nothing to narrow to
    # Another stream than the coarse one, or the first draws would fall at the same places of each range.
    fine_drawn = _draw([_narrowed(f, chosen[f.name]) for f in fields], tune.fine_trials, tune.seed + 1)
    slots = _slots("fine", "fine", fine_drawn, tune.fine_epochs)
    words = (
        f"{tune.fine_trials} random draws of {tune.fine_epochs} epochs from what the best "
        f"{tune.keep} coarse ones span"
    )
    return [coarse, Stage("fine", words, slots, narrowed=chosen)]


def narrow(fields: Sequence[Field], trials: Trials, direction: str, keep: int) -> dict[str, list[Any]]:
    """What the best `keep` trials span of each field: [low, high] of a range, of a list what occurs.

    Ranges are widened on both sides by the mean gap between `keep` values in them (in the logarithm where
    they are drawn so), for the best may lie just outside of what few draws span; they stay in the old range.
    Empty where no trial came through.

    Source: wright2019, section 5.1 (the idea; how far to narrow is not said there).
    """
    sign = -1.0 if direction == "maximize" else 1.0
    done = [t for t in trials if t.state in ("complete", "pruned") and t.value is not None]
    best = sorted(done, key=lambda t: (sign * (t.value or 0.0), t.number))[:keep]
    if not best:
        return {}
    chosen: dict[str, list[Any]] = {}
    for field in fields:
        values = [t.params[field.name] for t in best]
        if field.range is None:
            occurring = {repr(encode(v)) for v in values}
            chosen[field.name] = [v for v in field.listed() if repr(encode(v)) in occurring]
        else:
            chosen[field.name] = _span(field.range, [float(v) for v in values])
    return chosen


def _span(old: Range, values: Sequence[float]) -> list[float]:
    to, back = (math.log, math.exp) if old.log else (float, float)
    low, high = to(min(values)), to(max(values))
    gap = (high - low) / max(1, len(values) - 1)
    if gap == 0:  # one value alone spans nothing: a tenth of the old range to both sides
        gap = (to(old.high) - to(old.low)) / 10
    low, high = max(old.low, back(low - gap)), min(old.high, back(high + gap))
    if old.integer:
        return [math.floor(low), math.ceil(high)]
    if old.step is not None:  # stay on the old range's grid
        low = old.low + math.floor((low - old.low) / old.step + 1e-9) * old.step
        high = min(old.high, old.low + math.ceil((high - old.low) / old.step - 1e-9) * old.step)
    return [float(f"{low:.6g}"), float(f"{high:.6g}")]


def _narrowed(field: Field, chosen: Sequence[Any]) -> Field:
    if field.range is None:
        return Field(field.name, values=tuple(chosen), own=field.own, stated=field.stated)
    smaller = field.range.model_copy(update={"low": float(chosen[0]), "high": float(chosen[1])})
    return Field(field.name, range=smaller, own=field.own, stated=field.stated)


# -- one at a time ------------------------------------------------------------------------------------


def _one_at_a_time(recipe: Recipe, fields: Sequence[Field], trials: Trials, direction: str) -> list[Stage]:
    """One stage a field; a stage is known when the one before it is done.

    Source: kontogouris2018, section 5.
    """
    at_best = {f.name: f.own for f in fields if f.stated}
    known: list[Trial] = []
    stages: list[Stage] = []
    for field in fields:
        before = {_settings(t.params) for t in known}
        wanted = [at_best | {field.name: value} for value in field.listed()]
        # A setting that an earlier stage trained is not trained again; it counts all the same.
        fresh = [(i, p) for i, p in enumerate(wanted) if _settings(p) not in before]
        slots = tuple(
            Slot(f"{field.name}-{i}", field.name, p, int(p.get("train.epochs", recipe.train.epochs)))
            for i, p in fresh
        )
        others = ", ".join(f"{k} = {v}" for k, v in at_best.items() if k != field.name)
        words = f"{field.name}: {', '.join(str(v) for v in field.listed())}" + (
            f", with {others}" if others else ""
        )
        stages.append(Stage(field.name, words, slots))
        if not _all_settled(stages[-1], trials):
            return stages
        known += [t for t in trials if t.stage == field.name and t.settled]
        if (best := best_of(known, direction)) is not None:
            at_best = dict(best.params)
    return stages


def _settings(params: Mapping[str, Any]) -> str:
    return repr(sorted((k, encode(v)) for k, v in params.items()))


def _all_settled(stage: Stage, trials: Trials) -> bool:
    done = {t.slot for t in trials if t.settled}
    return all(slot.key in done for slot in stage.slots)
