"""Predictions and their files: exact round trips, and every damage named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duchenne.errors import DataError, RunError
from duchenne.evaluation import Predictions
from duchenne.labels import Output

EMOTION = Output("emotion", "single", ("happy", "sad, really", "fear"))
AU = Output("au", "multi", ("AU1", "AU12"))


def made(
    seed: int = 0, n: int = 7, *, votes: bool = False, masked: bool = True, more: bool = True
) -> Predictions:
    rng = np.random.default_rng(seed)
    codes = rng.integers(-1, 3, n)
    counts = rng.integers(0, 4, (n, 3)).astype(np.float32)
    mask = rng.random((n, 2)) < 0.7
    au = np.where(mask, rng.random((n, 2)), 0).astype(np.float32)
    return Predictions(
        ids=np.array([f'a/{i}, "{i}" ü.png' for i in range(n)], dtype=str), outputs=(EMOTION, AU),
        probs={"emotion": rng.dirichlet([0.1] * 3, n).astype(np.float32).reshape(n, 3),
               "au": rng.random((n, 2)).astype(np.float32) ** 20},
        targets={"emotion": counts if votes else codes, "au": au},
        masks={"au": mask} if masked else {},
        subject=np.array([f"s{i % 3}" for i in range(n)], dtype=str) if more else None,
        group={"skin_tone": np.array([str(i % 2) for i in range(n)], dtype=str)} if more else {},
        in_train=rng.random(n) < 0.3 if more else None,
    )  # fmt: skip


def same(a: Predictions, b: Predictions) -> None:
    assert a.outputs == b.outputs
    assert a.ids.tolist() == b.ids.tolist()
    for name in ("probs", "targets", "masks", "group"):
        left, right = getattr(a, name), getattr(b, name)
        assert left.keys() == right.keys()
        for k in left:
            assert left[k].tolist() == right[k].tolist(), (name, k)
            if left[k].dtype.kind != "U":
                assert left[k].dtype == right[k].dtype
    for name in ("subject", "in_train"):
        left, right = getattr(a, name), getattr(b, name)
        assert (left is None) == (right is None)
        assert left is None or left.tolist() == right.tolist()


@given(st.integers(0, 10**6), st.integers(0, 9), st.booleans(), st.booleans(), st.booleans())
def test_round_trip_is_exact(seed: int, n: int, votes: bool, masked: bool, more: bool) -> None:
    p = made(seed, n, votes=votes, masked=masked, more=more)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "deep" / "test.csv"
        p.save(path)
        same(p, Predictions.load(path))
        assert sorted(f.name for f in path.parent.iterdir()) == ["test.csv", "test.json"]


def test_unlabelled_and_awkward_names(tmp_path: Path) -> None:
    p = Predictions(
        np.array(["=1+1", "bad\udcffbyte", " "]),
        (Output("e", "single", ("a:b", "+")),),
        {"e": np.array([[1, 0], [0.5, 0.5], [1e-30, 1]], np.float32)},
    )
    p.save(tmp_path / "x.csv")
    same(p, Predictions.load(tmp_path / "x.csv"))


def test_the_files_layout_is_the_documented_one(tmp_path: Path) -> None:
    probs = np.array([[0.25, 0.5, 0.25], [1, 0, 0]], np.float32)
    au = np.array([[0.5, 0.75], [0, 0.1]], np.float32)
    p = Predictions(
        np.array(["x", "y"]), (EMOTION, AU), {"emotion": probs, "au": au},
        {"emotion": np.array([2, -1]), "au": np.array([[1, 0], [0, 0.5]], np.float32)},
        {"au": np.array([[True, True], [False, True]])}, in_train=np.array([True, False]),
    )  # fmt: skip
    p.save(tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text().splitlines() == [
        'id,in_train,emotion,emotion:predicted,emotion:p:happy,"emotion:p:sad, really",emotion:p:fear,'
        "au:predicted,au:true:AU1,au:true:AU12,au:p:AU1,au:p:AU12",
        'x,1,fear,"sad, really",0.25,0.5,0.25,AU1+AU12,1.0,0.0,0.5,0.75',
        "y,0,,happy,1.0,0.0,0.0,,,0.5,0.0,0.1",
    ]
    assert json.loads((tmp_path / "x.json").read_text())["schema"] == 1


def edit_line(row: int, old: str, new: str) -> Callable[[str], str]:
    def edit(text: str) -> str:
        lines = text.split("\n")
        assert old in lines[row - 1]
        lines[row - 1] = lines[row - 1].replace(old, new, 1)
        return "\n".join(lines)

    return edit


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (edit_line(1, "emotion:predicted", "guess"), "row 1: the columns"),
        (edit_line(3, "0.25,0.5", "0.25"), r"row 3: \d+ cells"),
        (edit_line(3, "25,0.5", "25,half"), r"row 3, column 'emotion:p:sad, really': 'half' is not a number"),
        (edit_line(3, "0.25,0.5", "0.25,1.5"), "'emotion' of sample 'i1' is not numbers in"),
        (edit_line(3, "0.25,0.5", "0.25,nan"), "'emotion' of sample 'i1' is not numbers in"),
        (edit_line(3, "fear", "joy"), "row 3, column 'emotion': there is no label 'joy'"),
        (edit_line(3, "i1", "i0"), "two samples have the same id"),
        (lambda t: t[: t.rindex("i2")], "2 samples, but x.json says 3"),
        (lambda t: "", "row 1"),
        (lambda t: t[:-9], r"row 4"),
    ],
)  # fmt: skip
def test_a_damaged_table_is_named(tmp_path: Path, edit: Callable[[str], str], said: str) -> None:
    path = tmp_path / "x.csv"
    probs = np.tile(np.array([[0.25, 0.5, 0.25]], np.float32), (3, 1))
    Predictions(
        np.array(["i0", "i1", "i2"]), (EMOTION,), {"emotion": probs}, {"emotion": np.array([2, 2, 2])}
    ).save(path)
    path.write_text(edit(path.read_text()))
    with pytest.raises(RunError, match=said) as caught:
        Predictions.load(path)
    assert "x.csv" in caught.value.what


def test_a_missing_or_strange_sidecar_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    with pytest.raises(RunError, match=r"x\.json: cannot read"):
        Predictions.load(path)
    made().save(path)
    side = path.with_suffix(".json")
    card = json.loads(side.read_text())
    for text in ("{", "[]", json.dumps({**card, "schema": 9}), json.dumps({**card, "outputs": [{}]}), "{}"):
        side.write_text(text)
        with pytest.raises(RunError, match=r"x\.json"):
            Predictions.load(path)
    path.unlink()
    side.write_text(json.dumps(card))
    with pytest.raises(RunError, match=r"x\.csv: cannot read"):
        Predictions.load(path)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write"):
        made().save(tmp_path / "file" / "x.csv")
    odd = Predictions(np.array(["a\nb"]), (EMOTION,), {"emotion": np.array([[1, 0, 0]], np.float32)})
    with pytest.raises(RunError, match="line break"):
        odd.save(tmp_path / "x.csv")


GOOD: dict[str, Any] = {
    "ids": np.array(["a", "b"]),
    "outputs": (EMOTION, AU),
    "probs": {"emotion": np.full((2, 3), 1 / 3, np.float32), "au": np.zeros((2, 2), np.float32)},
    "targets": {"emotion": np.array([0, 1]), "au": np.zeros((2, 2), np.float32)},
}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ids", np.array(["a", "a"])), ("probs", {}), ("targets", {"age": np.array([1, 2])}),
        ("probs", {**GOOD["probs"], "emotion": np.full((2, 3), 1 / 3)}),
        ("probs", {**GOOD["probs"], "emotion": np.full((2, 3), 0.5, np.float32)}),
        ("probs", {**GOOD["probs"], "au": np.full((2, 2), np.nan, np.float32)}),
        ("probs", {**GOOD["probs"], "au": np.zeros((3, 2), np.float32)}),
        ("targets", {"emotion": np.array([0, 3])}), ("targets", {"emotion": np.array([-2, 0])}),
        ("targets", {"emotion": np.array([0.0, 1.0])}), ("targets", {"emotion": np.full((2, 3), -1.0)}),
        ("targets", {"au": np.array([0, 1])}), ("targets", {"au": np.full((2, 2), np.nan)}),
        ("masks", {"au": np.ones((2, 2))}), ("masks", {"emotion": np.ones((2, 3), bool)}),
        ("subject", np.array(["a"])), ("in_train", np.array([True])), ("group", {"age": np.array(["1"])}),
    ],
)  # fmt: skip
def test_inconsistent_columns_are_refused(field: str, value: Any) -> None:
    Predictions(**GOOD)
    with pytest.raises(DataError, match="predictions"):
        Predictions(**{**GOOD, field: value})


def test_select_takes_every_column_along() -> None:
    p = made(n=9)
    q = p.select(p.in_train if p.in_train is not None else [])
    assert q.in_train is not None
    assert q.in_train.all()
    last = p.select([8, 0])
    assert last.ids.tolist() == [p.ids[8], p.ids[0]]
    assert (last.masks["au"] == p.masks["au"][[8, 0]]).all()
    assert last.group["skin_tone"].tolist() == ["0", "0"]
    assert len(p.select([])) == 0


def test_truth_that_is_not_there() -> None:
    p = Predictions(**{**GOOD, "targets": {}})
    with pytest.raises(DataError, match="no true labels for 'emotion'"):
        p.hard("emotion")
    with pytest.raises(DataError, match="did you mean 'emotion'"):
        p.truth("emotoin")
