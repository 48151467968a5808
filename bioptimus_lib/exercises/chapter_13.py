"""Exercises of chapter 13: the first steps of Adam, a rate for each layer, ratios of spreads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bioptimus_lib.checks import Exercise, Mistake

# -- 13-1: how far Adam steps ----------------------------------------------------------------------


def adam_steps(
    gradients: Sequence[float], rate: float, beta1: float, beta2: float, corrected: bool
) -> list[float]:
    """The solution of 13-1: by how much each gradient lowers one weight."""
    m = v = 0.0
    steps = []
    for t, g in enumerate(gradients, start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        mean, square = (m / (1 - beta1**t), v / (1 - beta2**t)) if corrected else (m, v)
        steps.append(rate * mean / square**0.5)
    return steps


def _adam(
    gradients: Sequence[float], rate: float, beta1: float, beta2: float, corrected: bool, *,
    change: Callable[[float, float, int, float, float], tuple[float, float]],
) -> list[float]:  # fmt: skip
    """Adam with a change of its two averages: ``change(m, v, t, beta1, beta2)`` gives (m, v)."""
    m = v = 0.0
    steps = []
    for t, g in enumerate(gradients, start=1):
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
        mean, square = change(m, v, t, beta1, beta2) if corrected else (m, v)
        steps.append(rate * mean / square**0.5)
    return steps


ADAM_STEPS = Exercise(
    name="adam_steps",
    cases=lambda: [
        ([2.0, 2.0, 2.0], 0.1, 0.9, 0.999, True),
        ([2.0, 2.0, 2.0], 0.1, 0.9, 0.999, False),
        ([1.0, -3.0, 0.5, 0.25], 0.01, 0.8, 0.95, True),
        ([-0.4, 0.1, 0.1], 0.3, 0.5, 0.9, False),
    ],
    solution=adam_steps,
    mistakes=(
        Mistake(
            lambda g, r, a, b, c: _adam(g, r, a, b, c, change=lambda m, v, t, *_: (m, v)),
            "it is right without the correction, and the same with it. With `corrected` divide m "
            "by 1 − beta1^t and v by 1 − beta2^t.",
        ),
        Mistake(
            lambda g, r, a, b, c: adam_steps(g, r, a, b, not c),
            "corrected and not corrected have changed places.",
        ),
        Mistake(
            lambda g, r, a, b, c: _adam(
                g, r, a, b, c, change=lambda m, v, t, a, b: (m / (1 - a**t), v)
            ),
            "m is corrected, v is not. v starts at 0 as well, and it is the slower one.",
        ),
        Mistake(
            lambda g, r, a, b, c: _adam(
                g, r, a, b, c, change=lambda m, v, t, a, b: (m, v / (1 - b**t))
            ),
            "v is corrected, m is not. Then the first steps are too short.",
        ),
        Mistake(
            lambda g, r, a, b, c: _adam(
                g, r, a, b, c, change=lambda m, v, t, a, b: (m / (1 - a), v / (1 - b))
            ),
            "the correction is that of the first step in all steps. The power is t, and t counts "
            "the steps from 1.",
        ),
        Mistake(
            lambda g, r, a, b, c: _adam(
                g, r, a, b, c,
                change=lambda m, v, t, a, b: (m / (1 - a ** (t + 1)), v / (1 - b ** (t + 1))),
            ),
            "t begins at 2. The first step has t = 1.",
        ),
        Mistake(
            lambda g, r, a, b, c: _adam(
                g, r, a, b, c, change=lambda m, v, t, a, b: (m / (1 - b**t), v / (1 - a**t))
            ),
            "the two betas have changed places in the correction: beta1 belongs to m, beta2 to v.",
        ),
        Mistake(
            lambda g, r, a, b, c: adam_steps(g, 1.0, a, b, c),
            "the rate is missing: each step is the rate times m over the root of v.",
        ),
        Mistake(
            lambda g, r, a, b, c: [-s for s in adam_steps(g, r, a, b, c)],
            "the signs are turned round: asked for is by how much the weight is *lowered*, which "
            "is positive for a positive gradient.",
        ),
        Mistake(
            lambda g, r, a, b, c: np.cumsum(adam_steps(g, r, a, b, c)).tolist(),
            "these are sums of all steps so far. Give each step by itself.",
        ),
    ),
    gives="a list of steps, one per gradient: rate · m / √v",
    praise="With the correction the first step is as long as the rate, whatever the gradient.",
)  # fmt: skip

# -- 13-2: a rate for each layer -------------------------------------------------------------------


def layer_rates(layers: int, rate: float, decay: float, freeze: int) -> list[float]:
    """The solution of 13-2: rates of the embeddings, of the layers from below, of the head."""
    rates = [rate * decay ** (layers + 1 - level) for level in range(layers + 2)]
    return [0.0 if freeze and level <= freeze else r for level, r in enumerate(rates)]


LAYER_RATES = Exercise(
    name="layer_rates",
    cases=lambda: [
        (4, 1.0, 0.5, 0), (4, 1.0, 0.5, 2), (12, 5e-2, 0.9, 0), (3, 0.2, 0.8, 3), (2, 1.0, 1.0, 1),
    ],
    solution=layer_rates,
    mistakes=(
        Mistake(
            lambda n, r, d, k: layer_rates(n, r, d, k)[::-1],
            "the list stands on its head: begin with the embeddings, end with the head.",
        ),
        Mistake(
            lambda n, r, d, k: [
                0.0 if k and level <= k else r * d**level for level in range(n + 2)
            ],
            "here the embeddings learn fastest and the head slowest. It is the other way round: "
            "what lies far below the head is general, and is to change least.",
        ),
        Mistake(
            lambda n, r, d, k: [
                0.0 if k and level <= k else r * d ** max(0, n - level) for level in range(n + 2)
            ],
            "the top layer has the rate of the head. One level below the head is one factor.",
        ),
        Mistake(
            lambda n, r, d, k: [
                0.0 if k and level <= k else r * d ** (n + 2 - level) for level in range(n + 2)
            ],
            "the head has a factor, too. It keeps the whole rate: it has everything to learn.",
        ),
        Mistake(
            lambda n, r, d, k: [
                0.0 if k and level <= k else r * d ** (n + 1 - max(level, 1))
                for level in range(n + 2)
            ],
            "the embeddings have the rate of the lowest layer. They are a level of their own.",
        ),
        Mistake(
            lambda n, r, d, k: layer_rates(n, r, d, 0),
            "nothing is frozen. The lowest `freeze` layers have rate 0, and the embeddings below "
            "them.",
        ),
        Mistake(
            lambda n, r, d, k: [
                0.0 if 1 <= level <= k else x for level, x in enumerate(layer_rates(n, r, d, 0))
            ],
            "the embeddings still learn below frozen layers. They are frozen with them.",
        ),
        Mistake(
            lambda n, r, d, k: [
                0.0 if level < k else x for level, x in enumerate(layer_rates(n, r, d, 0))
            ],
            "one layer too few is frozen: the embeddings are frozen besides the `freeze` layers.",
        ),
        Mistake(
            lambda n, r, d, k: [0.0 if level <= k else x
                                for level, x in enumerate(layer_rates(n, r, d, 0))],
            "with `freeze` 0 nothing is frozen, the embeddings neither.",
        ),
        Mistake(
            lambda n, r, d, k: layer_rates(n, r, d, k)[1:-1],
            "the embeddings and the head are missing: the list has `layers` + 2 rates.",
        ),
    ),
    gives="`layers` + 2 rates: of the embeddings, of the layers from below, of the head",
    praise="Freezing is a rate of 0; a decay says the same more gently.",
)  # fmt: skip

# -- 13-3: is one recipe steadier? -----------------------------------------------------------------


BySeed = Mapping[int, float]


def _both(values: BySeed, base: BySeed) -> tuple[np.ndarray, np.ndarray]:
    seeds = sorted(values.keys() & base.keys())
    one, other = (np.array([some[s] for s in seeds], float) for some in (values, base))
    return one, other


def _left_out(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The ratio of the spreads without each pair in turn."""
    pairs = [(np.delete(a, i), np.delete(b, i)) for i in range(len(a))]
    return np.array([x.std(ddof=1) / y.std(ddof=1) for x, y in pairs])


def _jackknife(numbers: np.ndarray) -> float:
    return float((len(numbers) - 1) / len(numbers) ** 0.5 * numbers.std(ddof=1))


def steadier(values: BySeed, base: BySeed) -> tuple[float, float]:
    """The solution of 13-3: ratio of the spreads, and the jackknife error of its logarithm."""
    a, b = _both(values, base)
    return float(a.std(ddof=1) / b.std(ddof=1)), _jackknife(np.log(_left_out(a, b)))


def _of(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    """``steadier`` of two lists, pair by pair."""
    return steadier(dict(enumerate(a)), dict(enumerate(b)))


def _by_order(values: BySeed, base: BySeed) -> tuple[float, float]:
    n = min(len(values), len(base))
    return _of(list(values.values())[:n], list(base.values())[:n])


def _all_of_each(values: BySeed, base: BySeed) -> tuple[float, float]:
    a, b = (np.array(list(some.values())) for some in (values, base))
    return float(a.std(ddof=1) / b.std(ddof=1)), steadier(values, base)[1]


def _by_range(values: BySeed, base: BySeed) -> tuple[float, float]:
    a, b = _both(values, base)
    left = [np.ptp(np.delete(a, i)) / np.ptp(np.delete(b, i)) for i in range(len(a))]
    return float(np.ptp(a) / np.ptp(b)), _jackknife(np.log(left))


def _one_side(values: BySeed, base: BySeed) -> tuple[float, float]:
    a, b = _both(values, base)
    ratios = [np.delete(a, i).std(ddof=1) / b.std(ddof=1) for i in range(len(a))]
    return steadier(values, base)[0], _jackknife(np.log(ratios))


STEADIER = Exercise(
    name="steadier",
    cases=lambda: [
        ({0: 61.0, 1: 55.0, 2: 70.0, 3: 64.0}, {0: 60.0, 1: 52.0, 2: 71.0, 3: 66.5}),
        ({3: 40.0, 0: 66.0, 1: 58.0, 2: 61.0}, {0: 64.0, 1: 59.0, 2: 57.0, 5: 10.0}),
        ({7: 1.0, 9: 4.0, 8: 2.0, 1: 0.0, 4: 3.0}, {9: 3.5, 8: 0.0, 7: 0.5, 1: 1.0, 4: 9.0}),
    ],
    solution=steadier,
    mistakes=(
        Mistake(
            lambda v, b: steadier(b, v),
            "the ratio is turned round: the spread of values over that of base, so that below 1 "
            "is steadier.",
        ),
        Mistake(
            _by_order,
            "values are paired by their order. Pair them by their *seed*, and leave out seeds that "
            "only one side has.",
        ),
        Mistake(
            _all_of_each,
            "the spread is over all seeds of each side. A seed that only one side has must not "
            "count.",
        ),
        Mistake(
            lambda v, b: (steadier(v, b)[0] ** 2, 2 * steadier(v, b)[1]),
            "this is the ratio of the variances. A spread is the root of one.",
        ),
        Mistake(
            _by_range,
            "the spread is taken as best minus worst, which two seeds decide alone. Take standard "
            "deviations.",
        ),
        Mistake(
            lambda v, b: (
                steadier(v, b)[0], steadier(v, b)[1] / (len(v.keys() & b.keys()) - 1),
            ),
            "the error is that of a mean of ratios that know nothing of each other. These share "
            "all seeds but one and are nearly the same: the sum of squares is times (n − 1) / n, "
            "not divided by n (n − 1).",
        ),
        Mistake(
            lambda v, b: (steadier(v, b)[0], _jackknife(_left_out(*_both(v, b)))),
            "this is the error of the ratio. Take logarithms first: half as much and twice as much "
            "are then equally far from 1.",
        ),
        Mistake(
            _one_side,
            "a seed is left out of values alone. It goes from both sides.",
        ),
        Mistake(
            lambda v, b: (
                steadier(v, b)[0],
                _jackknife(np.log(_left_out(*_both(v, b)))) / (
                    (len(v.keys() & b.keys()) - 1) / len(v.keys() & b.keys()) ** 0.5
                ),
            ),
            "this is the spread of the logarithms. The sum of their squares is multiplied by "
            "(n − 1) / n, not divided by n − 1.",
        ),
    ),
    gives="(spread of values over spread of base, jackknife error of its logarithm)",
    praise="A spread from few seeds is known up to a factor, and the factor is large.",
)  # fmt: skip

EXERCISES = {"13-1": ADAM_STEPS, "13-2": LAYER_RATES, "13-3": STEADIER}
