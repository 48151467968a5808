"""``bioptimus bench sentences``: splitters on traps of scientific text, and their speed.

The traps are ours, in ``data/sentence_traps.tsv``: sentences with a ``|`` at each true cut. Those
marked ``tuned`` were looked at when our own abbreviations were chosen, the others were not, so they
alone tell how the splitters do on text that nobody prepared for. Splitters other than ours need not
be installed; those that are take part.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

from bioptimus_lib import options
from bioptimus_lib.bench import ratio, take_turns
from bioptimus_lib.cleaning import clean
from bioptimus_lib.errors import DataError
from bioptimus_lib.files import data_dir
from bioptimus_lib.records import documents
from bioptimus_lib.splitting import sentences

EXPERIMENT = "sentences"
OURS = "ours"
COLUMNS = ["id", "kind", "tuned", "text"]
Split = Callable[[str], list[str]]


@dataclass(frozen=True)
class Trap:
    """A text that splitters cut wrongly: its kind, whether ours was tuned on it, its sentences."""

    id: str
    kind: str
    tuned: bool
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Score:
    """How one splitter did: right traps of each kind and share, and bytes a second.

    ``slower`` is the time that it takes for what ours does in one: median, least and most.
    """

    splitter: str
    version: str
    right: int
    traps: int
    right_tuned: int
    traps_tuned: int
    right_held_out: int
    traps_held_out: int
    megabytes_per_second: float
    slower: dict[str, float]
    kinds: dict[str, tuple[int, int]]
    wrong: tuple[str, ...]


def read_traps(path: Path | None = None) -> list[Trap]:
    """The traps of a file, by default of the one that ships.

    Raises:
        DataError: with file and line.
    """
    path = path or data_dir() / "sentence_traps.tsv"
    found: list[Trap] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        cells = line.split("\t")
        if number == 1 and cells != COLUMNS:
            raise DataError(f"expected the columns {COLUMNS}", path=path, line=number)
        if len(cells) != len(COLUMNS) or (number > 1 and cells[2] not in ("yes", "no")):
            raise DataError("expected id, kind, yes or no, and text", path=path, line=number)
        if number > 1:
            found.append(Trap(cells[0], cells[1], cells[2] == "yes", tuple(cells[3].split("|"))))
    return found


# -- splitters -------------------------------------------------------------------------------------


def _sentencex() -> Split:
    segment = import_module("sentencex").segment
    return lambda text: segment("en", text)


def _blingfire() -> Split:
    cut = import_module("blingfire").text_to_sentences
    return lambda text: cut(text).split("\n")


def _pysbd() -> Split:
    cut: Split = import_module("pysbd").Segmenter(language="en", clean=False).segment
    return cut


def _syntok() -> Split:
    process = import_module("syntok.segmenter").process
    return lambda text: [
        "".join(token.spacing + token.value for token in sentence)
        for paragraph in process(text)
        for sentence in paragraph
    ]


def _punkt() -> Split:
    cut: Split = import_module("nltk.tokenize").sent_tokenize
    cut("Is the model there? Yes.")  # LookupError if not: it is loaded apart from the package
    return cut


#: Package → what makes its splitter. Imported only here: none of them is a dependency.
SPLITTERS: dict[str, Callable[[], Split]] = {
    OURS: lambda: sentences,
    "sentencex": _sentencex,
    "blingfire": _blingfire,
    "pysbd": _pysbd,
    "syntok": _syntok,
    "nltk": _punkt,
}


def installed() -> dict[str, Split]:
    """The splitters that can be used here."""
    found = {}
    for name, make in SPLITTERS.items():
        try:
            found[name] = make()
        except (ImportError, LookupError, OSError):
            continue
    return found


def is_right(split: Split, trap: Trap) -> bool:
    """Whether all cuts of a trap are right, and no others are made."""
    found = [part.strip() for part in split(" ".join(trap.sentences))]
    return tuple(part for part in found if part) == trap.sentences


def compare(
    splitters: dict[str, Split],
    traps: Iterable[Trap],
    texts: list[str],
    *,
    rounds: int = 5,
    progress: bool = False,
) -> list[Score]:
    """Score every splitter on the traps, and time all on the same texts, in turns."""
    traps = list(traps)

    def work(split: Split) -> Callable[[], None]:
        def run() -> None:
            for text in texts:
                split(text)

        return run

    sides = {name: work(split) for name, split in splitters.items()}
    seconds = take_turns(sides, rounds=rounds, progress=progress)
    size = sum(len(text.encode()) for text in texts) / 1e6
    scores = []
    for name, split in splitters.items():
        right = {trap.id: is_right(split, trap) for trap in traps}

        def count(some: list[Trap], right: dict[str, bool] = right) -> tuple[int, int]:
            return sum(right[trap.id] for trap in some), len(some)

        tuned, held_out = ([t for t in traps if t.tuned is which] for which in (True, False))
        kinds = {kind: count([t for t in traps if t.kind == kind])
                 for kind in dict.fromkeys(t.kind for t in traps)}  # fmt: skip
        scores.append(Score(
            name, _version(name), *count(traps), *count(tuned), *count(held_out),
            round(size / sorted(seconds[name])[rounds // 2], 3),
            ratio(seconds[name], seconds[OURS]), kinds,
            tuple(trap.id for trap in traps if not right[trap.id]),
        ))  # fmt: skip
    return scores


def _version(name: str) -> str:
    try:
        return importlib.metadata.version("sentencex" if name == OURS else name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def texts_of(path: Path | None, megabytes: float) -> Iterator[str]:
    """Cleaned texts of a file or folder, or of the pocket corpus, about so many megabytes."""
    from bioptimus_lib.pocket import abstracts

    source = (" ".join(a.sentences) for a in abstracts(10**9)) if path is None else (
        clean(document.text) for document in documents(path)
    )  # fmt: skip
    room = megabytes * 1e6
    for text in source:
        if room <= 0:
            return
        room -= len(text.encode())
        yield text


# -- the command -----------------------------------------------------------------------------------


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the room."""
    parser = subparsers.add_parser(
        "sentences", help="sentence splitters: traps of scientific text, and speed"
    )
    parser.add_argument("--text", metavar="PATH", help="text to time on (default: pocket corpus)")
    parser.add_argument("--megabytes", type=float, default=1, metavar="N", help="of it (1)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="of the timing (5)")
    options.answers(parser, "sentences")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    if not arguments.megabytes > 0:
        raise ValueError(f"--megabytes {arguments.megabytes} is impossible: give more than 0")
    path = Path(arguments.text) if arguments.text else None
    scores = compare(
        installed(),
        read_traps(),
        list(texts_of(path, arguments.megabytes)),
        rounds=arguments.rounds,
        progress=not arguments.quiet,
    )
    if arguments.ledger:
        _keep(scores, path, arguments.ledger)
    print(json.dumps([asdict(s) for s in scores], indent=1) if arguments.json else table(scores))
    return 0


def table(scores: list[Score]) -> str:
    """The scores as text: a line for each splitter, then one for each kind of trap."""
    head = f"{'splitter':<12}{'tuned':>8}{'held out':>10}{'MB/s':>9}{'time':>10}"
    lines = [head] + [
        f"{s.splitter:<12}{f'{s.right_tuned}/{s.traps_tuned}':>8}"
        f"{f'{s.right_held_out}/{s.traps_held_out}':>10}{s.megabytes_per_second:>9.2f}"
        f"{s.slower['ratio']:>9.2f}x"
        for s in scores
    ]
    names = "".join(f"{s.splitter:>11}" for s in scores)
    lines += ["", f"{'right, by kind':<30}{names}"] + [
        f"{f'{kind} ({scores[0].kinds[kind][1]})':<30}"
        + "".join(f"{s.kinds[kind][0]:>11}" for s in scores)
        for kind in scores[0].kinds
    ]
    return "\n".join(lines)


def _keep(scores: list[Score], path: Path | None, file: str) -> None:
    from bioptimus_lib import ledger
    from bioptimus_lib.records import readable_files

    data = [data_dir() / "sentence_traps.tsv", *(readable_files(path) if path else ())]
    origin = ledger.provenance(data=data, device="cpu")
    metrics = ("right", "traps", "right_tuned", "traps_tuned", "right_held_out", "traps_held_out",
               "megabytes_per_second")  # fmt: skip
    ledger.append(EXPERIMENT, [
        {**origin, "model": score.splitter, "dataset": "sentence_traps", "profile": "bench",
         "seed": None, "splitter_version": score.version,
         "metrics": {name: getattr(score, name) for name in metrics}
         | {f"time_{name}": value for name, value in score.slower.items()},
         "kinds": score.kinds}
        for score in scores
    ], file=file, replace=True)  # fmt: skip
