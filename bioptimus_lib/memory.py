"""How much memory a call takes, measured in a process of its own, and two ways to read XML.

Python's own ``tracemalloc`` does not see what C libraries such as libxml2 take; the system does.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from bioptimus_lib.machine import peak_memory
from bioptimus_lib.passes import open_bytes
from bioptimus_lib.records import documents

MEGABYTE = 1_000_000


def peak(function: Callable[..., Any], *arguments: Any) -> float:
    """Megabytes by which a call raises the peak memory of a fresh process.

    Args:
        function: defined in a module, since it travels to the process by name.

    Returns:
        Not a number where the system does not tell (Windows).
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_rise, function, arguments).result()


def _rise(function: Callable[..., Any], arguments: tuple[Any, ...]) -> float:
    before = peak_memory()
    function(*arguments)
    return (peak_memory() - before) / MEGABYTE


def stream_records(path: Path) -> int:
    """The number of records, read one at a time."""
    return sum(1 for _ in documents(path))


def load_records(path: Path) -> int:
    """The same by loading the whole document, as one would write it first."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    with open_bytes(path) as file:
        return len(etree.parse(file, parser).findall("PubmedArticle"))
