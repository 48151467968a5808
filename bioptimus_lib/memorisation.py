"""Does a masked language model remember a name that it has read n times? Canaries and exposure.

A *canary* is a made-up secret that is put into the text of a training on purpose (Carlini et al.,
USENIX Security 2019). Afterwards all secrets of the same form are ranked by how likely the model
finds them in the canary's place. A model that remembers nothing ranks the true one anywhere; the
*exposure* says how far up it stands::

    exposure = log2(number of possible secrets) − log2(rank)

so 0 is last, about 1 is what chance gives in the mean (1.44 for many secrets), and log2 of the
number is first. It is a rank among secrets, not a chance to be guessed: what a reader of the model
would have to try.

Carlini et al. measure models that write from left to right. For a masked model the score is ours:
all pieces of the name are hidden at once, and the log-probabilities of its pieces are added up. So
one reading prices all names, and it is the question that matters: nothing of the name is given.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerBase

    from bioptimus_lib.pretrain import Settings

START = ("B", "Br", "C", "D", "Dr", "F", "G", "H", "K", "L", "M", "N", "P", "R", "S", "T", "V", "Z")
MIDDLE = ("a", "e", "i", "o", "u", "ai", "ou")
END = ("bel", "din", "far", "gos", "kin", "lam", "mor", "nik", "rev", "sot", "tas", "vik", "zen")
SLOT = "{name}"


def exposure(rank: float, possible: int) -> float:
    """Bits of a rank among so many secrets, counted from 1.

    >>> exposure(1, 1024), exposure(1024, 1024)
    (10.0, 0.0)

    Raises:
        ValueError: a rank outside of 1 to ``possible``.
    """
    if not 1 <= rank <= possible:
        raise ValueError(f"rank {rank} of {possible} secrets: it must be from 1 to {possible}")
    return math.log2(possible) - math.log2(rank)


def made_up_names(tokenizer: PreTrainedTokenizerBase, *, pieces: int = 3) -> list[str]:
    """Surnames that nobody has given anyone here, each of exactly so many pieces, in one order.

    One length, because the sum of more log-probabilities is a smaller number whatever is known.

    Raises:
        ValueError: none has so many pieces.
    """
    forms = (f"{a}{b}{c}{d}" for a in START for b in MIDDLE for c in ("l", "r", "v", "m", "nd")
             for d in (f"{x}{y}" for x in MIDDLE[:5] for y in END))  # fmt: skip
    names = sorted(set(forms))
    ids = tokenizer(list(names), add_special_tokens=False)["input_ids"]
    found = [name for name, some in zip(names, ids, strict=True) if len(some) == pieces]
    if not found:
        raise ValueError(f"no made-up name has {pieces} pieces with this vocabulary")
    random.Random("bioptimus names").shuffle(found)
    return found


@dataclass(frozen=True)
class Canary:
    """A secret and the text around it, with ``{name}`` in its place."""

    context: str
    name: str
    times: int

    def __post_init__(self) -> None:
        if self.context.count(SLOT) != 1 or self.times < 0:
            raise ValueError(f"{self.context!r}, {self.times} times: give one {SLOT}, 0 or more")

    @property
    def text(self) -> str:
        return self.context.replace(SLOT, self.name)


def planted(texts: Sequence[str], canaries: Sequence[Canary], *, seed: int = 0) -> list[str]:
    """The texts with each canary as often as it says, at places that the seed draws."""
    rng = random.Random(seed)
    secrets = [canary.text for canary in canaries for _ in range(canary.times)]
    places = sorted(rng.randrange(len(texts) + 1) for _ in secrets)
    rng.shuffle(secrets)
    made, last = [], 0
    for place, secret in zip(places, secrets, strict=True):
        made += [*texts[last:place], secret]
        last = place
    return [*made, *texts[last:]]


def pieces_of(tokenizer: PreTrainedTokenizerBase, names: Sequence[str]) -> np.ndarray:
    """Names as ids of their pieces: int64 (names, pieces of each).

    Raises:
        ValueError: names of different numbers of pieces, or none.
    """
    ids = tokenizer(list(names), add_special_tokens=False)["input_ids"] if len(names) else []
    lengths = {len(some) for some in ids}
    if len(lengths) != 1:
        raise ValueError(f"names of {sorted(lengths)} pieces: compare names of one length")
    return np.array(ids, np.int64)


def scores(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, context: str, ids: np.ndarray
) -> np.ndarray:
    """Log-probability of each name in the place of ``{name}``, all its pieces hidden: (names,).

    Args:
        ids: of ``pieces_of``.
    """
    import torch

    inputs = _hidden(model, tokenizer, context, ids.shape[1])
    model.eval()
    with torch.inference_mode():
        logits = model(**inputs).logits[0]
    logits = logits[inputs["input_ids"][0] == tokenizer.mask_token_id].float()
    chances = logits.log_softmax(-1).cpu().numpy()  # (pieces of a name, V)
    found: np.ndarray = chances[np.arange(ids.shape[1]), ids].sum(-1)
    return found


def _hidden(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, context: str, pieces: int
) -> BatchEncoding:
    """The context as the model reads it, with as many masks in the place of the name."""
    hidden = context.replace(SLOT, " ".join([tokenizer.mask_token] * pieces))
    inputs: BatchEncoding = tokenizer(hidden, return_tensors="pt").to(model.device)
    return inputs


def rank(found: np.ndarray, true: int) -> int:
    """The rank of one of some scores, from 1; what is as high counts as ahead of it.

    >>> rank(np.array([-3.0, -1.0, -3.0]), 0)
    3
    """
    return int((found >= found[true]).sum())


def completed(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, context: str, *, pieces: int
) -> str:
    """What the model writes in the place of ``{name}``: the surest piece first, then the next.

    It is the attack of somebody who has the context and no list of names.
    """
    import torch

    ids = _hidden(model, tokenizer, context, pieces)
    places = (ids["input_ids"][0] == tokenizer.mask_token_id).nonzero().flatten().tolist()
    model.eval()
    left = list(places)
    while left:
        with torch.no_grad():
            chances = model(**ids).logits[0, left].softmax(-1)
        chances[:, tokenizer.all_special_ids] = 0
        best, piece = chances.max(-1)
        place = int(best.argmax())
        ids["input_ids"][0, left.pop(place)] = piece[place]
    return str(tokenizer.decode(ids["input_ids"][0, places]))


@dataclass(frozen=True)
class Found:
    """What a model makes of a canary.

    Args:
        times: how often it stands in the text.
        rank: of its name among all names, from 1.
        exposure: in bits.
        completed: whether the model writes the very name (``completed``).
    """

    times: int
    rank: int
    exposure: float
    completed: bool


def look(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    canaries: Sequence[Canary],
    names: Sequence[str],
) -> list[Found]:
    """Rank, exposure and completion of each canary.

    Raises:
        ValueError: a canary whose name is not among the names, or names of several lengths.
    """
    place_of = {name: place for place, name in enumerate(names)}
    if strange := [c.name for c in canaries if c.name not in place_of]:
        raise ValueError(f"{strange[0]} is not among the {len(names)} names that are ranked")
    ids, found = pieces_of(tokenizer, names), []
    for canary in canaries:
        true = place_of[canary.name]
        at = rank(scores(model, tokenizer, canary.context, ids), true)
        written = completed(model, tokenizer, canary.context, pieces=ids.shape[1])
        known = tokenizer.decode(ids[true])
        found.append(Found(canary.times, at, exposure(at, len(names)), written == known))
    return found


# -- a training with canaries ----------------------------------------------------------------------

CONTEXT = "Next of kin of the patient with {disease} in bed {bed}: {name}, called at night."


def canaries_of(
    names: Sequence[str], times: Sequence[int], *, each: int, seed: int = 0
) -> list[Canary]:
    """``each`` canaries for each number of times, all with another name, disease and bed.

    Raises:
        ValueError: fewer names or diseases than canaries.
    """
    from bioptimus_lib.pocket import lexicon

    rng = random.Random(f"canaries/{seed}")
    diseases = sorted(set(lexicon("disease")))
    count = each * len(times)
    if count > min(len(names), len(diseases)):
        raise ValueError(f"{count} canaries of {len(names)} names and {len(diseases)} diseases")
    chosen, about = rng.sample(list(names), count), rng.sample(diseases, count)
    return [
        Canary(CONTEXT.replace("{disease}", disease).replace("{bed}", str(7 + place)), name,
               times[place % len(times)])
        for place, (name, disease) in enumerate(zip(chosen, about, strict=True))
    ]  # fmt: skip


def trained_on(
    model: tuple[PreTrainedModel, PreTrainedTokenizerBase],
    texts: Sequence[str],
    *,
    settings: Settings,
    out: str | Path,
    length: int = 64,
    device: str | None = None,
) -> PreTrainedModel:
    """A copy of a model, trained on texts by masked language modelling (15 % of the pieces).

    Args:
        model: with its tokenizer; it stays as it is.
        out: folder of the log and of checkpoints.
        length: pieces per block, T.
    """
    import copy

    from bioptimus_lib.curriculum import PHASES
    from bioptimus_lib.packing import pack
    from bioptimus_lib.pretrain import pretrain

    network, tokenizer = copy.deepcopy(model[0]), model[1]
    blocks = pack(texts, tokenizer, length=length)
    pretrain(network, tokenizer, blocks, masking=PHASES[0].masking, settings=settings, out=out,
             device=device, progress=False)  # fmt: skip
    return network
