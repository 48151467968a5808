"""The table of real data and models: ``data/sources.json`` as checked, frozen rows.

Each row pins its files twice: by an address with a full commit or revision, and by the hash of
their bytes. So a file that changes upstream is noticed, never used.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath

from bioptimus_lib.files import data_dir

KINDS = ("ner", "task", "pubmed", "corpus", "model")
#: hexadecimal digits of each kind of hash; ``git-blob`` is what ``git hash-object`` prints
HASHES = {"sha256": 64, "md5": 32, "git-blob": 40}


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One file of a source.

    path: below the mirror or the cache, with ``/``; both are laid out alike.
    hash: ``kind:digits`` with a kind of ``HASHES``; None only for a file with a ``.md5`` beside it.
    bytes: size if known.
    upstream: path below the source's ``base_url``; None for a file made from others, which only a
        mirror can hold.
    rebuilt: another hash that is accepted, with a warning, for a stand-in of the true file.
    """

    path: str
    hash: str | None
    bytes: int | None = None
    upstream: str | None = None
    rebuilt: str | None = None

    def __post_init__(self) -> None:
        parts = PurePosixPath(self.path).parts
        if not parts or self.path.startswith("/") or "\\" in self.path or ".." in parts:
            raise ValueError(f"path {self.path!r} must stay below the folder of the sources")
        for value in (self.hash, self.rebuilt):
            kind, _, digits = (value or "md5:" + 32 * "0").partition(":")
            if not (re.fullmatch("[0-9a-f]+", digits) and len(digits) == HASHES.get(kind)):
                raise ValueError(f"hash {value!r} of {self.path}: expected one of {HASHES}")

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name


@dataclass(frozen=True, kw_only=True)
class Source:
    """One row of the table.

    folder: where its files lie below the mirror or the cache.
    base_url: address that ``SourceFile.upstream`` is added to; None if nothing can be downloaded.
    revision: commit or revision that the address is pinned to.
    page: address where a reader can look at it.
    instead: what to do where there is no mirror and no download.
    hub: repository of a model on the Hugging Face hub, understood as a name too.
    package: folder below ``site-packages`` that may hold the same files.
    """

    name: str
    kind: str
    what: str
    folder: str
    base_url: str | None
    revision: str
    page: str
    licence: str
    licence_url: str | None
    citation: str
    files: tuple[SourceFile, ...]
    note: str = ""
    instead: str = ""
    hub: str | None = None
    package: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"source {self.name!r}: kind {self.kind!r}, expected one of {KINDS}")
        if self.base_url is not None and not self.base_url.endswith("/"):
            raise ValueError(f"source {self.name!r}: base_url must end with '/'")

    @property
    def derived(self) -> bool:
        """Does it hold a file that was made from upstream files and cannot be downloaded?"""
        return any(self.url(file) is None for file in self.files)

    @property
    def bytes(self) -> int:
        """Size of all files whose size is known."""
        return sum(file.bytes or 0 for file in self.files)

    def url(self, file: SourceFile) -> str | None:
        """The pinned address of a file, or None if only a mirror can hold it."""
        if self.base_url is None or file.upstream is None:
            return None
        return self.base_url + file.upstream

    def address(self, file: SourceFile) -> str:
        """The pinned address of a file; ValueError if only a mirror can hold it."""
        url = self.url(file)
        if url is None:
            raise ValueError(f"{self.name}: {file.path} has no address, only a mirror can hold it")
        return url

    def numbered(self, numbers: Iterable[int]) -> list[SourceFile]:
        """Files of the PubMed baseline by number; their hash lies in a ``.md5`` beside each."""
        return [self.numbered_file(f"{self.revision}{number:04d}.xml.gz") for number in numbers]

    def numbered_file(self, name: str) -> SourceFile:
        """A file of the PubMed baseline by name; ValueError if no file can be called so.

        >>> source("pubmed-baseline").numbered_file("pubmed26n0001.xml.gz").upstream
        'pubmed26n0001.xml.gz'
        """
        if not re.fullmatch(r"pubmed\d\dn\d{4}\.xml\.gz", name):
            raise ValueError(f"{name!r}: expected a name like {self.revision}0001.xml.gz")
        return SourceFile(path=f"{self.folder}/{name}", hash=None, upstream=name)


@cache
def table() -> dict[str, Source]:
    """All sources by name, in the order of the file; ValueError if a row is broken."""
    rows = json.loads((data_dir() / "sources.json").read_text(encoding="utf-8"))
    return {
        row["name"]: Source(**row | {"files": tuple(SourceFile(**file) for file in row["files"])})
        for row in rows
    }


def source(name: str) -> Source:
    """The row of a name (or of a model's repository on the hub).

    ValueError: no such source; the message has the nearest name and all others.

    >>> source("NCBI-disease").folder
    'ner/NCBI-disease'
    """
    rows = table()
    for row in rows.values():
        if name in (row.name, row.hub):
            return row
    lower = {known.lower(): known for known in rows}
    near = difflib.get_close_matches(name.lower(), lower, n=1)
    guess = f"did you mean {lower[near[0]]!r}? " if near else ""
    raise ValueError(f"no source {name!r}; {guess}known are: {', '.join(rows)}")
