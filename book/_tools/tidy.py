"""What a notebook in git must look like, and the tool that brings it there.

    python book/_tools/tidy.py [--execute] notebooks/*.ipynb

Outputs are kept only in cells tagged ``nbval-check-output``, so that diffs show what was meant to
change; ids stay; the set-up cell is the same in all notebooks (the first one given is the model).
``--execute`` runs the notebooks first and keeps the outputs of the checked cells. ``problems`` says
what is wrong with a notebook, in words; the tests use it.
"""

from __future__ import annotations

import argparse
import ast
import copy
import hashlib
import json
import re
import sys
from pathlib import Path

CHECKED, SETUP, HIDDEN = "nbval-check-output", "setup", "remove-input"
WIDTH = 100  # letters of a line of code; more are cut off where a page is not wide
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
ABSOLUTE = re.compile(r"(?<![\w.:/<-])(?:/(?:home|Users|root|tmp|work|var|opt)/|[A-Z]:\\\\)\w")
WORKSPACE = re.compile(r"\bworkspace\(\\?[\"'](\w+)")
# Shown at a click in Colab, which knows the first mark, and in JupyterLab, which knows the second.
FOLDED = re.compile(r"ex\d+-solution|quiz")
DRAWS = re.compile(r"\b(?:plt\.\w+|subplots|\w+\.plot)\(")


def source(cell: dict) -> str:
    """The text of a cell; nbformat allows a string or a list of lines."""
    return "".join(cell["source"])


def tags(cell: dict) -> list[str]:
    return cell.get("metadata", {}).get("tags", [])


def setup_cell(notebook: dict) -> str | None:
    """The text of the cell tagged ``setup``, if there is one."""
    return next((source(cell) for cell in notebook["cells"] if SETUP in tags(cell)), None)


def run_of(text: str) -> str | None:
    """The name of the run that a notebook works in, from its text; several may share one."""
    found = WORKSPACE.search(text)
    return found and found.group(1)


def normalise(notebook: dict, *, setup: str | None = None) -> dict:
    """The notebook as it belongs into git; ``setup`` replaces the text of its set-up cell."""
    notebook = copy.deepcopy(notebook)
    seen: set[str] = set()
    for number, cell in enumerate(notebook["cells"]):
        if setup is not None and SETUP in tags(cell):
            cell["source"] = setup
        cell["source"] = source(cell).rstrip("\n").splitlines(keepends=True)
        kept = {"tags": tags(cell)} if tags(cell) else {}
        if FOLDED.fullmatch(cell.get("id", "")):
            kept |= {"cellView": "form", "jupyter": {"source_hidden": True}}
        if "mystnb" in cell.get("metadata", {}):
            kept["mystnb"] = cell["metadata"]["mystnb"]
        cell["metadata"] = kept
        if cell["cell_type"] == "code":
            cell["outputs"] = cell.get("outputs", []) if CHECKED in tags(cell) else []
            # nbval takes a cell without a count for one that was never run; 1 says that it was.
            count = cell["execution_count"] = 1 if cell["outputs"] else None
            for output in cell["outputs"]:
                if "execution_count" in output:
                    output["execution_count"] = count
                if "text" in output:  # a string or a list of lines, as for the source
                    output["text"] = "".join(output["text"]).splitlines(keepends=True)
        if not cell.get("id") or cell["id"] in seen:
            digest = hashlib.sha256(f"{number}\n{source(cell)}".encode()).hexdigest()
            cell["id"] = digest[:8]
        seen.add(cell["id"])
    return {**notebook, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}


def to_text(notebook: dict) -> str:
    """One way to write a notebook, so that the same notebook is the same bytes."""
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _shown_without_words(code: str) -> list[str]:
    """Figures in a code cell that a screen reader would pass over in silence."""
    lines = [
        ("# " + line if line.lstrip().startswith(("%", "!")) else line)
        for line in code.splitlines()
    ]
    calls = [node for node in ast.walk(ast.parse("\n".join(lines))) if isinstance(node, ast.Call)]
    found, described = [], False
    for call in calls:
        if getattr(call.func, "attr", getattr(call.func, "id", "")) != "show":
            continue
        alt = next((word.value for word in call.keywords if word.arg == "alt"), None)
        empty = isinstance(alt, ast.Constant) and not str(alt.value).strip()
        if alt is None or empty:
            found.append(f"`{ast.unparse(call)}` shows a figure without alt text")
        else:
            described = True
    if DRAWS.search(code) and not described and not found:
        found.append("a figure is drawn but not shown with `plots.show(fig, alt=...)`")
    return found


def _pictures_without_words(text: str) -> list[str]:
    """Pictures in a Markdown cell without alt text."""
    found = [f"`{mark}` has no alt text" for mark in re.findall(r"!\[\s*\]\([^)]*\)", text)]
    for mark in re.findall(r"<img\b[^>]*>", text):
        if not re.search(r"""\balt=(["'])\s*\S.*?\1""", mark):
            found.append(f"`{mark}` has no alt text")
    for name, body in re.findall(r"[`:]{3,}\{(image|figure)\}(.*?)(?=[`:]{3,}|\Z)", text, re.S):
        if not re.search(r"^:alt:\s*\S", body, re.M):
            found.append(f"a {{{name}}} has no :alt:")
    return found


def problems(notebook: dict, *, setup: str | None, address: str) -> list[str]:
    """What keeps a notebook out of git, in words.

    ``setup`` is what its set-up cell must say, ``address`` the repository's own (owner/name), which
    the set-up cell must know to work in Colab.
    """
    found: list[str] = []
    cells = notebook["cells"]
    marked = [number for number, cell in enumerate(cells) if SETUP in tags(cell)]
    first_code = next((n for n, cell in enumerate(cells) if cell["cell_type"] == "code"), None)
    if len(marked) != 1 or marked[0] != first_code:
        found.append("the first code cell, and only it, must be tagged `setup`")
    elif source(cells[marked[0]]) != setup:
        found.append("the set-up cell differs from that of the other notebooks")
    elif f"github.com/{address}" not in (setup or ""):
        found.append(f"the set-up cell does not get the course from github.com/{address}")
    if notebook.get("nbformat_minor", 0) < 5:
        found.append("older than nbformat 4.5: cells have no stable ids")

    ids = [cell.get("id") for cell in cells]
    for cell_id in sorted({str(i) for i in ids if ids.count(i) > 1 or not i}):
        found.append(f"cell id {cell_id} is missing or there twice")

    for cell in cells:
        where, text = f"cell {cell.get('id')}", source(cell)
        if cell["cell_type"] == "code":
            outputs = cell.get("outputs", [])
            if CHECKED in tags(cell) and not outputs:
                found.append(f"{where}: its output is to be checked, but none is stored")
            if CHECKED not in tags(cell) and outputs:
                found.append(f"{where}: has a stored output")
            if cell.get("execution_count") not in (None, 1 if outputs else None):
                found.append(f"{where}: has an execution count")
            found += [f"{where}: {problem}" for problem in _shown_without_words(text)]
            wide = max(map(len, text.splitlines()), default=0)
            if wide > WIDTH and HIDDEN not in tags(cell):
                found.append(f"{where}: a line of {wide} letters, where a page shows {WIDTH}")
            text += json.dumps(outputs)
        else:
            found += [f"{where}: {problem}" for problem in _pictures_without_words(text)]
        if match := ABSOLUTE.search(text):
            found.append(f"{where}: absolute path {match.group()!r}...")
    return found


def execute(notebook: dict, folder: Path) -> dict:
    """The notebook with the outputs of a fresh run in ``folder``."""
    import nbformat
    from nbclient import NotebookClient

    node = nbformat.reads(json.dumps(notebook), as_version=4)  # joins the lines of a cell
    NotebookClient(node, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    return json.loads(nbformat.writes(node))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Bring notebooks into the form kept in git.")
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--execute", action="store_true", help="run first, keep checked outputs")
    options = parser.parse_args(arguments)
    setup = None
    for path in options.notebooks:
        if not path.is_file():
            print(f"no notebook {path}", file=sys.stderr)
            return 2
        before = path.read_text(encoding="utf-8")
        notebook = json.loads(before)
        setup = setup if setup is not None else setup_cell(notebook)
        if options.execute:
            notebook = execute(notebook, path.parent)
        after = to_text(normalise(notebook, setup=setup))
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"{path}: rewritten")
    return 0


if __name__ == "__main__":
    sys.exit(main())
