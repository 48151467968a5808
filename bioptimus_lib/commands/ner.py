"""``bioptimus ner``: fine-tune models on named entities and test them, over seeds."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioptimus_lib.commands.fine_tuning import (
    add_outputs,
    beside,
    beside_text,
    check_apart,
    check_numbers,
    check_out,
    checked,
    grouped,
    job_options,
    named_models,
    own_settings,
    record,
    row_of,
    spread,
    spread_text,
    told,
)
from bioptimus_lib.conll import SPLITS
from bioptimus_lib.profile import PROFILES, profile

if TYPE_CHECKING:
    from bioptimus_lib.kept import Result
    from bioptimus_lib.ner_runs import Job
    from bioptimus_lib.profile import Profile
    from bioptimus_lib.tagger import NerSettings

Sets = dict[str, dict[str, Path]]


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "ner",
        help="fine-tune models on named entities: F1 over seeds, predictions, paired tests",
        description="Fine-tune each model on each set with each seed, choose the epoch on devel, "
        "test once. What is done already is not done again. With two models or more, each is "
        "compared with the first: bootstrap interval and paired test over the test sentences, "
        "corrected for all comparisons (Holm).",
    )
    parser.add_argument(
        "--model", required=True, nargs="+", metavar="M",
        help="folders, or names of sources; NAME=FOLDER gives a folder another name",
    )  # fmt: skip
    parser.add_argument(
        "--dataset",
        nargs="+",
        metavar="D",
        help="names of sources, 'all' for the five real sets, 'pocket' for the generated one, or "
        "folders with train.tsv, devel.tsv and test.tsv, or your own i2b2 2010 (a folder with the "
        "folders train and test, files .txt and .con)",
    )
    own = parser.add_argument_group("your own CoNLL files (token<TAB>tag, IOB2)")
    for split in SPLITS:
        own.add_argument(f"--{split}", metavar="FILE", help=f"its {split} split")
    own.add_argument("--name", help="of your set (default: the folder of the training file)")
    parser.add_argument("--seeds", type=int, metavar="N", help="runs per model and set (3)")
    recipe = parser.add_argument_group(
        "recipe (default: that of --profile, else by the size of each model)"
    )
    recipe.add_argument(
        "--profile",
        metavar="NAME",
        help=f"epochs, learning rate, sentences and seeds of a profile: {', '.join(PROFILES)}",
    )
    recipe.add_argument("--epochs", type=int, metavar="N", help="passes over train")
    recipe.add_argument("--learning-rate", type=float, metavar="X", help="its peak")
    recipe.add_argument("--batch-tokens", type=int, metavar="N", help="pieces per batch")
    recipe.add_argument("--max-length", type=int, metavar="N", help="window in pieces")
    recipe.add_argument("--sentences", type=int, metavar="N", help="the first N of train alone")
    add_outputs(parser, out="runs/ner", ledger="ner")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it: a line per run on standard error, the table or JSON on standard output."""
    from bioptimus_lib import ledger, ner_runs

    chosen = _chosen(arguments)
    seeds = range(arguments.seeds or (chosen.seeds if chosen else 3))
    models = named_models(arguments.model, progress=not arguments.quiet)
    settings = {name: _settings(folder, arguments, chosen) for name, folder in models.items()}
    sets = _sets(arguments)
    plan = {
        dataset: ner_runs.jobs(
            models, dataset, files, seeds=seeds, settings=settings,
            sentences=arguments.sentences or (chosen.ner_sentences if chosen else 0),
            **job_options(arguments),
        )
        for dataset, files in sets.items()
    }  # fmt: skip
    todo = [job for jobs in plan.values() for job in jobs]
    _check(plan, out=Path(arguments.out))
    used = chosen.name if chosen else "any"
    if arguments.ledger:
        rows = (row_of(job, profile=used, variant=_variant(job)) for job in todo)
        ledger.check_settings("ner", rows)
    results = {}
    for job, result in told(todo, ner_runs, workers=arguments.workers, line=_line):
        results[job.place] = result
        if arguments.ledger:
            record("ner", job, result, file=arguments.ledger, profile=used, variant=_variant(job))
    table = _table(plan, results)
    print(json.dumps({"results": table}) if arguments.json else _text(table))
    return 0


# --- what is asked for -------------------------------------------------------------------------


def _chosen(arguments: argparse.Namespace) -> Profile | None:
    """The profile that was asked for, and numbers that make sense."""
    check_numbers(arguments, {"seeds": 1, "sentences": 1, "workers": 0, "max_length": 3})
    return profile(arguments.profile) if arguments.profile else None


def _sets(arguments: argparse.Namespace) -> Sets:
    """Name of each set, and its three files."""
    from bioptimus_lib import i2b2, ner_sets
    from bioptimus_lib.conll import split_files

    own = {split: getattr(arguments, split) for split in SPLITS}
    if any(own.values()):
        if not all(own.values()) or arguments.dataset:
            raise ValueError("give --train, --devel and --test together, and no --dataset")
        for path in own.values():
            if not Path(path).is_file():
                raise FileNotFoundError(f"no file {path}")
        name = arguments.name or Path(own["train"]).resolve().parent.name or "own"
        return {checked("--name", name): {split: Path(path) for split, path in own.items()}}
    if not arguments.dataset or arguments.name:
        raise ValueError("give --dataset, or --train, --devel and --test, with --name if you like")
    sets: Sets = {}
    for name in arguments.dataset:
        for one in ner_sets.names() if name == "all" else [name]:
            if one == "pocket":
                folder = _pocket(Path(arguments.out))
            else:
                folder = ner_sets.folder_of(one, progress=not arguments.quiet)
                if i2b2.is_folder(folder):
                    place = Path(arguments.out) / "sets" / folder.resolve().name
                    folder = i2b2.write_entities(folder, place)
            key = folder.resolve().name
            if key in sets:
                raise ValueError(f"two sets have the same name: {key}")
            sets[key] = split_files(folder)
    return sets


def _pocket(out: Path) -> Path:
    """The generated set, written once."""
    from bioptimus_lib import pocket_ner

    folder = out / "sets" / "pocket"
    if not all((folder / f"{split}.tsv").exists() for split in SPLITS):
        pocket_ner.write_ner(folder)
    return folder


def _settings(
    folder: Path, arguments: argparse.Namespace, chosen: Profile | None
) -> NerSettings:
    """How to fine-tune a model: own values, else the profile's, else by its size."""
    from bioptimus_lib.fine_tunings import values_of
    from bioptimus_lib.tagger import recipe_for

    wanted = {} if chosen is None else values_of(chosen)
    return recipe_for(folder, **wanted | own_settings(arguments))


def _check(plan: Mapping[str, Sequence[Job]], *, out: Path) -> None:
    """Read all sets, and what is kept, and look at the folder, before any long work starts."""
    from bioptimus_lib.errors import DataError
    from bioptimus_lib.ner import check_splits
    from bioptimus_lib.ner_runs import kept, splits_of

    for dataset, jobs in plan.items():
        splits = splits_of(jobs[0])
        try:
            check_splits(splits)
        except ValueError as error:
            raise DataError(str(error), path=f"set {dataset}") from None
        check_apart(splits, "sentences", where=f"set {dataset}")
        for job in jobs:
            kept(job)
    check_out(out)


# --- doing it ----------------------------------------------------------------------------------


def _line(job: Job, result: Result) -> str:
    """What came out of a run, in a line."""
    metrics = result["metrics"]
    return (
        f"{job.dataset} {job.model} seed {job.settings.seed}: "
        f"F1 {metrics['f1']:.2f} (devel {metrics['devel_f1']:.2f}, epoch "
        f"{result['epoch']} of {job.settings.epochs}, {result['seconds']:.0f} s)"
    )


# --- what came out -----------------------------------------------------------------------------


def _variant(job: Job) -> str:
    """What of a job is not as usual, for the ledger."""
    return f"{job.sentences} sentences" if job.sentences else ""


def _table(
    plan: Mapping[str, Sequence[Job]], results: Mapping[Path, Result]
) -> list[dict[str, Any]]:
    """A line for each set and model; models but the first with what they are beside it."""
    from bioptimus_lib import ner_runs, significance, stats

    groups = grouped(plan)
    counts = {
        dataset: {model: ner_runs.counts(jobs) for model, jobs in models.items()}
        for dataset, models in groups.items()
    }
    compared = {(c.dataset, c.model): c for c in significance.compare(counts)}
    table = []
    for dataset, models in groups.items():
        for model, jobs in models.items():
            found = [results[job.place]["metrics"] for job in jobs]
            f1, unseen = ([m[name] for m in found] for name in ("f1", "recall_unseen"))
            line = {
                "dataset": dataset,
                "model": model,
                "seeds": len(jobs),
                "f1": stats.summary(f1).mean,
                **spread(f1, counts[dataset][model]),
                "recall_unseen": stats.summary(unseen).mean,
                "f1_by_seed": f1,
            }
            if (dataset, model) in compared:
                line |= beside(compared[dataset, model])
            table.append(line)
    return table


def _text(table: list[dict[str, Any]]) -> str:
    """The table for a terminal, and what its columns are."""
    sets = dict.fromkeys(row["dataset"] for row in table)
    mean = f"mean of {len(sets)} sets"
    wide = max(5, *(len(row["model"]) for row in table))
    side = max(map(len, [*sets, mean] if len(sets) > 1 else [*sets, "set"]))
    lines = [
        f"{'set':<{side}} {'model':<{wide}} {'F1':>6} {'sd':>5} {'95 %':>15} {'unseen':>7}"
        "  minus the first"
    ]
    for row in table:
        line = (
            f"{row['dataset']:<{side}} {row['model']:<{wide}} {row['f1']:>6.2f} {spread_text(row)} "
            f"{row['recall_unseen']:>7.2f}"
        )
        lines.append(line + beside_text(row))
    models = list(dict.fromkeys(row["model"] for row in table))
    for model in models if len(sets) > 1 else ():
        some = [row["f1"] for row in table if row["model"] == model]
        lines.append(f"{mean:<{side}} {model:<{wide}} {sum(some) / len(some):>6.2f}")
    lines.append(
        "F1 on test, mean and sd over seeds; 95 %: bootstrap over sentences and seeds; unseen: "
        "recall on mentions that train lacks."
    )
    if together := next((row["comparisons"] for row in table if "p" in row), 0):
        few = f"corrected for {together} comparisons" if together > 1 else "one comparison"
        lines.append(
            f"p: paired randomisation over sentences, {few}; by runs: the names of the models "
            "dealt out anew, small only with many seeds."
        )
    return "\n".join(lines)
