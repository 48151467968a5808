"""``bioptimus tag`` and ``bioptimus bench tag`` from the outside."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import TINY_TEXT, learner

torch = pytest.importorskip("torch")

from bioptimus_lib import bench_tag, ledger  # noqa: E402
from bioptimus_lib.cli import NO_READER, main  # noqa: E402
from bioptimus_lib.commands import tag  # noqa: E402
from bioptimus_lib.tagging import load_text_tagger  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
LABELS = ("O", "B-Drug", "I-Drug", "B-Disease", "I-Disease")
TEXT = "".join(f"{text}\n" for text in TINY_TEXT)


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory):
    """A random tagger that finds entities nearly everywhere."""
    from bioptimus_lib.models import save_model
    from bioptimus_lib.ner import classifier_on

    tokenizer = tiny[1]
    model, tokenizer = classifier_on((learner(tokenizer), tokenizer), LABELS, seed=1)
    with torch.no_grad():
        model.classifier.weight.mul_(20)
    return save_model(model, tokenizer, tmp_path_factory.mktemp("tagger") / "model")


def tagged(folder, file, *words):
    return main(["tag", str(file), "--model", str(folder), "--device", "cpu", *map(str, words)])


def from_pipe(monkeypatch, data: bytes):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))


def entities(out: str) -> list[list]:
    return [json.loads(line)["entities"] for line in out.splitlines()]


# --- text in, marked text out ------------------------------------------------------------------


def test_a_file_a_pipe_and_gzip_give_the_same(folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "a.txt").write_text(TEXT)
    with gzip.open(tmp_path / "a.txt.gz", "wt") as file:
        file.write(TEXT)
    from_pipe(monkeypatch, TEXT.encode())
    outs = []
    for name in (tmp_path / "a.txt", tmp_path / "a.txt.gz", "-"):
        assert tagged(folder, name, "--format", "jsonl") == 0
        said = capsys.readouterr()
        outs.append(said.out)
        assert "4 lines, 4 sentences" in said.err and "sentences/s" in said.err
    assert len(set(outs)) == 1
    found = entities(outs[0])
    assert len(found) == 4 and any(found)
    mine = load_text_tagger(folder).tag(TINY_TEXT)
    assert [[(e["type"], e["start"], e["end"]) for e in some] for some in found] == [
        [(m.type, m.start, m.stop) for m in some] for some in mine
    ]
    assert tagged(folder, tmp_path / "a.txt", "--quiet") == 0
    assert capsys.readouterr().err == ""


def test_a_notebook_gets_its_text_too(folder, tmp_path, monkeypatch):
    """There standard output takes text and has no buffer below it."""
    (tmp_path / "a.txt").write_text(TEXT)
    page = io.StringIO()
    monkeypatch.setattr(sys, "stdout", page)
    assert tagged(folder, tmp_path / "a.txt", "--format", "jsonl", "--quiet") == 0
    assert len(entities(page.getvalue())) == 4


def test_a_broken_gzip_is_told_and_leaves_no_file(folder, tmp_path, capsys):
    whole = gzip.compress(TEXT.encode() * 100)
    out = tmp_path / "out"
    for name, data in {"cut": whole[:-20], "no": b"aspirin", "bad": whole[:30] + bytes(99)}.items():
        (tmp_path / f"{name}.gz").write_bytes(data)
        assert tagged(folder, tmp_path / f"{name}.gz", "--out", out, "--quiet") == 2
        said = capsys.readouterr()
        assert said.err.startswith("bioptimus: error") and said.err.count("\n") == 1
        assert not out.exists() and len(list(tmp_path.glob(".out*"))) == 0


@pytest.mark.parametrize("form", tag.FORMATS)
def test_every_format_goes_to_a_file_that_appears_whole(form, folder, tmp_path, capsys):
    from bioptimus_lib.markup import FORMATS

    assert tuple(FORMATS) == tag.FORMATS
    (tmp_path / "a.txt").write_text(TEXT)
    out = tmp_path / "out"
    assert tagged(folder, tmp_path / "a.txt", "--format", form, "--out", out, "--quiet") == 0
    assert capsys.readouterr().out == ""
    assert tagged(folder, tmp_path / "a.txt", "--format", form, "--quiet") == 0
    assert capsys.readouterr().out == out.read_text(encoding="utf-8") != ""


@pytest.mark.parametrize(
    ("data", "lines", "says"),
    [
        (b"", 0, "0 lines"), (b"\n\r\n\n", 3, "3 lines"), (b"   ", 1, "0 sentences"),
        (b"aspirin \xff\xfe fever\r\n", 1, "2 characters are U+FFFD"),
        ("\ufeffaspirin \u202efever\u202c <b>pain</b> \x00\x1b[0m".encode(), 1, "1 lines"),
        (b"aspirin relieves pain. " * 6000, 1, "1 lines"),
    ],
    ids=["empty", "empty lines", "only blanks", "not UTF-8",
         "controls, right-to-left marks and HTML", "a long line"],
)  # fmt: skip
def test_odd_input(data, lines, says, folder, monkeypatch, capsys, caplog):
    from_pipe(monkeypatch, data)
    assert tagged(folder, "-", "--format", "jsonl") == 0
    said = capsys.readouterr()
    rows = [json.loads(line) for line in said.out.split("\n")[:-1]]
    assert len(rows) == lines and says in said.err + caplog.text
    text = data.decode("utf-8", errors="replace")
    for row in rows:
        assert text[row["start"] :].startswith(row["text"])
        for one in row["entities"]:
            assert row["text"][one["start"] : one["end"]] == one["text"] != ""


def test_a_line_of_a_megabyte_and_more(folder, tmp_path, capsys):
    """Two lines of 1.3 million characters; few of them are words, so that it is quick."""
    line = "aspirin" + " " * 650_000 + "relieves fever ." + "\t" * 650_000
    (tmp_path / "a.txt").write_text(line + "\n" + line)
    assert tagged(folder, tmp_path / "a.txt", "--format", "brat", "--quiet") == 0
    whole = line + "\n" + line
    for row in capsys.readouterr().out.splitlines():
        _, where, text = row.split("\t")
        start, stop = map(int, where.split()[1:])
        assert whole[start:stop] == text
    assert tagged(folder, tmp_path / "a.txt", "--quiet", "--out", tmp_path / "out") == 0
    assert len((tmp_path / "out").read_text()) >= len(whole)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["no-such.txt"], "no file no-such.txt; - stands for standard input"),
        (["-", "--threads", "0"], "--threads 0"), (["-", "--max-length", "2"], "--max-length 2"),
        (["-", "--batch-tokens", "0"], "--batch-tokens 0"),
        (["-", "--out", "nowhere/at/all"], "there is no such folder"),
        (["-", "--out", "."], "is a folder: name a file in it"),
        (["-", "--format", "xml"], "invalid choice"),
        (["-", "--model", "no/such/model"], "no/such/model"),
        (["-", "--model", "pocket-bert"], "not a tagger"),
    ],
)  # fmt: skip
def test_impossible_wishes_are_refused(words, says, folder, monkeypatch, capsys):
    from_pipe(monkeypatch, b"aspirin")
    model = [] if "--model" in words else ["--model", str(folder)]
    try:
        assert main(["tag", *words, *model]) == 2
    except SystemExit as stopped:
        assert stopped.code == 2
    said = capsys.readouterr()
    assert says in said.err and said.err.count("\n") == 1 and said.out == ""


COMMAND = [sys.executable, "-m", "bioptimus_lib", "tag", "-", "--format", "jsonl", "--quiet",
           "--device", "cpu", "--threads", "1"]  # fmt: skip


def start(folder, stdin=subprocess.PIPE, **how):
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen([*COMMAND, "--model", str(folder)], stdin=stdin,
                            env=os.environ | {"PYTHONPATH": paths}, **how)  # fmt: skip


@pytest.mark.slow
def test_a_killed_run_leaves_whole_lines_and_a_reader_may_go(folder, tmp_path):
    (tmp_path / "in").write_text("aspirin relieves pain and fever in most patients .\n" * 60_000)
    with open(tmp_path / "out", "wb") as out, open(tmp_path / "in", "rb") as text:
        child = start(folder, text, stdout=out)
        while child.poll() is None and (tmp_path / "out").stat().st_size < 100_000:
            time.sleep(0.1)
        child.send_signal(signal.SIGKILL)
        child.wait()
    data = (tmp_path / "out").read_bytes()
    assert data.endswith(b"\n") and len(data) > 100_000
    numbers = [json.loads(line)["line"] for line in data.splitlines()]
    assert numbers == list(range(1, len(numbers) + 1))

    child = start(folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    child.stdout.close()  # as ``| head`` does
    said = child.communicate(TEXT.encode() * 50)[1]
    assert child.returncode == NO_READER and said == b""


# --- the benchmark -----------------------------------------------------------------------------


def test_the_benchmark_compares_and_keeps_rows(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ledger, "results_dir", lambda: tmp_path)
    few = "--text pocket --sentences 40 --rounds 2 --threads 1 --quiet"
    words = ["bench", "tag", "--model", str(folder), *few.split()]
    assert main([*words, "--json", "--ledger", "here"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["sentences"] == 40 and result["entities"] > 0 and result["pieces"] > 400
    assert result["differing"] == {bench_tag.STOCK: 0, bench_tag.BATCHES: 0}
    assert set(result["ratios"]) == {f"{side} / tag" for side in bench_tag.SIDES.values()}
    rows = {row["model"]: row for row in ledger.read("bench-tag", folder=tmp_path)}
    assert set(rows) == {*result["ratios"], "tag"}
    assert rows["pipeline / tag"]["metrics"]["differing"] == 0
    assert rows["pipeline / tag"]["variant"] == "model, 1 thread"
    assert rows["tag"]["metrics"]["entities"] == result["entities"]
    shown = bench_tag.text(result)
    assert "model / tag" in shown and "other entities than pipeline: 0" in shown


def test_bare_batches_are_those_of_the_tagger(folder):
    tagger = load_text_tagger(folder, constrained=False)
    prepared = bench_tag.batches(tagger, TINY_TEXT * 5)
    before = tagger.counts["pieces"]
    bench_tag.ours(tagger, TINY_TEXT * 5)
    pieces = sum(int(inputs["attention_mask"].sum()) for inputs in prepared)
    assert pieces == tagger.counts["pieces"] - before
    bench_tag.bare(tagger, prepared)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--rounds", "0"], "--rounds 0"), (["--sentences", "2"], "too few"),
        (["--text", "no-such-text"], "no-such-text"), (["--threads", "-1"], "--threads -1"),
    ],
)  # fmt: skip
def test_impossible_benchmarks_are_refused(words, says, folder, capsys):
    assert main(["bench", "tag", "--model", str(folder), *words]) == 2
    assert says in capsys.readouterr().err
