"""The error browser: what it shows is what is wrong, escaped, and its controls stay in range."""

from __future__ import annotations

import re

import pytest

from bioptimus_lib import widgets_ner
from bioptimus_lib.conll import Sentence
from bioptimus_lib.ner_errors import KINDS
from bioptimus_lib.widgets_ner import ALL, cases, errors_browser, errors_picture, errors_twin


def sentence(tokens, tags):
    return Sentence(tuple(tokens.split()), tuple(tags.split()))


SENTENCES = [
    sentence("no lung cancer here", "O B-Disease I-Disease O"),
    sentence("<b>TNF</b> and aspirin", "B-Gene O B-Drug"),
    sentence("all is well", "O O O"),
    sentence("gout and asthma", "B-Disease O B-Disease"),
]
PREDICTED = [
    ("O", "O", "B-Disease", "O"),  # boundary
    ("B-Drug", "O", "B-Drug"),  # type
    ("O", "O", "O"),
    ("B-Disease", "O", "O"),  # missed
]


def plain(html):
    return re.sub(r"<style>.*?</style>", "", html, flags=re.S)


def test_cases_are_the_sentences_with_a_mistake_of_the_kind():
    assert [case.number for case in cases(SENTENCES, PREDICTED)] == [0, 1, 3]
    assert [case.number for case in cases(SENTENCES, PREDICTED, kind="missed")] == [3]
    assert cases(SENTENCES, [s.tags for s in SENTENCES]) == []
    with pytest.raises(ValueError, match="'wrong' is unknown"):
        cases(SENTENCES, PREDICTED, kind="wrong")
    with pytest.raises(ValueError, match="4 sentences, 1 predicted"):
        cases(SENTENCES, PREDICTED[:1])


def test_a_sentence_shows_gold_and_found_and_frames_what_is_wrong():
    html = plain(errors_picture(SENTENCES, PREDICTED, kind="missed"))
    gold, found = re.findall(r"<p class='tagged'><b>(?:gold|found)</b>.*?</p>", html)
    assert gold.count("class='ent'") == 1 and gold.count("class='ent bad'") == 1
    assert "asthma<small>Disease</small>" in gold and "asthma<small>" not in found
    assert found.count("class='ent") == 1 and "and asthma</p>" in found
    assert "<h3>missed <small>1 of 4 sentences" in html and KINDS["missed"] in html
    assert "<h3>v&lt;1&gt;: all kinds <small>" in errors_picture(SENTENCES, PREDICTED, model="v<1>")


def test_text_is_escaped():
    html = plain(errors_picture(SENTENCES, PREDICTED, kind="type"))
    assert "&lt;b&gt;TNF&lt;/b&gt;<small>Gene</small>" in html and "<b>TNF" not in html
    odd = [Sentence(("a",), ("B-<i>",))]
    assert "<i>" not in plain(errors_picture(odd, [("O",)]))


def test_types_keep_their_colours():
    def ground(html, text):
        return re.search(rf"background:(#\w+)'>{text}<small>", html).group(1)

    html = errors_picture(SENTENCES, PREDICTED, most=9)
    assert ground(html, "asthma") == ground(html, "lung cancer") != ground(html, "aspirin")


def test_pages_go_from_first_and_end():
    def shown(**choice):
        return re.findall(r"sentence (\d+)<", errors_picture(SENTENCES, PREDICTED, **choice))

    assert shown() == ["0", "1", "3"] and shown(first=1, most=1) == ["1"] and shown(first=9) == []
    assert "No such sentence" in errors_picture(SENTENCES, PREDICTED, kind="split")


def test_the_twin_has_every_kind():
    html = plain(errors_twin(SENTENCES, PREDICTED))
    assert all(f"<h3>{kind} " in html for kind in KINDS)
    assert html.count("class='case'") == 3 and "0 sentences" in html


def test_the_browser_keeps_its_slider_in_range():
    import ipywidgets

    browser = errors_browser(SENTENCES, {"old": PREDICTED, "new": [s.tags for s in SENTENCES]})
    controls = {w.description: w for w in browser.children if hasattr(w, "description")}
    assert isinstance(browser.children[-1], ipywidgets.Output)
    assert controls["mistake"].options == (ALL, *KINDS) and controls["from"].max == 2
    controls["from"].value = 2
    controls["mistake"].value = "missed"
    assert (controls["from"].max, controls["from"].value) == (0, 0)
    controls["model"].value = "new"
    assert controls["from"].max == 0
    with pytest.raises(ValueError, match="at least one"):
        errors_browser(SENTENCES, {})


def test_only_what_ipywidgets_7_has_is_used():
    source = open(widgets_ner.__file__, encoding="utf-8").read()
    assert set(re.findall(r"ipywidgets\.(\w+)", source)) <= {
        "Dropdown", "IntSlider",
    }  # fmt: skip
