"""Check cells: stubs, solutions and the usual mistakes get the right message, nothing raises."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioptimus_lib import checks
from bioptimus_lib.checks import NOT_YET, RIGHT, WRONG, Exercise, Mistake, check, same

CHAPTERS = sorted(Path(import_module("bioptimus_lib.exercises").__path__[0]).glob("chapter_*.py"))
EXERCISES = {
    number: exercise
    for path in CHAPTERS
    for number, exercise in import_module(f"bioptimus_lib.exercises.{path.stem}").EXERCISES.items()
}
MISTAKES = [
    pytest.param(exercise, mistake, id=f"{number}-{place}")
    for number, exercise in EXERCISES.items()
    for place, mistake in enumerate(exercise.mistakes)
]


def test_every_chapter_has_two_exercises_with_three_mistakes_each():
    assert CHAPTERS
    for path in CHAPTERS:
        chapter = path.stem[-2:]
        own = [exercise for number, exercise in EXERCISES.items() if number.startswith(chapter)]
        assert len(own) >= 2
        assert all(len(exercise.mistakes) >= 3 for exercise in own)


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_solution_is_right(exercise):
    assert exercise.verdict(exercise.solution) == f"{RIGHT}. {exercise.praise}"


@pytest.mark.parametrize("exercise, mistake", MISTAKES)
def test_each_mistake_is_named(exercise, mistake):
    assert exercise.verdict(mistake.answer) == f"{WRONG}: {mistake.says}"


def _not_implemented(*_):
    raise NotImplementedError


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
@pytest.mark.parametrize(
    "stub", [None, ..., lambda *_: None, lambda *_: ..., _not_implemented], ids=range(5)
)
def test_stubs_are_not_yet(exercise, stub):
    assert exercise.verdict(stub).startswith(NOT_YET)


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
@pytest.mark.parametrize(
    "answer",
    [
        3.5,
        "text",
        lambda: 1,
        lambda *_: "text",
        lambda *_: 1 / 0,
        lambda *_: [],
        lambda *_: float("nan"),
        lambda *_: np.zeros((2, 3)),
        lambda *_: {"a": 1},
        lambda *_: object(),
        dict,
    ],
    ids=range(11),
)
def test_nonsense_is_wrong_and_does_not_raise(exercise, answer):
    said = exercise.verdict(answer)
    assert said.startswith(WRONG) and "\n" not in said


def test_an_answer_that_stops_says_how_and_on_what():
    said = EXERCISES["00-1"].verdict(lambda tokenizer, words: words.missing)
    assert "AttributeError" in said and "bronchoconstriction" in said


def test_an_unforeseen_answer_is_told_what_was_expected():
    said = EXERCISES["00-1"].verdict(lambda tokenizer, words: 7.25)
    assert "7.25" in said and "3.333" in said


def test_what_looks_alike_is_shown_with_more_digits():
    def cut(*case):
        return EXERCISES["10-2"].solution(*case) * 1.00005

    said = EXERCISES["10-2"].verdict(cut)
    gave, expected = re.search(r"it gives (\S+), but (\S+) was", said).groups()
    assert gave != expected and float(gave) == pytest.approx(float(expected), rel=1e-4)
    exact = EXERCISES["17-1"]
    assert "rounded" in exact.verdict(lambda rows, v: (exact.solution(rows, v)[0] + 0.001, 3))


def test_an_answer_in_lists_or_by_another_way_passes_as_the_page_does():
    """What is called right must not stop at the next cell, which compares it with the library."""
    spans = EXERCISES["11-1"]
    assert spans.verdict(lambda tags: [list(e) for e in spans.solution(tags)]).startswith(RIGHT)

    def by_steps(layers, rate, decay, freeze):
        rates = [rate]
        for _ in range(layers + 1):
            rates.insert(0, rates[0] * decay)
        return [0.0 if freeze and level <= freeze else r for level, r in enumerate(rates)]

    assert EXERCISES["13-2"].verdict(by_steps).startswith(RIGHT)


def test_tensors_and_lists_are_as_good_as_arrays():
    import torch

    first = EXERCISES["00-2"]
    as_tensor = lambda *case: torch.tensor(first.solution(*case), requires_grad=True)  # noqa: E731
    assert first.verdict(as_tensor).startswith(RIGHT)
    assert first.verdict(lambda *case: list(first.solution(*case))).startswith(RIGHT)
    third = EXERCISES["00-3"]
    assert third.verdict(lambda *case: np.array(third.solution(*case))).startswith(RIGHT)


def test_an_answer_cannot_spoil_the_cases():
    def greedy(before, after):
        result = EXERCISES["00-3"].solution(before, after)
        before.clear()
        after.clear()
        return result

    assert EXERCISES["00-3"].verdict(greedy).startswith(RIGHT)


def test_a_mistake_that_works_by_chance_on_one_case_is_not_blamed():
    exercise = Exercise(
        name="double",
        cases=lambda: [(2,), (3,)],
        solution=lambda x: 2 * x,
        mistakes=(Mistake(lambda x: x * x, "squared"),),
        gives="twice the number",
        praise="Yes.",
    )
    assert exercise.verdict(lambda x: x * x) == f"{WRONG}: squared"
    assert "squared" not in exercise.verdict(lambda x: 4)
    assert "for 3 it gives 4, but 6 was expected" in exercise.verdict(lambda x: 4)


def test_check_prints_lines_that_fit(capsys):
    check("00-3", EXERCISES["00-3"].mistakes[4].answer)
    printed = capsys.readouterr().out
    assert " ".join(printed.split()) == f"{WRONG}: {EXERCISES['00-3'].mistakes[4].says}"
    assert max(map(len, printed.splitlines())) <= checks.LINE < len(printed)


def test_check_knows_what_is_not_there(capsys):
    check("00-1", None)
    check("99-1", None)
    check("../x", None)
    printed = " ".join(capsys.readouterr().out.split())
    said, *rest = printed.partition(" There is no exercise ")
    assert said.startswith(NOT_YET)
    assert "".join(rest) == "".join(
        f" There is no exercise {n!r} in this course." for n in ("99-1", "../x")
    )


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=5))
def test_same_is_reflexive_and_sees_a_change(numbers):
    assert same(numbers, tuple(numbers)) and same(np.array(numbers), numbers)
    assert not same([*numbers[:-1], numbers[-1] + 1], numbers)
    assert not same([*numbers, 0.0], numbers)


def test_find_knows_only_what_is_there():
    assert checks.find("00-1") is EXERCISES["00-1"]
    assert checks.find("00-77") is None


def test_what_only_arrays_can_do_is_not_right_where_the_chapter_gives_lists():
    def only_arrays(before, control, phase):
        rate = phase - control
        return (control - before).mean(), rate.mean(), rate.std(ddof=1) / len(rate) ** 0.5

    said = EXERCISES["08-2"].verdict(only_arrays)
    assert said.startswith(WRONG) and "TypeError" in said and "[60.0, 64.0" in said


# -- in the chapters ------------------------------------------------------------------------------

CALL = re.compile(r'^check\("(\d\d-\d+)", \w+\)$', re.MULTILINE)


def cells_of(path):
    """The code cells of a chapter that belong to its exercises: (number, kind, code)."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    before = ""
    for cell in cells:
        code = "".join(cell["source"])
        if found := CALL.search(code):
            alone = code.strip() == found.group()
            yield found.group(1), "stub" if alone else "solution", before + code if alone else code
        before = code + "\n" if cell["cell_type"] == "code" else before


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem
)
def test_stubs_and_solutions_of_a_chapter_get_their_verdicts(path, capsys):
    seen = {}
    for number, kind, code in cells_of(path):
        exec(compile(code, f"{path.name} {number}", "exec"), {"check": check})
        seen[number, kind] = re.split("[.:]", capsys.readouterr().out)[0]
    own = [number for number in EXERCISES if number.startswith(path.stem[:2])]
    assert seen == {
        **{(number, "stub"): NOT_YET for number in own},
        **{(number, "solution"): RIGHT for number in own},
    }
