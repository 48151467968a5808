"""Word statistics: small cases by hand, laws on made corpora, dates, the command."""

from __future__ import annotations

import gzip
import json
import math
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioptimus_lib import wordstats
from bioptimus_lib.cli import main
from bioptimus_lib.errors import DataError
from bioptimus_lib.wordstats import Background

TEXTS = ["Aspirin relieves pain.", "Pain (p < .01) fell by 30%.", "", "7 of 12", "Aspirin, aspirin"]


def test_words_that_begin_with_a_letter_are_counted():
    found = wordstats.tally(TEXTS)
    assert found.counts == {"aspirin": 3, "relieves": 1, "pain": 2, "p": 1, "fell": 1, "by": 1,
                            "of": 1}  # fmt: skip
    assert found.total == 10 and found.growth == [(10, 7)]


@given(st.lists(st.text("ab 1.", max_size=12), max_size=30), st.integers(1, 9))
def test_growth_is_what_a_naive_count_gives(texts, first):
    found = wordstats.tally(texts, first=first)
    naive, after = [], {}
    for text in texts:
        naive += wordstats.lettered(text)
        after[len(naive)] = len(set(naive))
    assert found.counts == Counter(naive)
    assert all(after[read] == types for read, types in found.growth)
    assert [read for read, _ in found.growth] == sorted({read for read, _ in found.growth})
    assert not naive or found.growth[-1] == (len(naive), len(set(naive)))


@pytest.mark.parametrize("exponent", [-1.3, 0.0, 0.55, 1.0])
def test_a_power_law_is_found_again(exponent):
    law = wordstats.power_law([(x, 4.2 * x**exponent) for x in (1, 2, 7, 50, 900)])
    assert law == pytest.approx((4.2, exponent), abs=1e-9)


@pytest.mark.parametrize(
    "points, says", [([], "two needed"), ([(3, 1)], "two needed"), ([(3, 1), (3, 2)], "two needed"),
                     ([(0, 1), (3, 2)], "no logarithm"), ([(1, 1), (3, 0)], "no logarithm")]
)  # fmt: skip
def test_no_line_is_an_error(points, says):
    with pytest.raises(ValueError, match=says):
        wordstats.power_law(points)


def test_zipf_and_heaps_of_a_made_corpus():
    counts = {f"w{rank}": round(1e7 / rank**1.1) for rank in range(1, 20_001)}
    points = wordstats.zipf_points(counts)
    assert points[0][0] == 1 and points[-1][0] == 20_000 and len(points) < 40
    assert wordstats.zipf_exponent(points) == pytest.approx(1.1, abs=0.01)
    growth = [(10**n, 7 * 10 ** (0.6 * n)) for n in range(2, 8)]
    assert wordstats.heaps_exponent(growth) == pytest.approx(0.6)
    assert wordstats.zipf_points({}) == []


def test_words_drawn_by_zipf_grow_by_heaps_whatever_the_random_state():
    rng = random.Random(3)
    ranks = range(1, 50_001)
    drawn = rng.choices([f"w{r}" for r in ranks], [1 / r for r in ranks], k=60_000)
    random.seed(0)
    growth = wordstats.tally(drawn).growth
    random.seed(1)
    assert growth == wordstats.tally(drawn).growth
    assert 0.5 < wordstats.heaps_exponent(growth, start=1000) < 0.95


# -- typical words --------------------------------------------------------------------------------


def test_log_odds_by_hand():
    by_hand = math.log(30.5 / 970.5) - math.log(3.5 / 1997.5)
    assert wordstats.log_odds(30, 1000, 3, 2000) == pytest.approx(by_hand)
    with pytest.raises(ValueError, match="no counts of a word"):
        wordstats.log_odds(3, 2, 1, 1)


@given(st.integers(0, 50), st.integers(0, 50))
def test_log_odds_turn_round(one, other):
    there = wordstats.log_odds(one, 50, other, 50)
    assert there == pytest.approx(-wordstats.log_odds(other, 50, one, 50))
    assert (there > 0) == (one > other)


def test_typical_words_come_first_and_rare_ones_not_at_all():
    counts = Counter(patients=90, the=500, enalapril=40, zzz=2)
    other = Background({"the": 5000, "patients": 20}, 100_000)
    found = wordstats.typical(counts, other, least=10)
    assert [row.word for row in found] == ["enalapril", "patients", "the"]
    assert found[0].z < found[1].z, "the frequent word is the surer one"
    mild = wordstats.typical(counts, other._replace(unseen=30), least=10)
    assert mild[0].word == "patients"


def test_general_words_are_the_frequent_ones():
    general = wordstats.general_words()
    assert general.counts["the"] == max(general.counts.values())
    assert sum(general.counts.values()) <= general.total
    assert 1 < general.unseen < min(general.counts.values())
    assert not {"salbutamol", "bronchoconstriction"} & set(general.counts)
    assert len((wordstats.data_dir() / wordstats.GENERAL).read_bytes()) < 200_000


def test_a_broken_list_of_general_words_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(wordstats, "data_dir", lambda: tmp_path)
    (tmp_path / "words").mkdir()
    file = tmp_path / "words" / "general.tsv"
    file.write_text("# counts\nall\t9\ndifferent\t5\nthe\t6\nof\t1\n")
    assert wordstats.general_words() == ({"the": 6, "of": 1}, 9, 2 / 3)
    for text in ("", "the 5\n", "all\t9\ndifferent\t2\nthe\tmany\n", "all\t9\n"):
        file.write_text(text)
        with pytest.raises(DataError, match="general.tsv"):
            wordstats.general_words()


# -- years ----------------------------------------------------------------------------------------


def test_shares_by_year_count_texts_not_occurrences():
    dated = [(1999, "gene gene gene"), (1999, "Drug."), (2003, "GENE and drug")]
    assert wordstats.shares_by_year(dated, ["gene", "drug"]) == {
        1999: {"": 2, "gene": 1, "drug": 1}, 2003: {"": 1, "gene": 1, "drug": 1}
    }  # fmt: skip
    assert wordstats.shares_by_year(dated, [], bin_years=5) == {1995: {"": 2}, 2000: {"": 1}}
    groups = {"either": ["gene", "drug"], "none": []}
    assert wordstats.shares_by_year(dated, groups, bin_years=9) == {
        1998: {"": 3, "either": 3, "none": 0}
    }  # fmt: skip
    with pytest.raises(ValueError, match="0 years"):
        wordstats.shares_by_year(dated, [], bin_years=0)


@given(rows=st.lists(st.tuples(st.integers(1, 40), st.integers(0, 40)), min_size=2, max_size=8))
def test_trend_is_the_correlation_of_year_and_word_over_single_texts(rows):
    years = {2000 + n: {"": texts, "w": min(texts, having)} for n, (texts, having) in
             enumerate(rows)}  # fmt: skip
    year = np.repeat(list(years), [row[""] for row in years.values()])
    has = np.concatenate([np.arange(row[""]) < row["w"] for row in years.values()])
    if has.all() or not has.any():
        with pytest.raises(ValueError, match="with and without"):
            wordstats.trend(years, "w")
    else:
        due = np.corrcoef(year, has)[0, 1] * len(has) ** 0.5
        assert wordstats.trend(years, "w") == pytest.approx(due, abs=1e-9)


def test_trend_sees_what_bands_of_single_years_hide():
    fall = {2000 + n: {"": 100, "w": 42 - n} for n in range(12)}
    assert wordstats.trend(fall, "w") < -2 < wordstats.trend(dict([*fall.items()][:2]), "w")
    assert wordstats.trend({-year: row for year, row in fall.items()}, "w") > 2
    with pytest.raises(ValueError, match="two years"):
        wordstats.trend({2000: {"": 3, "w": 1}}, "w")


@pytest.fixture
def corpora(tmp_path):
    """Two small corpora; the first has a table of articles."""
    bio, general = tmp_path / "bio", tmp_path / "plain"
    bio.mkdir()
    general.mkdir()
    old, new = "TITLE: Old\n\nDrug ß α trial.\n\n", "TITLE: New\n\nA registered trial.\n\n"
    for name, texts in (("a", (old, new)), ("b", (new,))):
        with gzip.open(bio / f"{name}.txt.gz", "wb") as file:
            file.write("".join(texts * 60).encode())
    (general / "c.txt").write_text("The house stood.\n\n" * 70)
    split = len(old.encode())
    rows = ["shard\toffset\tbytes\tyear\ttitle"]
    rows += [f"b.txt.gz\t0\t{len(new)}\t2010\ta \"quote", f"a.txt.gz\t{split}\t{len(new)}\t2010\tx"]
    rows += [f"a.txt.gz\t0\t{split}\t2001\tx", "a.txt.gz\t0\t5\t\tno year"]
    (bio / "ARTICLES.tsv").write_text("\n".join(rows) + "\n")
    return bio, general


def test_dated_articles_are_cut_out_by_bytes(corpora):
    found = list(wordstats.dated_articles(corpora[0] / "ARTICLES.tsv"))
    assert sorted((year, text.split()[-2]) for year, text in found) == [
        (2001, "α"), (2010, "registered"), (2010, "registered")
    ]  # fmt: skip


def test_a_table_without_years_is_refused(tmp_path):
    table = tmp_path / "T.tsv"
    for text in ("shard\toffset\tbytes\na\t0\t1\n", ""):
        table.write_text(text)
        with pytest.raises(DataError, match="no column"):
            list(wordstats.dated_articles(table))


def test_command_counts_compares_and_saves(corpora, tmp_path, capsys, monkeypatch):
    from bioptimus_lib import ledger

    monkeypatch.setattr(ledger, "results_dir", lambda: tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bioptimus_lib.commands.words.LEAST", 20)
    monkeypatch.setattr(wordstats, "ZIPF_RANKS", (1, 10))
    monkeypatch.setattr(wordstats.heaps_exponent, "__kwdefaults__", {"start": 1})
    command = ["words", "bio", "plain", "--years", "--ledger", "x", "--save-counts", "c.tsv"]
    assert main([*command, "--most", "2"]) == 0
    assert (tmp_path / "c.tsv").read_text().splitlines()[2:] == [
        "all\t210", "different\t3", "the\t70", "house\t70"
    ]  # fmt: skip
    rows = {(r["dataset"], r.get("variant")): r for r in ledger.read("words")}
    assert rows["plain", None]["metrics"]["words"] == 210
    assert rows["bio", None]["metrics"]["different_words"] == 8
    assert rows["bio", None]["typical"][0][0] == "trial"
    assert rows["bio", "by year"]["years"]["2010"][""] == 2
    assert [len(rows[name, None]["data"]) for name in ("bio", "plain")] == [2, 1]
    assert "typical: trial" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command", [["words", "nowhere"], ["words", "general", "--years"]], ids=["folder", "years"]
)
def test_command_stops_before_any_work(command, corpora, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BIOPTIMUS_MIRROR", raising=False)
    command = [str(corpora[1]) if word == "general" else word for word in command]
    assert main(command) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_ledger_rows_hold_no_text():
    from bioptimus_lib import ledger

    for row in ledger.read("words"):
        words = [word for word, *_ in row.get("typical", [])]
        words += [w for year in row.get("years", {}).values() for w in year if w]
        assert all(word.isalnum() for word in words)
        assert len(json.dumps(row)) < 20_000


def test_corpus_command_puts_what_it_dropped_into_the_ledger(corpora, tmp_path, monkeypatch):
    from bioptimus_lib import ledger

    monkeypatch.setattr(ledger, "results_dir", lambda: tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain" / "d.txt").write_text("A sentence that is long enough to be kept here.\n")
    command = ["corpus", "plain", "--out", "out", "--ledger", "x", "--quiet", "--workers", "0"]
    assert main(command) == 0
    (row,) = ledger.read("corpus")
    found = row["metrics"]
    assert found["documents_in"] == 71 and found["documents_out"] == 1
    assert found["dropped: too short"] == 70 and found["megabytes_per_second"] > 0
    assert row["dataset"] == "plain" and row["seed"] is None and len(row["data"]) == 2
