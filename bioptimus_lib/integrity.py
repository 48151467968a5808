"""Are these the right bytes? Hashes of files, and the comparison with what the table promises."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from pathlib import Path

from bioptimus_lib.errors import DataError
from bioptimus_lib.source_table import HASHES, SourceFile

log = logging.getLogger(__name__)


def digest(path: str | os.PathLike[str], kind: str = "sha256") -> str:
    """The hash of a file as hexadecimal digits; ``git-blob`` is what ``git hash-object`` prints."""
    if kind not in HASHES:
        raise ValueError(f"no hash {kind!r}; known are: {', '.join(HASHES)}")
    with open(path, "rb") as file:
        if kind != "git-blob":
            return hashlib.file_digest(file, kind).hexdigest()
        blob = hashlib.sha1(b"blob %d\0" % os.fstat(file.fileno()).st_size, usedforsecurity=False)
        while piece := file.read(1 << 20):
            blob.update(piece)
        return blob.hexdigest()


def parse_md5(text: str, *, name: str, path: str | os.PathLike[str] | None = None) -> str:
    """The digits in a ``.md5`` file of the NLM, which must be those of the file ``name``.

    path: where the text comes from, for the message of the DataError that other text raises.

    >>> parse_md5("MD5(a.xml.gz)= 0123456789ABCDEF0123456789abcdef", name="a.xml.gz")
    '0123456789abcdef0123456789abcdef'
    """
    match = re.fullmatch(r"\s*MD5\s*\(([^()]+)\)\s*=\s*([0-9a-fA-F]{32})\s*", text)
    if not match or match[1].strip() != name:
        raise DataError(f"expected 'MD5({name})= ' and 32 digits, found {text[:80]!r}", path=path)
    return match[2].lower()


def beside(path: Path) -> str:
    """The hash, as ``md5:digits``, that the ``.md5`` file beside a file of the baseline tells."""
    sidecar = path.with_name(path.name + ".md5")
    text = sidecar.read_text(encoding="ascii", errors="replace")
    return "md5:" + parse_md5(text, name=path.name, path=sidecar)


def present(file: SourceFile, path: Path) -> bool:
    """Is the file there, together with its ``.md5`` if only that holds its hash?"""
    sidecar = path.with_name(path.name + ".md5")
    return path.is_file() and (file.hash is not None or sidecar.is_file())


def check(file: SourceFile, path: Path, *, origin: str, accept_rebuilt: bool = False) -> None:
    """DataError, naming both hashes, unless ``path`` holds the bytes that the table promises.

    origin: where they came from, for the message.
    accept_rebuilt: a stand-in that the table knows passes, with a warning.
    """
    kind, _, expected = (file.hash or beside(path)).partition(":")
    found = digest(path, kind)
    if found == expected:
        return
    if accept_rebuilt and file.rebuilt:
        other, _, digits = file.rebuilt.partition(":")
        if digest(path, other) == digits:
            log.warning(
                "%s is a rebuilt file, not the upstream one: unfit for reported results", path
            )
            return
    size = path.stat().st_size
    wanted = "" if file.bytes in (None, size) else f" ({file.bytes:,} bytes)"
    raise DataError(
        f"wrong {kind} in {origin}: expected {expected}{wanted}, found {found} ({size:,} bytes)",
        path=file.path,
    )
