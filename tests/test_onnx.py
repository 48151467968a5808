"""ONNX files answer as PyTorch does, or there is no file; 8 bits say what they cost."""

from __future__ import annotations

import copy
import io
import json
import sys
from types import SimpleNamespace

import pytest
from conftest import TINY_TEXT, learner
from test_release import finished  # noqa: F401  (a fixture)

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from bioptimus_lib import bench_onnx, hub, ledger, onnx_model  # noqa: E402
from bioptimus_lib.cli import main  # noqa: E402
from bioptimus_lib.conll import Sentence, write_conll  # noqa: E402
from bioptimus_lib.onnx_model import FILE, SMALL, OnnxModel, exported, gap, questions  # noqa: E402
from bioptimus_lib.onnx_release import guesses  # noqa: E402
from bioptimus_lib.release import MANIFEST, fine_tuned, release  # noqa: E402
from bioptimus_lib.tagging import ENGINES, load_text_tagger  # noqa: E402

LABELS = ("O", "B-Drug", "I-Drug", "B-Disease", "I-Disease")


@pytest.fixture(scope="module")
def tagger(tiny, tmp_path_factory):
    """(folder, what was found) of a random tagger with its ONNX files."""
    from bioptimus_lib.models import save_model
    from bioptimus_lib.ner import classifier_on

    model, tokenizer = classifier_on((learner(tiny[1]), tiny[1]), LABELS, seed=1)
    with torch.no_grad():
        model.classifier.weight.mul_(20)
    folder = save_model(model, tokenizer, tmp_path_factory.mktemp("onnx") / "model")
    return folder, exported(model, tokenizer, folder)


@pytest.fixture(scope="module")
def masked(tiny, tmp_path_factory):
    """(model, tokenizer, folder, what was found) of a masked model."""
    model, folder = learner(tiny[1]), tmp_path_factory.mktemp("onnx")
    return model, tiny[1], folder, exported(model, tiny[1], folder)


# --- the same answers --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2])
def test_a_file_answers_as_pytorch_does_on_rows_it_was_not_tried_on(seed, masked):
    model, tokenizer, folder, found = masked
    assert 0 <= found["difference"] <= found["tolerance"] * found["largest_logit"]
    asked = questions(model, tokenizer, seed=seed)
    shapes = {tuple(batch["input_ids"].shape) for batch in asked}
    assert {(1, 1), (8, min(40, model.config.max_position_embeddings))} <= shapes
    assert gap(model, OnnxModel(folder / FILE, model.config), asked).relative < 1e-4


def test_padding_is_not_looked_at(masked):
    model, tokenizer, folder, _ = masked
    there = OnnxModel(folder / FILE, model.config)
    ids = torch.tensor([[2, 7, 8, 3]])
    longer = torch.nn.functional.pad(ids, (0, 5), value=9)
    mask = (torch.arange(9) < 4).long()[None]
    short = there(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    long = there(input_ids=longer, attention_mask=mask).logits[:, :4]
    assert torch.allclose(short, long, atol=1e-4)


@pytest.mark.parametrize("harm", ["a weight", "not a number"])
def test_a_file_that_answers_otherwise_is_refused_and_taken_away(harm, tiny, tmp_path, monkeypatch):
    model, honest = learner(tiny[1]), onnx_model.write

    def other(model, file):
        changed = copy.deepcopy(model)
        with torch.no_grad():
            changed.base_model.embeddings.LayerNorm.bias[0] += (
                0.01 if harm == "a weight" else float("nan")
            )
        honest(changed, file)

    monkeypatch.setattr(onnx_model, "write", other)
    with pytest.raises(ValueError, match="answers otherwise than PyTorch"):
        exported(model, tiny[1], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_matrices_have_8_bits_and_embeddings_32(masked):
    model, _, folder, found = masked
    graph = onnx.load(folder / SMALL).graph
    kinds = {tuple(w.dims): w.data_type for w in graph.initializer if len(w.dims) == 2}
    rows = model.get_input_embeddings().weight.shape
    assert kinds[tuple(rows)] == onnx.TensorProto.FLOAT
    hidden = model.config.hidden_size
    assert kinds[hidden, hidden] == onnx.TensorProto.INT8
    assert {"MatMulInteger", "DynamicQuantizeLinear"} <= {node.op_type for node in graph.node}
    assert found["int8_difference"] > found["difference"]


def test_embeddings_can_have_8_bits_too(masked, tmp_path):
    model, _, folder, _ = masked
    onnx_model.shrink(folder / FILE, tmp_path / "a.onnx", embeddings=True)
    onnx_model.shrink(folder / FILE, tmp_path / "b.onnx", all_bits=True)
    rows = tuple(model.get_input_embeddings().weight.shape)
    eight = {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}
    for name, allowed in (("a", eight), ("b", {onnx.TensorProto.FLOAT})):
        weights = onnx.load(tmp_path / f"{name}.onnx").graph.initializer
        kinds = [w.data_type for w in weights if tuple(w.dims) == rows]
        assert kinds and set(kinds) <= allowed
    largest = {}
    for name in ("b.onnx", SMALL):
        place = tmp_path / name if name == "b.onnx" else folder / name
        weights = [onnx.numpy_helper.to_array(w) for w in onnx.load(place).graph.initializer
                   if w.data_type == onnx.TensorProto.INT8 and len(w.dims) == 2]  # fmt: skip
        largest[name] = max(int(abs(w.astype(int)).max()) for w in weights)
    assert largest[SMALL] <= 64 < largest["b.onnx"] <= 128


def test_guesses_are_those_of_the_model(masked):
    model, tokenizer, folder, _ = masked
    best, loss = guesses(model, tokenizer, [*TINY_TEXT, "", "pain"])
    others, same = guesses(OnnxModel(folder / FILE, model.config), tokenizer, [*TINY_TEXT, "pain"])
    assert (best == others).all() and len(best) >= len(TINY_TEXT)
    assert loss == pytest.approx(same, abs=1e-4)
    assert len(guesses(model, tokenizer, [""])[0]) == 0


# --- tagging by another engine -----------------------------------------------------------------


def test_entities_are_the_same_by_onnx(tagger):
    mine, there, small = (load_text_tagger(tagger[0], engine=engine) for engine in ENGINES)
    expected = mine.tag(TINY_TEXT * 3)
    assert sum(map(len, expected)) > 3
    for one, other in zip(expected, there.tag(TINY_TEXT * 3), strict=True):
        assert [m[:3] for m in one] == [m[:3] for m in other]
        assert [m.score for m in one] == pytest.approx([m.score for m in other], abs=1e-4)
    assert len(small.tag(TINY_TEXT)) == len(TINY_TEXT)


def test_the_command_takes_an_engine(tagger, monkeypatch, capsys):
    outs = []
    for engine in ("torch", "onnx"):
        text = io.BytesIO("\n".join(TINY_TEXT).encode())
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=text))
        words = ["tag", "-", "--model", str(tagger[0]), "--engine", engine, "--quiet"]
        assert main(words) == 0
        outs.append(capsys.readouterr().out)
    assert outs[0] == outs[1] and "](" in outs[0]


def test_engines_that_cannot_be_are_refused(tagger, tiny_folder, tmp_path):
    import shutil

    with pytest.raises(ValueError, match="'tensorrt' is unknown: choose one of torch, onnx, int8"):
        load_text_tagger(tagger[0], engine="tensorrt")
    with pytest.raises(ValueError, match="engine onnx is for the CPU"):
        load_text_tagger(tagger[0], engine="onnx", device="cuda")
    bare = shutil.copytree(tagger[0], tmp_path / "bare", ignore=shutil.ignore_patterns("*.onnx"))
    with pytest.raises(FileNotFoundError, match="release --onnx"):
        load_text_tagger(bare, engine="int8")


def test_without_the_extra_there_is_a_clear_word_before_any_work(monkeypatch, capsys):
    monkeypatch.setattr(onnx_model, "find_spec", lambda name: None)
    words = ["release", "no-such-run", "--version", "0.4", "--out", "nowhere", "--onnx"]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "onnx, onnxscript, onnxruntime: pip install 'bioptimus-lib[release]'" in said
    with pytest.raises(ModuleNotFoundError, match="bioptimus-lib.release"):
        OnnxModel("model.onnx", None)


# --- in a release ------------------------------------------------------------------------------


def test_a_masked_model_is_released_with_its_files(finished, tmp_path):  # noqa: F811
    made = release(finished, "0.4", tmp_path, onnx=True)
    manifest = json.loads((made / MANIFEST).read_text())
    assert {FILE, SMALL} <= set(manifest["files"]) and "model-int8.onnx" in hub.plan(made, "a/b")
    found = manifest["onnx"]
    assert found["difference"] <= found["tolerance"] * found["largest_logit"]
    assert 0 <= found["text"]["same_guesses"] <= 1 and found["text"]["sentences"] == 20
    card = (made / "README.md").read_text()
    assert "## ONNX" in card and "the same first guess" in card
    assert "## ONNX" not in (release(finished, "0.1", tmp_path) / "README.md").read_text()


def test_a_tagger_is_released_with_f1_in_8_bits(finished, tmp_path):  # noqa: F811
    place = fine_tuned(finished, "0.4", 0, progress=False)
    made = release(finished, "0.4", tmp_path, tagger=place, onnx=True)
    text = json.loads((made / MANIFEST).read_text())["onnx"]["text"]
    result = json.loads((place / "result.json").read_text())
    assert text["f1"] == pytest.approx(result["metrics"]["f1"], abs=1e-6)
    assert f"F1 is {text['f1']:.2f} with the first" in (made / "README.md").read_text()


def test_a_file_that_is_refused_leaves_no_release(finished, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(onnx_model, "TOLERANCE", -1.0)
    with pytest.raises(ValueError, match="answers otherwise"):
        release(finished, "0.4", tmp_path, onnx=True)
    assert list(tmp_path.iterdir()) == []


# --- the benchmark -----------------------------------------------------------------------------


def test_the_benchmark_compares_engines_and_keeps_rows(tagger, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ledger, "results_dir", lambda: tmp_path / "results")
    some = [Sentence(tuple(t.split()), ("O",) * len(t.split())) for t in TINY_TEXT]
    for split in ("train", "devel", "test"):
        write_conll(tmp_path / "toys" / f"{split}.tsv", some)
    words = ["bench", "onnx", "--model", str(tagger[0]), "--set", str(tmp_path / "toys"),
             "--singles", "2", "--rounds", "2", "--threads", "1", "--quiet"]  # fmt: skip
    assert main([*words, "--json", "--ledger", "here"]) == 0
    rows = {row["engine"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == list(bench_onnx.SIDES)
    assert rows["ONNX"]["differing"] == 0 == rows["PyTorch"]["differing"]
    assert rows["PyTorch"]["one"]["ratio"] == 1 and rows["ONNX"]["f1"] == rows["PyTorch"]["f1"]
    assert all(row["milliseconds"] > 0 and row["sentences_per_second"] > 0 for row in rows.values())
    kept = {row["model"]: row for row in ledger.read("bench-onnx", folder=tmp_path / "results")}
    assert kept["ONNX"]["metrics"]["differing"] == 0 and kept["ONNX"]["dataset"] == "toys"
    assert main(words) == 0
    assert "ONNX, 8 bits" in capsys.readouterr().out
    assert main([*words, "--rounds", "0"]) == 2


def test_the_pocket_set_is_made_when_it_is_asked_for():
    sentences, file = bench_onnx.test_of("pocket")
    assert len(sentences) > 100 and file is None
