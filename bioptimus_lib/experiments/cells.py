"""Cells of an experiment: small pieces of work, each with a file of its own, so none is done twice.

A run that was killed, or whose minutes are over, goes on with the first cell that has no file.
Cells that do not need one another can be made side by side, a process and a thread each: a small
model gains little from a second thread, and a second model nearly all of it.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from bioptimus_lib.files import atomic_write, weights_of
from bioptimus_lib.provenance import provenance

log = logging.getLogger(__name__)
Row = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """What an experiment is made with.

    Args:
        out: folder of cells and of what they share; cells that are there are not made again.
        model: name or folder of the old model.
        corpus: source or folder of text.
        fit_corpus: more text to calibrate on, if any.
        megabytes: of the corpus.
        words: known words that are read, at most.
        contexts: sentences per word.
        seeds: splits, or training runs, of each strategy.
        steps: of training.
        strategies: names; all that the experiment has if empty.
        models: names or folders to compare; all that the experiment has if empty.
        datasets: NER sets, names or folders; all five if empty.
        phases: folder of the experiment ``phases``, whose models are taken; ``out`` if empty.
        chosen: patterns of the cells to make (``v0.?-1``), as file names are matched; all if empty.
        reuse: take rows that the ledger has of the same setting instead of making them again.
        device: cpu, cuda, …
        minutes: no cell begins after these; 0 for no limit.
        progress: show progress bars.
    """

    out: Path
    model: str = "minilm"
    corpus: str = "biomed"
    fit_corpus: str = ""
    megabytes: float = 90
    words: int = 12_000
    contexts: int = 10
    seeds: int = 5
    steps: int = 300
    strategies: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    phases: str = ""
    chosen: tuple[str, ...] = ()
    reuse: bool = False
    device: str = "cpu"
    minutes: float = 0
    progress: bool = True

    def __post_init__(self) -> None:
        for name in ("words", "contexts", "seeds", "steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, it must be at least 1")
        if not self.megabytes > 0 or self.minutes < 0:
            raise ValueError(
                f"{self.megabytes} megabytes and {self.minutes} minutes: give more than 0 of text, "
                "and 0 minutes for no limit"
            )

    @property
    def text_name(self) -> str:
        """The corpus as the ledger names it."""
        return Path(self.corpus).name

    @property
    def model_name(self) -> str:
        """The old model as the ledger names it."""
        return Path(self.model).name

    def same(self) -> dict[str, Any]:
        """What two calls must share to share cells."""
        free = (
            "out", "seeds", "strategies", "models", "datasets", "phases", "chosen", "reuse",
            "device", "minutes", "progress",
        )  # fmt: skip
        return {k: v for k, v in asdict(self).items() if k not in free}

    def recorded(self) -> dict[str, Any]:
        """``same`` as the ledger keeps it: of a folder its name, and of a model's folder a part of
        the hash of its weights.

        >>> Setting(Path("out"), corpus="/data/notes").recorded()["corpus"]
        'notes'
        """
        found = {k: Path(v).name if isinstance(v, str) else v for k, v in self.same().items()}
        if weights := weights_of(self.model):
            found["model"] += f"@{weights}"
        return found

    def same_text(self) -> dict[str, Any]:
        """What experiments must share to share a folder: text, and the model that reads it."""
        return {k: getattr(self, k) for k in ("model", "corpus", "fit_corpus", "megabytes")}


def run_cells(
    name: str, module: Any, setting: Setting, *, workers: int = 0
) -> tuple[list[Row], list[str]]:
    """Make the cells that are asked for and are not there.

    Args:
        module: the experiment.
        workers: processes for cells that may be made side by side; 0 makes all in this one.

    Returns:
        The rows of *all* cells that are there, made now or before, also of those not asked for:
        what is computed of several together must not know a part of them alone. And the names of
        the cells that were asked for and are still missing.

    Raises:
        ValueError: the folder holds cells of another setting, no cell is of the chosen names, or
            the experiment has no cells that may be made side by side.
        ChildProcessError: a process died.
    """
    rounds = getattr(module, "rounds", None)
    if workers and rounds is None:
        raise ValueError(f"the cells of {name} are made one after the other: leave out the workers")
    ends = time.time() + 60 * setting.minutes if setting.minutes else math.inf
    same_setting(setting.out / "setting.json", setting.same_text())
    same_setting(setting.out / name / "setting.json", setting.same())
    # A path says nothing of what lies there.
    same_setting(setting.out / name / "weights.json", {"model": setting.recorded()["model"]})
    files = {cell: setting.out / name / f"{cell}.json" for cell in module.cells(setting)}
    cells = chosen_cells(list(files), setting.chosen)
    todo = [cell for cell in cells if not files[cell].exists()]
    if workers and rounds is not None:
        _side_by_side(name, setting, rounds(setting, todo), ends, workers)
    else:
        _make(name, module, setting, todo, ends)
    rows = [
        row for file in files.values() if file.exists()
        for row in json.loads(file.read_text(encoding="utf-8"))
    ]  # fmt: skip
    finish = getattr(module, "finish", None)
    missing = [cell for cell in cells if not files[cell].exists()]
    return (finish(rows) if finish else rows), missing


def _make(name: str, module: Any, setting: Setting, cells: Sequence[str], ends: float) -> None:
    """Make some cells, one after the other; none begins after the time at which it ends. Each row
    says where and when it was made, unless it knows better."""
    origin: Row = {}
    for cell in cells:
        if time.time() > ends:
            return
        log.info("%s: %s", name, cell)
        started = time.monotonic()
        made = list(module.run(setting, cell))
        origin = origin or {
            k: v for k, v in provenance(device=setting.device).items() if k != "data"
        }
        seconds = round(time.monotonic() - started, 1)
        made = [{**origin, "seconds": seconds, **row} for row in made]
        with atomic_write(setting.out / name / f"{cell}.json") as handle:
            json.dump(made, handle)


class _Group(NamedTuple):
    """Cells for one process."""

    name: str
    setting: Setting
    cells: Sequence[str]
    ends: float


def _side_by_side(
    name: str,
    setting: Setting,
    rounds: Sequence[Sequence[Sequence[str]]],
    ends: float,
    workers: int,
) -> None:
    """The groups of a round at the same time, then the next round."""
    from tqdm.auto import tqdm

    from bioptimus_lib.workers import WorkerPool

    quiet = replace(setting, progress=False)  # bars of several processes would be on one line
    for groups in rounds:
        jobs = [_Group(name, quiet, cells, ends) for cells in groups if cells]
        with WorkerPool(min(workers, len(jobs)), models=True) as pool:
            done = pool.in_order(_make_group, jobs)
            for _ in tqdm(done, total=len(jobs), unit="group", disable=not setting.progress):
                pass


def _make_group(group: _Group) -> None:
    import torch

    from bioptimus_lib.experiments import experiment

    torch.set_num_threads(1)
    _make(group.name, experiment(group.name), group.setting, group.cells, group.ends)


def grouped(cells: Sequence[str], key: Callable[[str], Any]) -> list[list[str]]:
    """Cells with the same key together, in their order.

    >>> grouped(["a-0", "a-1", "b-0"], lambda cell: cell[-1])
    [['a-0', 'b-0'], ['a-1']]
    """
    groups: dict[Any, list[str]] = {}
    for cell in cells:
        groups.setdefault(key(cell), []).append(cell)
    return list(groups.values())


def chosen_cells(cells: list[str], patterns: tuple[str, ...]) -> list[str]:
    """The cells that match one of the patterns, in their own order; all without a pattern.

    Raises:
        ValueError: a pattern that no cell matches.
    """
    for pattern in patterns:
        if not any(fnmatchcase(cell, pattern) for cell in cells):
            shown = ", ".join(cells[:8]) + (", …" if len(cells) > 8 else "")
            raise ValueError(f"no cell is called {pattern!r}: there are {shown}")
    return [cell for cell in cells if not patterns or any(fnmatchcase(cell, p) for p in patterns)]


def same_setting(file: Path, mine: dict[str, Any]) -> None:
    """Keep a setting in a file; ValueError with the differences if another one is kept there."""
    if not file.exists():
        with atomic_write(file) as handle:
            json.dump(mine, handle, indent=1)
        return
    theirs = json.loads(file.read_text(encoding="utf-8"))
    changed = [
        f"{k}: {theirs.get(k)} there, {mine[k]} here" for k in mine if theirs.get(k) != mine[k]
    ]
    if changed:
        raise ValueError(
            f"{file.parent} holds cells of another setting ({'; '.join(changed)}): choose another "
            "--out, or delete it"
        )


def summary(rows: list[Row], metrics: list[str]) -> Iterator[str]:
    """Mean and standard deviation over seeds, a line for each model and variant."""
    import statistics

    several = len({row.get("dataset") for row in rows}) > 1
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        names = (row.get("dataset") if several else "", row.get("variant"))
        key = row["model"], ", ".join(filter(None, names))
        groups.setdefault(key, []).append(row["metrics"])
    first, wide = (
        max([least, *(len(names[place]) + 2 for names in groups)])
        for place, least in enumerate((22, 26))
    )
    yield f"{'':<{first}}{'':<{wide}}{'n':>3}" + "".join(f"{name:>18}" for name in metrics)
    for (model, variant), found in groups.items():
        line = f"{model:<{first}}{variant:<{wide}}{len(found):>3}"
        for name in metrics:
            values = [metric[name] for metric in found if name in metric]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            line += f"{statistics.mean(values):>11.3f} ±{spread:>5.3f}" if values else f"{'–':>18}"
        yield line
