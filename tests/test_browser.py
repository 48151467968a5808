"""The browser check finds what it is there to find: one small page per fault."""

from __future__ import annotations

import check as browser_check
import chromium
import pytest

CHROMIUM = chromium.find_browser()
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
    found, remarks = browser_check.check(tmp_path, word=None, jobs=2)
    assert "good.html" not in found
    assert any("landmark-one-main" in remark for remark in remarks["good.html"])
    for number, (case, (_, message)) in enumerate(FAULTS.items()):
        assert any(message in problem for problem in found[f"page{number}.html"]), case
    assert any("div.wide" in problem for problem in found["page5.html"])


def test_search_must_find_the_word_and_pictures_are_kept(tmp_path):
    root, pictures = tmp_path / "html", tmp_path / "pictures"
    root.mkdir()
    write(root, "search.html", "<div id='search-results'><ul class='search'></ul></div>")
    found, _ = browser_check.check(root, pictures=pictures, word="bronchoconstriction", patience=1)
    assert found == {"search.html": ["the search does not find 'bronchoconstriction'"]}
    names = sorted(picture.name for picture in pictures.iterdir())
    assert names == ["search-dark.png", "search-narrow.png", "search-wide.png"]
    hit = "<div id='search-results'><ul class='search'><li><a href='x'>x</a></li></ul></div>"
    write(root, "search.html", hit)
    assert browser_check.check(root)[0] == {}


def test_an_empty_folder_is_an_error(tmp_path, capsys):
    assert browser_check.main([str(tmp_path)]) == 2
    assert "make book" in capsys.readouterr().err


def test_command_says_what_it_found(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(browser_check, "WORD", None)
    monkeypatch.setattr(browser_check, "CHAPTER", None)
    write(tmp_path, "page.html", FAULTS["missing image"][0])
    assert browser_check.main([str(tmp_path), "--jobs", "1"]) == 1
    assert "page.html: missing image: gone.png" in capsys.readouterr().out
    monkeypatch.setattr(chromium, "BROWSERS", ("no-such-browser",))
    assert browser_check.main([str(tmp_path), "--jobs", "1"]) == 2


def test_the_chapter_is_walked_through(tmp_path):
    write(tmp_path, "page.html", "<main><details><summary>ask</summary>answer</details></main>")
    found, _ = browser_check.check(tmp_path, word=None, chapter="page.html")
    walked = [problem for problem in found["page.html"] if problem.startswith("keyboard")]
    assert walked == [
        "keyboard: the first stop is no link to the text",
        "keyboard: the page has not got a solution",
        "keyboard: the page has not got an answer of the quiz",
    ]
