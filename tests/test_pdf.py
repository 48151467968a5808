"""The book as one PDF: its order, its contents, its links, and what is left out."""

from __future__ import annotations

import doctest
import re

import chromium
import pdf
import pytest
from pikepdf import Array, Dictionary, Name, Pdf

CHROMIUM = chromium.find_browser()
TOC = "{root: book/intro, parts: [{caption: Maps & masks, chapters: [{file: notebooks/01_a}]}]}"
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>t</title>
<link rel="icon" href="data:,"><style>.here {{ color: red }}</style></head>
<body><article class="bd-article"><h1 id="top">{title}<a class="headerlink" href="#top">#</a></h1>
{body}</article></body></html>"""


def test_examples_in_the_docstrings():
    assert doctest.testmod(pdf).failed == 0


def article(key, html="<h1>x</h1>", **styles):
    return pdf.Article(key=key, title=f"{key} <&>", html=html, **styles)


def test_contents_name_each_page_once_in_order_and_escape_titles():
    named = [("", [article("intro")]), ("Maps & masks", [article("a"), article("b")])]
    html = pdf.front("Book", "Authors", "/logo.svg", named, {"a": 7})
    places = [html.index(text) for text in ("#intro", "Maps &amp; masks", "#a", "#b")]
    assert places == sorted(places)
    assert '<span class="number">7</span>' in html and '<span class="number"></span>' in html
    assert html.count("&lt;&amp;&gt;") == 3 and "<&>" not in html


def test_a_document_has_each_style_once_and_no_empty_article():
    one = article("a", sheets=("/x.css",), rules=("b {}",))
    two = article("b", html="", sheets=("/x.css", "/y.css"), rules=("b {}", "i {}"))
    html = pdf.document("t", "<nav></nav>", [one, two])
    assert html.count("/x.css") == 1 and html.count("/y.css") == 1
    assert html.count("b {}") == 1 and "i {}" in html
    assert 'id="a"' in html and 'id="b"' not in html


def blank(pages):
    book = Pdf.new()
    for _ in range(pages):
        book.add_blank_page(page_size=(100, 100))
    return book


def test_pages_are_found_by_key_and_a_missing_one_is_named():
    book = blank(3)
    place = Array([book.pages[2].obj, Name.XYZ, 0, 0, 0])
    book.Root.Dests = Dictionary({"/notebooks-a": place})
    assert pdf.pages_by_key(book, ["notebooks-a"]) == {"notebooks-a": 3}
    with pytest.raises(ValueError, match="lacks 'b', one of 2"):
        pdf.pages_by_key(book, ["notebooks-a", "b"])
    with pytest.raises(ValueError, match="lacks 'a'"):
        pdf.pages_by_key(blank(1), ["a"])


def test_contents_longer_than_the_book_are_refused():
    book = blank(3)
    pdf.lay_over(book, blank(2))
    overlaid = ["/XObject" in page.get("/Resources", {}) for page in book.pages]
    assert overlaid == [True, True, False]
    with pytest.raises(ValueError, match="2 pages of contents for a book of 1"):
        pdf.lay_over(blank(1), blank(2))


def test_a_page_that_is_not_built_is_an_error(tmp_path, capsys, monkeypatch):
    assert pdf.main(["--html", str(tmp_path)]) == 2
    assert "make book" in capsys.readouterr().err


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A book of two pages; the second holds a solution, a dropdown and a link to the first."""
    (tmp_path / "_config.yml").write_text("title: Small book\nauthor: Nobody\nlogo: a/logo.svg\n")
    (tmp_path / "_toc.yml").write_text(TOC)
    html = tmp_path / "html"
    for folder in ("book", "notebooks", "_static"):
        (html / folder).mkdir(parents=True)
    (html / "_static/logo.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    pages = {
        "book/intro.html": ("Welcome", "<p>first</p><p style='break-before:page'>second</p>"),
        "notebooks/01_a.html": (
            "Chapter",
            "<details><summary>ask</summary>explained</details>"
            "<div class='solution'>solved</div><div class='Quiz'>clicked</div>"
            "<p><a href='../book/intro.html#top'>back</a> <a href='gone.html'>away</a></p>",
        ),
    }
    for name, (title, body) in pages.items():
        (html / name).write_text(PAGE.format(title=title, body=body), encoding="utf-8")
    monkeypatch.setattr(pdf, "ROOT", tmp_path)
    return html


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_the_book_is_printed_with_numbers_links_and_bookmarks(book, tmp_path, monkeypatch):
    documents, printed = [], pdf.printed
    monkeypatch.setattr(
        pdf, "printed", lambda *given: documents.append(given[2]) or printed(*given)
    )
    out = tmp_path / "book.pdf"
    assert pdf.make(book, out) == 5  # title, contents, two pages, chapter
    whole, contents = documents
    assert "explained" in whole and "solved" in whole and "color: red" in whole
    assert not [word for word in ("clicked", "headerlink", "<script") if word in whole]
    numbers = re.findall(r'href="#([^"]+)"><span>.*?</span><span class="number">(\d+)<', contents)
    assert numbers == [("book-intro", "3"), ("notebooks-01_a", "5")]
    assert "explained" not in contents

    with Pdf.open(out) as made:
        with made.open_outline() as outline:
            assert [mark.title for mark in outline.root] == ["Contents", "Welcome", "Chapter"]
        (link,) = made.pages[4].Annots  # the address that is not in the book is no link
        assert str(link.Dest if "/Dest" in link else link.A.D) == "/book-intro.top"
        assert made.docinfo["/Title"] == "Small book" and made.docinfo["/Author"] == "Nobody"
        assert "/StructTreeRoot" in made.Root and made.Root.MarkInfo.Marked
        assert "/XObject" in made.pages[1].Resources  # the numbers lie over the contents

    pdf.make(book, out, solutions=False)
    assert "explained" in documents[2] and "solved" not in documents[2]
    monkeypatch.setattr(pdf, "TEACHERS", ("notebooks/01_a",))
    pdf.make(book, out, solutions=False)
    assert "explained" not in documents[4] and "Chapter" not in documents[5]
    pdf.make(book, out)
    assert "explained" in documents[6], "teachers have all pages"
