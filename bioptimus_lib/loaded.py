"""What worker processes need, loaded once by the process from which they are forked.

Importing this module also makes the compiled loops run once, so that they are compiled and loaded.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from bioptimus_lib import counting, parts, search  # noqa: F401
from bioptimus_lib.excerpts import around
from bioptimus_lib.matching import Keywords, count_lines

with suppress(Exception):  # else no worker would start, and nobody be told why
    count_lines(Keywords(b"a"), b"a")
    around(b"a", np.zeros(1, dtype=np.int64), 1)
