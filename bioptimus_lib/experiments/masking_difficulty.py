"""Is the curriculum easy to hard? One fixed model under the masks of each phase, on real text.

A cell is a model and a seed of the masks. The models are the old one as it is, and the same after
some steps of the first phase: one that has never read such text may find all of it equally hard.
Controls change one thing at a time: the same unit and rate, and every guess hidden.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from bioptimus_lib.curriculum import PHASES
from bioptimus_lib.experiments.cells import Setting
from bioptimus_lib.masking import Masking

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ABOUT = "loss, accuracy and leakage under the masks of each phase, for one fixed model"
METRICS = ["loss", "accuracy", "leak", "loss_hidden", "loss_replaced", "loss_kept", "gain"]
MODELS = ("old", "trained")
LENGTH, BLOCKS, BATCH = 128, 256, 16
CONTROLS = (
    Masking("token", 0.15, False), Masking("word", 0.15, False), Masking("word", 0.40, False),
)  # fmt: skip
FATES = ("hidden", "replaced", "kept")


def cells(setting: Setting) -> list[str]:
    """A cell for each model and seed of the masks."""
    return [f"{model}-{seed}" for seed in range(setting.seeds) for model in MODELS]


def run(setting: Setting, cell: str) -> Iterator[dict[str, Any]]:
    """A row for each phase and control, and one for what the siblings are worth."""
    from bioptimus_lib.guesses import difficulty, sibling_gain

    which, seed = cell.rsplit("-", 1)
    model, tokenizer = _model(setting, which)
    blocks = packed(setting, tokenizer, "test")[:BLOCKS]
    settings = {f"{p.version}: {p.masking}": p.masking for p in PHASES}
    settings |= {f"control: {masking}": masking for masking in CONTROLS}
    common = {"model": _name(setting, which), "dataset": setting.text_name, "seed": int(seed)}
    found = difficulty(model, tokenizer, blocks, settings, seeds=[int(seed)])
    for variant, (some,) in found.items():
        metrics: dict[str, float] = {**some.score()}
        several = some.size > 1
        metrics["several"] = several.double().mean().item()
        metrics["leak"] = some.leak[several].double().mean().item()
        for number, fate in enumerate(FATES):
            if (some.fate == number).any():
                part = some.score(some.fate == number)
                metrics |= {f"loss_{fate}": part["loss"], f"accuracy_{fate}": part["accuracy"]}
        yield {**common, "variant": variant, "metrics": _rounded(metrics)}
    worth = sibling_gain(model, tokenizer, blocks, seed=int(seed))
    yield {**common, "variant": "siblings put back", "metrics": _rounded({
        "accuracy_hidden": worth["hidden"]["accuracy"], "loss_hidden": worth["hidden"]["loss"],
        "accuracy_visible": worth["visible"]["accuracy"], "loss_visible": worth["visible"]["loss"],
        "gain": worth["gain"]["accuracy"], "gain_error": worth["gain"]["error"],
        "gain_first": worth["gain"]["first"], "gain_others": worth["gain"]["others"],
        "guesses": worth["hidden"]["guesses"],
    })}  # fmt: skip


def _rounded(metrics: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 5) for name, value in metrics.items()}


def _name(setting: Setting, which: str) -> str:
    name = setting.model_name
    return name if which == "old" else f"{name}, {setting.steps} steps of v0.1"


def packed(setting: Setting, tokenizer: PreTrainedTokenizerBase, name: str) -> np.ndarray:
    """Blocks of the text to ``fit`` or to ``test`` on, in the vocabulary of the old model."""
    from bioptimus_lib.experiments.text import two_texts
    from bioptimus_lib.packing import pack
    from bioptimus_lib.stages import read_documents

    documents = read_documents(two_texts(setting)[name])
    return pack((" ".join(document) for document in documents), tokenizer, length=LENGTH)


@lru_cache(2)
def _model(setting: Setting, which: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The old model, or what some steps of the first phase make of it; trained once."""
    from bioptimus_lib.experiments.recovery import old_model
    from bioptimus_lib.models import load_masked_lm, place, save_model
    from bioptimus_lib.pretrain import Settings, pretrain

    if which == "old":
        return old_model(setting)
    kept = setting.out / f"trained-{setting.steps}"
    if not kept.exists():
        model, tokenizer = old_model(setting)
        pretrain(
            model, tokenizer, packed(setting, tokenizer, "fit"), masking=PHASES[0].masking,
            settings=Settings(steps=setting.steps, batch=BATCH, learning_rate=1e-3),
            out=setting.out / f"training-{setting.steps}", progress=setting.progress,
            device="cpu" if setting.device == "cpu" else None,
        )  # fmt: skip
        save_model(model, tokenizer, kept)
    model, tokenizer = load_masked_lm(kept)
    return place(model, setting.device), tokenizer
