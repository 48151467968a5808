"""Fine-tunings that are kept: killed and gone on with, refused to others, added up."""

from __future__ import annotations

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from test_ner import quick
from test_ner_command import place  # noqa: F401  the fixture

from bioptimus_lib import ner_runs
from bioptimus_lib.conll import SPLITS, read_conll
from bioptimus_lib.errors import DataError
from tests.conftest import in_child

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def todo(place, tmp_path):  # noqa: F811
    """Two models with two seeds, and nothing done yet."""
    folder = shutil.copytree(place / "set", tmp_path / "set")
    return ner_runs.jobs(
        {"old": place / "old", "new": place / "new"}, "set",
        {split: folder / f"{split}.tsv" for split in SPLITS}, seeds=[0, 1],
        settings=dict.fromkeys(("old", "new"), quick(epochs=2)), out=tmp_path / "out",
        device="cpu",
    )  # fmt: skip


def test_the_first_seed_of_all_models_comes_first(todo):
    assert [(job.model, job.settings.seed) for job in todo] == [
        ("old", 0), ("new", 0), ("old", 1), ("new", 1),
    ]  # fmt: skip
    assert todo[2].place.parts[-3:] == ("set", "old", "seed-1")


def killed_at(todo, *, predictions=0, saves=0):
    """Do jobs in a process that kills itself at the n-th prediction, or within the n-th save."""

    def work():
        from bioptimus_lib import ner
        from bioptimus_lib.tagger import Tagger

        left = {"predictions": predictions, "saves": saves}

        def bomb(name, real):
            def call(*arguments, **options):
                found = real(*arguments, **options)
                left[name] -= 1
                if left[name] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return found

            return call

        Tagger.predict = bomb("predictions", Tagger.predict)
        ner.write_conll = bomb("saves", ner.write_conll)
        list(ner_runs.do_all(todo))

    return in_child(work)


@pytest.mark.parametrize("when, done", [({"predictions": 5}, 1), ({"saves": 3}, 2)])
def test_a_killed_run_goes_on_and_ends_as_one_that_was_not(todo, tmp_path, when, done):
    assert killed_at(todo, **when) == [-signal.SIGKILL]
    assert [ner_runs.kept(job) is not None for job in todo] == [n < done for n in range(4)]
    before = [(job.place / "result.json").stat().st_mtime_ns for job in todo[:done]]
    again = [result for _, result in ner_runs.do_all(todo)]
    assert before == [(job.place / "result.json").stat().st_mtime_ns for job in todo[:done]]
    whole = [replace(job, place=tmp_path / "whole" / str(n)) for n, job in enumerate(todo)]
    for job, other, result, (_, straight) in zip(
        todo, whole, again, ner_runs.do_all(whole), strict=True
    ):
        assert result["metrics"] == straight["metrics"] and result["devel"][0]["loss"] == (
            straight["devel"][0]["loss"]
        )
        assert (job.place / "predictions.tsv").read_bytes() == (
            other.place / "predictions.tsv"
        ).read_bytes()
    assert (ner_runs.counts(todo) == ner_runs.counts(whole)).all()
    assert ner_runs.counts(todo).shape == (4, 20, 3)


def test_several_at_a_time_are_the_same(todo, tmp_path):
    todo = todo[:2]
    one = [result["metrics"] for _, result in ner_runs.do_all(todo)]
    side = [replace(job, place=tmp_path / "side" / job.model, threads=1) for job in todo]
    assert [result["metrics"] for _, result in ner_runs.do_all(side, workers=2)] == one


CHANGES = {
    "settings": (lambda job: replace(job, settings=quick(epochs=3)), "epochs 2 there, 3 here"),
    "sentences": (lambda job: replace(job, sentences=30), "all sentences of train there, 30 here"),
    "model": (lambda job: replace(job, folder=job.folder.parent / "new"), "the model is another"),
}


@pytest.mark.parametrize("change, message", CHANGES.values(), ids=CHANGES)
def test_what_is_kept_is_refused_to_something_else(todo, change, message):
    job = todo[0]
    first = ner_runs.do(job)
    assert ner_runs.do(job) == first
    with pytest.raises(ValueError, match="other settings.*give another --out") as caught:
        ner_runs.do(change(job))
    assert message in str(caught.value)


def test_a_file_that_was_changed_is_noticed(todo):
    job = todo[0]
    ner_runs.do(job)
    whole = job.files["test"].read_text()
    job.files["test"].write_text(whole + "bab\tB-Drug\n\n")
    with pytest.raises(ValueError, match="changed since: test"):
        ner_runs.kept(job)
    assert len(ner_runs.splits_of(job)["test"]) == 21  # and is read anew
    job.files["test"].write_text(whole)
    assert ner_runs.kept(job)


BROKEN = {
    "cut off": lambda folder: (folder / "result.json").write_text('{"metrics": '),
    "older": lambda folder: (folder / "result.json").write_text("{}"),
    "no predictions": lambda folder: (folder / "predictions.tsv").unlink(),
}


@pytest.mark.parametrize("spoil", BROKEN.values(), ids=BROKEN)
def test_a_broken_result_is_named(todo, spoil):
    ner_runs.do(todo[0])
    spoil(todo[0].place)
    with pytest.raises(DataError, match="delete .* made again"):
        ner_runs.kept(todo[0])


def test_a_folder_of_somebody_else_is_left_alone(todo):
    todo[0].place.mkdir(parents=True)
    with pytest.raises(ValueError, match="holds no result.json"):
        ner_runs.do(todo[0])


def test_predictions_of_other_sentences_are_no_counts(todo):
    ner_runs.do(todo[0])
    file = todo[0].place / "predictions.tsv"
    file.write_text("a\tO\tO\n\n")
    with pytest.raises(DataError, match="predictions.tsv: not the predictions of .*test.tsv"):
        ner_runs.counts(todo[:1])


def test_a_result_says_where_it_came_from(todo):
    result = ner_runs.do(todo[0])
    assert set(result["origin"]["data"]) == set(SPLITS)
    assert result["origin"]["settings"]["seed"] == 0
    made = result["provenance"]
    assert len(made["data"]) == 4 and made["device"].startswith("cpu: ")
    assert str(todo[0].place.parents[3]) not in json.dumps(made)


def test_what_is_left_is_told_by_what_was_done(todo):
    assert ner_runs.seconds_left(todo, []) is None
    one = ner_runs.work(todo[0])
    words = {s: sum(map(len, read_conll(p))) for s, p in todo[0].files.items()}
    assert one == 2 * words["train"] + (2 * words["devel"] + words["test"]) / 3
    done = [(todo[0], {"seconds": 10.0}), (todo[1], {"seconds": 30.0})]
    assert ner_runs.seconds_left(todo[2:], done) == pytest.approx(40)
    other = replace(todo[2], model="unknown", settings=quick(epochs=4))
    assert ner_runs.seconds_left([other], done) == pytest.approx(20 * ner_runs.work(other) / one)


def test_paths_are_no_part_of_what_counts(todo, tmp_path):
    ner_runs.do(todo[0])
    elsewhere = shutil.copytree(todo[0].folder, tmp_path / "moved")
    files = {s: Path(shutil.copy(p, tmp_path / f"{s}.tsv")) for s, p in todo[0].files.items()}
    assert ner_runs.kept(replace(todo[0], folder=elsewhere, files=files))


def test_a_model_that_was_not_kept_is_missed_and_not_passed_over(todo):
    job = todo[0]
    ner_runs.do(job)
    with pytest.raises(ValueError, match="was kept without its model: delete it"):
        ner_runs.kept(replace(job, keep_model=True))
    (job.place / "model").mkdir()
    assert ner_runs.kept(replace(job, keep_model=True))
