"""``bioptimus bench scale``: how time and memory grow with text and with workers.

Jobs from 1 to 32 times the text on 1, 2 and 4 workers, each timed as often as there are rounds, the
fastest kept, since what disturbs a job only makes it slower. A law is to be fitted to the small
ones on one and two workers and tried on the others; which ones those are is written down with each
job, before any law is made. ``cost`` reads the rows.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bioptimus_lib import options
from bioptimus_lib.bench_pretrain import random_model, sentences_of, tokenizer_of, useful_flops
from bioptimus_lib.bench_text import equal_parts, rare_words
from bioptimus_lib.scaling import Job, ceiling_in_words, check, fit, largest_error

EXPERIMENT = "bench-scale"
FITTED = "fitted"  # metric: 1 for a job that the law is made from
TIMES = (1, 2, 4, 8, 16, 32)
WORKERS = (1, 2, 4)
#: A law is fitted to jobs of at most so many times the text, on at most so many workers.
FIT_TIMES, FIT_WORKERS = 4, 2
BATCH, LENGTH = 16, 128  # blocks of a step on all processes, and their pieces
#: shape, vocabulary, processes, steps, and whether one run gives all multiples of its text
Training = tuple[str, int, int, int, bool]
TRAININGS: tuple[Training, ...] = (
    ("pocket", 8_192, 1, 256, True),
    ("pocket", 8_192, 2, 32, False),
    ("pocket", 8_192, 4, 32, False),
    ("pocket", 30_522, 1, 32, False),
    ("minilm", 8_192, 1, 24, False),
    ("minilm", 30_522, 2, 24, False),
)
Row = dict[str, Any]


# -- scans -----------------------------------------------------------------------------------------


def scan_jobs(
    files: Sequence[Path], *, keywords: int, rounds: int, workers: Sequence[int] = WORKERS,
    times: Sequence[int] = TIMES, progress: bool = False,
) -> Iterator[tuple[Job, bool]]:  # fmt: skip
    """Timed scans, and whether a law is to be fitted to each.

    Args:
        files: equal ones, as many as the largest of ``times``.
        keywords: how many rare words are looked for.
        rounds: of each scan; the fastest counts.
    """
    from tqdm.auto import tqdm

    from bioptimus_lib.counting import count_words
    from bioptimus_lib.scan import find_contexts
    from bioptimus_lib.scan_steps import best_of

    if max(times) > len(files):
        raise ValueError(f"{len(files)} files are too few for {max(times)} times the text")
    words = rare_words(count_words(files[:1], workers=0), keywords)
    find_contexts(words, files[:1], contexts=5, workers=1)  # loads what is compiled
    cases = [(times_, count) for times_ in times for count in workers]
    for many, count in tqdm(cases, desc="scan", disable=not progress):
        some = files[:many]
        seconds = best_of(
            partial(find_contexts, words, some, contexts=5, workers=count),
            repeats=rounds,
        )
        size = sum(file.stat().st_size for file in some)
        yield (
            Job(size, count, seconds, f"{many}x text, {count} worker{'s' * (count != 1)}"),
            many <= FIT_TIMES and count <= FIT_WORKERS,
        )


def scan_memory(files: Sequence[Path], *, keywords: int, times: Sequence[int]) -> dict[int, float]:
    """Times the text → megabytes by which a scan in a process of its own raises its peak."""
    from bioptimus_lib.counting import count_words
    from bioptimus_lib.memory import peak

    words = rare_words(count_words(files[:1], workers=0), keywords)
    return {many: peak(scan_quietly, words, list(files[:many])) for many in times}


def scan_quietly(words: list[str], files: list[Path]) -> None:
    """A scan whose contexts are dropped."""
    from bioptimus_lib.scan import find_contexts

    find_contexts(words, files, contexts=5, workers=0)


# -- trainings -------------------------------------------------------------------------------------


def training_jobs(
    text: Path | None, folder: Path, *, trainings: Sequence[Training] = TRAININGS,
    progress: bool = False,
) -> Iterator[tuple[Job, bool]]:  # fmt: skip
    """Trainings by ``bioptimus pretrain`` under ``torchrun``, a thread each, without start-up.

    Their work is counted in ``useful_flops``, so that one law serves models of several shapes.
    """
    from tqdm.auto import tqdm

    from bioptimus_lib.models import save_model

    documents = sentences_of(text, 12)  # enough for a vocabulary; a quarter is enough to read
    corpus, some = folder / "text.txt", documents[: len(documents) // 4]
    corpus.write_text("\n\n".join("\n".join(d) for d in some), encoding="utf-8")
    for number, (shape, vocabulary, processes, steps, all_times) in enumerate(
        tqdm(trainings, desc="pretrain", disable=not progress)
    ):
        tokenizer = tokenizer_of(documents, vocabulary)
        model = random_model(shape, len(tokenizer), LENGTH)
        start = save_model(model, tokenizer, folder / f"model-{number}")
        out = folder / f"run-{number}"
        pretrain_on(
            processes, start, corpus, out, steps=steps, batch=BATCH, length=LENGTH, unit="token"
        )
        times = TIMES if all_times else (1,)
        known = shape == "pocket" and vocabulary == TRAININGS[0][1] and processes <= FIT_WORKERS
        jobs = logged_jobs(
            out, processes, steps=[steps * many // times[-1] for many in times],
            flops=useful_flops(shape, len(tokenizer), LENGTH), name=f"{shape}, {len(tokenizer):,}",
        )  # fmt: skip
        yield from ((job, known and n <= FIT_TIMES) for n, job in zip(times, jobs, strict=True))


def _beside(steps: int, row: Row) -> int:
    return abs(int(row["step"]) - steps)


def logged_jobs(
    run: Path, processes: int, *, steps: Sequence[int], flops: float, name: str
) -> list[Job]:
    """The first steps of a training as jobs, from the first log below a folder.

    Args:
        steps: up to which; the nearest line of the log counts.
        flops: per piece.
        name: of the model.
    """
    from bioptimus_lib.files import json_lines

    log = next(Path(run).glob("training/*/log.jsonl"))
    logged = [row for row in json_lines(log) if "loss" in row]
    near = [min(logged, key=partial(_beside, aim)) for aim in steps]
    return [
        Job(row["tokens"] * flops, processes, row["tokens"] / row["tokens_per_second"],
            f"{name}, {row['step']} steps, {processes} processes")
        for row in near
    ]  # fmt: skip


def pretrain_on(
    processes: int, model: Path, corpus: Path, out: Path, *, steps: int, batch: int, **options: Any
) -> None:
    """``bioptimus pretrain`` under ``torchrun`` with so many processes on a CPU.

    Args:
        batch: blocks of a step on all processes together.
        options: further ones of the command.

    Raises:
        ChildProcessError: it failed; the message ends with its last lines.
    """
    import subprocess

    from bioptimus_lib.scale_steps import torchrun

    command = torchrun(processes, model, corpus, out, steps=steps, batch=batch, **options)
    done = subprocess.run(command.argv, env=command.environment, capture_output=True, text=True)
    if done.returncode:
        raise ChildProcessError(f"the training failed: {done.stderr.strip()[-600:]}")


# -- the command -----------------------------------------------------------------------------------


def add(rooms: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = rooms.add_parser(
        "scale", help="time and memory by text and workers, for 'bioptimus cost'"
    )
    parser.add_argument("--corpus", metavar="PATH", help="text (default: generated)")
    parser.add_argument(
        "--megabytes", type=float, default=12, metavar="MB", help="of the smallest scan (12)"
    )
    parser.add_argument("--keywords", type=int, default=10_000, metavar="N", help="(10000)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="of each scan (3)")
    parser.add_argument(
        "--only", choices=("scan", "memory", "pretrain"), help="one of three kinds of numbers"
    )
    parser.add_argument("--work", default="runs/bench", metavar="DIR", help="keeps the text")
    options.answers(parser, EXPERIMENT)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    if min(arguments.megabytes, arguments.keywords, arguments.rounds) <= 0:
        raise ValueError("--megabytes, --keywords and --rounds must be above 0")
    work, bar = Path(arguments.work), not arguments.quiet
    found: dict[str, list[tuple[Job, bool]]] = {}
    memory: dict[int, float] = {}
    kinds = (arguments.only,) if arguments.only else ("scan", "memory", "pretrain")
    if arguments.only != "pretrain":
        whole = arguments.megabytes * max(TIMES)
        files = equal_parts(arguments.corpus, whole, max(TIMES), work)
    if "scan" in kinds:
        found["scan"] = list(scan_jobs(
            files, keywords=arguments.keywords, rounds=arguments.rounds, progress=bar
        ))  # fmt: skip
    if "memory" in kinds:
        memory = scan_memory(files, keywords=arguments.keywords, times=(1, 4, max(TIMES)))
    if "pretrain" in kinds:
        text = Path(arguments.corpus) if arguments.corpus else None
        work.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=work) as folder:
            found["pretrain"] = list(training_jobs(text, Path(folder), progress=bar))
    if arguments.ledger:
        to_ledger(found, memory, arguments)
    print(json.dumps({k: [vars(j) | {FITTED: f} for j, f in v] for k, v in found.items()})
          if arguments.json else text_of(found, memory))  # fmt: skip
    return 0


def text_of(
    found: Mapping[str, Sequence[tuple[Job, bool]]], memory: Mapping[int, float]
) -> str:
    """The jobs beside the law that some of them make."""
    from bioptimus_lib.machine import usable_cores

    lines = []
    for work, jobs in found.items():
        some = [job for job, fitted in jobs if fitted]
        law = fit(some, cores=usable_cores())
        checks = check(law, [job for job, _ in jobs], fitted=some)
        lines.append(f"{work}: start {law.start:.2f} s; {ceiling_in_words(law)}; "
                     f"largest error {largest_error(checks):.0%}")  # fmt: skip
        lines += [
            f"  {c.job.name:<46}{c.job.seconds:>8.2f} s, predicted {c.predicted:>8.2f} s "
            f"{'fitted' if c.fitted else f'{c.error:+.0%}'}"
            for c in checks
        ]
    lines += [f"memory at {many}x text: {mb:.0f} MB" for many, mb in memory.items()]
    return "\n".join(lines)


def to_ledger(
    found: Mapping[str, Sequence[tuple[Job, bool]]], memory: Mapping[int, float],
    arguments: argparse.Namespace,
) -> None:  # fmt: skip
    """A row for each job, and for each size whose memory was measured."""
    from bioptimus_lib import ledger
    from bioptimus_lib.machine import usable_cores
    from bioptimus_lib.records import readable_files

    data = readable_files(arguments.corpus) if arguments.corpus else ()
    base = {
        **ledger.provenance(data=data, device="cpu"), "profile": "bench", "seed": None,
        "dataset": Path(arguments.corpus).name if arguments.corpus else "pocket",
    }  # fmt: skip
    rows = [
        {**base, "model": work, "variant": job.name, "metrics": {
            "work": job.work, "workers": job.workers, "seconds": round(job.seconds, 4),
            "cores": usable_cores(), FITTED: int(fitted),
        }}
        for work, jobs in found.items() for job, fitted in jobs
    ] + [
        {**base, "model": "memory", "variant": f"{many * arguments.megabytes:g} MB of text",
         "metrics": {"times": many, "megabytes": round(mb, 1)}}
        for many, mb in memory.items()
    ]  # fmt: skip
    ledger.append(EXPERIMENT, rows, file=arguments.ledger, replace=True)
