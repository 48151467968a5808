"""What the commands that fine-tune share: models by name, checks, and a line for each run."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioptimus_lib import options
from bioptimus_lib.errors import DataError

if TYPE_CHECKING:
    import numpy as np

    from bioptimus_lib.measures import Measure
    from bioptimus_lib.significance import Comparison

NAME = re.compile(r"\w[\w .+-]*")


def add_outputs(parser: argparse.ArgumentParser, *, out: str, ledger: str) -> None:
    """The options that say where the work is done, and what becomes of its results.

    Args:
        out: default of ``--out``.
        ledger: folder of ``data/results`` for ``--ledger``.
    """
    parser.add_argument("--out", default=out, metavar="DIR", help="results and predictions")
    parser.add_argument("--save-model", action="store_true", help="keep the fine-tuned models too")
    parser.add_argument(
        "--workers", type=int, default=0, metavar="N",
        help="so many fine-tunings at a time, a thread each; for small models on a CPU (0: one)",
    )  # fmt: skip
    options.device(parser)
    options.answers(parser, ledger)


def job_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """What these options mean for ``jobs``."""
    return {
        "out": Path(arguments.out), "device": arguments.device,
        "keep_model": arguments.save_model, "threads": 1 if arguments.workers else None,
        "progress": not arguments.quiet and not arguments.workers,
    }  # fmt: skip


def own_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given, to stand in the stead of a recipe's."""
    names = ("epochs", "learning_rate", "batch_tokens", "max_length")
    return {name: value for name in names if (value := getattr(arguments, name)) is not None}


# --- checks ------------------------------------------------------------------------------------


def checked(option: str, name: str) -> str:
    """A name that may be that of a folder; ValueError for any other."""
    if not NAME.fullmatch(name):
        raise ValueError(f"{option} {name!r}: letters, digits, blanks and . _ + - alone")
    return name


def check_numbers(arguments: argparse.Namespace, least: Mapping[str, int]) -> None:
    """ValueError for an option that is below the least that makes sense."""
    for name, lowest in least.items():
        value = getattr(arguments, name)
        if value is not None and value < lowest:
            raise ValueError(f"--{name.replace('_', '-')} {value}: at least {lowest}")


def check_apart(splits: Mapping[str, Sequence[Any]], what: str, *, where: str) -> None:
    """DataError if a split is another one over again."""
    for split, seen in (("devel", "train"), ("test", "train"), ("test", "devel")):
        if splits[split] == splits[seen]:
            raise DataError(
                f"{split} holds the {what} of {seen}, so its score would tell nothing: set {what} "
                "apart that stand in no other file", path=where,
            )  # fmt: skip


def check_out(out: Path) -> None:
    """Make the folder of the results; PermissionError if nothing can be written there."""
    out.mkdir(parents=True, exist_ok=True)
    if not os.access(out, os.W_OK):
        raise PermissionError(f"no permission to write in {out}: choose another --out")


def named_models(given: Sequence[str], *, progress: bool) -> dict[str, Path]:
    """Name of each model, and its folder: folders, names of sources, or NAME=FOLDER."""
    from bioptimus_lib import sources

    found: dict[str, Path] = {}
    for one in given:
        name, equals, rest = one.partition("=")
        if not equals or Path(one).is_dir():
            name, rest = "", one
        elif not name or not rest:
            raise ValueError(f"--model {one}: NAME=FOLDER needs a name and a folder")
        folder = sources.model_path(rest, progress=progress)
        named = Path(rest).resolve().name if Path(rest).is_dir() else rest.replace("/", "--")
        name = checked("--model", name or named)
        if name in found:
            raise ValueError(f"two models have the same name, {name}: give one as NAME=FOLDER")
        found[name] = folder
    return found


# --- doing it ----------------------------------------------------------------------------------


def say(line: str) -> None:
    """A line of progress, on standard error, at once."""
    print(line, file=sys.stderr, flush=True)


def told(
    todo: Sequence[Any], runs: Any, *, workers: int, line: Callable[[Any, Any], str]
) -> Iterator[tuple[Any, Any]]:
    """Each job with its result, and a line for each that was made now, with what is left.

    Args:
        runs: module with ``kept``, ``do_all`` and ``seconds_left`` for such jobs.
        line: what to say of a result.
    """
    missing = [job for job in todo if runs.kept(job) is None]
    if done := len(todo) - len(missing):
        say(f"{len(todo)} runs, {done} of them done before")
    ours = {job.place: number for number, job in enumerate(missing, start=1)}
    seen: list[tuple[Any, Any]] = []
    for job, result in runs.do_all(todo, workers=workers):
        if job.place in ours:
            seen.append((job, result))
            number, left = ours[job.place], ""
            if number < len(missing):
                seconds = runs.seconds_left(missing[number:], seen) / max(1, workers)
                left = f"; {len(missing) - number} left, {minutes(seconds)}"
            say(f"{number}/{len(missing)} {line(job, result)}{left}")
        yield job, result


def row_of(job: Any, *, profile: str = "any", variant: str = "") -> dict[str, Any]:
    """What the ledger knows of a job before it is done; a recipe may change its epochs."""
    recipe = getattr(job, "recipe", None)
    settings = asdict(recipe.settings(job.settings) if recipe else job.settings)
    return {
        "model": job.model, "dataset": job.dataset, "profile": profile,
        "seed": settings.pop("seed"), "settings": settings,
        **({"variant": variant} if variant else {}),
    }  # fmt: skip


def record(
    folder: str, job: Any, result: Mapping[str, Any], *, file: str, **names: str
) -> None:
    """A row of the ledger, with the command, device and commit that the result was made with.

    Args:
        names: ``profile`` and ``variant`` of ``row_of``.
    """
    from bioptimus_lib import ledger

    found = ("metrics", "epoch", "epochs", "seconds", "settings")
    row = {
        **row_of(job, **names), **{name: result[name] for name in found if name in result},
        **result["provenance"],
    }  # fmt: skip
    ledger.append(folder, row, file=file, replace=True)


# --- what came out -----------------------------------------------------------------------------


def grouped(plan: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, list[Any]]]:
    """The jobs of a plan: name of what is measured → model → its runs."""
    groups: dict[str, dict[str, list[Any]]] = {}
    for jobs in plan.values():
        for job in jobs:
            groups.setdefault(job.dataset, {}).setdefault(job.model, []).append(job)
    return groups


def spread(
    scores: Sequence[float], rows: np.ndarray, *, measure: Measure | None = None
) -> dict[str, Any]:
    """How sure a mean is, for a line of the table: its sd over seeds, None for a single one, and
    the bootstrap interval.

    Args:
        rows: of each run, as ``stats.bootstrap`` takes them for the measure, by default F1.
    """
    from bioptimus_lib import stats

    found = stats.summary(scores)
    interval = stats.bootstrap(rows, measure=measure or stats.F1)
    sd = None if found.n < 2 else found.sd
    return {"sd": sd, "interval": [interval.low, interval.high]}


def spread_text(line: Mapping[str, Any]) -> str:
    """The same for a terminal."""
    sd = "" if line["sd"] is None else f"{line['sd']:.2f}"
    low, high = line["interval"]
    return f"{sd:>5} {f'{low:.2f}–{high:.2f}':>15}"


def beside(found: Comparison) -> dict[str, Any]:
    """What a model is beside the first, for a line of the table of results."""
    return {
        "minus_first": found.difference.value,
        "minus_first_interval": [found.difference.low, found.difference.high],
        "p": found.p, "p_holm": found.p_holm, "p_runs": found.p_runs,
        "comparisons": found.together,
    }  # fmt: skip


def beside_text(line: Mapping[str, Any]) -> str:
    """The same for a terminal; nothing for the first model."""
    if "p" not in line:
        return ""
    low, high = line["minus_first_interval"]
    return (
        f"  {line['minus_first']:+.2f} [{low:+.2f}, {high:+.2f}], p = {line['p_holm']:.4f}, "
        f"by runs {line['p_runs']:.3f}"
    )


def minutes(seconds: float) -> str:
    """A time to come, as exactly as it can be known.

    >>> minutes(20), minutes(80), minutes(600), minutes(10_000)
    ('less than a minute', 'about a minute', 'about 10 minutes', 'about 2.8 hours')
    """
    if seconds < 45:
        return "less than a minute"
    if seconds < 90:
        return "about a minute"
    some = f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
    return f"about {some}"
