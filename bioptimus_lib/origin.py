"""Where a distilled model came from: a note in its folder that names the old one."""

from __future__ import annotations

import json
import os
from pathlib import Path

from bioptimus_lib.files import atomic_write

ORIGIN = "distillation.json"


def origin_of(folder: str | Path) -> Path:
    """The folder of the model from which the one in ``folder`` was distilled.

    Raises:
        FileNotFoundError: that is not written there, or it is gone.
    """
    file = Path(folder) / ORIGIN
    if not file.is_file():
        raise FileNotFoundError(
            f"{file} is not there, so it is unknown from which model {folder} was distilled: "
            "give that model itself as --model, without --plain"
        )
    old = Path(os.path.normpath(Path(folder) / json.loads(file.read_bytes())["model"]))
    if not (old / "config.json").is_file():
        raise FileNotFoundError(f"{old}, from which {folder} was distilled, is not there any more")
    return old


def write_origin(folder: str | Path, old: str | Path) -> None:
    """Note in the folder of a distilled model where the old one is, seen from there."""
    place = Path(old).resolve()
    try:
        seen = os.path.relpath(place, Path(folder).resolve())
    except ValueError:  # on another drive of Windows; as it is, it is found from anywhere
        seen = str(place)
    with atomic_write(Path(folder) / ORIGIN) as file:
        json.dump({"model": seen}, file)
