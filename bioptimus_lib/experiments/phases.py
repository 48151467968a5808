"""The four phases at scale: losses of every version, and the entity F1 that each leads to.

Every seed is a run of the pipeline of its own (``laptop``, with as many megabytes and steps a phase
as the setting says), so vocabulary, sample, masks and order of the text differ between seeds. The
control goes through the same phases with the old vocabulary. Each version is fine-tuned with
several seeds, which tells the noise of fine-tuning from that of pre-training.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bioptimus_lib.curriculum import PHASES
from bioptimus_lib.experiments.cells import Setting, grouped
from bioptimus_lib.experiments.laptop import laptop_run

if TYPE_CHECKING:
    from bioptimus_lib.pipeline import Run

ABOUT = "losses and entity F1 of v0.1 to v0.4, beside the old model and a control"
METRICS = ["loss", "accuracy", "f1", "devel_f1"]
OLD, CONTROL = "old", "continued"
TRAINED = (*(phase.version for phase in PHASES), CONTROL)
FINE_TUNINGS = 5  # seeds of fine-tuning for each model
TAG = "ner"


def cells(setting: Setting) -> list[str]:
    """A cell for each model and seed, then one for each of its fine-tunings."""
    names = []
    for seed in range(setting.seeds):
        names += [f"{model}-{seed}" for model in TRAINED]
        models = TRAINED if seed else (OLD, *TRAINED)  # the old model is the same for all
        names += [
            f"{TAG}-{model}-{seed}-{again}" for again in range(FINE_TUNINGS) for model in models
        ]
    return names


def rounds(_: Setting, cells: list[str]) -> list[list[list[str]]]:
    """The runs of all seeds at once."""
    return [grouped(cells, lambda cell: cell.removeprefix(f"{TAG}-").split("-")[1])]


def run(setting: Setting, cell: str) -> Iterator[dict[str, Any]]:
    """The row of a cell."""
    if not cell.startswith(f"{TAG}-"):
        model, seed = cell.rsplit("-", 1)
        yield pre_trained(run_of(setting, int(seed)), model, setting, seed=int(seed))
    else:
        model, seed, again = cell.removeprefix(f"{TAG}-").rsplit("-", 2)
        yield tagged(run_of(setting, int(seed)), model, setting, seed=int(seed), again=int(again))


def run_of(setting: Setting, seed: int) -> Run:
    """The run of a seed, in the folder of the experiment."""
    return laptop_run(setting, f"run-{seed}", seed=seed, phase_steps=setting.steps)


def pre_trained(run: Run, model: str, setting: Setting, *, seed: int) -> dict[str, Any]:
    """The losses of a version, on held-out text under the same masks, and under each phase's."""
    from bioptimus_lib.pretrain import evaluate_mlm
    from bioptimus_lib.stages import HELD_OUT_BLOCKS, packed

    stage = CONTROL if model == CONTROL else f"phase{TRAINED.index(model) + 1}"
    done = run.stage(stage)
    network, tokenizer = run.load(model)
    vocabulary = "old" if model == CONTROL else "new"
    blocks = packed(run, "held-out", tokenizer, vocabulary)[:HELD_OUT_BLOCKS]
    metrics = {name: round(done["held_out"][name], 4) for name in ("loss", "accuracy")}
    for phase in PHASES:
        found = evaluate_mlm(network, tokenizer, blocks, masking=phase.masking)
        metrics[f"loss_phase{phase.number}"] = round(found["loss"], 4)
    return {
        "model": model, "dataset": setting.text_name, "seed": seed, "variant": "pre-training",
        "metrics": metrics | {"tokens_per_second": done["tokens_per_second"]},
        "steps": done["steps"], "tokens": done["tokens"], "curve": run.losses(model),
    }  # fmt: skip


def tagged(run: Run, model: str, setting: Setting, *, seed: int, again: int) -> dict[str, Any]:
    """F1 of a version on the run's NER set; the epoch was chosen on devel."""
    from bioptimus_lib.fine_tunings import ner_settings, ner_splits
    from bioptimus_lib.ner import fine_tune

    done = fine_tune(
        run.folder(model), ner_splits(run),
        settings=ner_settings(run.profile, seed=1000 * seed + again), device=run.device,
    )  # fmt: skip
    return {
        "model": model, "dataset": run.profile.ner, "seed": 1000 * seed + again,
        "variant": "fine-tuned", "metrics": done.metrics, "epoch": done.epoch,
    }  # fmt: skip
