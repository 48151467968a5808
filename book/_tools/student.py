"""Writes the chapters without the solutions of their exercises, for students.

    python book/_tools/student.py [--out FOLDER] notebooks/*.ipynb

What stands between ``solution-start`` and ``solution-end`` is taken out, and all outputs. Stubs and
their checks stay, and so do the explanations of predictions: they are a part of the text. A stub
raises an error with the number of its exercise, and so does every later cell that needs the
reader's function, until it is written.
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import sys
from pathlib import Path

from tidy import normalise, source, to_text

START = re.compile(r"^(:{3,})\{solution-start\}.*?^\1\s*$", re.M | re.S)
END = re.compile(r"^:{3,}\{solution-end\}", re.M)
CHECK = re.compile(r"^check\(\"([\d-]+)\", (\w+)\)", re.M)
STUB = "...  # your code"


def without_solutions(notebook: dict) -> dict:
    """The notebook without what its exercises ask for, and without outputs.

    Raises:
        ValueError: a solution that does not end, or ends without a beginning.
    """
    kept, inside = [], ""
    for cell in notebook["cells"]:
        text, written = source(cell), cell["cell_type"] == "markdown"
        if written and (start := START.search(text)):
            if inside:
                raise ValueError(f"cell {cell['id']}: a solution begins inside that of {inside}")
            inside = cell["id"]
            if before := text[: start.start()].rstrip():
                kept.append({**cell, "source": before})
        elif written and END.search(text):
            if not inside:
                raise ValueError(f"cell {cell['id']}: a solution ends that did not begin")
            inside = ""
        elif not inside:
            kept.append(cell)
    if inside:
        raise ValueError(f"cell {inside}: its solution does not end")
    bare = copy.deepcopy({**notebook, "cells": kept})
    for cell in bare["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
            cell["source"] = source(cell).replace(STUB, "raise " + _missing(cell, notebook))
    return normalise(bare)


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
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for path in options.notebooks:
        try:
            made = without_solutions(json.loads(path.read_text(encoding="utf-8")))
        except ValueError as error:
            print(f"{path}: {error}", file=sys.stderr)
            return 1
        (options.out / path.name).write_text(to_text(made), encoding="utf-8")
    print(f"{len(options.notebooks)} chapters without solutions: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
