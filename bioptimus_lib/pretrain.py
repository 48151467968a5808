"""Masked-language-model pre-training: full blocks, masks made on the device, and a vocabulary
projection that is computed only where there is something to guess.

The loop is Hugging Face ``Trainer``. Two things are ours, and both save work rather than add it:
``MaskedTrainer.compute_loss`` masks the batch where the batch is, and ``only_masked`` passes the
hidden states of the masked positions alone to the model's own output layer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import Trainer, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from bioptimus_lib.masking import IGNORED, Masking, PieceTable, generator_for, mask
from bioptimus_lib.models import place, precision_for
from bioptimus_lib.packing import Blocks, collate, pack
from bioptimus_lib.recorder import Recorder

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback

__all__ = ["Settings", "evaluate_mlm", "masked_logits", "pack", "pretrain", "set_dropout"]

log = logging.getLogger(__name__)
EVALUATION_SEED = 20230713  # the masks of every evaluation, the same for all models


@dataclass(frozen=True)
class Settings:
    """How to train.

    Args:
        steps: optimiser steps in all.
        batch: blocks per step on each process.
        learning_rate: peak of the schedule.
        embedding_rate: peak for the embeddings of the pieces, relative to ``learning_rate``. Adam
            moves every row in every step by about its rate, however little the row was used; a
            smaller rate keeps that noise out of rows of rare pieces.
        warmup: share of the steps over which the rate rises from 0.
        schedule: ``linear`` falls to 0; ``constant`` stays; ``trapezoid`` stays, and falls to 0
            over the last fifth (Hu et al., 2024, call it WSD), so a run can be ended at any time.
        weight_decay: AdamW's, not applied to biases and layer norms.
        accumulate: batches per optimiser step.
        dropout: probability during pre-training; ``None`` keeps the model's own.
        precision: ``fp32``, ``bf16``, ``fp16`` or ``auto`` (what the device does fast).
        seed: of data order, masks and dropout.
        save_minutes: wall-clock minutes between checkpoints, beside those by ``save_steps``.
        save_steps: steps between checkpoints; 0 for none by steps.
        log_steps: steps between lines of the log.
    """

    steps: int
    batch: int = 32
    learning_rate: float = 5e-4
    embedding_rate: float = 1.0
    warmup: float = 0.06
    schedule: str = "linear"
    weight_decay: float = 0.01
    accumulate: int = 1
    dropout: float | None = 0.0
    precision: str = "auto"
    seed: int = 0
    save_minutes: float = 5.0
    save_steps: int = 0
    log_steps: int = 10

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulate", "log_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, it must be at least 1")
        if self.embedding_rate < 0:
            raise ValueError(f"embedding_rate is {self.embedding_rate}, it cannot be negative")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule {self.schedule!r} is unknown: choose of {list(SCHEDULES)}")
        if self.precision not in ("auto", "fp32", "bf16", "fp16"):
            raise ValueError(f"precision {self.precision!r}: choose auto, fp32, bf16 or fp16")


SCHEDULES: dict[str, tuple[str, Any]] = {  # our name: Trainer's name, its extra arguments
    "linear": ("linear", lambda steps: {}),
    "constant": ("constant_with_warmup", lambda steps: {}),
    "trapezoid": (
        "warmup_stable_decay",
        lambda steps: {"num_decay_steps": max(1, steps // 5), "decay_type": "linear"},
    ),
}


@contextmanager
def only_masked(model: PreTrainedModel, chosen: torch.Tensor) -> Iterator[None]:
    """Within the block, the output layer sees the hidden states of the chosen positions alone.

    ``chosen`` is bool (B, T) with M true values; the logits become (1, M, V) instead of
    (B, T, V). It works for every architecture whose head follows ``model.base_model``.
    """

    def select(_module, _inputs, output):
        output.last_hidden_state = output.last_hidden_state[chosen].unsqueeze(0)
        return output

    hook = model.base_model.register_forward_hook(select)
    try:
        yield
    finally:
        hook.remove()


def masked_logits(
    model: PreTrainedModel, inputs: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (M, V) and true pieces (M,) at the masked positions of inputs and labels (B, T)."""
    chosen = labels != IGNORED
    with only_masked(getattr(model, "module", model), chosen):
        logits = model(input_ids=inputs, return_dict=True).logits
    return logits.squeeze(0), labels[chosen]


class MaskedTrainer(Trainer):
    """``Trainer`` that masks each batch on the device, by a generator seeded by (seed, step)."""

    def __init__(
        self, *, masking: Masking, pieces: PieceTable, embedding_rate: float = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.masking, self.pieces = masking, pieces.to(self.args.device)
        self.embedding_rate = embedding_rate
        self.micro_step = (-1, 0)  # (optimiser step, batch within it)

    def create_optimizer(self, model=None):
        """The usual optimiser, with the embeddings of the pieces at a rate of their own."""
        new = self.optimizer is None
        optimizer = super().create_optimizer(model)
        if new and self.embedding_rate != 1:
            table = (model or self.model).get_input_embeddings().weight
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

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        step = self.state.global_step
        self.micro_step = (step, self.micro_step[1] + 1 if self.micro_step[0] == step else 0)
        generator = generator_for(self.args.seed, *self.micro_step, self.args.process_index)
        masked, labels = mask(inputs["input_ids"], self.masking, self.pieces, generator=generator)
        logits, target = masked_logits(model, masked, labels)
        loss = torch.nn.functional.cross_entropy(logits.float(), target)
        return (loss, {"logits": logits}) if return_outputs else loss


@torch.no_grad()
def evaluate_mlm(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    blocks: np.ndarray,
    *,
    masking: Masking | None = None,
    batch: int = 64,
    seed: int = EVALUATION_SEED,
) -> dict[str, float]:
    """Loss (nats per masked piece) and accuracy on packed blocks (N, T), with fixed masks.

    The masks depend on the seed and on the blocks alone, so models that share a vocabulary are
    compared on the same guesses. The default masking is that of BERT without corruption: every
    chosen piece is hidden, so that nothing is scored that could be read off the input.
    """
    masking = masking or Masking("token", 0.15, corruption=False)
    device = model.device
    pieces = PieceTable.of(tokenizer).to(device)
    was_training, loss, right, total = model.training, 0.0, 0, 0
    model.eval()
    kind = precision_for(device)
    for start in range(0, len(blocks), batch):
        ids = torch.from_numpy(blocks[start : start + batch].astype("int64")).to(device)
        inputs, labels = mask(ids, masking, pieces, generator=generator_for(seed, start))
        with torch.autocast(device.type, torch.bfloat16, enabled=kind == "bf16"):
            logits, target = masked_logits(model, inputs, labels)
        loss += torch.nn.functional.cross_entropy(logits.float(), target, reduction="sum").item()
        right += (logits.argmax(-1) == target).sum().item()
        total += len(target)
    model.train(was_training)
    return {"loss": loss / total, "accuracy": right / total, "masked": total}


def set_dropout(model: torch.nn.Module, probability: float) -> None:
    """Give every dropout layer of a model one probability (its config stays as it was)."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = probability


def pretrain(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    blocks: np.ndarray,
    *,
    masking: Masking,
    settings: Settings,
    out: str | Path,
    device: str | None = None,
    progress: bool = True,
    callbacks: Sequence[TrainerCallback] = (),
) -> dict[str, float]:
    """Train a model on packed blocks, in place; continue if ``out`` holds a checkpoint.

    Args:
        model: a masked language model whose vocabulary is the tokenizer's.
        tokenizer: WordPiece tokenizer with ``[MASK]``.
        blocks: (N, T) from ``pack``.
        masking: what to mask.
        settings: how to train.
        out: folder of checkpoints and of ``log.jsonl``.
        device: ``cpu`` keeps off a GPU that is there; by default ``Trainer`` chooses.
        progress: show a progress bar.
        callbacks: of ``Trainer``, to look on while it trains.

    Returns:
        Steps, tokens, seconds of this call, mean loss and tokens per second.

    Raises:
        ValueError: an id in the blocks is not in the model's vocabulary.
        FloatingPointError: the loss is NaN or infinite.
    """
    vocabulary = model.get_input_embeddings().num_embeddings
    if vocabulary != len(tokenizer) or int(blocks.max()) >= vocabulary:
        raise ValueError(
            f"model of {vocabulary} pieces, tokenizer of {len(tokenizer)}, blocks with id "
            f"{int(blocks.max())}: all three must share one vocabulary"
        )
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    on_cpu = device == "cpu" or not torch.cuda.is_available()
    kind = precision_for("cpu" if on_cpu else "cuda", settings.precision)
    scheduler, extra = SCHEDULES[settings.schedule]
    args = TrainingArguments(
        output_dir=str(out),
        max_steps=settings.steps,
        per_device_train_batch_size=settings.batch,
        gradient_accumulation_steps=settings.accumulate,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=scheduler,
        lr_scheduler_kwargs=extra(settings.steps),
        warmup_steps=max(1, round(settings.warmup * settings.steps)),
        weight_decay=settings.weight_decay,
        adam_beta2=0.98,
        optim="adamw_torch_fused",
        bf16=kind == "bf16",
        fp16=kind == "fp16",
        seed=settings.seed,
        data_seed=settings.seed,
        logging_steps=settings.log_steps,
        logging_nan_inf_filter=False,  # a NaN is to be seen, not skipped
        save_strategy="steps" if settings.save_steps else "no",
        save_steps=settings.save_steps or 500,
        save_total_limit=2,
        use_cpu=on_cpu,
        disable_tqdm=True,
        report_to=[],
        remove_unused_columns=False,
        dataloader_pin_memory=not on_cpu,
    )
    place(model, args.device)
    if settings.dropout is not None:
        set_dropout(model, settings.dropout)
    tokens_per_step = settings.batch * settings.accumulate * blocks.shape[1] * args.world_size
    recorder = Recorder(
        save_minutes=settings.save_minutes,
        out=out,
        tokens_per_step=tokens_per_step,
        progress=progress,
    )
    trainer = MaskedTrainer(
        model=model,
        args=args,
        train_dataset=Blocks(blocks),
        data_collator=collate,
        masking=masking,
        pieces=PieceTable.of(tokenizer),
        embedding_rate=settings.embedding_rate,
        callbacks=[recorder, *callbacks],
    )
    for callback in list(trainer.callback_handler.callbacks):
        if type(callback).__name__ in ("PrinterCallback", "ProgressCallback"):
            trainer.remove_callback(type(callback))
    checkpoint = get_last_checkpoint(str(out))
    if checkpoint:
        log.info("continuing from %s", checkpoint)
    started = time.monotonic()
    result = trainer.train(resume_from_checkpoint=checkpoint)
    seconds = time.monotonic() - started
    model.eval()
    return {
        "steps": result.global_step,
        "tokens": result.global_step * tokens_per_step,
        "seconds": round(seconds, 1),
        "loss": result.training_loss,
        "tokens_per_second": round(
            (result.global_step - recorder.first) * tokens_per_step / max(seconds, 1e-9)
        ),
        "settings": asdict(settings),
    }
