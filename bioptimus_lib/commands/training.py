"""What the commands that train on a text share: where it is, how long, and how."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from bioptimus_lib import options

if TYPE_CHECKING:
    from bioptimus_lib.pretrain import Settings


def add_corpus(parser: argparse.ArgumentParser) -> None:
    """Describe the text."""
    parser.add_argument(
        "--corpus", required=True, metavar="DIR",
        help=".txt, .gz, .jsonl or PubMed XML; a blank line ends a document of plain text",
    )  # fmt: skip


def add_how(group: argparse._ArgumentGroup) -> None:
    """Describe how a training goes, but for its steps, its rate and what a batch is."""
    group.add_argument("--length", type=int, default=128, metavar="N", help="pieces a block (128)")
    group.add_argument(
        "--precision", choices=("auto", "fp32", "bf16", "fp16"), default="auto",
        help="auto: what the device does fast",
    )  # fmt: skip
    group.add_argument("--seed", type=int, default=0, help="of order, masks and random weights (0)")
    options.device(group)
    group.add_argument(
        "--save-minutes", type=float, default=5, metavar="N", help="between checkpoints (5)"
    )
    group.add_argument(
        "--save-steps", type=int, default=0, metavar="N", help="the same in steps (not by steps)"
    )


def settings_of(
    arguments: argparse.Namespace, *, learning_rate: float, **others: Any
) -> Settings:
    """The settings that the arguments name; ``others`` are those of one command alone."""
    from bioptimus_lib.pretrain import Settings

    return Settings(
        steps=arguments.steps,
        batch=arguments.batch,
        learning_rate=learning_rate,
        accumulate=arguments.accumulate,
        precision=arguments.precision,
        seed=arguments.seed,
        save_minutes=arguments.save_minutes,
        save_steps=arguments.save_steps,
        **others,
    )
