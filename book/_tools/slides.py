"""Slides of the chapters, for teachers: reveal.js, complete without a network.

    python book/_tools/slides.py [--out FOLDER] notebooks/*.ipynb

A slide has what a room can read: a heading, a question, a formula, a figure, a table. The sentences
of the chapter go into the speaker's notes (press S). Answers to predictions come a slide later, so
that the room can vote. Outputs are those of the last ``make book``; code stays in the chapter, but
for the stubs of exercises.
"""

from __future__ import annotations

import argparse
import html
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import nbformat
from execute import CACHE, ROOT
from jupyter_cache import get_cache
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from offline import mathjax_to
from tidy import SETUP, tags

LINES = 12  # of printed output that fit beside a figure
SKIPPED = ("Quiz", "Further reading")
MISSING = "The ledger holds no rows"  # a table that is not made yet is no slide
#: roles of MyST → what a slide shows; the last two need the bibliography.
TERM = re.compile(r"\{term\}`([^`<]+?)(?:\s*<[^>]*>)?`")
CITE = re.compile(r"\{cite:([tp])\}`([^`]+)`")
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\([^)]*\)|<a [^>]*>(.*?)</a>", re.S)
DETAILS = re.compile(r"<details.*?<summary.*?</summary>(.*?)</details>", re.S)
MATH = re.compile(r"^\$\$.*?^\$\$|^\$\$[^\n]*\$\$", re.M | re.S)
EXERCISE = re.compile(r"^:::\{exercise-start\}\s*(.*?)\n(?::\w+:.*\n)*:::\s*$", re.M)
REVEAL = "sphinx_revealjs"


@dataclass(frozen=True)
class Slide:
    """What is shown and what is said; ``level`` 1 goes to the right, 2 goes down; a slide with
    ``room`` takes the figure that follows."""

    shown: str
    said: str = ""
    level: int = 2
    room: bool = False


# --- text ----------------------------------------------------------------------------------------


@lru_cache
def references() -> dict[str, tuple[str, str]]:
    """Key → (authors, year) of the bibliography."""
    from pybtex.database import parse_file
    from pybtex.richtext import Text

    found = {}
    for key, entry in parse_file(str(ROOT / "book" / "references.bib")).entries.items():
        people = entry.persons.get("author") or entry.persons.get("editor") or []
        names = [str(Text.from_latex(" ".join(person.last_names))) for person in people]
        who = " and ".join(names) if len(names) < 3 else f"{names[0]} et al."
        found[key] = (who, entry.fields.get("year", ""))
    return found


def plain(text: str) -> str:
    """Markdown without roles of MyST and without links, which lead out of a slide."""

    def cited(match: re.Match) -> str:
        some = [references().get(key.strip(), (key, "")) for key in match[2].split(",")]
        if match[1] == "t":
            return "; ".join(f"{who} ({year})" for who, year in some)
        return "(" + "; ".join(f"{who}, {year}" for who, year in some) + ")"

    text = CITE.sub(cited, TERM.sub(r"\1", text))
    return LINK.sub(lambda match: match[1] or match[2] or "", text)


@lru_cache
def renderer() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": True}).enable("table").use(dollarmath_plugin)
    for rule, left, right in (("math_inline", r"\(", r"\)"), ("math_block", r"\[", r"\]")):
        made.add_render_rule(
            rule,
            lambda self, tokens, at, options, env, left=left, right=right:
                f"{left}{html.escape(tokens[at].content)}{right}",
        )  # fmt: skip
    return made


def shown(text: str) -> str:
    """Markdown as HTML."""
    return renderer().render(plain(text))


def lead(text: str, room: int = 200) -> str:
    """The first sentences of a paragraph, at least one and as many as have room, as Markdown.

    >>> lead("Words are cut, e.g. *il-2*. Then they are counted.", room=40)
    'Words are cut, e.g. *il-2*.'
    """
    flat, kept = " ".join(text.split()), ""
    for stop in re.finditer(r"[.?!:][*_)”]*(?=\s+[A-Z*{`$\[]|$)", flat):
        part = flat[: stop.end()]
        if part.count("$") % 2 or part.count("`") % 2 or part.count("**") % 2:
            continue  # inside a formula, a name or an emphasis
        if kept and len(part) > room:
            break
        kept = part
    return (kept or flat).removesuffix(":") + ("." if kept.endswith(":") else "")


# --- slides --------------------------------------------------------------------------------------


def of_text(text: str) -> Iterator[Slide]:
    """The slides of a Markdown cell."""
    if match := EXERCISE.search(text):
        yield Slide(f"<h3>Exercise: {html.escape(match[1])}</h3>" + shown(text[match.end() :]))
        return
    if "{exercise-end}" in text or "{solution-" in text:
        return
    if match := DETAILS.search(text):
        inside = re.sub(r"</?div[^>]*>", "", match[1]).strip()
        paragraphs = inside.split("\n\n")
        short = "\n\n".join(lead(one) for one in paragraphs if not _list(one))
        yield Slide("<h3>Answer</h3>" + shown(short), shown(inside))
        return
    parts = re.split(r"^(?=\*\*Predict\.\*\*)|^(?=#{1,3} )", text, flags=re.M)
    for part in parts:
        part = re.sub(r'^<a id="[^"]*"></a>\s*', "", part).strip()
        if not part:
            continue
        if part.startswith("**Predict.**"):
            yield Slide("<h3>Predict</h3>" + shown(part.removeprefix("**Predict.**")))
            continue
        heading = re.match(r"(#{1,3}) (.*)", part)
        if heading and heading[2].strip() in SKIPPED:
            continue
        body = part[heading.end() :].strip() if heading else part
        title = f"<h2>{renderer().renderInline(plain(heading[2]))}</h2>" if heading else ""
        level = 1 if heading and len(heading[1]) < 3 else 2
        blocks = [one for one in re.split(r"\n\n+", MATH.sub("", body)) if one.strip()]
        lists = [one for one in blocks if _list(one)]
        words = [one for one in blocks if not _list(one)]
        formulas = "\n\n".join(MATH.findall(body))
        first = lead(words[0], room=260) if words else ""
        content = "\n\n".join(one for one in (first, formulas, *lists) if one)
        if heading or formulas or lists:
            room = bool(heading) and not (formulas or lists)
            yield Slide(title + shown(content), shown(body), level, room)
        else:
            yield Slide("", shown(body))  # words between two cells: said, not shown


def _list(block: str) -> bool:
    return bool(re.match(r"\s*(?:[-*] |\d+\. |\|)", block))


def of_header(text: str) -> Iterator[Slide]:
    """The first two slides: title with promise and map; what one will be able to do."""
    head, _, rest = text.partition("**You will be able to**")
    title, _, promise = head.strip().partition("\n")
    title = renderer().renderInline(plain(title.removeprefix("# ")))
    yield Slide(f"<h1>{title}</h1>" + shown(promise), level=1)
    aims = rest.partition("**You need**")[0]
    yield Slide("<h2>You will be able to</h2>" + shown(aims), level=1)


def of_outputs(cell: nbformat.NotebookNode) -> Iterator[Slide]:
    """Figures and tables of a code cell, each with a few printed lines."""
    pictures, printed = [], ""
    for output in cell.get("outputs", []):
        if output.output_type == "stream" and output.name == "stdout":
            printed += output.text
        elif (picture := output.get("data", {}).get("text/html")) and MISSING not in picture:
            pictures.append(picture)
    lines = printed.strip("\n").splitlines()
    if not pictures and 0 < len(lines) <= LINES:
        pictures = [""]
    for number, picture in enumerate(pictures, start=1):
        below = "\n".join(lines[:LINES]) if number == len(pictures) else ""
        yield Slide(picture + (f"<pre>{html.escape(below)}</pre>" if below else ""))


def of_notebook(notebook: nbformat.NotebookNode) -> list[Slide]:
    """All slides of an executed chapter."""
    slides: list[Slide] = []
    solving = quiz = False
    for number, cell in enumerate(notebook.cells):
        text = cell.source
        if cell.cell_type == "markdown":
            quiz = bool(re.search(r"^## Quiz", text, re.M)) or (quiz and "## " not in text)
            found = of_header(text) if number == 0 else of_text(text)
            if "{solution-start}" in text or "{solution-end}" in text:
                solving = "{solution-start}" in text
                continue
            for slide in found:
                if slide.shown:
                    slides.append(slide)
                elif slides:  # said on the slide before
                    last = slides.pop()
                    slides.append(replace(last, said=last.said + slide.said))
        elif solving or quiz or SETUP in tags(cell):
            continue
        elif "...  # your code" in text:
            last = slides.pop()
            stub = f"<pre>{html.escape(text)}</pre>"
            slides.append(Slide(last.shown + stub, last.said, last.level))
        elif not re.match(r"check\(", text):
            found = list(of_outputs(cell))
            if found and slides[-1].room:
                last, first = slides.pop(), found.pop(0)
                below = f'<div class="below">{first.shown}</div>'
                slides.append(Slide(last.shown + below, last.said, last.level))
            slides += found
    return slides


# --- files ---------------------------------------------------------------------------------------

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<link rel="stylesheet" href="_reveal/reset.css"><link rel="stylesheet" href="_reveal/reveal.css">
<style>
.reveal {{ font: 30px/1.4 "DejaVu Sans", Verdana, sans-serif; color: #1f2a37; }}
.reveal-viewport {{ background: #fff; }}
.reveal h1 {{ font-size: 1.9em; }} .reveal h2 {{ font-size: 1.5em; color: #0b3d66; }}
.reveal h3 {{ font-size: 1.15em; color: #0072b2; }}
.reveal section {{ text-align: left; max-height: 100%; overflow: auto; }}
.reveal p, .reveal li {{ margin: .5em 0; }} .reveal ul, .reveal ol {{ margin-left: 1.2em; }}
.reveal img, .reveal svg {{ max-width: 100%; max-height: 600px; }}
.reveal img.bio-figure {{ height: 520px !important; width: auto !important;
  max-width: 100% !important; object-fit: contain; object-position: left; }}
.reveal .below img.bio-figure {{ height: 420px !important; }}
.reveal picture img {{ width: 100%; height: auto; }}
.kicker {{ font-size: 18px; color: #5b6b7c; margin-bottom: .8em; }}
.reveal pre {{ font: 20px/1.4 "DejaVu Sans Mono", monospace; background: #f3f5f8; padding: .6em;
  overflow: auto; }}
.reveal table {{ font-size: 22px; border-collapse: collapse; }}
.reveal td, .reveal th {{ padding: .2em .6em; border-bottom: 1px solid #d5dde6; }}
.reveal .bio {{ max-width: none !important; font-size: 22px !important; }}
</style></head>
<body><div class="reveal"><div class="slides">
{slides}
</div></div>
<script src="_reveal/reveal.js"></script><script src="_reveal/notes.js"></script>
<script>
MathJax = {{ startup: {{ typeset: true }} }};
Reveal.initialize({{ hash: true, slideNumber: "c/t", width: 1180, height: 760, center: false,
  transition: "none", plugins: [RevealNotes] }});
</script>
<script src="_mathjax/tex-chtml.js"></script>
</body></html>
"""


def page(title: str, slides: list[Slide]) -> str:
    """A chapter's slides as a page: sections side by side, what belongs to one below it."""
    columns: list[list[Slide]] = []
    for slide in slides:
        if slide.level == 1 or not columns:
            columns.append([])
        columns[-1].append(slide)
    for column in columns:  # what lies below a heading says whose it is
        heading = re.match(r"<h2>(.*?)</h2>", column[0].shown, re.S)
        if heading:
            above = f'<div class="kicker">{heading[1].strip()}</div>'
            column[1:] = [Slide(above + one.shown, one.said) for one in column[1:]]
    text = "\n".join(
        "<section>"
        + "\n".join(
            f"<section>{one.shown}"
            + (f'<aside class="notes">{one.said}</aside>' if one.said else "")
            + "</section>"
            for one in column
        )
        + "</section>"
        for column in columns
    )
    return PAGE.format(title=html.escape(title), slides=text)


def copy_scripts(folder: Path) -> None:
    """What the pages need beside them: reveal.js and MathJax, from installed packages."""
    spec = find_spec(REVEAL)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{REVEAL} is not installed: run `make setup`")
    source = Path(spec.origin).parent / "_static" / "revealjs"
    (folder / "_reveal").mkdir(parents=True, exist_ok=True)
    for name in ("dist/reset.css", "dist/reveal.css", "dist/reveal.js", "plugin/notes/notes.js"):
        (folder / "_reveal" / Path(name).name).write_bytes((source / name).read_bytes())
    mathjax_to(folder / "_mathjax")


def executed(path: Path, cache: Path) -> nbformat.NotebookNode | None:
    """A chapter with the outputs of the last ``make book``; None if it is not in there."""
    try:
        return get_cache(str(cache)).merge_match_into_file(str(path))[1]
    except KeyError:
        return None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("notebooks", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=Path("_build/slides"), help="(%(default)s)")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where outputs are kept")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    copy_scripts(options.out)
    listed = []
    for path in options.notebooks:
        notebook = executed(path, options.cache)
        if notebook is None:
            print(f"{path} has no outputs for its code as it is now: run `make book`",
                  file=sys.stderr)  # fmt: skip
            return 1
        slides = of_notebook(notebook)
        title = re.sub(r"<[^>]+>", "", slides[0].shown.partition("</h1>")[0])
        (options.out / f"{path.stem}.html").write_text(page(title, slides), encoding="utf-8")
        listed.append(f'<li><a href="{path.stem}.html">{path.stem[:2]} · {title}</a></li>')
        print(f"{path.stem}: {len(slides)} slides")
    (options.out / "index.html").write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Slides</title>'
        '<link rel="icon" href="data:,"><h1>Slides</h1><p>Arrow keys; S for the speaker\'s notes; '
        f"Esc for an overview.</p><ul>{''.join(listed)}</ul></html>",
        encoding="utf-8",
    )
    print(f"open {options.out / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
