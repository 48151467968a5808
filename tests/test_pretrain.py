"""Pre-training: packing, the sparse projection against the dense one, resume, bad input."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import torch
from safetensors import safe_open

from bioptimus_lib.masking import IGNORED, Masking, PieceTable, generator_for, mask
from bioptimus_lib.models import load_masked_lm, save_model
from bioptimus_lib.pretrain import (
    Settings,
    evaluate_mlm,
    masked_logits,
    pack,
    precision_for,
    pretrain,
)
from tests.conftest import TINY_TEXT


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


KILLED = """
import sys, numpy as np, torch
from bioptimus_lib.masking import Masking
from bioptimus_lib.models import load_masked_lm, save_model
from bioptimus_lib.pretrain import Settings, pretrain
folder, blocks, out = sys.argv[1:]
torch.set_num_threads(1)
model, tokenizer = load_masked_lm(folder)
settings = Settings(steps=60, batch=8, learning_rate=1e-3, precision="fp32", dropout=0.1,
                    save_steps=10, log_steps=5)
pretrain(model, tokenizer, np.load(blocks), masking=Masking("word", 0.2), settings=settings,
         out=out + "/run", device="cpu", progress=False)
save_model(model, tokenizer, out + "/model")
"""


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_weights(tiny_folder, blocks, tmp_path):
    np.save(tmp_path / "blocks.npy", blocks)
    script = tmp_path / "train.py"
    script.write_text(textwrap.dedent(KILLED))

    def command(out):
        return [sys.executable, str(script), str(tiny_folder), str(tmp_path / "blocks.npy"), out]

    subprocess.run(command(str(tmp_path / "whole")), check=True, capture_output=True)
    killed = subprocess.Popen(
        command(str(tmp_path / "cut")), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.time() + 120
    while not list((tmp_path / "cut").glob("run/checkpoint-[2-5]0/trainer_state.json")):
        assert killed.poll() is None and time.time() < deadline, "no checkpoint to be killed at"
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "cut" / "model").exists(), "it was killed before its end"
    subprocess.run(command(str(tmp_path / "cut")), check=True, capture_output=True)
    whole, cut = (load_masked_lm(tmp_path / name / "model")[0] for name in ("whole", "cut"))
    for (name, a), b in zip(whole.named_parameters(), cut.parameters(), strict=True):
        assert torch.equal(a, b), name
    log = [json.loads(x) for x in (tmp_path / "cut" / "run" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in log] == list(range(5, 61, 5)), "each step is logged once"


def trained(tiny, blocks, out, *, change=None, **settings):
    """A copy of the model after a few steps; ``change`` does something to it before."""
    model = copy.deepcopy(tiny[0])
    if change is not None:
        with torch.no_grad():
            change(model)
    wanted = Settings(batch=4, precision="fp32", **settings)
    pretrain(
        model, tiny[1], blocks, masking=Masking(), settings=wanted, out=out, device="cpu",
        progress=False,
    )  # fmt: skip
    return model


def poison(model):
    model.bert.embeddings.LayerNorm.weight[0] = float("nan")


def test_nan_stops_the_run_and_names_the_step(tiny, blocks, tmp_path):
    with pytest.raises(FloatingPointError, match="at step 2"):
        trained(tiny, blocks, tmp_path, change=poison, steps=10, log_steps=2)


def test_a_model_with_nan_is_never_saved(tiny, blocks, tmp_path):
    with pytest.raises(FloatingPointError, match="at step 3"):
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
    [{"steps": 0}, {"batch": 0}, {"schedule": "cosy"}, {"precision": "fp8"}, {"log_steps": 0}],
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
