"""What ``bench scan`` works on: text as equal files, words to look for, and the plainest loop."""

from __future__ import annotations

import json
import string
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from bioptimus_lib.files import atomic_write, data_dir, open_bytes
from bioptimus_lib.pocket import write_corpus
from bioptimus_lib.records import readable_files


def plain_loop(words: list[str], files: list[Path]) -> Counter[str]:
    """Lines that hold each word, as one would write it without further thought."""
    wanted, found = set(words), Counter[str]()
    blank = str.maketrans(string.punctuation, " " * len(string.punctuation))
    for path in files:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                found.update(wanted.intersection(line.lower().translate(blank).split()))
    return found


def equal_parts(
    corpus: str | None, megabytes: float | None, parts: int, work: Path
) -> list[Path]:
    """Text in small letters as so many plain files of equal size, kept in ``work``.

    Args:
        corpus: file or folder; None makes text.
        megabytes: how much; a corpus is read again until there is as much. None: once.
    """
    sources = [] if corpus is None else readable_files(corpus)
    size = f"{megabytes:g}" if megabytes else sum(s.stat().st_size for s in sources)
    name = "pocket" if corpus is None else Path(corpus).name
    goals = [work / f"{name}-{size}-{number + 1}-of-{parts}.txt" for number in range(parts)]
    if all(goal.exists() for goal in goals):
        return goals
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work) as temporary, ExitStack() as stack:
        if corpus is None:
            if megabytes is None:
                raise ValueError("made-up text has no size of its own: say how many megabytes")
            sources = write_corpus(Path(temporary) / "all.txt", megabytes=megabytes)
        outs = [stack.enter_context(atomic_write(goal, "wb")) for goal in goals]
        written = [0] * parts
        goal = megabytes * 1e6 if corpus is not None and megabytes else 0.0
        while True:
            for source in sources:
                with open_bytes(source) as file:
                    for line in file:
                        least = written.index(min(written))
                        written[least] += outs[least].write(line.lower())
            if not 0 < sum(written) < goal:
                break
    return goals


def rare_words(counts: Counter[str], number: int) -> list[str]:
    """The most frequent words that pocket BERT's vocabulary lacks; then such as do not occur."""
    tokenizer = json.loads((data_dir() / "pocket-bert" / "tokenizer.json").read_text("utf-8"))
    known = tokenizer["model"]["vocab"]
    by_count = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    found = [w for w, _ in by_count if w not in known and w.isascii() and w.isalnum()]
    return (found + [f"unheard{n}" for n in range(number)])[:number]
