"""The ledger's rows on tasks beyond entities, as tables and figures.

A task has rows of single seeds, written by ``bioptimus task``, and one of all its seeds together
with intervals. What has not been run is a dash.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bioptimus_lib import evidence
from bioptimus_lib.pictures import table
from bioptimus_lib.plots import image
from bioptimus_lib.plots_ner_results import Row, forest
from bioptimus_lib.plots_tasks import by_label
from bioptimus_lib.task_table import TASKS

EXPERIMENT, FACTS = "tasks", "task-facts"
TOGETHER = "together"
#: The published tasks in the order of the chapter.
REAL = ("chemprot", "gad", "biosses", "hoc", "pubmedqa", "rqe", "mts-dialog")
#: Metrics of ``task-facts`` that a model should be above, and their names in a figure.
FLOORS = {"words": "words alone", "constant": "always the same"}
Found = Mapping[str, Any]


def together(
    rows: Sequence[Found] | None = None, *, variants: bool = False
) -> list[Found]:
    """The rows that hold all seeds of a task and model, tasks in the order of the chapter.

    Args:
        rows: of the ledger; read by default.
        variants: with those of other recipes, and other views.
    """
    rows = evidence.rows_of(EXPERIMENT, "margin") if rows is None else rows
    found = [row for row in rows if row["seed"] is None and is_together(row)]
    if not variants:
        found = [row for row in found if row["variant"] == TOGETHER and row["dataset"] in TASKS]
    return sorted(found, key=_order)


def _order(row: Found) -> tuple[int, str, bool, str]:
    """Tasks as in the chapter, views by name, the usual recipe before others."""
    return _place(row), row["dataset"], row["variant"] != TOGETHER, row["variant"]


def is_together(row: Found) -> bool:
    """Whether a row holds all seeds."""
    return (row.get("variant") or "").split(", ")[-1] == TOGETHER


def _place(row: Found) -> int:
    names = [name for name in REAL if f"{row['dataset']}-".startswith(f"{name}-")]
    return REAL.index(names[0]) if names else len(REAL)


# --- scores ------------------------------------------------------------------------------------


def score_table() -> str:
    """A line for each task and model: score with its interval, the constant answer, the margin."""
    found = together()
    if not found:
        return evidence.nothing_in(EXPERIMENT)
    there = {row["dataset"] for row in found}
    lines = [_line(row) for row in found]
    empty = dict.fromkeys(lines[0], "–")
    lines += [
        {**empty, "task": name, "metric": TASKS[name].metric}
        for name in REAL
        if name not in there
    ]
    return table(lines, numbers=[k for k in lines[0] if k not in ("task", "model", "metric")]) + (
        evidence.origins(found)
    )


def _line(row: Found) -> dict[str, str]:
    found = row["metrics"]
    sd = f" ± {found['sd']:.1f}" if "sd" in found else ""
    return {
        "task": row["dataset"],
        "model": row["model"],
        "metric": row["metric"],
        "constant": f"{found['baseline']:.1f}",
        "score": f"{found['score']:.1f}{sd}",
        "95 %": f"{found['low']:.1f} to {found['high']:.1f}",
        "over the constant": f"{found['margin']:+z.1f} "
        f"[{found['margin_low']:+z.1f}, {found['margin_high']:+z.1f}]",
        "passes": _passes(row),
        "seeds": f"{found['seeds']:.0f}",
        "tested": f"{found['tested']:,.0f}",
    }


def _passes(row: Found) -> str:
    """How often train was read; a dash in rows that do not tell."""
    return f"{row['settings']['epochs']}" if "settings" in row else "–"


def margins() -> str:
    """How far each task is above its constant answer, as a figure in HTML; pale if it may not
    be."""
    found = together()
    if not found:
        return evidence.nothing_in(EXPERIMENT)
    several = len({row["model"] for row in found}) > 1
    rows = {
        f"{row['dataset']}, {row['model']}" if several else row["dataset"]: Row(
            *(row["metrics"][name] for name in ("margin", "margin_low", "margin_high"))
        )
        for row in found
    }
    return _forest(
        rows, title="Over the best constant answer",
        xlabel="points of the task's own metric, 95 % over examples and seeds",
    )  # fmt: skip


def _forest(rows: Mapping[str, Row], *, title: str, xlabel: str) -> str:
    said = "; ".join(f"{name}: {row.difference}" for name, row in rows.items())
    figure = forest(rows, title=title, zero=True, xlabel=xlabel)
    return image(figure, alt=f"{title}, {xlabel}. {said}.")


def within(low: float, high: float) -> bool:
    """Whether an interval holds 0: then the margin may be none.

    >>> within(-0.5, 3.0), within(0.2, 3.0)
    (True, False)
    """
    return low <= 0 <= high


def unsure() -> list[str]:
    """The tasks whose margin may be none, as lines; nothing if there is none, or no row."""
    return [
        f"{row['dataset']} ({row['model']}): {row['metrics']['score']:.1f} against "
        f"{row['metrics']['baseline']:.1f} of always the same answer; {why(row)}"
        for row in together()
        if within(row["metrics"]["margin_low"], row["metrics"]["margin_high"])
    ]


def why(row: Found) -> str:
    """What a reader should look at, where a margin may be none."""
    found = row["metrics"]
    wide = found["margin_high"] - found["margin_low"]
    if wide < 0.005:  # no example on which the two differ, so nothing to draw anew
        return (
            f"the runs gave that answer to all {found['tested']:,.0f} test examples, after "
            f"{found['train']:,.0f} to learn from"
        )
    return (
        f"the interval is {wide:.1f} points wide with {found['tested']:,.0f} test examples, and "
        f"{found['train']:,.0f} to learn from"
    )


# --- ways of doing it --------------------------------------------------------------------------


def ways(task: str, *, label: Callable[[Found], str]) -> str:
    """One task in all the ways that have been run, mean and spread over seeds, as a figure; last
    come the ways without fine-tuning, if there are any, words alone, and the constant answer."""
    found = [row for row in together(variants=True) if _of(row, task)]
    if not found:
        return evidence.nothing_in(EXPERIMENT, f"{task} has not been run yet.")
    found += [row for row in evidence.rows_of(FACTS, "score") if _of(row, task)]
    single = [row for row in evidence.rows_of(EXPERIMENT, "score") if row["seed"] is not None]
    rows = {}
    several = len({row["model"] for row in found}) > 1
    for row in found:
        own = [one["metrics"]["score"] for one in single if _way(one) == _way(row)]
        name = label(row)
        if several and row["model"] not in name:
            name = f"{name}, {row['model']}"
        value, low, high = (row["metrics"][key] for key in ("score", "low", "high"))
        rows[name] = Row(value, low, high, points=own)
    said = [
        f"{name}: {row.value:.1f}, {row.low:.1f} to {row.high:.1f}" for name, row in rows.items()
    ]
    for floor, name in FLOORS.items():
        for row in evidence.rows_of(FACTS, floor):
            if row["dataset"] == task:
                value = row["metrics"][floor]
                rows[name] = Row(value, math.nan, math.nan)
                said.append(f"{name}: {value:.1f}")
    metric = found[0]["metric"]
    figure = forest(rows, title=f"{task}: {metric}",
                    xlabel=f"{metric}, 95 % over examples and seeds (open: seeds)")  # fmt: skip
    return image(figure, alt=f"{task}, {metric}, with intervals. {'; '.join(said)}.")


def _of(row: Found, task: str) -> bool:
    views = TASKS[task].views
    return row["dataset"] in (task, *(f"{task}-{view}" for view in views))


def _way(row: Found) -> tuple[str, str, str]:
    parts = [part for part in (row.get("variant") or "").split(", ") if part not in ("", TOGETHER)]
    return row["dataset"], row["model"], ", ".join(parts)


def way_name(row: Found) -> str:
    """A way in words: the view where it is told, and what was changed."""
    task = next((name for name in TASKS if _of(row, name)), row["dataset"])
    view = row["dataset"].removeprefix(task).lstrip("-") or (TASKS[task].view() or "plain")
    changed = _way(row)[2]
    return ", ".join(filter(None, (view if TASKS[task].views else "", changed))) or "as usual"


# --- labels ------------------------------------------------------------------------------------


def labels(task: str) -> str:
    """F1 of each label of a task on real data, as a figure; the ledger's panel without rows."""
    found = [row for row in together() if row["dataset"] == task]
    if not found:
        return evidence.nothing_in(EXPERIMENT, f"{task} has not been run yet.")
    row = found[0]
    micro, macro = (row["metrics"][name] for name in ("micro_f1", "macro_f1"))
    figure = by_label(row["labels"], micro=micro, macro=macro, title=f"{task}, {row['model']}")
    said = "; ".join(
        f"{name} {one['f1']:.0f} of {one['gold']:.0f}" for name, one in row["labels"].items()
    )
    return image(figure, alt=f"F1 of each label of {task}: {said}. Micro {micro:.1f}, macro "
                 f"{macro:.1f}.")  # fmt: skip


# --- what the sets are -------------------------------------------------------------------------


def facts_table() -> str:
    """What is known of each real set before any model, as HTML."""
    rows = evidence.rows_of(FACTS, "constant")
    if not rows:
        return evidence.nothing_in(FACTS)
    by_name = {row["dataset"]: row for row in rows}
    lines = []
    for name in (*(n for n in REAL if n in by_name), *(n for n in by_name if n not in REAL)):
        found = by_name[name]["metrics"]
        lines.append({
            "task": name,
            "train / devel / test": " / ".join(
                f"{found[split]:,.0f}" for split in ("train", "devel", "test")
            ),
            "most frequent": _percent(found.get("most")),
            "rarest": _percent(found.get("least")),
            "constant": f"{found['constant']:.1f}",
            "pieces": f"{found['pieces']:.0f}",
            "cut": _percent(found["truncated"]),
            "test in train": f"{found['test_in_train']:.0f}",
            "contradicted": f"{found['contradicted']:.0f}",
        })  # fmt: skip
    return table(lines, numbers=list(lines[0])[1:]) + evidence.origins(rows)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def shallow_figure() -> str:
    """What is reached without a language model: a constant, and words alone, as HTML."""
    rows = evidence.rows_of(FACTS, "words")
    if not rows:
        return evidence.nothing_in(FACTS)
    model = {row["dataset"]: row["metrics"]["score"] for row in together()}
    lines = []
    for row in sorted(rows, key=_place):
        found, name = row["metrics"], row["dataset"]
        lines.append({
            "task": name,
            "metric": TASKS[name].metric if name in TASKS else "",
            "constant": f"{found['constant']:.1f}",
            "words": f"{found['words']:.1f}",
            "first text alone": _number(found.get("words_first")),
            "second alone": _number(found.get("words_second")),
            "model": _number(model.get(name)),
        })
    return table(lines, numbers=list(lines[0])[2:])


def shared_table(task: str) -> str:
    """How many words the texts of a pair share in each split, label by label, as HTML."""
    rows = [row for row in evidence.rows_of(FACTS, "shared_test") if row["dataset"] == task]
    if not rows:
        return evidence.nothing_in(FACTS)
    found = rows[0]["metrics"]
    lines = [
        {"split": split}
        | {f"{label}: words shared": f"{found[f'shared_{split}_{label}']:.1f} %"
           for label in reversed(TASKS[task].labels)}
        | {"tells them apart": f"{found[f'shared_{split}']:.1f} %"}
        for split in ("train", "devel", "test")
    ]  # fmt: skip
    return table(lines, numbers=list(lines[0])[1:])


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
