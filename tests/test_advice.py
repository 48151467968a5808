"""Errors that the troubleshooting page answers say so, in the same line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bioptimus_lib import advice, cli
from bioptimus_lib.commands import cost
from bioptimus_lib.errors import DataError

ROOT = Path(__file__).resolve().parents[1]
ANSWERED = re.findall(
    r"^(.+)\n: ", (ROOT / "book" / "troubleshooting.md").read_text(encoding="utf-8"), re.M
)


class OutOfMemoryError(RuntimeError):
    """As torch names its own."""


CASES = [
    (ConnectionError("cannot reach example.org"), "No network"),
    (FileNotFoundError("https://x/y answers 404 Not Found: no such file there"), "A link is dead"),
    (DataError("expected sha256 1, found 2", path="a"), "wrong hash"),
    (ChildProcessError("a worker process died"), "A worker died"),
    (OutOfMemoryError("CUDA out of memory"), "Out of memory on the GPU"),
    (MemoryError(), "Out of memory without a GPU"),
    (OSError(28, "No space left on device", "a"), "The disk is full"),
    (ModuleNotFoundError("onnx missing"), "A package is missing"),
]
SILENT = [ValueError("--seeds 0"), FileNotFoundError("a is not there"), OSError(13, "denied", "a")]


def test_every_entry_of_the_table_is_on_the_page():
    assert {entry for *_, entry in advice.ENTRIES} <= set(ANSWERED)


@pytest.mark.parametrize("error, entry", CASES, ids=lambda case: type(case).__name__)
def test_the_line_of_an_error_names_the_entry(error, entry, monkeypatch, capsys):
    def fail(arguments):
        raise error

    monkeypatch.setattr(cost, "run", fail)
    assert cli.main(["cost"]) == cli.BAD_INPUT
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith("bioptimus: error: ")
    assert f"(see {entry!r}" in said or f"(see '{entry}" in said
    assert f"in {advice.PAGE})" in said and (ROOT / advice.PAGE).is_file()


@pytest.mark.parametrize("error", SILENT, ids=str)
def test_other_errors_are_as_they_were(error):
    assert advice.help_for(error) == ""


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch):
    def fail(arguments):
        raise RuntimeError("a bug")

    monkeypatch.setattr(cost, "run", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main(["cost"])


def test_without_a_clone_the_address_is_named(monkeypatch):
    monkeypatch.setattr(advice, "PAGE", "book/not-there.md")
    assert re.fullmatch(r"https://\S+/blob/main/book/not-there\.md", advice.page())
