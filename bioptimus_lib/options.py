"""Options that many commands have, so that they are called the same and say the same."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bioptimus_lib.files import PLAIN_NAME


def to_ledger(parser: argparse.ArgumentParser, experiment: str) -> None:
    """``--ledger``. A name that cannot be is refused at once, not when the work is done."""
    parser.add_argument(
        "--ledger", metavar="FILE", type=_file_name,
        help=f"add rows to data/results/{experiment}/FILE.json",
    )  # fmt: skip


def _file_name(name: str) -> str:
    if not PLAIN_NAME.fullmatch(name):
        raise argparse.ArgumentTypeError(f"{name!r}: letters, digits, '-', '_' and '.' alone")
    return name


def device(group: argparse._ActionsContainer, *, default: str | None = None) -> None:
    """``--device``. A GPU that PyTorch does not see is told at once, not when the work begins."""
    group.add_argument(
        "--device", metavar="{cpu,cuda}", type=_device, default=default,
        help=f"default: {default or 'a GPU if there is one'}",
    )  # fmt: skip


def _device(name: str) -> str:
    if name == "cpu":
        return name  # asked by each command that leaves it, and PyTorch takes seconds to load
    from bioptimus_lib.models import check_device

    try:
        return check_device(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def one_name_each(names: Sequence[str]) -> None:
    """ValueError where two folders have the same last name, by which rows are told apart."""
    for name, times in Counter(Path(name).name for name in names).items():
        if times > 1:
            raise ValueError(f"two texts are called {name!r}: rename the folder of one")


def answers(parser: argparse.ArgumentParser, experiment: str) -> None:
    """``--ledger``, ``--json`` and ``--quiet``: where the numbers of a command go."""
    to_ledger(parser, experiment)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
