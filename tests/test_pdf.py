"""The book as one PDF: its order, its contents, its links, and what is left out."""

from __future__ import annotations

import doctest
import io

import pdf
import pytest
from pypdf import PdfReader, PdfWriter

CHROMIUM = pdf.find_browser()
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


def test_pages_are_found_by_key_and_a_missing_one_is_named():
    writer = PdfWriter()
    for _ in range(3):
        writer.add_blank_page(width=100, height=100)
    writer.add_named_destination("a", 2)
    file = io.BytesIO()
    writer.write(file)
    assert pdf.pages_by_key(PdfReader(file), ["a"]) == {"a": 3}
    with pytest.raises(ValueError, match="lacks 'b'"):
        pdf.pages_by_key(PdfReader(file), ["a", "b"])


def test_contents_longer_than_the_book_are_refused():
    def blank(pages):
        writer, file = PdfWriter(), io.BytesIO()
        for _ in range(pages):
            writer.add_blank_page(width=100, height=100)
        writer.write(file)
        return file.getvalue()

    assert len(pdf.laid_over(blank(3), blank(2), author="x").pages) == 3
    with pytest.raises(ValueError, match="2 pages of contents for a book of 1"):
        pdf.laid_over(blank(1), blank(2), author="x")


def test_a_page_that_is_not_built_is_an_error(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(pdf, "find_browser", lambda: "chromium")
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
def test_the_book_is_printed_with_numbers_links_and_bookmarks(book, tmp_path):
    out = tmp_path / "book.pdf"
    assert pdf.make(book, out, executable=CHROMIUM) == 5  # title, contents, two pages, chapter
    reader = PdfReader(out)
    texts = [" ".join(page.extract_text().split()) for page in reader.pages]
    assert "Small book" in texts[0] and "Nobody" in texts[0]
    assert "Welcome 3 Maps & masks Chapter 5" in texts[1]
    assert "explained" in texts[4] and "solved" in texts[4] and "clicked" not in texts[4]
    assert texts[4].startswith("5 Chapter") and "#" not in texts[4]
    assert [mark.title for mark in reader.outline if not isinstance(mark, list)] == [
        "Contents", "Welcome", "Chapter",
    ]  # fmt: skip
    links = [note.get_object() for note in reader.pages[4]["/Annots"]]
    assert len(links) == 1 and "/A" not in links[0] or "/URI" not in str(links[0].get("/A"))
    assert reader.metadata.author == "Nobody" and reader.metadata.title == "Small book"

    pdf.make(book, out, executable=CHROMIUM, solutions=False)
    text = PdfReader(out).pages[4].extract_text()
    assert "explained" in text and "solved" not in text
