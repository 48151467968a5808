"""``bioptimus bench distill``: the reading of hidden states beside two others.

One is the bare forward pass: the same batches through the same layers, made before and forgotten
after. The other is what one writes first: one sentence at a time through the whole model.
The sides take turns on the same sentences, and the answers of both are compared.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioptimus_lib import options
from bioptimus_lib.bench import ratio, take_turns

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bioptimus_lib.crops import Request

EXPERIMENT = "distill"
VOCABULARY, CONTEXTS = 30_522, 20  # what the estimate is for
WINDOW, BATCH_TOKENS = 128, 4096
LEAST = 20  # occurrences of a word that is read
Contexts = Mapping[str, Sequence[str]]
Requests = Mapping[str, Sequence["Request"]]


def requests_of(contexts: Contexts) -> Requests:
    """Every word of every sentence, a slot for each."""
    from bioptimus_lib.crops import Request, Span

    wanted: dict[str, list[Request]] = {}
    for slot, (word, sentences) in enumerate(contexts.items()):
        for sentence in sentences:
            request = Request(word, (Span(slot, 0, len(word)),))
            wanted.setdefault(sentence, []).append(request)
    return wanted


def ready(
    tokenizer: PreTrainedTokenizerBase, requests: Requests
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Ids and attention of the batches that ``read_states`` makes of the requests."""
    from bioptimus_lib.crops import sequences
    from bioptimus_lib.cutting import Cutter
    from bioptimus_lib.early_exit import padded
    from bioptimus_lib.occurrences import batches

    cutter, ends = Cutter(tokenizer), (tokenizer.cls_token_id, tokenizer.sep_token_id)
    made = (
        sequence
        for sentence in sorted(requests)
        for sequence in sequences(
            cutter, sentence, requests[sentence], WINDOW - 2, ends, Counter()
        )
    )
    return [
        padded([sequence.ids for sequence in batch], tokenizer.pad_token_id)
        for batch in batches(made, BATCH_TOKENS)
    ]


def bare(
    model: PreTrainedModel,
    inputs: Sequence[tuple[torch.Tensor, torch.Tensor]],
    layer: int,
    precision: str,
) -> None:
    """The forward pass up to a layer, and nothing else."""
    import torch

    from bioptimus_lib.early_exit import only_layers
    from bioptimus_lib.models import autocast

    device = model.device
    with (
        torch.inference_mode(),
        only_layers(model, layer),
        autocast(device, precision),
    ):
        for ids, attention in inputs:
            model.base_model(input_ids=ids.to(device), attention_mask=attention.to(device))


def plain(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, contexts: Contexts, layer: int
) -> torch.Tensor:
    """The loop that one writes first: float (words, H), each sentence alone through all layers."""
    import torch

    means = []
    for word, sentences in contexts.items():
        states = []
        for sentence in sentences:
            coded = tokenizer(sentence, return_offsets_mapping=True, return_tensors="pt")
            offsets = coded.pop("offset_mapping")[0].tolist()
            start = place(word, sentence)
            end = start + len(word)
            over = [i for i, (a, b) in enumerate(offsets) if a < end and b > start and b > a]
            with torch.inference_mode():
                output = model(**coded.to(model.device), output_hidden_states=True)
            states.append(output.hidden_states[layer][0][over].mean(0).cpu())
        means.append(torch.stack(states).mean(0))
    return torch.stack(means)


def place(word: str, sentence: str) -> int:
    """Where a word of small letters begins in a sentence, as a whole word; −1 if nowhere."""
    import re

    found = re.search(rf"(?<![^\W_]){re.escape(word)}(?![^\W_])", sentence.lower())
    return found.start() if found and len(sentence.lower()) == len(sentence) else -1


def compare(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    contexts: Contexts,
    *,
    layer: int,
    few: int = 20,
    rounds: int = 5,
    precision: str = "fp32",
    progress: bool = False,
) -> dict[str, float]:
    """Time reading against the bare pass on all words, and against the plain loop on a few.

    Returns:
        ``of_bare`` (median share of the bare pass's speed) with ``of_bare_least``, ``of_plain``
        (how many times as fast as the loop) with ``of_plain_least``, ``difference`` (largest
        relative difference of the two answers), ``seconds`` of a read, ``sentences``, ``tokens``.
    """
    from bioptimus_lib.occurrences import read_states

    requests = requests_of(contexts)
    some = dict(islice(contexts.items(), few))

    def read(wanted: Requests, slots: int) -> Callable[[], Any]:
        return lambda: read_states(
            model, tokenizer, wanted, slots=slots, layers=[layer], window=WINDOW,
            batch_tokens=BATCH_TOKENS, precision=precision,
        )  # fmt: skip

    inputs, answers = ready(tokenizer, requests), {}

    def keep(name: str, side: Callable[[], Any]) -> Callable[[], None]:
        return lambda: answers.update({name: side()})

    whole = take_turns(
        {"read": keep("whole", read(requests, len(contexts))),
         "bare": lambda: bare(model, inputs, layer, precision)},
        rounds=rounds, progress=progress,
    )  # fmt: skip
    part = take_turns(
        {"read": keep("part", read(requests_of(some), few)),
         "plain": keep("plain", lambda: plain(model, tokenizer, some, layer))},
        rounds=max(2, rounds // 2), progress=progress,
    )  # fmt: skip
    found, expected = answers["part"].mean[: len(some), 0], answers["plain"].float()
    difference = ((found - expected).norm(dim=1) / expected.norm(dim=1)).max().item()
    speed, times = ratio(whole["bare"], whole["read"]), ratio(part["plain"], part["read"])
    tally, seconds = answers["whole"].tally, sorted(whole["read"])[rounds // 2]
    return {
        "of_bare": speed["ratio"], "of_bare_least": speed["least"],
        "of_plain": times["ratio"], "of_plain_least": times["least"],
        "difference": float(f"{difference:.3g}"), "seconds": round(seconds, 3),
        "sentences": tally["sentences"], "contexts": tally["contexts"], "tokens": tally["tokens"],
    }  # fmt: skip


def estimate(found: Mapping[str, float]) -> float:
    """Minutes for ``VOCABULARY`` tokens in ``CONTEXTS`` sentences each, by what a part took.

    Every context is counted as a sentence of its own; in truth many share one.
    """
    return VOCABULARY * CONTEXTS * found["seconds"] / found["contexts"] / 60


def rise(folder: Path, text: Path | None, words: int, contexts: int) -> None:
    """One read of so much text, to be measured by ``memory.peak`` in a process of its own."""
    from bioptimus_lib.models import load_masked_lm, place
    from bioptimus_lib.occurrences import read_states

    model, tokenizer = load_masked_lm(folder)
    found = sentences_of(tokenizer, text, words=words, contexts=contexts)
    read_states(
        place(model, "cpu"), tokenizer, requests_of(found), slots=len(found), layers=[2],
        window=WINDOW, batch_tokens=BATCH_TOKENS,
    )  # fmt: skip


def sentences_of(
    tokenizer: PreTrainedTokenizerBase, text: Path | None, *, words: int, contexts: int
) -> dict[str, list[str]]:
    """Frequent words that the vocabulary lacks, and sentences that fit into the window whole; one
    that stands in the text twice is read once, so the plain loop must not have it twice."""
    import tempfile

    from bioptimus_lib import pocket
    from bioptimus_lib.scan import count_words, find_contexts

    with tempfile.TemporaryDirectory() as temporary:
        if text is None:
            text = Path(temporary) / "pocket"
            pocket.write_corpus(text, megabytes=2)
        counts, known = count_words(text), tokenizer.get_vocab()
        new = [
            word for word, n in counts.most_common()
            if n >= LEAST and word.isalpha() and word.isascii() and word not in known
        ]  # fmt: skip
        found = find_contexts(new[: 4 * words], text, contexts=contexts)

    def fits(word: str, sentence: str) -> bool:
        pieces = tokenizer(sentence, verbose=False)["input_ids"]
        return place(word, sentence) >= 0 and len(pieces) <= WINDOW

    kept = {
        word: [s for s in dict.fromkeys(some) if fits(word, s)] for word, some in found.items()
    }
    return dict(islice(((word, some) for word, some in kept.items() if some), words))


# -- the command -----------------------------------------------------------------------------------


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the room."""
    parser = subparsers.add_parser(
        "distill", help="reading hidden states: beside the bare forward pass and a plain loop"
    )
    parser.add_argument("--model", default="pocket-bert", help="name or folder (pocket-bert)")
    parser.add_argument("--text", metavar="PATH", help="text to read (default: pocket corpus)")
    parser.add_argument("--words", type=int, default=200, metavar="N", help="to read (200)")
    parser.add_argument("--few", type=int, default=40, metavar="N", help="for the loop (40)")
    parser.add_argument("--layer", type=int, default=3, metavar="N", help="to read (3)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="of the timing (5)")
    options.device(parser, default="cpu")
    options.answers(parser, "distill")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    from bioptimus_lib.memory import peak
    from bioptimus_lib.models import load_masked_lm, place, precision_for
    from bioptimus_lib.sources import model_path

    if min(arguments.words, arguments.few, arguments.rounds) < 1:
        raise ValueError("--words, --few and --rounds must be at least 1")
    folder = model_path(arguments.model)
    text = Path(arguments.text) if arguments.text else None
    model, tokenizer = load_masked_lm(folder)
    place(model.eval(), arguments.device)
    contexts = sentences_of(tokenizer, text, words=arguments.words, contexts=CONTEXTS)
    rows: dict[str, dict[str, float]] = {}
    for kind in dict.fromkeys(("fp32", precision_for(arguments.device))):
        rows[kind] = found = compare(
            model, tokenizer, contexts, layer=arguments.layer, few=arguments.few,
            rounds=arguments.rounds, precision=kind, progress=not arguments.quiet,
        )  # fmt: skip
        found["estimated_minutes"] = round(estimate(found), 1)
    for times in (1, 4):
        size = max(1, arguments.words // 4) * times
        rows["fp32"][f"megabytes_for_{times}"] = round(peak(rise, folder, text, size, CONTEXTS), 1)
    if arguments.ledger:
        _keep(rows, arguments, folder, text)
    print(json.dumps(rows, indent=1) if arguments.json else table(rows))
    return 0


def table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """The numbers as text, a column for each precision."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    head = f"{'':<20}" + "".join(f"{kind:>12}" for kind in rows)
    return "\n".join([head] + [
        f"{name:<20}" + "".join(f"{row.get(name, '–'):>12}" for row in rows.values())
        for name in names
    ])  # fmt: skip


def _keep(
    rows: Mapping[str, Mapping[str, float]], arguments: argparse.Namespace, folder: Path,
    text: Path | None,
) -> None:  # fmt: skip
    from bioptimus_lib import ledger
    from bioptimus_lib.records import readable_files

    data = [*sorted(folder.glob("*.safetensors")), *(readable_files(text) if text else ())]
    origin = ledger.provenance(data=data, device=arguments.device)
    ledger.append(EXPERIMENT, [
        {**origin, "model": Path(arguments.model).name, "profile": "bench", "seed": None,
         "dataset": text.name if text else "pocket", "metrics": row,
         "variant": f"{kind}, layer {arguments.layer}"}
        for kind, row in rows.items()
    ], file=arguments.ledger, replace=True)  # fmt: skip
