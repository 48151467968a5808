"""Two vocabularies side by side: fits, lengths, work, curves; classes of pieces; ways of adding."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("transformers")

from bioptimus_lib import word_classes  # noqa: E402
from bioptimus_lib.adding import WAYS, new_words, round_trip, side_effects  # noqa: E402
from bioptimus_lib.comparison import (  # noqa: E402
    BERT_BASE,
    MOST_TEXTS,
    Shape,
    curve,
    fit,
    in_words,
    lengths,
    most_frequent,
    saving,
    vocabularies,
    work,
)
from bioptimus_lib.errors import DataError  # noqa: E402
from bioptimus_lib.vocab import (  # noqa: E402
    SPECIAL_PIECES,
    bert_tokenizer,
    count_in_texts,
    pieces_of,
    train_wordpiece,
)
from bioptimus_lib.word_classes import NO_CLASS, by_class, classes, word_class  # noqa: E402

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
COUNTS = {"the": 60, "gastritis": 9, "nephritis": 7, "nephrectomy": 5, "gastrectomy": 4, "a": 15}


def toy(*pieces):
    letters = [*LETTERS, ".", "-", *("##" + letter for letter in LETTERS)]
    return bert_tokenizer([*SPECIAL_PIECES, *letters, *pieces], max_length=64)


# -- fit -------------------------------------------------------------------------------------------


def test_a_fit_counts_running_words_pieces_whole_and_unknown_ones():
    tokenizer = toy("the", "##itis", "cat")
    found = fit(tokenizer, {"the": 6, "cat": 2, "bitis": 1, "α": 3})
    assert found == (12, 6 + 2 + 2 + 3, 8, 3)
    assert found.fertility == pytest.approx(13 / 12) and found.coverage == pytest.approx(8 / 12)
    with pytest.raises(ValueError, match="at least one word"):
        fit(tokenizer, {})


@settings(max_examples=60)
@given(st.lists(st.text(alphabet=LETTERS + " .-Éé", max_size=30), max_size=8))
def test_a_fit_on_counts_is_the_tokenizers_own_count(texts):
    tokenizer = toy("the", "##the", "an")
    counts = count_in_texts(texts)
    naive = sum(len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts)
    assert (fit(tokenizer, counts).pieces if counts else 0) == naive


def test_lengths_count_special_pieces_and_are_never_cut_off():
    tokenizer = toy("the")
    assert lengths(tokenizer, ["the the", "", "the " * 500]) == [4, 2, 502]
    assert in_words(["The IL-2", "the"]) == {"the": 2, "il": 1, "-": 1, "2": 1}


# -- work ------------------------------------------------------------------------------------------


def test_work_is_that_of_the_matrices_of_a_real_encoder():
    """Every multiplication of a small BERT, counted by torch, but for embeddings and head."""
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import BertConfig, BertModel

    shape = Shape(layers=3, hidden=32, inner=80)
    config = BertConfig(vocab_size=50, hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
                        intermediate_size=80, attn_implementation="eager")  # fmt: skip
    model = BertModel(config, add_pooling_layer=False).eval()
    for length in (7, 40):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(torch.ones(1, length, dtype=torch.long))
        assert counter.get_total_flops() == 2 * work([length], shape).total


def test_work_of_several_texts_adds_up_and_parts_are_equal_at_two_h_plus_i():
    one, two = work([10, 30]), work([10])
    assert one.total == two.total + work([30]).total
    length = 2 * BERT_BASE.hidden + BERT_BASE.inner
    assert work([length]).linear == work([length]).attention


def test_saving_looks_at_long_texts_and_says_which_share_is_too_long():
    old, new = toy(), toy("the", "drug")
    short, long = "the drug " * 10, "the drug " * 60
    found = saving(old, new, [short, long])
    assert found["texts"] == 1
    assert (found["old_length"], found["new_length"]) == (60 * 7 + 2, 60 * 2 + 2)
    assert found["linear"] == pytest.approx(122 / 422, abs=1e-5)
    assert found["attention"] == pytest.approx((122 / 422) ** 2, abs=1e-5)
    assert found["attention"] < found["total"] < 1 and found["linear"] > found["total"]
    assert (found["old_too_long"], found["new_too_long"]) == (0, 0)
    assert saving(old, new, ["the drug " * 80])["old_too_long"] == 1
    assert saving(old, new, [short]) == {}
    assert saving(old, new, (long for _ in range(MOST_TEXTS + 5)))["texts"] == MOST_TEXTS


# -- curves ----------------------------------------------------------------------------------------


def test_coverage_rises_with_the_size_and_never_passes_the_most_frequent_words():
    sizes = [34, 42, 50]
    points = curve(COUNTS, {"same": COUNTS, "other": {"gather": 1, "the": 1}}, sizes)
    assert [p[0] for p in points["same"]] == sizes
    shares = [p[1] for p in points["same"]]
    assert shares == sorted(shares) and shares[-1] > shares[0]
    bound = most_frequent(COUNTS, sizes)
    assert all(share <= bound[size] + 1e-9 for size, share, _ in points["same"])
    assert [p[2] for p in points["other"]][-1] > 1
    assert {size: len(t) for size, t in vocabularies(COUNTS, sizes).items()} == {
        size: size for size in sizes
    }


# -- classes ---------------------------------------------------------------------------------------

SPELLED = {
    "pembrolizumab": "drug", "##tinib": "drug", "ramipril": "drug", "atorvastatin": "drug",
    "brca1": "gene or protein", "il6": "gene or protein", "egfr": "gene or protein",
    "cd20": "gene or protein", "##kinase": "gene or protein", "cystatin": "gene or protein",
    "gastritis": "Greek or Latin ending", "##ectomy": "Greek or Latin ending",
    "hepatocellular": "Greek or Latin beginning", "##hepat": NO_CLASS,
    "hydroxybutyrate": "chemistry", "chloride": "chemistry",
    "2019": "number", "##05": "number", "≥60": "number",
    "##ab": "1 to 3 letters", "mg": "1 to 3 letters", "##ther": NO_CLASS, "weather": NO_CLASS,
    "concept": NO_CLASS, "program": NO_CLASS, "virgin": NO_CLASS, "interview": NO_CLASS,
}  # fmt: skip


@pytest.mark.parametrize("piece", SPELLED)
def test_spelling_decides_the_class(piece):
    assert word_class(piece) == SPELLED[piece]


def test_every_piece_is_in_one_class_and_every_class_is_there():
    found = by_class(SPELLED)
    assert list(found) == list(classes()) and classes()[-1] == NO_CLASS
    assert sorted(piece for pieces in found.values() for piece in pieces) == sorted(SPELLED)
    assert by_class([]) == {name: [] for name in classes()}


def test_general_words_are_seldom_taken_for_the_field():
    """The control of the chapter: false alarms among frequent general words."""
    from bioptimus_lib.wordstats import general_words

    common = list(general_words().counts)
    found = by_class(common)
    of_field = set(classes()) - {NO_CLASS, "number", "1 to 3 letters"}
    assert 0 < sum(len(found[name]) for name in of_field) / len(common) < 0.02


@pytest.mark.parametrize("line", ["drug\tend", "drug\tmiddle\tmab", "drug\tmatch\t(mab"])
def test_a_broken_rule_is_named_by_its_line(line, tmp_path, monkeypatch):
    (tmp_path / "words").mkdir()
    (tmp_path / word_classes.RULES).write_text(f"# rules\ndrug\tend\tnib\n{line}\n")
    monkeypatch.setattr(word_classes, "data_dir", lambda: tmp_path)
    word_classes.rules.cache_clear()
    try:
        with pytest.raises(DataError, match="expected class") as caught:
            word_classes.rules()
        assert caught.value.line == 3
    finally:
        word_classes.rules.cache_clear()


# -- adding ----------------------------------------------------------------------------------------

OLD = toy("br", "##ca", "##12", "the")
ADDED = {way.name: way.add(OLD, ["brca1"]) for way in WAYS}
CUTS = {  # word → pieces after add_tokens, single_word, WordPiece
    "brca1": (["brca1"],) * 3,
    "BRCA1": (["brca1"],) * 3,
    "brca12": (["brca1", "2"], ["br", "##ca", "##12"], ["brca1", "##2"]),
    "xbrca1": (["x", "brca1"], ["x", "##b", "##r", "##ca", "##1"],
               ["x", "##b", "##r", "##ca", "##1"]),
    "brca1-x": (["brca1", "-", "x"],) * 3,
    "the": (["the"],) * 3,
}  # fmt: skip


@pytest.mark.parametrize("word", CUTS)
def test_three_ways_of_adding_a_word(word):
    assert tuple(ADDED[way.name].tokenize(word) for way in WAYS) == CUTS[word]


def test_round_trips_break_where_added_tokens_match_inside_words():
    back = [round_trip(ADDED[way.name], "brca12") for way in WAYS]
    assert back == ["brca1 2", "brca12", "brca12"]


def test_sizes_after_adding_and_the_old_tokenizer_is_as_it_was():
    before = len(OLD)
    assert [len(ADDED[way.name]) for way in WAYS] == [before + 1] * 3
    assert [ADDED[way.name].vocab_size for way in WAYS] == [before, before, before + 1]
    assert OLD.tokenize("brca1") == ["br", "##ca", "##1"] and "brca1" not in pieces_of(OLD)
    for way in WAYS:
        changed = ADDED[way.name]
        assert changed.convert_tokens_to_ids("brca1") == before
        assert changed("the")["input_ids"] == OLD("the")["input_ids"]


def test_side_effects_are_counted_on_other_words_alone():
    counts = {"brca1": 50, "brca12": 3, "the": 7}
    found = {way.name: side_effects(OLD, ADDED[way.name], counts, meant=["brca1"])
             for way in WAYS}  # fmt: skip
    assert found["add_tokens"] == (10, 3, 3, 13)
    assert found["single_word"] == (10, 0, 0, 16)
    assert found["WordPiece"] == (10, 3, 0, 13)
    assert side_effects(OLD, OLD, counts) == (60, 0, 0, 166)
    with pytest.raises(ValueError, match="no other word"):
        side_effects(OLD, OLD, {"brca1": 1}, meant=["brca1"])


def test_other_ids_for_the_same_pieces_are_no_other_cut():
    other = bert_tokenizer([*SPECIAL_PIECES, *reversed(pieces_of(OLD)[5:])])
    assert side_effects(OLD, other, COUNTS).recut == 0


def test_only_pieces_that_begin_a_word_can_be_added():
    new = train_wordpiece(COUNTS, size=60)
    found = new_words(OLD, new)
    assert found and not any(piece.startswith("##") for piece in found)
    assert set(found) == {p for p in pieces_of(new)
                          if not p.startswith("##")} - set(pieces_of(OLD))  # fmt: skip
