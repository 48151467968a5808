"""Choosing on a half flatters, more so of more; equal models are told apart as often as p says."""

from __future__ import annotations

import numpy as np
import pytest
from test_stats import model

from bioptimus_lib.evaluation_steps import among_themselves, flattery


def runs(skills, sentences=300):
    return np.concatenate([model(s, sentences=sentences, seed=k) for k, s in enumerate(skills)])


def test_one_candidate_is_not_flattered_and_the_best_of_many_is():
    found = flattery(runs([0.8] * 6), draws=400)
    gaps = {k: chosen - other for k, (chosen, other) in found.items()}
    assert list(gaps) == [1, 2, 3, 4, 5, 6]
    assert abs(gaps[1]) < 0.4
    assert gaps[6] > gaps[2] > gaps[1] + 0.2


def test_a_better_run_is_chosen_whichever_half_is_asked():
    found = flattery(runs([0.5, 0.9, 0.5]), draws=200)
    assert found[3][1] > found[1][1] + 5
    np.random.seed(1)
    assert flattery(runs([0.5, 0.9]), draws=20) == flattery(runs([0.5, 0.9]), draws=20)
    with pytest.raises(ValueError, match="1 sentences"):
        flattery(runs([0.5, 0.9])[:, :1])


def test_every_pair_of_runs_is_tested():
    same = np.repeat(model(0.8), 2, axis=0)
    p = among_themselves(np.concatenate([same, model(0.4, seed=1)]), permutations=200)
    assert len(p) == 3 and p[0] == 1 and p[1] < 0.01 and p[2] < 0.01
