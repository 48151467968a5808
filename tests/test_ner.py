"""Reading, windows, score and fine-tuning of named entity recognition."""

from __future__ import annotations

import json
import os
import random
import warnings
from pathlib import Path

import numpy as np
import pytest
from conftest import learner
from hypothesis import given, settings
from hypothesis import strategies as st

from bioptimus_lib.conll import (
    Entity,
    Sentence,
    count,
    entities,
    labels_of,
    load_splits,
    read_conll,
    read_predictions,
    write_conll,
)
from bioptimus_lib.entity_score import recall_unseen, score
from bioptimus_lib.errors import DataError
from bioptimus_lib.windows import IGNORED, Window, cut, encode

TYPES = ("Drug", "Gene")
TAGS = labels_of(TYPES)


def sentence(text: str) -> Sentence:
    """``"no/O asthma/B-Disease"`` as a sentence."""
    pairs = [word.rpartition("/") for word in text.split()]
    return Sentence(tuple(p[0] for p in pairs), tuple(p[2] for p in pairs))


def random_tags(rng: random.Random, length: int, *, valid: bool) -> list[str]:
    tags: list[str] = []
    for _ in range(length):
        before = tags[-1] if tags else "O"
        allowed = [t for t in TAGS if t[0] != "I" or before[1:] == t[1:]]
        tags.append(rng.choice(allowed if valid else TAGS))
    return tags


# --- reading -----------------------------------------------------------------------------------


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


GOOD = {
    "one sentence": ("a\tO\nb\tB-X\nc\tI-X\n", [("a", "b", "c")]),
    "no line end at the end": ("a\tO\nb\tB-X", [("a", "b")]),
    "many blank lines": ("\n\na\tO\n\n \n\nb\tO\n\n", [("a",), ("b",)]),
    "document lines": ("-DOCSTART-\tO\n\na\tO\n-DOCSTART-\tO\nb\tO\n", [("a",), ("b",)]),
    "Windows line ends": ("a\tO\r\n\r\nb\tO\r\n", [("a",), ("b",)]),
    "byte order mark": ("\ufeffa\tO\n", [("a",)]),
    "Unicode line end in a token": ("a\u2028b\x85\tO\nc\tO\n", [("a\u2028b\x85", "c")]),
    "new entity right after another": ("a\tB-X\nb\tB-X\nc\tB-Y\n", [("a", "b", "c")]),
}


@pytest.mark.parametrize("text, tokens", GOOD.values(), ids=GOOD)
def test_read(tmp_path, text, tokens):
    assert [s.tokens for s in read_conll(write(tmp_path / "f.tsv", text))] == tokens


BAD = {
    "missing column": ("a\tO\nb\n", 2, "token<TAB>tag"),
    "three columns": ("a\tN\tO\n", 1, "token<TAB>tag"),
    "blanks for a tab": ("a O\n", 1, "token<TAB>tag"),
    "empty token": ("a\tO\n\tO\n", 2, "token<TAB>tag"),
    "empty tag": ("a\t\n", 1, "token<TAB>tag"),
    "orphan at the start": ("a\tO\n\nb\tI-X\n", 3, "continues no entity"),
    "orphan after O": ("a\tO\nb\tI-X\n", 2, "continues no entity"),
    "orphan after another type": ("a\tB-Y\nb\tI-X\n", 2, "'B-Y'"),
    "orphan after a document line": ("a\tB-X\n-DOCSTART-\tO\nb\tI-X\n", 3, "continues"),
    "unknown prefix": ("a\tS-X\n", 1, "not IOB2"),
    "no type": ("a\tB-\n", 1, "not IOB2"),
    "bare prefix": ("a\tB\n", 1, "not IOB2"),
    "lower case": ("a\to\n", 1, "not IOB2"),
    "not UTF-8": (b"a\tO\n\xff\tO\n", 2, "UTF-8"),
    "empty file": ("", None, "no sentence"),
    "only documents": ("-DOCSTART-\tO\n\n", None, "no sentence"),
}


@pytest.mark.parametrize("text, line, message", BAD.values(), ids=BAD)
def test_broken_files_are_named_with_their_line(tmp_path, text, line, message):
    path = write(tmp_path / "f.tsv", text)
    with pytest.raises(DataError, match=message) as caught:
        read_conll(path)
    assert (caught.value.path, caught.value.line) == (path, line)
    assert str(caught.value).startswith(f"{path}:{line}: " if line else f"{path}: ")


def test_splits_need_three_files(tmp_path):
    for name in ("train", "devel"):
        write(tmp_path / f"{name}.tsv", "a\tO\n")
    with pytest.raises(FileNotFoundError, match=r"test\.tsv"):
        load_splits(tmp_path)
    write(tmp_path / "test.tsv", "a\tB-X\n\nb\tO\n")
    assert count(load_splits(tmp_path))["test"] == {"sentences": 2, "tokens": 2, "entities": 1}


def test_what_is_written_is_read_again(tmp_path):
    sentences = [sentence("no/O lung/B-Disease cancer/I-Disease"), sentence("./O")]
    write_conll(tmp_path / "f.tsv", sentences)
    assert read_conll(tmp_path / "f.tsv") == sentences
    write_conll(tmp_path / "p.tsv", sentences[1:], [["B-Drug"]])
    assert (tmp_path / "p.tsv").read_text() == ".\tO\tB-Drug\n\n"


COUNTS = {  # FACTS of the sets: sentences and entities of train, devel, test
    "BC5CDR-chem": ((4560, 4581, 4797), (5203, 5347, 5385)),
    "BC5CDR-disease": ((4560, 4581, 4797), (4182, 4246, 4424)),
    "NCBI-disease": ((5424, 923, 940), (5134, 787, 960)),
    "BC2GM": ((12574, 2519, 5038), (15197, 3061, 6325)),
    "JNLPBA": ((16807, 1739, 3856), (46750, 4551, 8662)),
}


@pytest.mark.skipif("BIOPTIMUS_MIRROR" not in os.environ, reason="needs the real sets")
@pytest.mark.parametrize("name", COUNTS)
def test_the_real_sets_have_the_published_counts(name):
    found = count(load_splits(Path(os.environ["BIOPTIMUS_MIRROR"]) / "ner" / name))
    assert tuple(c["sentences"] for c in found.values()) == COUNTS[name][0]
    assert tuple(c["entities"] for c in found.values()) == COUNTS[name][1]


# --- tags and score ----------------------------------------------------------------------------

SPELLED = {
    "nothing": ("", []),
    "outside": ("O O", []),
    "one": ("B-X I-X O", [("X", 0, 2)]),
    "at the end": ("O B-X", [("X", 1, 2)]),
    "two that touch": ("B-X B-X I-X", [("X", 0, 1), ("X", 1, 3)]),
    "two types that touch": ("B-X B-Y I-Y", [("X", 0, 1), ("Y", 1, 3)]),
    "orphans": ("I-X I-X O I-X", []),
    "the type changes inside": ("B-X I-Y I-X", [("X", 0, 1)]),
}


@pytest.mark.parametrize("tags, found", SPELLED.values(), ids=SPELLED)
def test_entities(tags, found):
    assert entities(tags.split()) == [Entity(*e) for e in found]


def test_orphans_count_nothing_though_seqeval_by_default_forgives_them():
    from seqeval.metrics import f1_score

    gold, made = [["B-X", "I-X", "O", "B-X"]], [["I-X", "I-X", "O", "I-X"]]
    assert f1_score(gold, made) == 1.0
    assert score(gold, made)["f1"] == 0.0


@pytest.mark.parametrize("valid", [True, False])
def test_entities_and_score_are_those_of_seqeval_strict(valid):
    from seqeval.scheme import IOB2
    from seqeval.scheme import Entities as Reference

    rng = random.Random(7)
    lengths = [rng.randrange(1, 12) for _ in range(2000)]
    gold = [random_tags(rng, n, valid=True) for n in lengths]
    made = [random_tags(rng, n, valid=valid) for n in lengths]
    if not valid:  # mostly right, so that many entities survive between the orphans
        pairs = [list(zip(*both, strict=True)) for both in zip(gold, made, strict=True)]
        made = [[g if rng.random() < 0.7 else m for g, m in row] for row in pairs]
    for tags, reference in zip(made, Reference(made, scheme=IOB2).entities, strict=True):
        assert [(e.type, e.start, e.stop) for e in entities(tags)] == [
            (e.tag, e.start, e.end) for e in reference
        ]
    true, guessed = ([set(entities(tags)) for tags in side] for side in (gold, made))
    found = score(gold, made)
    both = sum(len(a & b) for a, b in zip(true, guessed, strict=True))
    total = sum(map(len, true)), sum(map(len, guessed))
    assert (found["gold"], found["predicted"]) == total
    assert found["recall"] == pytest.approx(100 * both / total[0])
    assert found["precision"] == pytest.approx(100 * both / total[1])
    assert found["f1"] == pytest.approx(200 * both / sum(total))
    assert 0 < found["f1"] < 100
    for kind in TYPES:
        both = sum(e.type == kind for a, b in zip(true, guessed, strict=True) for e in a & b)
        assert found["types"][kind]["recall"] == pytest.approx(
            100 * both / found["types"][kind]["gold"]
        )


def test_score_by_hand():
    gold = [["B-X", "I-X", "O", "B-Y"], ["O", "B-X"]]
    made = [["B-X", "I-X", "O", "B-X"], ["B-X", "B-X"]]  # 2 found, 2 spurious, 1 missed
    found = score(gold, made)
    assert (found["gold"], found["predicted"]) == (3, 4)
    assert found["f1"] == pytest.approx(100 * 4 / 7)
    assert found["types"]["Y"]["f1"] == 0 and found["types"]["X"]["recall"] == 100
    assert score([["O"]], [["O"]])["f1"] == 0


def test_score_wants_a_tag_per_token():
    with pytest.raises(ValueError, match="2 sentences in gold, 1"):
        score([["O"], ["O"]], [["O"]])
    with pytest.raises(ValueError, match="sentence 1: 2 tags"):
        score([["O"], ["O", "O"]], [["O"], ["O"]])
    with pytest.raises(ValueError, match="2 tokens but 1 tags"):
        Sentence(("a", "b"), ("O",))


def test_recall_on_mentions_that_training_never_named():
    training = [sentence("Asthma/B-Disease or/O gout/B-Drug")]
    test = [sentence("asthma/B-Disease and/O gout/B-Disease or/O lung/B-Disease cancer/I-Disease")]
    made = [["O", "O", "B-Disease", "O", "B-Disease", "O"]]
    # asthma is known whatever its case; gout is known as a drug alone; half of lung cancer is none
    assert recall_unseen(test, made, training=training) == {
        "recall": 50.0, "mentions": 2, "share": pytest.approx(200 / 3), "recall_seen": 0.0,
    }  # fmt: skip


# --- windows -----------------------------------------------------------------------------------

CUTS = {
    "fits": ([1, 2, 1], 4, None, [(0, 3, 0, 3)]),
    "nothing": ([], 4, None, []),
    "no overlap": ([1, 1, 1], 2, 0, [(0, 2, 0, 2), (2, 3, 2, 3)]),
    # tokens 2 and 3 are shown twice; 2 is far from the first cut, 3 from the second
    "overlap": ([1] * 6, 4, 2, [(0, 4, 0, 3), (2, 6, 3, 6)]),
    "overlap gives way to a long token": ([2, 4], 4, 2, [(0, 1, 0, 1), (1, 2, 1, 2)]),
}  # fmt: skip


@pytest.mark.parametrize("sizes, room, overlap, windows", CUTS.values(), ids=CUTS)
def test_cut(sizes, room, overlap, windows):
    assert cut(sizes, room, overlap=overlap) == [Window(*w) for w in windows]


@given(data=st.data(), room=st.integers(1, 12))
@settings(max_examples=300)
def test_windows_neither_lose_nor_double_a_token(data, room):
    sizes = data.draw(st.lists(st.integers(1, room), max_size=60))
    overlap = data.draw(st.none() | st.integers(0, room - 1))
    windows = cut(sizes, room, overlap=overlap)
    assert [t for w in windows for t in range(w.first, w.last)] == list(range(len(sizes)))
    edges = np.concatenate([[0], np.cumsum(sizes)]).astype(int)

    def central(token: int, w: Window) -> float:
        left = edges[token] - edges[w.start] if w.start else np.inf
        return min(left, edges[w.stop] - edges[token + 1] if w.stop < len(sizes) else np.inf)

    for w in windows:
        assert w.start <= w.first <= w.last <= w.stop
        assert sum(sizes[w.start : w.stop]) <= room
        for token in range(w.first, w.last):
            others = [v for v in windows if v.start <= token < v.stop]
            assert central(token, w) == max(central(token, v) for v in others)


def test_cut_refuses_what_cannot_be():
    for sizes, room, overlap in [([0], 3, None), ([4], 3, None), ([1], 3, 3), ([1], 0, None)]:
        with pytest.raises(ValueError):
            cut(sizes, room, overlap=overlap)


PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcde-", *(f"##{c}" for c in "abcde")]


@pytest.fixture(scope="module")
def tokenizer():
    from bioptimus_lib.vocab import bert_tokenizer

    return bert_tokenizer(PIECES)


def test_the_label_stands_on_the_first_piece(tokenizer):
    made = encode([sentence("abc/B-X a-b/I-X e/O")], tokenizer, window=16)
    (piece,) = made.windows
    assert tokenizer.convert_ids_to_tokens(piece.ids) == [
        "[CLS]", "a", "##b", "##c", "a", "-", "b", "e", "[SEP]",
    ]  # fmt: skip
    (labels,) = made.labels([["B-X", "I-X", "O"]], {"O": 0, "B-X": 1, "I-X": 2})
    assert labels.tolist() == [IGNORED, 1, IGNORED, IGNORED, 2, IGNORED, IGNORED, 0, IGNORED]


ODD = {  # tokens, and how many are (unknown, empty, shortened) in a window of 8
    "control character": ("\x07", (0, 1, 0)),
    "lone combining mark": ("\u0301", (0, 1, 0)),
    "zero-width space": ("\u200b", (0, 1, 0)),
    "not in the alphabet": ("Ω", (1, 0, 0)),
    "ten thousand characters": ("a" * 10_000, (1, 0, 0)),
    "ten thousand pieces": ("a-" * 5_000, (0, 0, 1)),
}


@pytest.mark.parametrize("token, counts", ODD.values(), ids=ODD)
def test_odd_tokens_shift_no_label(tokenizer, token, counts):
    made = encode([Sentence(("a", token, "b"), ("O", "B-X", "O"))], tokenizer, window=8)
    assert tuple(made.report[k] for k in ("unknown", "empty", "shortened")) == counts
    shown = {
        int(piece.ids[h]): piece.window.first + i
        for piece in made.windows
        for i, h in enumerate(piece.heads)
    }
    assert shown[PIECES.index("a")] in (0, 1) and shown[PIECES.index("b")] == 2
    assert sum(len(piece.heads) for piece in made.windows) == 3
    assert all(len(piece.ids) <= 8 for piece in made.windows)


@pytest.mark.parametrize("window", [3, 5, 8, 64])
def test_merging_gives_each_token_its_own_output(tokenizer, window):
    rng = random.Random(1)
    words = ["".join(rng.choices("abcde", k=rng.randint(1, 4))) for _ in range(300)]
    sentences = [
        Sentence(tuple(words[i : i + n]), ("O",) * n) for i, n in ((0, 1), (1, 60), (61, 200))
    ]
    made = encode(sentences, tokenizer, window=window)
    # the "model" answers with the id that it sees
    merged = made.merge([np.array(piece.ids, float)[:, None] for piece in made.windows])
    for s, row in zip(sentences, merged, strict=True):
        assert row[:, 0].tolist() == [PIECES.index(word[0]) for word in s.tokens]
    assert made.report["tokens"] == 261


# --- tagging -----------------------------------------------------------------------------------


def test_the_best_path_is_the_best_valid_one():
    from itertools import product

    from bioptimus_lib.tagger import best_each, best_path

    rng = np.random.default_rng(0)
    valid = [
        path
        for path in product(range(len(TAGS)), repeat=4)
        if all(
            TAGS[b][0] != "I" or (a is not None and TAGS[a][1:] == TAGS[b][1:])
            for a, b in zip((None, *path), path, strict=False)
        )
    ]
    different = 0
    for _ in range(100):
        scores = rng.normal(size=(4, len(TAGS))).astype(np.float32)
        best = max(valid, key=lambda path: sum(scores[i, t] for i, t in enumerate(path)))
        assert best_path(scores, TAGS) == tuple(TAGS[t] for t in best)
        different += best_path(scores, TAGS) != best_each(scores, TAGS)
    assert different > 30


WORDS = {"drug": ["bab", "cad", "dee"], "gene": ["ab", "ac", "ad"], "other": list("abcde")}


def toy(n: int, seed: int) -> list[Sentence]:
    """Sentences in which some words are drugs, and some are genes only after an ``e``."""
    rng = random.Random(seed)
    made = []
    for _ in range(n):
        words: list[tuple[str, str]] = []
        for _ in range(rng.randint(2, 5)):
            kind = rng.choice(list(WORDS))
            word = rng.choice(WORDS[kind])
            if kind == "gene" and rng.random() < 0.5:
                words += [("e", "O"), (word, "B-Gene"), ("-", "I-Gene")]
            elif kind == "gene":
                words += [("c", "O"), (word, "O")]
            else:
                words.append((word, "B-Drug" if kind == "drug" else "O"))
        made.append(Sentence(*zip(*words, strict=True)))
    return made


@pytest.fixture(scope="module")
def splits():
    return {"train": toy(300, 1), "devel": toy(60, 2), "test": toy(60, 3)}


@pytest.fixture(scope="module")
def tiny(tokenizer):
    return learner(tokenizer), tokenizer


def quick(**changes):
    from bioptimus_lib.tagger import NerSettings

    return NerSettings(**{"epochs": 6, "batch_tokens": 128, "learning_rate": 1e-2} | changes)


def test_a_tiny_model_learns_a_toy_set_the_same_way_twice(tiny, splits, tmp_path):
    import torch
    from safetensors.torch import load_file

    from bioptimus_lib.models import save_model
    from bioptimus_lib.ner import fine_tune, load_tagger

    weights = {name: value.clone() for name, value in tiny[0].state_dict().items()}
    torch.manual_seed(1)
    first = fine_tune(tiny, splits, settings=quick(), device="cpu", out=tmp_path / "out")
    assert first.metrics["f1"] > 90
    assert all(torch.equal(value, weights[n]) for n, value in tiny[0].state_dict().items())
    # another global state, and the model from a folder: the same numbers
    random.seed(99)
    np.random.seed(99)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    save_model(*tiny, tmp_path / "model")
    second = fine_tune(tmp_path / "model", splits, settings=quick(), device="cpu")
    assert torch.equal(torch.get_rng_state(), state)
    assert second.predictions == first.predictions and second.metrics == first.metrics
    assert [row["loss"] for row in second.devel] == [row["loss"] for row in first.devel]
    other = fine_tune(tiny, splits, settings=quick(seed=1, epochs=1), device="cpu")
    assert other.devel[0]["loss"] != first.devel[0]["loss"]
    # what was written
    lines = (tmp_path / "out" / "predictions.tsv").read_text().split("\n")
    assert [line.split("\t")[2] for line in lines if line] == [
        tag for tags in first.predictions for tag in tags
    ]
    written = json.loads((tmp_path / "out" / "result.json").read_text())
    assert written["metrics"] == first.metrics and written["epoch"] == first.epoch
    saved = load_file(tmp_path / "out" / "model" / "model.safetensors")
    trained = first.tagger.model.state_dict()
    assert all(torch.equal(value, trained[name]) for name, value in saved.items())
    again = load_tagger(tmp_path / "out" / "model", settings=quick())
    assert again.predict(splits["test"]) == first.predictions
    assert read_predictions(tmp_path / "out" / "predictions.tsv") == first.predictions


def test_the_best_epoch_is_kept(tiny, splits):
    from bioptimus_lib.ner import evaluate, fine_tune

    found = fine_tune(tiny, splits, settings=quick(epochs=4, learning_rate=2e-2), device="cpu")
    scores = [row["f1"] for row in found.devel]
    assert found.epoch == 1 + scores.index(max(scores))
    devel = found.tagger.predict(splits["devel"])
    assert evaluate(splits["devel"], devel)[0]["f1"] == found.metrics["devel_f1"] == max(scores)


def test_every_token_is_answered_and_every_entity_scored_in_small_windows(tiny, splits):
    from bioptimus_lib.ner import evaluate, fine_tune

    long = [
        Sentence(
            tuple(t for s in splits["test"] for t in s.tokens) + ("\x07",),
            tuple(t for s in splits["test"] for t in s.tags) + ("O",),
        )
    ]
    found = fine_tune(
        tiny, {**splits, "test": long}, settings=quick(epochs=4, max_length=16), device="cpu"
    )
    assert found.tagger.window == 16
    assert [len(tags) for tags in found.predictions] == [len(long[0])]
    assert found.types["Drug"]["gold"] + found.types["Gene"]["gold"] == len(entities(long[0].tags))
    assert found.report["test"]["windows"] > 10 and found.report["test"]["empty"] == 1
    whole = evaluate(splits["test"], found.tagger.predict(splits["test"]))[0]["f1"]
    assert abs(found.metrics["f1"] - whole) < 15  # the cuts cost little


def test_answers_do_not_depend_on_the_batch(tiny, splits):
    from bioptimus_lib.ner import fine_tune

    tagger = fine_tune(
        tiny, splits, settings=quick(epochs=1, precision="fp32"), device="cpu"
    ).tagger
    together = tagger.scores(tagger.encode(splits["test"]))
    alone = [tagger.scores(tagger.encode([s]))[0] for s in splits["test"]]
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_where_auto_means_32_bits_layers_go_by_onednn(tiny, splits, monkeypatch):
    from bioptimus_lib import onednn, tagger
    from bioptimus_lib.ner import fine_tune

    made = fine_tune(tiny, splits, settings=quick(epochs=1, precision="auto"), device="cpu").tagger
    asked, by_onednn = [], onednn.by_onednn

    def seen(model, *, precision):
        asked.append(precision)
        return by_onednn(model, precision=precision)

    monkeypatch.setattr(onednn, "by_onednn", seen)
    monkeypatch.setattr(tagger, "precision_for", lambda device, precision: "fp32")
    made.predict(splits["test"])
    assert asked == ["fp32"]


def test_groups_may_freeze_what_they_leave_out(tiny, splits):
    import torch

    from bioptimus_lib.ner import decay_groups, fine_tune

    def head_alone(model, settings):
        model.base_model.requires_grad_(False)
        return decay_groups(model, settings)

    found = fine_tune(
        tiny, splits, settings=quick(epochs=1), groups=head_alone, device="cpu"
    ).tagger.model
    for name, value in tiny[0].base_model.state_dict().items():
        assert torch.equal(value, found.base_model.state_dict()[name])


def test_weight_decay_spares_biases_and_norms(tiny):
    from bioptimus_lib.ner import classifier_on, decay_groups

    model, _ = classifier_on(tiny, TAGS, seed=0)
    groups = decay_groups(model, quick(weight_decay=0.1, head_learning_rate=1.0))
    assert sum(len(g["params"]) for g in groups) == len(list(model.parameters()))
    assert {g["lr"] for g in groups} == {1e-2, 1.0}
    assert {p.ndim for g in groups if not g["weight_decay"] for p in g["params"]} == {1}


def test_splits_that_do_not_fit_are_refused_before_any_work(splits, caplog):
    from bioptimus_lib.ner import fine_tune

    missing = {"train": splits["train"], "devel": splits["devel"]}
    other = [sentence("a/B-Other")]
    outside = [sentence("a/O")]
    for wrong, message in [
        (missing, "no sentence in test"),
        ({**splits, "devel": []}, "no sentence in devel"),
        ({**splits, "train": outside}, "train holds no entity"),
        ({**splits, "test": other}, "test has .'Other'.: none fits"),
    ]:
        with pytest.raises(ValueError, match=message):
            fine_tune("no-such-model", wrong)
    with pytest.raises(FileNotFoundError, match="no-such-model"):
        fine_tune("no-such-model", splits)
    with pytest.raises(FileNotFoundError):
        fine_tune("no-such-model", {**splits, "test": other + splits["test"]})
    assert "Other" in caplog.text  # a type that train lacks is said, and scored as missed


def test_a_loss_that_is_not_finite_stops(tiny, splits):
    from bioptimus_lib.ner import fine_tune

    with warnings.catch_warnings(), pytest.raises(FloatingPointError, match="learning rate"):
        warnings.simplefilter("ignore")
        fine_tune(tiny, splits, settings=quick(epochs=1, learning_rate=1e30, clip=1e30))


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"learning_rate": 0}, {"warmup": 2}, {"precision": "fp8"}, {"batching": "x"}],
)
def test_settings_are_checked(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        quick(**wrong)


def test_reading_needs_no_torch():
    import subprocess
    import sys

    code = "import sys, bioptimus_lib.ner, bioptimus_lib.stats, bioptimus_lib.ledger; "
    code += "sys.exit(bool({'torch', 'transformers', 'pandas', 'seqeval'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
