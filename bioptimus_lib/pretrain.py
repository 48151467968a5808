"""Masked-language-model pre-training: full blocks, masks made on the device, and a vocabulary
projection that is computed only where there is something to guess.

The loop is Hugging Face ``Trainer``. What is ours saves work rather than adds it: ``MaskedTrainer``
masks the batch where the batch is, and ``masked_logits`` passes the hidden states of the masked
positions alone to the model's own output layer.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import TrainingArguments

from bioptimus_lib.masked_loss import evaluate_mlm, masked_logits
from bioptimus_lib.masked_trainer import MaskedTrainer, check_vocabulary, last_checkpoint
from bioptimus_lib.masking import Masking
from bioptimus_lib.models import check_device, place, precision_for
from bioptimus_lib.packing import pack
from bioptimus_lib.recorder import Recorder

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback

__all__ = ["Settings", "evaluate_mlm", "masked_logits", "pack", "pretrain", "set_dropout"]

log = logging.getLogger(__name__)
#: What is asked of held-out text: the same of all models, whatever they were trained to guess.
QUESTION = Masking("word", 0.15, corruption=False)
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@dataclass(frozen=True)
class Settings:
    """How to train.

    Args:
        steps: optimiser steps in all.
        batch: blocks per batch on each process.
        learning_rate: peak of the schedule.
        embedding_rate: peak for the embeddings of the pieces, relative to ``learning_rate``. Adam
            moves every row in every step by about its rate, however little the row was used; a
            smaller rate keeps that noise out of rows of rare pieces.
        warmup: share of the steps over which the rate rises from 0.
        schedule: ``linear`` falls to 0; ``constant`` stays; ``trapezoid`` stays, and falls to 0
            over the last fifth (Hu et al., 2024, call it WSD), so a run can be ended at any time.
        weight_decay: AdamW's, not applied to biases and layer norms.
        accumulate: batches per optimiser step. Two batches of 8 are the step of one of 16.
        dropout: probability during pre-training; ``None`` keeps the model's own.
        precision: ``fp32``, ``bf16``, ``fp16`` or ``auto`` (what the device does fast).
        seed: of data order, masks and dropout.
        save_minutes: wall-clock minutes between checkpoints, beside those by ``save_steps``.
        save_steps: steps between checkpoints; 0 for none by steps.
        log_steps: steps between lines of the log.
        evaluate_at: steps after which held-out text is tested; 0 is before the first.
        compile: let ``torch.compile`` make one kernel of several; it needs a C++ compiler, takes
            a minute at first, and is worth it in a long training.
        loader_workers: processes that read blocks ahead; reading is cheap, so 0 is rarely slower.
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
    evaluate_at: tuple[int, ...] = ()
    compile: bool = False
    loader_workers: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulate", "log_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, it must be at least 1")
        for name in ("embedding_rate", "weight_decay", "seed", "save_steps", "loader_workers"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, it cannot be negative")
        for name in ("learning_rate", "save_minutes"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, it must be above 0")
        if not 0 <= self.warmup <= 1 or not 0 <= (self.dropout or 0) < 1:
            raise ValueError(
                f"warmup is {self.warmup}, dropout {self.dropout}: the one is a share from 0 to 1, "
                "the other a probability below 1"
            )
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule {self.schedule!r} is unknown: choose of {list(SCHEDULES)}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision {self.precision!r}: choose one of {PRECISIONS}")


SCHEDULES: dict[str, tuple[str, Any]] = {  # our name: Trainer's name, its extra arguments
    "linear": ("linear", lambda steps: {}),
    "constant": ("constant_with_warmup", lambda steps: {}),
    "trapezoid": (
        "warmup_stable_decay",
        lambda steps: {"num_decay_steps": max(1, steps // 5), "decay_type": "linear"},
    ),
}


def set_dropout(model: torch.nn.Module, probability: float) -> None:
    """Give every dropout layer of a model one probability (its config stays as it was)."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = probability


@contextmanager
def compiled(model: PreTrainedModel) -> Iterator[None]:
    """Let ``torch.compile`` work on the encoder's layers: they are alike, so one is compiled."""
    depth = model.config.num_hidden_layers
    lists = (m for m in model.base_model.modules() if isinstance(m, torch.nn.ModuleList))
    layers = next((some for some in lists if len(some) == depth), None)
    if layers is None:
        raise ValueError(f"{type(model).__name__} has no list of layers that could be compiled")
    for layer in layers:
        layer.compile()
    try:
        yield
    finally:
        for layer in layers:
            layer._compiled_call_impl = None


def pretrain(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    blocks: np.ndarray,
    *,
    masking: Masking,
    settings: Settings,
    out: str | Path,
    held_out: np.ndarray | None = None,
    device: str | None = None,
    progress: bool = True,
    callbacks: Sequence[TrainerCallback] = (),
    trainer: Callable[..., MaskedTrainer] | None = None,
) -> dict[str, Any]:
    """Train a model on packed blocks, in place; continue if ``out`` holds a checkpoint.

    Under ``torchrun`` the processes share each step: ``--nproc_per_node=2`` with batches of 8 is
    the same training as one process with batches of 16.

    Args:
        model: a masked language model whose vocabulary is the tokenizer's.
        tokenizer: WordPiece tokenizer with ``[MASK]``.
        blocks: (N, T) from ``pack``.
        masking: what to mask.
        settings: how to train.
        out: folder of checkpoints and of ``log.jsonl``.
        held_out: blocks on which the model is tested after the steps ``settings.evaluate_at``;
            the answers stand in the log.
        device: ``cpu`` keeps off a GPU that is there; by default ``Trainer`` chooses.
        progress: show a progress bar.
        callbacks: of ``Trainer``, to look on while it trains.
        trainer: what makes the trainer, for one with another loss than ``MaskedTrainer``'s.

    Returns:
        Steps, tokens, seconds of this call, mean loss, tokens per second, and ``held_out``: step →
        loss and accuracy.

    Raises:
        ValueError: an id in the blocks is not in the model's vocabulary, or they are longer than
            its window; or the device cannot do what is asked.
        DataError: the checkpoint in ``out`` is of another vocabulary.
        FloatingPointError: the loss is NaN or infinite.
        OSError: a checkpoint could not be saved; the one before it is kept.
    """
    vocabulary = model.get_input_embeddings().num_embeddings
    if vocabulary != len(tokenizer) or int(blocks.max()) >= vocabulary:
        raise ValueError(
            f"model of {vocabulary} pieces, tokenizer of {len(tokenizer)}, blocks with id "
            f"{int(blocks.max())}: all three must share one vocabulary"
        )
    check_window(model, blocks.shape[1])
    if settings.evaluate_at and held_out is None:
        raise ValueError(f"evaluate_at is {settings.evaluate_at}, but there are no held_out blocks")
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = last_checkpoint(out)
    if checkpoint:
        check_vocabulary(checkpoint, tokenizer)
        log.info("continuing from %s", checkpoint)
    args = arguments_of(settings, out, device)
    place(model, args.device)
    if settings.dropout is not None:
        set_dropout(model, settings.dropout)
    tokens_per_step = settings.batch * settings.accumulate * blocks.shape[1] * args.world_size

    def examine(model: PreTrainedModel) -> dict[str, float]:
        assert held_out is not None  # or there are no steps to examine at
        return evaluate_mlm(model, tokenizer, held_out, masking=QUESTION)

    recorder = Recorder(
        out=out,
        save_minutes=settings.save_minutes,
        tokens_per_step=tokens_per_step,
        progress=progress,
        examine=examine,
        examine_at=settings.evaluate_at,
    )
    training = (trainer or MaskedTrainer)(
        model=model,
        args=args,
        blocks=blocks,
        tokenizer=tokenizer,
        masking=masking,
        embedding_rate=settings.embedding_rate,
        callbacks=[recorder, *callbacks],
    )
    for callback in list(training.callback_handler.callbacks):
        if type(callback).__name__ in ("PrinterCallback", "ProgressCallback"):
            training.remove_callback(type(callback))
    started = time.monotonic()
    with compiled(model) if settings.compile else nullcontext():
        result = training.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    seconds = time.monotonic() - started
    model.eval()
    return {
        "steps": result.global_step,
        "tokens": result.global_step * tokens_per_step,
        "seconds": round(seconds, 1),
        "loss": result.training_loss,
        "tokens_per_second": round(
            (result.global_step - recorder.first)
            * tokens_per_step
            / max(seconds - recorder.tested, 1e-9)
        ),
        "held_out": recorder.examined,
        "settings": json.loads(json.dumps(asdict(settings))),  # as it will stand in a file
    }


def check_window(model: PreTrainedModel, length: int) -> None:
    """ValueError if blocks are longer than the positions that a model knows."""
    most = getattr(model.config, "max_position_embeddings", length)
    if length > most:
        raise ValueError(f"blocks of {length} pieces, but the model knows {most} positions")


def arguments_of(settings: Settings, out: Path, device: str | None) -> TrainingArguments:
    """The settings as ``Trainer`` wants them."""
    found = check_device(device, settings.precision)
    kind = precision_for(found, settings.precision)
    scheduler, extra = SCHEDULES[settings.schedule]
    args = TrainingArguments(
        output_dir=str(out),
        max_steps=settings.steps,
        per_device_train_batch_size=settings.batch,
        gradient_accumulation_steps=settings.accumulate,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=scheduler,
        lr_scheduler_kwargs=extra(settings.steps),
        warmup_steps=round(settings.warmup * settings.steps),
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
        use_cpu=found == "cpu",
        ddp_find_unused_parameters=False,
        disable_tqdm=True,
        report_to=[],
        remove_unused_columns=False,
        dataloader_num_workers=settings.loader_workers,
        dataloader_pin_memory=found != "cpu",
    )
    if args.n_gpu > 1:
        args._n_gpu = 1  # several GPUs are for torchrun: one process for all of them is slower
    return args
