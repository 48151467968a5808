"""The recipe of pocket BERT: our own small general-English BERT, small enough to ship.

It stands where the paper has ``bert-base-uncased``: a model that knows English and has never read
much medicine, so that everything that a reader then does to it shows.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM, set_seed

from bioptimus_lib.errors import DataError
from bioptimus_lib.files import (
    atomic_write,
    claim,
    json_lines,
    open_text,
    refuse_other_folders,
    sha256_of,
)
from bioptimus_lib.masking import Masking
from bioptimus_lib.models import save_model
from bioptimus_lib.pretrain import Settings, evaluate_mlm, pack, pretrain
from bioptimus_lib.vocab import train_wordpiece
from bioptimus_lib.warm_start import start_well

log = logging.getLogger(__name__)

VOCABULARY = 8192
WINDOW = 128
SHAPE: dict[str, Any] = {  # 5.4M parameters, 10.7 MB in 16 bits
    "hidden_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 1024,
    "max_position_embeddings": WINDOW,
}
TEXT = (
    "English Wikipedia articles of 2015 on any topic (source `general`, {files} files; CC BY-SA "
    "3.0), paragraphs of 80 characters and more"
)
CARD = """---
language: en
license: cc-by-sa-3.0
library_name: transformers
pipeline_tag: fill-mask
---

# Pocket BERT

A general-English BERT of {parameters:.1f} million parameters ({layers} layers × {hidden},
{vocabulary:,} WordPiece pieces, uncased, window {window}), small enough to ship with a course and
to be pre-trained further on a laptop. It has read encyclopedia articles and no medical corpus:
what a reader adds to it shows.

| | |
|---|---|
| text | {text} |
| training | {steps:,} steps of {batch} × {window} pieces: {tokens:.1f} million, {epochs} epochs |
| masking | {masking} |
| optimiser | AdamW, peak {learning_rate:g} ({embedding_rate:g} of it for embeddings), {rates} |
| seed | {seed} |
| held out | {held_out}, {masked:,} masked pieces, 15 % masking, all `[MASK]` |
| **held-out loss** | **{loss:.3f}** nats per masked piece |
| **held-out accuracy** | **{accuracy:.1%}** |

The weights are stored in 16 bits and are meant to be used in 32:
`AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32)`. The scores above are those of
the stored weights.

**Intended use**: the old model of the course's `pocket` and `laptop` profiles, and tests.
**Limits**: a model of this size guesses, it does not know; it repeats the biases of its text; it is
no use for any decision about people. **Recipe**: `bioptimus pocket-bert`, see
`bioptimus_lib/pocket_bert.py` and `bioptimus_lib/warm_start.py`; the same numbers as data are in
`training.json`.
"""

SHORTEST_PARAGRAPH = 80  # characters; below are headings and captions


def paragraphs(path: str | Path) -> Iterator[str]:
    """Paragraphs of a text file: lines between blank lines, joined; headings are left out."""
    lines: list[str] = []
    with open_text(path) as file:
        for line in [*file, ""]:
            if line := line.strip():
                lines.append(line)
                continue
            paragraph = " ".join(lines)
            if len(paragraph) >= SHORTEST_PARAGRAPH:
                yield paragraph
            lines = []


def corpus_files(folder: str | Path) -> tuple[list[Path], list[Path]]:
    """(training shards, held-out shard) of a folder of text: the last shard is held out.

    Raises:
        FileNotFoundError: no such folder.
        DataError: fewer than two files of text in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}: give --corpus a folder of .txt or .txt.gz")
    files = sorted([*folder.glob("*.txt"), *folder.glob("*.txt.gz")])
    if len(files) < 2:
        raise DataError("two files of text are needed: one to train on, one held out", path=folder)
    return files[:-1], files[-1:]


def make(
    corpus: str | Path,
    *,
    work: str | Path,
    out: str | Path,
    steps: int,
    batch: int = 16,
    learning_rate: float = 1e-3,
    embedding_rate: float = 0.2,
    seed: int = 0,
    device: str | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Make pocket BERT; a run that was cut goes on when called again with the same ``work``.

    Args:
        corpus: folder of general English text; its last file is held out.
        work: folder of what is needed to go on: tokenizer, packed blocks, checkpoints.
        out: folder of the finished model with its card.
        steps: optimiser steps; with fewer than the run in ``work`` has done, it is only ended.

    Returns:
        The row for the ledger: held-out loss and accuracy, steps, tokens, settings.
    """
    work, training, held_out = Path(work), *corpus_files(corpus)
    refuse_other_folders(Path(out), "config.json", "model")
    made_from = {
        "corpus": {path.name: sha256_of(path) for path in [*training, *held_out]}, "seed": seed,
        "batch": batch, "learning_rate": learning_rate, "embedding_rate": embedding_rate,
    }  # fmt: skip
    claim(work, made_from, megabytes=500)
    if not (work / "tokenizer" / "tokenizer.json").exists():
        log.info("training a vocabulary of %d pieces", VOCABULARY)
        texts = (text for path in training for text in paragraphs(path))
        train_wordpiece(
            texts, size=VOCABULARY, alphabet=200, max_length=WINDOW, progress=progress
        ).save_pretrained(work / "tokenizer")
    tokenizer = AutoTokenizer.from_pretrained(work / "tokenizer", local_files_only=True)

    packed = {"train": training, "held-out": held_out}
    for name, files in packed.items():
        if not (work / f"{name}.npy").exists():
            log.info("packing %s", name)
            blocks = pack((t for f in files for t in paragraphs(f)), tokenizer, length=WINDOW)
            with atomic_write(work / f"{name}.npy", "wb") as file:
                np.save(file, blocks)
    blocks = np.load(work / "train.npy", mmap_mode="r")

    set_seed(seed)
    model = BertForMaskedLM(BertConfig(vocab_size=VOCABULARY, **SHAPE))
    start_well(model, blocks)
    settings = Settings(
        steps=steps,
        batch=batch,
        learning_rate=learning_rate,
        embedding_rate=embedding_rate,
        schedule="trapezoid",
        warmup=500 / max(steps, 500),
        save_minutes=4,
        log_steps=50,
        seed=seed,
    )
    masking = Masking("token", 0.15, corruption=True)
    result = pretrain(
        model,
        tokenizer,
        blocks,
        masking=masking,
        settings=settings,
        out=work / "checkpoints",
        device=device,
        progress=progress,
    )
    held_out_blocks = np.load(work / "held-out.npy")[:4096]
    # What the card states is what a reader gets: the weights after rounding to 16 bits.
    save_model(model, tokenizer, out, dtype=torch.float16)
    model.half().float()
    score = evaluate_mlm(model, tokenizer, held_out_blocks)
    row = {
        "metrics": {key: round(value, 4) for key, value in score.items()},
        "steps": result["steps"],
        "tokens": result["tokens"],
        "epochs": round(result["tokens"] / blocks.size, 2),
        "settings": result["settings"],
        "masking": str(masking),
        "parameters": sum(p.numel() for p in model.parameters()),
        "seed": seed,
        "restarts": restarts(work / "checkpoints" / "log.jsonl"),
        "corpus": [path.name for path in training],
        "held_out": [path.name for path in held_out],
    }
    with atomic_write(Path(out) / "training.json") as file:
        json.dump(row, file, indent=1)
    with atomic_write(Path(out) / "README.md") as file:
        file.write(card(row))
    return row


def restarts(log: Path) -> list[int]:
    """The steps after which a training that had come to its end was given more steps: there the
    learning rate went from less than half of its peak to the peak again."""
    rows = [row for row in json_lines(log) if "learning_rate" in row]
    rates = [(row["step"], row["learning_rate"]) for row in rows]
    peak = max((rate for _, rate in rates), default=0.0)
    past = rates[next((n for n, (_, rate) in enumerate(rates) if rate == peak), 0) :]
    return [
        step
        for (step, rate), (_, next_rate) in pairwise(past)
        if rate < peak / 2 and next_rate > rate * 2
    ]


def card(row: dict[str, Any]) -> str:
    """The model card of a finished training, in Markdown."""
    settings = row["settings"]
    return CARD.format(
        parameters=row["parameters"] / 1e6,
        layers=SHAPE["num_hidden_layers"],
        hidden=SHAPE["hidden_size"],
        vocabulary=VOCABULARY,
        window=WINDOW,
        text=TEXT.format(files=len(row["corpus"])),
        tokens=row["tokens"] / 1e6,
        held_out=", ".join(row["held_out"]),
        **{key: row[key] for key in ("steps", "epochs", "masking", "seed")},
        rates=settings["schedule"] + "".join(f", restarted at step {n:,}" for n in row["restarts"]),
        **{key: settings[key] for key in ("batch", "learning_rate", "embedding_rate")},
        **row["metrics"],
    )
