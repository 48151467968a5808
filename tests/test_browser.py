"""The browser check finds what it is there to find: one small page per fault."""

from __future__ import annotations

import doctest

import accessible
import axe
import check as browser_check
import chromium
import keyboard
import pytest

CHROMIUM = browser_check.find_browser()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>t</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">{head}</head>
<body>{body}</body></html>"""

FAULTS = {
    "console error": ("<script>console.error('oh no')</script>", "console error: oh no"),
    "script error": ("<script>nowhere.to.be = 1</script>", "script error"),
    "missing image": ("<img src='gone.png' alt='x'>", "missing image: gone.png"),
    "missing script": ("<script src='gone.js'></script>", "status 404"),
    "another host": ("<script src='https://example.org/x.js'></script>", "another host"),
    "too wide": ("<div class='wide' style='width:900px'>x</div>", "scrolls sideways at 400 px"),
    "image without words": ("<img src='{dot}'>", "image without alt text"),
    "grey on white": ("<main><h1>t</h1><p style='color:#aaa'>pale</p></main>", "color-contrast"),
    "image named by its file": ("<img src='{dot}' alt='../_images/a1.png'>", "without alt text"),
}
DOT = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="


def write(folder, name, body):
    page = PAGE.format(head="", body=body.replace("{dot}", DOT))
    (folder / name).write_text(page, encoding="utf-8")


def test_every_fault_is_found_on_its_page_and_nowhere_else(tmp_path):
    for number, (body, _) in enumerate(FAULTS.values()):
        write(tmp_path, f"page{number}.html", body)
    good = (
        "<h1>Fine</h1><img alt='a dot' src='{dot}'><div style='overflow-x:auto' tabindex=0>"
        "<table style='width:900px'><tr><td>wide, but in a box</td></tr></table></div>"
    )
    write(tmp_path, "good.html", good)
    found, remarks = browser_check.check(tmp_path, executable=CHROMIUM, word=None)
    assert "good.html" not in found
    assert any("landmark-one-main" in remark for remark in remarks["good.html"])
    for number, (case, (_, message)) in enumerate(FAULTS.items()):
        assert any(message in problem for problem in found[f"page{number}.html"]), case
    assert any("div.wide" in problem for problem in found["page5.html"])


def test_search_must_find_the_word_and_pictures_are_kept(tmp_path):
    root, pictures = tmp_path / "html", tmp_path / "pictures"
    root.mkdir()
    write(root, "search.html", "<div id='search-results'><ul class='search'></ul></div>")
    found, _ = browser_check.check(
        root, executable=CHROMIUM, pictures=pictures, word="bronchoconstriction", patience=1.0
    )
    assert found == {"search.html": ["the search does not find 'bronchoconstriction'"]}
    names = sorted(picture.name for picture in pictures.iterdir())
    assert names == ["search-dark.png", "search-narrow.png", "search-wide.png"]
    hit = "<div id='search-results'><ul class='search'><li><a href='x'>x</a></li></ul></div>"
    write(root, "search.html", hit)
    assert browser_check.check(root, executable=CHROMIUM)[0] == {}


def test_an_empty_folder_is_an_error(tmp_path, capsys):
    assert browser_check.main([str(tmp_path)]) == 2
    assert "make book" in capsys.readouterr().err


def test_command_says_what_it_found(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(browser_check, "WORD", None)
    monkeypatch.setattr(browser_check, "CHAPTER", None)
    write(tmp_path, "page.html", FAULTS["missing image"][0])
    assert browser_check.main([str(tmp_path)]) == 1
    assert "page.html: missing image: gone.png" in capsys.readouterr().out
    monkeypatch.setattr(chromium, "BROWSERS", ("no-such-browser",))
    assert browser_check.main([str(tmp_path)]) == 2


REQUIRED = "aria-required-children"
BREACHES = {
    "grey on white": ("<p style='color:#aaa'>pale text</p>", "wide", "color-contrast"),
    "grey in a closed dropdown": (
        "<details><summary>ask</summary><p style='color:#aaa'>pale text</p></details>",
        "wide",
        "color-contrast",
    ),
    "grey in the dark": ("<p style='color:#aaa'>pale text</p>", "dark", "color-contrast"),
    "a button without a name": ("<button></button>", "wide", "button-name"),
    "a list without items": ("<div role=list><a href='#'>x</a></div>", "wide", REQUIRED),
    "a box that scrolls": (
        "<div style='overflow-x:auto; width:90px'><p style='width:900px'>text</p></div>",
        "narrow",
        "scrollable-region-focusable",
    ),
}


@pytest.fixture(scope="module")
def page():
    """One page for many small texts, in one browser."""
    with chromium.browser(CHROMIUM) as started:
        yield started.new_page()


@pytest.mark.parametrize("case", BREACHES)
def test_axe_finds_what_keeps_readers_out(page, case):
    body, look, rule = BREACHES[case]
    page.set_content(PAGE.format(head="", body=f"<main><h1>t</h1>{body}</main>"))
    found = axe.findings(page, look)
    assert [finding.rule for finding in found if finding.fails] == [rule]
    assert f"{look}, " in str(found[0]) and "first at" in str(found[0])


def test_axe_is_silent_on_a_good_page_and_remarks_are_no_failures(page):
    page.set_content(PAGE.format(head="", body="<main><h1>t</h1><p>text</p></main>"))
    assert [finding for look in axe.LOOKS for finding in axe.findings(page, look)] == []
    page.set_content(PAGE.format(head="", body="<main><h1>t</h1><h4>deep</h4></main>"))
    (finding,) = axe.findings(page, "wide")
    assert finding.rule == "heading-order" and not finding.fails


QUIZ = """<div class=Quiz><label><input type=radio name=q onchange="this.closest('.Quiz')
.querySelector('.Feedback').textContent = 'right'">four</label><p class=Feedback></p></div>"""
SOLUTION = """<div class=toggle-hidden><button class=toggle-button aria-expanded=false onclick="
this.ariaExpanded = 'true'; this.parentElement.className = ''">show</button></div>"""
DROPDOWN = "<details><summary>ask</summary>answer</details>"
ALL = DROPDOWN + SOLUTION + QUIZ
MAIN = "<a href='#main-content'>text</a><main id=main-content tabindex=-1>{}</main>"
WALKS = {
    "all is well": (MAIN.format(ALL), []),
    "no link to the text": (f"<main>{ALL}</main>", ["the first stop is no link to the text"]),
    "it leads nowhere": (
        f"<a href='#main-content'>text</a><a href='#x'>menu</a><main>{ALL}</main>",
        ["the link to the text does not lead there"],
    ),
    "no focus to be seen": (
        MAIN.format("<style>summary:focus {outline: none}</style>" + ALL),
        ["one cannot see the focus on summary"],
    ),
    "a stop that Tab does not make": (
        MAIN.format(ALL + "<button onfocus='this.previousElementSibling.focus()'>no</button>"),
        ["Tab does not stop at button"],
    ),
    "a dropdown that stays closed": (
        MAIN.format(ALL.replace("<summary>", "<summary onclick='return false'>")),
        ["Enter does nothing on a dropdown"],
    ),
    "no quiz": (MAIN.format(DROPDOWN + SOLUTION), ["the page has not got an answer of the quiz"]),
}


@pytest.mark.parametrize("case", WALKS)
def test_a_walk_by_keyboard(page, case):
    body, expected = WALKS[case]
    page.set_content(PAGE.format(head="", body=body))
    assert keyboard.walk(page) == [f"keyboard: {problem}" for problem in expected]


def test_the_chapter_is_walked_through(tmp_path):
    write(tmp_path, "page.html", MAIN.format("<h1>t</h1>" + DROPDOWN))
    found, _ = browser_check.check(tmp_path, executable=CHROMIUM, word=None, chapter="page.html")
    assert [problem.split(" got ")[1] for problem in found["page.html"]] == [
        "a solution", "an answer of the quiz",
    ]  # fmt: skip


def test_texts_of_pages_are_mended():
    assert doctest.testmod(accessible).failed == 0
    headed = '<th class="head"><p>model</p></th>'
    assert accessible.mended(headed) == headed
