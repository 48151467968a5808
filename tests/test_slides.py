"""Slides: what a room sees, what the speaker says, and nothing from another host."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
import slides
from execute import execute_all
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

CHAPTERS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
ANSWER = (
    '<details class="x">\n<summary class="y">Open</summary>\n<div>\n\nThe long one. It has more to '
    "say, " + "again and again " * 20 + ".\n\n</div>\n</details>"
)


def made(*cells):
    return slides.of_notebook(new_notebook(cells=[header(), *cells]))[2:]


def header():
    return new_markdown_cell(
        "# A title\n\n*A promise.*\n\n**You will be able to**\n\n- *do* it;\n\n"
        "**You need** nothing."
    )


def figure(text="<img class='bio-figure' alt='x'>", printed=""):
    outputs = [new_output("display_data", {"text/html": text})] if text else []
    if printed:
        outputs.append(new_output("stream", name="stdout", text=printed))
    return new_code_cell("draw()", outputs=outputs)


def test_title_and_aims_come_first():
    first, second = slides.of_notebook(new_notebook(cells=[header()]))
    assert "<h1>A title</h1>" in first.shown and "A promise" in first.shown
    assert "do" in second.shown and "nothing" not in second.shown


def test_an_answer_comes_after_its_question_and_is_short():
    question, picture, answer = made(
        new_markdown_cell("**Predict.** Which one?"), figure(), new_markdown_cell(ANSWER)
    )
    assert "Predict" in question.shown and "Which one?" in question.shown
    assert "bio-figure" in picture.shown
    assert "The long one." in answer.shown and "again" not in answer.shown
    assert "again and again" in answer.said


def test_a_heading_takes_the_figure_below_it_and_says_the_text():
    text = "## 1 · A thing\n\nFirst sentence of it. " + "More words follow here. " * 20
    (slide,) = made(new_markdown_cell(text), figure(printed="12 of 13\n"))
    assert slide.level == 1 and "First sentence" in slide.shown
    assert "bio-figure" in slide.shown and "12 of 13" in slide.shown
    assert slide.said.count("More words follow") == 20 > slide.shown.count("More words follow")


def test_formulas_and_lists_are_shown_whole():
    text = "## 2 · Loss\n\nIt is\n\n$$\na < b\n$$\n\nso.\n\n- one\n- two"
    (slide,) = made(new_markdown_cell(text))
    assert r"\[" in slide.shown and "a &lt; b" in slide.shown
    assert slide.shown.count("<li>") == 2


def test_an_exercise_has_its_stub_and_neither_check_nor_solution():
    some = made(
        new_markdown_cell(":::{exercise-start} Count\n:label: x\n:::\n\nCount them."),
        new_code_cell("def count(x):\n    ...  # your code"),
        new_code_cell('check("1-1", count)', outputs=[new_output("stream", text="Not yet")]),
        new_markdown_cell(":::{exercise-end}\n:::\n\n:::{solution-start} x\n:::"),
        new_code_cell("def count(x):\n    return len(x)", outputs=figure("", "Right").outputs),
        new_markdown_cell(":::{solution-end}\n:::"),
        new_markdown_cell("## Quiz"),
        figure("<div>questions</div>"),
        new_markdown_cell("## Take-aways\n\n- that"),
    )
    assert len(some) == 2
    assert "Exercise: Count" in some[0].shown and "# your code" in some[0].shown
    assert "len(x)" not in some[0].shown and "Not yet" not in some[0].shown
    assert "that" in some[1].shown


def test_tables_that_are_not_made_yet_and_long_prints_are_no_slides():
    assert not made(figure("<p>The ledger holds no rows of x</p>"), figure("", "line\n" * 40))


def test_roles_become_words():
    text = slides.plain(
        "{term}`gap <gaps>` and {term}`rate`, {cite:t}`hinton2015distilling`; "
        "{cite:p}`hinton2015distilling`; [chapter](a.ipynb), <a href='#x'>here</a>"
    )
    assert text == (
        "gap and rate, Hinton et al. (2015); (Hinton et al., 2015); chapter, here"
    )


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_chapter_has_slides_that_ask_no_other_host(path):
    some = slides.of_notebook(nbformat.read(path, 4))
    page = slides.page(path.stem, some)
    assert len(some) > 15
    assert "{term}" not in page and "{cite" not in page and "{exercise" not in page
    assert not re.findall(r"(?:src|href)=[\"']?https?:", page)
    assert page.count("<h3>Predict</h3>") >= 2
    assert page.count("<h3>Exercise: ") >= 2


def test_the_command_takes_the_outputs_of_the_book(tmp_path, capsys):
    cells = [header(), new_markdown_cell("## 1 · See"), new_code_cell("print(6 * 7)")]
    note = new_notebook(cells=cells)
    note.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    path, cache, out = tmp_path / "01_a.ipynb", tmp_path / "cache", tmp_path / "out"
    nbformat.write(note, path)
    command = [str(path), "--cache", str(cache), "--out", str(out)]
    assert slides.main(command) == 1
    assert "run `make book`" in capsys.readouterr().err
    assert not execute_all([path], cache=cache, jobs=1, timeout=60)
    assert slides.main(command) == 0
    page = (out / "01_a.html").read_text(encoding="utf-8")
    assert "<pre>42</pre>" in page
    for name in re.findall(r"(?:src|href)=\"(_[^\"]+)\"", page):
        assert (out / name).is_file(), name
    assert "01_a.html" in (out / "index.html").read_text(encoding="utf-8")
