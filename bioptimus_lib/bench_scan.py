"""The scan beside other ways to find many words in much text; see ``bioptimus bench scan``.

ripgrep is tuned as far as we know how: text in small letters, fixed strings as whole words, no
Unicode tables, only the matches, as many threads as we have processes and a file for each, and of
several ways to print the one that is fastest here. It tells every match and nothing else; we also
count lines, draw contexts at random and write them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bioptimus_lib import options
from bioptimus_lib.bench import ratio, take_turns
from bioptimus_lib.bench_text import equal_parts, plain_loop, rare_words

Side = Callable[[], Any]

OURS, FIRST, ALONE = "scan", "scan, first lines", "scan, one worker"
HERE = "scan, first lines, no worker"
RIPGREP, LOOP, WC = "ripgrep", "Python loop", "wc -w"
PAIRS = (
    (RIPGREP, OURS), (RIPGREP, FIRST), (WC, HERE), (WC, FIRST), (LOOP, OURS), (ALONE, OURS),
)  # fmt: skip
PRINTS = ((), ("-N", "-I", "--no-heading"))  # ways in which ripgrep can print
SMALL = 22_000_000  # bytes at which starting processes weighs about as much as scanning
GROWTH = (1_000, 10_000, 100_000)  # keywords
#: Run in a process of its own: what it prints is its peak memory and the size of what it kept.
MEMORY = """
import json, sys
from bioptimus_lib.machine import peak_memory
from bioptimus_lib.scan import find_contexts
words, files, contexts, workers = json.load(sys.stdin)
found = find_contexts(words, files, contexts=contexts, workers=workers)
print(peak_memory(), sum(len(line.encode()) for lines in found.values() for line in lines))
"""


def add(rooms: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = rooms.add_parser("scan", help="finding keywords, beside ripgrep, wc -w, plain Python")
    parser.add_argument(
        "--corpus", metavar="PATH", help="text to scan (default: generated, see --megabytes)"
    )
    parser.add_argument(
        "--megabytes", type=float, metavar="MB",
        help="of text (default: 400 if generated, else the corpus once); a corpus is repeated",
    )  # fmt: skip
    parser.add_argument("--keywords", type=int, default=10_000, metavar="N", help="how many words")
    parser.add_argument("--contexts", type=int, default=20, metavar="K", help="lines per keyword")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="that are timed")
    parser.add_argument("--ripgrep", metavar="FILE", help="rg, if not that of PATH")
    parser.add_argument(
        "--full", action="store_true",
        help="also: growth with keywords and workers, a small corpus, memory, start-up",
    )  # fmt: skip
    parser.add_argument("--work", default="runs/bench", metavar="DIR", help="keeps the text")
    options.answers(parser, "bench-scan")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    if arguments.corpus is None and arguments.megabytes is None:
        arguments.megabytes = 400
    for name in ("megabytes", "keywords", "contexts", "workers", "rounds"):
        value = getattr(arguments, name)
        if value is not None and value <= 0:
            raise ValueError(f"--{name} {value} is impossible: give more than 0")
    result = compare(arguments)
    if arguments.ledger:
        to_ledger(result, file=arguments.ledger)
    print(json.dumps(result) if arguments.json else text(result))
    return 0


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds of all sides that can run here, and their ratios; arguments as of the command.

    Raises:
        FileNotFoundError: no such corpus, or the ripgrep that was given is not there.
    """
    from bioptimus_lib.counting import count_words

    bar = not arguments.quiet
    ripgrep = _ripgrep(arguments.ripgrep)
    work = Path(arguments.work)
    files = equal_parts(arguments.corpus, arguments.megabytes, arguments.workers, work)
    counts = count_words(files, workers=arguments.workers, progress=bar)
    words = rare_words(counts, arguments.keywords)
    result: dict[str, Any] = {
        "corpus": "pocket" if arguments.corpus is None else Path(arguments.corpus).name,
        "bytes": sum(file.stat().st_size for file in files),
        "keywords": len(words),
        "hits": sum(counts[word] for word in words),
        "contexts": arguments.contexts,
        "workers": arguments.workers,
        "ripgrep": None,
    }
    with tempfile.TemporaryDirectory(dir=work) as temporary:
        bench = _Bench(arguments, Path(temporary))
        sides = bench.sides(files, words)
        if ripgrep:
            sides[RIPGREP], result["ripgrep"] = bench.ripgrep(ripgrep, files, words)
        seconds = take_turns(sides, rounds=arguments.rounds, progress=bar)
        if arguments.full:
            result |= bench.growth(files, counts)
    result["seconds"] = _rounded(seconds)
    result["ratios"] = {
        f"{slow} / {fast}": ratio(seconds[slow], seconds[fast])
        for slow, fast in PAIRS
        if slow in seconds and fast in seconds
    } | result.pop("ratios", {})
    return result


class _Bench:
    """The sides; each writes what it finds into ``folder``."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.folder, self.contexts, self.workers = folder, arguments.contexts, arguments.workers
        self.rounds, self.progress = arguments.rounds, not arguments.quiet

    def scan(self, words: list[str], files: list[Path], **options: Any) -> Side:
        from bioptimus_lib.scan import find_contexts

        def scan() -> None:
            found = find_contexts(words, files, contexts=self.contexts, **options)
            found.to_parquet(self.folder / "contexts.parquet")

        return scan

    def program(self, command: list[str], out: str) -> Side:
        def call() -> None:
            with open(out, "wb") as file:
                subprocess.run(command, stdout=file, check=True)

        return call

    def sides(self, files: list[Path], words: list[str]) -> dict[str, Side]:
        """All but ripgrep."""
        sides = {
            OURS: self.scan(words, files, workers=self.workers),
            FIRST: self.scan(words, files, workers=self.workers, sample="first"),
            ALONE: self.scan(words, files, workers=1),
            HERE: self.scan(words, files, workers=0, sample="first"),
            LOOP: lambda: plain_loop(words, files),
        }
        if shutil.which("wc"):
            sides[WC] = self.program(["wc", "-w", *map(str, files)], str(self.folder / "wc.txt"))
        return sides

    def ripgrep(self, rg: str, files: list[Path], words: list[str]) -> tuple[Side, dict[str, str]]:
        """ripgrep with the way to print that is fastest, and what it is."""
        from bioptimus_lib.scan_steps import best_of

        (self.folder / "words.txt").write_text("\n".join(words) + "\n")
        best: tuple[float, Side] | None = None
        fact: dict[str, str] = {}
        for way in PRINTS:
            for out in ("file", "null"):
                flags = ["-o", "-w", "-F", "--no-unicode", f"-j{self.workers}", *way]
                command = [rg, *flags, "-f", str(self.folder / "words.txt"), *map(str, files)]
                goal = "/dev/null" if out == "null" else str(self.folder / "rg.txt")
                side = self.program(command, goal)
                took = best_of(side, repeats=2)
                if best is None or took < best[0]:
                    best, fact = (took, side), {"options": " ".join(flags), "output": out}
        version = subprocess.run([rg, "--version"], capture_output=True, text=True, check=True)
        assert best is not None  # PRINTS is not empty
        return best[1], {"version": version.stdout.split("\n")[0], **fact}

    def growth(self, files: list[Path], counts: Counter[str]) -> dict[str, Any]:
        """What more keywords, more workers, less text cost; memory in megabytes; start-up."""
        lists = {number: rare_words(counts, number) for number in GROWTH}
        by_keywords = {
            f"{number} keywords": self.scan(words, files, workers=self.workers)
            for number, words in lists.items()
        }
        words = lists[GROWTH[1]]
        by_workers = {
            f"{number} workers": self.scan(words, files, workers=number)
            for number in sorted({0, 1, 2, self.workers})
        }
        part = self.folder / "part.txt"
        with open(files[0], "rb") as file:
            part.write_bytes(file.read(SMALL) + file.readline())
        tiny = self.folder / "tiny.txt"
        tiny.write_text("a small text\n")
        small = {
            "small, scan": self.scan(words, [part], workers=self.workers),
            "small, Python loop": lambda: plain_loop(words, [part]),
            "start-up of two workers": self.scan(["text"], [tiny], workers=2),
            "start-up of the command": lambda: self._memory(["text"], [tiny], 2),
        }
        took: dict[str, list[float]] = {}
        for sides in (by_keywords, by_workers, small):
            took |= take_turns(sides, rounds=self.rounds, progress=self.progress)
        first, last = (f"{number} keywords" for number in (GROWTH[0], GROWTH[-1]))
        sizes = {
            f"{sum(f.stat().st_size for f in some) / 1e6:.0f} MB": some
            for some in ([part], files[:1], files)
        }
        return {
            "growth": _rounded(took),
            "memory": {name: self._memory(words, some, 2) for name, some in sizes.items()},
            "ratios": {
                f"{last} / {first}": ratio(took[last], took[first]),
                "1 workers / 2 workers": ratio(took["1 workers"], took["2 workers"]),
                "small: Python loop / scan": ratio(
                    took["small, Python loop"], took["small, scan"]
                ),
            },
        }

    def _memory(self, words: list[str], files: list[Path], workers: int) -> dict[str, float]:
        """Peak memory of a scan in a fresh process, and the size of the contexts in it."""
        task = json.dumps([words, [str(file) for file in files], self.contexts, workers])
        done = subprocess.run(
            [sys.executable, "-c", MEMORY], input=task, capture_output=True, text=True, check=True
        )
        peak, contexts = (round(float(number) / 1e6, 1) for number in done.stdout.split())
        return {"peak": peak, "contexts": contexts}


def _rounded(seconds: dict[str, list[float]]) -> dict[str, list[float]]:
    return {name: [round(value, 3) for value in took] for name, took in seconds.items()}


def _ripgrep(given: str | None) -> str | None:
    """The program, if there is one."""
    if given is not None and not Path(given).is_file():
        raise FileNotFoundError(f"no ripgrep at {given}")
    return given or shutil.which("rg")


def text(result: dict[str, Any]) -> str:
    """The result as a table for a terminal."""
    size = result["bytes"] / 1e6
    rg = result["ripgrep"]
    lines = [
        f"{size:.0f} MB of {result['corpus']}, {result['keywords']:,} keywords, "
        f"{result['hits']:,} hits, {result['workers']} processes",
        f"{rg['version']}: {rg['options']}, output to {rg['output']}" if rg
        else "ripgrep is left out: there is none; see --ripgrep",
        "",
    ]  # fmt: skip
    for name, seconds in result["seconds"].items():
        middle = statistics.median(seconds)
        lines.append(f"{name:<34} {middle:8.2f} s {size / middle:8.0f} MB/s")
    for name, seconds in result.get("growth", {}).items():
        lines.append(f"{name:<34} {statistics.median(seconds):8.2f} s")
    for name, row in result.get("memory", {}).items():
        sizes = f"{row['peak']:.0f} MB at most, {row['contexts']:.0f} MB of them contexts"
        lines.append(f"{'memory at ' + name:<34} {sizes}")
    lines.append("")
    for name, row in result["ratios"].items():
        lines.append(f"{name:<44} {row['ratio']:6.2f}  ({row['least']:.2f} to {row['most']:.2f})")
    return "\n".join(lines)


def to_ledger(result: dict[str, Any], *, file: str) -> None:
    """A row for each pair of sides, and one for the memory."""
    from bioptimus_lib.ledger import append, provenance

    facts = {key: result[key] for key in ("bytes", "keywords", "hits", "contexts", "workers")}
    common = {
        "dataset": result["corpus"],
        "profile": "any",
        "seed": None,
        "ripgrep": result["ripgrep"] and result["ripgrep"]["version"],
        **facts,
        **provenance(device="cpu"),
    }
    found = {**result["ratios"], **{
        f"memory at {name}": row for name, row in result.get("memory", {}).items()
    }}  # fmt: skip
    rows = []
    for name, row in found.items():
        megabytes = (SMALL if name.startswith("small:") else result["bytes"]) / 1e6
        variant = f"{megabytes:.0f} MB, {result['keywords']} keywords"
        rows.append({"model": name, "variant": variant, "metrics": row, **common})
    append("bench-scan", rows, file=file, replace=True)
