"""``bioptimus cost``: hours, money and energy of a scan and a pre-training of a large corpus."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, fields

EPILOG = """\
The two laws of time are fitted to small jobs in the ledger, measured by 'bioptimus bench scale',
and checked on larger ones; the largest error is printed. What stands for a device that was not
measured is in data/devices.tsv: copy it, write in your own prices, watts and shares, and give it as
--devices.

examples:
  bioptimus cost
  bioptimus cost --passes 40 --per-kwh 0.15 --devices mine.tsv
  bioptimus cost --model minilm --abstracts 1e6 --check"""


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "cost",
        help="hours, money and kWh of a large scan and a large pre-training, with their error",
        description="What it would cost to scan and to pre-train on many abstracts.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--abstracts", type=float, metavar="N", help="how many (36e6)")
    parser.add_argument("--bytes-each", type=float, metavar="N", help="of an abstract (1600)")
    parser.add_argument("--bytes-per-piece", type=float, metavar="N", help="(5.2)")
    parser.add_argument("--passes", type=float, metavar="N", help="over the corpus (1)")
    parser.add_argument("--model", metavar="SHAPE", help="pocket, minilm or bert-base (bert-base)")
    parser.add_argument("--batch", type=int, metavar="N", help="pieces in a step (262144)")
    parser.add_argument("--devices", metavar="FILE", help="another table than data/devices.tsv")
    parser.add_argument(
        "--per-kwh", type=float, default=0.3, metavar="DOLLARS", help="for one's own machine (0.3)"
    )
    parser.add_argument(
        "--check", action="store_true", help="each measured job beside what the law predicts"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    from bioptimus_lib import cost

    if not arguments.per_kwh >= 0:
        raise ValueError(f"--per-kwh {arguments.per_kwh} is impossible: give 0 or more")
    given = {f.name: getattr(arguments, f.name, None) for f in fields(cost.Corpus)}
    corpus = cost.Corpus(**{name: value for name, value in given.items() if value is not None})
    devices = cost.read_devices(arguments.devices)
    found = cost.from_ledger()
    bills = cost.bills(
        corpus, devices=devices.values(), calibration=found, per_kwh=arguments.per_kwh
    )
    if arguments.json:
        errors = {work: found.error(work) for work in cost.WORKS}
        print(json.dumps({
            "corpus": asdict(corpus), "bills": [asdict(b) for b in bills], "errors": errors,
            "machine": found.machine,
        }))  # fmt: skip
        return 0
    print(
        f"{corpus.abstracts:,.0f} abstracts: {corpus.bytes / 1e9:,.0f} GB, "
        f"{corpus.pieces / 1e9:,.1f} billion pieces (read {corpus.passes:g} x), {corpus.model}, "
        f"{corpus.flops:.2g} operations\n"
    )
    print(f"{'':<10}{'device':<20}{'takes':>12}{'from - to':>24}{'dollars':>10}{'kWh':>10}")
    for row in bills:
        span = f"{cost.duration(row.least)} - {cost.duration(row.most)}"
        print(f"{row.work:<10}{row.device:<20}{cost.duration(row.hours):>12}{span:>24}"
              f"{row.dollars:>10,.3g}{row.kwh:>10,.3g}")  # fmt: skip
    print(f"\nmeasured on {found.machine}; from - to:")
    for row in bills:
        print(f"  {row.work}, {row.device}: {row.basis}")
    for work in cost.WORKS:
        others = sum(not c.fitted for c in found.checks[work])
        print(f"law of {work}: largest error {found.error(work):.0%} on {others} jobs that it was "
              f"not fitted to")  # fmt: skip
        if arguments.check:
            for c in found.checks[work]:
                mark = "fitted" if c.fitted else f"{c.error:+.0%}"
                print(f"  {c.job.name:<34}{c.predicted:>9.2f} s predicted{c.job.seconds:>9.2f} s "
                      f"measured  {mark}")  # fmt: skip
    print("\nassumptions:")
    for name, why in cost.WHY.items():
        print(f"  {name} = {getattr(corpus, name)}: {why}")
    for device in devices.values():
        print(f"  {device.title}: {device.kinds}; {device.source}")
    return 0
