"""Peak memory is that of the call, in its own process."""

from __future__ import annotations

import pytest

from bioptimus_lib import memory

RECORD = (
    "<PubmedArticle><MedlineCitation><PMID>{}</PMID><Article><ArticleTitle>A title</ArticleTitle>"
    "<Abstract><AbstractText>{}</AbstractText></Abstract></Article></MedlineCitation>"
    "</PubmedArticle>"
)


def write(path, records):
    body = "".join(RECORD.format(n, "<i>word</i> " * 40) for n in range(1, records + 1))
    path.write_text(f"<PubmedArticleSet>{body}</PubmedArticleSet>")
    return path


def test_peak_sees_what_is_held_for_a_moment():
    assert memory.peak(bytearray, 60_000_000) == pytest.approx(60, abs=8)
    assert memory.peak(bytearray, 1000) < 4


def test_streaming_takes_no_more_for_a_larger_file(tmp_path):
    small, large = (write(tmp_path / f"{n}.xml", n) for n in (300, 9000))
    assert memory.stream_records(small) == memory.load_records(small) == 300
    grows = [memory.peak(work, large) - memory.peak(work, small)
             for work in (memory.stream_records, memory.load_records)]  # fmt: skip
    assert grows[0] < 8 < 30 < grows[1]
