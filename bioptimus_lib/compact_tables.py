"""The compact models as tables: what the recipes say, what their shapes weigh, what the ledger's
rows of the experiment ``compact`` found. Whatever has not been run is a dash, or says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from html import escape
from typing import Any

from bioptimus_lib import evidence, stats
from bioptimus_lib.experiments.compact import EIGHT, FAULTS, PAIRS
from bioptimus_lib.experiments.compact_students import ALONE, TEACHER
from bioptimus_lib.pictures import panel, table
from bioptimus_lib.plots import image
from bioptimus_lib.plots_compact import Model, trade_off
from bioptimus_lib.plots_ner_results import Row, forest, of_difference
from bioptimus_lib.profile import NOT_FOUND
from bioptimus_lib.recipes import BASE, COMPACT, RECIPES, Recipe

EXPERIMENT, SET = "compact", "NCBI-disease"
#: Pieces of BERT's vocabularies; the first is BioBERT's.
CASED, UNCASED = 28_996, 30_522
NOTHING = "–"
SIX = tuple(name for name, row in RECIPES.items() if row.paper == COMPACT)


# --- recipes -------------------------------------------------------------------------------------


@cache
def full_size(name: str, pieces: int = CASED) -> dict[str, int]:
    """Parameters of a recipe at its published shape: of the ``encoder``, which a task keeps, and of
    the whole ``model``, with the head that guesses pieces. Nothing is allocated."""
    from bioptimus_lib.students import at_full_size, parameters

    model = at_full_size(RECIPES[name], pieces)
    return {"encoder": parameters(model.base_model), "model": parameters(model)}


def begins(recipe: Recipe) -> str:
    """What a recipe starts from, in words; layers are counted from 0, of twelve."""
    if recipe.start_layers is None:
        return f"{recipe.start} weights" if recipe.start == "random" else recipe.start
    layers = recipe.start_layers(recipe.shape.layers, BASE.layers)
    return f"{recipe.teacher}'s layers {', '.join(map(str, layers))}"


def sizes_table(names: Iterable[str] = SIX) -> str:
    """Shape, published and counted size of recipes, as HTML; two columns for two vocabularies."""
    lines = []
    for name in names:
        row = RECIPES[name]
        found = [full_size(name, pieces)["encoder"] / 1e6 for pieces in (CASED, UNCASED)]
        off = [abs(size / row.millions - 1) for size in found] if row.millions else []
        lines.append({
            "model": name, "shape": str(row.shape), "starts from": begins(row),
            "published": f"{row.millions:g} M" if row.millions else NOT_FOUND,
            "cased": f"{found[0]:.1f} M", "uncased": f"{found[1]:.1f} M",
            "off by": _percent(off) if off else NOTHING,
        })  # fmt: skip
    return table(lines, numbers=("published", "cased", "uncased", "off by"))


def _percent(shares: Sequence[float]) -> str:
    """The least and the most of some shares, or one number if both read the same.

    >>> _percent([0.019, 0.021]), _percent([0.08, 0.046])
    ('2 %', '5 to 8 %')
    """
    least, most = (f"{100 * end(shares):.0f}" for end in (min, max))
    return f"{most} %" if least == most else f"{least} to {most} %"


def objectives_table(names: Iterable[str] = SIX) -> str:
    """What each recipe asks of its student, as HTML, and which of it is our choice."""
    return table([
        {"model": name, "objective": str(row.objective),
         "layer map": ", ".join(map(str, row.layer_map(row.shape.layers, BASE.layers)))
         if row.layer_map else NOTHING,
         "our choice": "; ".join(row.ours) or NOTHING}
        for name, row in ((name, RECIPES[name]) for name in names)
    ])  # fmt: skip


# --- the ledger ----------------------------------------------------------------------------------


@dataclass
class Found:
    """What the ledger has of one arm: F1 by seed in 32 and in 8 bits, and the rows of its speed."""

    f1: dict[int, float] = field(default_factory=dict)
    eight: dict[int, float] = field(default_factory=dict)
    speed: dict[str, float] = field(default_factory=dict)
    speed_eight: dict[str, float] = field(default_factory=dict)


def collected(rows: Iterable[Mapping[str, Any]], dataset: str = SET) -> dict[str, dict[str, Found]]:
    """Rows of the experiment as setting (teacher and steps, in words) → arm → what was found."""
    settings: dict[str, dict[str, Found]] = {}
    for row in rows:
        if "arm" not in row:
            continue
        setting = ", ".join(row["variant"].split(", ")[:2])
        found = settings.setdefault(setting, {}).setdefault(row["arm"], Found())
        small, metrics = EIGHT in row["variant"], row["metrics"]
        if "milliseconds_1" in metrics:
            (found.speed_eight if small else found.speed).update(metrics)
        elif "f1" in metrics and row["dataset"] == dataset:
            (found.eight if small else found.f1)[row["seed"]] = metrics["f1"]
    return settings


def results_table(dataset: str = SET) -> str:
    """A line for each recipe and each teacher: F1 of the student, of the same one by MLM alone, in
    8 bits, and its speed, as HTML."""
    rows = evidence.rows_of(EXPERIMENT)
    lines = []
    for setting, arms in collected(rows, dataset).items():
        for name in (TEACHER, *SIX):
            found = arms.get(name, Found())
            lost = [found.f1[s] - found.eight[s] for s in found.f1 if s in found.eight]
            lines.append({
                "model": name,
                "starts from": begins(RECIPES[name]) if name in RECIPES else setting,
                "F1": _spread(found.f1.values()),
                "MLM alone": _spread(arms.get(f"{name}-{ALONE}", Found()).f1.values()),
                "lost in 8 bits": f"{sum(lost) / len(lost):+z.2f}" if lost else NOTHING,
                "ms, batch 1": _number(found.speed, "milliseconds_1", "{:.1f}"),
                "ms, batch 32": _number(found.speed, "milliseconds_32", "{:.0f}"),
                "8 bits, times as fast": " and ".join(
                    _number(found.speed_eight, f"than_32_bits_{b}", "{:.2f}") for b in (1, 32)
                ) if found.speed_eight else NOTHING,
                "MB": _number(found.speed, "megabytes", "{:.1f}"),
            })  # fmt: skip
    if not lines:
        return evidence.nothing_in(EXPERIMENT)
    return table(lines, numbers=list(lines[0])[2:]) + evidence.origins(rows)


def _spread(values: Iterable[float]) -> str:
    some = list(values)
    return f"{stats.summary(some)} ({len(some)})" if some else NOTHING


def _number(values: Mapping[str, float], name: str, form: str) -> str:
    return form.format(values[name]) if name in values else NOTHING


def differences(control: str, *, title: str, dataset: str = SET) -> str:
    """Arms minus their controls on a set, with intervals, as a figure and a table in HTML.

    Args:
        control: ``MLM alone``, ``without the fault`` or ``teacher``.
        title: of the figure.

    Raises:
        ValueError: no such control.
    """
    if control not in {name for name, _ in PAIRS}:
        raise ValueError(f"control {control!r} is unknown: choose of {[n for n, _ in PAIRS]}")
    found = [
        row for row in evidence.rows_of(EXPERIMENT, "difference")
        if row["dataset"] == dataset and row["model"].endswith(f" − {control}")
    ]
    if not found:
        part = f"No pair beside <b>{escape(control)}</b> has been run yet."
        return evidence.nothing_in(EXPERIMENT, part)
    several = len({_setting(row) for row in found}) > 1
    bars, lines = {}, []
    for row in found:
        label = _question(row) + (f"\n({_setting(row)})" if several else "")
        m = row["metrics"]
        bars[label] = Row(m["difference"], m["low"], m["high"])
        lines.append({
            "pair": _question(row), "setting": _setting(row),
            "difference": f"{m['difference']:+z.2f}",
            "95 %": f"{m['low']:+z.2f} to {m['high']:+z.2f}", evidence.HOLM: f"{m['p_holm']:.4f}",
            "p over runs": evidence.p_over_runs(row), "seeds": f"{m['seeds']:.0f}",
        })  # fmt: skip
    said = "; ".join(f"{' '.join(name.split())} {bar.difference}" for name, bar in bars.items())
    figure = forest(bars, title=title, zero=True,
                    xlabel=of_difference(row["metrics"]["seeds"] for row in found))  # fmt: skip
    return image(figure, alt=f"{title}: differences in F1 on {dataset}. {said}.") + table(
        lines, numbers=list(lines[0])[2:]
    )


def _setting(row: Mapping[str, Any]) -> str:
    return ", ".join(row["variant"].split(", ")[:2])


def _question(row: Mapping[str, Any]) -> str:
    return str(row["variant"]).split(", ")[2]


def trade_off_figure(dataset: str = SET) -> str:
    """The trade-off of the first setting that has models with F1 and speed, as HTML."""
    for setting, arms in collected(evidence.rows_of(EXPERIMENT), dataset).items():
        names = [n for n in (TEACHER, *SIX) if n in arms and arms[n].f1 and arms[n].speed]
        if names:
            models = {name: point(arms[name].f1, arms[name].speed) for name in names}
            small = {
                name: point(arms[name].eight, arms[name].speed_eight)
                for name in names if arms[name].eight and arms[name].speed_eight
            }  # fmt: skip
            title = f"{dataset}: {setting}"
            return image(
                trade_off(models, small=small, title=title),
                alt=f"Four panels, F1 against parameters, latency, time in a batch and memory; "
                f"{title}. {said(models)}. In 8 bits: {said(small) or 'none'}.",
            )
    return evidence.nothing_in(EXPERIMENT)


def eight_bits(dataset: str = SET) -> str:
    """What 8 bits bring and cost, and whether it is what was hoped for: 1.8 times the throughput at
    batch 32, for half a point of F1 at most. A table in HTML."""
    lines = []
    for setting, arms in collected(evidence.rows_of(EXPERIMENT), dataset).items():
        for name in (TEACHER, *SIX):
            found = arms.get(name, Found())
            seeds = [seed for seed in found.f1 if seed in found.eight]
            times = found.speed_eight.get("than_32_bits_32")
            if not seeds or times is None:
                continue
            lost = sum(found.f1[seed] - found.eight[seed] for seed in seeds) / len(seeds)
            lines.append({
                "model": name, "setting": setting, "throughput, times": f"{times:.2f}",
                "F1 lost": f"{lost:+z.2f}", "seeds": len(seeds),
                "1.8 times at 0.5": "reached" if times >= 1.8 and lost <= 0.5 else "not reached",
            })
    if not lines:
        return panel("<p>No model has been run in 8 bits yet, with its F1 and its speed.</p>")
    return table(lines, numbers=("throughput, times", "F1 lost", "seeds"))


def point(f1: Mapping[int, float], speed: Mapping[str, float]) -> Model:
    """A model of a trade-off from F1 by seed and the metrics of its speed."""
    times = {batch: speed[f"milliseconds_{batch}"] for batch in (1, 32)}
    return Model(list(f1.values()), speed["encoder"], times, speed["megabytes"])


def said(models: Mapping[str, Model]) -> str:
    """The points of a trade-off in words, for alt text."""
    return "; ".join(
        f"{name}: F1 {sum(m.f1) / len(m.f1):.1f}, {m.parameters / 1e6:.2f} million, "
        f"{m.milliseconds[1]:.1f} ms, {m.milliseconds[32] / 32:.2f} ms a row, {m.megabytes:.1f} MB"
        for name, m in models.items()
    )


def faults() -> str:
    """The faults at scale, each beside the same training without it, as HTML."""
    recipes = ", ".join(dict.fromkeys(FAULTS.values()))
    return differences("without the fault", title=f"With the fault, minus without ({recipes})")
