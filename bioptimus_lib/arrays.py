"""What functions take for numbers in a row: a sequence of Python's, or an array.

For annotations alone. ``np.asarray`` makes either an array, which a reader and a type checker then
may count on; what a function *returns* is an ``np.ndarray``, its shape in the docstring.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Ints = Sequence[int] | np.ndarray
Floats = Sequence[float] | np.ndarray
