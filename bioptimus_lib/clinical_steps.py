"""Steps of the clinical lesson: text to train on, a task to judge by, sizes at full scale, errors.

The experiments ``clinical`` and ``memorisation`` are made of the same steps, in larger numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioptimus_lib import pocket_notes, pocket_tasks
from bioptimus_lib.clinical_text import prepared, without_placeholders
from bioptimus_lib.errors import DataError
from bioptimus_lib.files import atomic_dir

if TYPE_CHECKING:
    from bioptimus_lib.task_runs import Job

TASK = "pocket-sections"
CASED = 28_996  # pieces of BERT's cased vocabulary
#: Parts of an encoder, by what the names of their weights hold; the first that fits.
PARTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("pieces", ("word_embeddings",)),
    ("adapters", (".passes.",)),
    ("shared layer", (".shared.",)),
    ("layers", (".layer.", ".transformer.")),
)
OTHER = "rest"  # positions, the map that widens, norms, a pooler


# -- sizes -----------------------------------------------------------------------------------------


def part_of(weight: str) -> str:
    """The part of an encoder that a weight belongs to, by its name.

    >>> part_of("encoder.passes.3.down.weight"), part_of("embeddings.LayerNorm.bias")
    ('adapters', 'rest')
    """
    name = f".{weight}"
    return next((part for part, signs in PARTS if any(s in name for s in signs)), OTHER)


def full_size(name: str, *, pieces: int = CASED) -> dict[str, int]:
    """Parameters of the parts of a recipe's encoder beside a teacher of BERT-base's shape, as the
    published numbers count them: without the head. Weights take no memory here.

    Raises:
        ValueError: no such recipe.
    """
    from bioptimus_lib.recipes import recipe
    from bioptimus_lib.students import at_full_size

    encoder = at_full_size(recipe(name), pieces).base_model
    sizes = dict.fromkeys([*(part for part, _ in PARTS), OTHER], 0)
    for weight, parameter in encoder.named_parameters():
        sizes[part_of(weight)] += parameter.numel()
    return sizes


# -- text ------------------------------------------------------------------------------------------


def note_lines(count: int, *, seed: int = 0) -> list[str]:
    """The lines of so many generated notes, a section each, as they are trained on."""
    some = islice(pocket_notes.notes(seed=seed), count)
    return [line for note in some for line in prepared(note.text).split("\n")]


def pocket_text(folder: str | Path, *, notes: int, megabytes: float) -> tuple[Path, Path]:
    """(folder of notes, folder of biomedical abstracts), generated once, read by the corpus stage:
    the notes go through ``NOTEEVENTS.csv``, as a reader's own would."""
    from bioptimus_lib.pocket import write_corpus
    from bioptimus_lib.pubmed import write_shards

    folder = Path(folder)
    places = folder / "notes", folder / "abstracts"
    if not places[0].is_dir():
        raw = pocket_notes.write_noteevents(folder / "raw" / "NOTEEVENTS.csv", count=notes)
        write_shards(raw, places[0], workers=0)
    if not places[1].is_dir():
        with atomic_dir(places[1]) as temporary:
            write_corpus(temporary, megabytes=megabytes)
    return places


# -- the task --------------------------------------------------------------------------------------


def section_jobs(
    models: Mapping[str, Path],
    sets: str | Path,
    *,
    seeds: Sequence[int],
    out: str | Path,
    examples: int | None = None,
    epochs: int = 6,
    dropout: float | None = None,
    **others: Any,
) -> list[Job]:
    """Fine-tunings of each model on the sections of generated notes, for ``task_runs.do_all``.

    Args:
        models: name → folder.
        sets: folder of the generated task; it is made if it is not there.
        examples: of train; devel has at most a third of as many, test at most twice as many.
        epochs: of each fine-tuning, more than usual: the sets are small.
        dropout: probability; ``None`` keeps the model's own.
        others: see ``task_runs.jobs``.
    """
    from bioptimus_lib.sequences import settings_for
    from bioptimus_lib.task_runs import jobs

    most = {"devel": max(1, examples // 3), "test": 2 * examples} if examples else {}
    sizes = {split: min(n, pocket_tasks.SIZES[split]) for split, n in most.items()}
    folder = pocket_tasks.generated(TASK, sets, sizes=sizes)
    changes = {"epochs": epochs, "dropout": dropout, "learning_rate": 6e-4, "batch_tokens": 512}
    settings = {name: settings_for(where, **changes) for name, where in models.items()}
    return jobs(models, TASK, folder, seeds=seeds, settings=settings, out=Path(out),
                examples=examples, **others)  # fmt: skip


# -- what a file of notes can have wrong -----------------------------------------------------------


def broken(folder: str | Path) -> dict[str, str]:
    """What the reader says of files of notes that are broken in the usual ways: fault → message,
    without the folder."""
    from bioptimus_lib.noteevents import notes

    good = pocket_notes.write_noteevents(Path(folder) / "good.csv", count=3).read_text("utf-8")
    head, rest = good.split("\n", 1)
    faults = {
        "a column is missing": "\n".join([head.replace('"CGID",', ""), rest]),
        "a quote is never closed": good.rstrip().rstrip('"') + "\n",
        "a comma too many": good.replace('"Report",', '"Report",,', 1),
        "not UTF-8": good.replace("Attending", "Attending \udcff", 1),
    }
    said = {}
    for fault, text in faults.items():
        path = Path(folder) / "NOTEEVENTS.csv"
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        try:
            for _ in notes(path):
                pass
        except DataError as error:
            said[fault] = str(error).replace(str(path), path.name)
    return said


def pieces_saved(texts: Sequence[str], tokenizer: Any) -> tuple[int, int]:
    """(pieces of the texts as they are, pieces with plain words for their placeholders)."""
    def count(some: Sequence[str]) -> int:
        return sum(map(len, tokenizer(list(some), add_special_tokens=False, verbose=False)
                       ["input_ids"]))  # fmt: skip

    return count(texts), count([without_placeholders(text) for text in texts])
