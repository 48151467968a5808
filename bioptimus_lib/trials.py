"""Short trainings for a lesson: the same few steps from several beginnings, watched on the way.

A trial leaves nothing behind: it trains a copy, in a temporary folder. The phases themselves are
stages of a run (``Run.stage``), which keep what they make.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bioptimus_lib.looks import curve, embeddings
from bioptimus_lib.pretrain import pretrain
from bioptimus_lib.recorder import Watcher
from bioptimus_lib.stages import packed, settings_of
from bioptimus_lib.strategies import STRATEGIES

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bioptimus_lib.masking import Masking
    from bioptimus_lib.pipeline import Run

#: How pre-training on text of a domain may begin, as the paper compares.
BEGINNINGS: dict[str, str] = {
    "distilled": "the old model, a new vocabulary, its embeddings distilled",
    "continued": "the old model with its old vocabulary: continued pre-training",
    "scratch": "random weights in the same shape, the new vocabulary",
}


@dataclass(frozen=True)
class Beginning:
    """A model to begin with; ``vocabulary`` (``old``, ``new``) says which blocks it reads."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    vocabulary: str


def beginning(run: Run, how: str) -> Beginning:
    """One of ``BEGINNINGS``, or a version of the run, such as ``v0.1``.

    Raises:
        ValueError: there is no such beginning.
    """
    if how in ("continued", "old"):
        return Beginning(*run.load("old"), "old")
    if how == "scratch":
        return Beginning(from_scratch(run), run.tokenizer("new"), "new")
    if how == "distilled":
        run.stage("distillation")
    if (run.folder(how) / "config.json").is_file():
        return Beginning(*run.load(how), "new")
    raise ValueError(f"{how!r} is no beginning: choose of {', '.join(BEGINNINGS)}, or a version")


def by_strategy(
    run: Run, names: Iterable[str], *, contexts: int = 2
) -> Iterator[tuple[str, Beginning]]:
    """(strategy, beginning) with the rows that each strategy makes, all from one short reading.

    Shared rows and biases are those of the distilled model. It is one model whose new rows are
    replaced each time: train copies of it (``trial`` does), and look at one before the next.

    Args:
        names: strategies that need nothing but evidence.
        contexts: sentences of each word that are read, at the middle layer.
    """
    import torch

    from bioptimus_lib.cutting import Cutter
    from bioptimus_lib.distill_steps import evidence_of, put_rows
    from bioptimus_lib.strategies import Known
    from bioptimus_lib.wanted import known_tokens, new_tokens

    start = beginning(run, "distilled")
    model, old = run.load("old")
    layer = (model.config.num_hidden_layers + 1) // 2
    found, cutter = run.contexts, Cutter(old)
    few = {word: found[word][:contexts] for word in found}
    asked = known_tokens(old, cutter, few, limit=run.profile.calibration_words)
    known = Known(evidence_of(model, old, asked, layers=[layer]), torch.tensor(asked.ids))
    known = known[known.evidence.count > 0]
    wanted = new_tokens(run.plan, Cutter(start.tokenizer), cutter, few)
    fresh = evidence_of(model, old, wanted, layers=[layer])
    table, read = embeddings(model), fresh.count > 0
    for name in names:
        rows = fresh.pieces.clone()  # the fallback: the mean of the pieces
        generator = torch.Generator().manual_seed(run.seed)
        rows[read] = STRATEGIES[name].rows(fresh[read], known, table, generator).float()
        put_rows(start.model, run.plan, rows)
        yield name, start


def from_scratch(run: Run) -> PreTrainedModel:
    """A model of the old one's shape with random weights, for the new vocabulary."""
    from bioptimus_lib.models import place, random_masked_lm

    model = random_masked_lm(run.folder("old"), run.tokenizer("new"), seed=run.seed)
    return place(model, run.torch_device)


@dataclass(frozen=True)
class Trial:
    """What a trial gave: the trained copy, its log as columns, what was seen on the way."""

    model: PreTrainedModel
    log: dict[str, list[float]]
    seen: dict[int, Any]


def trial(
    run: Run,
    begin: Beginning,
    masking: Masking,
    *,
    steps: int,
    seed: int = 0,
    look: Callable[[PreTrainedModel], Any] | None = None,
    at: Iterable[int] = (),
    **changes: Any,
) -> Trial:
    """Train a copy of a beginning for some steps on the run's text.

    Args:
        run: gives text, batch and learning rate.
        begin: what to copy.
        masking: what to guess.
        steps: of training.
        seed: of data order and masks: the same for what is to be compared.
        look: is called with the model after the steps ``at``; 0 is before the first.
        changes: to the settings of the run's phases, such as ``learning_rate`` or ``warmup``.
    """
    settings = replace(settings_of(run, steps, seed=seed), **changes)
    model, seen, wanted = copy.deepcopy(begin.model), {}, set(at)

    def watch(step: int) -> None:
        if look is not None and step in wanted:
            seen[step] = look(model)

    watch(0)
    with tempfile.TemporaryDirectory(dir=run.out, prefix=".trial.") as folder:
        pretrain(
            model, begin.tokenizer, packed(run, "train", begin.tokenizer, begin.vocabulary),
            masking=masking, settings=settings, out=folder, device=run.device, progress=False,
            callbacks=[Watcher(watch)],
        )  # fmt: skip
        return Trial(model, curve(folder), seen)
