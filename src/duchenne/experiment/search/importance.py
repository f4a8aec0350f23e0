"""How much each field of a space moved the value, by Optuna's importance."""

from __future__ import annotations

import warnings

from ...errors import MissingExtraError
from .result import Search
from .space import encode, fields_of
from .storage import optuna, quiet

# A forest fitted on fewer trials than these says little; nor on fewer than three a field.
_FEWEST = 10
_PER_FIELD = 3


def importances(search: Search) -> tuple[dict[str, float], str]:
    """Share of the value's variance that each field explains, and a sentence on what it rests on.

    Only trials trained to their end count; of a coarse-to-fine search the coarse ones, which saw the whole
    space.

    Returns:
        Field -> share (they sum to 1), the largest first; empty where it cannot be told, and the sentence
        says why.

    Source: Hutter, Hoos, Leyton-Brown 2014, "An Efficient Approach for Assessing Hyperparameter Importance"
        (functional ANOVA), as in Optuna.
    """
    recipe = search.recipe
    fields = {f.name: f for f in fields_of(recipe)}
    assert recipe.tune is not None
    if len(fields) < 2:
        return {}, "Importance is about several fields; this search has one."
    if recipe.tune.method == "one_at_a_time":
        return {}, "A search of one field at a time does not vary the others, so importance cannot be told."
    done = [t for t in search.trials if t.state == "complete" and t.value is not None]
    done = [t for t in done if t.stage == "coarse"] or done
    done = [t for t in done if set(t.params) == set(fields)]
    fewest = max(_FEWEST, _PER_FIELD * len(fields))
    if len(done) < fewest:
        return (
            {},
            f"Too few trials for importance: {len(done)} were trained to their end, {fewest} are needed.",
        )
    if len({t.value for t in done}) == 1:
        return {}, "All trials have the same value, so no field matters."
    lib = optuna()
    distributions = {name: f.distribution() for name, f in fields.items()}
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a field of one value divides 0 by 0
        study = lib.create_study(direction=search.state.direction)
        study.add_trials(
            [
                lib.create_trial(
                    params={k: encode(v) for k, v in t.params.items()},
                    distributions=distributions,
                    value=t.value,
                )
                for t in done
            ]
        )
        try:
            evaluator = lib.importance.FanovaImportanceEvaluator(seed=0)
            found = lib.importance.get_param_importances(study, evaluator=evaluator)
        except ImportError as error:
            raise MissingExtraError((error.name or "scikit-learn").partition(".")[0], "train") from None
    words = f"Share of the value's variance over {len(done)} trials (functional ANOVA)."
    return {str(k): float(v) for k, v in found.items()}, words
