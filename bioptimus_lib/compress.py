"""A compact model from a recipe: the student as it begins, its training, what came of it.

A recipe with a teacher is distilled, one without trains a small model on; both by the machinery of
``pretrain``, so that masks, checkpoints, the log and what a NaN does are the same.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioptimus_lib.curriculum import PHASES
from bioptimus_lib.files import atomic_write, weights_of
from bioptimus_lib.machine import is_first, wait_for_all
from bioptimus_lib.masking import Masking
from bioptimus_lib.objectives import Objective
from bioptimus_lib.one_phase import HELD_OUT_BLOCKS, LOGGED, train_version
from bioptimus_lib.own_text import check, lasting, prepared
from bioptimus_lib.recipes import Recipe
from bioptimus_lib.recipes import recipe as recipe_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bioptimus_lib.distil_trainer import DistilTrainer
    from bioptimus_lib.pretrain import Settings

Row = dict[str, Any]
MASKING = Masking("token", 0.15, corruption=True)  # 15 % as published; BERT's corruption is ours


@dataclass(frozen=True)
class Traps:
    """Faults seen in the scripts of Rohanian et al. (2022), each to be switched on to see its cost.

    A fourth one is in how they score names, piece by piece: see ``ner_scoring``.

    Args:
        teacher_in_training: the teacher's dropout is on, so its answers are noisy.
        random_head: the encoder is copied from the teacher, the head is not.
        attention_per_element: the attention KL is a mean over all elements, and so nearly nothing.
    """

    teacher_in_training: bool = False
    random_head: bool = False
    attention_per_element: bool = False

    @property
    def names(self) -> list[str]:
        """Those that are on."""
        return [name for name, on in asdict(self).items() if on]

    def applied(self, recipe: Recipe) -> Objective:
        """The objective of a recipe with these faults.

        Raises:
            ValueError: a fault has no place in it.
        """
        if self.teacher_in_training and recipe.continues:
            raise ValueError(f"{recipe.name} has no teacher that could be in training mode")
        if self.random_head and recipe.start_layers is None:
            raise ValueError(f"{recipe.name} copies no encoder, so no head could be left out")
        if self.attention_per_element:
            return recipe.objective.change("attention_kl", per="element")
        return recipe.objective


def compress(
    recipe: Recipe | str,
    corpus: str | Path,
    *,
    out: str | Path,
    settings: Settings,
    teacher: str | Path | None = None,
    start: str | Path | None = None,
    start_layers: Sequence[int] | None = None,
    layer_map: Sequence[int] | None = None,
    masking: Masking = MASKING,
    length: int = 128,
    traps: Traps | None = None,
    device: str | None = None,
    progress: bool = True,
) -> Row:
    """Make the compact model of a recipe on a text; go on where it was cut.

    Args:
        recipe: a row of ``recipes.RECIPES`` or its name.
        corpus: file or folder of text; each fiftieth document is held out.
        out: gets the folder ``model``, ``training`` with log and checkpoints, and ``blocks``.
        settings: how to train; its log and its tests are spaced by us if they are not given.
        teacher: folder of a masked language model with its head. A recipe that trains a small model
            on needs none, and is only compared with it.
        start: folder of the model to begin with, instead of what the recipe says; needed by the
            recipes that train a small model on.
        start_layers: of the teacher, counted from 0, instead of the recipe's.
        layer_map: for each layer of the student the teacher's, instead of the recipe's.
        masking: what to mask.
        length: pieces per block, T.
        traps: faults to be switched on.
        device: ``cpu`` keeps off a GPU that is there.
        progress: show progress bars.

    Returns:
        What came of it: recipe, objective, layers, parameters of both, ``held_out`` loss and
        accuracy of the student (before and after in ``held_out_at``) and ``teacher_held_out``, what
        ``one_phase.train_version`` tells, and the ``folder`` of the model.

    Raises:
        ValueError: an unknown recipe, no teacher or start where one is needed, another vocabulary
            of teacher and start, layers outside the teacher, and see ``own_text.check``.
        FileNotFoundError, DataError: a model that cannot be loaded or has no head; a corpus that is
            not there or too small.
        FloatingPointError, OSError: see ``pretrain``.
    """
    from bioptimus_lib.models import check_device
    from bioptimus_lib.pretrain import check_window
    from bioptimus_lib.students import student_of

    plan, traps = recipe_of(recipe) if isinstance(recipe, str) else recipe, traps or Traps()
    objective, out = traps.applied(plan), Path(out)
    where = check_device(device, settings.precision)
    old, pieces = _teacher(plan, teacher)
    if start is None:
        # Without a teacher the recipe trains a model on, and student_of says that there is none.
        student = student_of(
            plan, old, start_layers=start_layers, head=not traps.random_head, seed=settings.seed
        )
    else:
        if start_layers is not None or traps.random_head:
            raise ValueError("a start has weights of its own: leave out the layers of the teacher")
        student, pieces = _start(start, pieces)
    if pieces is None:
        raise ValueError(f"{plan.name} trains {plan.start} on: give the folder of a small model")
    layers = mapped(plan, student, old, layer_map)
    files = check(student, corpus, length=length, minutes=0, phases=PHASES)
    if old is not None:
        check_window(old, length)
    configuration = {
        "recipe": plan.name,
        "corpus": str(Path(corpus).resolve()),
        "teacher": teacher and str(Path(teacher).resolve()),
        "start": start and str(Path(start).resolve()),
        "weights": {"teacher": weights_of(teacher), "start": weights_of(start)},
        "start_layers": start_layers and list(start_layers),
        "layer_map": list(layers),
        "objective": str(objective),
        "masking": str(masking),
        "traps": traps.names,
        "length": length,
        "steps": settings.steps,
        **lasting(settings),
    }
    blocks, held_out = prepared(
        out, files, student, pieces, configuration=configuration, length=length, device=where
    )
    done = out / "compress.json"
    if not done.exists():
        # Before the training: what fails after it costs the training.
        compared = _compared(student, old, pieces, held_out, where) if is_first() else {}
        row = train_version(
            student, pieces, blocks, held_out, masking=masking, settings=_spaced(settings),
            training=out / "training", goal=out / "model", device=device, progress=progress,
            trainer=trainer_of(objective, old, layers, traps),
        )  # fmt: skip
        if is_first():
            with atomic_write(done) as handle:
                json.dump(
                    {
                        "recipe": plan.name,
                        "objective": str(objective),
                        "traps": traps.names,
                        "layer_map": list(layers),
                        **compared,
                        **row,
                    },
                    handle,
                )
        wait_for_all(where)
    return {**json.loads(done.read_text(encoding="utf-8")), "folder": str(out / "model")}


def mapped(
    plan: Recipe,
    student: PreTrainedModel,
    teacher: PreTrainedModel | None,
    layer_map: Sequence[int] | None = None,
) -> tuple[int, ...]:
    """For each layer of a student the teacher's, by its recipe or as given; empty where none is
    needed.

    Raises:
        ValueError: the recipe compares no layers, or the two models cannot be compared so.
    """
    from bioptimus_lib.distil_loss import check as comparable

    if plan.layer_map is None and layer_map is not None:
        raise ValueError(f"{plan.name} compares no layers, so it takes no layer map")
    if teacher is None:
        if not plan.continues:
            raise ValueError(f"{plan.name} is distilled: give its teacher")
        return tuple(layer_map or ())
    if plan.layer_map is not None and layer_map is None:
        layer_map = plan.layer_map(
            student.config.num_hidden_layers, teacher.config.num_hidden_layers
        )
    layers = tuple(layer_map or ())
    if not plan.continues:
        comparable(plan.objective, student.config, teacher.config, layer_map=layers)
    return layers


def trainer_of(
    objective: Objective,
    teacher: PreTrainedModel | None,
    layers: Sequence[int] = (),
    traps: Traps | None = None,
) -> partial[DistilTrainer] | None:
    """What makes the trainer of an objective, for ``pretrain``; None is the usual one."""
    if not objective.teaches:
        return None
    if teacher is None:
        raise ValueError(f"the objective {objective} compares with a teacher, and there is none")
    from bioptimus_lib.distil_trainer import DistilTrainer

    return partial(
        DistilTrainer, teacher=teacher, objective=objective, layer_map=layers,
        teacher_in_training=(traps or Traps()).teacher_in_training,
    )  # fmt: skip


# -- details ---------------------------------------------------------------------------------------


def _teacher(
    plan: Recipe, folder: str | Path | None
) -> tuple[PreTrainedModel | None, PreTrainedTokenizerBase | None]:
    from bioptimus_lib.models import load_masked_lm

    if folder is not None:
        return load_masked_lm(folder, needs_head=True)
    if not plan.continues:
        raise ValueError(f"{plan.name} is distilled: give the folder of its teacher")
    return None, None


def _start(
    folder: str | Path, pieces: PreTrainedTokenizerBase | None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model to begin with, of the same vocabulary as the teacher, if there is one."""
    from bioptimus_lib.models import load_masked_lm

    student, own = load_masked_lm(folder)
    if pieces is not None and (mine := own.get_vocab()) != (theirs := pieces.get_vocab()):
        other = sum(theirs.get(piece) != number for piece, number in mine.items())
        raise ValueError(
            f"{folder} has another vocabulary than the teacher: {len(mine):,} pieces, of which "
            f"{other:,} are not among the teacher's {len(theirs):,}; both must have the same"
        )
    return student, own


def _spaced(settings: Settings) -> Settings:
    """The settings with lines of the log and tests where none were asked for."""
    at = settings.evaluate_at or (0, settings.steps)
    few = min(settings.log_steps, max(1, settings.steps // LOGGED))
    return replace(settings, evaluate_at=at, log_steps=few)


def _compared(
    student: PreTrainedModel,
    teacher: PreTrainedModel | None,
    tokenizer: PreTrainedTokenizerBase,
    held_out: Any,
    device: str,
) -> Row:
    """Sizes of both, and what the teacher makes of the same held-out text."""
    from bioptimus_lib.models import moved
    from bioptimus_lib.pretrain import QUESTION, evaluate_mlm
    from bioptimus_lib.students import parameters

    row: Row = {"parameters": parameters(student)}
    if teacher is not None:
        moved(teacher, device)
        score = evaluate_mlm(teacher, tokenizer, held_out[:HELD_OUT_BLOCKS], masking=QUESTION)
        row |= {"teacher_parameters": parameters(teacher), "teacher_held_out": score}
    return row
