"""The book's configuration, proven on a small book: offline, with Colab buttons, failing loudly."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import adopt
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))


def listed() -> list[str]:
    """The pages of ``_toc.yml`` in reading order."""
    chapters = [chapter["file"] for part in TOC["parts"] for chapter in part["chapters"]]
    return [TOC["root"], *chapters]


def test_every_page_of_the_contents_exists():
    missing = [
        page
        for page in listed()
        if not any((ROOT / f"{page}{ending}").is_file() for ending in (".md", ".ipynb"))
    ]
    assert not missing and len(set(listed())) == len(listed())


def test_every_chapter_and_page_is_in_the_contents_and_in_order():
    chapters = [f"notebooks/{path.stem}" for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    assert [page for page in listed() if page.startswith("notebooks/")] == chapters
    pages = {f"book/{path.stem}" for path in (ROOT / "book").glob("*.md")}
    assert pages == {page for page in listed() if page.startswith("book/")}


def test_links_to_other_pages_name_no_anchor():
    """The book cannot check one that stands in HTML, and warns; a label and {ref} do the same."""
    pages = [*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("book/*.md")]
    links = {path.name: re.findall(r"\]\([^)\s]*\.(?:ipynb|md)#[^)]*\)", path.read_text("utf-8"))
             for path in pages}  # fmt: skip
    assert len(pages) > 25 and not {name: some for name, some in links.items() if some}


def test_every_citation_has_an_entry_and_every_entry_a_source():
    entries = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    keys = re.findall(r"^@\w+\{([^,]+),", entries, re.M)
    assert len(set(keys)) == len(keys) > 10
    for entry in re.split(r"^(?=@)", entries, flags=re.M)[1:]:
        assert all(
            re.search(rf"^\s*{field}\s*=", entry, re.M) for field in ("title", "author", "year")
        )
        assert re.search(r"^\s*(doi|url|note)\s*=", entry, re.M), entry.splitlines()[0]
    texts = [
        path.read_text(encoding="utf-8")
        for pattern in ("book/*.md", "notebooks/*.ipynb")
        for path in ROOT.glob(pattern)
    ]
    cited = re.findall(r"(?<!`)\{cite(?::\w+)?\}`([^`]+)`", "\n".join(texts))
    assert {key.strip() for group in cited for key in group.split(",")} <= set(keys)


def test_glossary_defines_each_term_once_and_links_exist():
    text = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
    body = re.search(r"```\{glossary\}\n(.*?)```", text, re.S).group(1)
    terms = re.findall(r"^(\S.*)$", body, re.M)
    assert len({term.lower() for term in terms}) == len(terms) > 15


DOT = (  # a picture of one pixel
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABh6FO1AAAAABJRU5ErkJg"
    "gg=="
)
NOTEBOOK = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {"kernelspec": {"display_name": "Python 3", "name": "python3"}},
    "cells": [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "# Small\n\n$$x^2=-1$$"},
        {"cell_type": "markdown", "id": "b", "metadata": {},
         "source": "```{exercise-start}\n:label: add\n```\nAdd.\n```{exercise-end}\n```"},
        {"cell_type": "markdown", "id": "c", "metadata": {},
         "source": "```{solution-start} add\n:class: dropdown\n```"},
        {"cell_type": "code", "id": "d", "metadata": {}, "execution_count": None, "outputs": [],
         "source": "import ipywidgets\nprint(6 * 7)\nfrom IPython.display import Image, display\n"
         "from base64 import b64decode\ndisplay(Image(b64decode('" + DOT + "'), alt='a dot'))\n"
         "ipywidgets.IntSlider(description='n')"},
        {"cell_type": "markdown", "id": "e", "metadata": {}, "source": "```{solution-end}\n```"},
    ],
}  # fmt: skip


def build(folder: Path, notebook: dict) -> subprocess.CompletedProcess:
    """Build a book of two pages with the real configuration, as ``make book`` does."""
    shutil.copy(ROOT / "_config.yml", folder)
    shutil.copytree(ROOT / "book" / "_ext", folder / "book" / "_ext")
    shutil.copytree(ROOT / "book" / "_static", folder / "book" / "_static")
    shutil.copy(ROOT / "book" / "references.bib", folder / "book")
    (folder / "book" / "intro.md").write_text("# Intro\n", encoding="utf-8")
    (folder / "notebooks").mkdir()
    (folder / "notebooks" / "00_small.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    toc = {"format": "jb-book", "root": "book/intro", "chapters": [{"file": "notebooks/00_small"}]}
    (folder / "_toc.yml").write_text(yaml.safe_dump(toc, sort_keys=False), encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    command = re.search(r"^\t@\$\(BIN\)/(jupyter-book build .*)$", makefile, re.M).group(1)
    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    if not jupyter_book.exists():
        pytest.fail(
            "jupyter-book is not installed beside this Python: run the tests by `make test`"
        )
    environment = {**os.environ, "PATH": f"{jupyter_book.parent}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        command.split(), cwd=folder, capture_output=True, text=True, env=environment
    )


@pytest.fixture(scope="module")
def small_book(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("book")
    run = build(folder, NOTEBOOK)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    return folder / "_build" / "html"


def test_colab_button_opens_the_right_notebook(small_book):
    page = (small_book / "notebooks" / "00_small.html").read_text(encoding="utf-8")
    address = adopt.current(ROOT)
    assert (
        f"https://colab.research.google.com/github/{address}/blob/main/notebooks/00_small.ipynb"
        in page
    )


def test_solution_is_executed_and_mathematics_is_local(small_book):
    page = (small_book / "notebooks" / "00_small.html").read_text(encoding="utf-8")
    assert re.search(r"<pre>.*42", page)
    scripts = re.findall(r"<script[^>]*\bsrc=\"([^\"]+)\"", page)
    assert any("mathjax/tex-chtml.js" in script for script in scripts)
    assert not [script for script in scripts if script.startswith(("http", "//"))]
    assert (small_book / "_static" / "mathjax" / "tex-chtml.js").stat().st_size > 500_000
    assert not re.search(r"unpkg\.com|jsdelivr|cdnjs", page)


def test_small_book_passes_the_browser_check(small_book):
    import check as browser_check
    import chromium

    if chromium.find_browser() is None:
        pytest.skip("no Chromium on this machine")
    found, remarks = browser_check.check(small_book, word="small")
    assert found == remarks == {}


def test_alt_text_of_a_figure_reaches_the_page(small_book):
    page = (small_book / "notebooks" / "00_small.html").read_text(encoding="utf-8")
    assert re.search(r"<img alt=\"a dot\"[^>]*src=\"\.\./_images/\w+\.png\"", page)


def test_results_page_shows_what_the_ledger_holds(tmp_path, monkeypatch):
    from bioptimus_lib import ledger

    text = (ROOT / "book" / "results.md").read_text(encoding="utf-8")
    cell = re.search(r"```\{code-cell\} python3\n:tags: [^\n]*\n(.*?)```", text, re.S).group(1)
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda html: shown.append(html.data))
    monkeypatch.setattr(ledger, "results_dir", lambda: tmp_path)
    exec(cell, {})
    assert "holds no rows" in shown.pop()
    row = {"model": "v0.4", "dataset": "a<b", "profile": "pocket", "command": "bioptimus run",
           "device": "cpu", "versions": {}, "data": {}, "commit": None}  # fmt: skip
    for seed, score in enumerate((84.0, 86.0, 85.0)):
        ledger.append("ner", {**row, "seed": seed, "metrics": {"f1": score}}, folder=tmp_path)
    more = {"seed": 3, "metrics": {"f1": 87.0, "recall": 9}, "variant": "late", "seconds": 240.0,
            "date": "2026-11-21", "commit": "0123456789abcdef"}  # fmt: skip
    ledger.append("ner", {**row, **more}, folder=tmp_path)
    exec(cell, {})
    assert "<details class='ledger' id='ner'>" in shown[0] and "4 rows" in shown[0]
    page = shown[0].replace("\N{NO-BREAK SPACE}", " ")
    assert "<td>f1 85 ± 1</td><td>3</td><td></td><td>a&lt;b</td>" in page, "means"
    assert "<td>f1 87<br>recall 9</td><td>1</td><td>late</td><td>a&lt;b</td>" in page
    row = "<td>f1 86</td><td>1</td><td></td><td>a&lt;b</td><td>pocket</td><td></td>"
    assert row in shown[0]
    assert (
        "<td>f1 87, recall 9</td><td>3</td><td>late</td><td>a&lt;b</td><td>pocket</td>"
        "<td>4 min</td><td>cpu</td><td>2026-11-21</td><td>0123456</td>"
    ) in shown[0]
    assert shown[0].count("bioptimus run") == 1


def test_launch_button_only_where_there_is_a_notebook(small_book):
    intro = (small_book / "book" / "intro.html").read_text(encoding="utf-8")
    assert "colab.research.google.com" not in intro


def test_crashed_cell_fails_the_build(tmp_path):
    crashed = json.loads(json.dumps(NOTEBOOK))
    crashed["cells"][3]["source"] = "1 / 0"
    run = build(tmp_path, crashed)
    assert run.returncode != 0 and "ZeroDivisionError" in run.stdout + run.stderr


def test_warning_fails_the_build(tmp_path):
    warned = json.loads(json.dumps(NOTEBOOK))
    warned["cells"][0]["source"] = "# Small\n\n[nowhere](nowhere.md)"
    assert build(tmp_path, warned).returncode != 0
