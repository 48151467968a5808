"""The one error type of our own: data that is broken, with the place where it broke.

Wrong values raise ``ValueError`` and missing files ``FileNotFoundError``, as everywhere in Python.
"""

from __future__ import annotations

from os import PathLike


class DataError(ValueError):
    """Broken input data; the message begins with ``file:line`` when they are known.

    >>> str(DataError("tag 'X' is not IOB2", path="train.tsv", line=7))
    "train.tsv:7: tag 'X' is not IOB2"
    """

    def __init__(
        self, message: str, *, path: str | PathLike[str] | None = None, line: int | None = None
    ) -> None:
        self.path, self.line = path, line
        place = "" if path is None else f"{path}:{line}: " if line is not None else f"{path}: "
        super().__init__(place + message)
