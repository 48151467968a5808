"""Exercises of chapter 06: a learning-rate schedule, bits per byte."""

from __future__ import annotations

import math
from typing import Any

from bioptimus_lib.checks import Exercise, Mistake

# -- 06-1: warm-up and fall ------------------------------------------------------------------------


def _rate_cases() -> list[tuple[Any, ...]]:
    whole = [(step, 100, 0.5, 10) for step in (0, 1, 5, 9, 10, 11, 40, 99, 100)]
    return [*whole, (3, 20, 1e-3, 4), (19, 20, 1e-3, 4), (7, 8, 2.0, 1)]


def rate(step: int, steps: int, peak: float, warmup: int) -> float:
    """The solution of 06-1: up to the peak over the warm-up, then down to 0 at the end."""
    if step < warmup:
        return peak * step / warmup
    return peak * (steps - step) / (steps - warmup)


RATE = Exercise(
    name="rate",
    cases=_rate_cases,
    solution=rate,
    mistakes=(
        Mistake(
            lambda step, steps, peak, warmup: peak * (steps - step) / steps,
            "there is no warm-up: the first step has the full rate. Below `warmup` the rate rises "
            "from 0 in equal steps.",
        ),
        Mistake(
            lambda step, steps, peak, warmup: peak * min(step / warmup, 1.0),
            "the rate rises and then stays at its peak. After the warm-up it falls, to 0 at the "
            "last step.",
        ),
        Mistake(
            lambda step, steps, peak, warmup: (
                peak * step / warmup if step < warmup else peak * (steps - step) / steps
            ),
            "the fall is counted from step 0, so the rate drops at once where the warm-up ends. It "
            "falls over the `steps - warmup` steps that are left.",
        ),
        Mistake(
            lambda step, steps, peak, warmup: (
                peak * (step + 1) / warmup if step < warmup
                else peak * (steps - step) / (steps - warmup)
            ),
            "the warm-up is one step ahead: at step 0 the rate is 0, and the peak comes at step "
            "`warmup`.",
        ),
        Mistake(
            lambda step, steps, peak, warmup: (
                peak * step / warmup if step < warmup
                else peak * (steps - warmup - step) / (steps - warmup)
            ),
            "the fall begins too low: at step `warmup` the whole way is left, `steps - warmup` of "
            "`steps - warmup` steps. Count what is left as `steps - step`.",
        ),
        Mistake(
            lambda step, steps, peak, warmup: rate(step, steps, 1.0, warmup),
            "this is the share of the peak. Multiply it by `peak`.",
        ),
    ),
    gives="peak · step / warmup below the warm-up, then a straight line from the peak to 0",
    praise="It is what `Trainer` calls linear; its first step has the rate 0 and changes nothing.",
)  # fmt: skip

# -- 06-2: bits per byte ---------------------------------------------------------------------------


def _bits_cases() -> list[tuple[Any, ...]]:
    return [(math.log(2), 100, 400), (3.0, 250, 1000), (2.0, 410, 1000), (0.0, 5, 9)]


def bits(loss: float, pieces: int, size: int) -> float:
    """The solution of 06-2: nats per piece to bits per byte."""
    return loss / math.log(2) * pieces / size


BITS = Exercise(
    name="bits",
    cases=_bits_cases,
    solution=bits,
    mistakes=(
        Mistake(
            lambda loss, pieces, size: loss * pieces / size,
            "these are nats per byte. A bit is ln 2 nats, so divide by `math.log(2)`.",
        ),
        Mistake(
            lambda loss, pieces, size: loss * math.log(2) * pieces / size,
            "you multiplied by ln 2. There are *more* bits than nats: one nat is 1 / ln 2 bits.",
        ),
        Mistake(
            lambda loss, pieces, size: loss / math.log(2) * size / pieces,
            "pieces and bytes are the wrong way round. The loss is per piece: times the pieces it "
            "is that of the whole text, and then a share of it for each byte.",
        ),
        Mistake(
            lambda loss, pieces, size: loss / math.log(2),
            "these are bits per piece. A vocabulary of longer pieces has fewer of them in the same "
            "text; multiply by the pieces and divide by the bytes.",
        ),
        Mistake(
            lambda loss, pieces, size: loss / math.log(2) * pieces,
            "these are the bits of the whole text. Divide by its bytes.",
        ),
        Mistake(
            lambda loss, pieces, size: loss / math.log(2) / size,
            "the loss of *one* piece was divided by the bytes of the whole text. Multiply by the "
            "number of pieces first.",
        ),
    ),
    gives="the loss in bits, times pieces per byte",
    praise="Two models that cut the same text differently now have one unit; whether they were "
    "asked one question is another matter.",
)

EXERCISES = {"06-1": RATE, "06-2": BITS}
