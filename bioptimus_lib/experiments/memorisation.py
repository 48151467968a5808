"""Memorisation at scale: exposure of made-up names by how often they stand in the notes.

A cell is a seed: it draws the names and where they stand. Two models are trained from the same
start on the same generated notes, one with the canaries and one without. Both are asked for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bioptimus_lib.experiments.cells import Setting
from bioptimus_lib.experiments.inputs import model_folder, weights

ABOUT = "exposure of canaries in generated notes, read 1 to 256 times, and by a model without them"
METRICS = ["exposure", "first", "completed"]
TIMES = (0, 1, 4, 16, 64, 256)
EACH = 5  # canaries for each number of times
NOTES = 2000
READ, NEVER = "canaries in its text", "text without them"


def cells(setting: Setting) -> list[str]:
    """A cell for each seed."""
    return [str(seed) for seed in range(setting.seeds)]


def data(setting: Setting) -> list[Path]:
    """The notes are generated, so the weights alone."""
    return weights(setting)


def run(setting: Setting, cell: str) -> Iterator[dict[str, Any]]:
    """A row for each model and number of times: means over its canaries."""
    from bioptimus_lib.clinical_steps import note_lines
    from bioptimus_lib.memorisation import (
        canaries_of,
        look,
        made_up_names,
        planted,
        trained_on,
    )
    from bioptimus_lib.models import load_masked_lm
    from bioptimus_lib.pretrain import Settings

    seed, start = int(cell), load_masked_lm(model_folder(setting))
    names = made_up_names(start[1])
    canaries = canaries_of(names, TIMES, each=EACH, seed=seed)
    lines = note_lines(NOTES, seed=seed)
    texts = {READ: planted(lines, canaries, seed=seed), NEVER: lines}
    settings = Settings(steps=setting.steps, batch=16, learning_rate=1e-3, seed=seed)
    for name, some in texts.items():
        place = setting.out / "memorisation" / f"training-{cell}-{'read' if name == READ else 'no'}"
        model = trained_on(start, some, settings=settings, out=place, device=setting.device)
        found = look(model, start[1], canaries, names)
        for times in TIMES:
            own = [one for one in found if one.times == times]
            yield {
                "model": setting.model_name, "dataset": "generated notes", "seed": seed,
                "variant": f"{name}, {times} times", "times": times, "steps": setting.steps,
                "metrics": {
                    "exposure": round(float(np.mean([one.exposure for one in own])), 4),
                    "most": round(float(np.log2(len(names))), 4),
                    "first": sum(one.rank == 1 for one in own) / len(own),
                    "completed": sum(one.completed for one in own) / len(own),
                },
            }  # fmt: skip
