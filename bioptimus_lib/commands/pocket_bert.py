"""``bioptimus pocket-bert``: the recipe of the small general model that ships with the course."""

from __future__ import annotations

import argparse

from bioptimus_lib import options


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "pocket-bert",
        help="train the small general-English BERT that ships in data/pocket-bert",
        description="Train a vocabulary and a 4 × 256 BERT on general text. The last file of the "
        "corpus is held out. A run that was interrupted goes on with the same command.",
    )
    parser.add_argument(
        "--corpus", metavar="DIR", help="folder of .txt or .txt.gz (default: the source 'general')"
    )
    parser.add_argument("--work", default="runs/pocket-bert", metavar="DIR", help="checkpoints")
    parser.add_argument("--out", default="data/pocket-bert", metavar="DIR", help="finished model")
    parser.add_argument("--steps", type=int, default=30_000, help="optimiser steps")
    parser.add_argument("--batch", type=int, default=16, help="blocks of 128 pieces per step")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="peak")
    parser.add_argument(
        "--embedding-rate", type=float, default=0.2, help="of the embeddings, relative to the peak"
    )
    parser.add_argument("--seed", type=int, default=0, help="of order and masks (0)")
    options.device(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it, and print what the held-out text says of the model."""
    from bioptimus_lib import pocket_bert, sources

    row = pocket_bert.make(
        arguments.corpus or sources.fetch("general", progress=not arguments.quiet),
        work=arguments.work,
        out=arguments.out,
        steps=arguments.steps,
        batch=arguments.batch,
        learning_rate=arguments.learning_rate,
        embedding_rate=arguments.embedding_rate,
        seed=arguments.seed,
        device=arguments.device,
        progress=not arguments.quiet,
    )
    score = row["metrics"]
    print(
        f"{arguments.out}: held-out loss {score['loss']:.3f}, accuracy {score['accuracy']:.1%} "
        f"after {row['steps']:,} steps"
    )
    return 0
