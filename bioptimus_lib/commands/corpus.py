"""``bioptimus corpus``: text, JSON lines or PubMed XML to shards of clean sentences."""

from __future__ import annotations

import argparse


def add(subparsers: argparse._SubParsersAction) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "corpus",
        help="turn text or PubMed XML into shards of clean, deduplicated sentences",
        description="Read .txt, .jsonl and PubMed .xml, gzipped or not, and write one sentence a "
        "line, a blank line after each document.",
    )
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="files or folders")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the shards")
    parser.add_argument(
        "--megabytes", type=float, metavar="N", help="a random sample of at most N MB of output"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes; 0 works in this one")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--keep-duplicates", action="store_true", help="drop no equal documents")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    from bioptimus_lib.pubmed import write_shards

    report = write_shards(
        arguments.inputs,
        arguments.out,
        megabytes=arguments.megabytes,
        workers=arguments.workers,
        dedupe=not arguments.keep_duplicates,
        seed=arguments.seed,
        progress=not arguments.quiet,
    )
    print(report)
    return 0
