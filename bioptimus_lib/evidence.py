"""The ledger as tables for a page: each with the device and the command that made it.

An experiment without rows gives a panel that says so, and how to make some.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from html import escape
from typing import Any

from bioptimus_lib import ledger, nested
from bioptimus_lib.experiments import QUESTIONS
from bioptimus_lib.pictures import folded, panel, table

Row = dict[str, Any]
HOLM = "p over sentences, by Holm"  # the name of a column
SITTINGS = 3  # commands below a table that are shown without a click

#: What a reader can run to fill an experiment.
COMMANDS = {
    "run": "bioptimus run --profile laptop --ledger laptop",
    "words": "bioptimus words biomed general --years --ledger corpora",
    "sentences": "bioptimus bench sentences --ledger splitters",
    "corpus": "bioptimus corpus FOLDER --out DIR --ledger biomed",
    "vocabulary": "bioptimus vocab --like minilm --corpus biomed --out DIR --ledger biomed",
    "bench-scan": "bioptimus bench scan --ledger pocket",
    "bench-scale": "bioptimus bench scale --corpus corpus/biomed --ledger cpu",
    "recovery": "bioptimus experiment recovery --ledger minilm",
    "layers": "bioptimus experiment layers --ledger minilm",
    "contexts": "bioptimus experiment contexts --ledger minilm",
    "start": "bioptimus experiment start --ledger minilm",
    "phases": "bioptimus experiment phases --model pocket-bert --megabytes 100 --words 4000 "
    "--contexts 5 --steps 4900 --seeds 3 --workers 2 --ledger laptop",
    "distill": "bioptimus bench distill --ledger pocket",
    "distilled": "bioptimus distill --model minilm --plan FILE --contexts FILE --out DIR "
    "--ledger minilm",
    "masking-difficulty": "bioptimus experiment masking-difficulty --model pocket-bert "
    "--megabytes 6 --steps 200 --ledger pocket-bert",
    "bench-masking": "bioptimus bench masking --ledger pocket",
    "bench-ner": "bioptimus bench ner --ledger minilm",
    "ner-batches": "bioptimus experiment ner-batches --model pocket-bert --corpus NCBI-disease "
    "--ledger pocket-bert",
    "ner-facts": "bioptimus experiment ner-facts --ledger real",
    "scoring": "bioptimus experiment scoring --model pocket-bert --seeds 3 --workers 2 "
    "--ledger pocket-bert",
    "stability": "bioptimus experiment stability --model pocket-bert --corpus NCBI-disease "
    "--seeds 10 --workers 2 --ledger pocket-bert",
    "ner": "bioptimus ner --model pocket-bert minilm --dataset all --seeds 5 --ledger any",
    "ner-table": "bioptimus experiment ner-table --phases runs/exp-phases --out runs/ner-table "
    "--seeds 5 --workers 2 --ledger pocket-bert",
    "task-facts": "bioptimus experiment task-facts --model minilm --ledger real",
    "tasks": "bioptimus task chemprot gad biosses hoc pubmedqa rqe mts-dialog --model minilm "
    "--seeds 3 --out runs/tasks --ledger minilm",
    "compact": "bioptimus experiment compact --model runs/exp-phases/run-0/models/v0.4 "
    "--megabytes 32 --steps 2000 --seeds 3 --models pocket-bert --fit-corpus general "
    "--out runs/compact --workers 2 --ledger v0.4",
    "bench-compact": "bioptimus bench compact teacher=DIR student=DIR student8=DIR+int8 "
    "--ledger cpu",
    "bench-tag": "bioptimus bench tag --model releases/v0.4-NCBI-disease --threads 1 "
    "--ledger laptop",
    "bench-onnx": "bioptimus bench onnx --model releases/v0.4-NCBI-disease --threads 1 "
    "--ledger laptop",
    "clinical": "bioptimus experiment clinical --model pocket-bert --steps 1000 --seeds 3 "
    "--ledger pocket-bert",
    "memorisation": "bioptimus experiment memorisation --model pocket-bert --steps 1000 --seeds 5 "
    "--ledger pocket-bert",
    **{
        name: f"bioptimus experiment {name} --model pocket-bert --megabytes 32 --words 4000 "
        "--contexts 5 --steps 300 --seeds 3 --workers 2 --out runs/questions --ledger pocket-bert"
        for name in QUESTIONS
    },
}


def score_table(experiment: str, *, metric: str = "f1") -> str:
    """A line per model: mean and spread of a metric over seeds (those of fine-tunings within those
    of pre-trainings, ``nested``), and how long it was trained."""
    rows = rows_of(experiment, metric)
    if not rows:
        return nothing_in(experiment)
    head = metric.upper() if len(metric) < 4 else metric
    lengths = {"steps": "steps", "pieces read": "tokens"}
    lengths = {heading: of for heading, of in lengths.items() if any(of in row for row in rows)}
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        trained = tuple(row.get(name) for name in lengths.values())
        where = row["dataset"], row.get("variant") or ""
        names = (where, row["model"], trained, row["profile"], row["device"], row["command"])
        groups.setdefault(names, []).append(row)
    settings, same = _settings([where for where, *_ in groups])
    lines = []
    for (where, model, trained, *_), some in groups.items():
        over = nested.summary_of(some, metric)
        lines.append(
            ({"test set": settings[where]} if settings else {})
            | {"model": model, head: str(over), "seeds": over.count}
            | {heading: "–" if n is None else f"{n:,}"
               for heading, n in zip(lengths, trained, strict=True)}
        )  # fmt: skip
    below = _of_all(same) + _how_to_read(experiment, lines) + origins(rows)
    return table(lines, numbers=[head, "seeds", *lengths]) + below


def rows_table(
    experiment: str,
    columns: Mapping[str, Callable[[Row], object]] | None = None,
    *,
    keep: Callable[[Row], bool] = lambda row: True,
) -> str:
    """A line per row.

    Args:
        experiment: name in the ledger.
        columns: heading → what to take of a row; by default its names and all its metrics. All
            columns but the first are set to the right.
        keep: which rows to take.
    """
    rows = [row for row in rows_of(experiment) if keep(row)]
    if not rows:
        return nothing_in(experiment)
    if columns is None:
        lines = [
            {"what": ", ".join(filter(None, (row["model"], row["dataset"], row.get("variant"))))}
            | {name.replace("_", " "): f"{value:,.4g}" for name, value in row["metrics"].items()}
            for row in rows
        ]
    else:
        lines = [{name: take(row) for name, take in columns.items()} for row in rows]
    return table(lines, numbers=list(lines[0])[1:]) + origins(rows)


def metrics_table(
    experiment: str,
    metrics: Mapping[str, str] | None = None,
    *,
    first: str = "strategy",
    each: str = "seeds",
    keep: Callable[[Row], bool] = lambda row: True,
) -> str:
    """A line per model and variant: mean and spread of several metrics over rows.

    Where a pre-training has several fine-tunings (``nested``), versions stand in their order, a
    cell has both spreads, and what is missing is said below.

    Args:
        experiment: name in the ledger.
        metrics: heading → metric; by default all that every row has. A group of rows that lacks
            one gets a dash, a group that lacks all is left out.
        first: heading of the column of models.
        each: heading of the number of rows: what the spread is over.
        keep: which rows to take.
    """
    rows = [row for row in rows_of(experiment) if keep(row)]
    if not rows:
        return nothing_in(experiment)
    if metrics is None:
        shared = [m for m in rows[0]["metrics"] if all(m in row["metrics"] for row in rows)]
        metrics = {name.replace("_", " "): name for name in shared}
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        names = (row["dataset"], row.get("variant") or "", row["profile"], row["model"])
        groups.setdefault(names, []).append(row)
    found = list(groups.items())
    if experiment in nested.NESTED:
        found.sort(key=lambda group: (group[0][:2], nested.place(group[0][3])))
    settings, shared = _settings([(names[0], names[1]) for names, _ in found])
    models = {names[3] for names, _ in found}
    if one_model := bool(settings) and len(models) == 1:
        shared = [*models, *shared]
    lines = []
    for (dataset, variant, _, model), some in found:
        line = {} if one_model else {first: model}
        if settings:
            line["setting"] = settings[dataset, variant]
        of = {heading: nested.groups_of(some, metric) for heading, metric in metrics.items()}
        line |= {heading: _cell(values) for heading, values in of.items()}
        if any(of.values()):
            most = max(filter(None, of.values()), key=lambda values: sum(map(len, values)))
            lines.append(line | {each: nested.summary(most).count})
    below = _of_all(shared) + _how_to_read(experiment, lines)
    if experiment == "phases":
        below += missing(rows_of(experiment), {row["model"] for row in rows})
    return table(lines, numbers=[*metrics, each]) + below + origins(rows)


def _cell(groups: Sequence[Sequence[float]]) -> str:
    """Mean and spreads of a metric; large counts without decimals, a dash for nothing.

    >>> _cell([[960.0], [960.0]]), _cell([[66.0], [68.0]]), _cell([])
    ('960 ± 0', '67.00 ± 1.41', '–')
    """
    if not groups:
        return "–"
    counts = all(value >= 100 and value == int(value) for some in groups for value in some)
    return nested.summary(groups).text(",.0f" if counts else ".2f")


def _settings(found: Sequence[tuple[str, str]]) -> tuple[dict[tuple[str, str], str], list[str]]:
    """What to call pairs of dataset and variant in a table, none if there is one pair only; and
    what they share, so that no line has to say it."""
    shared = [some.pop() if len(some) == 1 else "" for some in map(set, zip(*found, strict=True))]
    names = {
        pair: ", ".join(part for part, same in zip(pair, shared, strict=True) if part and not same)
        for pair in found
    }
    return names if any(names.values()) else {}, list(filter(None, shared))


def _of_all(shared: Sequence[str]) -> str:
    """A panel that says what all lines share."""
    return panel(f"<p class='key'>All lines: {escape(', '.join(shared))}.</p>") if shared else ""


def _how_to_read(experiment: str, lines: Iterable[Mapping[str, str]]) -> str:
    """A panel on seeds and spreads, where there are seeds within seeds and a spread is shown."""
    spread = any("±" in value or " / " in value for line in lines for value in line.values())
    return panel(f"<p>{nested.READ}</p>") if experiment in nested.NESTED and spread else ""


def missing(rows: Iterable[Row], models: Collection[str] = nested.TRAINED) -> str:
    """A panel that says which of some versions of ``phases`` lack the F1 of some pre-trainings."""
    every: set[int] = set()
    tested: dict[str, set[int]] = {model: set() for model in nested.TRAINED if model in models}
    for row in rows:
        number = nested.pre_training(row)
        if row["model"] in nested.TRAINED and number is not None:
            every.add(number)
            if row["model"] in tested and "f1" in row["metrics"]:
                tested[row["model"]].add(number)
    gaps = [
        f"{model} ({len(every - done)} of {len(every)} pre-trainings)"
        for model, done in tested.items() if every - done
    ]  # fmt: skip
    return panel(f"<p>F1 is still missing for {', '.join(gaps)}.</p>") if gaps else ""


def ratio_table(experiment: str) -> str:
    """A line per comparison of two sides, fastest pair last.

    A row's ``model`` names its sides, "SLOWER / FASTER"; its metrics are ``ratio`` (the median over
    rounds in which the sides took turns), ``least`` and ``most``.
    """
    rows = sorted(rows_of(experiment, "ratio"), key=lambda row: row["metrics"]["ratio"])
    if not rows:
        return nothing_in(experiment)
    lines = []
    for row in rows:
        slower, _, faster = row["model"].partition(" / ")
        found, setting = row["metrics"], row.get("variant") or ""
        if "keywords" in faster:  # then their number is what is compared
            setting = re.sub(r", \d+ keywords", "", setting)
        lines.append({
            "compared": spoken(f"{faster} against {slower}"),
            "text": row["dataset"],
            "setting": spoken(setting),
            "times as fast": _times(found["ratio"]),
            "least to most": f"{_times(found['least'])} to {_times(found['most'])}",
        })
    return table(lines, numbers=("times as fast", "least to most")) + origins(rows)


def spoken(text: str) -> str:
    """A text with commas in its large numbers, and one of a thing without a plural.

    >>> spoken("1 workers, 10000 keywords"), spoken("6 steps, 1 processes")
    ('1 worker, 10,000 keywords', '6 steps, 1 process')
    """
    text = re.sub(r"\b\d{5,}\b", lambda number: f"{int(number[0]):,}", text)
    return re.sub(r"\b1 (worker|keyword|thread|process)(s|es)\b", r"1 \1", text)


def _times(ratio: float) -> str:
    """A ratio in three digits, or whole; never as a power of ten.

    >>> _times(0.512345), _times(2), _times(17.42), _times(3241.7)
    ('0.512', '2.00', '17.4', '3,242')
    """
    return f"{ratio:,.0f}" if ratio >= 99.95 else f"{ratio:#.3g}"


def rows_of(experiment: str, metric: str | None = None) -> list[Row]:
    """The rows of an experiment that have a metric; none if there is no such experiment yet."""
    try:
        rows = ledger.read(experiment)
    except FileNotFoundError:
        return []
    return [row for row in rows if metric is None or metric in row["metrics"]]


def p_text(p: float, digits: int = 3) -> str:
    """A p for a table; it is never 0.

    >>> p_text(0.0421), p_text(0.0001)
    ('0.042', '< 0.001')
    """
    least = 10**-digits
    return f"< {least}" if p < least else f"{p:.{digits}f}"


def p_over_runs(row: Row, digits: int = 3) -> str:
    """p of the test over whole trainings, for a table; with one on each side there is no test."""
    found = row["metrics"]
    return p_text(found["p_runs"], digits) if found["seeds"] > 1 else "–"


def nothing_in(experiment: str, part: str = "") -> str:
    """A panel that says that there are no rows, and how to make some; or, where only some are
    missing, what ``part`` says of them, in HTML."""
    some = bool(rows_of(experiment))
    if part and some:
        return panel(f"<p>{part}</p>")
    command = escape(COMMANDS.get(experiment, "bioptimus --help"))
    return panel(
        f"<p>The ledger holds no rows of <b>{escape(experiment)}</b>{' for this' * some} yet. "
        f"To make some: <code>{command}</code></p>"
    )


def origins(rows: Iterable[Mapping[str, Any]]) -> str:
    """A panel with the devices and the commands that made some rows; to be opened if it is long.

    A training that was given minutes made as many steps as the device could: that is said.

    >>> rows = [{"device": "cpu", "command": f"bioptimus scan {n}"} for n in range(4)]
    >>> "<details>" in origins(rows), "<details>" in origins(rows[:3])
    (True, False)
    """
    made = dict.fromkeys((row["device"], row["command"]) for row in rows)
    lines = "".join(
        f"<p class='key'>{escape(device)}: <code>{escape(command)}</code>{_by_clock(command)}</p>"
        for device, command in made
    )
    if len(made) > SITTINGS:
        return folded(f"The {len(made)} commands that made these rows", lines)
    return panel(lines)


def _by_clock(command: str) -> str:
    minutes = re.search(r"--minutes[ =]([\d.]+)", command)
    if not minutes or command.startswith("bioptimus experiment"):  # there no cell begins after them
        return ""
    return f", as many steps as fitted into {minutes[1]} minutes"
