"""Weight and links of the built pages: a small page per fault; and what keeps the pages light."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import icons
import offline
import pages
import pytest

from bioptimus_lib import plots

NOISE = random.Random(0).randbytes(60_000)  # gzip cannot make it smaller
FAULTS = {
    "missing page": ('<a href="gone.html">x</a>', "link to gone.html, which is not there"),
    "missing anchor": ('<a href="good.html#no">x</a>', "the page has no #no"),
    "own anchor": ('<a href="#nowhere">x</a>', "the page has no #nowhere"),
    "missing file": ('<a href="data.csv">x</a>', "link to data.csv"),
    "missing script": ('<script src="gone.js"></script>', "gone.js, which it loads"),
    "missing picture of a set": ('<img srcset="a.bin 1x, b.bin 2x">', "b.bin, which it loads"),
    "heavy picture": ('<img src="a.bin">', "most for a.bin: 60,000"),
}


@pytest.fixture
def book(tmp_path):
    (tmp_path / "a.bin").write_bytes(NOISE)
    (tmp_path / "sub").mkdir()
    good = (
        '<h1 id="here">Fine</h1><a href="#here">a</a> <a href="sub/">b</a> <a href="#">c</a>'
        '<a href="https://example.org/#x">d</a> <a href="sub/index.html?q=1#caf%C3%A9">e</a>'
        '<a href="mailto:a@b.c">f</a> <a href="a.bin">g</a>'
    )
    (tmp_path / "good.html").write_text(good, encoding="utf-8")
    (tmp_path / "sub" / "index.html").write_text('<p id="café">x</p>', encoding="utf-8")
    return tmp_path


def test_a_good_book_has_no_problems(book):
    assert pages.check(book, limit=50_000) == {}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found(book, fault):
    body, message = FAULTS[fault]
    (book / "bad.html").write_text(f"<p>{body}</p>", encoding="utf-8")
    found = pages.check(book, limit=50_000 if "heavy" in fault else 500_000)
    assert list(found) == ["bad.html"] and len(found["bad.html"]) == 1
    assert message in found["bad.html"][0]


def test_weight_is_what_is_sent_each_file_once(book):
    (book / "long.js").write_text("let a = 1;\n" * 10_000, encoding="utf-8")
    page = book / "page.html"
    page.write_text('<script src="long.js"></script><img src="a.bin"><img src="a.bin">')
    weight = pages.weight(book, page)
    assert len(NOISE) < weight < len(NOISE) + 2_000


def test_command_lists_the_heaviest(book, capsys, tmp_path_factory):
    assert pages.main([str(book), "--heaviest", "1"]) == 0
    out = capsys.readouterr().out
    assert out.count("as sent") == 1 and "2 pages, 0 problems" in out
    assert pages.main([str(tmp_path_factory.mktemp("empty"))]) == 2
    assert "make book" in capsys.readouterr().err
    (book / "bad.html").write_text(FAULTS["own anchor"][0], encoding="utf-8")
    assert pages.main([str(book)]) == 1
    assert "bad.html: link to #nowhere" in capsys.readouterr().out


# -- what keeps them light -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole_script() -> str:
    theme = Path(find_spec("pydata_sphinx_theme").origin).parent
    (path,) = theme.rglob(f"static/scripts/{icons.LIBRARY}")
    return path.read_text(encoding="utf-8")


def test_icons_of_the_pages_stay_and_the_rest_goes(whole_script, tmp_path):
    (tmp_path / "a.html").write_text('<i class="fa-solid fa-sun"></i>', encoding="utf-8")
    (tmp_path / "own.js").write_text("x = 'fa-search'", encoding="utf-8")  # another name of one
    for name in ("scripts", "again"):
        (tmp_path / name).mkdir()
        (tmp_path / name / icons.LIBRARY).write_text(whole_script, encoding="utf-8")
    app = SimpleNamespace(outdir=tmp_path, builder=SimpleNamespace(format="html"))
    icons.cut_icons(app, ValueError("a build that failed"))
    assert (tmp_path / "again" / icons.LIBRARY).stat().st_size > 1_000_000
    icons.cut_icons(app, None)
    for name in ("scripts", "again"):
        left = (tmp_path / name / icons.LIBRARY).read_text(encoding="utf-8")
        names = {match.group(1) for match in icons.ICON.finditer(left)}
        assert "sun" in names and "magnifying-glass" in names and len(left) < 100_000
        assert names <= {"sun", "magnifying-glass", "search"}


def test_the_cut_script_is_still_a_program(whole_script, tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on this machine; `make browser` runs the script in each page")
    file = tmp_path / "cut.js"
    file.write_text(icons.cut(whole_script, {"sun", "moon"}), encoding="utf-8")
    assert subprocess.run([node, "--check", str(file)]).returncode == 0


@pytest.mark.parametrize("body, there", [('<div class="math notranslate">', 1), ("<p>x</p>", 0)])
def test_mathematics_is_loaded_where_there_is_some(body, there):
    scripts = ["_static/own.js", "_static/mathjax/tex-chtml.js"]
    context = {"body": body, "script_files": list(scripts)}
    offline.drop_mathjax(None, "page", "page.html", context, None)
    assert context["script_files"] == scripts[: 1 + there]


def test_marks_of_one_look_say_so_once():
    figure, axes = plots.new_figure(height=2)
    axes.scatter(range(300), range(300), c="#0072b2", alpha=0.35)
    text = plots.svg(figure)
    marks = re.findall(r"<use [^>]*>", text)
    assert len(marks) > 300 and text.count("fill-opacity: 0.35") < 5
    grouped = re.search(r'<g style="[^"]*fill-opacity: 0.35[^"]*">((?:<use [^>]*/>)+)</g>', text)
    assert grouped.group(1).count("<use ") == 300 and "style" not in grouped.group(1)
