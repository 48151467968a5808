"""``bioptimus bench tag``: text to entities, beside the bare model and Transformers' pipeline.

All sides get the same sentences, in turns of some hundreds, so that each meets the same machine.
``model`` is what cannot be saved: the batches that ``tag`` makes, as tensors that are there
already, through the model and nothing else. ``pipeline`` is the stock
``pipeline("token-classification", aggregation_strategy="first")`` as one calls it, a sentence at a
time; with ``batches`` it is given the best that it has, ``batch_size=32``. All compute in 32 bits
and take the best tag of each word, so the entities must be the same, and are compared.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bioptimus_lib import options
from bioptimus_lib.bench import check_numbers, ratio, take_turns

if TYPE_CHECKING:
    from transformers import TokenClassificationPipeline

    from bioptimus_lib.tagging import TextTagger

EXPERIMENT = "bench-tag"
OURS, MODEL, STOCK, BATCHES = "tag", "model", "pipeline", "pipeline, batches of 32"
SIDES = {"model": MODEL, "pipeline": STOCK, "batches": BATCHES}
WARM = 8  # sentences before the clock starts
Found = list[tuple[int, str, int, int]]  # number of a sentence, type, characters


def sentences_of(
    name: str,
    count: int,
    *,
    fits: Callable[[str], bool] = bool,
    progress: bool = True,
) -> tuple[list[str], list[Path]]:
    """The first sentences of a text and its files: a file or folder, the name of a source, or
    ``pocket``. Those that the splitter would cut again are left out, and those that do not fit
    into the model's window, which the pipeline would cut off: all sides are asked the same.

    Raises:
        ValueError: there are fewer.
    """
    from bioptimus_lib import ner_sets, pocket, sources
    from bioptimus_lib.cleaning import clean
    from bioptimus_lib.conll import read_conll, split_files
    from bioptimus_lib.records import documents, readable_files
    from bioptimus_lib.splitting import sentences, spans

    files: list[Path] = []
    found: Iterable[str]
    if name == "pocket":
        found = (s for a in pocket.abstracts(10**9) for s in a.sentences)
    elif name in ner_sets.names():
        files = list(split_files(ner_sets.folder_of(name, progress=progress)).values())
        found = (" ".join(s.tokens) for file in files for s in read_conll(file))
    else:
        path = Path(name) if Path(name).exists() else sources.fetch(name, progress=progress)
        files = readable_files(path)
        found = (s for file in files for d in documents(file) for s in sentences(clean(d.text)))
    whole = (s for s in found if spans(s) == [(0, len(s))] and fits(s))
    some = list(islice(whole, count))
    if len(some) < count:
        raise ValueError(f"{name} has {len(some)} sentences, not {count}: lower --sentences")
    return some, files


# --- the sides ---------------------------------------------------------------------------------


def ours(tagger: TextTagger, texts: Sequence[str]) -> Found:
    """The entities that ``bioptimus tag`` finds: all of its work but for reading and writing."""
    from bioptimus_lib.tagging import Line

    lines = (Line(number, 0, text) for number, text in enumerate(texts))
    return [
        (marked.line.number, mark.type, mark.start, mark.stop)
        for marked in tagger.tag_lines(lines) for mark in marked.marks
    ]  # fmt: skip


def stock(pipe: TokenClassificationPipeline, texts: Sequence[str], *, batch: int = 1) -> Found:
    """The entities that Transformers' pipeline finds."""
    found = pipe(list(texts), batch_size=batch)
    return [
        (number, one["entity_group"], int(one["start"]), int(one["end"]))
        for number, some in enumerate(found) for one in some
    ]  # fmt: skip


def batches(tagger: TextTagger, texts: Sequence[str]) -> list[dict[str, Any]]:
    """What the model is given while ``ours`` works."""
    seen: list[dict[str, Any]] = []
    model = tagger.tagger.model
    hook = model.register_forward_pre_hook(lambda *call: seen.append(call[2]), with_kwargs=True)
    try:
        ours(tagger, texts)
    finally:
        hook.remove()
    return seen


def bare(tagger: TextTagger, prepared: Sequence[Mapping[str, Any]]) -> None:
    """The model on batches that are there, and nothing else; its products as ``tag`` has them."""
    import torch

    from bioptimus_lib.onednn import by_onednn

    with torch.inference_mode(), by_onednn(tagger.tagger.model):
        for inputs in prepared:
            tagger.tagger.model(**inputs)
    if tagger.tagger.model.device.type == "cuda":
        torch.cuda.synchronize()


def sides_of(
    tagger: TextTagger, texts: Sequence[str], *, names: Sequence[str], rounds: int
) -> dict[str, Callable[[], Any]]:
    """Functions that do a share of the work whenever they are called: a few sentences to warm up
    first, then all in so many rounds."""
    from transformers import pipeline

    tool = tagger.tagger
    tokenizer: Any = tool.tokenizer  # of one of the two classes that a pipeline takes
    pipe = pipeline(
        "token-classification", model=tool.model, tokenizer=tokenizer,
        aggregation_strategy="first", device=tool.model.device,
    )  # fmt: skip
    edges = np.linspace(0, len(texts), rounds + 1).round().astype(int)
    shares = [texts[:WARM], *(texts[a:b] for a, b in zip(edges, edges[1:], strict=False))]
    ways: dict[str, Callable[[Sequence[str]], Any]] = {
        OURS: lambda some: ours(tagger, some),
        STOCK: lambda some: stock(pipe, some),
        BATCHES: lambda some: stock(pipe, some, batch=32),
    }
    found = {side: map(ways[side], shares).__next__ for side in (OURS, *names) if side != MODEL}
    if MODEL in names:
        prepared = [batches(tagger, some) for some in shares]
        found[MODEL] = map(lambda some: bare(tagger, some), prepared).__next__
    return found


# --- the command -------------------------------------------------------------------------------


def add(rooms: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = rooms.add_parser(
        "tag", help="text to entities, beside the bare model and beside Transformers' pipeline"
    )
    parser.add_argument("--model", required=True, metavar="DIR", help="a fine-tuned tagger")
    parser.add_argument(
        "--text", default="biomed", metavar="NAME", help="file, folder, source, or pocket (biomed)"
    )
    parser.add_argument("--sentences", type=int, default=10_000, metavar="N", help="(10000)")
    parser.add_argument(
        "--sides", nargs="+", choices=SIDES, default=tuple(SIDES), metavar="SIDE",
        help=f"of {', '.join(SIDES)} (all)",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="(5)")
    parser.add_argument("--threads", type=int, metavar="N", help="of torch (as many as it takes)")
    options.device(parser, default="cpu")
    options.answers(parser, EXPERIMENT)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    check_numbers(arguments, "rounds", "sentences", "threads")
    if arguments.sentences < arguments.rounds:
        raise ValueError(f"{arguments.sentences} sentences for {arguments.rounds} rounds: too few")
    result, data = compare(arguments)
    if arguments.ledger:
        to_ledger(result, data, file=arguments.ledger)
    print(json.dumps(result) if arguments.json else text(result))
    return 0


def compare(arguments: argparse.Namespace) -> tuple[dict[str, Any], list[Path]]:
    """The numbers, and the files that they come from; arguments as of the command."""
    import torch

    from bioptimus_lib.tagging import load_text_tagger

    tagger = load_text_tagger(arguments.model, device=arguments.device, constrained=False)
    texts, files = sentences_of(
        arguments.text, arguments.sentences, progress=not arguments.quiet,
        fits=lambda text: len(tagger.cut([text]).encoding.windows) == 1,
    )  # fmt: skip
    before = torch.get_num_threads()
    torch.set_num_threads(arguments.threads or before)
    try:
        result = measured(arguments, tagger, texts)
    finally:
        torch.set_num_threads(before)
    weights = sorted(Path(arguments.model).rglob("*.safetensors"))
    return result, [*files, *weights]


def measured(
    arguments: argparse.Namespace, tagger: TextTagger, texts: Sequence[str]
) -> dict[str, Any]:
    """Seconds and ratios of all sides, and in how many sentences their entities differ."""
    import torch

    names = [SIDES[name] for name in arguments.sides]
    answers: dict[str, list[Any]] = {}

    def kept(side: str, work: Callable[[], Any]) -> Callable[[], None]:
        return lambda: answers.setdefault(side, []).append(work())

    sides = sides_of(tagger, texts, names=names, rounds=arguments.rounds)
    before = dict(tagger.counts)
    seconds = take_turns(
        {side: kept(side, work) for side, work in sides.items()},
        rounds=arguments.rounds, progress=not arguments.quiet,
    )  # fmt: skip
    mine = answers[OURS]
    return {
        "model": Path(arguments.model).resolve().name,
        "text": Path(arguments.text).name,
        "sentences": len(texts),
        "pieces": tagger.counts["pieces"] - before["pieces"],
        "entities": sum(map(len, mine[1:])),
        "threads": torch.get_num_threads(),
        "device": arguments.device,
        "differing": {
            side: sum(_differing(a, b) for a, b in zip(mine[1:], found[1:], strict=True))
            for side, found in answers.items() if side in (STOCK, BATCHES)
        },
        "seconds": {side: round(sum(some), 3) for side, some in seconds.items()},
        "ratios": {
            f"{side} / {OURS}": ratio(seconds[side], seconds[OURS])
            | {"ratio": round(sum(seconds[side]) / sum(seconds[OURS]), 3)}
            for side in names
        },
    }  # fmt: skip


def _differing(some: Found, others: Found) -> int:
    """Sentences in which two sides found other entities."""
    return len({number for number, *_ in set(some) ^ set(others)})


def text(result: Mapping[str, Any]) -> str:
    """The result as tables for a terminal."""
    lines = [
        f"{result['model']}, {result['sentences']:,} sentences of {result['text']}, "
        f"{result['entities']:,} entities, {result['threads']} thread"
        + "s" * (result["threads"] > 1), "",
    ]  # fmt: skip
    for name, seconds in result["seconds"].items():
        rate = result["sentences"] / max(seconds, 1e-9)
        lines.append(f"{name:<30} {seconds:9.2f} s {rate:9,.0f} sentences/s")
    lines.append("")
    for name, row in result["ratios"].items():
        lines.append(f"{name:<36} {row['ratio']:7.2f}  ({row['least']:.2f} to {row['most']:.2f})")
    for name, count in result["differing"].items():
        lines.append(f"sentences with other entities than {name}: {count:,}")
    return "\n".join(lines)


def to_ledger(result: Mapping[str, Any], data: Sequence[Path], *, file: str) -> None:
    """A row for each pair of sides, and one for the rate of ours."""
    from bioptimus_lib.ledger import append, provenance

    threads = f"{result['threads']} thread" + "s" * (result["threads"] > 1)
    common = {
        **provenance(data=data, device=result["device"]),
        "dataset": result["text"], "profile": "bench", "seed": None,
        "variant": f"{result['model']}, {threads}",
        "sentences": result["sentences"], "pieces": result["pieces"],
    }  # fmt: skip
    rows = []
    for pair, found in result["ratios"].items():
        side = pair.removesuffix(f" / {OURS}")
        differing = {"differing": result["differing"][side]} if side in result["differing"] else {}
        times = {name: result["seconds"][name] for name in (side, OURS)}
        rows.append({**common, "model": pair, "metrics": {**found, **differing}, "seconds": times})
    seconds = result["seconds"][OURS]
    rows.append({**common, "model": OURS, "seconds": seconds, "metrics": {
        "sentences_per_second": round(result["sentences"] / seconds, 1),
        "pieces_per_second": round(result["pieces"] / seconds, 1),
        "entities": result["entities"],
    }})  # fmt: skip
    append(EXPERIMENT, rows, file=file, replace=True)
