"""``bioptimus run``: the whole pipeline with one command."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioptimus_lib import options
from bioptimus_lib.profile import PROFILES

if TYPE_CHECKING:
    from bioptimus_lib.pipeline import Run


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "run",
        help="the whole pipeline: from a corpus to entity F1 of every version",
        description="Run all stages, from clean text to entity F1 of the old model, of the old "
        "model continued on the same text, and of v0.1 to v0.4. A run that was interrupted goes "
        "on with the same command, or with --out alone.",
    )
    parser.add_argument(
        "--profile",
        metavar="NAME",
        help=f"sizes: {', '.join(PROFILES)} (default: BIOPTIMUS_PROFILE, else by the device)",
    )
    parser.add_argument("--minutes", type=float, metavar="N", help="budget of the whole run")
    parser.add_argument("--out", metavar="DIR", help="run folder (default: runs/PROFILE)")
    parser.add_argument("--corpus", metavar="DIR", help="your own .txt, .gz, .jsonl or PubMed XML")
    parser.add_argument("--ner", metavar="DIR", help="your own train.tsv, devel.tsv and test.tsv")
    parser.add_argument("--until", metavar="STAGE", help="stop after this stage; 'list' names them")
    parser.add_argument("--seed", type=int, metavar="N", help="of everything random (default 0)")
    options.device(parser)
    options.answers(parser, "run")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it: a line per stage on standard error, the table or JSON on standard output."""
    from tqdm.auto import tqdm

    from bioptimus_lib import report
    from bioptimus_lib.pipeline import STAGES

    if arguments.until == "list":
        print("\n".join(f"{stage.name:<13} {stage.about}" for stage in STAGES))
        return 0
    if arguments.until is not None and arguments.until not in {stage.name for stage in STAGES}:
        names = ", ".join(stage.name for stage in STAGES)
        raise ValueError(f"stage {arguments.until!r} is unknown: choose one of {names}")
    whole = _run(arguments)

    def say(line: str) -> None:
        tqdm.write(line, file=sys.stderr)

    own = whole.profile
    say(f"{own.name}: {own.about} ({own.takes}); folder {whole.out}")
    bar = tqdm(whole.stages, unit="stage", disable=arguments.quiet, leave=False, position=0)
    for stage in bar:
        bar.set_description(stage.name)
        again = whole.done(stage.name) is not None
        row = whole.stage(stage.name)
        say(report.stage_line(row) + ("   (done before)" if again else ""))
        if stage.name == arguments.until:
            return 0
    result = report.write(whole)
    if arguments.ledger:
        report.to_ledger(whole, result, file=arguments.ledger)
    print(json.dumps(result) if arguments.json else report.text(result))
    say(f"report: {whole.out / 'report.html'}")
    return 0


def _run(arguments: argparse.Namespace) -> Run:
    """A run as it is asked for; where there is one and nothing is asked for, that one."""
    from bioptimus_lib.pipeline import Run
    from bioptimus_lib.profile import profile

    how: dict[str, Any] = {"device": arguments.device, "progress": not arguments.quiet}
    asked = [getattr(arguments, name) for name in ("profile", "minutes", "corpus", "ner", "seed")]
    there = arguments.out and (Path(arguments.out) / "config.json").is_file()
    if there and all(one is None for one in asked):
        return Run.opened(arguments.out, **how)
    chosen = profile(arguments.profile)
    return Run(
        arguments.out or Path("runs") / chosen.name,
        profile=chosen,
        minutes=arguments.minutes,
        corpus=arguments.corpus,
        ner=arguments.ner,
        seed=arguments.seed or 0,
        **how,
    )
