"""Searches of several processes: one storage, deaths, and nothing lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from duchenne.errors import RunError, TrainingError
from duchenne.experiment.search import Search, Trial, search, shared
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
epochs = EPOCHS
batch_size = 50
[tune]
trials = 6
[tune.space]
"optimizer.lr" = { low = 1e-3, high = 1.0, log = true }
"""


@pytest.fixture
def written(tmp_path: Path) -> Callable[[int], Path]:
    """Writes the recipe with so many epochs."""

    def write(epochs: int) -> Path:
        path = tmp_path / "tiny.toml"
        path.write_text(RECIPE.replace("EPOCHS", str(epochs)), encoding="utf-8")
        return path

    return write


def start(*arguments: object) -> subprocess.Popen[str]:
    """`duchenne tune ARGUMENTS` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "duchenne", "tune", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def wait_until(true: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 100) -> None:
    begun = time.monotonic()
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - begun < seconds
        time.sleep(0.05)


def states(path: Path) -> list[str]:
    return [t.state for t in Search(path).trials if not t.lost]


def test_killed_it_goes_on_where_it_was(written: Callable[[int], Path], tmp_path: Path) -> None:
    recipe, folder = written(60), tmp_path / "runs" / "tiny-search"
    process = start(recipe, "--runs", tmp_path / "runs", "--jobs", 2)
    try:
        wait_until(lambda: "complete" in states(folder), process)
    finally:
        process.kill()
        process.communicate()
    before = {t.number: t for t in Search(folder).trials if t.settled}
    assert Search(folder).state.status == "running"
    found = search(load_recipe(recipe), runs=tmp_path / "runs")
    assert found.state.status == "finished"
    trials = found.trials
    for number, trial in before.items():
        assert trials[number] == trial
    # Each of the plan's six places was trained to its end once, that of the dead trial by a second try.
    assert sorted(t.slot for t in trials if t.state == "complete") == [f"random-{i}" for i in range(6)]
    lost = [t for t in trials if t.lost]
    assert lost
    for t in lost:
        (again,) = [u for u in trials if u.slot == t.slot and u.settled]
        assert again.params == t.params


def test_two_processes_share_one_storage(written: Callable[[int], Path], tmp_path: Path) -> None:
    recipe = written(2)
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    both = [start(recipe, "--runs", tmp_path / name, "--storage", url) for name in ("here", "there")]
    for process in both:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    here, there = (Search.open(tmp_path / name / "tiny-search") for name in ("here", "there"))
    assert here.trials == there.trials
    complete = [t.slot for t in here.trials if t.state == "complete"]
    assert sorted(complete) == [f"random-{i}" for i in range(6)]
    assert here.best == there.best


class Killing:
    """Kills the process of the first trial that it sees running."""

    def __init__(self, url: str) -> None:
        self.url, self.killed = url, 0

    def on_start(self, search: Search, planned: int, settled: int) -> None:
        pass

    def on_stage(self, words: str) -> None:
        pass

    def on_trial(self, trial: Trial, best: Trial | None, settled: int, planned: int) -> None:
        from optuna import load_study

        if self.killed or trial.state != "running":
            return
        study = load_study(study_name="tiny-search", storage=open_storage(self.url))
        worker = study.trials[trial.number].user_attrs.get("worker", "")
        pid = int(worker.split(":")[1]) if worker else 0
        if pid and pid != os.getpid():
            self.killed = pid
            os.kill(pid, signal.SIGKILL)


def test_a_process_of_the_crew_that_dies_is_replaced(written: Callable[[int], Path], tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    killing = Killing(url)
    recipe = load_recipe(written(40), ["tune.trials=3"])
    found = search(recipe, runs=tmp_path, storage=url, jobs=2, listener=killing)
    assert killing.killed
    assert sorted(t.slot for t in found.trials if t.settled) == ["random-0", "random-1", "random-2"]
    assert [t.state for t in found.trials if t.settled] == ["complete"] * 3


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
    written: Callable[[int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial that another host took and never spoke of again is tried again after the time of grace."""
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    recipe = load_recipe(written(1), ["tune.trials=2"])
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


def test_a_setting_that_kills_its_process_is_given_up(written: Callable[[int], Path], tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    recipe = load_recipe(written(1), ["tune.trials=1"])
    search(recipe, runs=tmp_path, storage=url, time_limit=0)
    from optuna import load_study

    study = load_study(study_name="tiny-search", storage=open_storage(url))
    for _ in range(shared.ATTEMPTS):
        study.ask().set_user_attr("worker", f"{shared.machine()}:999999999:1")
        search(recipe, runs=tmp_path, storage=url, time_limit=0)
    with pytest.raises(TrainingError, match="died 3 times"):
        search(recipe, runs=tmp_path, storage=url)


def test_two_fillings_of_one_slot_are_trained_once(written: Callable[[int], Path], tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    recipe = load_recipe(written(1), ["tune.trials=2"])
    search(recipe, runs=tmp_path, storage=url, time_limit=0)
    from optuna import load_study

    study = load_study(study_name="tiny-search", storage=open_storage(url))
    waiting = study.get_trials(deepcopy=False)[0]
    study.enqueue_trial(waiting.user_attrs["fixed"], user_attrs=waiting.user_attrs)
    found = search(recipe, runs=tmp_path, storage=url)
    assert sorted(t.slot for t in found.trials) == ["random-0", "random-1"]
    assert all(t.state == "complete" for t in found.trials)


def test_force_does_not_delete_a_search_that_goes_on(written: Callable[[int], Path], tmp_path: Path) -> None:
    recipe = load_recipe(written(1), ["tune.trials=1"])
    found = search(recipe, runs=tmp_path, time_limit=0)
    from optuna import load_study

    study = load_study(
        study_name="tiny-search", storage=open_storage(f"sqlite:///{found.path / 'search.db'}")
    )
    study.ask().set_user_attr("worker", shared.whoami())
    with pytest.raises(RunError, match="is going on"):
        search(recipe, runs=tmp_path, force=True)
    assert (found.path / "search.db").is_file()


TAKING = """
import sys
from duchenne.experiment.search.storage import open_storage, optuna
from optuna.trial import TrialState
study = optuna().load_study(study_name="x", storage=open_storage(sys.argv[1]))
while study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
    trial = study.ask()
    if "planned" in trial.user_attrs:
        print(trial.number)
"""


def test_no_trial_of_an_sqlite_file_is_taken_twice(tmp_path: Path) -> None:
    """Optuna's own transactions let several processes take one trial there."""
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    study = optuna().create_study(study_name="x", storage=open_storage(url))
    for _ in range(40):
        study.enqueue_trial({}, user_attrs={"planned": True})
    command = [sys.executable, "-c", TAKING, url]
    takers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    taken = [int(n) for p in takers for n in p.communicate(timeout=100)[0].split()]
    assert sorted(taken) == list(range(40))
