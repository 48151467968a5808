"""Profiles and the curriculum: the tables are what the course says they are."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bioptimus_lib import curriculum
from bioptimus_lib import profile as rooms
from bioptimus_lib.masking import Masking


def test_the_curriculum_is_the_paper_s():
    expected = [
        ("v0.1", Masking("token", 0.15, True)),
        ("v0.2", Masking("word", 0.15, True)),
        ("v0.3", Masking("word", 0.20, True)),
        ("v0.4", Masking("word", 0.20, False)),
    ]
    assert [(p.version, p.masking) for p in curriculum.PHASES] == expected
    assert "| v0.4 | word | 20% | none |" in curriculum.table()
    with pytest.raises(ValueError, match="phase 5 is unknown: choose 1 to 4"):
        curriculum.phase(5)


def test_profile_by_name_environment_and_device(monkeypatch):
    assert rooms.profile("laptop").ner == "NCBI-disease"
    monkeypatch.setenv("BIOPTIMUS_PROFILE", "base")
    assert rooms.profile().backbone == "bert-base-uncased"
    monkeypatch.delenv("BIOPTIMUS_PROFILE")
    monkeypatch.setattr(rooms, "has_gpu", lambda: False)
    assert rooms.profile().name == "pocket"
    monkeypatch.setattr(rooms, "has_gpu", lambda: True)
    assert rooms.profile().name == "small"


def test_unknown_profile_names_the_known_ones():
    with pytest.raises(ValueError, match="'tiny' is unknown: choose one of glance, pocket, laptop"):
        rooms.profile("tiny")


def test_the_package_loads_no_torch():
    code = (
        "import sys, bioptimus_lib, bioptimus_lib.profile, bioptimus_lib.curriculum\n"
        "sys.exit(any(m in sys.modules for m in ('torch', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
