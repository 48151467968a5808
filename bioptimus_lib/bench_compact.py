"""``bioptimus bench compact``: parameters, memory and speed of models, side by side.

How they are measured is in ``footprint``. ``+int8`` behind a folder takes the model in 8 bits.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from bioptimus_lib import options
from bioptimus_lib.bench import check_numbers
from bioptimus_lib.footprint import BATCHES, Footprint, flat, measure

if TYPE_CHECKING:
    from transformers import PreTrainedModel

EXPERIMENT = "bench-compact"
INT8 = "+int8"


# -- the command -----------------------------------------------------------------------------------


def add(rooms: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = rooms.add_parser(
        "compact", help="parameters, memory, latency and throughput of models, in turns"
    )
    parser.add_argument(
        "models", nargs="+", metavar="NAME=DIR",
        help=f"folders or names of models, the first to be compared with; DIR{INT8} for 8 bits",
    )  # fmt: skip
    parser.add_argument("--length", type=int, default=128, metavar="N", help="pieces a row (128)")
    parser.add_argument(
        "--batches", type=int, nargs="+", default=BATCHES, metavar="N", help="rows (1 and 32)"
    )
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="of the timing (5)")
    parser.add_argument("--threads", type=int, metavar="N", help="of torch (as many as it takes)")
    options.device(parser, default="cpu")
    options.answers(parser, EXPERIMENT)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    import torch

    check_numbers(arguments, "threads")
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    loaded, files = _load(arguments)
    rows = measure(
        loaded, length=arguments.length, batches=arguments.batches, rounds=arguments.rounds,
        device=arguments.device, progress=not arguments.quiet,
    )  # fmt: skip
    if arguments.ledger:
        _keep(rows, files, arguments, threads=torch.get_num_threads())
    print(json.dumps([asdict(row) for row in rows], indent=1) if arguments.json else table(rows))
    return 0


def _load(arguments: argparse.Namespace) -> tuple[dict[str, PreTrainedModel], list[Path]]:
    from bioptimus_lib.models import load_masked_lm, place
    from bioptimus_lib.quantise import int8
    from bioptimus_lib.sources import model_path

    models, files = {}, []
    for word in arguments.models:
        name, equals, folder = word.partition("=")
        if not equals or not name or not folder or name in models:
            raise ValueError(f"{word!r}: give each model as NAME=DIR, each under a name of its own")
        small = folder.endswith(INT8)
        if small and arguments.device != "cpu":
            raise ValueError(f"{word!r}: 8 bits are for a CPU")
        path = model_path(folder.removesuffix(INT8), progress=not arguments.quiet)
        model, _ = load_masked_lm(path)
        place(model, arguments.device)
        models[name] = int8(model) if small else model
        files += sorted(Path(path).glob("*.safetensors"))
    return models, files


def table(rows: Sequence[Footprint]) -> str:
    """The rows as text, a line for each model."""
    batches = list(rows[0].milliseconds)
    columns = "".join(f"{f'batch {b}':>14}{'':>9}" for b in batches)
    lines = [f"{'model':<22}{'encoder':>13}{'MB':>9}{columns}{'rows/s':>10}"]
    for row in rows:
        times = "".join(
            f"{row.milliseconds[b]:>11.2f} ms{row.faster[b]['ratio']:>8.2f}x" for b in batches
        )
        lines.append(
            f"{row.model:<22}{row.encoder:>13,}{row.megabytes:>9.1f}{times}"
            f"{row.sequences_per_second:>10.1f}"
        )
    return "\n".join(lines)


def _keep(
    rows: Sequence[Footprint], files: list[Path], arguments: argparse.Namespace, *, threads: int
) -> None:
    from bioptimus_lib import ledger

    origin = ledger.provenance(data=files, device=arguments.device)

    ledger.append(EXPERIMENT, [
        {**origin, "model": row.model, "dataset": f"random rows of {arguments.length}",
         "profile": "bench", "seed": None, "first": rows[0].model,
         "variant": f"{arguments.device}, {threads} threads",
         "metrics": flat(row)}
        for row in rows
    ], file=arguments.ledger, replace=True)  # fmt: skip
