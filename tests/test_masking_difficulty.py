"""The experiment on difficulty: a row for each task, a model that is trained once."""

from __future__ import annotations

import random

import pytest

torch = pytest.importorskip("torch")

from bioptimus_lib.curriculum import PHASES  # noqa: E402
from bioptimus_lib.experiments import masking_difficulty  # noqa: E402
from bioptimus_lib.experiments.cells import Setting, run_cells, summary  # noqa: E402

WORDS = "patients with nephropathy received salbutamol or placebo and improved within weeks".split()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("experiment")
    draw = random.Random(0)
    text = folder / "text"
    text.mkdir()
    documents = [
        "\n".join(" ".join(draw.choices(WORDS, k=14)).capitalize() + "." for _ in range(8))
        for _ in range(120)
    ]
    (text / "all.txt").write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    setting = Setting(folder / "out", model="pocket-bert", corpus=str(text), megabytes=0.03,
                      seeds=1, steps=2, progress=False)  # fmt: skip
    return setting, *run_cells("masking-difficulty", masking_difficulty, setting)


def test_a_row_for_each_model_and_task(made):
    setting, rows, missing = made
    assert not missing
    assert {row["model"] for row in rows} == {"pocket-bert", "pocket-bert, 2 steps of v0.1"}
    for model in {row["model"] for row in rows}:
        own = {row["variant"]: row["metrics"] for row in rows if row["model"] == model}
        assert len(own) == len(PHASES) + len(masking_difficulty.CONTROLS) + 1
        for phase in PHASES:
            found = own[f"{phase.version}: {phase.masking}"]
            assert ("loss_kept" in found) == phase.masking.corruption
            assert (found["leak"] == 0) == (phase.version == "v0.4")
        worth = own["siblings put back"]
        difference = worth["accuracy_visible"] - worth["accuracy_hidden"]
        assert worth["gain"] == pytest.approx(difference, abs=1e-4)
    assert (setting.out / "trained-2" / "model.safetensors").exists()
    assert "siblings put back" in "\n".join(summary(rows, masking_difficulty.METRICS))


def test_models_differ_and_masks_are_shared(made):
    _, rows, _ = made
    v1 = [row["metrics"] for row in rows if row["variant"].startswith("v0.1")]
    assert v1[0]["guesses"] == v1[1]["guesses"] and v1[0]["loss"] != v1[1]["loss"]
