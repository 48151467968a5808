"""A class of students: the teacher is made once, lessons are alike, the looks see what is there."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bioptimus_lib import compact_steps  # noqa: E402
from bioptimus_lib.compact_steps import classroom, lesson, shares  # noqa: E402
from bioptimus_lib.objectives import OBJECTIVES  # noqa: E402
from bioptimus_lib.pipeline import Run  # noqa: E402
from bioptimus_lib.pocket import write_corpus  # noqa: E402
from bioptimus_lib.profile import PROFILES  # noqa: E402
from bioptimus_lib.recipes import RECIPES  # noqa: E402
from bioptimus_lib.students import random_student, student_of  # noqa: E402

MLM = OBJECTIVES["masked language model"]


@pytest.fixture(scope="module")
def run(tmp_path_factory, one_thread):
    place = tmp_path_factory.mktemp("class")
    write_corpus(place / "text", megabytes=0.1)
    profile = replace(PROFILES["glance"], length=32, batch=4)
    return Run(place / "run", profile=profile, corpus=place / "text", progress=False)


@pytest.fixture(scope="module")
def room(run):
    return classroom(run, steps=4, teacher_steps=3)


def same(a, b) -> bool:
    one, other = a.state_dict(), b.state_dict()
    return all(torch.equal(one[name], other[name]) for name in one)


def test_the_teacher_is_made_once_and_is_in_evaluation_mode(run, room, monkeypatch):
    monkeypatch.setattr("bioptimus_lib.one_phase.train_version", None)
    again = classroom(run, steps=2, teacher_steps=3)
    assert same(again.teacher, room.teacher) and not room.teacher.training
    assert not same(room.teacher, run.load("old")[0])
    assert (room.settings.batch, again.settings.steps) == (2, 2)


def test_a_lesson_leaves_student_and_teacher_as_they_were(room):
    plan = RECIPES["DistilBioBERT"]
    student = student_of(plan, room.teacher)
    before, teacher = copy.deepcopy(student), copy.deepcopy(room.teacher)
    done = lesson(room, student, plan.objective, at=(2,))
    assert same(student, before) and same(room.teacher, teacher) and not same(done.model, student)
    assert list(done.losses) == [0, 2, 4] and all(np.isfinite(x) for x in done.losses.values())
    assert done.log[-1]["terms"].keys() == {"soft_targets", "masked_lm", "hidden_cosine"}
    assert same(lesson(room, student, plan.objective).model, done.model)
    other = lesson(room, student, plan.objective, seed=7)
    noisy = lesson(room, student, plan.objective, teacher_in_training=True)
    alone = lesson(room, student, MLM)
    assert not any(same(done.model, some.model) for some in (other, noisy, alone))
    assert done.losses[0] == alone.losses[0] and "terms" not in alone.log[-1]


def test_the_mean_over_elements_makes_the_attention_term_shorter_by_the_length(room):
    plan = RECIPES["CompactBioBERT"]
    student = student_of(plan, room.teacher)
    layers = plan.layer_map(2, 4)
    found = {
        per: shares(
            room, student, plan.objective.change("attention_kl", per=per), layer_map=layers
        )
        for per in ("row", "element")
    }
    by_row, by_element = (found[per]["attention_kl"] for per in ("row", "element"))
    length = room.held_out.shape[1]
    for name in ("value", "weighted", "gradient"):
        assert by_row[name] == pytest.approx(length * by_element[name], rel=1e-4)
    assert by_row["weighted"] == pytest.approx(3 * by_row["value"])
    assert found["row"]["masked_lm"] == found["element"]["masked_lm"]


def test_a_projection_has_its_share_and_is_no_part_of_the_student(room):
    plan = RECIPES["TinyBioBERT"]
    student = random_student(plan, room.teacher.config)
    found = shares(room, student, plan.objective, layer_map=plan.layer_map(1, 4))
    assert found["hidden_mse"]["gradient"] > 0
    assert not any("projection" in name for name, _ in student.named_parameters())


def test_a_teacher_with_dropout_disagrees_with_itself(room):
    found = compact_steps.disagreement(room, asked=2)
    assert found["kl"] > 1e-3 and 0 < found["same"] <= 1
    assert found == compact_steps.disagreement(room, asked=2) and not room.teacher.training
    without = compact_steps.disagreement(room, training=False, asked=2)
    assert without == {"kl": pytest.approx(0, abs=1e-6), "same": 1.0}


def test_layers_are_near_to_those_that_they_were_copied_from(room):
    own = compact_steps.layer_distances(room, room.teacher)
    assert own.shape == (5, 5) and np.allclose(np.diag(own), 0, atol=1e-5)
    student = student_of(RECIPES["DistilBioBERT"], room.teacher)
    found = compact_steps.layer_distances(room, student)
    assert found.shape == (3, 5) and found[1, 1] == pytest.approx(0, abs=1e-5)


def test_maps_and_answers_are_of_the_text(room):
    pieces, maps = compact_steps.attention_of(room.teacher, room.tokenizer, "pain and fever")
    assert pieces[0] == "[CLS]" and maps.shape == (4, 4, len(pieces), len(pieces))
    assert np.allclose(maps.sum(-1), 1, atol=1e-5)
    logits = compact_steps.answer(room.teacher, room.tokenizer, "pain and [MASK] .")
    assert logits.shape == (len(room.tokenizer),)
    for text, number in (("pain", 0), ("[MASK] [MASK]", 2)):
        with pytest.raises(ValueError, match=f"has {number} "):
            compact_steps.answer(room.teacher, room.tokenizer, text)
