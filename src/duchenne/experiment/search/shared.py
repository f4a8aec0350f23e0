"""The study that processes share: who may join it, which trials it lacks, whose process died.

Every trial is put into the storage as a waiting one, with the slot of the plan that it fills; a process takes
one by Optuna's own atomic step from waiting to running. So no process needs another's word: a slot without
a trial is filled, a trial whose process died is marked and its slot filled again.
"""

from __future__ import annotations

import hashlib
import os
import platform
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import RunError
from ...recipe import Recipe, parse_recipe
from .result import State, Trial
from .space import decode, encode, fields_of
from .storage import optuna, quiet
from .strategies import Slot, Stage, plan

# A running trial says every BEAT seconds that it lives; one that says nothing for GRACE seconds of our own
# clock is taken for dead. (The death of a process of this machine is seen at once.)
BEAT = 15.0
GRACE = 120.0

# So many trials wait at most: each look at a storage reads all that have not ended.
WINDOW = 16

# A setting whose process dies this often (out of memory, say) is given up.
ATTEMPTS = 3

_ABOUT = "duchenne"


class Shared:
    """A study and its recipe, as one process sees them."""

    def __init__(self, study: Any, recipe: Recipe, direction: str) -> None:
        self.study, self.recipe, self.direction = study, recipe, direction
        self.fields = {f.name: f for f in fields_of(recipe)}
        assert recipe.tune is not None
        one_at_a_time = recipe.tune.method == "one_at_a_time"
        self.distributions = {f.name: f.distribution(own=one_at_a_time) for f in self.fields.values()}
        self._beats: dict[int, tuple[Any, float]] = {}
        # The plan changes with trials that end alone, and many looks find none.
        self._planned: tuple[tuple[int, bool], list[Stage]] | None = None

    # -- reading ------------------------------------------------------------------------------------

    def trials(self) -> list[Trial]:
        """All trials but those that two processes made for one slot at the same moment."""
        found = self.study.get_trials(deepcopy=False)
        return [self._record(t) for t in found if "slot" in t.user_attrs and "surplus" not in t.user_attrs]

    def _record(self, t: Any) -> Trial:
        attrs = t.user_attrs
        raw = t.params or attrs["fixed"]
        steps = sorted(t.intermediate_values)
        history = attrs.get("history") or []
        value = t.value if t.value is not None else (t.intermediate_values[steps[-1]] if steps else None)
        state: dict[str, State] = {
            "COMPLETE": "complete",
            "PRUNED": "pruned",
            "FAIL": "failed",
            "RUNNING": "running",
        }
        failed = t.state.name == "FAIL"
        return Trial(
            number=t.number,
            slot=attrs["slot"],
            stage=attrs["stage"],
            params={n: decode(self.fields[n], v) for n, v in raw.items() if n in self.fields},
            state=state.get(t.state.name, "waiting"),
            value=value,
            best_epoch=attrs.get("best_epoch"),
            epochs=len(history) or (steps[-1] if steps else 0),
            epochs_planned=attrs["epochs"],
            history=tuple(history),
            seconds=attrs.get("seconds", 0.0),
            reason=attrs.get("reason", "its process ended; tried again" if failed else ""),
            lost=failed and "reason" not in attrs,
        )

    def narrowed(self) -> dict[str, list[Any]]:
        """What the fine stage draws from; empty before it is known."""
        return dict(self.study.user_attrs.get("narrowed", {}))

    def stages(self, trials: Sequence[Trial]) -> list[Stage]:
        """The plan as far as it can be known."""
        narrowed = self.narrowed()
        settled = (len([t for t in trials if t.settled]), bool(narrowed))
        if self._planned is None or self._planned[0] != settled:
            self._planned = (settled, plan(self.recipe, trials, self.direction, narrowed))
        return self._planned[1]

    # -- filling ------------------------------------------------------------------------------------

    def fill(self) -> bool:
        """Give open slots of the plan a waiting trial, up to `WINDOW`; whether the search is done."""
        self._bury()
        trials = self.trials()
        stages = self.stages(trials)
        if stages[-1].narrowed is not None and not self.narrowed():
            self.study.set_user_attr("narrowed", stages[-1].narrowed)
        taken = {t.slot for t in trials if not t.lost}
        given_up = self._given_up(trials)
        missing = [s for stage in stages for s in stage.slots if s.key not in taken]
        waiting = sum(t.state == "waiting" for t in trials)
        for slot in missing[: max(0, WINDOW - waiting)]:
            self._enqueue(slot, given_up.get(slot.key, 0))
        return not missing and all(t.settled for t in trials if not t.lost)

    def _given_up(self, trials: Sequence[Trial]) -> dict[str, int]:
        """Slot -> how many processes died over it."""
        deaths: dict[str, int] = {}
        stopped = self.study.user_attrs.get("stopped", [])
        for t in trials:
            if t.lost and t.number not in stopped:
                deaths[t.slot] = deaths.get(t.slot, 0) + 1
        return deaths

    def _enqueue(self, slot: Slot, deaths: int) -> None:
        fixed = {n: encode(v) for n, v in slot.params.items()}
        attrs: dict[str, Any] = {
            "slot": slot.key, "stage": slot.stage, "epochs": slot.epochs, "fixed": fixed,
        }  # fmt: skip
        if deaths >= ATTEMPTS:
            attrs["reason"] = f"its process died {deaths} times (out of memory?)"
        with quiet():
            self.study.enqueue_trial(fixed, user_attrs=attrs)

    # -- taking -------------------------------------------------------------------------------------

    def take(self) -> Any | None:
        """A waiting trial, now running in this process, with its values; None where none waits."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        while self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            trial = self.study.ask()
            attrs = trial.user_attrs
            if "slot" not in attrs or self._is_double(trial.number, attrs["slot"]):
                # Another process took the last waiting trial a moment before, or filled the same slot.
                trial.set_user_attr("surplus", True)
                self.study.tell(trial, state=TrialState.FAIL)
                continue
            if "reason" in attrs:
                self.study.tell(trial, state=TrialState.FAIL)
                continue
            try:
                trial.set_user_attr("worker", whoami())
            except UpdateFinishedTrialError:  # this process slept, and was taken for dead
                continue
            return trial
        return None

    def _is_double(self, number: int, slot: str) -> bool:
        return any(t.slot == slot and t.number < number and not t.lost for t in self.trials())

    def values(self, trial: Any) -> dict[str, Any]:
        """The values of a taken trial: the plan's; where it says nothing the sampler's."""
        fixed = trial.user_attrs["fixed"]
        partly = bool(fixed) and len(fixed) < len(self.distributions)
        with quiet():
            for name, distribution in self.distributions.items():
                if not partly or name in fixed:
                    _suggest(trial, name, distribution)
        return {n: decode(self.fields[n], v) for n, v in trial.params.items()}

    # -- the dead -----------------------------------------------------------------------------------

    def _bury(self) -> None:
        """Mark running trials whose process died as failed; `fill` then tries their values again."""
        from optuna.trial import TrialState

        for t in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if self._is_dead(t):
                self.fail(t.number)

    def fail(self, number: int) -> None:
        """Mark a running trial as failed, unless somebody else just did."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        try:
            self.study.tell(number, state=TrialState.FAIL)
        except (ValueError, UpdateFinishedTrialError):
            return

    def _is_dead(self, t: Any) -> bool:
        alive = is_alive(t.user_attrs.get("worker", ""))
        if alive is not None:
            return not alive
        beat = (t.user_attrs.get("worker"), t.user_attrs.get("beat"))
        seen, since = self._beats.get(t.number, (None, 0.0))
        if seen != beat:
            self._beats[t.number] = (beat, time.monotonic())
            return False
        return time.monotonic() - since > GRACE

    def stop(self, number: int) -> None:
        """Mark a running trial that was stopped: its values are tried again, and it counts as no death."""
        stopped = self.study.user_attrs.get("stopped", [])
        self.study.set_user_attr("stopped", [*stopped, number])
        self.fail(number)

    def mine(self, workers: Sequence[int]) -> list[int]:
        """Numbers of the running trials of these processes of this machine."""
        here = machine()
        owners = [f"{here}:{pid}:" for pid in workers]
        running = [t for t in self.study.get_trials(deepcopy=False) if t.state.name == "RUNNING"]
        return [
            t.number for t in running if any(t.user_attrs.get("worker", "").startswith(o) for o in owners)
        ]


def _suggest(trial: Any, name: str, distribution: Any) -> None:
    """Draw a value from a distribution."""
    kind = type(distribution).__name__
    if kind == "CategoricalDistribution":
        trial.suggest_categorical(name, distribution.choices)
        return
    draw = trial.suggest_int if kind == "IntDistribution" else trial.suggest_float
    draw(name, distribution.low, distribution.high, step=distribution.step, log=distribution.log)


def open_shared(
    storage: Any,
    name: str,
    recipe: Recipe,
    direction: str,
    data: str,
    sampler: Any,
    pruner: Any,
    teacher: str | None = None,
) -> Shared:
    """Make the study, or join it.

    Args:
        storage, sampler, pruner: Optuna's.
        name: The study's.
        recipe: What is searched.
        direction: "minimize" or "maximize".
        data: The data's fingerprint.
        teacher: SHA-256 of the weights that teach, "" where none do; None where that was looked at before.

    Raises:
        RunError: A study of that name is another search's, or not ours.
    """
    lib = optuna()
    with quiet():
        study = lib.create_study(
            storage=storage, study_name=name, direction=direction, sampler=sampler, pruner=pruner,
            load_if_exists=True,
        )  # fmt: skip
    about = study.user_attrs.get(_ABOUT)
    table = recipe.to_dict()
    if about is None:
        if study.get_trials(deepcopy=False):
            raise RunError(f"the storage has a study '{name}' of another program", "choose another --name")
        study.set_user_attr(_ABOUT, {"recipe": table, "data": data, "teacher": teacher or ""})
        return Shared(study, recipe, direction)
    # Read anew, so that fields which a later version added stand at their defaults.
    before = parse_recipe(about["recipe"], f"of the search '{name}'").to_dict()
    if different := difference(before, table):
        raise RunError(
            f"the search '{name}' was begun with other settings: {'; '.join(different)}",
            "repeat its recipe and --set, choose another --name, or start over with --force",
        )
    if about["data"] != data:
        raise RunError(
            f"the data changed since the search '{name}' began (fingerprint {about['data']}, now {data})",
            "bring the old data back, or search anew under another --name",
        )
    if teacher is not None and about.get("teacher", teacher) != teacher:
        raise RunError(
            f"the weights of teacher {recipe.teacher.run} changed since the search '{name}' began",
            "bring the old ones back, or search anew under another --name",
        )
    return Shared(study, recipe, direction)


def refuse_if_searched(study: Any) -> None:
    """Raises RunError where a process of this machine is training a trial of the study."""
    for t in study.get_trials(deepcopy=False):
        if t.state.name == "RUNNING" and is_alive(t.user_attrs.get("worker", "")):
            pid = t.user_attrs["worker"].split(":")[1]
            raise RunError(
                f"the search '{study.study_name}' is going on (process {pid} trains its trial {t.number})",
                "stop it first, or choose another --name",
            )


# More trials may be added to a search; words and claims do not decide what is found.
_FREE = ("tune.trials", "tune.fine_trials", "title", "source", "cost", "expect", "evaluate", "id")


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What decides a search and differs between two recipes, as "optimizer.lr = 0.1, now 0.2"."""
    before, after = dict(_flat(old)), dict(_flat(new))
    names = [n for n in dict.fromkeys([*before, *after]) if before.get(n) != after.get(n)]
    return [
        f"{n} = {before.get(n, 'not set')}, now {after.get(n, 'not set')}"
        for n in names
        if not any(n == free or n.startswith(f"{free}.") for free in _FREE)
    ]


def _flat(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", value))
    return rows


def machine() -> str:
    """A code for this machine and its space of process numbers; no host name goes into a storage."""
    facts = [platform.node()]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        try:
            facts.append(
                os.readlink(path) if path.endswith("pid") else Path(path).read_text(encoding="ascii")
            )
        except OSError:
            continue
    return hashlib.sha256("|".join(facts).encode()).hexdigest()[:10]


def whoami() -> str:
    """This process: machine, number, and when it began (numbers are used again)."""
    return f"{machine()}:{os.getpid()}:{_begun(os.getpid())}"


def _begun(pid: int) -> str:
    """Field 22 of /proc/PID/stat (see proc(5)): clock ticks from the machine's start; "" where not known."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def is_alive(worker: str) -> bool | None:
    """Whether a process lives; None where that cannot be seen from here."""
    here, _, rest = worker.partition(":")
    pid, _, begun = rest.partition(":")
    if here != machine() or not pid.isdigit() or not begun:
        return None
    return _begun(int(pid)) == begun and _state(int(pid)) != "Z"


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


class Beating:
    """While entered, says every `BEAT` seconds that a trial lives."""

    def __init__(self, trial: Any) -> None:
        self._trial, self._over = trial, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        from optuna.exceptions import OptunaError

        beat = 0
        while not self._over.wait(BEAT):
            beat += 1
            try:
                self._trial.set_user_attr("beat", beat)
            except (OptunaError, KeyError, RuntimeError):
                return  # the trial was ended by somebody else; training notices at its next epoch
