"""Exercises of chapter 18: the gradient of a shared step, and the bill of a training."""

from __future__ import annotations

from typing import Any

import numpy as np

from bioptimus_lib.checks import Exercise, Mistake

# -- 18-1: one gradient from several processes -----------------------------------------------------


def together(gradients: list[np.ndarray], counts: list[int]) -> np.ndarray:
    """The solution of 18-1: the gradient of the mean over all guesses of a step."""
    parts = (n * np.asarray(g) for g, n in zip(gradients, counts, strict=True))
    return np.asarray(sum(parts)) / sum(counts)


def _together_cases() -> list[tuple[Any, ...]]:
    import torch

    draw = np.random.default_rng(18)
    cases = [
        ([draw.normal(size=4) for _ in counts], list(counts))
        for counts in ((12, 3), (40, 41, 39), (7, 0, 20, 5))
    ]
    as_tensors = [torch.tensor(gradient) for gradient in cases[0][0]]  # as in the chapter
    return [*cases, (as_tensors, cases[0][1])]


TOGETHER = Exercise(
    name="together",
    cases=_together_cases,
    solution=together,
    mistakes=(
        Mistake(
            lambda gradients, counts: sum(gradients) / len(gradients),
            "this is the plain mean: a process with three guesses counts as much as one with "
            "forty. Each gradient is a mean already; weight it by the guesses it was made from.",
        ),
        Mistake(
            lambda gradients, counts: sum(gradients),
            "the gradients are added and nothing is divided, so the step grows with the number of "
            "processes.",
        ),
        Mistake(
            lambda gradients, counts: sum(n * g for g, n in zip(gradients, counts, strict=True))
            / len(gradients),
            "the weights are right, the divisor is not: it is the guesses of all processes, not "
            "the number of processes.",
        ),
        Mistake(
            lambda gradients, counts: sum(g for g, n in zip(gradients, counts, strict=True) if n)
            / sum(n > 0 for n in counts),
            "processes without a guess are left out, and the others are still averaged as if they "
            "had equally many.",
        ),
        Mistake(
            lambda gradients, counts: sum(g / max(n, 1) for g, n in zip(gradients, counts,
                                                                        strict=True)),
            "the gradients are divided by their counts. They have been already, for each belongs "
            "to a mean; multiply, to undo it, before you add.",
        ),
        Mistake(
            lambda gradients, counts: np.asarray(gradients[int(np.argmax(counts))]),
            "only the process with most guesses is heard.",
        ),
    ),
    gives="one gradient, an array of the shape of each of them",
    praise="However a step is divided, it is the same step. MaskedTrainer does this with one "
    "division, before the processes talk to each other.",
)  # fmt: skip

# -- 18-2: a bill ----------------------------------------------------------------------------------


def bill(
    flops: float, units: int, peak: float, share: float, watts: float, dollars: float
) -> tuple[float, float, float]:
    """The solution of 18-2: hours, kWh and dollars."""
    hours = flops / (units * peak * share) / 3600
    return hours, hours * watts / 1000, hours * dollars


def _changed(**change: Any) -> Any:
    """The solution with something done to one of its arguments or results."""

    def answer(
        flops: float, units: int, peak: float, share: float, watts: float, dollars: float
    ) -> tuple[float, float, float]:
        given = {"flops": flops, "units": units, "peak": peak, "share": share, "watts": watts,
                 "dollars": dollars}  # fmt: skip
        return bill(**{k: change.get(k, lambda v, _: v)(v, given) for k, v in given.items()})

    return answer


def _seconds(*given: Any) -> tuple[float, float, float]:
    hours, kwh, dollars = bill(*given)
    return 3600 * hours, 3600 * kwh, 3600 * dollars


BILL = Exercise(
    name="bill",
    cases=lambda: [
        (6e18, 1, 65e12, 0.25, 130.0, 0.5), (6e18, 8, 312e12, 0.4, 6500.0, 25.0),
        (1e20, 2, 100e12, 0.5, 900.0, 3.0),
    ],
    solution=bill,
    mistakes=(
        Mistake(
            _changed(share=lambda v, _: 1.0),
            "this takes the peak of the data sheet for what a training reaches. Nobody reaches it: "
            "multiply by the share.",
        ),
        Mistake(
            _changed(units=lambda v, _: 1),
            "this is the time of a single unit. They share the operations.",
        ),
        Mistake(
            _changed(watts=lambda v, _: 1000 * v),
            "the energy is in watt-hours. A kWh is a thousand of them.",
        ),
        Mistake(
            _seconds,
            "these are seconds, and what follows from them. An hour has 3,600.",
        ),
        Mistake(
            _changed(watts=lambda v, g: v * g["units"], dollars=lambda v, g: v * g["units"]),
            "watts and dollars are given for all units together, and were multiplied once more.",
        ),
        Mistake(
            _changed(watts=lambda v, g: v * g["share"]),
            "a card that reaches a quarter of its peak is not switched off for the rest: it draws "
            "its watts while it waits.",
        ),
    ),
    gives="hours, kWh and dollars, three numbers in this order",
    praise="Three lines, and most of the uncertainty is in one of the six numbers: the share.",
)  # fmt: skip

EXERCISES = {"18-1": TOGETHER, "18-2": BILL}
