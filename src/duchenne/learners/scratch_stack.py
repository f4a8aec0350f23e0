"""Many scratch learners fitted at once, as one stack of matrices (`duchenne.scratch.Stack`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..datasets.faceset import FaceSet
from ..scratch import Member, Stack
from .contract import Row
from .scratch_learner import FaceExamples, ScratchLearner
from .threads import one_blas_thread


def fit_stacked(
    learners: Sequence[ScratchLearner],
    train: FaceSet,
    val: FaceSet,
    on_epoch: Callable[[int, list[list[Row]], list[Row]], None],
) -> dict[int, str]:
    """Fit learners that differ in learning rate, momentum, L2 and dropout alone; each as it would be alone.

    Args:
        learners: At least one; the first one's other settings are taken for all.
        train: The training part.
        val: The validation part.
        on_epoch: Called after each epoch with its number and every net's history and best epoch so far.

    Returns:
        Net -> why it is out: its loss or a weight became nan or infinite.

    Raises:
        DataError, RecipeError: As `ScratchLearner.fit`.
    """
    first = learners[0]
    first.outputs_ = train.outputs
    examples = first._examples(train)
    held_out = FaceExamples(first._held_out(val), first._preprocess)
    net, solver = first._solver(len(examples))
    options = {k: v for k, v in (first.args or {}).items() if k not in ("hidden", "dropout")}
    members = []
    for learner in learners:
        assert learner.optimizer is not None
        dropout = float((learner.args or {}).get("dropout", 0.0))
        l2 = learner.loss.l2 if learner.loss is not None else 0.0
        opt = learner.optimizer
        members.append(Member(opt.lr, opt.momentum, l2, dropout, solver.seed))
    stack = Stack(
        net.linears[0].weight.shape[0], [layer.weight.shape[1] for layer in net.linears[:-1]], net.heads,
        members,
        batch_size=solver.batch_size, epochs=0, seed=solver.seed, lr_factor=solver.lr_factor,
        head_weights=solver.head_weights, label_smoothing=solver.smoothing, monitor=solver.monitor,
        min_delta=solver.min_delta, **options,
    )  # fmt: skip
    for epoch in range(1, solver.epochs + 1):
        stack.epochs = epoch
        with one_blas_thread():
            stack.fit(examples, held_out)
        on_epoch(epoch, stack.history, stack.best)
        if len(stack.failures) == len(members):
            break
    return dict(stack.failures)
