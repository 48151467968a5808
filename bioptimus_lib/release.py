"""A model of a run as a folder that one can give away: weights, tokenizer, card, and what they are.

What is released is loaded first, by our own rules (safetensors alone, no number that is none, a
tokenizer that fits) and written anew, so that nothing else of the run's folder comes along. The
numbers of the card are the rows that the run gives to the ledger. ``release.json`` holds the hash
of every file; ``hub.push`` sends a folder only if they still fit.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioptimus_lib import __version__
from bioptimus_lib.curriculum import PHASES, Phase
from bioptimus_lib.errors import DataError
from bioptimus_lib.files import atomic_dir, sha256_of
from bioptimus_lib.model_card import card
from bioptimus_lib.pipeline import Run
from bioptimus_lib.release_facts import Facts, Material

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bioptimus_lib.conll import Sentence

log = logging.getLogger(__name__)
MANIFEST = "release.json"
SUITED = 0.005  # F1 in percent that two fine-tunings of one seed may differ by


def phase_of(version: str) -> Phase:
    """The phase that makes a version, ``0.4`` or ``v0.4``; ValueError if there is none."""
    for phase in PHASES:
        if version.removeprefix("v") == phase.version.removeprefix("v"):
            return phase
    known = ", ".join(phase.version.removeprefix("v") for phase in PHASES)
    raise ValueError(f"version {version!r} is unknown: choose one of {known}")


def finished(folder: str | Path, *, progress: bool = True) -> tuple[Run, dict[str, Any]]:
    """A run whose stages are all done, and its report.

    Raises:
        FileNotFoundError: no run in the folder.
        DataError: it is not complete, or not of this version.
    """
    run = Run.opened(folder, progress=progress)
    missing = [stage.name for stage in run.stages if run.done(stage.name) is None]
    file = run.out / "report.json"
    if missing or not file.is_file():
        what = f"stage {missing[0]}" if missing else "the report"
        raise DataError(
            f"the run is not complete, {what} is missing: go on with 'bioptimus run "
            f"--out {folder}'",
            path=folder,
        )
    return run, json.loads(file.read_text(encoding="utf-8"))


def release(
    folder: str | Path,
    version: str,
    out: str | Path,
    *,
    tagger: str | Path | None = None,
    licence: str | None = None,
    watts: float | None = None,
    onnx: bool = False,
) -> Path:
    """Make the release folder of a version, or of a tagger that was made from it.

    Args:
        folder: of a finished run.
        version: ``0.1`` to ``0.4``.
        out: gets the folder ``v0.4``, or ``v0.4-<set>`` for a tagger; an older release in its
            place is replaced.
        tagger: folder of a fine-tuning of this version, as ``bioptimus ner --save-model`` keeps it.
        licence: of the weights, as the hub names it; by default what ``model_card`` says.
        watts: what the machine drew on average, if somebody has measured it.
        onnx: add the model as ONNX, checked against PyTorch, and a copy of it in 8 bits, with what
            that costs on the run's test sentences (``onnx_release``).

    Returns:
        The folder, which plain Transformers loads.

    Raises:
        FileNotFoundError, DataError: no run, or one that is not complete, or no sound model.
        ValueError: no such version, a tagger of another model, a folder that is no release, or an
            ONNX file that answers otherwise than PyTorch.
        ModuleNotFoundError: ONNX is wanted and its packages are missing.
    """
    from bioptimus_lib.models import load_masked_lm
    from bioptimus_lib.onnx_model import check_installed

    if onnx:
        check_installed()
    phase = phase_of(version)
    run, report = finished(folder)
    source = run.folder(phase.version)
    facts = facts_of(run, report, phase, licence=licence, watts=watts)
    if tagger is None:
        model, tokenizer = load_masked_lm(source, needs_head=True)
        tests = test_sentences(run, report["dataset"], report["dataset"]) if onnx else None
        return write(model, tokenizer, facts, Path(out) / phase.version, tests=tests)
    model, tokenizer, result, dataset = tagger_of(Path(tagger), source)
    facts = facts.with_tagger(
        dataset=dataset, labels=tuple(model.config.id2label[i] for i in range(model.num_labels)),
        metrics=result["metrics"], seed=result["settings"]["seed"], seconds=result["seconds"],
        sentences=result["origin"].get("sentences"),
    )  # fmt: skip
    tests = test_sentences(run, report["dataset"], dataset) if onnx else None
    return write(model, tokenizer, facts, Path(out) / f"{phase.version}-{dataset}", tests=tests)


def test_sentences(run: Run, own: str, dataset: str) -> list[Sentence]:
    """The test part of a set by its name: the run's own, or one of the table."""
    from bioptimus_lib import ner_sets
    from bioptimus_lib.conll import read_conll, split_files
    from bioptimus_lib.fine_tunings import ner_folder

    if dataset == own:
        folder = ner_folder(run)
    else:
        folder = ner_sets.folder_of(dataset, progress=run.progress)
    return read_conll(split_files(folder)["test"])


def write(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    facts: Facts,
    goal: Path,
    *,
    tests: Sequence[Sentence] | None = None,
) -> Path:
    """The release folder, whole or not at all; with ONNX files if there are sentences to try them
    on."""
    from bioptimus_lib.models import no_bars
    from bioptimus_lib.onnx_release import add_onnx

    if goal.exists() and not (goal / MANIFEST).is_file():
        raise ValueError(f"{goal} is there and is no release: choose another --out")
    if not type(model).__module__.startswith("transformers."):
        raise ValueError(
            f"a {type(model).__name__} cannot be released: Transformers alone does not know it"
        )
    with no_bars(), atomic_dir(goal) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        onnx = add_onnx(model, tokenizer, temporary, sentences=tests) if tests is not None else None
        text = card(facts, parameters=model.num_parameters(), pieces=len(tokenizer), onnx=onnx)
        (temporary / "README.md").write_text(text, encoding="utf-8")
        manifest = {
            "name": facts.name, "version": facts.version, "made_with": f"bioptimus {__version__}",
            "run": {"profile": facts.profile, "seed": facts.seed, "commit": facts.commit},
            **({"onnx": onnx} if onnx else {}),
            "files": {path.name: sha256_of(path) for path in sorted(temporary.iterdir())},
        }  # fmt: skip
        (temporary / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return goal


# --- what is told of it ------------------------------------------------------------------------


def facts_of(
    run: Run,
    report: Mapping[str, Any],
    phase: Phase,
    *,
    licence: str | None = None,
    watts: float | None = None,
) -> Facts:
    """What a card tells of a version of a run."""
    from bioptimus_lib.run_rows import rows_of

    rows = rows_of(run, dict(report))
    made = {"corpus", "warm-up", "vocabulary", "keywords", "contexts", "distillation", "budget"}
    made |= {f"phase{number}" for number in range(1, phase.number + 1)}
    done = run.finished(f"phase{phase.number}")
    backbone = run.profile.backbone
    return Facts(
        version=phase.version, profile=run.profile.name, masking=str(phase.masking),
        backbone=Material.named(backbone),
        corpus=Material.named(rows[0]["corpus"], own=run.corpus_source is not None),
        dataset=Material.named(report["dataset"], own=run.ner_source is not None),
        sentences=report["sentences"], megabytes=run.finished("corpus")["bytes"] / 1e6,
        steps=phase.number * run.finished("budget")["steps"],
        tokens=sum(run.finished(f"phase{n}")["tokens"] for n in range(1, phase.number + 1)),
        length=run.profile.length, held_out=done["held_out"], rows=rows, in_ledger=in_ledger(rows),
        seconds=sum(run.finished(s.name)["seconds"] for s in run.stages if s.name in made),
        device=report["provenance"]["device"], versions=report["provenance"]["versions"],
        commit=report["provenance"]["commit"], seed=run.seed, licence=licence, watts=watts,
    )  # fmt: skip


def in_ledger(rows: list[dict[str, Any]]) -> bool:
    """Whether the ledger holds these very rows."""
    from bioptimus_lib import ledger

    try:
        there = {ledger.key(row): row["metrics"] for row in ledger.read("run")}
    except FileNotFoundError:
        return False
    return all(there.get(ledger.key(row)) == row["metrics"] for row in rows)


def tagger_of(place: Path, source: Path) -> tuple[Any, Any, dict[str, Any], str]:
    """Model, tokenizer, result and name of the set of a fine-tuning that was kept.

    Raises:
        FileNotFoundError: no fine-tuning with its model in the folder.
        ValueError: it was made from another model.
    """
    from bioptimus_lib.kept import model_hashes
    from bioptimus_lib.sources import model_path
    from bioptimus_lib.tagger import load_tagger

    file = place / "result.json"
    if not file.is_file() or not (place / "model").is_dir():
        raise FileNotFoundError(
            f"{place} holds no fine-tuning with its model: keep one with 'bioptimus ner "
            "--save-model', or give --fine-tune"
        )
    result = json.loads(file.read_text(encoding="utf-8"))
    try:
        origin, data = result["origin"]["model"], result["provenance"]["data"]
        if place.name == f"seed-{result['settings']['seed']}":  # <set>/<model>/seed-<n>
            dataset = place.absolute().parent.parent.name
        else:
            dataset = next(Path(path).parent.name for path in data if path.endswith("train.tsv"))
    except (KeyError, TypeError, StopIteration):
        raise DataError("it does not say what it was made from", path=file) from None
    if origin != model_hashes(source):
        raise ValueError(f"{place} was fine-tuned from another model than {source}")
    tagger = load_tagger(model_path(place / "model"))
    return tagger.model, tagger.tokenizer, result, dataset


def fine_tuned(folder: str | Path, version: str, seed: int, *, progress: bool = True) -> Path:
    """The fine-tuning of a run once more, this time with its model kept; returns its folder.

    A run keeps the scores of its taggers, not their weights. The same seed gives the same tagger,
    on the same kind of machine to the last digit; a score that differs is logged as a warning.

    Raises:
        ValueError: the run has no fine-tuning of that seed.
    """
    from bioptimus_lib import fine_tunings, ner_runs
    from bioptimus_lib.conll import split_files

    phase = phase_of(version)
    run, report = finished(folder, progress=progress)
    files = sorted((run.out / "ner").glob(f"{phase.version}-seed*.json"))
    known = {int(path.stem.partition("-seed")[2]): path for path in files}
    if seed not in known:
        raise ValueError(
            f"the run has no seed {seed} of {phase.version}: there are {sorted(known)}"
        )
    _, threads = fine_tunings.side_by_side(run, fine_tunings.ner_splits(run))
    job = ner_runs.Job(
        phase.version, run.folder(phase.version), report["dataset"],
        split_files(fine_tunings.ner_folder(run)),
        fine_tunings.ner_settings(run.profile, seed=seed),
        run.out / "taggers" / report["dataset"] / phase.version / f"seed-{seed}",
        sentences=run.profile.ner_sentences, device=run.device, threads=threads,
        progress=progress, keep_model=True,
    )  # fmt: skip
    before = json.loads(known[seed].read_text(encoding="utf-8"))["metrics"]["f1"]
    now = ner_runs.do(job)["metrics"]["f1"]
    if abs(now - before) > SUITED:
        log.warning("F1 is %.2f here and was %.2f in the run: another machine?", now, before)
    return job.place
