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


#: Adds the subcommands, in the order of ``bioptimus --help``.
COMMANDS: list[Callable[[argparse._SubParsersAction], None]] = [add_fetch]


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
