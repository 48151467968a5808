"""The questions for an exam, the projects and the plans: whole, and with numbers that are right."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from bioptimus_lib import stats
from bioptimus_lib.cleaning import clean
from bioptimus_lib.conll import entities
from bioptimus_lib.masked_loss import bits_per_byte
from bioptimus_lib.measures import f1
from bioptimus_lib.scan_steps import speed_up
from bioptimus_lib.significance import holm

BOOK = Path(__file__).resolve().parents[1] / "book"
QUESTION = re.compile(
    r"^### (\d+) · ([^\n]+) \((\d+) points, chapter (\d\d)\)\n(.*?)(?=^##|\Z)", re.M | re.S
)
RUBRIC = re.compile(r"^- (\d) points?( each)?\b(.*(?:\n  .*)*)", re.M)


def questions() -> dict[int, tuple[int, str]]:
    text = (BOOK / "exam.md").read_text(encoding="utf-8")
    return {int(n): (int(points), body) for n, _, points, _, body in QUESTION.findall(text)}


def points(rubric: str) -> int:
    total = 0
    for each, many, words in RUBRIC.findall(rubric):
        most = re.search(r"up to (\d) points", words)
        assert bool(many) == bool(most), words
        total += int(most[1]) if most else int(each)
    return total


def answer(number: int) -> str:
    return questions()[number][1].partition(":::{dropdown}")[2]


def test_thirty_questions_each_with_an_answer_and_a_rubric_that_adds_up():
    found = questions()
    assert sorted(found) == list(range(1, 31))
    for number, (worth, body) in found.items():
        asked, _, answered = body.partition(":::{dropdown} Answer and rubric\n")
        assert len(asked.split()) > 15, number
        assert answered.rstrip().endswith(":::"), number
        assert points(answered) == worth, number


def test_every_part_of_the_course_is_asked_for():
    text = (BOOK / "exam.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^## ", text, re.M)) == 6
    asked = {found[3] for found in QUESTION.findall(text)}
    assert asked == {f"{number:02d}" for number in range(1, 19)}


def counts(gold: list[str], found: list[str]) -> list[int]:
    right, said = set(entities(gold)), set(entities(found))
    return [len(right & said), len(said - right), len(right - said)]


#: question → what its answer says in bold or otherwise, and the same computed.
NUMBERS = {
    3: {"40 s": f"{20 + 80 / 4:.0f} s", "2.5": f"{speed_up(20, 80, 4):.1f}", "**5**": "**5**"},
    5: {"40 MB": f"{10_000 * 20 * 200 / 1e6:.0f} MB"},
    7: {
        "0.721": f"{bits_per_byte(2.0, 1 / 4.0):.3f}",
        "0.630": f"{bits_per_byte(2.4, 1 / 5.5):.3f}",
    },
    9: {"1.00, 0.40, 0.25": ", ".join(f"{0.2 + 0.8 / n:.2f}" for n in (1, 4, 16))},
    10: {"12 %, 1.5 %, 1.5 %": ", ".join(f"{15 * x:g} %" for x in (0.8, 0.1, 0.1))},
    11: {"19 %": f"{1 - 0.9**2:.0%}".replace("%", " %")},
    12: {"9.01": f"{math.log(8192):.2f}"},
    17: {
        "**1.20**": f"**{stats.summary([1.2, 0.4, 2.0]).mean:.2f}**",
        "−0.79": f"−{-stats.summary([1.2, 0.4, 2.0]).low:.2f}",
        "3.19": f"{stats.summary([1.2, 0.4, 2.0]).high:.2f}",
    },
    18: {"0.03, 0.06, 0.06": ", ".join(f"{p:.2f}" for p in holm([0.01, 0.04, 0.03]))},
    19: {"1.25 times": f"{1 / 0.8:.2f} times"},
    20: {
        "50 %": "{:.0f} %".format(
            f1(np.array(counts(["B-X", "I-X", "O", "B-X"], ["B-X", "O", "O", "B-X"])))
        )
    },
    26: {"**2**": f"**{18 / 3**2:g}**"},
    27: {"2.25": f"{np.average([3.0, 2.0], weights=[50, 150]):.2f}", "2.50": f"{(3 + 2) / 2:.2f}"},
    28: {
        "10 bits": f"{math.log2(16384) - math.log2(16):.0f} bits",
        "1,024": f"{16384 // 16:,}",
        "1.44": f"{1 / math.log(2):.2f}",
    },
    29: {
        "88.9": f"{f1(np.array([80, 10, 10])):.1f}",
        "33.3": f"{f1(np.array([5, 5, 15])):.1f}",
        "81.0": f"{f1(np.array([85, 15, 25])):.1f}",
        "61.1": f"{(f1(np.array([80, 10, 10])) + f1(np.array([5, 5, 15]))) / 2:.1f}",
        "80.0": f"{f1(np.array([80, 10, 30])):.1f}",
        "44.4": f"{f1(np.array([80, 10, 10])) / 2:.1f}",
    },
}


@pytest.mark.parametrize("number", NUMBERS)
def test_the_numbers_of_an_answer_are_computed_again(number):
    for written, computed in NUMBERS[number].items():
        assert written == computed
        assert written in answer(number), written


def test_the_superscript_of_the_first_question():
    import unicodedata

    assert unicodedata.normalize("NFKC", "10⁹ cells") == "109 cells"
    assert "109" not in clean("10⁹ cells")


def test_marks_of_the_projects_add_up_to_a_hundred():
    text = (BOOK / "projects.md").read_text(encoding="utf-8")
    tables = re.findall(r"^\| marks \| for \|\n\|---\|---\|\n((?:\|.*\n)+)", text, re.M)
    assert len(tables) == 2
    for table in tables:
        assert sum(int(x) for x in re.findall(r"^\| (\d+) \|", table, re.M)) == 100


def test_the_plans_cover_what_they_say():
    text = (BOOK / "instructor.md").read_text(encoding="utf-8")
    plans = re.findall(r"^### (\w+) sessions.*?\n(.*?)(?=^##)", text, re.M | re.S)
    assert [name for name, _ in plans] == ["Six", "Ten", "Fourteen"]
    for (_, plan), sessions in zip(plans, (6, 10, 14), strict=True):
        rows = re.findall(r"^\| (\d+) \| ([\d and,]+) \|", plan, re.M)
        assert [int(number) for number, _ in rows] == list(range(1, sessions + 1))
    given = sorted(chapter for _, some in rows for chapter in re.findall(r"\d\d", some))
    assert given == [f"{number:02d}" for number in range(19)]


def test_every_session_has_ninety_minutes():
    text = (BOOK / "instructor.md").read_text(encoding="utf-8")
    plans = re.findall(r"^\| minutes \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.M)
    assert [sum(int(row.split("|")[1]) for row in plan.splitlines()) for plan in plans] == [90] * 27
    pairs = set(re.findall(r"^\| \d+ \| (\d\d and \d\d) \|", text, re.M))
    assert pairs == set(re.findall(r"^### (\d\d and \d\d)$", text, re.M)) and len(pairs) == 8
    for pair in pairs:
        plan = text.split(f"### {pair}\n")[1].split("#")[0]
        chapters = set(re.findall(r"^\| \d+ \| (\d\d|both) \|", plan, re.M)) - {"both"}
        assert chapters == set(pair.split(" and "))
