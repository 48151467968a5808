"""The wait while packages are installed is not silent, and nothing is lost if pip fails."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import install
import pytest

ROOT = Path(__file__).resolve().parents[1]
PIP = """
import sys, time
print("Obtaining file:///x"); print("Collecting torch>=2"); print("Collecting numpy")
print("  Downloading torch-2.11-cp311-x.whl.metadata (29 kB)", flush=True)
time.sleep({pause})
print("Downloading torch-2.11-cp311-x.whl (821.4 MB)")
print("Downloading idna-3-py3.whl (70 kB)")
print("Installing collected packages: idna, numpy, torch", flush=True)
print("ERROR: no matching distribution") if {code} else None
sys.exit({code})
"""


def said(code: int, pause: float = 0.0) -> tuple[int, list[str]]:
    lines: list[str] = []
    command = [sys.executable, "-c", PIP.format(code=code, pause=pause)]
    return install.run(command, say=lines.append, quiet=0.2), lines


def test_large_downloads_and_the_unpacking_are_told():
    code, lines = said(0)
    assert code == 0
    told = [re.sub(r"^ +\d+ s  ", "", line) for line in lines if "still" not in line]
    assert told == ["downloading torch-2.11 (821 MB)", "unpacking 3 packages", "installed"]


def test_a_long_silence_has_signs_of_life():
    _, lines = said(0, pause=1.5)
    alive = [line for line in lines if "still looking for packages, 2 found" in line]
    assert len(alive) >= 2


def test_a_failure_gives_its_code_and_all_that_was_said():
    code, lines = said(1)
    assert code == 1 and "no matching distribution" in lines[-1] and "Collecting numpy" in lines[-1]
    assert not any("installed" in line for line in lines)


@pytest.mark.parametrize("line", [
    "Downloading idna-3-py3.whl (70 kB)", "Collecting torch", "Requirement already satisfied: a",
])  # fmt: skip
def test_what_takes_a_moment_is_not_told(line):
    assert list(install.told([line])) == []


@pytest.mark.parametrize("keeps", [True, False])
def test_packages_are_compiled_where_python_keeps_nothing(keeps, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", not keeps)
    (tmp_path / "sound.py").write_text("x = 1\n")
    (tmp_path / "template.py").write_text("x = {{ y\n")
    lines: list[str] = []
    install.compiled(tmp_path, say=lines.append)
    made = [path.name.split(".")[0] for path in tmp_path.rglob("*.pyc")]
    assert made == ([] if keeps else ["sound"]) and len(lines) == len(made)


def test_make_setup_goes_through_it():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "book/_tools/install.py" in makefile and "-qq" not in makefile
