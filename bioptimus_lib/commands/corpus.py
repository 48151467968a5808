"""``bioptimus corpus``: text, JSON lines or PubMed XML to shards of clean sentences."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from bioptimus_lib import options

if TYPE_CHECKING:
    from bioptimus_lib.pubmed import CorpusReport


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "corpus",
        help="turn text, PubMed XML or hospital notes into shards of clean sentences",
        description="Read .txt, .jsonl, PubMed .xml and your own NOTEEVENTS.csv of MIMIC-III, "
        "gzipped or not, and write one sentence a line, a blank line after each document. In notes "
        "a plain word stands for each placeholder of de-identification. Of records with the same "
        "PMID the last one counts: name PubMed's baseline before its update files. A run that was "
        "stopped goes on when the same command is given again.",
    )
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="files or folders")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the shards")
    parser.add_argument(
        "--megabytes", type=float, metavar="N", help="a random sample of at most N MB of output"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes; 0 works in this one")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the sample (0)")
    parser.add_argument("--keep-duplicates", action="store_true", help="drop no equal documents")
    parser.add_argument(
        "--any-language", action="store_true", help="keep articles that are not in English"
    )
    parser.add_argument(
        "--keep-going",
        action="store_true",
        help="leave files that are broken or cannot be read out, each as a whole, with a warning",
    )
    options.answers(parser, "corpus")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    from dataclasses import asdict

    from bioptimus_lib.pubmed import write_shards

    report = write_shards(
        arguments.inputs,
        arguments.out,
        megabytes=arguments.megabytes,
        workers=arguments.workers,
        dedupe=not arguments.keep_duplicates,
        any_language=arguments.any_language,
        keep_going=arguments.keep_going,
        seed=arguments.seed,
        progress=not arguments.quiet,
    )
    print(json.dumps(asdict(report), indent=1) if arguments.json else report)
    if arguments.ledger:
        _record(arguments, report)
    return 0


def _record(arguments: argparse.Namespace, report: CorpusReport) -> None:
    from bioptimus_lib import ledger
    from bioptimus_lib.records import corpus_files

    megabytes = report.bytes / 1e6
    metrics = {
        "documents_in": report.documents_in,
        "documents_out": report.documents_out,
        **{f"dropped: {why}": count for why, count in report.dropped.items()},
        "sentences": report.sentences,
        "megabytes": round(megabytes, 3),
    }
    if not report.resumed:  # else the seconds are those of a part of the work
        metrics["megabytes_per_second"] = float(f"{megabytes / report.seconds:.4g}")
    ledger.append("corpus", {
        "model": "corpus stage",
        "dataset": ", ".join(Path(path).name for path in arguments.inputs),
        "profile": "any",
        "seed": arguments.seed if arguments.megabytes else None,
        "metrics": metrics,
        **ledger.provenance(data=corpus_files(arguments.inputs)[0], device="cpu"),
    }, file=arguments.ledger, replace=True)  # fmt: skip
