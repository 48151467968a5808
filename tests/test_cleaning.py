"""Cleaning: exact cases, what must not change, and that a second time changes nothing."""

from __future__ import annotations

import re
import sys
import time
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bioptimus_lib.cleaning import INVISIBLE, REPLACEMENTS, ROUNDS, STEPS, clean

CASES = {
    "Greek letters stay": ("TNF-α, β₂, Δ9, μ", "TNF-α, β₂, Δ9, μ"),
    "powers in Unicode stay": ("10⁹ and ½ and m²", "10⁹ and ½ and m²"),
    "ligatures": ("ﬁbrosis, ﬂow, eﬀect, aﬃnity, baﬄe", "fibrosis, flow, effect, affinity, baffle"),
    "micro sign": ("5 \u00b5g", "5 \u03bcg"),
    "hyphens": ("IL\u20112, IL\u20103, 5−3, 1–2", "IL-2, IL-3, 5−3, 1–2"),
    "no-break blanks": ("5\u00a0mg, 1\u202f000", "5 mg, 1 000"),
    "soft hyphen": ("auto\u00adimmune", "autoimmune"),
    "zero width": ("a\u200bb\u200dc\ufeffd\u200ee", "abcde"),
    "composed": ("Me\u0301nie\u0300re, \u212b, \u2126", "Ménière, Å, Ω"),
    "escaped twice": ("p &lt; 0.05, &#x3b1;, &#945;, &beta;", "p < 0.05, α, α, β"),
    "escaped three times": ("a &amp;gt; b, &amp;amp;lt;, &#38;lt;", "a > b, <, <"),
    "no reference": ("R&D; AT&T, Q&A; &unknown; a & b;", "R&D; AT&T, Q&A; &unknown; a & b;"),
    "unknown, escaped": ("&amp;unknown;", "&unknown;"),
    "impossible characters": ("a&#0;b&#xd800;c&#x110000;d&#9999999999;",
                              "a\ufffdb\ufffdc\ufffdd&#9999999999;"),
    "line end as reference": ("a&#10;&#10;b&nbsp;c", "a b c"),
    "tags": ("<i>E. coli</i> in <b>H<sub>2</sub>O</b>", "E. coli in H2O"),
    "tags as text": ("&lt;i&gt;TP53&lt;/i&gt;, CD4&lt;sup&gt;+&lt;/sup&gt;", "TP53, CD4+"),
    "power": ("10<sup>9</sup>/L, 10<sup>-3</sup>, 10<sup>−3</sup>", "10^9/L, 10^-3, 10^−3"),
    "isotope": ("<sup>18</sup>F, H<sub>2</sub><sup>18</sup>O", "18F, H2^18O"),
    "unit": ("m<sup>2</sup>, Ca<sup>2+</sup>, 2<sup>nd</sup>", "m2, Ca2+, 2nd"),
    "not tags": ("p <0.05 and n> 3, x<y>z, <p>, a < b > c",
                 "p <0.05 and n> 3, x<y>z, <p>, a < b > c"),
    "hidden in each other": ("&amp;lt;i&amp;gt;x", "x"),
    "hidden behind a soft hyphen": ("&l\u00adt;<\u00adi>", "<"),
    "blanks": (" a \t b\r\n\n c\u2028d ", "a b\n\nc d"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_clean(name):
    before, after = CASES[name]
    assert clean(before) == after == clean(after)


MARKUP = ["&", ";", "<", ">", "/", "amp", "lt", "gt", "#38", "#x26", "i", "sup", "b", "1", "nlt",
          "\u00ad", "\u200b", "\u0338", "\u037e", " ", "\n", "a", "α", "ﬁ", "\u0301"]  # fmt: skip


@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(MARKUP), max_size=40).map("".join)))
@settings(max_examples=1500)
@example("<" * 40 + "i>" * 40)
@example("&#3" * 30 + "&#56;" + "8;" * 30)
@example("&n&l\u00adt;;" * 3)
def test_twice_is_once(text):
    once = clean(text)
    assert clean(once) == once
    assert not set(once) & set(REPLACEMENTS) and unicodedata.is_normalized("NFC", once)


@pytest.mark.parametrize("nested", [
    "<" * (ROUNDS + 3) + "i>" * (ROUNDS + 3), "&#3" * 60 + "8;" * 60,
    "&am&#112;" * 2 + "&&&lt;amp;lt;amp;lt;",
])  # fmt: skip
def test_what_is_nested_deeper_than_anyone_would_stays_apart(nested):
    once = clean(nested)
    assert clean(once) == once


SEEN = st.text(alphabet="acxZ09αβ²⁹½é.,-()%&;#< >\n\t\u00a0\u2009\u3000\u2028", max_size=60)


@given(SEEN)
@settings(max_examples=500)
def test_no_two_words_are_merged_and_no_character_is_lost(text):
    assert clean(text).split() == text.split()


@given(st.text(alphabet=st.characters(max_codepoint=127, exclude_characters="&<"), max_size=80))
def test_plain_ascii_has_its_blanks_counted_alone(text):
    assert clean(text) == "\n".join(" ".join(x.split()) for x in text.split("\n")).strip()


def test_every_character_has_one_form():
    for code in range(sys.maxunicode + 1):
        if not 0xD800 <= code < 0xE000:
            once = clean(f"a{chr(code)}b")
            assert clean(once) == once and not _seen(INVISIBLE, once), hex(code)


def _seen(characters: str, text: str) -> bool:
    return re.search(f"[{characters}]", text) is not None


def test_steps_are_a_table():
    assert all(step.after != step.example for step in STEPS)
    assert STEPS[1].after == "10^9 cells of E. coli in H2O"
    assert len({step.name for step in STEPS}) == len(STEPS)


@pytest.mark.parametrize("unit", ["&amp;", "<<i>i>", "&#3", "<sup>", "1<sup>", "amp;&", "&" ])
def test_hostile_text_takes_no_more_than_its_share(unit):
    seconds = []
    for size in (20_000, 200_000):
        began = time.process_time()
        clean(unit * (size // len(unit)))
        seconds.append(time.process_time() - began)
    assert seconds[1] < 40 * max(seconds[0], 0.02)  # ten times the text; a hundred if quadratic
