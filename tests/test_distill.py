"""Distillation: what is kept to the bit, what is read where, and what the calibration gains."""

from __future__ import annotations

import dataclasses
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers.normalizers import BertNormalizer, Replace

torch = pytest.importorskip("torch")

from bioptimus_lib.calibration import Contrast, fit_ridge, sharpen, token_recovery  # noqa: E402
from bioptimus_lib.crops import Request, Span  # noqa: E402
from bioptimus_lib.cutting import Cutter  # noqa: E402
from bioptimus_lib.distill import STRATEGIES, distill, new_bias  # noqa: E402
from bioptimus_lib.occurrences import read_states  # noqa: E402
from bioptimus_lib.strategies import Evidence, Known  # noqa: E402
from bioptimus_lib.vocab import SPECIAL_PIECES, bert_tokenizer, plan_vocabulary  # noqa: E402
from bioptimus_lib.wanted import known_tokens, new_tokens  # noqa: E402

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WINDOW = 32
#: Any character, and often one that BERT's normaliser or Python's ``split`` treats in its own way.
ANYTHING = st.characters(exclude_categories=["Cs"]) | st.sampled_from(
    "a .,-±Σσé\u0301\u0323ﬁ癌\x1c\x85\xa0\u00ad\u2003\u200b\u3000\t\n"
)
#: Known words of the old vocabulary, and words that are new to it.
KNOWN = [a + b + c for a in ("ba", "ko", "ri") for b in ("den", "lum", "tos") for c in ("ax", "ir")]
NEW = ["bronchitis", "nephritis", "gastrectomy", "nephrectomy"]


def tokenizers():
    """Old: letters, known words, some pieces. New: the same letters, other words and pieces."""
    letters = [*LETTERS, ".", ",", *("##" + letter for letter in LETTERS)]
    both = [*SPECIAL_PIECES, *letters]
    old = [*both, *KNOWN, "bron", "nep", "gas", "##chi", "##tis", "##rec", "##tomy"]
    new = [*both, *KNOWN[:9], "bronchitis", "nephr", "gastr", "##ectomy", "##itis", "neverseen"]
    new += [a + b for a in "xyz" for b in "qw"][: len(old) - len(new)]
    assert len(new) <= len(old)
    return (bert_tokenizer(pieces, max_length=WINDOW) for pieces in (old, new))


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def house():
    """(model, old tokenizer, plan, contexts), all random from fixed seeds."""
    from transformers import BertConfig, BertForMaskedLM

    old, new = tokenizers()
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(old), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=WINDOW,
    )
    model = BertForMaskedLM(config)
    with torch.no_grad():
        model.get_output_embeddings().bias.normal_()
        model.get_input_embeddings().weight.mul_(10)
    counts = {word: 100 - i for i, word in enumerate([*NEW, *KNOWN])}
    plan = plan_vocabulary(old, new, counts)
    return model, old, plan, sentences([*NEW, *KNOWN])


def sentences(words, each=3, seed=5):
    """word → sentences that hold it, made of random words."""
    draw = random.Random(seed)
    found = {word: [] for word in words}
    for word in words:
        for _ in range(each):
            rest = draw.choices([*KNOWN, *NEW, "of", "the", "Ünd"], k=draw.randint(2, 5))
            rest.insert(draw.randint(0, len(rest)), word.title())
            found[word].append(" ".join(rest) + ".")
    return found


def run(house, **settings):
    model, old, plan, contexts = house
    return distill(model, old, plan, contexts, **({"precision": "fp32", "strategy": "contextual"}
                                                  | settings))


def rows_of(model):
    return model.get_input_embeddings().weight.detach()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_shared_rows_keep_their_bits_and_the_output_stays_tied(house, strategy):
    model, old, plan, _ = house
    before = {name: value.clone() for name, value in model.state_dict().items()}
    done = run(house, strategy=strategy)
    new_table, old_table = rows_of(done.model), rows_of(model)
    assert new_table.shape == (len(plan.new_pieces), 32) and plan.new
    for new_id, old_id in plan.shared.items():
        assert torch.equal(new_table[new_id], old_table[old_id])
        assert done.tokenizer.convert_ids_to_tokens(new_id) == old.convert_ids_to_tokens(old_id)
    assert done.model.get_output_embeddings().weight is done.model.get_input_embeddings().weight
    assert done.model.config.vocab_size == len(plan.new_pieces) == len(done.tokenizer)
    # Everything but the vocabulary is the same, and the old model is as it was.
    after = done.model.state_dict()
    for name, value in before.items():
        assert torch.equal(value, model.state_dict()[name])
        if not any(part in name for part in ("word_embeddings", "decoder", "predictions.bias")):
            assert torch.equal(value, after[name])


def test_the_bias_is_reindexed_and_follows_frequency_for_new_tokens(house):
    model, _, plan, _ = house
    old_bias = model.get_output_embeddings().bias.detach()
    bias = run(house, strategy="random").model.get_output_embeddings().bias.detach()
    for new_id, old_id in plan.shared.items():
        assert bias[new_id] == old_bias[old_id]
    assert torch.allclose(bias[list(plan.new)], new_bias(plan, old_bias)[list(plan.new)].float())
    # Where the old biases are a line in log frequency, the new ones lie on that line.
    frequency = tuple(range(10, 10 + len(plan.new_pieces)))
    line = torch.zeros(len(plan.old_pieces))
    for new_id, old_id in plan.shared.items():
        line[old_id] = 2.0 * torch.tensor(frequency[new_id] + 1.0).log() - 3
    expected = 2.0 * (torch.tensor(frequency) + 1.0).log() - 3
    found = new_bias(dataclasses.replace(plan, frequency=frequency), line)
    assert torch.allclose(found.float(), expected, atol=1e-4)


def one_at_a_time(model, old, plan, contexts, layer):
    """The plain way: each sentence alone through the whole model, Hugging Face tokenisation."""
    new = plan.new_tokenizer()
    sums = {token: [] for token in plan.new}
    for word in plan.keywords():
        pieces = new(word, add_special_tokens=False, return_offsets_mapping=True)
        for sentence in contexts[word]:
            coded = old(sentence, return_offsets_mapping=True, return_tensors="pt")
            start = sentence.lower().index(word)
            offsets = coded.pop("offset_mapping")[0].tolist()
            with torch.no_grad():
                states = model.eval()(**coded, output_hidden_states=True).hidden_states[layer][0]
            for token, (first, end) in zip(
                pieces["input_ids"], pieces["offset_mapping"], strict=True
            ):
                if token in sums:
                    over = [i for i, (a, b) in enumerate(offsets)
                            if a < start + end and b > start + first and b > a]
                    sums[token].append(states[over].mean(0))
    return {token: torch.stack(some).mean(0) for token, some in sums.items() if some}


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("batch_tokens", [1, 64, 4096])
def test_states_equal_one_sentence_at_a_time(house, layer, batch_tokens):
    model, old, plan, contexts = house
    done = run(house, layer=layer, batch_tokens=batch_tokens)
    expected = one_at_a_time(model, old, plan, contexts, layer)
    assert len(expected) == 5  # bronchitis, nephr, gastr, ##ectomy, ##itis
    for token, row in expected.items():
        error = (rows_of(done.model)[token] - row).norm() / row.norm()
        assert error < 1e-4, plan.new_pieces[token]
    assert done.report["with_contexts"] == 5
    assert done.report["fallbacks"] == len(plan.new) - 5
    assert done.report["layers"] == [layer]


def test_each_sentence_is_encoded_once(house):
    model, old, plan, _ = house
    both = "The bronchitis of baldenax, and a nephrectomy."
    contexts = {"bronchitis": [both], "nephrectomy": [both]}
    report = distill(model, old, plan, contexts, strategy="contextual", layer=1).report
    assert (report["sentences"], report["contexts"]) == (1, 2)


def test_tokens_without_a_context_fall_back_to_their_pieces_and_are_counted(house):
    model, old, plan, contexts = house
    fewer = {word: some for word, some in contexts.items() if word != "bronchitis"}
    done = distill(model, old, plan, fewer, strategy="contextual", layer=1)
    token = plan.new_pieces.index("bronchitis")
    ids = old.convert_tokens_to_ids(["bron", "##chi", "##tis"])
    assert torch.allclose(rows_of(done.model)[token], rows_of(model)[ids].mean(0))
    unseen = plan.new_pieces.index("neverseen")
    letters = old.convert_tokens_to_ids(["n", *("##" + letter for letter in "everseen")])
    assert torch.allclose(rows_of(done.model)[unseen], rows_of(model)[letters].mean(0))
    assert done.report["fallbacks"] == run(house, layer=1).report["fallbacks"] + 1


def test_long_sentences_are_cropped_around_the_word_and_counted(house):
    model, old, plan, _ = house
    filler = " ".join(["of"] * 40)  # two pieces each
    contexts = {"bronchitis": [f"{filler} bronchitis {filler}"], "nephrectomy": ["x nephrectomy"]}
    done = distill(model, old, plan, contexts, strategy="contextual", layer=2, precision="fp32")
    assert (done.report["cropped"], done.report["too_long"]) == (1, 0)
    # 30 pieces of room: three of the word, then 13 words of two pieces, the left one first.
    crop = " ".join(["of"] * 6) + " bronchitis " + " ".join(["of"] * 7)
    same = distill(model, old, plan, {**contexts, "bronchitis": [crop]}, strategy="contextual",
                   layer=2, precision="fp32")
    assert same.report["cropped"] == 0
    assert torch.allclose(rows_of(done.model), rows_of(same.model), atol=1e-5)


def test_a_word_longer_than_the_window_falls_back(house):
    model, old, plan, contexts = house
    report = distill(
        model, old, plan, {"bronchitis": contexts["bronchitis"], "nephrectomy": ["nephrectomy"]},
        strategy="contextual", layer=1, window=4,
    ).report
    assert report["too_long"] > 0 and report["with_contexts"] == 0
    assert report["fallbacks"] == len(plan.new)


def test_a_sentence_without_the_word_is_counted_not_read(house):
    model, old, plan, _ = house
    contexts = {"bronchitis": ["nothing of it"], "gastrectomy": ["gastrectomy."]}
    report = distill(model, old, plan, contexts, strategy="contextual", layer=1).report
    assert (report["absent"], report["contexts"]) == (1, 1)


@pytest.mark.parametrize("strategy", ["random", "calibrated"])
def test_same_seed_same_bits_whatever_the_order_or_the_global_state(house, strategy):
    model, old, plan, contexts = house
    first = run(house, strategy=strategy, seed=7)
    torch.manual_seed(99)
    random.seed(99)
    backwards = dict(reversed(list(contexts.items())))
    again = distill(model, old, plan, backwards, strategy=strategy, seed=7, precision="fp32")
    assert torch.equal(rows_of(first.model), rows_of(again.model))
    assert first.report | {"seconds": 0} == again.report | {"seconds": 0}
    if strategy == "random":
        other = run(house, strategy=strategy, seed=8)
        assert not torch.equal(rows_of(first.model), rows_of(other.model))


def test_the_model_is_left_whole_after_a_shortened_pass(house):
    model, *_ = house
    model.train()
    run(house, layer=1)
    assert len(model.bert.encoder.layer) == 2 and model.training
    model.eval()


def broken(house, **changes):
    parts = dict(zip(("model", "old", "plan", "contexts"), house, strict=True)) | changes
    return parts["model"], parts["old"], parts["plan"], parts["contexts"]


def test_bad_input_is_refused(house):
    import copy

    model, old, plan, contexts = house
    with pytest.raises(ValueError, match="unknown: choose one of"):
        run(house, strategy="magic")
    with pytest.raises(ValueError, match="layers 0 to 2"):
        run(house, layer=3)
    with pytest.raises(ValueError, match="window"):
        run(house, window=500)
    with pytest.raises(ValueError, match="scan for plan.keywords"):
        run(broken(house, contexts={}))
    with pytest.raises(ValueError, match="calibration_words"):
        run(broken(house, contexts={word: contexts[word] for word in NEW}), strategy="calibrated")
    other, _ = tokenizers()
    other = bert_tokenizer([*old.convert_ids_to_tokens(range(len(old)))[:-1], "other"])
    with pytest.raises(ValueError, match="for another model"):
        run(broken(house, old=other))
    sick = copy.deepcopy(model)
    with torch.no_grad():
        sick.bert.encoder.layer[1].output.dense.weight[0, 0] = float("nan")
    with pytest.raises(ValueError, match="NaN"):
        run(broken(house, model=sick))
    small = copy.deepcopy(model)
    small.resize_token_embeddings(40)
    with pytest.raises(ValueError, match="for another model"):
        run(broken(house, model=small))


def test_own_cutting_equals_the_tokenizer(house):
    _, old, _, contexts = house
    cutter = Cutter(old)
    texts = [sentence for some in contexts.values() for sentence in some]
    for text in [*texts, "Ünd, él 7 baldenax!", "x" * 101, ""]:
        ids = [piece.id for word in cutter.words(text) for piece in cutter.cut(word)]
        assert ids == old(text, add_special_tokens=False)["input_ids"]


@given(st.lists(ANYTHING, max_size=12).map("".join), st.booleans())
def test_cutting_between_spaces_equals_cutting_the_whole_text(text, lower):
    tokenizer = next(tokenizers())
    backend = tokenizer.backend_tokenizer
    backend.normalizer = BertNormalizer(lowercase=lower)
    normal = backend.normalizer.normalize_str(text)
    words = [word for word, _ in backend.pre_tokenizer.pre_tokenize_str(normal)]
    assert Cutter(tokenizer).words(text) == words


def test_another_normaliser_sees_the_whole_text():
    tokenizer = next(tokenizers())
    tokenizer.backend_tokenizer.normalizer = Replace("in vitro", "invitro")
    assert Cutter(tokenizer).words("seen in vitro") == ["seen", "invitro"]


def test_known_tokens_are_read_as_if_they_were_new(house):
    _, old, _, contexts = house
    cutter = Cutter(old)
    known = known_tokens(old, cutter, contexts, limit=100)
    names = old.convert_ids_to_tokens(known.ids)
    assert names == [*sorted(KNOWN, key=old.convert_tokens_to_ids), "##chi", "##tis", "##rec",
                     "##tomy"]
    assert known.inside == [False] * len(KNOWN) + [True] * 4
    for token, name, words in zip(known.ids, names, known.pieces, strict=True):
        for pieces in words:
            assert token not in pieces and old.unk_token_id not in pieces
            letters = "".join(p.removeprefix("##") for p in old.convert_ids_to_tokens(pieces))
            assert letters == name.removeprefix("##")
    for requests in known.requests.values():
        for request in requests:
            (span,) = request.spans
            assert request.off == known.ids[span.slot]
    assert len(known_tokens(old, cutter, contexts, limit=4).ids) == 6


def test_pieces_get_the_contexts_of_their_words(house):
    _, old, plan, contexts = house
    wanted = new_tokens(plan, Cutter(plan.new_tokenizer()), Cutter(old), contexts)
    slot = wanted.ids.index(plan.new_pieces.index("##ectomy"))
    # gas ##t ##rec ##tomy and nep ##h ##rec ##tomy: the r before the new piece is read with it.
    assert [old.convert_ids_to_tokens(some) for some in wanted.pieces[slot]] == [
        ["##rec", "##tomy"], ["##rec", "##tomy"]
    ]
    asked = {request.word for some in wanted.requests.values() for request in some
             if any(span.slot == slot for span in request.spans)}
    assert asked == {"gastrectomy", "nephrectomy"}


def test_ridge_leaves_one_out_without_a_second_fit():
    generator = torch.Generator().manual_seed(0)
    for rows, columns in ((40, 6), (12, 30)):
        x = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
        y = x[:, :3] @ torch.randn(3, 4, generator=generator, dtype=torch.float64) + 1
        fitted = fit_ridge(x, y, strengths=[2.0])
        center, scale = x.mean(0), x.std(0)
        for i in range(rows):  # the same standardisation, all rows but one
            keep = [j for j in range(rows) if j != i]
            unit = torch.cat([torch.ones(rows, 1).double(), (x - center) / scale], 1)
            penalty = 2.0 * torch.eye(columns + 1).double()
            penalty[0, 0] = 0
            weights = torch.linalg.solve(unit[keep].T @ unit[keep] + penalty,
                                         unit[keep].T @ y[keep])
            assert torch.allclose(fitted.held_out[i], unit[i] @ weights, atol=1e-8)
    with pytest.raises(ValueError, match="NaN"):
        fit_ridge(x * float("nan"), y)


def test_recovery_of_exact_rows_is_perfect_and_of_noise_is_not():
    table = torch.randn(500, 16, generator=torch.Generator().manual_seed(0))
    ids = torch.arange(0, 500, 5)
    exact = token_recovery(table[ids] * 3, ids, table)
    assert (exact["top1"], exact["mrr"], exact["cos"], exact["tokens"]) == (1, 1, 1, 100)
    noise = token_recovery(torch.randn(100, 16, generator=torch.Generator().manual_seed(1)), ids,
                           table)
    assert noise["mrr"] < 0.1 and noise["error"] > 1
    for nothing in (torch.zeros(100, 16), torch.full((100, 16), torch.nan)):
        assert token_recovery(nothing, ids, table)["mrr"] == pytest.approx(1 / 500), "all the same"


def test_calibration_recovers_what_raw_states_do_not():
    """States are the true rows, rotated, stretched and shifted far away, with some noise."""
    draw = torch.Generator().manual_seed(0)
    table = torch.randn(900, 24, generator=draw)
    ids = torch.randperm(900, generator=draw)[:600]
    spoil = torch.randn(24, 24, generator=draw)
    states = table[ids] @ spoil + 20 + 0.3 * torch.randn(600, 24, generator=draw)
    evidence = Evidence(
        pieces=torch.randn(600, 24, generator=draw), states=states[:, None],
        count=torch.ones(600, dtype=torch.int64), inside=torch.zeros(600, dtype=torch.bool),
        layers=(1,),
    )
    known = Known(evidence, ids)
    fit, test = torch.arange(400), torch.arange(400, 600)
    scores = {
        name: token_recovery(
            STRATEGIES[name].rows(evidence[test], known[fit], table, draw), ids[test], table
        )
        for name in STRATEGIES
    }
    assert scores["calibrated"]["mrr"] > 0.9 and scores["calibrated"]["error"] < 0.2
    assert scores["calibrated_contrastive"]["mrr"] > 0.9
    for name in (name for name in STRATEGIES if not STRATEGIES[name].calibrates):
        assert scores[name]["mrr"] < 0.2, name


def crowded(words=400, loud=4):
    """(states, ids, table) whose rows differ little where states tell much, and much where they
    tell nothing: least squares hides the small differences that tell rows apart."""
    draw = torch.Generator().manual_seed(0)
    table = torch.randn(words, 16, generator=draw)
    table[:, :loud] *= 5
    states = table.clone()
    states[:, :loud] = 0.1 * table[:, :loud] + torch.randn(words, loud, generator=draw)
    return states, torch.arange(words), table


def fitted(passes, *, seed=1, **changes):
    states, ids, table = crowded()
    draw = torch.Generator().manual_seed(seed)
    settings = Contrast(passes=passes, batch=64, others=256, **changes)
    some = slice(0, 300)
    linear, scores = sharpen(states[some], ids[some], table, draw, contrast=settings)
    return linear, scores, token_recovery(linear(states[300:]).float(), ids[300:], table)


def test_contrast_ranks_true_rows_higher_than_least_squares():
    _, scores, plain = fitted(0)
    linear, trained_scores, trained = fitted(8)
    assert len(scores) == 1 and len(trained_scores) == 9
    assert trained_scores[0] == scores[0], "the first is the regression as it is"
    assert max(trained_scores) > scores[0] + 0.05 and trained["mrr"] > plain["mrr"] + 0.05
    again, *_ = fitted(8)
    torch.testing.assert_close(linear.weights, again.weights, rtol=0, atol=0)


def test_contrast_leaves_the_regression_alone_where_it_does_not_help():
    states, ids, table = crowded()
    _, scores, _ = fitted(3, learning_rate=30.0)
    assert scores[0] == max(scores), "a rate that spoils everything"
    linear, *_ = fitted(3, learning_rate=30.0)
    ridge = fit_ridge(states[:300], table[ids[:300]])
    torch.testing.assert_close(linear.weights, ridge.weights)
    torch.testing.assert_close(linear(states), ridge(states))


def test_contrast_keeps_the_length_of_true_rows():
    states, ids, table = crowded()
    linear, scores, _ = fitted(8)
    assert scores.index(max(scores)) > 0
    made, truth = linear(states[:300]), table[:300].double()
    best = (made * truth).sum() / made.square().sum()
    assert abs(best - 1) < 1e-6, "no other length of all rows has a smaller error"


def test_a_true_row_that_is_drawn_does_not_push_itself_away():
    """A table of one row: its only competitor is itself, so nothing is learnt."""
    states = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    ids, table = torch.zeros(40, dtype=torch.int64), torch.ones(1, 4)
    linear, scores = sharpen(
        states, ids, table, torch.Generator(), contrast=Contrast(passes=2, batch=1, others=8)
    )
    assert scores == [1.0, 1.0, 1.0]
    assert torch.isfinite(linear.weights).all()


def test_spread_fills_what_a_regression_leaves_and_no_more():
    generator = torch.Generator().manual_seed(2)
    draw = lambda *shape: torch.randn(shape, generator=generator)  # noqa: E731
    table, ids = draw(600, 8), torch.arange(400)

    def made(name, states):
        outside = torch.zeros(400, dtype=torch.bool)
        count = torch.ones(400, dtype=torch.int64)
        evidence = Evidence(draw(400, 8), states[:, None], count, outside, (1,))
        known = Known(evidence, ids)
        return STRATEGIES[name].rows(evidence, known, table, generator)

    def spread(rows):
        return (rows - rows.mean(0)).square().mean()

    noise = draw(400, 8)  # says nothing of the rows
    assert spread(made("calibrated", noise)) < 0.1 * spread(table[ids])
    assert spread(made("calibrated_spread", noise)) > 0.8 * spread(table[ids])
    torch.testing.assert_close(
        made("calibrated_spread", table[ids]), table[ids], atol=0.15, rtol=0
    )


def test_memory_holds_sums_not_sentences(house):
    model, old, *_ = house
    requests = {f"of {word} the {word}": [Request(word, (Span(0, 0, len(word)),))]
                for word in KNOWN}
    states = read_states(model, old, requests, slots=1, layers=[1, 2])
    assert states.mean.shape == (1, 2, 32) and states.count.tolist() == [len(KNOWN)]


def test_a_word_that_the_old_vocabulary_cannot_read_tells_nothing():
    """One odd character makes ``[UNK]`` of a word to WordPiece: its tokens are not made of that."""
    letters = [*LETTERS, *("##" + c for c in LETTERS)]
    old = bert_tokenizer([*SPECIAL_PIECES, *letters, "neph", "##itis"])
    new = bert_tokenizer([*SPECIAL_PIECES, *letters, "nephritis", "gastritis", "##\u2212"])
    odd, plain = "nephritis\u2212", "gastritis"
    plan = plan_vocabulary(old, new, {odd: 9, plain: 5})
    contexts = {odd: [f"the {odd}"], plain: [f"a {plain}"]}
    wanted = new_tokens(plan, Cutter(plan.new_tokenizer()), Cutter(old), contexts)
    made = dict(zip((plan.new_pieces[i] for i in wanted.ids), wanted.pieces, strict=True))
    assert old.convert_ids_to_tokens(made["nephritis"][0]) == ["neph", "##r", "##itis"]
    assert list(wanted.requests) == [f"a {plain}"] and list(wanted.as_new) == [(plain, None)]


def test_matched_random_rows_have_the_mean_and_variance_of_the_old_ones_and_nothing_else():
    draw = torch.Generator().manual_seed(0)
    table = torch.randn(900, 8, generator=draw) * torch.arange(1.0, 9.0) + 5
    evidence = Evidence(torch.zeros(4000, 8), torch.zeros(4000, 1, 8), torch.zeros(4000),
                        torch.zeros(4000, dtype=torch.bool), (0,))  # fmt: skip
    known = Known(evidence[:0], torch.zeros(0, dtype=torch.long))
    rows = STRATEGIES["random_matched"].rows(evidence, known, table, draw)
    torch.testing.assert_close(rows.mean(0), table.mean(0), atol=0.5, rtol=0)
    torch.testing.assert_close(rows.std(0), table.std(0), rtol=0.1, atol=0)
    assert rows.T.corrcoef().fill_diagonal_(0).abs().max() < 0.1
