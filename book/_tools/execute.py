"""Execute the chapters side by side, and keep their outputs where the book finds them.

    python book/_tools/execute.py [--jobs N] notebooks/*.ipynb

Jupyter Book executes one page after the other. Here as many run at a time as there are cores, each
with its share of the threads; a chapter that measures time (a cell tagged ``measures-time``) runs
alone. What takes long (a cell tagged ``takes-long``) begins early: at the end there is nothing to
run beside it. Of chapters that share a run the last goes first, since it makes all that the others
read; the others begin when it is done, and then none of them waits for another. The outputs go into
the cache that the book is built from. What the cache held is thrown away first: it compares the
code of the cells and does not see that the library has changed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import nbformat
import yaml
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.executors.utils import single_nb_execution
from tidy import run_of, tags

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "_build" / ".jupyter_cache"
MEASURES, LONG = "measures-time", "takes-long"
Result = TypeVar("Result")
MOST = 4  # at a time: each holds torch and a model or two


def has(path: Path, tag: str) -> bool:
    """Whether a cell of a chapter has a tag."""
    return any(tag in tags(cell) for cell in nbformat.read(path, nbformat.NO_CONVERT)["cells"])


def queue(paths: list[Path]) -> dict[Path, Path | None]:
    """Chapters in the order in which they begin, each with the one that must be done before it.

    First comes what others wait for, then what takes long, then all else, later chapters first:
    they tend to take longer.
    """
    sharing: dict[str, list[Path]] = {}
    for path in sorted(paths, reverse=True):
        sharing.setdefault(run_of(path.read_text("utf-8")) or path.stem, []).append(path)
    groups = sorted(
        sharing.values(), key=lambda some: (-len(some), not any(has(path, LONG) for path in some))
    )
    return {path: None if path is group[0] else group[0] for group in groups for path in group}


def execute(
    path: Path, timeout: int
) -> tuple[Path, nbformat.NotebookNode | None, str, float]:
    """(path, executed notebook or None, traceback of what failed, seconds)."""
    done = single_nb_execution(
        nbformat.read(path, nbformat.NO_CONVERT), cwd=str(path.parent), timeout=timeout,
        allow_errors=False,
        extra_arguments=["--log-level=ERROR"],  # a kernel warns of every local connection
    )  # fmt: skip
    if done.err is not None:
        return path, None, done.exc_string or str(done.err), done.time
    return path, done.nb, "", done.time


def side_by_side(
    work: Callable[[Path], Result], waiting: Mapping[Path, Path | None], *, jobs: int
) -> Iterator[Result]:
    """Results as they come, each made in a process of its own; a path begins when the one that it
    waits for is done.

    In threads of one process a client was seen to wait for ever for a kernel that had done its
    cell.
    """
    waiting, running, done = dict(waiting), {}, {None}
    with ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), max_tasks_per_child=1
    ) as pool:
        while waiting or running:
            free = [path for path, before in waiting.items() if before in done]
            for path in free[: jobs - len(running)]:
                del waiting[path]
                running[pool.submit(work, path)] = path
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                done.add(running.pop(future))
                yield future.result()


def execute_all(
    paths: list[Path], *, cache: Path = CACHE, jobs: int, timeout: int
) -> list[tuple[Path, str]]:
    """Execute notebooks, cache the outputs of those without an error, tell each that is done.

    Returns:
        The others, each with its traceback.
    """
    shutil.rmtree(cache, ignore_errors=True)
    cache.parent.mkdir(parents=True, exist_ok=True)
    store, work = get_cache(cache), partial(execute, timeout=timeout)
    alone = [path for path in paths if has(path, MEASURES)]
    together = [path for path in paths if path not in alone]
    failed = []
    for waiting, at_a_time in ((dict.fromkeys(alone), 1), (queue(together), jobs)):
        # Kernels inherit the environment: threads of two that share the cores wait for each other.
        os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // at_a_time))
        for path, notebook, problem, seconds in side_by_side(work, waiting, jobs=at_a_time):
            said = "failed" if notebook is None else f"{seconds:4.0f} s"
            print(f"  {path.stem:28} {said}", flush=True)
            if notebook is None:
                failed.append((path, problem))
                continue
            bundle = CacheBundleIn(notebook, path, data={"execution_seconds": seconds})
            store.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
    return failed


def main() -> int:
    """Do it for the notebooks of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument(
        "--jobs", type=int, default=min(MOST, os.cpu_count() or 1), help="chapters at a time"
    )
    arguments = parser.parse_args()
    timeout = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["execute"]["timeout"]
    paths = [path.resolve() for path in arguments.notebooks]
    failed = execute_all(paths, jobs=arguments.jobs, timeout=timeout)
    for path, problem in failed:
        print(f"\n{path.relative_to(ROOT)} failed:\n{problem}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
