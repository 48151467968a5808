"""Arms of a comparison at equal budget: how a model begins, what it is asked, and for how long.

All arms share one run of the pipeline (text, vocabulary, contexts); the vocabulary alone tells an
arm that keeps the old pieces from the others. An arm is trained once for each seed, in a folder
that says what it is, so two questions that have an arm in common share its model.
"""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioptimus_lib.curriculum import PHASES
from bioptimus_lib.experiments.cells import Row, Setting
from bioptimus_lib.experiments.compared import packed
from bioptimus_lib.experiments.course import train_course
from bioptimus_lib.experiments.start import pieces_per_byte, prepared, started
from bioptimus_lib.files import atomic_write
from bioptimus_lib.masking import Masking
from bioptimus_lib.strategies import STRATEGIES

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bioptimus_lib.ner_runs import Job
    from bioptimus_lib.pipeline import Run

OLD, SCRATCH = "old", "scratch"
OURS, PAPER = "calibrated_spread", "contextual"  # strategies of distillation
COURSE: tuple[Masking, ...] = tuple(phase.masking for phase in PHASES)
HELD_OUT_BLOCKS = 256


@dataclass(frozen=True)
class Arm:
    """One side of a comparison.

    Args:
        start: a strategy of distillation into the new vocabulary; ``old``, the model as it is,
            with its old vocabulary; or ``scratch``, random weights, with the new one.
        course: the masking of each part; all parts have equally many steps, each with a schedule
            of its own, as the four phases have. None at all: the model as it begins.
        budget: share of the setting's steps.
        shuffled: each seed has the parts in another order.
        same_bytes: as many bytes of text as an arm with the new vocabulary reads, instead of as
            many pieces; it makes a difference to ``old`` alone.
    """

    start: str = OURS
    course: tuple[Masking, ...] = COURSE
    budget: float = 1.0
    shuffled: bool = False
    same_bytes: bool = False

    def __post_init__(self) -> None:
        if self.start not in (OLD, SCRATCH, *STRATEGIES):
            raise ValueError(
                f"start {self.start!r} is unknown: choose of {[OLD, SCRATCH, *STRATEGIES]}"
            )
        if not self.budget > 0:
            raise ValueError(f"budget is {self.budget}, it must be above 0")

    @property
    def vocabulary(self) -> str:
        """``old`` or ``new``."""
        return OLD if self.start == OLD else "new"

    def parts(self, seed: int) -> tuple[Masking, ...]:
        """The course of a seed."""
        parts = list(self.course)
        if self.shuffled:
            random.Random(seed).shuffle(parts)
        return tuple(parts)

    def code(self, setting: Setting, seed: int) -> str:
        """All that makes it what it is, in a word; two arms with the same one are the same."""
        words = [self.start, *(_code(masking) for masking in self.parts(seed))]
        return "+".join([*words, f"{self.steps(setting)}{'b' * self.same_bytes}"])

    def folder(self, setting: Setting, seed: int) -> Path:
        """Where it is trained."""
        return setting.out / "arms" / self.code(setting, seed) / f"seed-{seed}"

    def steps(self, setting: Setting) -> int:
        """Steps of a part before they are stretched to the same bytes of text."""
        return max(1, round(self.budget * setting.steps))


def _code(masking: Masking) -> str:
    """
    >>> _code(Masking("word", 0.2, False))
    'w20n'
    """
    return f"{masking.unit[0]}{100 * masking.rate:g}{'c' if masking.corruption else 'n'}"


# --- pre-training --------------------------------------------------------------------------------


def trained(setting: Setting, arm: Arm, seed: int) -> Row:
    """Losses of an arm after its last part, and its curve; its model stands in ``folder/model``.

    A part that is done is not done again. The loss is that of hidden whole words on held-out text,
    the same for all arms; per byte of text it can be compared between vocabularies.
    """
    from bioptimus_lib.masked_loss import bits_per_byte, evaluate_mlm
    from bioptimus_lib.models import save_model
    from bioptimus_lib.pretrain import QUESTION
    from bioptimus_lib.stages import packed, settings_of

    folder, parts = arm.folder(setting, seed), arm.parts(seed)
    done = folder / "training.json"
    if done.exists():
        made: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
        return made
    run = prepared(setting)
    model, tokenizer = begun(run, arm, seed=seed, device=setting.device)
    blocks, held_out = (packed(run, name, tokenizer, arm.vocabulary)
                        for name in ("train", "held-out"))  # fmt: skip
    per_byte, steps = pieces_per_byte(run, held_out), arm.steps(setting)
    if arm.same_bytes:
        new = packed(run, "held-out", run.tokenizer("new"), "new")
        steps = round(steps * per_byte / pieces_per_byte(run, new))
    names = [*(f"part-{n}" for n in range(1, len(parts))), "model"][: len(parts)]
    course = {}
    for number, (name, masking) in enumerate(zip(names, parts, strict=True)):
        settings = settings_of(run, steps, seed=seed * len(parts) + number + 1)
        course[name] = masking, replace(settings, evaluate_at=_looks(steps, first=not number))
    held_out = held_out[:HELD_OUT_BLOCKS]
    rows = train_course(
        run, model, tokenizer, blocks, held_out, course, folder=folder, progress=setting.progress
    )
    curve = [
        [number * steps + int(step), found["loss"]]
        for number, row in enumerate(rows)
        for step, found in row["held_out_at"].items()
    ]
    if not parts:
        save_model(model, tokenizer, folder / "model")
    for name in names[:-1]:
        shutil.rmtree(folder / name, ignore_errors=True)
    score = rows[-1]["held_out"] if rows else evaluate_mlm(model, tokenizer, held_out,
                                                           masking=QUESTION)  # fmt: skip
    found = {
        "metrics": {
            "loss": round(score["loss"], 4), "accuracy": round(score["accuracy"], 4),
            "bits_per_byte": round(bits_per_byte(score["loss"], per_byte), 4),
            "pieces_per_byte": round(per_byte, 5),
        },
        "course": [str(masking) for masking in parts], "curve": curve,
        **{name: sum(row[name] for row in rows) for name in ("steps", "tokens", "seconds")},
    }  # fmt: skip
    with atomic_write(done) as file:
        json.dump(found, file)
    return found


def begun(
    run: Run, arm: Arm, *, seed: int, device: str
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model of an arm before its first step, and its tokenizer."""
    from bioptimus_lib.models import place, random_masked_lm

    if arm.start == SCRATCH:
        tokenizer = run.tokenizer("new")
        model = random_masked_lm(run.folder(OLD), tokenizer, seed=seed)
        return place(model, device), tokenizer
    model, tokenizer, _ = started(run, arm.start, seed=seed, device=device)
    return model, tokenizer


def _looks(steps: int, *, first: bool) -> tuple[int, ...]:
    """Steps after which held-out text is tested: more of them where most happens."""
    return tuple(sorted({0, steps // 10, steps // 3, steps} if first else {steps}))


# --- fine-tuning ---------------------------------------------------------------------------------


def tagged(setting: Setting, arm: Arm, seed: int, dataset: str) -> Row:
    """F1 of an arm on a set, by the run's recipe and number of sentences; its epoch was chosen on
    devel. ``counts`` are the entities (found, spurious, missed) of each test sentence."""
    from bioptimus_lib import ner_runs

    trained(setting, arm, seed)
    job = job_of(setting, arm, seed, dataset)
    result = ner_runs.do(job)
    (counts,) = ner_runs.counts([job])
    origin = {name: value for name, value in result["provenance"].items() if name != "data"}
    return {
        **origin, "metrics": result["metrics"], "epoch": result["epoch"],
        "seconds": result["seconds"], "sentences": job.sentences, "counts": packed(counts),
    }  # fmt: skip


def job_of(setting: Setting, arm: Arm, seed: int, dataset: str) -> Job:
    """The fine-tuning of an arm; its seed is that of its pre-training."""
    from bioptimus_lib.conll import split_files
    from bioptimus_lib.experiments.inputs import ner_folder
    from bioptimus_lib.fine_tunings import ner_settings
    from bioptimus_lib.ner_runs import Job

    folder, profile = arm.folder(setting, seed), prepared(setting).profile
    return Job(
        folder.parent.name, folder / "model", Path(dataset).name,
        split_files(ner_folder(setting, dataset)), ner_settings(profile, seed=seed),
        folder / Path(dataset).name, sentences=profile.ner_sentences or None,
        device="cpu" if setting.device == "cpu" else None, progress=False,
    )  # fmt: skip
