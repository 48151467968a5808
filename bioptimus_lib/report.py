"""What a run ends with: ``report.json`` for programs, ``report.html`` for people, a table for
the terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from bioptimus_lib.files import atomic_write

if TYPE_CHECKING:
    from bioptimus_lib.pipeline import Run

ABOUT = {
    "old": "the general model as it was",
    "continued": "the general model, same text and steps, old vocabulary",
}

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>BIOptimus run: {profile}</title>
<style>
:root {{ color-scheme: light dark; --line: #8886; --soft: #8881 }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto;
  padding: 0 1rem }}
h1 {{ font-size: 1.6rem }} h2 {{ font-size: 1.2rem; margin-top: 2rem }}
.wide {{ overflow-x: auto }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line) }}
td.n, th.n {{ text-align: right; font-variant-numeric: tabular-nums }}
figure {{ margin: 1rem 0; background: #fff; border-radius: .5rem; padding: .5rem }}
img {{ max-width: 100%; height: auto; display: block; margin: auto }}
pre {{ background: var(--soft); padding: 1rem; overflow-x: auto; font-size: .85rem }}
</style></head><body>
<h1>BIOptimus run, profile <code>{profile}</code></h1>
<p>{about}</p>
<h2>Entity F1 on the test set</h2>
<p>Strict entity-level F1 in per cent on {dataset} after fine-tuning on {sentences:,} sentences;
mean and standard deviation over fine-tuning seeds ({seeds}; a model with one has no spread to
show). A difference smaller than the spread is no difference.</p>
<div class="wide">{scores}</div>
{figures}
<h2>Stages</h2>
<div class="wide">{stages}</div>
<h2>Configuration</h2>
<pre>{config}</pre>
</body></html>
"""


def collect(run: Run) -> dict[str, Any]:
    """The report of a finished run: configuration, stages, F1 per model and per seed."""
    from bioptimus_lib.conll import split_files
    from bioptimus_lib.fine_tunings import ner_folder, ner_splits
    from bioptimus_lib.ledger import provenance
    from bioptimus_lib.stats import summary

    scores = run.scores()
    return {
        "profile": run.profile.name,
        "dataset": run.ner_source.name if run.ner_source else run.profile.ner,
        "sentences": len(ner_splits(run)["train"]),
        "config": json.loads((run.out / "config.json").read_bytes()),
        "stages": [run.done(stage.name) for stage in run.stages],
        "f1": {model: summary(values).mean for model, values in scores.items()},
        "f1_sd": {
            model: summary(values).sd if len(values) > 1 else None
            for model, values in scores.items()
        },
        "f1_seeds": {model: list(values) for model, values in scores.items()},
        "provenance": provenance(
            data=split_files(ner_folder(run)).values(), device=str(run.torch_device)
        ),
    }


def write(run: Run) -> dict[str, Any]:
    """Write ``report.json`` and ``report.html`` into the run folder; returns the report."""
    report = collect(run)
    with atomic_write(run.out / "report.json") as file:
        json.dump(report, file, indent=1)
    with atomic_write(run.out / "report.html") as file:
        file.write(page(run, report))
    return report


def to_ledger(run: Run, report: dict[str, Any], *, file: str) -> None:
    """Add the F1 of every model and seed to the experiment ``run`` of the ledger."""
    from bioptimus_lib import ledger
    from bioptimus_lib.run_rows import EXPERIMENT, rows_of

    ledger.append(EXPERIMENT, rows_of(run, report), file=file, replace=True)


def rows_of_scores(report: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(model, "mean ± sd", what it is) for each model of a report."""
    from bioptimus_lib.curriculum import PHASES

    about = {**ABOUT, **{phase.version: str(phase.masking) for phase in PHASES}}
    return [
        (
            model,
            f"{mean:.1f}" + (f" ± {sd:.1f}" if (sd := report["f1_sd"][model]) else ""),
            about[model],
        )
        for model, mean in report["f1"].items()
    ]


def text(report: dict[str, Any]) -> str:
    """The scores as a table for the terminal."""
    lines = [f"{'model':<10} {'F1':>12}   what it is", "-" * 64]
    lines += [f"{name:<10} {score:>12}   {about}" for name, score, about in rows_of_scores(report)]
    return "\n".join(lines)


def stage_line(row: dict[str, Any]) -> str:
    """One stage as a line: name, seconds, size, its own measure."""
    return f"{row['stage']:<13} {row['seconds']:7.1f} s   {row['size']:<22} {row['measure']}"


def page(run: Run, report: dict[str, Any]) -> str:
    """The report as one HTML page that needs no other file."""
    scores = _table(("model", "F1", "what it is"), rows_of_scores(report), numbers={1})
    stages = _table(
        ("stage", "seconds", "size", "measure"),
        [(r["stage"], f"{r['seconds']:.1f}", r["size"], r["measure"]) for r in report["stages"]],
        numbers={1},
    )
    return PAGE.format(
        profile=escape(report["profile"]),
        about=escape(run.profile.about),
        dataset=escape(report["dataset"]),
        sentences=report["sentences"],
        seeds=", ".join(f"{model}: {len(runs)}" for model, runs in report["f1_seeds"].items()),
        scores=scores,
        figures="\n".join(_figures(run, report)),
        stages=stages,
        config=escape(json.dumps(report["config"], indent=1)),
    )


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, numbers: set[int]) -> str:
    """An HTML table with every cell escaped; columns in ``numbers`` are aligned right."""

    def line(cells: tuple[str, ...], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=n' if i in numbers else ''}>{escape(str(cell))}</{tag}>"
            for i, cell in enumerate(cells)
        )

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f"<table><thead><tr>{line(head, 'th')}</tr></thead><tbody>{body}</tbody></table>"


def _figures(run: Run, report: dict[str, Any]) -> list[str]:
    """The loss curves and the F1 per version, as inline pictures."""
    from matplotlib import pyplot

    from bioptimus_lib import plots
    from bioptimus_lib.curriculum import PHASES

    curves = {phase.version: run.losses(phase.version) for phase in PHASES}
    drawn = [
        (plots.f1_by_version(report["f1_seeds"]), "Entity F1 of each model, one point per seed"),
        (plots.loss_curves(curves), "Training loss over the four phases"),
    ]
    pictures = []
    for figure, alt in drawn:
        source = plots.data_uri(figure)
        pyplot.close(figure)
        pictures.append(f'<figure><img alt="{escape(alt)}" src="{source}"></figure>')
    return pictures
