"""The ledger: every number of the course as a row with its origin, in JSON files under git.

A row says which model, data set, profile and seed, what came out, and what it came from: command,
device, versions, hashes of the data, commit. The book's tables and plots are drawn from these
files. ``data/results/<experiment>/<file>.json`` holds a list of rows, one per line, so a new row
is one new line in a diff.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioptimus_lib.errors import DataError
from bioptimus_lib.files import PLAIN_NAME, atomic_write, data_dir
from bioptimus_lib.provenance import ABSOLUTE, provenance, relative

if TYPE_CHECKING:
    import pandas

__all__ = ["append", "check", "frame", "key", "provenance", "read", "relative", "results_dir"]

Row = dict[str, Any]
#: Fields that every row has. ``seed`` is None where nothing random was done.
REQUIRED: dict[str, tuple[type, ...]] = {
    "experiment": (str,),
    "model": (str,),
    "dataset": (str,),
    "profile": (str,),
    "seed": (int, type(None)),
    "metrics": (dict,),
    "command": (str,),
    "device": (str,),
    "versions": (dict,),
    "data": (dict,),
    "commit": (str, type(None)),
}
#: What makes two rows the same measurement; ``variant`` tells settings apart and may be missing.
KEY = ("experiment", "model", "dataset", "profile", "seed", "variant")


def results_dir() -> Path:
    """``data/results`` of the clone, or of the installed package."""
    return data_dir() / "results"


# --- writing and reading -----------------------------------------------------------------------


def append(
    experiment: str,
    rows: Mapping[str, Any] | Iterable[Mapping[str, Any]],
    *,
    file: str | None = None,
    replace: bool = False,
    folder: str | os.PathLike[str] | None = None,
) -> Path:
    """Add one row or several to an experiment; all of them, or none.

    Args:
        experiment: name of the experiment and of its folder.
        rows: with the fields of ``REQUIRED`` (``experiment`` is filled in) and any others.
        file: name of the file in that folder, without ``.json``; by default the rows' profile.
        replace: put rows in the place of those with the same key.
        folder: another place than ``data/results``.

    Returns:
        The file. Two processes that write the same file at the same time may lose a row: give
        each its own file.

    Raises:
        ValueError: a row is incomplete, holds a number that is not finite or an absolute path,
            or has the key of a row that is there and ``replace`` is false; or a row of the same
            key but for its seed was made with another ``setting``.
    """
    added = [dict(rows)] if isinstance(rows, Mapping) else [dict(row) for row in rows]
    if not added:
        raise ValueError("no row to append")
    for row in added:
        if row.setdefault("experiment", experiment) != experiment:
            raise ValueError(f"a row of experiment {row['experiment']!r} given to {experiment!r}")
        check(row)
    if file is None:
        profiles = sorted({row["profile"] for row in added})
        if len(profiles) > 1:
            raise ValueError(f"rows of the profiles {profiles}: name the file")
        file = profiles[0]
    path = _file(experiment, file, folder)
    elsewhere = {key(r): r for r in _rows(experiment, folder, without=path)}
    here = {key(row): row for row in _load(path)} if path.exists() else {}
    keys = [key(row) for row in added]
    _check_settings([*elsewhere.values(), *here.values()], added)
    for k in keys:
        if keys.count(k) > 1:
            raise ValueError(f"two of the rows have the same key {_show(k)}")
        if k in elsewhere:
            raise ValueError(f"{_show(k)} is in another file of this experiment")
        if k in here and not replace:
            raise ValueError(f"{_show(k)} is there already: replace it, or give a variant")
    here |= dict(zip(keys, added, strict=True))
    with atomic_write(path) as out:
        lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) for row in here.values())
        out.write("[\n" + ",\n".join(lines) + "\n]\n")
    return path


def read(experiment: str, *, folder: str | os.PathLike[str] | None = None) -> list[Row]:
    """All rows of an experiment, by file name and in the order in which they were added.

    Raises:
        FileNotFoundError: no such experiment.
        DataError: a file is not a ledger file, or holds a broken row.
    """
    found = _rows(experiment, folder)
    if not found:
        place = Path(folder) if folder else results_dir()
        known = sorted(p.parent.name for p in place.glob("*/*.json"))
        raise FileNotFoundError(
            f"no results of {experiment!r}; there are results of: {', '.join(dict.fromkeys(known))}"
        )
    return found


def frame(experiment: str, *, folder: str | os.PathLike[str] | None = None) -> pandas.DataFrame:
    """An experiment as a table: a row each, metrics as columns beside model, set and seed."""
    import pandas

    hidden = ("metrics", "versions", "data", "setting", "counts")
    return pandas.DataFrame(
        {**{k: v for k, v in row.items() if k not in hidden}, **row["metrics"]}
        for row in read(experiment, folder=folder)
    )


def key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What makes a row the same measurement as another."""
    return tuple(row.get(name) for name in KEY)


def check(row: Mapping[str, Any]) -> None:
    """ValueError, with the name of the field, unless a row is complete and sound."""
    for name, kinds in REQUIRED.items():
        if name not in row:
            raise ValueError(f"the row lacks {name!r}; required are {', '.join(REQUIRED)}")
        if not isinstance(row[name], kinds) or isinstance(row[name], bool):
            raise ValueError(f"{name} is {row[name]!r}, expected {kinds[0].__name__}")
    if not row["metrics"]:
        raise ValueError("the row has no metrics")
    for name in ("experiment", "profile"):
        _check_name(name, row[name])
    for name, value in row["metrics"].items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"metric {name} is {value!r}, expected a number")
        if not math.isfinite(value):
            raise ValueError(f"metric {name} is {value}, expected a finite number")
    for name, text in _texts(row):
        if ABSOLUTE.search(text):
            raise ValueError(
                f"{name} holds an absolute path ({text!r}): it means nothing on another machine"
            )
    try:
        json.dumps(row, allow_nan=False)
    except TypeError as error:
        raise ValueError(f"the row is not JSON: {error}") from None


def _check_name(field: str, name: str) -> None:
    if not PLAIN_NAME.fullmatch(name):
        raise ValueError(f"{field} {name!r}: letters, digits, '-', '_' and '.' alone are allowed")


def check_settings(
    experiment: str, rows: Iterable[Row], *, folder: str | os.PathLike[str] | None = None
) -> None:
    """Look before long work whether its rows could be appended: ValueError if the experiment has a
    row of the same key, of whatever seed, that was made with another setting.

    Args:
        rows: as far as they are known; what they lack of ``KEY`` counts as None.
    """
    _check_settings(
        _rows(experiment, folder), [{**row, "experiment": experiment} for row in rows]
    )


def _check_settings(there: Iterable[Row], added: Iterable[Row]) -> None:
    def name(row: Row) -> tuple[Any, ...]:
        return tuple(row.get(part) for part in KEY if part != "seed")

    known = {name(row): row for row in there if row.get("setting") or row.get("settings")}
    for row in added:
        sibling = known.setdefault(name(row), row)
        if changed := _other_setting(sibling, row):
            raise ValueError(
                f"{_show(key(sibling))} has another setting ({changed}): rows of both cannot stand "
                "under one name, so take the same setting, or take the old rows out of "
                f"data/results/{row['experiment']}"
            )


def _other_setting(there: Row, here: Row) -> str:
    """What differs but the seed in the settings of two rows, of an experiment (``setting``) or of a
    fine-tuning (``settings``); nothing if one of them does not tell."""
    return "; ".join(
        f"{name}: {old.get(name)} there, {value} here"
        for kind in ("setting", "settings")
        if (old := there.get(kind)) and (new := here.get(kind))
        for name, value in new.items() if name != "seed" and old.get(name) != value
    )  # fmt: skip


def _file(experiment: str, file: str, folder: str | os.PathLike[str] | None) -> Path:
    _check_name("experiment", experiment)
    _check_name("file", file)
    return (Path(folder) if folder else results_dir()) / experiment / f"{file}.json"


def _rows(
    experiment: str, folder: str | os.PathLike[str] | None, *, without: Path | None = None
) -> list[Row]:
    place = _file(experiment, "any", folder).parent
    return [row for path in sorted(place.glob("*.json")) if path != without for row in _load(path)]


def _load(path: Path) -> list[Row]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"not JSON: {error}", path=path) from None
    if not isinstance(rows, list):
        raise DataError("a ledger file is a list of rows", path=path)
    for number, row in enumerate(rows, start=1):
        try:
            if not isinstance(row, dict):
                raise ValueError("not an object")
            check(row)
        except ValueError as error:
            raise DataError(f"row {number}: {error}", path=path) from None
    return rows


def _texts(value: Any, name: str = "") -> Iterable[tuple[str, str]]:
    """All texts in a row, keys of objects too, with the name of their field."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for k, v in value.items():
            yield name or str(k), str(k)
            yield from _texts(v, name or str(k))
    elif isinstance(value, Sequence):
        for v in value:
            yield from _texts(v, name)


def _show(k: tuple[Any, ...]) -> str:
    return ", ".join(f"{n} {v!r}" for n, v in zip(KEY, k, strict=True) if v is not None)
