"""Notes of a hospital: placeholders, sections, and files in the form of MIMIC-III's."""

from __future__ import annotations

import csv
import gzip
import io
import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioptimus_lib import pocket_notes
from bioptimus_lib.cli import main
from bioptimus_lib.clinical_text import (
    joined,
    kind_of,
    prepared,
    sections,
    without_placeholders,
)
from bioptimus_lib.errors import DataError
from bioptimus_lib.noteevents import COLUMNS, is_notes, notes
from bioptimus_lib.records import documents, readable_files

INSIDE = {
    "Known lastname 12": "name", "First Name8 (NamePattern2) 4": "name", "Name (NI) 3": "name",
    "Last Name (STitle) 77": "name", "Doctor Last Name 5": "name", "Initials (NamePattern4) 1":
    "name", "Hospital1 18": "hospital", "Hospital Ward Name 3": "hospital", "2151-7-16": "date",
    "7-16": "date", "Month (only) 5": "date", "2118": "date", "Year/Month/Day": "date",
    "Telephone/Fax (1) 9": "phone", "Pager number 8": "phone", "Age over 90 ": "age",
    "Location (un) 4": "place", "State 2": "place", "Street Address(2) 1": "address",
    "Numeric Identifier 6": "number", "Medical Record Number 1": "number", "0-0-": "number",
    "Job Number 5": "number", "Unit Number 12": "number", "Unit No. 5": "number",
    "Cardiac Unit 3": "hospital", "": "other", "Brand": "other",
}  # fmt: skip


@pytest.mark.parametrize("inside, kind", INSIDE.items())
def test_a_placeholder_becomes_the_word_for_what_it_says(inside, kind):
    assert kind_of(inside) == kind
    assert without_placeholders(f"a [**{inside}**] b") == f"a {kind} b"


def test_nothing_in_brackets_stays_and_an_open_bracket_eats_no_note():
    tally = Counter()
    text = "[**2101-1-1**][**Name (NI)\n 3**] [** ** x " + 300 * "y" + "[**Hospital1 2**]"
    found = without_placeholders(text, tally=tally)
    assert found.startswith("datename") and found.endswith("hospital")
    assert tally == {"date": 1, "name": 1, "hospital": 1}


NOTE = """Admission Date: [**2101-1-1**]
Name: x

CHIEF COMPLAINT:
  cough
HPI: Pt felt well until
two days ago, note: she smokes.
Blood pressure: 120/80
HEENT: clear
A/P: 1. rest
2. fluids"""


def test_sections_are_found_by_table_or_by_capitals():
    found = sections(NOTE)
    assert [s.name for s in found] == ["beginning", "complaint", "history", "heent", "plan"]
    assert NOTE[found[1].start : found[1].stop].strip() == "cough"
    assert "smokes" in NOTE[found[2].start : found[2].stop]
    assert "120/80" in NOTE[found[2].start : found[2].stop]
    assert found[-1].stop == len(NOTE) and found[-1].heading == "A/P"
    assert sections("") == [] and sections("no heading here")[0].name == "beginning"


@given(st.text("aA:\n /P1. ", max_size=80))
@settings(max_examples=200)
def test_sections_and_their_headings_are_the_whole_note(text):
    found = sections(text)
    for one, two in zip(found, found[1:], strict=False):
        assert one.stop <= two.start and two.heading in text[one.stop : two.start]
    if found:
        assert not text[: found[0].start].replace(found[0].heading, "", 1).strip(" :\n\t")
        assert found[-1].stop == len(text)
    assert "".join("".join(joined(text)).split()) == "".join(text.split())


def test_lines_belong_together_unless_something_begins():
    assert list(joined(NOTE))[-4:] == [
        "HPI: Pt felt well until two days ago, note: she smokes. Blood pressure: 120/80",
        "HEENT: clear", "A/P: 1. rest", "2. fluids",
    ]  # fmt: skip
    assert prepared("Seen\nby [**Name (NI) 1**]\n\n- a\n- b") == "Seen by name\n- a\n- b"


# -- files -----------------------------------------------------------------------------------------


def written(*rows: dict[str, str], header=COLUMNS) -> str:
    """A file in the form of NOTEEVENTS.csv."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(header)
    for number, row in enumerate(rows, start=1):
        cells = {"ROW_ID": str(number), "CATEGORY": "Nursing", "TEXT": "x"} | row
        writer.writerow([cells.get(name, "") for name in COLUMNS])
    return out.getvalue()


def test_notes_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "NOTEEVENTS.csv"
    text = 'Pt "stable",\n\nsee\u2028[**Name (NI) 1**]'
    rows = [{"TEXT": text, "CATEGORY": "Physician "}, {"ISERROR": "1"}, {"TEXT": "z"}]
    path.write_text(written(*rows), encoding="utf-8")
    found = list(notes(path))
    assert [n.text for n in found] == [text, "x", "z"]
    assert [n.line for n in found] == [2, 5, 6] and [n.error for n in found] == [0, 1, 0]
    assert [n.row_id for n in notes(path, categories=["physician"])] == ["1"]
    packed = tmp_path / "b" / "noteevents_part.csv.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert list(notes(packed)) == found
    assert [d.retracted for d in documents(packed)] == [False, True, False]
    assert next(documents(path)).text.endswith("name")


GOOD = written({"TEXT": "a\nb"}, {"TEXT": 'c "d"'}, {"TEXT": "e"})
BROKEN = {  # text, line, message
    "another header": (GOOD.replace('"CGID",', "", 1), 1, "the header is .* expected the columns"),
    "no header": (GOOD.split("\n", 1)[1], 1, "the header"),
    "empty": ("", None, "empty"),
    "no note": (written(), None, "no note"),
    "a column too many": (GOOD.replace('"c ', '"","c '), 4, "12 columns, expected 11"),
    "a quote that stays open": (GOOD.rstrip()[:-1], 5, "not CSV .* never closed"),
    "a quote inside": (GOOD.replace('""d""', '"d"'), 4, "not CSV"),
    "not UTF-8": (GOOD.encode().replace(b"b", b"\xff"), 3, "UTF-8"),
    "no id": (written({"ROW_ID": "x"}), 2, "ROW_ID is 'x'"),
    "the same id": (written({}, {"ROW_ID": "1"}), 3, "ROW_ID 1 for the second time"),
    "an odd mark": (written({"ISERROR": "yes"}), 2, "ISERROR is 'yes'"),
}


@pytest.mark.parametrize("text, line, message", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_named_with_the_line_of_its_record(tmp_path, text, line, message):
    path = tmp_path / "NOTEEVENTS.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=message) as caught:
        list(notes(path))
    assert (caught.value.line, Path(caught.value.path)) == (line, path)


def test_an_open_quote_ends_at_the_limit_of_a_field(tmp_path):
    path = tmp_path / "NOTEEVENTS.csv"
    path.write_text(written({}, {"TEXT": "y"}).replace('"y"', '"y') + "z\n" * 200_000)
    with pytest.raises(DataError, match="field larger than field limit") as caught:
        list(notes(path))
    assert caught.value.line == 3


def test_a_cut_gzip_file_is_broken(tmp_path):
    path = tmp_path / "NOTEEVENTS.csv.gz"
    path.write_bytes(gzip.compress(GOOD.encode())[:-9])
    with pytest.raises(DataError, match="gzip"):
        list(notes(path))


def test_another_header_stops_a_corpus_before_any_work(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("A sentence that is long enough to be kept here.\n")
    (tmp_path / "in" / "NOTEEVENTS.csv").write_text("a,b\n1,2\n")
    assert main(["corpus", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--quiet"]) == 2
    assert "NOTEEVENTS.csv:1: the header" in capsys.readouterr().err
    assert not (tmp_path / "out").exists() and not (tmp_path / ".out.work").exists()


def test_notes_become_a_corpus(tmp_path):
    path = pocket_notes.write_noteevents(tmp_path / "in" / "NOTEEVENTS.csv", count=80)
    assert is_notes(path) and readable_files(path.parent) == [path]
    assert main(["corpus", str(path), "--out", str(tmp_path / "out"), "--quiet"]) == 0
    (shard,) = (tmp_path / "out").glob("*.txt")
    text = shard.read_text(encoding="utf-8")
    assert "[**" not in text and "Attending: Dr. name" in text
    assert text.count("\n\n") == 78  # one of forty is marked as an error


MEMORY = """
import resource, sys
from bioptimus_lib.noteevents import notes
print(sum(1 for _ in notes(sys.argv[1])), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_file(tmp_path):
    used = []
    for count in (100, 20_000):
        path = tmp_path / f"noteevents_{count}.csv"
        path.write_text(written(*[{"TEXT": 1000 * "word "}] * 1).rstrip("\n") + "\n")
        row = path.read_text().split("\n", 1)[1]
        with open(path, "a", encoding="utf-8") as file:
            for number in range(2, count + 1):
                file.write(row.replace('"1"', f'"{number}"', 1))
        run = subprocess.run([sys.executable, "-c", MEMORY, str(path)], capture_output=True,
                             text=True, check=True)  # fmt: skip
        found, kilobytes = map(int, run.stdout.split())
        assert found == count
        used.append(kilobytes)
    assert path.stat().st_size > 90e6 and used[1] < used[0] + 8000


# -- made-up notes ---------------------------------------------------------------------------------


def test_made_up_notes_are_the_same_for_a_seed_and_have_all_sections():
    one, two = (list(islice(pocket_notes.notes(seed=3), 30)) for _ in range(2))
    assert one == two and one != list(islice(pocket_notes.notes(seed=4), 30))
    odd = 0
    for note in one:
        assert [name for name, _ in note.parts] == list(pocket_notes.LABELS)
        names = [s.name for s in sections(note.text)[1:]]
        assert [name for name in names if name in pocket_notes.LABELS] == [*pocket_notes.LABELS]
        # Where a line is broken before a word in capitals with a colon, it looks like a heading.
        odd += names != [*pocket_notes.LABELS]
        assert max(map(len, note.text.split("\n"))) <= pocket_notes.WIDTH
        assert "{" not in note.text and "<" not in note.text
    assert odd < 4
    assert len(next(pocket_notes.notes(length=3)).text) > 2 * len(one[0].text)
    with pytest.raises(ValueError, match="0 notes"):
        pocket_notes.write_noteevents("x", count=0)
