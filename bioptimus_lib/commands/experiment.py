"""``bioptimus experiment``: an experiment at scale, cell by cell, its rows for the ledger."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bioptimus_lib import options

if TYPE_CHECKING:
    from bioptimus_lib.experiments.cells import Row, Setting


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    from bioptimus_lib.experiments import EXPERIMENTS, QUESTIONS

    parser = subparsers.add_parser(
        "experiment",
        help="make an experiment at scale, cell by cell, with rows for the ledger",
        description="Make an experiment, or go on with one: cells that are there are kept.",
    )
    parser.add_argument("name", metavar="NAME", help=", ".join(EXPERIMENTS))
    parser.add_argument(
        "--out", metavar="DIR", default="experiments", help="folder of cells (experiments)"
    )
    parser.add_argument("--model", default="minilm", help="name or folder (minilm)")
    parser.add_argument(
        "--corpus", default="biomed", metavar="NAME",
        help="source or folder of text, or of an NER set for stability (biomed)",
    )
    parser.add_argument(
        "--fit-corpus", default="", metavar="NAME", help="more text to calibrate on (none)"
    )
    parser.add_argument("--megabytes", type=float, default=90, metavar="N", help="of text (90)")
    parser.add_argument("--words", type=int, default=12_000, metavar="N", help="known (12000)")
    parser.add_argument("--contexts", type=int, default=10, metavar="N", help="per word (10)")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="splits or runs (5)")
    parser.add_argument("--steps", type=int, default=300, metavar="N", help="of training (300)")
    parser.add_argument("--strategies", nargs="+", default=(), metavar="NAME", help="(all)")
    parser.add_argument("--models", nargs="+", default=(), metavar="M", help="to compare (all)")
    parser.add_argument("--datasets", nargs="+", default=(), metavar="D", help="NER sets (all)")
    parser.add_argument(
        "--phases", default="", metavar="DIR", help="folder of the experiment `phases` (--out)"
    )
    parser.add_argument(
        "--cells", nargs="+", default=(), metavar="GLOB",
        help="make these alone, 'v0.?-1' say, to share the work among machines (all)",
    )
    parser.add_argument(
        "--reuse", action="store_true",
        help="take what the ledger has of the same setting, whatever machine made it, instead of "
        f"making it again; for {', '.join(QUESTIONS)}",
    )  # fmt: skip
    parser.add_argument(
        "--workers", type=int, default=0, metavar="N",
        help="so many cells at a time, a thread each; for small models on a CPU (0: one)",
    )  # fmt: skip
    options.device(parser, default="cpu")
    parser.add_argument(
        "--minutes", type=float, default=0, metavar="N", help="begin no cell after these; 0: all"
    )
    options.answers(parser, "NAME")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    from bioptimus_lib.experiments import QUESTIONS, experiment
    from bioptimus_lib.experiments.cells import Setting, run_cells, summary
    from bioptimus_lib.experiments.inputs import texts_and_weights
    from bioptimus_lib.strategies import STRATEGIES

    module = experiment(arguments.name)
    names = getattr(module, "NAMES", (*STRATEGIES, "old"))
    unknown = set(arguments.strategies) - {*names}
    if unknown:
        raise ValueError(f"strategy {min(unknown)!r} is unknown: choose of {list(names)}")
    if arguments.reuse and arguments.name not in QUESTIONS:
        raise ValueError(
            f"--reuse is for the experiments {', '.join(QUESTIONS)}: the rows of {arguments.name} "
            "do not say which cell they are"
        )
    setting = Setting(
        out=Path(arguments.out), model=arguments.model, corpus=arguments.corpus,
        fit_corpus=arguments.fit_corpus, megabytes=arguments.megabytes, words=arguments.words,
        contexts=arguments.contexts, seeds=arguments.seeds, steps=arguments.steps,
        strategies=tuple(arguments.strategies), models=tuple(arguments.models),
        datasets=tuple(arguments.datasets), phases=arguments.phases,
        chosen=tuple(arguments.cells), reuse=arguments.reuse, device=arguments.device,
        minutes=arguments.minutes, progress=not arguments.quiet,
    )  # fmt: skip
    rows, missing = run_cells(arguments.name, module, setting, workers=arguments.workers)
    if arguments.ledger and rows:
        data = getattr(module, "data", texts_and_weights)(setting)
        _keep(arguments.name, rows, setting, data, arguments.ledger)
    if arguments.json:
        print(json.dumps(rows, indent=1))
    else:
        print("\n".join(summary(rows, module.METRICS)))
    for line in getattr(module, "notes", lambda _: ())(setting):
        print(line, file=sys.stderr)
    if missing:
        left = f"{len(missing)} cells are left, the next is {missing[0]}: run the same again"
        print(left, file=sys.stderr)
    return 0


def _keep(name: str, rows: list[Row], setting: Setting, data: list[Path], file: str) -> None:
    from bioptimus_lib import ledger

    origin = ledger.provenance(data=data, device=setting.device)
    origin |= {"profile": "any", "setting": setting.recorded()}
    ledger.append(name, [{**origin, **row} for row in rows], file=file, replace=True)
