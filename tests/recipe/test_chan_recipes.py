"""The recipes of chan2023: settings, and what is claimed, against the report."""

from __future__ import annotations

import pytest

from duchenne.errors import RecipeError
from duchenne.recipe import load_recipe

NAMES = ("chan-base", "chan-large", "chan-transfer")


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_the_reports(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.data.outputs == ("emotion", "au")
    assert (recipe.optimizer.name, recipe.optimizer.lr, recipe.train.batch_size) == ("adam", 1e-3, 16)
    assert recipe.stop.targets == {"val_emotion_accuracy": 0.80, "val_au_binary_accuracy": 0.70}
    assert recipe.stop.past_patience
    assert recipe.balance.oversample == (500 if name == "chan-large" else "largest")
    assert recipe.learner.args["head"] == "dense"
    assert (recipe.augment.scale > 0, recipe.augment.brightness > 0) == (True, True)
    assert (recipe.augment.contrast > 0 and recipe.augment.rotate > 0) is (name == "chan-large")
    assert (recipe.loss.l1 > 0) is (name == "chan-large")
    is_frozen = bool(recipe.learner.args.get("frozen"))
    assert is_frozen == recipe.learner.args["pretrained"] == (recipe.train.feature_copies > 0)
    assert is_frozen is (name == "chan-transfer")


@pytest.mark.parametrize("name", NAMES)
def test_people_are_on_one_side_and_the_figures_are_not_held_against_the_claims(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.data.options["by"] == "subject"
    assert "233" in recipe.expect.not_comparable
    assert any("48x48" in note and "327" in note for note in recipe.expect.notes)
    assert any("sigmoid" in note for note in recipe.expect.notes)
    assert any("data crop" in note and "--square 480 --centre 300" in note for note in recipe.expect.notes)


def test_claims() -> None:
    base, large, transfer = (load_recipe(name).expect.test for name in NAMES)
    assert base == {"accuracy": pytest.approx(69 / 84, abs=5e-5), "weighted_f1": 0.8099}
    assert large == {"weighted_f1": 0.8915}
    assert transfer == {}  # the report prints none
    epochs = {name: load_recipe(name).expect.epochs_to_targets for name in NAMES}
    # Sections 4 and 5: "the base model's 11 epochs", "generally taking 5 to 8", "within three epochs".
    assert epochs == {"chan-base": (11, 11), "chan-large": (5, 8), "chan-transfer": (1, 3)}


def test_claimed_epochs_count_up() -> None:
    with pytest.raises(RecipeError, match="the first epoch claimed comes after the last"):
        load_recipe("chan-base", ["expect.epochs_to_targets=[8,5]"])


def test_base_and_transfer_differ_in_the_body_and_the_side_alone() -> None:
    """The report: the transfer model uses the training set of the base model."""
    base, transfer = (load_recipe(name) for name in ("chan-base", "chan-transfer"))
    same = {"id", "title", "source", "cost", "expect", "learner", "train"}
    assert (base.preprocess.size, transfer.preprocess.size) == ((96, 96), (300, 300))
    assert base.model_dump(exclude=same | {"preprocess"}) == transfer.model_dump(
        exclude=same | {"preprocess"}
    )
    alike = transfer.preprocess.model_copy(update={"size": base.preprocess.size})
    assert base.preprocess == alike


@pytest.mark.parametrize("name", NAMES)
def test_frames_at_random_differ_in_the_split_alone(name: str) -> None:
    subjects, frames = load_recipe(name), load_recipe(f"{name}-frames")
    said = {"id", "title", "expect", "data"}
    assert subjects.model_dump(exclude=said) == frames.model_dump(exclude=said)
    assert frames.data.options == {**subjects.data.options, "by": "frame"}
    assert frames.expect.test == subjects.expect.test
    assert frames.expect.epochs_to_targets == subjects.expect.epochs_to_targets
    assert not any("nobody stands on both sides" in note for note in frames.expect.notes)
    assert any("both sides, which flatters" in note for note in frames.expect.notes)


def test_the_softmax_variant_differs_in_its_head_and_says_so() -> None:
    sigmoid, softmax = load_recipe("chan-transfer"), load_recipe("chan-transfer-softmax")
    said = {"id", "title", "expect", "learner"}
    assert sigmoid.model_dump(exclude=said) == softmax.model_dump(exclude=said)
    assert softmax.learner.args == {**sigmoid.learner.args, "head": "softmax_aus"}
    assert any("at most one unit" in note for note in softmax.expect.notes)


def test_our_own_row_has_no_targets_and_watches_macro_f1() -> None:
    recipe = load_recipe("ckplus-au")
    assert recipe.source == "this project"
    assert recipe.stop.targets == {}
    assert recipe.stop.monitor == "val_emotion_macro_f1 + val_au_macro_f1"
    assert recipe.data.options["by"] == "subject"
    assert not recipe.expect.test
