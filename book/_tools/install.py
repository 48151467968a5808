"""Run pip and say what it is doing: a line for what is large, a sign of life every few seconds.

    python book/_tools/install.py -c constraints.txt -e '.[dev,book]'

``pip -qq`` is silent for minutes, and pip's own words are a thousand lines. Here a reader sees each
download that takes a while, with its size, then that packages are unpacked, and the seconds so far;
if pip fails, all that it said. Needs the standard library alone: nothing is installed yet.
"""

from __future__ import annotations

import compileall
import re
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

LARGE = 5.0  # MB; a smaller download is over before it is read
QUIET = 10.0  # seconds without a line after which a sign of life is given
UNITS = {"kB": 1e-3, "MB": 1.0, "GB": 1e3}
DOWNLOAD = re.compile(r"^ *(?:Downloading|Using cached) (\S+) \(([\d.]+) (kB|MB|GB)\)")


def told(lines: Iterable[str]) -> Iterator[str]:
    """Of pip's lines those worth a reader's while, in words.

    >>> list(told(["Collecting a", "  Downloading x/torch-2.11-cp311.whl.metadata (29 kB)",
    ...     "Downloading torch-2.11-cp311.whl (821.0 MB)", "Installing collected packages: a, b"]))
    ['downloading torch-2.11 (821 MB)', 'unpacking 2 packages']
    """
    for line in lines:
        if (found := DOWNLOAD.match(line)) and float(found[2]) * UNITS[found[3]] >= LARGE:
            name = "-".join(found[1].split("/")[-1].split("-")[:2])
            yield f"downloading {name} ({float(found[2]):.0f} {found[3]})"
        elif line.startswith("Installing collected packages:"):
            yield f"unpacking {line.count(',') + 1} packages"


def run(command: list[str], *, say: Callable[[str], None] = print, quiet: float = QUIET) -> int:
    """Run pip's command; its exit code. What it does is said as it happens, all if it fails."""
    began = last = time.monotonic()
    everything: list[str] = []
    collected = 0
    now = "looking for packages"
    over = threading.Event()

    def alive() -> None:
        while not over.wait(quiet / 10):
            nonlocal last
            if time.monotonic() - last >= quiet:
                last = time.monotonic()
                count = f", {collected} found" if now.startswith("looking") else ""
                say(f"  {last - began:4.0f} s  still {now}{count}")

    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    watch = threading.Thread(target=alive, daemon=True)
    watch.start()
    for line in process.stdout or ():
        everything.append(line)
        collected += line.startswith("Collecting ")
        for what in told([line.rstrip("\n")]):
            now, last = what, time.monotonic()
            say(f"  {last - began:4.0f} s  {what}")
    code = process.wait()
    over.set()
    watch.join()
    if code:
        say("".join(everything))
    else:
        say(f"  {time.monotonic() - began:4.0f} s  installed")
    return code


def compiled(folder: str | Path, *, say: Callable[[str], None] = print) -> None:
    """Compile the packages of a folder, if Python may not keep what it compiles by itself: then
    each process would compile torch and transformers once more, nine seconds on a slow core."""
    if sys.dont_write_bytecode:
        began = time.monotonic()
        compileall.compile_dir(folder, quiet=2, workers=0)  # what is in no Python of ours is left
        say(f"  {time.monotonic() - began:4.0f} s  compiled, as PYTHONDONTWRITEBYTECODE is set")


def main(arguments: list[str]) -> int:
    def say(line: str) -> None:
        print(line, flush=True)

    # Python compiles what it imports; to compile all packages takes longer than to unpack them.
    calm = ["--no-compile", "--progress-bar", "off"]
    code = run([sys.executable, "-m", "pip", "install", *calm, *arguments], say=say)
    if not code:
        compiled(sysconfig.get_path("purelib"), say=say)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
