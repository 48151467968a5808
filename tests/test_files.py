"""Files: a log that was cut."""

import pytest

from bioptimus_lib.errors import DataError
from bioptimus_lib.files import json_lines


@pytest.mark.parametrize(
    "text, rows",
    [
        ("", []),
        ('{"a": 1}\n', [{"a": 1}]),
        ('{"a": 1}\n{"a": 2}', [{"a": 1}, {"a": 2}]),
        ('{"a": 1}\n{"a": 2', [{"a": 1}]),
        ('{"a', []),
    ],
)
def test_a_half_last_line_is_no_row(tmp_path, text, rows):
    (tmp_path / "log.jsonl").write_text(text)
    assert json_lines(tmp_path / "log.jsonl") == rows


def test_a_broken_line_is_named(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"a": 1}\nnonsense\n{"a": 2}\n')
    with pytest.raises(DataError, match="log.jsonl.*2"):
        json_lines(tmp_path / "log.jsonl")
