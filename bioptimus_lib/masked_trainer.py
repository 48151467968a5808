"""Hugging Face ``Trainer`` with masks made on the device, and checkpoints that are whole.

A step is the same work however it is divided: between processes, or between batches whose
gradients are added up. Each process holds the blocks of the whole step, which are few bytes, draws
the masks of all by a generator seeded by (seed, step), and computes the rows that are its own. So
it also knows by how many masked pieces the sum of the losses is to be divided, without asking the
others.
"""

from __future__ import annotations

import math
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from transformers import Trainer

from bioptimus_lib.errors import DataError
from bioptimus_lib.masked_loss import masked_logits
from bioptimus_lib.masking import Masking, PieceTable, generator_for, mask
from bioptimus_lib.models import input_table, no_bars
from bioptimus_lib.packing import Steps, only

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Batch = dict[str, torch.Tensor | Any]  # what Trainer hands on
CHECKPOINT = re.compile(r"checkpoint-(\d+)")
SAVING = ".saving"  # where a checkpoint is written until it is whole
KEPT = 2  # checkpoints


class MaskedTrainer(Trainer):
    """``Trainer`` that reads packed blocks, masks them on the device and projects sparsely.

    Args:
        blocks: packed text (N, T).
        tokenizer: of the blocks; it is saved with each checkpoint.
        masking: what to mask.
        embedding_rate: rate of the pieces' embeddings, relative to the others'.
        kwargs: of ``Trainer``; ``args`` says how many rows a batch has, and how many batches and
            processes make a step.
    """

    def __init__(
        self,
        *,
        blocks: np.ndarray,
        tokenizer: PreTrainedTokenizerBase,
        masking: Masking,
        embedding_rate: float = 1.0,
        **kwargs: Any,
    ) -> None:
        args = kwargs["args"]
        self.batch, self.parts = args.per_device_train_batch_size, args.gradient_accumulation_steps
        steps = Steps(
            blocks, count=args.max_steps, size=self.batch * self.parts * args.world_size,
            parts=self.parts, seed=args.seed,
        )  # fmt: skip
        self.steps = steps
        super().__init__(train_dataset=steps, data_collator=only, **kwargs)
        self.masking, self.pieces = masking, PieceTable.of(tokenizer).to(args.device)
        self.tokenizer, self.embedding_rate = tokenizer, embedding_rate
        self.step, self.part = -1, 0
        self.recent: list[tuple[int, torch.Tensor]] = []  # losses since the last line of the log

    def get_train_dataloader(self) -> torch.utils.data.DataLoader[Batch]:
        """All items in order, to every process the same."""
        return torch.utils.data.DataLoader(
            self.steps, batch_size=1, shuffle=False, collate_fn=only,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
        )  # fmt: skip

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        """The usual optimiser, with the embeddings of the pieces at a rate of their own."""
        new = self.optimizer is None
        optimizer = super().create_optimizer(model)
        if new and self.embedding_rate != 1:
            table = input_table(cast("PreTrainedModel", model or self.model))
            for group in optimizer.param_groups:
                rest = [p for p in group["params"] if p is not table]
                if len(rest) < len(group["params"]):
                    decay, group["params"] = group["weight_decay"], rest
            optimizer.add_param_group(
                {
                    "params": [table],
                    "lr": self.args.learning_rate * self.embedding_rate,
                    "weight_decay": decay,
                }
            )
        return optimizer

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Load them, but keep the rates of these settings: one goes on with a lower one."""
        scheduler, optimizer = self.lr_scheduler, self.optimizer
        assert scheduler is not None and optimizer is not None  # made before they are filled
        rates = list(scheduler.base_lrs)
        super()._load_optimizer_and_scheduler(checkpoint)
        old = list(scheduler.base_lrs)
        if rates == old:
            return
        scheduler.base_lrs = rates
        for group, rate, before in zip(optimizer.param_groups, rates, old, strict=True):
            group["lr"] = group["lr"] * rate / before if before else rate
            group["initial_lr"] = rate
        scheduler._last_lr = [group["lr"] for group in optimizer.param_groups]

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """Say nothing of tied weights: they are saved once, under one of their names."""
        tied = set(getattr(self.model, "_tied_weights_keys", None) or ())
        load_result.missing_keys[:] = [k for k in load_result.missing_keys if k not in tied]
        super()._issue_warnings_after_load(load_result)

    def draw(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs and labels of this batch of the step's rows (G, T), each (B, T)."""
        if self.step != self.state.global_step:
            self.step, self.part = self.state.global_step, 0
            generator = generator_for(self.args.seed, self.step)
            self.drawn = mask(rows, self.masking, self.pieces, generator=generator)
            self.masked = (self.drawn[1] >= 0).sum().clamp(min=1)  # in the whole step
        first = (self.part * self.args.world_size + self.args.process_index) * self.batch
        self.part += 1
        inputs, labels = (all_rows[first : first + self.batch] for all_rows in self.drawn)
        return inputs, labels

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, Any]:
        bert = cast("PreTrainedModel", model)
        logits, target = masked_logits(bert, *self.draw(inputs["input_ids"]))
        loss = torch.nn.functional.cross_entropy(logits.float(), target, reduction="sum")
        # Trainer divides by the batches of a step, and what the processes find is averaged.
        loss = loss / self.masked * (self.parts * self.args.world_size)
        self.recent.append((self.step + 1, loss.detach()))
        return (loss, {"logits": logits}) if return_outputs else loss

    def floating_point_ops(self, inputs: Batch) -> int:
        """Not counted: an item holds the rows of other batches too."""
        return 0

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log, unless something is no number any more: then stop, and say since which step."""
        # A scaler of fp16 tries large factors, and leaves out the steps in which one was too large.
        norm = 0.0 if self.args.fp16 else float(logs.get("grad_norm", 0.0))
        for what, value in (("loss", logs.get("loss", 0.0)), ("norm of the gradient", norm)):
            if not math.isfinite(value):
                bad = [step for step, loss in self.recent if not loss.isfinite()]
                found = last_checkpoint(str(self.args.output_dir))
                good = f"the checkpoint {found.name} is good" if found else "no checkpoint was made"
                raise FloatingPointError(
                    f"the {what} is {value} at step {bad[0] if bad else self.state.global_step}: "
                    f"{good} in {self.args.output_dir}; lower the learning rate and run again"
                )
        self.recent.clear()
        super().log(logs, start_time)

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        """Save beside the goal and move the whole there: what is called a checkpoint is one."""
        out, step = Path(str(self.args.output_dir)), self.state.global_step
        part, first = out / SAVING, self.args.process_index == 0
        if first:
            shutil.rmtree(part, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        try:
            self.args.output_dir = str(part)
            with no_bars():
                super()._save_checkpoint(model, trial)
            if first:
                self.tokenizer.save_pretrained(part / f"checkpoint-{step}")
        except Exception as error:  # what a full disk raises depends on who was writing
            shutil.rmtree(part, ignore_errors=True)
            kept = last_checkpoint(out)
            raise OSError(
                f"the checkpoint of step {step} could not be saved ({error}): "
                f"{f'{kept.name} is kept' if kept else 'there is none before it'} in {out}; "
                "make room and run the same again"
            ) from error
        finally:
            self.args.output_dir = str(out)
        self.accelerator.wait_for_everyone()
        if first:
            goal = out / f"checkpoint-{step}"
            shutil.rmtree(goal, ignore_errors=True)
            os.replace(part / goal.name, goal)
            shutil.rmtree(part, ignore_errors=True)
            for old in checkpoints(out)[:-KEPT]:
                shutil.rmtree(old, ignore_errors=True)
        self.accelerator.wait_for_everyone()


def checkpoints(folder: str | Path) -> list[Path]:
    """The checkpoints in a folder, by step."""
    found = {
        int(match[1]): path
        for path in Path(folder).glob("checkpoint-*")
        if (match := CHECKPOINT.fullmatch(path.name)) and (path / "trainer_state.json").is_file()
    }
    return [found[step] for step in sorted(found)]


def last_checkpoint(folder: str | Path) -> Path | None:
    """The last checkpoint in a folder."""
    found = checkpoints(folder)
    return found[-1] if found else None


def check_vocabulary(checkpoint: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """See that a checkpoint has the pieces of a tokenizer; one without a tokenizer is believed.

    Raises:
        DataError: it has others, be they as many.
    """
    from transformers import AutoTokenizer

    if not (checkpoint / "tokenizer.json").is_file():
        return
    theirs = AutoTokenizer.from_pretrained(checkpoint, local_files_only=True).get_vocab()
    if theirs != (mine := tokenizer.get_vocab()):
        other = sum(mine.get(piece) != number for piece, number in theirs.items())
        raise DataError(
            f"the checkpoint is of another vocabulary: {len(theirs):,} pieces, of which {other:,} "
            f"are not the tokenizer's {len(mine):,}; give another folder, or delete this one",
            path=checkpoint,
        )
