"""The section on what training left out: figures, counts by class, faces only where wanted."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from duchenne.denoise import VARIANCE, Denoiser
from duchenne.errors import RunError
from duchenne.experiment.run import Run
from duchenne.recipe import Denoise
from duchenne.reports import write_report
from duchenne.reports.blocks import Picture, Table, Text
from duchenne.reports.denoise_figures import loss_histograms, variance_curve
from duchenne.reports.denoise_section import denoise_section

N, LABELS = 300, ("angry", "disgust", "$fear$")


def denoised(run: Run, start: int = 2, rounds: int = 2, k: float = 1.0) -> list[dict[str, Any]]:
    """Give a run the records and history of a denoised training."""
    rng = np.random.default_rng(0)
    section = Denoise(name="bdr", start=start, rounds=rounds, k=k, limit=0.0, max_share=0.9)
    denoiser = Denoiser(section, np.array([f"<face>{i}" for i in range(N)]), np.arange(N) % 3, LABELS)
    rows: list[dict[str, Any]] = []
    for epoch in range(1, max(6, rounds + 4)):
        losses = np.where(denoiser.rows, rng.exponential(1.0, N), np.nan)
        rows.append({"epoch": epoch, "lr": 0.1, "train_loss": 1.0, "seconds": 1.0})
        rows[-1] |= denoiser.after_epoch(epoch, losses, rows[:-1])
    run.save_history(rows)
    run.save_info("denoise", {"schema": 1, "rounds": denoiser.records})
    counts = dict.fromkeys(LABELS, N // 3)
    output = {"kind": "single", "labels": list(LABELS), "all": counts, "train": counts}
    run.save_info("data", {"name": "try", "splits": {"train": N}, "outputs": {"emotion": output}})
    return denoiser.records


def image_of(name: str) -> np.ndarray:
    return np.full((12, 12), len(name), np.uint8)


def test_no_section_for_other_runs(make_run: Callable[..., Run]) -> None:
    assert denoise_section(make_run()) == []


def test_figures_tables_and_faces(make_run: Callable[..., Run]) -> None:
    run = make_run()
    rounds = denoised(run)
    (section,) = denoise_section(run, image_of)
    pictures = {p.name: p for p in section.pictures()}
    assert set(pictures) == {"loss-variance", "losses-1", "losses-2", "left-out"}
    for epoch, row in enumerate(run.history(), start=1):
        assert f"epoch {epoch}: {row[VARIANCE]:.3f}" in pictures["loss-variance"].alt
    total = sum(len(r["removed"]) for r in rounds)
    words = " ".join(b.text for b in section.blocks if isinstance(b, Text))
    assert f"{total} of {N} training faces were left out in 2 round(s)" in words
    assert f"limit {rounds[0]['threshold']:.3f}: {len(rounds[0]['removed'])} left out" in words
    by_class, faces = (b for b in section.blocks if isinstance(b, Table))
    assert sum(int(row[1]) for row in by_class.rows) == total
    assert len(faces.rows) == total
    losses = [float(row[2]) for row in faces.rows]
    assert losses == sorted(losses, reverse=True)
    page = write_report(run, image_of=image_of).read_text("utf-8")
    assert "Samples left out of training" in page
    assert "&lt;face&gt;" in page
    assert "<face>" not in page


def test_faces_only_where_wanted_and_at_hand(make_run: Callable[..., Run]) -> None:
    run = make_run()
    denoised(run)
    for lookup, wanted, said in ((image_of, False, "on request"), (None, True, "not at hand")):
        (section,) = denoise_section(run, lookup, wanted)
        assert "left-out" not in {p.name for p in section.pictures()}
        assert any(said in b.text for b in section.blocks if isinstance(b, Text))

    def nobody(name: str) -> np.ndarray:
        raise KeyError(name)

    with pytest.raises(RunError, match="no image for '<face>"):
        denoise_section(run, nobody)


def test_before_its_time_came(make_run: Callable[..., Run]) -> None:
    run = make_run()
    assert denoised(run, start=50) == []
    (section,) = denoise_section(run)
    assert any("did not come" in b.text for b in section.blocks if isinstance(b, Text))
    assert [b.name for b in section.blocks if isinstance(b, Picture)] == ["loss-variance"]


def test_of_many_rounds_six_are_drawn_and_all_are_told(make_run: Callable[..., Run]) -> None:
    run = make_run()
    rounds = denoised(run, rounds=25, k=2.0)
    numbers = [r["round"] for r in rounds if r["removed"]]
    assert len(numbers) > 10
    (section,) = denoise_section(run, image_of)
    drawn = [int(p.name.split("-")[1]) for p in section.pictures() if p.name.startswith("losses-")]
    assert len(drawn) == 6
    assert (drawn[0], drawn[-1]) == (numbers[0], numbers[-1])
    assert set(drawn) <= set(numbers)
    texts = [b.text for b in section.blocks if isinstance(b, Text)]
    assert any("shown of 6 rounds: the first, the last and 4 between" in text for text in texts)
    assert sum(text.startswith("Round ") for text in texts) == len(rounds)
    curve = variance_curve(run.history(), rounds, set(drawn)).axes[0]
    assert len(curve.texts) == 6
    assert len(curve.lines) == 1 + len(rounds)


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("denoise 'bdr' in epoch 3 would remove the last face of class 'fear'",
         "A round was refused, and training ended there: denoise 'bdr' in epoch 3 would remove the last"),
        ("the loss became nan", "Training failed: the loss became nan"),
        ("", "Training failed: why is not known"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("start", [2, 50])
def test_a_refused_round_says_why(make_run: Callable[..., Run], start: int, reason: str, said: str) -> None:
    run = make_run()
    rounds = denoised(run, start=start)
    state = run.state
    state.status, state.reason = "failed", reason
    run.save_state(state)
    (section,) = denoise_section(run)
    texts = [b.text for b in section.blocks if isinstance(b, Text)]
    assert any(text.startswith(said) for text in texts)
    assert not any("did not come" in text for text in texts)
    assert any("training faces were left out" in text for text in texts) is bool(rounds)


def test_histograms_hold_all_losses(make_run: Callable[..., Run]) -> None:
    first = denoised(make_run())[0]
    before, after = loss_histograms(first).axes
    heights = [axes.patches[0].get_data().values.sum() for axes in (before, after)]
    assert heights == [first["n"], first["n"] - len(first["removed"])]


@pytest.mark.parametrize("damage", [{"rounds": [{}]}, {}, {"rounds": 3}])
def test_damage_is_named(make_run: Callable[..., Run], damage: dict[str, Any]) -> None:
    run = make_run()
    (run.path / "denoise.json").write_text(json.dumps({"schema": 1} | damage))
    with pytest.raises(RunError, match=r"denoise\.json is damaged"):
        denoise_section(run)
