"""``MaskedTrainer`` with a teacher beside the student: the same masks, blocks and checkpoints,
another loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import torch

from bioptimus_lib.distil_loss import check, look, make_projections, pairs_of, total, values
from bioptimus_lib.masked_trainer import Batch, MaskedTrainer
from bioptimus_lib.models import autocast, place

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from bioptimus_lib.objectives import Objective

INSIDE = "distillation"  # under this name the projections are a part of the student in training


class DistilTrainer(MaskedTrainer):
    """Train a student to meet an objective beside its teacher.

    The teacher is in evaluation mode: it is not to answer differently each time it is asked. With
    ``teacher_in_training`` its dropout is on, a fault of published scripts that one may look at.

    The projections are parameters of the student while it is trained, so that they are in its
    checkpoints and a run that is cut goes on with them; after ``train`` they are gone.

    Args:
        teacher: is not changed, but moved to the device, and told to attend by ``eager`` if the
            objective reads attention maps; so is the student.
        objective: what the loss is made of.
        layer_map: for each layer of the student the teacher's, counted from 0.
        teacher_in_training: see above.
        kwargs: of ``MaskedTrainer``.

    Raises:
        ValueError: student and teacher cannot be compared so; see ``distil_loss.check``.
    """

    def __init__(
        self,
        *,
        teacher: PreTrainedModel,
        objective: Objective,
        layer_map: Sequence[int] = (),
        teacher_in_training: bool = False,
        **kwargs: Any,
    ) -> None:
        student, args = kwargs["model"], kwargs["args"]
        check(objective, student.config, teacher.config, layer_map=layer_map)
        # Not ``objective``: Trainer has a use of its own for that name.
        self.goal, self.layer_map = objective, tuple(layer_map)
        self.projections = make_projections(
            objective, student.config, teacher.config, layer_map=layer_map, seed=args.seed
        )
        if self.projections:
            student.add_module(INSIDE, self.projections)
        place(teacher, args.device)
        if objective.reads("maps"):
            for model in (student, teacher):
                model.set_attn_implementation("eager")
        self.teacher = teacher.train(teacher_in_training)
        sides = (student.config, teacher.config, layer_map)
        pairs = [p for t in objective.terms if t.reads == "maps" for p in pairs_of(t, *sides)]
        self.ours, self.theirs = {ours for ours, _ in pairs}, {theirs for _, theirs in pairs}
        self.found: list[dict[str, torch.Tensor]] = []  # terms since the last line of the log
        super().__init__(**kwargs)

    def train(self, *arguments: Any, **others: Any) -> Any:
        """As always; then student and teacher are as they came, but for what was learnt."""
        try:
            return super().train(*arguments, **others)
        finally:
            if hasattr(self.model, INSIDE):
                delattr(self.model, INSIDE)
            self.teacher.eval()

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, Any]:
        ids, labels = self.draw(inputs["input_ids"])
        kind = "bf16" if self.args.bf16 else "fp16" if self.args.fp16 else "fp32"
        with torch.no_grad(), autocast(self.args.device, kind):
            theirs, _ = look(
                self.teacher, ids, labels, objective=self.goal, maps=self.theirs
            )
        student = cast("PreTrainedModel", model)
        ours, target = look(student, ids, labels, objective=self.goal, maps=self.ours)
        found = values(
            self.goal, ours, theirs, target,
            layer_map=self.layer_map, projections=self.projections,
        )  # fmt: skip
        # What is a mean over masked pieces counts by the batch's share of those of the step, so
        # that a step is one work, however it is divided; positions are equally many in all batches.
        share = len(target) / self.masked * (self.parts * self.args.world_size)
        loss = total(self.goal, found, share=share)
        self.recent.append((self.step + 1, loss.detach()))
        self.found.append({name: value.detach() for name, value in found.items()})
        return (loss, {"logits": ours.logits}) if return_outputs else loss

    def log(self, logs: dict[str, Any], start_time: float | None = None) -> None:
        """Log the terms, too: the mean of each since the last line, without its weight."""
        if "loss" in logs and self.found:
            logs["terms"] = {
                name: float(f"{torch.stack([some[name] for some in self.found]).mean().item():.5g}")
                for name in self.found[0]
            }
            self.found.clear()
        super().log(logs, start_time)
