"""The page of all results: every row of the ledger, and the means of those that belong together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from numbers import Real
from typing import Any

from bioptimus_lib import ledger, nested

Row = dict[str, Any]
NAMES = ("model", "variant", "dataset", "profile")
MEANS = ("model", "means", "seeds", *NAMES[1:], "device")  # what a small screen shows stands first
ROWS = ("model", "metrics", "seed", *NAMES[1:], "time", "device", "date", "commit")


def page() -> str:
    """All experiments of the ledger, each to be opened; its anchor is its name."""
    place = ledger.results_dir()
    names = sorted({path.parent.name for path in place.glob("*/*.json")})
    if not names:
        return "<p>The ledger that this book was built from holds no rows.</p>"
    return "".join(map(section, names))


def section(experiment: str) -> str:
    """An experiment: means over seeds, then row by row, then the commands that made them."""
    rows = ledger.read(experiment)
    commands = dict.fromkeys(row["command"] for row in rows)
    made = "<br>".join(f"<code>{escape(command)}</code>" for command in commands)
    read = f"<p>{nested.READ}</p>" if experiment in nested.NESTED else ""
    each = _table(ROWS, map(line, rows))
    return (
        f"<details class='ledger' id='{escape(experiment)}'>"
        f"<summary><b>{escape(experiment)}</b>, {len(rows)} row{'s' * (len(rows) != 1)}</summary>"
        f"{_table(MEANS, means(rows))}{read}"
        f"<details><summary>{escape(experiment)}, row by row</summary>{each}</details>"
        f"<p>Made by {made}</p></details>"
    )


def means(rows: Sequence[Row]) -> Iterator[tuple[object, ...]]:
    """A line per model and data set, with the mean over seeds of each metric and its spread; where
    pre-trainings have several fine-tunings each, as ``nested.READ`` says. Metrics of another number
    of seeds have a line of their own."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        cells = [row.get(name) or "" for name in NAMES]
        groups.setdefault((*cells, row["device"]), []).append(row)
    for (model, *names, device), some in groups.items():
        found: dict[str, list[str]] = {}
        for metric in dict.fromkeys(metric for row in some for metric in row["metrics"]):
            over = nested.summary_of([row for row in some if metric in row["metrics"]], metric)
            said = f"{metric} {over.text('.4g', '.2g')}".replace(" ", "\N{NO-BREAK SPACE}")
            found.setdefault(over.count, []).append(said)
        for count, lines in found.items():
            yield (model, "\n".join(lines), count, *names, device)


def line(row: Row) -> tuple[object, ...]:
    """A row as the page shows it."""
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in row["metrics"].items())
    seconds = row.get("seconds")
    return (
        row["model"],
        metrics,
        "" if row["seed"] is None else row["seed"],
        *(row.get(name) or "" for name in NAMES[1:]),
        took(float(seconds)) if isinstance(seconds, Real) else "",
        row["device"],
        row.get("date", ""),
        (row["commit"] or "")[:7],
    )


def took(seconds: float) -> str:
    """Seconds in the unit that a reader would use.

    >>> took(48.2), took(600), took(9000)
    ('48 s', '10 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _table(columns: Sequence[str], lines: Iterator[tuple[object, ...]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>"
        for cells in lines
    ).replace("\n", "<br>")
    return f"<table class='table'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
