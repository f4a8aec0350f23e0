"""Searches of several processes: one storage, deaths, and nothing lost."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from duchenne.errors import RunError, TrainingError
from duchenne.experiment.search import Search, Trial, search, shared, work
from duchenne.experiment.search.crew import _unheard
from duchenne.experiment.search.space import overridden
from duchenne.experiment.search.storage import open_storage, optuna
from duchenne.recipe import load_recipe

RECIPE = """
id = "tiny"
title = "tiny"
[data]
name = "synthetic"
outputs = ["emotion"]
options = { n = 210, difficulty = "easy" }
[preprocess]
size = [12, 12]
[learner]
name = "scratch"
args = { hidden = [4] }
[optimizer]
name = "sgd"
[train]
epochs = 1
batch_size = 50
[tune]
METHOD
"""
DRAWN = """
trials = 4
[tune.space]
"optimizer.lr" = { low = 1e-3, high = 1.0, log = true }
"""
# The first trial ends at once, the others never: a test has all the time to break them off.
ENDLESS = """
method = "grid"
[tune.space]
"train.epochs" = [1, 1000000, 1000001]
"""

SEARCHING = """
import sys
from pathlib import Path
from duchenne.experiment.search import search
from duchenne.recipe import load_recipe
recipe, runs, storage, jobs = sys.argv[1:]
search(load_recipe(recipe), runs=Path(runs), storage=storage, jobs=int(jobs))
"""


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    """Writes the recipe with such a [tune]."""

    def write(tune: str) -> Path:
        path = tmp_path / "tiny.toml"
        path.write_text(RECIPE.replace("METHOD", tune), encoding="utf-8")
        return path

    return write


def start(recipe: Path, runs: Path, url: str, jobs: int = 1) -> subprocess.Popen[str]:
    """A search in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", SEARCHING, str(recipe), str(runs), url, str(jobs)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def wait_until(true: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 200) -> None:
    begun = time.monotonic()
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - begun < seconds
        time.sleep(0.05)


def worker_of(url: str, number: int) -> int:
    """The process that trains a running trial; 0 where it is not known."""
    study = optuna().load_study(study_name="tiny-search", storage=open_storage(url))
    worker = study.get_trials(deepcopy=False)[number].user_attrs.get("worker", "")
    return int(worker.split(":")[1]) if worker else 0


def test_killed_it_goes_on_where_it_was(
    written: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, folder, url = written(ENDLESS), tmp_path / "tiny-search", f"sqlite:///{tmp_path / 'shared.db'}"
    process = start(recipe, tmp_path, url, jobs=2)
    try:
        # The summary is written when a trial ended.
        wait_until(lambda: Search.is_one(folder) and Search(folder).best is not None, process)
        wait_until(lambda: worker_of(url, 1) > 0, process)
        workers = {worker_of(url, n) for n in (0, 1, 2)}
    finally:
        process.kill()
        process.communicate()
    (before,) = [t for t in Search(folder).trials if t.settled]
    assert Search(folder).state.status == "running"
    for pid in workers - {0}:  # they follow their parent
        begun = time.monotonic()
        while shared._state(pid) not in ("", "Z"):
            assert time.monotonic() - begun < 100
            time.sleep(0.05)
    monkeypatch.setattr(work, "overridden", lambda recipe, params, epochs: overridden(recipe, params, 1))
    found = search(load_recipe(recipe), runs=tmp_path)
    assert found.state.status == "finished"
    trials = found.trials
    assert trials[before.number] == before
    # Each of the plan's places was trained to its end once, that of a dead trial by a second try.
    assert sorted(t.slot for t in trials if t.state == "complete") == ["grid-0", "grid-1", "grid-2"]
    lost = [t for t in trials if t.lost]
    assert lost
    for t in lost:
        (again,) = [u for u in trials if u.slot == t.slot and u.settled]
        assert again.params == t.params


def test_two_processes_share_one_storage(written: Callable[[str], Path], tmp_path: Path) -> None:
    recipe = written(DRAWN)
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    both = [start(recipe, tmp_path / name, url) for name in ("here", "there")]
    for process in both:
        _, said = process.communicate(timeout=200)
        assert process.returncode == 0, said
    here, there = (Search.open(tmp_path / name / "tiny-search") for name in ("here", "there"))
    assert here.trials == there.trials
    complete = [t.slot for t in here.trials if t.state == "complete"]
    assert sorted(complete) == [f"random-{i}" for i in range(4)]
    assert here.best == there.best


class Killing:
    """Kills the process of a running trial; interrupts when the trial's values are tried again."""

    def __init__(self, url: str) -> None:
        self.url, self.killed, self.slot = url, -1, ""

    def on_start(self, search: Search, planned: int, settled: int) -> None:
        pass

    def on_stage(self, words: str) -> None:
        pass

    def on_trial(self, trial: Trial, best: Trial | None, settled: int, planned: int) -> None:
        if trial.state != "running" or trial.params["train.epochs"] == 1:
            return
        if self.killed < 0 and (pid := worker_of(self.url, trial.number)):
            self.killed, self.slot = trial.number, trial.slot
            os.kill(pid, signal.SIGKILL)
        elif trial.slot == self.slot and trial.number != self.killed:
            raise KeyboardInterrupt


def test_a_process_of_the_crew_that_dies_is_replaced(written: Callable[[str], Path], tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    killing = Killing(url)
    with pytest.raises(KeyboardInterrupt):
        search(
            load_recipe(written(ENDLESS)), runs=tmp_path, storage=url, jobs=2, listener=killing,
            time_limit=200,
        )  # fmt: skip
    trials = Search(tmp_path / "tiny-search").trials
    dead = trials[killing.killed]
    assert dead.lost
    again = [t for t in trials if t.slot == dead.slot and t.number != dead.number]
    assert [t.params for t in again][:1] == [dead.params]
    assert [t.state for t in trials if t.slot == "grid-0"] == ["complete"]


def test_a_live_process_is_alive_and_a_dead_one_is_not() -> None:
    assert shared.is_alive(shared.whoami()) is True
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    name = f"{shared.machine()}:{process.pid}:{shared._begun(process.pid)}"
    assert shared.is_alive(name) is True
    process.kill()
    process.wait()
    assert shared.is_alive(name) is False
    assert shared.is_alive(f"elsewhere:{process.pid}:1") is None
    assert shared.is_alive("") is None


def test_of_another_host_silence_is_death(
    written: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial that another host took and never spoke of again is tried again after the time of grace."""
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    recipe = load_recipe(written(DRAWN), ["tune.trials=2"])
    search(recipe, runs=tmp_path, storage=url, time_limit=0)
    from optuna import load_study

    study = load_study(study_name="tiny-search", storage=open_storage(url))
    taken = study.ask()
    taken.set_user_attr("worker", "elsewhere:1:1")
    monkeypatch.setattr(shared, "GRACE", 1.0)
    begun = time.monotonic()
    found = search(recipe, runs=tmp_path, storage=url)
    assert time.monotonic() - begun >= 1.0
    assert [t.lost for t in found.trials] == [True, False, False]
    assert found.trials[2].params == found.trials[0].params


def test_a_setting_that_kills_its_process_is_given_up(written: Callable[[str], Path], tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    recipe = load_recipe(written(DRAWN), ["tune.trials=1"])
    search(recipe, runs=tmp_path, storage=url, time_limit=0)
    from optuna import load_study

    study = load_study(study_name="tiny-search", storage=open_storage(url))
    for _ in range(shared.ATTEMPTS):
        study.ask().set_user_attr("worker", f"{shared.machine()}:999999999:1")
        search(recipe, runs=tmp_path, storage=url, time_limit=0)
    with pytest.raises(TrainingError, match="died 3 times"):
        search(recipe, runs=tmp_path, storage=url)


def test_two_fillings_of_one_slot_are_trained_once(written: Callable[[str], Path], tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    recipe = load_recipe(written(DRAWN), ["tune.trials=2"])
    search(recipe, runs=tmp_path, storage=url, time_limit=0)
    from optuna import load_study

    study = load_study(study_name="tiny-search", storage=open_storage(url))
    waiting = study.get_trials(deepcopy=False)[0]
    study.enqueue_trial(waiting.user_attrs["fixed"], user_attrs=waiting.user_attrs)
    found = search(recipe, runs=tmp_path, storage=url)
    assert sorted(t.slot for t in found.trials) == ["random-0", "random-1"]
    assert all(t.state == "complete" for t in found.trials)


def test_force_does_not_delete_a_search_that_goes_on(written: Callable[[str], Path], tmp_path: Path) -> None:
    recipe = load_recipe(written(DRAWN), ["tune.trials=1"])
    found = search(recipe, runs=tmp_path, time_limit=0)
    from optuna import load_study

    study = load_study(
        study_name="tiny-search", storage=open_storage(f"sqlite:///{found.path / 'search.db'}")
    )
    study.ask().set_user_attr("worker", shared.whoami())
    with pytest.raises(RunError, match="is going on"):
        search(recipe, runs=tmp_path, force=True)
    assert (found.path / "search.db").is_file()


def test_no_trial_of_an_sqlite_file_is_taken_twice(tmp_path: Path) -> None:
    """Optuna's own transactions let several connections take one trial there."""
    from optuna.trial import TrialState

    url = f"sqlite:///{tmp_path / 'shared.db'}"
    study = optuna().create_study(study_name="x", storage=open_storage(url))
    for _ in range(30):
        study.enqueue_trial({}, user_attrs={"planned": True})
    at_once = threading.Barrier(4)

    def take() -> list[int]:
        mine = optuna().load_study(study_name="x", storage=open_storage(url))
        at_once.wait(100)
        taken = []
        while mine.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            trial = mine.ask()
            if "planned" in trial.user_attrs:
                taken.append(trial.number)
        return taken

    with ThreadPoolExecutor(4) as pool:
        taken = [n for done in [pool.submit(take) for _ in range(4)] for n in done.result()]
    assert sorted(taken) == list(range(30))


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="no signal masks here")
def test_a_process_that_is_starting_does_not_hear_ctrl_c() -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_blocked, args=(theirs,))
    with _unheard():
        process.start()
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert ours.poll(60)
    assert ours.recv()
    process.join()


def _blocked(pipe: Any) -> None:
    pipe.send(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))
