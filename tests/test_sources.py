"""Sources: right bytes or an error, whatever the network does. The server here is our own."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bioptimus_lib import cli, source_table, sources
from bioptimus_lib.download import CHUNK, Network, download
from bioptimus_lib.errors import DataError
from bioptimus_lib.integrity import digest, parse_md5
from bioptimus_lib.source_report import check_links, human, listing
from bioptimus_lib.source_table import Source, SourceFile, source, table
from bioptimus_lib.sources import fetch, fetch_files, model_path

#: The folder that the tests were started with; each test itself begins without one.
MIRROR = Path(os.environ["BIOPTIMUS_MIRROR"]).resolve() if os.environ.get(
    "BIOPTIMUS_MIRROR") else None  # fmt: skip

BODY = bytes(range(256)) * 1200  # 307,200 bytes: a few network pieces
WRONG = BODY[:-1] + b"!"
QUICK = Network(timeout=0.4, retries=3, pause=0.01)
BEHAVIOURS = ("fine", "cut", "cut-no-range", "cut-wrong-range", "cut-always", "stall",
              "stall-once", "wrong", "short", "busy-once", "forbidden", "no-head",
              "encoded")  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    """``/<behaviour>/<file>``; a cut or a stall comes after half of what was asked for."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        server = self.server
        kind, _, name = self.path.strip("/").partition("/")
        server.asked[self.path] += 1
        server.ranges.append(self.headers.get("Range"))
        turn = server.asked[self.path]
        content = server.contents.get(name, BODY)
        if kind not in BEHAVIOURS or name in server.missing:
            return self.send_error(404)
        if kind == "forbidden":
            return self.send_error(403)
        if kind == "no-head" and not body:
            return self.send_error(501)
        if kind == "busy-once" and turn == 1:
            return self.send_error(503)
        content = {"wrong": WRONG, "short": content[: len(content) // 2]}.get(kind, content)
        start = 0
        if (wanted := self.headers.get("Range")) and kind != "cut-no-range":
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if kind == "encoded" and not name.endswith(".gz"):
            content = gzip.compress(content)
        self.send_response(206 if start else 200)
        if kind == "encoded":
            self.send_header("Content-Encoding", "gzip")
        if start:
            told = start + 1 if kind == "cut-wrong-range" else start
            self.send_header("Content-Range", f"bytes {told}-{len(content) - 1}/{len(content)}")
        content = content[start:]
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if not body:
            return None
        cuts = kind == "cut-always" or (kind.startswith("cut") and turn == 1)
        stalls = kind == "stall" or (kind == "stall-once" and turn == 1)
        if cuts or stalls:
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self.close_connection = True
            if stalls:
                server.released.wait(10)
            return None
        self.wfile.write(content)
        return None

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch):
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    http.asked, http.ranges, http.contents, http.missing = Counter(), [], {}, set()
    http.released = threading.Event()
    http.url = f"http://127.0.0.1:{http.server_port}/"
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield http
    http.released.set()
    http.shutdown()
    http.server_close()


@pytest.fixture(autouse=True)
def places(monkeypatch, tmp_path):
    """No mirror, a cache of this test, no waiting by the clock of the user's settings."""
    monkeypatch.delenv("BIOPTIMUS_MIRROR", raising=False)
    monkeypatch.delenv("BIOPTIMUS_TIMEOUT", raising=False)
    monkeypatch.setenv("BIOPTIMUS_CACHE", str(tmp_path / "cache"))


def sha(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def row(base: str | None, *names: str, content: bytes = BODY, **changes) -> Source:
    """A source whose files all hold ``content``."""
    files = tuple(
        SourceFile(path=f"ner/Toy/{name}", hash=sha(content), bytes=len(content), upstream=name)
        for name in names or ("train.tsv",)
    )
    fields = dict(
        name="Toy", kind="ner", what="a toy", folder="ner/Toy", base_url=base, revision="0" * 40,
        page="https://example.org", licence="CC0", licence_url=None, citation="nobody", files=files,
    )  # fmt: skip
    return Source(**fields | changes)


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_what_only_a_mirror_holds_has_no_address():
    there, lost = row("https://example.org/"), row(None)
    assert there.address(there.files[0]) == there.url(there.files[0])
    with pytest.raises(ValueError, match="ner/Toy/train.tsv has no address"):
        lost.address(lost.files[0])


# --- downloading ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "resumes"),  # resumes: for each request, does it ask for the rest only?
    [
        ("fine", [False]),
        ("cut", [False, True]),
        ("cut-no-range", [False, True]),  # answered with the whole file
        ("cut-wrong-range", [False, True, False]),  # an answer that starts elsewhere is not used
        ("stall-once", [False, True]),
        ("busy-once", [False, False]),
    ],
)
def test_a_broken_line_is_mended(server, tmp_path, behaviour, resumes):
    folder = fetch(row(server.url + behaviour + "/"), network=QUICK)
    assert folder == tmp_path / "cache/ner/Toy"
    assert (folder / "train.tsv").read_bytes() == BODY
    assert [asked is not None for asked in server.ranges] == resumes
    for asked in filter(None, server.ranges):  # of a stall, up to one piece is asked for again
        start = int(asked.removeprefix("bytes=").rstrip("-"))
        assert len(BODY) // 2 - CHUNK < start <= len(BODY) // 2
    assert files_below(tmp_path / "cache") == ["ner/Toy/train.tsv"]


@pytest.mark.parametrize(
    ("behaviour", "error", "words"),
    [
        ("gone", FileNotFoundError, ["/gone/train.tsv", "404"]),
        ("forbidden", ConnectionError, ["/forbidden/train.tsv", "403"]),
        ("wrong", DataError, ["ner/Toy/train.tsv", sha(BODY)[7:], sha(WRONG)[7:]]),
        ("short", ConnectionError, ["153,600 of 307,200 bytes", "BIOPTIMUS_MIRROR"]),
        ("stall", ConnectionError, ["no byte for 0.4 s", "BIOPTIMUS_MIRROR"]),
        ("cut-always", ConnectionError, ["lost the connection", "127.0.0.1"]),
    ],
)
def test_what_cannot_be_mended_is_one_line_and_leaves_nothing(
    server, tmp_path, behaviour, error, words
):
    toy = row(server.url + behaviour + "/")
    started = time.monotonic()
    with pytest.raises(error) as caught:
        fetch(toy, network=QUICK)
    assert time.monotonic() - started < 8  # bounded
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    assert files_below(tmp_path) == []


def test_server_off_says_what_to_set(tmp_path):
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        port = http.server_port  # free again after this block
    with pytest.raises(ConnectionError) as caught:
        fetch(row(f"http://127.0.0.1:{port}/"), network=QUICK)
    for word in ("Connection refused", "BIOPTIMUS_MIRROR", "ner/Toy/train.tsv", "BIOPTIMUS_CACHE",
                 "bioptimus fetch Toy", "BIOPTIMUS_PROFILE=pocket"):  # fmt: skip
        assert word in str(caught.value)
    assert files_below(tmp_path) == []


def test_many_cuts_are_forgiven_as_long_as_bytes_come(server, monkeypatch):
    """Failures count in a row without new bytes: ``cut-always`` halves what is missing each time,
    so it needs more tries than ``retries`` when every gain counts."""
    monkeypatch.setattr("bioptimus_lib.download.STRIDE", 1)
    toy = row(server.url + "cut-always/", content=BODY[:-1])
    server.contents["train.tsv"] = BODY[:-1]
    with pytest.raises(ConnectionError, match="lost the connection"):
        fetch(toy, network=QUICK)
    # 307,199 bytes are halved 18 times before nothing is gained any more
    assert server.asked["/cut-always/train.tsv"] == 18 + QUICK.retries + 1


@pytest.mark.parametrize("name", ["train.tsv", "train.tsv.gz"])
def test_compression_on_the_way_is_undone_but_gz_files_stay(server, name):
    """Some servers compress unasked, others call a .gz file "encoded" though it is the file."""
    server.contents[name] = content = gzip.compress(BODY) if name.endswith(".gz") else BODY
    folder = fetch(row(server.url + "encoded/", name, content=content), network=QUICK)
    assert (folder / name).read_bytes() == content


def test_second_fetch_needs_no_network(server):
    toy = row(server.url + "fine/", "train.tsv", "test.tsv")
    first = fetch(toy, network=QUICK)
    asked = server.asked.total()
    server.missing |= {"train.tsv", "test.tsv"}
    assert fetch(toy, network=QUICK) == first
    assert server.asked.total() == asked == 2


def test_damaged_cache_is_fetched_again(server, caplog):
    toy = row(server.url + "fine/", "train.tsv", "test.tsv")
    folder = fetch(toy, network=QUICK)
    (folder / "train.tsv").write_bytes(WRONG)
    with caplog.at_level(logging.WARNING):
        fetch(toy, network=QUICK)
    assert (folder / "train.tsv").read_bytes() == BODY
    assert server.asked["/fine/train.tsv"] == 2 and server.asked["/fine/test.tsv"] == 1
    assert sha(WRONG)[7:] in caplog.text


def test_error_after_the_first_file_keeps_only_whole_files(server, tmp_path):
    toy = row(server.url + "fine/", "train.tsv", "test.tsv")
    server.missing.add("test.tsv")
    with pytest.raises(FileNotFoundError):
        fetch(toy, network=QUICK)
    assert files_below(tmp_path) == ["cache/ner/Toy/train.tsv"]


def test_full_disk_names_the_file(server, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sources, "download", full)
    with pytest.raises(OSError, match="No space left on device: .*train.tsv"):
        fetch(row(server.url + "fine/"), network=QUICK)
    assert files_below(tmp_path) == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_bar_on_a_terminal_only(server, tmp_path, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    toy = row(server.url + "cut/")
    fetch(toy, network=QUICK)
    assert "Toy train.tsv" in terminal.getvalue() and "100%" in terminal.getvalue()
    for stream, progress in ((io.StringIO(), True), (Terminal(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        fetch(toy, network=QUICK, progress=progress, cache=tmp_path / str(progress))
        assert stream.getvalue() == ""


def test_download_alone_and_its_settings(server, monkeypatch):
    seen = []
    file = io.BytesIO()
    download(server.url + "cut/x", file, network=QUICK, progress=lambda *now: seen.append(now))
    assert file.getvalue() == BODY
    assert seen[-1] == (len(BODY), len(BODY)) and [done for done, _ in seen] == sorted(
        done for done, _ in seen
    )
    monkeypatch.setenv("BIOPTIMUS_TIMEOUT", "7.5")
    assert Network.from_environment().timeout == 7.5
    for bad in ("soon", "0", "-1", "nan"):
        monkeypatch.setenv("BIOPTIMUS_TIMEOUT", bad)
        with pytest.raises(ValueError, match="BIOPTIMUS_TIMEOUT"):
            Network.from_environment()
    with pytest.raises(ValueError, match="retries"):
        Network(retries=-1)


# --- the mirror ----------------------------------------------------------------------------------


def in_mirror(monkeypatch, folder: Path, content: bytes, *names: str) -> Path:
    for name in names:
        path = folder / "ner/Toy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    monkeypatch.setenv("BIOPTIMUS_MIRROR", str(folder))
    return folder


def test_mirror_comes_first(server, tmp_path, monkeypatch):
    toy = row(server.url + "fine/")
    fetch(toy, network=QUICK)  # in the cache too
    mirror = in_mirror(monkeypatch, tmp_path / "mirror", BODY, "train.tsv")
    found = fetch_files(toy, network=QUICK)
    assert found.folder == mirror / "ner/Toy"
    assert found.paths == [mirror / "ner/Toy/train.tsv"]


def test_damaged_mirror_is_an_error_with_both_hashes(server, tmp_path, monkeypatch):
    in_mirror(monkeypatch, tmp_path / "mirror", WRONG, "train.tsv")
    with pytest.raises(DataError) as caught:
        fetch(row(server.url + "fine/"), network=QUICK)
    for word in ("ner/Toy/train.tsv", sha(BODY)[7:], sha(WRONG)[7:], str(tmp_path / "mirror")):
        assert word in str(caught.value)
    assert server.asked.total() == 0


def test_a_mirror_without_the_source_is_passed_by(server, tmp_path, monkeypatch):
    in_mirror(monkeypatch, tmp_path / "mirror", BODY, "train.tsv")
    toy = row(server.url + "fine/", "train.tsv", "test.tsv")
    assert fetch(toy, network=QUICK) == tmp_path / "cache/ner/Toy"
    assert fetch(toy, files=["train.tsv"], network=QUICK) == tmp_path / "mirror/ner/Toy"


def test_a_cache_is_the_mirror_of_another_machine(server, tmp_path, monkeypatch):
    toy = row(server.url + "fine/")
    fetch(toy, network=QUICK)
    monkeypatch.setenv("BIOPTIMUS_MIRROR", str(tmp_path / "cache"))
    monkeypatch.setenv("BIOPTIMUS_CACHE", str(tmp_path / "other"))
    assert fetch(row("http://127.0.0.1:9/")) == tmp_path / "cache/ner/Toy"


def test_mirror_that_is_no_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("BIOPTIMUS_MIRROR", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="BIOPTIMUS_MIRROR=.*nowhere"):
        fetch("NCBI-disease")


def test_mirror_needs_no_pooch(tmp_path, monkeypatch):
    in_mirror(monkeypatch, tmp_path / "mirror", BODY, "train.tsv")
    monkeypatch.setitem(sys.modules, "pooch", None)
    assert fetch(row("http://127.0.0.1:9/")) == tmp_path / "mirror/ner/Toy"
    monkeypatch.delenv("BIOPTIMUS_MIRROR")
    with pytest.raises(ModuleNotFoundError, match="pip install pooch"):
        fetch(row("http://127.0.0.1:9/"))


def test_derived_files_come_from_a_mirror_only(server, tmp_path, monkeypatch):
    made = (
        SourceFile(path="ner/Toy/LICENSE", hash=sha(BODY), upstream="LICENSE"),
        SourceFile(path="ner/Toy/made.tsv", hash=sha(BODY)),
    )
    toy = row(server.url + "fine/", files=made, instead="do it yourself")
    assert toy.derived
    with pytest.raises(FileNotFoundError, match="ner/Toy/made.tsv.*MIRROR.*do it yourself"):
        fetch(toy, network=QUICK)
    assert server.asked.total() == 0  # nothing is downloaded in vain
    in_mirror(monkeypatch, tmp_path / "mirror", BODY, "LICENSE", "made.tsv")
    assert fetch(toy) == tmp_path / "mirror/ner/Toy"


# --- hashes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "kind", "expected"),
    [
        (b"", "git-blob", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"),
        (b"hello\n", "git-blob", "ce013625030ba8dba906f756967f9e9ca394464a"),
        (b"abc", "md5", "900150983cd24fb0d6963f7d28e17f72"),
        (b"", "sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ],
)
def test_digest(tmp_path, content, kind, expected):
    (tmp_path / "file").write_bytes(content)
    assert digest(tmp_path / "file", kind) == expected


def test_git_blob_id_and_the_rebuilt_stand_in(server, tmp_path, monkeypatch, caplog):
    rebuilt = b"rebuilt\tO\n"
    file = SourceFile(path="ner/Toy/train.tsv", hash="git-blob:" + blob(BODY),
                      upstream="train.tsv", rebuilt=sha(rebuilt))  # fmt: skip
    toy = row(server.url + "fine/", files=(file,))
    assert (fetch(toy, network=QUICK) / "train.tsv").read_bytes() == BODY
    mirror = in_mirror(monkeypatch, tmp_path / "mirror", rebuilt, "train.tsv")
    with caplog.at_level(logging.WARNING):
        assert fetch(toy) == mirror / "ner/Toy"
    assert "rebuilt" in caplog.text and "unfit for reported results" in caplog.text
    in_mirror(monkeypatch, tmp_path / "mirror", b"something else", "train.tsv")
    with pytest.raises(DataError, match=blob(BODY)):
        fetch(toy)
    monkeypatch.delenv("BIOPTIMUS_MIRROR")
    server.contents["train.tsv"] = rebuilt  # a server must send the true file
    with pytest.raises(DataError, match=blob(rebuilt)):
        fetch(toy, cache=tmp_path / "new", network=QUICK)
    assert files_below(tmp_path / "new") == []


@pytest.mark.parametrize(
    "text",
    [
        "MD5(pubmed26n0001.xml.gz)= 0123456789abcdef0123456789abcdef\n",
        "MD5 (pubmed26n0001.xml.gz) = 0123456789ABCDEF0123456789ABCDEF",
    ],
)
def test_md5_beside_a_file(text):
    assert parse_md5(text, name="pubmed26n0001.xml.gz") == "0123456789abcdef" * 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>not found</html>",
        "MD5(pubmed26n0002.xml.gz)= 0123456789abcdef0123456789abcdef",  # of another file
        "MD5(pubmed26n0001.xml.gz)= 0123456789abcdef",
        "MD5(pubmed26n0001.xml.gz)= 0123456789abcdef0123456789abcdefff",
    ],
)
def test_md5_that_is_none(text):
    with pytest.raises(DataError, match="there.md5: expected 'MD5"):
        parse_md5(text, name="pubmed26n0001.xml.gz", path="there.md5")


def baseline(server, behaviour: str = "fine") -> Source:
    changes = {"base_url": f"{server.url}{behaviour}/", "files": ()}
    real = source("pubmed-baseline")
    for number in (1, 2):
        name = real.numbered([number])[0].name
        md5 = hashlib.md5(BODY).hexdigest()
        server.contents[name + ".md5"] = f"MD5({name})= {md5}\n".encode()
    fields = {name: getattr(real, name) for name in real.__dataclass_fields__}
    return Source(**fields | changes)


def test_baseline_by_number_and_by_name(server, tmp_path):
    toy = baseline(server)
    found = fetch_files(toy, first=2, network=QUICK)
    assert [path.name for path in found.paths] == ["pubmed26n0001.xml.gz", "pubmed26n0002.xml.gz"]
    assert all(path.read_bytes() == BODY for path in found.paths)
    asked = server.asked.total()
    again = fetch_files(toy, files=["pubmed26n0002.xml.gz"], network=QUICK)
    assert again.paths == found.paths[1:] and server.asked.total() == asked


def test_baseline_with_wrong_bytes_keeps_no_data(server, tmp_path):
    toy = baseline(server)
    server.contents["pubmed26n0001.xml.gz"] = WRONG
    with pytest.raises(DataError, match=hashlib.md5(WRONG).hexdigest()):
        fetch(toy, first=1, network=QUICK)
    assert [name for name in files_below(tmp_path) if not name.endswith(".md5")] == []


def test_baseline_with_an_error_page_for_a_hash(server, tmp_path):
    toy = baseline(server)
    server.contents["pubmed26n0001.xml.gz.md5"] = b"<html>busy</html>"
    with pytest.raises(DataError, match="pubmed26n0001.xml.gz.md5: expected 'MD5"):
        fetch(toy, first=1, network=QUICK)
    assert files_below(tmp_path) == []


def test_baseline_of_another_year(server):
    server.missing.add("pubmed26n0001.xml.gz.md5")
    with pytest.raises(FileNotFoundError, match="404.*change every winter"):
        fetch(baseline(server), first=1, network=QUICK)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "say which"),
        ({"first": 1, "files": ["pubmed26n0001.xml.gz"]}, "say which"),
        ({"first": 0}, "first=0"),
        ({"files": ["../../etc/passwd"]}, "expected a name like pubmed26n0001.xml.gz"),
    ],
)
def test_baseline_needs_a_choice(options, words):
    with pytest.raises(ValueError, match=words):
        fetch("pubmed-baseline", **options)


# --- the table -----------------------------------------------------------------------------------

ASKED_FOR = {
    "BC5CDR-chem", "BC5CDR-disease", "NCBI-disease", "BC2GM", "JNLPBA", "chemprot", "gad",
    "pubmedqa", "rqe", "mts-dialog", "biosses", "hoc", "pubmed-baseline", "bert-base-uncased",
    "minilm", "biomed", "general",
}  # fmt: skip


def test_table_is_complete():
    assert set(table()) == ASKED_FOR
    for name, entry in table().items():
        assert name == entry.name and entry.what and entry.licence and entry.citation
        assert entry.page.startswith("https://") and entry.revision in entry.page + "pubmed26n"
        assert len(entry.revision) == 40 or entry.kind == "pubmed"
        assert entry.files or entry.kind == "pubmed"
        assert len({file.path for file in entry.files}) == len(entry.files)
        for file in entry.files:
            assert file.hash, "a file without a hash cannot be checked"
            url = entry.url(file)
            if url is None:
                assert entry.derived and (entry.instead or entry.note)
            else:
                assert url.startswith("https://") and entry.revision in url
        if entry.kind == "model":
            names = {file.name for file in entry.files}
            assert {"config.json", "vocab.txt", "model.safetensors"} <= names
    assert {name for name in table() if table()[name].derived} == {
        "biosses", "hoc", "biomed", "general",
    }  # fmt: skip


needs_mirror = pytest.mark.skipif(
    not (MIRROR and (MIRROR / "MANIFEST.json").is_file()),
    reason="BIOPTIMUS_MIRROR names no folder with MANIFEST.json",
)


@needs_mirror
def test_table_agrees_with_the_manifest_of_the_mirror():
    files = {file.path: (entry, file) for entry in table().values() for file in entry.files}
    checked = 0
    for entry in json.loads((MIRROR / "MANIFEST.json").read_text(encoding="utf-8")):
        if entry["path"] == "README.md":
            continue
        ours, file = files[entry["path"]]
        hashes = {file.hash, file.rebuilt}
        assert "sha256:" + entry["sha256"] in hashes
        if file.hash.startswith("sha256:"):
            assert file.bytes == entry["bytes"]
        upstream = entry["upstream"]
        if entry["path"].startswith(("ner/", "tasks/")) and upstream["raw_identical"]:
            assert ours.url(file) == "https://raw.githubusercontent.com/{repo}/{commit}/{path}".format(
                **upstream
            )
            checked += 1
    assert checked > 30
    train = files["ner/JNLPBA/train.tsv"][1]
    assert train.hash == "git-blob:5aa9d1ac3d60c924ac225d0c07695c82c31326a5"


@needs_mirror
@pytest.mark.parametrize("name", sorted(ASKED_FOR - {"pubmed-baseline", "bert-base-uncased",
                                                     "minilm"}))  # fmt: skip
def test_every_source_of_the_mirror_passes(name, monkeypatch):
    monkeypatch.setenv("BIOPTIMUS_MIRROR", str(MIRROR))
    found = fetch_files(name)
    assert all(path.is_file() for path in found.paths)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"path": "/etc/passwd"}, "must stay below"),
        ({"path": "ner/../../x"}, "must stay below"),
        ({"path": "ner\\x"}, "must stay below"),
        ({"hash": "sha256:abc"}, "expected one of"),
        ({"hash": "crc:12"}, "expected one of"),
        ({"rebuilt": "sha256:" + "G" * 64}, "expected one of"),
    ],
)
def test_bad_rows_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        SourceFile(**{"path": "ner/x", "hash": "md5:" + "0" * 32} | changes)


def test_unknown_names_get_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'NCBI-disease'.*BC2GM"):
        source("ncbi_disease")
    with pytest.raises(ValueError, match="no source 'qqq'; known are: BC5CDR-chem"):
        fetch("qqq")
    with pytest.raises(ValueError, match="has no file 'dev.tsv'; it has: train.tsv"):
        fetch("NCBI-disease", files=["dev.tsv"])
    with pytest.raises(ValueError, match="first=1 is for pubmed-baseline"):
        fetch("NCBI-disease", first=1)


def test_listing_says_where_each_source_is(tmp_path, monkeypatch, server):
    text = listing()
    assert len(text.splitlines()) == len(ASKED_FOR) + 2
    assert all(name in text for name in ASKED_FOR)
    lines = {line.split()[0]: line for line in text.splitlines()}
    assert lines["NCBI-disease"].endswith("to download") and "1.6 MB" in lines["NCBI-disease"]
    assert lines["hoc"].endswith("only in a mirror") and "> 1.5 MB" in lines["JNLPBA"]
    toy = row(server.url + "fine/")
    monkeypatch.setattr(source_table, "table", lambda: {"Toy": toy})
    assert listing(["Toy"]).endswith("to download")
    fetch(toy, network=QUICK)
    assert listing(["Toy"]).endswith("cache")
    in_mirror(monkeypatch, tmp_path / "mirror", BODY, "train.tsv")
    assert listing(["Toy"]).endswith("mirror")
    assert human(1) == "1 kB" and human(25_000_000) == "25 MB"


def test_links(server):
    toys = [
        row(server.url + "fine/", "a", "b"),
        row(server.url + "fine/", "a"),  # asked once only
        row(server.url + "short/", "c"),
        row(server.url + "no-head/", "d"),
        row(server.url + "gone/", "e"),
        row("http://127.0.0.1:9/", "f"),
        baseline(server),
    ]
    links = list(check_links(rows=toys, network=QUICK))
    ok = {link.url.removeprefix(server.url): link.ok for link in links}
    assert ok == {
        "fine/a": True, "fine/b": True, "short/c": False, "no-head/d": True, "gone/e": False,
        "http://127.0.0.1:9/f": False, "fine/pubmed26n0001.xml.gz": True,
        "fine/pubmed26n0001.xml.gz.md5": True,
    }  # fmt: skip
    said = {link.url.removeprefix(server.url): str(link) for link in links}
    assert "DEAD  404" in said["gone/e"]
    assert "153,600 bytes, expected 307,200" in said["short/c"]


# --- models --------------------------------------------------------------------------------------


def model_row(base: str, package: str | None = None) -> Source:
    names = ("config.json", "model.safetensors")
    files = tuple(
        SourceFile(path=f"models/toy/{name}", hash=sha(BODY), bytes=len(BODY), upstream=name)
        for name in names
    )
    return row(base, kind="model", name="toy", folder="models/toy", hub="we/toy", files=files,
               package=package)  # fmt: skip


@pytest.fixture
def toy_package(tmp_path, monkeypatch):
    """An installed package with weights, whose code must never run."""
    folder = tmp_path / "site/toy_weights_package/model"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise SystemExit('this code must not run')\n")
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes(BODY)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return folder


def test_weights_out_of_a_package_without_importing_it(toy_package):
    toy = model_row("http://127.0.0.1:9/", package="toy_weights_package/model")
    assert fetch(toy) == toy_package
    assert "toy_weights_package" not in sys.modules


def test_a_package_with_other_weights_is_not_used(server, toy_package, tmp_path, caplog):
    (toy_package / "model.safetensors").write_bytes(WRONG)
    toy = model_row(server.url + "fine/", package="toy_weights_package/model")
    with caplog.at_level(logging.WARNING):
        assert fetch(toy, network=QUICK) == tmp_path / "cache/models/toy"
    assert "not used" in caplog.text and sha(WRONG)[7:] in caplog.text


def test_model_by_name_by_hub_and_by_folder(server, tmp_path, monkeypatch):
    toy = model_row(server.url + "fine/")
    monkeypatch.setattr(sources, "table", lambda: {"toy": toy})
    folder = tmp_path / "cache/models/toy"
    assert model_path("toy") == folder and model_path("we/toy") == folder
    assert model_path(folder) == folder and model_path(str(folder)) == folder
    with pytest.raises(ValueError, match="no model 'nothing'.*pocket-bert, toy"):
        model_path("nothing")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        model_path(tmp_path / "nowhere")


def test_pickled_weights_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="config.json"):
        model_path(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="no weights; only safetensors"):
        model_path(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ValueError, match="only pytorch_model.bin.*only safetensors are loaded"):
        model_path(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert model_path(tmp_path) == tmp_path


def test_pocket_bert_that_is_not_made_yet(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "data_dir", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match="'bioptimus pocket-bert' makes it"):
        model_path("pocket-bert")
    folder = tmp_path / "pocket-bert"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"")
    assert model_path("pocket-bert") == folder


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture
def toy_table(monkeypatch, server):
    rows = {"Toy": row(server.url + "fine/"), "gone": row(server.url + "gone/", name="gone"),
            "wrong": row(server.url + "wrong/", name="wrong")}  # fmt: skip
    monkeypatch.setattr(source_table, "table", lambda: rows)
    monkeypatch.setattr("bioptimus_lib.source_report.table", lambda: rows)
    return rows


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["fetch", "Toy"], 0, ""),
        (["fetch", "--list"], 0, ""),
        (["fetch", "--check-links", "Toy"], 0, ""),
        (["fetch", "--check-links"], 2, "1 link(s) do not answer"),
        (["fetch"], 2, "name a source"),
        (["fetch", "nothing"], 2, "no source 'nothing'"),
        (["fetch", "gone"], 2, "404"),
        (["fetch", "wrong"], 2, "wrong sha256"),
    ],
)
def test_command(toy_table, capsys, tmp_path, arguments, code, words):
    assert cli.main(arguments) == code
    out, err = capsys.readouterr()
    assert words in err
    if code:
        assert err.startswith("bioptimus: error: ") and err.count("\n") == 1
    if arguments == ["fetch", "Toy"]:
        assert out.strip() == str(tmp_path / "cache/ner/Toy")
    if "--list" in arguments:
        assert out.count("\n") == 5


def test_an_unknown_name_stops_before_any_download(toy_table, server, capsys):
    assert cli.main(["fetch", "Toy", "nothing"]) == 2
    assert server.asked.total() == 0


def test_what_is_for_the_baseline_alone_is_not_dropped(toy_table, server, capsys):
    assert cli.main(["fetch", "Toy", "--first", "3"]) == 2
    assert "are for pubmed-baseline, which is not named" in capsys.readouterr().err
    assert server.asked.total() == 0


def test_who_comes_second_waits_and_takes_nothing_away(toy_table, server, tmp_path, monkeypatch):
    """Two processes on a fresh cache: a file that the first has checked stays where it is."""
    from bioptimus_lib import sources

    real, inside, gone = sources._get, threading.Event(), []

    def slow(row, file, root, *more):
        assert not inside.is_set(), "two get one file at a time"
        inside.set()
        time.sleep(0.05)
        real(row, file, root, *more)
        inside.clear()

    monkeypatch.setattr(sources, "_get", slow)
    first = threading.Thread(target=lambda: gone.append(fetch_files("Toy", progress=False)))
    first.start()
    second = fetch_files("Toy", progress=False)
    first.join()
    assert all(path.is_file() for found in (*gone, second) for path in found.paths)
    assert server.asked.total() == len(second.paths)
    assert not list((tmp_path / "cache").rglob("*.lock"))


def test_interrupt_is_130(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("bioptimus_lib.sources.fetch", interrupted)
    assert cli.main(["fetch", "NCBI-disease"]) == 130
    assert capsys.readouterr().err == "bioptimus: interrupted\n"


def test_a_reader_may_go_as_head_does():
    """Nothing is said of it, neither at once nor at the exit."""
    child = subprocess.Popen(
        [sys.executable, "-m", "bioptimus_lib", "fetch", "--list"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    child.stdout.close()
    assert child.communicate()[1] == b"" and child.returncode == cli.NO_READER


def test_another_broken_pipe_is_an_error(monkeypatch, capfd):
    def broken(*_, **__):
        raise BrokenPipeError("a server has hung up")

    monkeypatch.setattr("bioptimus_lib.sources.fetch", broken)
    assert cli.main(["fetch", "NCBI-disease"]) == cli.BAD_INPUT
    assert "error: a server has hung up" in capfd.readouterr().err


def test_wrong_arguments_are_one_line(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["fetch", "--nope"])
    err = capsys.readouterr().err
    assert caught.value.code == 2
    assert err.count("\n") == 1 and err.startswith("bioptimus: error: ") and "--nope" in err


def test_start_is_light():
    """``--help`` and the sources load neither torch nor the network libraries."""
    code = (
        "import sys\n"
        "from bioptimus_lib.cli import main\n"
        "import bioptimus_lib.sources, bioptimus_lib.source_report\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'torch', 'transformers', 'requests', 'pooch', 'tqdm'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "fetch" in done.stdout


def test_as_module():
    version = subprocess.run([sys.executable, "-m", "bioptimus_lib", "--version"],
                             capture_output=True, text=True)  # fmt: skip
    assert version.returncode == 0 and version.stdout.startswith("bioptimus 0.")
