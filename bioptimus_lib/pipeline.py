"""The whole of BIOptimus in one folder: corpus → vocabulary → keywords → contexts → distilled
embeddings → four phases → NER, every stage resumable.

A ``Run`` is a folder. Each stage leaves its files and, last of all, ``stages/<name>.json``; so a
stage either is done or is not, and a run that was interrupted goes on where it was.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioptimus_lib.curriculum import PHASES
from bioptimus_lib.errors import DataError
from bioptimus_lib.files import atomic_dir, atomic_write, open_text
from bioptimus_lib.profile import Profile

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bioptimus_lib.scan import Contexts
    from bioptimus_lib.vocab import VocabularyPlan

log = logging.getLogger(__name__)

HELD_OUT_EVERY = 50  # each 50th document is kept from training, vocabulary and scan
HELD_OUT_BLOCKS = 512
MODELS = ("old", "continued", *(phase.version for phase in PHASES))
NEEDED_MB = 400  # free disk below which a run does not start


@dataclass(frozen=True)
class Stage:
    """One step of a run: a name, what it does, and the method of ``Run`` that does it."""

    name: str
    about: str
    work: Callable[[Run], dict[str, Any]]


class Run:
    """A run folder and the stages that fill it.

    Args:
        out: the folder; made if missing, continued if it holds the same configuration.
        profile: sizes of every stage.
        minutes: budget of the whole run in minutes; the steps of each phase are then chosen once,
            from the measured speed, and kept with the run. ``None`` takes the profile's own.
        corpus: folder or file of text instead of the profile's corpus.
        ner: folder with ``train.tsv``, ``devel.tsv``, ``test.tsv`` instead of the profile's set.
        seed: of everything that is random.
        device: ``cpu`` keeps off a GPU that is there.
        progress: show progress bars inside the stages.

    Raises:
        ValueError: the folder holds a run of another configuration.
        FileNotFoundError: the corpus or the NER folder does not exist.
        OSError: the folder cannot be written, or the disk is nearly full.
    """

    def __init__(
        self,
        out: str | Path,
        *,
        profile: Profile,
        minutes: float | None = None,
        corpus: str | Path | None = None,
        ner: str | Path | None = None,
        seed: int = 0,
        device: str | None = None,
        progress: bool = True,
    ) -> None:
        self.out, self.profile, self.seed = Path(out), profile, seed
        self.minutes = profile.minutes if minutes is None else minutes
        if self.minutes < 0:
            raise ValueError(f"{self.minutes} minutes: the budget cannot be negative")
        self.device, self.progress = device, progress
        self.corpus_source = None if corpus is None else Path(corpus)
        self.ner_source = None if ner is None else Path(ner)
        for path in (self.corpus_source, self.ner_source):
            if path is not None and not path.exists():
                raise FileNotFoundError(f"{path} does not exist")
        self._open()

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """The stages in order; a backbone without an MLM head is warmed up first."""
        warm = [s for s in STAGES if s.name != "warm-up" or self.profile.warmup_steps]
        return tuple(warm)

    # -- the folder ------------------------------------------------------------------------------

    def _configuration(self) -> dict[str, Any]:
        return {
            "profile": asdict(self.profile),
            "minutes": self.minutes,
            "corpus": self.corpus_source and str(self.corpus_source.resolve()),
            "ner": self.ner_source and str(self.ner_source.resolve()),
            "seed": self.seed,
        }

    def _open(self) -> None:
        """Make or recognise the folder before any long work starts."""
        file = self.out / "config.json"
        mine = json.loads(json.dumps(self._configuration()))
        if file.exists():
            theirs = json.loads(file.read_text())
            flat = lambda c: {**c.pop("profile"), **c}  # noqa: E731
            old, new = flat(dict(theirs)), flat(dict(mine))
            if changed := sorted(k for k in new if old.get(k) != new[k]):
                says = ", ".join(f"{k} {old.get(k)!r} there, {new[k]!r} here" for k in changed[:3])
                raise ValueError(
                    f"{self.out} holds a run of another configuration ({says}): "
                    "choose another --out or delete it"
                )
            return
        if self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
            raise ValueError(f"{self.out} exists and is no run folder: choose another --out")
        parent = next(p for p in (self.out, *self.out.absolute().parents) if p.exists())
        if not os.access(parent, os.W_OK):
            raise PermissionError(f"no permission to write in {parent}: choose another --out")
        if (free := shutil.disk_usage(parent).free / 1e6) < NEEDED_MB:
            raise OSError(f"{free:.0f} MB are free in {parent}, a run needs {NEEDED_MB} MB")
        self.out.mkdir(parents=True, exist_ok=True)
        with atomic_write(file) as handle:
            json.dump(mine, handle, indent=1)

    def done(self, name: str) -> dict[str, Any] | None:
        """The result of a finished stage, or None."""
        file = self.out / "stages" / f"{name}.json"
        return json.loads(file.read_text()) if file.exists() else None

    def stage(self, name: str) -> dict[str, Any]:
        """Run a stage, and the ones before it, unless they are done; returns its result.

        Raises:
            ValueError: there is no such stage.
        """
        names = [s.name for s in self.stages]
        if name not in names:
            raise ValueError(f"stage {name!r} is unknown: choose one of {', '.join(names)}")
        for stage in self.stages[: names.index(name) + 1]:
            if self.done(stage.name) is None:
                log.info("stage %s: %s", stage.name, stage.about)
                started = time.perf_counter()
                row = stage.work(self)
                row = {"stage": stage.name, "seconds": time.perf_counter() - started, **row}
                with atomic_write(self.out / "stages" / f"{stage.name}.json") as file:
                    json.dump(row, file, indent=1)
        return self.done(name)

    # -- what stages leave -----------------------------------------------------------------------

    @property
    def shards(self) -> list[Path]:
        """The training text: one sentence per line, a blank line between documents."""
        return sorted((self.out / "corpus").glob("*.txt"))

    @property
    def held_out(self) -> Path:
        """Text of the same kind that no stage trains on."""
        return self.out / "held-out.txt"

    def folder(self, model: str) -> Path:
        """Folder of a model: ``old``, ``warm``, ``distilled``, ``continued`` or a version."""
        if model == "old":
            from bioptimus_lib.sources import model_path

            if self.profile.warmup_steps:
                return self.out / "models" / "warm"
            return model_path(self.profile.backbone, progress=self.progress)
        return self.out / "models" / model

    def load(self, model: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """A model of the run and its tokenizer."""
        from bioptimus_lib.models import load_masked_lm

        loaded, tokenizer = load_masked_lm(self.folder(model))
        return loaded.to(self._torch_device()), tokenizer

    def tokenizer(self, which: str) -> PreTrainedTokenizerBase:
        """The ``old`` or the ``new`` tokenizer."""
        from transformers import AutoTokenizer

        folder = self.folder("old") if which == "old" else self.out / "tokenizer"
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)

    @property
    def plan(self) -> VocabularyPlan:
        """How the new vocabulary follows from the old one."""
        from bioptimus_lib.vocab import VocabularyPlan

        return VocabularyPlan.load(self.out / "plan.json")

    @property
    def contexts(self) -> Contexts:
        """The sentences that the scan found."""
        from bioptimus_lib.scan import Contexts

        return Contexts.load(self.out / "contexts.parquet")

    def losses(self, model: str) -> list[dict[str, float]]:
        """The training log of a model: step, tokens, loss, gradient norm, learning rate."""
        logs = sorted((self.out / "training" / model).glob("**/log.jsonl"))
        return [json.loads(line) for path in logs for line in path.read_text().splitlines()]

    def scores(self) -> dict[str, list[float]]:
        """Test F1 in per cent of every model, one number per seed."""
        found: dict[str, list[float]] = {}
        for model in MODELS:
            files = sorted((self.out / "ner").glob(f"{model}-seed*.json"))
            if files:
                found[model] = [json.loads(file.read_text())["metrics"]["f1"] for file in files]
        return found

    def _torch_device(self) -> str:
        import torch

        return "cuda" if torch.cuda.is_available() and self.device != "cpu" else "cpu"

    # -- stages ----------------------------------------------------------------------------------

    def _warm_up(self) -> dict[str, Any]:
        """MLM warm-up on general text with the old vocabulary (MiniLM came without a head)."""
        from bioptimus_lib import sources
        from bioptimus_lib.masking import Masking
        from bioptimus_lib.models import load_masked_lm, save_model
        from bioptimus_lib.pocket_bert import corpus_files, paragraphs
        from bioptimus_lib.pretrain import Settings, evaluate_mlm, pack, pretrain

        folder = sources.model_path(self.profile.backbone, progress=self.progress)
        model, tokenizer = load_masked_lm(folder)
        train, held_out = corpus_files(sources.fetch("general", progress=self.progress))
        blocks, test = (
            pack((t for f in files for t in paragraphs(f)), tokenizer, length=self.profile.length)
            for files in (train, held_out)
        )
        settings = Settings(
            steps=self.profile.warmup_steps,
            batch=self.profile.batch,
            learning_rate=self.profile.learning_rate,
            seed=self.seed,
        )
        result = pretrain(
            model,
            tokenizer,
            blocks,
            masking=Masking(),
            settings=settings,
            out=self.out / "training" / "warm",
            device=self.device,
            progress=self.progress,
        )
        score = evaluate_mlm(model, tokenizer, test[:HELD_OUT_BLOCKS])
        save_model(model, tokenizer, self.folder("warm"))
        return {
            "size": f"{result['tokens']:,} pieces",
            "measure": f"held-out accuracy {score['accuracy']:.1%}",
            **{k: score[k] for k in ("loss", "accuracy")},
        }

    def _corpus(self) -> dict[str, Any]:
        """Clean sentences in shards; each fiftieth document is held out."""
        from bioptimus_lib import pocket, pubmed, sources

        with atomic_dir(self.out / "corpus.all") as everything:
            megabytes = self.profile.corpus_mb
            if self.corpus_source is None and self.profile.corpus == "pocket":
                pocket.write_corpus(everything, megabytes=megabytes, seed=self.seed)
            else:
                where = self.corpus_source or sources.fetch(
                    self.profile.corpus, progress=self.progress
                )
                pubmed.write_shards(
                    [where], everything / "shards", megabytes=megabytes, progress=self.progress
                )
        count = {"documents": 0, "held_out": 0, "bytes": 0}
        source = sorted((self.out / "corpus.all").rglob("*.txt"))
        with (
            atomic_dir(self.out / "corpus") as folder,
            atomic_write(self.held_out) as held_out,
        ):
            for path in source:
                with atomic_write(folder / path.name) as kept:
                    for document in read_documents([path]):
                        keep = count["documents"] % HELD_OUT_EVERY != HELD_OUT_EVERY - 1
                        count["documents"] += 1
                        count["held_out"] += not keep
                        text = "\n".join(document) + "\n\n"
                        count["bytes"] += len(text.encode()) if keep else 0
                        (kept if keep else held_out).write(text)
        shutil.rmtree(self.out / "corpus.all")
        if count["held_out"] == 0:
            raise DataError(
                f"{count['documents']} documents are too few: {HELD_OUT_EVERY} are needed for one "
                "to be held out; give more text",
                path=self.corpus_source,
            )
        return {
            "size": f"{count['bytes'] / 1e6:.1f} MB",
            "measure": f"{count['documents'] - count['held_out']:,} documents, "
            f"{count['held_out']:,} held out",
            **count,
        }

    def _vocabulary(self) -> dict[str, Any]:
        """A WordPiece vocabulary of the old one's size, trained on the corpus."""
        from bioptimus_lib.scan import count_words
        from bioptimus_lib.vocab import fertility, train_wordpiece

        old = self.tokenizer("old")
        counts = count_words(self.shards, progress=self.progress)
        new = train_wordpiece(counts, like=old)
        with atomic_write(self.out / "counts.json") as file:
            json.dump(dict(counts.most_common()), file, ensure_ascii=False)
        with atomic_dir(self.out / "tokenizer") as folder:
            new.save_pretrained(folder)
        before, after = fertility(old, counts), fertility(new, counts)
        return {
            "size": f"{len(new):,} pieces",
            "measure": f"{after:.2f} pieces per word, {before:.2f} before",
            "words": len(counts),
            "fertility": {"old": before, "new": after},
        }

    def _keywords(self) -> dict[str, Any]:
        """What is new in the vocabulary, and the words to look for."""
        from bioptimus_lib.vocab import calibration_words, plan_vocabulary

        old, counts = self.tokenizer("old"), self._counts()
        plan = plan_vocabulary(
            old, self.tokenizer("new"), counts, words_per_piece=self.profile.words_per_piece
        )
        known = calibration_words(old, counts, n=self.profile.calibration_words)
        plan.save(self.out / "plan.json")
        with atomic_write(self.out / "keywords.json") as file:
            json.dump({"new": plan.keywords(), "known": known}, file, ensure_ascii=False)
        return {
            "size": f"{len(plan.keywords()) + len(known):,} keywords",
            "measure": f"{len(plan.new):,} new pieces, {len(plan.shared):,} kept",
            "new": len(plan.new),
            "shared": len(plan.shared),
        }

    def _contexts(self) -> dict[str, Any]:
        """Sentences in which the keywords occur."""
        from bioptimus_lib.scan import find_contexts

        keywords = json.loads((self.out / "keywords.json").read_text())
        wanted = sorted({*keywords["new"], *keywords["known"]})
        found = find_contexts(
            wanted,
            self.shards,
            contexts=self.profile.contexts,
            seed=self.seed,
            progress=self.progress,
        )
        found.to_parquet(self.out / "contexts.parquet")
        sentences = sum(len(found[word]) for word in found)
        missing = sum(not found[word] for word in wanted if word in found)
        return {
            "size": f"{sentences:,} contexts",
            "measure": f"{missing:,} of {len(wanted):,} keywords without one",
            "contexts": sentences,
            "missing": missing,
        }

    def _distillation(self) -> dict[str, Any]:
        """Embeddings for the new pieces, distilled from the old model in context."""
        from bioptimus_lib.distill import distill
        from bioptimus_lib.models import save_model

        model, old = self.load("old")
        result = distill(
            model,
            old,
            self.plan,
            self.contexts,
            strategy="calibrated",
            seed=self.seed,
            progress=self.progress,
        )
        save_model(result.model, result.tokenizer, self.folder("distilled"))
        report = result.report
        return {
            "size": f"{report['new']:,} embeddings",
            "measure": f"token recovery MRR {report['recovery']['mrr']:.2f}, "
            f"{report['fallbacks']:,} without context",
            **report,
        }

    def _budget(self) -> dict[str, Any]:
        """How many steps a phase gets: the profile's, or what the minutes leave."""
        if not self.minutes:
            steps, basis = self.profile.phase_steps, "the profile's"
        else:
            steps, basis = self._steps_for_minutes()
        return {"size": f"{steps:,} steps a phase", "measure": basis, "steps": steps}

    def _steps_for_minutes(self) -> tuple[int, str]:
        from bioptimus_lib import ner

        speed = self._measured_speed()
        used = sum((self.done(s.name) or {"seconds": 0})["seconds"] for s in self.stages)
        splits = ner.load_splits(self._ner_folder())
        epochs, seeds = self.profile.ner_epochs, self.profile.seeds
        pieces = {name: 1.6 * sum(len(s.tokens) for s in split) for name, split in splits.items()}
        # A forward pass costs a third of a step; devel is read after each epoch, test once.
        tagging = epochs * (pieces["train"] + pieces["devel"] / 3) + pieces["test"] / 3
        later = len(MODELS) * seeds * tagging / (0.6 * speed)
        left = 60 * self.minutes * 0.93 - used - later
        tokens_per_step = self.profile.batch * self.profile.length
        # Four phases, and as many steps for the control with the old vocabulary.
        steps = int(left * speed / tokens_per_step / (2 * len(PHASES)))
        if steps < 10:
            raise ValueError(
                f"{self.minutes:g} minutes leave {left:.0f} seconds for pre-training at "
                f"{speed:,.0f} pieces a second: give --minutes {self.minutes * 2:g} or more"
            )
        return steps, f"from {speed:,.0f} pieces a second"

    def _measured_speed(self, steps: int = 12) -> float:
        """Pieces a second of a training step of the old model on this device."""
        from bioptimus_lib.pretrain import Settings, pretrain

        model, tokenizer = self.load("old")
        blocks = self._blocks("held-out", tokenizer, "old")
        settings = Settings(steps=steps, batch=self.profile.batch, seed=self.seed)
        probe = self.out / "training" / "probe"
        result = pretrain(
            model,
            tokenizer,
            blocks,
            masking=PHASES[-1].masking,
            settings=settings,
            out=probe,
            device=self.device,
            progress=False,
        )
        shutil.rmtree(probe)
        return result["tokens_per_second"]

    def _phases(self, model: str, number: int) -> dict[str, Any]:
        """Phase ``number`` for ``model``: a version, or ``continued``."""
        from bioptimus_lib.masking import Masking
        from bioptimus_lib.models import save_model
        from bioptimus_lib.pretrain import Settings, evaluate_mlm, pretrain

        continued = model == "continued"
        phase = PHASES[number - 1]
        if number > 1:
            start = f"continued-{number - 1}" if continued else PHASES[number - 2].version
        else:
            start = "old" if continued else "distilled"
        goal = model
        if continued and number < len(PHASES):
            goal = f"continued-{number}"
        masked_lm, tokenizer = self.load(start)
        vocabulary = "old" if continued else "new"
        settings = Settings(
            steps=self.done("budget")["steps"],
            batch=self.profile.batch,
            learning_rate=self.profile.learning_rate,
            seed=self.seed * len(PHASES) + number,
        )
        training = self.out / "training" / model / f"phase{number}"
        result = pretrain(
            masked_lm,
            tokenizer,
            self._blocks("train", tokenizer, vocabulary),
            masking=phase.masking,
            settings=settings,
            out=training,
            device=self.device,
            progress=self.progress,
        )
        held_out = self._blocks("held-out", tokenizer, vocabulary)[:HELD_OUT_BLOCKS]
        score = evaluate_mlm(masked_lm, tokenizer, held_out, masking=Masking("word", 0.15, False))
        save_model(masked_lm, tokenizer, self.folder(goal))
        for checkpoint in training.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)
        return {
            "size": f"{result['tokens']:,} pieces",
            "measure": f"held-out loss {score['loss']:.3f}, accuracy {score['accuracy']:.1%}",
            "masking": str(phase.masking),
            **{k: result[k] for k in ("steps", "tokens", "tokens_per_second")},
            "held_out": score,
        }

    def _continued(self) -> dict[str, Any]:
        """The control: the old model and its old vocabulary through the same four phases."""
        for number in range(1, len(PHASES) + 1):
            goal = "continued" if number == len(PHASES) else f"continued-{number}"
            if not self.folder(goal).exists():
                result = self._phases("continued", number)
                with atomic_write(self.out / "training" / "continued" / "last.json") as file:
                    json.dump(result, file)
        for number in range(1, len(PHASES)):
            shutil.rmtree(self.folder(f"continued-{number}"), ignore_errors=True)
        last = json.loads((self.out / "training" / "continued" / "last.json").read_text())
        return {**last, "size": f"{len(PHASES) * last['tokens']:,} pieces"}

    def _ner(self) -> dict[str, Any]:
        """Fine-tune and test every model, once per seed."""
        import numpy as np

        from bioptimus_lib import ner

        splits = ner.load_splits(self._ner_folder())
        if self.profile.ner_sentences:
            splits["train"] = splits["train"][: self.profile.ner_sentences]
        settings = [
            ner.NerSettings(
                epochs=self.profile.ner_epochs,
                learning_rate=self.profile.ner_learning_rate,
                seed=self.seed * 1000 + seed,
            )
            for seed in range(self.profile.seeds)
        ]
        for setting in settings:
            for model in MODELS:
                file = self.out / "ner" / f"{model}-seed{setting.seed}.json"
                if file.exists():
                    continue
                result = ner.fine_tune(
                    self.folder(model),
                    splits,
                    settings=setting,
                    device=self.device,
                    progress=self.progress,
                )
                with atomic_write(file) as handle:
                    json.dump(result.as_dict(), handle, indent=1)
        means = {model: float(np.mean(values)) for model, values in self.scores().items()}
        return {
            "size": f"{len(MODELS)} models × {self.profile.seeds} seeds",
            "measure": f"F1 {means['old']:.1f} old, {means[MODELS[-1]]:.1f} {MODELS[-1]}",
            "f1": means,
        }

    # -- small helpers ---------------------------------------------------------------------------

    def _counts(self):
        from collections import Counter

        return Counter(json.loads((self.out / "counts.json").read_text()))

    def _ner_folder(self) -> Path:
        """The NER set: given, generated or fetched."""
        from bioptimus_lib import pocket, sources

        if self.ner_source is not None:
            return self.ner_source
        if self.profile.ner != "pocket":
            return sources.fetch(self.profile.ner, progress=self.progress)
        folder = self.out / "ner-set"
        if not folder.exists():
            pocket.write_ner(folder, seed=self.seed)
        return folder

    def _blocks(
        self, which: str, tokenizer: PreTrainedTokenizerBase, vocabulary: str
    ) -> np.ndarray:
        """Packed blocks (N, T) of the training or held-out text, kept beside the run."""
        import numpy as np

        from bioptimus_lib.pretrain import pack

        file = self.out / "blocks" / f"{which}-{vocabulary}.npy"
        if not file.exists():
            paths = self.shards if which == "train" else [self.held_out]
            texts = (" ".join(document) for document in read_documents(paths))
            blocks = pack(texts, tokenizer, length=self.profile.length)
            with atomic_write(file, "wb") as handle:
                np.save(handle, blocks)
        return np.load(file)


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
    Stage("warm-up", "teach the backbone to guess masked words", Run._warm_up),
    Stage("corpus", "clean sentences, some documents held out", Run._corpus),
    Stage("vocabulary", "a WordPiece vocabulary of the corpus", Run._vocabulary),
    Stage("keywords", "what is new in it, and which words to look for", Run._keywords),
    Stage("contexts", "sentences in which the keywords occur", Run._contexts),
    Stage("distillation", "embeddings of the new pieces, in context", Run._distillation),
    Stage("budget", "how many steps each phase gets", Run._budget),
    *(
        Stage(f"phase{p.number}", f"{p.version}: {p.about}", lambda run, p=p: run._phases(p.version, p.number))
        for p in PHASES
    ),
    Stage("continued", "control: old vocabulary, same text, same steps", Run._continued),
    Stage("ner", "fine-tune and test every model", Run._ner),
)
