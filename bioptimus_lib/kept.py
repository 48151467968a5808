"""Work that is kept: a folder for each piece of it, made once and read ever after.

A folder appears when its work is done, whole, and its ``result.json`` says what it was made from.
The same is not done again; something else in its place is refused, with the difference in words.
Paths do not count, contents do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from bioptimus_lib.errors import DataError
from bioptimus_lib.files import sha256_of

if TYPE_CHECKING:
    import numpy as np

Result = dict[str, Any]
#: What makes a model: its weights, its shape, its tokenizer.
MODEL_FILES = ("*.safetensors", "config.json", "tokenizer.json", "vocab.txt")


class Placed(Protocol):
    """Work on a model with a place of its own."""

    @property
    def place(self) -> Path: ...
    @property
    def model(self) -> str: ...
    @property
    def folder(self) -> Path: ...
    @property
    def device(self) -> str | None: ...


J = TypeVar("J", bound=Placed)

# --- what it was made from ---------------------------------------------------------------------


def hash_of(path: Path) -> str:
    """The sha256 of a file, computed once as long as the file stays as it is."""
    status = path.stat()
    return _hash_of(path, status.st_mtime_ns, status.st_size)


@lru_cache(1000)
def _hash_of(path: Path, *_: int) -> str:
    return sha256_of(path)


def model_hashes(folder: Path) -> dict[str, str]:
    """The hash of each file of a folder that makes its model."""
    found = sorted({path for pattern in MODEL_FILES for path in folder.glob(pattern)})
    return {path.name: hash_of(path) for path in found}


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """What differs between two origins, in words.

    ``model`` and ``data`` hold hashes; other mappings are compared value by value; ``sentences`` or
    ``examples`` are how many of train are used, None for all.
    """
    found = []
    for name, new in here.items():
        old = there.get(name)
        if name in ("model", "data"):
            continue
        if isinstance(new, Mapping):
            values = old or {}
            found += [
                f"{k} {values.get(k)} there, {new[k]} here" for k in new if values.get(k) != new[k]
            ]
        elif old != new and name in ("sentences", "examples"):
            found.append(f"{old or 'all'} {name} of train there, {new or 'all'} here")
        elif old != new:
            found.append(f"{name} {old} there, {new} here")
    if there.get("model") != here["model"]:
        found.append("the model is another one")
    data = there.get("data") or {}
    parts = sorted({*data, *here["data"]})  # a file that is gone has changed, too
    changed = [part for part in parts if data.get(part) != here["data"].get(part)]
    return found + ([f"changed since: {', '.join(changed)}"] if changed else [])


def read_kept(
    place: Path, here: Mapping[str, Any], *, files: Sequence[str], model: bool = False
) -> Result | None:
    """The result of work that was done before, or None.

    Args:
        here: what it would be made from now.
        files: further files that belong to it.
        model: its model is wanted, too.

    Raises:
        ValueError: the place holds the result of something else; the message says what differs. Or
            its model was not kept.
        DataError: the result cannot be read, or one of its files is missing.
    """
    file = place / "result.json"
    if not file.is_file():
        if place.exists():
            raise ValueError(f"{place} is there and holds no result.json: give another --out")
        return None
    try:
        result: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        there = result["origin"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"no result of this version ({type(error).__name__}): delete its folder, and it is "
            "made again",
            path=file,
        ) from None
    if found := differences(there, here):
        raise ValueError(
            f"{place} holds a run with other settings ({'; '.join(found)}): give another "
            "--out, or delete it"
        )
    if not all((place / name).is_file() for name in files):
        raise DataError(
            "the predictions are missing: delete the folder, and it is made again", path=place
        )
    if model and not any(place.glob("model*")):
        raise ValueError(
            f"{place} was kept without its model: delete it, or give another --out, and it is made "
            "with it"
        )
    return result


def notes(job: Placed, origin: Mapping[str, Any], *, files: Iterable[Path]) -> dict[str, Any]:
    """What is kept with a result: what it was made from, and where and when."""
    from bioptimus_lib.provenance import provenance

    weights = sorted(job.folder.glob("*.safetensors"))
    made = provenance(data=[*files, *weights], device=job.device)
    return {"origin": dict(origin), "provenance": made}


# --- many --------------------------------------------------------------------------------------


def each(
    todo: Sequence[J],
    *,
    do: Callable[[J], Result],
    kept: Callable[[J], Result | None],
    workers: int = 0,
) -> Iterator[tuple[J, Result]]:
    """Each job with its result, in their order; several at a time with ``workers`` processes.

    A small model gains little from a second core, a second fine-tuning nearly all of it: give each
    process one thread.
    """
    from bioptimus_lib.workers import WorkerPool

    missing = [job for job in todo if kept(job) is None]  # what is refused is refused now
    new = {job.place for job in missing}
    with WorkerPool(workers if len(missing) > 1 else 0, models=True) as pool:
        made = pool.in_order(do, missing)
        for job in todo:
            yield job, next(made) if job.place in new else do(job)


def stacked(
    done: Iterable[J],
    read: Callable[[J, Path], np.ndarray],
    *,
    file: str,
    what: Callable[[J], str],
) -> np.ndarray:
    """Rows of the predictions on disk, one array for each job: (jobs, examples, width).

    Args:
        read: rows of a job from the file of its predictions.
        file: what that file is called.
        what: what the predictions should have been, in words.

    Raises:
        DataError: the predictions are others.
    """
    import numpy as np

    found = []
    for job in done:
        path = job.place / file
        try:
            found.append(read(job, path))
        except DataError:
            raise
        except (ValueError, TypeError) as error:
            raise DataError(f"not {what(job)}: {error}", path=path) from None
    return np.stack(found)


def expected(
    todo: Iterable[J], done: Iterable[tuple[J, Result]], *, work: Callable[[J], float]
) -> float | None:
    """Seconds that jobs will take, by what others took: the same model if there is one; None if
    there is nothing to go by.

    Args:
        work: how much a job is, in any unit.
    """
    rates: dict[str, list[float]] = {}
    for job, result in done:
        rates.setdefault(job.model, []).append(result["seconds"] / work(job))
    if not rates:
        return None
    means = {model: sum(some) / len(some) for model, some in rates.items()}
    usual = sum(means.values()) / len(means)
    return sum(means.get(job.model, usual) * work(job) for job in todo)
