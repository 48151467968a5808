"""A class of students for a lesson: one teacher, the same text for all, and what each term sees.

The teacher is the old model of a run after some steps on the run's own text, with its old
vocabulary, as BioBERT is BERT after PubMed. It is kept in the run. Students are copies in memory:
a lesson trains one and leaves nothing behind.
"""

from __future__ import annotations

import copy
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bioptimus_lib import distil_terms
from bioptimus_lib.compress import MASKING, Traps, trainer_of
from bioptimus_lib.distil_loss import View, look, make_projections, values
from bioptimus_lib.early_exit import attended, recorded
from bioptimus_lib.files import atomic_write, json_lines
from bioptimus_lib.masking import PieceTable, generator_for, mask
from bioptimus_lib.models import moved
from bioptimus_lib.objectives import Objective, Term
from bioptimus_lib.pretrain import pretrain
from bioptimus_lib.stages import packed, settings_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bioptimus_lib.pipeline import Run
    from bioptimus_lib.pretrain import Settings

TEACHER, OLD = "teacher", "old"
TESTED = 48  # held-out blocks that a lesson is tested on
LINES = 12  # of the log of a lesson


@dataclass(frozen=True)
class Classroom:
    """What all students of a lesson share.

    Attributes:
        teacher: a masked language model in evaluation mode.
        tokenizer: of teacher and students.
        blocks: to learn from, (N, T).
        held_out: to be tested on, (n, T).
        settings: of every lesson, the seed of masks and order among them.
        device: ``cpu`` or ``cuda``.
    """

    teacher: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    blocks: np.ndarray
    held_out: np.ndarray
    settings: Settings
    device: str


def classroom(run: Run, *, steps: int, teacher_steps: int) -> Classroom:
    """The class of a run: its teacher is made once, and read ever after.

    Args:
        run: gives the text, the old model, and the sizes of its profile.
        steps: of a lesson, of half a batch each.
        teacher_steps: of the teacher before it teaches.
    """
    from bioptimus_lib.models import load_masked_lm, place
    from bioptimus_lib.one_phase import train_version

    run.stage("warm-up" if run.profile.warmup_steps else "corpus")
    model, tokenizer = run.load(OLD)
    blocks, held_out = (packed(run, name, tokenizer, OLD) for name in ("train", "held-out"))
    done = run.out / "training" / f"{TEACHER}-{teacher_steps}.json"
    folder = run.folder(f"{TEACHER}-{teacher_steps}")
    if not done.exists():
        row = train_version(
            model, tokenizer, blocks, held_out[:TESTED], masking=MASKING,
            settings=settings_of(run, teacher_steps, seed=run.seed), goal=folder,
            training=run.out / "training" / folder.name, device=run.device, progress=run.progress,
        )  # fmt: skip
        with atomic_write(done) as file:
            json.dump(row, file)
    teacher = place(load_masked_lm(folder, needs_head=True)[0], run.torch_device).eval()
    settings = replace(
        settings_of(run, steps, seed=run.seed), batch=max(1, run.profile.batch // 2),
        log_steps=max(1, steps // LINES),
    )  # fmt: skip
    return Classroom(teacher, tokenizer, blocks, held_out[:TESTED], settings, run.torch_device)


@dataclass(frozen=True)
class Lesson:
    """What came of a lesson.

    Attributes:
        model: the student after its last step.
        log: lines with ``step``, ``loss`` and, beside a teacher, ``terms``: the mean of each since
            the line before, without its weight.
        losses: step → loss on held-out text (whole words, all hidden), nats a guess.
        seconds: of all of it.
    """

    model: PreTrainedModel
    log: tuple[dict[str, Any], ...]
    losses: dict[int, float]
    seconds: float


def lesson(
    room: Classroom,
    student: PreTrainedModel,
    objective: Objective,
    *,
    layer_map: Sequence[int] = (),
    teacher_in_training: bool = False,
    at: Sequence[int] = (),
    seed: int | None = None,
) -> Lesson:
    """Train a copy of a student. All lessons of one seed see the same blocks and the same masks.

    Args:
        room: says for how long, and on what.
        student: is not changed.
        objective: with terms that need the teacher, or the masked language model alone.
        layer_map: for each layer of the student the teacher's, counted from 0.
        teacher_in_training: leave the teacher's dropout on.
        at: steps after which held-out text is tested, beside the first and the last.
        seed: instead of the room's.
    """
    steps, began = room.settings.steps, time.perf_counter()
    settings = replace(
        room.settings, evaluate_at=tuple(sorted({0, *at, steps})),
        seed=room.settings.seed if seed is None else seed,
    )  # fmt: skip
    model, teacher = copy.deepcopy(student), copy.deepcopy(room.teacher)
    with tempfile.TemporaryDirectory(prefix="lesson.") as folder:
        result = pretrain(
            model, room.tokenizer, room.blocks, masking=MASKING, settings=settings, out=folder,
            held_out=room.held_out, device="cpu" if room.device == "cpu" else None, progress=False,
            trainer=trainer_of(
                objective, teacher, layer_map, Traps(teacher_in_training=teacher_in_training)
            ),
        )  # fmt: skip
        log = [row for row in json_lines(f"{folder}/log.jsonl") if "loss" in row]
    losses = {int(step): found["loss"] for step, found in result["held_out"].items()}
    return Lesson(model.eval(), tuple(log), losses, round(time.perf_counter() - began, 2))


# -- what the terms see ----------------------------------------------------------------------------


def masked_batch(
    room: Classroom, *, rows: int = 8, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs with masks and labels (B, T) of some held-out blocks."""
    moved(room.teacher, room.device)  # a timing on the CPU may have left it there
    ids = torch.from_numpy(room.held_out[:rows].astype("int64")).to(room.device)
    pieces = PieceTable.of(room.tokenizer).to(room.device)
    return mask(ids, MASKING, pieces, generator=generator_for(seed, 0))


def looks(
    room: Classroom, student: PreTrainedModel, objective: Objective, *, rows: int = 8
) -> tuple[View, View, torch.Tensor]:
    """What student and teacher show of one batch, and the true pieces (M,); both attend by eager
    where maps are compared. The student's side has gradients."""
    inputs, labels = masked_batch(room, rows=rows)
    moved(student, room.device)
    if objective.reads("maps"):
        for model in (student, room.teacher):
            model.set_attn_implementation("eager")
    with torch.no_grad():
        theirs, _ = look(room.teacher, inputs, labels, objective=objective)
    ours, target = look(student, inputs, labels, objective=objective)
    return ours, theirs, target


def shares(
    room: Classroom,
    student: PreTrainedModel,
    objective: Objective,
    *,
    layer_map: Sequence[int] = (),
    rows: int = 8,
) -> dict[str, dict[str, float]]:
    """What each term has to say in one step: its value, that times its weight, and how long its
    weighted gradient is at the student's encoder. The gradient is what moves a weight; a term
    whose gradient is short is not there, whatever it is called.

    Returns:
        term → ``value``, ``weighted``, ``gradient``.
    """
    projections = make_projections(
        objective, student.config, room.teacher.config, layer_map=layer_map
    ).to(room.device)
    ours, theirs, target = looks(room, student, objective, rows=rows)
    found = values(
        objective, ours, theirs, target, layer_map=layer_map, projections=projections
    )
    encoder = [p for p in student.base_model.parameters() if p.requires_grad]
    rows_of = {}
    for term in objective.terms:
        weighted = term.weight * found[term.kind]
        gradients = torch.autograd.grad(weighted, encoder, retain_graph=True, allow_unused=True)
        square = sum(g.square().sum() for g in gradients if g is not None)
        rows_of[term.kind] = {
            "value": found[term.kind].item(), "weighted": weighted.item(),
            "gradient": float(square) ** 0.5,
        }  # fmt: skip
    return rows_of


@torch.no_grad()
def disagreement(
    room: Classroom, *, training: bool = True, asked: int = 4, rows: int = 8
) -> dict[str, float]:
    """How much a teacher contradicts itself: the same batch, asked several times.

    Args:
        training: put it into training mode, so that its dropout is on.
        asked: how often.
        rows: of held-out text.

    Returns:
        ``kl``, mean over pairs of answers, nats per masked piece; ``same``, the share of masked
        pieces for which two answers have the same first guess.
    """
    inputs, labels = masked_batch(room, rows=rows)
    objective = Objective((Term("soft_targets"),))
    teacher = copy.deepcopy(room.teacher).train(training)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        answers = [
            look(teacher, inputs, labels, objective=objective)[0].logits for _ in range(asked)
        ]
    pairs = [(a, b) for n, a in enumerate(answers) for b in answers[n + 1 :]]
    return {
        "kl": float(np.mean([distil_terms.soft_targets(a, b).item() for a, b in pairs])),
        "same": float(np.mean([
            (a.argmax(-1) == b.argmax(-1)).float().mean().item() for a, b in pairs
        ])),
    }  # fmt: skip


@torch.no_grad()
def layer_distances(
    room: Classroom, student: PreTrainedModel, *, rows: int = 8
) -> np.ndarray:
    """1 − cosine of the states of each layer of a student and each of its teacher, as wide as it:
    (layers of the student + 1, layers of the teacher + 1), the embeddings first."""
    inputs, _ = masked_batch(room, rows=rows)
    moved(student, room.device)
    found = []
    for model in (student, room.teacher):
        with recorded(model) as states:
            model.base_model(input_ids=inputs)
        found.append(list(states))
    return np.array([
        [distil_terms.hidden_cosine(ours, theirs).item() for theirs in found[1]]
        for ours in found[0]
    ])


@torch.no_grad()
def attention_of(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str
) -> tuple[list[str], np.ndarray]:
    """The pieces of a text, and where each of them looks: (layers, A, T, T)."""
    model.set_attn_implementation("eager")
    ids = tokenizer(text, return_tensors="pt")["input_ids"].to(model.device)
    with attended(model) as maps:
        model.base_model(input_ids=ids)
    pieces = list(tokenizer.convert_ids_to_tokens(ids[0].tolist()))
    looks = [some[0].float().cpu().numpy() for some in maps if some is not None]  # all are kept
    return pieces, np.stack(looks)


@torch.no_grad()
def answer(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str
) -> torch.Tensor:
    """The logits (V,) at the one ``[MASK]`` of a text, on the CPU.

    Raises:
        ValueError: the text has none, or several.
    """
    ids = tokenizer(text, return_tensors="pt")["input_ids"].to(model.device)
    where = (ids[0] == tokenizer.mask_token_id).nonzero().flatten()
    if len(where) != 1:
        raise ValueError(f"{text!r} has {len(where)} [MASK], it needs one")
    logits: torch.Tensor = model(input_ids=ids).logits[0, where[0]].float().cpu()
    return logits

