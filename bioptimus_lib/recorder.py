"""What a training tells while it runs: bar, log, checkpoints by the clock, a stop at a NaN."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

from tqdm.auto import tqdm
from transformers import TrainerCallback


class Recorder(TrainerCallback):
    """Progress bar, JSON-lines log, checkpoints by the clock, a stop at the first NaN."""

    def __init__(
        self, *, save_minutes: float, out: Path, tokens_per_step: int, progress: bool
    ) -> None:
        self.save_minutes, self.file = save_minutes, out / "log.jsonl"
        self.tokens_per_step, self.progress = tokens_per_step, progress
        self.bar = None

    def on_train_begin(self, args, state, control, **_):
        self.started = self.saved = time.monotonic()
        self.first = state.global_step
        if state.is_world_process_zero:
            # A resumed run repeats the steps after its checkpoint: their old lines go.
            lines = self.file.read_text().splitlines() if self.file.exists() else []
            kept = [li for li in lines if json.loads(li)["step"] <= state.global_step]
            self.file.write_text("".join(f"{line}\n" for line in kept))
            self.bar = tqdm(
                total=state.max_steps,
                initial=state.global_step,
                unit="step",
                disable=not self.progress,
                mininterval=1.0,
            )

    def on_step_end(self, args, state, control, **_):
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)
        if time.monotonic() - self.saved > 60 * self.save_minutes:
            control.should_save = True
            self.saved = time.monotonic()
        if control.should_save:
            control.should_log = True  # comes first: a NaN is seen before it is saved

    def on_log(self, args, state, control, logs=None, **_):
        if not logs or "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise FloatingPointError(
                f"the loss is {logs['loss']} at step {state.global_step}: the last checkpoint in "
                f"{args.output_dir} is good; lower the learning rate and run again"
            )
        seconds = time.monotonic() - self.started
        speed = (state.global_step - self.first) * self.tokens_per_step / max(seconds, 1e-9)
        if state.is_world_process_zero:
            row = {
                "step": state.global_step,
                "tokens": state.global_step * self.tokens_per_step,
                "loss": round(float(logs["loss"]), 5),
                "grad_norm": round(float(logs.get("grad_norm", float("nan"))), 4),
                "learning_rate": logs.get("learning_rate"),
                "tokens_per_second": round(speed),
            }
            with self.file.open("a") as file:
                file.write(json.dumps(row) + "\n")
        if self.bar is not None:
            self.bar.set_postfix(loss=f"{logs['loss']:.3f}", tok_s=f"{speed:,.0f}")

    def on_train_end(self, args, state, control, **_):
        if self.bar is not None:
            self.bar.close()
