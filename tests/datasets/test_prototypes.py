from __future__ import annotations

import numpy as np
import pytest

from duchenne.datasets.prototypes import PROTOTYPES, SYNTHETIC_AUS, variant_masks
from duchenne.errors import RecipeError
from duchenne.labels import ACTION_UNITS, FER2013_EMOTIONS


def test_every_emotion_of_fer2013_has_a_prototype_of_known_action_units() -> None:
    assert set(PROTOTYPES) == set(FER2013_EMOTIONS)
    assert set(SYNTHETIC_AUS) <= set(ACTION_UNITS)
    numbers = [int(au[2:]) for au in SYNTHETIC_AUS]
    assert numbers == sorted(set(numbers))
    for emotion, p in PROTOTYPES.items():
        for variant in p.variants:
            assert set(p.required + variant) <= set(SYNTHETIC_AUS), emotion
            assert not set(p.required) & set(variant), emotion


# Lucey et al. 2010, Table 3 (CK+): an independent statement of what each emotion must contain.
CK_PLUS = {
    "angry": [{"AU23"}, {"AU24"}],
    "disgust": [{"AU9"}],
    "fear": [{"AU1", "AU2", "AU4"}],
    "happy": [{"AU12"}],
    "sad": [{"AU1", "AU4", "AU15"}],
    "surprise": [{"AU1", "AU2"}],
}


@pytest.mark.parametrize("emotion", CK_PLUS)
def test_prototypes_meet_the_criteria_of_ck_plus(emotion: str) -> None:
    for mask in variant_masks(emotion):
        moved = {au for au, m in zip(SYNTHETIC_AUS, mask, strict=True) if m}
        assert any(needed <= moved for needed in CK_PLUS[emotion])


def test_no_two_emotions_share_a_complete_prototype() -> None:
    rows = [tuple(m) for emotion in PROTOTYPES for m in variant_masks(emotion).tolist()]
    assert len(set(rows)) == len(rows)


def test_a_dropped_jaw_comes_with_parted_lips() -> None:
    at = {au: i for i, au in enumerate(SYNTHETIC_AUS)}
    masks = np.concatenate([variant_masks(e) for e in PROTOTYPES])
    dropped = masks[:, at["AU26"]] | masks[:, at["AU27"]]
    assert dropped.any()
    assert masks[dropped][:, at["AU25"]].all()


def test_neutral_moves_nothing_and_an_unknown_emotion_is_named() -> None:
    assert not variant_masks("neutral").any()
    with pytest.raises(RecipeError, match=r"emotion.*'happpy'(.|\n)*did you mean 'happy'"):
        variant_masks("happpy")
