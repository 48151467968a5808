"""Three ways to draw k lines of a stream that several workers read, of which one stays fair.

A sampler is given the parts that the workers read, as positions in the stream, and draws k of all
of them. The hashes of ``bottom_k`` are those of ``scan``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice

import numpy as np

from bioptimus_lib.match_loop import scattered
from bioptimus_lib.sketch import digest


def first(parts: Sequence[Sequence[int]], k: int, *, seed: int) -> list[int]:
    """The first k; no chance is in it."""
    return list(islice(chain(*parts), k))


def reservoirs(parts: Sequence[Sequence[int]], k: int, *, seed: int) -> list[int]:
    """A reservoir of k for each worker (Vitter's algorithm R), and k of all of these at random."""
    rng = random.Random(seed)
    held: list[int] = []
    for part in parts:
        reservoir: list[int] = []
        for number, position in enumerate(part):
            if number < k:
                reservoir.append(position)
            elif (place := rng.randrange(number + 1)) < k:
                reservoir[place] = position
        held += reservoir
    return rng.sample(held, min(k, len(held)))


def bottom_k(parts: Sequence[Sequence[int]], k: int, *, seed: int) -> list[int]:
    """The k with the smallest hash among the k of each worker with the smallest hash."""
    return [position for _, position in merged([sketch(part, k, seed=seed) for part in parts], k)]


def sketch(positions: Sequence[int], k: int, *, seed: int = 0) -> list[tuple[int, int]]:
    """(hash, position) of the k positions with the smallest hash, smallest first."""
    base, factor = np.uint64(digest(seed, "file", "a stream")), digest(seed, "keyword") | 1
    hashes = (int(scattered(base, position)) * factor % (1 << 64) for position in positions)
    return sorted(zip(hashes, positions, strict=True))[:k]


def merged(sketches: Iterable[Sequence[tuple[int, int]]], k: int) -> list[tuple[int, int]]:
    """The sketch of all that the sketches were made of."""
    return sorted(chain(*sketches))[:k]


SAMPLERS: dict[str, Callable[..., list[int]]] = {
    "the first K": first,
    "a reservoir per worker": reservoirs,
    "bottom-K": bottom_k,
}


def inclusion(
    sampler: Callable[..., list[int]], parts: Sequence[Sequence[int]], k: int, *, draws: int
) -> np.ndarray:
    """How often each position is drawn, as a share of ``draws`` seeds: (positions,)."""
    counts = np.zeros(sum(map(len, parts)))
    for seed in range(draws):
        counts[sampler(parts, k, seed=seed)] += 1
    return counts / draws
