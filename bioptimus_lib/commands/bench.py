"""``bioptimus bench``: how fast, or how good, a room is beside what else one could use."""

from __future__ import annotations

import argparse
from importlib import import_module

#: Each is a module ``bench_<room>`` with ``add``.
ROOMS: tuple[str, ...] = (
    "scan", "sentences", "distill", "masking", "pretrain", "ner", "compact",
    "tag", "onnx", "scale",
)  # fmt: skip


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command and its rooms."""
    parser = subparsers.add_parser(
        "bench",
        help="compare a room of the library with other ways to do its work",
        description="Times are ratios of one run in which the sides take turns: seconds of "
        "different runs should not be compared.",
    )
    rooms = parser.add_subparsers(title="rooms", metavar="ROOM", required=True)
    for room in ROOMS:
        import_module(f"bioptimus_lib.bench_{room}").add(rooms)
    for shown in rooms._choices_actions:  # a line in the list above, and so the room's own words
        words = shown.help or ""
        rooms.choices[shown.dest].description = words[:1].upper() + words[1:] + "."
