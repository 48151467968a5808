"""The whole book as one PDF, from the pages that ``make book`` has built.

    python book/_tools/pdf.py [--html FOLDER] [--out FILE] [--without-solutions]

Title page, contents with page numbers, bookmarks, links from chapter to chapter; explanations are
open, and solutions stand at their place unless they are left out. A headless Chromium prints all
pages as one document, so that fonts are in it once and a link knows its page. What page a chapter
begins on is known only then: the numbers of the contents are printed once more by themselves and
laid over it.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

import yaml
from chromium import browser, served, settle
from pikepdf import ObjectStreamMode, Pdf

ROOT = Path(__file__).resolve().parents[2]
PRINT_CSS = Path(__file__).with_name("print.css")
PAPER = {"width": 657, "height": 971}  # A4 without its margins, at 96 pixels an inch
# All but the numbers of the contents leaves its place free, so that what lies below is seen.
HIDDEN = """<style>html, body { background: none !important }
  body * { visibility: hidden } .contents-page .number { visibility: visible }</style>"""
# Gives title, text and styles of a page. Addresses of other pages become places in the document,
# so each id begins with the key of its page. Rules go to the head, once: hundreds of the same among
# the text are read for minutes. They come from the sheets, because MathJax adds the letters that a
# page has to its sheet and not to its text.
TEACHERS = ("book/instructor", "book/exam")
ARTICLE = """([key, keys, solutions]) => {
  const article = document.querySelector('article.bd-article');
  const rules = [...document.querySelectorAll('style')]
    .flatMap(s => [...s.sheet.cssRules].map(rule => rule.cssText));
  const gone = ['script', 'style', 'link', '.headerlink', '.copybtn', '.toggle-button', '.Quiz',
    '.sd-summary-state-marker', 'mjx-assistive-mml',
    ...(solutions ? [] : ['.solution'])];
  for (const e of article.querySelectorAll(gone.join())) e.remove();
  for (const e of article.querySelectorAll('details.api, details.ledger'))  // hundreds of pages
    e.replaceChildren(e.querySelector('summary'));
  for (const e of article.querySelectorAll('details')) e.open = e.childNodes.length > 1;
  for (const e of article.querySelectorAll('.toggle-hidden')) e.classList.remove('toggle-hidden');
  for (const e of article.querySelectorAll('.bio :is(h2, h3, h4)')) {  // no bookmarks
    const line = document.createElement('p');
    line.innerHTML = `<b>${e.innerHTML}</b>`;
    e.replaceWith(line);
  }
  for (const e of article.querySelectorAll('img')) e.setAttribute('src', e.src);
  for (const a of article.querySelectorAll('a[href]')) {
    const to = new URL(a.href);
    if (to.origin !== location.origin) continue;
    const page = keys[decodeURI(to.pathname).slice(1)];
    const place = decodeURIComponent(to.hash.slice(1));
    if (page) a.setAttribute('href', '#' + encodeURIComponent(place ? page + '.' + place : page));
    else a.removeAttribute('href');
  }
  const named = ['aria-labelledby', 'aria-describedby', 'aria-controls', 'for'];
  for (const e of article.querySelectorAll('*')) {
    if (e.id) e.id = key + '.' + e.id;
    for (const name of named) e.removeAttribute(name);
    for (const name of ['clip-path', 'fill', 'marker-end', 'mask', 'xlink:href'])
      if (/^(url\\()?#/.test(e.getAttribute(name) || ''))
        e.setAttribute(name, e.getAttribute(name).replace('#', '#' + key + '.'));
  }
  return {
    title: article.querySelector('h1').textContent.trim(),
    html: article.innerHTML,
    sheets: [...document.querySelectorAll('link[rel=stylesheet]')].map(l => l.href),
    rules,
  };
}"""
# Makes smaller what is wider than the paper, and keeps short code on one page.
FIT = """() => {
  for (const e of document.querySelectorAll('.bd-article :is(table, mjx-container, .bio > *)')) {
    const room = e.parentElement.getBoundingClientRect().width;
    const wide = Math.max(e.scrollWidth, e.getBoundingClientRect().width);
    if (room > 0 && wide > room + 1) e.style.zoom = Math.max(0.45, room / wide);
  }
  for (const e of document.querySelectorAll('.cell_input, div.highlight, .bio'))
    if (!e.parentElement.closest('.cell_input, .bio') && e.getBoundingClientRect().height < 420)
      e.classList.add('keep');
}"""


@dataclass(frozen=True)
class Article:
    """A page of the book as it goes into the document."""

    key: str
    title: str
    html: str
    sheets: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()


def parts(toc: Mapping) -> list[tuple[str, list[str]]]:
    """The pages in the order of ``_toc.yml``, part by part; the first part is the root page.

    >>> parts({"root": "book/intro", "parts": [{"caption": "Maps", "chapters": [{"file": "a/b"}]}]})
    [('', ['book/intro']), ('Maps', ['a/b'])]
    """
    found = [("", [toc["root"]])]
    for part in toc["parts"]:
        found.append((part["caption"], [chapter["file"] for chapter in part["chapters"]]))
    return found


def key_of(page: str) -> str:
    """The name of a page in the document, from its address without the ending.

    >>> key_of("notebooks/05_masking")
    'notebooks-05_masking'
    """
    return page.replace("/", "-")


def front(
    title: str,
    author: str,
    logo: str,
    named: Sequence[tuple[str, list[Article]]],
    numbers: Mapping[str, int],
) -> str:
    """Title page and contents; ``numbers`` tells the page of each key, as far as it is known."""
    lines = []
    for caption, articles in named:
        if caption:
            lines.append(f'<p class="part">{escape(caption)}</p>')
        lines += [
            f'<a href="#{article.key}"><span>{escape(article.title)}</span>'
            f'<span class="number">{numbers.get(article.key, "")}</span></a>'
            for article in articles
        ]
    return (
        f'<section class="of-book title-page"><img src="{escape(logo)}" alt="">'
        f"<p style='font-size:30px'>{escape(title)}</p><p>{escape(author)}</p></section>"
        f'<nav class="of-book contents-page"><h1>Contents</h1>{"".join(lines)}</nav>'
    )


def document(title: str, first: str, articles: Iterable[Article]) -> str:
    """One page of HTML that holds them all, with the styles of all."""
    articles = list(articles)
    sheets = dict.fromkeys(sheet for article in articles for sheet in article.sheets)
    rules = dict.fromkeys(rule for article in articles for rule in article.rules)
    links = "".join(f'<link rel="stylesheet" href="{escape(sheet)}">' for sheet in sheets)
    text = "".join(
        f'<article class="bd-article" id="{article.key}">{article.html}</article>'
        for article in articles
        if article.html
    )
    if text:
        text = f'<div class="bd-content" style="display:block">{text}</div>'
    return (
        f'<!doctype html><html lang="en" data-theme="light" data-mode="light"><head>'
        f'<meta charset="utf-8"><title>{escape(title)}</title>{links}'
        f"<style>{''.join(rules)}</style><style>{PRINT_CSS.read_text(encoding='utf-8')}</style>"
        f"</head><body>{first}{text}</body></html>"
    )


def pages_by_key(book: Pdf, keys: Iterable[str]) -> dict[str, int]:
    """The page on which each key begins, counted from 1.

    Raises:
        ValueError: a chapter of the contents is not in the document.
    """
    places = book.Root.get("/Dests", {})
    numbers = {page.objgen: number for number, page in enumerate(book.pages, start=1)}
    wanted = list(keys)
    if missing := [key for key in wanted if f"/{key}" not in places]:
        raise ValueError(f"the printed book lacks {missing[0]!r}, one of {len(wanted)} pages")
    return {key: numbers[places[f"/{key}"][0].objgen] for key in wanted}


def lay_over(book: Pdf, numbers: Pdf) -> None:
    """Put the pages of ``numbers`` over the first ones of the book.

    Raises:
        ValueError: the contents would end on another page than they were printed on.
    """
    if len(numbers.pages) > len(book.pages):
        pages = len(numbers.pages)
        raise ValueError(f"{pages} pages of contents for a book of {len(book.pages)}")
    for below, above in zip(book.pages, numbers.pages, strict=False):
        below.add_overlay(above)


def printed(page, base: str, html: str) -> bytes:
    """A document as PDF, printed as if it were a page of the book."""
    address = f"{base}/print.html"
    page.route(address, lambda route: route.fulfill(body=html, content_type="text/html"))
    page.goto(address)
    page.emulate_media(media="print")
    settle(page)
    page.evaluate("() => document.fonts.ready")
    page.evaluate(FIT)
    answer = page.pdf(prefer_css_page_size=True, print_background=True, outline=True, tagged=True)
    page.unroute(address)
    return answer


def make(html: Path, out: Path, *, solutions: bool = True) -> int:
    """Print the built book into a file; gives its number of pages.

    Args:
        solutions: with them, and with the pages for teachers, which answer the exam.

    Raises:
        FileNotFoundError: a page of ``_toc.yml`` has not been built.
    """
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    title, author = config["title"], config["author"]
    order = [
        (caption, [page for page in pages if solutions or page not in TEACHERS])
        for caption, pages in parts(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8")))
    ]
    keys = {f"{page}.html": key_of(page) for _, pages in order for page in pages}
    if missing := [page for page in keys if not (html / page).is_file()]:
        raise FileNotFoundError(f"{html / missing[0]} is not there: run `make book` first")
    with served(html) as base, browser() as chromium:
        page = chromium.new_page(viewport=PAPER, reduced_motion="reduce", color_scheme="light")
        page.set_default_timeout(600_000)
        found = {}
        for address, key in keys.items():
            page.goto(f"{base}/{address}")
            settle(page)
            found[key] = Article(key=key, **page.evaluate(ARTICLE, [key, keys, solutions]))
        named = [(caption, [found[key_of(page)] for page in pages]) for caption, pages in order]
        logo = f"{base}/_static/{Path(config['logo']).name}"
        first = front(title, author, logo, named, {})
        book = Pdf.open(io.BytesIO(printed(page, base, document(title, first, found.values()))))
        numbers = pages_by_key(book, found)
        first = front(title, author, logo, named, numbers) + HIDDEN
        styles = [replace(article, html="") for article in found.values()]
        contents = printed(page, base, document(title, first, styles))
    lay_over(book, Pdf.open(io.BytesIO(contents)))
    book.docinfo["/Author"] = author
    out.parent.mkdir(parents=True, exist_ok=True)
    # The tags for screen readers are 100,000 small objects: packed they are a tenth of the size.
    book.save(out, object_stream_mode=ObjectStreamMode.generate, recompress_flate=True)
    return len(book.pages)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Print the built book into one PDF.")
    parser.add_argument("--html", type=Path, default=ROOT / "_build/html", metavar="FOLDER")
    parser.add_argument("--out", type=Path, default=ROOT / "_build/bioptimus.pdf", metavar="FILE")
    parser.add_argument("--without-solutions", action="store_true",
                        help="for students: without the pages for teachers, too")
    options = parser.parse_args(arguments)
    try:
        pages = make(options.html, options.out, solutions=not options.without_solutions)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{options.out}: {pages} pages, {options.out.stat().st_size / 2**20:.1f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
