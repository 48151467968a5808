"""Data of tasks beyond entities: views of relations, strict readers, splits, and nothing lost."""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioptimus_lib import i2b2, task_readers
from bioptimus_lib.errors import DataError
from bioptimus_lib.kept import differences
from bioptimus_lib.relations import VIEWS, Mention, blinded, markers, plain, unmarked
from bioptimus_lib.task_data import Data, Example, cross_validation, set_apart
from bioptimus_lib.task_table import TASKS, Task, task

NAMES = ("@FIRST$", "@SECOND$")

# --- views -------------------------------------------------------------------------------------

MARKED = {  # marked, plain, blinded
    "apart": ("<< A >> cures [[ B ]].", "A cures B.", "@FIRST$ cures @SECOND$."),
    "the second first": ("[[ B ]] of << A >>", "B of A", "@SECOND$ of @FIRST$"),
    "glued": ("pre-<< A >>-[[ B ]]s", "pre-A-Bs", "pre-@FIRST$-@SECOND$s"),
    "touching": ("<< A >>[[ B ]]", "AB", "@FIRST$@SECOND$"),
    "one in the other": ("<< A [[ B ]] C >> d", "A B C d", "@FIRST$ @SECOND$ d"),
    "at its beginning": ("[[ << A >> B ]] d", "A B d", "@SECOND$ @FIRST$ d"),
    "the same": ("<< [[ A ]] >>", "A", "@FIRST$ @SECOND$"),
    "signs of the text": (
        "<< A >> >> 5 % [[ B ]] ]]", "A >> 5 % B ]]", "@FIRST$ >> 5 % @SECOND$ ]]",
    ),
}  # fmt: skip


@pytest.mark.parametrize("marked, text, blind", MARKED.values(), ids=MARKED)
def test_views(marked, text, blind):
    found, pair = unmarked(marked, NAMES)
    assert (found, plain(found, pair), blinded(found, pair)) == (text, text, blind)
    assert markers(found, pair) == marked


UNMARKED = {
    "no first": ("A [[ B ]]", "'<<' 0 times"),
    "first twice": ("<< A >> << A >> [[ B ]]", "'<<' 2 times"),
    "not closed": ("<< A [[ B ]]", "'<<' without '>>'"),
    "empty": ("<<   >> [[ B ]]", "empty"),
    "crossing": ("<< A [[ B >> C ]]", "cross"),
}


@pytest.mark.parametrize("text, message", UNMARKED.values(), ids=UNMARKED)
def test_broken_marks_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        unmarked(text, NAMES)


@given(
    words=st.lists(st.text("abc-", min_size=1, max_size=4), min_size=2, max_size=8),
    data=st.data(),
)
@settings(max_examples=200)
def test_marks_are_undone_wherever_the_mentions_stand(words, data):
    text = " ".join(words)
    cuts = data.draw(st.lists(st.integers(0, len(text)), min_size=4, max_size=4).map(sorted))
    order = data.draw(st.sampled_from([(0, 1, 2, 3), (2, 3, 0, 1), (0, 3, 1, 2), (1, 2, 0, 3)]))
    a, b, c, d = (cuts[i] for i in order)
    pair = Mention(a, b, NAMES[0]), Mention(c, d, NAMES[1])
    if not text[a:b].strip() or not text[c:d].strip():
        return
    assert unmarked(markers(text, pair), NAMES) == (text, pair)
    for mention in pair:
        assert blinded(text, pair).count(mention.placeholder) == 1


def test_a_view_wants_mentions():
    example = Example("1", "A b", "x", mentions=(Mention(0, 1, "@A$"), Mention(2, 3, "@B$")))
    assert {view: example.shown(view).text for view in VIEWS} == {
        "markers": "<< A >> [[ b ]]", "blinded": "@A$ @B$", "plain": "A b",
    }  # fmt: skip
    assert example.shown("blinded").mentions is None
    with pytest.raises(ValueError, match="'dummy' is unknown"):
        example.shown("dummy")
    with pytest.raises(ValueError, match="1 has no mentions"):
        example.shown("plain").shown("plain")


# --- readers -----------------------------------------------------------------------------------


def lines(*rows: object) -> str:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


def relation(text="<< A >> cures [[ B ]]", label="AGONIST"):
    return {"text": text, "label": label, "metadata": []}


HEADER = "id\tsentence1\tsentence2\tannotator_a\tannotator_b\tannotator_c\tannotator_d\tannotator_e"
PAIR = '<pair pid="{}" value="{}"><chq>{}</chq><faq>{}</faq></pair>\n'
CSV = "ID,section_header,section_text,dialogue\n"
ABSTRACT = {"pmid": "1", "sentences": ["a", "b"], "labels": ["Resisting cell death"]}
QUESTION = {"QUESTION": "q", "CONTEXTS": ["c"], "final_decision": "yes"}
RQE = "MEDIQA2019-Task2-RQE-{}.xml"


def xml(*pairs: str) -> str:
    return "<set>\n" + "".join(pairs) + "</set>\n"


def pairs(number: int) -> str:
    return xml(*(PAIR.format(i, ("true", "false")[i % 2], f"q {i}", "f") for i in range(number)))


def sections(*rows: str) -> str:
    return CSV + "".join(rows)


#: A sound folder of each task, as file → text.
SOUND: dict[str, dict[str, str]] = {
    "chemprot": {
        name: lines(*(relation(f"<< A{i} >> and\u2028 [[ B ]]", label) for i, label in enumerate(
            TASKS["chemprot"].labels)))
        for name in ("train.txt", "dev.txt", "test.txt")
    },
    "gad": {
        "train.tsv": lines(*(f"@GENE$ {i} @DISEASE$\t{i % 2}" for i in range(40))),
        "test.tsv": lines("index\tsentence\tlabel", "0\t@GENE$ @DISEASE$\t1"),
    },
    "biosses": {
        "biosses.tsv": lines(HEADER, *(f"{i}\ta {i}\tb\t{i % 5}\t1\t2\t3\t4" for i in range(10))),
    },
    "hoc": {
        "hoc.jsonl": lines(*(
            {"pmid": str(i), "sentences": [f"a {i}", "b"], "labels": [TASKS["hoc"].labels[i % 10]]}
            for i in range(100)
        )),
    },
    "pubmedqa": {
        "ori_pqal.json": json.dumps({
            str(i): QUESTION | {"QUESTION": f"q {i}", "final_decision": label}
            for i, label in enumerate(20 * ["yes", "no", "maybe"])
        }, indent=1),
        "test_ground_truth.json": json.dumps({"0": "yes", "1": "no"}),
    },
    "rqe": {
        RQE.format("TrainingSet-AMIA2016"): pairs(6),
        RQE.format("ValidationSet-AMIA2016"): pairs(3),
        RQE.format("TestSet-wLabels"): pairs(4),
    },
    "mts-dialog": {
        f"MTS-Dialog-{name}.csv": sections(*(
            f'{i},{label},"a, ""b""\nand {i}",said\n'
            for i, label in enumerate(TASKS["mts-dialog"].labels)
        ))
        for name in ("TrainingSet", "ValidationSet", "TestSet-1-MEDIQA-Chat-2023",
                     "TestSet-2-MEDIQA-Sum-2023")
    },
    "mednli": {
        f"mli_{name}_v1.jsonl": lines(*(
            {"pairID": f"{name}{i}", "gold_label": label, "sentence1": f"[**Name (NI) {i}**] fell",
             "sentence2": "b", "sentence1_parse": "(ROOT)"}
            for i, label in enumerate(TASKS["mednli"].labels)
        ))
        for name in ("train", "dev", "test")
    },
}  # fmt: skip
MLI = "mli_test_v1.jsonl"
COUNTS = {  # train, devel, test; and folds
    "chemprot": (13, 13, 13, 1), "gad": (36, 4, 1, 1), "biosses": (6, 2, 2, 5),
    "hoc": (70, 10, 20, 1), "pubmedqa": (52, 6, 2, 1), "rqe": (6, 3, 4, 1),
    "mts-dialog": (20, 20, 40, 1), "mednli": (3, 3, 3, 1),
}  # fmt: skip


def folder(tmp_path: Path, name: str, **changes: str | bytes | None) -> Path:
    """A sound folder of a task, some files of which have another text, or are not there."""
    for file, text in (SOUND[name] | changes).items():
        if text is not None:
            raw = text if isinstance(text, bytes) else text.encode()
            (tmp_path / file).write_bytes(raw)
    return tmp_path


@pytest.mark.parametrize("name", SOUND)
def test_sound_files_are_read_whole(tmp_path, name):
    data = TASKS[name].load(folder(tmp_path, name))
    *sizes, folds = COUNTS[name]
    assert [len(data.folds[0][split]) for split in ("train", "devel", "test")] == sizes
    assert len(data.folds) == folds and not data.dropped
    ids = [example.id for example in data.test]
    assert len(set(ids)) == len(ids)


def test_what_readers_make_of_a_line(tmp_path):
    read = {name: TASKS[name].load(folder(tmp_path, name)) for name in SOUND}
    first = read["chemprot"].test[0]
    assert first.text == "A0 and\u2028 B" and first.shown("markers").text.startswith("<< A0 >>")
    assert read["biosses"].test[0].answer in {(i + 10) / 5 for i in range(5)}
    assert {e.answer for e in read["mts-dialog"].test} == set(TASKS["mts-dialog"].labels)
    assert read["mts-dialog"].test[0].text == 'a, "b"\nand 0'
    assert read["pubmedqa"].test[0] == Example("0", "q 0", "yes", second="c")
    assert read["mednli"].test[0].texts == ("name fell", "b")
    assert read["hoc"].test[0].text.endswith(" b") and len(read["hoc"].test[0].answer) == 1


T = "train.txt"
XML, CSVS = RQE.format("TrainingSet-AMIA2016"), "MTS-Dialog-TrainingSet.csv"
BROKEN = {  # task, file, text, line, message
    "no JSON": ("chemprot", T, lines(relation(), "{"), 2, "not JSON"),
    "no object": ("chemprot", T, "[]\n", 1, "JSON object"),
    "no label": ("chemprot", T, lines({"text": "x"}), 1, "no 'label'"),
    "a blank line": ("chemprot", T, lines(relation(), ""), 2, "not JSON"),
    "missing marker": ("chemprot", T, lines(relation(), relation("A [[ B ]]")), 2, "'<<' 0 times"),
    "empty text": ("chemprot", T, lines(relation("  ")), 1, "expected a text"),
    "unknown label": ("chemprot", T, lines(relation(label="CURES")), 1, "unknown label 'CURES'"),
    "label of another type": ("chemprot", T, lines(relation(label=["X"])), 1, "unknown label"),
    "empty file": ("chemprot", T, "", None, "empty"),
    "not UTF-8": ("chemprot", T, lines(relation()).encode() + b"\xff\n", 2, "UTF-8"),
    "a label without examples": ("chemprot", T, lines(relation()), None, "no example of 'ACTIVAT"),
    "no mask": ("gad", "train.tsv", "@GENE$ alone\t1\n", 1, "no @DISEASE"),
    "column missing": ("gad", "train.tsv", "@GENE$ @DISEASE$\n", 1, "1 columns, expected 2"),
    "column too many": ("gad", "train.tsv", "@GENE$\t@DISEASE$\t1\n", 1, "3 columns"),
    "no header": ("gad", "test.tsv", "0\t@GENE$ @DISEASE$\t1\n", 1, "header"),
    "only a header": ("gad", "test.tsv", "index\tsentence\tlabel\n", None, "no example"),
    "the same id": (
        "gad", "test.tsv", lines("index\tsentence\tlabel", *2 * ["0\t@GENE$ @DISEASE$\t1"]), 3,
        "second time, first in line 2",
    ),
    "score out of range": ("biosses", "biosses.tsv", lines(HEADER, "1\ta\tb\t5\t1\t1\t1\t1"), 2,
                           "score '5', expected 0 to 4"),
    "no score": ("biosses", "biosses.tsv", lines(HEADER, "1\ta\tb\tx\t1\t1\t1\t1"), 2, "score 'x'"),
    "nan": ("biosses", "biosses.tsv", lines(HEADER, "1\ta\tb\tnan\t1\t1\t1\t1"), 2, "score 'nan'"),
    "too few pairs": ("biosses", "biosses.tsv", lines(HEADER, "1\ta\tb\t1\t1\t1\t1\t1"), None,
                      "5 folds of 1"),
    "an unknown hallmark": ("hoc", "hoc.jsonl", lines(ABSTRACT | {"labels": ["x"]}), 1, "'x'"),
    "a hallmark twice": (
        "hoc", "hoc.jsonl", lines(ABSTRACT | {"labels": 2 * ABSTRACT["labels"]}), 1, "twice",
    ),
    "no list": ("hoc", "hoc.jsonl", lines(ABSTRACT | {"sentences": "a"}), 1, "no list"),
    "an abstract twice": ("hoc", "hoc.jsonl", lines(ABSTRACT, ABSTRACT), 2, "'1' for the second"),
    "another answer": ("pubmedqa", "test_ground_truth.json", '{"0": "no"}', 2, "another answer"),
    "a question that is not there": (
        "pubmedqa", "test_ground_truth.json", '{"x": "no"}', None, "question x is not in",
    ),
    "a question twice": ("pubmedqa", "ori_pqal.json", '{"1": {}, "1": {}}', None, "'1' stands"),
    "a question without context": (
        "pubmedqa", "ori_pqal.json", json.dumps({"0": QUESTION, "1": QUESTION | {"CONTEXTS": []}},
                                                indent=1), 9, "context of 1 is ''",
    ),
    "broken JSON": ("pubmedqa", "ori_pqal.json", '{"0": {}\n', 1, "not JSON"),
    "broken XML": ("rqe", XML, "<set>\n<pair>\n</set>\n", 3, "broken XML"),
    "an entity": ("rqe", XML, '<!DOCTYPE s [<!ENTITY a "b">]>\n<set/>\n', None, "entity 'a'"),
    "no value": ("rqe", XML, xml('<pair pid="1"><chq>a</chq><faq>b</faq></pair>\n'), 2, "None"),
    "no faq": ("rqe", XML, xml('<pair pid="1" value="true"><chq>a</chq></pair>\n'), 2, "and faq"),
    "a pair twice": ("rqe", XML, xml(*2 * [PAIR.format(1, "true", "a", "b")]), 3, "second time"),
    "no pair": ("rqe", XML, "<set/>\n", None, "no pair"),
    "an empty question in test": (
        "rqe", RQE.format("TestSet-wLabels"), xml(PAIR.format(1, "true", "a", " ")), 2, "question",
    ),
    "no such section": ("mts-dialog", CSVS, sections("0,ODD,x,y\n"), 2, "unknown label 'ODD'"),
    "CSV columns": ("mts-dialog", CSVS, sections("0,CC,x\n"), 2, "3 columns, expected 4"),
    "CSV header": ("mts-dialog", CSVS, "0,CC,x,y\n", 1, "expected the columns"),
    "a pair without its id": ("mednli", MLI, lines({"gold_label": "neutral"}), 1, "'sentence1'"),
    "an unknown answer": (
        "mednli", MLI, lines({"pairID": "1", "gold_label": "yes", "sentence1": "a",
                              "sentence2": "b"}), 1, "unknown label 'yes'",
    ),
    "a record over several lines": (
        "mts-dialog", CSVS, sections('0,CC,x,y\n1,ODD,"x\nx","y\ny"\n'), 3, "label 'ODD'",
    ),
    "a second text is empty": ("biosses", "biosses.tsv", lines(HEADER, "1\ta\t \t1\t1\t1\t1\t1"),
                               2, "sentence2"),
    "CSV without an end": ("mts-dialog", CSVS, sections('0,CC,"x\n'), 2, "not CSV"),
}  # fmt: skip


@pytest.mark.parametrize("name, file, text, line, message", BROKEN.values(), ids=BROKEN)
def test_broken_files_are_named_with_their_line(tmp_path, name, file, text, line, message):
    with pytest.raises(DataError, match=message) as caught:
        TASKS[name].load(folder(tmp_path, name, **{file: text}))
    assert caught.value.line == line
    assert Path(caught.value.path) in (tmp_path, tmp_path / file, tmp_path / "ori_pqal.json")


@pytest.mark.parametrize("name", SOUND)
def test_a_missing_file_is_an_error(tmp_path, name):
    for file in SOUND[name]:
        place = tmp_path / file
        place.mkdir()
        with pytest.raises(FileNotFoundError, match=file):
            TASKS[name].load(folder(place, name, **{file: None}))


def test_what_is_left_out_is_counted(tmp_path):
    text = xml(PAIR.format(8, "true", "", "b"), PAIR.format(9, "true", "a", "b"),
               PAIR.format(10, "false", "a", "b"))  # fmt: skip
    data = TASKS["rqe"].load(folder(tmp_path, "rqe", **{XML: text}))
    assert data.report()["dropped"] == {"train: a question is empty": 1}
    assert len(data.folds[0]["train"]) + sum(data.dropped.values()) == 3


def test_what_a_view_hides_is_counted():
    pair = Mention(0, 1, "@A$"), Mention(2, 3, "@B$")
    other = Mention(2, 3, "@A$"), Mention(0, 1, "@B$")
    some = [Example("1", "A b", "x", mentions=pair), Example("2", "A b", "y", mentions=other),
            Example("3", "c d", "x", mentions=pair)]  # fmt: skip
    data = Data(({"train": some[:1], "devel": some[2:], "test": some},))
    counts = {view: data.shown(view).report() for view in VIEWS}
    assert {v: found["contradicted"]["test"] for v, found in counts.items()} == {
        "markers": 0, "blinded": 0, "plain": 2,
    }  # fmt: skip
    assert {v: found["test texts in train"] for v, found in counts.items()} == {
        "markers": 1, "blinded": 2, "plain": 2,
    }  # fmt: skip


# --- our own form ------------------------------------------------------------------------------


def own(tmp_path: Path, rows: list[object], **described: object) -> Path:
    described = {"reads": "text", "answer": "label", "labels": ["a", "b"], "metric": "accuracy"} | (
        described
    )
    (tmp_path / "task.json").write_text(json.dumps(described))
    for split in ("train", "devel", "test"):
        (tmp_path / f"{split}.jsonl").write_text(lines(*rows))
    return tmp_path


def test_a_folder_of_ones_own(tmp_path):
    rows = [{"id": "1", "text": "x", "label": "a"}, {"id": "2", "text": "y", "label": "b"}]
    mine = task(str(own(tmp_path, rows)))
    assert mine.name == tmp_path.name
    assert mine.load(tmp_path).test == [Example("1", "x", "a"), Example("2", "y", "b")]
    with pytest.raises(ValueError, match="'nix' is no task"):
        task("nix")


OWN_BROKEN = {
    "two kinds of answers": ({"id": "1", "text": "x", "label": "a", "score": 1}, "one of label"),
    "no answer": ({"id": "1", "text": "x"}, "one of label"),
    "another kind": ({"id": "1", "text": "x", "score": 1}, "1 of train has no label"),
    "no end": ({"id": "1", "text": "x", "score": float("inf")}, "score inf"),
    "true is no number": ({"id": "1", "text": "x", "score": True}, "score True"),
    "a pair": ({"id": "1", "text": "x", "second": "y", "label": "a"}, "is no text"),
    "a mention outside": (
        {"id": "1", "text": "x", "label": "a", "mentions": [[0, 1, "@"], [0, 2, "@"]]}, "outside",
    ),
    "a mention with half a letter": (
        {"id": "1", "text": "xy", "label": "a", "mentions": [[0, 1.9, "@"], [1, 2, "@"]]}, "two m",
    ),
    "a mention of no name": (
        {"id": "1", "text": "xy", "label": "a", "mentions": [[0, 1, None], [1, 2, "@"]]}, "two m",
    ),
    "mentions that nobody shows": (
        {"id": "1", "text": "xy", "label": "a", "mentions": [[0, 1, "@"], [1, 2, "@"]]},
        "has mentions: task.json needs views",
    ),
    "one mention": ({"id": "1", "text": "x", "label": "a", "mentions": [[0, 1, "@"]]}, "two ment"),
}  # fmt: skip


@pytest.mark.parametrize("row, message", OWN_BROKEN.values(), ids=OWN_BROKEN)
def test_broken_rows_of_ones_own(tmp_path, row, message):
    place = own(tmp_path, [row])
    with pytest.raises(DataError, match=message):
        task(str(place)).load(place)


@pytest.mark.parametrize(
    "wrong",
    [{"metric": "bleu"}, {"answer": "score"}, {"labels": ["a"]}, {"positive": ["c"]},
     {"labels": ["a", "a"]}, {"labels": "ab"}, {"labels": [0, 1]}, {"views": ["x"]},
     {"metric": "pearson"}, {"read": "x"}],
)  # fmt: skip
def test_what_describes_no_task_is_refused(tmp_path, wrong):
    with pytest.raises(DataError, match=r"task\.json: describes no task"):
        task(str(own(tmp_path, [], **wrong)))


def test_the_table_is_sound():
    from bioptimus_lib.source_table import source, table

    for name, row in TASKS.items():
        assert isinstance(row, Task) and row.name == name and row.what and row.split
        assert row.citation and (row.source is None or source(row.source).kind == "task")
        assert row.view() in (row.views or (None,))
        with pytest.raises(ValueError, match="no view 'x'"):
            row.view("x")
    assert {row.source for row in TASKS.values()} - {None} == {
        row.name for row in table().values() if row.kind == "task"
    }  # fmt: skip


# --- splits ------------------------------------------------------------------------------------


def examples(number: int, seed: int) -> list[Example]:
    rng = random.Random(seed)
    return [Example(str(i), f"t{rng.randrange(number)}", rng.choice("ab")) for i in range(number)]


@given(number=st.integers(1, 60), seed=st.integers(0, 99), share=st.floats(0.05, 0.95))
@settings(max_examples=100)
def test_setting_apart_loses_none_and_divides_no_text(number, seed, share):
    some = examples(number, seed)
    rest, apart = set_apart(some, share, seed=seed)
    assert sorted(rest + apart, key=lambda e: int(e.id)) == some
    assert not {e.text for e in rest} & {e.text for e in apart}
    assert (rest, apart) == set_apart(some, share, seed=seed)


def test_setting_apart_takes_its_share_of_each_answer():
    some = [Example(str(i), f"t{i}", "a" if i < 900 else "b") for i in range(1000)]
    rest, apart = set_apart(some, 0.2)
    assert [sum(e.answer == label for e in apart) for label in "ab"] == [180, 20]
    assert set_apart(some, 0.2, seed=1)[1] != apart
    # what comes in another answer moves nobody
    more = [*some, Example("new", "new", "b")]
    assert [e for e in set_apart(more, 0.2)[1] if e.answer == "a"] == [
        e for e in apart if e.answer == "a"
    ]


@given(number=st.integers(5, 60), seed=st.integers(0, 99))
@settings(max_examples=50)
def test_each_example_is_tested_in_one_fold(number, seed):
    rng = random.Random(seed)
    some = [Example(str(i), "t", rng.choice([0.0, 1.0, 2.5])) for i in range(number)]
    folds = cross_validation(some, 5, seed=seed)
    tested = Data(folds).test
    assert sorted(e.id for e in tested) == sorted(e.id for e in some)
    for fold in folds:
        ids = [e.id for part in ("train", "devel", "test") for e in fold[part]]
        assert sorted(ids) == sorted(e.id for e in some)
    sizes = [len(fold["test"]) for fold in folds]
    assert max(sizes) - min(sizes) <= 1


# --- the real files ----------------------------------------------------------------------------

REAL = {  # examples in all folds' parts, tested, and dropped: the manifest's counts
    "chemprot": (4169 + 2427 + 3469, 3469, 0), "gad": (4796 + 534, 534, 0),
    "biosses": (100, 100, 0), "hoc": (1852, 370, 0), "pubmedqa": (1000, 500, 0),
    "rqe": (8588 + 302 + 230, 230, 1), "mts-dialog": (1201 + 100 + 400, 400, 0),
}  # fmt: skip


@pytest.mark.skipif("BIOPTIMUS_MIRROR" not in os.environ, reason="needs the real files")
@pytest.mark.parametrize("name", REAL)
def test_the_real_files_are_read_whole(name):
    from bioptimus_lib import sources

    row = TASKS[name]
    data = row.load(sources.fetch(row.source, progress=False))
    total, tested, dropped = REAL[name]
    assert sum(map(len, data.folds[0].values())) + sum(data.dropped.values()) == total
    assert (len(data.test), sum(data.dropped.values())) == (tested, dropped)
    if name == "mts-dialog":  # chapter 15 tells these numbers
        assert data.report()["test texts in train"] == 51 and len(row.labels) == 20
    for view in row.views:
        shown = [e.text for e in data.shown(view).test]
        assert len(shown) == tested and ("<< " in shown[0]) == (view == "markers")


def test_reading_needs_no_torch():
    import subprocess
    import sys

    code = "import sys, bioptimus_lib.tasks, bioptimus_lib.task_runs, bioptimus_lib.pocket_tasks; "
    code += "sys.exit(bool({'torch', 'transformers', 'pandas', 'sklearn'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_readers_are_those_of_the_table():
    assert {row.read for row in TASKS.values()} == {
        *(getattr(task_readers, name.replace("-", "_")) for name in (*SOUND, "json_lines")),
        i2b2.relations,
    }  # fmt: skip


def test_blanks_around_a_text_do_not_move_its_mentions(tmp_path):
    text = "  aspirin for gout "
    spans = [[2, 9, "@DRUG$"], [14, 18, "@DISEASE$"]]
    row = {"id": "1", "text": text, "label": "a", "mentions": spans}
    place = own(tmp_path, [row, {**row, "id": "2", "label": "b"}], views=["markers"])
    (example, _) = task(str(place)).load(place).test
    assert [example.text[m.start : m.stop] for m in example.mentions] == ["aspirin", "gout"]


def test_a_result_depends_on_the_files_of_the_folders_of_its_splits(tmp_path):
    """As in i2b2, whose files stand in train and test."""
    from bioptimus_lib import task_runs
    from bioptimus_lib.sequences import TaskSettings

    for name in ("train/a.txt", "test/a.txt", "train/deep/b.txt", "other/c.txt", "readme"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    job = task_runs.Job("m", tmp_path, "i2b2-relations", tmp_path, TaskSettings(), tmp_path / "out")
    before = task_runs.origin(job)["data"]
    assert set(before) == {"readme", "test/a.txt", "train/a.txt", "train/deep/b.txt"}
    (tmp_path / "train" / "a.txt").write_text("corrected")
    after = task_runs.origin(job)["data"]
    assert [name for name in before if before[name] != after[name]] == ["train/a.txt"]
    here = task_runs.origin(job)
    there = json.loads(json.dumps(here))
    (tmp_path / "train" / "deep" / "b.txt").unlink()
    assert differences(there, task_runs.origin(job)) == ["changed since: train/deep/b.txt"]


def test_the_first_examples_must_have_each_label(tmp_path):
    from bioptimus_lib import task_runs
    from bioptimus_lib.sequences import TaskSettings

    rows = [{"id": f"{n}", "text": f"x{n}", "label": "ab"[n == 3]} for n in range(4)]
    place = own(tmp_path, rows)
    job = task_runs.Job("m", place, str(place), place, TaskSettings(), tmp_path / "out")
    assert len(task_runs.data_of(replace(job, examples=4)).folds[0]["train"]) == 4
    with pytest.raises(DataError, match="no example of 'b'"):
        task_runs.data_of(replace(job, examples=3))
