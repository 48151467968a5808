"""One switch for all sizes: the profile.

A notebook has no ``if`` of its own; it asks ``profile()`` for the backbone, the text and the
sizes, and the reader chooses with ``BIOPTIMUS_PROFILE``. Nothing here loads torch.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace

FEW_SENTENCES = 500
NOT_FOUND = "not found"  # in what we have read of the paper; it may say it


@dataclass(frozen=True)
class Profile:
    """Sizes of every stage.

    Attributes:
        about: who it is for, in a phrase.
        backbone: ``pocket-bert``, ``minilm`` or ``bert-base-uncased``.
        corpus: ``pocket`` (generated), ``biomed`` or ``pubmed-baseline`` (real).
        corpus_mb: megabytes of clean text that are used.
        ner: name of the NER set.
        contexts: sentences per keyword, K.
        words_per_piece: words that stand for a ``##`` piece in the scan.
        calibration_words: known words that are distilled as if new, to fit the calibration.
        length: pieces per block, T.
        batch: blocks per optimiser step, B.
        phase_steps: optimiser steps of each phase when no minutes are given.
        learning_rate: peak of each phase.
        warmup_steps: steps of MLM warm-up of the old model on its own vocabulary, for a backbone
            that was published without an MLM head.
        ner_epochs: passes over the NER training set.
        ner_learning_rate: peak in fine-tuning.
        ner_sentences: training sentences that are used; 0 for all.
        seeds: fine-tuning runs of the models that are compared: old, continued, last version.
        seeds_between: fine-tuning runs of each version between.
        minutes: budget of the whole run on the device that the profile is made for; 0 when the
            steps above are fixed and the run is exactly repeatable.
        takes: the expected minutes in words.
        ner_batch_tokens: pieces in a batch of fine-tuning; ``None`` for the usual number.
        ner_dropout: probability in fine-tuning; ``None`` keeps the model's own.
        ner_test_sentences: of a generated NER set, whose devel has half as many; ``None`` for the
            usual number.
    """

    name: str
    about: str
    backbone: str
    corpus: str
    corpus_mb: float
    ner: str
    contexts: int
    words_per_piece: int
    calibration_words: int
    length: int
    batch: int
    phase_steps: int
    learning_rate: float
    warmup_steps: int
    ner_epochs: int
    ner_learning_rate: float
    ner_sentences: int
    seeds: int
    seeds_between: int
    minutes: float
    takes: str
    ner_batch_tokens: int | None = None
    ner_dropout: float | None = None
    ner_test_sentences: int | None = None


PROFILES: dict[str, Profile] = {
    p.name: p
    for p in (
        Profile(
            name="glance",
            about="for the tests: every line of the course runs, and nothing is learnt",
            backbone="pocket-bert",
            corpus="pocket",
            corpus_mb=1,
            ner="pocket",
            contexts=2,
            words_per_piece=2,
            calibration_words=300,
            length=32,
            batch=4,
            phase_steps=24,
            learning_rate=1e-3,
            warmup_steps=0,
            ner_epochs=1,
            ner_learning_rate=6e-4,
            ner_sentences=100,
            seeds=2,
            seeds_between=1,
            minutes=0,
            takes="a minute on two cores",
            ner_test_sentences=100,
        ),
        Profile(
            name="pocket",
            about="any laptop, offline: our own small BERT and our own text",
            backbone="pocket-bert",
            corpus="pocket",
            corpus_mb=4,
            ner="pocket",
            contexts=5,
            words_per_piece=2,
            calibration_words=3000,
            length=128,
            batch=16,
            phase_steps=120,
            learning_rate=1e-3,
            warmup_steps=0,
            ner_epochs=6,
            ner_learning_rate=6e-4,
            ner_sentences=0,
            seeds=2,
            seeds_between=1,
            minutes=0,
            takes="6 minutes on two cores",
        ),
        Profile(
            name="laptop",
            about="any laptop: our own small BERT on real text and real NER data",
            backbone="pocket-bert",
            corpus="biomed",
            corpus_mb=32,
            ner="NCBI-disease",
            contexts=5,
            words_per_piece=2,
            calibration_words=4000,
            length=128,
            batch=16,
            phase_steps=700,
            learning_rate=1e-3,
            warmup_steps=0,
            ner_epochs=8,
            ner_learning_rate=6e-4,
            ner_sentences=1000,
            seeds=5,
            seeds_between=1,
            minutes=25,
            takes="25 minutes on two cores",
        ),
        Profile(
            name="small",
            about="a T4, or a patient laptop: MiniLM (22M) on real data",
            backbone="minilm",
            corpus="biomed",
            corpus_mb=80,
            ner="NCBI-disease",
            contexts=20,
            words_per_piece=3,
            calibration_words=8000,
            length=128,
            batch=64,
            phase_steps=2000,
            learning_rate=3e-4,
            warmup_steps=4000,
            ner_epochs=8,
            ner_learning_rate=1e-4,
            ner_sentences=0,
            seeds=3,
            seeds_between=1,
            minutes=60,
            takes="an hour on a T4",
        ),
        Profile(
            name="base",
            about="a T4 and up: the paper's own starting model on real data",
            backbone="bert-base-uncased",
            corpus="biomed",
            corpus_mb=80,
            ner="NCBI-disease",
            contexts=20,
            words_per_piece=3,
            calibration_words=8000,
            length=128,
            batch=64,
            phase_steps=1000,
            learning_rate=1e-4,
            warmup_steps=0,
            ner_epochs=10,
            ner_learning_rate=5e-5,
            ner_sentences=0,
            seeds=3,
            seeds_between=1,
            minutes=90,
            takes="one and a half hours on a T4, minutes on a data-centre GPU",
        ),
        Profile(
            name="paper",
            about="several GPUs: all PubMed abstracts, the paper's values where they are known",
            backbone="bert-base-uncased",
            corpus="pubmed-baseline",
            corpus_mb=25_000,
            ner="NCBI-disease",
            contexts=20,
            words_per_piece=5,
            calibration_words=10_000,
            length=512,
            batch=256,
            phase_steps=100_000,
            learning_rate=1e-4,
            warmup_steps=0,
            ner_epochs=20,
            ner_learning_rate=5e-5,
            ner_sentences=0,
            seeds=5,
            seeds_between=5,
            minutes=0,
            takes="weeks of GPU time; never run by a test",
        ),
    )
}


def tour(chosen: Profile) -> Profile:
    """The same profile cut down for a first look at the whole pipeline in about three minutes."""
    return replace(
        with_few_sentences(chosen),
        corpus_mb=chosen.corpus_mb / 2,
        batch=chosen.batch // 2,
        phase_steps=max(10, chosen.phase_steps // 4),
        ner_epochs=min(3, chosen.ner_epochs),
        seeds=1,
        seeds_between=1,
        minutes=0,
        takes="three minutes",
    )


def close_look(chosen: Profile) -> Profile:
    """The same profile for a close look at the phases, one chapter each: all of its text, fewer and
    smaller steps, none by the clock, so that all chapters find the same checkpoints."""
    return replace(
        with_few_sentences(chosen),
        batch=chosen.batch // 2,
        phase_steps=min(chosen.phase_steps, max(100, chosen.phase_steps // 4)),
        ner_epochs=min(3, chosen.ner_epochs),
        minutes=0,
        takes="a minute for each chapter",
    )


def miniature(chosen: Profile) -> Profile:
    """The same profile cut down to a whole run in a minute, every stage of it: something to give
    away in the chapter on releases, not something to use. Versions between are not tested."""
    return replace(
        with_few_sentences(chosen),
        corpus_mb=min(chosen.corpus_mb, max(1, chosen.corpus_mb / 4)),
        contexts=min(chosen.contexts, 3),
        words_per_piece=1,
        calibration_words=min(chosen.calibration_words, 1500),
        length=min(chosen.length, 64),
        phase_steps=max(10, min(chosen.phase_steps // 8, 100)),
        ner_epochs=min(chosen.ner_epochs, 4),
        seeds=1,
        seeds_between=0,
        minutes=0,
        takes="a minute",
    )


def with_few_sentences(chosen: Profile) -> Profile:
    """The same profile with short fine-tunings, for those that a chapter makes while one reads.

    At most 500 sentences, in small batches, so that there are as many steps; a higher rate and no
    dropout, since so few steps learn too little rather than too much. For the pocket BERT three
    epochs of this take half as long as three over a thousand sentences by the usual recipe, and end
    at 37 F1 on devel where those end at 23 (means of three versions with two seeds each).
    """
    return replace(
        chosen,
        ner_sentences=min(chosen.ner_sentences or FEW_SENTENCES, FEW_SENTENCES),
        ner_batch_tokens=512,
        ner_learning_rate=1.5 * chosen.ner_learning_rate,
        ner_dropout=0.0,
    )


def has_gpu() -> bool:
    """Whether an NVIDIA driver answers to its name here, told without loading torch."""
    return shutil.which("nvidia-smi") is not None


def profile(name: str | None = None) -> Profile:
    """The profile of that name, of ``BIOPTIMUS_PROFILE``, or the default of this machine.

    >>> profile("pocket").backbone
    'pocket-bert'

    Raises:
        ValueError: no profile has that name.
    """
    name = name or os.environ.get("BIOPTIMUS_PROFILE") or ("small" if has_gpu() else "pocket")
    if name not in PROFILES:
        raise ValueError(f"profile {name!r} is unknown: choose one of {', '.join(PROFILES)}")
    return PROFILES[name]
