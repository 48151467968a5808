"""What a masked language model does with words that it sees, laid open for a lesson.

Training with corruption asks it about some of them; training without never does. Here it is asked
about visible words whichever way it was trained: does it name the word that stands there, does it
notice a wrong one, can the word be told from its state?
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from bioptimus_lib.early_exit import padded, recorded
from bioptimus_lib.files import data_dir
from bioptimus_lib.masked_loss import masked_logits, only_masked
from bioptimus_lib.masking import IGNORED, PieceTable, generator_for
from bioptimus_lib.models import autocast
from bioptimus_lib.onednn import by_onednn

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

BATCH = 64  # blocks, or twice as many sentences

# -- words that are seen -------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """What a model says of pieces that it sees, one entry for each of n places.

    Attributes:
        wrong: whether another piece was put there.
        of_seen: probability of the piece that stands there.
        of_true: probability of the piece that belongs there.
        names: ``seen``, ``true`` or ``other``: the most probable piece (``seen`` where both are).
    """

    wrong: np.ndarray
    of_seen: np.ndarray
    of_true: np.ndarray
    names: np.ndarray

    def shares(self) -> dict[str, float]:
        """Copied where it is right; copied, mended, or neither where it is wrong; found out."""
        right, wrong = self.names[~self.wrong], self.names[self.wrong]
        return {
            "copied": float((right == "seen").mean()),
            "fooled": float((wrong == "seen").mean()),
            "mended": float((wrong == "true").mean()),
            "found out": area_under_curve(-self.of_seen, self.wrong),
        }


@torch.no_grad()
def ask_visible(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    blocks: np.ndarray,
    *,
    rate: float = 0.1,
    source: str = "vocabulary",
    seed: int = 0,
) -> Seen:
    """Ask a model about pieces in plain sight, half of them replaced by wrong ones.

    Args:
        blocks: packed text (N, T).
        rate: share of the ordinary pieces that are asked about.
        source: of wrong pieces: ``vocabulary``, all pieces alike, as in corruption; or ``text``,
            pieces from elsewhere in the same text, which are frequent ones mostly.

    Raises:
        ValueError: there is no such source.
    """
    if source not in ("vocabulary", "text"):
        raise ValueError(f"source {source!r} is unknown: choose vocabulary or text")
    pieces = PieceTable.of(tokenizer).to(model.device)
    parts: list[tuple[np.ndarray, ...]] = []
    model.eval()
    for start in range(0, len(blocks), BATCH):
        ids = torch.from_numpy(blocks[start : start + BATCH].astype("int64")).to(model.device)
        generator = generator_for(seed, start)
        ordinary = ~pieces.special[ids]
        draw = torch.rand(ids.shape, generator=generator).to(ids.device)
        asked, swapped = ordinary & (draw < rate), ordinary & (draw < rate / 2)
        pool = pieces.ordinary if source == "vocabulary" else ids[ordinary]
        other = pool[torch.randint(len(pool), ids.shape, generator=generator).to(ids.device)]
        inputs = torch.where(swapped, other, ids)
        with autocast(model.device):
            logits, true = masked_logits(model, inputs, ids.masked_fill(~asked, IGNORED))
        chances, seen, best = logits.float().softmax(-1), inputs[asked], logits.argmax(-1)
        names = np.where((best == true).cpu(), "true", "other")
        names[(best == seen).cpu().numpy()] = "seen"
        of_seen, of_true = (chances.gather(1, ids[:, None])[:, 0] for ids in (seen, true))
        wrong = seen != true
        parts.append((*(t.cpu().numpy() for t in (wrong, of_seen, of_true)), names))
    return Seen(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def area_under_curve(scores: np.ndarray, positive: np.ndarray) -> float:
    """Chance that a positive case has the higher score than another one; 0.5 for no knowledge.

    >>> float(area_under_curve(np.array([3.0, 1.0, 2.0]), np.array([True, False, False])))
    1.0

    Raises:
        ValueError: all cases are of one kind.
    """
    from scipy.stats import rankdata

    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        raise ValueError(f"{n} positive and {m} other cases: there must be some of both")
    return float((rankdata(scores)[positive].sum() - n * (n + 1) / 2) / (n * m))


# -- states of words that are seen ---------------------------------------------------------------


@torch.no_grad()
def states_of_words(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    blocks: np.ndarray,
    *,
    words: int = 100,
    times: int = 20,
) -> tuple[torch.Tensor, torch.Tensor]:
    """States of visible pieces at every layer, nothing masked, as a task would see them.

    Taken are the ``words`` most frequent pieces that begin with a letter and occur at least
    ``times`` times, ``times`` places of each, spread evenly over the text.

    Returns:
        States, float (layers + 1, n, H), and the number of the piece, int64 (n,).

    Raises:
        ValueError: fewer than two pieces occur so often.
    """
    ids, counts = np.unique(blocks, return_counts=True)
    names = tokenizer.convert_ids_to_tokens(ids.tolist())
    order = [i for i in np.argsort(-counts, kind="stable")
             if names[i][0].isalpha() and counts[i] >= times][:words]  # fmt: skip
    if len(order) < 2:
        raise ValueError(f"{len(order)} pieces occur {times} times: give more text")
    number = {int(ids[i]): place for place, i in enumerate(order)}
    take: dict[int, list[tuple[int, int]]] = {}  # row of the text → its places, with the word
    for piece, place in number.items():
        where = np.argwhere(blocks == piece)
        for row, column in where[np.linspace(0, len(where) - 1, times).astype(int)]:
            take.setdefault(int(row), []).append((int(column), place))
    rows = sorted(take)
    found, labels = [], []
    model.eval()
    for start in range(0, len(rows), BATCH):
        some = rows[start : start + BATCH]
        batch = torch.from_numpy(blocks[some].astype("int64")).to(model.device)
        with recorded(model) as layers, by_onednn(model):
            model.base_model(input_ids=batch)
        places = [(n, column) for n, row in enumerate(some) for column, _ in take[row]]
        labels += [word for row in some for _, word in take[row]]
        lines, columns = torch.tensor(places, device=batch.device).T
        found.append(torch.stack([states[lines, columns].float().cpu() for states in layers]))
    return torch.cat(found, dim=1), torch.tensor(labels)


def told_apart(states: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of states that are nearest, by cosine, to the mean state of their own word.

    Every second state of a word makes the means, the others are tested; the common mean is off.

    Args:
        states: float (n, H).
        labels: int64 (n,), the word of each.
    """
    rank = torch.zeros_like(labels)
    for word in labels.unique():
        own = labels == word
        rank[own] = torch.arange(int(own.sum()))
    known, test = rank % 2 == 0, rank % 2 == 1
    centred = states - states[known].mean(0)
    means = torch.stack([centred[known & (labels == w)].mean(0) for w in labels.unique()])
    unit = torch.nn.functional.normalize
    near = (unit(centred[test], dim=1) @ unit(means, dim=1).T).argmax(1)
    return float((labels.unique()[near] == labels[test]).float().mean())


def dimensions_used(states: torch.Tensor) -> float:
    """How many directions the states (n, H) vary in: (Σλ)² / Σλ² over the variances λ.

    >>> round(dimensions_used(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])), 6)
    2.0
    """
    centred = (states - states.mean(0)).double()
    covariance = centred.T @ centred
    return float(covariance.trace().square() / covariance.square().sum())


# -- a text, word by word ------------------------------------------------------------------------


def everyday() -> list[str]:
    """Our own sentences of plain English, ``data/words/everyday.txt``."""
    lines = (data_dir() / "words" / "everyday.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@torch.no_grad()
def word_by_word(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, sentences: Sequence[str]
) -> dict[str, np.ndarray]:
    """Hide each word of each sentence once, all its pieces together, and add up what it costs.

    No mask is drawn, so nothing is left to chance, and models of different vocabularies are asked
    the same: a word is what the pre-tokeniser calls one.

    Returns:
        ``bits`` of each sentence and its ``bytes``; the sum of the one over that of the other
        compares models.

    Raises:
        ValueError: a sentence is longer than the model can read.
    """
    rows, answers, owner = [], [], []
    longest = model.config.max_position_embeddings
    for number, sentence in enumerate(sentences):
        encoded = tokenizer(sentence)
        if len(encoded["input_ids"]) > longest:
            raise ValueError(
                f"sentence {number} has {len(encoded['input_ids'])} pieces, the model reads "
                f"{longest}: cut it"
            )
        words = encoded.word_ids()
        for word in sorted({w for w in words if w is not None}):
            own = [w == word for w in words]
            ids = encoded["input_ids"]
            answers.append([i if o else IGNORED for i, o in zip(ids, own, strict=True)])
            gap = tokenizer.mask_token_id
            rows.append([gap if o else i for i, o in zip(ids, own, strict=True)])
            owner.append(number)
    bits = np.zeros(len(sentences))
    model.eval()
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    for start in range(0, len(order), 2 * BATCH):
        some = order[start : start + 2 * BATCH]
        ids, attention = padded([rows[i] for i in some], tokenizer.pad_token_id)
        labels, _ = padded([answers[i] for i in some], IGNORED)
        asked = labels != IGNORED
        places = asked.flatten().nonzero().squeeze(1)
        with only_masked(model, places.to(model.device)), autocast(model.device):
            logits = model(
                input_ids=ids.to(model.device), attention_mask=attention.to(model.device)
            ).logits[0]
        losses = torch.nn.functional.cross_entropy(
            logits.float().cpu(), labels[asked], reduction="none"
        )
        lines = asked.nonzero()[:, 0].tolist()
        np.add.at(bits, [owner[some[line]] for line in lines], losses.numpy() / math.log(2))
    return {"bits": bits, "bytes": np.array([len(s.encode()) for s in sentences], float)}


def per_byte(
    found: Mapping[str, np.ndarray], *, draws: int = 500, seed: int = 0
) -> list[float]:
    """[of all sentences, low, high]: bits per byte with the middle 95 % over drawn sentences.

    Args:
        found: what ``word_by_word`` gives.
        draws: bootstrap samples of sentences.
    """
    bits, size = found["bits"], found["bytes"]
    picks = np.random.default_rng(seed).integers(len(bits), size=(draws, len(bits)))
    low, high = np.quantile(bits[picks].sum(1) / size[picks].sum(1), [0.025, 0.975])
    return [float(bits.sum() / size.sum()), float(low), float(high)]
