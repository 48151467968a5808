"""Terms of the glossary: where they are defined, and in which chapters they are linked or used.

``problems`` says in words which term no chapter links, and which one a chapter uses before any
has linked it: a reader who goes through the book in order meets each with its meaning at hand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tidy import source

LINK = re.compile(r"\{term\}`(?:[^`<]*<([^`>]+)>|([^`]+))`")
NOT_PROSE = re.compile(  # headings, tables, fences, other roles, code, mathematics, links, tags
    r"^(?:#|\||:::)[^\n]*$|^```.*?^```|\$\$.*?\$\$|\{[\w:]+\}`[^`]*`|`[^`\n]*`|\$[^$\n]*\$"
    r"|<a\b[^>]*>.*?</a>|<[^>]+>|\[[^\]]*\]\([^)]*\)",
    re.M | re.S,
)
#: Terms that are also words of every day, or stand in names: a use need not mean the term.
EVERYDAY = frozenset({
    "baseline", "block", "distillation", "entity", "hash", "head", "leak", "nat", "power",
    "relation", "student", "token", "window",
})  # fmt: skip


def defined(glossary: str) -> list[str]:
    """The terms of the glossary, in its order.

    >>> defined("```{glossary}\\none\\n  A number.\\n\\ntwo\\n  Another.\\n```")
    ['one', 'two']
    """
    found = re.search(r"```\{glossary\}\n(.*?)```", glossary, re.S)
    return re.findall(r"^(\S.*)$", found[1], re.M) if found else []


def prose(notebook: Mapping[str, Any], *, header: bool = True) -> str:
    """The text of a chapter, with or without its header."""
    cells = notebook["cells"][0 if header else 1 :]
    return "\n\n".join(source(cell) for cell in cells if cell["cell_type"] == "markdown")


def linked(text: str) -> set[str]:
    """The terms that a text links, in small letters."""
    return {" ".join((first or second).split()).lower() for first, second in LINK.findall(text)}


def uses(text: str, term: str) -> bool:
    """Whether a text says a term, one or several of it, outside code, headings and links.

    >>> uses("two worker processes", "worker"), uses("`worker`, co-worker", "worker")
    (True, False)
    """
    plain = NOT_PROSE.sub(" ", text)
    flags = 0 if re.search("[A-Z]", term[1:]) else re.I  # Adam at the beginning of a sentence
    return bool(re.search(rf"(?<![\w-]){re.escape(term)}(?:e?s)?(?![\w-])", plain, flags))


def problems(glossary: str, chapters: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Terms without a link, defined twice, or used before they are linked.

    Args:
        chapters: name → notebook, in reading order.
    """
    terms = defined(glossary)
    small = [term.lower() for term in terms]
    twice = sorted({term for term in small if small.count(term) > 1})
    found = [f"{term} is defined twice" for term in twice]
    texts = {name: prose(notebook, header=False) for name, notebook in chapters.items()}
    links = {name: linked(prose(notebook)) for name, notebook in chapters.items()}
    for term in terms:
        first = next((name for name in texts if term.lower() in links[name]), None)
        if first is None:
            found.append(f"no chapter links {term}")
        elif term.lower() not in EVERYDAY:
            used = next(name for name in texts if name == first or uses(texts[name], term))
            if used != first:
                found.append(f"{used} uses {term}, which is first linked in {first}")
    known = set(small)
    found += [f"{name} links {term}, which is not defined"
              for name in links for term in sorted(links[name] - known)]  # fmt: skip
    return found


# -- symbols -------------------------------------------------------------------------------------

MATHS = re.compile(r"\$\$(.+?)\$\$|(?<!\\)\$([^$\n]+?)(?<!\\)\$", re.S)
GREEK = {
    "alpha", "beta", "epsilon", "eta", "lambda", "phi", "sigma", "tau", "Delta", "ell", "nabla",
}  # fmt: skip
ROW = re.compile(r"^\| \$(.+?)\$ \| (.+?) \| (.+?) \| (.+?) \|$", re.M)


def symbols(formula: str) -> set[str]:
    """The letters of a formula, Latin and Greek; words and names of functions are none.

    >>> sorted(symbols(r"\\text{loss} = \\frac{1}{|S_c|} \\sum_i \\log h_{c,i}^{\\beta}"))
    ['S', 'beta', 'c', 'h', 'i']
    """
    formula = re.sub(r"\\(?:text|mathrm|operatorname|begin|end)\{[^}]*\}", " ", formula)
    formula = re.sub(r"\\\\\[\w+\]", " ", formula)  # the space between two lines
    found = {name for name in re.findall(r"\\([A-Za-z]+)", formula) if name in GREEK}
    return found | set(re.findall(r"[A-Za-z]", re.sub(r"\\[A-Za-z]+|%", " ", formula)))


def symbols_of(notebook: Mapping[str, Any]) -> set[str]:
    """The symbols of all formulas of a chapter."""
    text = re.sub(r"^```.*?^```|`[^`\n]*`", " ", prose(notebook), flags=re.M | re.S)
    return {
        symbol for first, second in MATHS.findall(text) for symbol in symbols(first or second)
    }


def notation(page: str) -> dict[str, set[str]]:
    """Chapter → the symbols that the page of notation explains for it.

    >>> notation("| $W_i$ | a matrix | (H, H) | [04](x.md), [05](y.md) |") == {
    ...     "04": {"W", "i"}, "05": {"W", "i"}}
    True
    """
    found: dict[str, set[str]] = {}
    for formula, _, _, where in ROW.findall(page):
        for chapter in re.findall(r"\[(\d\d)\]", where):
            found.setdefault(chapter, set()).update(symbols(formula))
    return found
