"""``bioptimus bench ner``: an epoch of fine-tuning, by each way to make batches.

All ways of ``batching.BATCHINGS`` read the same sentences once, with the same model and optimiser,
in turns of a few batches, so that each meets the same machine. The ratios are those of the whole
epoch; least and most are those of the turns. The stock way is ``random``: 32 sentences or so,
padded to the longest. Prediction is compared too: sentences sorted by length, and in the order of
the file.

What an epoch teaches is asked by ``bioptimus experiment ner-batches``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bioptimus_lib import options
from bioptimus_lib.batching import BATCHINGS, padded, pools
from bioptimus_lib.bench import check_numbers, ratio, take_turns

if TYPE_CHECKING:
    import torch

    from bioptimus_lib.arrays import Ints
    from bioptimus_lib.batching import Layout
    from bioptimus_lib.conll import Sentence
    from bioptimus_lib.tagger import Tagger
    from bioptimus_lib.windows import Encoding

EXPERIMENT = "bench-ner"
STOCK, OURS = "random", "packed"
POOLS = (1, 4, 16, 64, None)  # sizes whose padding is counted
WARM = 2  # batches before the clock starts
PREDICTED, PREDICTIONS = 300, 3  # sentences of devel, and how often both ways predict them
SORTED, IN_ORDER = "predict, sorted", "predict, as in the file"


def sentences_of(
    name: str, *, progress: bool = True
) -> tuple[dict[str, list[Sentence]], tuple[Path, ...]]:
    """The splits of a set, which is a source, ``pocket`` or a folder, and their files."""
    from bioptimus_lib import ner_sets, pocket_ner
    from bioptimus_lib.conll import load_splits, split_files

    if name == "pocket":
        with tempfile.TemporaryDirectory() as temporary:
            pocket_ner.write_ner(temporary)
            return load_splits(temporary), ()
    folder = ner_sets.folder_of(name, progress=progress)
    return load_splits(folder), tuple(split_files(folder).values())


# --- what is counted ---------------------------------------------------------------------------


def count(lengths: Ints, *, budget: int, seed: int = 0) -> dict[str, dict[str, float]]:
    """What an epoch is made of, for each way, and for pools of several sizes.

    Returns:
        name → ``steps``, ``positions`` that are computed, ``padding`` in percent of them, and the
        least and most ``sentences`` and ``pieces`` of a batch.
    """
    lengths = np.asarray(lengths)
    ways: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
        name: (way.draw, way.lay) for name, way in BATCHINGS.items()
    }
    for pool in POOLS:
        ways[f"pools of {pool or 'all'}"] = (_pools_of(pool), padded)
    found = {}
    for name, (draw, lay) in ways.items():
        batches = draw(lengths, budget=budget, generator=np.random.default_rng(seed))
        positions = sum(int(np.prod(lay(lengths[batch]).shape)) for batch in batches)
        pieces = [int(lengths[batch].sum()) for batch in batches]
        found[name] = {
            "steps": len(batches),
            "positions": positions,
            "padding": round(100 * (1 - sum(pieces) / positions), 2),
            "least sentences": min(map(len, batches)), "most sentences": max(map(len, batches)),
            "least pieces": min(pieces), "most pieces": max(pieces),
        }  # fmt: skip
    return found


def _pools_of(pool: int | None) -> Callable[..., list[np.ndarray]]:
    return lambda lengths, **how: pools(lengths, pool=pool, **how)


# --- what is timed -----------------------------------------------------------------------------


class Training:
    """One model and its optimiser, which every side trains in its turn: a step takes as long
    whatever the weights are."""

    def __init__(self, tagger: Tagger, encoding: Encoding, tags: Sequence[Sequence[str]]) -> None:
        from bioptimus_lib.tagger import adamw, decay_groups

        self.tagger = tagger
        self.ids = [piece.ids for piece in encoding.windows]
        self.labels = encoding.labels(tags, {tag: i for i, tag in enumerate(tagger.labels)})
        self.lengths = np.array([len(ids) for ids in self.ids])
        self.optimizer = adamw(decay_groups(tagger.model, tagger.settings))
        for group in self.optimizer.param_groups:
            group["lr"] *= 1e-3  # so that it stays a model, however often it is trained

    def turns(self, name: str, precision: str, *, rounds: int) -> Callable[[], torch.Tensor]:
        """A function that trains a part of an epoch whenever it is called: some batches to warm up
        first, then all of the epoch in so many rounds."""
        from dataclasses import replace

        from bioptimus_lib.batching import batching_for

        settings = replace(self.tagger.settings, precision=precision)
        tagger = replace(self.tagger, settings=settings)
        batching = batching_for(name, tagger.model, tagger.tokenizer)
        batches = batching.draw(
            self.lengths, budget=settings.batch_tokens, generator=np.random.default_rng(0)
        )
        if len(batches) < rounds:
            raise ValueError(
                f"{len(batches)} batches for {rounds} rounds: give more sentences, or fewer rounds"
            )
        edges = np.linspace(0, len(batches), rounds + 1).round().astype(int)
        parts = [batches[:WARM], *(batches[a:b] for a, b in zip(edges, edges[1:], strict=False))]
        return self._trained(tagger, batching.lay, parts).__next__

    def _trained(
        self, tagger: Tagger, lay: Callable[..., Layout], parts: Sequence[Sequence[np.ndarray]]
    ) -> Iterator[torch.Tensor]:
        import torch

        from bioptimus_lib.ner import batch_loss, step
        from bioptimus_lib.tagger import grad_scaler

        device, settings = tagger.model.device, tagger.settings
        scaler = grad_scaler(device, settings.precision)
        for batches in parts:
            tagger.model.train()
            for batch in batches:
                layout = lay(self.lengths[batch])
                ids, labels = [self.ids[i] for i in batch], [self.labels[i] for i in batch]
                loss = batch_loss(tagger, ids, labels, layout)
                step(tagger.model, loss, self.optimizer, scaler, clip=settings.clip)
            if device.type == "cuda":
                torch.cuda.synchronize()
            yield loss.detach()


def predictions(tagger: Tagger, encoding: Encoding) -> dict[str, Callable[[], Any]]:
    """Two ways to predict: as ``Tagger.scores`` does it, and as many sentences at a time in the
    order of the file."""
    import torch

    from bioptimus_lib.batching import by_length, model_inputs
    from bioptimus_lib.models import autocast

    ids = [piece.ids for piece in encoding.windows]
    lengths = np.array([len(some) for some in ids])
    batches = len(by_length(lengths, budget=4 * tagger.settings.batch_tokens))
    size = -(-len(ids) // batches)

    def in_order() -> None:
        tagger.model.eval()
        for start in range(0, len(ids), size):
            some = ids[start : start + size]
            inputs = model_inputs(some, padded(list(map(len, some))), tagger.model,
                                  tagger.tokenizer)  # fmt: skip
            device = tagger.model.device
            with torch.inference_mode(), autocast(device, tagger.settings.precision):
                tagger.model(**inputs).logits.float().log_softmax(-1).cpu().numpy()

    return {SORTED: lambda: tagger.scores(encoding), IN_ORDER: in_order}


def difference(training: Training, *, seed: int = 0) -> float:
    """The largest difference between a logit of a sentence in a packed row and alone, over some
    batches, in 32 bits."""
    import torch

    from bioptimus_lib.batching import model_inputs, packed, places

    tagger, most = training.tagger, 0.0
    batches = BATCHINGS[OURS].draw(
        training.lengths, budget=tagger.settings.batch_tokens,
        generator=np.random.default_rng(seed),
    )  # fmt: skip
    tagger.model.eval()
    for batch in batches[:WARM]:
        sequences, lengths = [training.ids[i] for i in batch], training.lengths[batch]
        layout = packed(lengths)
        with torch.inference_mode():
            inputs = model_inputs(sequences, layout, tagger.model, tagger.tokenizer)
            rows = tagger.model(**inputs).logits.flatten(0, 1)
            together = rows[torch.from_numpy(places(lengths, layout)[0]).to(rows.device)]
            alone = [
                tagger.model(**model_inputs([some], padded([len(some)]), tagger.model,
                                            tagger.tokenizer)).logits[0]
                for some in sequences
            ]  # fmt: skip
        most = max(most, float((together - torch.cat(alone)).abs().max()))
    return float(f"{most:.2g}")


# --- the command -------------------------------------------------------------------------------


def add(rooms: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = rooms.add_parser(
        "ner", help="an epoch of fine-tuning, by each way to make batches; and prediction"
    )
    parser.add_argument("--model", default="minilm", help="name or folder (minilm)")
    parser.add_argument(
        "--dataset", default="NCBI-disease", metavar="NAME",
        help="source, folder, or pocket (NCBI-disease)",
    )  # fmt: skip
    parser.add_argument(
        "--sides", nargs="+", default=("random", "buckets", "pools", "packed"),
        metavar="WAY", help=f"of {', '.join(BATCHINGS)} (random, buckets, pools, packed)",
    )  # fmt: skip
    parser.add_argument(
        "--precision", nargs="+", choices=("fp32", "bf16", "fp16"), metavar="P",
        help="the first for all sides, others for random and packed alone (fp32, and what the "
        "device does fast)",
    )  # fmt: skip
    parser.add_argument("--sentences", type=int, metavar="N", help="the first N of train alone")
    parser.add_argument("--rounds", type=int, default=8, metavar="N", help="of an epoch (8)")
    parser.add_argument("--threads", type=int, metavar="N", help="of torch (as many as it takes)")
    options.device(parser, default="cpu")
    options.answers(parser, EXPERIMENT)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    from bioptimus_lib.batching import check_batching

    for name in arguments.sides:
        check_batching(name)
    check_numbers(arguments, "rounds", "sentences", "threads")
    result, data = compare(arguments)
    if arguments.ledger:
        to_ledger(result, data, file=arguments.ledger)
    print(json.dumps(result) if arguments.json else text(result))
    return 0


def compare(arguments: argparse.Namespace) -> tuple[dict[str, Any], list[Path]]:
    """The numbers, and the files that they come from; arguments as of the command."""
    import torch

    from bioptimus_lib.sources import model_path

    folder = model_path(arguments.model, progress=not arguments.quiet)
    splits, files = sentences_of(arguments.dataset, progress=not arguments.quiet)
    before = torch.get_num_threads()
    torch.set_num_threads(arguments.threads or before)
    try:
        result = measured(arguments, folder, splits)
    finally:
        torch.set_num_threads(before)
    return result, [*files, *sorted(folder.glob("*.safetensors"))]


def measured(
    arguments: argparse.Namespace, folder: Path, splits: Mapping[str, list[Sentence]]
) -> dict[str, Any]:
    """Counts, seconds of an epoch and ratios of all sides."""
    import torch

    from bioptimus_lib.conll import labels_of, types_of
    from bioptimus_lib.models import place, precision_for
    from bioptimus_lib.tagger import Tagger, classifier_on, recipe_for

    device, train = arguments.device, splits["train"][: arguments.sentences]
    labels = labels_of(types_of(train))
    precisions = arguments.precision or list(dict.fromkeys(("fp32", precision_for(device))))
    settings = recipe_for(folder, precision=precisions[0])
    with torch.random.fork_rng():
        model, tokenizer = classifier_on(folder, labels, seed=0)
        tagger = Tagger(place(model, device), tokenizer, tuple(labels), settings)
        training = Training(tagger, tagger.encode(train), [s.tags for s in train])
        exact = difference(training)
        sides = {f"{name}, {precisions[0]}": (name, precisions[0]) for name in arguments.sides}
        for precision in precisions[1:]:
            sides |= {f"{name}, {precision}": (name, precision) for name in (STOCK, OURS)
                      if name in arguments.sides}  # fmt: skip
        seconds = take_turns(
            {side: training.turns(*how, rounds=arguments.rounds) for side, how in sides.items()},
            rounds=arguments.rounds, progress=not arguments.quiet,
        )  # fmt: skip
        seconds |= take_turns(
            predictions(tagger, tagger.encode(splits["devel"][: min(PREDICTED, len(train))])),
            rounds=PREDICTIONS, progress=not arguments.quiet,
        )  # fmt: skip
    return {
        "model": Path(arguments.model).name,
        "dataset": Path(arguments.dataset).name,
        "sentences": len(train),
        "pieces": int(training.lengths.sum()),
        "batch": settings.batch_tokens,
        "threads": torch.get_num_threads(),
        "device": arguments.device,
        "difference": exact,
        "counts": count(training.lengths, budget=settings.batch_tokens),
        "seconds": {side: round(sum(some), 3) for side, some in seconds.items()},
        "ratios": ratios(seconds),
    }


def ratios(seconds: Mapping[str, list[float]]) -> dict[str, dict[str, float]]:
    """"slower / faster" → how many times as fast: of the whole, least and most of the rounds.

    Each side beside the stock one in the same precision, ours in another precision beside both in
    the first, and the two ways to predict.
    """
    pairs = [(IN_ORDER, SORTED)] if SORTED in seconds else []
    first = next((side.partition(", ")[2] for side in seconds if side.startswith(OURS)), "")
    for side in seconds:
        name, _, precision = side.partition(", ")
        stock = f"{STOCK}, {precision}"
        if name != STOCK and stock in seconds:
            pairs.append((stock, side))
        if name == OURS and precision != first:
            pairs += [(f"{other}, {first}", side) for other in (STOCK, OURS)
                      if f"{other}, {first}" in seconds]  # fmt: skip
    return {
        f"{slow} / {fast}": ratio(seconds[slow], seconds[fast])
        | {"ratio": round(sum(seconds[slow]) / sum(seconds[fast]), 3)}
        for slow, fast in pairs
    }


def text(result: Mapping[str, Any]) -> str:
    """The result as tables for a terminal."""
    threads = threads_of(result)
    lines = [
        f"{result['model']}, {result['sentences']:,} sentences and {result['pieces']:,} pieces of "
        f"{result['dataset']}, about {result['batch']:,} in a batch, {threads}",
        "", f"{'':<16}{'steps':>8}{'positions':>12}{'padding %':>11}"
        f"{'sentences':>14}{'pieces in a batch':>20}",
    ]  # fmt: skip
    for name, row in result["counts"].items():
        lines.append(
            f"{name:<16}{row['steps']:>8,}{row['positions']:>12,}{row['padding']:>11.1f}"
            + f"{row['least sentences']} to {row['most sentences']}".rjust(14)
            + f"{row['least pieces']:,} to {row['most pieces']:,}".rjust(20)
        )
    lines.append("")
    lines += [f"{name:<44} {seconds:9.2f} s" for name, seconds in result["seconds"].items()]
    lines.append("")
    for name, row in result["ratios"].items():
        lines.append(f"{name:<44} {row['ratio']:7.2f}  ({row['least']:.2f} to {row['most']:.2f})")
    lines.append(f"a packed sentence's logits differ from its own by {result['difference']:.2g}")
    return "\n".join(lines)


def threads_of(result: Mapping[str, Any]) -> str:
    """How many threads, in words."""
    return f"{result['threads']} thread{'s' if result['threads'] > 1 else ''}"


def to_ledger(result: Mapping[str, Any], data: Sequence[Path], *, file: str) -> None:
    """A row for each pair of sides, and one for each way to make batches."""
    from bioptimus_lib.ledger import append, provenance

    common = {
        **provenance(data=data, device=result["device"]),
        "dataset": result["dataset"], "profile": "bench", "seed": None,
        "variant": f"{result['model']}, {threads_of(result)}",
        "sentences": result["sentences"], "pieces": result["pieces"], "batch": result["batch"],
    }  # fmt: skip
    rows = [
        {**common, "model": pair, "metrics": found,
         "seconds": {side: result["seconds"][side] for side in pair.split(" / ")}}
        for pair, found in result["ratios"].items()
    ]  # fmt: skip
    rows += [
        {**common, "model": name, "metrics": dict(row)}
        for name, row in result["counts"].items()
    ]
    rows.append({**common, "model": OURS + ", logits", "metrics": {
        "difference": result["difference"]}})  # fmt: skip
    append(EXPERIMENT, rows, file=file, replace=True)
