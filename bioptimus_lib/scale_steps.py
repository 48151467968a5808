"""What a lesson on many workers needs: a worker that dies, a step in parts, a training that is
started on several processes and stopped.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import torch
    from distributed import Client
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bioptimus_lib.masking import Masking

# -- a cluster, and a worker that dies -------------------------------------------------------------


@contextmanager
def local_cluster(processes: int = 2) -> Iterator[Client]:
    """A Dask cluster of processes on this machine, a thread each, for the time of the block.

    Raises:
        ModuleNotFoundError: Dask is not there, with what to install.
    """
    try:
        import dask
        from distributed import Client, LocalCluster
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{error.name} is missing: pip install 'dask[distributed]' (the extra scale)"
        ) from None
    with (
        dask.config.set({"distributed.worker.daemon": True}),
        LocalCluster(
            n_workers=processes, threads_per_worker=1, dashboard_address=None, silence_logs=50
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


_T = TypeVar("_T")


class KillAfter(Executor):
    """Hands its tasks on to another executor, and sends SIGKILL to a process once so many are done.

    Args:
        executor: does the work.
        pid: who dies.
        results: after how many results.
    """

    def __init__(self, executor: Executor, pid: int, *, results: int) -> None:
        self.executor, self.pid, self.results = executor, pid, results
        self.killed = False

    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Future[_T]:
        """Hand a task on."""
        future = self.executor.submit(fn, *args, **kwargs)
        future.add_done_callback(self._count)
        return future

    def _count(self, _: Future[Any]) -> None:
        self.results -= 1
        if self.results == 0:
            self.killed = True
            os.kill(self.pid, signal.SIGKILL)


# -- a step in parts -------------------------------------------------------------------------------


def parts_of_step(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: np.ndarray,
    *,
    masking: Masking,
    parts: int,
    seed: int = 0,
) -> tuple[torch.Tensor, list[torch.Tensor], list[int]]:
    """The gradient of a step, and those of its parts.

    Args:
        rows: blocks of the step (G, T).
        parts: how many processes would share it; G is a multiple.
        seed: of the masks, which are drawn once, for all parts.

    Returns:
        The gradient (P,) of the mean loss of the whole step; for each part that of the mean loss of
        its own guesses; and how many guesses each part has.
    """
    import torch

    from bioptimus_lib.masked_loss import masked_logits
    from bioptimus_lib.masking import PieceTable, generator_for, mask

    if len(rows) % parts:
        raise ValueError(f"{len(rows)} blocks cannot be shared out equally to {parts} processes")
    ids = torch.from_numpy(rows.astype("int64"))
    inputs, labels = mask(ids, masking, PieceTable.of(tokenizer), generator=generator_for(seed))

    def gradient(part: slice) -> tuple[torch.Tensor, int]:
        model.zero_grad()
        logits, target = masked_logits(model, inputs[part], labels[part])
        torch.nn.functional.cross_entropy(logits.float(), target).backward()
        found = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        return found, len(target)

    size = len(rows) // parts
    whole, _ = gradient(slice(None))
    some = [gradient(slice(n * size, (n + 1) * size)) for n in range(parts)]
    model.zero_grad()
    return whole, [g for g, _ in some], [n for _, n in some]


def plain_mean_trainer(**arguments: Any) -> Any:
    """A trainer with the mistake of this lesson: each part of a step divides by its own guesses,
    and the parts are averaged as if they were equally heavy."""
    import torch

    from bioptimus_lib.masked_loss import masked_logits
    from bioptimus_lib.masked_trainer import Batch, MaskedTrainer

    class PlainMean(MaskedTrainer):
        def compute_loss(
            self, model: Any, inputs: Batch, return_outputs: bool = False,
            num_items_in_batch: torch.Tensor | int | None = None,
        ) -> torch.Tensor | tuple[torch.Tensor, Any]:  # fmt: skip
            logits, target = masked_logits(model, *self.draw(inputs["input_ids"]))
            loss = torch.nn.functional.cross_entropy(logits.float(), target)
            self.recent.append((self.step + 1, loss.detach()))
            return (loss, {"logits": logits}) if return_outputs else loss

    return PlainMean(**arguments)


# -- a training on several processes ---------------------------------------------------------------


@dataclass(frozen=True)
class Command:
    """A command line and the environment to run it in."""

    argv: list[str]
    environment: Mapping[str, str] = field(repr=False)

    def __str__(self) -> str:
        """As one would type it, without the paths of this machine."""
        words = self.argv[self.argv.index("torch.distributed.run") + 1 :]
        return " ".join(["torchrun", *(Path(w).name if os.path.isabs(w) else w for w in words)])


def torchrun(
    processes: int, model: Path, corpus: Path, out: Path, *, steps: int, batch: int,
    **options: Any,
) -> Command:  # fmt: skip
    """The command that trains on so many processes of this machine's CPU, a thread each.

    Args:
        batch: blocks of a step on all processes together.
        options: further ones of ``bioptimus pretrain``, such as ``save_steps=10``; the masking is
            that of phase 1 unless they say otherwise.

    Raises:
        ValueError: a step cannot be shared out equally.
    """
    if processes < 1 or batch % processes:
        raise ValueError(f"{batch} blocks cannot be shared out equally to {processes} processes")
    if not {"phase", "unit"} & options.keys():
        options["phase"] = 1
    words = [w for k, v in options.items() for w in (f"--{k.replace('_', '-')}", str(v))]
    argv = [
        sys.executable, "-m", "torch.distributed.run", "--standalone",
        f"--nproc-per-node={processes}", "-m", "bioptimus_lib", "pretrain",
        "--model", str(Path(model).resolve()), "--corpus", str(Path(corpus).resolve()),
        "--out", str(Path(out).resolve()), "--steps", str(steps),
        "--batch", str(batch // processes), "--device", "cpu", "--quiet", *words,
    ]  # fmt: skip
    paths = [str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join(filter(None, paths))
    return Command(argv, os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path})


def killed_when(
    command: Command, ready: Callable[[], object], *, seconds: float = 300.0
) -> int | None:
    """Start a command in a group of processes of its own, and kill all of them as soon as something
    is there. Returns None if they were killed, else the code with which the command had ended.

    Raises:
        TimeoutError: nothing came within so many seconds; the processes are killed, too.
    """
    run = subprocess.Popen(
        command.argv, env=command.environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    until = time.monotonic() + seconds
    try:
        while not ready():
            if run.poll() is not None:
                return run.returncode
            if time.monotonic() > until:
                raise TimeoutError(f"nothing was there after {seconds:.0f} seconds")
            time.sleep(0.02)
        return None
    finally:
        kill_group(run)


def kill_group(run: subprocess.Popen[Any]) -> None:
    """SIGKILL to a process and to all of its descendants; ``torchrun`` gives each of its processes
    a group of its own."""
    everybody = [run.pid, *_descendants(run.pid)]
    for pid in everybody:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    run.wait()


def _descendants(pid: int) -> list[int]:
    ps = shutil.which("ps")
    if ps is None:
        return []
    lines = subprocess.run([ps, "-eo", "pid=,ppid="], capture_output=True, text=True).stdout
    children: dict[int, list[int]] = {}
    for line in lines.splitlines():
        child, parent = map(int, line.split())
        children.setdefault(parent, []).append(child)
    found, left = [], [pid]
    while left:
        left = [c for p in left for c in children.get(p, [])]
        found += left
    return found


def curve(folder: Path) -> dict[int, float]:
    """Step → loss of a training's ``log.jsonl``.

    Raises:
        ValueError: a step is there twice.
    """
    from bioptimus_lib.files import json_lines

    rows = [row for row in json_lines(Path(folder) / "log.jsonl") if "loss" in row]
    found = {row["step"]: row["loss"] for row in rows}
    if len(found) < len(rows):
        raise ValueError(f"{folder}: {len(rows) - len(found)} steps are logged twice")
    return found
