"""Pocket corpus: real terms, the same abstracts everywhere, and an NER set that needs the words."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioptimus_lib import pocket, pocket_grammar, pocket_ner
from bioptimus_lib.errors import DataError

# Terms of two classes: what a patient takes, and what the body makes or holds.
SHARED = {
    "adenosine", "albumin", "caffeine", "dopamine", "epinephrine", "glucagon", "insulin", "iron",
    "melatonin", "oxytocin", "progesterone", "testosterone", "vasopressin",
}  # fmt: skip
# A symbol that is also the usual name of the protein, and a sign that is also a diagnosis.
SAME_THING = {"cd19", "cd38", "mtor", "s100b", "stat3", "trpv1", "bradycardia"}


@pytest.fixture(scope="module")
def splits():
    return pocket_ner.ner_splits(seed=0)


@pytest.fixture(scope="module")
def some():
    return list(pocket.abstracts(2000, seed=11))


def mentions(tokens, tags):
    """(surface, type) of each entity, by strict IOB2."""
    found = []
    for token, tag in zip(tokens, tags, strict=True):
        if tag.startswith("B-"):
            found.append(([token.casefold()], tag[2:]))
        elif tag != "O":
            found[-1][0].append(token.casefold())
    return [(tuple(words), kind) for words, kind in found]


# --- lexicons ------------------------------------------------------------------------------------


def test_enough_terms_and_classes():
    counts = pocket.statistics()
    assert len(counts) >= 8
    assert sum(counts.values()) >= 6000
    assert all(count >= 150 for count in counts.values()), counts


@pytest.mark.parametrize("name", pocket.LEXICONS)
def test_no_term_twice_in_a_class(name):
    counts = Counter(term.casefold() for term in pocket.lexicon(name))
    assert [term for term, count in counts.items() if count > 1] == []


def test_terms_of_two_classes_are_the_listed_ones():
    sets = {n: {t.casefold() for t in pocket.lexicon(n)} for n in pocket_grammar.TERM_FILES}
    both = set().union(*(a & b for a, b in combinations(sets.values(), 2)))
    assert both == SHARED | SAME_THING


def test_the_words_of_the_course_are_there():
    assert {"bronchoconstriction", "bronchospasm"} <= set(pocket.lexicon("disease"))
    assert "β2-agonist bronchodilator" in pocket.lexicon("drug_class")
    assert {"CAT", "REST", "MAX", "IMPACT"} <= set(pocket.lexicon("gene"))


def test_unknown_lexicon_is_named():
    with pytest.raises(ValueError, match="unknown lexicon 'drugs'.*drug"):
        pocket.lexicon("drugs")


def test_every_fact_points_to_a_term():
    known = set().union(*(pocket.lexicon(name) for name in pocket.LEXICONS))
    for disease, cells in pocket_grammar.rows("link.tsv"):
        assert disease in pocket.lexicon("disease")
        assert [term for term in cells.split("; ") if term not in known] == []
    for group in pocket_grammar.drug_groups().values():
        assert group.target in pocket.lexicon("gene"), group.name
        assert set(group.fields) <= set(pocket_grammar.fields()), group.name
        assert len(group.drugs.items) >= 2, group.name


# --- language ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "readings"),
    [
        ("plain.", ["plain."]),
        ("<a|b> c<| d>.", ["a c.", "a c d.", "b c.", "b c d."]),
        ("<a <b|c>|d>", ["a b", "a c", "d"]),
        ("in <vitro|> .", ["in vitro.", "in."]),
    ],
)
def test_expand(template, readings):
    assert sorted(pocket_grammar.expand(template)) == sorted(readings)


def test_at_least_150_sentence_templates():
    lines = [
        line
        for section in pocket_grammar.sections("templates.txt")
        if not section.header.startswith("title")
        for line in section.lines
    ]
    assert len(set(lines)) == len(lines) >= 200


def test_a_template_without_header_is_an_error_with_its_line(tmp_path, monkeypatch):
    (tmp_path / "pocket").mkdir()
    (tmp_path / "pocket" / "x.txt").write_text("# note\nlost\n", encoding="utf-8")
    monkeypatch.setattr(pocket_grammar, "data_dir", lambda: tmp_path)
    with pytest.raises(DataError, match=r"x\.txt:2: .*'lost'"):
        list(pocket_grammar.sections("x.txt"))


def test_every_slot_of_every_template_can_be_filled():
    rng = random.Random(0)
    profile = pocket_grammar.profiles()["viral"][0]
    for templates in pocket_grammar.templates("templates.txt").values():
        for variant in (variant for variants in templates for variant in variants):
            assert pocket._render(variant, pocket._Scene(rng, profile, "trial"))


def test_ratios_agree_with_their_intervals():
    pools = pocket_grammar.number_pools()
    for name in ("hr_low", "hr_high", "or_high", "rr"):
        for text in pools[name]:
            value, low, high = map(float, re.findall(r"\d+\.\d\d(?!\d)", text)[:3])
            assert low <= value <= high
            assert high <= 1 if name in ("hr_low", "rr") else low >= 1


# --- abstracts -----------------------------------------------------------------------------------


def test_text_reads_clean(some):
    for sentence in (sentence for abstract in some for sentence in abstract.sentences):
        assert not re.search(r"[{}\[\]|\n\t]|  | [.,;:)]|\( |<(?! 0\.0)|\.\.", sentence), sentence
        assert not re.search(r"\b(?:a [aeio]|an [bcdfgjkpqtvwyz])[a-z]", sentence), sentence
        assert sentence.endswith(".")
        assert not re.match(r"[a-z]{3,}\b", sentence), sentence


def test_language_is_rich(some):
    text = "\n".join(sentence for abstract in some for sentence in abstract.sentences)
    for pattern in ("TNF-α", "β-blocker", "µM", "mg/kg", "P < 0.001", "95% CI", "± ", r"E\. coli"):
        assert re.search(pattern, text), pattern
    assert re.search(r"chronic obstructive pulmonary disease \(COPD\)", text, re.IGNORECASE)
    assert len(set(text.split())) > 8000
    assert [label for label, _ in some[0].sections] == list(pocket.PLAN)


def test_an_abbreviation_is_announced_once_and_before_its_use(some):
    checked = 0
    for abstract in some:
        body = " ".join(sentence for _, part in abstract.sections for sentence in part)
        announced = re.search(r"chronic kidney disease \(CKD\)", body, re.IGNORECASE)
        if announced:
            assert body.count("(CKD)") == 1
            assert "CKD" not in body[: announced.start()]
            checked += 1
    assert checked > 3


def test_context_tells_the_class(some):
    """A statin stands with the fields of statins, not with any field."""
    statins = set(pocket_grammar.drug_groups()["statin"].drugs.items)
    near = Counter()
    for abstract in some:
        text = " ".join(abstract.sentences)
        if statins & set(re.findall(r"\w+", text.casefold())):
            near["lipid"] += "cholester" in text or "coronary" in text or "lipid" in text
            near["malaria"] += "malaria" in text
    assert near["lipid"] > 10 * max(1, near["malaria"])


def test_same_seed_same_text_whatever_the_global_state():
    first = list(pocket.abstracts(20, seed=5))
    random.seed(123)
    random.random()
    assert list(pocket.abstracts(20, seed=5)) == first
    assert list(pocket.abstracts(20, seed=6)) != first


@settings(max_examples=20)
@given(seed=st.integers(0, 10**9), start=st.integers(0, 10**6), n=st.integers(1, 4))
def test_abstract_i_does_not_depend_on_start(seed, start, n):
    alone = next(pocket.abstracts(1, seed=seed, start=start + n - 1))
    assert list(pocket.abstracts(n, seed=seed, start=start))[-1] == alone
    assert alone.id == f"pocket-{seed}-{start + n - 1}"


@pytest.mark.parametrize("arguments", [{"n": -1}, {"n": 1, "start": -1}])
def test_negative_counts_are_refused_at_once(arguments):
    with pytest.raises(ValueError, match="must not be negative"):
        pocket.abstracts(**arguments)


def test_speed_two_megabytes_per_second():
    list(pocket.abstracts(50))
    best = 0.0
    for attempt in range(5):
        start = time.process_time()  # other programs on the machine do not count
        size = sum(len(s) for a in pocket.abstracts(800, seed=attempt) for s in a.sentences)
        best = max(best, size / (time.process_time() - start) / pocket.MEGABYTE)
        if best > 2:
            return
    pytest.fail(f"{best:.1f} MB/s, expected at least 2")


# --- files ---------------------------------------------------------------------------------------


def test_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(pocket, "SHARD_MEGABYTES", 0.1)
    paths = pocket.write_corpus(tmp_path / "corpus", megabytes=0.25, seed=3)
    assert [path.name for path in paths] == ["pocket-000.txt", "pocket-001.txt", "pocket-002.txt"]
    assert sorted((tmp_path / "corpus").iterdir()) == paths
    assert [entry.name for entry in tmp_path.iterdir()] == ["corpus"]
    data = b"".join(path.read_bytes() for path in paths)
    assert 250_000 <= len(data) < 254_000 + 2 * 4_000
    documents = data.decode("utf-8").split("\n\n")
    assert documents.pop() == ""
    expected = pocket.abstracts(len(documents), seed=3)
    assert documents == ["\n".join(abstract.sentences) for abstract in expected]


def test_one_file_is_the_same_text_as_shards(tmp_path):
    (one,) = pocket.write_corpus(tmp_path / "one.txt", megabytes=0.05, seed=2)
    (shard,) = pocket.write_corpus(tmp_path / "many", megabytes=0.05, seed=2)
    assert one.read_bytes() == shard.read_bytes()
    assert 50_000 <= one.stat().st_size < 54_000


def test_writing_again_replaces_shards_but_never_other_files(tmp_path):
    folder = tmp_path / "corpus"
    pocket.write_corpus(folder, megabytes=0.02, seed=1)
    (path,) = pocket.write_corpus(folder, megabytes=0.01, seed=4)
    assert path.read_text(encoding="utf-8").startswith(next(pocket.abstracts(1, seed=4)).title)
    (folder / "notes.md").write_text("mine")
    with pytest.raises(ValueError, match=r"notes\.md"):
        pocket.write_corpus(folder, megabytes=0.01)
    assert (folder / "notes.md").read_text() == "mine"


@pytest.mark.parametrize("megabytes", [0, -1, float("nan")])
def test_size_must_be_positive(tmp_path, megabytes):
    with pytest.raises(ValueError, match="must be positive"):
        pocket.write_corpus(tmp_path / "corpus", megabytes=megabytes)
    assert list(tmp_path.iterdir()) == []


# --- NER set -------------------------------------------------------------------------------------


def test_sizes_and_strict_iob2(splits):
    assert {name: len(part) for name, part in splits.items()} == {
        "train": 1000, "devel": 300, "test": 600,
    }  # fmt: skip
    for tokens, tags in (pair for part in splits.values() for pair in part):
        assert len(tokens) == len(tags) > 0
        before = "O"
        for tag in tags:
            assert re.fullmatch(r"O|[BI]-(Drug|Disease|Gene)", tag)
            assert not tag.startswith("I-") or before[2:] == tag[2:]
            before = tag


def test_tokens_are_words_or_single_marks(splits):
    for tokens, _ in splits["train"]:
        assert all(re.fullmatch(r"\w+|[^\w\s]", token) for token in tokens), tokens


def test_splits_share_no_sentence(splits):
    sets = {n: {tuple(t.casefold() for t in s[0]) for s in part} for n, part in splits.items()}
    for a, b in combinations(sets.values(), 2):
        assert not a & b
    assert all(len(sets[name]) == len(splits[name]) for name in sets)


@pytest.mark.parametrize("seed", range(4))
def test_unseen_share_of_test_and_devel(seed):
    parts = pocket_ner.ner_splits(seed=seed)
    seen = {s for sentence in parts["train"] for s, _ in mentions(*sentence)}
    for name in ("devel", "test"):
        found = [surface for sentence in parts[name] for surface, _ in mentions(*sentence)]
        assert 0.40 <= sum(surface not in seen for surface in found) / len(found) <= 0.85


def test_all_types_and_empty_sentences_occur(splits):
    for part in splits.values():
        counts = Counter(kind for sentence in part for _, kind in mentions(*sentence))
        assert min(counts[kind] for kind in ("Drug", "Disease", "Gene")) > 0.1 * counts.total()
        assert 0.1 < sum(set(tags) == {"O"} for _, tags in part) / len(part) < 0.6


def test_some_words_are_entities_only_by_context(splits):
    for part in splits.values():
        roles: dict[str, set[str]] = {}
        for tokens, tags in part:
            for token, tag in zip(tokens, tags, strict=True):
                roles.setdefault(token.casefold(), set()).add("O" if tag == "O" else "entity")
        words = [w.casefold() for w in pocket_ner.SplitTerms(0).words if " " not in w]
        assert sum(roles.get(word, set()) == {"O", "entity"} for word in words) >= 10


def test_a_dictionary_of_training_mentions_is_not_enough(splits):
    plain = Counter(
        token.casefold()
        for tokens, tags in splits["train"]
        for token, tag in zip(tokens, tags, strict=True)
        if tag == "O"
    )
    known: dict[tuple[str, ...], Counter] = {}
    for sentence in splits["train"]:
        for surface, kind in mentions(*sentence):
            known.setdefault(surface, Counter())[kind] += 1
    known = {s: c for s, c in known.items() if len(s) > 1 or plain[s[0]] <= c.total()}
    right = predicted = gold = 0
    for tokens, tags in splits["test"]:
        words, found, i = [token.casefold() for token in tokens], Counter(), 0
        while i < len(words):
            for j in range(min(len(words), i + 8), i, -1):
                if tuple(words[i:j]) in known:
                    surface = tuple(words[i:j])
                    found[surface, known[surface].most_common(1)[0][0]] += 1
                    i = j
                    break
            else:
                i += 1
        true = Counter(mentions(tokens, tags))
        right += (found & true).total()
        predicted += found.total()
        gold += true.total()
    f1 = 2 * right / (predicted + gold)
    assert 0.15 < f1 < 0.60


def test_held_out_test_terms_stand_in_the_corpus(splits):
    seen = {s for sentence in splits["train"] for s, _ in mentions(*sentence)}
    unseen = {s for sentence in splits["test"] for s, _ in mentions(*sentence)} - seen
    text = " " + " ".join(
        token.casefold()
        for abstract in pocket.abstracts(5000, seed=0)
        for sentence in abstract.sentences
        for token in pocket_ner.tokenise(sentence)
    )
    missing = [s for s in unseen if f" {' '.join(s)} " not in text]
    assert len(missing) <= 0.05 * len(unseen), missing


def test_ner_is_deterministic():
    sizes = {"train": 30, "devel": 10, "test": 10}
    first = pocket_ner.ner_splits(seed=9, **sizes)
    random.seed(4)
    assert pocket_ner.ner_splits(seed=9, **sizes) == first
    assert pocket_ner.ner_splits(seed=8, **sizes) != first


def test_negative_ner_size_is_refused():
    with pytest.raises(ValueError, match="devel must not be negative"):
        pocket_ner.ner_splits(devel=-1)


def test_write_ner(tmp_path):
    paths = pocket_ner.write_ner(tmp_path / "ner", seed=1, train=40, devel=10, test=10)
    assert [path.name for path in paths.values()] == ["train.tsv", "devel.tsv", "test.tsv"]
    blocks = paths["train"].read_text(encoding="utf-8").split("\n\n")
    assert blocks.pop() == ""
    read = [
        list(map(list, zip(*(r.split("\t") for r in b.split("\n")), strict=True))) for b in blocks
    ]
    expected = pocket_ner.ner_splits(seed=1, train=40, devel=10, test=10)["train"]
    assert [tuple(pair) for pair in read] == expected
