"""The curriculum on a text of one's own: chained, resumed, shared by processes, and bad input."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from bioptimus_lib import own_text, phases
from bioptimus_lib.cli import main
from bioptimus_lib.curriculum import PHASES
from bioptimus_lib.models import load_masked_lm, save_model
from bioptimus_lib.one_phase import measured_speed
from bioptimus_lib.origin import origin_of, write_origin
from bioptimus_lib.phases import pretrain_phases
from bioptimus_lib.pretrain import Settings
from bioptimus_lib.vocab import train_wordpiece
from tests.conftest import TINY_TEXT, in_child, random_bert

SETTINGS = Settings(steps=6, batch=4, precision="fp32", save_steps=2, learning_rate=1e-3)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Two hundred documents in two files."""
    folder = tmp_path_factory.mktemp("corpus")
    for name in ("a.txt", "b.txt"):
        (folder / name).write_text("\n\n".join(TINY_TEXT * 25) + "\n")
    return folder


def trained(start, corpus, out, *, settings=SETTINGS, **others):
    return pretrain_phases(
        start, corpus, out, settings=settings, length=32, device="cpu", progress=False, **others
    )


@pytest.fixture(scope="module")
def whole(tiny_folder, corpus, tmp_path_factory):
    """All four phases, not interrupted: rows and folder."""
    out = tmp_path_factory.mktemp("whole") / "run"
    return trained(tiny_folder, corpus, out), out


def weights(folder) -> dict[str, torch.Tensor]:
    return dict(load_masked_lm(folder)[0].named_parameters())


def same(a, b, atol=0.0) -> bool:
    one, other = weights(a), weights(b)
    assert one.keys() == other.keys()
    return all(torch.allclose(one[n], other[n], atol=atol, rtol=0) for n in one)


def test_each_version_starts_from_the_one_before(whole, tiny_folder):
    rows, out = whole
    assert [row["version"] for row in rows] == ["v0.1", "v0.2", "v0.3", "v0.4"]
    assert [row["masking"] for row in rows] == [str(phase.masking) for phase in PHASES]
    for before, after in zip(rows, rows[1:], strict=False):
        start, end = after["held_out_at"]["0"], before["held_out"]
        assert start["loss"] == pytest.approx(end["loss"]), "the same question to the same model"
    assert rows[-1]["held_out"]["loss"] < rows[0]["held_out_at"]["0"]["loss"]
    for row in rows:
        assert not same(row["folder"], tiny_folder)
        assert not list((out / "training" / row["version"]).glob("checkpoint-*")), "not needed now"


def test_one_phase_alone_is_that_phase(whole, corpus, tmp_path):
    start = whole[1] / "v0.2"
    (row,) = trained(start, corpus, tmp_path / "run", phases=[PHASES[2]])
    assert row["version"] == "v0.3" and same(row["folder"], whole[1] / "v0.3")


def test_the_same_again_trains_nothing(whole, tiny_folder, corpus, monkeypatch):
    monkeypatch.setattr(phases, "train_version", None)
    told = []
    assert trained(tiny_folder, corpus, whole[1], tell=told.append) == whole[0] == told


def test_killed_in_the_second_phase_it_ends_with_the_same_weights(
    whole, tiny_folder, corpus, tmp_path, monkeypatch
):
    from bioptimus_lib.recorder import Recorder

    def work():
        step_end = Recorder.on_step_end

        def die(self, args, state, control, **others):
            if "v0.2" in args.output_dir and state.global_step == 5:
                os.kill(os.getpid(), signal.SIGKILL)
            return step_end(self, args, state, control, **others)

        Recorder.on_step_end = die
        trained(tiny_folder, corpus, tmp_path / "run")

    assert in_child(work) == [-signal.SIGKILL]
    assert (tmp_path / "run" / "training" / "v0.2" / "checkpoint-4").is_dir()
    rows = trained(tiny_folder, corpus, tmp_path / "run")
    for row in rows:
        assert same(row["folder"], whole[1] / row["version"])
    again, before = ([r["held_out"]["loss"] for r in some] for some in (rows, whole[0]))
    assert again == pytest.approx(before)


def test_two_processes_share_the_phases(whole, tiny_folder, corpus, tmp_path):
    half = replace(SETTINGS, batch=2)
    work = lambda: trained(tiny_folder, corpus, tmp_path / "run", settings=half)  # noqa: E731
    assert in_child(work, processes=2) == [0, 0]
    for phase in PHASES:
        assert same(tmp_path / "run" / phase.version, whole[1] / phase.version, atol=2e-5)


def test_from_scratch_keeps_shape_and_vocabulary_alone(tiny_folder, corpus, tmp_path):
    slow = replace(SETTINGS, learning_rate=1e-9, steps=1, seed=1)
    rows = [
        trained(tiny_folder, corpus, tmp_path / name, settings=slow, from_scratch=True,
                phases=PHASES[:1])[0]
        for name in ("a", "b")
    ]  # fmt: skip
    assert same(rows[0]["folder"], rows[1]["folder"]), "the seed makes the random weights"
    found, old = weights(rows[0]["folder"]), weights(tiny_folder)
    assert {n: p.shape for n, p in found.items()} == {n: p.shape for n, p in old.items()}
    name = "bert.encoder.layer.0.output.dense.weight"
    assert (found[name] - old[name]).abs().mean() > 0.01
    other = train_wordpiece([text[::-1] for text in TINY_TEXT * 4], size=70, max_length=64)
    other.save_pretrained(tmp_path / "other")
    (row,) = trained(tiny_folder, corpus, tmp_path / "c", settings=slow, from_scratch=True,
                     phases=PHASES[:1], tokenizer=tmp_path / "other")  # fmt: skip
    model, tokenizer = load_masked_lm(row["folder"])
    assert tokenizer.get_vocab() == other.get_vocab() and model.config.vocab_size == len(other)
    with pytest.raises(ValueError, match="no embeddings for another vocabulary: 'bioptimus dist"):
        trained(tiny_folder, corpus, tmp_path / "d", tokenizer=tmp_path / "other")


def test_a_fiftieth_of_the_documents_is_held_out(whole, tiny):
    blocks, held_out = (np.load(whole[1] / "blocks" / f"{n}.npy") for n in ("train", "held-out"))
    ends = [(some == tiny[1].sep_token_id).sum() - len(some) for some in (blocks, held_out)]
    assert 190 <= ends[0] <= 196 and 1 <= ends[1] <= 4  # a rest that fills no block is dropped


def test_minutes_become_steps_once(tiny_folder, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(phases, "measured_speed", lambda *_, **__: 2000.0)
    rows = trained(tiny_folder, corpus, tmp_path / "run", minutes=0.1, phases=PHASES[:2])
    # 6 s × 0.93 × 2000 pieces a second, in steps of 4 × 32 pieces, in two phases
    assert [row["steps"] for row in rows] == [43, 43]
    monkeypatch.setattr(phases, "measured_speed", None)
    assert trained(tiny_folder, corpus, tmp_path / "run", minutes=0.1, phases=PHASES[:2]) == rows
    monkeypatch.setattr(phases, "measured_speed", lambda *_, **__: 200.0)
    with pytest.raises(ValueError, match="are 4 steps a phase at 200 pieces a second: give"):
        trained(tiny_folder, corpus, tmp_path / "short", minutes=0.1, phases=PHASES[:2])


def test_the_speed_is_measured_in_true_steps(tiny, tiny_folder):
    model, tokenizer = load_masked_lm(tiny_folder)
    blocks = np.full((20, 32), 7, np.uint16)
    assert measured_speed(model, tokenizer, blocks, settings=SETTINGS, device="cpu") > 0


# -- the command -----------------------------------------------------------------------------------


def command(tiny_folder, corpus, out, *words) -> list[str]:
    first = ["pretrain", "--model", str(tiny_folder), "--corpus", str(corpus), "--out", str(out)]
    size = ["--steps", "3", "--batch", "4", "--length", "32", "--device", "cpu", "--quiet"]
    return [*first, *size, *words]


def test_the_command_trains_and_prints(tiny_folder, corpus, tmp_path, capsys):
    words = ("--phase", "4", "--json", "--evaluate-steps", "2", "--precision", "fp32")
    assert main(command(tiny_folder, corpus, tmp_path / "run", *words)) == 0
    printed = capsys.readouterr()
    (row,) = json.loads(printed.out)
    assert row["version"] == "v0.4" and list(row["held_out_at"]) == ["0", "2", "3"]
    assert printed.err.startswith("v0.4: 384 pieces, held-out loss ")
    lines = (tmp_path / "run" / "training" / "v0.4" / "log.jsonl").read_text().splitlines()
    log = [json.loads(line) for line in lines]
    assert [r["step"] for r in log if "held_out_loss" in r] == [0, 2, 3]
    assert [r["step"] for r in log if "loss" in r] == [1, 2, 3]


def test_masking_of_ones_own(tiny_folder, corpus, tmp_path, capsys):
    own = ("--unit", "span", "--rate", "0.4", "--no-corruption")
    assert main(command(tiny_folder, corpus, tmp_path / "run", *own)) == 0
    out = capsys.readouterr().out
    assert "span, 40%, all [MASK]" in out and "trained" in out and "→" in out
    load_masked_lm(tmp_path / "run" / "trained")


def test_plain_starts_from_the_model_before_distillation(tiny_folder, corpus, tmp_path, capsys):
    other = train_wordpiece([text[::-1] for text in TINY_TEXT * 4], size=70, max_length=64)
    new = save_model(random_bert(other), other, tmp_path / "distilled")
    words = ("--phase", "1", "--plain")
    assert main(command(new, corpus, tmp_path / "run", *words)) == 2
    assert "unknown from which model" in capsys.readouterr().err
    write_origin(new, tiny_folder)
    assert origin_of(new) == tiny_folder.resolve()
    assert main(command(new, corpus, tmp_path / "run", *words)) == 0
    assert main(command(tiny_folder, corpus, tmp_path / "direct", "--phase", "1")) == 0
    assert same(tmp_path / "run" / "v0.1", tmp_path / "direct" / "v0.1")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "give --phase 1, 2, 3, 4 or all, or masking of your own"),
        (["--phase", "2", "--rate", "0.3"], "leave out --unit, --rate"),
        (["--rate", "1.5"], "rate 1.5 is outside"),
        (["--phase", "1", "--length", "65"], "blocks of 65 pieces, but the model knows 64"),
        (["--phase", "1", "--length", "4"], "length is 4"),
        (["--phase", "1", "--batch", "0"], "batch is 0, it must be at least 1"),
        (["--phase", "1", "--learning-rate", "0"], "learning_rate is 0.0, it must be above 0"),
        (["--phase", "1", "--precision", "fp16"], "fp16 is for GPUs"),
        (["--phase", "1", "--corpus", "nowhere"], "no such file or folder: nowhere"),
        (["--phase", "1", "--model", "nowhere/x"], "nowhere/x is not there"),
        (["--phase", "1", "--tokenizer", "x"], "--tokenizer is for --from-scratch"),
    ],
)
def test_bad_input_is_one_line_before_anything_is_made(
    tiny_folder, corpus, tmp_path, capsys, words, says
):
    assert main(command(tiny_folder, corpus, tmp_path / "run", *words)) == 2
    error = capsys.readouterr().err
    assert error.startswith("bioptimus: error: ") and says in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_too_few_documents_and_too_short_text(tiny_folder, tmp_path, capsys):
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "a.txt").write_text("aspirin\n\n" * 49)
    assert main(command(tiny_folder, tmp_path / "few", tmp_path / "run", "--phase", "1")) == 2
    assert "49 documents are too few: 50 are needed" in capsys.readouterr().err
    (tmp_path / "few" / "a.txt").write_text("aspirin\n\n" * 60)
    assert main(command(tiny_folder, tmp_path / "few", tmp_path / "run", "--phase", "1")) == 2
    assert "fewer than the 30 of one block" in capsys.readouterr().err


def test_a_folder_of_another_training_is_refused(whole, tiny_folder, corpus, capsys):
    assert main(command(tiny_folder, corpus, whole[1], "--phase", "all")) == 2
    assert "holds a run of another configuration" in capsys.readouterr().err


def test_a_learning_rate_may_be_lowered_on_the_way(whole, tiny_folder, corpus):
    lower = replace(SETTINGS, learning_rate=1e-4, save_steps=1, loader_workers=1)
    assert trained(tiny_folder, corpus, whole[1], settings=lower) == whole[0], "done before"


def test_a_disk_that_is_nearly_full(tiny_folder, corpus, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(own_text, "needed_megabytes", lambda *_: 1e12)
    assert main(command(tiny_folder, corpus, tmp_path / "run", "--phase", "1")) == 2
    assert "are free in" in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_text_that_fills_no_block_leaves_no_folder_behind(tiny_folder, tmp_path):
    """So that the advice to take smaller blocks can be followed in the same place."""
    text = tmp_path / "text"
    text.mkdir()
    (text / "a.txt").write_text("\n\n".join(["the kidney of the patient"] * 60) + "\n")
    out = tmp_path / "run"
    with pytest.raises(ValueError, match="each 50th document is held out: of these the text has"):
        trained(tiny_folder, text, out)
    assert not out.exists()
    rows = pretrain_phases(tiny_folder, text, out, settings=SETTINGS, length=8, device="cpu",
                           progress=False, phases=PHASES[:1])  # fmt: skip
    assert [row["version"] for row in rows] == ["v0.1"]
