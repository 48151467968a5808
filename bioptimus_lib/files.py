"""Files at the edge: written whole or not at all, opened by their ending, found where they ship."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from bioptimus_lib.errors import DataError

PLAIN_NAME = re.compile(r"\w[\w.-]*")  # of a file, on any system
_ESCAPED = re.compile("[\udc80-\udcff]")


def data_dir() -> Path:
    """The folder of what ships with the course: ``data/`` of a clone, or its copy in a wheel."""
    package = Path(__file__).resolve().parent
    for folder in (package.parent / "data", package / "_data"):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(
        f"no data folder beside {package}: the installation is incomplete, install it again"
    )


def _umask() -> int:
    """What this process takes from the permissions of new files; it can only be read by setting."""
    umask = os.umask(0)
    os.umask(umask)
    return umask


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO[Any]]:
    """A file that appears under ``path`` complete, or not at all.

    It is written beside its goal (same file system, so the last step is one rename) and removed
    when the block raises. Text is UTF-8 with ``\\n`` line ends on every system.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    encoding, newline = (None, None) if "b" in mode else ("utf-8", "\n")
    try:
        with os.fdopen(handle, mode, encoding=encoding, newline=newline) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes files private; results are not
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def json_lines(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The rows of a JSON-lines log; a last line that a killed writer left half is no row.

    Raises:
        FileNotFoundError: no such file.
        DataError: with file and line: a line that is not JSON and is not a half one at the end.
    """
    rows = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                if line.endswith("\n"):
                    raise DataError(f"not JSON ({error})", path=path, line=number) from None
    return rows


@contextmanager
def atomic_dir(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A folder that appears under ``path`` complete, or not at all; an old one is replaced."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
    try:
        yield temporary
        allowed = 0o777 & ~_umask()
        for entry in (temporary, *temporary.rglob("*")):  # so does mkdtemp, so does safetensors
            entry.chmod(allowed if entry.is_dir() else allowed & 0o666)
        take_the_place(temporary, path, path.with_name(f".{path.name}.old"))
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def take_the_place(new: Path, path: Path, old: Path) -> None:
    """Rename a complete folder to ``path``; what is there goes to ``old``, and is removed only when
    the new one stands: if that fails, it is put back."""
    shutil.rmtree(old, ignore_errors=True)
    moved = path.exists()
    if moved:
        path.rename(old)
    try:
        new.rename(path)
    except BaseException:
        if moved:
            old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def refuse_other_folders(out: Path, holds: str, what: str) -> None:
    """A folder is replaced as a whole, so it must be one of ours, which holds that file, or empty.

    Raises:
        ValueError: it is something else.
    """
    if out.exists() and not (out / holds).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is there and holds no {what} of ours: choose another --out")


def claim(
    folder: str | os.PathLike[str], configuration: dict[str, Any], *, megabytes: float
) -> Path:
    """A folder for one configuration, which is kept in it as ``config.json``: made if missing,
    taken again by the same configuration, refused to any other.

    Args:
        configuration: JSON; objects in it are compared value by value.
        megabytes: free disk below which no new folder is made.

    Raises:
        ValueError: the folder holds something else.
        OSError: it cannot be written, or the disk is nearly full.
    """
    folder = Path(folder)
    file, mine = folder / "config.json", json.loads(json.dumps(configuration))
    if file.exists():
        old, new = _flat(json.loads(file.read_text(encoding="utf-8"))), _flat(mine)
        if changed := sorted(k for k in new if old.get(k) != new[k]):
            says = ", ".join(
                f"{k.rpartition('.')[2]} {old.get(k)!r} there, {new[k]!r} here" for k in changed[:3]
            )
            raise ValueError(
                f"{folder} holds a run of another configuration ({says}): "
                "choose another --out or delete it"
            )
        return folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} exists and is no run folder: choose another --out")
    parent = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not os.access(parent, os.W_OK):
        raise PermissionError(f"no permission to write in {parent}: choose another --out")
    if (free := shutil.disk_usage(parent).free / 1e6) < megabytes:
        raise OSError(f"{free:.0f} MB are free in {parent}, a run needs {megabytes:.0f} MB")
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(file) as handle:
        json.dump(mine, handle, indent=1)
    return folder


def _flat(configuration: dict[str, Any]) -> dict[str, Any]:
    """The values of a configuration, those of objects in it beside the others.

    >>> _flat({"profile": {"corpus": "pubmed"}, "corpus": None})
    {'profile.corpus': 'pubmed', 'corpus': None}
    """
    parts = [
        {f"{name}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {name: value}
        for name, value in configuration.items()
    ]
    return {k: v for part in parts for k, v in part.items()}


def contents_of(paths: Iterable[str | os.PathLike[str]]) -> str:
    """Twelve digits that are others when a file is: the hash of the hashes of some files."""
    hashes = "".join(sha256_of(path) for path in paths)
    return hashlib.sha256(hashes.encode()).hexdigest()[:12]


def weights_of(folder: str | os.PathLike[str] | None) -> str | None:
    """What tells the weights of a model's folder from others that are put there later; None if
    there are none."""
    found = sorted(Path(folder).glob("*.safetensors")) if folder is not None else []
    return contents_of(found) if found else None


def sha256_of(path: str | os.PathLike[str]) -> str:
    """The sha256 of a file as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_text(path: str | os.PathLike[str]) -> IO[str]:
    """Open a plain or gzipped file as UTF-8 text; invalid bytes become U+FFFD, never an error."""
    opener = gzip.open if str(path).endswith(".gz") else open
    return opener(path, "rt", encoding="utf-8", errors="replace")


def open_bytes(path: str | os.PathLike[str]) -> IO[bytes]:
    """Open a plain or gzipped file for bytes; damaged gzip raises DataError when it is reached."""
    if str(path).endswith(".gz"):
        return cast("IO[bytes]", _Gzip(path, "rb"))  # it reads as one
    return open(path, "rb")


def decode(raw: bytes) -> tuple[str, int]:
    """UTF-8 text and the number of invalid bytes, each of which became one U+FFFD.

    >>> decode(b"TNF-\\xce\\xb1 \\xff")
    ('TNF-α �', 1)
    """
    try:
        return raw.decode("utf-8"), 0
    except UnicodeDecodeError:
        return _ESCAPED.subn("\ufffd", raw.decode("utf-8", "surrogateescape"))


class _Gzip(gzip.GzipFile):
    """A gzip file whose damage is a DataError that names it."""

    def read(self, size: int | None = -1) -> bytes:
        return self._checked(super().read, size)

    def readline(self, size: int | None = -1) -> bytes:
        return self._checked(super().readline, size)

    def __next__(self) -> bytes:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def _checked(self, read: Callable[[int | None], bytes], size: int | None) -> bytes:
        try:
            return read(size)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"the gzip file is cut or broken ({error})", path=self.name) from None
