"""Which tests stay together when several processes share them out.

Under ``--dist loadfile`` a file does, and so do the chapters that share a run, in order: each goes
on where the last ended.
"""

from __future__ import annotations

from functools import cache

import pytest


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """The scheduler that keeps files together, taught about shared runs."""
    from tidy import run_of
    from xdist.scheduler import LoadScopeScheduling

    if config.getoption("dist") != "loadfile":
        return None

    @cache
    def group(file: str) -> str:
        path = config.rootpath / file
        return (path.suffix == ".ipynb" and run_of(path.read_text("utf-8"))) or file

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return group(nodeid.split("::", 1)[0])

    return Together(config, log)
