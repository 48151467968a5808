"""Which entry of the troubleshooting page answers an error: a table, and the line that names it."""

from __future__ import annotations

import errno
import re
from importlib import metadata
from pathlib import Path

PAGE = "book/troubleshooting.md"

#: (name of the error's type, or of one that it derives from; what its text must hold; entry).
ENTRIES = (
    ("ConnectionError", "", "No network, or a slow one"),
    ("FileNotFoundError", r"answers 4\d\d", "A link is dead"),
    ("Exception", r"sha256|blob id|\bhash\b", '"wrong hash"'),
    ("ChildProcessError", "", "A worker died"),
    ("KilledWorker", "", "A worker died"),
    ("OutOfMemoryError", "", "Out of memory on the GPU"),
    ("MemoryError", "", "Out of memory without a GPU"),
    ("OSError", rf"Errno {errno.ENOSPC}\b", "The disk is full"),
    ("ModuleNotFoundError", "", "A package is missing"),
)


def entry_for(error: BaseException) -> str | None:
    """The entry of the page that answers an error, if there is one.

    >>> entry_for(ConnectionError("cannot reach example.org"))
    'No network, or a slow one'
    >>> entry_for(ValueError("--seeds 0: at least 1")) is None
    True
    """
    kinds = {kind.__name__ for kind in type(error).__mro__}
    for name, pattern, entry in ENTRIES:
        if name in kinds and re.search(pattern, str(error)):
            return entry
    return None


def page() -> str:
    """Where the page is: a file of the clone, or its address."""
    if (Path(__file__).resolve().parents[1] / PAGE).is_file():
        return PAGE
    try:
        links = metadata.metadata("bioptimus-lib").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:
        links = []
    found = [link.split(", ")[1] for link in links if link.startswith("Repository")]
    return f"{found[0]}/blob/main/{PAGE}" if found else PAGE


def help_for(error: BaseException) -> str:
    """What to add to the line of an error: a blank and where to look, or nothing.

    >>> help_for(ChildProcessError("a worker process died")).startswith(" (see")
    True
    """
    entry = entry_for(error)
    if entry is None:
        return ""
    name = entry.strip('"')
    return f" (see {name!r} in {page()})"
