"""Masking: exact semantics on small cases, rates on large draws, properties on any input."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bioptimus_lib.masking import (
    IGNORED,
    LONGEST_SPAN,
    UNITS,
    Masking,
    PieceTable,
    choose,
    generator_for,
    mask,
    words_of,
)

CLS, SEP, PAD, MASK, UNK = range(5)
VOCABULARY = 200  # 5 special, 95 that begin a word, 100 that continue one


@pytest.fixture(scope="module")
def pieces() -> PieceTable:
    continues = torch.zeros(VOCABULARY, dtype=torch.bool)
    continues[100:] = True
    special = torch.zeros(VOCABULARY, dtype=torch.bool)
    special[:5] = True
    return PieceTable(continues, torch.arange(5, VOCABULARY), special, MASK)


def words_of_row(row: torch.Tensor, pieces: PieceTable) -> list[list[int]]:
    """Positions of each word of a row: the rule in plain Python."""
    words: list[list[int]] = []
    open_word = False
    for position, piece in enumerate(row.tolist()):
        if pieces.special[piece]:
            open_word = False
        elif open_word and pieces.continues[piece]:
            words[-1].append(position)
        else:
            words.append([position])
            open_word = True
    return words


def some_rows(rows: int = 400, length: int = 64, seed: int = 0) -> torch.Tensor:
    """Rows of words of one to four pieces between [CLS] and [SEP], a part of them padded."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 100, (rows, length), generator=generator)
    continued = torch.rand((rows, length), generator=generator) < 0.45
    ids = torch.where(
        continued, torch.randint(100, VOCABULARY, (rows, length), generator=generator), ids
    )
    ids[:, 0] = CLS
    ids[:, 1] = 7
    end = torch.randint(12, length, (rows,), generator=generator)
    for row, stop in enumerate(end):
        ids[row, stop] = SEP
        ids[row, stop + 1 :] = PAD
    return ids


@pytest.mark.parametrize(
    ("unit", "rate", "message"),
    [
        ("letter", 0.15, "unit 'letter' is unknown"),
        ("word", 0.0, "outside"),
        ("word", 1.0, "outside"),
        ("word", -0.1, "outside"),
        ("word", float("nan"), "outside"),
    ],
)
def test_wrong_settings_are_refused(unit, rate, message):
    with pytest.raises(ValueError, match=message):
        Masking(unit, rate)


@pytest.mark.parametrize("ids", [torch.zeros(5, dtype=torch.long), torch.zeros(2, 0).long()])
def test_ids_that_are_no_batch_are_refused(ids, pieces):
    with pytest.raises(ValueError, match=r"give \(B, T\)"):
        choose(ids, Masking(), pieces, generator=generator_for(0))


@pytest.mark.parametrize("unit", UNITS)
def test_rows_of_special_pieces_have_nothing_to_guess(unit, pieces):
    ids = torch.tensor([[CLS, SEP, PAD, PAD], [CLS, 7, SEP, PAD], [CLS, UNK, MASK, SEP]])
    inputs, labels = mask(ids, Masking(unit), pieces, generator=generator_for(0))
    assert (labels[[0, 2]] == IGNORED).all() and (inputs[[0, 2]] == ids[[0, 2]]).all()
    assert labels[1].tolist() == [IGNORED, 7, IGNORED, IGNORED]


# -- rates on a million draws ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def million() -> torch.Tensor:
    """Full rows with more than 10⁶ ordinary pieces, so that no row is below one unit."""
    ids = some_rows(rows=4000, length=256)
    return torch.where((ids == PAD) | (ids == SEP), torch.arange(256) % 90 + 5, ids)


def sure(found: torch.Tensor, expected: torch.Tensor | float) -> bool:
    """Whether the mean over rows of the difference is within three standard errors of 0."""
    difference = (found - expected).double()
    return abs(difference.mean()) <= 3 * difference.std() / len(difference) ** 0.5


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("rate", [0.15, 0.2, 0.4])
@pytest.mark.parametrize("corruption", [True, False])
def test_rates_on_a_million_draws(unit, rate, corruption, million, pieces):
    n = (~pieces.special[million]).sum()
    assert n > 10**6
    masking = Masking(unit, rate, corruption)
    inputs, labels = mask(million, masking, pieces, generator=generator_for(1, UNITS.index(unit)))
    chosen = labels != IGNORED
    assert sure(chosen.sum(1), rate * (~pieces.special[million]).sum(1))
    hidden = (inputs == MASK) & chosen
    other = (inputs != MASK) & (inputs != million)
    if not corruption:
        assert (hidden == chosen).all() and not other.any()
        return
    assert sure(hidden.sum(1), 0.8 * chosen.sum(1))
    # A random piece is the true one once in 195 times, so slightly fewer than 10 % change.
    assert sure(other.sum(1), 0.1 * 194 / 195 * chosen.sum(1))
    drawn = torch.bincount(inputs[other], minlength=VOCABULARY)
    assert drawn[:5].sum() == 0
    error = (drawn.sum() / 195) ** 0.5
    assert (abs(drawn[5:] - drawn.sum() / 195) < 5 * error).all(), "all pieces equally often"


@pytest.mark.parametrize("unit", ["word", "span"])
@pytest.mark.parametrize("rate", [0.15, 0.4])
def test_long_words_have_the_same_chance_as_short_ones(unit, rate, million, pieces):
    chosen = choose(million, Masking(unit, rate), pieces, generator=generator_for(4)).long()
    candidate = (~pieces.special[million]).long()
    word = words_of(million, pieces)
    size = torch.zeros_like(word).scatter_add_(1, word, candidate).gather(1, word) * candidate
    for length in (1, 2, 3, 4):
        these = size == length
        assert these.sum() > 10_000
        assert sure((chosen * these).sum(1), rate * these.sum(1))


def test_spans_are_runs_of_one_to_five_words(pieces):
    row = torch.tensor([[CLS, *range(5, 65), SEP]])
    chosen = choose(row.expand(4000, -1), Masking("span", 0.01), pieces, generator=generator_for(6))
    counts = torch.bincount(chosen.sum(1), minlength=7)
    assert counts[0] == 0 and counts[LONGEST_SPAN + 1 :].sum() == 0
    assert (counts[1 : LONGEST_SPAN + 1] > 400).all()
    runs = (chosen[:, 1:] & ~chosen[:, :-1]).sum(1)
    assert (runs == 1).all()


def test_token_rates_are_those_of_hugging_face_where_it_is_right(pieces):
    from transformers import DataCollatorForLanguageModeling

    from bioptimus_lib.vocab import SPECIAL_PIECES, bert_tokenizer

    names = [*SPECIAL_PIECES, *(f"w{n}" for n in range(195))]
    collator = DataCollatorForLanguageModeling(bert_tokenizer(names), seed=0)
    table = PieceTable.of(collator.tokenizer)
    ids = some_rows(rows=4000, length=256)
    special = table.special[ids]
    ids = torch.where(special & (ids >= 5), 7, ids)
    collator.create_rng()
    theirs = collator.torch_mask_tokens(ids.clone(), special_tokens_mask=table.special[ids])
    ours = mask(ids, Masking(), table, generator=generator_for(0))
    n = (~table.special[ids]).sum(1)
    for inputs, labels in (theirs, ours):
        chosen = labels != IGNORED
        assert sure(chosen.sum(1), 0.15 * n)
        assert sure(((inputs == table.mask_id) & chosen).sum(1), 0.8 * chosen.sum(1))
        assert not (chosen & table.special[ids]).any() and (labels[chosen] == ids[chosen]).all()
    # The same mean, but a coin for each piece scatters, and ours does not.
    spread = [((labels != IGNORED).sum(1) - 0.15 * n).std() for _, labels in (theirs, ours)]
    assert spread[0] > 3 and spread[1] < 0.6


def test_pieces_of_another_kind_of_tokenizer_are_refused():
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    other = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), mask_token="[MASK]")
    with pytest.raises(ValueError, match="not one of kind BPE"):
        PieceTable.of(other)  # where words begin would be guessed wrong, in silence


# -- the rule itself ------------------------------------------------------------------------------


def by_hand(row, masking, pieces, draws) -> set[int]:
    """The positions to guess, in plain Python, from the numbers that ``choose`` draws."""
    words = words_of_row(row, pieces)
    total = sum(map(len, words))
    if not words:
        return set()
    turn, key, spans = draws
    if masking.unit == "token":
        number = max(1, int(masking.rate * total + turn))
        ordinary = sorted((key[p], p) for word in words for p in word)
        return {p for _, p in ordinary[:number]}
    units: list[list[int]] = []
    ends, at = set(), 0
    for length in spans:
        at += length
        ends.add(at)
    for number, word in enumerate(words):
        behind_special = pieces.special[row[word[0] - 1]] if word[0] else True
        if masking.unit == "word" or number in ends or behind_special:
            units.append([])
        units[-1].extend(word)
    where, at = {}, 0
    for _, number in sorted((key[n], n) for n in range(len(units))):
        where[number] = (at + total * turn) % total
        at += len(units[number])
    taken = {n for n, begin in where.items() if begin < masking.rate * total}
    taken = taken or {min(where, key=where.get)}
    return {position for number in taken for position in units[number]}


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("rate", [0.01, 0.15, 0.4, 0.97])
def test_the_tensors_do_what_the_rule_says(unit, rate, pieces):
    ids = some_rows(150, 40, seed=3)
    ids[40:60, 20] = SEP  # two texts in a row
    ids[60:80, 1] = 150  # a row that begins inside a word
    ids[80:85, 1:] = PAD
    chosen = choose(ids, Masking(unit, rate), pieces, generator=generator_for(9))
    again, shape, one = generator_for(9), tuple(ids.shape), (len(ids), 1)
    spans = torch.randint(1, LONGEST_SPAN + 1, shape, generator=again) if unit == "span" else None
    bits = ids.shape[1].bit_length()
    turn = [torch.rand(one, generator=again, dtype=torch.float64) for _ in range(unit == "token")]
    key = torch.randint(1 << (62 - bits), shape, generator=again)
    turn = turn or [torch.rand(one, generator=again, dtype=torch.float64)]
    for n, row in enumerate(ids):
        draws = turn[0][n].item(), key[n].tolist(), [] if spans is None else spans[n].tolist()
        expected = by_hand(row, Masking(unit, rate), pieces, draws)
        assert set(chosen[n].nonzero().flatten().tolist()) == expected


def test_words_are_numbered(pieces):
    row = torch.tensor([[CLS, 150, 10, 120, 121, UNK, 130, 131, SEP, 140, 20, PAD]])
    assert words_of(row, pieces)[0, [1, 2, 3, 4, 6, 7, 9, 10]].tolist() == [0, 1, 1, 1, 2, 2, 3, 4]


def test_without_corruption_all_is_masked(pieces):
    ids = some_rows()
    inputs, labels = mask(ids, Masking("word", 0.2, False), pieces, generator=generator_for(3))
    assert (inputs[labels != IGNORED] == MASK).all()
    assert (inputs[labels == IGNORED] == ids[labels == IGNORED]).all()


@settings(max_examples=60)
@given(
    rows=st.lists(
        st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=40), min_size=1, max_size=6
    ),
    unit=st.sampled_from(UNITS),
    rate=st.floats(0.01, 0.99),
    corruption=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_properties_on_any_input(pieces, rows, unit, rate, corruption, seed):
    length = max(map(len, rows))
    ids = torch.tensor([row + [PAD] * (length - len(row)) for row in rows])
    before = ids.clone()
    masking = Masking(unit, rate, corruption)
    inputs, labels = mask(ids, masking, pieces, generator=generator_for(seed))
    chosen = labels != IGNORED
    assert (ids == before).all(), "the batch itself is not touched"
    assert not (chosen & pieces.special[ids]).any(), "special pieces are never chosen"
    assert (inputs[~chosen] == ids[~chosen]).all()
    assert (labels[chosen] == ids[chosen]).all()
    assert not (pieces.special[inputs] & (inputs != MASK) & chosen).any(), "no special replacement"
    for row, picked in zip(ids, chosen, strict=True):
        words = words_of_row(row, pieces)
        ordinary = sum(map(len, words))
        longest = 1 if unit == "token" else max(map(len, words), default=0)
        if unit == "span":
            longest = max(sum(map(len, words[n : n + LONGEST_SPAN])) for n in range(len(words) + 1))
        if not words:
            assert not picked.any()
            continue
        assert picked.any(), "a row with an ordinary piece has at least one unit"
        if unit != "token":
            for word in words:
                assert picked[word].all() or not picked[word].any(), "words stay whole"
        assert abs(picked.sum() - rate * ordinary) < longest + 1e-4, "less than one unit off"


def test_same_generator_same_masks_whatever_the_global_state(pieces):
    ids = some_rows(50)
    torch.manual_seed(1)
    first = mask(ids, Masking("word"), pieces, generator=generator_for(5, 17))
    torch.manual_seed(2)
    torch.rand(1000)
    second = mask(ids, Masking("word"), pieces, generator=generator_for(5, 17))
    other = mask(ids, Masking("word"), pieces, generator=generator_for(5, 18))
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
    assert (first[0] != other[0]).any()


def test_every_unit_is_equally_likely(pieces):
    # A word of four pieces among words of one: at every place the same share, and it is the rate.
    row = torch.tensor([[CLS, 10, 11, 20, 120, 121, 122, 12, 13, 14, 15, 16, 17, 18, 19, SEP]])
    ids = row.expand(100_000, -1)
    chosen = choose(ids, Masking("word", 0.3), pieces, generator=generator_for(8)).float().mean(0)
    error = (0.3 * 0.7 / len(ids)) ** 0.5
    assert (abs(chosen[1:-1] - 0.3) < 3.5 * error).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("unit", UNITS)
def test_a_gpu_draws_the_same_masks(unit, pieces):
    ids = some_rows(500, 128)
    here = mask(ids, Masking(unit), pieces, generator=generator_for(5))
    there = mask(ids.cuda(), Masking(unit), pieces.to("cuda"), generator=generator_for(5))
    assert all((a == b.cpu()).all() for a, b in zip(here, there, strict=True))


def test_maskings_that_differ_are_told_apart_by_their_names():
    """A run is refused to another masking by its name, and arms stand in folders of these."""
    from bioptimus_lib.experiments.arms import _code

    rates = (0.005, 0.15, 0.154, 0.29, 0.3)
    for name in (str, _code):
        assert len({name(Masking("word", rate)) for rate in rates}) == len(rates)
    assert str(Masking("word", 0.29)) == "word, 29%, 80/10/10"
