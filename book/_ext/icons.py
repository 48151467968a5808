"""Keeps of Font Awesome only the icons that the book shows.

The theme brings all two thousand in one script, 1.5 MB of it, and every page loads it; the book
shows a dozen and a half. When the book is built, what its pages and scripts name stays and the rest
is cut out. An icon that is added later is there in the next build.
"""

from __future__ import annotations

import re
from pathlib import Path

# name:[width,height,[other names],"code","path" or ["path","path"]], as the script writes it
ICON = re.compile(
    r'"?([\w-]+)"?:\[\d+,\d+,\[([^\]]*)\],"[0-9a-f]+",(?:"[^"]*"|\["[^"]*","[^"]*"\])\],?'
)
LIBRARY = "fontawesome.js"


def wanted(folder: Path) -> set[str]:
    """Names of icons, without ``fa-``, in the pages, styles and scripts of a built book."""
    found: set[str] = set()
    for path in folder.rglob("*"):
        if path.suffix in {".html", ".js"} and LIBRARY not in path.name:
            found |= set(re.findall(r"\bfa-([a-z0-9-]+)", path.read_text("utf-8", "ignore")))
    return found


def cut(script: str, keep: set[str]) -> str:
    """The script with the icons of these names, or other names of them.

    >>> cut('{sun:[1,1,[],"f1","M1"],"x-ray":[1,1,["ray"],"f2","M2"],moon:[1,1,[],"f3","M3"]}',
    ...     {"sun", "ray"})
    '{sun:[1,1,[],"f1","M1"],"x-ray":[1,1,["ray"],"f2","M2"],}'
    """

    def stays(match: re.Match[str]) -> str:
        names = {match.group(1), *re.findall(r'"([\w-]+)"', match.group(2))}
        return match.group() if names & keep else ""

    return ICON.sub(stays, script)


def cut_icons(app, error: Exception | None) -> None:
    """Cut them in each copy of the script."""
    if error is not None or app.builder.format != "html":
        return
    folder = Path(app.outdir)
    keep = wanted(folder)
    for path in folder.rglob(LIBRARY):
        path.write_text(cut(path.read_text(encoding="utf-8"), keep), encoding="utf-8")


def setup(app) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("build-finished", cut_icons, priority=950)  # when all pages are there
    return {"parallel_read_safe": True, "parallel_write_safe": True}
