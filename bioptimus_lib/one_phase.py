"""One phase of a curriculum: train a model on packed blocks, test it on held-out ones, save it.

The pipeline, a text of one's own, students and the arms of the experiments all train here, so that
all are tested with the same question.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioptimus_lib.curriculum import PHASES
from bioptimus_lib.machine import is_first

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bioptimus_lib.masked_trainer import MaskedTrainer
    from bioptimus_lib.masking import Masking
    from bioptimus_lib.pretrain import Settings

Row = dict[str, Any]
HELD_OUT_BLOCKS = 512
LOGGED = 40  # points of a phase's loss curve
PROBE_STEPS = 30  # training steps that measure the speed of a device
SPARE = 0.93  # share of the minutes that is planned with


def train_version(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    blocks: np.ndarray,
    held_out: np.ndarray,
    *,
    masking: Masking,
    settings: Settings,
    training: Path,
    goal: Path,
    device: str | None = None,
    progress: bool = True,
    trainer: Callable[..., MaskedTrainer] | None = None,
) -> Row:
    """Train a model on packed blocks, test it on held-out ones, and save it.

    Args:
        training: folder of the log, and of checkpoints until the model is saved.
        goal: folder of the model.
        trainer: what makes the trainer, for one with another loss.

    Returns:
        What is worth telling of it; ``held_out`` has loss and accuracy at the end, and
        ``held_out_at`` at the steps at which the settings ask for them.
    """
    from bioptimus_lib.masked_trainer import SAVING
    from bioptimus_lib.models import save_model
    from bioptimus_lib.pretrain import QUESTION, evaluate_mlm, pretrain

    held_out = held_out[:HELD_OUT_BLOCKS]
    result = pretrain(
        model,
        tokenizer,
        blocks,
        masking=masking,
        settings=settings,
        out=training,
        held_out=held_out,
        device=device,
        progress=progress,
        trainer=trainer,
    )
    # The same question to all versions, so that their losses can be compared with each other.
    at = result["held_out"]
    score = at.get(result["steps"]) or evaluate_mlm(model, tokenizer, held_out, masking=QUESTION)
    if is_first():
        save_model(model, tokenizer, goal)
        for checkpoint in (*training.glob("checkpoint-*"), training / SAVING):
            shutil.rmtree(checkpoint, ignore_errors=True)
    return {
        "size": f"{result['tokens']:,} pieces",
        "measure": f"held-out loss {score['loss']:.3f}, accuracy {score['accuracy']:.1%}",
        "masking": str(masking),
        **{key: result[key] for key in ("steps", "tokens", "tokens_per_second")},
        "held_out": score,
        **({"held_out_at": at} if at else {}),
    }


def measured_speed(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    blocks: np.ndarray,
    *,
    settings: Settings,
    device: str | None = None,
) -> float:
    """Pieces a second in some training steps on this device, after which the model is spent."""
    from bioptimus_lib.pretrain import pretrain

    probe = replace(settings, steps=PROBE_STEPS, save_minutes=1e9, save_steps=0, evaluate_at=())
    with tempfile.TemporaryDirectory(prefix="probe.") as temporary:
        result = pretrain(
            model,
            tokenizer,
            blocks,
            masking=PHASES[-1].masking,
            settings=probe,
            out=temporary,
            device=device,
            progress=False,
        )
    return float(result["tokens_per_second"])
