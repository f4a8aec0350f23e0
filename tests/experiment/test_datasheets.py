"""What model cards say of data: every set has a sheet, and those of agreements say what they must."""

from __future__ import annotations

import pytest

from duchenne.datasets import DATASETS
from duchenne.experiment.datasheets import DATASHEETS, datasheet
from duchenne.experiment.finish import TERMS


def test_every_set_of_a_publisher_has_a_sheet_and_terms() -> None:
    assert set(DATASHEETS) == set(TERMS) == set(DATASETS) - {"folder"}
    assert datasheet("folder") == datasheet("a name of tomorrow")
    assert "not known to this program" in datasheet("folder").terms


@pytest.mark.parametrize("name", [*sorted(DATASETS)])
def test_no_sheet_leaves_a_field_open(name: str) -> None:
    sheet = datasheet(name)
    for field in ("title", "source", "license", "terms", "people", "groups", "limits"):
        assert len(getattr(sheet, field)) > 4, field
    assert bool(sheet.license_name) == (sheet.license == "other")  # as Hugging Face asks for it


def test_ckplus_says_what_chan2023_asks_for() -> None:
    """Consent, privacy, and where a bias may lie: gender, skin colour, collection (chan2023, section 6)."""
    sheet = datasheet("ckplus")
    for word in ("Consent", "Privacy", "chan2023, section 6"):
        assert word in sheet.people
    for word in ("Bias", "gender", "skin colour", "place of collection", "chan2023, section 6"):
        assert word in sheet.limits
    assert "not to be published" in sheet.terms


def test_fer2013_names_both_terms() -> None:
    sheet = datasheet("fer2013")
    assert "research use" in sheet.terms
    assert "MIT" in sheet.terms
    assert "carries no group attributes" in sheet.groups
