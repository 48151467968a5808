"""The chapters are executed side by side, anew each time, and the book reads what came out."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from queue import Empty

import execute
import nbformat
import pytest
from execute import LONG, MEASURES, execute_all, in_short_waits, queue, side_by_side
from jupyter_cache import get_cache

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
MEASURING = re.compile(r"\b(?:best_of|growth|serial_and_parallel|with_processes|perf_counter)\(")


def notebook(folder: Path, name: str, code: str, *tags: str) -> Path:
    cell = nbformat.v4.new_code_cell(code, metadata={"tags": list(tags)} if tags else {})
    made = nbformat.v4.new_notebook(cells=[cell])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(made, folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"


def shown(cache: Path, path: Path, *, cell: int = 0) -> str:
    """What the book would show under a cell of a notebook; KeyError if nothing is kept."""
    _, merged = get_cache(cache).merge_match_into_notebook(nbformat.read(path, 4))
    return merged.cells[cell].outputs[0].text


def test_outputs_are_kept_and_what_failed_is_told(tmp_path, capfd):
    good = [notebook(tmp_path, f"good{n}", f"print({n} + 40)") for n in range(3)]
    bad = notebook(tmp_path, "bad", "1 / 0")
    failed = execute_all([*good, bad], cache=tmp_path / "b" / "cache", jobs=2, timeout=60)
    assert [path for path, _ in failed] == [bad]
    assert "ZeroDivisionError" in failed[0][1]
    assert [shown(tmp_path / "b" / "cache", path) for path in good] == ["40\n", "41\n", "42\n"]
    with pytest.raises(KeyError):
        shown(tmp_path / "b" / "cache", bad)
    out, err = capfd.readouterr()
    assert not err, "kernels are quiet"
    said = dict(line.split()[:2] for line in out.splitlines())
    assert {*said} == {"good0", "good1", "good2", "bad"} and said["bad"] == "failed"


def test_the_second_time_sees_what_has_changed_beside_the_notebook(tmp_path):
    path = notebook(tmp_path, "reads", "print(open('library.txt').read())")
    for text in ("old", "new"):
        (tmp_path / "library.txt").write_text(text)
        assert not execute_all([path], cache=tmp_path / "cache", jobs=1, timeout=60)
        assert shown(tmp_path / "cache", path) == f"{text}\n"


WRITES = """
import pathlib, subprocess, sys, time
script = 'import time\\nwhile True: print(time.time(), flush=True); time.sleep(0.02)'
with open('beats', 'w') as file:
    child = subprocess.Popen([sys.executable, '-c', script], stdout=file)
pathlib.Path('begun').touch()
beats = []
while not pathlib.Path('measured').exists() and len(beats) < 3_000:
    beats.append(time.time())
    time.sleep(0.02)
time.sleep(0.5)
child.kill()
print(*beats, time.time())
"""
MEASURED = """
import pathlib, time
while not pathlib.Path('begun').exists() or not pathlib.Path('beats').read_text():
    time.sleep(0.02)
"""


def test_a_cell_that_measures_time_stops_all_else(tmp_path):
    writes = notebook(tmp_path, "writes", WRITES)
    measures = notebook(tmp_path, "measures", MEASURED)
    times = nbformat.v4.new_code_cell(
        "began = time.time(); time.sleep(2); print(began, time.time())\n"
        "pathlib.Path('measured').touch()",
        metadata={"tags": [MEASURES]},
    )
    made = nbformat.read(measures, 4)
    made.cells.append(times)
    nbformat.write(made, measures)
    cache = tmp_path / "cache"
    assert not execute_all([writes, measures], cache=cache, jobs=2, timeout=60)
    began, ended = map(float, shown(cache, measures, cell=1).split())
    own = [float(beat) for beat in shown(cache, writes).split()]
    of_its_child = [float(beat) for beat in (tmp_path / "beats").read_text().split()[:-1]]
    for beats in (own, of_its_child):
        assert beats[0] < began and beats[-1] > ended - 0.5, "it was there, and went on"
        assert not [beat for beat in beats if began + 0.2 < beat < ended - 0.2]


def test_of_chapters_that_share_a_run_the_last_goes_first(tmp_path):
    work = "import pathlib\nworkspace = pathlib.Path\nrun = workspace('shared')\n" \
        "seen = run.exists()\nrun.touch()\nprint(seen)"  # fmt: skip
    # Notebooks of the same code are one to the cache.
    a1, a2, a3 = (notebook(tmp_path, name, f"{work}  # {name}") for name in ("a1", "a2", "a3"))
    b, z = (notebook(tmp_path, name, f"print('{name}')") for name in ("b", "z"))
    found = queue([a1, b, a2, a3, z])
    assert list(found.items()) == [(a3, None), (a2, a3), (a1, a3), (z, None), (b, None)]
    first = notebook(tmp_path, "a", "print('a')", LONG)
    assert list(queue([first, b, z])) == [first, z, b]
    assert queue([b]) == {b: None} and queue([]) == {}
    assert not execute_all([a1, b, a2, a3, z], cache=tmp_path / "cache", jobs=2, timeout=60)
    found = [shown(tmp_path / "cache", path) for path in (a1, a2, a3, b, z)]
    assert found == ["True\n", "True\n", "False\n", "b\n", "z\n"]


class Sleeper:
    """A channel that is never woken: it sees a message only if it is there when it is asked."""

    def __init__(self, seconds):
        self.comes, self.asked = time.monotonic() + seconds, 0

    async def get_msg(self, timeout=None):
        self.asked += 1
        if time.monotonic() >= self.comes:
            return "reply"
        await asyncio.sleep(timeout)
        raise Empty


def test_a_client_that_is_not_woken_looks_again():
    late = Sleeper(0.35)
    assert asyncio.run(in_short_waits(late.get_msg, 60, each=0.1)) == "reply" and late.asked >= 4
    late = Sleeper(0.25)
    assert asyncio.run(in_short_waits(late.get_msg, each=0.1)) == "reply"
    never, began = Sleeper(60), time.monotonic()
    with pytest.raises(Empty):
        asyncio.run(in_short_waits(never.get_msg, 0.25, each=0.1))
    assert 0.2 < time.monotonic() - began < 5


def test_every_channel_of_the_client_looks_again(tmp_path, monkeypatch):
    waits = []
    ask = execute.in_short_waits

    async def watched(get, timeout=None):
        waits.append(get.__self__)
        return await ask(get, timeout)

    monkeypatch.setattr(execute, "in_short_waits", watched)
    path = notebook(tmp_path, "a", "print(1)")
    _, done, problem, seconds = execute.execute(path, execute.Machine(), 60)
    assert done.cells[0].outputs[0].text == "1\n" and not problem and seconds > 0
    assert len({id(channel) for channel in waits}) == 2


def begin_and_end(name: str) -> tuple[str, float, float]:
    """(name, begin, end) of some work."""
    begin = time.time()
    time.sleep(3 if name == "own" else 0.5)
    return name, begin, time.time()


def test_what_waits_begins_when_it_may_and_no_job_is_idle():
    waiting = {"first": None, "second": "first", "third": "first", "own": None}
    found = {name: times for name, *times in side_by_side(begin_and_end, waiting, jobs=2)}
    assert {*found} == {*waiting}
    assert found["first"][1] < found["second"][0] < found["own"][1]
    assert found["second"][1] < found["third"][0]


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_cells_that_measure_time_say_so(path):
    chapter = json.loads(path.read_text(encoding="utf-8"))
    silent = [
        cell["id"]
        for cell in chapter["cells"]
        if cell["cell_type"] == "code"
        and MEASURING.search("".join(cell["source"]))
        and MEASURES not in cell["metadata"].get("tags", [])
    ]
    assert not silent
