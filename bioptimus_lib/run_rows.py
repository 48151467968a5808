"""The rows of the ledger that a finished run gives: entity F1 of every model and seed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bioptimus_lib.fine_tunings import MODELS

if TYPE_CHECKING:
    from bioptimus_lib.pipeline import Run

EXPERIMENT = "run"


def rows_of(run: Run, report: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each model and seed, models in their order.

    Args:
        run: with all stages done.
        report: as ``report.collect`` made it, which says where the run was.
    """
    facts = {
        **report["provenance"],
        "experiment": EXPERIMENT,
        "profile": run.profile.name,
        "dataset": report["dataset"],
        "corpus": run.corpus_source.name if run.corpus_source else run.profile.corpus,
    }
    if run.profile.ner_sentences:
        facts["variant"] = f"{run.profile.ner_sentences:,} training sentences"
    rows = []
    steps = run.finished("budget")["steps"]
    phases = {version: number for number, version in enumerate(MODELS[2:], start=1)}
    files = (run.out / "ner").glob("*-seed*.json")
    named = sorted((MODELS.index(path.name.partition("-seed")[0]), path) for path in files)
    for number, path in named:
        result, model = json.loads(path.read_bytes()), MODELS[number]
        trained = {"old": 0, "continued": len(phases)}.get(model, phases.get(model)) * steps
        rows.append(
            {
                **facts,
                "model": model,
                "seed": result["settings"]["seed"],
                "metrics": result["metrics"],
                "steps": trained,
                "tokens": trained * run.profile.batch * run.profile.length,
                "seconds": round(result["seconds"], 1),
            }
        )
    return rows
