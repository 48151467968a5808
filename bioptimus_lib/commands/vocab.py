"""``bioptimus vocab``: train a vocabulary on a corpus and plan the change from the old one."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioptimus_lib import options

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from bioptimus_lib.vocab import VocabularyPlan

TOKENIZER_FILES = ("config.json", "tokenizer", "vocab", "special_tokens")
PLAN = "plan.json"
EXAMPLES = 12  # of each class of new pieces, the most frequent ones


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "vocab",
        help="train a vocabulary on a corpus and compare it with an old one",
        description="Train a WordPiece vocabulary that can replace the old one. The folder gets "
        "the tokenizer, plan.json (what is kept, what is new), keywords.txt (the words to scan "
        "for) and comparison.json; it appears complete or not at all. A corpus that is too small "
        "gives a smaller vocabulary and a warning; below half of the size it is an error.",
        epilog="example: bioptimus vocab --like minilm --corpus biomed --compare general "
        "NCBI-disease --out my-vocabulary",
    )
    parser.add_argument(
        "--like", "--old", required=True, metavar="MODEL",
        help="model or tokenizer to replace: a folder, or a name such as pocket-bert or minilm",
    )  # fmt: skip
    parser.add_argument(
        "--corpus", required=True, nargs="+", metavar="PATH",
        help="files or folders, or a source of text such as biomed",
    )  # fmt: skip
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the new tokenizer")
    parser.add_argument("--size", type=int, metavar="N", help="pieces; as many as before if left")
    parser.add_argument(
        "--held-out", metavar="PATTERN",
        help="files of the corpus to keep from training and to compare on, such as '*-008*'",
    )  # fmt: skip
    parser.add_argument(
        "--compare", nargs="+", default=[], metavar="TEXT",
        help="more texts to compare on: files, folders, sources of text, or NER sets (entities)",
    )  # fmt: skip
    parser.add_argument(
        "--curve", nargs="+", type=int, default=[], metavar="N",
        help="also the coverage of vocabularies of these sizes",
    )  # fmt: skip
    parser.add_argument(
        "--words-per-piece", type=int, default=5, metavar="N", help="to scan for, of each new piece"
    )
    parser.add_argument(
        "--calibration-words", type=int, default=3000, metavar="N", help="known words to scan for"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes; 0 works in this one")
    options.to_ledger(parser, "vocabulary")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    from bioptimus_lib import vocab
    from bioptimus_lib.comparison import curve
    from bioptimus_lib.files import atomic_dir, refuse_other_folders
    from bioptimus_lib.wordpiece import require_wordpiece

    refuse_other_folders(Path(arguments.out), PLAN, "vocabulary")
    old = old_tokenizer(arguments.like)
    require_wordpiece(old)
    training, held_out = _files(arguments.corpus, arguments.held_out)
    options.one_name_each(arguments.compare)
    texts = {Path(name).name: text_at(name) for name in arguments.compare}

    counts = _count(training, arguments)
    new = vocab.train_wordpiece(
        counts, size=arguments.size, like=old, progress=not arguments.quiet
    )
    plan = vocab.plan_vocabulary(old, new, counts, words_per_piece=arguments.words_per_piece)
    known = vocab.calibration_words(old, counts, n=arguments.calibration_words)

    corpus = ", ".join(Path(path).name for path in arguments.corpus)
    counted = {corpus: counts}
    rows = [{"dataset": corpus, **_change(plan, counts), "files": training}]
    rows[0]["metrics"] |= _fits(old, new, counts)
    if held_out:
        texts = {f"{corpus}, held out": held_out, **texts}
    for name, files in texts.items():
        row, counted[name] = _row_of_text(name, files, old, new, arguments)
        rows.append(row)
    if arguments.curve:
        shares = curve(counts, counted, arguments.curve)
        rows.append({
            "dataset": corpus, "variant": "coverage by size", "curve": shares,
            "metrics": {"sizes": len(arguments.curve)}, "files": training,
        })  # fmt: skip

    with atomic_dir(arguments.out) as folder:
        new.save_pretrained(folder)
        plan.save(folder / PLAN)
        words = sorted({*plan.keywords(), *known})
        (folder / "keywords.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
        told = [{k: v for k, v in row.items() if k != "files"} for row in rows]
        (folder / "comparison.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
    print(plan.summary())
    print("pieces per word, before and after; words that are one piece, before and after")
    for row in rows:
        if "new_fertility" in (found := row["metrics"]):
            print(
                f"  {row['dataset']:<24} {found['old_fertility']:.3f}  "
                f"{found['new_fertility']:.3f}   {found['old_coverage']:.1%}  "
                f"{found['new_coverage']:.1%}"
            )
    print(arguments.out)
    if arguments.ledger:
        _record(rows, arguments, len(new))
    return 0


# -- what comes in --------------------------------------------------------------------------------


def old_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or of a model of the sources, without the model's weights.

    Raises:
        FileNotFoundError: no such folder, or no tokenizer in it.
    """
    from transformers import AutoTokenizer

    from bioptimus_lib import sources
    from bioptimus_lib.files import data_dir
    from bioptimus_lib.source_table import table

    row = table().get(name)
    if row is not None and row.kind == "model":
        files = [f.name for f in row.files if f.name.startswith(TOKENIZER_FILES)]
        folder = sources.fetch(name, files=files)
    else:
        folder = data_dir() / name if name == sources.POCKET_BERT else Path(name)
    if not (folder / "tokenizer_config.json").is_file():
        raise FileNotFoundError(f"{folder} holds no tokenizer (no tokenizer_config.json)")
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def text_at(name: str) -> list[Path]:
    """The files of a text: a source of text, a NER set, or files of one's own.

    Raises:
        FileNotFoundError: no such source or file.
    """
    from bioptimus_lib import sources
    from bioptimus_lib.conll import split_files
    from bioptimus_lib.records import readable_files
    from bioptimus_lib.source_table import table

    row = table().get(name)
    if row is not None and row.kind in ("corpus", "ner"):
        folder = sources.fetch(name)
        return list(split_files(folder).values()) if row.kind == "ner" else readable_files(folder)
    if Path(name).is_dir() and (Path(name) / "train.tsv").is_file():
        return list(split_files(name).values())
    return readable_files(name)


def _files(corpus: Sequence[str], held_out: str | None) -> tuple[list[Path], list[Path]]:
    """The files to train on, and those to compare on."""
    files = list(dict.fromkeys(file for name in corpus for file in text_at(name)))
    kept = [file for file in files if held_out and fnmatch(file.name, held_out)]
    if held_out and not kept:
        raise ValueError(f"--held-out {held_out!r} fits no file of the corpus")
    if len(kept) == len(files):
        raise ValueError(f"--held-out {held_out!r} fits all files: nothing is left to train on")
    return [file for file in files if file not in kept], kept


def _count(files: Sequence[Path], arguments: argparse.Namespace) -> Mapping[str, int]:
    from bioptimus_lib.scan import count_words

    return count_words(files, workers=arguments.workers, progress=not arguments.quiet)


# -- what is told ---------------------------------------------------------------------------------


def _change(plan: VocabularyPlan, counts: Mapping[str, int]) -> dict[str, Any]:
    """What the plan says of the whole vocabulary, and of each class of pieces."""
    from bioptimus_lib.word_classes import by_class
    from bioptimus_lib.wordstats import general_words

    often = sorted(plan.new, key=lambda i: (-plan.frequency[i], i))
    fresh = [plan.new_pieces[i] for i in often]
    groups = {
        "new": fresh,
        "dropped": [plan.old_pieces[i] for i in plan.dropped],
        "general": list(general_words().counts),
    }
    shares = {name: by_class(pieces) for name, pieces in groups.items()}
    return {
        "metrics": {
            "old_pieces": len(plan.old_pieces),
            "new_pieces": len(plan.new_pieces),
            "kept": len(plan.shared),
            "new": len(fresh),
            "new_inside": sum(piece.startswith("##") for piece in fresh),
            "without_word": sum(not plan.words.get(piece) for piece in fresh),
            "keywords": len(plan.keywords()),
            "different_words": len(counts),
        },
        "classes": {
            name: {group: len(found[name]) for group, found in shares.items()}
            for name in shares["new"]
        },
        "examples": {name: found[:EXAMPLES] for name, found in shares["new"].items()}
        | {"inside a word": [p for p in fresh if p.startswith("##") and len(p) > 5][:EXAMPLES]},
    }


def _fits(old: Any, new: Any, counts: Mapping[str, int]) -> dict[str, float]:
    from bioptimus_lib.comparison import fit

    found: dict[str, float] = {}
    for name, tokenizer in (("old", old), ("new", new)):
        one = fit(tokenizer, counts)
        found["words"] = one.words
        found[f"{name}_fertility"] = round(one.fertility, 5)
        found[f"{name}_coverage"] = round(one.coverage, 5)
        found[f"{name}_unknown"] = one.unknown
    return found


def _row_of_text(
    name: str, files: Sequence[Path], old: Any, new: Any, arguments: argparse.Namespace
) -> tuple[dict[str, Any], Mapping[str, int]]:
    """A row for a text, and its words: for a NER set those of its entities."""
    from bioptimus_lib.comparison import in_words, saving
    from bioptimus_lib.conll import mentions, read_conll
    from bioptimus_lib.records import documents

    if files[0].suffix == ".tsv":
        found = [text for file in files for text in mentions(read_conll(file))]
        counts: Mapping[str, int] = in_words(found)
        metrics: dict[str, float] = {"mentions": len(found)}
    else:
        counts = _count(files, arguments)
        metrics = saving(old, new, (d.text for file in files for d in documents(file)))
    metrics |= _fits(old, new, counts)
    return {"dataset": name, "metrics": metrics, "files": files}, counts


def _record(rows: list[dict[str, Any]], arguments: argparse.Namespace, size: int) -> None:
    from bioptimus_lib import ledger

    added = []
    for row in rows:
        made = ledger.provenance(data=row.pop("files"), device="cpu")
        variant = ", ".join(filter(None, (f"{size} pieces", row.pop("variant", None))))
        names = {"model": Path(arguments.like).name, "profile": "any", "seed": None}
        added.append({**names, "variant": variant, **row, **made})
    print(ledger.append("vocabulary", added, file=arguments.ledger, replace=True).name)
