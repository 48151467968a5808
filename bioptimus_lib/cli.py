"""The ``bioptimus`` command: each subcommand is one small function in the table ``COMMANDS``.

A subcommand ``x`` is added in two steps: write ``add_x(subparsers)``, which describes the
arguments and names the function that runs (``parser.set_defaults(run=…)``; it takes the parsed
arguments and may return an exit code), and put it into ``COMMANDS``. Rooms are imported when a
command runs, so ``bioptimus --help`` is quick and loads no torch.

What goes wrong for a reason that a user can mend (a wrong value, a missing file, broken data, no
network, a full disk) becomes one line on standard error and exit code 2. Anything else is a fault
of ours and keeps its traceback.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from bioptimus_lib import __version__
from bioptimus_lib.cli_vocab import add_distill, add_vocab
from bioptimus_lib.commands import ner, pocket_bert, run

OK, BAD_INPUT, INTERRUPTED = 0, 2, 130


def add_fetch(subparsers: argparse._SubParsersAction) -> None:
    """``bioptimus fetch``: get real data and models, list them, or check their links."""
    parser = subparsers.add_parser(
        "fetch",
        help="get real data and models by name, or list them",
        description="Get sources by name from the mirror, the cache or the network; each file is "
        "checked against its hash. Prints the folder of each source.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="sources to get, see --list")
    parser.add_argument("--list", action="store_true", help="print the table of sources")
    parser.add_argument(
        "--check-links", action="store_true", help="ask each address for its head, fetch nothing"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    group = parser.add_argument_group("pubmed-baseline")
    group.add_argument("--first", type=int, metavar="N", help="the first N files of the baseline")
    group.add_argument("--file", action="append", metavar="FILE", help="one file; may be repeated")
    parser.set_defaults(run=_fetch)


def _fetch(arguments: argparse.Namespace) -> int:
    from bioptimus_lib import source_report, sources
    from bioptimus_lib.source_table import source

    if not (arguments.names or arguments.list or arguments.check_links):
        raise ValueError("name a source to fetch, or give --list to see them")
    if arguments.list:
        print(source_report.listing(arguments.names or None))
        return OK
    if arguments.check_links:
        dead = 0
        for link in source_report.check_links(arguments.names or None):
            print(link, flush=True)
            dead += not link.ok
        if dead:
            raise ConnectionError(f"{dead} link(s) do not answer as they should, see above")
        return OK
    wanted = {"files": arguments.file, "first": arguments.first}
    for name in arguments.names:
        source(name)  # an unknown name stops everything before any download
    for name in arguments.names:
        extra = wanted if name == "pubmed-baseline" else {}
        print(sources.fetch(name, progress=not arguments.quiet, **extra), flush=True)
    return OK


def add_corpus(subparsers: argparse._SubParsersAction) -> None:
    """``bioptimus corpus``: text, JSON lines or PubMed XML to shards of clean sentences."""
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
    parser.set_defaults(run=_corpus)


def _corpus(arguments: argparse.Namespace) -> int:
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
    return OK


def add_scan(subparsers: argparse._SubParsersAction) -> None:
    """``bioptimus scan``: sentences for each keyword of a list, from a large corpus."""
    parser = subparsers.add_parser(
        "scan",
        help="find sentences for keywords in a corpus",
        description="One pass over a corpus that keeps a random sample of the lines of each "
        "keyword. The sample is the same for any number of workers.",
    )
    parser.add_argument(
        "--corpus", required=True, nargs="+", metavar="PATH", help="files or folders"
    )
    parser.add_argument(
        "--keywords", required=True, metavar="FILE", help="one keyword a line, or joined by **"
    )
    parser.add_argument("--contexts", type=int, default=20, metavar="K", help="lines per keyword")
    parser.add_argument("--workers", type=int, metavar="N", help="processes; 0 works in this one")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--out", metavar="FILE", help="F.parquet, or F.json as qik-find writes it")
    parser.add_argument("--dry-run", action="store_true", help="tell what would be read, and stop")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=_scan)


def _scan(arguments: argparse.Namespace) -> int:
    from pathlib import Path

    from bioptimus_lib import scan

    keywords = scan.read_keywords(arguments.keywords)
    if arguments.dry_run:
        plan = scan.plan_scan(arguments.corpus, workers=arguments.workers)
        print(f"{len(keywords):,} keywords; {plan}")
        return OK
    if Path(arguments.out or "").suffix not in (".json", ".parquet"):
        raise ValueError("--out needs a file that ends in .json or .parquet")
    out = Path(arguments.out)
    if out.is_dir():
        raise IsADirectoryError(f"{out} is a folder: give a file for --out")
    out.parent.mkdir(parents=True, exist_ok=True)  # what fails here fails before the work
    found = scan.find_contexts(
        keywords,
        arguments.corpus,
        contexts=arguments.contexts,
        workers=arguments.workers,
        seed=arguments.seed,
        progress=not arguments.quiet,
    )
    found.to_json(out) if out.suffix == ".json" else found.to_parquet(out)
    print(f"{found.report}\n{out}")
    return OK


#: Adds the subcommands, in the order of ``bioptimus --help``.
COMMANDS: list[Callable[[argparse._SubParsersAction], None]] = [
    add_fetch,
    add_corpus,
    add_scan,
    add_vocab,
    add_distill,
    ner.add,
    run.add,
    pocket_bert.add,
]


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, like all others, not the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"bioptimus: error: {message} (see {self.prog} --help)\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser with all subcommands of ``COMMANDS``."""
    parser = Parser(
        prog="bioptimus",
        description="A biomedical language model from a general one, step by step.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument(
        "-v", "--verbose", action="count", default=0, help="say more; twice for debugging"
    )
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in COMMANDS:
        add(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it went well, 2 for bad input, 130 when interrupted.

    >>> main(["fetch", "--list", "no-such-source"])
    2
    """
    arguments = build_parser().parse_args(argv)
    levels = (logging.WARNING, logging.INFO, logging.DEBUG)
    logging.basicConfig(
        level=levels[min(arguments.verbose, 2)],
        format="bioptimus: %(levelname)s: %(message)s" if arguments.verbose < 2
        else "%(asctime)s %(name)s %(levelname)s: %(message)s",
    )
    try:
        return arguments.run(arguments) or OK
    except (ValueError, OSError, ModuleNotFoundError) as error:  # DataError is a ValueError
        if arguments.verbose > 1:
            logging.getLogger(__name__).debug("where it happened", exc_info=True)
        print(f"bioptimus: error: {_one_line(error)}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("bioptimus: interrupted", file=sys.stderr)
        return INTERRUPTED


def _one_line(error: Exception) -> str:
    """The message of an error without line ends; the name of its type when it has no message."""
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
