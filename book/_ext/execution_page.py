"""The report of the execution that the book shows: how long a chapter took, and on what.

``{execution-report}`` stands for a line for each chapter (seconds, cells, the slowest of them),
read from the cache that ``book/_tools/execute.py`` fills and Jupyter Book builds from, and for the
versions of the packages that the course asks for. MyST-NB's own ``{nb-exec-table}`` knows the
seconds of a page, and neither its cells nor what it ran on.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import nbformat
from docutils import nodes
from jupyter_cache import get_cache
from packaging.requirements import Requirement
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parents[2]


class Chapter(NamedTuple):
    """What the cache knows of a chapter; no ``seconds`` if it was not executed.

    ``slowest`` is (seconds, the heading that the cell stands under), ``said`` what its set-up cell
    printed: versions, device, profile.
    """

    name: str
    cells: int
    seconds: float | None = None
    at: datetime | None = None
    slowest: tuple[float, str] | None = None
    raised: int = 0
    said: dict[str, str] = {}

    @property
    def status(self) -> str:
        """In words; a cell that is there to fail is no fault."""
        if self.seconds is None:
            return "not executed"
        return f"done, {self.raised} errors on purpose" if self.raised else "done"


def chapter(path: Path, cache) -> Chapter:
    """A chapter, by its notebook in git and what the cache has for it."""
    notebook = nbformat.read(path, nbformat.NO_CONVERT)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    try:
        record = cache.match_cache_notebook(notebook)
    except KeyError:
        return Chapter(path.stem, len(cells))
    heading, slowest, raised, said = "", None, 0, {}
    # The cache compares code cells alone, so text is taken from the notebook of today.
    executed = cache.get_cache_bundle(record.pk).nb.cells
    data = record.data or {}
    ran = iter([cell for cell in executed if cell.cell_type == "code"])
    times = iter(data.get("cell_seconds", [None] * len(cells)))
    for cell in notebook.cells:
        if cell.cell_type != "code":
            heading = (re.findall(r"^#+ (.+)$", cell.source, re.M) or [heading])[-1]
            continue
        one, took = next(ran), next(times)
        if took is not None and (slowest is None or took > slowest[0]):
            slowest = took, heading
        raised += any(output.output_type == "error" for output in one.outputs)
        if "setup" in cell.metadata.get("tags", []):
            text = "".join(output.get("text", "") for output in one.outputs)
            said = dict(re.findall(r"^(\w+)  +(.+)$", text, re.M))
    seconds = data.get("execution_seconds")
    return Chapter(path.stem, len(cells), seconds, record.created, slowest, raised, said)


def packages(pyproject: Path) -> list[tuple[str, str, str]]:
    """(name, range that is asked for, version that is there), for the library and the book."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    rows = []
    for line in [*project["dependencies"], *project["optional-dependencies"]["book"]]:
        wanted = Requirement(line)
        try:
            version = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            version = "not installed"
        rows.append((wanted.name, str(wanted.specifier), version))
    return sorted(rows)


# -- the page ------------------------------------------------------------------------------------


def table(columns: Sequence[str], rows: Iterable[Sequence[str | nodes.Node]]) -> nodes.table:
    """A table of docutils; what is text becomes a paragraph."""

    def row(cells: Sequence[str | nodes.Node]) -> nodes.row:
        made = nodes.row()
        for cell in cells:
            inner = nodes.paragraph("", cell) if isinstance(cell, str) else cell
            made += nodes.entry("", inner)
        return made

    group = nodes.tgroup(cols=len(columns))
    group += [nodes.colspec(colwidth=1) for _ in columns]
    group += nodes.thead("", row(columns))
    group += nodes.tbody("", *map(row, rows))
    return nodes.table("", group, classes=["colwidths-auto"])


def facts(chapters: Sequence[Chapter]) -> list[tuple[str, str]]:
    """What holds for all chapters, each named with what it is; what differs is listed."""
    ran = [one for one in chapters if one.seconds is not None]
    rows = [("chapters executed", f"{len(ran)} of {len(chapters)}")]
    if times := [one.at for one in ran if one.at]:
        rows.append(("executed", f"{min(times):%Y-%m-%d %H:%M} to {max(times):%H:%M} UTC"))
        total = sum(one.seconds for one in ran)
        rows.append(("seconds of all chapters together", f"{total:.0f}"))
    for name in dict.fromkeys(name for one in ran for name in one.said):
        rows.append((name, "; ".join(dict.fromkeys(o.said[name] for o in ran if name in o.said))))
    return rows


class ExecutionReport(SphinxDirective):
    """``{execution-report}``: what all chapters share, each chapter, and the packages."""

    def run(self) -> list[nodes.Node]:
        """Three tables; read again in every build."""
        self.env.note_reread()
        place = self.config.nb_execution_cache_path or Path(self.env.app.outdir).parent / (
            ".jupyter_cache"
        )
        cache = get_cache(place)
        names = [n for n in sorted(self.env.found_docs) if n.startswith("notebooks/")]
        chapters = [chapter(Path(self.env.doc2path(name)), cache) for name in names]
        return [
            table(("", "in this build"), facts(chapters)),
            nodes.rubric("", "Chapters"),
            table(
                ("chapter", "seconds", "cells", "slowest cell", "status"),
                (self.line(name, one) for name, one in zip(names, chapters, strict=True)),
            ),
            nodes.rubric("", "Packages"),
            table(("package", "asked for", "in this build"), packages(ROOT / "pyproject.toml")),
        ]

    def line(self, name: str, one: Chapter) -> tuple[str | nodes.Node, ...]:
        """A chapter with a link to it."""
        link = addnodes.pending_xref(
            "", nodes.inline("", one.name), refdomain="std", reftype="doc", refexplicit=True,
            reftarget=f"/{name}", refdoc=self.env.docname,
        )  # fmt: skip
        slow = f"{one.slowest[0]:.1f} s, in “{one.slowest[1]}”" if one.slowest else "–"
        seconds = "–" if one.seconds is None else f"{one.seconds:.0f}"
        return nodes.paragraph("", "", link), seconds, str(one.cells), slow, one.status


def setup(app) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("execution-report", ExecutionReport)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
