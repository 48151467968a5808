"""Options that many commands have, so that they are called the same and say the same."""

from __future__ import annotations

import argparse


def answers(parser: argparse.ArgumentParser, experiment: str) -> None:
    """``--ledger``, ``--json`` and ``--quiet``: where the numbers of a command go."""
    parser.add_argument(
        "--ledger", metavar="FILE", help=f"add rows to data/results/{experiment}/FILE.json"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
