"""The page is one file, asks for nothing, escapes everything, and says what is missing."""

from __future__ import annotations

import base64
import builtins
import hashlib
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from duchenne.errors import MissingExtraError, RunError
from duchenne.reports import write_report
from duchenne.reports.measured import evaluations

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails on unbalanced tags."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def finished(
    run_maker: Any, image_of: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Page, str]:
    run = run_maker(tmp_path_factory.mktemp("finished"))(overrides=("optimizer.lr=0.002",))
    text = write_report(run, image_of=image_of).read_text(encoding="utf-8")
    return run, Page(text), text


def test_page_loads_nothing(finished: tuple[Any, Page, str]) -> None:
    _, page, text = finished
    for tag, attrs in page.tags:
        assert tag not in ("script", "link", "iframe", "object", "form")
        for name in ("src", "href", "action", "srcset", "data", "background", "style"):
            value = attrs.get(name)
            assert value is None or value.startswith(("data:image/png;base64,", "#"))
    assert not re.search(r"https?://|@import|url\(", text)
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    style = text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy is not None
    assert "default-src 'none'" in policy
    assert f"style-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_pictures_stand_in_the_page_and_beside_it(finished: tuple[Any, Page, str]) -> None:
    run, page, _ = finished
    inside = [base64.b64decode((i["src"] or "").partition(",")[2]) for i in page.all("img")]
    beside = {p.stem: p.read_bytes() for p in (run.path / "report").glob("*.png")}
    assert sorted(inside) == sorted(beside.values())
    assert {
        "curves",
        "confusion-test-emotion",
        "reliability-test-emotion",
        "f1-test-emotion",
        "labels-test-au",
    } <= set(beside)
    assert {"mistakes-test-emotion", "classes-emotion", "classes-au"} <= set(beside)


def test_pictures_say_their_figures_in_words(finished: tuple[Any, Page, str]) -> None:
    run, page, _ = finished
    alts = [i["alt"] or "" for i in page.all("img")]
    assert all(len(a) > 30 for a in alts)
    matrix = run.metrics()["test"]["outputs"]["emotion"]["confusion"]
    confusion = next(a for a in alts if a.startswith("Confusion"))
    assert f"happy: {matrix[3][3]} of {sum(matrix[3])} right" in confusion
    assert "angry: no faces" in confusion
    assert "best epoch 28" in next(a for a in alts if a.startswith("Training curves"))


def test_headings_and_tables_are_in_order(finished: tuple[Any, Page, str]) -> None:
    _, page, _ = finished
    levels = [int(t[1]) for t, _ in page.tags if re.fullmatch(r"h[1-6]", t)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert all(th.get("scope") in ("row", "col") for th in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    anchors = [s["id"] for s in page.all("section")]
    assert len(set(anchors)) == len(anchors)
    assert {(a["href"] or "")[1:] for a in page.all("a")} <= set(anchors)
    assert page.all("html") == [{"lang": "en"}]


def test_figures_on_the_page_are_those_of_the_metrics(finished: tuple[Any, Page, str]) -> None:
    run, page, _ = finished
    test = run.metrics()["test"]["outputs"]
    low, high = test["emotion"]["intervals"]["accuracy"]
    assert f"{100 * test['emotion']['accuracy']:.2f} % [{100 * low:.1f}, {100 * high:.1f}]" in page.text
    assert f"{100 * test['au']['always_no_binary_accuracy']:.2f} %" in page.text
    for row in test["emotion"]["one_vs_rest"][1:]:
        assert f"{row['label']} {100 * row['accuracy']:.2f} %" in page.text
    clean = test["emotion"]["without_in_train"]
    assert f"With and without the {test['emotion']['n'] - clean['n']} faces" in page.text
    assert f"without those {clean['n']} {100 * clean['accuracy']:.2f} %" in page.text
    gap = 100 * (test["emotion"]["accuracy"] - 0.67)
    assert f"test accuracy 67 % {100 * test['emotion']['accuracy']:.2f} % {gap:+.2f} points" in page.text
    assert "angry n/a n/a n/a 0" in page.text
    assert "n/a: not defined" in page.text
    assert "AU27 (absent)" in page.text
    assert "Absent from this part, and not in the averages: AU27." in page.text


def test_page_tells_recipe_overrides_environment_data_notes_and_test_reads(
    finished: tuple[Any, Page, str],
) -> None:
    _, page, text = finished
    assert "complete: 50 of 50 epochs" in page.text
    assert "Overridden: optimizer.lr=0.002." in page.text
    assert 'name = "synthetic" outputs = ["emotion", "au"]' in page.text
    assert "torch 2.5.0" in page.text
    assert "0123456789abcdef" in page.text
    assert "The padding is unstated." in page.text
    assert re.search(r"Readings of the test part.*\d{4}-\d\d-\d\dT\S+ evaluate 28", page.text)
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text


def test_without_images_no_face_is_left_even_of_an_earlier_report(make_run: Any, image_of: Any) -> None:
    run = make_run(evaluated=("test",), au=False)
    write_report(run, image_of=image_of)
    assert (run.path / "report" / "mistakes-test-emotion.png").is_file()
    page = Page(write_report(run, image_of=image_of, images=False).read_text(encoding="utf-8"))
    assert not list((run.path / "report").glob("mistakes*"))
    assert not [i for i in page.all("img") if "mistakes" in (i["alt"] or "").lower()]
    assert "left out of this report on request (--no-images)" in page.text
    assert "Most confident mistakes as a table" in page.text


def test_without_a_data_set_the_page_says_so(make_run: Any) -> None:
    page = Page(write_report(make_run(evaluated=("test",), au=False)).read_text(encoding="utf-8"))
    assert "the data set was not at hand" in page.text


def test_mistakes_are_the_most_confident_wrong_ones(make_run: Any, make_predictions: Any) -> None:
    from duchenne.reports.mistakes import most_confident_mistakes

    p = make_predictions(seed=3, skill=1.0)
    asked: list[str] = []

    def image_of(name: str) -> np.ndarray:
        asked.append(name)
        return np.zeros((2, 2), np.uint8)

    found = most_confident_mistakes(p, "emotion", image_of)
    slow = sorted(
        (-float(row.max()), i)
        for i, row in enumerate(p.probs["emotion"])
        if int(row.argmax()) != int(p.targets["emotion"][i])
    )[:24]
    assert [m.id for m in found] == asked == [p.ids[i] for _, i in slow]
    assert [m.score for m in found] == pytest.approx([-s for s, _ in slow])


def test_unfinished_run(make_run: Any) -> None:
    run = make_run(epochs=12, status="stopped", evaluated=("val",))
    page = Page(write_report(run).read_text(encoding="utf-8"))
    assert "partial: 12 of 50 epochs (stopped)" in page.text
    assert "The test part has not been evaluated" in page.text
    assert "test accuracy 67 % not measured" in page.text
    assert "The claims are of a whole training; this one has 12 of 50 epochs." in page.text
    assert "The test part has not been read." in page.text


def test_run_without_a_single_epoch(make_run: Any) -> None:
    run = make_run(epochs=0, status="running", evaluated=())
    (run.path / "data.json").unlink()
    (run.path / "environment.json").unlink()
    page = Page(write_report(run).read_text(encoding="utf-8"))
    assert "partial: 0 of 50 epochs" in page.text
    assert "No epoch has been finished yet." in page.text
    assert "Nothing has been evaluated yet." in page.text


def test_stopped_by_its_own_rule_is_complete(make_run: Any) -> None:
    run = make_run(epochs=20, evaluated=())
    assert (
        "complete: stopped by its own rule after 20 of 50 epochs" in Page(write_report(run).read_text()).text
    )


def test_hostile_names_are_escaped(make_run: Any, make_table: Any) -> None:
    bad = '<script>alert("x")</script>'
    labels = ("angry", bad, "fe&ar", "'\"><img src=x>", "$a_{$", "b|c", "neutral")
    table = make_table(title=f"{bad} title", source=f"{bad}, x")
    run = make_run(table=table, labels=labels, au=False, evaluated=("test",))
    state = run.state
    state.reason = bad
    run.save_state(state)
    text = write_report(run).read_text(encoding="utf-8")
    page = Page(text)
    assert not page.all("script")
    assert all((i["src"] or "").startswith("data:image/png") for i in page.all("img"))
    assert bad in page.text
    assert "<script" not in text


def test_other_data_sets_have_sections_notes_and_unmatched_labels(make_run: Any) -> None:
    run = make_run(evaluated=("val", "test"), au=False)
    raw = json.loads((run.path / "metrics" / "test.json").read_text())
    matching = {"emotion": {"only_in_data": ["contempt"], "only_in_model": []}, "left_out": 1200}
    raw |= {"views": "flip", "notes": ["Votes."], "matching": matching, "part": ["PrivateTest"], "epoch": 28}
    run.save_metrics("fer2013-test", raw)
    assert [e.name for e in evaluations(run)] == ["test", "val", "fer2013-test"]
    page = Page(write_report(run).read_text(encoding="utf-8"))
    assert (
        "300 faces (PrivateTest); mean of each face and its mirror image; weights of epoch 28." in page.text
    )
    assert "Labels of emotion that only the data know: contempt." in page.text
    assert "1,200 faces were left out" in page.text
    assert "Votes." in page.text
    assert "Evaluate again" not in page.text


def test_figures_of_an_older_epoch_or_changed_data_are_doubted(make_run: Any) -> None:
    run = make_run(evaluated=("val",), au=False)
    raw = json.loads((run.path / "metrics" / "val.json").read_text())
    run.save_metrics("val", raw | {"epoch": 5, "data_changed": True})
    page = Page(write_report(run).read_text(encoding="utf-8"))
    assert "Validation: of epoch 5; since then epoch 28 became the best." in page.text
    assert "the data are no longer those" in page.text


def test_outputs_without_truth_are_named(make_run: Any) -> None:
    run = make_run(evaluated=("val",))
    raw = json.loads((run.path / "metrics" / "val.json").read_text())
    raw["outputs"]["au"] = {"kind": "multi", "labels": ["AU1"], "n": 0}
    run.save_metrics("val", raw)
    assert "carry no true labels of this output" in Page(write_report(run).read_text(encoding="utf-8")).text


@pytest.mark.parametrize("damage", [{"schema": 9}, {"outputs": {"emotion": {}}}, {"outputs": 3}])
def test_damaged_metrics_are_named(make_run: Any, damage: dict[str, Any]) -> None:
    run = make_run(evaluated=("val",))
    raw = json.loads((run.path / "metrics" / "val.json").read_text())
    run.save_metrics("val", raw | damage)
    with pytest.raises(RunError, match=r"val\.json"):
        write_report(run)


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_missing_extra_is_named(make_run: Any, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    run = make_run(epochs=0, status="running", evaluated=())
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.split(".")[0] == package:
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"duchenne\[train\]") as caught:
        write_report(run)
    assert caught.value.package == package


def test_a_head_trained_alone_is_told(make_run: Any, make_table: Any) -> None:
    run = make_run(epochs=2, evaluated=(), table=make_table(start={"run": "other", "train": "head"}))
    text = write_report(run).read_text(encoding="utf-8")
    assert "1,234,567 parameters (the output layer alone is trained)" in text
    text = write_report(make_run("whole", epochs=2, evaluated=())).read_text(encoding="utf-8")
    assert "1,234,567 parameters." in text
