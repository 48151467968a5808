"""Where a result came from: command, device, versions, data and commit, without absolute paths."""

from __future__ import annotations

import datetime
import functools
import importlib.metadata
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bioptimus_lib.files import data_dir, sha256_of
from bioptimus_lib.machine import machine_cores

#: What numbers depend on.
PACKAGES = ("bioptimus-lib", "numpy", "tokenizers", "torch", "transformers", "seqeval")
#: A path from the root of a disk or of a home: / or ~ or C:\ at the start of a word.
ABSOLUTE = re.compile(r"""(?:^|[\s'"=:,(\[])(?:~?/\w|~\w*/|[A-Za-z]:[\\/]|\\\\\w|file://)""")



def provenance(
    *,
    command: str | Sequence[str] | None = None,
    data: Iterable[str | os.PathLike[str]] = (),
    device: str | None = None,
) -> dict[str, Any]:
    """Where a result came from: ``command``, ``device``, ``versions``, ``data``, ``commit``,
    ``date``.

    Args:
        command: what was run; by default this process's own command line. Absolute paths in it
            are shortened to the part that means something elsewhere.
        data: files that went in; each is named and hashed.
        device: ``cpu`` or ``cuda``; by default the GPU if torch is loaded and sees one.
    """
    if command is None:
        program = Path(sys.argv[0]).name
        command = ["bioptimus" if program == "__main__.py" else program, *sys.argv[1:]]
    words = shlex.split(command) if isinstance(command, str) else list(command)
    return {
        "command": shlex.join(_without_root(word) for word in words),
        "device": device_name(device),
        "versions": versions(),
        "data": {relative(path): sha256_of(path) for path in data},
        "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def relative(path: str | os.PathLike[str]) -> str:
    """A path as it may stand in a row: below the clone, the mirror or this folder, else its last
    two parts.

    >>> relative("/home/reader/ner/NCBI-disease/train.tsv")
    'NCBI-disease/train.tsv'
    """
    path = Path(path)
    full = path if path.is_absolute() else Path.cwd() / path
    full = Path(os.path.normpath(full))
    mirror = os.environ.get("BIOPTIMUS_MIRROR")
    for root in (data_dir().parent, mirror and Path(mirror).absolute(), Path.cwd()):
        if root and Path(root).name and full != Path(root) and full.is_relative_to(root):
            return full.relative_to(root).as_posix()
    return "/".join(part for part in full.parts[-2:] if part != full.anchor)


def _without_root(word: str) -> str:
    """A word of a command line, ``--option=value`` too, without an absolute path."""
    head, equals, tail = word.partition("=")
    if equals and head.startswith("-"):
        return f"{head}={_without_root(tail)}"
    if not ABSOLUTE.search(word):
        return word
    return relative(Path(word).expanduser())


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on, as far as installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def device_name(device: str | None = None) -> str:
    """``cuda: <name of the GPU>``, or ``cpu: <name of the processor>, <n> cores``."""
    loaded = sys.modules.get("torch")
    if device is None:
        device = "cuda" if loaded is not None and loaded.cuda.is_available() else "cpu"
    if str(device).startswith("cuda"):
        import torch

        return f"cuda: {torch.cuda.get_device_name(device)}"
    return f"cpu: {_processor()}, {machine_cores()} cores"


@functools.cache
def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@functools.cache
def commit() -> str | None:
    """The commit of the clone that this library runs from, with ``+`` if it was changed since;
    None outside of a clone."""
    root = data_dir().parent
    if not (root / ".git").exists():
        return None

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, check=True, timeout=20
        )
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "bioptimus_lib")
        return git("rev-parse", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None
