"""Options that many commands share say the same, and what cannot be is told at once."""

import sys

import command_page
import pytest

from bioptimus_lib import cli

ASKED = [
    parser.prog
    for parser in command_page.parsers(cli.build_parser())
    if "--device" in parser._option_string_actions
]


def refused(prog, name, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.build_parser().parse_args([*prog.split()[1:], "--device", name])
    assert stop.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("prog", ASKED)
def test_a_device_that_is_not_there_is_told_before_anything_else(prog, capsys, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "--device: device cuda was asked for, and PyTorch sees no GPU" in refused(
        prog, "cuda", capsys
    )
    assert "device 'tpu' is unknown: choose cpu or cuda" in refused(prog, "tpu", capsys)


def test_the_commands_that_take_a_device_are_found():
    named = {prog.split(maxsplit=1)[1] for prog in ASKED}
    assert named >= {"ner", "task", "run", "tag", "pretrain", "distill", "experiment", "bench ner"}


def test_a_device_that_is_there_is_taken(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    given = cli.build_parser().parse_args(["ner", "--model", "m", "--device", "cuda"])
    assert given.device == "cuda"


def test_a_default_asks_nobody(monkeypatch):
    monkeypatch.setitem(sys.modules, "bioptimus_lib.models", None)  # an import of it would fail
    parse = cli.build_parser().parse_args
    assert parse(["ner", "--model", "m"]).device is None
    assert parse(["experiment", "init"]).device == "cpu"
    assert parse(["experiment", "init", "--device", "cpu"]).device == "cpu"
