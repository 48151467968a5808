"""``bioptimus pretrain``: one phase of the curriculum, all four, or masking of your own."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from bioptimus_lib.commands.training import add_corpus, add_how, settings_of
from bioptimus_lib.curriculum import PHASES, Phase

EPILOG = """\
the phases, each from the model of the one before:
{phases}

examples:
  all four phases from a distilled model, 2,000 steps each:
    bioptimus pretrain --model distilled --corpus text --phase all --steps 2000 --out bio
  the two controls of the paper, of the same length:
    ... --out scratch --from-scratch       random weights, the same vocabulary
    ... --out plain --plain                the model before distillation, its old vocabulary
  40 % of the whole words masked, no corruption, half an hour:
    ... --out own --unit word --rate 0.4 --no-corruption --minutes 30
  two processes, each with half of the step's blocks, for the same training:
    torchrun --nproc_per_node=2 -m bioptimus_lib pretrain ... --batch 16

A run that was cut goes on with the same command and ends with the same weights. The log of a
phase is OUT/training/VERSION/log.jsonl, a JSON object per line."""


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    phases = "\n".join(f"  {p.number}  {p.version}  {p.masking}: {p.about}" for p in PHASES)
    parser = subparsers.add_parser(
        "pretrain",
        help="train a model to guess masked pieces of a text: the phases v0.1 to v0.4",
        description="Train a masked language model on a text of yours. Each fiftieth document is "
        "held out, and tells before and after how well the model guesses.",
        epilog=EPILOG.format(phases=phases),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model", required=True, metavar="DIR", help="where to start: a folder or a model's name"
    )
    add_corpus(parser)
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="gets a folder for each version, and the logs"
    )

    what = parser.add_argument_group("what to mask")
    what.add_argument(
        "--phase", choices=[*(str(p.number) for p in PHASES), "all"], help="of the curriculum"
    )
    what.add_argument("--unit", choices=("token", "word", "span"), help="instead of a phase (word)")
    what.add_argument("--rate", type=float, metavar="R", help="share of the pieces (0.15)")
    what.add_argument(
        "--no-corruption", action="store_true",
        help="every chosen piece becomes [MASK]; else 80 %% do, 10 %% become another piece",
    )  # fmt: skip

    start = parser.add_argument_group("where to start")
    either = start.add_mutually_exclusive_group()
    either.add_argument(
        "--from-scratch", action="store_true", help="random weights in the shape of --model"
    )
    either.add_argument(
        "--plain", action="store_true",
        help="the model that --model was distilled from, with its old vocabulary",
    )  # fmt: skip
    start.add_argument(
        "--tokenizer", metavar="DIR", help="another vocabulary, for --from-scratch alone"
    )

    size = parser.add_argument_group("how long, and how")
    length = size.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, default=1000, metavar="N", help="a phase (1000)")
    length.add_argument("--minutes", type=float, default=0, metavar="N", help="of all phases")
    size.add_argument("--learning-rate", type=float, default=5e-4, metavar="R", help="(5e-4)")
    size.add_argument(
        "--batch", type=int, default=32, metavar="N", help="blocks at once, on each process (32)"
    )
    size.add_argument(
        "--accumulate", type=int, default=1, metavar="N",
        help="batches per step; against too little memory (1)",
    )  # fmt: skip
    add_how(size)
    size.add_argument(
        "--compile", action="store_true", help="torch.compile: slower at first, for long trainings"
    )
    size.add_argument(
        "--evaluate-steps", type=int, default=0, metavar="N",
        help="between tests on held-out text (before the first step and after the last)",
    )  # fmt: skip
    size.add_argument("--loader-workers", type=int, default=0, metavar="N",
                      help="processes that make batches ready (0: none of their own)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.set_defaults(run=run)


def chosen(arguments: argparse.Namespace) -> tuple[Phase, ...]:
    """The phases that the arguments name, or one of the reader's own."""
    from bioptimus_lib.masking import Masking

    own = arguments.unit is not None or arguments.rate is not None or arguments.no_corruption
    if own and arguments.phase:
        raise ValueError("--phase has its own masking: leave out --unit, --rate, --no-corruption")
    if own:
        rate = 0.15 if arguments.rate is None else arguments.rate
        masking = Masking(arguments.unit or "word", rate, not arguments.no_corruption)
        return (Phase(0, "trained", masking, "masking of one's own"),)
    if arguments.phase is None:
        raise ValueError("give --phase 1, 2, 3, 4 or all, or masking of your own (--unit, --rate)")
    return tuple(p for p in PHASES if arguments.phase in ("all", str(p.number)))


def run(arguments: argparse.Namespace) -> int:
    """Do it: a line per phase on standard error, a table or JSON on standard output."""
    from tqdm.auto import tqdm

    from bioptimus_lib.machine import is_first
    from bioptimus_lib.origin import origin_of
    from bioptimus_lib.phases import pretrain_phases
    from bioptimus_lib.sources import model_path

    phases = chosen(arguments)
    settings = settings_of(
        arguments,
        learning_rate=arguments.learning_rate,
        compile=arguments.compile,
        loader_workers=arguments.loader_workers,
    )
    model = model_path(arguments.model, progress=not arguments.quiet)

    def tell(row: dict[str, Any]) -> None:
        if is_first():
            line = f"{row['version']}: {row['size']}, {row['measure']}"
            tqdm.write(line, file=sys.stderr)

    rows = pretrain_phases(
        origin_of(model) if arguments.plain else model,
        arguments.corpus,
        arguments.out,
        phases=phases,
        settings=settings,
        minutes=arguments.minutes,
        length=arguments.length,
        from_scratch=arguments.from_scratch,
        tokenizer=arguments.tokenizer,
        evaluate_every=arguments.evaluate_steps,
        device=arguments.device,
        progress=not arguments.quiet,
        tell=tell,
    )
    if is_first():
        print(json.dumps(rows, indent=1) if arguments.json else table(rows))
    return 0


def table(rows: list[dict[str, Any]]) -> str:
    """What came out, a line for each version."""
    head = f"{'version':<9}{'masking':<24}{'steps':>8}{'tokens/s':>10}{'held-out loss':>20}"
    lines = [
        f"{r['version']:<9}{r['masking']:<24}{r['steps']:>8,}{r['tokens_per_second']:>10,}"
        f"{r['held_out_at']['0']['loss']:>11.3f} → {r['held_out']['loss']:.3f}   {r['folder']}"
        for r in rows
    ]
    return "\n".join([head, *lines])
