"""``bioptimus task``: fine-tune models on tasks beyond named entities and test them, over seeds."""

from __future__ import annotations

import argparse
import json
import textwrap
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
    say,
    spread,
    spread_text,
    told,
)

if TYPE_CHECKING:
    import numpy as np

    from bioptimus_lib.finetune import Recipe
    from bioptimus_lib.kept import Result
    from bioptimus_lib.task_runs import Job
    from bioptimus_lib.task_table import Task

TOGETHER = "together"  # variant of a row of the ledger that holds all seeds of a line


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "task",
        help="fine-tune models on relations, similarity, classification, questions, entailment",
        description="Fine-tune each model on each task with each seed, choose the epoch on devel, "
        "test once. What is done already is not done again. With two models or more, each is "
        "compared with the first: bootstrap interval and paired test over the test examples, "
        "corrected for all comparisons (Holm).",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="tasks, see --list; or folders with task.json, train.jsonl, devel.jsonl, test.jsonl",
    )
    parser.add_argument("--list", action="store_true", help="print the table of tasks")
    parser.add_argument(
        "--model", nargs="+", metavar="M",
        help="folders, or names of sources; NAME=FOLDER gives a folder another name",
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="runs per model (3)")
    parser.add_argument(
        "--data", metavar="DIR", help="your own copy of the files of the one task that is named"
    )
    parser.add_argument(
        "--view", metavar="V",
        help="how the two mentions of a relation are shown: markers, blinded or plain",
    )  # fmt: skip
    recipe = parser.add_argument_group("recipe (default: by the size of each model)")
    recipe.add_argument("--epochs", type=int, metavar="N", help="passes over train")
    recipe.add_argument("--learning-rate", type=float, metavar="X", help="its peak")
    recipe.add_argument("--batch-tokens", type=int, metavar="N", help="pieces per batch")
    recipe.add_argument("--max-length", type=int, metavar="N", help="most pieces of an example")
    recipe.add_argument("--examples", type=int, metavar="N", help="the first N of train alone")
    stable = parser.add_argument_group("stable fine-tuning")
    stable.add_argument("--freeze", type=int, default=0, metavar="K", help="lower layers, frozen")
    stable.add_argument(
        "--decay", type=float, default=1.0, metavar="X",
        help="factor of the learning rate from layer to layer, downwards",
    )  # fmt: skip
    stable.add_argument("--reinit", type=int, default=0, metavar="N", help="top layers, anew")
    stable.add_argument("--longer", type=float, default=1, metavar="X", help="times the epochs")
    add_outputs(parser, out="runs/tasks", ledger="tasks")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it: a line per run on standard error, the table or JSON on standard output."""
    from bioptimus_lib import ledger, task_runs

    chosen = _tasks(arguments)
    if arguments.list:
        print(_listing(chosen, as_json=arguments.json))
        return 0
    check_numbers(arguments, {"seeds": 1, "examples": 1, "workers": 0, "max_length": 3})
    recipe = _recipe(arguments)
    models = named_models(arguments.model, progress=not arguments.quiet)
    settings = {name: _settings(folder, arguments) for name, folder in models.items()}
    for one in chosen.values():
        one.view(arguments.view)
    plan = {
        one.name: task_runs.jobs(
            models, name, _folder(one, name, arguments), seeds=range(arguments.seeds),
            settings=settings, view=arguments.view, recipe=recipe, examples=arguments.examples,
            **job_options(arguments),
        )
        for name, one in chosen.items()
    }  # fmt: skip
    todo = [job for jobs in plan.values() for job in jobs]
    _check(plan, out=Path(arguments.out))
    if arguments.ledger:
        ledger.check_settings("tasks", (row_of(job, variant=_variant(job)) for job in todo))
    results = {}
    for job, result in told(todo, task_runs, workers=arguments.workers, line=_line):
        results[job.place] = result
        if arguments.ledger:
            record("tasks", job, result, file=arguments.ledger, variant=_variant(job))
    table = _table(plan, results)
    if arguments.ledger:
        _record_together(plan, table, results, file=arguments.ledger)
    print(json.dumps({"results": table}) if arguments.json else _text(table))
    return 0


# --- what is asked for -------------------------------------------------------------------------


def _tasks(arguments: argparse.Namespace) -> dict[str, Task]:
    """The tasks that are named, by what they were called; all of the table for the list."""
    from bioptimus_lib.task_table import TASKS, task

    found = {name: task(name) for name in arguments.names}
    if arguments.list:
        return found or dict(TASKS)
    if not found or not arguments.model:
        raise ValueError("name a task and give --model, or give --list to see the tasks")
    names = [checked("task", one.name) for one in found.values()]
    if len(set(names)) < len(arguments.names):
        raise ValueError(f"a task stands there twice: {' '.join(arguments.names)}")
    if arguments.data and len(found) > 1:
        raise ValueError("--data is the folder of one task: name one")
    return found


def _folder(one: Task, name: str, arguments: argparse.Namespace) -> Path:
    """The folder of a task's files: given, fetched, or generated once."""
    from bioptimus_lib import pocket_tasks, sources
    from bioptimus_lib.conll import SPLITS

    if arguments.data:
        folder = Path(arguments.data).expanduser()
        if not folder.is_dir():
            raise FileNotFoundError(f"--data {arguments.data} is not a folder")
        return folder
    if one.own:
        raise ValueError(f"{one.name} may not be passed on: give --data, {one.own}")
    if one.source:
        return sources.fetch(one.source, progress=not arguments.quiet)
    if one.name not in pocket_tasks.MAKERS or one.name != name:
        return Path(name).expanduser()
    folder = Path(arguments.out) / "sets" / one.name
    if not all((folder / f"{split}.jsonl").exists() for split in SPLITS):
        pocket_tasks.write(one.name, folder)
    return folder


def _recipe(arguments: argparse.Namespace) -> Recipe:
    from bioptimus_lib.finetune import Recipe

    return Recipe(**{key: getattr(arguments, key) for key in ("freeze", "decay", "reinit",
                                                              "longer")})  # fmt: skip


def _settings(folder: Path, arguments: argparse.Namespace) -> Any:
    """How to fine-tune a model: own values, else by its size."""
    from bioptimus_lib.sequences import settings_for

    return settings_for(folder, **own_settings(arguments))


def _check(plan: Mapping[str, Sequence[Job]], *, out: Path) -> None:
    """Read all tasks, and what is kept, and look at the folder, before any long work starts."""
    from bioptimus_lib.task_runs import data_of, kept

    for name, jobs in plan.items():
        for fold in data_of(jobs[0]).folds:
            texts = {split: [example.texts for example in some] for split, some in fold.items()}
            check_apart(texts, "examples", where=f"task {name}")
        for job in jobs:
            kept(job)
    check_out(out)
    for name, jobs in plan.items():
        report = data_of(jobs[0]).report()
        if seen := report["test texts in train"]:
            tested = report["examples"]["test"]
            say(f"{name}: {seen} of {tested} test texts stand in train too; they are kept")


# --- what came out -----------------------------------------------------------------------------


def _line(job: Job, result: Result) -> str:
    """What came out of a run, in a line."""
    metrics, report = result["metrics"], result["report"]
    said = (
        f"{job.dataset} {job.model} seed {job.settings.seed}: {job.row.metric} "
        f"{metrics['score']:.2f} (baseline {metrics['baseline']:.2f}, devel "
        f"{metrics['devel_score']:.2f}, {result['seconds']:.0f} s)"
    )
    # Each fold reads all examples.
    cut = sum(split["truncated"] for split in report["pieces"].values()) // report["folds"]
    lost = sum(report["dropped"].values())
    said += f", {cut} examples truncated" if cut else ""
    return said + (f", {lost} left out ({'; '.join(report['dropped'])})" if lost else "")


def _variant(job: Job) -> str:
    """What of a job is not as usual, for the ledger."""
    some = [str(job.recipe)] if job.recipe.changes() else []
    some += [f"{job.examples} examples"] if job.examples else []
    return ", ".join(some)


def _table(
    plan: Mapping[str, Sequence[Job]], results: Mapping[Path, Result]
) -> list[dict[str, Any]]:
    """A line for each task and model; models but the first with what they are beside it."""
    from bioptimus_lib import significance, stats, task_runs

    groups = grouped(plan)
    rows = {
        name: {model: task_runs.rows(jobs) for model, jobs in models.items()}
        for name, models in groups.items()
    }
    judges = {name: next(iter(models.values()))[0].row.judge for name, models in groups.items()}
    measures = {name: judge.measure for name, judge in judges.items()}
    compared = {(c.dataset, c.model): c for c in significance.compare(rows, measures=measures)}
    table = []
    for name, models in groups.items():
        for model, jobs in models.items():
            found = [results[job.place]["metrics"] for job in jobs]
            scores = [metrics["score"] for metrics in found]
            line = {
                "task": name,
                "model": model,
                "metric": judges[name].name,
                "seeds": len(jobs),
                "tested": results[jobs[0].place]["report"]["tested"],
                "score": stats.summary(scores).mean,
                **spread(scores, rows[name][model], measure=measures[name]),
                "baseline": found[0]["baseline"],
                **_margin(jobs[0], rows[name][model]),
                "score_by_seed": scores,
            }
            if (name, model) in compared:
                line |= beside(compared[name, model])
            table.append(line)
    return table


def _margin(job: Job, rows: np.ndarray) -> dict[str, Any]:
    """What runs have over the constant answer, with an interval over the same test examples."""
    from bioptimus_lib import stats, task_runs, tasks

    data = task_runs.data_of(job)
    constant = tasks.rows(job.row, data.test, tasks.baseline(job.row, data)[1])
    found = stats.bootstrap_difference(rows, constant, measure=job.row.judge.measure)
    return {"margin": found.value, "margin_interval": [found.low, found.high]}


def _record_together(
    plan: Mapping[str, Sequence[Job]],
    table: Sequence[Mapping[str, Any]],
    results: Mapping[Path, Result],
    *,
    file: str,
) -> None:
    """A row of the ledger for each line of the table: all seeds together, with their intervals."""
    from bioptimus_lib import ledger

    groups = grouped(plan)
    rows = []
    for line in table:
        jobs = groups[line["task"]][line["model"]]
        made = [results[job.place] for job in jobs]
        low, high = line["interval"]
        margin_low, margin_high = line["margin_interval"]
        counts = made[0]["report"]["examples"]
        rows.append({
            **made[0]["provenance"], **row_of(jobs[0]), "seed": None,
            "variant": ", ".join(filter(None, (_variant(jobs[0]), TOGETHER))),
            "metrics": {
                "score": line["score"], "low": low, "high": high, "baseline": line["baseline"],
                "margin": line["margin"], "margin_low": margin_low, "margin_high": margin_high,
                "seeds": line["seeds"], "tested": line["tested"],
                **({} if line["sd"] is None else {"sd": line["sd"]}),
                **{name: counts[name] for name in ("train", "devel")},
                **{  # what is reported beside the score, in the mean
                    name: sum(one["metrics"][name] for one in made) / len(made)
                    for name in made[0]["metrics"] if name not in ("score", "baseline")
                },
            },
            "labels": {
                label: {key: sum(one["labels"][label][key] for one in made) / len(made)
                        for key in numbers}
                for label, numbers in made[0]["labels"].items()
            },
            "metric": line["metric"],
            "seconds": sum(one["seconds"] for one in made),
        })  # fmt: skip
    ledger.append("tasks", rows, file=file, replace=True)


def _text(table: list[dict[str, Any]]) -> str:
    """The table for a terminal, and what its columns are."""
    wide = max(5, *(len(row["model"]) for row in table))
    side = max(4, *(len(row["task"]) for row in table))
    lines = [
        f"{'task':<{side}} {'model':<{wide}} {'metric':<8} {'score':>6} {'sd':>5} {'95 %':>15} "
        f"{'baseline':>8} {'margin 95 %':>15} {'tested':>6}"
    ]
    for row in table:
        low, high = row["margin_interval"]
        line = (
            f"{row['task']:<{side}} {row['model']:<{wide}} {row['metric']:<8} {row['score']:>6.2f} "
            f"{spread_text(row)} {row['baseline']:>8.2f} {f'{low:+z.2f} {high:+z.2f}':>15} "
            f"{row['tested']:>6}"
        )
        lines.append(line + beside_text(row))
    lines.append(
        "score: on test, mean and sd over seeds; 95 %: bootstrap over examples and seeds; baseline:"
        " the constant answer that is best on train; margin: score minus baseline, bootstrap."
    )
    if any("p" in row for row in table):
        lines.append("Last: minus the first model; p of swapping answers, corrected for all "
                     "comparisons (Holm), and of dealing out the names of whole runs.")  # fmt: skip
    return "\n".join(lines)


def _listing(chosen: Mapping[str, Task], *, as_json: bool) -> str:
    """The table of tasks."""
    rows: list[dict[str, Any]] = [
        {
            "name": one.name, "what": one.what, "reads": one.reads, "answer": one.answer,
            "labels": list(one.labels), "positive": list(one.positive), "metric": one.metric,
            "views": list(one.views), "split": one.split, "blurb": one.blurb, "note": one.note,
            "source": one.source, "citation": one.citation,
        }
        for one in chosen.values()
    ]  # fmt: skip
    if as_json:
        return json.dumps({"tasks": rows})
    lines = []
    for row in rows:
        labels = f", {len(row['labels'])} labels" if row["labels"] else ""
        blurb = "; named by BLURB" if row["blurb"] else ""
        parts = [
            f"{row['name']}: {row['what']}",
            f"{row['reads']} → {row['answer']}{labels}; {row['metric']}{blurb}",
            *([f"mentions shown as {', '.join(row['views'])}"] if row["views"] else []),
            f"split: {row['split']}",
            *([f"note: {row['note']}"] if row["note"] else []),
            f"from: {row['citation']}",
        ]
        lines += [parts[0], *(textwrap.indent(part, "    ") for part in parts[1:])]
    return "\n".join(lines)
