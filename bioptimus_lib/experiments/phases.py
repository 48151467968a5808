"""The four phases at scale: losses of every version, and the entity F1 that each leads to.

Every seed is a run of the pipeline of its own (``laptop``, with as many megabytes and steps a phase
as the setting says), so vocabulary, sample, masks and order of the text differ between seeds. The
control goes through the same phases with the old vocabulary. Each version is fine-tuned with
several seeds, which tells the noise of fine-tuning from that of pre-training. And each fills the
same gaps: sentences of our own, common turns of phrase first, then facts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bioptimus_lib.curriculum import PHASES
from bioptimus_lib.experiments.cells import Setting, grouped
from bioptimus_lib.experiments.laptop import laptop_run
from bioptimus_lib.gap_filling import Gap, fill_mask
from bioptimus_lib.nested import PER_RUN

if TYPE_CHECKING:
    from bioptimus_lib.pipeline import Run

ABOUT = "losses and entity F1 of v0.1 to v0.4, beside the old model and a control"
METRICS = ["loss", "accuracy", "f1", "devel_f1", "filled", "bits"]
OLD, CONTROL = "old", "continued"
TRAINED = (*(phase.version for phase in PHASES), CONTROL)
FINE_TUNINGS = 5  # seeds of fine-tuning for each model
TAG, FILL = "ner", "gaps"
GAPS = tuple(Gap(*some) for some in (
    ("The aim of this [MASK] was to compare two doses of aspirin.", "study"),
    ("There was no significant [MASK] between the two groups.", "difference"),
    ("The most common [MASK] events were headache and nausea.", "adverse"),
    ("Patients were randomly [MASK] to treatment or placebo.", "assigned"),
    ("Further studies with longer follow-up are [MASK].", "needed"),
    ("Insulin lowers the level of [MASK] in the blood.", "glucose"),
    ("Statins reduce the concentration of [MASK] in plasma.", "cholesterol"),
    ("Antibiotics are used against infections caused by [MASK].", "bacteria"),
    ("Chemotherapy is used in the treatment of [MASK].", "cancer"),
    ("Hypertension is defined as elevated blood [MASK].", "pressure"),
    ("The child had asthma and was given an inhaled [MASK].", "corticosteroid"),
    ("Pain was measured with a visual analogue [MASK].", "scale"),
))  # fmt: skip


def cells(setting: Setting) -> list[str]:
    """A cell for each model and seed, then one for each of its fine-tunings."""
    names = []
    for seed in range(setting.seeds):
        names += [f"{model}-{seed}" for model in TRAINED]
        models = TRAINED if seed else (OLD, *TRAINED)  # the old model is the same for all
        names += [f"{FILL}-{model}-{seed}" for model in models]
        names += [
            f"{TAG}-{model}-{seed}-{again}" for again in range(FINE_TUNINGS) for model in models
        ]
    return names


def rounds(_: Setting, cells: list[str]) -> list[list[list[str]]]:
    """The runs of all seeds at once."""
    return [grouped(cells, lambda cell: _parts(cell)[2])]


def _parts(cell: str) -> tuple[str, str, int, int]:
    """What is done ("" for pre-training), model, seed, and which fine-tuning."""
    what, _, rest = cell.partition("-")
    if what == TAG:
        model, seed, again = rest.rsplit("-", 2)
        return what, model, int(seed), int(again)
    model, seed = (rest if what == FILL else cell).rsplit("-", 1)
    return what if what == FILL else "", model, int(seed), 0


def run(setting: Setting, cell: str) -> Iterator[dict[str, Any]]:
    """The row of a cell."""
    what, model, seed, again = _parts(cell)
    made = run_of(setting, seed)
    if what == TAG:
        yield tagged(made, model, setting, seed=seed, again=again)
    elif what == FILL:
        yield filled(made, model, setting, seed=seed)
    else:
        yield pre_trained(made, model, setting, seed=seed)


def run_of(setting: Setting, seed: int) -> Run:
    """The run of a seed, in the folder of the experiment."""
    return laptop_run(setting, f"run-{seed}", seed=seed, phase_steps=setting.steps)


def pre_trained(run: Run, model: str, setting: Setting, *, seed: int) -> dict[str, Any]:
    """The losses of a version, on held-out text under the same masks, and under each phase's."""
    from bioptimus_lib.one_phase import HELD_OUT_BLOCKS
    from bioptimus_lib.pretrain import evaluate_mlm
    from bioptimus_lib.stages import packed

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


def filled(run: Run, model: str, setting: Setting, *, seed: int) -> dict[str, Any]:
    """What a version puts into ``GAPS``: share of them that it fills rightly, in percent, and the
    mean of the bits that the right words cost it."""
    found = [some[model] for some in fill_mask({model: run.load(model)}, GAPS)]
    gaps = [
        {"text": gap.text, "answer": gap.answer, "chance": float(f"{some.answer:.3g}"),
         "best": [[pieces, float(f"{chance:.3g}")] for pieces, chance in some.best]}
        for gap, some in zip(GAPS, found, strict=True)
    ]  # fmt: skip
    right = sum(
        some.best[0][0].replace(" ##", "") == gap.answer
        for gap, some in zip(GAPS, found, strict=True)
    )
    bits = -sum(math.log2(max(some.answer, 1e-12)) for some in found) / len(GAPS)
    return {
        "model": model, "dataset": "gaps", "seed": seed, "variant": "fill-mask", "gaps": gaps,
        "metrics": {"filled": 100 * right / len(GAPS), "bits": round(bits, 3)},
    }  # fmt: skip


def tagged(run: Run, model: str, setting: Setting, *, seed: int, again: int) -> dict[str, Any]:
    """F1 of a version on the run's NER set; the epoch was chosen on devel."""
    from bioptimus_lib.fine_tunings import ner_settings, ner_splits
    from bioptimus_lib.ner import fine_tune

    done = fine_tune(
        run.folder(model), ner_splits(run),
        settings=ner_settings(run.profile, seed=PER_RUN * seed + again), device=run.device,
    )  # fmt: skip
    return {
        "model": model, "dataset": run.profile.ner, "seed": PER_RUN * seed + again,
        "variant": "fine-tuned", "metrics": done.metrics, "epoch": done.epoch,
    }  # fmt: skip
