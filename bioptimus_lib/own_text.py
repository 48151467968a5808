"""What a training on a text of one's own is made of: its documents, one in fifty of them held out,
packed into blocks in a folder that belongs to this run alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioptimus_lib.curriculum import Phase
from bioptimus_lib.errors import DataError
from bioptimus_lib.files import claim, contents_of
from bioptimus_lib.machine import is_first, process_count, wait_for_all
from bioptimus_lib.records import documents, readable_files

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bioptimus_lib.pretrain import Settings

Row = dict[str, Any]
HELD_OUT_EVERY = 50  # each 50th document is kept from training
#: Settings that a run may go on without: those that change no result, and the learning rate, which
#: one lowers after a NaN. The steps are the budget. Of a step only its size counts, not how it is
#: divided into batches and processes.
BESIDE = (
    "steps", "save_minutes", "save_steps", "log_steps", "evaluate_at", "loader_workers", "compile",
    "learning_rate", "batch", "accumulate",
)  # fmt: skip


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
        ValueError, OSError: the folder is of another configuration, or has no room; the text fills
            no block.
    """
    if is_first():
        mine = not out.exists() or not any(out.iterdir())
        configuration = configuration | {"text": contents_of(files)}
        claim(out, configuration, megabytes=needed_megabytes(model, files))
        try:
            for which in ("held-out", "train"):
                packed(out, which, files, tokenizer, length=length)
        except ValueError:
            if mine:  # else the advice that comes with it would be refused: another configuration
                shutil.rmtree(out)
            raise
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
    try:
        return kept(out / "blocks" / f"{which}.npy", texts, tokenizer, length=length)
    except ValueError as error:
        share = "is held out" if hold else "is not"
        raise ValueError(f"each {HELD_OUT_EVERY}th document {share}: of these {error}") from error


def needed_megabytes(model: PreTrainedModel, files: Sequence[Path]) -> float:
    """Disk that a run takes: three checkpoints, for one is written before another goes, of weights
    and two moments in 32 bits; four models; and half of the text as blocks."""
    weights = 4 * sum(p.numel() for p in model.parameters()) / 1e6
    return 3 * 3 * weights + 4 * weights + sum(file.stat().st_size for file in files) / 2e6


def blocks_of_step(settings: Settings) -> int:
    """Blocks that a step reads, on all processes together."""
    return settings.batch * settings.accumulate * process_count()


def lasting(settings: Settings) -> Row:
    """The settings that a run keeps from its first day on; see ``BESIDE``. ``batch`` is that of the
    whole step here, so a run may go on with more processes, or with fewer."""
    kept = {k: v for k, v in asdict(settings).items() if k not in BESIDE}
    return {**kept, "batch": blocks_of_step(settings)}


def _documents(files: Sequence[Path]) -> Iterator[str]:
    for file in files:
        for document in documents(file):
            if not document.retracted:
                yield f"{document.title} {document.text}".strip()
