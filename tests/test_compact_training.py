"""``compress``: what a step computes, teacher and traps, resuming, the command and its errors."""

from __future__ import annotations

import copy
import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from transformers import BertConfig, BertForMaskedLM, TrainerCallback  # noqa: E402

from bioptimus_lib import compress as compress_module  # noqa: E402
from bioptimus_lib import distil_terms  # noqa: E402
from bioptimus_lib.cli import main  # noqa: E402
from bioptimus_lib.commands.compress import TRAPS  # noqa: E402
from bioptimus_lib.compress import MASKING, Traps, compress  # noqa: E402
from bioptimus_lib.distil_loss import check, look, make_projections, total, values  # noqa: E402
from bioptimus_lib.distil_trainer import DistilTrainer  # noqa: E402
from bioptimus_lib.files import json_lines  # noqa: E402
from bioptimus_lib.masked_loss import evaluate_mlm  # noqa: E402
from bioptimus_lib.masking import PieceTable, generator_for, mask  # noqa: E402
from bioptimus_lib.models import load_masked_lm, place, save_model  # noqa: E402
from bioptimus_lib.objectives import Objective, Term  # noqa: E402
from bioptimus_lib.packing import Steps, pack  # noqa: E402
from bioptimus_lib.pretrain import QUESTION, Settings, pretrain  # noqa: E402
from bioptimus_lib.recipes import RECIPES  # noqa: E402
from bioptimus_lib.students import parameters, random_student, student_of  # noqa: E402
from bioptimus_lib.vocab import train_wordpiece  # noqa: E402
from tests.conftest import TINY_TEXT, in_child  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
SETTINGS = Settings(steps=6, batch=4, precision="fp32", learning_rate=1e-3, log_steps=1)


@pytest.fixture(scope="module")
def teacher(tiny, blocks, one_thread, tmp_path_factory):
    """A BERT of four layers that knows a little; nobody changes it."""
    torch.manual_seed(1)
    model = BertForMaskedLM(BertConfig(
        vocab_size=len(tiny[1]), hidden_size=32, num_hidden_layers=4, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=64,
    ))  # fmt: skip
    with torch.no_grad():  # attention and answers that differ from place to place
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    pretrain(
        model, tiny[1], blocks, masking=MASKING, settings=replace(SETTINGS, steps=60, dropout=None),
        out=tmp_path_factory.mktemp("teacher"), device="cpu", progress=False,
    )  # fmt: skip
    return model


@pytest.fixture(scope="module")
def folder(teacher, tiny, tmp_path_factory):
    return save_model(teacher, tiny[1], tmp_path_factory.mktemp("models") / "teacher")


@pytest.fixture(scope="module")
def blocks(tiny) -> np.ndarray:
    return pack(TINY_TEXT * 40, tiny[1], length=32)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    file = tmp_path_factory.mktemp("corpus") / "text.txt"
    file.write_text("\n\n".join(TINY_TEXT * 50) + "\n")
    return file


def distilled(recipe, teacher, blocks, tokenizer, out, *, callbacks=(), layer_map=None,
              student=None, objective=None, in_training=False, **settings):  # fmt: skip
    """The student of a recipe after some steps."""
    from functools import partial

    row = RECIPES[recipe]
    student = student_of(row, teacher) if student is None else copy.deepcopy(student)
    layers = layer_map or (row.layer_map or (lambda *_: ()))(student.config.num_hidden_layers, 4)
    trainer = partial(
        DistilTrainer, teacher=teacher, objective=objective or row.objective, layer_map=layers,
        teacher_in_training=in_training,
    )  # fmt: skip
    pretrain(
        student, tokenizer, blocks, masking=MASKING, settings=replace(SETTINGS, **settings),
        out=out, device="cpu", progress=False, trainer=trainer, callbacks=callbacks,
    )  # fmt: skip
    return student


def curve(out) -> list[dict]:
    return [row for row in json_lines(out / "log.jsonl") if "loss" in row]


def same(a, b, atol=0.0) -> bool:
    one, other = a.state_dict(), b.state_dict()
    return one.keys() == other.keys() and all(
        torch.allclose(one[name], other[name], atol=atol, rtol=0) for name in one
    )


# -- a step ----------------------------------------------------------------------------------------

DISTILLED = ["DistilBioBERT", "CompactBioBERT", "TinyBioBERT", "ClinicalMiniALBERT"]


def slowly(recipe, student, teacher, blocks, tokenizer) -> dict[str, float]:
    """The terms of the first step, from Transformers' own outputs, all logits and all maps."""
    row = RECIPES[recipe]
    ids = Steps(blocks, count=6, size=4)[0]["input_ids"]
    inputs, labels = mask(ids, MASKING, PieceTable.of(tokenizer), generator=generator_for(0, 0))
    for model in (student, teacher):
        model.set_attn_implementation("eager")
    show = {"output_hidden_states": True, "output_attentions": True}
    with torch.no_grad():
        ours, theirs = (model(input_ids=inputs, **show) for model in (student, teacher))
    a, b = ours.logits[labels >= 0], theirs.logits[labels >= 0]
    pairs = list(enumerate((row.layer_map or (lambda *_: ()))(len(ours.attentions), 4)))
    projections = make_projections(
        row.objective, student.config, teacher.config, layer_map=[t for _, t in pairs]
    )
    found = {}
    for term in row.objective.terms:
        function = getattr(distil_terms, term.kind)
        if term.kind == "masked_lm":
            found[term.kind] = function(a, labels[labels >= 0])
        elif term.reads == "logits":
            found[term.kind] = function(a, b, temperature=term.temperature)
        elif term.reads == "maps":
            some = [function(ours.attentions[s], theirs.attentions[t]) for s, t in pairs]
            found[term.kind] = sum(some)
        else:
            some = {
                "last": [(-1, -1)],
                "mapped": [(s + 1, t + 1) for s, t in pairs],
                "embeddings and mapped": [(0, 0), *((s + 1, t + 1) for s, t in pairs)],
            }[term.layers]
            wide = projections[term.kind][0] if term.projection == "shared" else lambda x: x
            with torch.no_grad():
                each = [
                    function(wide(ours.hidden_states[s]), theirs.hidden_states[t]) for s, t in some
                ]
            found[term.kind] = sum(each)
    return {name: value.item() for name, value in found.items()}


@pytest.mark.parametrize("recipe", DISTILLED[:3])
def test_the_terms_of_a_step_are_those_of_the_plain_computation(
    recipe, teacher, blocks, tiny, tmp_path
):
    student = student_of(RECIPES[recipe], teacher)
    expected = slowly(recipe, copy.deepcopy(student), copy.deepcopy(teacher), blocks, tiny[1])
    distilled(recipe, teacher, blocks, tiny[1], tmp_path, steps=1)
    (row,) = curve(tmp_path)
    assert row["terms"] == pytest.approx(expected, rel=1e-4)  # the log has five digits
    weights = {term.kind: term.weight for term in RECIPES[recipe].objective.terms}
    assert row["loss"] == pytest.approx(
        sum(weights[name] * value for name, value in expected.items()), abs=1e-4
    )
    assert min(expected.values()) > 0, "every term has something to say"


@pytest.mark.parametrize("recipe", DISTILLED)
def test_a_student_comes_nearer_to_its_teacher(recipe, teacher, blocks, tiny, tmp_path):
    before = copy.deepcopy(teacher.state_dict())
    start = random_student(RECIPES[recipe], teacher.config)  # far from it
    student = distilled(recipe, teacher, blocks, tiny[1], tmp_path, student=start, steps=80,
                        learning_rate=5e-3)  # fmt: skip
    rows = curve(tmp_path)
    first, last = (
        {n: np.mean([row["terms"][n] for row in some]) for n in rows[0]["terms"]}
        for some in (rows[:5], rows[-5:])
    )
    assert not [name for name in first if last[name] > first[name]]
    assert np.mean([r["loss"] for r in rows[-5:]]) < 0.98 * np.mean([r["loss"] for r in rows[:5]])
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())
    assert all(p.grad is None for p in teacher.parameters())
    assert not hasattr(student, "distillation"), "the projections are thrown away"
    assert parameters(student) == parameters(student_of(RECIPES[recipe], teacher))


@pytest.mark.parametrize("recipe", ["CompactBioBERT", "TinyBioBERT"])
def test_gradients_that_are_added_up_are_those_of_a_large_batch(
    recipe, teacher, blocks, tiny, tmp_path
):
    one = distilled(recipe, teacher, blocks, tiny[1], tmp_path / "one")
    two = distilled(recipe, teacher, blocks, tiny[1], tmp_path / "two", batch=1, accumulate=4)
    # A key's bias changes no attention: its gradient is rounding, which Adam makes large.
    pairs = zip(one.named_parameters(), two.parameters(), strict=True)
    assert not [
        name for (name, a), b in pairs
        if not name.endswith("key.bias") and not torch.allclose(a, b, atol=1e-6, rtol=0)
    ]  # fmt: skip


@pytest.mark.slow
def test_two_processes_are_one_training(teacher, blocks, tiny, tmp_path):
    start = student_of(RECIPES["CompactBioBERT"], teacher)
    tokenizer, settings = tiny[1], {"student": start, "steps": 3}
    one = distilled("CompactBioBERT", teacher, blocks, tokenizer, tmp_path / "one", **settings)

    def work():
        import os

        half = {**settings, "batch": 2}
        two = distilled("CompactBioBERT", teacher, blocks, tokenizer, tmp_path / "two", **half)
        torch.save(two.state_dict(), tmp_path / os.environ["RANK"])

    assert in_child(work, processes=2) == [0, 0]
    assert curve(tmp_path / "two")[-1]["loss"] == pytest.approx(curve(tmp_path / "one")[-1]["loss"])
    for rank in ("0", "1"):
        two = torch.load(tmp_path / rank)
        assert not [
            name for name, value in one.state_dict().items()
            if not name.endswith("key.bias")
            and not torch.allclose(value, two[name], atol=1e-6, rtol=0)
        ]  # fmt: skip


class StopAt(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control, **_):
        control.should_training_stop |= state.global_step == self.step


@pytest.mark.parametrize("recipe", ["TinyBioBERT", "ClinicalMiniALBERT"])
def test_a_run_that_was_cut_ends_with_the_same_weights(recipe, teacher, blocks, tiny, tmp_path):
    start = student_of(RECIPES[recipe], teacher)
    settings = {"student": start, "save_steps": 2, "steps": 5, "dropout": 0.1}
    whole = distilled(recipe, teacher, blocks, tiny[1], tmp_path / "whole", **settings)
    part = tmp_path / "part"
    distilled(recipe, teacher, blocks, tiny[1], part, callbacks=[StopAt(3)], **settings)
    assert same(whole, distilled(recipe, teacher, blocks, tiny[1], part, **settings))
    assert [r["step"] for r in curve(part)] == [r["step"] for r in curve(tmp_path / "whole")]


def test_a_shared_layer_is_not_compiled(teacher, blocks, tiny, tmp_path):
    with pytest.raises(ValueError, match="no list of layers that could be compiled"):
        distilled("ClinicalMiniALBERT", teacher, blocks, tiny[1], tmp_path, compile=True)


@pytest.mark.parametrize("recipe", DISTILLED)
def test_mixed_precision_is_near(recipe, teacher, blocks, tiny, tmp_path):
    losses = []
    for precision in ("fp32", "bf16"):
        out = tmp_path / precision
        distilled(recipe, teacher, blocks, tiny[1], out, steps=2, precision=precision)
        losses.append([row["loss"] for row in curve(out)])
    assert losses[0] != losses[1] and losses[0] == pytest.approx(losses[1], rel=0.02)


def test_nan_stops_the_run(teacher, blocks, tiny, tmp_path):
    broken = copy.deepcopy(teacher)
    with torch.no_grad():
        broken.bert.embeddings.LayerNorm.weight[0] = float("nan")
    with pytest.raises(FloatingPointError, match="nan at step 1"):
        distilled("DistilBioBERT", broken, blocks, tiny[1], tmp_path,
                  student=student_of(RECIPES["DistilBioBERT"], teacher))  # fmt: skip


def test_the_projections_are_trained(teacher, blocks, tiny, tmp_path):
    seen = []

    class Look(TrainerCallback):
        def on_step_end(self, args, state, control, model=None, **_):
            seen.append(model.distillation["hidden_mse"][0].weight.detach().clone())

    objective = Objective((
        Term("soft_cross_entropy"),
        Term("hidden_mse", layers="embeddings and mapped", projection="per layer"),
    ))  # fmt: skip
    distilled("TinyBioBERT", teacher, blocks, tiny[1], tmp_path, callbacks=[Look()],
              objective=objective, layer_map=(3,))  # fmt: skip
    assert (seen[-1] - seen[0]).abs().max() > 1e-4
    student = random_student(RECIPES["TinyBioBERT"], teacher.config)
    made = make_projections(objective, student.config, teacher.config, layer_map=(3,))
    assert [len(maps) for maps in made.values()] == [2], "one for the embeddings, one for the layer"


# -- the teacher, and the traps --------------------------------------------------------------------


class Modes(TrainerCallback):
    """Notes in which mode both models are at each step."""

    def __init__(self, teacher) -> None:
        self.teacher, self.seen = teacher, set()

    def on_step_end(self, args, state, control, model=None, **_):
        self.seen.add((model.training, self.teacher.training))


def test_the_teacher_is_in_evaluation_mode_and_the_student_in_training(
    teacher, blocks, tiny, tmp_path
):
    for number, trap in enumerate((False, True)):
        modes, out = Modes(teacher), tmp_path / str(number)
        distilled("DistilBioBERT", teacher, blocks, tiny[1], out, callbacks=[modes],
                  in_training=trap)  # fmt: skip
        assert modes.seen == {(True, trap)}
        assert not teacher.training, "afterwards in any case"


def test_a_teacher_answers_twice_the_same_and_in_training_mode_not(teacher, blocks, tiny):
    ids = torch.from_numpy(blocks[:4].astype("int64"))
    drawn = mask(ids, MASKING, PieceTable.of(tiny[1]), generator=generator_for(0))
    objective = RECIPES["CompactBioBERT"].objective
    model = copy.deepcopy(teacher)
    with torch.no_grad():
        for training in (False, True):
            model.train(training)
            (one, _), (two, _) = (look(model, *drawn, objective=objective) for _ in range(2))
            for a, b in zip((one.logits, one.states[-1], one.maps[0]),
                            (two.logits, two.states[-1], two.maps[0]), strict=True):  # fmt: skip
                assert torch.equal(a, b) != training


def test_the_trap_of_the_teacher_changes_what_is_learnt(teacher, blocks, tiny, tmp_path):
    right, wrong = (
        distilled("DistilBioBERT", teacher, blocks, tiny[1], tmp_path / str(trap), in_training=trap)
        for trap in (False, True)
    )
    assert not same(right, wrong, atol=1e-5)
    losses = [np.mean([r["terms"]["soft_targets"] for r in curve(tmp_path / str(trap))])
              for trap in (False, True)]  # fmt: skip
    assert losses[1] > losses[0], "a noisy teacher cannot be met"


def test_the_trap_of_the_attention_term_is_a_division_by_the_keys(teacher, blocks, tiny, tmp_path):
    row = RECIPES["CompactBioBERT"]
    sizes = []
    for number, traps in enumerate((Traps(), Traps(attention_per_element=True))):
        out = tmp_path / str(number)
        distilled("CompactBioBERT", teacher, blocks, tiny[1], out, steps=1,
                  objective=traps.applied(row))  # fmt: skip
        sizes.append(curve(out)[0]["terms"]["attention_kl"])
    assert sizes[0] / sizes[1] == pytest.approx(32, rel=1e-3)


def test_both_models_attend_so_that_there_are_maps(teacher, blocks, tiny, tmp_path):
    model = copy.deepcopy(teacher)
    model.set_attn_implementation("sdpa")
    student = distilled("CompactBioBERT", model, blocks, tiny[1], tmp_path, steps=1)
    assert {model.config._attn_implementation, student.config._attn_implementation} == {"eager"}


@pytest.mark.parametrize(
    "recipe, traps, says",
    [
        ("BioDistilBERT", Traps(teacher_in_training=True), "has no teacher"),
        ("TinyBioBERT", Traps(random_head=True), "copies no encoder"),
        ("DistilBioBERT", Traps(attention_per_element=True), "has no attention_kl"),
    ],
)
def test_a_trap_that_has_no_place_is_refused(recipe, traps, says):
    with pytest.raises(ValueError, match=says):
        traps.applied(RECIPES[recipe])


def test_every_trap_can_be_named_in_the_command():
    assert {name.replace("-", "_") for name in TRAPS} == set(vars(Traps()))


def test_models_that_cannot_be_compared_are_refused(teacher):
    def config(**others):
        return BertConfig(**{**teacher.config.to_dict(), **others})

    layers = {"layer_map": (1, 3)}
    compact = RECIPES["CompactBioBERT"].objective
    with pytest.raises(ValueError, match="heads 2 with a teacher of 4"):
        check(compact, config(num_hidden_layers=2, num_attention_heads=2), teacher.config, **layers)
    with pytest.raises(ValueError, match="hidden_size 16 .*projection"):
        check(compact, config(num_hidden_layers=2, hidden_size=16), teacher.config, **layers)
    with pytest.raises(ValueError, match="the student has 3 layers"):
        check(compact, config(num_hidden_layers=3), teacher.config, **layers)
    check(compact, config(num_hidden_layers=2), teacher.config, **layers)


def test_values_and_their_sum(teacher, blocks, tiny):
    ids = torch.from_numpy(blocks[:4].astype("int64"))
    drawn = mask(ids, MASKING, PieceTable.of(tiny[1]), generator=generator_for(0))
    row = RECIPES["CompactBioBERT"]
    with torch.no_grad():
        view, target = look(teacher, *drawn, objective=row.objective)
    found = values(row.objective, view, view, target, layer_map=(0, 1, 2, 3))
    lm = torch.nn.functional.cross_entropy(view.logits, target).item()
    assert total(row.objective, found).item() == pytest.approx(lm, rel=1e-5), "its own teacher"
    assert total(row.objective, found, share=2).item() == pytest.approx(2 * lm, rel=1e-5)


# -- the whole -------------------------------------------------------------------------------------


def made(recipe, corpus, out, **others):
    return compress(recipe, corpus, out=out, settings=SETTINGS, length=32, device="cpu",
                    progress=False, **others)  # fmt: skip


def test_a_compact_model_in_a_folder(folder, corpus, teacher, tiny, tmp_path, monkeypatch):
    row = made("compactbiobert", corpus, tmp_path / "run", teacher=folder)
    model, tokenizer = load_masked_lm(row["folder"], needs_head=True)
    assert tokenizer.get_vocab() == tiny[1].get_vocab()
    assert (row["recipe"], row["layer_map"], row["steps"]) == ("CompactBioBERT", [1, 3], 6)
    assert row["parameters"] == parameters(model) < row["teacher_parameters"] == parameters(teacher)
    held_out = np.load(tmp_path / "run" / "blocks" / "held-out.npy")
    for who, key in ((place(model, "cpu"), "held_out"), (teacher, "teacher_held_out")):
        found = evaluate_mlm(who, tokenizer, held_out, masking=QUESTION)
        assert row[key] == pytest.approx(found, rel=1e-3), "but for the way to attend"
    assert set(row["held_out_at"]) == {"0", "6"}
    monkeypatch.setattr(compress_module, "train_version", None)
    assert made("CompactBioBERT", corpus, tmp_path / "run", teacher=folder) == row, "it is done"
    with pytest.raises(ValueError, match="another configuration .*recipe"):
        made("DistilBioBERT", corpus, tmp_path / "run", teacher=folder)
    monkeypatch.undo()
    other = shutil.copytree(folder, tmp_path / "teacher")
    made("CompactBioBERT", corpus, tmp_path / "again", teacher=other)
    save_model(student_of(RECIPES["DistilBioBERT"], teacher), tiny[1], other)  # in its place
    with pytest.raises(ValueError, match="another configuration .*teacher '.*' there, '.*' here"):
        made("CompactBioBERT", corpus, tmp_path / "again", teacher=other)


def test_what_can_fail_beside_the_training_fails_before_it(folder, corpus, tmp_path, monkeypatch):
    def too_large(*_):
        raise MemoryError("the teacher")

    def never(*_, **__):
        raise AssertionError("trained already")

    monkeypatch.setattr(compress_module, "_compared", too_large)
    monkeypatch.setattr(compress_module, "train_version", never)
    with pytest.raises(MemoryError, match="the teacher"):
        made("compactbiobert", corpus, tmp_path / "run", teacher=folder)


@pytest.mark.parametrize("recipe", ["BioDistilBERT", "BioMobileBERT"])
def test_a_small_model_trained_on(recipe, corpus, teacher, tiny, tmp_path):
    start = save_model(random_student(RECIPES[recipe], teacher.config), tiny[1], tmp_path / "start")
    row = made(recipe, corpus, tmp_path / "run", start=start)
    assert row["held_out"]["loss"] < row["held_out_at"]["0"]["loss"]
    assert "teacher_held_out" not in row and row["layer_map"] == []
    model, _ = load_masked_lm(row["folder"], needs_head=True)
    assert model.config.model_type == RECIPES[recipe].architecture


def test_the_trap_of_the_head_begins_with_a_worse_loss(folder, corpus, tmp_path):
    rows = [
        made("DistilBioBERT", corpus, tmp_path / str(trap), teacher=folder,
             traps=Traps(random_head=trap))
        for trap in (False, True)
    ]  # fmt: skip
    assert rows[1]["traps"] == ["random_head"]
    assert rows[0]["held_out_at"]["0"] != rows[1]["held_out_at"]["0"]


def test_the_command(folder, corpus, tmp_path, capsys):
    wanted = [
        "compress", "--teacher", str(folder), "--recipe", "DistilBioBERT", "--corpus", str(corpus),
        "--steps", "3", "--batch", "4", "--length", "32", "--precision", "fp32", "--device", "cpu",
        "--quiet", "--layers", "0,3", "--out", str(tmp_path / "run"),
    ]  # fmt: skip
    assert main([*wanted, "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["recipe"] == "DistilBioBERT" and math.isfinite(row["held_out"]["loss"])
    assert main(wanted) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[1].startswith("DistilBioBERT, first") and said[3].startswith("teacher")
    assert said[4].startswith("3 steps of 5·soft_targets")


def test_help_tells_the_recipes(capsys):
    with pytest.raises(SystemExit) as end:
        main(["compress", "--help"])
    said = capsys.readouterr().out
    assert end.value.code == 0 and all(name in said for name in RECIPES)
    assert "DistilBERT trained on" in said


# -- bad input -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bad(folder, teacher, tiny, corpus, tmp_path_factory):
    """Folders and files with something wrong."""
    where = tmp_path_factory.mktemp("bad")
    save_model(teacher.bert, tiny[1], where / "headless")
    other = train_wordpiece([text[::-1] for text in TINY_TEXT * 4], size=90, max_length=64)
    save_model(random_student(RECIPES["TinyBioBERT"], teacher.config), other, where / "foreign")
    (where / "pickle").mkdir()
    teacher.config.save_pretrained(where / "pickle")
    torch.save({}, where / "pickle" / "pytorch_model.bin")
    (where / "empty.txt").write_text("")
    return where


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["--recipe", "MegaBERT"], "recipe 'MegaBERT' is unknown: choose one of DistilBioBERT"),
        (["--teacher", "{bad}/headless"], "the model has no MLM head"),
        (["--teacher", "{bad}/pickle"], "only safetensors are loaded"),
        (["--teacher", "{bad}/nowhere"], "nowhere"),
        (["--start", "{bad}/foreign"], "another vocabulary than the teacher"),
        (["--start", "{bad}/pickle"], "only safetensors are loaded"),
        (["--layer-map", "1,4"], "layer map 1,4: the teacher has layers 0 to 3"),
        (["--layer-map", "1,2,3"], "the student has 2 layers"),
        (["--layers", "0,9"], "start layers 0,9: the teacher has layers 0 to 3"),
        (["--corpus", "{bad}/empty.txt"], "documents are too few"),
        (["--corpus", "{bad}/none.txt"], "none.txt"),
        (["--recipe", "BioDistilBERT"], "trains DistilBERT on: give the folder of a small model"),
        (["--recipe", "DistilBioBERT", "--layer-map", "0,1"], "compares no layers"),
        (["--recipe", "TinyBioBERT", "--trap", "random-head"], "copies no encoder"),
        (["--length", "100"], "the model knows 64 positions"),
        (["--steps", "0"], "steps is 0"),
    ],
)
def test_bad_input_is_one_line_before_any_work(
    arguments, says, bad, folder, corpus, tmp_path, capsys
):
    out = tmp_path / "run"
    plain = {"--teacher": str(folder), "--recipe": "CompactBioBERT", "--corpus": str(corpus),
             "--length": "32", "--steps": "2", "--device": "cpu", "--out": str(out)}  # fmt: skip
    changed = [word.format(bad=bad) for word in arguments]
    plain |= dict(zip(changed[::2], changed[1::2], strict=True))
    assert main(["compress", "--quiet", *(w for pair in plain.items() for w in pair)]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and says in said[0], said
    assert not out.exists()


def test_a_distilled_recipe_wants_a_teacher(corpus, tmp_path, capsys):
    assert main(["compress", "--recipe", "TinyBioBERT", "--corpus", str(corpus), "--quiet",
                 "--out", str(tmp_path / "run")]) == 2  # fmt: skip
    assert "give the folder of its teacher" in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        main(["compress", "--layers", "a,b"])
    assert end.value.code == 2 and "'a,b' is not of the form" in capsys.readouterr().err
