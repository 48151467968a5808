"""Exercises of chapter 16: entity markers, micro and macro F1, a correlation by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bioptimus_lib.checks import Exercise, Mistake

Span = tuple[int, int]
Counts = Mapping[str, tuple[int, int, int]]

# -- 16-1: entity markers --------------------------------------------------------------------------


def marked(text: str, first: Span, second: Span) -> str:
    """The solution of 16-1: signs around two mentions that do not overlap."""
    signs = [(*first, "<< ", " >>"), (*second, "[[ ", " ]]")]
    for start, stop, left, right in sorted(signs, reverse=True):  # from the end: nothing is shifted
        text = text[:start] + left + text[start:stop] + right + text[stop:]
    return text


def _span(text: str, name: str) -> Span:
    return text.rindex(name), text.rindex(name) + len(name)


def _marked_cases() -> list[tuple[str, Span, Span]]:
    one = "Aspirin relieves gout."
    two = "Sudden asthma was ascribed to ibuprofen, not to codeine."
    three = "Codeine failed in gout, so gout was treated with codeine."
    return [
        (one, _span(one, "Aspirin"), _span(one, "gout")),
        (two, _span(two, "ibuprofen"), _span(two, "asthma")),
        (three, _span(three, "codeine"), _span(three, "gout")),
    ]


def _shifted(text: str, first: Span, second: Span) -> str:
    for (start, stop), left, right in ((first, "<< ", " >>"), (second, "[[ ", " ]]")):
        text = text[:start] + left + text[start:stop] + right + text[stop:]
    return text


def _by_text(text: str, first: Span, second: Span, *, times: int) -> str:
    names = (text[slice(*first)], text[slice(*second)])
    text = text.replace(names[0], f"<< {names[0]} >>", times)
    return text.replace(names[1], f"[[ {names[1]} ]]", times)


MARKED = Exercise(
    name="marked",
    cases=_marked_cases,
    solution=marked,
    mistakes=(
        Mistake(
            _shifted,
            "the signs around the first mention have moved the second one. Begin with the mention "
            "that stands later in the text, whichever of the two it is.",
        ),
        Mistake(
            lambda text, first, second: marked(text, *sorted((first, second))),
            "the signs follow the order in the sentence. `first` gets << >> also where it stands "
            "behind `second`: the signs say which is the drug.",
        ),
        Mistake(
            lambda text, first, second: _by_text(text, first, second, times=-1),
            "every occurrence of a name is marked. Only the mention at the given place is meant; "
            "cut the text by its numbers.",
        ),
        Mistake(
            lambda text, first, second: _by_text(text, first, second, times=1),
            "the name is marked where it occurs first. It may stand there twice, and the mention "
            "that is meant is at the given place.",
        ),
        Mistake(
            lambda text, first, second: marked(text, first, second)
            .replace("<< ", "<<").replace(" >>", ">>").replace("[[ ", "[[").replace(" ]]", "]]"),
            "the blanks between sign and mention are missing. (BERT's tokeniser cuts at signs "
            "anyway, so its pieces would be the same. Other readers of the text do not.)",
        ),
        Mistake(
            lambda text, first, second: marked(
                text, (first[0], first[1] + 1), (second[0], second[1] + 1)
            ),
            "one character too many. `stop` is the first character that no longer belongs to the "
            "mention, as in a slice.",
        ),
    ),
    gives="the text with << >> around the first mention and [[ ]] around the second",
    praise="Two signs, and a question that could not be answered can be.",
)  # fmt: skip

# -- 16-2: micro and macro -------------------------------------------------------------------------


def _f1(found: float, spurious: float, missed: float) -> float:
    below = 2 * found + spurious + missed
    return 200 * found / below if below else 0.0


def micro_macro(counts: Counts) -> tuple[float, float]:
    """The solution of 16-2: F1 of the sums, and the mean of the F1."""
    micro = _f1(*(sum(one[n] for one in counts.values()) for n in range(3)))
    return micro, sum(_f1(*one) for one in counts.values()) / len(counts)


def _ratio(above: float, below: float) -> float:
    return 100 * above / below if below else 0.0


def _mean_parts(counts: Counts) -> float:
    precision = sum(_ratio(f, f + s) for f, s, _ in counts.values()) / len(counts)
    recall = sum(_ratio(f, f + m) for f, _, m in counts.values()) / len(counts)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _weighted(counts: Counts) -> float:
    gold = sum(f + m for f, _, m in counts.values())
    return sum((f + m) * _f1(f, s, m) for f, s, m in counts.values()) / gold


MICRO_MACRO = Exercise(
    name="micro_macro",
    cases=lambda: [
        ({"treats": (90, 10, 20), "causes": (2, 1, 8)},),
        ({"kidney": (30, 5, 2), "skin": (4, 9, 3), "bone": (0, 0, 6), "bowel": (0, 0, 0)},),
        ({"yes": (12, 3, 4), "no": (1, 7, 2)},),
    ],
    solution=micro_macro,
    mistakes=(
        Mistake(
            lambda c: micro_macro(c)[::-1],
            "the two have changed places. Micro adds the counts up first; macro is the mean of the "
            "labels' own F1.",
        ),
        Mistake(
            lambda c: tuple(value / 100 for value in micro_macro(c)),
            "these are shares of one. The course gives F1 in percent.",
        ),
        Mistake(
            lambda c: (micro_macro(c)[0], _mean_parts(c)),
            "micro is right. For macro you took the mean of precision and the mean of recall, and "
            "made one F1 of them. Make an F1 for each label first, then their mean.",
        ),
        Mistake(
            lambda c: (micro_macro(c)[0], _weighted(c)),
            "micro is right. Your macro weighs each label by how often it occurs in gold, which "
            "brings the frequent ones back in. In macro every label counts the same.",
        ),
        Mistake(
            lambda c: (micro_macro(c)[0],
                       float(np.mean([_f1(*one) for one in c.values() if sum(one)]))),
            "a label that occurs nowhere is left out of your mean. Here it counts with an F1 of 0, "
            "as it does in `task_metrics.report`; other programs leave it out or warn.",
        ),
        Mistake(
            lambda c: (_ratio(sum(f for f, _, _ in c.values()), sum(sum(o) for o in c.values())),
                       micro_macro(c)[1]),
            "macro is right. Your micro is found / (found + spurious + missed), in which the found "
            "ones count once; in F1 they count twice, above and below the line.",
        ),
    ),
    gives="(micro F1, macro F1), both in percent; F1 of a label without any count is 0",
    praise="Two true numbers for one model. Which of them is printed is a choice.",
)  # fmt: skip

# -- 16-3: a correlation ---------------------------------------------------------------------------


def correlation(predicted: Sequence[float], gold: Sequence[float]) -> float:
    """The solution of 16-3: Pearson's r in percent; 0 where a side does not vary."""
    x, y = np.asarray(predicted, float), np.asarray(gold, float)
    x, y = x - x.mean(), y - y.mean()
    below = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return 100 * float((x * y).sum()) / below if below > 1e-9 else 0.0


def _centred(predicted: Sequence[float], gold: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(predicted, float), np.asarray(gold, float)
    return x - x.mean(), y - y.mean()


def _covariance(predicted: Sequence[float], gold: Sequence[float]) -> float:
    x, y = _centred(predicted, gold)
    return 100 * float((x * y).mean())


def _slope(predicted: Sequence[float], gold: Sequence[float]) -> float:
    x, y = _centred(predicted, gold)
    below = float((x * x).sum())
    return 100 * float((x * y).sum()) / below if below > 1e-9 else 0.0


def _ranks(values: Sequence[float]) -> list[float]:
    return [float(sum(other < value for other in values)) for value in values]


def _uncentred(predicted: Sequence[float], gold: Sequence[float]) -> float:
    x, y = np.asarray(predicted, float), np.asarray(gold, float)
    return 100 * float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))


CORRELATION = Exercise(
    name="correlation",
    cases=lambda: [
        ([1.0, 2.0, 2.5, 4.0], [0.0, 3.0, 1.0, 4.0]),
        ([3.1, 3.0, 3.4, 3.2, 3.3], [0.4, 1.0, 3.8, 2.0, 1.6]),
        ([2.0, 2.0, 2.0], [1.0, 2.0, 4.0]), ([1.0, 2.0, 4.0], [2.0, 2.0, 2.0]),
        ([4.0, 1.0, 0.5], [0.0, 2.0, 3.5]),
    ],
    solution=correlation,
    mistakes=(
        Mistake(
            lambda p, g: correlation(p, g) / 100,
            "these are shares of one. The course gives r times 100, as the other scores.",
        ),
        Mistake(
            _covariance,
            "this is the covariance. Divide it by both spreads, so that the unit of the numbers "
            "falls out.",
        ),
        Mistake(
            _slope,
            "this is the slope of a line: it divides by the spread of the predicted numbers twice. "
            "Divide by the spread of each side once.",
        ),
        Mistake(
            _uncentred,
            "the means were not taken away first: this is the cosine of the two lists, which is "
            "high for any two lists of positive numbers.",
        ),
        Mistake(
            lambda p, g: correlation(_ranks(p), _ranks(g)),
            "this is the correlation of ranks (Spearman's). Use the numbers themselves.",
        ),
        Mistake(
            lambda p, g: correlation(p, g) ** 2 / 100,
            "this is r squared, the share of the variance that is explained. It has lost its sign.",
        ),
        Mistake(
            lambda p, g: abs(correlation(p, g)),
            "the sign is lost. A model that gives high scores to unlike pairs has a negative r.",
        ),
    ),
    gives="Pearson's r times 100; 0 where one side does not vary",
    praise="And add 2 to every prediction: r stays the same. Remember that below.",
)  # fmt: skip

EXERCISES = {"16-1": MARKED, "16-2": MICRO_MACRO, "16-3": CORRELATION}
