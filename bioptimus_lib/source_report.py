"""The table of sources for people: what there is and where it is, and whether the links live."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bioptimus_lib.download import Network, head
from bioptimus_lib.integrity import present
from bioptimus_lib.source_table import Source, source, table
from bioptimus_lib.sources import cache_dir, mirror_dir, package_dir

COLUMNS = ("name", "what", "files", "size", "licence", "now")


def rows_of(names: Sequence[str] | None = None) -> list[Source]:
    """The named sources, or all; ValueError for a name that is not there."""
    return [source(name) for name in names] if names else list(table().values())


def listing(names: Sequence[str] | None = None) -> str:
    """The table as text, a line per source; the last column says where ``fetch`` would find it.

    Nothing is read or downloaded for it: hashes are compared when a source is fetched.
    """
    rows = rows_of(names)
    lines = [COLUMNS] + [
        (row.name, row.what, _count(row), _size(row), row.licence, whereabouts(row))
        for row in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    text = [_line(line, widths) for line in lines]
    text.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(text)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    right = {COLUMNS.index("files"), COLUMNS.index("size")}
    return "  ".join(
        cell.rjust(width) if column in right else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ).rstrip()


def _count(row: Source) -> str:
    return str(len(row.files)) if row.files else "many"


def _size(row: Source) -> str:
    more = row.files and any(file.bytes is None for file in row.files)
    return ("> " if more else "") + human(row.bytes)


def human(size: int) -> str:
    """Bytes in the unit that suits them; ``?`` for a size that is not known.

    >>> human(18651), human(440449768), human(0)
    ('19 kB', '440 MB', '?')
    """
    if not size:
        return "?"
    return f"{size / 1e6:.0f} MB" if size >= 1e7 else (
        f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(size / 1e3, 1):.0f} kB"
    )  # fmt: skip


def whereabouts(row: Source) -> str:
    """``mirror``, ``cache``, ``package``, ``to download`` or ``only in a mirror``."""
    if row.kind == "pubmed":
        return "to download, file by file"
    if _all_in(row, mirror_dir()):
        return "mirror"
    folder = package_dir(row)
    if folder and all((folder / file.name).is_file() for file in row.files):
        return "package"
    try:
        cache = cache_dir()
    except ModuleNotFoundError:  # without pooch nothing was ever downloaded
        cache = None
    if _all_in(row, cache):
        return "cache"
    return "only in a mirror" if row.derived else "to download"


def _all_in(row: Source, root: Path | None) -> bool:
    return root is not None and all(present(file, root / file.path) for file in row.files)


@dataclass(frozen=True, kw_only=True)
class Link:
    """The answer to one address. ``ok``: it is there, and as long as the table says."""

    source: str
    url: str
    ok: bool
    answer: str

    def __str__(self) -> str:
        return f"{'ok  ' if self.ok else 'DEAD'}  {self.answer}  {self.source}  {self.url}"


def check_links(
    names: Sequence[str] | None = None,
    *,
    rows: Sequence[Source] | None = None,
    network: Network | None = None,
) -> Iterator[Link]:
    """Ask each pinned address for its head, one after the other; fetches nothing.

    For the baseline its first file and the hash beside it stand for all; for what only a mirror
    holds, the page that it was prepared from.
    """
    seen: set[str] = set()
    for row in rows_of(names) if rows is None else rows:
        for url, size in _addresses(row):
            if url not in seen:  # sources of one repository share its licence
                seen.add(url)
                yield _ask(row, url, size, network)


def _addresses(row: Source) -> list[tuple[str, int | None]]:
    if row.kind == "pubmed":
        first = row.address(row.numbered(range(1, 2))[0])
        return [(first, None), (first + ".md5", None)]
    urls = ((row.url(file), file.bytes) for file in row.files)
    found = [(url, size) for url, size in urls if url]
    return [*found, (row.page, None)] if row.derived else found


def _ask(row: Source, url: str, size: int | None, network: Network | None) -> Link:
    try:
        status, length = head(url, network=network)
    except ConnectionError as error:
        return Link(source=row.name, url=url, ok=False, answer=str(error))
    if status != 200:
        return Link(source=row.name, url=url, ok=False, answer=str(status))
    if size is not None and length is not None and length != size:
        answer = f"{length:,} bytes, expected {size:,}"
        return Link(source=row.name, url=url, ok=False, answer=answer)
    return Link(source=row.name, url=url, ok=True, answer="200")
