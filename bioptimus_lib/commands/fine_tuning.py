"""What the commands that fine-tune share: models by name, checks, and a line for each run."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bioptimus_lib.significance import Comparison

NAME = re.compile(r"\w[\w .+-]*")


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
