"""Files: a log that was cut, a folder that takes another's place."""

from pathlib import Path

import pytest

from bioptimus_lib.errors import DataError
from bioptimus_lib.files import atomic_dir, json_lines


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


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(tmp_path, monkeypatch, there):
    """As on Windows, where an open file keeps its folder from being renamed."""
    model, rename = tmp_path / "model", Path.rename
    if there:
        model.mkdir()
        (model / "weights").write_text("old")

    def held(self, target):
        if self.name.endswith(".part"):
            raise PermissionError(f"{self} is in use")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", held)
    with pytest.raises(PermissionError, match="in use"), atomic_dir(model) as folder:
        (folder / "weights").write_text("new")
    assert [p.name for p in tmp_path.iterdir()] == (["model"] if there else [])
    monkeypatch.undo()
    with atomic_dir(model) as folder:
        (folder / "weights").write_text("new")
    assert (model / "weights").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
