"""A run of the whole of BIOptimus as a folder, filled by resumable stages.

Each stage (see ``stages``) leaves its files and, last of all, ``stages/<name>.json``; so a stage
either is done or is not, and a run that was interrupted goes on where it was.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioptimus_lib.errors import DataError
from bioptimus_lib.files import atomic_write, claim, json_lines
from bioptimus_lib.fine_tunings import MODELS
from bioptimus_lib.profile import Profile
from bioptimus_lib.stages import STAGES, Stage

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bioptimus_lib.scan import Contexts
    from bioptimus_lib.vocab import VocabularyPlan

__all__ = ["MODELS", "STAGES", "Run", "Stage"]

log = logging.getLogger(__name__)
NEEDED_MB = 400  # free disk below which a run does not start


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
        self._check_input()
        self._open()

    @classmethod
    def opened(
        cls, out: str | Path, *, device: str | None = None, progress: bool = True
    ) -> Run:
        """A run that is there, by its own configuration. What it was made from may be gone.

        Raises:
            FileNotFoundError: no run in the folder.
            DataError: its configuration is not one of this version.
        """
        file = Path(out) / "config.json"
        if not file.is_file():
            raise FileNotFoundError(f"{out} holds no run (no config.json)")
        run = cls.__new__(cls)
        try:
            there = json.loads(file.read_text(encoding="utf-8"))
            run.profile = Profile(**there["profile"])
            run.minutes, run.seed = float(there["minutes"]), int(there["seed"])
            sources = [there[name] and Path(there[name]) for name in ("corpus", "ner")]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"no run of this version ({type(error).__name__}: {error})", path=file
            ) from None
        run.out, run.device, run.progress = Path(out), device, progress
        run.corpus_source, run.ner_source = sources
        return run

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

    def _check_input(self) -> None:
        """Look at a reader's own files before anything is made or any long work starts."""
        from bioptimus_lib.ner import load_splits
        from bioptimus_lib.records import readable_files

        for path in (self.corpus_source, self.ner_source):
            if path is not None and not path.exists():
                raise FileNotFoundError(f"{path} does not exist")
        if self.corpus_source is not None:
            files = readable_files(self.corpus_source)
            if not any(file.stat().st_size for file in files):
                raise DataError("all files of the corpus are empty", path=self.corpus_source)
        if self.ner_source is not None:
            load_splits(self.ner_source)

    def _open(self) -> None:
        """Make or recognise the folder before any long work starts."""
        claim(self.out, self._configuration(), megabytes=NEEDED_MB)

    def done(self, name: str) -> dict[str, Any] | None:
        """The result of a finished stage, or None."""
        file = self.out / "stages" / f"{name}.json"
        row: dict[str, Any] | None = json.loads(file.read_bytes()) if file.exists() else None
        return row

    def finished(self, name: str) -> dict[str, Any]:
        """The result of a stage that is done; ValueError if it is not."""
        if (row := self.done(name)) is None:
            raise ValueError(f"stage {name!r} of {self.out} is not done: finish the run first")
        return row

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
        return self.finished(name)

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
        from bioptimus_lib.models import load_masked_lm, place

        loaded, tokenizer = load_masked_lm(self.folder(model))
        return place(loaded, self.torch_device), tokenizer

    def tokenizer(self, which: str) -> PreTrainedTokenizerBase:
        """The ``old`` or the ``new`` tokenizer."""
        from transformers import AutoTokenizer

        folder = self.folder("old") if which == "old" else self.out / "tokenizer"
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)

    @property
    def counts(self) -> Counter[str]:
        """How often each word occurs in the training text."""
        return Counter(json.loads((self.out / "counts.json").read_bytes()))

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
        return [row for path in logs for row in json_lines(path) if "loss" in row]

    def scores(self) -> dict[str, list[float]]:
        """Test F1 in per cent of every model, one number per seed."""
        found: dict[str, list[float]] = {}
        for model in MODELS:
            files = sorted((self.out / "ner").glob(f"{model}-seed*.json"))
            if files:
                found[model] = [json.loads(file.read_bytes())["metrics"]["f1"] for file in files]
        return found

    @property
    def torch_device(self) -> str:
        """Where models of the run work: ``cuda`` or ``cpu``."""
        import torch

        return "cuda" if torch.cuda.is_available() and self.device != "cpu" else "cpu"
