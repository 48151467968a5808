"""``bioptimus bench onnx``: a tagger by PyTorch, by ONNX, and in 8 bits: time, size, and entities.

All engines read the same sentences of a test set with the same code around them (``tagging``), in
turns. One sentence at a time is what somebody waits for who types; all at once is what a file
takes. The gold tags give F1 of each.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioptimus_lib import options
from bioptimus_lib.bench import check_numbers, ratio, take_turns
from bioptimus_lib.onnx_model import FILE, SMALL
from bioptimus_lib.onnx_release import f1_of

if TYPE_CHECKING:
    from bioptimus_lib.conll import Sentence
    from bioptimus_lib.tagging import TextTagger

EXPERIMENT = "bench-onnx"
#: Name in tables, and engine of ``tagging.ENGINES``.
SIDES = {"PyTorch": "torch", "ONNX": "onnx", "ONNX, 8 bits": "int8"}
FIRST = "PyTorch"

Row = dict[str, Any]


def measure(
    folder: str | Path,
    sentences: Sequence[Sentence],
    *,
    singles: int = 100,
    rounds: int = 5,
    progress: bool = False,
) -> list[Row]:
    """A row for each engine: its megabytes, time, rate, F1, and in how many sentences its entities
    are not those of PyTorch.

    Args:
        folder: a release with ONNX files.
        sentences: with gold tags; their words, joined by blanks, are the text.
        singles: so many of them are read one at a time.
        rounds: that are timed.
        progress: show progress bars.

    Raises:
        FileNotFoundError: no tagger there, or without ONNX files.
        ModuleNotFoundError: the packages are missing.
        ValueError: nothing to read.
    """
    from bioptimus_lib.tagging import load_text_tagger

    if not sentences or singles < 1 or rounds < 1:
        raise ValueError(f"{len(sentences)} sentences, {singles} singles, {rounds} rounds: give 1")
    taggers = {name: load_text_tagger(folder, engine=engine) for name, engine in SIDES.items()}
    texts = [" ".join(sentence.tokens) for sentence in sentences]
    few = texts[:singles]
    found = {name: tagger.tag(texts) for name, tagger in taggers.items()}
    singly = {name: partial(_one_by_one, tagger, few) for name, tagger in taggers.items()}
    one = take_turns(singly, rounds=rounds, progress=progress)
    at_once = {name: partial(tagger.tag, texts) for name, tagger in taggers.items()}
    many = take_turns(at_once, rounds=rounds, warm=0, progress=progress)  # ``found`` warmed up
    files = {"torch": "model.safetensors", "onnx": FILE, "int8": SMALL}
    return [
        {
            "engine": name,
            "megabytes": round((Path(folder) / files[engine]).stat().st_size / 1e6, 2),
            "milliseconds": round(1000 * statistics.median(one[name]) / len(few), 3),
            "sentences_per_second": round(len(texts) / statistics.median(many[name]), 1),
            "one": ratio(one[FIRST], one[name]),
            "many": ratio(many[FIRST], many[name]),
            "f1": round(f1_of(taggers[name].tagger, sentences), 3),
            "differing": sum(
                _entities(a) != _entities(b)
                for a, b in zip(found[FIRST], found[name], strict=True)
            ),
        }
        for name, engine in SIDES.items()
    ]  # fmt: skip


def _one_by_one(tagger: TextTagger, texts: Sequence[str]) -> None:
    for text in texts:
        tagger.tag([text])


def _entities(marks: Sequence[Any]) -> list[tuple[str, int, int]]:
    return [(mark.type, mark.start, mark.stop) for mark in marks]


# --- the command -------------------------------------------------------------------------------


def add(rooms: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = rooms.add_parser(
        "onnx", help="a released tagger by PyTorch, by ONNX and in 8 bits: time, size, F1"
    )
    parser.add_argument(
        "--model", required=True, metavar="DIR", help="made by bioptimus release --onnx"
    )
    parser.add_argument(
        "--set", default="NCBI-disease", metavar="NAME",
        help="whose test sentences are read: a set by name, a folder, or pocket (NCBI-disease)",
    )  # fmt: skip
    parser.add_argument("--sentences", type=int, metavar="N", help="the first N (all)")
    parser.add_argument("--singles", type=int, default=200, metavar="N", help="one by one (200)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="(5)")
    parser.add_argument("--threads", type=int, metavar="N", help="of each (as many as torch takes)")
    options.answers(parser, EXPERIMENT)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    import torch

    check_numbers(arguments, "sentences", "singles", "rounds", "threads")
    before = torch.get_num_threads()
    torch.set_num_threads(arguments.threads or before)
    try:
        threads = torch.get_num_threads()
        sentences, file = test_of(arguments.set, progress=not arguments.quiet)
        rows = measure(
            arguments.model, sentences[: arguments.sentences], singles=arguments.singles,
            rounds=arguments.rounds, progress=not arguments.quiet,
        )  # fmt: skip
    finally:
        torch.set_num_threads(before)
    if arguments.ledger:
        to_ledger(rows, arguments, file=file, threads=threads)
    print(json.dumps(rows) if arguments.json else text(rows))
    return 0


def test_of(name: str, *, progress: bool = True) -> tuple[list[Sentence], Path | None]:
    """The test sentences of a set, and their file; the pocket set is made, and has none."""
    import tempfile

    from bioptimus_lib import ner_sets, pocket_ner
    from bioptimus_lib.conll import read_conll, split_files

    if name == "pocket":
        with tempfile.TemporaryDirectory() as temporary:
            pocket_ner.write_ner(temporary)
            return read_conll(Path(temporary) / "test.tsv"), None
    folder = Path(name) if Path(name).is_dir() else ner_sets.folder_of(name, progress=progress)
    file = split_files(folder)["test"]
    return read_conll(file), file


def text(rows: Sequence[Row]) -> str:
    """The rows as a table for a terminal."""
    lines = [f"{'':<14} {'MB':>7} {'ms, one':>9} {'per second':>11} {'F1':>7} {'other':>6}"]
    lines += [
        f"{row['engine']:<14} {row['megabytes']:7.1f} {row['milliseconds']:9.2f} "
        f"{row['sentences_per_second']:11,.0f} {row['f1']:7.2f} {row['differing']:6}"
        for row in rows
    ]
    return "\n".join([*lines, "other: sentences whose entities are not those of PyTorch"])


def to_ledger(
    rows: Sequence[Row], arguments: argparse.Namespace, *, file: Path | None, threads: int
) -> None:
    """A row for each engine."""
    from bioptimus_lib.ledger import append, provenance

    weights = sorted(Path(arguments.model).glob("*.safetensors"))
    common = {
        **provenance(data=[*filter(None, [file]), *weights], device="cpu"),
        "dataset": Path(arguments.set).name, "profile": "bench", "seed": None,
        "variant": f"{Path(arguments.model).resolve().name}, {threads} thread"
        + "s" * (threads > 1),
    }  # fmt: skip
    kept = []
    for row in rows:
        metrics = {name: value for name, value in row.items()
                   if name not in ("engine", "one", "many")}  # fmt: skip
        metrics |= {"faster_one": row["one"]["ratio"], "faster_many": row["many"]["ratio"]}
        kept.append({**common, "model": row["engine"], "metrics": metrics})
    append(EXPERIMENT, kept, file=arguments.ledger, replace=True)
