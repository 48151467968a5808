"""``bioptimus bench masking``: our masks beside those of Hugging Face's collator.

All sides mask the same rows of text, in turns. The collator gets everything that it could ask for
before the clock starts: which pieces are special, and, for whole words, where each piece stands in
its text. A side of its own shows what it costs when nobody has told it the special pieces. The
last comparison is with a training step of a small model: what masking adds to it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioptimus_lib import options
from bioptimus_lib.bench import ratio, take_turns

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bioptimus_lib.masking import PieceTable

EXPERIMENT = "bench-masking"
TOKENS, WORDS, SPANS = "masks, tokens", "masks, words", "masks, spans"
THEIR_TOKENS, THEIR_WORDS = "collator, tokens", "collator, words"
UNTOLD = "collator, tokens, special pieces not told"
STEP, OF_STEP = "training step", "its masks"
PAIRS = (
    (THEIR_TOKENS, TOKENS), (UNTOLD, TOKENS), (THEIR_WORDS, WORDS), (WORDS, TOKENS),
    (SPANS, TOKENS), (STEP, OF_STEP),
)  # fmt: skip
TURN = 0.1  # seconds that a side works in its turn, at least
CHARACTERS = 8  # per piece, more than there are: so much text fills a row


def rows_of(
    tokenizer: PreTrainedTokenizerBase, text: str, *, rows: int, length: int
) -> dict[str, torch.Tensor]:
    """Rows of a text, full if there is enough of it, with all that either side wants to know.

    Returns:
        ``input_ids`` and ``special_tokens_mask`` (B, T), ``offset_mapping`` (B, T, 2).

    Raises:
        ValueError: the text is too short.
    """
    size = length * CHARACTERS
    if len(text) < rows * size:
        raise ValueError(
            f"{len(text):,} characters are too few for {rows} rows of {length} pieces: give "
            f"{rows * size:,}, or fewer rows"
        )
    found: dict[str, torch.Tensor] = tokenizer(
        [text[n * size : (n + 1) * size] for n in range(rows)],
        truncation=True, max_length=length, padding="max_length", return_tensors="pt",
        return_offsets_mapping=True, return_special_tokens_mask=True,
        return_attention_mask=False, return_token_type_ids=False,
    )  # fmt: skip
    return found


def sides_of(
    tokenizer: PreTrainedTokenizerBase, batch: dict[str, torch.Tensor]
) -> dict[str, Callable[[], Any]]:
    """Name → one masking of the batch."""
    from transformers import DataCollatorForLanguageModeling

    from bioptimus_lib.masking import Masking, PieceTable, generator_for, mask

    pieces, ids = PieceTable.of(tokenizer), batch["input_ids"]
    special, offsets = batch["special_tokens_mask"], batch["offset_mapping"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it will replace nothing at random
        words = DataCollatorForLanguageModeling(tokenizer, whole_word_mask=True)
    tokens = DataCollatorForLanguageModeling(tokenizer)
    generator = generator_for(0)

    def ours(unit: str) -> Callable[[], Any]:
        return lambda: mask(ids, Masking(unit), pieces, generator=generator)

    return {  # the collator changes what it is given
        TOKENS: ours("token"),
        WORDS: ours("word"),
        SPANS: ours("span"),
        THEIR_TOKENS: lambda: tokens.torch_mask_tokens(ids.clone(), special_tokens_mask=special),
        UNTOLD: lambda: tokens.torch_mask_tokens(ids.clone()),
        THEIR_WORDS: lambda: words.torch_mask_tokens(
            ids.clone(), special_tokens_mask=special, offset_mapping=offsets
        ),
    }


def step_sides(
    model: PreTrainedModel, pieces: PieceTable, ids: torch.Tensor
) -> dict[str, Callable[[], Any]]:
    """A training step without its masking, and the masking: a generator and word masks."""
    import torch

    from bioptimus_lib.masking import Masking, generator_for, mask
    from bioptimus_lib.pretrain import masked_logits

    masking, step = Masking("word", 0.2), iter(range(1 << 60))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    inputs, labels = mask(ids, masking, pieces, generator=generator_for(0))
    model.train()

    def train() -> None:
        logits, target = masked_logits(model, inputs, labels)
        torch.nn.functional.cross_entropy(logits, target).backward()
        optimizer.step()
        optimizer.zero_grad()

    return {
        STEP: train,
        OF_STEP: lambda: mask(ids, masking, pieces, generator=generator_for(0, next(step))),
    }


def per_call(
    sides: dict[str, Callable[[], Any]], *, rounds: int, progress: bool = False
) -> dict[str, list[float]]:
    """Seconds of a call in each round; in its turn a side is called as often as fills ``TURN``."""
    calls = {}
    for name, side in sides.items():
        side()
        began = time.perf_counter()
        side()
        calls[name] = max(1, round(TURN / max(time.perf_counter() - began, 1e-6)))

    def often(name: str) -> Callable[[], None]:
        def turn() -> None:
            for _ in range(calls[name]):
                sides[name]()

        return turn

    took = take_turns({name: often(name) for name in sides}, rounds=rounds, progress=progress)
    return {name: [s / calls[name] for s in seconds] for name, seconds in took.items()}


# -- the command -----------------------------------------------------------------------------------


def add(rooms: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = rooms.add_parser(
        "masking", help="masks, beside Hugging Face's collator, and as a part of a training step"
    )
    parser.add_argument("--model", default="pocket-bert", help="name or folder (pocket-bert)")
    parser.add_argument("--text", metavar="PATH", help="to mask (default: pocket corpus)")
    parser.add_argument("--rows", type=int, default=64, metavar="B", help="of a batch (64)")
    parser.add_argument("--length", type=int, default=512, metavar="T", help="of a row (512)")
    parser.add_argument(
        "--step", type=int, nargs=2, default=(16, 128), metavar=("B", "T"),
        help="rows and length of the training step (16 128)",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="that are timed (15)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of torch (1)")
    options.answers(parser, EXPERIMENT)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    sizes = {"--rows": arguments.rows, "--length": arguments.length, "--step": min(arguments.step),
             "--rounds": arguments.rounds, "--threads": arguments.threads}  # fmt: skip
    for name, value in sizes.items():
        least = 3 if name == "--length" else 1
        if value < least:
            raise ValueError(f"{name} {value} is impossible: give {least} or more")
    result = compare(arguments)
    if arguments.ledger:
        to_ledger(result, file=arguments.ledger)
    print(json.dumps(result) if arguments.json else text(result))
    return 0


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a call of each side, and their ratios; arguments as of the command."""
    import torch

    from bioptimus_lib.masking import PieceTable
    from bioptimus_lib.models import load_masked_lm, place
    from bioptimus_lib.sources import model_path

    model, tokenizer = load_masked_lm(model_path(arguments.model))
    rows, length = arguments.step
    words = read_text(arguments.text, 10 * max(arguments.rows * arguments.length,
                                                       rows * length))  # fmt: skip
    batch = rows_of(tokenizer, words, rows=arguments.rows, length=arguments.length)
    part = rows_of(tokenizer, words, rows=rows, length=length)
    before = torch.get_num_threads()
    torch.set_num_threads(arguments.threads)
    options = {"rounds": arguments.rounds, "progress": not arguments.quiet}
    try:
        seconds = per_call(sides_of(tokenizer, batch), **options)
        step = step_sides(place(model, "cpu"), PieceTable.of(tokenizer), part["input_ids"])
        seconds |= per_call(step, **options)
    finally:
        torch.set_num_threads(before)
    return {
        "model": Path(arguments.model).name,
        "text": Path(arguments.text).name if arguments.text else "pocket",
        "batch": [arguments.rows, arguments.length],
        "step": [rows, length],
        "threads": arguments.threads,
        "milliseconds": {
            name: round(1e3 * statistics.median(some), 4) for name, some in seconds.items()
        },
        "ratios": {
            f"{slow} / {fast}": ratio(seconds[slow], seconds[fast]) for slow, fast in PAIRS
        },
    }


def read_text(path: str | None, characters: int) -> str:
    """So many characters of a file or folder, or of the pocket corpus; fewer if there are fewer."""
    from bioptimus_lib import pocket
    from bioptimus_lib.files import open_text
    from bioptimus_lib.records import readable_files

    with tempfile.TemporaryDirectory() as temporary:
        if path is None:
            some = Path(temporary) / "pocket"
            pocket.write_corpus(some, megabytes=1.3 * characters / 1e6)
        parts: list[str] = []
        for file in readable_files(some if path is None else path):
            with open_text(file) as lines:
                parts.append(lines.read(characters - sum(map(len, parts))))
    return " ".join(" ".join(parts).split())


def text(result: dict[str, Any]) -> str:
    """The result as a table for a terminal."""
    rows, length = result["batch"]
    lines = [f"{rows} x {length} pieces of {result['text']}, {result['threads']} threads; the "
             f"training step is of {' x '.join(map(str, result['step']))}", ""]  # fmt: skip
    lines += [f"{name:<44} {ms:10.3f} ms" for name, ms in result["milliseconds"].items()]
    lines.append("")
    for name, row in result["ratios"].items():
        lines.append(f"{name:<64} {row['ratio']:7.2f}  ({row['least']:.2f} to {row['most']:.2f})")
    share = 100 / result["ratios"][f"{STEP} / {OF_STEP}"]["ratio"]
    lines.append(f"masks are {share:.2f} % of a training step")
    return "\n".join(lines)


def to_ledger(result: dict[str, Any], *, file: str) -> None:
    """A row for each pair of sides."""
    from bioptimus_lib.ledger import append, provenance

    origin = provenance(device="cpu")
    rows = []
    for pair, found in result["ratios"].items():
        size = result["step" if pair.startswith(STEP) else "batch"]
        rows.append({
            **origin, "model": pair, "dataset": result["text"], "profile": "bench", "seed": None,
            "variant": f"{size[0]} x {size[1]}, {result['threads']} thread"
            + "s" * (result["threads"] > 1),
            "milliseconds": {n: result["milliseconds"][n] for n in pair.split(" / ")},
            "metrics": found,
        })  # fmt: skip
    append(EXPERIMENT, rows, file=file, replace=True)
