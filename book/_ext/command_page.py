"""The page of command lines: what each command says with ``--help``, asked when the book is built.

``{command-help}`` stands for a section for each command of ``bioptimus``, in the order
of ``bioptimus --help``; a command with commands of its own, such as ``bioptimus bench``, is
followed by these.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from unittest import mock

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

WIDTH = 80  # letters in a line of the page


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser, then those of its commands, and of theirs."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from parsers(inner)


def help_of(parser: argparse.ArgumentParser) -> str:
    """What ``--help`` prints, without colours, as wide as the page."""
    # argparse looks at the terminal that the build happens to run in.
    with mock.patch.dict(os.environ, {"COLUMNS": str(WIDTH), "NO_COLOR": "1"}):
        return parser.format_help().rstrip()


class CommandHelp(SphinxDirective):
    """``{command-help}``: a section for each command."""

    def run(self) -> list[nodes.Node]:
        """The sections; read again in every build, for the library may have changed."""
        from bioptimus_lib import cli

        self.env.note_reread()
        return [self.command(parser) for parser in parsers(cli.build_parser())]

    def command(self, parser: argparse.ArgumentParser) -> nodes.section:
        """A command: its name to link to, and its help."""
        section = nodes.section(ids=[nodes.make_id(parser.prog)])
        section += nodes.title("", "", nodes.literal(parser.prog, parser.prog))
        text = help_of(parser)
        section += nodes.literal_block(text, text, language="none")
        return section


def setup(app) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
