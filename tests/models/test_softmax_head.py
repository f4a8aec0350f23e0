"""The head whose action units share one softmax: its sigmoids are softmax's probabilities."""

from __future__ import annotations

import pytest
import torch

from duchenne.errors import RecipeError
from duchenne.models.heads import DenseHeads, SoftmaxUnitHeads, make_heads

OUT = {"emotion": 3, "au": 15}


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_sigmoids_of_its_logits_are_softmax_of_the_dense_heads(scale: float) -> None:
    torch.manual_seed(0)
    head = make_heads("softmax_aus", 8, OUT)
    assert isinstance(head, SoftmaxUnitHeads)
    x = scale * torch.randn(64, 8)
    z, got = head.heads(x), head(x)
    assert isinstance(head.heads, DenseHeads)
    want = torch.softmax(z["au"].double(), dim=1)
    assert torch.allclose(torch.sigmoid(got["au"].double()), want, rtol=1e-4, atol=1e-6)
    assert torch.allclose(torch.sigmoid(got["au"]).sum(dim=1), torch.ones(64), atol=1e-5)
    assert torch.equal(got["emotion"], z["emotion"])
    assert (torch.sigmoid(got["au"]) > 0.5).sum(dim=1).max() <= 1


def test_very_sure_answers_stay_finite_and_teach() -> None:
    head = SoftmaxUnitHeads(2, {"au": 3})
    x = torch.full((4, 2), 1e4)
    logits = head(x)["au"]
    assert torch.isfinite(logits).all()
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.eye(4, 3))
    loss.backward()
    gradients = [p.grad for p in head.parameters() if p.grad is not None]
    assert gradients
    assert all(torch.isfinite(g).all() for g in gradients)


def test_it_has_the_dense_heads_parameters_and_no_more() -> None:
    own = {
        k.removeprefix(
            "heads.",
        ): v.shape
        for k, v in SoftmaxUnitHeads(8, OUT).state_dict().items()
    }
    assert own == {k: v.shape for k, v in DenseHeads(8, OUT).state_dict().items()}


def test_without_action_units_it_says_so() -> None:
    with pytest.raises(RecipeError, match="no output 'au' of several labels"):
        make_heads("softmax_aus", 8, {"emotion": 7})
