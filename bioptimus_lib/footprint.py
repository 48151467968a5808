"""What a model takes: parameters, memory, latency and throughput, several models in turns.

What is timed is the encoder, which is what a task uses; the head that guesses pieces is left out.
The models take turns at the same batches of full rows, so that each meets the same machine; the
first is what the others are compared with.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bioptimus_lib.bench import ratio, take_turns

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

BATCHES = (1, 32)


@dataclass(frozen=True)
class Footprint:
    """What one model takes.

    Attributes:
        model: its name.
        parameters: numbers that it learnt; those of 8 bits count as others do.
        encoder: of these, those of the encoder.
        megabytes: of all its weights in memory.
        milliseconds: batch size → median time of a pass of the encoder; that of batch 1 is its
            latency.
        sequences_per_second: of the largest batch: its throughput.
        faster: batch size → how many times as fast as the first model: median, least and most of
            the rounds.
        peak_megabytes: most memory on a GPU during a pass of the largest batch, weights included;
            None on a CPU.
    """

    model: str
    parameters: int
    encoder: int
    megabytes: float
    milliseconds: dict[int, float]
    sequences_per_second: float
    faster: dict[int, dict[str, float]]
    peak_megabytes: float | None


def weights(module: torch.nn.Module) -> list[torch.Tensor]:
    """What a module has learnt, in 32 bits or in 8; what is shared comes once."""
    import torch

    found: list[torch.Tensor] = list(module.parameters())
    for part in module.modules():
        if isinstance(part, torch.ao.nn.quantized.Linear):  # it has no parameters, for torch
            found += [some for some in (part.weight(), part.bias()) if some is not None]
    return found


def count(module: torch.nn.Module) -> int:
    """Numbers that a module has learnt."""
    return sum(some.numel() for some in weights(module))


def megabytes(module: torch.nn.Module) -> float:
    """Memory that they take."""
    return sum(some.numel() * some.element_size() for some in weights(module)) / 1e6


def measure(
    models: Mapping[str, PreTrainedModel],
    *,
    length: int = 128,
    batches: Sequence[int] = BATCHES,
    rounds: int | Mapping[int, int] = 5,
    device: str = "cpu",
    seed: int = 0,
    progress: bool = False,
) -> list[Footprint]:
    """Measure models beside each other, in 32 bits (or 8, where they are quantised).

    Args:
        models: name → masked language model or any other with an encoder; the first is what the
            others are compared with.
        length: pieces in a row, T; they are drawn at random, for time does not depend on them.
        batches: rows in a batch, B.
        rounds: that are timed, of all batches or of each: small ones are over soon, and noisy.
        device: ``cpu`` or ``cuda``.
        seed: of the pieces.
        progress: show a progress bar.

    Raises:
        ValueError: no model, impossible sizes, or rows longer than a model's window.
    """
    import torch

    from bioptimus_lib.models import check_device, input_table, place
    from bioptimus_lib.pretrain import check_window

    if not models or not batches or min(batches) < 1 or length < 1:
        raise ValueError(f"{len(models)} models, batches {list(batches)}, length {length}: give 1")
    device = check_device(device)
    for model in models.values():
        check_window(model, length)
        place(model, device).eval()  # all attend alike
    fewest = min(len(input_table(m)) for m in models.values())
    generator = torch.Generator().manual_seed(seed)
    drawn = {b: torch.randint(fewest, (b, length), generator=generator).to(device) for b in batches}
    seconds: dict[int, dict[str, list[float]]] = {}
    for batch, ids in drawn.items():
        sides = {name: _pass(model, ids) for name, model in models.items()}
        several = rounds if isinstance(rounds, int) else rounds[batch]
        seconds[batch] = take_turns(sides, rounds=several, progress=progress)
    first, largest = next(iter(models)), max(batches)
    return [
        Footprint(
            model=name,
            parameters=count(model),
            encoder=count(model.base_model),
            megabytes=round(megabytes(model), 3),
            milliseconds={
                b: round(1000 * statistics.median(took[name]), 3) for b, took in seconds.items()
            },
            sequences_per_second=round(largest / statistics.median(seconds[largest][name]), 2),
            faster={b: ratio(took[first], took[name]) for b, took in seconds.items()},
            peak_megabytes=_peak(models, name, drawn[largest]),
        )
        for name, model in models.items()
    ]


def by_shape(
    models: Mapping[str, PreTrainedModel], *, length: int, rounds: int | Mapping[int, int]
) -> dict[str, Footprint]:
    """Models by name as ``measure`` finds them on a CPU, with one time for all of one shape: time
    does not depend on what was learnt, so a difference between them would be noise."""

    def shape(model: PreTrainedModel) -> tuple[Any, ...]:
        found = weights(model.base_model)
        return type(model), tuple((tuple(some.shape), some.dtype) for some in found)

    first: dict[tuple[Any, ...], str] = {}
    of = {name: first.setdefault(shape(model), name) for name, model in models.items()}
    timed = {name: models[name] for name in dict.fromkeys(of.values())}
    rows = {row.model: row for row in measure(timed, length=length, rounds=rounds)}
    return {name: replace(rows[of[name]], model=name) for name in models}


def _pass(model: PreTrainedModel, ids: torch.Tensor) -> Callable[[], None]:
    import torch

    @torch.inference_mode()
    def run() -> None:
        model.base_model(input_ids=ids)
        if ids.is_cuda:
            torch.cuda.synchronize()

    return run


def _peak(
    models: Mapping[str, PreTrainedModel], name: str, ids: torch.Tensor
) -> float | None:
    """Memory of one pass, without the weights of the other models."""
    import torch

    if not ids.is_cuda:
        return None
    torch.cuda.reset_peak_memory_stats()
    _pass(models[name], ids)()
    others = {
        p.data_ptr(): p.nbytes
        for other, model in models.items() if other != name for p in model.parameters()
    }  # fmt: skip
    return round((torch.cuda.max_memory_allocated() - sum(others.values())) / 1e6, 1)


def flat(row: Footprint) -> dict[str, Any]:
    """A row as metrics of the ledger: one number under each name."""
    values: dict[str, Any] = {
        "parameters": row.parameters,
        "encoder": row.encoder,
        "megabytes": row.megabytes,
        "sequences_per_second": row.sequences_per_second,
    }
    if row.peak_megabytes is not None:
        values["peak_megabytes"] = row.peak_megabytes
    for batch, took in row.milliseconds.items():
        values[f"milliseconds_{batch}"] = took
        values |= {f"faster_{batch}_{k}": v for k, v in row.faster[batch].items()}
    return values
