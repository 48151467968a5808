"""The curriculum on a text of one's own: a model for every phase, in a folder that can be taken up
again."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from bioptimus_lib.curriculum import PHASES, Phase
from bioptimus_lib.files import atomic_write, weights_of
from bioptimus_lib.machine import is_first, wait_for_all
from bioptimus_lib.one_phase import LOGGED, SPARE, measured_speed, train_version
from bioptimus_lib.own_text import blocks_of_step, check, lasting, prepared

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bioptimus_lib.pretrain import Settings

log = logging.getLogger(__name__)
Row = dict[str, Any]
Loaded: TypeAlias = "tuple[PreTrainedModel, PreTrainedTokenizerBase]"


def pretrain_phases(
    model: str | Path,
    corpus: str | Path,
    out: str | Path,
    *,
    settings: Settings,
    phases: Sequence[Phase] = PHASES,
    minutes: float = 0,
    length: int = 128,
    from_scratch: bool = False,
    tokenizer: str | Path | None = None,
    evaluate_every: int = 0,
    device: str | None = None,
    progress: bool = True,
    tell: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """Train through phases, each from the model of the one before; go on where it was cut.

    Args:
        model: folder of the first start.
        corpus: file or folder of text; each fiftieth document is held out.
        out: gets a folder for each version (``v0.1``, …), ``training`` with logs and checkpoints,
            and ``blocks`` with the packed text.
        settings: of each phase; its seed and its lines of the log are made from these.
        phases: in order.
        minutes: for all phases together, instead of ``settings.steps``: by a measured speed.
        length: pieces per block, T.
        from_scratch: begin with random weights in the shape of the model.
        tokenizer: folder of another vocabulary, for random weights alone.
        evaluate_every: steps between tests on held-out text, beside those before the first and
            after the last.
        device: ``cpu`` keeps off a GPU that is there.
        progress: show progress bars.
        tell: is given the row of each phase when it is done.

    Returns:
        A row for each phase, as ``train_version`` gives it, with ``version`` and ``folder``.

    Raises:
        ValueError, FileNotFoundError, DataError: before anything is done; see ``check``.
        FloatingPointError, OSError: see ``pretrain``.
    """
    from bioptimus_lib.models import check_device

    out, where = Path(out), check_device(device, settings.precision)
    load = _start(Path(model), tokenizer, from_scratch=from_scratch, seed=settings.seed)
    first, pieces = load()
    files = check(first, corpus, length=length, minutes=minutes, phases=phases)
    configuration = {
        "model": str(Path(model).resolve()),
        "weights": weights_of(model),
        "corpus": str(Path(corpus).resolve()),
        "tokenizer": tokenizer and str(Path(tokenizer).resolve()),
        "from_scratch": from_scratch,
        "phases": [f"{phase.version}: {phase.masking}" for phase in phases],
        "length": length,
        "budget": f"{minutes:g} minutes" if minutes else f"{settings.steps} steps",
        **lasting(settings),
    }
    blocks, held_out = prepared(
        out, files, first, pieces, configuration=configuration, length=length, device=where
    )
    steps = settings.steps
    if minutes:
        file = out / "budget.json"
        if not file.exists():
            speed = measured_speed(first, pieces, blocks, settings=settings, device=device)
            first, pieces = load()
            if is_first():
                with atomic_write(file) as handle:
                    json.dump(_budget(minutes, speed, settings, length, len(phases)), handle)
        wait_for_all(where)
        steps = json.loads(file.read_bytes())["steps"]
    rows = []
    for place, phase in enumerate(phases):
        file = out / "training" / f"{phase.version}.json"
        if not file.exists():
            if place:
                load = _start(out / phases[place - 1].version)
                first, pieces = load()
            log.info("%s: %s", phase.version, phase.masking)
            row = train_version(
                first,
                pieces,
                blocks,
                held_out,
                masking=phase.masking,
                settings=_of_phase(settings, phase, steps, evaluate_every),
                training=out / "training" / phase.version,
                goal=out / phase.version,
                device=device,
                progress=progress,
            )
            if is_first():
                with atomic_write(file) as handle:
                    json.dump({"version": phase.version, **row}, handle)
            wait_for_all(where)
        rows.append({**json.loads(file.read_bytes()), "folder": str(out / phase.version)})
        tell(rows[-1])
    return rows


def _start(
    folder: Path,
    tokenizer: str | Path | None = None,
    *,
    from_scratch: bool = False,
    seed: int = 0,
) -> Callable[[], Loaded]:
    """What loads the first model and its tokenizer; each call gives them anew.

    Raises:
        ValueError: another vocabulary for a model that is trained already.
    """
    from transformers import AutoTokenizer

    from bioptimus_lib.models import load_masked_lm, random_masked_lm

    if not from_scratch:
        if tokenizer is not None:
            raise ValueError(
                "a trained model has no embeddings for another vocabulary: 'bioptimus distill' "
                "makes them; --tokenizer is for --from-scratch"
            )
        return lambda: load_masked_lm(folder)

    def random() -> Loaded:
        pieces = AutoTokenizer.from_pretrained(tokenizer or folder, local_files_only=True)
        return random_masked_lm(folder, pieces, seed=seed), pieces

    return random


def _of_phase(settings: Settings, phase: Phase, steps: int, every: int) -> Settings:
    return replace(
        settings,
        steps=steps,
        seed=settings.seed * len(PHASES) + phase.number,
        log_steps=max(1, steps // LOGGED),
        evaluate_at=(0, *(range(every, steps, every) if every else ()), steps),
    )


def _budget(minutes: float, speed: float, settings: Settings, length: int, phases: int) -> Row:
    steps = int(60 * minutes * SPARE * speed / (blocks_of_step(settings) * length) / phases)
    if steps < 10:
        raise ValueError(
            f"{minutes:g} minutes are {steps} steps a phase at {speed:,.0f} pieces a second: "
            f"give --minutes {2 * minutes * 10 / max(steps, 1):.0f} or more"
        )
    return {"steps": steps, "tokens_per_second": round(speed)}
