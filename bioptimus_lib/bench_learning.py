"""What ``bench pretrain`` asks beside speed: is the loss that of the dense computation, what does a
step take in memory, and does packed text teach as much as single sentences?
"""

from __future__ import annotations

import copy
import math
import pickle
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioptimus_lib.bench_pretrain import SIDES, Side, Text, random_model, text_of
from bioptimus_lib.machine import peak_memory

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

STEPS = 5  # of the comparison with the dense loss
ROWS = 2048  # single sentences that are held out


def difference(
    shape: str, text: Text, vocabulary: int, *, batch: int, device: str = "cpu"
) -> float:
    """The largest difference between our loss and that of the stock model, given the same masks,
    in some steps of training: both train on, each by its own gradient."""
    losses: dict[str, list[float]] = {}
    model = random_model(shape, vocabulary, text.blocks.shape[1])
    with tempfile.TemporaryDirectory() as temporary:
        for name in ("ours", "dense"):
            side = Side(
                "ours", copy.deepcopy(model), text, batch=batch, precision="fp32", device=device,
                out=Path(temporary), steps=STEPS,
            )  # fmt: skip
            if name == "dense":
                vars(side.trainer)["compute_loss"] = _dense_loss(side.trainer)
            for _ in range(STEPS):
                side.advance(1)
            losses[name] = side.losses
    return float(f"{max(abs(a - b) for a, b in zip(*losses.values(), strict=True)):.2g}")


def _dense_loss(trainer: Any) -> Callable[..., torch.Tensor]:
    """The loss as the stock model computes it: logits at all positions."""

    def compute(model: PreTrainedModel, inputs: dict[str, Any], **_: Any) -> torch.Tensor:
        ids, labels = trainer.draw(inputs["input_ids"])
        loss: torch.Tensor = model(input_ids=ids, labels=labels).loss
        return loss

    return compute


def megabytes(
    shape: str, text: Text, vocabulary: int, batch: int, precision: str, device: str
) -> dict[str, float]:
    """Peak memory that steps of each side add to the loaded model, each in a process of its own,
    and what ours takes of the stock step's."""
    found = {}
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "text"
        few = replace(text, blocks=text.blocks[: 8 * batch], rows=text.rows[: 100 * batch])
        file.write_bytes(pickle.dumps(few))
        for name in SIDES:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                job = pool.submit(
                    step_megabytes, name, shape, file, vocabulary, batch, precision, device
                )
                found[f"{name} {precision} MB"] = round(job.result(), 1)
    ours, dense, _ = found.values()
    if math.isnan(ours):
        return {}
    return {**found, f"memory of ours / dense {precision}": round(ours / dense, 3)}


def step_megabytes(
    name: str, shape: str, file: Path, vocabulary: int, batch: int, precision: str, device: str
) -> float:
    """What three steps add to the peak memory of this process, or of the GPU."""
    import torch

    text = pickle.loads(file.read_bytes())  # our own, made a moment ago
    model = random_model(shape, vocabulary, text.blocks.shape[1])
    with tempfile.TemporaryDirectory() as temporary:
        side = Side(
            name, model, text, batch=batch, precision=precision, device=device,
            out=Path(temporary), steps=100,
        )  # fmt: skip
        if device == "cuda":
            before = torch.cuda.memory_allocated()
            side.advance(3)
            return (torch.cuda.max_memory_allocated() - before) / 1e6
        at_first = peak_memory()
        side.advance(3)
        return (peak_memory() - at_first) / 1e6


# -- learning --------------------------------------------------------------------------------------


def learn(
    documents: Sequence[Sequence[str]], *, steps: int, device: str, batch: int = 16,
    length: int = 128, progress: bool = False,
) -> dict[str, float]:  # fmt: skip
    """Held-out loss of pocket BERT after equal pieces of packed text and of single sentences.

    Both are asked on packed text and on single sentences, with the same masks: each form favours
    the model that was trained on it.
    """
    from tqdm.auto import tqdm

    from bioptimus_lib.models import load_masked_lm
    from bioptimus_lib.pretrain import QUESTION, evaluate_mlm
    from bioptimus_lib.sources import model_path

    model, tokenizer = load_masked_lm(model_path("pocket-bert"))
    test = text_of(documents[49::50], tokenizer, length)
    train = text_of([d for n, d in enumerate(documents) if n % 50 != 49], tokenizer, length)
    found: dict[str, float] = {}
    for name in ("start", "ours", "rows"):
        student = copy.deepcopy(model)
        if name != "start":
            with tempfile.TemporaryDirectory() as temporary:
                side = Side(
                    name, student, train, batch=batch, precision="fp32", device=device,
                    out=Path(temporary), steps=steps, learning_rate=5e-4,
                )  # fmt: skip
                for _ in tqdm(range(steps), desc=name, unit="step", disable=not progress):
                    side.advance(1)
            found[f"{name} tokens"] = sum(side.counts)
        packed = evaluate_mlm(student, tokenizer, test.blocks[:512], masking=QUESTION)
        found[f"{name} loss, packed"] = round(packed["loss"], 4)
        found[f"{name} loss, rows"] = round(rows_loss(student, test), 4)
    for form in ("packed", "rows"):
        gap = found[f"ours loss, {form}"] - found[f"rows loss, {form}"]
        found[f"difference, {form}"] = round(gap, 4)
    return found


def rows_loss(model: PreTrainedModel, text: Text, *, seed: int = 0, batch: int = 64) -> float:
    """Loss of a model on single sentences, in nats per masked piece."""
    import torch

    from bioptimus_lib.early_exit import padded
    from bioptimus_lib.masking import PieceTable, generator_for, mask
    from bioptimus_lib.pretrain import QUESTION

    tokenizer, device, total, count = text.tokenizer, model.device, 0.0, 0
    pieces = PieceTable.of(tokenizer).to(device)
    model.eval()
    for first in range(0, min(ROWS, len(text.rows)), batch):
        ids, seen = padded(text.rows[first : first + batch], tokenizer.pad_token_id)
        ids, seen = ids.to(device), seen.to(device)
        inputs, labels = mask(ids, QUESTION, pieces, generator=generator_for(seed, first))
        with torch.inference_mode():
            logits = model(input_ids=inputs, attention_mask=seen).logits
        chosen = labels >= 0
        total += torch.nn.functional.cross_entropy(
            logits[chosen].float(), labels[chosen], reduction="sum"
        ).item()
        count += int(chosen.sum())
    return total / count
