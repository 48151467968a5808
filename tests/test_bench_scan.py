"""``bioptimus bench scan``: sides that find the same, and a result that tells what was compared."""

from __future__ import annotations

import json
import sys

import pytest

from bioptimus_lib import bench_scan, ledger
from bioptimus_lib.bench_text import equal_parts, plain_loop, rare_words
from bioptimus_lib.cli import main
from bioptimus_lib.counting import count_words
from bioptimus_lib.ledger import check
from bioptimus_lib.pocket import write_corpus
from bioptimus_lib.scan import find_contexts

SMALL = ["bench", "scan", "--megabytes", "0.2", "--rounds", "1", "--workers", "1", "--quiet"]


@pytest.fixture
def no_ripgrep(monkeypatch):
    monkeypatch.setattr(bench_scan.shutil, "which", lambda name: None)


def test_made_up_text_wants_a_size(tmp_path):
    with pytest.raises(ValueError, match="say how many megabytes"):
        equal_parts(None, None, 1, tmp_path)


def test_the_plain_loop_finds_what_the_scan_finds(tmp_path):
    (file,) = write_corpus(tmp_path / "a.txt", megabytes=0.2)
    words = rare_words(count_words(file, workers=0), 300)
    found = find_contexts(words, file, workers=0).counts
    lines = plain_loop(words, [file])
    # The loop knows no punctuation but ASCII's, so it misses words beside other dashes.
    assert all(lines[word] <= number for word, number in found.items())
    assert sum(lines.values()) > 0.99 * sum(found.values()) > 1000


def test_parts_are_equal_small_letters_and_kept(tmp_path):
    files = equal_parts(None, 0.2, 2, tmp_path)
    sizes = [file.stat().st_size for file in files]
    assert abs(sizes[0] - sizes[1]) < 5_000 and 190_000 < sum(sizes) < 220_000
    assert all(file.read_text("utf-8") == file.read_text("utf-8").lower() for file in files)
    before = [file.stat().st_mtime_ns for file in files]
    assert equal_parts(None, 0.2, 2, tmp_path) == files
    assert [file.stat().st_mtime_ns for file in files] == before


def test_a_corpus_is_repeated(tmp_path):
    (tmp_path / "a.txt").write_text("Zinc\n" * 3_000)
    for size, lines in ((None, 3_000), (0.02, 6_000)):
        files = equal_parts(str(tmp_path / "a.txt"), size, 2, tmp_path / "work")
        assert [file.read_text() for file in files] == ["zinc\n" * (lines // 2)] * 2


def test_without_ripgrep(tmp_path, capsys, no_ripgrep):
    assert main([*SMALL, "--work", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "ripgrep is left out" in out and "Python loop / scan" in out


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
def test_one_object_and_rows_of_the_ledger(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(ledger, "results_dir", lambda: tmp_path / "results")
    program = tmp_path / "rg"
    program.write_text('#!/bin/sh\necho "ripgrep 99.1"\n')
    program.chmod(0o755)
    options = ["--json", "--ledger", "here", "--work", str(tmp_path), "--ripgrep", str(program)]
    assert main([*SMALL, *options]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["ripgrep"]["version"] == "ripgrep 99.1" and result["keywords"] == 10_000
    assert len(result["seconds"]["scan"]) == 1 and result["hits"] > 1000
    rows = json.loads((tmp_path / "results/bench-scan/here.json").read_text("utf-8"))
    assert {row["model"] for row in rows} == result["ratios"].keys()
    assert rows[0]["metrics"].keys() == {"ratio", "least", "most"}
    for row in rows:
        check(row)


def test_growth(tmp_path, capsys, monkeypatch, no_ripgrep):
    monkeypatch.setattr(bench_scan, "GROWTH", (10, 20, 30))
    monkeypatch.setattr(bench_scan, "SMALL", 100_000)
    assert main([*SMALL, "--full", "--json", "--work", str(tmp_path)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert {"10 keywords", "0 workers", "2 workers", "small, scan"} <= result["growth"].keys()
    assert "30 keywords / 10 keywords" in result["ratios"]
    for row in result["memory"].values():
        assert 10 < row["peak"] < 1000 and 0 <= row["contexts"] < 10


@pytest.mark.parametrize("option, value, message", [
    ("--ripgrep", "nowhere/rg", "nowhere/rg"), ("--corpus", "nowhere", "nowhere"),
    ("--rounds", "0", "--rounds 0"), ("--megabytes", "-1", "--megabytes -1"),
])  # fmt: skip
def test_bad_input(tmp_path, capsys, option, value, message):
    assert main([*SMALL, "--work", str(tmp_path / "new"), option, value]) == 2
    assert message in capsys.readouterr().err
