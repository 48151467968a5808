"""The run of chapters as in Colab, with small stand-ins: `make colab` itself takes half an hour."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import colab
import nbformat
import pytest


def notebook(path: Path, *sources: str) -> Path:
    new = nbformat.v4.new_code_cell
    cells = [new(source, metadata={"tags": ["setup"]} if not n else {})
             for n, source in enumerate(sources)]  # fmt: skip
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


@pytest.fixture
def small(tmp_path, monkeypatch):
    """This Python stands in for Colab's, a commit of one file for the course."""
    git = ["git", "-C", str(tmp_path / "course"), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    (tmp_path / "course").mkdir()
    (tmp_path / "course" / "_config.yml").write_text("execute:\n  timeout: 60\n")
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *command], check=True)
    monkeypatch.setattr(colab, "ROOT", tmp_path / "course")
    monkeypatch.setattr(colab, "environment", lambda folder, python: Path(python))
    for name in ("JUPYTER_PATH", "PYTHONPATH", "VIRTUAL_ENV"):  # what the check sets is taken back
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("BIOPTIMUS_PROFILE", "glance")
    return tmp_path


SET_UP = """
import os, subprocess
assert not os.path.isfile("_config.yml")
if not os.path.isdir("bioptimus"):
    subprocess.run(["git", "clone", "-q", os.environ["BIOPTIMUS_COURSE"], "bioptimus"], check=True)
print(os.environ["COLAB_RELEASE_TAG"], os.path.isfile("bioptimus/_config.yml"))
"""


def problems(small: Path, *more: str) -> list[str]:
    path = notebook(small / "00_small.ipynb", SET_UP, *more)
    (small / "work").mkdir()
    return colab.check([path], small / "work", python=sys.executable, jobs=1)


def test_a_chapter_finds_what_colab_gives(small, capfd):
    seen = "import os; assert os.environ['BIOPTIMUS_PROFILE'] == 'glance'"
    assert problems(small, f"{seen} and 'VIRTUAL_ENV' not in os.environ") == []
    said = capfd.readouterr().out
    assert said.count("check True") == 2 and "set-up: " in said and "00_small" in said


def test_a_cell_that_fails_is_told(small):
    (problem,) = problems(small, "open('something of this machine')")
    assert problem.startswith("00_small failed") and "FileNotFoundError" in problem


def test_a_slow_set_up_and_a_changed_package_are_told(small, monkeypatch):
    there = iter([{"numpy": "2.1.3", "old": "1"}] * 2 + [{"numpy": "2.4.6", "new": "1"}])
    monkeypatch.setattr(colab, "installed", lambda python: next(there))
    monkeypatch.setattr(colab, "LONGEST_SET_UP", 0.0)
    slow, numpy, old = problems(small)
    assert "set-up took" in slow
    assert (numpy, old) == ("numpy 2.1.3 is 2.4.6 now", "old 1 is gone now")


def test_the_environment_is_made_once_and_cleaned(monkeypatch, tmp_path):
    asked, there = [], {"numpy": "2.1.3"}

    def run(command, check):
        asked.append(command)
        (tmp_path / "venv").mkdir(exist_ok=True)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(colab, "installed", lambda python: dict(there))
    monkeypatch.setenv("PIP_ARGS", "--index-url 'http://a b'")
    colab.environment(tmp_path / "venv", "python3.13")
    assert asked[0][:3] == ["python3.13", "-m", "venv"]
    assert asked[1][-len(colab.wanted()) - 1 :] == ["http://a b", *colab.wanted()]
    colab.environment(tmp_path / "venv", "python3.13")
    assert len(asked) == 2
    there["seqeval"] = "1.2.2"
    colab.environment(tmp_path / "venv", "python3.13")
    assert asked[2][-3:] == ["--quiet", "--yes", "seqeval"]
    colab.environment(tmp_path / "venv", "python3.12")
    assert asked[3][:3] == ["python3.12", "-m", "venv"]


def test_torch_is_the_one_of_the_constraints():
    assert "torch==2.11.0" in colab.lines_of(colab.PACKAGES)
    (torch,) = (line for line in colab.wanted() if line.startswith("torch"))
    assert torch in colab.lines_of(colab.ROOT / "constraints.txt")
    assert not [line for line in colab.wanted() if line.startswith(("seqeval", "pooch"))]
