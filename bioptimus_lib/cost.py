"""What all of PubMed would cost: hours, money and energy of a scan and of a pre-training.

Two laws of time are fitted to what ``bioptimus bench scale`` measured on one machine (``scaling``);
devices that nobody has measured here have their peak rate from a data sheet, times the share of it
that a training reaches, which is an assumption and so a range. How much there is to do is a
``Corpus``, the devices are rows of ``data/devices.tsv``.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bioptimus_lib.bench_pretrain import SHAPES, useful_flops
from bioptimus_lib.bench_scale import EXPERIMENT, FITTED
from bioptimus_lib.errors import DataError
from bioptimus_lib.files import data_dir
from bioptimus_lib.scaling import Check, Job, Law, check, fit, largest_error

HOUR = 3600.0
WORKS = ("scan", "pretrain")


@dataclass(frozen=True)
class Corpus:
    """How much there is to do. Each default is a choice; ``WHY`` has its reason.

    Args:
        abstracts: how many.
        bytes_each: of plain text, title and abstract.
        bytes_per_piece: of a biomedical vocabulary of BERT's size.
        passes: how often the training reads the corpus, all phases together.
        model: a shape of ``bench_pretrain.SHAPES``.
        vocabulary: its pieces.
        length: pieces in a block.
        batch: pieces in a step, on all units together.
    """

    abstracts: float = 36e6
    bytes_each: float = 1600.0
    bytes_per_piece: float = 5.2
    passes: float = 1.0
    model: str = "bert-base"
    vocabulary: int = 30_522
    length: int = 128
    batch: int = 262_144

    def __post_init__(self) -> None:
        if self.model not in SHAPES:
            raise ValueError(f"model {self.model!r} is unknown: choose of {', '.join(SHAPES)}")
        for name in ("abstracts", "bytes_each", "bytes_per_piece", "passes", "vocabulary",
                     "length", "batch"):  # fmt: skip
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, it must be above 0")

    @property
    def bytes(self) -> float:
        """Of all text."""
        return self.abstracts * self.bytes_each

    @property
    def pieces(self) -> float:
        """That are read in all passes."""
        return self.passes * self.bytes / self.bytes_per_piece

    @property
    def flops(self) -> float:
        """That the training needs at least; see ``useful_flops``."""
        return self.pieces * useful_flops(self.model, self.vocabulary, self.length)

    @property
    def parameters(self) -> float:
        """Of the model, near enough: layers, embeddings, positions."""
        layers, hidden, _ = SHAPES[self.model]
        return 12 * layers * hidden**2 + hidden * (self.vocabulary + 512)


WHY: Mapping[str, str] = {
    "abstracts": "assumption: about what PubMed lists; not each record has an abstract",
    "bytes_each": "between JNLPBA (1,523, 604 abstracts) and PubMedQA (1,705, 1,000), counted",
    "bytes_per_piece": "ledger, vocabulary: bytes of the corpus over its words times fertility",
    "passes": "choice: the paper's steps were not found; all costs grow in proportion",
    "model": "the paper's (BERT-base)",
    "vocabulary": "the paper's",
    "length": "choice: blocks of this course",
    "batch": "choice: 2,048 blocks of 128",
}


@dataclass(frozen=True)
class Device:
    """A row of ``data/devices.tsv``; the head of that file says what the columns are."""

    device: str
    title: str
    units: int
    peak: float
    low: float
    share: float
    high: float
    watts: float
    dollars: float
    cores: int
    disk: float
    link: float
    kinds: str
    source: str

    def __post_init__(self) -> None:
        if self.units < 1 or self.cores < 1 or min(self.watts, self.disk) <= 0:
            raise ValueError(f"{self.device}: units, cores, watts and disk must be above 0")
        if self.peak and not 0 < self.low <= self.share <= self.high <= 1:
            raise ValueError(f"{self.device}: 0 < low <= share <= high <= 1 is wanted")
        if self.dollars < 0 or self.link < 0 or (self.units > 1 and not self.link):
            raise ValueError(f"{self.device}: dollars below 0, or several units without a link")


def read_devices(path: str | os.PathLike[str] | None = None) -> dict[str, Device]:
    """The table of devices, by name.

    Args:
        path: another file than ``data/devices.tsv``, of the same columns.

    Raises:
        FileNotFoundError: there is no such file. DataError: a row is wrong.
    """
    path = Path(path) if path else data_dir() / "devices.tsv"
    with path.open(encoding="utf-8") as file:
        lines = [(n, line) for n, line in enumerate(file, 1) if line.strip() and line[0] != "#"]
    found: dict[str, Device] = {}
    make = {"str": str, "int": int, "float": float}
    kinds = {name: make[kind] for name, kind in Device.__annotations__.items()}
    for (number, _), row in zip(
        lines[1:], csv.DictReader((line for _, line in lines), delimiter="\t"), strict=True
    ):
        try:
            values: dict[str, Any] = {k: kind(row[k]) for k, kind in kinds.items()}
            found[row["device"]] = Device(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"no device: {error}", path=path, line=number) from None
    if not found:
        raise DataError("the table holds no device", path=path)
    return found


# -- laws from the ledger --------------------------------------------------------------------------


@dataclass(frozen=True)
class Calibration:
    """A law for each kind of work, its jobs beside it, and the machine."""

    laws: Mapping[str, Law]
    checks: Mapping[str, Sequence[Check]]
    machine: str

    def error(self, work: str) -> float:
        """Largest relative error on jobs that the law was not fitted to."""
        return largest_error(self.checks[work])


def calibrate(
    jobs: Mapping[str, Sequence[tuple[Job, bool]]], *, cores: int, machine: str
) -> Calibration:
    """Laws from jobs that were timed on one machine.

    Args:
        jobs: ``scan`` and ``pretrain`` → jobs, each with whether the law is fitted to it.
        cores: of the machine.
        machine: its name.

    Raises:
        ValueError: a kind of work has too few jobs to fit a law, or none left to check it.
    """
    laws: dict[str, Law] = {}
    checks: dict[str, list[Check]] = {}
    for work in WORKS:
        own = jobs.get(work, ())
        some = [job for job, fitted in own if fitted]
        if len(some) < 2 or len(some) == len(own):
            raise ValueError(
                f"{len(own)} jobs of {work} are too few to fit a law and to check it: "
                "bioptimus bench scale --ledger cpu"
            )
        laws[work] = fit(some, cores=cores)
        checks[work] = check(laws[work], [job for job, _ in own], fitted=some)
    return Calibration(laws, checks, machine)


def from_ledger() -> Calibration:
    """The calibration of the machine that ``bioptimus bench scale`` wrote of last.

    Raises:
        FileNotFoundError: the ledger holds no rows. ValueError: too few.
    """
    from bioptimus_lib import ledger

    try:
        rows = [row for row in ledger.read(EXPERIMENT) if row["model"] in WORKS]
    except FileNotFoundError:
        rows = []
    if not rows:
        raise FileNotFoundError(
            "the ledger holds no timed jobs yet: bioptimus bench scale --corpus PATH --ledger cpu"
        )
    last = rows[-1]  # a law is of one machine and one text: those that were timed last
    rows = [row for row in rows if all(row[of] == last[of] for of in ("device", "dataset"))]
    jobs: dict[str, list[tuple[Job, bool]]] = {work: [] for work in WORKS}
    for row in rows:
        found = row["metrics"]
        job = Job(found["work"], int(found["workers"]), found["seconds"], row.get("variant") or "")
        jobs[row["model"]].append((job, bool(found[FITTED])))
    return calibrate(jobs, cores=int(rows[0]["metrics"]["cores"]), machine=str(rows[0]["device"]))


# -- the bill --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bill:
    """What a work costs on a device: ``hours`` and, with errors and assumptions, from ``least`` to
    ``most``; ``dollars`` of rent or of power, and ``kwh`` (10^3 W × h). ``basis``: what the range
    is."""

    work: str
    device: str
    hours: float
    least: float
    most: float
    dollars: float
    kwh: float
    basis: str


def scan_seconds(device: Device, corpus: Corpus, law: Law) -> tuple[float, float]:
    """Seconds that the cores take for a scan, and that the disk takes; it lasts as long as the
    longer one."""
    there = Law(law.start, law.serial, law.parallel, device.cores)
    return there.seconds(corpus.bytes, device.cores), corpus.bytes / (device.disk * 1e6)


def training_seconds(device: Device, corpus: Corpus, law: Law, share: float) -> float:
    """Seconds of a training: the operations at the rate of the device, and for each step the
    gradients that units send each other (a ring: each sends nearly all of them twice)."""
    if not device.peak:
        there = Law(law.start, law.serial, law.parallel, device.cores)
        return there.seconds(corpus.flops, device.cores)
    seconds = corpus.flops / (device.units * device.peak * 1e12 * share)
    if device.units > 1:
        sent = 2 * (device.units - 1) / device.units * 4 * corpus.parameters
        seconds += corpus.pieces / corpus.batch * sent / (device.link * 1e9)
    return seconds


def bill(
    work: str, device: Device, corpus: Corpus, calibration: Calibration, *, per_kwh: float = 0.3
) -> Bill:
    """What ``scan`` or ``pretrain`` costs on a device.

    Args:
        per_kwh: dollars for a kWh, paid where the machine is one's own.
    """
    if work not in WORKS:
        raise ValueError(f"work {work!r} is unknown: choose of {', '.join(WORKS)}")
    law, error = calibration.laws[work], calibration.error(work)
    if work == "scan":
        cores, disk = scan_seconds(device, corpus, law)
        least, middle, most = (
            max(s, disk) for s in (cores / (1 + error), cores, cores * (1 + error))
        )
        if disk >= most:
            basis = "the disk decides, its speed is assumed"
        else:
            basis = "error of the law" + (", not below the disk's time" if disk == least else "")
            if device.cores != law.cores:
                basis += ", other cores assumed as fast"
    else:
        middle = training_seconds(device, corpus, law, device.share)
        if device.peak:
            least, most = (training_seconds(device, corpus, law, s)
                           for s in (device.high, device.low))  # fmt: skip
            basis = "range of the assumed share of the peak"
        else:
            least, most, basis = middle / (1 + error), middle * (1 + error), "error of the law"
    hours = middle / HOUR
    kwh = hours * device.watts / 1000
    dollars = hours * device.dollars or kwh * per_kwh
    return Bill(work, device.title, hours, least / HOUR, most / HOUR, dollars, kwh, basis)


def bills(
    corpus: Corpus | None = None,
    *,
    devices: Iterable[Device] | None = None,
    calibration: Calibration | None = None,
    per_kwh: float = 0.3,
) -> list[Bill]:
    """The bills of both works on all devices."""
    corpus, calibration = corpus or Corpus(), calibration or from_ledger()
    devices = list(devices or read_devices().values())
    return [bill(work, device, corpus, calibration, per_kwh=per_kwh)
            for work in WORKS for device in devices]  # fmt: skip


def duration(hours: float) -> str:
    """Hours as people say them.

    >>> duration(0.02), duration(30), duration(4_300), duration(20_000)
    ('1.2 min', '30 h', '180 days', '2.3 years')
    """

    def short(value: float) -> str:  # two digits that count, never as a power of ten
        return f"{float(f'{value:.2g}'):g}"

    for unit, size, below in (("min", 60.0, 1.5), ("h", 1.0, 72.0), ("days", 1 / 24, 24 * 700.0)):
        if hours < below:
            return f"{short(hours * size)} {unit}"
    return f"{short(hours / 24 / 365.25)} years"
