"""Benchmark rows of the ledger as a table: which side is how many times as fast as the other."""

from __future__ import annotations

from html import escape

from bioptimus_lib import ledger, pictures
from bioptimus_lib.chapter import COMMANDS


def ratio_table(experiment: str) -> str:
    """The comparisons of an experiment as HTML, a line each, fastest pair last.

    A row's ``model`` names its sides, "SLOWER / FASTER", its metrics are ``ratio`` (the median over
    rounds in which the sides took turns), ``least`` and ``most``. Without rows it says so, and how
    to make some.
    """
    try:
        rows = [row for row in ledger.read(experiment) if "ratio" in row["metrics"]]
    except FileNotFoundError:
        rows = []
    if not rows:
        command = escape(COMMANDS.get(experiment, "bioptimus bench --help"))
        return pictures.panel(
            f"<p>The ledger holds no rows of <b>{escape(experiment)}</b> yet. "
            f"To make some: <code>{command}</code></p>"
        )
    lines = []
    for row in sorted(rows, key=lambda row: row["metrics"]["ratio"]):
        slower, _, faster = row["model"].partition(" / ")
        found = row["metrics"]
        lines.append({
            "compared": f"{faster} against {slower}",
            "text": row["dataset"],
            "setting": row.get("variant") or "",
            "times as fast": f"{found['ratio']:.3g}",
            "least to most": f"{found['least']:.3g} to {found['most']:.3g}",
        })
    origins = dict.fromkeys((row["device"], row["command"]) for row in rows)
    said = "".join(
        f"<p class='key'>{escape(device)}: <code>{escape(command)}</code></p>"
        for device, command in origins
    )
    numbers = ("times as fast", "least to most")
    return pictures.table(lines, numbers=numbers) + pictures.panel(said)
