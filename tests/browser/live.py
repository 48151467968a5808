"""Uses every widget of the chapters in a real JupyterLab, as a reader would.

    python tests/browser/live.py [--screenshots DIR] [CHAPTER ...]

For each cell of a chapter that shows a widget, a notebook is made of the chapter's own cells: the
set-up cell, those that the widget needs, and its own. JupyterLab runs it in the profile ``glance``,
in a headless Chromium that can reach nothing but this machine. Then each control is used by
keyboard or mouse, and the picture below must become what the table ``STEPS`` says, without an
error. Screenshots, in a light and in a dark theme, are kept to be looked at.

Exit code 1 when something was found, 2 when the check could not run.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import json
import os
import shutil
import socket
import subprocess
import symtable
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

import check

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS, LIBRARY = ROOT / "notebooks", ROOT / "bioptimus_lib"
TOKEN = "live"
PATIENCE, ANSWER = 300.0, 30.0  # seconds for the cells before a widget, and for its answer
LONG_WORD = "electro" * 13  # 91 letters, which nothing may make wider than the page


class Step(NamedTuple):
    """What a reader does with one control, and what the picture shows then.

    ``how`` is ``keys`` (of Playwright's names, with blanks between), ``type`` (a text, then Tab),
    ``number`` (typed behind a slider, then Enter) or ``click`` (the right end of a slider).
    """

    control: str
    how: str
    what: str
    shows: str


#: Function that makes a widget → what is done with it. All its controls must occur. Space opens a
#: list first: JupyterLab takes the arrows of a closed one for its own, and goes to another cell.
STEPS: dict[str, tuple[Step, ...]] = {
    "masking_lab": (
        Step("phase", "keys", "Space ArrowDown ArrowDown Enter", "word, 20%, 80/10/10"),
        Step("unit", "keys", "Space ArrowDown Enter", "span, 20%, 80/10/10"),
        Step("rate", "click", "", "span, 80%, 80/10/10"),
        Step("rate", "number", "0.02", "span, 5%, 80/10/10"),  # not below its smallest value
        Step("rate", "keys", "ArrowRight ArrowRight ArrowRight", "span, 20%, 80/10/10"),
        Step("corruption", "keys", "Space", "span, 20%, all [MASK]"),
        Step("draw", "keys", "ArrowRight", "span, 20%, all [MASK]"),
        Step("draw", "number", "99", "span, 20%, all [MASK]"),
    ),
    "cleaning_lab": (
        Step("text", "type", "IL&#8209;6 <i>rose</i>", "IL-6 rose"),
        Step("text", "type", LONG_WORD, LONG_WORD),
    ),
    "contexts_browser": (
        Step("sentences", "keys", "Home", "1 shown, of"),
        Step("keyword", "keys", "Space ArrowDown Enter", "1 shown, of"),
        Step("sentences", "keys", "ArrowRight", "2 shown, of"),
        Step("sentences", "number", "0", "1 shown, of"),
    ),
    "cutting_lab": (
        Step("words", "type", "house <b>", "house"),
        Step("words", "type", LONG_WORD, LONG_WORD),
        Step("words", "type", "", "Type a word."),
    ),
    "neighbours_browser": (
        Step("word", "keys", "Space ArrowDown Enter", "Nearest neighbours of"),
        Step("neighbours", "keys", "End", "Nearest neighbours of"),
        Step("neighbours", "number", "0", "Nearest neighbours of"),
    ),
    "errors_browser": (
        Step("from", "keys", "End", "old: all kinds"),
        Step("mistake", "keys", "Space ArrowDown Enter", "old: boundary"),
        Step("model", "keys", "Space ArrowDown Enter", "v0.1: "),
    ),
    "tag_box": (
        Step("text", "type", "<b>Metformin</b> is given.", "<b>Metformin</b>"),
        Step("text", "type", LONG_WORD, LONG_WORD),
        Step("text", "type", "", "Nothing to read."),
    ),
}
#: Chapter → a text of its cells and what stands for it here: less work for the same widget.
SMALLER = {"12_ner_evaluation": ("range(4)", "range(1)")}  # the browser shows seed 0


# -- which cells, and what they need -------------------------------------------------------------


class Names(NamedTuple):
    """Global names of a cell: those that it binds, those that it changes in place, and those that
    it takes from cells before it."""

    bound: set[str]
    changed: set[str]
    used: set[str]


def names_of(code: str) -> Names:
    """What a cell binds, changes and uses, statement by statement.

    >>> names_of("n = 3\\nrows[0] = [f(i) for i in range(n)]")
    Names(bound={'n'}, changed={'rows'}, used={'f', 'rows'})
    """
    bound, changed, used = set(), set(), set()
    for statement in ast.parse(code).body:
        table = symtable.symtable(ast.unparse(statement), "cell", "exec")
        here = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
        taken = _looked_up(table)
        if hasattr(statement, "body"):  # of a loop or a function: what it binds itself, it reads
            taken -= here
        for node in ast.walk(statement):
            if isinstance(node, ast.AugAssign):
                taken |= _base(node.target)
            if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store):
                changed |= _base(node)
        used |= taken - bound
        bound |= here
    return Names(bound, changed - bound, {n for n in used if not hasattr(builtins, n)})


def _looked_up(table: symtable.SymbolTable) -> set[str]:
    """Global names that a piece of code reads, also inside its functions."""
    top = table.get_type() == "module"
    read = (s for s in table.get_symbols() if s.is_referenced() and (top or s.is_global()))
    return {symbol.get_name() for symbol in read}.union(*map(_looked_up, table.get_children()))


def _base(node: ast.expr) -> set[str]:
    """``a`` of ``a``, ``a[0]`` or ``a.b[0]``; nothing where it is no name."""
    while isinstance(node, ast.Subscript | ast.Attribute):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()


def needed(codes: Sequence[str], last: int) -> list[int]:
    """The numbers of the cells that the cell ``last`` needs, and its own, in order.

    Found by names, so a cell that only writes a file or calls a method is not seen; what is missed
    ends as an error in the notebook.

    >>> needed(["a = 0", "a = 1", "b = 2", "c = [a]", "c[0] = 3", "print(c)"], 5)
    [1, 3, 4, 5]
    """
    found, wanted = [last], names_of(codes[last]).used
    for number in reversed(range(last)):
        names = names_of(codes[number])
        if (names.bound | names.changed) & wanted:
            found.insert(0, number)
            wanted = wanted - names.bound | names.used
    return found


class Case(NamedTuple):
    """A cell that shows a widget: its chapter and id, what makes the widget, the cells to run."""

    name: str
    maker: str
    codes: tuple[str, ...]


@cache
def makers(library: Path = LIBRARY) -> set[str]:
    """The functions of the library that make a widget: those that import ``ipywidgets``."""
    found = set()
    for path in library.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and any(
                isinstance(inner, ast.Import) and "ipywidgets" in {n.name for n in inner.names}
                for inner in ast.walk(node)
            ):
                found.add(node.name)
    return found


def maker_of(code: str, known: set[str]) -> str | None:
    """What makes the widget that a cell shows: a function of the library, or ``ipywidgets``."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if name in known:
                return name
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = {n.name for n in node.names} | {getattr(node, "module", None)}
            if "ipywidgets" in modules:
                return "ipywidgets"
    return None


def cases(folder: Path = NOTEBOOKS) -> list[Case]:
    """All cells of the chapters that show a widget, later chapters first: they take longer."""
    found, known = [], makers()
    for path in sorted(folder.glob("*.ipynb"), reverse=True):
        text = path.read_text("utf-8").replace(*SMALLER.get(path.stem, ("", "")))
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
        codes = ["".join(cell["source"]) for cell in cells]
        setup = [n for n, cell in enumerate(cells) if "setup" in cell["metadata"].get("tags", [])]
        for number, cell in enumerate(cells):
            if maker := maker_of(codes[number], known):
                run = sorted({*setup, *needed(codes, number)})
                name = f"{path.stem}-{cell['id']}"
                found.append(Case(name, maker, tuple(codes[n] for n in run)))
    return found


def notebook(codes: Sequence[str]) -> dict:
    """A notebook of code cells."""
    cells = [
        {"cell_type": "code", "id": f"c{number}", "metadata": {}, "source": code, "outputs": [],
         "execution_count": None}
        for number, code in enumerate(codes)
    ]  # fmt: skip
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


# -- JupyterLab ----------------------------------------------------------------------------------


@contextmanager
def jupyterlab(notebooks: Mapping[str, dict]) -> Iterator[str]:
    """A JupyterLab with these notebooks in a temporary folder; gives its address.

    Nothing of the user's settings is read or changed.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="live-") as place:
        folder = Path(place)
        kinds = ("config", "data", "runtime", "settings", "workspaces", "ipython", "root")
        for kind in kinds:
            (folder / kind).mkdir()
        for name, content in notebooks.items():
            (folder / "root" / f"{name}.ipynb").write_text(json.dumps(content), encoding="utf-8")
        (folder / "config" / "labconfig").mkdir()
        news = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
        (folder / "config" / "labconfig" / "page_config.json").write_text(json.dumps(news))
        themes = folder / "settings" / "@jupyterlab" / "apputils-extension"
        themes.mkdir(parents=True)
        (themes / "themes.jupyterlab-settings").write_text('{"adaptive-theme": true}')
        variables = {
            "JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime", "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces", "IPYTHONDIR": "ipython",
        }  # fmt: skip
        environment = os.environ | {key: str(folder / kind) for key, kind in variables.items()} | {
            "BIOPTIMUS_PROFILE": "glance",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        }
        command = [
            sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root",
            "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
            f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder / 'root'}",
            "--LabApp.extension_manager=readonly",
        ]  # fmt: skip
        base, log = f"http://127.0.0.1:{port}", folder / "log"
        with log.open("w") as file:
            server = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
        try:
            _wait_for(base, server, log)
            yield base
        finally:
            server.terminate()
            server.wait(timeout=30)


def _wait_for(base: str, server: subprocess.Popen, log: Path) -> None:
    """Until the server answers.

    Raises:
        RuntimeError: it ended, or did not answer; with the end of its log.
    """
    end = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < end:
        try:
            return ask(base, "status")
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"JupyterLab does not run: {log.read_text()[-1000:]}")


def ask(base: str, what: str, method: str = "GET") -> object:
    """An answer of the server's interface."""
    headers = {"Authorization": f"token {TOKEN}"}
    request = urllib.request.Request(f"{base}/api/{what}", method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read() or "null")


# -- a reader ------------------------------------------------------------------------------------

#: What a page shows of the cells: whether the widget is there, and errors in words.
STATE = """() => {
  const cells = [...document.querySelectorAll('.jp-CodeCell')], last = cells[cells.length - 1];
  const bad = ['stderr', 'error'].map(k => `[data-mime-type="application/vnd.jupyter.${k}"]`);
  const errors = [...document.querySelectorAll(bad.join())].map(e => e.innerText.slice(-300));
  for (const e of document.querySelectorAll('.jp-OutputArea-output'))
    if (/^Error (displaying|creating) widget/.test(e.innerText)) errors.push(e.innerText);
  return [!!last && !!last.querySelector('.widget-output .jp-OutputArea-output'), errors];
}"""
#: The labels of the controls, in order; of the control that has the focus; the picture.
LABEL = """e => (
  e.querySelector('.widget-label-basic') || e.querySelector('.widget-label')).innerText"""
CONTROLS = f"""e => [...e.querySelectorAll('.widget-inline-hbox')].map({LABEL})"""
FOCUSED = f"""() => {{
  const box = document.activeElement.closest('.widget-inline-hbox'); return box && ({LABEL})(box);
}}"""
PICTURE = r"""e => {
  const outputs = [...e.querySelectorAll('.jp-OutputArea-output')];
  const images = outputs.flatMap(o => [...o.querySelectorAll('img')]).map(i => i.alt);
  const words = outputs.map(o => o.innerText.replace(/\s+/g, ' '));
  return [outputs.map(o => o.innerHTML).join(), [...words, ...images].join(' ')];
}"""
#: What is wider than the picture's own place.
WIDE = """e => [...e.querySelectorAll('*')].filter(i => i.scrollWidth > i.clientWidth + 1
  && getComputedStyle(i).overflowX !== 'visible').map(i => i.className)"""
#: Words of a table that JupyterLab's own style has set to the right.
RIGHT = """() => [...document.querySelectorAll('.bio td:not(.n), .bio th:not(.n)')]
  .filter(cell => getComputedStyle(cell).textAlign === 'right').length"""


class Reader:
    """A page of JupyterLab with the notebook of a case, and what is done there."""

    def __init__(self, chromium, base: str, case: Case, pictures: Path | None) -> None:
        self.base, self.case, self.pictures = base, case, pictures
        self.visit = check.first_visit(chromium, base)
        self.page, self.watch = self.visit.__enter__()
        self.page.set_default_timeout(1000 * PATIENCE)
        self.page.goto(f"{base}/doc/tree/{case.name}.ipynb?token={TOKEN}")
        self.page.wait_for_selector(".jp-CodeCell")
        self.wait_for_kernel()
        self.menu("Run", "Run All Cells")
        self.began = time.monotonic()

    def session(self) -> dict | None:
        """What the server says of this notebook's kernel, if there is one."""
        path = f"{self.case.name}.ipynb"
        return next((s for s in ask(self.base, "sessions") if s["path"] == path), None)

    def wait_for_kernel(self) -> None:
        """Until the page and the kernel speak with each other: what is run before is lost."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            kernel = (self.session() or {}).get("kernel", {})
            if kernel.get("connections") and kernel.get("execution_state") == "idle":
                break
            self.page.wait_for_timeout(100)
        idle = ".jp-Notebook-ExecutionIndicator[data-status=idle]"
        self.page.wait_for_selector(idle)

    def menu(self, *names: str) -> None:
        """Choose from the menus."""
        for name in names:
            self.page.get_by_role("menuitem", name=name, exact=True).click()

    def state(self) -> tuple[bool, list[str]]:
        """Whether the widget has drawn, and the errors that stand in the notebook."""
        drawn, errors = self.page.evaluate(STATE)
        if not drawn and time.monotonic() - self.began > PATIENCE:
            errors.append(f"no widget within {PATIENCE:.0f} s")
        return drawn, errors

    def use(self, steps: Sequence[Step]) -> tuple[list[str], list[float]]:
        """Do it all; gives the problems, and how long each answer took in seconds."""
        self.widget = self.page.locator(".jp-CodeCell .jupyter-widgets.widget-vbox").last
        self.output = self.widget.locator(".widget-output")
        self.widget.scroll_into_view_if_needed()
        labels = self.widget.evaluate(CONTROLS)
        problems = [f"no step uses {x!r}" for x in labels if x not in {s.control for s in steps}]
        problems += self.tab_through(labels)
        if cells := self.page.evaluate(RIGHT):
            problems.append(f"{cells} cells with words are set to the right")
        self.keep("first")
        seconds = []
        for number, step in enumerate(steps):
            said = f"{step.control}: {step.how} {step.what[:40]!r}"
            try:
                seconds.append(self.do(step))
            except Exception as error:
                problems.append(f"{said}: {str(error).splitlines()[0]}")
            if wide := self.output.evaluate(WIDE):
                problems.append(f"{said}: scrolls sideways ({', '.join(map(str, wide[:3]))})")
            if errors := self.state()[1]:
                problems += [f"{said}: {error}" for error in errors]
                break
            self.keep(str(number))
        if self.pictures is not None:
            self.page.emulate_media(color_scheme="dark")  # the themes follow the system's
            self.page.wait_for_selector("body[data-jp-theme-light=false]", state="attached")
            self.page.wait_for_selector("#jupyterlab-splash", state="detached")
            self.widget.scroll_into_view_if_needed()
            self.keep("dark")
        return problems, seconds

    def tab_through(self, labels: Sequence[str]) -> list[str]:
        """The Tab key must come to each control, in their order."""
        self.focus(labels[0])
        reached = [labels[0]]
        for _ in range(2 * len(labels)):  # a slider is followed by its number
            if (now := self.page.evaluate(FOCUSED)) is None:
                break
            reached += [now] * (now != reached[-1])
            self.page.keyboard.press("Tab")
        return [] if reached == list(labels) else [f"the Tab key goes {reached}, not {labels}"]

    def box(self, label: str):
        """The control with a label."""
        boxes = self.widget.locator(".widget-inline-hbox")
        return boxes.nth(self.widget.evaluate(CONTROLS).index(label))

    def focus(self, label: str):
        """The part of a control that takes keys, which has the focus then."""
        part = self.box(label).locator("select, input, textarea, [role=slider]").first
        part.focus()
        return part

    def do(self, step: Step) -> float:
        """Use a control; gives the seconds until the picture shows what it should.

        Raises:
            TimeoutError: it does not.
        """
        before = self.output.evaluate(PICTURE)[0]
        press = self.page.keyboard.press
        if step.how == "click":
            place = self.box(step.control).locator(".slider-container").bounding_box()
            began = time.monotonic()
            self.page.mouse.click(
                place["x"] + place["width"] - 2, place["y"] + place["height"] / 2
            )
        elif step.how == "number":
            number = self.box(step.control).locator(".widget-readout")
            number.click()
            press("Control+A")
            self.page.keyboard.type(step.what)
            began = time.monotonic()
            press("Enter")
        elif step.how == "type":
            self.focus(step.control)
            press("Control+A")
            press("Delete")
            self.page.keyboard.insert_text(step.what)
            began = time.monotonic()
            press("Tab")
        else:
            self.focus(step.control)
            *first, last = step.what.split()
            for key in first:
                press(key)
                self.page.wait_for_timeout(100)  # a list opens
            began = time.monotonic()
            press(last)
        while time.monotonic() - began < ANSWER:
            html, text = self.output.evaluate(PICTURE)
            if html != before and step.shows in text:
                return time.monotonic() - began
            if self.state()[1]:
                raise RuntimeError("an error stands in the notebook")
            time.sleep(0.01)
        raise TimeoutError(
            f"{step.shows!r} is not shown" if html != before else "the picture does not change"
        )

    def keep(self, kind: str) -> None:
        """A picture of the page as it is."""
        if self.pictures is not None:
            self.page.screenshot(path=str(self.pictures / f"{self.case.name}-{kind}.png"))


def live(
    some: Sequence[Case],
    *,
    steps: Mapping[str, Sequence[Step]] = STEPS,
    pictures: Path | None = None,
    jobs: int = 2,
) -> dict[str, list[str]]:
    """Use the widgets of all cases, ``jobs`` notebooks at a time: case → problems, if any."""
    found: dict[str, list[str]] = {}
    if pictures is not None:
        shutil.rmtree(pictures, ignore_errors=True)
        pictures.mkdir(parents=True)
    notebooks = {case.name: notebook(case.codes) for case in some}
    with check.browser() as chromium, jupyterlab(notebooks) as base:
        for start in range(0, len(some), jobs):
            readers = [Reader(chromium, base, c, pictures) for c in some[start : start + jobs]]
            while readers:
                for reader in [reader for reader in readers if any(reader.state())]:
                    readers.remove(reader)
                    if problems := answers(reader, steps.get(reader.case.maker, ())):
                        found[reader.case.name] = problems
                time.sleep(0.1)
            # Not one by one: a page that lists the kernels while one of them ends gets an error.
            for session in ask(base, "sessions"):
                ask(base, f"sessions/{session['id']}", "DELETE")
    return found


def answers(reader: Reader, steps: Sequence[Step]) -> list[str]:
    """Use the widget of a page that has drawn or failed, close the page; gives the problems."""
    made = time.monotonic() - reader.began
    _, problems = reader.state()
    seconds = []
    if problems:
        reader.keep("failed")
    else:
        problems, seconds = reader.use(steps)
    reader.visit.__exit__(None, None, None)
    slowest = f", slowest answer {max(seconds):.2f} s" if seconds else ""
    print(f"  {reader.case.name:34} {reader.case.maker:18} {made:4.0f} s{slowest}", flush=True)
    return problems + reader.watch.take()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Use every widget of the chapters in JupyterLab.")
    parser.add_argument("chapters", nargs="*", help="how names begin, for example 05; else all")
    parser.add_argument("--screenshots", type=Path, metavar="DIR", help="keep pictures here")
    options = parser.parse_args(arguments)
    chosen = [c for c in cases() if c.name.startswith(tuple(options.chapters) or "")]
    if not chosen:
        print(f"no widget in {', '.join(options.chapters)}", file=sys.stderr)
        return 2
    try:
        found = live(chosen, pictures=options.screenshots)
    except (FileNotFoundError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2
    for name, problems in found.items():
        for problem in problems:
            print(f"{name}: {problem}")
    print(f"live check: {len(chosen)} widgets, {sum(map(len, found.values()))} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
