"""How long more work takes on more workers: Amdahl's law with a start, fitted to what was measured.

A law is fitted to small jobs and asked about large ones. How far it is off is measured on jobs that
it was not fitted to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Job:
    """A job that was timed.

    Attributes:
        work: how much there was to do: bytes of a scan, floating-point operations of a training.
        workers: threads or processes that shared it.
        seconds: that it took.
        name: in words.
    """

    work: float
    workers: int
    seconds: float
    name: str = ""

    def __post_init__(self) -> None:
        if not (self.work > 0 and self.seconds > 0 and self.workers >= 1):
            raise ValueError(f"{self} is impossible: work and seconds above 0, a worker at least")


@dataclass(frozen=True)
class Law:
    """Seconds = start + work × (serial + parallel / cores at work) (Amdahl, 1967, and a start).

    More workers than cores take turns, so only the cores count. Cores that wait for the same memory
    look like a serial part: the law cannot tell the two apart, and need not.

    Attributes:
        start: seconds that a job takes however small it is.
        serial: seconds per unit of work that no second core shortens.
        parallel: seconds per unit of work that are shared out.
        cores: of the machine.

    >>> Law(start=1.0, serial=0.1, parallel=0.9, cores=9).seconds(10, workers=64)
    3.0
    """

    start: float
    serial: float
    parallel: float
    cores: int

    def seconds(self, work: float, workers: int = 1) -> float:
        """How long a job takes."""
        if work < 0 or workers < 1:
            raise ValueError(f"work {work} on {workers} workers is impossible: 0 and 1 at least")
        return self.start + work * (self.serial + self.parallel / min(workers, self.cores))

    @property
    def ceiling(self) -> float:
        """How many times as fast as one core any number of cores can be, on a large job."""
        return (self.serial + self.parallel) / self.serial if self.serial else float("inf")


def ceiling_in_words(law: Law) -> str:
    """How far more cores can go, by a law.

    >>> ceiling_in_words(Law(start=1.0, serial=0.1, parallel=0.9, cores=2))
    'at most 10.0 times as fast, with any number of cores'
    """
    if law.serial:
        return f"at most {law.ceiling:.1f} times as fast, with any number of cores"
    return "no serial part was seen, so the law has no limit for more cores"


def fit(jobs: Sequence[Job], *, cores: int) -> Law:
    """The law that is nearest to some jobs, in relative error; nothing in it is negative.

    Args:
        jobs: of at least two sizes. If all have one worker, everything counts as parallel.
        cores: that the jobs were run on.

    Raises:
        ValueError: fewer than two sizes, or no core.
    """
    import numpy as np
    from scipy.optimize import nnls

    if len({job.work for job in jobs}) < 2:
        raise ValueError("a law needs jobs of two sizes at least, to tell the start from the work")
    if cores < 1:
        raise ValueError(f"{cores} cores are impossible: give 1 or more")
    unit = max(job.work for job in jobs)  # so that all columns are of one size
    several = len({min(job.workers, cores) for job in jobs}) > 1
    rows = np.array([
        [1.0, job.work / unit * several, job.work / unit / min(job.workers, cores)] for job in jobs
    ])  # fmt: skip
    seconds = np.array([job.seconds for job in jobs])
    start, serial, parallel = nnls(rows / seconds[:, None], np.ones(len(jobs)))[0]
    return Law(float(start), float(serial / unit), float(parallel / unit), cores)


@dataclass(frozen=True)
class Check:
    """A law beside a job: what it predicts, what was measured."""

    job: Job
    predicted: float
    fitted: bool

    @property
    def error(self) -> float:
        """Predicted over measured, minus 1."""
        return self.predicted / self.job.seconds - 1


def check(law: Law, jobs: Iterable[Job], *, fitted: Iterable[Job] = ()) -> list[Check]:
    """A law beside jobs; ``fitted`` are those that it was made from."""
    known = set(fitted)
    return [Check(job, law.seconds(job.work, job.workers), job in known) for job in jobs]


def largest_error(checks: Iterable[Check]) -> float:
    """The largest error, without its sign, among jobs that the law was not fitted to.

    Raises:
        ValueError: there is none, so nothing is known of the error.
    """
    errors = [abs(found.error) for found in checks if not found.fitted]
    if not errors:
        raise ValueError("all jobs went into the fit: an error needs others")
    return max(errors)
