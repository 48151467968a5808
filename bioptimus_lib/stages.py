"""The stages of a run: corpus → vocabulary → keywords → contexts → distilled embeddings → four
phases → control → NER.

A stage is a function that takes a ``Run``, reads what the stages before it left in its folder,
leaves its own files there, and returns what is worth telling: ``size``, ``measure`` and numbers.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioptimus_lib.curriculum import PHASES
from bioptimus_lib.errors import DataError
from bioptimus_lib.files import atomic_dir, atomic_write, open_text
from bioptimus_lib.fine_tunings import expected_tagging, ner
from bioptimus_lib.one_phase import (
    HELD_OUT_BLOCKS,
    LOGGED,
    PROBE_STEPS,
    SPARE,
    measured_speed,
    train_version,
)
from bioptimus_lib.origin import write_origin
from bioptimus_lib.own_text import HELD_OUT_EVERY

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedTokenizerBase

    from bioptimus_lib.pipeline import Run
    from bioptimus_lib.pretrain import Settings

Row = dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """One step of a run: a name, what it does, and the function that does it."""

    name: str
    about: str
    work: Callable[[Run], Row]


# -- text and vocabulary ---------------------------------------------------------------------------


def corpus(run: Run) -> Row:
    """Clean sentences in shards; each fiftieth document is held out."""
    from bioptimus_lib import pocket, pubmed, sources

    count = {"documents": 0, "held_out": 0, "bytes": 0}
    with tempfile.TemporaryDirectory(dir=run.out, prefix=".corpus.") as temporary:
        everything = Path(temporary) / "shards"
        megabytes = run.profile.corpus_mb
        if run.corpus_source is None and run.profile.corpus == "pocket":
            pocket.write_corpus(everything, megabytes=megabytes, seed=run.seed)
        else:
            pubmed.write_shards(
                run.corpus_source or sources.fetch(run.profile.corpus, progress=run.progress),
                everything,
                megabytes=megabytes,
                seed=run.seed,
                progress=run.progress,
            )
        with atomic_dir(run.out / "corpus") as folder, atomic_write(run.held_out) as held_out:
            for path in sorted(everything.glob("*.txt")):
                with atomic_write(folder / path.name) as kept:
                    for document in read_documents([path]):
                        keep = count["documents"] % HELD_OUT_EVERY != HELD_OUT_EVERY - 1
                        count["documents"] += 1
                        count["held_out"] += not keep
                        text = "\n".join(document) + "\n\n"
                        count["bytes"] += len(text.encode()) if keep else 0
                        (kept if keep else held_out).write(text)
            if count["held_out"] == 0:
                raise DataError(
                    f"{count['documents']} documents are too few: {HELD_OUT_EVERY} are needed for "
                    "one to be held out; give more text",
                    path=run.corpus_source,
                )
    return {
        "size": f"{count['bytes'] / 1e6:.1f} MB",
        "measure": f"{count['documents'] - count['held_out']:,} documents, "
        f"{count['held_out']:,} held out",
        **count,
    }


def vocabulary(run: Run) -> Row:
    """A WordPiece vocabulary of the old one's size, trained on the corpus."""
    from bioptimus_lib.scan import count_words
    from bioptimus_lib.wordpiece import fertility, train_wordpiece

    old, counts = run.tokenizer("old"), count_words(run.shards, progress=run.progress)
    new = train_wordpiece(counts, like=old)
    with atomic_write(run.out / "counts.json") as file:
        json.dump(dict(counts.most_common()), file, ensure_ascii=False)
    with atomic_dir(run.out / "tokenizer") as folder:
        new.save_pretrained(folder)
    before, after = fertility(old, counts), fertility(new, counts)
    return {
        "size": f"{len(new):,} pieces",
        "measure": f"{after:.2f} pieces per word, {before:.2f} before",
        "words": len(counts),
        "fertility": {"old": before, "new": after},
    }


def keywords(run: Run) -> Row:
    """What is new in the vocabulary, and the words to look for."""
    from bioptimus_lib.vocab import calibration_words, plan_vocabulary

    old, counts = run.tokenizer("old"), run.counts
    plan = plan_vocabulary(
        old, run.tokenizer("new"), counts, words_per_piece=run.profile.words_per_piece
    )
    known = calibration_words(old, counts, n=run.profile.calibration_words)
    plan.save(run.out / "plan.json")
    with atomic_write(run.out / "keywords.json") as file:
        json.dump({"new": plan.keywords(), "known": known}, file, ensure_ascii=False)
    return {
        "size": f"{len(plan.keywords()):,} new and {len(known):,} known words",
        "measure": f"{len(plan.new):,} new pieces, {len(plan.shared):,} kept",
        "new": len(plan.new),
        "shared": len(plan.shared),
    }


def contexts(run: Run) -> Row:
    """Sentences in which the keywords occur."""
    from bioptimus_lib.scan import find_contexts

    wanted = json.loads((run.out / "keywords.json").read_bytes())
    found = find_contexts(
        dict.fromkeys([*wanted["new"], *wanted["known"]]),
        run.shards,
        contexts=run.profile.contexts,
        seed=run.seed,
        progress=run.progress,
    )
    found.to_parquet(run.out / "contexts.parquet")
    report = found.report
    assert report is not None  # what was scanned just now has one
    return {
        "size": f"{report.contexts:,} contexts",
        "measure": f"{report.megabytes_per_second:.0f} MB/s, {len(report.missing):,} of "
        f"{report.keywords:,} keywords without one",
        "contexts": report.contexts,
        "missing": len(report.missing),
    }


def distillation(run: Run) -> Row:
    """Embeddings for the new pieces, distilled from the old model in context."""
    from bioptimus_lib.distill import distill
    from bioptimus_lib.models import save_model

    result = distill(
        *run.load("old"),
        run.plan,
        run.contexts,
        known=run.profile.calibration_words,
        seed=run.seed,
        progress=run.progress,
    )
    save_model(result.model, result.tokenizer, run.folder("distilled"))
    write_origin(run.folder("distilled"), run.folder("old"))
    report = result.report
    recovered = report["recovery"] or report["recovery_pieces"]
    return {
        "size": f"{report['new']:,} embeddings",
        "measure": f"token recovery MRR {recovered['mrr']:.2f}, "
        f"{report['fallbacks']:,} without a context",
        **report,
    }


# -- pre-training ----------------------------------------------------------------------------------


def warm_up(run: Run) -> Row:
    """Teach a backbone that was published without an MLM head to guess, in its old vocabulary."""
    from transformers import set_seed

    from bioptimus_lib import sources
    from bioptimus_lib.masking import Masking
    from bioptimus_lib.models import load_masked_lm, save_model
    from bioptimus_lib.pocket_bert import corpus_files, paragraphs
    from bioptimus_lib.pretrain import evaluate_mlm, pack, pretrain

    folder = sources.model_path(run.profile.backbone, progress=run.progress)
    set_seed(run.seed)  # the head that the backbone lacks starts at random
    model, tokenizer = load_masked_lm(folder)
    length = run.profile.length
    try:
        train, test = corpus_files(sources.fetch("general", progress=run.progress))
        text = "general text"
        blocks, held_out = (
            pack((p for path in some for p in paragraphs(path)), tokenizer, length=length)
            for some in (train, test)
        )
    except FileNotFoundError:  # no general text at hand: the corpus has to serve
        text = "the corpus itself"
        blocks, held_out = (packed(run, which, tokenizer, "old") for which in ("train", "held-out"))
    result = pretrain(
        model,
        tokenizer,
        blocks,
        masking=Masking(),
        settings=settings_of(run, run.profile.warmup_steps, seed=run.seed),
        out=run.out / "training" / "warm",
        device=run.device,
        progress=run.progress,
    )
    score = evaluate_mlm(model, tokenizer, held_out[:HELD_OUT_BLOCKS])
    save_model(model, tokenizer, run.folder("warm"))
    return {
        "size": f"{result['tokens']:,} pieces",
        "measure": f"on {text}: held-out accuracy {score['accuracy']:.1%}",
        "held_out": score,
    }


def budget(run: Run) -> Row:
    """How many steps a phase gets: the profile's, or what the minutes leave after all else."""
    if not run.minutes:
        steps = run.profile.phase_steps
        return {"size": f"{steps:,} steps a phase", "measure": "as in the profile", "steps": steps}
    model, tokenizer = run.load("old")
    speed = measured_speed(
        model,
        tokenizer,
        packed(run, "held-out", tokenizer, "old"),
        settings=settings_of(run, PROBE_STEPS, seed=run.seed),
        device=run.device,
    )
    tagging = expected_tagging(run)
    used = sum((run.done(stage.name) or {"seconds": 0})["seconds"] for stage in run.stages)
    left = 60 * run.minutes * SPARE - used - tagging
    # Four phases, and as many steps for the control with the old vocabulary.
    steps = int(left * speed / (run.profile.batch * run.profile.length) / (2 * len(PHASES)))
    if steps < 10:
        raise ValueError(
            f"{run.minutes:g} minutes leave {left:.0f} seconds for pre-training at "
            f"{speed:,.0f} pieces a second: give --minutes {2 * run.minutes:g} or more"
        )
    return {
        "size": f"{steps:,} steps a phase",
        "measure": f"at {speed:,.0f} pieces a second; {tagging / 60:.1f} minutes kept for NER",
        "steps": steps,
    }


def settings_of(run: Run, steps: int, *, seed: int) -> Settings:
    """The profile's training settings for so many steps."""
    from bioptimus_lib.pretrain import Settings

    return Settings(
        steps=steps,
        batch=run.profile.batch,
        learning_rate=run.profile.learning_rate,
        seed=seed,
        log_steps=max(1, steps // LOGGED),
    )


def train_phase(run: Run, number: int, *, start: str, goal: str, vocabulary: str) -> Row:
    """One phase of the curriculum from model ``start`` to model ``goal``."""
    model, tokenizer = run.load(start)
    return train_version(
        model,
        tokenizer,
        packed(run, "train", tokenizer, vocabulary),
        packed(run, "held-out", tokenizer, vocabulary),
        masking=PHASES[number - 1].masking,
        settings=settings_of(
            run, run.finished("budget")["steps"], seed=run.seed * len(PHASES) + number
        ),
        training=run.out / "training" / goal,
        goal=run.folder(goal),
        device=run.device,
        progress=run.progress,
    )


def phase(number: int) -> Callable[[Run], Row]:
    """The stage that trains version v0.``number``."""

    def work(run: Run) -> Row:
        start = "distilled" if number == 1 else PHASES[number - 2].version
        goal = PHASES[number - 1].version
        return train_phase(run, number, start=start, goal=goal, vocabulary="new")

    return work


def continued(run: Run) -> Row:
    """The control: the old model and its old vocabulary through the same four phases."""
    goals = [*(f"continued-{p.number}" for p in PHASES[:-1]), "continued"]
    rows = run.out / "training"
    for number, (start, goal) in enumerate(zip(["old", *goals], goals, strict=False), start=1):
        if not (rows / f"{goal}.json").exists():
            row = train_phase(run, number, start=start, goal=goal, vocabulary="old")
            with atomic_write(rows / f"{goal}.json") as file:
                json.dump(row, file)
    for goal in goals[:-1]:
        shutil.rmtree(run.folder(goal), ignore_errors=True)
    last = json.loads((rows / "continued.json").read_bytes())
    return {**last, "size": f"{len(PHASES) * last['tokens']:,} pieces"}


# -- reading ---------------------------------------------------------------------------------------


def packed(run: Run, which: str, tokenizer: PreTrainedTokenizerBase, vocabulary: str) -> np.ndarray:
    """Packed blocks (N, T) of the ``train`` or ``held-out`` text, kept beside the run."""
    from bioptimus_lib.packing import kept

    paths = run.shards if which == "train" else [run.held_out]
    texts = (" ".join(document) for document in read_documents(paths))
    file = run.out / "blocks" / f"{which}-{vocabulary}.npy"
    return kept(file, texts, tokenizer, length=run.profile.length)


def read_documents(paths: list[Path]) -> Iterator[list[str]]:
    """Documents of shard files, each a list of its sentences."""
    for path in paths:
        sentences: list[str] = []
        with open_text(path) as file:
            for line in file:
                if line := line.rstrip("\n"):
                    sentences.append(line)
                elif sentences:
                    yield sentences
                    sentences = []
        if sentences:
            yield sentences


STAGES: tuple[Stage, ...] = (
    Stage("corpus", "clean sentences, some documents held out", corpus),
    Stage("warm-up", "teach the backbone to guess masked words", warm_up),
    Stage("vocabulary", "a WordPiece vocabulary of the corpus", vocabulary),
    Stage("keywords", "what is new in it, and which words to look for", keywords),
    Stage("contexts", "sentences in which the keywords occur", contexts),
    Stage("distillation", "embeddings of the new pieces, in context", distillation),
    Stage("budget", "how many steps each phase gets", budget),
    *(Stage(f"phase{p.number}", f"{p.version}: {p.about}", phase(p.number)) for p in PHASES),
    Stage("continued", "control: old vocabulary, same text, same steps", continued),
    Stage("ner", "fine-tune and test every model", ner),
)
