"""``bioptimus scan``: sentences for each keyword of a list, from a large corpus."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "scan",
        help="find sentences for keywords in a corpus",
        description="One pass over a corpus that keeps some of the lines of each keyword, the same "
        "ones for any number of workers.",
    )
    parser.add_argument(
        "--corpus", required=True, nargs="+", metavar="PATH", help="files or folders"
    )
    parser.add_argument(
        "--keywords", required=True, metavar="FILE", help="one keyword a line, or joined by **"
    )
    parser.add_argument("--contexts", type=int, default=20, metavar="K", help="lines per keyword")
    parser.add_argument(
        "--sample", choices=("random", "first"), default="random",
        help="lines drawn at random, or the first ones, which is faster",
    )  # fmt: skip
    parser.add_argument(
        "--workers", type=int, metavar="N",
        help="that work at once; 0 does without (default: one per core, if the text is long)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--out", metavar="FILE", help="F.parquet, or F.json as qik-find writes it")
    parser.add_argument(
        "--keep-going", action="store_true",
        help="leave out files that are missing or broken, and name them, instead of stopping",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="tell what would be read, and stop")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    from bioptimus_lib import scan

    keywords = scan.read_keywords(arguments.keywords)
    if arguments.dry_run:
        plan = scan.plan_scan(
            arguments.corpus, workers=arguments.workers, keep_going=arguments.keep_going
        )
        print(f"{len(keywords):,} keywords; {plan}")
        return 0
    if Path(arguments.out or "").suffix not in (".json", ".parquet"):
        raise ValueError("--out needs a file that ends in .json or .parquet")
    out = Path(arguments.out)
    if out.is_dir():
        raise IsADirectoryError(f"{out} is a folder: give a file for --out")
    _try_to_write(out.parent)  # what fails here fails before the work
    found = scan.find_contexts(
        keywords,
        arguments.corpus,
        contexts=arguments.contexts,
        sample=arguments.sample,
        workers=arguments.workers,
        seed=arguments.seed,
        keep_going=arguments.keep_going,
        progress=not arguments.quiet,
    )
    found.to_json(out) if out.suffix == ".json" else found.to_parquet(out)
    print(f"{found.report}\n{out}")
    return 0


def _try_to_write(folder: Path) -> None:
    """Make the folder of the output; OSError, with its name, if nothing can be written there."""
    import tempfile

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise type(error)(f"cannot write to the folder {folder}: {error.strerror}") from None
