"""Notes in a reader's own ``NOTEEVENTS.csv[.gz]``, the file of MIMIC-III's notes, read as a stream.

The form is the one that the database documents (Johnson et al., 2016; its page of the table
NOTEEVENTS): eleven columns, a note to a record. The notes are fields in quotes that go over many
lines, quotes inside are doubled. One note at a time is in memory, whatever the size of the file.
The file itself needs credentials, is not a part of this course, and must not leave its owner's
machine; the course has tests and a chapter on made-up notes in the same form.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from bioptimus_lib.errors import DataError
from bioptimus_lib.files import open_bytes

COLUMNS = (
    "ROW_ID", "SUBJECT_ID", "HADM_ID", "CHARTDATE", "CHARTTIME", "STORETIME", "CATEGORY",
    "DESCRIPTION", "CGID", "ISERROR", "TEXT",
)  # fmt: skip
#: A file is taken for one of notes by its name.
NAME = re.compile(r"noteevents[\w.-]*\.csv(\.gz)?", re.I)


@dataclass(frozen=True)
class Note:
    """A note: the columns that we use; whether the hospital took it back (ISERROR); and the line of
    the file where its record begins."""

    row_id: str
    subject: str
    category: str
    description: str
    text: str
    error: bool
    line: int


def is_notes(path: str | PathLike[str]) -> bool:
    """Whether a file is one of notes, by its name.

    >>> is_notes("NOTEEVENTS.csv.gz"), is_notes("train.csv")
    (True, False)
    """
    return bool(NAME.fullmatch(Path(path).name))


def check_header(path: str | PathLike[str]) -> None:
    """DataError if the first record does not name the columns; reads no further."""
    next(_records(Path(path)), None)


def notes(
    path: str | PathLike[str],
    *,
    categories: Iterable[str] = (),
) -> Iterator[Note]:
    """The notes of a file in its order, also those that were taken back.

    Args:
        categories: those that are wanted, as the file writes them (``Discharge summary``), in
            whatever case and with blanks around; none for all.

    Raises:
        FileNotFoundError: no such file.
        DataError: with file and line: another header, bytes that are not UTF-8, a record with more
            or fewer columns, a quote that is never closed (a field larger than
            ``csv.field_size_limit()``, 131,072 characters as a rule), a row without an id or with
            that of the row before, ISERROR that is neither empty nor 1; a broken gzip file, and a
            file without a note.
    """
    wanted = {name.strip().casefold() for name in categories}
    path, found, before = Path(path), 0, ""
    for line, row in _records(path):
        cells = dict(zip(COLUMNS, row, strict=True))
        if not (row_id := cells["ROW_ID"].strip()).isdigit():
            raise DataError(f"ROW_ID is {cells['ROW_ID'][:40]!r}, expected a number",
                            path=path, line=line)  # fmt: skip
        if row_id == before:
            raise DataError(f"ROW_ID {row_id} for the second time", path=path, line=line)
        if (error := cells["ISERROR"].strip()) not in ("", "1"):
            raise DataError(f"ISERROR is {error[:40]!r}, expected nothing or 1",
                            path=path, line=line)  # fmt: skip
        before, found = row_id, found + 1
        if not wanted or cells["CATEGORY"].strip().casefold() in wanted:
            yield Note(row_id, cells["SUBJECT_ID"].strip(), cells["CATEGORY"].strip(),
                       cells["DESCRIPTION"].strip(), cells["TEXT"], bool(error), line)  # fmt: skip
    if not found:
        raise DataError("no note in this file", path=path)


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The records after the header, each with the line on which it begins."""
    lines = _Lines(path)
    reader = csv.reader(lines, strict=True)
    begin = 1
    try:
        for row in reader:
            if begin == 1:
                if [name.strip().upper() for name in row] != list(COLUMNS):
                    raise DataError(
                        f"the header is {','.join(row)!r}, expected the columns "
                        f"{', '.join(COLUMNS)}", path=path, line=1,
                    )  # fmt: skip
            elif row:
                if len(row) != len(COLUMNS):
                    raise DataError(f"{len(row)} columns, expected {len(COLUMNS)}",
                                    path=path, line=begin)  # fmt: skip
                yield begin, row
            begin = lines.number + 1
    except csv.Error as error:
        raise DataError(
            f"not CSV ({error}) in the record that begins here; is a quote never closed?",
            path=path, line=begin,
        ) from None  # fmt: skip
    if begin == 1:
        raise DataError("the file is empty", path=path)


class _Lines:
    """The lines of a file, strict in their bytes; ``number`` is that of the last one given."""

    def __init__(self, path: Path) -> None:
        self.path, self.number = path, 0

    def __iter__(self) -> Iterator[str]:
        with open_bytes(self.path) as stream:
            for raw in stream:
                self.number += 1
                try:
                    yield raw.decode("utf-8-sig" if self.number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise DataError(f"not UTF-8 ({error})", path=self.path,
                                    line=self.number) from None  # fmt: skip
