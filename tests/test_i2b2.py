"""A reader's own i2b2 files: read whole, compared with their text, broken ones told by the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from bioptimus_lib import i2b2
from bioptimus_lib.cli import main
from bioptimus_lib.conll import load_splits
from bioptimus_lib.errors import DataError
from bioptimus_lib.i2b2 import Span, read_document
from bioptimus_lib.task_table import TASKS

TEXT = """Admission Date :
He took aspirin for chest pain .

ECG showed ischemia and chest pain .
"""
CON = """c="aspirin" 2:2 2:2||t="treatment"
c="chest pain" 2:4 2:5||t="problem"
c="ecg" 4:0 4:0||t="test"
c="ischemia" 4:2 4:2||t="problem"
c="chest  pain" 4:4 4:5||t="problem"
"""
REL = """c="aspirin" 2:2 2:2||r="TrAP"||c="chest pain" 2:4 2:5
c="ecg" 4:0 4:0||r="TeRP"||c="ischemia" 4:2 4:2
c="chest pain" 4:4 4:5||r="PIP"||c="ischemia" 4:2 4:2
"""


def write(folder: Path, name: str = "a", **changes: str) -> Path:
    """The three files of a document, apart as the challenge packs them."""
    for end, text in ({"txt": TEXT, "con": CON, "rel": REL} | changes).items():
        if text is not None:
            path = folder / "beth" / end / f"{name}.{end}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return folder


def read(folder: Path, **changes: str) -> i2b2.Document:
    place = write(folder, **changes) / "beth"
    return read_document(*(place / end / f"a.{end}" for end in ("txt", "con", "rel")))


def test_a_document_is_read_whole(tmp_path):
    document = read(tmp_path)
    assert document.sentences[2] == () and document.sentences[3][2] == "ischemia"
    assert document.concepts[Span(1, 4, 6)] == "problem" and len(document.concepts) == 5
    assert document.relations[Span(1, 2, 3), Span(1, 4, 6)] == "TrAP"
    tags = [sentence.tags for sentence in i2b2.tagged(document)]
    assert tags[1] == ("O", "O", "B-treatment", "O", "B-problem", "I-problem", "O")
    assert len(tags) == 3
    assert read(tmp_path, con=CON + CON).concepts == document.concepts  # a line twice is one
    assert read(tmp_path, con="", rel="").concepts == {}


BROKEN = {  # file, text, line, message
    "no form": ("con", 'c="x"||t="problem"\n', 1, "expected c="),
    "slipped": ("con", CON.replace("4:2 4:2", "4:3 4:3"), 4, "'ischemia', but at 4:3 4:3 .* 'and'"),
    "no such line": ("con", 'c="x" 9:0 9:0||t="test"\n', 1, "9:0 9:0 is not in the text"),
    "no such token": ("con", 'c="x" 1:0 1:7||t="test"\n', 1, "not in the text"),
    "over two lines": ("con", 'c="x" 1:0 2:0||t="test"\n', 1, "from line 1 to line 2"),
    "unknown type": ("con", 'c="he" 2:0 2:0||t="person"\n', 1, "unknown label 'person'"),
    "two types": ("con", CON + 'c="ecg" 4:0 4:0||t="problem"\n', 6, "is a test already"),
    "overlap": ("con", CON + 'c="pain" 4:5 4:5||t="problem"\n', 6, "concept of line 5"),
    "not UTF-8": ("con", "\udcff\n", 1, "UTF-8"),
    "relation of nothing": ("rel", REL.replace("2:2 2:2", "2:1 2:1").replace("aspirin", "took"), 1,
                            "no concept stands at 2:1 2:1"),
    "unknown relation": ("rel", REL.replace("TrAP", "TrX"), 1, "'TrX' of a treatment and a prob"),
    "of other types": ("rel", REL.replace("TeRP", "TrAP"), 2, "expected TeCP or TeRP"),
    "a form of its own": ("rel", "TrAP\n", 1, "expected c="),
    "two answers": ("rel", REL + REL.splitlines()[0].replace("TrAP", "TrCP") + "\n", 4,
                    "the pair is TrAP already"),
    "with itself": ("rel", 'c="ischemia" 4:2 4:2||r="PIP"||c="ischemia" 4:2 4:2\n', 1,
                    "with itself"),
    "two sentences": ("rel", 'c="aspirin" 2:2 2:2||r="TrAP"||c="ischemia" 4:2 4:2\n', 1,
                      "over two sentences"),
}  # fmt: skip


@pytest.mark.parametrize("end, text, line, message", BROKEN.values(), ids=BROKEN)
def test_broken_files_are_named_with_their_line(tmp_path, end, text, line, message):
    write(tmp_path)
    path = tmp_path / "beth" / end / f"a.{end}"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=message) as caught:
        read_document(*(tmp_path / "beth" / e / f"a.{e}" for e in ("txt", "con", "rel")))
    assert (caught.value.line, Path(caught.value.path)) == (line, path)


@pytest.fixture
def folder(tmp_path) -> Path:
    place = tmp_path / "i2b2"
    for number in range(12):
        write(place / "train", f"record-{number}")
    write(place / "test", "record-90")
    return place


def test_devel_is_a_tenth_of_the_documents_of_train(folder):
    assert i2b2.is_folder(folder) and not i2b2.is_folder(folder / "train")
    made = i2b2.documents(folder, relations=True)
    assert {split: len(some) for split, some in made.items()} == {
        "train": 11, "devel": 1, "test": 1,
    }  # fmt: skip
    again = i2b2.documents(folder, relations=False)
    assert [d.name for d in again["devel"]] == [d.name for d in made["devel"]]
    write(folder / "devel", "own")
    assert [d.name for d in i2b2.documents(folder, relations=True)["devel"]] == ["own"]


def test_missing_files_are_told(folder):
    (folder / "test" / "beth" / "rel" / "record-90.rel").unlink()
    i2b2.documents(folder, relations=False)
    with pytest.raises(FileNotFoundError, match=r"no record-90\.rel"):
        i2b2.documents(folder, relations=True)
    (folder / "test" / "beth" / "txt" / "record-90.txt").unlink()
    with pytest.raises(DataError, match=r"no record-90\.txt belongs to it"):
        i2b2.documents(folder, relations=False)
    write(folder / "train" / "again", "record-1")
    with pytest.raises(DataError, match="a document of this name"):
        i2b2.documents(folder, relations=False)
    with pytest.raises(FileNotFoundError, match="no folder train"):
        i2b2.documents(folder / "test", relations=False)


def test_relations_are_asked_of_each_pair_that_could_have_one(folder):
    data = i2b2.relations(folder, TASKS["i2b2-relations"].labels)
    asked = {
        tuple(e.text[m.start : m.stop] for m in e.mentions): e.answer for e in data.test
    }  # fmt: skip
    assert asked == {
        ("aspirin", "chest pain"): "TrAP", ("ECG", "ischemia"): "TeRP",
        ("ECG", "chest pain"): "none", ("ischemia", "chest pain"): "PIP",
    }  # fmt: skip
    shown = {view: data.shown(view).test[0].text for view in TASKS["i2b2-relations"].views}
    assert shown["markers"] == "He took << aspirin >> for [[ chest pain ]] ."
    assert shown["blinded"] == "He took @TREATMENT$ for @PROBLEM$ ."
    assert len({e.id for e in data.test}) == len(data.test)
    with pytest.raises(DataError, match="no example of 'TeCP'"):  # too few for a training
        TASKS["i2b2-relations"].load(folder)


def test_concepts_become_an_ner_set(folder, tmp_path):
    splits = load_splits(i2b2.write_entities(folder, tmp_path / "out"))
    assert {split: len(some) for split, some in splits.items()} == {
        "train": 33, "devel": 3, "test": 3,
    }  # fmt: skip
    assert splits["train"][-1].document == 10


def test_files_that_may_not_be_passed_on_are_asked_for(tmp_path, capsys):
    for name in ("mednli", "i2b2-relations"):
        words = ["task", name, "--model", "pocket-bert", "--out", str(tmp_path), "--quiet"]
        assert main(words) == 2
        assert f"{name} may not be passed on: give --data" in capsys.readouterr().err
