"""Eight bits, and what a model takes beside others."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")

from bioptimus_lib import footprint, ledger  # noqa: E402
from bioptimus_lib.cli import main  # noqa: E402
from bioptimus_lib.footprint import by_shape, count, measure, megabytes  # noqa: E402
from bioptimus_lib.models import save_model  # noqa: E402
from bioptimus_lib.quantise import int8  # noqa: E402
from bioptimus_lib.recipes import RECIPES  # noqa: E402
from bioptimus_lib.students import parameters, random_student  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
IDS = torch.arange(5, 25).reshape(2, 10)


@pytest.fixture(autouse=True)
def leave_garbage(monkeypatch):
    """Between two turns of a benchmark memory is tidied up, which takes longer than these turns."""
    monkeypatch.setattr("bioptimus_lib.bench.gc.collect", lambda: 0)


@pytest.fixture(scope="module")
def teacher(one_thread):
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    return BertForMaskedLM(BertConfig(
        vocab_size=90, hidden_size=64, num_hidden_layers=4, num_attention_heads=4,
        intermediate_size=256, max_position_embeddings=64,
    )).eval()  # fmt: skip


@pytest.fixture(scope="module")
def student(teacher):
    return random_student(RECIPES["DistilBioBERT"], teacher.config)


ARCHITECTURES = ["DistilBioBERT", "BioDistilBERT", "BioMobileBERT", "ClinicalMiniALBERT"]


@pytest.mark.parametrize("recipe", ARCHITECTURES)
def test_eight_bits_are_near_to_32_and_a_quarter_of_the_layers(recipe, teacher):
    model = random_student(RECIPES[recipe], teacher.config)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    small = int8(model)
    with torch.no_grad():
        ours, theirs = (m.base_model(input_ids=IDS).last_hidden_state for m in (small, model))
        assert small(input_ids=IDS).logits.shape == (2, 10, 90)
    assert not torch.equal(ours, theirs)
    assert torch.nn.functional.cosine_similarity(ours, theirs, dim=-1).min() > 0.99
    linear = [m for m in model.base_model.modules() if isinstance(m, torch.nn.Linear)]
    rounded = [m for m in small.base_model.modules()
               if isinstance(m, torch.ao.nn.quantized.dynamic.Linear)]  # fmt: skip
    assert len(rounded) == len(linear) > 0
    saved = 3 * sum(m.weight.numel() for m in linear) / 1e6
    assert megabytes(model) - megabytes(small) == pytest.approx(saved)
    assert count(small) == count(model) == parameters(model)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_models_are_measured_beside_each_other(teacher, student):
    models = {"teacher": teacher, "student": student, "student, int8": int8(student)}
    rows = measure(models, length=16, batches=(1, 4), rounds=1)
    assert [row.model for row in rows] == list(models)
    first, second, _ = rows
    assert set(first.milliseconds) == {1, 4} and min(first.milliseconds.values()) > 0
    assert first.faster[1] == {"ratio": 1.0, "least": 1.0, "most": 1.0}
    assert second.parameters == parameters(student) < first.parameters == parameters(teacher)
    assert second.encoder == parameters(student.base_model) < second.parameters
    size = 4 * first.parameters / 1e6
    assert first.megabytes == pytest.approx(size, abs=0.001), "tied weights count once"
    assert first.sequences_per_second == pytest.approx(4000 / first.milliseconds[4], rel=0.01)
    assert first.peak_megabytes is None


def test_the_median_is_taken_and_ratios_are_of_rounds(teacher, student, monkeypatch):
    seconds = {"slow": [2.0, 4.0, 9.0], "fast": [1.0, 1.0, 3.0]}
    monkeypatch.setattr(footprint, "take_turns", lambda sides, **_: seconds)
    slow, fast = measure({"slow": teacher, "fast": student}, length=8, batches=(2,), rounds=3)
    assert (slow.milliseconds, fast.milliseconds) == ({2: 4000.0}, {2: 1000.0})
    assert fast.faster[2] == {"ratio": 3.0, "least": 2.0, "most": 4.0}
    assert fast.sequences_per_second == 2.0


def test_models_of_one_shape_share_one_time(teacher, student, monkeypatch):
    asked = []

    def turns(sides, *, rounds, **_):
        asked.append((list(sides), rounds))
        return {name: [float(place)] * rounds for place, name in enumerate(sides, 1)}

    monkeypatch.setattr(footprint, "take_turns", turns)
    torch.manual_seed(1)
    other = random_student(RECIPES["DistilBioBERT"], teacher.config)
    models = {"a": teacher, "b": student, "c": other, "b, int8": int8(student), "d": int8(other)}
    rows = by_shape(models, length=8, rounds={1: 7, 32: 2})
    assert asked == [(["a", "b", "b, int8"], 7), (["a", "b", "b, int8"], 2)]
    assert [row.model for row in rows.values()] == list(rows) == list(models)
    assert [row.milliseconds[32] for row in rows.values()] == [1000, 2000, 2000, 3000, 3000]
    assert rows["c"].encoder == count(other.base_model)
    assert rows["d"].megabytes < rows["c"].megabytes


@pytest.mark.parametrize("wrong", [{"batches": ()}, {"batches": (0,)}, {"length": 0}])
def test_impossible_sizes_are_refused(teacher, wrong):
    with pytest.raises(ValueError, match="give 1"):
        measure({"one": teacher}, **wrong)
    with pytest.raises(ValueError, match="knows 64 positions"):
        measure({"one": teacher}, length=65)


def test_the_command(tiny_folder, tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(ledger, "results_dir", lambda: tmp_path)
    save_model(*tiny, tmp_path / "same")
    words = [f"a={tiny_folder}", f"b={tmp_path / 'same'}+int8", "--length", "8", "--batches", "1",
             "--rounds", "1", "--quiet"]  # fmt: skip
    assert main(["bench", "compact", *words, "--json", "--ledger", "test"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["model"] for row in rows] == ["a", "b"]
    assert rows[1]["megabytes"] < rows[0]["megabytes"]
    kept = json.loads((tmp_path / "bench-compact" / "test.json").read_text())
    assert [row["metrics"]["parameters"] for row in kept] == [r["parameters"] for r in rows]
    assert main(["bench", "compact", *words]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].split()[:3] == ["model", "encoder", "MB"] and "1.00x" in said[1]


@pytest.mark.parametrize(
    "words, says",
    [
        (["folder"], "give each model as NAME=DIR"),
        (["a={model}", "a={model}"], "a name of its own"),
        (["a={model}", "--threads", "0"], "--threads 0 is impossible"),
        (["a={model}", "--rounds", "0", "--length", "8"], "0 rounds"),
        (["a={model}"], "blocks of 128 pieces, but the model knows 64"),
    ],
)
def test_bad_input_is_one_line(words, says, tiny_folder, capsys):
    words = [word.format(model=tiny_folder) for word in words]
    assert main(["bench", "compact", *words, "--quiet"]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and says in said[0]
