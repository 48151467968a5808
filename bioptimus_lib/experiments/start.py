"""What a strategy is worth in pre-training: loss before any step, and after equal numbers of them.

All strategies share one new vocabulary, trained on the text, so their losses per piece can be
compared. The control ``old`` keeps the old vocabulary, which cuts the same text into other pieces:
with it only the loss per byte of text can be compared. Words are hidden whole, so that both have
the same gaps to fill; the loss per piece times the pieces per byte is the loss per byte.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bioptimus_lib.experiments.cells import Setting
from bioptimus_lib.experiments.laptop import laptop_run
from bioptimus_lib.strategies import STRATEGIES

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bioptimus_lib.pipeline import Run

ABOUT = "loss before training and after equal steps, by strategy"
METRICS = ["loss_0", "bits_per_byte_0", "loss_300", "bits_per_byte_300", "steps_to_random"]
OLD, NO_BIAS = "old", "no bias from frequency"
LOOKS = (0, 10, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000, 2000, 3000)
HELD_OUT_BLOCKS = 256
#: Strategies that are also tried without the bias that follows from frequency.
WITHOUT_BIAS = ("random", "calibrated")


def cells(setting: Setting) -> list[str]:
    """A cell for each strategy and seed; the first seed of all comes first."""
    names = list(setting.strategies) or [OLD, *STRATEGIES]
    bare = [f"{name}+bare" for name in names if name in WITHOUT_BIAS]
    return [f"{name}-{seed}" for seed in range(setting.seeds) for name in (*names, *bare)]


def run(setting: Setting, cell: str) -> Iterator[dict[str, Any]]:
    """The row of a cell."""
    from bioptimus_lib.masked_loss import bits_per_byte

    name, seed = cell.rsplit("-", 1)
    name, bare = name.removesuffix("+bare"), name.endswith("+bare")
    folder = prepared(setting)
    model, tokenizer, report = started(folder, name, seed=int(seed), device=setting.device)
    if bare:
        forget_bias(model, folder.plan.new)
    curve, per_byte, seconds = trained(folder, model, tokenizer, name, setting, seed=int(seed))
    metrics = {"pieces_per_byte": round(per_byte, 5), "train_seconds": round(seconds, 1)}
    for step, loss in curve:
        metrics[f"loss_{step}"] = loss
        metrics[f"bits_per_byte_{step}"] = round(bits_per_byte(loss, per_byte), 4)
    yield {
        "model": name,
        "dataset": setting.text_name,
        "seed": int(seed),
        "variant": f"{setting.model_name}, {NO_BIAS}" if bare else setting.model_name,
        "metrics": metrics,
        "curve": curve,
        "distillation": {k: v for k, v in report.items() if k not in ("choices", "tokens")},
        "steps": setting.steps,
    }


def finish(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add to each row the steps that it needs to be where ``random`` ends, in the mean of seeds.

    Rows that never get there have no such number, nor has ``random`` itself: to be where one ends
    takes all of one's steps.
    """

    def sets_the_goal(row: dict[str, Any]) -> bool:
        return row["model"] == "random" and NO_BIAS not in row["variant"]

    ends = [row["curve"][-1][1] for row in rows if sets_the_goal(row)]
    if not ends:
        return rows
    goal = statistics.mean(ends)
    done = []
    for row in rows:
        beside = row["model"] == OLD or sets_the_goal(row)
        needed = None if beside else steps_to(row["curve"], goal)
        extra = {} if needed is None else {"steps_to_random": round(needed, 1)}
        done.append({**row, "metrics": {**row["metrics"], **extra}})
    return done


def steps_to(curve: Sequence[Sequence[float]], goal: float) -> float | None:
    """The step at which a curve first reaches a loss, on straight lines between its points.

    >>> steps_to([[0, 9.0], [10, 7.0], [30, 5.0]], 6.0), steps_to([[0, 9.0]], 6.0)
    (20.0, None)
    """
    before = None
    for step, loss in curve:
        if loss <= goal:
            if before is None:
                return float(step)
            return before[0] + (step - before[0]) * (before[1] - goal) / (before[1] - loss)
        before = step, loss
    return None


# -- the work ----------------------------------------------------------------------------------


def prepared(setting: Setting) -> Run:
    """A run of the pipeline up to the contexts, for all cells; a part of the text is held out. One
    process makes it, others wait for it."""
    from filelock import FileLock

    setting.out.mkdir(parents=True, exist_ok=True)
    with FileLock(setting.out / "run.lock"):
        run = laptop_run(setting, "run", minutes=0, warmup_steps=0)
        run.stage("contexts")
    return run


def started(
    run: Run, name: str, *, seed: int, device: str
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, dict[str, Any]]:
    """The old model, or one distilled by a strategy.

    What reads contexts is made once, with seed 0, and all seeds begin with it: what they spread by
    is training. A process that needs what another one is just making waits for it.
    """
    import json

    from filelock import FileLock

    from bioptimus_lib.distill import distill
    from bioptimus_lib.files import atomic_write
    from bioptimus_lib.models import load_masked_lm, place, save_model

    if name == OLD:
        return (*run.load("old"), {})
    shared = STRATEGIES[name].reads_contexts
    kept = run.out / "models" / (name if shared else f"{name}-{seed}")
    kept.parent.mkdir(exist_ok=True)
    with FileLock(f"{kept}.lock"):
        if not (kept / "report.json").exists():
            done = distill(
                *run.load("old"), run.plan, run.contexts, strategy=name, device=device,
                known=run.profile.calibration_words, seed=0 if shared else seed,
            )  # fmt: skip
            save_model(done.model, done.tokenizer, kept)
            with atomic_write(kept / "report.json") as file:
                json.dump(done.report, file)
    model, tokenizer = load_masked_lm(kept)
    return place(model, device), tokenizer, json.loads((kept / "report.json").read_bytes())


def forget_bias(model: PreTrainedModel, new: Sequence[int]) -> None:
    """Give new tokens the output bias 0, which a resized model of Transformers has."""
    import torch

    with torch.no_grad():
        model.get_output_embeddings().bias[list(new)] = 0


def trained(
    run: Run,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    name: str,
    setting: Setting,
    *,
    seed: int,
) -> tuple[list[list[float]], float, float]:
    """Curve of held-out (step, loss per piece), pieces per byte of the held-out text, seconds."""
    import shutil

    from bioptimus_lib.masking import Masking
    from bioptimus_lib.pretrain import Settings, evaluate_mlm, pretrain
    from bioptimus_lib.recorder import Watcher
    from bioptimus_lib.stages import packed

    vocabulary = "old" if name == OLD else "new"
    blocks = packed(run, "train", tokenizer, vocabulary)
    held_out = packed(run, "held-out", tokenizer, vocabulary)
    curve: list[list[float]] = []

    def look(step: int) -> None:
        if step not in LOOKS and step != setting.steps:
            return
        # Every chosen word is hidden whole and none is corrupted: the same gaps for all.
        score = evaluate_mlm(
            model, tokenizer, held_out[:HELD_OUT_BLOCKS], masking=Masking("word", 0.15, False)
        )
        curve.append([step, round(score["loss"], 4)])

    look(0)
    training = run.out / "training" / f"{name}-{seed}"
    shutil.rmtree(training, ignore_errors=True)  # a cell is made as a whole
    result = pretrain(
        model, tokenizer, blocks, masking=Masking("word", 0.15, True),
        settings=Settings(
            steps=setting.steps, batch=run.profile.batch, schedule="constant",
            learning_rate=run.profile.learning_rate, seed=seed, save_minutes=1e9,
        ),
        out=training, device="cpu" if setting.device == "cpu" else None,
        progress=setting.progress, callbacks=[Watcher(look)],
    )  # fmt: skip
    return curve, pieces_per_byte(run, held_out), result["seconds"]


def pieces_per_byte(run: Run, blocks: np.ndarray) -> float:
    """Pieces of the held-out text per byte of it."""
    size = sum(len(line.strip()) + 1 for line in run.held_out.read_bytes().splitlines() if line)
    return float(blocks.shape[0] * (blocks.shape[1] - 2) / size)
