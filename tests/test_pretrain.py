"""Pre-training: packing, the sparse projection against the dense one, resume, bad input."""

from __future__ import annotations

import copy
import json
import os
import random
import re
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from transformers import TrainerCallback, get_linear_schedule_with_warmup

from bioptimus_lib.errors import DataError
from bioptimus_lib.masked_trainer import checkpoints, last_checkpoint
from bioptimus_lib.masking import IGNORED, Masking, PieceTable, generator_for, mask
from bioptimus_lib.models import load_masked_lm, save_model
from bioptimus_lib.packing import Steps
from bioptimus_lib.pretrain import (
    QUESTION,
    SCHEDULES,
    Settings,
    evaluate_mlm,
    masked_logits,
    pack,
    precision_for,
    pretrain,
    set_dropout,
)
from bioptimus_lib.vocab import train_wordpiece
from tests.conftest import TINY_TEXT, in_child

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def blocks(tiny) -> np.ndarray:
    return pack(TINY_TEXT * 40, tiny[1], length=32)


def test_pack_fills_every_block_and_keeps_the_order(tiny):
    _, tokenizer = tiny
    blocks = pack(TINY_TEXT * 3, tokenizer, length=16)
    assert (blocks[:, 0] == tokenizer.cls_token_id).all()
    assert (blocks[:, -1] == tokenizer.sep_token_id).all()
    assert not (blocks == tokenizer.pad_token_id).any()
    stream = []
    for text in TINY_TEXT * 3:
        stream += [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.sep_token_id]
    assert blocks[:, 1:-1].reshape(-1).tolist() == stream[: blocks.shape[0] * 14]
    assert len(stream) - blocks.shape[0] * 14 < 14, "less than a block is dropped"


def test_what_the_tokenizer_did_before_does_not_matter(tiny):
    _, tokenizer = tiny
    expected = pack(TINY_TEXT * 3, tokenizer, length=16)
    tokenizer(TINY_TEXT, padding=True, truncation=True, max_length=8)
    assert (pack(TINY_TEXT * 3, tokenizer, length=16) == expected).all()


def test_text_shorter_than_a_block_is_refused(tiny):
    with pytest.raises(ValueError, match="fewer than the 62 of one block"):
        pack(["aspirin"], tiny[1], length=64)
    with pytest.raises(ValueError, match="0 pieces"):
        pack([], tiny[1], length=64)


def test_projection_at_masked_positions_equals_the_dense_one(tiny, blocks):
    model, tokenizer = tiny
    ids = torch.from_numpy(blocks[:8].astype("int64"))
    inputs, labels = mask(
        ids, Masking("word"), PieceTable.of(tokenizer), generator=generator_for(0)
    )
    dense = model(input_ids=inputs, labels=labels)
    logits, target = masked_logits(model, inputs, labels)
    assert logits.shape == (int((labels != IGNORED).sum()), len(tokenizer))
    torch.testing.assert_close(logits, dense.logits[labels != IGNORED])
    loss = torch.nn.functional.cross_entropy(logits, target)
    torch.testing.assert_close(loss, dense.loss, rtol=1e-6, atol=1e-6)
    again = model(input_ids=inputs).logits
    assert again.shape[:2] == inputs.shape, "the hook is gone afterwards"


def test_evaluation_is_repeatable_and_leaves_the_model_alone(tiny, blocks):
    model, tokenizer = tiny
    model.train()
    first = evaluate_mlm(model, tokenizer, blocks)
    torch.rand(10)
    assert evaluate_mlm(model, tokenizer, blocks) == first
    assert model.training
    model.eval()
    assert first["loss"] == pytest.approx(np.log(len(tokenizer)), abs=0.5), "an untrained model"


def test_training_learns_and_logs(tiny, blocks, tmp_path):
    model, tokenizer = copy.deepcopy(tiny[0]), tiny[1]
    before = evaluate_mlm(model, tokenizer, blocks)["loss"]
    result = pretrain(
        model,
        tokenizer,
        blocks,
        masking=Masking(),
        settings=Settings(steps=40, batch=8, learning_rate=3e-3, precision="fp32", log_steps=5),
        out=tmp_path,
        device="cpu",
        progress=False,
    )
    assert evaluate_mlm(model, tokenizer, blocks)["loss"] < before - 0.5
    assert (result["steps"], result["tokens"]) == (40, 40 * 8 * 32)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in log] == list(range(5, 41, 5))
    assert log[-1]["loss"] < log[0]["loss"]


def log_of(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


class KillAt(TrainerCallback):
    """``kill -9`` at the end of a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control, **_):
        if state.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


STEPS = {"steps": 24, "save_steps": 5, "log_steps": 3, "dropout": 0.1, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def whole(tiny, blocks, tmp_path_factory):
    """A training that nothing stopped, its model and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    return trained(tiny, blocks, folder, **STEPS), folder


def same_weights(a, b) -> bool:
    pairs = zip(a.named_parameters(), b.parameters(), strict=True)
    wrong = [name for (name, one), other in pairs if not torch.equal(one, other)]
    assert not wrong, wrong
    return True


@pytest.mark.parametrize("first, last", [(2, 2), (5, 23), (20, 20)])
def test_a_run_that_was_killed_ends_with_the_same_weights(
    tiny, blocks, whole, tmp_path, first, last
):
    step = random.randint(first, last)
    killed = in_child(lambda: trained(tiny, blocks, tmp_path, callbacks=[KillAt(step)], **STEPS))
    assert killed == [-signal.SIGKILL], step
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('{"step": 2')  # cut while a line was written
    assert same_weights(whole[0], trained(tiny, blocks, tmp_path, **STEPS)), step
    assert [row["step"] for row in log_of(tmp_path)] == [row["step"] for row in log_of(whole[1])]


@pytest.mark.parametrize("at", ["tokenizer", "move"])
def test_killed_while_it_saves(tiny, blocks, whole, tmp_path, monkeypatch, at):
    def die(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    def work():
        tokenizer = copy.copy(tiny[1])
        if at == "move":
            monkeypatch.setattr("bioptimus_lib.masked_trainer.os.replace", die)
        else:
            monkeypatch.setattr(type(tokenizer), "save_pretrained", die)
        trained((tiny[0], tokenizer), blocks, tmp_path, **STEPS)

    assert in_child(work) == [-signal.SIGKILL]
    assert last_checkpoint(tmp_path) is None, "what is half written is no checkpoint"
    assert same_weights(whole[0], trained(tiny, blocks, tmp_path, **STEPS))
    assert not (tmp_path / ".saving").exists()


def test_two_checkpoints_are_kept_and_can_be_loaded(whole, tiny):
    assert [path.name for path in checkpoints(whole[1])] == ["checkpoint-20", "checkpoint-24"]
    model, tokenizer = load_masked_lm(whole[1] / "checkpoint-24")
    assert same_weights(whole[0], model) and tokenizer.get_vocab() == tiny[1].get_vocab()


@pytest.mark.parametrize("kept", [True, False])
def test_disk_full_keeps_the_old_checkpoint(tiny, blocks, whole, tmp_path, monkeypatch, kept):
    save, goes = torch.save, 4 if kept else 0

    def full(value, target, *arguments, **others):
        nonlocal goes
        goes -= 1
        if goes < 0:
            Path(target).write_bytes(b"half of it")
            raise RuntimeError("[enforce fail] . file write failed: No space left on device")
        return save(value, target, *arguments, **others)

    monkeypatch.setattr(torch, "save", full)
    says = "checkpoint-5 is kept" if kept else "there is none before it"
    with pytest.raises(OSError, match=f"could not be saved .*No space left.*{says}.*make room"):
        trained(tiny, blocks, tmp_path, **STEPS)
    assert [path.name for path in tmp_path.glob("*check*")] == ["checkpoint-5"] * kept
    monkeypatch.undo()
    assert same_weights(whole[0], trained(tiny, blocks, tmp_path, **STEPS)), "it goes on"


def test_a_checkpoint_of_another_vocabulary_is_refused(tiny, blocks, whole, tmp_path):
    other = train_wordpiece([text[::-1] for text in TINY_TEXT * 4], size=90, max_length=64)
    assert len(other) == len(tiny[1]), "the size alone does not tell"
    with pytest.raises(DataError, match="checkpoint-24: .* another vocabulary: 90 pieces, of wh"):
        trained((tiny[0], other), blocks, whole[1], **STEPS)


# -- one step, however it is divided ----------------------------------------------------------


def curve(folder) -> list[float]:
    return [row["loss"] for row in log_of(folder)]


@pytest.fixture(scope="module")
def one_batch(tiny, blocks, tmp_path_factory):
    """Steps of 8 blocks in one batch and one process."""
    folder = tmp_path_factory.mktemp("one")
    return trained(tiny, blocks, folder, steps=12, log_steps=1, batch=8), curve(folder)


def nearly_same(model, losses, one_batch) -> None:
    np.testing.assert_allclose(losses, one_batch[1], atol=1.1e-5)  # the log has five digits
    for (name, a), b in zip(one_batch[0].named_parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=0, msg=name)


@pytest.mark.parametrize("batch", [4, 2, 1])
def test_gradients_that_are_added_up_are_those_of_a_large_batch(
    tiny, blocks, one_batch, tmp_path, batch
):
    model = trained(
        tiny, blocks, tmp_path, steps=12, log_steps=1, batch=batch, accumulate=8 // batch
    )
    nearly_same(model, curve(tmp_path), one_batch)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_two_processes_are_one_training(tiny, blocks, one_batch, tmp_path, accumulate):
    settings = {"steps": 12, "log_steps": 1, "batch": 4 // accumulate, "accumulate": accumulate}

    def work():
        folder = tmp_path / "run"
        model = trained(tiny, blocks, folder, save_steps=7, evaluate_at=(0, 6), **settings)
        torch.save(model.state_dict(), tmp_path / os.environ["RANK"])

    assert in_child(work, processes=2) == [0, 0]
    losses = [row["loss"] for row in log_of(tmp_path / "run") if "loss" in row]
    for rank in ("0", "1"):
        model = copy.deepcopy(tiny[0])
        model.load_state_dict(torch.load(tmp_path / rank))
        nearly_same(model, losses, one_batch)
    assert [r["step"] for r in log_of(tmp_path / "run") if "held_out_loss" in r] == [0, 6]
    names = [path.name for path in checkpoints(tmp_path / "run")]
    assert names == ["checkpoint-7", "checkpoint-12"]


@pytest.mark.parametrize("before, after", [(2, 1), (1, 2)])
def test_a_run_goes_on_with_another_number_of_processes(
    tiny, blocks, one_batch, tmp_path, before, after
):
    """Killed after step 8, taken up from the checkpoint of step 5, halves of a step or the whole:
    the curve is that of one process that nothing stopped."""

    def work(processes, callbacks=()):
        def train():
            model = trained(
                tiny, blocks, tmp_path / "run", steps=12, log_steps=1, save_steps=5,
                batch=8 // processes, callbacks=callbacks,
            )  # fmt: skip
            if os.environ.get("RANK", "0") == "0":
                torch.save(model.state_dict(), tmp_path / "end")

        return in_child(train, processes=processes)

    assert set(work(before, [KillAt(8)])) == {-signal.SIGKILL}
    assert last_checkpoint(tmp_path / "run").name == "checkpoint-5"
    assert set(work(after)) == {0}
    model = copy.deepcopy(tiny[0])
    model.load_state_dict(torch.load(tmp_path / "end"))
    rows = log_of(tmp_path / "run")
    assert [row["step"] for row in rows] == list(range(1, 13)), "each step once"
    nearly_same(model, [row["loss"] for row in rows], one_batch)


@pytest.mark.parametrize("workers", [1, 2])
def test_loader_workers_change_nothing(tiny, blocks, whole, tmp_path, workers):
    assert same_weights(
        whole[0], trained(tiny, blocks, tmp_path, loader_workers=workers, **STEPS)
    )


def test_disturbed_global_state_changes_no_mask(tiny, blocks, one_batch, tmp_path):
    class Disturb(TrainerCallback):
        def on_step_begin(self, *_, **__):
            torch.rand(3), np.random.rand(3)

    settings = {"steps": 12, "log_steps": 1, "batch": 8, "callbacks": [Disturb()]}
    assert same_weights(one_batch[0], trained(tiny, blocks, tmp_path, **settings))


@given(st.integers(1, 40), st.integers(1, 30), st.integers(1, 9), st.integers(0, 3))
def test_each_pass_reads_every_block_once(rows, size, count, seed):
    text = np.arange(rows, dtype=np.uint16)[:, None]
    steps = Steps(text, count=count, size=size, parts=2, seed=seed)
    assert len(steps) == 2 * count
    read = [steps[item]["input_ids"][:, 0].tolist() for item in range(2 * count)]
    assert read[::2] == read[1::2], "each batch of a step holds the whole step"
    flat = [row for step in read[::2] for row in step]
    assert len(flat) == count * size
    for first in range(0, len(flat) - rows + 1, rows):
        assert sorted(flat[first : first + rows]) == list(range(rows))
    again = Steps(text, count=count, size=size, parts=1, seed=seed)
    last = again[count - 1]["input_ids"][:, 0].tolist()  # not read in order
    assert last == read[-1]


def dense_curve(tiny, blocks, *, steps, batch, rate=5e-4):
    """The same training as one writes it without ``Trainer``: all logits, plain AdamW."""
    model, tokenizer = copy.deepcopy(tiny[0]).train(), tiny[1]
    set_dropout(model, 0.0)
    decay = [p for n, p in model.named_parameters() if "bias" not in n and "LayerNorm" not in n]
    rest = [p for n, p in model.named_parameters() if "bias" in n or "LayerNorm" in n]
    groups = [{"params": decay}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = get_linear_schedule_with_warmup(optimizer, max(1, round(0.06 * steps)), steps)
    data, losses = Steps(blocks, count=steps, size=batch, seed=0), []
    for step in range(steps):
        ids = data[step]["input_ids"]
        generator = generator_for(0, step)
        inputs, labels = mask(ids, Masking(), PieceTable.of(tokenizer), generator=generator)
        loss = model(input_ids=inputs, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step(), schedule.step(), optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def test_the_loss_of_every_step_is_that_of_the_dense_computation(tiny, blocks, one_batch):
    expected = dense_curve(tiny, blocks, steps=12, batch=8)
    np.testing.assert_allclose(one_batch[1], expected, atol=1.5e-5)


def test_held_out_text_is_asked_at_the_steps_that_were_named(tiny, blocks, whole, tmp_path):
    asked = {**STEPS, "evaluate_at": (0, 7, 24)}
    model = trained(tiny, blocks, tmp_path, **asked)
    assert same_weights(whole[0], model), "a test changes nothing"
    found = {r["step"]: r["held_out_loss"] for r in log_of(tmp_path) if "held_out_loss" in r}
    assert list(found) == [0, 7, 24] and found[24] < found[0]
    for step, now in ((0, tiny[0]), (24, model)):
        expected = evaluate_mlm(now, tiny[1], blocks[:8], masking=QUESTION)["loss"]
        assert found[step] == pytest.approx(expected, abs=1e-4)
    with pytest.raises(ValueError, match="no held_out blocks"):
        pretrain(*tiny, blocks, masking=Masking(), out=tmp_path, device="cpu",
                 settings=Settings(steps=1, evaluate_at=(0,)))  # fmt: skip


def test_who_goes_on_has_what_was_found_before_to_the_last_digit(tiny, blocks, tmp_path):
    def found():
        settings = Settings(steps=4, batch=4, save_steps=2, evaluate_at=(0, 4), precision="fp32")
        return pretrain(
            copy.deepcopy(tiny[0]), tiny[1], blocks, masking=Masking(), settings=settings,
            out=tmp_path, device="cpu", held_out=blocks[:8], progress=False,
        )["held_out"]  # fmt: skip

    first = found()
    assert list(first) == [0, 4] and first[4].keys() == {"loss", "accuracy", "masked"}
    assert found() == first, "the last checkpoint was there, the numbers come from the log"


def test_the_bar_tells_loss_speed_and_minutes(tiny, blocks, tmp_path, capsys):
    pretrain(
        copy.deepcopy(tiny[0]), tiny[1], blocks, masking=Masking(), out=tmp_path, device="cpu",
        settings=Settings(steps=4, batch=4, log_steps=2, precision="fp32"),
    )  # fmt: skip
    bar = capsys.readouterr().err.split("\r")[-1]
    assert re.search(r"100%\|.*\| 4/4 steps, loss \d\.\d{3}, [\d,]+ tokens/s, 0\.0 min left", bar)


def test_compiled_layers_give_the_same_loss(tiny, blocks, one_batch, tmp_path, monkeypatch):
    layers, compile_it = [], torch.nn.Module.compile

    def without_a_compiler(layer):
        layers.append(layer)
        compile_it(layer, backend="eager")

    monkeypatch.setattr(torch.nn.Module, "compile", without_a_compiler)
    model = trained(tiny, blocks, tmp_path, steps=12, log_steps=1, batch=8, compile=True)
    nearly_same(model, curve(tmp_path), one_batch)
    assert layers == list(model.bert.encoder.layer)
    assert not any(layer._compiled_call_impl for layer in layers), "it is undone"


def trained(tiny, blocks, out, *, change=None, callbacks=(), **settings):
    """A copy of the model after a few steps; ``change`` does something to it before."""
    model = copy.deepcopy(tiny[0])
    if change is not None:
        with torch.no_grad():
            change(model)
    wanted = Settings(**{"batch": 4, "precision": "fp32", **settings})
    pretrain(
        model, tiny[1], blocks, masking=Masking(), settings=wanted, out=out, device="cpu",
        held_out=blocks[:8], progress=False, callbacks=callbacks,
    )  # fmt: skip
    return model


def poison(model):
    model.bert.embeddings.LayerNorm.weight[0] = float("nan")


def test_nan_stops_the_run_and_names_the_step(tiny, blocks, tmp_path):
    with pytest.raises(FloatingPointError, match="nan at step 1: no checkpoint was made"):
        trained(tiny, blocks, tmp_path, change=poison, steps=10, log_steps=2)


def test_nan_is_told_by_its_step_and_the_checkpoint_before_it_stays(tiny, blocks, tmp_path):
    class Poison(TrainerCallback):
        def on_step_end(self, args, state, control, model=None, **_):
            if state.global_step == 8:
                with torch.no_grad():
                    poison(model)

    settings = {"steps": 20, "log_steps": 5, "save_steps": 6, "callbacks": [Poison()]}
    with pytest.raises(FloatingPointError, match="nan at step 9: the checkpoint checkpoint-6 is g"):
        trained(tiny, blocks, tmp_path, **settings)
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-6"]
    load_masked_lm(tmp_path / "checkpoint-6")  # it would not load a NaN


def test_a_run_goes_on_with_a_lower_rate(tiny, blocks, tmp_path, caplog):
    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            control.should_training_stop |= state.global_step == 5

    settings = {"steps": 10, "log_steps": 1, "save_steps": 5, "schedule": "constant"}
    settings |= {"embedding_rate": 0.5}
    trained(tiny, blocks, tmp_path, learning_rate=1e-3, callbacks=[Stop()], **settings)
    model = load_masked_lm(tmp_path / "checkpoint-5")[0]
    end = trained(tiny, blocks, tmp_path, learning_rate=1e-6, **settings)
    assert "missing keys" not in caplog.text, "tied weights are there"
    rates = [row["learning_rate"] for row in log_of(tmp_path)]
    assert rates == pytest.approx([0] + [1e-3] * 4 + [1e-6] * 5), "the first step warms up"
    for (name, a), b in zip(model.named_parameters(), end.parameters(), strict=True):
        assert (a - b).abs().max() < 1e-5, name


def test_a_gradient_of_nan_is_not_saved(tiny, blocks, tmp_path):
    class Spoil(TrainerCallback):
        def on_step_begin(self, args, state, control, model=None, **_):
            model.bert.embeddings.LayerNorm.weight.register_hook(lambda g: g * float("nan"))

    with pytest.raises(FloatingPointError, match="norm of the gradient is nan at step 1"):
        trained(tiny, blocks, tmp_path, steps=4, save_steps=1, callbacks=[Spoil()])
    assert not checkpoints(tmp_path)


def test_a_nan_in_the_last_steps_is_seen(tiny, blocks, tmp_path):
    with pytest.raises(FloatingPointError, match="at step 1"):
        trained(tiny, blocks, tmp_path, change=poison, steps=4, log_steps=9)


def test_a_model_with_nan_is_never_saved(tiny, blocks, tmp_path):
    with pytest.raises(FloatingPointError, match="at step 1"):
        trained(tiny, blocks, tmp_path, change=poison, steps=10, log_steps=9, save_steps=3)
    assert not list(tmp_path.glob("checkpoint-*"))


def test_embeddings_learn_at_a_rate_of_their_own(tiny, blocks, tmp_path):
    moved = {}
    for rate in (0.0, 0.1, 1.0):
        settings = {"steps": 3, "embedding_rate": rate, "schedule": "constant"}
        model = trained(tiny, blocks, tmp_path / str(rate), **settings)
        after = dict(model.named_parameters())
        change = {n: (p - after[n]).abs().max().item() for n, p in tiny[0].named_parameters()}
        moved[rate] = change.pop("bert.embeddings.word_embeddings.weight")
        assert min(change.values()) > 0, "all else learns"
    assert moved[0.0] == 0
    assert 5 < moved[1.0] / moved[0.1] < 20, "Adam's steps are as long as the rate"
    with pytest.raises(ValueError, match="embedding_rate"):
        Settings(steps=1, embedding_rate=-1)


def test_model_and_blocks_of_different_vocabularies_are_refused(tiny, blocks, tmp_path):
    wrong = blocks.copy()
    wrong[0, 3] = 9999
    with pytest.raises(ValueError, match="share one vocabulary"):
        pretrain(
            *tiny, wrong, masking=Masking(), settings=Settings(steps=1), out=tmp_path, device="cpu"
        )


@pytest.mark.parametrize(
    "wrong",
    [{"steps": 0}, {"batch": 0}, {"schedule": "cosy"}, {"precision": "fp8"}, {"log_steps": 0},
     {"learning_rate": 0.0}, {"save_minutes": -1}, {"loader_workers": -1}, {"seed": -1},
     {"weight_decay": -0.1}, {"warmup": 1.5}, {"dropout": 1.0}],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Settings(**{"steps": 1, **wrong})


def test_precision_is_what_was_asked_for_or_suits_the_device():
    assert precision_for("cpu", "fp32") == "fp32"
    assert precision_for("cpu") in ("fp32", "bf16")


def test_saved_in_16_bits_loaded_in_32(tiny, tmp_path):
    save_model(*tiny, tmp_path / "half", dtype=torch.float16)
    model, _ = load_masked_lm(tmp_path / "half")
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    torch.testing.assert_close(
        model.get_input_embeddings().weight,
        tiny[0].get_input_embeddings().weight,
        atol=1e-3,
        rtol=0,
    )
    assert {p.dtype for p in tiny[0].parameters()} == {torch.float32}, "the model keeps its own"
    with safe_open(tmp_path / "half" / "model.safetensors", "pt") as file:
        written = [file.get_tensor(name) for name in file.keys()]
    tied = sum(tensor.shape == (len(tiny[1]), 32) for tensor in written)
    assert tied == 1, "the matrix that input and output share is written once"


def test_signs_of_the_model_in_a_text_are_text(tiny):
    """Peripheral artery disease is *[PAD]* to many an author."""
    _, tokenizer = tiny
    plain, marked = (
        pack([text] * 40, tokenizer, length=16) for text in ("the pad of", "the [PAD] of [MASK]")
    )
    inner = marked[:, 1:-1]
    signs = [tokenizer.pad_token_id, tokenizer.mask_token_id, tokenizer.cls_token_id]
    assert not np.isin(inner, signs).any() and not np.isin(plain[:, 1:-1], signs).any()
    assert tokenizer("[MASK]", add_special_tokens=False)["input_ids"] == [tokenizer.mask_token_id]


@pytest.mark.parametrize("schedule", sorted(SCHEDULES))
def test_without_a_warm_up_the_first_step_counts(tiny, blocks, tmp_path, schedule):
    model, tokenizer = tiny
    model = copy.deepcopy(model)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    settings = Settings(steps=1, batch=4, warmup=0, schedule=schedule, precision="fp32")
    pretrain(model, tokenizer, blocks, masking=Masking(), settings=settings, out=tmp_path / "run",
             device="cpu", progress=False)  # fmt: skip
    moved = [name for name, weight in model.named_parameters()
             if not torch.equal(weight, before[name])]  # fmt: skip
    assert moved
