"""A training in parts, one after the other, that is kept part by part."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bioptimus_lib.experiments.cells import Row
from bioptimus_lib.files import atomic_write

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bioptimus_lib.masking import Masking
    from bioptimus_lib.pipeline import Run
    from bioptimus_lib.pretrain import Settings


def train_course(
    run: Run,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    blocks: np.ndarray,
    held_out: np.ndarray,
    course: Mapping[str, tuple[Masking, Settings]],
    *,
    folder: Path,
    progress: bool = True,
) -> list[Row]:
    """Train a model through all parts; a part that is done is not done again.

    Args:
        run: says on which device.
        course: name of a part, which is that of its model's folder → what to mask, how to train.
        folder: of the models, of ``<part>.json`` and of the training's logs.

    Returns:
        For each part what ``train_version`` gives, with its ``seconds``.
    """
    from bioptimus_lib.models import load_masked_lm, place
    from bioptimus_lib.one_phase import train_version

    logs = {name: folder / f"{name}.json" for name in course}
    todo = [name for name, log in logs.items() if not log.exists()]
    done = [name for name in course if name not in todo]
    if todo and done:
        model = place(load_masked_lm(folder / done[-1])[0], run.torch_device)
    for name in todo:
        masking, settings = course[name]
        started = time.monotonic()
        row = train_version(
            model, tokenizer, blocks, held_out, masking=masking, settings=settings,
            training=folder / "training" / name, goal=folder / name,
            device=run.device, progress=progress,
        )  # fmt: skip
        with atomic_write(logs[name]) as file:
            json.dump(row | {"seconds": round(time.monotonic() - started, 1)}, file)
    return [json.loads(log.read_text(encoding="utf-8")) for log in logs.values()]
