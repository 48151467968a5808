"""``bioptimus tag``: mark the entities in a text."""

from __future__ import annotations

import argparse
import gzip
import io
import logging
import os
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from bioptimus_lib import options
from bioptimus_lib.commands.fine_tuning import check_numbers
from bioptimus_lib.errors import DataError

if TYPE_CHECKING:

    from bioptimus_lib.tagging import Line

log = logging.getLogger(__name__)
FORMATS = ("plain", "jsonl", "brat", "html")  # of ``markup``, whose import would load torch
ENGINES = ("torch", "onnx", "int8")  # of ``tagging``, for the same reason
LOST = "\ufffd"  # what stands for bytes that are no UTF-8


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "tag",
        help="mark the entities in a text: plain, JSON lines, BRAT standoff, or a coloured page",
        description="Cut a text into sentences, tag them, and tell each entity by its characters "
        "in the text as it is (UTF-8; what is none becomes U+FFFD). The text "
        "is read and written block by block, so it may be of any length; a line of more than a "
        "million characters is taken in parts. The rate is told on standard error.",
    )
    parser.add_argument("file", metavar="FILE", help=".txt or .gz; - for standard input")
    parser.add_argument(
        "--model", required=True, metavar="DIR",
        help="a fine-tuned tagger: a release, or what 'bioptimus ner --save-model' kept",
    )  # fmt: skip
    parser.add_argument(
        "--format", choices=FORMATS, default="plain",
        help="plain: [text](Type) in the text; jsonl: an object a line; brat: standoff; html: a "
        "page in colours (plain)",
    )  # fmt: skip
    parser.add_argument(
        "--out", metavar="FILE", help="a file that appears whole (default: standard output)"
    )
    parser.add_argument(
        "--each", action="store_true",
        help="the best tag of each word, valid or not, as Transformers' pipeline has it (default: "
        "the best valid sequence)",
    )  # fmt: skip
    parser.add_argument(
        "--precision", choices=("auto", "fp32", "bf16", "fp16"), default="fp32",
        help="auto: what the device does fast; some answers may then differ (fp32)",
    )  # fmt: skip
    parser.add_argument(
        "--engine", choices=ENGINES, default="torch",
        help="onnx, or int8: the files of a release that was made with --onnx, on the CPU (torch)",
    )  # fmt: skip
    parser.add_argument("--batch-tokens", type=int, metavar="N", help="a fourth of a batch")
    parser.add_argument("--max-length", type=int, metavar="N", help="window in pieces")
    parser.add_argument("--threads", type=int, metavar="N", help="of torch (as many as it takes)")
    options.device(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no rate")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it: marked text on standard output or in a file, the rate on standard error."""
    check_numbers(arguments, {"batch_tokens": 1, "max_length": 3, "threads": 1})
    if arguments.file != "-" and not Path(arguments.file).is_file():
        raise FileNotFoundError(f"no file {arguments.file}; - stands for standard input")
    if arguments.out and not Path(arguments.out).absolute().parent.is_dir():
        raise FileNotFoundError(f"--out {arguments.out}: there is no such folder")
    if arguments.out and Path(arguments.out).is_dir():
        raise IsADirectoryError(f"--out {arguments.out} is a folder: name a file in it")
    import torch

    from bioptimus_lib.markup import FORMATS as ways
    from bioptimus_lib.tagging import load_text_tagger, read_lines

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    wanted = {name: getattr(arguments, name) for name in ("batch_tokens", "max_length")}
    gpu = torch.cuda.is_available() and arguments.engine == "torch"
    tagger = load_text_tagger(
        arguments.model, engine=arguments.engine,
        device=arguments.device or ("cuda" if gpu else "cpu"),
        precision=arguments.precision, constrained=not arguments.each,
        **{name: value for name, value in wanted.items() if value is not None},
    )  # fmt: skip
    types = sorted({label[2:] for label in tagger.tagger.labels if label != "O"})
    began, lost = time.perf_counter(), 0

    def counted(lines: Iterator[Line]) -> Iterator[Line]:
        nonlocal lost
        for line in lines:
            lost += line.text.count(LOST)
            yield line

    with source(arguments.file, quiet=arguments.quiet) as text, target(arguments.out) as write:
        lines = tagger.tag_lines(counted(read_lines(text)))
        try:
            for some in ways[arguments.format](lines, types):
                write(some)
        except (EOFError, zlib.error) as error:
            raise DataError(f"broken gzip ({error})", path=arguments.file) from None
    if lost:
        log.warning("%d characters are U+FFFD: is the text UTF-8?", lost)
    if not arguments.quiet:
        print(rate(tagger.counts, time.perf_counter() - began), file=sys.stderr)
    return 0


def rate(counts: dict[str, int], seconds: float) -> str:
    """What was done, and how fast, in a line."""
    done = ", ".join(f"{counts[name]:,} {name}" for name in ("lines", "sentences", "entities"))
    speed = ", ".join(f"{counts[name] / seconds:,.0f} {name}/s" for name in ("sentences", "pieces"))
    return f"{done} in {seconds:.1f} s: {speed}"


@contextmanager
def source(name: str, *, quiet: bool) -> Iterator[IO[str]]:
    """A text to read, with a progress bar of the bytes that are read."""
    from tqdm.auto import tqdm

    raw = sys.stdin.buffer if name == "-" else open(name, "rb")
    size = None if name == "-" else os.path.getsize(name)
    with tqdm(total=size, unit="B", unit_scale=True, desc="tag", disable=quiet) as bar:
        watched: IO[bytes] | gzip.GzipFile = io.BufferedReader(_Watched(raw, bar.update))
        if name.endswith(".gz"):
            watched = gzip.open(watched)
        # Lines end at \n alone, and every character is kept: offsets are those of the text.
        text = io.TextIOWrapper(watched, encoding="utf-8", errors="replace", newline="\n")
        try:
            yield text
        finally:
            text.detach()
            if name != "-":
                raw.close()


class _Watched(io.RawIOBase):
    """A file whose reading is told."""

    def __init__(self, file: IO[bytes], tell: Callable[[int], object]) -> None:
        self.file, self.told = file, tell

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        room = memoryview(buffer)
        read = getattr(self.file, "read1", self.file.read)
        some: bytes = read(len(room))
        room[: len(some)] = some
        self.told(len(some))
        return len(some)


@contextmanager
def target(name: str | None) -> Iterator[Callable[[str], object]]:
    """A function that writes: to a file that appears whole, or to standard output, each line at
    once, past all buffers: a process that is killed has written whole lines."""
    from bioptimus_lib.files import atomic_write

    if name is not None:
        with atomic_write(name) as file:
            yield file.write
        return
    sys.stdout.flush()
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:  # a notebook's
        yield sys.stdout.write
        return
    raw = getattr(buffer, "raw", buffer)

    def write(text: str) -> None:
        rest = memoryview(text.encode())
        while rest:
            rest = rest[raw.write(rest) or 0 :]

    yield write
