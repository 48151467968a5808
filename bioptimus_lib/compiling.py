"""Loops in machine code, by Numba."""

from __future__ import annotations

from collections.abc import Callable

from numba import njit


def compiled(function: Callable) -> Callable:
    """The function, compiled when it is first called, and run without Python's lock.

    The machine code is kept beside the source, or in the user's cache; where neither can be written
    every process compiles for itself.
    """
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:  # Numba has found no place for its cache
        return njit(nogil=True)(function)
