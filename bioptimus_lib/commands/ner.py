"""``bioptimus ner``: fine-tune models on named entities and test them, over seeds."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bioptimus_lib.profile import PROFILES


def add(subparsers: argparse._SubParsersAction) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "ner",
        help="fine-tune models on named entities: F1 over seeds, predictions, paired tests",
        description="Fine-tune each model on each set with each seed, choose the epoch on devel, "
        "test once. What is done already is not done again. With two models or more, each is "
        "compared with the first: bootstrap interval and paired test over the test sentences.",
    )
    parser.add_argument(
        "--model", required=True, nargs="+", metavar="M", help="folders, or names of sources"
    )
    parser.add_argument(
        "--dataset",
        nargs="+",
        metavar="D",
        help="names of sources, 'all' for the five real sets, 'pocket' for the generated one, or "
        "folders with train.tsv, devel.tsv and test.tsv",
    )
    own = parser.add_argument_group("your own CoNLL files (token<TAB>tag, IOB2)")
    for split in ("train", "devel", "test"):
        own.add_argument(f"--{split}", metavar="FILE")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="runs per model and set")
    recipe = parser.add_argument_group("recipe (default: by the size of the model)")
    recipe.add_argument("--epochs", type=int, metavar="N")
    recipe.add_argument("--learning-rate", type=float, metavar="X")
    recipe.add_argument("--batch-tokens", type=int, metavar="N", help="pieces per batch")
    recipe.add_argument("--max-length", type=int, metavar="N", help="window in pieces")
    recipe.add_argument("--sentences", type=int, metavar="N", help="the first N of train alone")
    parser.add_argument("--out", default="runs/ner", metavar="DIR", help="results and predictions")
    parser.add_argument("--save-model", action="store_true", help="keep the fine-tuned models too")
    parser.add_argument("--profile", metavar="NAME", help=f"for the ledger: {', '.join(PROFILES)}")
    parser.add_argument(
        "--ledger", metavar="FILE", help="add the scores to data/results/ner/FILE.json"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: a GPU if there is one")
    parser.add_argument("--json", action="store_true", help="print the results as one JSON object")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it: a line per run on standard error, the table or JSON on standard output."""
    from bioptimus_lib.conll import read_conll
    from bioptimus_lib.profile import profile

    if arguments.seeds < 1:
        raise ValueError(f"--seeds {arguments.seeds}: at least 1")
    chosen = profile(arguments.profile)
    sets = _sets(arguments)
    models = {_name(model): _model(model, arguments) for model in arguments.model}
    if len(models) < len(arguments.model):
        raise ValueError(f"two models have the same name: {', '.join(map(_name, arguments.model))}")
    out = Path(arguments.out)
    table: list[dict[str, Any]] = []
    for dataset, files in sets.items():
        splits = {split: read_conll(path) for split, path in files.items()}
        if arguments.sentences:
            splits["train"] = splits["train"][: arguments.sentences]
        counts: dict[str, Any] = {}
        for name, folder in models.items():
            rows = []
            for seed in range(arguments.seeds):
                place = out / dataset / name / f"seed-{seed}"
                rows.append(_one(arguments, folder, splits, seed=seed, place=place, name=name))
                if arguments.ledger:
                    _record(arguments, chosen.name, name, dataset, files, rows[-1])
            places = [out / dataset / name / f"seed-{seed}" for seed in range(arguments.seeds)]
            counts[name] = _counts(splits["test"], places)
            table.append(_summary(dataset, name, rows, counts, first=next(iter(models))))
    print(json.dumps({"results": table}) if arguments.json else _text(table))
    return 0


# --- what is asked for -------------------------------------------------------------------------


def _sets(arguments: argparse.Namespace) -> dict[str, dict[str, Path]]:
    """Name of each set, and its three files."""
    own = {split: getattr(arguments, split) for split in ("train", "devel", "test")}
    if any(own.values()):
        if not all(own.values()) or arguments.dataset:
            raise ValueError("give --train, --devel and --test together, and no --dataset")
        for path in own.values():
            if not Path(path).is_file():
                raise FileNotFoundError(f"no file {path}")
        return {Path(own["train"]).resolve().parent.name or "own": _paths(own)}
    if not arguments.dataset:
        raise ValueError("give --dataset, or --train, --devel and --test")
    from bioptimus_lib import source_table, sources
    from bioptimus_lib.conll import split_files

    sets: dict[str, dict[str, Path]] = {}
    for name in arguments.dataset:
        if name == "all":
            wanted = [row.name for row in source_table.table().values() if row.kind == "ner"]
        else:
            wanted = [name]
        for one in wanted:
            if one == "pocket":
                folder = _pocket(Path(arguments.out))
            elif Path(one).is_dir():
                folder = Path(one)
            else:
                folder = sources.fetch(one, progress=not arguments.quiet)
            sets[folder.resolve().name] = split_files(folder)
    return sets


def _paths(files: dict[str, str]) -> dict[str, Path]:
    return {split: Path(path) for split, path in files.items()}


def _pocket(out: Path) -> Path:
    """The generated set, written once."""
    from bioptimus_lib import pocket_ner

    folder = out / "sets" / "pocket"
    if not folder.exists():
        pocket_ner.write_ner(folder)
    return folder


def _name(model: str) -> str:
    return Path(model).resolve().name if Path(model).is_dir() else model.replace("/", "--")


def _model(model: str, arguments: argparse.Namespace) -> Path:
    """Folder of a model that was given as a folder or as the name of a source."""
    if Path(model).is_dir():
        return Path(model)
    if model.count("/") > 1 or model.startswith((".", "/", "~")):  # the hub has owner/name
        raise FileNotFoundError(f"no folder {model}")
    from bioptimus_lib import sources

    return sources.fetch(model, progress=not arguments.quiet)


# --- doing it ----------------------------------------------------------------------------------


def _one(
    arguments: argparse.Namespace, folder: Path, splits: Any, *, seed: int, place: Path, name: str
) -> dict[str, Any]:
    """Result of one run: read if it is there with the same settings, else made."""
    from bioptimus_lib import ner

    wanted = {
        key: value
        for key in ("epochs", "learning_rate", "batch_tokens", "max_length")
        if (value := getattr(arguments, key)) is not None
    }
    settings = ner.recipe_for(folder, seed=seed, **wanted)
    file = place / "result.json"
    if file.is_file():
        done = json.loads(file.read_text(encoding="utf-8"))
        if done["settings"] != asdict(settings) or done["sentences"] != arguments.sentences:
            raise ValueError(f"{place} holds a run with other settings: give another --out")
        return done
    result = ner.fine_tune(
        folder,
        splits,
        settings=settings,
        device=arguments.device,
        progress=not arguments.quiet,
    )
    ner.save(
        result,
        splits["test"],
        place,
        model=arguments.save_model,
        notes={"sentences": arguments.sentences},
    )
    print(
        f"{place.parent.parent.name} {name} seed {seed}: F1 {result.metrics['f1']:.2f} "
        f"(devel {result.metrics['devel_f1']:.2f}, epoch {result.epoch}, {result.seconds:.0f} s)",
        file=sys.stderr,
        flush=True,
    )
    return json.loads(file.read_text(encoding="utf-8"))


def _counts(test: Any, places: list[Path]) -> Any:
    """Counts (seeds, sentences, 3) of the predictions on disk."""
    import numpy as np

    from bioptimus_lib.conll import read_predictions
    from bioptimus_lib.stats import entity_counts

    gold = [sentence.tags for sentence in test]
    return np.stack([entity_counts(gold, read_predictions(p / "predictions.tsv")) for p in places])


def _record(
    arguments: argparse.Namespace,
    profile: str,
    model: str,
    dataset: str,
    files: dict[str, Path],
    result: dict[str, Any],
) -> None:
    from bioptimus_lib import ledger

    row = {
        "model": model,
        "dataset": dataset,
        "profile": profile,
        "seed": result["settings"]["seed"],
        "metrics": result["metrics"],
        "epoch": result["epoch"],
        "seconds": result["seconds"],
        "settings": result["settings"],
        **ledger.provenance(data=files.values(), device=arguments.device),
    }
    if arguments.sentences:
        row["variant"] = f"{arguments.sentences} sentences"
    ledger.append("ner", row, file=arguments.ledger, replace=True)


def _summary(
    dataset: str, model: str, rows: list[dict[str, Any]], counts: dict[str, Any], *, first: str
) -> dict[str, Any]:
    from bioptimus_lib import stats

    f1 = [row["metrics"]["f1"] for row in rows]
    spread, interval = stats.summary(f1), stats.bootstrap(counts[model])
    unseen = stats.summary([row["metrics"]["recall_unseen"] for row in rows])
    line = {
        "dataset": dataset,
        "model": model,
        "seeds": len(rows),
        "f1": spread.mean,
        "sd": None if spread.n < 2 else spread.sd,
        "interval": [interval.low, interval.high],
        "recall_unseen": unseen.mean,
        "f1_by_seed": f1,
    }
    if model != first:
        difference = stats.bootstrap_difference(counts[model], counts[first])
        line["minus_first"] = difference.value
        line["minus_first_interval"] = [difference.low, difference.high]
        line["p"] = stats.paired_test(counts[model], counts[first]).p
    return line


def _text(table: list[dict[str, Any]]) -> str:
    """The table for a terminal."""
    lines = [
        f"{'set':<16} {'model':<20} {'F1':>6} {'sd':>5} {'95 %':>15} {'unseen':>7}  minus the first"
    ]
    for row in table:
        sd = "" if row["sd"] is None else f"{row['sd']:.2f}"
        low, high = row["interval"]
        line = (
            f"{row['dataset']:<16} {row['model']:<20} {row['f1']:>6.2f} {sd:>5} "
            f"{f'{low:.2f}–{high:.2f}':>15} {row['recall_unseen']:>7.2f}"
        )
        if "p" in row:
            low, high = row["minus_first_interval"]
            line += f"  {row['minus_first']:+.2f} [{low:+.2f}, {high:+.2f}], p = {row['p']:.4f}"
        lines.append(line)
    return "\n".join(lines)
