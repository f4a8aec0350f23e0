"""A recipe over several seeds of its split, as a table in its result file.

    python benchmarks/splits.py --data DIR [--runs runs] [--seeds 5] ID...

SFEW's test part is a half of 216 faces: which half it is moves a figure by points. Each ID is trained with
data.options.seed and train.seed 0, 1, ... (the recipe's own is 0); finished runs are kept. The first one is
the row of results/ID.json, as `duchenne reproduce ID` writes it; all of them stand in its table.
"""

from __future__ import annotations

import argparse
import os
import statistics
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

from duchenne.experiment import Run
from duchenne.experiment.evaluate import evaluate
from duchenne.experiment.train import train
from duchenne.recipe import load_recipe
from duchenne.reports import result_from_runs
from duchenne.reports.resultfile import ResultTable, SeedResult, write_result
from duchenne.reports.results_page import write_results_page

ROOT = Path(__file__).resolve().parents[1]


def trained(recipe_id: str, seed: int, data: Path, runs: Path) -> Run:
    """The finished and evaluated run of one seed."""
    overrides = (f"data.options.seed={seed}", f"train.seed={seed}") if seed else ()
    name = f"{recipe_id}-split{seed}" if seed else recipe_id
    run = Run.open(runs / name) if Run.is_one(runs / name) else None
    if run is None or run.state.status != "finished":
        recipe = load_recipe(recipe_id, overrides)
        run = train(
            recipe, data=data, runs=runs, name=name, overrides=overrides, resume=True, accelerator="cpu"
        )
    if not run.predictions_path("test").is_file():
        evaluate(run, data=data)
    return run


def table(rows: list[SeedResult]) -> ResultTable:
    """Accuracies of all seeds, their mean and standard deviation."""
    val, test = ([100 * float(s.figures(part)["accuracy"] or 0) for s in rows] for part in ("val", "test"))
    cells: list[list[str | float | int | None]] = []
    for seed, v, t in zip(rows, val, test, strict=True):
        low, high = (100 * x for x in seed.intervals["test"])
        cells.append([f"seed {seed.seed}", *(round(x, 2) for x in (v, t, low, high))])
    if len(rows) > 1:
        cells.append(["mean", round(statistics.mean(val), 2), round(statistics.mean(test), 2), None, None])
        deviations = (round(statistics.stdev(x), 2) for x in (val, test))
        cells.append(["standard deviation", *deviations, None, None])
    return ResultTable(
        title="Seeds of the split (and of the training)",
        columns=["split", "val (%)", "test (%)", "from (%)", "to (%)"],
        rows=cells,
        note=f"From and to: the 95% interval of the test figure ({rows[0].n_test} faces). The halves of "
        "different seeds share faces, so the deviation is not that of independent test parts.",
    )


def main() -> None:
    """Train what is missing, and write the result files and the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ids", nargs="+", metavar="ID")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    for recipe_id in asked.ids:
        runs = [trained(recipe_id, seed, asked.data, asked.runs) for seed in range(asked.seeds)]
        rows = [result_from_runs([run]).seeds[0] for run in runs]
        result = result_from_runs(runs[:1], command=f"python benchmarks/splits.py --data DIR {recipe_id}")
        result.tables = [table(rows)]
        write_result(result, ROOT / "results")
        write_results_page(ROOT / "results", ROOT / "docs" / "results.md")
        print(recipe_id, *result.tables[0].rows, sep="\n  ", flush=True)


if __name__ == "__main__":
    main()
