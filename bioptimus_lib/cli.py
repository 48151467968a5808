"""The ``bioptimus`` command: subcommands in the table ``COMMANDS``, errors as one line.

A subcommand is a module in ``commands`` with ``add(subparsers)``, which describes the arguments and
names the function that runs (``parser.set_defaults(run=run)``; it takes the parsed arguments and
returns the exit code). Rooms are imported when a command runs, so ``bioptimus --help`` is quick and
loads no torch.

What goes wrong for a reason that a user can mend (a wrong value, a missing file, broken data, no
network, a full disk, too little memory) becomes one line on standard error and exit code 2; where
the troubleshooting page has more, the line says so. Anything else is a fault of ours and keeps its
traceback.
"""

from __future__ import annotations

import argparse
import logging
import os
import select
import sys
from collections.abc import Sequence
from typing import NoReturn

from bioptimus_lib import __version__
from bioptimus_lib.advice import help_for
from bioptimus_lib.commands import (
    bench,
    compress,
    corpus,
    cost,
    distill,
    experiment,
    fetch,
    ner,
    pocket_bert,
    pretrain,
    release,
    run,
    scan,
    tag,
    task,
    vocab,
    words,
)

OK, BAD_INPUT, INTERRUPTED, NO_READER = 0, 2, 130, 141
#: In the order of ``bioptimus --help``.
COMMANDS = (
    fetch, corpus, words, scan, vocab, distill, pretrain, compress, ner, task, tag, run, release,
    experiment, pocket_bert, bench, cost,
)  # fmt: skip


FIRST_STEPS = """\
first steps:
  bioptimus run                     everything once, small, offline: corpus to entity F1
  bioptimus fetch --list            which texts and models there are to fetch
  bioptimus COMMAND --help          what a command takes, and its defaults
"""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, like all others, not the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"bioptimus: error: {message} (see {self.prog} --help)\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser with all subcommands of ``COMMANDS``."""
    parser = Parser(
        prog="bioptimus",
        description="A biomedical language model from a general one, step by step.",
        epilog=FIRST_STEPS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument(
        "-v", "--verbose", action="count", default=0, help="say more; twice for debugging"
    )
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in COMMANDS:
        command.add(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it went well, 2 for bad input, 130 when interrupted, 141 when nobody
    reads on, such as ``head``; without a command, say what there is.

    >>> main(["fetch", "--list", "no-such-source"])
    2
    """
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if not hasattr(arguments, "run"):
        parser.print_help(sys.stderr)
        return BAD_INPUT
    levels = (logging.WARNING, logging.INFO, logging.DEBUG)
    logging.basicConfig(
        level=levels[min(arguments.verbose, 2)],
        format="bioptimus: %(levelname)s: %(message)s" if arguments.verbose < 2
        else "%(asctime)s %(name)s %(levelname)s: %(message)s",
    )
    try:
        code = arguments.run(arguments) or OK
        sys.stdout.flush()  # or a reader that is gone is met at the exit, with a traceback
        return code
    except BrokenPipeError as error:
        return NO_READER if _nobody_reads() else _told(error, arguments)
    except (ValueError, OSError, FloatingPointError, ModuleNotFoundError, MemoryError) as error:
        return _told(error, arguments)
    except RuntimeError as error:  # torch's name; torch need not be loaded for a comparison
        if type(error).__name__ != "OutOfMemoryError":
            raise
        return _told(error, arguments)
    except KeyboardInterrupt:
        print("bioptimus: interrupted", file=sys.stderr)
        return INTERRUPTED


def _nobody_reads() -> bool:
    """Whether the pipe that is broken is standard output, and not one to a worker or a server; what
    waits there is given up then."""
    try:
        pipe = select.poll()
        pipe.register(sys.stdout, 0)
    except (AttributeError, OSError):  # Windows; a notebook, whose output is no file
        return False
    gone = any(event & select.POLLERR for _, event in pipe.poll(0))
    if gone:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, open until the exit
    return gone


def _told(error: Exception, arguments: argparse.Namespace) -> int:
    """Say what a user can mend, and which entry of the troubleshooting page has more."""
    if arguments.verbose > 1:
        logging.getLogger(__name__).debug("where it happened", exc_info=True)
    print(f"bioptimus: error: {_one_line(error)}{help_for(error)}", file=sys.stderr)
    return BAD_INPUT


def _one_line(error: Exception) -> str:
    """The message of an error without line ends; the name of its type when it has no message."""
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
