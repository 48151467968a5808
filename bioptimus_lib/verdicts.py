"""What the ledger says to the questions of chapter 10: a figure, a table and a sentence for each.

Nothing here is typed by hand: an arm that has not been run is missing, a question without rows says
how to make some, and what is said of a difference follows from its interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from bioptimus_lib import evidence, stats
from bioptimus_lib.pictures import folded, panel, table
from bioptimus_lib.plots import image
from bioptimus_lib.plots_ner_results import Row as Line
from bioptimus_lib.plots_ner_results import forest, of_difference

Row = dict[str, Any]
MINUS = " − "  # between an arm and the one it is put beside, in the name of a row
CELLS = "What each seed gave, and the command"
ROWS = "../book/results.html"  # the page of all rows, from where the chapters are
NORMAL = 1.96  # standard errors to each side of a 95 % interval
MANY = 10_000  # runs, so many that the spread is known


def size_of(row: Row) -> str:
    """Model and steps of a row, as its variant tells them."""
    return str(row.get("variant") or "").partition(": ")[0]


def sizes(question: str) -> list[str]:
    """The sizes at which a question was asked."""
    return list(dict.fromkeys(map(size_of, evidence.rows_of(question, "difference"))))


def in_line(row: Row, name: str) -> str:
    """A name for a line of a figure: with its size in front where the ledger has several."""
    return f"{size_of(row)}: {name}" if len(sizes(row["experiment"])) > 1 else name


def differences(question: str, size: str) -> dict[str, list[Row]]:
    """Set → the rows of that set, at one size, that tell the difference of an arm to the first."""
    found: dict[str, list[Row]] = {}
    for row in evidence.rows_of(question, "difference"):
        if size_of(row) == size:
            found.setdefault(row["dataset"], []).append(row)
    return found


def first_arm(rows: Iterable[Row]) -> str:
    """What the arms of some differences are put beside."""
    return str(next(iter(rows))["model"]).split(MINUS)[1]


def would_be_seen(question: str, row: Row) -> float | None:
    """The true difference in F1 that seeds like these show in four of five cases; None where an
    arm has one seed, and so no spread.

    The larger of two: what Student's test finds between the means over seeds, and what the interval
    over sentences and seeds, which ``is_sure`` asks to leave 0 out, is short enough to show.
    """
    sides: list[list[float]] = [[], []]
    for other in evidence.rows_of(question, "f1"):
        if other["dataset"] == row["dataset"] and size_of(other) == size_of(row):
            for side, arm in zip(sides, row["model"].split(MINUS), strict=True):
                if other["model"] == arm:
                    side.append(other["metrics"]["f1"])
    if min(map(len, sides)) < 2:
        return None
    error: float = (row["metrics"]["high"] - row["metrics"]["low"]) / (2 * NORMAL)
    return max(stats.detectable(*sides), stats.power_factor(MANY, MANY) * error)


def is_sure(row: Row) -> bool:
    """Whether the interval of a difference leaves 0 out and the test over trainings has p ≤ 0.1,
    its least with three seeds.

    Not corrected for many comparisons: where no arm does anything, up to one in ten is told apart.
    """
    found = row["metrics"]
    return not found["low"] <= 0 <= found["high"] and found["p_runs"] <= 0.1


# --- a question ----------------------------------------------------------------------------------


def answer(question: str) -> str:
    """The figures and tables of a question, in HTML, for each size at which it was asked: entity F1
    on each set, then the loss."""
    link = f"<p class='key'><a href='{ROWS}#{escape(question)}'>All rows of this question</a></p>"
    shown = [
        said(question, size)
        + "".join(_forest(question, *some) for some in differences(question, size).items())
        + folded(CELLS, _f1(rows) + _bits(rows) + evidence.origins(rows) + panel(link))
        for size in sizes(question)
        for rows in [[row for row in evidence.rows_of(question) if size_of(row) == size]]
    ]
    return "".join(shown) or evidence.nothing_in(question)


def said(question: str, size: str) -> str:
    """A sentence for each set: which arms are told apart from the first, which are not."""
    lines = [f"<p class='key'>{escape(size)}</p>"]
    for dataset, rows in differences(question, size).items():
        sure = [row for row in rows if is_sure(row)]
        rest = [row for row in rows if not is_sure(row)]
        least = [x for row in rest if (x := would_be_seen(question, row)) is not None]
        seeds = sorted({round(row["metrics"]["seeds"]) for row in rows})
        told = ", ".join(f"{_arm(row)} ({_gap(row)})" for row in sure) or "none"
        power = (
            f" Of these a difference of {_range(least)} points would mostly have been seen."
            if least else ""
        )
        lines.append(
            f"<p><b>{escape(dataset)}</b>, beside <i>{escape(first_arm(rows))}</i>, "
            f"{_many(seeds)}: told apart from it {'is' if len(sure) == 1 else 'are'} "
            f"{escape(told)}; {len(rest)} of {len(rows)} not.{power}</p>"
        )
    return panel("".join(lines))


def _forest(question: str, dataset: str, rows: Sequence[Row]) -> str:
    seen = [would_be_seen(question, row) for row in rows]
    lines = {
        _arm(row): Line(*(row["metrics"][name] for name in ("difference", "low", "high")))
        for row in rows
    }
    figure = forest(
        lines, title=f"{dataset}: F1 beside “{first_arm(rows)}”", zero=True,
        xlabel=of_difference(row["metrics"]["seeds"] for row in rows),
    )  # fmt: skip
    words = "; ".join(f"{name} {_gap(row)}" for name, row in zip(lines, rows, strict=True))
    columns = [
        {"arm": _arm(row), "difference": _gap(row),
         evidence.HOLM: evidence.p_text(row["metrics"]["p_holm"]),
         "p over runs": evidence.p_over_runs(row, 2),
         "would be seen": "–" if least is None else f"{least:.1f}",
         "seeds": f"{row['metrics']['seeds']:.0f}"}
        for row, least in zip(rows, seen, strict=True)
    ]  # fmt: skip
    alt = f"Differences in entity F1 on {dataset} to {first_arm(rows)}, with intervals. {words}."
    return image(figure, alt=alt) + table(columns, numbers=list(columns[0])[1:])


def _f1(rows: Sequence[Row]) -> str:
    """A line for each arm, a column for each set: F1 over seeds."""
    arms: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        if "f1" in row["metrics"]:
            sets = arms.setdefault(row["model"], {})
            sets.setdefault(row["dataset"], []).append(row["metrics"]["f1"])
    names = list(dict.fromkeys(dataset for sets in arms.values() for dataset in sets))
    lines = [
        {"arm": arm, **{f"F1, {n}": _spread(sets.get(n)) for n in names},
         "seeds": max(map(len, sets.values()))}
        for arm, sets in arms.items()
    ]  # fmt: skip
    return table(lines, numbers=list(lines[0])[1:])


def _bits(rows: Sequence[Row]) -> str:
    """A line for each arm: what its pre-training gave and took."""
    arms: dict[str, list[Row]] = {}
    for row in rows:
        if "bits_per_byte" in row["metrics"]:
            arms.setdefault(row["model"], []).append(row)
    lines = [
        {"arm": arm, "bits per byte": _spread([r["metrics"]["bits_per_byte"] for r in some], 3),
         "million pieces": f"{some[0]['tokens'] / 1e6:.2f}", "steps": f"{some[0]['steps']:,}",
         "seeds": len(some)}
        for arm, some in arms.items()
    ]  # fmt: skip
    return table(lines, numbers=list(lines[0])[1:]) if lines else ""


# --- all of them ---------------------------------------------------------------------------------


def abstract(questions: Mapping[str, str]) -> str:
    """What all questions have given: a line for each of them and each set.

    Args:
        questions: name → what it asks, in words.
    """
    lines = []
    for question, words in questions.items():
        asked = sizes(question)
        if not asked:
            lines.append({"question": words, "set": "not run yet", "largest gain": "–",
                          "largest loss": "–", "told apart": "–"})  # fmt: skip
        sets = [some for size in asked for some in differences(question, size).items()]
        for dataset, rows in sets:
            ordered = sorted(rows, key=lambda row: row["metrics"]["difference"])
            best, worst = ordered[-1], ordered[0]
            gains = best["metrics"]["difference"] > 0
            loses = worst["metrics"]["difference"] < 0
            lines.append({
                "question": in_line(best, words), "set": dataset,
                "largest gain": f"{_arm(best)}: {_gap(best)}" if gains else "none",
                "largest loss": f"{_arm(worst)}: {_gap(worst)}" if loses else "none",
                "told apart": f"{sum(map(is_sure, rows))} of {len(rows)}",
            })  # fmt: skip
    return table(lines)


def budget_points(
    row: Row, tokens: Mapping[tuple[str, str, int], float]
) -> list[tuple[float, float]]:
    """(million pieces of pre-training, F1) of a fine-tuning.

    Args:
        tokens: (size, arm, seed) → pieces that its pre-training has read.
    """
    read = tokens.get((size_of(row), row["model"], row["seed"]))
    return [] if not read else [(round(read / 1e6, 2), row["metrics"]["f1"])]


def tokens_of(question: str) -> dict[tuple[str, str, int], float]:
    """(size, arm, seed) → pieces that its pre-training has read, as the ledger has them."""
    rows = evidence.rows_of(question, "bits_per_byte")
    return {(size_of(row), row["model"], row["seed"]): float(row["tokens"]) for row in rows}


def _arm(row: Row) -> str:
    return str(row["model"]).split(MINUS)[0]


def _gap(row: Row) -> str:
    found = row["metrics"]
    return f"{found['difference']:+z.1f} [{found['low']:+z.1f}, {found['high']:+z.1f}]"


def _spread(values: Sequence[float] | None, digits: int = 1) -> str:
    if not values:
        return "–"
    found = stats.summary(values)
    mean = f"{found.mean:.{digits}f}"
    return mean if found.n < 2 else f"{mean} ± {found.sd:.{digits}f}"


def _range(points: Sequence[float]) -> str:
    """From the least to the most, once where they are the same."""
    return " to ".join(dict.fromkeys(f"{some(points):.1f}" for some in (min, max)))


def _many(seeds: Sequence[int]) -> str:
    if len(seeds) > 1:
        return f"{seeds[0]} to {seeds[-1]} seeds"
    return f"{seeds[0]} seed" + ("s" if seeds[0] > 1 else "")
