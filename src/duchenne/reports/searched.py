"""From a search's folder to its result file: each setting's claims beside what was measured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import RunError
from ..experiment.search import Search, Trial
from ..recipe import ClaimedTrial, Recipe, load_recipe, recipe_ids
from ..recipe.text import toml_value
from .claims import claimed_text, measured_text
from .measured import Figures, history_figures
from .resultfile import DataUsed, ResultFile, ResultStatus, ResultTable
from .results import changed_fields, claims_of

# Trials in the table of a search that draws its settings: the best ones of the last stage.
_SHOWN = 10

# Fields of a setting that the list of rows names; of more, it says how many trials there were.
_IN_HEADLINE = 2

# Methods whose settings are stated beforehand, so that a claimed setting is one of them.
_LISTED = ("grid", "one_at_a_time")


def result_from_search(search: Search, *, not_comparable: str = "", command: str = "") -> ResultFile:
    """Gather a search into a result file of tables.

    Args:
        search: A search with at least one trial that ended; it need not be finished.
        not_comparable: Why the figures cannot be held against the claims, a sentence; "" where they can.
        command: What brings the figures again; by default `duchenne reproduce ID`.

    Raises:
        RunError: No trial has an epoch yet.
    """
    used = search.recipe
    packaged = load_recipe(used.id) if used.id in recipe_ids() else used
    trials = [t for t in search.trials if not t.lost]
    if not any(t.history for t in trials):
        raise RunError(f"no trial of {search.path.name} has an epoch yet", f"duchenne tune {used.id}")
    read = _Reader(search)
    listed = packaged.tune is not None and packaged.tune.method in _LISTED
    if listed:
        tables = [_settings_table(trials, packaged, read)]
        short, words = _short_settings(trials, packaged)
    else:
        tables = [_stages_table(search, trials, read), _best_table(search, trials, read)]
        tables += _winner_table(search, packaged, read)
        short, words = _short_search(search, trials)
    status, sentence = _status(packaged, used, short, words, not_comparable)
    data, environment = search.info("data"), search.info("environment")
    return ResultFile(
        id=packaged.id,
        status=status,
        sentence=sentence,
        seeds=[],
        data=DataUsed(str(data.get("name", "")), str(data.get("fingerprint", ""))),
        versions={str(k): str(v) for k, v in environment.get("versions", {}).items()},
        command=command or f"duchenne reproduce {packaged.id}",
        headline=_headline(search, read),
        tables=tables,
        **claims_of(packaged),
    )


class _Reader:
    """Figures of trials under the names of [expect]."""

    def __init__(self, search: Search) -> None:
        outputs: Mapping[str, Any] = search.info("data").get("outputs", {})
        self.outputs = [str(name) for name in outputs]
        wanted = [name for name in search.recipe.data.outputs if name in outputs] or self.outputs
        single = (name for name in wanted if outputs[name]["kind"] == "single")
        self.main = next(single, wanted[0] if wanted else "")

    def epoch(self, row: Mapping[str, Any], split: str) -> Figures:
        """Figures of one history row."""
        return history_figures(row, split, self.main, self.outputs)

    def best(self, trial: Trial, split: str, name: str) -> float | None:
        """A figure of the trial's best epoch."""
        row = next((r for r in trial.history if r.get("epoch") == trial.best_epoch), None)
        return None if row is None else self.epoch(row, split).get(name)

    def all(self, trial: Trial, split: str, name: str) -> list[float]:
        """A figure over all epochs, where it is defined."""
        values = [self.epoch(row, split).get(name) for row in trial.history]
        return [v for v in values if v is not None]


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100 * value, 4)


def setting_text(params: Mapping[str, Any]) -> str:
    """ "lr = 0.01, hidden = [512, 256]" of dotted fields and values."""
    return ", ".join(f"{name.rpartition('.')[2]} = {_value(value)}" for name, value in params.items())


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else toml_value(value)


def _same(a: Any, b: Any) -> bool:
    return json.dumps(a) == json.dumps(b) or (
        isinstance(a, int | float) and isinstance(b, int | float) and float(a) == float(b)
    )


def _is_of(trial: Trial, claim: ClaimedTrial) -> bool:
    plain = json.loads(json.dumps(claim.set))
    return all(name in trial.params and _same(trial.params[name], value) for name, value in plain.items())


# -- settings stated beforehand -----------------------------------------------------------------------


def _settings_table(trials: Sequence[Trial], packaged: Recipe, read: _Reader) -> ResultTable:
    claims = packaged.expect.trials
    rows = []
    for trial in trials:
        claim = next((c for c in claims if _is_of(trial, c)), None)
        rows.append(_settings_row(setting_text(trial.params), claim, trial, read))
    for claim in claims:
        if not any(_is_of(trial, claim) for trial in trials):
            rows.append(_settings_row(setting_text(claim.set), claim, None, read))
    note = (
        "Validation accuracy is of the best epoch. Training accuracy is the highest of all epochs, and that "
        "of the best one; both, and the smallest loss, are means over an epoch, taken while training."
    )
    columns = [
        "setting", "claimed val accuracy (%)", "measured val accuracy (%)", "claimed train accuracy (%)",
        "measured train accuracy (%)", "train at best epoch (%)", "claimed min loss", "measured min loss",
        "best epoch", "epochs", "minutes", "state",
    ]  # fmt: skip
    return ResultTable("The settings", columns, rows, note)


def _settings_row(
    setting: str, claim: ClaimedTrial | None, trial: Trial | None, read: _Reader
) -> list[str | float | int | None]:
    val, train = ({}, {}) if claim is None else (claim.val, claim.train)
    claimed = (_percent(val.get("accuracy")), _percent(train.get("accuracy")), train.get("min_loss"))
    if trial is None:
        rest: list[str | float | int | None] = [None, claimed[1], None, None, claimed[2]]
        return [setting, claimed[0], *rest, None, None, None, None, "not trained yet"]
    highest = max(read.all(trial, "train", "accuracy"), default=None)
    return [
        setting,
        claimed[0],
        _percent(read.best(trial, "val", "accuracy")),
        claimed[1],
        _percent(highest),
        _percent(read.best(trial, "train", "accuracy")),
        claimed[2],
        min(read.all(trial, "train", "loss"), default=None),
        trial.best_epoch,
        trial.epochs or None,
        round(trial.seconds / 60, 2) if trial.epochs else None,
        _state(trial),
    ]


def _state(trial: Trial) -> str:
    if trial.state == "complete":
        return "all epochs" if trial.epochs >= trial.epochs_planned else "ended by patience"
    if trial.state == "failed":
        return f"failed: {trial.reason}"
    return {"pruned": "pruned", "running": "not finished"}.get(trial.state, "not begun")


def _short_settings(trials: Sequence[Trial], packaged: Recipe) -> tuple[list[str], str]:
    """What is not whole among the settings, and the sentence where all is."""
    planned = {t.number: int(t.params.get("train.epochs", packaged.train.epochs)) for t in trials}
    whole, short = [], []
    for claim in packaged.expect.trials:
        if not any(_is_of(trial, claim) for trial in trials):
            short.append(f"{setting_text(claim.set)}: not trained yet.")
    for trial in trials:
        if trial.state == "complete" and trial.epochs_planned >= planned[trial.number]:
            whole.append(trial)
        elif any(_is_of(trial, claim) for claim in packaged.expect.trials) or not packaged.expect.trials:
            epochs = f"{trial.epochs} of {planned[trial.number]} epochs"
            how = "no more were planned" if trial.state == "complete" else _state(trial)
            short.append(f"{setting_text(trial.params)}: {epochs}, {how}.")
    early = sum(trial.epochs < planned[trial.number] for trial in whole)
    words = f"Exact settings, {len(whole)} of them, each trained once in full"
    if early:
        words += f" ({len(whole) - early} for all epochs, {early} until the recipe's own patience ended it)"
    return short, words + "."


# -- settings drawn -----------------------------------------------------------------------------------


def _stages_table(search: Search, trials: Sequence[Trial], read: _Reader) -> ResultTable:
    rows: list[list[str | float | int | None]] = []
    for name, words in search.state.stages.items():
        mine = [t for t in trials if t.stage == name]
        values = [v for t in mine if (v := read.best(t, "val", "accuracy")) is not None]
        seconds = sum(t.seconds for t in mine)
        done = sum(t.settled for t in mine)
        rows.append([name, words, done, _percent(max(values, default=None)), round(seconds / 60, 1)])
    return ResultTable("Stages", ["stage", "what", "trials done", "best val accuracy (%)", "minutes"], rows)


def _best_table(search: Search, trials: Sequence[Trial], read: _Reader) -> ResultTable:
    winner = search.best
    stage = winner.stage if winner is not None else trials[-1].stage
    sign = -1.0 if search.state.direction == "maximize" else 1.0
    mine = [t for t in trials if t.stage == stage and t.value is not None]
    mine = sorted(mine, key=lambda t: (sign * (t.value or 0.0), t.number))[:_SHOWN]
    fields = list(dict.fromkeys(name for t in mine for name in t.params))
    rows: list[list[str | float | int | None]] = [
        [
            t.number,
            *(_value(t.params[name]) if name in t.params else None for name in fields),
            t.best_epoch,
            t.epochs,
            _percent(read.best(t, "val", "accuracy")),
            _percent(read.best(t, "train", "accuracy")),
            _state(t),
        ]
        for t in mine
    ]
    columns = [
        "trial", *(name.rpartition(".")[2] for name in fields), "best epoch", "epochs",
        "val accuracy (%)", "train accuracy (%)", "state",
    ]  # fmt: skip
    return ResultTable(
        f"The best trials of stage '{stage}'", columns, rows, "Both accuracies are of the best epoch."
    )


def _winner_table(search: Search, packaged: Recipe, read: _Reader) -> list[ResultTable]:
    """What was found beside what the source found; [] where nothing is claimed or found."""
    winner = search.best
    if winner is None or not packaged.expect.trials:
        return []
    theirs = packaged.expect.trials[0].set
    fields = list(dict.fromkeys([*winner.params, *theirs]))
    rows: list[list[str | float | int | None]] = [
        [
            name,
            _value(theirs[name]) if name in theirs else "not stated",
            _value(winner.params[name]) if name in winner.params else "not searched",
        ]
        for name in fields
    ]
    claimed, accuracy = packaged.expect.trials[0].val.get("accuracy"), read.best(winner, "val", "accuracy")
    if claimed is not None and accuracy is not None:
        rows.append(["val accuracy", claimed_text("accuracy", claimed), measured_text("accuracy", accuracy)])
    return [
        ResultTable(
            "The winner", ["field", "found by the source", f"found here (trial {winner.number})"], rows
        )
    ]


def _short_search(search: Search, trials: Sequence[Trial]) -> tuple[list[str], str]:
    state = search.state
    done = sum(t.settled for t in trials)
    if state.status != "finished":
        return [
            f"Shortened: {done} trials done, the search is {state.status} ({state.reason or 'no end yet'})."
        ], ""
    return [], f"The whole search: {done} trials in {len(state.stages)} stages, one seed."


# -- all -------------------------------------------------------------------------------------------


def _status(
    packaged: Recipe, used: Recipe, short: Sequence[str], words: str, not_comparable: str
) -> tuple[ResultStatus, str]:
    changed = changed_fields(packaged, used, but=("title", "source", "cost", "evaluate", "expect"))
    lines = list(short)
    if changed:
        lines.append(f"Changed: {'; '.join(changed)}.")
    if not_comparable:
        return "not comparable", " ".join([not_comparable, *lines])
    return ("partial", " ".join(lines)) if lines else ("complete", words)


def _headline(search: Search, read: _Reader) -> str:
    winner = search.best
    accuracy = None if winner is None else read.best(winner, "val", "accuracy")
    if winner is None or accuracy is None:
        return ""
    setting = f"best: {setting_text(winner.params)}"
    if len(winner.params) > _IN_HEADLINE:
        setting = f"the best of {sum(not t.lost for t in search.trials)} trials"
    return f"val {measured_text('accuracy', accuracy)}, {setting}"
