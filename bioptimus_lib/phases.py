"""The curriculum on a text of one's own: a model for every phase, in a folder that can be taken up
again.

``train_version`` is one phase, and what the pipeline does too; ``pretrain_phases`` chains them.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from bioptimus_lib.curriculum import PHASES, Phase
from bioptimus_lib.errors import DataError
from bioptimus_lib.files import atomic_write, claim
from bioptimus_lib.machine import is_first, process_count, wait_for_all
from bioptimus_lib.records import documents, readable_files

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bioptimus_lib.masked_trainer import MaskedTrainer
    from bioptimus_lib.masking import Masking
    from bioptimus_lib.pretrain import Settings

log = logging.getLogger(__name__)
Row = dict[str, Any]
Loaded: TypeAlias = "tuple[PreTrainedModel, PreTrainedTokenizerBase]"
HELD_OUT_EVERY = 50  # each 50th document is kept from training
HELD_OUT_BLOCKS = 512
LOGGED = 40  # points of a phase's loss curve
PROBE_STEPS = 30  # training steps that measure the speed of a device
SPARE = 0.93  # share of the minutes that is planned with
ORIGIN = "distillation.json"  # in the folder of a distilled model: what it was made from
#: Settings that a run may go on without: those that change no result, and the learning rate, which
#: one lowers after a NaN. The steps are the budget. Of a step only its size counts, not how it is
#: divided into batches and processes.
BESIDE = (
    "steps", "save_minutes", "save_steps", "log_steps", "evaluate_at", "loader_workers", "compile",
    "learning_rate", "batch", "accumulate",
)  # fmt: skip


# -- one phase -------------------------------------------------------------------------------------


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
        for checkpoint in training.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)
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


# -- all phases ------------------------------------------------------------------------------------


def pretrain_phases(
    model: str | Path,
    corpus: str | Path,
    out: str | Path,
    *,
    settings: Settings,
    phases: Sequence[Phase] = PHASES,
    minutes: float = 0,
    length: int = 128,
    from_scratch: bool = False,
    tokenizer: str | Path | None = None,
    evaluate_every: int = 0,
    device: str | None = None,
    progress: bool = True,
    tell: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """Train through phases, each from the model of the one before; go on where it was cut.

    Args:
        model: folder of the first start.
        corpus: file or folder of text; each fiftieth document is held out.
        out: gets a folder for each version (``v0.1``, …), ``training`` with logs and checkpoints,
            and ``blocks`` with the packed text.
        settings: of each phase; its seed and its lines of the log are made from these.
        phases: in order.
        minutes: for all phases together, instead of ``settings.steps``: by a measured speed.
        length: pieces per block, T.
        from_scratch: begin with random weights in the shape of the model.
        tokenizer: folder of another vocabulary, for random weights alone.
        evaluate_every: steps between tests on held-out text, beside those before the first and
            after the last.
        device: ``cpu`` keeps off a GPU that is there.
        progress: show progress bars.
        tell: is given the row of each phase when it is done.

    Returns:
        A row for each phase, as ``train_version`` gives it, with ``version`` and ``folder``.

    Raises:
        ValueError, FileNotFoundError, DataError: before anything is done; see ``check``.
        FloatingPointError, OSError: see ``pretrain``.
    """
    from bioptimus_lib.pretrain import check_device

    out, where = Path(out), check_device(device, settings.precision)
    load = _start(Path(model), tokenizer, from_scratch=from_scratch, seed=settings.seed)
    first, pieces = load()
    files = check(first, corpus, length=length, minutes=minutes, phases=phases)
    configuration = {
        "model": str(Path(model).resolve()),
        "corpus": str(Path(corpus).resolve()),
        "tokenizer": tokenizer and str(Path(tokenizer).resolve()),
        "from_scratch": from_scratch,
        "phases": [f"{phase.version}: {phase.masking}" for phase in phases],
        "length": length,
        "budget": f"{minutes:g} minutes" if minutes else f"{settings.steps} steps",
        **lasting(settings),
    }
    blocks, held_out = prepared(
        out, files, first, pieces, configuration=configuration, length=length, device=where
    )
    steps = settings.steps
    if minutes:
        file = out / "budget.json"
        if not file.exists():
            speed = measured_speed(first, pieces, blocks, settings=settings, device=device)
            first, pieces = load()
            if is_first():
                with atomic_write(file) as handle:
                    json.dump(_budget(minutes, speed, settings, length, len(phases)), handle)
        wait_for_all(where)
        steps = json.loads(file.read_text())["steps"]
    rows = []
    for place, phase in enumerate(phases):
        file = out / "training" / f"{phase.version}.json"
        if not file.exists():
            if place:
                load = _start(out / phases[place - 1].version)
                first, pieces = load()
            log.info("%s: %s", phase.version, phase.masking)
            row = train_version(
                first,
                pieces,
                blocks,
                held_out,
                masking=phase.masking,
                settings=_of_phase(settings, phase, steps, evaluate_every),
                training=out / "training" / phase.version,
                goal=out / phase.version,
                device=device,
                progress=progress,
            )
            if is_first():
                with atomic_write(file) as handle:
                    json.dump({"version": phase.version, **row}, handle)
            wait_for_all(where)
        rows.append({**json.loads(file.read_text()), "folder": str(out / phase.version)})
        tell(rows[-1])
    return rows


def check(
    model: PreTrainedModel,
    corpus: str | Path,
    *,
    length: int,
    minutes: float,
    phases: Sequence[Phase],
) -> list[Path]:
    """Look at what a training is to be made of; returns the files of the corpus.

    Raises:
        FileNotFoundError: there is no such corpus.
        DataError: it has nothing to read, or fewer than fifty documents.
        ValueError: blocks longer than the model's window, or sizes that cannot be.
    """
    from bioptimus_lib.pretrain import check_window

    if length < 8:
        raise ValueError(f"length is {length}: a block has 8 pieces at least")
    if minutes < 0:
        raise ValueError(f"minutes is {minutes}, it cannot be negative")
    if not phases:
        raise ValueError("no phase to train")
    check_window(model, length)
    files = readable_files(corpus)
    found = sum(1 for _, _ in zip(_documents(files), range(HELD_OUT_EVERY), strict=False))
    if found < HELD_OUT_EVERY:
        raise DataError(
            f"{found} documents are too few: {HELD_OUT_EVERY} are needed for one to be held out; "
            "give more text (a blank line ends a document)",
            path=corpus,
        )
    return files


def prepared(
    out: Path,
    files: Sequence[Path],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    configuration: Row,
    length: int,
    device: str,
) -> tuple[np.ndarray, np.ndarray]:
    """The blocks to train on and those that are held out, in a folder that is of this run alone:
    the first of the processes makes them, the others wait for it.

    Raises:
        ValueError, OSError: the folder is of another configuration, or has no room.
    """
    if is_first():
        claim(out, configuration, megabytes=needed_megabytes(model, files))
        for which in ("held-out", "train"):
            packed(out, which, files, tokenizer, length=length)
    wait_for_all(device)
    blocks, held_out = (
        packed(out, which, files, tokenizer, length=length) for which in ("train", "held-out")
    )
    return blocks, held_out


def packed(
    out: Path,
    which: str,
    files: Sequence[Path],
    tokenizer: PreTrainedTokenizerBase,
    *,
    length: int,
) -> np.ndarray:
    """Packed blocks (N, T) of the ``train`` or the ``held-out`` documents, kept beside the run."""
    from bioptimus_lib.packing import kept

    hold = which == "held-out"
    texts = (
        text
        for number, text in enumerate(_documents(files))
        if (number % HELD_OUT_EVERY == HELD_OUT_EVERY - 1) == hold
    )
    return kept(out / "blocks" / f"{which}.npy", texts, tokenizer, length=length)


def needed_megabytes(model: PreTrainedModel, files: Sequence[Path]) -> float:
    """Disk that a run takes: three checkpoints, for one is written before another goes, of weights
    and two moments in 32 bits; four models; and half of the text as blocks."""
    weights = 4 * sum(p.numel() for p in model.parameters()) / 1e6
    return 3 * 3 * weights + 4 * weights + sum(file.stat().st_size for file in files) / 2e6


def origin_of(folder: str | Path) -> Path:
    """The folder of the model from which the one in ``folder`` was distilled.

    Raises:
        FileNotFoundError: that is not written there, or it is gone.
    """
    file = Path(folder) / ORIGIN
    if not file.is_file():
        raise FileNotFoundError(
            f"{file} is not there, so it is unknown from which model {folder} was distilled: "
            "give that model itself as --model, without --plain"
        )
    old = Path(os.path.normpath(Path(folder) / json.loads(file.read_text())["model"]))
    if not (old / "config.json").is_file():
        raise FileNotFoundError(f"{old}, from which {folder} was distilled, is not there any more")
    return old


def write_origin(folder: str | Path, old: str | Path) -> None:
    """Note in the folder of a distilled model where the old one is, seen from there."""
    with atomic_write(Path(folder) / ORIGIN) as file:
        json.dump({"model": os.path.relpath(Path(old).resolve(), Path(folder).resolve())}, file)


def blocks_of_step(settings: Settings) -> int:
    """Blocks that a step reads, on all processes together."""
    return settings.batch * settings.accumulate * process_count()


def lasting(settings: Settings) -> Row:
    """The settings that a run keeps from its first day on; see ``BESIDE``. ``batch`` is that of the
    whole step here, so a run may go on with more processes, or with fewer."""
    kept = {k: v for k, v in asdict(settings).items() if k not in BESIDE}
    return {**kept, "batch": blocks_of_step(settings)}


# -- details ---------------------------------------------------------------------------------------


def _documents(files: Sequence[Path]) -> Iterator[str]:
    for file in files:
        for document in documents(file):
            yield f"{document.title} {document.text}".strip()


def _start(
    folder: Path,
    tokenizer: str | Path | None = None,
    *,
    from_scratch: bool = False,
    seed: int = 0,
) -> Callable[[], Loaded]:
    """What loads the first model and its tokenizer; each call gives them anew.

    Raises:
        ValueError: another vocabulary for a model that is trained already.
    """
    from transformers import AutoTokenizer

    from bioptimus_lib.models import load_masked_lm, random_masked_lm

    if not from_scratch:
        if tokenizer is not None:
            raise ValueError(
                "a trained model has no embeddings for another vocabulary: 'bioptimus distill' "
                "makes them; --tokenizer is for --from-scratch"
            )
        return lambda: load_masked_lm(folder)

    def random() -> Loaded:
        pieces = AutoTokenizer.from_pretrained(tokenizer or folder, local_files_only=True)
        return random_masked_lm(folder, pieces, seed=seed), pieces

    return random


def _of_phase(settings: Settings, phase: Phase, steps: int, every: int) -> Settings:
    return replace(
        settings,
        steps=steps,
        seed=settings.seed * len(PHASES) + phase.number,
        log_steps=max(1, steps // LOGGED),
        evaluate_at=(0, *(range(every, steps, every) if every else ()), steps),
    )


def _budget(minutes: float, speed: float, settings: Settings, length: int, phases: int) -> Row:
    steps = int(60 * minutes * SPARE * speed / (blocks_of_step(settings) * length) / phases)
    if steps < 10:
        raise ValueError(
            f"{minutes:g} minutes are {steps} steps a phase at {speed:,.0f} pieces a second: "
            f"give --minutes {2 * minutes * 10 / max(steps, 1):.0f} or more"
        )
    return {"steps": steps, "tokens_per_second": round(speed)}
