"""The ledger's rows on NER sets as tables and figures, beside the numbers of the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from bioptimus_lib import evidence, nested
from bioptimus_lib.pictures import panel, table
from bioptimus_lib.plots import image
from bioptimus_lib.plots_ner_results import Row, forest, of_difference

EXPERIMENT = "ner-table"
SETS = ("BC5CDR-chem", "BC5CDR-disease", "NCBI-disease", "BC2GM", "JNLPBA")
#: Entity F1 after each phase, by the authors' README (Pavlova and Makhlouf, 2023).
PAPER: dict[str, dict[str, float]] = {
    version: dict(zip(SETS, values, strict=True))
    for version, values in {
        "v0.1": (93.52, 83.41, 88.44, 83.53, 78.71),
        "v0.2": (93.87, 83.43, 87.99, 84.16, 79.12),
        "v0.3": (93.70, 85.06, 88.17, 84.54, 79.28),
        "v0.4": (94.10, 84.98, 89.54, 85.25, 79.46),
    }.items()
}
#: In what the two tables differ: what, in the paper, here.
PROTOCOL: tuple[tuple[str, str, str], ...] = (
    ("size of the model", "BERT-base", "far smaller, as the table says"),
    ("text of the pre-training", "PubMed abstracts, 2022", "far less, open biomedical text"),
    ("steps of each phase", "not found", "as the table says"),
    ("sets", "five of BLURB", "the same five, as far as they have been run"),
    ("recipe of fine-tuning", "not found", "by the size of the model, the same on all sets"),
    ("which epoch is tested", "not found", "the best on devel, once"),
    ("seeds", "number not found", "in brackets; mean and standard deviation"),
    ("scorer", "not found", "seqeval, strict IOB2: whole entities, nothing cut off"),
    ("types of JNLPBA", "not found; some papers merge them", "five types, not merged"),
)


def paper_table() -> str:
    """The paper's table, as HTML, with the mean of the five sets."""
    rows = [
        {"version": version, **{name: f"{value:.2f}" for name, value in scores.items()},
         "mean": f"{sum(scores.values()) / len(scores):.2f}"}
        for version, scores in PAPER.items()
    ]  # fmt: skip
    return table(rows, numbers=list(rows[0])[1:])


def protocol_table() -> str:
    """In what the two tables differ, as HTML."""
    return table([{"": what, "paper": paper, "here": here} for what, paper, here in PROTOCOL])


def groups(
    rows: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, dict[str, list[Mapping[str, Any]]]]]:
    """Rows of single seeds as variant → model → set → rows, models in the order of the story."""
    found: dict[str, dict[str, dict[str, list[Mapping[str, Any]]]]] = {}
    ordered = sorted(rows, key=lambda row: nested.place(row["model"]))
    for row in ordered:
        if row["seed"] is not None and "f1" in row["metrics"]:
            models = found.setdefault(row["variant"], {})
            models.setdefault(row["model"], {}).setdefault(row["dataset"], []).append(row)
    return found


def f1_table() -> str:
    """Mean and spreads of F1 (``nested.READ``) for each model and set, and in brackets how many
    pre-trainings × fine-tunings; before them the mean of all sets of the paper, for those who have
    all. As HTML, with what each model is below."""
    rows = evidence.rows_of(EXPERIMENT)
    found = groups(rows)
    if not found:
        return evidence.nothing_in(EXPERIMENT)
    others = {name for models in found.values() for sets in models.values() for name in sets}
    columns = (*SETS, *sorted(others - set(SETS)))
    lines = [
        {"model": model, "mean": mean_of_sets(sets),
         **{name: _cell(sets.get(name, ())) for name in columns}}
        for models in found.values()
        for model, sets in models.items()
    ]  # fmt: skip
    said = "; ".join(f"{', '.join(models)}: {variant}" for variant, models in found.items())
    below = panel(f"<p class='key'>{escape(said)}.</p>") + evidence.origins(rows)
    return table(lines, numbers=("mean", *columns)) + below


def mean_of_sets(sets: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The mean of ``SETS`` over the pre-trainings that have all of them, as in ``f1_table``; a dash
    if there is none."""
    found = [[nested.pre_training(row) for row in sets.get(name, ())] for name in SETS]
    runs = [{run for run in some if run is not None} for some in found]
    means = [
        sum(
            nested.summary_of(
                [row for row in sets[name] if nested.pre_training(row) == run], "f1"
            ).mean
            for name in SETS
        ) / len(SETS)
        for run in sorted(set.intersection(*runs))
    ]  # fmt: skip
    if not means:
        return "–"
    over = nested.summary([[mean] for mean in means])
    return f"{over} ({over.count})"


def _cell(rows: Sequence[Mapping[str, Any]]) -> str:
    """Mean and spreads of some seeds, and their number; a dash for none."""
    if not rows:
        return "–"
    found = nested.summary_of(rows, "f1")
    return f"{found} ({found.count})"


def differences(dataset: str) -> str:
    """Each model minus the old one on a set, with its interval, as a figure in HTML.

    The ledger's own panel says so where there is no such row yet.
    """
    found = [
        row
        for row in evidence.rows_of(EXPERIMENT, "difference")
        if row["dataset"] == dataset
    ]
    if not found and evidence.rows_of(EXPERIMENT):
        return panel(f"<p>No model has been set beside the old one on {escape(dataset)} yet.</p>")
    if not found:
        return evidence.nothing_in(EXPERIMENT)
    ordered = sorted(found, key=lambda row: nested.place(row["model"].split(" − ")[0]))
    several = len({row["variant"] for row in ordered}) > 1
    names = [f"{row['model']} ({row['variant']})" if several else row["model"] for row in ordered]
    rows = {
        label: Row(*(row["metrics"][name] for name in ("difference", "low", "high")))
        for label, row in zip(names, ordered, strict=True)
    }
    said = "; ".join(f"{name}: {row.difference}" for name, row in rows.items())
    figure = forest(rows, title=f"{dataset}: F1 beside the old model", zero=True,
                    xlabel=of_difference(row["metrics"]["seeds"] for row in found))  # fmt: skip
    lines = [
        {"models": label, "difference": f"{row['metrics']['difference']:+z.2f}",
         "p": evidence.p_text(row["metrics"]["p"]),
         evidence.HOLM: evidence.p_text(row["metrics"]["p_holm"]),
         "p over runs": evidence.p_over_runs(row),
         "seeds": f"{row['metrics']['seeds']:.0f}"}
        for label, row in zip(names, ordered, strict=True)
    ]  # fmt: skip
    return image(figure, alt=f"Differences in F1 on {dataset} with intervals. {said}.") + table(
        lines, numbers=list(lines[0])[1:]
    )
