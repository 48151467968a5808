"""What a process takes of its machine."""

from __future__ import annotations

import pytest

from bioptimus_lib import machine, workers


def test_cores_are_those_of_the_machine_or_fewer_when_asked(monkeypatch):
    monkeypatch.setattr(machine, "machine_cores", lambda: 4)
    monkeypatch.delenv("BIOPTIMUS_CORES", raising=False)
    assert machine.usable_cores() == 4
    assert workers.worker_count(None, cost=10**12) == 4
    for given, cores in (("", 4), ("3", 3), ("1", 1), ("64", 4)):
        monkeypatch.setenv("BIOPTIMUS_CORES", given)
        assert machine.usable_cores() == cores
    monkeypatch.setenv("BIOPTIMUS_CORES", "1")
    assert workers.worker_count(None, cost=10**12) == 0
    assert workers.worker_count(2, cost=0) == 2  # who asks gets what was asked for


@pytest.mark.parametrize("given", ["0", "-1", "two", "1.5"])
def test_what_is_no_number_of_cores_is_refused(monkeypatch, given):
    monkeypatch.setenv("BIOPTIMUS_CORES", given)
    with pytest.raises(ValueError, match=f"BIOPTIMUS_CORES='{given}': expected a number"):
        machine.usable_cores()
