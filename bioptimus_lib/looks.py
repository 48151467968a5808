"""What a phase has done to a model: losses under any masks, what is guessed right, how far rows
have moved, gaps filled by several versions side by side, a quick fine-tuning.

Everything here looks and changes nothing. Two versions that share a vocabulary are asked the same
questions: the masks depend on a seed and on the text alone.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from bioptimus_lib.conll import Sentence, entities
from bioptimus_lib.files import data_dir
from bioptimus_lib.masked_loss import EVALUATION_SEED, evaluate_mlm, masked_logits
from bioptimus_lib.masking import IGNORED, Masking, PieceTable, generator_for, mask
from bioptimus_lib.models import precision_for
from bioptimus_lib.wordpiece import CONTINUATION
from bioptimus_lib.words import words

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bioptimus_lib.ner import NerSettings

    Pair = tuple[PreTrainedModel, PreTrainedTokenizerBase]

WHOLE_WORDS = Masking("word", 0.15, corruption=False)  # the question that all versions are asked
KINDS = ("entity", "function", "other", "no letters")
EDGES = (10, 100, 1000)  # of the frequency bands


# -- losses --------------------------------------------------------------------------------------


def losses_under(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    blocks: np.ndarray,
    maskings: Mapping[str, Masking],
    *,
    draws: int = 1,
) -> dict[str, dict[str, float]]:
    """Loss (nats per guessed piece) and accuracy of one model under several maskings.

    Args:
        blocks: packed text (N, T) in the tokenizer's vocabulary.
        maskings: name → masking.
        draws: how many times each is drawn; the numbers are means over the draws.

    Returns:
        name → ``loss``, ``accuracy``, ``spread`` (standard deviation of the loss over draws, NaN
        for one draw), ``masked`` (pieces guessed in all draws).
    """
    found = {}
    for name, masking in maskings.items():
        scores = [
            evaluate_mlm(model, tokenizer, blocks, masking=masking, seed=EVALUATION_SEED + draw)
            for draw in range(draws)
        ]
        losses = [score["loss"] for score in scores]
        found[name] = {
            "loss": float(np.mean(losses)),
            "accuracy": float(np.mean([score["accuracy"] for score in scores])),
            "spread": float(np.std(losses, ddof=1)) if draws > 1 else float("nan"),
            "masked": sum(score["masked"] for score in scores),
        }
    return found


def bits_per_byte(loss: float, pieces_per_byte: float) -> float:
    """A loss in nats per piece as bits per byte of text.

    >>> round(bits_per_byte(math.log(2), 0.25), 3)
    0.25
    """
    return loss / math.log(2) * pieces_per_byte


@dataclass(frozen=True)
class Guesses:
    """Every guess of a model on packed blocks, M in all, in the order of the text.

    Attributes:
        block, place: int64 (M,), where in the blocks (N, T).
        answer, shown, best: int64 (M,), the true piece, what stood in its place, the first guess.
        loss: float32 (M,), nats.
    """

    block: np.ndarray
    place: np.ndarray
    answer: np.ndarray
    shown: np.ndarray
    best: np.ndarray
    loss: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """bool (M,): whether the first guess is the true piece."""
        return self.best == self.answer


def guesses(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    blocks: np.ndarray,
    masking: Masking = WHOLE_WORDS,
    *,
    batch: int = 64,
    seed: int = EVALUATION_SEED,
) -> Guesses:
    """What ``evaluate_mlm`` with the same arguments sums up, guess by guess."""
    pieces = PieceTable.of(tokenizer).to(model.device)
    parts = []
    for start in range(0, len(blocks), batch):
        ids = _on(model, blocks[start : start + batch])
        inputs, labels = mask(ids, masking, pieces, generator=generator_for(seed, start))
        parts.append(_asked(model, inputs, labels, first=start))
    return _joined(parts)


@torch.no_grad()
def _asked(
    model: PreTrainedModel, inputs: torch.Tensor, labels: torch.Tensor, *, first: int = 0
) -> Guesses:
    """The guesses of one batch, whose first row is block ``first``."""
    was_training = model.training
    model.eval()
    device = inputs.device
    with torch.autocast(device.type, torch.bfloat16, enabled=precision_for(device) == "bf16"):
        logits, answer = masked_logits(model, inputs, labels)
    model.train(was_training)
    loss = torch.nn.functional.cross_entropy(logits.float(), answer, reduction="none")
    block, place = torch.nonzero(labels != IGNORED, as_tuple=True)
    shown = inputs[block, place]
    found = (block + first, place, answer, shown, logits.argmax(-1), loss)
    return Guesses(*(values.cpu().numpy() for values in found))


def _joined(parts: Sequence[Guesses]) -> Guesses:
    names = ("block", "place", "answer", "shown", "best", "loss")
    return Guesses(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


def _on(model: PreTrainedModel, blocks: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(blocks).astype("int64")).to(model.device)


class Tally(NamedTuple):
    """So many right of so many."""

    right: int
    total: int

    @property
    def share(self) -> float:
        """NaN of none."""
        return self.right / self.total if self.total else float("nan")

    @property
    def error(self) -> float:
        """Standard error of the share, as if all were drawn one by one; NaN of none.

        One is added to both sides, so that "all of three" does not look certain.
        """
        p = (self.right + 1) / (self.total + 2)
        return (p * (1 - p) / (self.total + 2)) ** 0.5 if self.total else float("nan")


def by_shown(found: Guesses, tokenizer: PreTrainedTokenizerBase) -> dict[str, dict[str, float]]:
    """Loss and accuracy by what stood in the place: ``[MASK]``, ``another piece``, ``itself``.

    A random piece may by chance be the true one; it counts as ``itself``.
    """
    hidden = found.shown == tokenizer.mask_token_id
    kept = found.shown == found.answer
    kinds = {"[MASK]": hidden, "another piece": ~hidden & ~kept, "itself": kept}
    return {
        name: {
            "loss": float(found.loss[some].mean()),
            "accuracy": float(found.right[some].mean()),
            "masked": int(some.sum()),
        }
        for name, some in kinds.items()
        if some.any()
    }


# -- whole words ---------------------------------------------------------------------------------


class Spans(NamedTuple):
    """The words of packed blocks.

    Attributes:
        number: int64 (N, T), number of the word at each place, −1 at special pieces.
        text: the words, normalised, without ``##``.
        pieces: int64 (words,), how many pieces each has.
        whole: bool (words,), false where the edge of a block may have cut it.
    """

    number: np.ndarray
    text: list[str]
    pieces: np.ndarray
    whole: np.ndarray


def spans(blocks: np.ndarray, tokenizer: PreTrainedTokenizerBase) -> Spans:
    """The words of packed blocks (N, T), numbered in the order of the text."""
    table = PieceTable.of(tokenizer)
    continues, special = table.continues.numpy(), table.special.numpy()
    ids = np.asarray(blocks).astype("int64")
    inner = ~special[ids]
    after = np.zeros_like(inner)
    after[:, 1:] = inner[:, :-1]
    start = inner & ~(continues[ids] & after)
    number = np.where(inner, start.cumsum().reshape(ids.shape) - 1, -1)
    names = tokenizer.convert_ids_to_tokens(range(len(special)))
    parts = [name.removeprefix(CONTINUATION) for name in names]
    text = [""] * int(start.sum())
    for word, piece in zip(number[inner].tolist(), ids[inner].tolist(), strict=True):
        text[word] += parts[piece]
    whole = ~continues[ids[start]]
    last = number[:, -2]  # goes on in the next block, or not: nobody can tell here
    whole[last[last >= 0]] = False
    return Spans(number, text, np.bincount(number[inner], minlength=len(text)), whole)


@cache
def function_words() -> frozenset[str]:
    """The words of ``data/words/function.txt``."""
    lines = (data_dir() / "words" / "function.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(w for line in lines if not line.startswith("#") for w in line.split())


def entity_words(sentences: Iterable[Sentence], *, share: float = 0.5) -> frozenset[str]:
    """Words that stand inside a gold entity in at least ``share`` of their occurrences.

    Function words and words without a letter are none.

    >>> sorted(entity_words([Sentence(("Lung", "cancer", "was"), ("B-X", "I-X", "O"))]))
    ['cancer', 'lung']
    """
    inside: dict[str, int] = {}
    total: dict[str, int] = {}
    for sentence in sentences:
        held = {i for _, start, stop in entities(sentence.tags) for i in range(start, stop)}
        for place, token in enumerate(sentence.tokens):
            for word in words(token):
                total[word] = total.get(word, 0) + 1
                inside[word] = inside.get(word, 0) + (place in held)
    return frozenset(
        w for w, n in inside.items()
        if n and n >= share * total[w] and kind_of(w, frozenset()) == "other"
    )


def kind_of(word: str, entity: frozenset[str] | set[str]) -> str:
    """One of ``KINDS``: the first that fits of no letters, function, entity, other."""
    if not any(c.isalpha() for c in word):
        return "no letters"
    if word in function_words():
        return "function"
    return "entity" if word in entity else "other"


def band_names(edges: Sequence[int] = EDGES) -> list[str]:
    """Names of the frequency bands between edges, ``never`` first.

    >>> band_names([10, 100])
    ['never', '1 to 10', '11 to 100', 'over 100']
    """
    lows = [1, *(edge + 1 for edge in edges[:-1])]
    inner = [f"{low:,} to {high:,}" for low, high in zip(lows, edges, strict=True)]
    return ["never", *inner, f"over {edges[-1]:,}"]


def accuracy_by_band(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    blocks: np.ndarray,
    counts: Mapping[str, int],
    entity: frozenset[str] | set[str],
    *,
    edges: Sequence[int] = EDGES,
    rate: float = 0.15,
    draws: int = 1,
) -> dict[str, dict[str, Tally]]:
    """How many whole hidden words are guessed, by kind of word and by frequency.

    A word is right if all its pieces are. All pieces of a chosen word are ``[MASK]``; words that
    the edge of a block may have cut do not count.

    Args:
        counts: word → how often the training text has it.
        entity: the words that are entity words, as from ``entity_words``.
        edges: upper ends of the frequency bands, rising.
        rate: share of the pieces that is hidden.
        draws: how many times the words to hide are drawn.

    Returns:
        kind → band → tally; all of ``KINDS`` and all bands are there.
    """
    names = band_names(edges)
    laid, right, times = _words_guessed(model, tokenizer, blocks, rate=rate, draws=draws)
    table = {kind: dict.fromkeys(names, Tally(0, 0)) for kind in KINDS}
    for word in np.flatnonzero(laid.whole & (times > 0)):
        text = laid.text[word]
        band = names[_band(counts.get(text, 0), edges)]
        row = table[kind_of(text, entity)]
        row[band] = Tally(row[band].right + int(right[word]), row[band].total + int(times[word]))
    return table


def accuracy_by_repeat(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    blocks: np.ndarray,
    entity: frozenset[str] | set[str],
    *,
    rate: float = 0.15,
    draws: int = 1,
) -> dict[str, dict[str, Tally]]:
    """How many whole hidden words are guessed, apart for words that their block holds again.

    Returns:
        kind → ``again in its block`` or ``only here`` → tally; the other occurrences may be hidden,
        too, at a low rate seldom all of them.
    """
    laid, right, times = _words_guessed(model, tokenizer, blocks, rate=rate, draws=draws)
    row = np.zeros(len(laid.text), int)
    inner = laid.number >= 0
    row[laid.number[inner]] = np.nonzero(inner)[0]
    often = Counter(zip(row.tolist(), laid.text, strict=True))
    names = ("again in its block", "only here")
    table = {kind: dict.fromkeys(names, Tally(0, 0)) for kind in KINDS}
    for word in np.flatnonzero(laid.whole & (times > 0)):
        text = laid.text[word]
        where = names[often[int(row[word]), text] == 1]
        some = table[kind_of(text, entity)]
        some[where] = Tally(some[where].right + int(right[word]),
                            some[where].total + int(times[word]))  # fmt: skip
    return table


def accuracy_by_pieces(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    blocks: np.ndarray,
    *,
    most: int = 3,
    rate: float = 0.15,
    draws: int = 1,
) -> dict[str, Tally]:
    """How many whole hidden words are guessed, by how many pieces they have.

    The last group holds words of ``most`` pieces or more; all groups are there.
    """
    laid, right, times = _words_guessed(model, tokenizer, blocks, rate=rate, draws=draws)
    sizes = np.minimum(laid.pieces, most)
    names = {1: "1 piece"} | {n: f"{n} pieces" for n in range(2, most)} | {most: f"{most} or more"}
    some = {n: laid.whole & (sizes == n) for n in names}
    return {
        name: Tally(int(right[some[n]].sum()), int(times[some[n]].sum()))
        for n, name in names.items()
    }


def _words_guessed(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    blocks: np.ndarray,
    *,
    rate: float,
    draws: int,
) -> tuple[Spans, np.ndarray, np.ndarray]:
    """The words, how often each was guessed with all its pieces, and how often it was hidden."""
    laid = spans(blocks, tokenizer)
    right = np.zeros(len(laid.text), int)
    times = np.zeros(len(laid.text), int)
    for draw in range(draws):
        found = guesses(
            model, tokenizer, blocks, Masking("word", rate, False), seed=EVALUATION_SEED + draw
        )
        number = laid.number[found.block, found.place]
        hits = np.bincount(number, weights=found.right, minlength=len(right))
        hidden = np.bincount(number, minlength=len(right)) > 0
        times += hidden
        right += hidden & (hits == laid.pieces)
    return laid, right, times


def _band(count: int, edges: Sequence[int]) -> int:
    """0 for words that never occur, then 1 for those up to the first edge, and so on."""
    return 0 if count == 0 else 1 + int(np.searchsorted(edges, count))


def by_kind(table: Mapping[str, Mapping[str, Tally]]) -> dict[str, Tally]:
    """The tallies of ``accuracy_by_band`` summed over the bands."""
    return {
        kind: Tally(sum(t.right for t in row.values()), sum(t.total for t in row.values()))
        for kind, row in table.items()
    }


class Siblings(NamedTuple):
    """Guesses of single pieces of words of several pieces, the same M twice.

    Attributes:
        hidden: with the other pieces of the word hidden, too.
        seen: with them in sight, and all else as before.
        first: bool (M,), whether the piece begins its word.
    """

    hidden: Guesses
    seen: Guesses
    first: np.ndarray


def siblings(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    blocks: np.ndarray,
    *,
    draws: int = 1,
    batch: int = 64,
    seed: int = EVALUATION_SEED,
) -> Siblings:
    """What the other pieces of a word betray of one of them.

    Words are hidden whole. In each block one hidden word of several pieces is drawn, and one piece
    of it, which is guessed: first as it is, then with its siblings put back. Nothing else in the
    block changes.

    Raises:
        ValueError: no word of several pieces was hidden.
    """
    pieces = PieceTable.of(tokenizer)
    parts: list[tuple[Guesses, Guesses]] = []
    for draw in range(draws):
        for start in range(0, len(blocks), batch):
            some = blocks[start : start + batch]
            ids, laid = _on(model, some), spans(some, tokenizer)
            generator = generator_for(seed + draw, start)
            inputs, labels = mask(ids, WHOLE_WORDS, pieces.to(model.device), generator=generator)
            chance = np.random.default_rng([seed + draw, start]).random(laid.number.shape)
            fits = (laid.pieces > 1) & laid.whole
            chance[(labels == IGNORED).cpu().numpy() | ~fits[laid.number]] = -1.0
            place = chance.argmax(1)  # one piece for each block, if it has any
            rows = np.flatnonzero(chance.max(1) >= 0)
            if not len(rows):
                continue
            asked = np.zeros(chance.shape, bool)
            asked[rows, place[rows]] = True
            word = laid.number[rows, place[rows]]
            back = np.zeros(chance.shape, bool)
            back[rows] = (laid.number[rows] == word[:, None]) & ~asked[rows]
            only = labels.masked_fill(~torch.from_numpy(asked).to(ids.device), IGNORED)
            in_sight = torch.where(torch.from_numpy(back).to(ids.device), ids, inputs)
            both = (inputs, in_sight)
            parts.append(tuple(_asked(model, seen, only, first=start) for seen in both))
    if not parts:
        raise ValueError("no word of several pieces was hidden: give more blocks")
    hidden, seen = (_joined([part[side] for part in parts]) for side in (0, 1))
    return Siblings(hidden, seen, ~pieces.continues.numpy()[hidden.answer])


# -- rows of the embedding -----------------------------------------------------------------------


class Drift(NamedTuple):
    """How rows have moved, each (rows,): cosine to where they were, norms, distance over norm."""

    cosine: np.ndarray
    before: np.ndarray
    after: np.ndarray
    moved: np.ndarray


def embeddings(model: PreTrainedModel) -> torch.Tensor:
    """The table of the pieces, float32 (V, H), a copy on the CPU."""
    return model.get_input_embeddings().weight.detach().float().cpu().clone()


def drift(
    before: torch.Tensor, after: torch.Tensor, rows: Mapping[str, Sequence[int]]
) -> dict[str, Drift]:
    """How far groups of rows have moved from one table (V, H) to another of the same vocabulary.

    Args:
        rows: name → ids, such as the new and the shared pieces of a plan.

    Raises:
        ValueError: the tables differ in shape, or a group is empty.
    """
    if before.shape != after.shape:
        raise ValueError(f"tables {tuple(before.shape)} and {tuple(after.shape)}: not the same")
    found = {}
    for name, ids in rows.items():
        if not len(ids):
            raise ValueError(f"group {name!r} has no rows")
        was, now = before[list(ids)].double(), after[list(ids)].double()
        norm = was.norm(dim=1)
        found[name] = Drift(
            torch.nn.functional.cosine_similarity(was, now).numpy(),
            norm.numpy(),
            now.norm(dim=1).numpy(),
            ((now - was).norm(dim=1) / norm.clamp(min=1e-12)).numpy(),
        )
    return found


# -- gaps ----------------------------------------------------------------------------------------


class Gap(NamedTuple):
    """A sentence with one ``[MASK]`` in place of a word, and the word."""

    text: str
    answer: str


class Filled(NamedTuple):
    """What a model makes of a gap: its best guesses with their probabilities, and the answer's."""

    best: list[tuple[str, float]]
    answer: float


def gaps(sentences: Iterable[str], wanted: Iterable[str], *, longest: int = 160) -> list[Gap]:
    """For each wanted word its first sentence that holds it once, with a gap in its place.

    A sentence serves one word, so that none is met twice.

    Args:
        longest: characters of a sentence, at most.
    """
    left = {word: re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.I) for word in wanted}
    found = {}
    order = list(left)
    for sentence in sentences:
        if len(sentence) > longest:
            continue
        word = next((w for w, form in left.items() if len(form.findall(sentence)) == 1), None)
        if word is not None:
            found[word] = Gap(left.pop(word).sub("[MASK]", sentence), word)
        if not left:
            break
    return [found[word] for word in order if word in found]


@torch.no_grad()
def fill_mask(
    models: Mapping[str, Pair], gaps: Sequence[Gap], *, n: int = 3
) -> list[dict[str, Filled]]:
    """Best guesses of several versions for the same gaps, and what each gives to the answer.

    A gap gets as many ``[MASK]`` as the answer has pieces in the model's own vocabulary. Each is
    guessed alone, so the probability of a word is the product over its pieces; with several pieces
    only the first guess of each is shown, joined.

    Args:
        models: name → (model, tokenizer); the vocabularies may differ.
        gaps: sentences with one ``[MASK]`` each.
        n: guesses that are shown.

    Raises:
        ValueError: a sentence has not exactly one ``[MASK]``.
    """
    found: list[dict[str, Filled]] = []
    for text, answer in gaps:
        if text.count("[MASK]") != 1:
            raise ValueError(f"{text!r} has {text.count('[MASK]')} [MASK], it needs one")
        row = {}
        for name, (model, tokenizer) in models.items():
            ids = tokenizer(answer, add_special_tokens=False)["input_ids"]
            masks = " ".join([tokenizer.mask_token] * len(ids))
            encoded = tokenizer(text.replace("[MASK]", masks), return_tensors="pt")
            encoded = {key: value.to(model.device) for key, value in encoded.items()}
            places = encoded["input_ids"][0] == tokenizer.mask_token_id
            was_training = model.training
            model.eval()
            chances = model(**encoded).logits[0, places].float().softmax(-1)  # (pieces, V)
            model.train(was_training)
            own = chances[torch.arange(len(ids)), torch.tensor(ids, device=chances.device)]
            top = chances.topk(n if len(ids) == 1 else 1)
            if len(ids) == 1:
                pieces = tokenizer.convert_ids_to_tokens(top.indices[0].tolist())
                best = list(zip(pieces, top.values[0].tolist(), strict=True))
            else:
                pieces = tokenizer.convert_ids_to_tokens(top.indices[:, 0].tolist())
                best = [(" ".join(pieces), top.values.prod().item())]
            row[name] = Filled(best, own.prod().item())
        found.append(row)
    return found


# -- training and task ---------------------------------------------------------------------------


def curve(folder: str | Path) -> dict[str, list[float]]:
    """The log of a training folder as columns: step, tokens, loss, grad_norm, learning_rate.

    Raises:
        FileNotFoundError: the folder has no ``log.jsonl``.
    """
    rows = [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]
    names = ("step", "tokens", "loss", "grad_norm", "learning_rate")
    return {name: [row[name] for row in rows] for name in names}


def ner_probe(
    models: Mapping[str, str | Path | Pair],
    splits: Mapping[str, Sequence[Sentence]],
    *,
    settings: NerSettings,
    seeds: int = 2,
    sentences: int = 0,
    device: str | None = None,
) -> dict[str, list[float]]:
    """Test F1 in per cent of quick fine-tunings, one number per seed, the same seeds for all.

    Args:
        models: name → folder or (model, tokenizer); none is changed.
        settings: of each fine-tuning; its seed is the first.
        seeds: fine-tunings of each model.
        sentences: of train that are used; 0 for all.
    """
    from bioptimus_lib.ner import fine_tune

    few = {**splits, "train": splits["train"][: sentences or None]}
    return {
        name: [
            fine_tune(
                model, few, settings=replace(settings, seed=settings.seed + n), device=device
            ).metrics["f1"]
            for n in range(seeds)
        ]
        for name, model in models.items()
    }
