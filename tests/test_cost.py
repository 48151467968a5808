"""The law of time, the table of devices, the bill, and the command that prints it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioptimus_lib import bench_scale, cost, ledger
from bioptimus_lib.cli import main
from bioptimus_lib.errors import DataError
from bioptimus_lib.pocket import write_corpus
from bioptimus_lib.scaling import Check, Job, Law, check, fit, largest_error

LAW = Law(start=0.5, serial=1e-9, parallel=9e-9, cores=2)


def jobs(law=LAW, sizes=(1e7, 2e7, 4e7), workers=(1, 2)) -> list[Job]:
    return [Job(w, n, law.seconds(w, n), f"{w:g} on {n}") for w in sizes for n in workers]


# -- the law ---------------------------------------------------------------------------------------


@given(st.floats(0, 2), st.floats(1e-10, 1e-8), st.floats(1e-10, 1e-8), st.integers(2, 8))
def test_a_law_is_found_again(start, serial, parallel, cores):
    law = Law(start, serial, parallel, cores)
    found = fit(jobs(law), cores=cores)
    for work, workers in ((1e7, 1), (1e9, 2), (1e9, cores), (1e10, 64)):
        assert found.seconds(work, workers) == pytest.approx(law.seconds(work, workers), rel=1e-4)


def test_more_workers_than_cores_gain_nothing():
    assert LAW.seconds(1e9, 2) == LAW.seconds(1e9, 64) == pytest.approx(0.5 + 1 + 4.5)
    assert LAW.ceiling == pytest.approx(10) and Law(0, 0, 1, 1).ceiling == float("inf")


def test_one_worker_alone_leaves_the_serial_part_out():
    found = fit(jobs(workers=(1,)), cores=2)
    assert found.serial == 0 and found.parallel == pytest.approx(10e-9)


def test_an_error_is_that_of_jobs_that_were_not_fitted():
    some = jobs()
    other = Job(1e9, 1, 2 * LAW.seconds(1e9, 1))
    checks = check(LAW, [*some, other], fitted=some)
    assert [c.fitted for c in checks] == [True] * 6 + [False]
    assert checks[-1].error == pytest.approx(-0.5) and largest_error(checks) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="nothing is known|an error needs others"):
        largest_error(checks[:-1])


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: Job(0, 1, 1), "impossible"),
        (lambda: Job(1, 0, 1), "a worker at least"),
        (lambda: fit([Job(1, 1, 1), Job(1, 2, 1)], cores=2), "two sizes"),
        (lambda: fit(jobs(), cores=0), "0 cores"),
        (lambda: LAW.seconds(1, 0), "on 0 workers"),
        (lambda: cost.Corpus(model="gpt"), "choose of pocket, minilm, bert-base"),
        (lambda: cost.Corpus(passes=0), "passes is 0"),
        (lambda: cost.bill("tag", DEVICES["t4"], cost.Corpus(), CALIBRATION), "scan, pretrain"),
    ],
    ids=range(8),
)
def test_what_cannot_be_is_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()


# -- the bill --------------------------------------------------------------------------------------

DEVICES = cost.read_devices()
TRAIN = Law(start=0.0, serial=0.0, parallel=2e-11, cores=2)  # 10^11 operations a second on two
CALIBRATION = cost.Calibration(
    {"scan": LAW, "pretrain": TRAIN},
    {work: [Check(Job(1.0, 1, 1.0), 1.25, False)] for work in cost.WORKS}, "a machine",
)  # fmt: skip


def test_devices_of_the_issue_are_there_with_their_sources():
    assert list(DEVICES) == ["laptop", "t4", "a100x8"]
    for device in DEVICES.values():
        assert device.source and {"watts", "disk"} <= set(device.kinds.replace(",", "").split())
    assert DEVICES["a100x8"].peak == 312 and DEVICES["t4"].peak == 65


def test_a_training_is_operations_over_rate():
    corpus = cost.Corpus()
    laptop, t4, a100 = (
        cost.bill("pretrain", DEVICES[name], corpus, CALIBRATION) for name in DEVICES
    )
    assert laptop.hours == pytest.approx(corpus.flops / 1e11 / 3600)
    assert (laptop.least, laptop.most) == pytest.approx((laptop.hours / 1.25, laptop.hours * 1.25))
    assert t4.hours == pytest.approx(corpus.flops / (65e12 * 0.25) / 3600)
    assert t4.least < t4.hours < t4.most and t4.most / t4.least == pytest.approx(0.40 / 0.15)
    alone = corpus.flops / (8 * 312e12 * 0.40) / 3600
    sent = 2 * 7 / 8 * 4 * corpus.parameters / 300e9 * corpus.pieces / corpus.batch / 3600
    assert a100.hours == pytest.approx(alone + sent) and 0 < sent < 0.1 * alone
    assert a100.dollars == pytest.approx(25 * a100.hours)
    assert a100.kwh == pytest.approx(6.5 * a100.hours)
    assert laptop.dollars == pytest.approx(0.3 * laptop.kwh), "its own machine pays for power"


def test_everything_grows_with_the_passes():
    one, ten = (cost.Corpus(passes=n) for n in (1, 10))
    for device in DEVICES.values():
        few, many = (cost.bill("pretrain", device, c, CALIBRATION) for c in (one, ten))
        assert many.hours == pytest.approx(10 * few.hours) and many.kwh > 9 * few.kwh


def test_a_scan_waits_for_its_cores_or_for_its_disk():
    corpus = cost.Corpus()
    cores = LAW.seconds(corpus.bytes, 2)
    disks = {name: corpus.bytes / 1e6 / (share * cores) for name, share in
             {"fast": 0.01, "even": 0.99, "slow": 9}.items()}  # fmt: skip
    bills = {name: cost.bill("scan", replace(DEVICES["laptop"], disk=disk), corpus, CALIBRATION)
             for name, disk in disks.items()}  # fmt: skip
    assert bills["fast"].basis == "error of the law"
    assert bills["fast"].hours * cost.HOUR == pytest.approx(cores)
    assert bills["fast"].least < bills["fast"].hours < bills["fast"].most
    assert "not below the disk's time" in bills["even"].basis
    assert bills["even"].least == pytest.approx(0.99 * bills["even"].hours)
    assert bills["even"].most == pytest.approx(bills["fast"].most)
    slow = bills["slow"]
    assert slow.least == slow.hours == slow.most == pytest.approx(9 * cores / cost.HOUR)
    assert slow.basis == "the disk decides, its speed is assumed"


def test_parameters_are_about_those_of_bert_base():
    assert cost.Corpus().parameters == pytest.approx(110e6, rel=0.03)


@pytest.mark.parametrize("row, says", [
    ("x\tX\t0\t1\t.1\t.2\t.3\t1\t1\t1\t1\t0\t\t", "units, cores"),
    ("x\tX\t1\t1\t.3\t.2\t.1\t1\t1\t1\t1\t0\t\t", "low <= share"),
    ("x\tX\t2\t1\t.1\t.2\t.3\t1\t1\t1\t1\t0\t\t", "without a link"),
    ("x\tX\tone\t1\t.1\t.2\t.3\t1\t1\t1\t1\t0\t\t", "invalid literal"),
    ("x\tX", "no device"),
])  # fmt: skip
def test_a_wrong_row_is_named_by_its_line(tmp_path, row, says):
    head = "\t".join(cost.Device.__annotations__)
    (tmp_path / "mine.tsv").write_text(f"# mine\n{head}\n{row}\n")
    with pytest.raises(DataError, match=says) as error:
        cost.read_devices(tmp_path / "mine.tsv")
    assert "line 3" in str(error.value) or ":3" in str(error.value)
    (tmp_path / "mine.tsv").write_text(f"{head}\n")
    with pytest.raises(DataError, match="no device"):
        cost.read_devices(tmp_path / "mine.tsv")


# -- the command, from measured rows ---------------------------------------------------------------


def rows(work: str, law: Law) -> list[dict]:
    base = {"dataset": "pocket", "profile": "bench", "seed": None, "command": "c", "device": "cpu",
            "versions": {}, "data": {}, "commit": None, "model": work}  # fmt: skip
    return [
        {**base, "variant": f"{n} {w:g}", "metrics": {
            "work": w, "workers": n, "seconds": law.seconds(w, n) * (1.2 if w > 4e7 else 1),
            "cores": 2, "fitted": int(w <= 4e7),
        }}
        for w in (1e7, 2e7, 4e7, 8e7) for n in (1, 2)
    ]  # fmt: skip


@pytest.fixture
def measured(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "results_dir", lambda: tmp_path)
    ledger.append(cost.EXPERIMENT, rows("scan", LAW) + rows("pretrain", LAW), file="cpu")
    return tmp_path


def test_laws_come_from_the_ledger(measured):
    found = cost.from_ledger()
    assert found.laws["scan"].seconds(1e9, 2) == pytest.approx(LAW.seconds(1e9, 2))
    assert found.error("scan") == pytest.approx(1 - 1 / 1.2) and found.machine == "cpu"


def test_without_measurements_it_says_how_to_make_them(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ledger, "results_dir", lambda: tmp_path)
    assert main(["cost"]) == 2
    assert "bioptimus bench scale --corpus PATH --ledger cpu" in capsys.readouterr().err
    ledger.append(cost.EXPERIMENT, rows("scan", LAW), file="cpu")
    with pytest.raises(ValueError, match="0 jobs of pretrain are too few"):
        cost.from_ledger()


def test_command(measured, tmp_path, capsys):
    assert main(["cost", "--check"]) == 0
    said = capsys.readouterr().out
    assert "36,000,000 abstracts: 58 GB" in said and "largest error 17%" in said
    assert said.count("8 A100") >= 3 and "assumption" in said and "fitted" in said
    assert main(["cost", "--json", "--passes", "3", "--model", "minilm"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["corpus"]["passes"] == 3 and len(found["bills"]) == 6
    assert main(["cost", "--per-kwh", "-1"]) == 2
    assert main(["cost", "--devices", str(tmp_path / "none.tsv")]) == 2


# -- measuring -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    (path,) = write_corpus(folder / "0.txt", megabytes=0.2)
    (folder / "1.txt").write_bytes(path.read_bytes())
    return [path, folder / "1.txt"]


def test_scans_are_timed_and_marked(files):
    found = list(
        bench_scale.scan_jobs(files, keywords=20, rounds=1, workers=(1, 4), times=(1, 2))
    )
    size = files[0].stat().st_size
    assert [(job.work, job.workers, fitted) for job, fitted in found] == [
        (size, 1, True), (size, 4, False), (2 * size, 1, True), (2 * size, 4, False),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="2 files are too few for 4"):
        list(bench_scale.scan_jobs(files, keywords=2, rounds=1, times=(4,)))


def test_jobs_of_a_log(tmp_path):
    folder = tmp_path / "training" / "v0.1"
    folder.mkdir(parents=True)
    lines = [{"step": s, "tokens": 100 * s, "loss": 1.0, "tokens_per_second": 50} for s in (2, 4)]
    lines.append({"step": 4, "tokens": 400, "held_out_loss": 1.0})
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (job,) = bench_scale.logged_jobs(tmp_path, 2, steps=[5], flops=7.0, name="tiny")
    assert (job.work, job.workers, job.seconds) == (2800, 2, 8)
    assert job.name == "tiny, 4 steps, 2 processes"


def test_bench_command_writes_rows(measured, files, tmp_path, monkeypatch, capsys):
    job = Job(1e6, 1, 2.0, "tiny"), Job(2e6, 1, 3.0, "tiny, twice"), Job(9e6, 4, 9.0, "large")
    monkeypatch.setattr(bench_scale, "training_jobs",
                        lambda *_, **__: zip(job, (True, True, False), strict=True))  # fmt: skip
    monkeypatch.setattr(bench_scale, "TIMES", (1, 2))
    monkeypatch.setattr(bench_scale, "scan_memory", lambda *_, **__: {1: 10.0})
    monkeypatch.setattr(bench_scale, "scan_jobs", lambda *_, **__: zip(job, (True, True, False),
                                                                     strict=True))  # fmt: skip
    command = ["bench", "scale", "--megabytes", "0.05", "--work", str(tmp_path / "work"),
               "--ledger", "other", "--quiet"]  # fmt: skip
    assert main(command) == 0
    assert "memory at 1x text: 10 MB" in capsys.readouterr().out
    there = [row for row in ledger.read(cost.EXPERIMENT) if row["command"] != "c"]
    assert [row["model"] for row in there] == ["scan"] * 3 + ["pretrain"] * 3 + ["memory"]
    assert [row["metrics"]["fitted"] for row in there[:3]] == [1, 1, 0]
    assert main(["bench", "scale", "--rounds", "0"]) == 2


def test_a_law_is_of_one_machine_and_one_text(measured):
    slow = [{**row, "device": "slower", "dataset": "mine",
             "metrics": {**row["metrics"], "seconds": 3 * row["metrics"]["seconds"]}}
            for work in ("scan", "pretrain") for row in rows(work, LAW)]  # fmt: skip
    ledger.append(cost.EXPERIMENT, slow, file="zz")
    found = cost.from_ledger()
    assert found.machine == "slower"
    assert found.laws["scan"].seconds(1e9, 2) == pytest.approx(3 * LAW.seconds(1e9, 2))
    assert found.error("scan") == pytest.approx(1 - 1 / 1.2)
