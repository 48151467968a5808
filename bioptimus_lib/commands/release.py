"""``bioptimus release``: a model of a run as a folder to give away, and on the hub if one likes."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "release",
        help="a model of a run as a folder to give away: safetensors, tokenizer, model card",
        description="Make a folder that plain Transformers loads, with a card whose numbers are "
        "the run's rows of the ledger. --push says what would be sent, and to where; nothing is "
        "sent without --yes. The server is HF_ENDPOINT, else the Hugging Face hub.",
    )
    parser.add_argument("folder", metavar="RUN", help="folder of a finished run")
    parser.add_argument("--version", required=True, metavar="V", help="0.1, 0.2, 0.3 or 0.4")
    parser.add_argument("--out", required=True, metavar="DIR", help="gets a folder v0.4 or so")
    tagger = parser.add_mutually_exclusive_group()
    tagger.add_argument(
        "--tagger", metavar="DIR",
        help="release a tagger that was made from this version (bioptimus ner --save-model)",
    )  # fmt: skip
    tagger.add_argument(
        "--fine-tune", type=int, metavar="SEED",
        help="make the run's own tagger of this seed again, and release it",
    )  # fmt: skip
    parser.add_argument("--licence", metavar="ID", help="of the weights, as the hub names it")
    parser.add_argument("--watts", type=float, metavar="N", help="that the machine drew, measured")
    parser.add_argument(
        "--onnx", action="store_true",
        help="add model.onnx, checked against PyTorch, and a copy in 8 bits, with what that costs",
    )  # fmt: skip
    parser.add_argument("--push", metavar="OWNER/NAME", help="a new repository; a dry run")
    parser.add_argument("--yes", action="store_true", help="push in earnest")
    parser.add_argument("--public", action="store_true", help="for all to see (default: private)")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it; the folder on standard output, and what was or would be sent."""
    from bioptimus_lib import hub
    from bioptimus_lib.onnx_model import check_installed
    from bioptimus_lib.release import fine_tuned, phase_of, release

    phase_of(arguments.version)
    if arguments.watts is not None and arguments.watts <= 0:
        raise ValueError(f"--watts {arguments.watts:g}: more than 0")
    if (arguments.yes or arguments.public) and arguments.push is None:
        raise ValueError("--yes and --public are for --push OWNER/NAME")
    if arguments.push is not None:
        hub.check_name(arguments.push)  # before any long work
    if arguments.onnx:
        check_installed()
    tagger = arguments.tagger
    if arguments.fine_tune is not None:
        tagger = fine_tuned(
            arguments.folder, arguments.version, arguments.fine_tune, progress=not arguments.quiet
        )
    made = release(
        arguments.folder, arguments.version, Path(arguments.out),
        tagger=tagger, licence=arguments.licence, watts=arguments.watts, onnx=arguments.onnx,
    )  # fmt: skip
    print(made)
    if arguments.push and arguments.yes:
        print(hub.push(made, arguments.push, private=not arguments.public))
    elif arguments.push:
        print(hub.plan(made, arguments.push))
        print("a dry run: nothing was sent, --yes sends it")
    return 0
