"""The same work on a cluster and under ``torchrun``, also when somebody dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from bioptimus_lib import phases
from bioptimus_lib.curriculum import PHASES
from bioptimus_lib.exercises.chapter_18 import together
from bioptimus_lib.masking import Masking
from bioptimus_lib.pocket import write_corpus
from bioptimus_lib.pretrain import Settings, pretrain
from bioptimus_lib.scale_steps import (
    Command,
    KillAfter,
    curve,
    kill_group,
    killed_when,
    local_cluster,
    parts_of_step,
    plain_mean_trainer,
    torchrun,
)
from bioptimus_lib.scan import find_contexts
from bioptimus_lib.workers import WorkerPool
from tests.conftest import TINY_TEXT

KEYWORDS = ["aspirin", "patients", "fever", "treatment", "absent"]
STEPS, BATCH = 24, 4
OPTIONS = {"length": 32, "precision": "fp32", "save_steps": 4}


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    (path,) = write_corpus(tmp_path_factory.mktemp("text") / "corpus.txt", megabytes=1)
    return path


def test_a_worker_of_a_cluster_dies_and_the_answer_is_whole(text):
    pytest.importorskip("distributed")
    alone = find_contexts(KEYWORDS, text, contexts=5, workers=0)
    with local_cluster(2) as client:
        pids = sorted(client.run(os.getpid).values())
        executor = KillAfter(client.get_executor(), pids[0], results=3)
        found = find_contexts(KEYWORDS, text, contexts=5, executor=executor, piece_bytes=50_000)
        assert executor.killed and not alive(pids[0])
    assert dict(found) == dict(alone) and found.counts == alone.counts
    assert found.report.lines == alone.report.lines, "no line is read twice, none is lost"


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def pid_of(_: int) -> int:
    return os.getpid()


def test_a_worker_of_our_own_dies_and_that_is_an_error():
    with WorkerPool(1) as pool:
        (pid,) = pool.in_order(pid_of, [0])
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(ChildProcessError, match="a worker process died: it was killed or ran"):
            list(pool.in_order(pid_of, range(4)))


def test_the_killer_waits_for_its_results():
    done = []
    with ThreadPoolExecutor(1) as pool:
        victim = subprocess.Popen(["sleep", "60"])
        executor = KillAfter(pool, victim.pid, results=2)
        for number in range(2):
            assert victim.poll() is None and not executor.killed
            executor.submit(done.append, number).result()
        assert victim.wait(10) == -signal.SIGKILL
    assert done == [0, 1] and executor.killed


def test_without_dask_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "dask", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'dask\[distributed\]'"):
        with local_cluster():
            pass


# -- a step in parts -------------------------------------------------------------------------------


def test_the_weighted_mean_is_the_gradient_of_the_step(tiny):
    model, tokenizer = tiny
    rows = np.full((4, 32), tokenizer.pad_token_id)
    for row, words in zip(rows, (3, 3, 28, 28), strict=True):
        ids = tokenizer(" ".join(TINY_TEXT * 3), add_special_tokens=False)["input_ids"][:words]
        row[0], row[1 : 1 + words], row[1 + words] = (
            tokenizer.cls_token_id, ids, tokenizer.sep_token_id,
        )  # fmt: skip
    whole, parts, counts = parts_of_step(
        model, tokenizer, rows, masking=Masking(rate=0.4), parts=2
    )
    assert counts[1] > 3 * counts[0]
    weighted = together([part.numpy() for part in parts], counts)
    torch.testing.assert_close(torch.from_numpy(weighted), whole, atol=1e-6, rtol=1e-5)
    plain = sum(parts) / 2
    assert (plain - whole).norm() / whole.norm() > 0.1
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())
    with pytest.raises(ValueError, match="4 blocks cannot be shared out equally to 3"):
        parts_of_step(model, tokenizer, rows, masking=Masking(), parts=3)


def test_the_plain_mean_is_another_training(tiny, tmp_path):
    from bioptimus_lib.packing import pack
    from tests.conftest import random_bert

    blocks = pack(TINY_TEXT * 40, tiny[1], length=32)
    losses = {}
    for name, batch, trainer in (("one", 4, None), ("parts", 2, None),
                                 ("plain", 2, plain_mean_trainer)):  # fmt: skip
        pretrain(
            random_bert(tiny[1]), tiny[1], blocks, masking=Masking("word"), out=tmp_path / name,
            settings=Settings(steps=8, batch=batch, accumulate=4 // batch, log_steps=1,
                              learning_rate=3e-3, precision="fp32"),
            device="cpu", progress=False, trainer=trainer,
        )  # fmt: skip
        losses[name] = np.array(list(curve(tmp_path / name).values()))
    assert abs(losses["one"] - losses["parts"]).max() < 2e-5
    assert abs(losses["one"] - losses["plain"]).max() > 1e-4


# -- torchrun --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    path.write_text("\n\n".join(" ".join(TINY_TEXT[n % 3 :]) for n in range(200)))
    return path


@pytest.fixture(scope="module")
def alone(tiny_folder, corpus, tmp_path_factory) -> Path:
    """One process that nothing stops."""
    out = tmp_path_factory.mktemp("alone") / "run"
    settings = Settings(steps=STEPS, batch=BATCH, precision="fp32", save_steps=4)
    phases.pretrain_phases(
        tiny_folder, corpus, out, settings=settings, phases=PHASES[:1], length=32, device="cpu",
        progress=False,
    )  # fmt: skip
    return out


def test_one_of_two_dies_and_the_same_command_goes_on(alone, tiny_folder, corpus, tmp_path):
    """Two processes, gloo, half of each step each; one is killed once there is a checkpoint."""
    out = tmp_path / "run"
    command = torchrun(2, tiny_folder, corpus, out, steps=STEPS, batch=BATCH, **OPTIONS)
    run = subprocess.Popen(command.argv, env=command.environment, stderr=subprocess.DEVNULL)
    try:
        while run.poll() is None:
            if list(out.glob("training/*/checkpoint-4")):
                everybody = psutil.Process(run.pid).children()
                everybody[1].kill()
                break
            time.sleep(0.005)
        assert run.wait(120) == 1, "torchrun ends the other process, and says that it failed"
        assert not [p for p in everybody if alive(p.pid)]
    finally:
        kill_group(run)
    again = subprocess.run(command.argv, env=command.environment, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("v0.1") == 2, "one table, of the first process: its line, its folder"
    same_training(out, alone)


def same_training(out: Path, alone: Path) -> None:
    there, expected = (curve(place / "training" / "v0.1") for place in (out, alone))
    assert list(there) == list(expected) == list(range(1, STEPS + 1))
    np.testing.assert_allclose(list(there.values()), list(expected.values()), atol=2e-5)
    from safetensors.torch import load_file

    a, b = (load_file(place / "v0.1" / "model.safetensors") for place in (out, alone))
    for name, weight in b.items():
        torch.testing.assert_close(a[name], weight, atol=5e-5, rtol=0, msg=name)


def test_the_command_goes_on_with_another_number_of_processes(
    alone, tiny_folder, corpus, tmp_path
):
    out = tmp_path / "run"
    command = torchrun(2, tiny_folder, corpus, out, steps=STEPS, batch=BATCH, **OPTIONS)
    assert killed_when(command, lambda: list(out.glob("training/*/checkpoint-4"))) is None
    assert not (out / "v0.1").exists()
    settings = Settings(steps=STEPS, batch=BATCH, precision="fp32", save_steps=4)
    go_on = {"phases": PHASES[:1], "length": 32, "device": "cpu", "progress": False}
    with pytest.raises(ValueError, match="another configuration .batch 4 there, 6 here"):
        wrong = replace(settings, batch=6)
        phases.pretrain_phases(tiny_folder, corpus, out, settings=wrong, **go_on)
    phases.pretrain_phases(tiny_folder, corpus, out, settings=settings, **go_on)
    same_training(out, alone)


def test_the_command_as_one_types_it(tmp_path):
    command = torchrun(2, tmp_path / "m", tmp_path / "t", tmp_path / "o", steps=3, batch=8)
    assert str(command) == (
        "torchrun --standalone --nproc-per-node=2 -m bioptimus_lib pretrain "
        "--model m --corpus t --out o --steps 3 --batch 4 --device cpu --quiet --phase 1"
    )
    with pytest.raises(ValueError, match="9 blocks cannot be shared out equally to 2 processes"):
        torchrun(2, tmp_path, tmp_path, tmp_path, steps=3, batch=9)


def test_killed_when_leaves_nobody():
    shell = Command(["sh", "-c", "sleep 61 & sleep 61"], os.environ)
    began = time.monotonic()
    assert killed_when(shell, lambda: time.monotonic() > began + 0.3) is None
    time.sleep(0.2)
    left = [p for p in psutil.process_iter(["cmdline", "status"])
            if p.info["cmdline"] == ["sleep", "61"] and p.info["status"] != "zombie"]  # fmt: skip
    assert not left
    assert killed_when(Command(["false"], os.environ), lambda: False) == 1
    with pytest.raises(TimeoutError):
        killed_when(shell, lambda: False, seconds=0.1)


def test_a_curve_with_a_step_twice_is_refused(tmp_path):
    rows = [{"step": 1, "loss": 2.0}, {"step": 2, "held_out_loss": 1.0}, {"step": 2, "loss": 1.5}]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert curve(tmp_path) == {1: 2.0, 2: 1.5}
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write(json.dumps(rows[0]) + "\n")
    with pytest.raises(ValueError, match="1 steps are logged twice"):
        curve(tmp_path)
