"""``bioptimus fetch``: get real data and models, list them, or check their links."""

from __future__ import annotations

import argparse

BASELINE = "pubmed-baseline"  # too large to have a default


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "fetch",
        help="get real data and models by name, or list them",
        description="Get sources by name from the mirror, the cache or the network; each file is "
        "checked against its hash. Prints the folder of each source.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="sources to get, see --list")
    parser.add_argument("--list", action="store_true", help="print the table of sources")
    parser.add_argument(
        "--check-links", action="store_true", help="ask each address for its head, fetch nothing"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    group = parser.add_argument_group(BASELINE)
    group.add_argument("--first", type=int, metavar="N", help="the first N files of the baseline")
    group.add_argument("--file", action="append", metavar="FILE", help="one file; may be repeated")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    from bioptimus_lib import source_report, sources
    from bioptimus_lib.source_table import source

    if not (arguments.names or arguments.list or arguments.check_links):
        raise ValueError("name a source to fetch, or give --list to see them")
    if arguments.list:
        print(source_report.listing(arguments.names or None))
        return 0
    if arguments.check_links:
        dead = 0
        for link in source_report.check_links(arguments.names or None):
            print(link, flush=True)
            dead += not link.ok
        if dead:
            raise ConnectionError(f"{dead} link(s) do not answer as they should, see above")
        return 0
    wanted = {"files": arguments.file, "first": arguments.first}
    extras = {name: wanted if name == BASELINE else {} for name in arguments.names}
    if BASELINE not in extras and any(wanted.values()):
        raise ValueError(f"--first and --file are for {BASELINE}, which is not named")
    for name, extra in extras.items():  # what cannot be stops everything before any download
        sources.wanted_files(source(name), **extra)
    for name, extra in extras.items():
        print(sources.fetch(name, progress=not arguments.quiet, **extra), flush=True)
    return 0
