"""The clinical models of the second paper, made by name beside a general model of any size.

The paper's chain has three links: a biomedical model reads notes (Bio_ClinicalBERT, the teacher),
small biomedical models stand ready (BioDistilBERT, BioMobileBERT), and from these come the five
clinical ones, by distillation or by continual training. Here every link is made on the reader's own
text, in steps of equal number, so that the five can be compared. The teacher's steps come on top of
those of its students, and the starts' on top of those of the models that go on from them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioptimus_lib.compress import compress
from bioptimus_lib.curriculum import PHASES
from bioptimus_lib.phases import pretrain_phases
from bioptimus_lib.recipes import CLINICAL, RECIPES, Recipe
from bioptimus_lib.recipes import recipe as recipe_of

if TYPE_CHECKING:
    from bioptimus_lib.pretrain import Settings

NAMES = tuple(row.name for row in RECIPES.values() if row.paper == CLINICAL)
GENERAL, TEACHER = "never read a note", "teacher"
#: For a start that the paper trains on: the recipe by which its stand-in is made here on biomedical
#: text, beside the general model. BioDistilBERT itself goes on from DistilBERT, a general student;
#: ours is distilled from the general model at once. MobileBERT has no stand-in that knows anything,
#: so its start has read what is given here, and no more.
STARTS = {"BioDistilBERT": "DistilBioBERT", "BioMobileBERT": "BioMobileBERT"}


@dataclass(frozen=True)
class Made:
    """A model on disk.

    Args:
        name: of the recipe, or one of ``GENERAL`` and ``TEACHER``, or of a start.
        folder: of the model.
        before: held-out loss and accuracy on notes before the training on them, where it is known.
        after: the same afterwards.
        parameters: with the head, as trained.
        steps: on notes.
    """

    name: str
    folder: Path
    before: dict[str, float] | None = None
    after: dict[str, float] | None = None
    parameters: int | None = None
    steps: int = 0


def make(
    general: str | Path,
    notes: str | Path,
    biomedical: str | Path,
    *,
    out: str | Path,
    settings: Settings,
    length: int = 128,
    names: Sequence[str] = NAMES,
    device: str | None = None,
    progress: bool = False,
    tell: Callable[[Made], None] = lambda made: None,
) -> dict[str, Made]:
    """Make clinical models by name, and what they come from; what is done is not done again.

    Args:
        general: folder of a masked language model with its head; teacher and starts begin with it.
        notes: folder of text, as ``bioptimus corpus`` writes it.
        biomedical: folder of text for the starts.
        out: gets a folder for each model.
        settings: of each training, notes or biomedical text; the rates are not the paper's.
        length: pieces per block, T.
        names: recipes of the second paper.
        device: ``cpu`` keeps off a GPU that is there.
        progress: show progress bars.
        tell: is given each model when it is done.

    Returns:
        ``GENERAL``, ``TEACHER``, the starts that were needed, and the models, in this order.

    Raises:
        ValueError: a recipe that is not of the second paper.
        FileNotFoundError, DataError, FloatingPointError, OSError: see ``compress``.
    """
    plan = [recipe_of(name) for name in names]
    if other := [row.name for row in plan if row.paper != CLINICAL]:
        raise ValueError(f"{other[0]} is no clinical model: choose of {', '.join(NAMES)}")
    out = Path(out)
    common: dict[str, Any] = {"device": device, "progress": progress}
    made: dict[str, Made] = {GENERAL: Made(GENERAL, Path(general))}

    def keep(one: Made) -> None:
        made[one.name] = one
        tell(one)

    (trained,) = pretrain_phases(
        general, notes, out / TEACHER, settings=settings, phases=PHASES[:1], length=length, **common
    )  # fmt: skip
    keep(_made(TEACHER, trained))
    for start in dict.fromkeys(row.start for row in plan if row.continues):
        keep(_start(start, general, biomedical, out=out, settings=settings, length=length,
                    **common))  # fmt: skip
    for row in plan:
        given: dict[str, Any] = {"start": made[row.start].folder} if row.continues else {
            "teacher": made[TEACHER].folder
        }  # fmt: skip
        found = compress(row, notes, out=out / row.name, settings=settings, length=length,
                         **given, **common)  # fmt: skip
        keep(_made(row.name, found))
    return made


def _start(name: str, general: str | Path, corpus: str | Path, *, out: Path, **how: Any) -> Made:
    """A small biomedical model, the stand-in for one that the paper goes on from."""
    plan: Recipe = recipe_of(STARTS[name])
    folder = out / f"start-{name}"
    if not plan.continues:
        found = compress(plan, corpus, out=folder, teacher=general, **how)
    else:
        start = _random(plan, general, folder, seed=how["settings"].seed)
        found = compress(plan, corpus, out=folder, start=start, **how)
    return replace(_made(name, found), steps=0)


def _random(plan: Recipe, general: str | Path, folder: Path, *, seed: int) -> Path:
    """A student with random weights on disk, of the general model's vocabulary; made anew unless
    the training that begins with it has begun."""
    from bioptimus_lib.models import load_masked_lm, save_model
    from bioptimus_lib.students import random_student

    place = folder.with_name(f"{folder.name}-random")
    if not ((folder / "config.json").is_file() and (place / "config.json").is_file()):
        model, tokenizer = load_masked_lm(general)
        save_model(random_student(plan, model.config, seed=seed), tokenizer, place)
    return place


def _made(name: str, row: dict[str, Any]) -> Made:
    at = row.get("held_out_at", {})
    first = at.get("0", at.get(0))
    return Made(name, Path(row["folder"]), first, row["held_out"], row.get("parameters"),
                row["steps"])  # fmt: skip
