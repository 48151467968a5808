"""What every fine-tuning shares: settings, a head on an encoder, parameter groups, the loop.

The loop knows nothing of a task. It is told how long the training texts are, what the loss of some
of them is, and how to score on devel; it keeps the weights of the best epoch. The batches are drawn
before the first step, so the same seed gives the same numbers on a CPU.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bioptimus_lib.batching import Batching, Layout, check_batching
from bioptimus_lib.errors import DataError
from bioptimus_lib.models import load_masked_lm, precision_for

if TYPE_CHECKING:
    import torch
    from torch.optim import Optimizer
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger(__name__)
#: Changes a model before training if it likes, and says which parameters learn how fast.
Groups = Callable[["PreTrainedModel", Any], list[dict[str, Any]]]
#: Makes an optimiser for such groups.
MakeOptimizer = Callable[[list[dict[str, Any]]], "Optimizer"]


@dataclass(frozen=True)
class FitSettings:
    """How to fine-tune.

    Args:
        epochs: passes over the training texts.
        batch_tokens: pieces in a batch; with padding where texts are sorted by length (``sorted``,
            ``pools``), without it elsewhere.
        batching: which texts make a batch, and how they lie in it: a row of
            ``batching.BATCHINGS``.
        learning_rate: peak; rises over the warm-up, then falls linearly to 0.
        head_learning_rate: of the new classifier; ``None`` for the same.
        warmup: share of the steps over which the rate rises.
        weight_decay: AdamW's, not applied to biases and layer norms.
        dropout: probability in training; ``None`` keeps the model's own.
        clip: largest norm of a gradient.
        max_length: most pieces that are read at once; ``None`` for all that the model has.
        precision: ``fp32``, ``bf16``, ``fp16`` or ``auto`` (what the device does fast).
        seed: of classifier, data order and dropout.
    """

    epochs: int = 3
    batch_tokens: int = 1024
    batching: str = "packed"
    learning_rate: float = 6e-4
    head_learning_rate: float | None = None
    warmup: float = 0.1
    weight_decay: float = 0.01
    dropout: float | None = None
    clip: float = 1.0
    max_length: int | None = None
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, it must be at least 1")
        if not self.learning_rate > 0 or not 0 <= self.warmup <= 1 or not self.clip > 0:
            raise ValueError(
                f"learning_rate {self.learning_rate} and clip {self.clip} must be above 0, "
                f"warmup {self.warmup} from 0 to 1"
            )
        if (self.head_learning_rate or 0) < 0 or self.weight_decay < 0:
            raise ValueError(
                f"head_learning_rate {self.head_learning_rate} and weight_decay "
                f"{self.weight_decay} cannot be below 0"
            )
        if not 0 <= (self.dropout or 0) < 1:
            raise ValueError(f"dropout is {self.dropout}, it must be from 0 to below 1")
        if self.max_length is not None and self.max_length < 1:
            raise ValueError(f"max_length is {self.max_length}, it must be at least 1")
        if self.precision not in ("auto", "fp32", "bf16", "fp16"):
            raise ValueError(f"precision {self.precision!r}: choose auto, fp32, bf16 or fp16")
        check_batching(self.batching)


#: How to fine-tune a model of at most so many hidden units. The first row was searched on the devel
#: set of NCBI-disease with an early pocket BERT (rates 2.5e-4, 6e-4 and 1.5e-3 gave F1 72.5, 75.1
#: and 70.6 after three epochs, one seed each); the last is as published (LinkBERT's scripts for the
#: same set: 20 epochs, 5e-5, batches of 32); the second lies between and was not searched.
RECIPES: dict[int, dict[str, Any]] = {
    320: {"epochs": 3, "learning_rate": 6e-4, "batch_tokens": 1024},
    512: {"epochs": 8, "learning_rate": 1e-4, "batch_tokens": 1024},
    10**9: {"epochs": 20, "learning_rate": 5e-5, "batch_tokens": 2048},
}


def recipe_of(model: str | Path | PreTrainedModel) -> dict[str, Any]:
    """The row of ``RECIPES`` for a model or a folder.

    Raises:
        FileNotFoundError: no model in the folder.
    """
    if isinstance(model, str | Path):
        file = Path(model) / "config.json"
        if not file.is_file():
            raise FileNotFoundError(f"{model} holds no model (no config.json)")
        config = json.loads(file.read_text(encoding="utf-8"))
        size = config.get("hidden_size") or config.get("dim") or 768
    else:
        size = model.config.hidden_size
    return next(row for largest, row in RECIPES.items() if size <= largest)


# --- a model -----------------------------------------------------------------------------------


def head_on(
    model: str | Path | tuple[PreTrainedModel, PreTrainedTokenizerBase],
    labels: Sequence[str],
    kind: Any,
    *,
    seed: int,
    new: tuple[str, ...] = (),
    **config: Any,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A new head on the encoder of a folder, or of a model in memory, which stays as it is.

    What is new depends on the seed alone, and afterwards torch's generator does too.

    Args:
        labels: what the outputs stand for.
        kind: an ``AutoModelFor…`` class, which knows the head.
        new: beginnings of the names of weights of the encoder that may be new, such as a pooler.
        config: further values of the model's configuration.

    Raises:
        FileNotFoundError: no such folder, or no model in it.
        DataError: no safetensors, a NaN among the weights, or a tokenizer of another size.
    """
    import torch

    source, tokenizer = model if isinstance(model, tuple) else load_masked_lm(model)
    shape = type(source.config).from_dict(source.config.to_dict())
    shape.id2label = dict(enumerate(labels))
    shape.label2id = {label: i for i, label in enumerate(labels)}
    for name, value in config.items():
        setattr(shape, name, value)
    torch.manual_seed(seed)
    made = kind.from_config(shape, dtype=torch.float32)
    found = made.base_model.load_state_dict(source.base_model.state_dict(), strict=False)
    missing = [name for name in found.missing_keys if not name.startswith(new)]
    if missing:
        raise DataError(f"the model lacks the weights {missing[:3]} of its encoder")
    torch.manual_seed(seed)
    return made, tokenizer


def window_of(model: Any, tokenizer: Any, wanted: int | None = None) -> int:
    """Pieces that a model can read at once, special ones included; at most ``wanted``."""
    sizes = (wanted, getattr(model.config, "max_position_embeddings", None))
    return min(int(size) for size in (*sizes, tokenizer.model_max_length) if size)


def grad_scaler(device: Any, precision: str) -> torch.amp.GradScaler:
    """What keeps small gradients from becoming zero in fp16; with other numbers it does nothing."""
    import torch

    half = precision_for(device, precision) == "fp16"
    return torch.amp.GradScaler(torch.device(device).type, enabled=half)


def decay_groups(model: PreTrainedModel, settings: FitSettings) -> list[dict[str, Any]]:
    """The usual groups: weight decay for matrices alone, the classifier at its own rate."""
    own = settings.head_learning_rate
    head_rate = settings.learning_rate if own is None else own
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            rate = settings.learning_rate if name.startswith(model.base_model_prefix) else head_rate
            decay = settings.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((rate, decay), []).append(parameter)
    return [{"params": p, "lr": lr, "weight_decay": d} for (lr, d), p in groups.items()]


def adamw(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """The usual optimiser of such groups."""
    import torch

    return torch.optim.AdamW(groups, fused=True)


# --- the loop ----------------------------------------------------------------------------------


class Fitted(NamedTuple):
    """What training gave: a row for each epoch, the number of the best one (from 1), and pieces per
    second of training."""

    rows: list[dict[str, float]]
    best: int
    speed: float


def fit(
    model: PreTrainedModel,
    settings: FitSettings,
    *,
    lengths: Sequence[int],
    loss_of: Callable[[np.ndarray, Layout], torch.Tensor],
    devel: Callable[[], Mapping[str, float]],
    choose: str,
    batching: Batching,
    groups: Groups = decay_groups,
    make: MakeOptimizer = adamw,
    progress: bool = False,
) -> Fitted:
    """Train in place; leaves the model with the weights of the best epoch.

    Args:
        lengths: pieces of each training text.
        loss_of: the loss of some training texts, by their indices and how they lie in rows.
        devel: scores on devel of the model as it is.
        choose: the score by which the best epoch is chosen; the first of equals.
        groups, make: as in ``ner.fine_tune``.

    Raises:
        FloatingPointError: the loss is NaN or infinite.
    """
    import torch
    from tqdm.auto import tqdm

    device = model.device
    generator = np.random.default_rng(settings.seed)
    plan = [
        batching.draw(lengths, budget=settings.batch_tokens, generator=generator)
        for _ in range(settings.epochs)
    ]
    steps = sum(map(len, plan))
    rise = max(1, round(settings.warmup * steps))
    optimizer = make(groups(model, settings))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / rise, (steps - step) / max(1, steps - rise))
    )
    scaler = grad_scaler(device, settings.precision)
    rows: list[dict[str, float]] = []
    best, kept, seen, spent = 0, {}, 0, 0.0
    bar = tqdm(total=steps, unit="step", disable=not progress, mininterval=1.0)
    for epoch, members_of in enumerate(plan, start=1):
        model.train()
        started, total = time.perf_counter(), torch.zeros((), device=device)
        for members in members_of:
            loss = loss_of(members, batching.lay([lengths[i] for i in members]))
            step(model, loss, optimizer, scaler, clip=settings.clip)
            schedule.step()
            total += loss.detach()
            seen += sum(lengths[i] for i in members)
            bar.update()
        mean = total.item() / len(members_of)
        spent += time.perf_counter() - started
        if not np.isfinite(mean):
            raise FloatingPointError(
                f"the loss is {mean} in epoch {epoch}: lower the learning rate "
                f"({settings.learning_rate})"
            )
        row = dict(devel())
        seconds = round(time.perf_counter() - started, 2)
        rows.append({"epoch": epoch, "loss": mean, **row, "seconds": seconds,
                     "steps": len(members_of)})  # fmt: skip
        log.info("epoch %d: loss %.4f, devel %s %.2f", epoch, mean, choose, row[choose])
        bar.set_postfix({"loss": f"{mean:.3f}", f"devel_{choose}": f"{row[choose]:.2f}"})
        if not best or row[choose] > rows[best - 1][choose]:
            best = epoch
            kept = {name: value.clone() for name, value in model.state_dict().items()}
    bar.close()
    model.load_state_dict(kept)
    return Fitted(rows, best, seen / max(spent, 1e-9))


def step(
    model: PreTrainedModel,
    loss: torch.Tensor,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    *,
    clip: float,
) -> None:
    """A step of the optimiser down the gradient of a loss."""
    import torch

    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
