"""The map of the house, in the docstring of the package, is the house: modules, imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from api_page import map_of

import bioptimus_lib

PACKAGE = Path(bioptimus_lib.__file__).parent
ROOMS = map_of(bioptimus_lib.__doc__).values()
FLOOR = {name: n for n, (front, behind) in enumerate(ROOMS) for name in (*front, *behind)}


def imported(node: ast.AST) -> Iterator[str]:
    """Modules of ours that a piece of code imports, but for type checkers alone."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.ImportFrom) and (child.module or "").startswith("bioptimus_lib"):
            inside = child.module.split(".")[1:2]
            yield from inside or (a.name for a in child.names if not a.name.startswith("__"))
        yield from imported(child)


def test_every_module_is_on_the_map():
    there = {p.stem for p in PACKAGE.glob("*.py")} | {p.parent.name for p in PACKAGE.glob("*/*.py")}
    assert {name for name in there if not name.startswith("__")} == FLOOR.keys()


def test_imports_go_one_way():
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for name in imported(ast.parse(path.read_text(encoding="utf-8"))):
            if not room.startswith("__") and FLOOR[name] > FLOOR[room]:
                wrong.append(f"{room} imports {name}, which is below it")
    assert not wrong
