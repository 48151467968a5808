"""What keeps readers out of a page is found: by axe-core, and by a walk with the keyboard."""

from __future__ import annotations

import doctest

import accessible
import axe
import chromium
import keyboard
import pytest
from test_browser import PAGE

pytestmark = pytest.mark.skipif(
    chromium.find_browser() is None, reason="no Chromium on this machine"
)
BREACHES = {
    "grey on white": ("<p style='color:#aaa'>pale text</p>", "wide", "color-contrast"),
    "grey in a closed dropdown": (
        "<details><summary>ask</summary><p style='color:#aaa'>pale text</p></details>",
        "wide",
        "color-contrast",
    ),
    "grey in the dark": ("<p style='color:#aaa'>pale text</p>", "dark", "color-contrast"),
    "a button without a name": ("<button></button>", "wide", "button-name"),
    "a list without items": (
        "<div role=list><a href='#'>x</a></div>",
        "wide",
        "aria-required-children",
    ),
    "a box that scrolls": (
        f"<pre style='overflow:auto; width:290px'>{'words in a line ' * 9}</pre>",
        "narrow",
        "scrollable-region-focusable",
    ),
}


@pytest.fixture(scope="module")
def started():
    """One browser for many small pages."""
    with chromium.browser() as started:
        yield started


@pytest.fixture
def page(started):
    """A page without a past, so that Tab begins at its first stop."""
    page = started.new_page()
    yield page
    page.close()


@pytest.mark.parametrize("case", BREACHES)
def test_axe_finds_what_keeps_readers_out(page, case):
    body, look, rule = BREACHES[case]
    page.set_content(PAGE.format(head="", body=f"<main><h1>t</h1>{body}</main>"))
    found = axe.findings(page, look)
    assert [finding.rule for finding in found if finding.fails] == [rule]
    assert f"{look}, " in str(found[0]) and "first at" in str(found[0])


@pytest.mark.parametrize(("row", "count"), [(3, 1), (8, 1), (9, 0), (30, 0)])
def test_of_long_tables_the_first_rows_are_looked_at(page, row, count):
    colours = ["#aaa" if n == row else "#000" for n in range(1, 31)]
    rows = [f"<tr><td style='color:{colour}'>some words" for colour in colours]
    table = f"<table><thead><tr><th>head<tbody>{''.join(rows)}</table>"
    page.set_content(PAGE.format(head="", body=f"<main><h1>t</h1>{table}</main>"))
    assert [finding.rule for finding in axe.findings(page, "wide")] == ["color-contrast"] * count


WORDS = "<div class={box}><pre style='background:{ground}'>{words}</pre></div>"


@pytest.mark.parametrize("look", ["wide", "dark"])
def test_of_listings_each_colour_in_each_box_is_looked_at(page, look):
    style = "<style>.k {color:#000} .s {color:#aaa} .n {color:#767676}</style>"
    code = "<span class=k>def</span> <span class=s>'pale'</span> "
    listings = {
        "as it is": (WORDS.format(box="in", ground="#fff", words=100 * code), 1),
        "two boxes": (
            "".join(WORDS.format(box=b, ground="#fff", words=9 * code) for b in ("in", "out")), 2
        ),
        "a darker box": (
            WORDS.format(box="in", ground="#fff", words="<span class=n>grey</span>")
            + WORDS.format(box="out", ground="#ddd", words="<span class=n>grey</span>"), 1
        ),
        "no colour": (WORDS.format(box="in", ground="#fff", words=9 * "<b>bold</b>"), 0),
    }  # fmt: skip
    for name, (body, count) in listings.items():
        page.set_content(PAGE.format(head=style, body=f"<main><h1>t</h1>{body}</main>"))
        text = page.inner_text("pre")
        found = [f.count for f in axe.findings(page, look) if f.rule == "color-contrast"]
        assert sum(found) == count, (name, found)
        assert page.inner_text("pre") == text


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
        MAIN.format(ALL + "<button onfocus='this.blur()'>no</button>"),
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


def test_texts_of_pages_are_mended():
    assert doctest.testmod(accessible).failed == 0
    headed = '<th class="head"><p>model</p></th>'
    assert accessible.mended(headed) == headed
