"""How stable a fine-tuning is: the same one over many seeds, which of them failed, what helps.

The sentences stay the same for all seeds, so what differs is the new classifier, the order of the
sentences and dropout. Remedies are compared seed by seed; what a seed does to a recipe and what it
does to another have only that start in common, and an interval says how much is left to chance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from scipy.special import stdtrit

from bioptimus_lib.conll import Sentence, entities
from bioptimus_lib.finetune import REMEDIES, Recipe, combine
from bioptimus_lib.machine import usable_cores
from bioptimus_lib.stats import Interval, Summary, summary
from bioptimus_lib.workers import WorkerPool

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bioptimus_lib.tagger import NerSettings

Model: TypeAlias = "str | Path | tuple[PreTrainedModel, PreTrainedTokenizerBase]"
Splits = Mapping[str, Sequence[Sentence]]
MOST = 4  # fine-tunings at a time: each holds a model and its optimiser

# --- runs --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trial:
    """One fine-tuning.

    Attributes:
        seed: of classifier, order and dropout.
        f1, recall_unseen: on test, in percent.
        devel_f1: of the chosen epoch.
        epoch: the chosen one, from 1.
        steps: of the optimiser.
        devel: F1 on devel after each epoch.
        losses: mean training loss of each epoch.
        seconds: of all of it.
    """

    seed: int
    f1: float
    recall_unseen: float
    devel_f1: float
    epoch: int
    steps: int
    devel: tuple[float, ...]
    losses: tuple[float, ...]
    seconds: float


def trial(
    model: Model,
    splits: Splits,
    recipe: Recipe,
    *,
    settings: NerSettings,
    device: str | None = None,
) -> Trial:
    """Fine-tune by a recipe, choose the epoch on devel, test once."""
    from bioptimus_lib.ner import fine_tune

    done = fine_tune(
        model, splits, settings=recipe.settings(settings), groups=recipe.groups,
        optimizer=recipe.optimizer, device=device,
    )  # fmt: skip
    return Trial(
        seed=settings.seed, f1=done.metrics["f1"], recall_unseen=done.metrics["recall_unseen"],
        devel_f1=done.metrics["devel_f1"], epoch=done.epoch,
        steps=int(sum(row["steps"] for row in done.devel)),
        devel=tuple(row["f1"] for row in done.devel),
        losses=tuple(row["loss"] for row in done.devel), seconds=done.seconds,
    )  # fmt: skip


class Job(NamedTuple):
    """One fine-tuning, for a process of its own."""

    model: Model
    splits: Splits
    recipe: Recipe
    settings: NerSettings
    device: str | None
    threads: int | None


def trials(
    model: Model,
    splits: Splits,
    recipes: Mapping[str, Recipe],
    *,
    settings: NerSettings,
    seeds: int = 10,
    device: str | None = None,
    workers: int = 0,
) -> dict[str, list[Trial]]:
    """Fine-tune by each recipe with the same seeds, from that of the settings on.

    Args:
        recipes: name → recipe.
        workers: processes side by side, a thread each; 0 works in this one. ``side_by_side`` says
            how many are worth it.

    Returns:
        Name → a trial for each seed.
    """
    jobs = [
        Job(model, splits, recipe, replace(settings, seed=settings.seed + n), device,
            1 if workers else None)
        for recipe in recipes.values() for n in range(seeds)
    ]  # fmt: skip
    with WorkerPool(workers, models=True) as pool:
        done = iter(list(pool.in_order(work, jobs)))
    return {name: list(islice(done, seeds)) for name in recipes}


def work(job: Job) -> Trial:
    """Do a job."""
    import torch

    if job.threads:
        torch.set_num_threads(job.threads)
    return trial(job.model, job.splits, job.recipe, settings=job.settings, device=job.device)


def side_by_side() -> int:
    """Processes for small fine-tunings: one for each core, none where there is a GPU.

    A small model gains little from a second thread, a second model gains nearly all of it.
    """
    import torch

    cores = usable_cores()
    return 0 if torch.cuda.is_available() or cores == 1 else min(cores, MOST)


def sample(sentences: Sequence[Sentence], n: int, *, seed: int = 0) -> list[Sentence]:
    """``n`` sentences drawn at random; fewer are a part of more, and 0 are all, as they stand.

    Raises:
        ValueError: there are fewer.
    """
    if not 0 <= n <= len(sentences):
        raise ValueError(f"{n} sentences of {len(sentences)}: give 0 to {len(sentences)}")
    if not n:
        return list(sentences)
    order = np.random.default_rng(seed).permutation(len(sentences))
    return [sentences[i] for i in order[:n]]


# --- what failed means -------------------------------------------------------------------------


def tag_by_list(
    training: Iterable[Sentence], sentences: Sequence[Sentence]
) -> list[tuple[str, ...]]:
    """Tags by a list of the names in training, without any model: the longest match from the left,
    whatever its case; a name of several types has its most frequent one.

    A fine-tuning that is not better has failed: it makes no more of its sentences than their list.
    """
    types: dict[tuple[str, ...], Counter[str]] = {}
    for sentence in training:
        for entity in entities(sentence.tags):
            name = tuple(t.lower() for t in sentence.tokens[entity.start : entity.stop])
            types.setdefault(name, Counter())[entity.type] += 1
    longest = max(map(len, types), default=0)
    found = []
    for sentence in sentences:
        words, tags, at = [t.lower() for t in sentence.tokens], ["O"] * len(sentence), 0
        while at < len(words):
            for stop in range(min(at + longest, len(words)), at, -1):
                if kinds := types.get(tuple(words[at:stop])):
                    kind = min(kinds, key=lambda k: (-kinds[k], k))
                    tags[at:stop] = [f"B-{kind}"] + [f"I-{kind}"] * (stop - at - 1)
                    at = stop
                    break
            else:
                at += 1
        found.append(tuple(tags))
    return found


def list_f1(training: Sequence[Sentence], sentences: Sequence[Sentence]) -> float:
    """F1 in percent of ``tag_by_list``: at or below it, a fine-tuning counts as failed."""
    from bioptimus_lib.ner import evaluate

    return evaluate(sentences, tag_by_list(training, sentences))[0]["f1"]


# --- comparing ---------------------------------------------------------------------------------


def gain(values: Sequence[float], base: Sequence[float]) -> Summary:
    """Values minus those of the same seeds in base: mean, spread and Student's t interval.

    Raises:
        ValueError: another number of seeds.

    >>> print(gain([82.0, 81.0], [80.0, 80.0]))
    1.50 ± 0.71
    """
    if len(values) != len(base):
        raise ValueError(f"{len(values)} seeds against {len(base)}: not pairs")
    return summary(np.subtract(values, base))


def spread_ratio(values: Sequence[float], base: Sequence[float]) -> Interval:
    """Spread over seeds of values, divided by that of base, with a jackknife interval.

    Below 1 the values are the stabler ones. Each seed is left out in turn, and how much the
    logarithm of the ratio moves gives its error. On draws from bell curves such intervals hold the
    true ratio as often as they say, from five seeds too (95 of 100 times, where resampled seeds
    did 91 times). An end is 0 or infinity where all seeds but one are equal.

    Raises:
        ValueError: fewer than three seeds, another number of them, or no spread.

    Reference:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 11.
    """
    a, b = np.asarray(values, float), np.asarray(base, float)
    n = len(a)
    if n != len(b) or n < 3:
        raise ValueError(f"{n} seeds against {len(b)}: give three pairs or more")
    if not np.ptp(a) or not np.ptp(b):
        raise ValueError("all seeds gave the same: there is no spread to compare")
    without = ~np.eye(n, dtype=bool)  # a row for each seed that is left out
    above, below = (np.array([some[keep].std(ddof=1) for keep in without]) for some in (a, b))
    ratio = float(a.std(ddof=1) / b.std(ddof=1))
    if not above.all() or not below.all():
        return Interval(ratio, 0.0, np.inf, 0.95)
    error = (n - 1) / n**0.5 * float(np.log(above / below).std(ddof=1))
    reach = float(np.exp(stdtrit(n - 1, 0.975) * error))
    return Interval(ratio, ratio / reach, ratio * reach, 0.95)


def best_together(
    devel: Mapping[str, Sequence[float]],
    *,
    depth: int,
    recipes: Mapping[str, Recipe] = REMEDIES,
) -> Recipe:
    """The best value of each remedy, all together: those that are above ``plain`` on devel.

    Args:
        devel: name of a recipe → F1 on devel, one per seed; ``plain`` must be among them.
        depth: layers of the model. Where frozen and new layers would overlap, the remedy that
            gains less is left out.
        recipes: name → recipe; those that change several things, or bias correction, are not
            considered.
    """
    plain = float(np.mean(devel["plain"]))
    best: dict[str, tuple[float, Recipe]] = {}
    for name, values in devel.items():
        changed = list(recipes[name].changes())
        better = float(np.mean(values)) - plain
        if len(changed) != 1 or changed == ["corrected"] or better <= 0:
            continue
        if better > best.get(changed[0], (0.0, None))[0]:
            best[changed[0]] = better, recipes[name]
    both = [best[name] for name in ("freeze", "reinit") if name in best]
    if len(both) == 2 and both[0][1].freeze + both[1][1].reinit > depth:
        del best[min(("freeze", "reinit"), key=lambda name: best[name][0])]
    return combine(recipe for _, recipe in best.values())


def comparison(
    f1: Mapping[str, Mapping[int, float]], *, base: str = "plain", floor: float = -np.inf
) -> list[dict[str, str]]:
    """A line per recipe for ``pictures.table``: F1, how many seeds failed, and the gain and the
    ratio of spreads over the seeds that it shares with the base.

    Args:
        f1: recipe → seed → F1 in percent.
        floor: F1 above which a seed has not failed.

    Raises:
        ValueError: the base is not among the recipes.
    """
    if base not in f1:
        raise ValueError(f"{base!r} is not among {', '.join(f1)}: others are compared with it")
    lines = []
    for name, runs in f1.items():
        values = list(runs.values())
        line = {
            "recipe": name, "F1": str(summary(values)),
            "from, to": f"{min(values):.1f}, {max(values):.1f}",
            "failed": f"{sum(v <= floor for v in values)} of {len(values)}",
            "gain": "", "spread ratio": "",
        }  # fmt: skip
        a, b = shared(runs, f1[base])
        if name != base and len(a) > 2:
            found = gain(a, b)
            line["gain"] = f"{found.mean:+z.1f} [{found.low:+z.1f}, {found.high:+z.1f}]"
            if np.std(a) > 0 and np.std(b) > 0:
                line["spread ratio"] = str(spread_ratio(a, b))
        lines.append(line)
    return lines


def shared(
    values: Mapping[int, float], base: Mapping[int, float]
) -> tuple[list[float], list[float]]:
    """The numbers of the seeds that both have, in one order."""
    both = sorted(values.keys() & base.keys())
    return [values[seed] for seed in both], [base[seed] for seed in both]


def by_size(
    rows: Iterable[Mapping[str, Any]], *, metric: str = "f1"
) -> dict[int, dict[str, dict[int, float]]]:
    """Rows of one model in the experiment ``stability`` as sentences → recipe → seed → a metric."""
    found: dict[int, dict[str, dict[int, float]]] = {}
    for row in rows:
        if "remedy" in row:
            of_size = found.setdefault(row["sentences"], {})
            of_size.setdefault(row["remedy"], {})[row["seed"]] = row["metrics"][metric]
    return found
