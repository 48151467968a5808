"""Sentences with a gap, and what a model puts into it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    Pair = tuple[PreTrainedModel, PreTrainedTokenizerBase]


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
