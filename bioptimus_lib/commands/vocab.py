"""``bioptimus vocab``: train a vocabulary on a corpus and plan the change from the old one."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(subparsers: argparse._SubParsersAction) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "vocab",
        help="train a vocabulary on a corpus and compare it with an old one",
        description="Train a WordPiece vocabulary that can replace the old one, and write it with "
        "plan.json (what is kept, what is new) and keywords.txt (the words to scan for).",
    )
    parser.add_argument("--old", required=True, metavar="DIR", help="model or tokenizer to replace")
    parser.add_argument(
        "--corpus", required=True, nargs="+", metavar="PATH", help="files or folders"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the new tokenizer")
    parser.add_argument("--size", type=int, metavar="N", help="pieces; as many as before if left")
    parser.add_argument(
        "--words-per-piece", type=int, default=5, metavar="N", help="to scan for, of each new piece"
    )
    parser.add_argument(
        "--calibration-words", type=int, default=3000, metavar="N", help="known words to scan for"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes; 0 works in this one")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    from transformers import AutoTokenizer

    from bioptimus_lib import vocab
    from bioptimus_lib.files import atomic_dir
    from bioptimus_lib.scan import count_words

    if not Path(arguments.old, "tokenizer_config.json").is_file():
        raise FileNotFoundError(f"{arguments.old} holds no tokenizer (no tokenizer_config.json)")
    old = AutoTokenizer.from_pretrained(arguments.old, local_files_only=True)
    counts = count_words(
        arguments.corpus, workers=arguments.workers, progress=not arguments.quiet
    )
    new = vocab.train_wordpiece(
        counts, size=arguments.size, like=old, progress=not arguments.quiet
    )
    plan = vocab.plan_vocabulary(old, new, counts, words_per_piece=arguments.words_per_piece)
    known = vocab.calibration_words(old, counts, n=arguments.calibration_words)
    with atomic_dir(arguments.out) as folder:
        new.save_pretrained(folder)
        plan.save(folder / "plan.json")
        words = sorted({*plan.keywords(), *known})
        (folder / "keywords.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    print(plan.summary())
    before, after = vocab.fertility(old, counts), vocab.fertility(new, counts)
    print(f"pieces per word {after:.3f}, before {before:.3f}\n{arguments.out}")
    return 0
