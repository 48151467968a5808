"""What a setting names: the model that an experiment begins with, and its NER sets."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from bioptimus_lib.experiments.cells import Setting
from bioptimus_lib.ner_sets import folder_of

if TYPE_CHECKING:
    from bioptimus_lib.conll import Sentence


def ner_folder(setting: Setting, name: str | None = None) -> Path:
    """The folder of a set, by default of the one that ``corpus`` names.

    Raises:
        ValueError: it is not an NER set.
    """
    return folder_of(name or setting.corpus, progress=setting.progress)


def ner_splits(setting: Setting, name: str | None = None) -> dict[str, list[Sentence]]:
    """The sentences of a set; those of the last few sets are kept in memory."""
    return _splits(ner_folder(setting, name))


@lru_cache(5)
def _splits(folder: Path) -> dict[str, list[Sentence]]:
    from bioptimus_lib.conll import load_splits

    return load_splits(folder)


def ner_files(setting: Setting, names: Sequence[str] = ()) -> list[Path]:
    """The three files of each set, by default of the one that ``corpus`` names."""
    from bioptimus_lib.conll import split_files

    return [
        file for name in names or (setting.corpus,)
        for file in split_files(ner_folder(setting, name)).values()
    ]  # fmt: skip


def model_folder(setting: Setting) -> Path:
    """The folder of the model."""
    from bioptimus_lib.sources import model_path

    return model_path(setting.model, progress=setting.progress)


def weights(setting: Setting) -> list[Path]:
    """The files that hold the model's weights."""
    return sorted(model_folder(setting).glob("*.safetensors"))


def texts_and_weights(setting: Setting) -> list[Path]:
    """The files of the text, and of the model that reads it."""
    from bioptimus_lib.experiments.text import corpus
    from bioptimus_lib.records import readable_files

    texts = [corpus(setting, name) for name in (setting.corpus, setting.fit_corpus) if name]
    return [file for text in texts for file in readable_files(text)] + weights(setting)
