"""The loss of a student beside its teacher: both look at one masked batch, and are compared.

What is looked at is only what the objective reads: answers at the masked positions, hidden states,
attention maps.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch

from bioptimus_lib import distil_terms
from bioptimus_lib.early_exit import attended, recorded
from bioptimus_lib.masked_loss import masked_logits
from bioptimus_lib.objectives import Objective, Term

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


class View(NamedTuple):
    """What one model shows of a batch.

    ``logits`` (M, V) at the masked positions; ``states``, the embeddings' output and that of each
    layer, (B, T, H); ``maps``, attention probabilities of each layer, (B, A, T, T). A list is empty
    where the objective does not read it, a map None where no term does.
    """

    logits: torch.Tensor
    states: list[torch.Tensor]
    maps: list[torch.Tensor | None]


def look(
    model: PreTrainedModel,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    *,
    objective: Objective,
    maps: Collection[int] | None = None,
) -> tuple[View, torch.Tensor]:
    """What a model shows of inputs and labels (B, T), and the true pieces, int64 (M,).

    Args:
        model: in whatever mode it is; alone or as ``torchrun`` wraps it.
        inputs: ids with masks.
        labels: true ids where something is masked, ``IGNORED`` elsewhere.
        objective: says what to look at.
        maps: layers whose attention maps are kept, counted from 0; all by default.

    Raises:
        ValueError: it reads attention maps, and the model does not attend by ``eager``.
    """
    inner = getattr(model, "module", model)
    with ExitStack() as stack:
        states = stack.enter_context(recorded(inner)) if objective.reads("states") else []
        seen = stack.enter_context(attended(inner, maps)) if objective.reads("maps") else []
        logits, target = masked_logits(model, inputs, labels)
    return View(logits, states, seen), target


def values(
    objective: Objective,
    student: View,
    teacher: View | None,
    target: torch.Tensor,
    *,
    layer_map: Sequence[int] = (),
    projections: torch.nn.ModuleDict | None = None,
) -> dict[str, torch.Tensor]:
    """The value of each term, without its weight, layers summed; the loss is ``total`` of them.

    Args:
        objective: its terms are functions of ``distil_terms``.
        student: from ``look``.
        teacher: from ``look``, made without gradients; None for an objective without a teacher.
        target: true pieces, int64 (M,).
        layer_map: for each layer of the student the teacher's, both counted from 0.
        projections: from ``make_projections``.
    """
    found: dict[str, torch.Tensor] = {}
    for term in objective.terms:
        compare = getattr(distil_terms, term.kind)
        if term.kind == "masked_lm":
            found[term.kind] = compare(student.logits, target)
        elif teacher is None:
            raise ValueError(f"{term.kind} compares with a teacher, and there is none")
        elif term.kind == "soft_targets":
            found[term.kind] = compare(
                student.logits, teacher.logits, temperature=term.temperature, squared=term.squared
            )
        elif term.reads == "logits":
            found[term.kind] = compare(
                student.logits, teacher.logits, temperature=term.temperature
            )
        else:
            extra = {"per": term.per} if term.kind == "attention_kl" else {}
            sides = _sides(term, student, teacher, layer_map, projections)
            found[term.kind] = torch.stack([compare(*both, **extra) for both in sides]).sum()
    return found


def total(
    objective: Objective, found: dict[str, torch.Tensor], *, share: float | torch.Tensor = 1.0
) -> torch.Tensor:
    """The weighted sum of the terms' values.

    ``share`` is a factor for the terms that are means over masked pieces: where a batch is a part
    of a step, what share of the step's masked pieces it has, relative to an even one.
    """
    first, *others = (
        term.weight * found[term.kind] * (share if term.reads == "logits" else 1.0)
        for term in objective.terms
    )
    return sum(others, start=first)


def make_projections(
    objective: Objective,
    student: PreTrainedConfig,
    teacher: PreTrainedConfig,
    *,
    layer_map: Sequence[int],
    seed: int = 0,
) -> torch.nn.ModuleDict:
    """The linear maps from the student's width to the teacher's, for the terms that ask for them:
    name of the term → one that all pairs share, or one for each. Random, by a seed of their own."""
    made = torch.nn.ModuleDict()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for term in objective.terms:
            if term.projection != "none":
                pairs = pairs_of(term, student, teacher, layer_map)
                number = 1 if term.projection == "shared" else len(pairs)
                made[term.kind] = torch.nn.ModuleList(
                    torch.nn.Linear(student.hidden_size, teacher.hidden_size)
                    for _ in range(number)
                )
    return made


def pairs_of(
    term: Term,
    student: PreTrainedConfig,
    teacher: PreTrainedConfig,
    layer_map: Sequence[int],
) -> list[tuple[int, int]]:
    """The layers of two models that a term compares; see ``Term.pairs``."""
    return term.pairs(
        layer_map, student=student.num_hidden_layers, teacher=teacher.num_hidden_layers
    )


def check(
    objective: Objective,
    student: PreTrainedConfig,
    teacher: PreTrainedConfig,
    *,
    layer_map: Sequence[int] = (),
) -> None:
    """See that two models can be compared as an objective wants it.

    Raises:
        ValueError: a map that is not of as many layers as the student, or names one that the
            teacher lacks; widths that differ without a projection; numbers of heads that differ.
    """
    from bioptimus_lib.recipes import check_layers

    if objective.maps_layers:
        check_layers(layer_map, teacher.num_hidden_layers, "layer map")
        if len(layer_map) != student.num_hidden_layers:
            raise ValueError(
                f"layer map {','.join(map(str, layer_map))}: the student has "
                f"{student.num_hidden_layers} layers, each needs one of the teacher's"
            )
    for term in objective.terms:
        for reads, name in (("states", "hidden_size"), ("maps", "num_attention_heads")):
            ours, theirs = getattr(student, name), getattr(teacher, name)
            if term.reads == reads and term.projection == "none" and ours != theirs:
                raise ValueError(
                    f"{term.kind} cannot compare a student of {name} {ours} with a teacher of "
                    f"{theirs}" + ("; give the term a projection" if reads == "states" else "")
                )


def _sides(
    term: Term,
    student: View,
    teacher: View,
    layer_map: Sequence[int],
    projections: torch.nn.ModuleDict | None,
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """What a term compares: student's and teacher's tensor of each pair of layers."""
    if term.reads == "maps":
        pairs = term.pairs(layer_map, student=len(student.maps), teacher=len(teacher.maps))
        maps = [(student.maps[ours], teacher.maps[theirs]) for ours, theirs in pairs]
        return cast("list[tuple[torch.Tensor, torch.Tensor]]", maps)  # these have been kept
    depths = {"student": len(student.states) - 1, "teacher": len(teacher.states) - 1}
    pairs = term.pairs(layer_map, **depths)  # states begin with those of the embeddings
    sides = [(student.states[ours + 1], teacher.states[theirs + 1]) for ours, theirs in pairs]
    if term.projection == "none":
        return sides
    if projections is None:
        raise ValueError(f"{term.kind} needs projections: see make_projections")
    linear: Any = projections[term.kind]
    return [
        (linear[number % len(linear)](ours.to(linear[0].weight.dtype)), theirs)
        for number, (ours, theirs) in enumerate(sides)
    ]
