"""A corpus run that is killed, interrupted or given broken files; and how much memory it takes."""

from __future__ import annotations

import gzip
import json
import logging
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from test_pubmed import article, pubmed_xml, same_files, section

from bioptimus_lib import parts
from bioptimus_lib.cli import main
from bioptimus_lib.errors import DataError
from bioptimus_lib.pocket import write_corpus
from bioptimus_lib.pocket_pubmed import write_baseline
from bioptimus_lib.pubmed import write_shards

FILES = 24


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Files of about 0.4 MB, enough to be killed between two of them."""
    folder = tmp_path_factory.mktemp("in")
    (text,) = write_corpus(folder.parent / "text.txt", megabytes=0.4)
    raw = text.read_bytes()
    for number in range(FILES):
        (folder / f"{number:02d}.txt.gz").write_bytes(gzip.compress(raw[1000 * number :]))
    write_baseline(folder / "pubmed", records=120)
    return folder


def start(corpus: Path, out: Path, *options: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "bioptimus_lib", "corpus", str(corpus), "--out", str(out),
               "--quiet", *options]  # fmt: skip
    return subprocess.Popen(command, start_new_session=True, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip


def wait_for_parts(out: Path, count: int, run: subprocess.Popen) -> int:
    work = out.with_name(f".{out.name}.work")
    until = time.monotonic() + 60
    while time.monotonic() < until and run.poll() is None:
        done = len(list(work.glob("*.json")))
        if done >= count:
            return done
        time.sleep(0.002)
    raise AssertionError(f"{count} parts were not there in time: {run.communicate()}")


def leaves_no_process(group: int) -> bool:
    def alive() -> list[int]:
        return [p.pid for p in psutil.process_iter(["status"])
                if p.info["status"] != psutil.STATUS_ZOMBIE and _group(p.pid) == group]  # fmt: skip

    until = time.monotonic() + 10
    while alive() and time.monotonic() < until:
        time.sleep(0.02)
    return not alive()


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except OSError:
        return -1


@pytest.mark.parametrize("workers, then", [("0", "2"), ("2", "0")])
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(corpus, tmp_path, workers, then):
    write_shards(corpus, tmp_path / "sample", workers=0, megabytes=1)
    out = tmp_path / "out"
    run = start(corpus, out, "--workers", workers, "--megabytes", "1")
    wait_for_parts(out, 4, run)
    os.killpg(run.pid, signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL and leaves_no_process(run.pid)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".out.work", "sample"]
    done = len(list((tmp_path / ".out.work").glob("*.json")))
    run = start(corpus, out, "--workers", then, "--megabytes", "1", "--json")
    report = json.loads(run.communicate()[0])
    assert done <= report["resumed"] < FILES + 3 and report["resumed"] >= 4
    assert same_files(out, tmp_path / "sample")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "sample"]


def test_killed_while_the_shards_are_written(corpus, tmp_path, monkeypatch):
    class Killed(BaseException):
        """Nothing may tidy up after it."""

    def die(*_: object) -> None:
        raise Killed

    write_shards(corpus, tmp_path / "whole", workers=0)
    (tmp_path / "out").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", die)
        with pytest.raises(Killed):
            write_shards(corpus, tmp_path / "out", workers=0)
    assert (tmp_path / ".out.work" / "new" / "corpus.json").exists()
    assert not any((tmp_path / "out").iterdir())
    assert write_shards(corpus, tmp_path / "out", workers=0).resumed == FILES + 3
    assert same_files(tmp_path / "out", tmp_path / "whole")
    assert not (tmp_path / ".out.work").exists()


@pytest.mark.parametrize("workers", ["0", "2"])
def test_ctrl_c_leaves_no_process_and_only_the_work_folder(corpus, tmp_path, workers):
    out = tmp_path / "out"
    run = start(corpus, out, "--workers", workers)
    wait_for_parts(out, 2, run)
    os.killpg(run.pid, signal.SIGINT)
    error = run.communicate(timeout=30)[1]
    assert run.returncode == 130 and error.strip() == "bioptimus: interrupted"
    assert leaves_no_process(run.pid)
    assert [p.name for p in tmp_path.iterdir()] == [".out.work"]
    assert write_shards(corpus, out, workers=0).resumed >= 2


def interrupted(corpus: Path, out: Path, **options: bool) -> None:
    """A run that ends at the last file, so that the others are done."""
    bad = corpus / "zz.jsonl"
    bad.write_text("{")
    with pytest.raises(DataError):
        write_shards(corpus, out, workers=0, **options)
    bad.unlink()


@pytest.fixture
def few(tmp_path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in "abc":
        line = f"Text {name} tells of zinc and of colds in forty people of the town."
        (folder / f"{name}.txt").write_text(f"{line}\n")
    return folder


def test_a_changed_input_or_setting_is_done_anew(few, tmp_path):
    out = tmp_path / "out"
    interrupted(few, out)
    (few / "a.txt").write_text("Another text tells of iron and of blood in forty people.\n")
    report = write_shards(few, out, workers=0)
    assert report.resumed == 2 and "Another text" in (out / "corpus-000.txt").read_text()
    interrupted(few, out)
    os.utime(few / "b.txt", ns=(1, 1))
    assert write_shards(few, out, workers=0).resumed == 2
    interrupted(few, out)
    assert write_shards(few, out, workers=0, any_language=True).resumed == 0
    interrupted(few, out)
    assert write_shards(few, out, workers=0, megabytes=1, seed=3, dedupe=False).resumed == 3


@pytest.mark.parametrize("ending, damage", [
    (".json", b""), (".json", b"{}"[:1]), (".txt", b"x"), (".rows", b""),
])  # fmt: skip
def test_a_half_written_part_is_done_anew(few, tmp_path, ending, damage):
    write_shards(few, tmp_path / "whole", workers=0)
    interrupted(few, tmp_path / "out")
    next((tmp_path / ".out.work").glob(f"*{ending}")).write_bytes(damage)
    (tmp_path / ".out.work" / "rubbish.part").write_text("x")
    assert write_shards(few, tmp_path / "out", workers=0).resumed == 2
    assert same_files(tmp_path / "out", tmp_path / "whole")


def test_two_runs_at_once_are_refused(few, tmp_path):
    with parts.work_folder(tmp_path / "out"):
        with pytest.raises(BlockingIOError, match="another process"):
            write_shards(few, tmp_path / "out", workers=0)
    write_shards(few, tmp_path / "out", workers=0)


# -- broken files ---------------------------------------------------------------------------------

GOOD = ("Zinc was given to forty patients with a cold in winter.\n\n" * 2).encode()
BROKEN = {
    "cut gzip": ("m.txt.gz", gzip.compress(os.urandom(9000))[:-50], "cut or broken"),
    "broken JSON": ("m.jsonl", b'{"text": "' + GOOD[:50] + b'"}\n{', ":2: not JSON"),
    "malformed XML": ("m.xml", b"<PubmedArticleSet><PubmedArticle></PubmedArticleSet>", "broken"),
    "hostile XML": ("m.xml", b'<!DOCTYPE a [<!ENTITY b "c">]><a/>', "declares the entity"),
    "empty XML": ("m.xml.gz", gzip.compress(b""), "no element found"),
}


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("name", BROKEN)
def test_keep_going(few, tmp_path, caplog, name, workers):
    file, raw, message = BROKEN[name]
    (few / file).write_bytes(raw)
    with pytest.raises(DataError, match=message):
        write_shards(few, tmp_path / "out", workers=workers)
    with caplog.at_level(logging.WARNING):
        report = write_shards(few, tmp_path / "out", workers=workers, keep_going=True)
    assert report.files == report.documents_in == 3 and len(report.left_out) == 1
    assert report.left_out[0].startswith(file) and message in report.left_out[0]
    assert report.left_out[0] in caplog.text and report.left_out[0] in str(report)
    assert json.loads((tmp_path / "out/corpus.json").read_text())["left_out"] == [
        report.left_out[0]
    ]
    assert str(tmp_path) not in (tmp_path / "out/corpus.json").read_text()
    assert not (tmp_path / ".out.work").exists()


def test_a_file_that_may_not_be_read(few, tmp_path, monkeypatch):
    (few / "b.txt").chmod(0)
    if os.access(few / "b.txt", os.R_OK):  # root may: as if it might not
        from bioptimus_lib import records

        real = records.open_bytes

        def refuse(path):
            if Path(path).name == "b.txt":
                raise PermissionError(13, "Permission denied", str(path))
            return real(path)

        monkeypatch.setattr(records, "open_bytes", refuse)
    with pytest.raises(DataError, match=r"b\.txt: cannot be read: Permission denied"):
        write_shards(few, tmp_path / "out", workers=0)
    report = write_shards(few, tmp_path / "out", workers=0, keep_going=True)
    assert report.left_out == ("b.txt: cannot be read: Permission denied",)
    (few / "b.txt").chmod(0o600)


def test_nothing_is_left_when_all_files_are_broken(tmp_path):
    (tmp_path / "a.jsonl").write_text("{")
    with pytest.raises(DataError, match="corpus is empty: no documents; 1 files left out"):
        write_shards(tmp_path / "a.jsonl", tmp_path / "out", keep_going=True)
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]


def test_a_full_disk_is_not_a_broken_file(few, tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parts, "clean", full)
    with pytest.raises(OSError, match="No space"):
        write_shards(few, tmp_path / "out", workers=0, keep_going=True)


def test_invalid_bytes_and_empty_files(few, tmp_path):
    (few / "d.txt").write_bytes(b"caf\xe9 " * 20)
    (few / "e.txt").write_bytes(b"")
    (few / "f.txt.gz").write_bytes(b"")
    report = write_shards(few, tmp_path / "out", workers=0)
    assert report.invalid_bytes == 20 and report.files == 6 and report.documents_out == 4
    assert "invalid bytes" in str(report)


def test_a_line_of_50_megabytes(few, tmp_path):
    (few / "d.txt").write_bytes(b"The patients had no pain after 5 days. " * 1_300_000)
    report = write_shards(few, tmp_path / "out", workers=0)
    assert report.documents_out == 4 and report.sentences == 3 + 1_300_000


# -- folders --------------------------------------------------------------------------------------


def test_output_folders(few, tmp_path, monkeypatch):
    assert write_shards(few, tmp_path / "new" / "deep" / "out", workers=0).files == 3
    with pytest.raises(ValueError, match="lies in the input"):
        write_shards(few, few / "out", workers=0)
    with pytest.raises(ValueError, match="would replace"):
        write_shards(few / "a.txt", few, workers=0)
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(OSError, match="file"):
            write_shards(few, out, workers=0)
    assert sorted(p.name for p in few.iterdir()) == ["a.txt", "b.txt", "c.txt"]
    monkeypatch.chdir(tmp_path)
    write_shards("in", "here", workers=0)
    assert same_files(Path("here"), tmp_path / "new" / "deep" / "out")


def test_an_output_folder_that_may_not_be_written(few, tmp_path, monkeypatch):
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked").chmod(stat.S_IRUSR | stat.S_IXUSR)
    if os.access(tmp_path / "locked", os.W_OK):  # root may: as if it might not
        def refuse(self, *_, **__):
            raise PermissionError(13, "Permission denied", str(self))

        monkeypatch.setattr(Path, "mkdir", refuse)
    words = ["corpus", str(few), "--out", str(tmp_path / "locked" / "out"), "--quiet"]
    assert main(words) == 2
    (tmp_path / "locked").chmod(0o700)


def test_hidden_folders_are_no_input(few, tmp_path):
    (few / ".git").mkdir()
    (few / ".git" / "x.txt").write_bytes(GOOD)
    assert write_shards(few, tmp_path / "out", workers=0).files == 3


# -- the command ----------------------------------------------------------------------------------


def test_command(few, tmp_path, capsys):
    (few / "d.jsonl").write_text("{")
    (few / "e.xml").write_bytes(pubmed_xml(article(1, "T", section("short")), article(2)))
    words = ["corpus", str(few), "--out", str(tmp_path / "out"), "--quiet", "--workers", "0"]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "d.jsonl:1: not JSON" in error
    assert main([*words, "--keep-going", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["dropped"] == {"no abstract": 1, "too short": 1} and report["documents_out"] == 3
    assert report["left_out"] == ["d.jsonl:1: not JSON: Expecting property name enclosed in "
                                  "double quotes: line 1 column 2 (char 1)"]  # fmt: skip
    with pytest.raises(SystemExit):
        main(["corpus", "--help"])
    told = capsys.readouterr().out
    for option in ("--keep-going", "--json", "--megabytes", "--any-language", "--keep-duplicates"):
        assert option in told


# -- memory ---------------------------------------------------------------------------------------

PEAK = """
import resource, sys
from bioptimus_lib.pubmed import write_shards
write_shards(sys.argv[1], sys.argv[2], workers=0)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_text(tmp_path):
    (text,) = write_corpus(tmp_path / "text.txt", megabytes=1)
    raw, peaks = text.read_bytes(), []
    for times in (2, 20):
        with gzip.open(tmp_path / f"{times}.txt.gz", "wb", compresslevel=1) as file:
            for n in range(times):
                file.write(raw.replace(b"patients", b"patients%d" % n))
        run = subprocess.run(
            [sys.executable, "-c", PEAK, str(tmp_path / f"{times}.txt.gz"), str(tmp_path / "out")],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        peaks.append(int(run.stdout))
    assert peaks[1] - peaks[0] < 4_000, peaks  # kilobytes, for 18 MB more
