"""Reads every page of the built book as files: how heavy it is, and where its links lead.

    python tests/browser/pages.py _build/html [--heaviest N]

A page is as heavy as its own file and all that it names to be loaded with it (scripts, styles,
pictures), as they are sent: text compressed by gzip, as web servers do. A link inside the book must
lead to a file that is there, and its anchor to an element of it. No browser and no network is
needed; ``check.py`` beside it opens the pages.

Exit code 1 when something was found, 2 when there is no book.
"""

from __future__ import annotations

import argparse
import gzip
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import lxml.html

LIMIT = 1_000_000  # bytes as sent, a page with all that it loads
PACKED = {".html", ".js", ".css", ".svg", ".json"}  # what servers compress
LOADED = (
    "//script/@src", "//img/@src", "//source/@src", "//iframe/@src",
    "//link[contains(@rel, 'stylesheet') or contains(@rel, 'icon') or @rel='preload']/@href",
)  # fmt: skip


@cache
def tree(path: Path) -> lxml.html.HtmlElement:
    """A page, parsed once."""
    return lxml.html.fromstring(path.read_bytes(), parser=lxml.html.HTMLParser(encoding="utf-8"))


@cache
def anchors(path: Path) -> frozenset[str]:
    """What a link to this page may end with after ``#``."""
    return frozenset(tree(path).xpath("//@id | //a/@name")) | {"", "top"}


@cache
def sent(path: Path) -> int:
    """Bytes of a file as it is sent."""
    content = path.read_bytes()
    return len(gzip.compress(content, 6, mtime=0) if path.suffix in PACKED else content)


def inside(root: Path, page: Path, address: str) -> tuple[Path, str] | None:
    """(file, anchor) that an address on a page leads to; None if it leads out of the book."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return None
    bare, anchor = urldefrag(address)
    bare = unquote(bare.split("?")[0])
    if not bare:
        return page, unquote(anchor)
    target = (root / bare[1:] if bare.startswith("/") else page.parent / bare).resolve()
    return target / "index.html" if target.is_dir() else target, unquote(anchor)


def loads(root: Path, page: Path) -> set[Path]:
    """The files that a page names to be loaded with it, and its own."""
    named = {address for path in LOADED for address in tree(page).xpath(path)}
    named |= {
        candidate.split()[0]
        for several in tree(page).xpath("//@srcset")
        if not several.startswith("data:")
        for candidate in several.split(",")
    }
    found = {inside(root, page, address) for address in named}
    return {page} | {target[0] for target in found if target}


def weight(root: Path, page: Path) -> int:
    """Bytes that are sent for a page that nothing was kept for."""
    return sum(sent(path) for path in loads(root, page) if path.is_file())


def problems(root: Path, page: Path, *, limit: int = LIMIT) -> Iterator[str]:
    """What is wrong with a page, in words."""
    if (heavy := weight(root, page)) > limit:
        name, most = max(
            ((p.name, sent(p)) for p in loads(root, page) if p.is_file()), key=lambda one: one[1]
        )
        yield f"{heavy:,} bytes are sent for it, more than {limit:,}; most for {name}: {most:,}"
    for path in sorted(loads(root, page)):
        if not path.is_file():
            yield f"{path.name}, which it loads, is not there"
    for address in dict.fromkeys(tree(page).xpath("//a/@href")):
        found = inside(root, page, address)
        if found is None:
            continue
        target, anchor = found
        if not target.is_file():
            yield f"link to {address}, which is not there"
        elif target.suffix == ".html" and anchor not in anchors(target):
            yield f"link to {address}, but the page has no #{anchor}"


def pages_of(root: Path) -> list[Path]:
    """The pages of a book, but for the parts that Sphinx keeps for itself."""
    found = sorted(
        path
        for path in root.rglob("*.html")
        if not any(part.startswith("_") for part in path.relative_to(root).parts)
    )
    if not found:
        raise FileNotFoundError(f"{root} holds no page: run `make book` first")
    return found


def check(root: Path, *, limit: int = LIMIT) -> dict[str, list[str]]:
    """Page → its problems, for the pages of the book under ``root`` that have some."""
    found = {}
    for page in pages_of(root := root.resolve()):
        if said := list(problems(root, page, limit=limit)):
            found[page.relative_to(root).as_posix()] = said
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Weigh the pages of the book, follow its links.")
    parser.add_argument("root", type=Path, help="the folder with the built pages")
    parser.add_argument("--heaviest", type=int, default=3, metavar="N", help="list so many (3)")
    options = parser.parse_args(arguments)
    try:
        found = check(options.root)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    for page, said in found.items():
        for problem in said:
            print(f"{page}: {problem}")
    root = options.root.resolve()
    weights = sorted(((weight(root, page), page) for page in pages_of(root)), reverse=True)
    for bytes_, page in weights[: options.heaviest]:
        print(f"  {bytes_ / 1000:5.0f} kB as sent  {page.relative_to(root).as_posix()}")
    print(f"pages and links: {len(weights)} pages, {sum(map(len, found.values()))} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
