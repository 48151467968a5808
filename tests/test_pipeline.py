"""The whole pipeline on a tiny model: every stage, resumption, equality, bad input."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import replace

import pytest

from bioptimus_lib import fine_tunings, report, stages
from bioptimus_lib.cli import main
from bioptimus_lib.errors import DataError
from bioptimus_lib.pipeline import MODELS, STAGES, Run
from bioptimus_lib.profile import PROFILES, profile, tour, with_few_sentences
from tests.conftest import random_bert


@pytest.fixture(scope="module")
def small_profile(tmp_path_factory):
    """Pocket, on a tiny random backbone with a window and a vocabulary to suit."""
    from bioptimus_lib import pocket
    from bioptimus_lib.models import save_model
    from bioptimus_lib.vocab import train_wordpiece

    texts = [s for a in pocket.abstracts(60, seed=9) for s in a.sentences]
    tokenizer = train_wordpiece(texts, size=900, max_length=64)
    folder = tmp_path_factory.mktemp("backbone") / "tiny"
    save_model(random_bert(tokenizer), tokenizer, folder)
    return replace(
        profile("pocket"),
        backbone=str(folder),
        corpus_mb=0.4,
        contexts=3,
        calibration_words=200,
        length=32,
        batch=4,
        phase_steps=5,
        ner_epochs=1,
        ner_sentences=60,
        seeds=2,
        seeds_between=1,
    )


@pytest.fixture(scope="module")
def finished(small_profile, tmp_path_factory):
    run = Run(
        tmp_path_factory.mktemp("runs") / "one", profile=small_profile, progress=False, device="cpu"
    )
    report.write(run) if run.stage("ner") else None
    return run


def test_every_stage_tells_its_time_its_size_and_a_measure(finished):
    for stage in finished.stages:
        row = finished.done(stage.name)
        assert row["seconds"] > 0 and row["size"] and row["measure"], stage.name
        assert re.match(rf"{stage.name} +\d+\.\d s", report.stage_line(row))


def test_the_report_has_f1_of_every_model_and_seed(finished):
    found = json.loads((finished.out / "report.json").read_text())
    assert tuple(found["f1"]) == MODELS == ("old", "continued", "v0.1", "v0.2", "v0.3", "v0.4")
    seeds = {model: len(scores) for model, scores in found["f1_seeds"].items()}
    assert seeds == {"old": 2, "continued": 2, "v0.1": 1, "v0.2": 1, "v0.3": 1, "v0.4": 2}
    assert found["f1_sd"]["v0.1"] is None, "one seed has no spread"
    assert all(0 <= f1 <= 100 for f1 in found["f1"].values())
    page = (finished.out / "report.html").read_text()
    assert "http" not in re.sub(r"data:[^\"]*|http://www.w3.org\S*", "", page), "no other host"
    assert page.count("<img alt=") == 2 and "<td>v0.4</td>" in page


def test_a_distilled_model_tells_what_it_was_made_from(finished):
    from bioptimus_lib.origin import origin_of

    assert origin_of(finished.folder("distilled")) == finished.folder("old").resolve()


def test_models_load_with_plain_transformers(finished):
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    for version in ("distilled", "continued", "v0.1", "v0.2", "v0.3", "v0.4"):
        folder = finished.folder(version)
        model = AutoModelForMaskedLM.from_pretrained(folder)
        assert len(AutoTokenizer.from_pretrained(folder)) == model.config.vocab_size
    assert not list(finished.out.rglob("checkpoint-*")), "no checkpoint is left behind"


def test_phases_follow_each_other_and_the_control_keeps_its_vocabulary(finished):
    import torch

    old, _ = finished.load("old")
    first, distilled, last = (finished.load(m)[0] for m in ("v0.1", "distilled", "v0.4"))
    assert finished.tokenizer("old").get_vocab() != finished.tokenizer("new").get_vocab()
    assert finished.load("continued")[1].get_vocab() == finished.tokenizer("old").get_vocab()
    weights = [m.get_input_embeddings().weight for m in (distilled, first, last)]
    assert not torch.equal(weights[0], weights[1]) and not torch.equal(weights[1], weights[2])
    new_of_shared = torch.tensor(list(finished.plan.shared))
    old_of_shared = torch.tensor(list(finished.plan.shared.values()))
    rows = distilled.get_input_embeddings().weight[new_of_shared]
    assert torch.equal(rows, old.get_input_embeddings().weight[old_of_shared])
    assert [row["step"] for row in finished.losses("v0.1")], "the loss curve is there"


def test_held_out_text_is_not_trained_on(finished):
    kept = {d for path in finished.shards for d in path.read_text().split("\n\n") if d.strip()}
    held_out = {d for d in finished.held_out.read_text().split("\n\n") if d.strip()}
    assert held_out and not kept & held_out
    assert len(kept) / len(held_out) == pytest.approx(49, rel=0.3)


def test_a_second_run_gives_the_same_numbers_even_when_interrupted(
    finished, small_profile, tmp_path, monkeypatch
):
    def again():
        return Run(tmp_path / "two", profile=small_profile, progress=False, device="cpu")

    again().stage("distillation")
    train = stages.train_phase

    def interrupted(run, number, **kwargs):
        if number == 2:
            raise KeyboardInterrupt
        return train(run, number, **kwargs)

    monkeypatch.setattr(stages, "train_phase", interrupted)
    with pytest.raises(KeyboardInterrupt):
        again().stage("phase2")
    monkeypatch.undo()
    second = again()
    second.stage("ner")
    for name in ("phase1", "phase4", "continued"):
        assert second.done(name)["held_out"] == finished.done(name)["held_out"]
    first = json.loads((finished.out / "report.json").read_text())
    assert report.write(second)["f1_seeds"] == first["f1_seeds"]


def test_a_finished_run_does_nothing_again(finished):
    before = {p: p.stat().st_mtime_ns for p in finished.out.rglob("*") if p.is_file()}
    same = Run(finished.out, profile=finished.profile, progress=False, device="cpu")
    assert same.stage("ner") == finished.stage("ner")
    assert {p: p.stat().st_mtime_ns for p in finished.out.rglob("*") if p.is_file()} == before


def test_a_folder_of_another_configuration_is_refused(finished):
    for name in ("corpus", "ner"):  # a run has sources of its own of the same names
        with pytest.raises(ValueError, match=f"another configuration .{name} 'pocket' there, 'x' "):
            Run(finished.out, profile=replace(finished.profile, **{name: "x"}))
    with pytest.raises(ValueError, match="another configuration.*phase_steps 5 there, 6 here"):
        Run(finished.out, profile=replace(finished.profile, phase_steps=6))
    with pytest.raises(ValueError, match="seed 0 there, 1 here"):
        Run(finished.out, profile=finished.profile, seed=1)


def test_a_run_goes_on_by_its_folder_alone(small_profile, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("BIOPTIMUS_PROFILE", "pocket")  # as it would be begun here
    here = ["run", "--device", "cpu", "--quiet", "--until", "corpus", "--out", str(tmp_path / "r")]
    Run(tmp_path / "r", profile=small_profile, seed=3, progress=False)
    assert main(here) == 0
    assert small_profile.about in capsys.readouterr().err
    assert Run.opened(tmp_path / "r").done("corpus")
    assert main([*here, "--seed", "0"]) == 2  # what is asked for is not what is there
    assert "another configuration" in capsys.readouterr().err


def test_minutes_become_steps_once(small_profile, tmp_path):
    # An hour: enough on a machine that is busy with something else.
    run = Run(tmp_path / "r", profile=small_profile, minutes=60, progress=False, device="cpu")
    steps = run.stage("budget")["steps"]
    assert steps > 10
    again = Run(tmp_path / "r", profile=small_profile, minutes=60, progress=False, device="cpu")
    assert again.stage("budget")["steps"] == steps
    hasty = Run(tmp_path / "h", profile=small_profile, minutes=0.001, progress=False, device="cpu")
    with pytest.raises(ValueError, match="give --minutes 0.002 or more"):
        hasty.stage("budget")


def test_side_by_side_gives_what_one_after_the_other_gives(finished, tmp_path, monkeypatch):
    import torch

    def metrics(workers, threads):
        monkeypatch.setattr(fine_tunings, "side_by_side", lambda run, splits: (workers, threads))
        out = tmp_path / f"{workers}"
        shutil.copytree(finished.out, out)
        shutil.rmtree(out / "ner")
        (out / "stages" / "ner.json").unlink()
        run = Run(out, profile=finished.profile, progress=False, device="cpu")
        run.stage("ner")
        found = {p.name: json.loads(p.read_text()) for p in (out / "ner").glob("*.json")}
        return {name: (one["metrics"], one["epoch"]) for name, one in found.items()}

    usual = torch.get_num_threads()
    try:
        assert metrics(2, 1) == metrics(0, 1)
    finally:
        torch.set_num_threads(usual)


def test_how_many_side_by_side(finished, monkeypatch):
    splits = fine_tunings.ner_splits(finished)
    monkeypatch.setattr(fine_tunings, "usable_cores", lambda: 9)
    assert fine_tunings.side_by_side(finished, splits) == (0, None), "too little to do"
    monkeypatch.setattr(fine_tunings, "WORTH_IT", 0)
    assert fine_tunings.side_by_side(finished, splits) == (4, 2)
    monkeypatch.setattr(fine_tunings, "usable_cores", lambda: 1)
    assert fine_tunings.side_by_side(finished, splits) == (0, None)


def test_a_backbone_without_a_head_is_warmed_up(small_profile, tmp_path, monkeypatch):
    from transformers import BertModel

    monkeypatch.delenv("BIOPTIMUS_MIRROR", raising=False)
    headless = tmp_path / "headless"
    shutil.copytree(small_profile.backbone, headless)
    BertModel.from_pretrained(headless).save_pretrained(headless)
    with_warmup = replace(small_profile, backbone=str(headless), warmup_steps=30)
    run = Run(tmp_path / "r", profile=with_warmup, progress=False, device="cpu")
    row = run.stage("warm-up")
    assert "on the corpus itself" in row["measure"], "no general text is at hand"
    assert row["held_out"]["loss"] < 6.7, "it has begun to learn"
    assert run.folder("old") == run.out / "models" / "warm"
    assert run.stage("distillation")["new"] > 0
    assert [stage.name for stage in run.stages][:2] == ["corpus", "warm-up"]


def test_tour_is_a_smaller_profile():
    for chosen in PROFILES.values():
        short = tour(chosen)
        assert short.phase_steps < chosen.phase_steps and short.corpus_mb < chosen.corpus_mb
        assert short.seeds == 1 and short.minutes == 0


def test_short_fine_tunings_have_more_steps_for_fewer_sentences():
    for chosen in PROFILES.values():
        few = with_few_sentences(chosen)
        usual, short = (fine_tunings.ner_settings(p, seed=3) for p in (chosen, few))
        assert 0 < few.ner_sentences <= min(500, chosen.ner_sentences or 500)
        assert short.batch_tokens < usual.batch_tokens and usual.dropout is None
        assert short.dropout == 0 and short.learning_rate > usual.learning_rate
        assert (short.epochs, short.seed) == (usual.epochs, 3)


def test_a_generated_ner_set_is_as_large_as_the_profile_says(small_profile, tmp_path):
    chosen = replace(small_profile, ner_test_sentences=21, ner_sentences=7)
    splits = fine_tunings.ner_splits(Run(tmp_path, profile=chosen, progress=False, device="cpu"))
    assert {name: len(split) for name, split in splits.items()} == {
        "train": 7, "devel": 10, "test": 21
    }  # fmt: skip


# -- bad input: one line, exit code 2, nothing half-written --------------------------------------


def one_line(capsys) -> str:
    error = capsys.readouterr().err.strip().splitlines()
    assert len([line for line in error if line.startswith("bioptimus: error:")]) == 1
    assert not any("Traceback" in line for line in error)
    return error[-1]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--profile", "huge"], "profile 'huge' is unknown"),
        (["--until", "lunch"], "stage 'lunch' is unknown"),
        (["--corpus", "no/such/folder"], "does not exist"),
        (["--ner", "no/such/folder"], "does not exist"),
        (["--minutes", "-1"], "negative"),
        (["--minutes", "soon"], "invalid float value"),
        (["--device", "abacus"], "unknown: choose cpu or cuda"),
    ],
)
def test_wrong_words(words, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        code = main(["run", "--profile", "pocket", "--out", "r", "--quiet", *words])
    except SystemExit as stop:
        code = stop.code
    assert code == 2 and says in one_line(capsys)
    assert not any(tmp_path.iterdir())


def test_empty_corpus_and_folder_without_text(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    words = ["run", "--profile", "laptop", "--out", "r", "--quiet", "--corpus", "empty"]
    assert main(words) == 2
    assert "empty" in one_line(capsys)
    (empty / "picture.png").write_bytes(b"\x89PNG")
    assert main(words) == 2
    assert ".txt" in one_line(capsys), "it says which endings it looked for"
    (empty / "a.txt").write_text("")
    assert main(words) == 2
    one_line(capsys)
    assert not (tmp_path / "r" / "corpus").exists()
    assert not list((tmp_path / "r").rglob("*.part"))


def test_broken_ner_line_is_named_before_any_long_work(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "ner"
    folder.mkdir()
    for split in ("train", "devel", "test"):
        (folder / f"{split}.tsv").write_text("Aspirin\tB-Drug\nhelps\tO\n\n")
    (folder / "test.tsv").write_text("Aspirin\tB-Drug\nhelps\n\n")
    assert main(["run", "--profile", "pocket", "--out", "r", "--quiet", "--ner", "ner"]) == 2
    assert re.search(r"test\.tsv:2: ", one_line(capsys))
    assert not (tmp_path / "r").exists()


def test_no_permission(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert main(["run", "--profile", "pocket", "--out", str(tmp_path / "r"), "--quiet"]) == 2
    assert "no permission to write" in one_line(capsys)
    assert not (tmp_path / "r").exists()


def test_full_disk(capsys, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=5_000_000))
    assert main(["run", "--profile", "pocket", "--out", str(tmp_path / "r"), "--quiet"]) == 2
    assert "5 MB are free" in one_line(capsys)


def test_a_disk_that_fills_up_in_a_stage_leaves_nothing_half_written(
    small_profile, tmp_path, monkeypatch
):
    run = Run(tmp_path / "r", profile=small_profile, progress=False, device="cpu")
    run.stage("corpus")
    before = sorted(p for p in run.out.rglob("*"))

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bioptimus_lib.pipeline.json.dump", full)
    with pytest.raises(OSError, match="No space left"):
        run.stage("vocabulary")
    assert sorted(p for p in run.out.rglob("*")) == before


def test_a_file_in_the_way(capsys, tmp_path):
    (tmp_path / "mine.txt").write_text("notes")
    assert main(["run", "--profile", "pocket", "--out", str(tmp_path), "--quiet"]) == 2
    assert "is no run folder" in one_line(capsys)
    assert (tmp_path / "mine.txt").read_text() == "notes"


def test_too_few_documents_to_hold_one_out(small_profile, tmp_path):
    text = tmp_path / "text"
    text.mkdir()
    (text / "a.txt").write_text("A sentence about nothing much at all, really.\n\n" * 3)
    run = Run(tmp_path / "r", profile=small_profile, corpus=text, progress=False)
    with pytest.raises(DataError, match="too few"):
        run.stage("corpus")
    assert not run.held_out.exists() and not (run.out / "corpus").exists()


def test_a_stage_that_is_not_done_has_no_result(small_profile, tmp_path):
    run = Run(tmp_path / "run", profile=small_profile, progress=False, device="cpu")
    assert run.done("budget") is None
    with pytest.raises(ValueError, match="stage 'budget' of .* is not done: finish the run first"):
        run.finished("budget")


def test_list_of_stages(capsys):
    assert main(["run", "--until", "list"]) == 0
    assert capsys.readouterr().out.count("\n") == len(STAGES)
