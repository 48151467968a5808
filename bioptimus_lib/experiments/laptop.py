"""The pipeline's run for an experiment: the laptop profile, with the sizes of a setting."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bioptimus_lib.experiments.cells import Setting

if TYPE_CHECKING:
    from bioptimus_lib.pipeline import Run


def laptop_run(setting: Setting, name: str, *, seed: int = 0, **sizes: Any) -> Run:
    """A run in a folder of the experiment, never by the clock.

    Args:
        name: of the folder.
        seed: of everything in the run that is random.
        sizes: of the profile, beside those that the setting gives.
    """
    from bioptimus_lib.experiments.text import corpus
    from bioptimus_lib.pipeline import Run
    from bioptimus_lib.profile import PROFILES

    laptop = replace(
        PROFILES["laptop"], backbone=setting.model, corpus_mb=setting.megabytes,
        contexts=setting.contexts, calibration_words=setting.words, **sizes,
    )  # fmt: skip
    return Run(
        setting.out / name, profile=laptop, minutes=0, seed=seed, progress=setting.progress,
        corpus=None if setting.corpus == laptop.corpus else str(corpus(setting)),
        device="cpu" if setting.device == "cpu" else None,
    )  # fmt: skip
