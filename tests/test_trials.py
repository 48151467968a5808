"""Short trainings for a lesson: they train copies, are watched, and leave nothing behind."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bioptimus_lib import looks, pocket, trials  # noqa: E402
from bioptimus_lib.masking import Masking  # noqa: E402
from bioptimus_lib.models import save_model  # noqa: E402
from bioptimus_lib.packing import pack  # noqa: E402
from bioptimus_lib.pipeline import Run  # noqa: E402
from bioptimus_lib.profile import PROFILES, close_look  # noqa: E402
from bioptimus_lib.vocab import train_wordpiece  # noqa: E402
from tests.conftest import TINY_TEXT, random_bert  # noqa: E402

TOKENS = Masking()


@pytest.fixture
def bench(tiny, tmp_path):
    """As much of a run as a trial needs."""
    (tmp_path / "blocks").mkdir()
    np.save(tmp_path / "blocks" / "train-new.npy", pack(TINY_TEXT * 30, tiny[1], length=32))
    profile = SimpleNamespace(batch=4, learning_rate=1e-3, length=32)
    return SimpleNamespace(out=tmp_path, profile=profile, device="cpu", seed=0, shards=[])


def test_a_trial_trains_a_copy_watches_it_and_leaves_nothing(tiny, bench):
    begin = trials.Beginning(*tiny, "new")
    before = looks.embeddings(tiny[0])
    made = trials.trial(
        bench, begin, TOKENS, steps=4, look=looks.embeddings, at=(0, 2, 4, 9), learning_rate=2e-3,
        log_steps=1, precision="fp32",
    )  # fmt: skip
    assert torch.equal(looks.embeddings(tiny[0]), before) and list(made.seen) == [0, 2, 4]
    assert torch.equal(made.seen[0], before) and not torch.equal(made.seen[2], made.seen[4])
    assert torch.equal(made.seen[4], looks.embeddings(made.model))
    assert made.log["step"] == [1, 2, 3, 4] and max(made.log["learning_rate"]) <= 2e-3
    assert [path.name for path in bench.out.iterdir()] == ["blocks"]
    again = trials.trial(bench, begin, TOKENS, steps=4, learning_rate=2e-3, precision="fp32")
    assert torch.equal(looks.embeddings(again.model), looks.embeddings(made.model))
    other = trials.trial(bench, begin, TOKENS, steps=4, seed=1, precision="fp32")
    assert not torch.equal(looks.embeddings(other.model), looks.embeddings(made.model))


def test_close_look_is_never_longer_than_the_profile_and_never_by_the_clock():
    for profile in PROFILES.values():
        near = close_look(profile)
        assert near.phase_steps <= profile.phase_steps and near.minutes == 0
        assert 0 < near.batch <= profile.batch
        assert near.corpus_mb == profile.corpus_mb and near.name == profile.name
    pocket = close_look(PROFILES["pocket"])
    assert (pocket.phase_steps, pocket.batch) == (100, 8)


# -- beginnings ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on a tiny random backbone, up to the contexts."""
    texts = [s for a in pocket.abstracts(60, seed=9) for s in a.sentences]
    tokenizer = train_wordpiece(texts, size=900, max_length=64)
    folder = tmp_path_factory.mktemp("backbone") / "tiny"
    old = random_bert(tokenizer)
    with torch.no_grad():  # as if trained: no longer what its seed gives
        for weight in old.parameters():
            weight.mul_(1.5)
    save_model(old, tokenizer, folder)
    small = replace(
        PROFILES["pocket"], backbone=str(folder), corpus_mb=0.3, contexts=3, calibration_words=150,
        length=32, batch=4, phase_steps=2,
    )  # fmt: skip
    made = Run(tmp_path_factory.mktemp("runs") / "one", profile=small, progress=False, device="cpu")
    made.stage("distillation")
    return made


def test_beginnings_have_the_vocabulary_that_they_say(run):
    sizes = {which: len(run.tokenizer(which)) for which in ("old", "new")}
    for how in trials.BEGINNINGS:
        found = trials.beginning(run, how)
        assert found.vocabulary == ("old" if how == "continued" else "new")
        assert found.tokenizer.get_vocab() == run.tokenizer(found.vocabulary).get_vocab()
        assert found.model.get_input_embeddings().num_embeddings == sizes[found.vocabulary]
    old, distilled = (run.load(name)[0] for name in ("old", "distilled"))
    for how, model in (("continued", old), ("distilled", distilled)):
        made = trials.beginning(run, how).model.state_dict()
        assert all(torch.equal(made[name], value) for name, value in model.state_dict().items())


def test_from_scratch_is_random_the_same_each_time_and_has_the_old_shape(run):
    state = torch.get_rng_state()
    one, other = (trials.beginning(run, "scratch").model for _ in range(2))
    assert torch.equal(state, torch.get_rng_state()), "the caller's random numbers are not used"
    old = run.load("old")[0]
    assert torch.equal(looks.embeddings(one), looks.embeddings(other))
    assert one.config.num_hidden_layers == old.config.num_hidden_layers
    layer = "bert.encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(one.state_dict()[layer], old.state_dict()[layer])


def test_a_version_is_a_beginning_when_it_is_there(run):
    with pytest.raises(ValueError, match="'v0.1' is no beginning: choose of distilled"):
        trials.beginning(run, "v0.1")
    with pytest.raises(ValueError, match="'elsewhere' is no beginning"):
        trials.beginning(run, "elsewhere")
    save_model(*run.load("distilled"), run.folder("v0.1"))
    assert trials.beginning(run, "v0.1").vocabulary == "new"


def test_strategies_differ_in_the_new_rows_alone(run):
    names = ("random", "subtoken_mean", "contextual")
    tables = {name: looks.embeddings(b.model) for name, b in trials.by_strategy(run, names)}
    assert tuple(tables) == names
    shared, new = list(run.plan.shared), list(run.plan.new)
    distilled = looks.embeddings(run.load("distilled")[0])
    for table in tables.values():
        assert torch.equal(table[shared], distilled[shared])
        assert not torch.equal(table[new], distilled[new])
    assert not torch.equal(tables["random"][new], tables["contextual"][new])
    mean = looks.embeddings(run.load("old")[0])
    piece = next(i for i in new if not run.plan.new_pieces[i].startswith("##"))
    own = run.tokenizer("old")(run.plan.new_pieces[piece], add_special_tokens=False)["input_ids"]
    torch.testing.assert_close(tables["subtoken_mean"][piece], mean[own].mean(0))
