"""Killed at a random moment and run again: no record is lost, none is there twice.

Two kills of each command; ``BIOPTIMUS_KILLS=20`` for a soak.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from test_pubmed import same_files

from bioptimus_lib.pocket import write_corpus
from bioptimus_lib.scale_steps import curve, kill_group
from tests.conftest import TINY_TEXT

KILLS = int(os.environ.get("BIOPTIMUS_KILLS", "2"))
ROOT = Path(__file__).resolve().parents[1]
Same = Callable[[Path, Path], bool]

pytestmark = [
    pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is for POSIX"),
]  # fmt: skip


def start(*words: object) -> subprocess.Popen:
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return subprocess.Popen(
        [sys.executable, "-m", "bioptimus_lib", *map(str, words), "--quiet"],
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(*words: object) -> float:
    began, run = time.monotonic(), start(*words)
    _, said = run.communicate(timeout=300)
    assert run.returncode == 0, said
    return time.monotonic() - began


def survives(words: list[object], folder: Path, same: Same, *, out: str = "out") -> None:
    """Kill the command at random moments, run it to its end each time, and compare it with one that
    nothing stopped."""
    finish(*words, "--out", folder / "whole" / out)  # loads caches: its time is no guide
    seconds = finish(*words, "--out", folder / "again" / out)
    assert same(folder / "whole", folder / "again")
    for number in range(KILLS):
        place = folder / f"killed-{number}"
        moment = random.uniform(0.1, 0.95) * seconds
        run = start(*words, "--out", place / out)
        time.sleep(moment)
        kill_group(run)
        assert run.returncode in (0, -signal.SIGKILL)
        finish(*words, "--out", place / out)
        assert same(folder / "whole", place), f"killed after {moment:.2f} of {seconds:.2f} s"


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    (path,) = write_corpus(folder.parent / "all.txt", megabytes=2)
    documents = path.read_text(encoding="utf-8").split("\n\n")
    for number in range(8):
        (folder / f"{number}.txt").write_text("\n\n".join(documents[number::8]), "utf-8")
    return folder


def test_scan(text, tmp_path):
    (tmp_path / "k.txt").write_text("aspirin\npatients\nfever\ntreatment\nabsent\n")

    def same(one: Path, other: Path) -> bool:
        there = sorted(p.name for p in other.iterdir() if not p.name.startswith("."))
        assert there == ["out.json", "out.report.json"], "what is being written is hidden"
        reports = [json.loads((p / "out.report.json").read_text()) for p in (one, other)]
        for report in reports:
            assert report["report"].pop("seconds") > 0
        assert reports[0] == reports[1]
        return same_file(one / "out.json", other / "out.json")

    command = ["scan", "--corpus", text, "--keywords", tmp_path / "k.txt", "--workers", 2]
    survives(command, tmp_path, same, out="out.json")


def same_file(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()


def test_corpus(text, tmp_path):
    def same(one: Path, other: Path) -> bool:
        assert [p.name for p in other.iterdir()] == ["out"], "nothing of the work is left"
        return same_files(one / "out", other / "out")

    command = ["corpus", text, "--workers", 2, "--megabytes", 0.5]
    survives(command, tmp_path, same)


def test_pretrain(tiny_folder, tmp_path):
    corpus = tmp_path / "text.txt"
    corpus.write_text("\n\n".join(" ".join(TINY_TEXT[n % 3 :]) for n in range(400)))

    def same(one: Path, other: Path) -> bool:
        there, expected = (curve(place / "out" / "training" / "v0.1") for place in (other, one))
        assert there == expected and list(there) == sorted(there)
        one_row, row = (
            json.loads((p / "out" / "training" / "v0.1.json").read_text()) for p in (one, other)
        )
        assert row["held_out"] == one_row["held_out"]
        return same_file(*(p / "out" / "v0.1" / "model.safetensors" for p in (one, other)))

    command = ["pretrain", "--model", tiny_folder, "--corpus", corpus, "--phase", 1, "--steps", 80,
               "--batch", 8, "--length", 32, "--save-steps", 10, "--device", "cpu",
               "--precision", "fp32"]  # fmt: skip
    survives(command, tmp_path, same)
