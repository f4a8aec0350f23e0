"""The three FER+ modes against a slow twin written, row by row, from their description."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from duchenne.datasets.ferplus import ferplus_targets, read_ferplus_csv
from duchenne.errors import DataError


def slow_twin(row: list[int], mode: str) -> list[float] | None:
    """One face: shares of the eight emotions, or None where it is dropped."""
    votes = [v if v >= 2 else 0 for v in row]
    total = sum(votes)
    chosen: dict[int, int] = {}
    if mode == "majority":
        best = max(votes)
        if best <= total / 2:
            return None
        chosen = {votes.index(best): best}
    elif mode == "multi-target":
        chosen = {i: v for i, v in enumerate(votes) if v > 0 and v >= 0.3 * total}
        if sum(chosen.values()) <= total / 2:
            return None
    else:
        left = dict(enumerate(votes))
        met = 0
        labels = 0
        stopped = False
        while met < 0.75 * total and labels < 3 and not stopped:
            best = max(left.values())
            for i in [i for i, v in left.items() if v == best]:
                left[i] = 0
                met += best
                if i >= 8:
                    stopped = True
                    if not chosen:
                        chosen[i] = best
                        labels += 1
                    break
                chosen[i] = best
                labels += 1
        if sum(chosen.values()) <= total / 2 or labels > 3:
            return None
    top = max(chosen.values())
    if min(i for i, v in chosen.items() if v == top) >= 8:
        return None
    emotions = [chosen.get(i, 0) for i in range(8)]
    return [v / sum(emotions) for v in emotions]


def check(votes: np.ndarray, mode: str) -> None:
    targets, keep = ferplus_targets(votes, mode)  # type: ignore[arg-type]
    for row, target, kept in zip(votes.tolist(), targets, keep, strict=True):
        expected = slow_twin(row, mode)
        assert (expected is not None) == kept, row
        if expected is None:
            assert (target == (-1 if mode == "majority" else 0)).all(), row
        elif mode == "majority":
            assert target == int(np.argmax(expected)), row
        elif mode == "probability":
            np.testing.assert_allclose(target, expected, rtol=1e-6)
        else:
            np.testing.assert_array_equal(target, np.array(expected) > 0)


MODES = ("majority", "probability", "multi-target")


@pytest.mark.parametrize("mode", MODES)
@given(votes=hnp.arrays(np.uint8, st.tuples(st.integers(1, 8), st.just(10)), elements=st.integers(0, 10)))
def test_equals_the_slow_twin(mode: str, votes: np.ndarray) -> None:
    check(votes, mode)


@pytest.mark.parametrize("mode", MODES)
def test_equals_the_slow_twin_on_ten_votes(mode: str) -> None:
    """Ten votes a face, as published, concentrated so that ties, NF and unknown all come up."""
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.full(10, 0.3), 3000)
    check(np.stack([rng.multinomial(10, p) for p in shares]).astype(np.uint8), mode)


@pytest.mark.parametrize(
    ("row", "majority", "probability", "multi"),
    [
        # of 9 votes: no majority; 4 + 3 pass 75% (6.75); 30% is 2.7
        ([4, 0, 0, 1, 3, 2, 0, 0, 0, 0], None, {0: 4 / 7, 4: 3 / 7}, {0, 4}),
        ([0, 10, 0, 0, 0, 0, 0, 0, 0, 0], 1, {1: 1.0}, {1}),
        # the single votes are outliers: 6 of 8 is a majority, 6 is 75% already
        ([6, 0, 1, 1, 0, 0, 0, 0, 2, 0], 0, {0: 1.0}, {0}),
        # not a face
        ([0, 0, 0, 0, 0, 0, 0, 0, 0, 10], None, None, None),
        ([2, 0, 0, 0, 0, 0, 0, 0, 8, 0], None, None, None),
        # five labels with two votes each: more than three
        ([2, 2, 2, 2, 2, 0, 0, 0, 0, 0], None, None, None),
        # every vote is single
        ([1, 1, 1, 1, 1, 1, 1, 1, 1, 1], None, None, None),
    ],
)
def test_by_hand(
    row: list[int], majority: int | None, probability: dict[int, float] | None, multi: set[int] | None
) -> None:
    votes = np.array([row], dtype=np.uint8)
    target, _ = ferplus_targets(votes, "majority")
    assert target[0] == (-1 if majority is None else majority)
    shares, keep = ferplus_targets(votes, "probability")
    assert keep[0] == (probability is not None)
    assert {i: pytest.approx(v) for i, v in enumerate(shares[0]) if v} == (probability or {})
    labels, keep = ferplus_targets(votes, "multi-target")
    assert keep[0] == (multi is not None)
    assert set(np.flatnonzero(labels[0])) == (multi or set())


def test_unknown_mode() -> None:
    with pytest.raises(DataError, match="did you mean 'majority'"):
        ferplus_targets(np.zeros((1, 10), dtype=np.uint8), "majorit")  # type: ignore[arg-type]


HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "header is not the published one"),
        (["Usage,Image name,neutral"], "header is not the published one"),
        ([HEADER, "Training,a.png,1,2,3"], r"row 1 \(line 2\): 5 fields"),
        ([HEADER, "Trainin,a.png" + ",1" * 10], "did you mean 'Training'"),
        (
            [HEADER, "Training,a.png" + ",1" * 10, "Training,,1,1,1,1,x,1,1,1,1,1"],
            r"row 2 .*field 'anger': 'x'",
        ),
        ([HEADER, "Training,a.png" + ",1" * 9 + ",256"], "field 'nf': '256'"),
    ],
)
def test_wrong_files(tmp_path: Path, lines: list[str], said: str) -> None:
    path = tmp_path / "fer2013new.csv"
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=said):
        read_ferplus_csv(path)


@pytest.mark.real_data
@pytest.mark.parametrize("mode", MODES)
def test_real_votes_equal_the_slow_twin(data_dir: Path, mode: str) -> None:
    check(read_ferplus_csv(data_dir / "fer2013" / "fer2013new.csv")["votes"][::3], mode)
