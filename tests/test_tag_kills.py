"""``bioptimus tag`` killed at random: what was written are whole records, none lost, none doubled,
so who goes on behind the last of them has what a run that was not killed has.

Two kills by default; ``BIOPTIMUS_KILLS=20`` for a soak.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time

import pytest
from test_tag_command import folder, start  # noqa: F401  (a fixture)

KILLS = int(os.environ.get("BIOPTIMUS_KILLS", "2"))
LINES = 4_000
WORDS = ("aspirin", "relieves", "pain", "and", "fever", "in", "most", "patients", ".", "<b>", "é")


def records(data: bytes) -> list[dict]:
    return [json.loads(line) for line in data.splitlines()]


def tagged(folder, text, out):  # noqa: F811
    """A process that tags a file of text into a file."""
    with open(text, "rb") as source, open(out, "wb") as target:
        return start(folder, source, stdout=target)


def first_record(child, out) -> float:
    """Wait for it; the time at which it came."""
    while child.poll() is None and not out.stat().st_size:
        time.sleep(0.005)
    return time.monotonic()


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):  # noqa: F811
    """(text, records of a run that was not killed, seconds from its first record to its last)."""
    draw = random.Random(17)
    lines = [" ".join(draw.choices(WORDS, k=draw.randint(0, 25))) for _ in range(LINES)]
    place = tmp_path_factory.mktemp("whole")
    (place / "in").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    child = tagged(folder, place / "in", place / "out")
    began = first_record(child, place / "out")
    assert child.wait() == 0
    found = records((place / "out").read_bytes())
    assert [row["line"] for row in found] == list(range(1, LINES + 1))
    return place / "in", found, time.monotonic() - began


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(KILLS))
def test_no_record_is_lost_or_doubled_by_a_kill(seed, whole, folder, tmp_path):  # noqa: F811
    text, expected, seconds = whole
    child = tagged(folder, text, tmp_path / "out")
    until = first_record(child, tmp_path / "out") + random.Random(seed).random() * seconds
    while child.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    data = (tmp_path / "out").read_bytes()
    assert data.endswith(b"\n")
    done = records(data)
    assert done and done == expected[: len(done)]

    rest = text.read_bytes().split(b"\n")[len(done) :]
    (tmp_path / "rest").write_bytes(b"\n".join(rest))
    assert tagged(folder, tmp_path / "rest", tmp_path / "more").wait() == 0
    more = records((tmp_path / "more").read_bytes())
    both = [(row["text"], row["entities"]) for row in (*done, *more)]
    texts = [(row["text"], row["entities"]) for row in expected]
    assert [t for t, _ in both] == [t for t, _ in texts]
    places = [[(e["type"], e["start"], e["end"]) for e in found] for _, found in both]
    assert places == [[(e["type"], e["start"], e["end"]) for e in found] for _, found in texts]
