"""The experiment on batches: paired seeds, and gradients that mean what they say."""

from __future__ import annotations

import random

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bioptimus_lib import ledger, pocket_ner  # noqa: E402
from bioptimus_lib.cli import main  # noqa: E402
from bioptimus_lib.experiments import ner_batches  # noqa: E402
from bioptimus_lib.experiments.cells import Setting, run_cells, summary  # noqa: E402


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("experiment")
    pocket_ner.write_ner(folder / "set", train=120, devel=12, test=12)
    setting = Setting(folder / "out", model="pocket-bert", corpus=str(folder / "set"), seeds=1,
                      strategies=("random", "packed", "gradient"), progress=False)  # fmt: skip
    return setting, *run_cells("ner-batches", ner_batches, setting)


def test_a_row_for_each_way_length_and_seed(made):
    setting, rows, missing = made
    assert not missing
    tuned = {(row["model"], row["variant"]): row for row in rows if "f1" in row["metrics"]}
    assert set(tuned) == {(way, f"pocket-bert, {length}") for way in ("random", "packed")
                          for length in ("one epoch", "whole recipe")}  # fmt: skip
    for (way, variant), row in tuned.items():
        assert row["epochs"] == (1 if variant.endswith("epoch") else 3)
        assert row["training_seconds"] > 0 and row["metrics"]["loss"] > 0
        other = tuned["random", variant]
        assert abs(row["steps"] - other["steps"]) <= row["epochs"]
        gap = row["metrics"].get("devel_f1_minus_random")
        assert (gap is None) == (way == "random")
        if gap is not None:
            assert gap == row["metrics"]["devel_f1"] - other["metrics"]["devel_f1"]
    gradients = {row["model"]: row["metrics"] for row in rows if "signal" in row["metrics"]}
    assert set(gradients) == {"random", "packed", "buckets", "sorted", "pools"}
    assert gradients["packed"]["uneven"] < gradients["buckets"]["uneven"]
    assert "packed" in "\n".join(summary(rows, ner_batches.METRICS))
    assert [file.name for file in ner_batches.data(setting)] == [
        "train.tsv", "devel.tsv", "test.tsv", "model.safetensors",
    ]  # fmt: skip


def test_cells_begin_with_an_epoch_of_every_way(tmp_path):
    names = ner_batches.cells(Setting(tmp_path, seeds=5))
    assert names[0] == "random-epoch-0" or names[0].endswith("-epoch-0")
    assert "packed-bf16-recipe-4" in names and "pools-recipe-0" not in names
    assert sum(name.startswith("gradient") for name in names) == ner_batches.GRADIENT_SEEDS
    last = [name.rsplit("-", 2)[1] for name in names]
    assert last == sorted(last, key=["epoch", "all", "recipe"].index)


def test_the_gradient_of_one_batch_after_another(tiny):
    """Beside a naive reference: every batch's gradient kept, flat."""
    from bioptimus_lib.batching import BATCHINGS
    from bioptimus_lib.conll import Sentence
    from bioptimus_lib.ner import NerSettings, Tagger, batch_loss, classifier_on

    draw = random.Random(0)
    words = ["fever", "pain", "aspirin", "placebo"]
    some = []
    for _ in range(30):
        tokens = tuple(draw.choices(words, k=draw.randint(1, 12)))
        some.append(Sentence(tokens, tuple("B-X" if t == "pain" else "O" for t in tokens)))
    model, tokenizer = classifier_on(tiny, ["O", "B-X", "I-X"], seed=0)
    model.set_attn_implementation("eager")
    settings = NerSettings(batch_tokens=48, precision="fp32")
    tagger = Tagger(model.eval(), tokenizer, ("O", "B-X", "I-X"), settings)
    encoding = tagger.encode(some)
    labels = encoding.labels([s.tags for s in some], {"O": 0, "B-X": 1, "I-X": 2})
    lengths = np.array([len(piece.ids) for piece in encoding.windows])
    for way in ("packed", "buckets"):
        rows, tokens = [], []
        for batch in BATCHINGS[way].draw(
            lengths, budget=48, generator=np.random.default_rng(5)
        ):
            loss = batch_loss(tagger, [encoding.windows[i].ids for i in batch],
                              [labels[i] for i in batch], BATCHINGS["padded"].lay(lengths[batch]))
            gradient = torch.autograd.grad(loss, list(model.parameters()))
            rows.append(torch.cat([g.flatten() for g in gradient]).double())
            tokens.append(sum(len(some[i]) for i in batch))
        g, t = torch.stack(rows), torch.tensor(tokens).double()
        whole = (g * t[:, None]).sum(0) / t.sum()
        products = g @ g.T
        common = (products.sum() - products.trace()) / (len(g) * (len(g) - 1))
        found = ner_batches.shared(tagger, some, way, seed=5)
        assert found["batches"] == len(g)
        share = 100 * float(common / products.diag().mean())
        assert found["signal"] == pytest.approx(share, rel=1e-3)
        off = 100 * float((g.mean(0) - whole).norm() / whole.norm())
        assert found["bias"] == pytest.approx(off, rel=1e-3, abs=1e-3)
        assert found["uneven"] == pytest.approx(100 * np.std(tokens) / np.mean(tokens))


def test_the_command_keeps_rows(tmp_path, tiny_folder, monkeypatch, capsys):
    monkeypatch.setattr(ledger, "results_dir", lambda: tmp_path / "results")
    pocket_ner.write_ner(tmp_path / "set", train=20, devel=5, test=5)
    words = ["experiment", "ner-batches", "--model", str(tiny_folder), "--quiet", "--seeds", "1",
             "--corpus", str(tmp_path / "set"), "--out", str(tmp_path / "out")]  # fmt: skip
    assert main([*words, "--strategies", "packed", "packed-bf16", "--ledger", "x"]) == 0
    rows = ledger.read("ner-batches", folder=tmp_path / "results")
    assert [(row["model"], row["variant"]) for row in rows] == [
        (way, f"tiny, {length}") for length in ("one epoch", "whole recipe")
        for way in ("packed", "packed-bf16")
    ]  # fmt: skip
    assert {"set/train.tsv", "tiny/model.safetensors"} <= {
        "/".join(name.split("/")[-2:]) for name in rows[0]["data"]
    }
    assert "packed-bf16" in capsys.readouterr().out


def test_what_is_no_ner_set_is_refused(tmp_path, capsys):
    words = ["experiment", "ner-batches", "--out", str(tmp_path / "out"), "--quiet",
             "--model", "pocket-bert"]  # fmt: skip
    assert main([*words, "--corpus", "biomed"]) == 2
    assert "'biomed' is not an NER set" in capsys.readouterr().err
    assert main([*words[:-2], "--strategies", "magic"]) == 2
    assert "choose of ['packed', 'random'" in capsys.readouterr().err
