"""``bioptimus bench pretrain``: a step of training beside that of the stock ``Trainer``.

The stock step masks in the collator and computes the logits of all positions. It is given the same
packed blocks, or one sentence per row, padded to the longest of its batch. Each side advances a
training of its own by some steps, in turns. Pieces that are padding do not count.
``bench_learning`` asks what speed alone does not tell.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioptimus_lib import options
from bioptimus_lib.bench import ratio, take_turns

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer

EXPERIMENT = "bench-pretrain"
RATE = 0.15
#: name: layers, hidden units, heads; all have four times as many units between.
SHAPES: dict[str, tuple[int, int, int]] = {
    "pocket": (4, 256, 4), "minilm": (6, 384, 12), "bert-base": (12, 768, 12),
}  # fmt: skip
VOCABULARIES = (30_522, 8_192)
SIDES = ("ours", "dense", "rows")
#: Dense matrix products a second in 16 bits, without sparsity, from NVIDIA's data sheets.
PEAKS = {
    "H200": 989e12, "H100 PCIe": 756e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12,
    "L4": 121e12, "A10": 125e12, "V100": 125e12, "T4": 65e12,
}  # fmt: skip


@dataclass(frozen=True)
class Text:
    """The same sentences in two forms.

    Attributes:
        blocks: packed, (N, T).
        rows: one sentence each, with ``[CLS]`` and ``[SEP]``, cut at T pieces.
        tokenizer: of both.
    """

    blocks: np.ndarray
    rows: list[list[int]]
    tokenizer: PreTrainedTokenizerBase

    def rows_for(self, pieces: int) -> int:
        """How many rows have so many pieces, on average."""
        return max(1, round(pieces * len(self.rows) / sum(map(len, self.rows))))


def sentences_of(path: Path | None, megabytes: float) -> list[list[str]]:
    """Documents as lists of their sentences."""
    from bioptimus_lib import pocket
    from bioptimus_lib.cleaning import clean
    from bioptimus_lib.records import documents
    from bioptimus_lib.splitting import sentences

    source = (list(a.sentences) for a in pocket.abstracts(10**9)) if path is None else (
        sentences(clean(document.text)) for document in documents(path)
    )  # fmt: skip
    found, room = [], megabytes * 1e6
    for document in source:
        if room <= 0:
            break
        if document:
            found.append(document)
            room -= sum(len(sentence.encode()) for sentence in document)
    return found


def text_of(
    documents: Sequence[Sequence[str]], tokenizer: PreTrainedTokenizerBase, length: int
) -> Text:
    """The sentences of documents, packed and as rows."""
    from bioptimus_lib.packing import pack

    blocks = pack((" ".join(document) for document in documents), tokenizer, length=length)
    rows = tokenizer(
        list(chain.from_iterable(documents)), truncation=True, max_length=length,
        return_attention_mask=False, return_token_type_ids=False,
    )["input_ids"]  # fmt: skip
    return Text(blocks, rows, tokenizer)


def tokenizer_of(
    documents: Sequence[Sequence[str]], vocabulary: int
) -> PreTrainedTokenizerBase:
    """A tokenizer of so many pieces, learned from the text; of a text that is too small for half of
    them that of pocket BERT, since a step costs what the model's rows cost, used or not."""
    from transformers import AutoTokenizer

    from bioptimus_lib.sources import model_path
    from bioptimus_lib.wordpiece import train_wordpiece

    try:
        return train_wordpiece(chain.from_iterable(documents), size=vocabulary)
    except ValueError:
        return AutoTokenizer.from_pretrained(model_path("pocket-bert"), local_files_only=True)


def random_model(shape: str, vocabulary: int, length: int, *, seed: int = 0) -> PreTrainedModel:
    """A BERT of one of ``SHAPES`` with random weights."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    layers, hidden, heads = SHAPES[shape]
    torch.manual_seed(seed)
    return BertForMaskedLM(BertConfig(
        vocab_size=vocabulary, hidden_size=hidden, num_hidden_layers=layers,
        num_attention_heads=heads, intermediate_size=4 * hidden, max_position_embeddings=length,
    ))  # fmt: skip


class Side:
    """A training that is advanced some steps at a time, by what ``Trainer`` does in a step.

    Args:
        name: ``ours``; ``dense``, the stock step on packed blocks; ``rows``, on single sentences.
        model: is trained in place.
        batch: packed blocks per step; rows are as many as have so many pieces.
        precision: ``fp32``, ``bf16`` or ``fp16``.
    """

    def __init__(
        self, name: str, model: PreTrainedModel, text: Text, *, batch: int, precision: str,
        device: str, out: Path, steps: int = 100_000, learning_rate: float = 5e-4,
    ) -> None:  # fmt: skip
        if name not in SIDES:
            raise ValueError(f"side {name!r} is unknown: choose one of {SIDES}")
        pieces = batch * text.blocks.shape[1]
        self.trainer = make_trainer(
            name, model, text, out, device,
            batch=text.rows_for(pieces) if name == "rows" else batch, steps=steps,
            precision=precision, learning_rate=learning_rate,
        )  # fmt: skip
        self.trainer.current_gradient_accumulation_steps = 1
        self.trainer.create_optimizer_and_scheduler(steps)
        prepared = self.trainer.accelerator.prepare(self.trainer.model, self.trainer.optimizer)
        self.model, self.trainer.optimizer = prepared
        self.batches: Any = iter(())
        self.pieces = pieces if name == "ours" else None
        self.counts: list[int] = []
        self.losses: list[float] = []

    def advance(self, steps: int) -> None:
        """Some steps; ``counts`` grows by their pieces, ``losses`` by the last loss."""
        import torch

        trainer, count = self.trainer, 0
        assert trainer.optimizer is not None and trainer.lr_scheduler is not None
        for _ in range(steps):
            inputs = next(self.batches, None)
            if inputs is None:
                self.batches = iter(trainer.get_train_dataloader())
                inputs = next(self.batches)
            count += self.pieces or int(inputs["attention_mask"].sum())
            loss = trainer.training_step(self.model, inputs)
            trainer.accelerator.clip_grad_norm_(self.model.parameters(), 1.0)
            trainer.optimizer.step()
            trainer.lr_scheduler.step()
            self.model.zero_grad()
            trainer.state.global_step += 1
        if trainer.args.device.type == "cuda":
            torch.cuda.synchronize()
        self.counts.append(count)
        self.losses.append(float(loss))


def make_trainer(
    name: str, model: PreTrainedModel, text: Text, out: Path, device: str, **settings: Any
) -> Trainer:
    """The ``Trainer`` of a side; all have the same optimiser and schedule."""
    from transformers import DataCollatorForLanguageModeling, Trainer

    from bioptimus_lib.masked_trainer import MaskedTrainer
    from bioptimus_lib.masking import Masking
    from bioptimus_lib.models import place
    from bioptimus_lib.pretrain import Settings, arguments_of, set_dropout

    args = arguments_of(Settings(**settings), out, device)
    set_dropout(model, 0.0)
    if name == "ours":
        place(model, args.device)
        return MaskedTrainer(
            model=model, args=args, blocks=text.blocks, tokenizer=text.tokenizer,
            masking=Masking("token", RATE, corruption=True),
        )  # fmt: skip
    rows = text.rows if name == "rows" else text.blocks.tolist()
    return Trainer(
        model=model, args=args, train_dataset=[{"input_ids": row} for row in rows],
        data_collator=DataCollatorForLanguageModeling(text.tokenizer, mlm_probability=RATE),
    )  # fmt: skip


def compare(
    sides: Mapping[str, Side], *, steps: int, rounds: int, progress: bool = False
) -> dict[str, list[float]]:
    """Seconds per million pieces of each side in each round."""

    def work(side: Side) -> Callable[[], None]:
        return lambda: side.advance(steps)

    seconds = take_turns(
        {name: work(side) for name, side in sides.items()}, rounds=rounds, progress=progress
    )
    return {
        name: [1e6 * s / n for s, n in zip(some, sides[name].counts[-rounds:], strict=True)]
        for name, some in seconds.items()
    }


def measure(
    shape: str, text: Text, vocabulary: int, *, batch: int, steps: int, rounds: int,
    precisions: Sequence[str], device: str, progress: bool = False,
) -> dict[str, float]:  # fmt: skip
    """Times of all sides on one text, as ``ratios`` tells them; single sentences are not packed in
    any precision but the first."""
    import copy

    length = text.blocks.shape[1]
    model = random_model(shape, vocabulary, length)
    with tempfile.TemporaryDirectory() as temporary:
        sides = {
            f"{name} {kind}": Side(
                name, copy.deepcopy(model), text, batch=batch, precision=kind, device=device,
                out=Path(temporary),
            )
            for kind in precisions for name in SIDES
            if name != "rows" or kind == precisions[0]
        }  # fmt: skip
        times = compare(sides, steps=steps, rounds=rounds, progress=progress)
    found = ratios(times, precisions)
    if peak := peak_of(device):
        work = useful_flops(shape, vocabulary, length)
        for name, some in times.items():
            mid = sorted(some)[len(some) // 2]
            found[f"{name} mfu"] = round(work * 1e6 / mid / peak, 4)
    return found


def ratios(times: Mapping[str, list[float]], precisions: Sequence[str]) -> dict[str, float]:
    """Pieces a second of each side, and how many times those of the others ours has.

    The stock side is taken in the first precision, which is what it does unless it is told
    otherwise, and in that of ours.
    """
    found: dict[str, float] = {}
    for name, some in times.items():
        found[f"{name} tokens/s"] = round(1e6 / sorted(some)[len(some) // 2])
    for kind in precisions:
        for other in dict.fromkeys((f"dense {precisions[0]}", f"dense {kind}",
                                    f"rows {precisions[0]}")):  # fmt: skip
            if other in times:
                for name, value in ratio(times[other], times[f"ours {kind}"]).items():
                    found[f"ours {kind} / {other}" + f" {name}" * (name != "ratio")] = value
    return found


def useful_flops(shape: str, vocabulary: int, length: int) -> float:
    """Floating-point operations that a step needs for each piece, at least.

    Two for each weight and piece in a product, forward, and twice that backward; attention has two
    products of T pieces. The output layer is needed where there is something to guess. This is
    what MFU counts (Chowdhery et al., 2022, appendix B), so work done in vain lowers it.
    """
    layers, hidden, _ = SHAPES[shape]
    encoder = layers * (12 * hidden**2 + 2 * length * hidden)
    output = RATE * (hidden**2 + hidden * vocabulary)
    return 6 * (encoder + output)


def peak_of(device: str) -> float | None:
    """Operations a second that the GPU can do in 16 bits; None for a CPU and unknown ones."""
    if device != "cuda":
        return None
    import torch

    name = torch.cuda.get_device_name()
    words = name.replace("-", " ").split()
    return next((peak for gpu, peak in PEAKS.items() if set(gpu.split()) <= set(words)), None)


# -- the command -----------------------------------------------------------------------------------


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the room."""
    parser = subparsers.add_parser(
        "pretrain",
        help="a training step: beside the stock Trainer on the same blocks, and on single rows",
    )
    parser.add_argument("--text", metavar="PATH", help="text to learn (default: pocket corpus)")
    parser.add_argument("--megabytes", type=float, default=8, metavar="N", help="of it (8)")
    parser.add_argument("--batch", type=int, metavar="N", help="blocks a step (16; 64 on a GPU)")
    parser.add_argument("--steps", type=int, default=4, metavar="N", help="a turn (4)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="of the timing (5)")
    parser.add_argument(
        "--learn", type=int, default=0, metavar="N",
        help="train so many steps on both forms of the text, and compare the loss (0)",
    )  # fmt: skip
    options.device(parser, default="cpu")
    options.answers(parser, EXPERIMENT)
    parser.set_defaults(run=run)


def cases(device: str) -> list[tuple[str, int, int]]:
    """(shape, vocabulary, length) of the comparisons that are made on a device."""
    if device == "cpu":
        return [("pocket", vocabulary, 128) for vocabulary in VOCABULARIES]
    return [(shape, VOCABULARIES[0], length)
            for shape in ("bert-base", "minilm") for length in (128, 512)]  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    from bioptimus_lib import bench_learning
    from bioptimus_lib.models import precision_for

    if min(arguments.steps, arguments.rounds) < 1 or not arguments.megabytes > 0:
        raise ValueError("--steps, --rounds and --megabytes must be above 0")
    device = arguments.device
    path = Path(arguments.text) if arguments.text else None
    documents = sentences_of(path, arguments.megabytes)
    fast = precision_for(device)
    precisions = [fast] if device == "cuda" else list(dict.fromkeys(("fp32", fast)))
    progress, rows = not arguments.quiet, {}
    tokenizers: dict[int, Any] = {}
    for shape, vocabulary, length in cases(device):
        if vocabulary not in tokenizers:
            tokenizers[vocabulary] = tokenizer_of(documents, vocabulary)
        text = text_of(documents, tokenizers[vocabulary], length)
        batch = arguments.batch or (16 if device == "cpu" else 64 * 128 // length)
        found = measure(
            shape, text, vocabulary, batch=batch, steps=arguments.steps, rounds=arguments.rounds,
            precisions=precisions, device=device, progress=progress,
        )  # fmt: skip
        found["difference"] = bench_learning.difference(
            shape, text, vocabulary, batch=min(batch, 8), device=device
        )
        found |= bench_learning.megabytes(shape, text, vocabulary, batch, precisions[0], device)
        rows[f"{shape}, {vocabulary:,} pieces, {length}"] = found
    if arguments.learn:
        rows["learning"] = bench_learning.learn(
            documents, steps=arguments.learn, device=device, progress=progress
        )
    if arguments.ledger:
        _keep(rows, arguments, path)
    print(json.dumps(rows, indent=1) if arguments.json else table(rows))
    return 0


def table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """The numbers as text, a part for each comparison."""
    return "\n\n".join(
        "\n".join([title, *(f"  {name:<34}{value:>12,}" for name, value in row.items())])
        for title, row in rows.items()
    )


def _keep(
    rows: Mapping[str, Mapping[str, float]], arguments: argparse.Namespace, path: Path | None
) -> None:
    from bioptimus_lib import ledger
    from bioptimus_lib.records import readable_files

    data = readable_files(path) if path else ()
    origin = ledger.provenance(data=data, device=arguments.device)
    ledger.append(EXPERIMENT, [
        {**origin, "model": "pocket-bert" if title == "learning" else title.partition(",")[0],
         "profile": "bench", "seed": 0, "dataset": path.name if path else "pocket",
         "variant": title, "metrics": dict(row)}
        for title, row in rows.items()
    ], file=arguments.ledger, replace=True)  # fmt: skip
