"""``bioptimus distill``: give a model a new vocabulary, its embeddings distilled in context."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bioptimus_lib import options


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "distill",
        help="give a model a new vocabulary, its embeddings distilled from contexts",
        description="Give a masked language model the vocabulary of a plan. Rows of shared tokens "
        "are kept; rows of new ones come from contexts, by one of several strategies.",
    )
    parser.add_argument(
        "--model", required=True, metavar="DIR", help="the old model: a folder or a model's name"
    )
    parser.add_argument("--plan", required=True, metavar="FILE", help="of bioptimus vocab")
    parser.add_argument(
        "--contexts", required=True, metavar="FILE", help="what bioptimus scan wrote"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the new model")
    parser.add_argument(
        "--strategy",
        default="calibrated_spread",
        metavar="NAME",
        help="random, subtoken_mean, contextual, contextual_matched, calibrated, "
        "calibrated_spread (default), calibrated_contrastive, token_distillation or "
        "calibrated_distilled",
    )
    parser.add_argument("--layer", type=int, metavar="N", help="to read; chosen if left")
    parser.add_argument("--seed", type=int, default=0, help="of random rows and of training (0)")
    options.device(parser, default="cpu")
    options.answers(parser, "distilled")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    import json

    from bioptimus_lib.contexts import Contexts
    from bioptimus_lib.distill import STRATEGIES, distill
    from bioptimus_lib.files import refuse_other_folders
    from bioptimus_lib.models import load_masked_lm, save_model
    from bioptimus_lib.onednn import remember_less
    from bioptimus_lib.origin import write_origin
    from bioptimus_lib.sources import model_path
    from bioptimus_lib.vocab import VocabularyPlan

    if arguments.strategy not in STRATEGIES:
        raise ValueError(
            f"strategy {arguments.strategy!r} is unknown: choose one of {list(STRATEGIES)}"
        )
    refuse_other_folders(Path(arguments.out), "config.json", "model")
    remember_less()
    plan, contexts = VocabularyPlan.load(arguments.plan), Contexts.load(arguments.contexts)
    folder = model_path(arguments.model, progress=not arguments.quiet)
    if Path(arguments.out).resolve() == Path(folder).resolve():
        raise ValueError(f"--out {arguments.out} is the model to distil from: choose another")
    model, old = load_masked_lm(folder)
    done = distill(
        model,
        old,
        plan,
        contexts,
        strategy=arguments.strategy,
        layer=arguments.layer,
        seed=arguments.seed,
        device=arguments.device,
        progress=not arguments.quiet,
    )
    save_model(done.model, done.tokenizer, arguments.out)
    write_origin(arguments.out, folder)
    if arguments.ledger:
        _record(arguments, done.report, folder)
    if arguments.json:
        print(json.dumps(done.report))
    else:
        for name, value in done.report.items():
            print(f"{name:16}  {value}")
    return 0


def _record(arguments: argparse.Namespace, report: dict[str, Any], folder: Path) -> None:
    from bioptimus_lib import ledger

    counted = ("new", "shared", "contexts", "sentences", "cropped", "fallbacks")
    metrics = {name: report[name] for name in counted if name in report}
    for kind in ("recovery", "recovery_pieces"):
        if report.get(kind):
            metrics |= {f"{kind}_{name}": report[kind][name] for name in ("mrr", "top1")}
    files = [*sorted(folder.glob("*.safetensors")), arguments.plan, arguments.contexts]
    ledger.append("distilled", {
        "model": Path(arguments.model).name,
        "dataset": Path(arguments.contexts).stem,
        "profile": "any",
        "seed": arguments.seed,
        "variant": arguments.strategy,
        "metrics": metrics | {"minutes": round(report["seconds"] / 60, 2)},
        **ledger.provenance(data=files, device=arguments.device),
    }, file=arguments.ledger, replace=True)  # fmt: skip
