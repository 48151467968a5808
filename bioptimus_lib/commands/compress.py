"""``bioptimus compress``: a compact model from a recipe, distilled or trained on."""

from __future__ import annotations

import argparse
import json
from typing import Any

from bioptimus_lib.commands.training import add_corpus, add_how, settings_of
from bioptimus_lib.recipes import RECIPES

TRAPS = ("teacher-in-training", "random-head", "attention-per-element")
EPILOG = """\
the recipes (Rohanian et al., 2023 and 2024), at full size:
{recipes}

A recipe that is distilled needs --teacher; its student is as much smaller than this teacher as the
paper's is than BERT-base. One that trains a small model on needs --start.

examples:
  half of the teacher's layers, distilled in 2,000 steps:
    bioptimus compress --teacher bio/v0.4 --recipe DistilBioBERT --corpus text --steps 2000 --out d
  other layers:
    ... --recipe CompactBioBERT --layers 0,3 --layer-map 1,3
  what it costs to leave the teacher's dropout on:
    ... --trap teacher-in-training
  trained on, without a teacher:
    bioptimus compress --start small --recipe BioDistilBERT --corpus text --steps 2000 --out c

A run that was cut goes on with the same command. OUT/training/log.jsonl has an object per line, in
which "terms" are the parts of the loss without their weights."""


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    width = max(map(len, RECIPES))
    recipes = "\n".join(
        f"  {r.name:<{width}}  {r.shape!s:>8}, "
        + (f"{r.start} trained on" if r.continues else str(r.objective))
        for r in RECIPES.values()
    )
    parser = subparsers.add_parser(
        "compress",
        help="make a compact model from a large one, or train a compact one on",
        description="Make the compact model of a recipe on a text of yours. Each fiftieth document "
        "is held out, and tells before and after how well student and teacher guess.",
        epilog=EPILOG.format(recipes=recipes),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--recipe", required=True, metavar="NAME", help="see below")
    parser.add_argument(
        "--teacher", metavar="DIR",
        help="a masked language model with its head: a folder or a model's name",
    )  # fmt: skip
    parser.add_argument(
        "--start", metavar="DIR", help="a model to begin with, of the teacher's vocabulary"
    )
    add_corpus(parser)
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="gets the folder model, and the logs"
    )

    what = parser.add_argument_group("instead of what the recipe says")
    what.add_argument(
        "--layers", type=_layers, metavar="N,N", help="of the teacher, to begin with; from 0"
    )
    what.add_argument(
        "--layer-map", type=_layers, metavar="N,N",
        help="for each layer of the student the teacher's; from 0",
    )  # fmt: skip
    what.add_argument(
        "--trap", choices=TRAPS, action="append", default=[],
        help="a fault of published scripts, to see what it costs; several may be given",
    )  # fmt: skip

    size = parser.add_argument_group("how long, and how")
    size.add_argument("--steps", type=int, default=1000, metavar="N", help="(1000)")
    size.add_argument(
        "--learning-rate", type=float, metavar="R", help="(the recipe's, or 5e-4 if it has none)"
    )
    size.add_argument("--batch", type=int, default=32, metavar="N", help="blocks at once (32)")
    size.add_argument("--accumulate", type=int, default=1, metavar="N", help="batches a step (1)")
    add_how(size)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=run)


def _layers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form 0,2,4") from None


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    from bioptimus_lib.compress import Traps, compress
    from bioptimus_lib.machine import is_first
    from bioptimus_lib.recipes import recipe
    from bioptimus_lib.sources import model_path

    plan = recipe(arguments.recipe)
    rate = arguments.learning_rate
    settings = settings_of(
        arguments, learning_rate=(plan.learning_rate or 5e-4) if rate is None else rate
    )
    teacher, start = (
        folder and model_path(folder, progress=not arguments.quiet)
        for folder in (arguments.teacher, arguments.start)
    )
    row = compress(
        plan,
        arguments.corpus,
        out=arguments.out,
        settings=settings,
        teacher=teacher,
        start=start,
        start_layers=arguments.layers,
        layer_map=arguments.layer_map,
        length=arguments.length,
        traps=Traps(**{name.replace("-", "_"): True for name in arguments.trap}),
        device=arguments.device,
        progress=not arguments.quiet,
    )
    if is_first():
        print(json.dumps(row, indent=1) if arguments.json else table(row))
    return 0


def table(row: dict[str, Any]) -> str:
    """What came out, a line for each model."""
    head = f"{'model':<22}{'parameters':>14}{'held-out loss':>16}{'accuracy':>11}"
    lines = [
        (f"{row['recipe']}, first", row["parameters"], row["held_out_at"].get("0")),
        (f"{row['recipe']}", row["parameters"], row["held_out"]),
    ]
    if "teacher_held_out" in row:
        lines.append(("teacher", row["teacher_parameters"], row["teacher_held_out"]))
    return "\n".join([
        head,
        *(
            f"{name:<22}{size:>14,}{score['loss']:>16.3f}{score['accuracy']:>11.1%}"
            for name, size, score in lines if score
        ),
        f"{row['steps']:,} steps of {row['objective']}: {row['folder']}",
    ])  # fmt: skip
