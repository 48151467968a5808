"""The chapters for students have every exercise, and no solution."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pytest
import student
from tidy import source

from bioptimus_lib import checks

CHAPTERS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
NAMES = re.compile(r"^def (\w+)\(", re.M)


BEGIN, END = ":::{solution-start} ch01-exercise-1\n:::", ":::{solution-end}\n:::"


def markdown(name: str, text: str) -> dict:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": text}


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_exercises_stay_and_solutions_go(path):
    whole = json.loads(path.read_text(encoding="utf-8"))
    bare = student.without_solutions(whole)
    nbformat.validate(nbformat.from_dict(bare))
    texts = [source(cell) for cell in bare["cells"]]
    together = "\n".join(texts)
    assert "{solution-" not in together
    exercises = [cell for cell in whole["cells"] if "{exercise-start}" in source(cell)]
    assert together.count("{exercise-start}") == together.count("{exercise-end}") == len(exercises)
    assert student.STUB not in together
    stubs = [text for text in texts if "raise NotImplementedError(" in text]
    assert len(stubs) == len(exercises) >= 2
    for stub in stubs:  # nowhere else is the function written
        (name,) = NAMES.findall(stub)
        assert sum(name in NAMES.findall(text) for text in texts) == 1
        (number,) = re.findall(rf"^check\(\"([\d-]+)\", {name}\)", together, re.M)
        there: dict = {}
        exec(stub, there)
        assert checks.find(number).verdict(there[name]).startswith(checks.NOT_YET)
        with pytest.raises(NotImplementedError, match=f"exercise {number}: write {name} first"):
            there[name](*checks.find(number).cases()[0])
    assert not any(cell.get("outputs") for cell in bare["cells"])


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([markdown("one", BEGIN)], "cell one: its solution does not end"),
        ([markdown("two", END)], "cell two: a solution ends that did not"),
        ([markdown("a", BEGIN), markdown("b", BEGIN)], "cell b: a solution begins inside"),
    ],
)
def test_a_solution_without_an_end_is_refused(cells, said, tmp_path, capsys):
    with pytest.raises(ValueError, match=said):
        student.without_solutions({"cells": cells})
    broken = tmp_path / "broken.ipynb"
    broken.write_text(json.dumps({"cells": cells}))
    assert student.main([str(broken), "--out", str(tmp_path / "out")]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_solution_that_is_wanted_stays(path):
    whole = json.loads(path.read_text(encoding="utf-8"))
    numbers = re.findall(r'^check\("([\d-]+)"', "\n".join(map(source, whole["cells"])), re.M)
    first, *others = dict.fromkeys(numbers)
    (some, none), all_of_them = (
        student.without_solutions(whole, keep) for keep in ([first], [])
    ), student.without_solutions(whole, [first, *others])
    texts = ["\n".join(map(source, made["cells"])) for made in (none, some, all_of_them)]
    assert [text.count("{solution-start}") for text in texts] == [0, 1, len(others) + 1]
    assert [text.count("{solution-end}") for text in texts] == [0, 1, len(others) + 1]
    assert len(all_of_them["cells"]) == len(whole["cells"])


def test_functions_that_later_cells_use_are_told():
    def code(text):
        return {"cell_type": "code", "id": "c", "metadata": {}, "source": text}

    cells = ["def one(x):\n    ...", 'check("01-1", one)', "print(one(2))",
             'def two(x):\n    ...\ncheck("01-2", two)', "two = 5\nprint(two)",
             'def three(x):\n    ...\ncheck("01-3", three)']  # fmt: skip
    assert student.used_again({"cells": list(map(code, cells))}) == ["01-1"]
    chapter = json.loads(next(p for p in CHAPTERS if "08" in p.stem).read_text(encoding="utf-8"))
    assert "08-1" in student.used_again(chapter)


def test_a_solution_that_is_not_there_cannot_stay(tmp_path, capsys):
    with pytest.raises(SystemExit):
        student.main([str(CHAPTERS[0]), "--out", str(tmp_path / "made"), "--keep", "00-9"])
    assert "there is no exercise '00-9'" in capsys.readouterr().err


def test_the_command_writes_a_folder(tmp_path, capsys):
    assert student.main([*map(str, CHAPTERS[:2]), "--out", str(tmp_path / "made")]) == 0
    assert {p.name for p in (tmp_path / "made").iterdir()} == {p.name for p in CHAPTERS[:2]}
    assert "2 chapters without solutions" in capsys.readouterr().out
