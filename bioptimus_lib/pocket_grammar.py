"""Words, facts and sentence patterns of the pocket corpus: ``data/pocket``, read once.

A template such as ``{drug1} <reduced|relieved> {symptom} ({p_sig}).`` is expanded into its
variants, each a ``%`` format with its slots: making a sentence is one look-up per slot.
"""

from __future__ import annotations

import random
import re
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from math import erfc, sqrt
from pathlib import Path
from statistics import NormalDist
from typing import Generic, NamedTuple, TypeVar

from .errors import DataError
from .files import data_dir, open_text

TERM_FILES = (
    "drug", "disease", "gene", "protein", "chemical",
    "anatomy", "organism", "cell", "procedure", "symptom",
)  # fmt: skip
EVERYWHERE = "*"  # header of terms that belong to every field
MAX_VARIANTS = 4096
POOL_SIZE = 400  # ready texts for each numeric slot


class Term(NamedTuple):
    """A word of a lexicon; ``short`` is its abbreviation or an empty string."""

    text: str
    short: str = ""


class Section(NamedTuple):
    """A ``[header]`` of a data file and the lines below it."""

    header: str
    lines: list[str]


class Variant(NamedTuple):
    """One reading of a template: a ``%`` format and, for each ``%s``, a slot or a pool of texts."""

    form: str
    slots: tuple[str | tuple[str, ...], ...]
    starts_with_slot: bool


def sections(name: str) -> Iterator[Section]:
    """Read ``data/pocket/<name>``: ``[header]`` lines, each followed by one entry per line."""
    path = data_dir() / "pocket" / name
    current: Section | None = None
    for number, line in _lines(path):
        if line.startswith("[") and line.endswith("]"):
            if current is not None:
                yield current
            current = Section(line[1:-1].strip(), [])
        elif current is None:
            raise DataError(f"entry {line!r} stands before any [header]", path=path, line=number)
        else:
            current.lines.append(line)
    if current is not None:
        yield current


def rows(name: str) -> Iterator[list[str]]:
    """Read a tab-separated file of ``data/pocket`` as lists of cells."""
    for _, line in _lines(data_dir() / "pocket" / name):
        yield [cell.strip() for cell in line.split("\t")]


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            line = line.strip()
            if line and not line.startswith("#"):
                yield number, line


@cache
def terms(name: str) -> dict[str, tuple[Term, ...]]:
    """The terms of a class by the header they stand under (a drug group, or fields)."""
    if name not in TERM_FILES:
        raise ValueError(f"unknown lexicon {name!r}: expected one of {', '.join(TERM_FILES)}")
    return {
        header: tuple(Term(*line.split("|")) for line in lines)
        for header, lines in sections(f"{name}.txt")
    }


# --- small English -------------------------------------------------------------------------------

_SOUNDS_LIKE_CONSONANT = re.compile(r"(?:uni|use|ure|uri|uro|uter|eu|one\b|ubi)", re.IGNORECASE)
_LETTER_NAMES_WITH_VOWEL = frozenset("AEFHILMNORSX8")


@cache
def with_article(text: str) -> str:
    """``text`` after "a" or "an", by sound.

    >>> [with_article(t) for t in ("ACE inhibitor", "NSAID", "urinary stone", "β-blocker")]
    ['an ACE inhibitor', 'an NSAID', 'a urinary stone', 'a β-blocker']
    """
    first = re.split(r"[\s-]", text, maxsplit=1)[0]
    if first.isupper() and first.isascii():
        vowel = first == "ACE" or first[0] in _LETTER_NAMES_WITH_VOWEL
    else:
        vowel = text[0] in "aeiouAEIOUα8" and not _SOUNDS_LIKE_CONSONANT.match(text)
    return f"{'an' if vowel else 'a'} {text}"


@cache
def plural(text: str) -> str:
    """The plural of a drug class or cell type.

    >>> [plural(t) for t in ("statin", "PD-1 antibody", "spermatozoon", "T cell")]
    ['statins', 'PD-1 antibodies', 'spermatozoa', 'T cells']
    """
    if text.endswith("zoon") or text.endswith("gonium"):
        return text[:-2] + "a"
    if text.endswith("y") and text[-2] not in "aeiou":
        return text[:-1] + "ies"
    return text + "s"


_PLAIN_WORD = re.compile(r"[a-z]{2,}(?![A-Za-z0-9])")


def capitalise(text: str) -> str:
    """A capital first letter for a sentence, but never for names such as mTOR, p53 or c-Myc.

    >>> [capitalise(t) for t in ("eotaxin-1 rose", "mTOR fell", "p53 is", "β-blockers")]
    ['Eotaxin-1 rose', 'mTOR fell', 'p53 is', 'β-blockers']
    """
    return text[0].upper() + text[1:] if _PLAIN_WORD.match(text) else text


def listing(items: Sequence[str]) -> str:
    """``a, b and c``."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


_Item = TypeVar("_Item")


class Ranked(NamedTuple, Generic[_Item]):
    """Items with cumulative Zipf weights (rank to the power of minus ``exponent``)."""

    items: tuple[_Item, ...]
    cumulative: tuple[float, ...]

    @classmethod
    def zipf(cls, items: Sequence[_Item], exponent: float) -> Ranked[_Item]:
        return cls(tuple(items), tuple(accumulate((i + 1) ** -exponent for i in range(len(items)))))

    def draw(self, rng: random.Random) -> _Item:
        return self.items[bisect(self.cumulative, rng.random() * self.cumulative[-1])]


# --- facts: what goes with a drug class and with a disease ----------------------------------------

# Terms of each class that belong to one disease; others of its field come in now and then.
PROFILE_SIZE = {
    "gene": 6, "protein": 5, "chemical": 4, "anatomy": 5, "cell": 5, "procedure": 5,
    "symptom": 6, "organism": 3, "line": 2,
}  # fmt: skip


@dataclass(frozen=True)
class Group:
    """A drug class: its members and the facts that hold for all of them."""

    name: str
    fields: tuple[str, ...]
    target: str
    route: str
    doses: tuple[str, ...]
    action: str
    drugs: Ranked[str]
    adverse: Ranked[str]


@dataclass(frozen=True)
class Field:
    """A medical field: its diseases, and the terms that its records are written with."""

    name: str
    specialty: str
    adjectives: tuple[str, ...]
    diseases: Ranked[Term]
    own: dict[str, tuple[Term, ...]]
    terms: dict[str, tuple[Term, ...]]  # its own and those of every field


@dataclass(frozen=True)
class Profile:
    """What goes with a disease."""

    disease: Term
    field: Field
    groups: Ranked[Group]
    terms: dict[str, Ranked[Term]]
    infectious: bool


@cache
def drug_groups() -> dict[str, Group]:
    """Name → class of drugs, as the data files have them."""
    effects = [term for section in sections("adverse.txt") for term in section.lines]
    found = {}
    for header, drugs in terms("drug").items():
        name, fields, target, route, doses, action = (cell.strip() for cell in header.split("|"))
        amounts, unit = doses.split(" ", 1)
        rng = random.Random(name)  # a class keeps its adverse effects, whatever the corpus seed
        found[name] = Group(
            name=name,
            fields=tuple(fields.split()),
            target=target,
            route=route,
            doses=tuple(f"{amount} {unit}" for amount in amounts.split(",")),
            action=action,
            drugs=Ranked.zipf([drug.text for drug in drugs], 0.6),
            adverse=Ranked.zipf(
                [effects[int(len(effects) * rng.random() ** 1.3)] for _ in range(8)], 0.5
            ),
        )
    return found


@cache
def fields() -> dict[str, Field]:
    """Name → medical field, with its own terms and those of every field."""
    by_field: dict[str, dict[str, list[Term]]] = {}
    for name in TERM_FILES[1:]:
        for header, entries in terms(name).items():
            kind = "line" if header.startswith("line ") else name  # cell lines are cells too
            for field in header.split():
                by_field.setdefault(field, {}).setdefault(kind, []).extend(entries)
    common = by_field[EVERYWHERE]
    found = {}
    for name, specialty, adjectives in rows("field.tsv"):
        own = by_field[name]
        found[name] = Field(
            name=name,
            specialty=specialty,
            adjectives=tuple(adjectives.split(",")),
            diseases=Ranked.zipf(own["disease"], 0.6),
            own={kind: tuple(own.get(kind, ())) for kind in PROFILE_SIZE},
            terms={
                # A laboratory animal is no pathogen: such fields keep their own organisms only.
                kind: tuple(own[kind])
                if kind == "organism" and kind in own
                else (*own.get(kind, ()), *common.get(kind, ()))
                for kind in PROFILE_SIZE
            },
        )
    return found


@cache
def all_adjectives() -> tuple[str, ...]:
    """One adjective of each field of medicine, as in "renal function"."""
    return tuple(sorted({field.adjectives[0] for field in fields().values()}))


@cache
def _links() -> dict[str, list[str]]:
    return {disease: cells.split("; ") for disease, cells in rows("link.tsv")}


@cache
def profiles() -> dict[str, tuple[Profile, ...]]:
    """Field → the profiles of its diseases, in the order of their frequency."""
    groups, links = drug_groups(), _links()
    known = {
        kind: {term.text: term for entries in terms(kind).values() for term in entries}
        for kind in PROFILE_SIZE
        if kind != "line"
    }
    pathogens = {"lunginf", "bacterial", "viral", "fungal", "parasite"}
    found = {}
    for field in fields().values():
        here = [group for group in groups.values() if field.name in group.fields]
        here_profiles = []
        for disease in field.diseases.items:
            linked = links.get(disease.text, [])
            rng = random.Random(f"{field.name}/{disease.text}")
            chosen = {}
            for kind, size in PROFILE_SIZE.items():
                first = [known[kind][text] for text in linked if text in known.get(kind, ())]
                if kind == "organism" and first:
                    size = len(first)
                own = field.own[kind]
                pool = own if len(own) >= size else field.terms[kind]
                rest = [term for term in pool if term not in first]
                more = rng.sample(rest, max(0, min(size - len(first), len(rest))))
                chosen[kind] = Ranked.zipf(first + more, 0.5)
            leading = [groups[text] for text in linked if text in groups]
            others = [group for group in here if group not in leading]
            rng.shuffle(others)
            here_profiles.append(
                Profile(
                    disease=disease,
                    field=field,
                    groups=Ranked.zipf(leading + others, 1.0),
                    terms=chosen,
                    infectious=field.name in pathogens
                    or any(text in known["organism"] for text in linked),
                )
            )
        found[field.name] = tuple(here_profiles)
    return found


# --- templates -----------------------------------------------------------------------------------

_CHOICE = re.compile(r"<([^<>]*)>")
_SLOT = re.compile(r"\{([^{}]*)\}")


def expand(template: str) -> list[str]:
    """All readings of a template's choices.

    >>> expand("{drug} <helps|harms>.")
    ['{drug} helps.', '{drug} harms.']
    """
    done, waiting = [], [template]
    while waiting:
        text = waiting.pop()
        choice = _CHOICE.search(text)  # innermost first, so choices may nest
        if choice is None:
            text = re.sub(r" {2,}", " ", text)
            done.append(re.sub(r" +([.,;:)])", r"\1", text).strip())
            continue
        before, after = text[: choice.start()], text[choice.end() :]
        waiting.extend(before + option + after for option in choice.group(1).split("|"))
        if len(waiting) + len(done) > MAX_VARIANTS:
            raise DataError(f"more than {MAX_VARIANTS} readings of {template!r}")
    return list(dict.fromkeys(done[::-1]))


@cache
def number_pools() -> dict[str, tuple[str, ...]]:
    """Numeric slot → ready texts, drawn once from a fixed seed: cheap to use, always the same."""
    rng = random.Random("bioptimus pocket numbers")

    def number(match: re.Match[str]) -> str:
        limits, form = match.group(1).split(":")
        low, high = map(float, limits.split(".."))
        return format(rng.uniform(low, high), form)

    pools = {}
    for name, recipe in rows("number.tsv"):
        forms = expand(recipe)
        texts = (_SLOT.sub(number, rng.choice(forms)) for _ in range(POOL_SIZE))
        pools[name] = tuple(text.replace("‹", "<").replace("›", ">") for text in texts)
    for name, (words, low, high) in _RATIOS.items():
        pools[name] = tuple(
            f"{rng.choice(words)} {_ratio(rng, low, high)}" for _ in range(POOL_SIZE)
        )
    return pools


_RATIOS = {
    "hr_low": (("hazard ratio", "HR", "adjusted hazard ratio"), 0.4, 0.86),
    "hr_high": (("hazard ratio", "HR", "adjusted hazard ratio"), 1.3, 3.2),
    "or_high": (("odds ratio", "OR", "adjusted odds ratio"), 1.3, 4.2),
    "rr": (("risk ratio", "relative risk", "RR"), 0.5, 0.9),
}


def _ratio(rng: random.Random, low: float, high: float) -> str:
    """A ratio, its 95 % interval, which leaves out 1, and the P value that belongs to them."""
    value, width = rng.uniform(low, high), rng.uniform(0.35, 0.97)
    below, above = sorted((value ** (1 - width), value ** (1 + width)))
    p = erfc(NormalDist().inv_cdf(0.975) / width / sqrt(2))
    shown = "< 0.001" if p < 0.001 else f"= {p:.3f}"
    dash = rng.choice(("-", "–", " to "))
    return f"{value:.2f}, 95% CI {below:.2f}{dash}{above:.2f}; {rng.choice('Pp')} {shown}"


@cache
def compile_template(template: str) -> tuple[Variant, ...]:
    """The variants of a template; numeric slots are replaced by their pools."""
    pools = number_pools()
    variants = []
    for text in expand(template):
        slots = tuple(pools.get(name, name) for name in _SLOT.findall(text))
        form = _SLOT.sub("%s", text.replace("%", "%%"))
        variants.append(Variant(form, slots, form.startswith("%s")))
    return tuple(variants)


@cache
def templates(name: str) -> dict[tuple[str, str], tuple[tuple[Variant, ...], ...]]:
    """Compiled templates of a file by (section, kind); ``[section]`` alone has kind ``*``."""
    found: dict[tuple[str, str], list[tuple[Variant, ...]]] = {}
    for header, lines in sections(name):
        section, *kinds = header.split()
        compiled = [compile_template(line) for line in lines]
        for kind in kinds or [EVERYWHERE]:
            found.setdefault((section, kind), []).extend(compiled)
    return {key: tuple(value) for key, value in found.items()}


# --- sentences ------------------------------------------------------------------------------------


class Rendered(NamedTuple):
    """A sentence, and where the term of each slot stands in it."""

    text: str
    spans: dict[str, tuple[int, int]]


def render(rng: random.Random, variant: Variant, fill: Callable[[str], str]) -> Rendered:
    """A variant with its slots filled, each slot once."""
    text, spans = "", {}
    literals = variant.form.replace("%%", "%").split("%s")
    for literal, slot in zip(literals, (*variant.slots, None), strict=True):
        text += literal
        if slot is None:
            break
        value = rng.choice(slot) if isinstance(slot, tuple) else fill(slot)
        if not text:
            value = capitalise(value)
        if not isinstance(slot, tuple):
            spans[slot] = (len(text), len(text) + len(value))
        text += value
    return Rendered(capitalise(text) if not variant.starts_with_slot else text, spans)
