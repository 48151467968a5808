"""The clinical models by name, long notes in windows, canaries: small models on the CPU."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from transformers import BertConfig, BertForMaskedLM  # noqa: E402

from bioptimus_lib import clinical_steps, long_notes, memorisation  # noqa: E402
from bioptimus_lib.clinical_models import GENERAL, NAMES, TEACHER, make  # noqa: E402
from bioptimus_lib.memorisation import Canary, exposure  # noqa: E402
from bioptimus_lib.models import load_masked_lm, save_model  # noqa: E402
from bioptimus_lib.pretrain import Settings  # noqa: E402
from bioptimus_lib.recipes import RECIPES  # noqa: E402
from bioptimus_lib.task_data import Data, Example  # noqa: E402
from bioptimus_lib.task_table import TASKS  # noqa: E402
from bioptimus_lib.tasks import repeated  # noqa: E402
from tests.conftest import TINY_TEXT  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
SETTINGS = Settings(steps=2, batch=2, precision="fp32", learning_rate=1e-3)


@pytest.fixture(scope="module")
def general(tiny, tmp_path_factory):
    """A folder with a BERT of four layers."""
    torch.manual_seed(1)
    model = BertForMaskedLM(BertConfig(
        vocab_size=len(tiny[1]), hidden_size=32, num_hidden_layers=4, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=64,
    ))  # fmt: skip
    return save_model(model, tiny[1], tmp_path_factory.mktemp("models") / "general")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    file = tmp_path_factory.mktemp("corpus") / "text.txt"
    file.write_text("\n\n".join(TINY_TEXT * 50) + "\n")
    return file


# -- by name ---------------------------------------------------------------------------------------


def test_all_five_are_made_by_name_and_not_made_again(general, corpus, tmp_path):
    told = []
    made = make(general, corpus, corpus, out=tmp_path, settings=SETTINGS, length=16, device="cpu",
                tell=told.append)  # fmt: skip
    assert list(made) == [GENERAL, TEACHER, "BioDistilBERT", "BioMobileBERT", *NAMES]
    assert [one.name for one in told] == list(made)[1:]
    kinds = {name: load_masked_lm(one.folder)[0].config.model_type for name, one in made.items()}
    assert kinds["ClinicalMiniALBERT"] == "bioptimus_mini_albert"
    assert kinds["ClinicalMobileBERT"] == kinds["BioMobileBERT"] == "mobilebert"
    for name in NAMES:
        assert made[name].steps == 2 and made[name].before and made[name].after
    depth = load_masked_lm(made["DistilClinicalBERT"].folder)[0].config.num_hidden_layers
    assert depth == 2
    times = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")}
    again = make(general, corpus, corpus, out=tmp_path, settings=SETTINGS, length=16, device="cpu")
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")} == times
    assert again == made
    with pytest.raises(ValueError, match="DistilBioBERT is no clinical model"):
        make(general, corpus, corpus, out=tmp_path, settings=SETTINGS, names=["DistilBioBERT"])


def test_sizes_at_full_scale_are_those_of_the_built_models():
    mini = clinical_steps.full_size("ClinicalMiniALBERT")
    # Published are 18 million: with the pooler that ALBERT's class brings, and nothing uses.
    assert (sum(mini.values()) + 768 * 768 + 768) / 1e6 == pytest.approx(18, rel=0.003)
    assert mini["adapters"] == 6 * 2 * (2 * 768 * 48 + 48 + 768 + 2 * 768)
    assert mini["shared layer"] == 7_087_872 and mini["layers"] == 0
    for name in ("DistilClinicalBERT", "ClinicalDistilBERT"):
        assert sum(clinical_steps.full_size(name).values()) / 1e6 == pytest.approx(65, rel=0.03)
    mobile = clinical_steps.full_size("ClinicalMobileBERT")
    assert sum(mobile.values()) / 1e6 == pytest.approx(25, rel=0.03)
    assert mobile["layers"] > 0.7 * sum(mobile.values())
    assert set(NAMES) < set(RECIPES)


# -- long notes ------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from("aspirin bronchoconstriction pain , x".split()), max_size=60),
       st.integers(1, 12), st.integers(0, 11))
@settings(max_examples=100, deadline=None,
          suppress_health_check=[__import__("hypothesis").HealthCheck.function_scoped_fixture])
def test_parts_cover_all_words_and_fit(tiny, words, room, overlap):
    text = " ".join(words)
    if overlap >= room:
        with pytest.raises(ValueError):
            long_notes.parts(text or "x", tiny[1], room=room, overlap=overlap)
        return
    found = long_notes.parts(text, tiny[1], room=room, overlap=overlap)
    assert all(part.pieces <= room for part in found) and bool(found) == bool(words)
    covered = {i for part in found for i in range(part.start, part.stop)}
    assert all(i in covered for i, letter in enumerate(text) if letter != " ")
    starts = [part.start for part in found]
    assert starts == sorted(set(starts))


def test_what_is_beyond_the_window_is_counted_in_pieces(tiny):
    text = "aspirin pain " * 10
    pieces = len(tiny[1].tokenize(text))
    first, last = long_notes.beyond(text, [(0, len(text) // 2), (len(text) // 2, len(text))],
                                    tiny[1], room=pieces // 2)  # fmt: skip
    assert (first, last) == (0.0, 1.0)
    assert long_notes.beyond(text, [(0, 0)], tiny[1], room=1) == [0.0]


def test_signs_of_the_model_in_a_note_are_text(tiny):
    """As for whoever encodes the parts, or a part would have more pieces there than here."""
    text = "[MASK] pain " * 4
    pieces = len(tiny[1].tokenize(text, split_special_tokens=True))
    assert sum(part.pieces for part in long_notes.parts(text, tiny[1], room=99)) == pieces > 8
    assert long_notes.beyond(text, [(0, len(text))], tiny[1], room=pieces // 2) == [0.5]


def test_a_long_text_is_answered_by_the_mean_of_its_parts(general, tiny):
    from bioptimus_lib.sequences import Classifier, TaskSettings, classifier_on

    task = TASKS["pocket-sections"]
    classifier = Classifier(*classifier_on(general, task, seed=0), task, TaskSettings())
    short, long = TINY_TEXT[0], " ".join(TINY_TEXT * 8)
    assert len(tiny[1].tokenize(long)) > classifier.window
    found = long_notes.outputs(classifier, [short, long])
    whole = classifier.outputs(classifier.encode([Example("0", short, "")]))
    np.testing.assert_allclose(found[0], whole[0], atol=1e-5)
    room = classifier.window - 2
    pieces = [long[p.start : p.stop] for p in long_notes.parts(long, tiny[1], room=room)]
    each = classifier.outputs(classifier.encode([Example(str(i), t, "")
                                                 for i, t in enumerate(pieces)]))  # fmt: skip
    assert len(pieces) > 2
    np.testing.assert_allclose(found[1], each.mean(0), atol=1e-5)
    assert long_notes.answers(classifier, [long])[0] == task.labels[int(found[1].argmax())]
    with pytest.raises(ValueError, match="text 1 has no word"):
        long_notes.outputs(classifier, [short, " "])


# -- canaries --------------------------------------------------------------------------------------


def test_exposure_is_bits_of_a_rank():
    assert [exposure(r, 8) for r in (1, 2, 8)] == [3.0, 2.0, 0.0]
    for rank in (0, 9):
        with pytest.raises(ValueError, match=f"rank {rank} of 8"):
            exposure(rank, 8)
    draws = [exposure(rank, 4096) for rank in range(1, 4097)]
    assert np.mean(draws) == pytest.approx(1 / np.log(2), abs=0.01)  # what the chapter calls chance


def test_canaries_are_planted_as_often_as_they_say():
    canaries = [Canary("kin: {name}.", "Dorabel", 3), Canary("aunt: {name}.", "Mivrek", 0)]
    texts = [f"line {n}" for n in range(20)]
    random.seed(3)
    made = memorisation.planted(texts, canaries, seed=1)
    assert made == memorisation.planted(texts, canaries, seed=1)
    assert made.count("kin: Dorabel.") == 3 and len(made) == 23
    assert [line for line in made if line in texts] == texts
    for bad in ("no slot", "{name} {name}"):
        with pytest.raises(ValueError, match="give one"):
            Canary(bad, "x", 1)


@pytest.fixture(scope="module")
def pocket():
    from bioptimus_lib.sources import model_path

    return load_masked_lm(model_path("pocket-bert", progress=False))


def test_names_have_one_length_and_canaries_differ(pocket):
    names = memorisation.made_up_names(pocket[1])
    assert len(names) == len(set(names)) > 4000
    assert {len(pocket[1].tokenize(name)) for name in names[:200]} == {3}
    canaries = memorisation.canaries_of(names, (0, 2), each=4, seed=5)
    assert len({c.name for c in canaries}) == len({c.context for c in canaries}) == 8
    assert [c.times for c in canaries] == 4 * [0, 2]
    with pytest.raises(ValueError, match="99 pieces"):
        memorisation.made_up_names(pocket[1], pieces=99)


def test_scores_are_those_of_a_slow_sum_and_ranks_follow(pocket):
    model, tokenizer = pocket
    names = memorisation.made_up_names(tokenizer)[:50]
    context = "Next of kin: {name}, called."
    found = memorisation.scores(model, tokenizer, context,
                                memorisation.pieces_of(tokenizer, names))  # fmt: skip
    inputs = tokenizer(context.replace("{name}", "[MASK] [MASK] [MASK]"), return_tensors="pt")
    with torch.no_grad():
        chances = model.eval()(**inputs).logits[0].log_softmax(-1)
    places = (inputs["input_ids"][0] == tokenizer.mask_token_id).nonzero().flatten()
    for name, score in list(zip(names, found, strict=True))[:5]:
        ids = tokenizer(name, add_special_tokens=False)["input_ids"]
        slow = sum(float(chances[p, i]) for p, i in zip(places, ids, strict=True))
        assert score == pytest.approx(slow, abs=1e-4)
    best = names[int(found.argmax())]
    (one,) = memorisation.look(model, tokenizer, [Canary(context, best, 1)], names)
    assert (one.rank, one.exposure) == (1, pytest.approx(np.log2(50)))
    with pytest.raises(ValueError, match="Nobody is not among the 50"):
        memorisation.look(model, tokenizer, [Canary(context, "Nobody", 1)], names)
    for bad in ([*names, "pain"], []):
        with pytest.raises(ValueError, match="one length"):
            memorisation.pieces_of(tokenizer, bad)


def test_a_name_that_is_read_often_is_remembered_and_the_model_stays(pocket, tmp_path):
    model, tokenizer = pocket
    names = memorisation.made_up_names(tokenizer)[:500]
    canaries = memorisation.canaries_of(names, (0, 40), each=1)
    texts = memorisation.planted(clinical_steps.note_lines(2), canaries)
    before = {name: p.clone() for name, p in model.named_parameters()}
    how = replace(SETTINGS, steps=25, batch=8)
    after = memorisation.trained_on(pocket, texts, settings=how, out=tmp_path / "a", device="cpu")
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    read = memorisation.look(after, tokenizer, canaries, names)
    plain = memorisation.look(model, tokenizer, canaries, names)
    assert read[1].exposure > plain[1].exposure + 3 and read[1].rank <= 5
    assert (read[0].times, read[1].times) == (0, 40)


# -- test texts that train has ---------------------------------------------------------------------


def test_scores_on_texts_that_train_has_and_on_new_ones():
    task = TASKS["rqe"]

    def row(number, text, answer):
        return Example(str(number), text, answer, second="b")

    train = [row(0, "x", "true"), row(1, "x", "true"), row(2, "x", "false"), row(3, "y", "false")]
    test = [row(0, "x", "false"), row(1, "y", "false"), row(2, "z", "true"), row(3, "w", "true")]
    data = Data(({"train": train, "devel": train, "test": test},))
    found = repeated(task, data, ["false", "true", "true", "false"])
    assert found == {"score_seen": 50.0, "score_new": 50.0, "copied": 50.0}
    assert repeated(task, data, ["true", "false", "true", "true"]) == {
        "score_seen": 50.0, "score_new": 100.0, "copied": 50.0,
    }  # fmt: skip
    assert repeated(task, Data(({"train": train, "devel": [], "test": test[2:]},)),
                    ["true", "true"]) == {}  # fmt: skip


def test_broken_files_of_the_lesson_are_all_told(tmp_path):
    said = clinical_steps.broken(tmp_path)
    assert len(said) == 4 and all(text.startswith("NOTEEVENTS.csv:") for text in said.values())


def test_what_chapter_15_says_of_memory_is_what_the_ledger_holds():
    from statistics import fmean

    from bioptimus_lib import evidence
    from bioptimus_lib.experiments.memorisation import EACH, NEVER, READ

    rows = evidence.rows_of("memorisation", "exposure")
    assert {row["seed"] for row in rows} == {0, 1, 2} and EACH == 5
    (most,) = {row["metrics"]["most"] for row in rows}

    def mean(who: str, metric: str = "exposure") -> dict[int, float]:
        """Of the seeds, for each number of times."""
        return {
            times: fmean(row["metrics"][metric] for row in rows
                         if row["times"] == times and row["variant"].startswith(who))
            for times in (0, 1, 4, 16, 64, 256)
        }  # fmt: skip

    never, read = mean(NEVER), mean(READ)
    assert [round(find(never.values()), 1) for find in (min, max)] == [1.0, 2.0]
    single = [row["metrics"]["exposure"] for row in rows if row["variant"].startswith(NEVER)]
    assert [round(find(single), 1) for find in (min, max)] == [0.4, 2.6]
    assert [round(read[times], 1) for times in (1, 4)] == [0.8, 1.5] and read[0] < 2
    assert [round(read[times], 1) for times in (16, 64, 256)] == [2.8, 6.4, 11.0]
    assert round(most, 1) == 14.2 and 18_900 < 2**most < 19_000
    assert [round(2 ** (most - read[times])) for times in (64, 256)] == [219, 9]
    names = 3 * EACH
    assert [round(names * mean(READ, m)[256]) for m in ("first", "completed")] == [2, 4]
    for metric in ("first", "completed"):
        assert not any(share for times, share in mean(READ, metric).items() if times < 256)
