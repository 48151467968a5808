"""Loops in machine code, by Numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

_Loop = TypeVar("_Loop", bound=Callable[..., Any])


def compiled(function: _Loop) -> _Loop:
    """The function, compiled when it is first called, and run without Python's lock.

    The machine code is kept beside the source, or in the user's cache; where neither can be written
    every process compiles for itself.
    """
    try:
        return cast(_Loop, njit(cache=True, nogil=True)(function))
    except RuntimeError:  # Numba has found no place for its cache
        return cast(_Loop, njit(nogil=True)(function))
