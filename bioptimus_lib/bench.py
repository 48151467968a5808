"""Comparing the time of two ways to one result, on a machine whose speed is never quite the same.

The sides take turns, so that each meets the same machine, and their ratio is taken turn by turn:
what slows a whole turn cancels out. Seconds of different runs should not be compared, ratios may.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

Sides = Mapping[str, Callable[[], Any]]


def check_numbers(arguments: argparse.Namespace, *names: str) -> None:
    """ValueError for one of these options that is given and below 1."""
    for name in names:
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name} {value} is impossible: give 1 or more")


def take_turns(
    sides: Sides, *, rounds: int = 5, warm: int = 1, progress: bool = False
) -> dict[str, list[float]]:
    """Seconds of each side in each round.

    Args:
        sides: name → what to time; every other round goes through them backwards.
        rounds: that are timed.
        warm: rounds before them that are not, for caches and files.
        progress: show a progress bar.
    """
    from tqdm.auto import tqdm

    if rounds < 1 or warm < 0:
        raise ValueError(f"{rounds} rounds after {warm} to warm up: give 1 and 0 at least")
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    gc.collect()
    gc.freeze()  # what is there already need not be looked at before each side: that is a second
    try:
        for number in tqdm(range(-warm, rounds), unit="round", desc="bench", disable=not progress):
            names = list(sides) if number % 2 else list(sides)[::-1]
            for name in names:
                gc.collect()
                began = time.perf_counter()
                sides[name]()
                took = time.perf_counter() - began
                if number >= 0:
                    seconds[name].append(took)
    finally:
        gc.unfreeze()
    return seconds


def ratio(slow: list[float], fast: list[float]) -> dict[str, float]:
    """How many times as fast the second side is: median, least and most of the rounds."""
    found = [a / b for a, b in zip(slow, fast, strict=True)]
    return {
        "ratio": round(statistics.median(found), 3),
        "least": round(min(found), 3),
        "most": round(max(found), 3),
    }
