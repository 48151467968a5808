"""What a training tells while it runs: bar, log, held-out loss, checkpoints by the clock."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm
from transformers import (
    PreTrainedModel,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from bioptimus_lib.files import atomic_write, json_lines

#: A test on held-out text: the model goes in, numbers come out.
Examine = Callable[[PreTrainedModel], dict[str, float]]
BAR = "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} steps{postfix}"


class Recorder(TrainerCallback):
    """Progress bar, JSON-lines log, held-out loss, checkpoints by the clock.

    Args:
        out: folder of ``log.jsonl``. Its lines are of two kinds: ``loss`` of the steps since the
            last such line, with its ``terms`` where it has several, and ``held_out_loss``.
        save_minutes: between checkpoints.
        tokens_per_step: of all processes.
        progress: show the bar.
        examine: a test of the model on held-out text.
        examine_at: the steps after which it is made; 0 is before the first.
    """

    def __init__(
        self,
        *,
        out: Path,
        save_minutes: float,
        tokens_per_step: int,
        progress: bool,
        examine: Examine,
        examine_at: Collection[int],
    ) -> None:
        self.file, self.save_minutes = out / "log.jsonl", save_minutes
        self.tokens_per_step, self.progress = tokens_per_step, progress
        self.examine, self.examine_at = examine, frozenset(examine_at)
        self.examined: dict[int, dict[str, float]] = {}
        self.bar: tqdm | None = None
        self.speed = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
        model: Any = None, **_: Any,
    ) -> None:  # fmt: skip
        self.started = self.saved = time.monotonic()
        self.first, self.tested = state.global_step, 0.0
        if not state.is_world_process_zero:
            return
        # A resumed run repeats the steps after its checkpoint: their old lines go.
        rows = json_lines(self.file) if self.file.exists() else []
        kept = [row for row in rows if row["step"] <= state.global_step]
        with atomic_write(self.file) as file:
            file.writelines(json.dumps(row) + "\n" for row in kept)
        for row in kept:
            if "held_out_loss" in row:  # to the last digit: who goes on ends with the same numbers
                self.examined[row["step"]] = {
                    key.removeprefix("held_out_"): value
                    for key, value in row.items() if key.startswith("held_out_")
                }  # fmt: skip
        self.bar = tqdm(
            total=state.max_steps, initial=state.global_step, bar_format=BAR,
            disable=not self.progress, mininterval=1.0,
        )  # fmt: skip
        self._examine(model, state)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
        model: Any = None, **_: Any,
    ) -> None:  # fmt: skip
        last = state.global_step >= state.max_steps
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)
            self._examine(model, state)
        if self._time_to_save(args, state):
            control.should_save = True
            self.saved = time.monotonic()
        if control.should_save or last:
            control.should_log = True  # comes first: a NaN is seen before it is saved

    def _time_to_save(self, args: TrainingArguments, state: TrainerState) -> bool:
        """Whether the minutes are over; of several processes the first decides for all."""
        over = time.monotonic() - self.saved > 60 * self.save_minutes
        if args.world_size == 1:
            return over
        if state.global_step % args.logging_steps:  # they wait for each other then anyway
            return False
        answer = torch.tensor(int(over), device=args.device)
        torch.distributed.broadcast(answer, 0)
        return bool(answer.item())

    def _examine(self, model: PreTrainedModel, state: TrainerState) -> None:
        if state.global_step not in self.examine_at - self.examined.keys():
            return
        began = time.monotonic()
        found = self.examined[state.global_step] = self.examine(model)
        self.tested += time.monotonic() - began
        self._write(
            step=state.global_step, tokens=state.global_step * self.tokens_per_step,
            **{f"held_out_{name}": value for name, value in found.items()},
        )  # fmt: skip

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
        logs: dict[str, Any] | None = None, **_: Any,
    ) -> None:  # fmt: skip
        if not logs or "loss" not in logs:
            return
        done = state.global_step - self.first
        seconds = max(time.monotonic() - self.started - self.tested, 1e-9)
        self.speed = done * self.tokens_per_step / seconds
        if self.bar is None:
            return
        self._write(
            step=state.global_step,
            tokens=state.global_step * self.tokens_per_step,
            loss=round(float(logs["loss"]), 5),
            grad_norm=round(float(logs.get("grad_norm", float("nan"))), 4),
            learning_rate=logs.get("learning_rate"),
            tokens_per_second=round(self.speed),
            **({"terms": logs["terms"]} if "terms" in logs else {}),
        )
        minutes = (state.max_steps - state.global_step) * seconds / max(done, 1) / 60
        self.bar.set_postfix_str(
            f"loss {logs['loss']:.3f}, {self.speed:,.0f} tokens/s, {minutes:.1f} min left"
        )

    def _write(self, **row: Any) -> None:
        with self.file.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self.bar is not None:
            self.bar.close()


class Watcher(TrainerCallback):
    """Calls ``watch`` with the number of each step that is done."""

    def __init__(self, watch: Callable[[int], None]) -> None:
        self.watch = watch

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.watch(state.global_step)
