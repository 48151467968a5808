"""The sentence traps: a sound file, splitters scored by exact cuts, rows for the ledger."""

from __future__ import annotations

import json

import pytest

from bioptimus_lib import bench_sentences, ledger
from bioptimus_lib.bench_sentences import OURS, Trap, compare, installed, is_right, read_traps
from bioptimus_lib.cli import main
from bioptimus_lib.errors import DataError
from bioptimus_lib.splitting import sentences


def test_the_traps_are_sound():
    traps = read_traps()
    tuned = [trap for trap in traps if trap.tuned]
    assert len(traps) >= 90 and len(traps) - len(tuned) >= 40
    assert len({trap.id for trap in traps}) == len(traps)
    assert len({trap.sentences for trap in traps}) == len(traps)
    for trap in traps:
        assert all(s and s == " ".join(s.split()) for s in trap.sentences), trap.id
        assert len({t.kind for t in traps}) > 20


def test_ours_does_not_get_worse():
    traps = read_traps()
    right = [trap for trap in traps if is_right(sentences, trap)]
    assert len([trap for trap in right if trap.tuned]) >= 49
    assert len([trap for trap in right if not trap.tuned]) >= 42


SENTENCES = {
    "a number in brackets": ["Group A (n = 66) Yes 5.", "It was so."],
    "a citation after al.": ["Ito et al. [17] found two.", "Ito et al. (2010), found one."],
    "al. ends it": ["This is in line with Ito et al.", "They found two."],
    "al. and citation end it": ["This is in line with Ito et al. [4].", "They found two."],
    "an order number": ["We used a kit (Cat. No. 1899) twice.", "Answer yes or no."],
    "yes or no.": ["They said yes or no.", "Most said no."],
    "bullets": ["It ran for 12 months", "• The survey was sent", "• It was read."],
    "brackets": ["It fell (P = .03).", "(We do not know why.)"],
    "quotes": ['He said "no."', "She left."],
}


@pytest.mark.parametrize("name", SENTENCES)
def test_cuts_that_are_taken_back(name):
    assert sentences(" ".join(SENTENCES[name])) == SENTENCES[name]


def test_blanks_stay_as_they_were():
    text = "Bloss et al. [33], and Politis et al. [36]. F(1, 23) = 4, (n =66) Yes; 5.5 mg. Done."
    assert " ".join(sentences(text)) == text


def test_scores_count_exact_cuts():
    traps = [Trap("1", "a", True, ("One.", "Two.")), Trap("2", "b", False, ("One. two.",))]

    def dots(text: str) -> list[str]:
        return [part + "." for part in text.split(".") if part]

    scores = compare({OURS: dots, "whole": lambda text: [text]}, traps, ["x" * 1000], rounds=3)
    assert [(s.right, s.right_tuned, s.right_held_out) for s in scores] == [(1, 1, 0), (1, 0, 1)]
    assert scores[0].kinds == {"a": (1, 1), "b": (0, 1)} and scores[0].wrong == ("2",)
    assert scores[0].slower["ratio"] == 1 and scores[1].traps == 2


@pytest.mark.parametrize("text, message", [
    ("id\tkind\n", ":1: expected the columns"), ("id\tkind\ttuned\ttext\n1\ta\tmaybe\tx\n", ":2:"),
    ("id\tkind\ttuned\ttext\n1\ta\tyes\n", ":2: expected id"),
])  # fmt: skip
def test_a_broken_file_is_named(tmp_path, text, message):
    (tmp_path / "t.tsv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_traps(tmp_path / "t.tsv")


def test_command(tmp_path, capsys, monkeypatch):
    assert OURS in installed() and "sentencex" in installed()
    monkeypatch.setattr(ledger, "results_dir", lambda: tmp_path)
    words = ["bench", "sentences", "--megabytes", "0.01", "--rounds", "1", "--quiet"]
    monkeypatch.setattr(bench_sentences, "SPLITTERS", {
        name: bench_sentences.SPLITTERS[name] for name in (OURS, "sentencex", "nltk")})  # fmt: skip
    assert main([*words, "--ledger", "here"]) == 0
    assert "held out" in capsys.readouterr().out
    rows = ledger.read("sentences", folder=tmp_path)
    assert {row["model"] for row in rows} >= {OURS, "sentencex"}
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["splitter"] == OURS
    assert main([*words[:3], "0", "--quiet"]) == 2


def test_the_published_scores_are_of_these_traps():
    """Rows in the ledger speak of the traps as they are in the file."""
    for row in ledger.read("sentences"):
        assert row["metrics"]["traps"] == len(read_traps())
        if row["model"] == OURS:
            assert row["metrics"]["right"] == sum(is_right(sentences, t) for t in read_traps())
