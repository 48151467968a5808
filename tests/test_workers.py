"""Worker processes begin with what their work needs, and with no more."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
from bioptimus_lib.workers import WorkerPool
with WorkerPool(1, models={models}) as pool:
    print(*pool.in_order(eval, ["sorted({{'torch', 'bioptimus_lib.mini_albert', "
                                "'bioptimus_lib.search'}} & __import__('sys').modules.keys())"]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the server loads models on Linux alone")
@pytest.mark.parametrize("models", [False, True])
def test_a_worker_has_loaded_what_its_work_needs(models):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(models=models)],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    alone = ["bioptimus_lib.search"]
    whole = ["bioptimus_lib.mini_albert", *alone, "torch"]
    assert eval(done.stdout) == (whole if models else alone)
