"""Opens every page of the built book in a headless Chromium and says what a reader would trip over.

    python tests/browser/check.py _build/html [--screenshots DIR]

Looked for on each page: errors on the console, requests that fail, requests to any other host (the
book must be complete without a network), images that do not load or have no alt text, a page that
scrolls sideways at 400 px, and what axe-core calls critical or serious, light, dark and narrow;
what it calls moderate or minor is listed as a remark. One chapter is walked through by keyboard,
and the search must find a word of the course. Screenshots wide, at 400 px and dark are kept.

Exit code 1 when something was found, 2 when the check could not run; remarks change neither.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "book/_tools"))

import axe
import keyboard
from chromium import browser, served, settle

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 400, "height": 800}
WORD = "bronchoconstriction"
Found = dict[str, list[str]]
CHAPTER = "notebooks/05_masking.html"  # has all that can be pressed: solutions, answers, a quiz
# What sticks out to the right, where the page scrolls sideways; boxes that scroll inside may.
CULPRITS = """() => {
  const width = document.documentElement.clientWidth, found = [];
  const boxed = e => ['auto', 'scroll', 'hidden'].includes(getComputedStyle(e).overflowX);
  const scrolls = e => e && e !== document.body && (boxed(e) || scrolls(e.parentElement));
  for (const e of document.body.querySelectorAll('*'))
    if (e.getBoundingClientRect().right > width + 1 && !scrolls(e.parentElement))
      found.push(e.tagName.toLowerCase() + (e.className && e.className.baseVal === undefined
        ? '.' + String(e.className).trim().split(/\\s+/).join('.') : ''));
  return found.slice(0, 3);
}"""
BROKEN_IMAGES = """() => [...document.images]
  .filter(i => getComputedStyle(i).display !== 'none' && !(i.complete && i.naturalWidth > 0))
  .map(i => i.getAttribute('src'))"""

THEME = "theme => { document.documentElement.dataset.theme = theme; }"
WORDLESS_IMAGES = """() => [...document.images]
  .filter(i => i.closest('main, body') && i.getAttribute('role') !== 'presentation')
  .filter(i => !(i.alt || '').trim() || /^\\S+\\.(png|svg|jpe?g|gif)$/.test(i.alt))
  .map(i => i.getAttribute('src').slice(0, 80))"""


def pages_of(root: Path) -> list[str]:
    """The pages of the book as addresses below its root; Sphinx's own folders are left out."""
    found = (page.relative_to(root).as_posix() for page in sorted(root.rglob("*.html")))
    return [page for page in found if not page.startswith(("_static/", "_sources/", "_images/"))]


@contextmanager
def first_visit(chromium, base: str) -> Iterator[tuple]:
    """A page that remembers nothing of other pages, and the watch on it."""
    context = chromium.new_context(viewport=WIDE, reduced_motion="reduce")
    try:
        page = context.new_page()
        yield page, Watch(page, base)
    finally:
        context.close()


class Watch:
    """Collects what goes wrong while pages load."""

    def __init__(self, page, base: str) -> None:
        self.base, self.problems = base, []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._add(f"script error: {error}"))
        page.on("request", self._request)
        page.on("requestfailed", self._failed)
        page.on("response", self._response)

    def _add(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    def _console(self, message) -> None:
        if message.type == "error":
            self._add(f"console error: {message.text}")

    def _request(self, request) -> None:
        if not request.url.startswith((self.base, "data:", "blob:", "about:")):
            self._add(f"request to another host: {request.url}")

    def _failed(self, request) -> None:
        if request.failure != "net::ERR_ABORTED":  # the page itself changed its mind, or moved on
            self._add(f"failed request: {request.url} ({request.failure})")

    def _response(self, response) -> None:
        if response.status >= 400:
            self._add(f"status {response.status}: {response.url}")

    def take(self) -> list[str]:
        """The problems since the last call."""
        found, self.problems = self.problems, []
        return found


def check_page(
    page, watch: Watch, address: str, pictures: Path | None
) -> tuple[list[str], list[str]]:
    """Everything that is wrong with one page, in words, and what might be better."""
    name = address.removeprefix(watch.base).strip("/").removesuffix(".html").replace("/", "-")

    def keep(kind: str) -> None:
        if pictures is not None:
            page.screenshot(path=str(pictures / f"{name}-{kind}.png"), full_page=True)

    page.set_viewport_size(WIDE)
    page.goto(address)
    settle(page)
    problems = [f"missing image: {source}" for source in page.evaluate(BROKEN_IMAGES)]
    problems += [f"image without alt text: {s}" for s in page.evaluate(WORDLESS_IMAGES)]
    keep("wide")
    page.evaluate(THEME, "dark")
    keep("dark")
    found = axe.findings(page, "dark")  # after the pictures, for it opens what is closed
    page.evaluate(THEME, "light")
    found += axe.findings(page, "wide")
    page.set_viewport_size(NARROW)
    page.goto(address)  # as a phone would load it, not a desktop page made narrow
    settle(page)
    inside, outside = page.evaluate(
        "() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    if inside > outside:
        culprits = ", ".join(page.evaluate(CULPRITS)) or "no single element"
        problems.append(f"scrolls sideways at 400 px: {inside} > {outside} ({culprits})")
    problems += [f"missing image at 400 px: {source}" for source in page.evaluate(BROKEN_IMAGES)]
    keep("narrow")
    found += axe.findings(page, "narrow")
    problems += [str(finding) for finding in found if finding.fails]
    remarks = [str(finding) for finding in found if not finding.fails]
    return list(dict.fromkeys(watch.take() + problems)), remarks


def check_search(page, watch: Watch, word: str, patience: float) -> list[str]:
    """The book's own search must find the word on at least one page."""
    page.goto(f"{watch.base}/search.html?q={word}")
    try:
        page.wait_for_selector("#search-results ul.search li a", timeout=1000 * patience)
    except Exception:
        return [*watch.take(), f"the search does not find {word!r}"]
    return watch.take()


def check_pages(
    pages: list[str], root: Path, pictures: Path | None
) -> list[tuple[str, list[str], list[str]]]:
    """(page, problems, remarks) of some pages, in a browser of their own."""
    found = []
    with served(root) as base, browser() as chromium:
        for name in pages:
            with first_visit(chromium, base) as (page, watch):
                found.append((name, *check_page(page, watch, f"{base}/{name}", pictures)))
    return found


def check(
    root: Path,
    *,
    pictures: Path | None = None,
    word: str | None = WORD,
    chapter: str | None = None,
    patience: float = 15.0,
    jobs: int = 1,
) -> tuple[Found, Found]:
    """All problems of the book under ``root``, and remarks: page → list, where there are any.

    ``word`` must be found by the book's search within ``patience`` seconds, and ``chapter`` is the
    page to be walked through by keyboard; None asks for nothing. With ``jobs`` above 1 the pages
    are shared out to as many processes.
    """
    pages = pages_of(root)
    if not pages:
        raise FileNotFoundError(f"{root} holds no page: run `make book` first")
    if pictures is not None:
        shutil.rmtree(pictures, ignore_errors=True)
        pictures.mkdir(parents=True)
    work = partial(check_pages, root=root, pictures=pictures)
    if jobs == 1:
        seen = work(pages)
    else:
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            seen = sorted(chain(*pool.map(work, (pages[n::jobs] for n in range(jobs)))))
    found: Found = {name: problems for name, problems, _ in seen if problems}
    remarks: Found = {name: better for name, _, better in seen if better}
    with served(root) as base, browser() as chromium:
        if chapter:
            with first_visit(chromium, base) as (page, _):
                page.goto(f"{base}/{chapter}")
                settle(page)
                if problems := keyboard.walk(page):
                    found.setdefault(chapter, []).extend(problems)
        if word:
            with first_visit(chromium, base) as (page, watch):
                if problems := check_search(page, watch, word, patience):
                    found.setdefault("search.html", []).extend(problems)
    return found, remarks


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Check the built book in a headless Chromium.")
    parser.add_argument("root", type=Path, help="the folder with the built pages")
    parser.add_argument("--screenshots", type=Path, metavar="DIR", help="keep pictures here")
    jobs = min(4, os.cpu_count() or 1)
    parser.add_argument("--jobs", type=int, default=jobs, help="pages at a time")
    options = parser.parse_args(arguments)
    try:
        found, remarks = check(
            options.root,
            pictures=options.screenshots,
            word=WORD,
            chapter=CHAPTER,
            jobs=options.jobs,
        )
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    for kind, of_pages in (("remark, ", remarks), ("", found)):
        for page, lines in of_pages.items():
            for line in lines:
                print(f"{kind}{page}: {line}")
    total, more = (sum(map(len, of_pages.values())) for of_pages in (found, remarks))
    pages = len(pages_of(options.root))
    print(f"browser check: {pages} pages, {total} problems, {more} remarks")
    if options.screenshots:
        print(f"screenshots: {options.screenshots}")
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
