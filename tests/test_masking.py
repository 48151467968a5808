"""Masking: exact semantics on small cases, rates on large draws, properties on any input."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bioptimus_lib.masking import IGNORED, UNITS, Masking, PieceTable, choose, generator_for, mask

CLS, SEP, PAD, MASK, UNK = range(5)
VOCABULARY = 200  # 5 special, 95 that begin a word, 100 that continue one


@pytest.fixture(scope="module")
def pieces() -> PieceTable:
    continues = torch.zeros(VOCABULARY, dtype=torch.bool)
    continues[100:] = True
    special = torch.zeros(VOCABULARY, dtype=torch.bool)
    special[:5] = True
    return PieceTable(continues, torch.arange(5, VOCABULARY), special, MASK)


def words_of(row: torch.Tensor, pieces: PieceTable) -> list[list[int]]:
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


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("rate", [0.15, 0.2, 0.4])
def test_rate_is_met_within_three_standard_errors(unit, rate, pieces):
    # Long rows, so that the rule of at least one unit a row does not count.
    ids = some_rows(rows=200, length=400)
    ids[ids == PAD] = 7
    ids[ids == SEP] = 8
    share = []
    for step in range(10):
        chosen = choose(ids, Masking(unit, rate), pieces, generator=generator_for(1, step))
        share.append(chosen.sum(1) / (~pieces.special[ids]).sum(1))
    share = torch.cat(share)
    assert abs(share.mean() - rate) < 3 * share.std() / len(share) ** 0.5


@pytest.mark.parametrize("unit", UNITS)
def test_corruption_is_80_10_10(unit, pieces):
    ids = some_rows(2000)
    inputs, labels = mask(ids, Masking(unit, 0.2, True), pieces, generator=generator_for(2))
    chosen = labels != IGNORED
    n = chosen.sum().item()
    masked = ((inputs == MASK) & chosen).sum().item() / n
    changed = ((inputs != MASK) & (inputs != ids) & chosen).sum().item() / n
    error = 3 * (0.8 * 0.2 / n) ** 0.5
    assert abs(masked - 0.8) < error
    # A random piece is the true one once in 195 times, so slightly fewer than 10 % change.
    assert abs(changed - 0.1 * 194 / 195) < error


def test_without_corruption_all_is_masked(pieces):
    ids = some_rows()
    inputs, labels = mask(ids, Masking("word", 0.2, False), pieces, generator=generator_for(3))
    assert (inputs[labels != IGNORED] == MASK).all()
    assert (inputs[labels == IGNORED] == ids[labels == IGNORED]).all()


@settings(max_examples=60, deadline=None)
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
        words = words_of(row, pieces)
        ordinary = sum(map(len, words))
        longest = 1 if unit == "token" else max(map(len, words), default=0)
        if not words:
            assert not picked.any()
            continue
        assert picked.any(), "a row with an ordinary piece has at least one unit"
        if unit != "token":
            for word in words:
                assert picked[word].all() or not picked[word].any(), "words stay whole"
        if unit != "span":
            assert picked.sum() < rate * ordinary + longest, "never more than one unit over"


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
    # One-piece words and a four-piece word: pieces of both are chosen at the same rate.
    row = torch.tensor([[CLS, 10, 11, 20, 120, 121, 122, 12, 13, 14, 15, 16, 17, 18, 19, SEP]])
    ids = row.expand(20_000, -1)
    chosen = choose(ids, Masking("word", 0.3), pieces, generator=generator_for(8)).float().mean(0)
    ordinary = chosen[1:-1]
    assert ordinary.mean().item() == pytest.approx(0.3, abs=0.01)
    assert ordinary.min() > 0.22 and ordinary.max() < 0.38
