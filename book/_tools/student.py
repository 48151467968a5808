"""Writes the chapters without the solutions of their exercises, for students.

    python book/_tools/student.py [--out FOLDER] [--keep 08-1 12-2] notebooks/*.ipynb

What stands between ``solution-start`` and ``solution-end`` is taken out, and all outputs. Stubs and
their checks stay, and so do the explanations of predictions: they are a part of the text. A stub
raises an error with the number of its exercise, and so does every later cell that needs the
reader's function, until it is written: of exercises that a class leaves out the solutions may stay.
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import re
import sys
from collections.abc import Collection
from pathlib import Path

from tidy import normalise, source, to_text

from bioptimus_lib import checks

START = re.compile(r"^(:{3,})\{solution-start\} ch(\d+)-exercise-(\d+).*?^\1\s*$", re.M | re.S)
END = re.compile(r"^:{3,}\{solution-end\}", re.M)
CHECK = re.compile(r"^check\(\"([\d-]+)\", (\w+)\)", re.M)
STUB = "...  # your code"


def without_solutions(notebook: dict, keep: Collection[str] = ()) -> dict:
    """The notebook without what its exercises ask for, and without outputs.

    Args:
        keep: numbers of exercises whose solutions stay, such as ``08-1``.

    Raises:
        ValueError: a solution that does not end, or ends without a beginning.
    """
    kept, inside, stays = [], "", False
    for cell in notebook["cells"]:
        text, written = source(cell), cell["cell_type"] == "markdown"
        if written and (start := START.search(text)):
            if inside:
                raise ValueError(f"cell {cell['id']}: a solution begins inside that of {inside}")
            inside, stays = cell["id"], "-".join(start.groups()[1:]) in keep
            if stays:
                kept.append(cell)
            elif before := text[: start.start()].rstrip():
                kept.append({**cell, "source": before})
        elif written and END.search(text):
            if not inside:
                raise ValueError(f"cell {cell['id']}: a solution ends that did not begin")
            if stays:
                kept.append(cell)
            inside, stays = "", False
        elif stays or not inside:
            kept.append(cell)
    if inside:
        raise ValueError(f"cell {inside}: its solution does not end")
    bare = copy.deepcopy({**notebook, "cells": kept})
    for cell in bare["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
            cell["source"] = source(cell).replace(STUB, "raise " + _missing(cell, notebook))
    return normalise(bare)


def used_again(notebook: dict) -> list[str]:
    """Numbers of the exercises whose function a later cell uses, in the order of the chapter."""
    trees = [
        ast.parse(source(cell)) for cell in notebook["cells"]
        if cell["cell_type"] == "code" and not source(cell).startswith("%")
    ]  # fmt: skip
    found = {}
    for cell in notebook["cells"]:
        found.update((number, name) for number, name in CHECK.findall(source(cell)))
    return [number for number, name in found.items() if any(_uses(tree, name) for tree in trees)]


def _uses(tree: ast.Module, name: str) -> bool:
    """Whether a cell reads a name that it does not make itself, otherwise than to check it."""
    made, read = False, 0
    for node in ast.walk(tree):
        made |= isinstance(node, ast.FunctionDef) and node.name == name
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "check":
            read -= sum(getattr(given, "id", "") == name for given in node.args)
        if isinstance(node, ast.Name) and node.id == name:
            made |= isinstance(node.ctx, ast.Store)
            read += isinstance(node.ctx, ast.Load)
    return not made and read > 0


def _missing(stub: dict, notebook: dict) -> str:
    """The error that the function of a stub raises until it is written."""
    for cell in notebook["cells"]:
        for number, name in CHECK.findall(source(cell)):
            if f"def {name}(" in source(stub):
                return f'NotImplementedError("exercise {number}: write {name} first")  # your code'
    return "NotImplementedError  # your code"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("notebooks", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=Path("_build/student"), help="(%(default)s)")
    parser.add_argument(
        "--keep", nargs="*", default=[], metavar="NUMBER", help="solutions that stay, such as 08-1"
    )
    options = parser.parse_args(arguments)
    if unknown := [number for number in options.keep if checks.find(number) is None]:
        parser.error(f"there is no exercise {unknown[0]!r}: give numbers such as 08-1")
    options.out.mkdir(parents=True, exist_ok=True)
    again: list[str] = []
    for path in options.notebooks:
        whole = json.loads(path.read_text(encoding="utf-8"))
        again += [number for number in used_again(whole) if number not in options.keep]
        try:
            made = without_solutions(whole, options.keep)
        except ValueError as error:
            print(f"{path}: {error}", file=sys.stderr)
            return 1
        (options.out / path.name).write_text(to_text(made), encoding="utf-8")
    print(f"{len(options.notebooks)} chapters without solutions: {options.out}")
    if again:
        print(f"later cells use the functions of {', '.join(again)}: if your class leaves one out, "
              "keep its solution, such as make student KEEP=" + again[0])  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
