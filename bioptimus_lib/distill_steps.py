"""The parts of the distillation laid open for a lesson: read once, then make and measure rows.

``distill`` goes from contexts to a model in one call. Here what was read is kept, so that every
strategy can be tried on the same reading, and so that single contexts can be told apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import normalize

from bioptimus_lib.calibration import token_recovery
from bioptimus_lib.crops import Request, Span
from bioptimus_lib.masking import Masking, PieceTable, generator_for, mask
from bioptimus_lib.models import input_table
from bioptimus_lib.occurrences import read_states
from bioptimus_lib.pretrain import masked_logits
from bioptimus_lib.strategies import HELD_OUT, Evidence, Known, Strategy
from bioptimus_lib.token_distillation import TokenDistillation, distil_rows

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bioptimus_lib.vocab import VocabularyPlan
    from bioptimus_lib.wanted import Wanted


def evidence_of(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    wanted: Wanted,
    *,
    layers: Iterable[int],
    precision: str = "auto",
) -> Evidence:
    """What the model says of the wanted tokens at some layers, in one pass over their contexts."""
    states = read_states(
        model, tokenizer, wanted.requests, slots=len(wanted.ids), layers=tuple(layers),
        precision=precision,
    )  # fmt: skip
    return Evidence.of(wanted, states, _table(model))


def each_context(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    contexts: Mapping[str, Sequence[str]],
    *,
    layer: int,
    known: bool = False,
    precision: str = "auto",
) -> torch.Tensor:
    """The mean over the pieces of a word, f, for every word and every one of its contexts.

    Args:
        contexts: word → sentences that hold it, as many for every word.
        layer: to read.
        known: the words are tokens of the vocabulary; cut them as if they were not.

    Returns:
        float (words, contexts, H), words in the order of the mapping.

    Raises:
        ValueError: the words have different numbers of contexts, or a sentence lacks its word.
    """
    sizes = {len(sentences) for sentences in contexts.values()}
    if len(sizes) != 1:
        raise ValueError(f"words with {sorted(sizes)} contexts: give each the same number")
    size, ids = sizes.pop(), tokenizer.get_vocab()
    requests: dict[str, list[Request]] = defaultdict(list)
    for number, (word, sentences) in enumerate(contexts.items()):
        off = ids[word] if known else None
        for place, sentence in enumerate(sentences):
            span = Span(number * size + place, 0, len(word))
            requests[sentence].append(Request(word, (span,), off))
    states = read_states(
        model, tokenizer, requests, slots=len(contexts) * size, layers=[layer],
        precision=precision,
    )  # fmt: skip
    if (states.count != 1).any():
        lost = list(contexts)[int((states.count != 1).nonzero()[0, 0]) // size]
        raise ValueError(f"a context of {lost!r} does not hold it, or is given twice")
    return states.mean[:, 0].reshape(len(contexts), size, -1)


def noise(states: torch.Tensor) -> tuple[float, float]:
    """Variance of f between words, and within a word from context to context, per dimension.

    Args:
        states: float (words, contexts, H), at least two contexts.

    Returns:
        (between, within), unbiased: chance differences of the means are taken off ``between``.
    """
    size = states.shape[1]
    within = states.var(1).mean().item()
    between = states.mean(1).var(0).mean().item() - within / size
    return max(between, 0.0), within


def recoveries(
    recipe: Strategy,
    known: Known,
    table: torch.Tensor,
    *,
    splits: int = 5,
    centred: bool = False,
) -> list[dict[str, float]]:
    """Token recovery of known whole words under a strategy, one result per random split.

    Args:
        recipe: one of ``STRATEGIES`` that needs nothing but evidence.
        known: at the layers that are to be used.
        table: float (V, H), the old embeddings.
        centred: take from the distilled rows their mean and from the table its own, so that the
            direction that all share plays no part.
    """
    found = []
    for seed in range(splits):
        order = torch.randperm(len(known.ids), generator=torch.Generator().manual_seed(seed))
        cut = round(HELD_OUT * len(order))
        test, fit = known[order[:cut]], known[order[cut:]]
        test = test[~test.evidence.inside]
        rows = recipe.rows(test.evidence, fit, table, torch.Generator().manual_seed(seed)).float()
        if centred:
            found.append(token_recovery(rows - rows.mean(0), test.ids, table - table.mean(0)))
        else:
            found.append(token_recovery(rows, test.ids, table))
    return found


def imitation_error(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    wanted: Wanted,
    rows: torch.Tensor,
) -> float:
    """How far the model's states with the rows in place are from those with the old pieces.

    It is the loss of token distillation before any step of it: the squared difference over the
    variance of the states, at all other places of the sentence, plus the same at the word's own.
    """
    # A rate this small is none: one pass through the loss and nothing learned.
    settings = TokenDistillation(passes=1, learning_rate=1e-12)
    report = distil_rows(model, tokenizer, wanted, rows, settings=settings, precision="auto")[2]
    loss: float = report["loss"]
    return loss


def alike(rows: torch.Tensor) -> float:
    """Mean cosine over all pairs of different rows (N, H).

    >>> alike(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    0.0
    """
    whole, count = normalize(rows.double(), dim=1).sum(0), len(rows)
    return ((whole @ whole).item() - count) / (count * (count - 1))


def principal(rows: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Rows (N, H) in the plane in which they differ most, (N, 2), and its share of the variance.

    The sign of an axis is chosen so that its largest coordinate is positive: the same rows give the
    same picture on every machine.
    """
    left, size, _ = torch.linalg.svd((rows - rows.mean(0)).double(), full_matrices=False)
    points = left[:, :2] * size[:2]
    largest = points.gather(0, points.abs().argmax(0, keepdim=True))
    share = (size[:2].square().sum() / size.square().sum()).item()
    return points * largest.sign(), share


def purity(rows: torch.Tensor, classes: Sequence[str], *, k: int = 5) -> float:
    """Share of the k nearest neighbours (cosine, common mean taken off) of a token's own class.

    >>> rows = torch.tensor([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0], [-1.0, 0.1]])
    >>> purity(rows, ["drug", "drug", "gene", "gene"], k=1)
    1.0
    """
    unit = normalize((rows - rows.mean(0)).float(), dim=1)
    cosine = unit @ unit.T
    cosine.fill_diagonal_(-2)
    index = {name: number for number, name in enumerate(dict.fromkeys(classes))}
    labels = torch.tensor([index[name] for name in classes])
    near = cosine.topk(min(k, len(rows) - 1)).indices
    return (labels[near] == labels[:, None]).float().mean().item()


def chance_purity(classes: Sequence[str]) -> float:
    """What ``purity`` is, on average, for rows that know nothing of the classes.

    >>> chance_purity(["drug", "drug", "gene", "gene"])
    0.3333333333333333
    """
    count, sizes = len(classes), [classes.count(name) for name in set(classes)]
    return sum(size * (size - 1) for size in sizes) / (count * (count - 1))


def semantic_classes(pieces: Iterable[str], lexicons: Sequence[str]) -> dict[str, str]:
    """Pieces that are a term of exactly one of the pocket lexicons → that lexicon's name."""
    from bioptimus_lib.pocket import lexicon

    owners: dict[str, set[str]] = defaultdict(set)
    for name in lexicons:
        for term in lexicon(name):
            owners[term.lower()].add(name)
    wanted = (piece for piece in pieces if len(owners.get(piece, ())) == 1)
    return {piece: next(iter(owners[piece])) for piece in wanted}


def put_rows(model: PreTrainedModel, plan: VocabularyPlan, rows: torch.Tensor) -> None:
    """Write rows (new tokens, H) over those of the plan's new tokens, in place; all else stays."""
    with torch.no_grad():
        table = input_table(model)
        table[torch.tensor(plan.new, device=table.device)] = rows.to(table)


def chance_of_new(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    blocks: np.ndarray,
    plan: VocabularyPlan,
    masking: Masking,
    *,
    seed: int = 0,
) -> tuple[float, float]:
    """How much probability the guesses give to the plan's new tokens, and how often they are right.

    Args:
        blocks: packed text (N, T) in the new vocabulary; one batch is made of it.

    Returns:
        (mean probability of all new tokens together, share of hidden tokens that are new).
    """
    logits, fresh, answers = _guesses(model, tokenizer, blocks, plan, masking, seed)
    return _given(logits, fresh, 0.0), fresh[answers].float().mean().item()


def shift_of_new(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    blocks: np.ndarray,
    plan: VocabularyPlan,
    masking: Masking,
    *,
    seed: int = 0,
) -> float:
    """What to add to all biases of new tokens, so that they get their share of the probability.

    The share is that of new tokens among the hidden ones, so give text that no result is measured
    on. The probability rises with the shift: it is found by halving.
    """
    logits, fresh, answers = _guesses(model, tokenizer, blocks, plan, masking, seed)
    share = fresh[answers].float().mean().item()
    low, high = -1000.0, 1000.0
    while high - low > 0.01:
        middle = (low + high) / 2
        if _given(logits, fresh, middle) < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2


@torch.no_grad()
def _guesses(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    blocks: np.ndarray,
    plan: VocabularyPlan,
    masking: Masking,
    seed: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits (M, V) at the hidden places of a text, which tokens are new (V,), the answers (M,)."""
    device = model.device
    ids = torch.from_numpy(blocks.astype("int64")).to(device)
    pieces = PieceTable.of(tokenizer).to(device)
    inputs, labels = mask(ids, masking, pieces, generator=generator_for(seed))
    logits, answers = masked_logits(model.eval(), inputs, labels)
    fresh = torch.zeros(logits.shape[1], dtype=torch.bool, device=device)
    fresh[list(plan.new)] = True
    return logits.float(), fresh, answers


def _given(logits: torch.Tensor, fresh: torch.Tensor, shift: float) -> float:
    """Mean probability of the new tokens when their logits are shifted."""
    new = logits[:, fresh].logsumexp(1) + shift
    return (new - logits[:, ~fresh].logsumexp(1)).sigmoid().mean().item()


def _table(model: PreTrainedModel) -> torch.Tensor:
    return input_table(model).detach().float().cpu()
