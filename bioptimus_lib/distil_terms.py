"""What a student can be asked to have in common with its teacher, one function for each question.

Each is a pure function of tensors: the student's side first, the teacher's second, a number out,
a mean over what it compares, so that it does not grow with the batch. The teacher's side is never
given a gradient here: whoever makes it does so without one. Halves are widened to 32 bits.

Shapes: M masked positions, V vocabulary, B batch, T positions, H hidden units, A heads.
"""

from __future__ import annotations

import torch
from torch.nn import functional

#: Below this a probability counts as this in a logarithm: dropout makes zeros of attention.
SMALLEST = 1e-12


def masked_lm(student: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross-entropy with the true piece, nats per masked piece (Devlin et al., 2019, section 3.1).

    Args:
        student: logits (M, V).
        target: ids of the true pieces, int64 (M,).
    """
    return functional.cross_entropy(_wide(student), target, reduction="sum") / _count(target)


def soft_targets(
    student: torch.Tensor,
    teacher: torch.Tensor,
    *,
    temperature: float = 1.0,
    squared: bool = True,
) -> torch.Tensor:
    """KL(teacher ‖ student) of the softened answers, nats per masked piece, times T².

    Dividing logits by a temperature shrinks the gradient by 1/T²; the factor makes up for it, so
    that the weight of the term need not change with T (Hinton et al., 2015, section 2).

    Args:
        student: logits (M, V).
        teacher: logits (M, V).
        temperature: T; above 1 the small probabilities count for more.
        squared: ``False`` leaves out the factor T².

    >>> same = torch.tensor([[1.0, 2.0]])
    >>> soft_targets(same, same, temperature=2.0).item()
    0.0
    """
    ours, theirs = _softened(student, teacher, temperature)
    each = (theirs.exp() * (theirs - ours)).sum(-1)
    return each.sum() / _count(each) * (temperature**2 if squared else 1.0)


def soft_cross_entropy(
    student: torch.Tensor, teacher: torch.Tensor, *, temperature: float = 1.0
) -> torch.Tensor:
    """Cross-entropy with the teacher's softened answer, nats per masked piece (Jiao et al., 2020,
    section 3, prediction layer). It is ``soft_targets`` without T² plus the teacher's own entropy,
    which no student can change: the gradients are equal, the values are not.

    Args:
        student: logits (M, V).
        teacher: logits (M, V).
        temperature: T.
    """
    ours, theirs = _softened(student, teacher, temperature)
    each = -(theirs.exp() * ours).sum(-1)
    return each.sum() / _count(each)


def hidden_cosine(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """1 − cosine of the hidden states, mean over the positions, from 0 to 2: directions are to
    agree, lengths need not (Sanh et al., 2019, section 2).

    Args:
        student: (B, T, H).
        teacher: (B, T, H).
    """
    return (1 - functional.cosine_similarity(_wide(student), _wide(teacher), dim=-1)).mean()


def hidden_mse(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Squared error of the hidden states, mean over positions and units (Jiao et al., 2020,
    section 3); a narrower student is projected to H before.

    Args:
        student: (B, T, H).
        teacher: (B, T, H).
    """
    return (_wide(student) - _wide(teacher)).square().mean()


def attention_kl(
    student: torch.Tensor, teacher: torch.Tensor, *, per: str = "row"
) -> torch.Tensor:
    """KL(teacher ‖ student) of where each position looks, nats.

    A row of an attention map is a distribution over the T keys; ``per="row"`` is the mean over the
    B × A × T rows. ``per="element"`` divides by the keys too, as the scripts of Rohanian et al.
    (2022) do: the term is then T times as small, and with T = 256 next to nothing beside the rest.

    Args:
        student: attention probabilities (B, A, T, T).
        teacher: the same, of as many heads.
        per: what the sum is divided by the number of.

    Raises:
        ValueError: another number of heads, or an unknown ``per``.
    """
    if per not in ("row", "element"):
        raise ValueError(f"per {per!r} is unknown: choose row or element")
    ours, theirs = _maps(student, teacher)
    each = theirs * (theirs.clamp(min=SMALLEST).log() - ours.clamp(min=SMALLEST).log())
    return each.sum(-1).mean() if per == "row" else each.mean()


def attention_mse(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Squared error of the attention probabilities, mean over all elements.

    TinyBERT is reported to compare the scores before the softmax (Jiao et al., 2020, section 3).
    Transformers gives out the probabilities, for every architecture: we compare these.

    Args:
        student: attention probabilities (B, A, T, T).
        teacher: the same, of as many heads.

    Raises:
        ValueError: another number of heads.
    """
    ours, theirs = _maps(student, teacher)
    return (ours - theirs).square().mean()


# -- details ---------------------------------------------------------------------------------------


def _wide(values: torch.Tensor) -> torch.Tensor:
    return values if values.dtype in (torch.float32, torch.float64) else values.float()


def _count(values: torch.Tensor) -> int:
    """How many there are, 1 at least: a batch in which nothing is masked has the loss 0."""
    return max(1, values.numel())


def _softened(
    student: torch.Tensor, teacher: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities of both sides, (M, V)."""
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}, it must be above 0")
    ours, theirs = (_wide(logits) / temperature for logits in (student, teacher))
    return ours.log_softmax(-1), theirs.log_softmax(-1)


def _maps(student: torch.Tensor, teacher: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    if student.shape != teacher.shape:
        raise ValueError(
            f"attention maps of shapes {tuple(student.shape)} and {tuple(teacher.shape)}: student "
            "and teacher must have equal numbers of heads, and read the same positions"
        )
    return _wide(student), _wide(teacher)
