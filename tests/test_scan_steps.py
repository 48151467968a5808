"""Steps of a scanner agree with each other and with the scan; the model of qik-find loses exactly
what its table says; samplers are as fair, or as unfair, as the chapter tells."""

from __future__ import annotations

import random
import re
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioptimus_lib import qik, samplers, scan_steps
from bioptimus_lib.scan import find_contexts, words
from bioptimus_lib.scan_steps import STEPS

# -- the steps -----------------------------------------------------------------------------------

SIMPLE = ["a", "ab", "ba", "zinc", "zincs", "il", "2", "alleviation", "alleviating", "meniere", "α",
          "nowhere"]  # fmt: skip
parts = st.sampled_from(
    [*SIMPLE, "Zinc", "ZINC.", "(ab)", "Ménière", "IL-2", "TNF-α", "a\x0bb", "a\tb", "a\u00a0b",
     "中", "\x00", "\r", "  ", "%", "\n", "\n\n"]
)  # fmt: skip
texts = st.lists(parts, max_size=40).map(" ".join)


def naive(keywords, block: bytes) -> Counter[str]:
    """Without any of the steps' tricks."""
    lines = [words(line) for line in block.decode().split("\n")]
    counts = {k: sum(k in line for line in lines) for k in keywords}
    return Counter({k: n for k, n in counts.items() if n})


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
@given(text=texts, number=st.integers(1, len(SIMPLE)))
@settings(max_examples=60)
def test_every_step_finds_what_a_naive_search_finds(step, text, number):
    keywords = SIMPLE[-number:]
    assert step.build(keywords)(text.encode()) == naive(keywords, text.encode())


@given(text=texts)
@settings(max_examples=60)
def test_steps_find_what_the_scan_finds(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "steps.txt"
    path.write_bytes(text.encode())
    counts = find_contexts(SIMPLE, path, workers=0).counts
    found = Counter({keyword: count for keyword, count in counts.items() if count})
    assert all(step.build(SIMPLE)(text.encode()) == found for step in STEPS)


def test_a_step_can_be_used_again():
    for step in STEPS:
        find = step.build(["zinc"])
        assert find(b"zinc\nzinc zinc\n") == find(b"zinc\nzinc zinc\n") == {"zinc": 2}


# -- measuring -----------------------------------------------------------------------------------


class Clock:
    """Time that passes only when something sleeps, so that a busy machine changes nothing."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(scan_steps.time, "perf_counter", lambda: self.now)

    def sleep(self, seconds):
        self.now += seconds


def test_growth_stops_before_it_takes_too_long_and_tells_the_law(monkeypatch):
    clock = Clock(monkeypatch)

    def build(keywords):
        return lambda text: clock.sleep(0.002 * len(keywords))

    points = scan_steps.growth(build, "x" * 1000, None, sizes=(1, 10, 100), limit=0.1, repeats=1)
    assert list(points) == [1, 10]
    assert scan_steps.exponent(points) == pytest.approx(1)
    assert scan_steps.exponent({1: 2.0, 10: 2.0, 20: 2.0}) == 0
    with pytest.raises(ValueError, match="two sizes"):
        scan_steps.exponent({1: 1.0})
    with pytest.raises(ValueError, match="0 repeats"):
        scan_steps.best_of(lambda: None, repeats=0)


def test_stopwatch_does_the_work_and_knows_its_seconds(monkeypatch):
    clock = Clock(monkeypatch)
    watch = scan_steps.Stopwatch()
    assert watch.submit(pow, 3, 4).result() == 81
    assert isinstance(watch.submit(int, "x").exception(), ValueError)
    watch.submit(clock.sleep, 0.05)
    assert watch.seconds == pytest.approx(0.05)


def test_serial_and_parallel_are_told_apart(monkeypatch):
    clock = Clock(monkeypatch)

    def scan(executor):
        clock.sleep(0.03)
        executor.submit(clock.sleep, 0.06).result()

    assert scan_steps.serial_and_parallel(scan, repeats=2) == pytest.approx((0.03, 0.06))


def test_scan_on_a_stopwatch_is_the_scan(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("zinc\nno\nzinc fell\n")
    found = find_contexts(["zinc"], path, executor=scan_steps.Stopwatch())
    assert dict(found) == dict(find_contexts(["zinc"], path, workers=0))


@pytest.mark.parametrize("workers", [1, 3, 64])
def test_speed_up_lies_below_the_workers_and_the_ceiling(workers):
    found = scan_steps.speed_up(1.0, 9.0, workers)
    assert 1 <= found <= min(workers, 10) and scan_steps.speed_up(0, 1, workers) == workers


def local(number):  # found by a process: it stands in a module
    return number + 1


def test_a_function_without_a_module_dies_elsewhere_and_nothing_hangs():
    namespace = {"__name__": "__main__"}
    exec("def square(n): return n * n", namespace)
    import __main__

    __main__.square = namespace["square"]  # as a notebook's cell would
    try:
        said = scan_steps.elsewhere(namespace["square"], 3)
    finally:
        del __main__.square
    assert said == "the process died: it could not find __main__.square"
    assert scan_steps.elsewhere(pow, 3, 2) == "it came back with 9"
    assert scan_steps.elsewhere(int, "x").startswith("it failed with ValueError")
    assert scan_steps.elsewhere(time.sleep, 60, seconds=0.5).startswith("no answer")


def test_with_processes_times_what_is_up():
    assert 0 < scan_steps.with_processes(lambda pool: pool.submit(pow, 2, 3).result(), 1) < 5


def test_whole_lines_end_at_line_ends(tmp_path):
    one, other = tmp_path / "a", tmp_path / "b"
    one.write_bytes(b"zinc fell\nno change\n")
    other.write_bytes(b"the end")
    assert scan_steps.whole_lines([one, other], 3) == b"zinc fell\n"
    assert scan_steps.whole_lines([one, other], 10) == b"zinc fell\n"
    assert scan_steps.whole_lines([one, other], 11) == one.read_bytes()
    assert scan_steps.whole_lines([one, other], 99) == one.read_bytes() + b"the end"


# -- qik-find ------------------------------------------------------------------------------------

LINE = b"We gave zinc daily.\n"
FILLER = b"No drug was given.\n"
#: text, keyword, bytes in a chunk (None: all), what is written, what became of the lines
CASES = {
    "between blanks": (LINE, "zinc", None, ["We gave zinc daily."], {qik.KEPT: 1}),
    "comma": (b"We gave zinc, too.\n", "zinc", None, [], {qik.PUNCTUATION: 1}),
    "brackets": (b"We gave (zinc) daily.\n", "zinc", None, [], {qik.PUNCTUATION: 1}),
    "hyphen": (b"We gave zinc-like it.\n", "zinc", None, [], {qik.PUNCTUATION: 1}),
    "end of a line": (b"We gave zinc\n", "zinc", None, [], {qik.LINE_END: 1}),
    "end of a line after a blank": (b"We gave zinc \n", "zinc", None, [], {qik.LINE_END: 1}),
    "begin of a line": (b"zinc was given.\n", "zinc", None, [], {qik.LINE_END: 1}),
    "capital": (b"Then Zinc fell.\n", "zinc", None, [], {qik.CASE: 1}),
    "keyword with a capital": (LINE, "Zinc", None, [], {qik.CASE: 1}),
    "accent": ("The Ménière sign.\n".encode(), "Meniere", None, [], {qik.CASE: 1}),
    "word 79": (b"w " * 78 + b"zinc is\n", "zinc", None, ["w " * 78 + "zinc is"], {qik.KEPT: 1}),
    "word 80": (b"w " * 79 + b"zinc is\n", "zinc", None, [], {qik.LONG: 1}),
    "word 81": (b"w " * 80 + b"zinc is\n", "zinc", None, [], {qik.LONG: 1}),
    "phrase at words 79, 80": (b"w " * 78 + b"lung cancer is\n", "lung cancer", None, [],
                               {qik.LONG: 1}),
    "tail": (FILLER * 2 + LINE, "zinc", 2 * len(FILLER), [], {qik.TAIL: 1}),
    "file smaller than a chunk": (LINE, "zinc", 10_240, [], {qik.TAIL: 1}),
    "cut character": ("We gave zinc at the café.\n".encode(), "zinc", 24, [], {qik.CHARACTER: 1}),
    "chunk edge in the word": (LINE, "zinc", 10, [], {qik.EDGE: 1}),
    "chunk edge before the word": (LINE, "zinc", 8, [], {qik.LINE_END: 1}),
    "chunk edge behind the word": (LINE, "zinc", 12, [], {qik.LINE_END: 1}),
    "second of a chunk": (LINE * 2, "zinc", None, ["We gave zinc daily."],
                          {qik.KEPT: 1, qik.SECOND: 1}),
    "one in each chunk": (LINE * 2, "zinc", len(LINE), ["We gave zinc daily."] * 2,
                          {qik.KEPT: 2}),
    "in a line twice, once well": (b"(zinc) or zinc is it\n", "zinc", None,
                                   ["(zinc) or zinc is it"], {qik.KEPT: 1}),
    "in a line twice, never well": (b"(zinc) or Zinc is it\n", "zinc", None, [], {qik.CASE: 1}),
    "brackets in the keyword": (b"The 5-HT(1A) receptor.\n", "5-HT(1A)", None, [],
                                {qik.PATTERN: 1}),
    "no expression": (b"Of group (a is it.\n", "(a", None, [], {qik.PATTERN: 1}),
    "dot finds what is not there": (b"It is abc all.\n", "a.c", None, ["It is abc all."], {}),
    "dot finds itself": (b"It is a.c all.\n", "a.c", None, ["It is a.c all."], {qik.KEPT: 1}),
    "tab": (b"We\tgave\tzinc\tdaily.\n", "zinc", None, ["We gave zinc daily."], {qik.KEPT: 1}),
    "no line end at the end": (b"We gave zinc daily.", "zinc", None, ["We gave zinc daily."],
                               {qik.KEPT: 1}),
    "nothing": (FILLER, "zinc", None, [], {}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_qik_find_loses_what_the_table_says(tmp_path, name):
    raw, keyword, batch, written, fate = CASES[name]
    path = tmp_path / "case.txt"
    path.write_bytes(raw)
    batch = batch or len(raw)
    assert scan_steps.qik_find([keyword], path, batch=batch) == {keyword: written}
    assert qik.losses([keyword], path, batch=batch) == fate
    assert set(fate) <= set(qik.CAUSES)
    assert sum(fate.values()) == find_contexts([keyword], path, workers=0).counts[keyword]


QIK_PARTS = st.sampled_from(
    ["zinc", "Zinc", "zinc,", "a.c", "abc", "(a", "é", "lung cancer", "lung  cancer", "\t", "\n",
     "w", "w w w", "Lung-cancer", "\u00a0", "\x0b"]
)  # fmt: skip


@given(
    text=st.lists(QIK_PARTS, max_size=30).map(" ".join),
    batch=st.integers(1, 60),
    limit=st.sampled_from([3, 80]),
)
@settings(max_examples=200)
def test_the_account_is_complete(tmp_path_factory, text, batch, limit):
    """Each line that the scan finds has one fate; what is kept is what the model has written."""
    path = tmp_path_factory.getbasetemp() / "account.txt"
    path.write_bytes(text.encode())
    keywords = ["zinc", "lung cancer", "(a", "α"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(qik, "MAX_WORDS", limit)
        fate = qik.losses(keywords, path, batch=batch)
        written = qik.qik_find(keywords, path, batch=batch)
    counts = find_contexts(keywords, path, workers=0).counts
    assert sum(fate.values()) == sum(counts.values())
    # A line that a chunk edge has cut may be written once from each side.
    assert fate[qik.KEPT] <= sum(map(len, written.values()))
    assert bool(fate[qik.KEPT]) == any(written.values())


def test_qik_find_reads_txt_of_a_folder_and_counts_its_jobs(tmp_path):
    for name in ("b.txt", "a.txt", "c.md"):
        (tmp_path / name).write_bytes(name[:1].encode() + b" has zinc in it\n")
    found = scan_steps.qik_find(["zinc", "tin"], tmp_path, batch=17)
    assert found == {"zinc": ["a has zinc in it", "b has zinc in it"], "tin": []}
    assert qik.jobs(["zinc", "tin"], tmp_path, batch=17) == 4
    assert qik.jobs(["zinc", "tin"], tmp_path, batch=8) == 8
    assert qik.jobs(["zinc", "tin"], tmp_path) == 0
    with pytest.raises(ValueError, match="0 bytes"):
        qik.jobs(["zinc"], tmp_path, batch=0)


@given(text=texts)
def test_located_words_are_the_words_and_stand_where_they_are(text):
    found = qik._located(text)
    assert [word for word, _, _ in found] == words(text)
    assert all(words(text[begin:end]) == [word] for word, begin, end in found)


# -- samplers ------------------------------------------------------------------------------------

LENGTHS, K = (60, 25, 15), 5
STARTS = np.cumsum([0, *LENGTHS])
PARTS = [range(a, b) for a, b in zip(STARTS[:-1], STARTS[1:], strict=True)]


@pytest.mark.parametrize("name", samplers.SAMPLERS)
def test_a_sample_has_k_lines_each_once_and_repeats(name):
    draw = samplers.SAMPLERS[name]
    for seed in range(20):
        found = draw(PARTS, K, seed=seed)
        assert len(set(found)) == K == len(found) and set(found) <= set(range(100))
        random.seed(seed)
        assert draw(PARTS, K, seed=seed) == found
    assert len(draw(PARTS, 1000, seed=0)) == 100


def chi_square(rates, fair, draws):
    return sum((rate - fair) ** 2 * draws / (fair * (1 - fair)) for rate in rates)


def test_bottom_k_is_fair_and_reservoirs_of_unequal_parts_are_not():
    draws, fair = 2000, K / 100
    rates = {n: samplers.inclusion(s, PARTS, K, draws=draws) for n, s in samplers.SAMPLERS.items()}
    assert all(rate.sum() == pytest.approx(K) for rate in rates.values())
    # About a chi-square of 99 degrees of freedom: below 149 in 99.9 % of cases.
    assert chi_square(rates["bottom-K"], fair, draws) < 149
    assert chi_square(rates["a reservoir per worker"], fair, draws) > 1000
    within = [rates["a reservoir per worker"][part].mean() for part in PARTS]
    # Each worker gives K of n lines, of all these one in three is kept.
    assert within == pytest.approx([K / n / 3 for n in LENGTHS], rel=0.1)
    assert list(rates["the first K"]) == [1.0] * K + [0.0] * (100 - K)


def test_one_reservoir_is_fair():
    rates = samplers.inclusion(samplers.reservoirs, [range(100)], K, draws=2000)
    assert chi_square(rates, K / 100, 2000) < 149


@given(cut=st.integers(0, 100), k=st.integers(1, 30), seed=st.integers(0, 99))
@settings(max_examples=50)
def test_sketches_merge_to_the_sketch_of_the_whole(cut, k, seed):
    one, other = (samplers.sketch(p, k, seed=seed) for p in (range(cut), range(cut, 100)))
    whole = samplers.sketch(range(100), k, seed=seed)
    assert samplers.merged([one, other], k) == samplers.merged([other, one], k) == whole


def test_chapter_uses_no_name_that_is_not_there():
    """The table of causes is what the account gives, each with words of its own."""
    assert len(set(qik.CAUSES)) == len(qik.CAUSES)
    assert set(qik._NEARNESS) == set(qik.CAUSES) - {qik.KEPT}
    assert all(re.fullmatch(r"[a-z0-9 ]+", cause) for cause in qik.CAUSES)
