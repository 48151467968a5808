"""NER sets by name: those of the table of sources, or a folder of one's own."""

from __future__ import annotations

import os
from pathlib import Path

from bioptimus_lib import sources
from bioptimus_lib.source_table import table


def names() -> list[str]:
    """The sets of the table."""
    return [row.name for row in table().values() if row.kind == "ner"]


def folder_of(name: str | os.PathLike[str], *, progress: bool = True) -> Path:
    """The folder of a set, fetched if need be; a folder called like a set is meant by ./name.

    Raises:
        ValueError: neither a set of the table nor a folder.
    """
    if name in names():
        return sources.fetch(str(name), progress=progress)
    folder = Path(name).expanduser()
    if str(name) in table() or not folder.is_dir():
        raise ValueError(
            f"{str(name)!r} is not an NER set: give a folder with train.tsv, devel.tsv and "
            f"test.tsv, or one of {', '.join(names())}"
        )
    return folder
