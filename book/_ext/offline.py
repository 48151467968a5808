"""Makes the built book complete without a network: mathematics from a local MathJax.

The scripts and fonts come from the package ``sphinx-mathjax-offline``; only the parts that a page
can ask for are copied (2 MB instead of 24 MB). That widgets load no scripts is a setting in
``_config.yml``; ``tests/browser/check.py`` proves that no page asks another host for anything.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from shutil import copytree

PARTS = ("tex-chtml.js", "input/tex/extensions", "output/chtml/fonts")


def mathjax_folder() -> Path:
    """Where the installed package keeps MathJax; its name is no identifier, so no plain import."""
    spec = find_spec("sphinx-mathjax-offline")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("sphinx-mathjax-offline is not installed: run `make setup`")
    return Path(spec.origin).parent / "static" / "mathjax"


def copy_mathjax(app, error: Exception | None) -> None:
    """Copy the parts of MathJax that pages use; nothing after a failed build."""
    if error is not None or app.builder.format != "html":
        return
    source, target = mathjax_folder(), Path(app.outdir) / "_static" / "mathjax"
    for part in PARTS:
        if (source / part).is_dir():
            copytree(source / part, target / part, dirs_exist_ok=True)
        else:
            target.mkdir(parents=True, exist_ok=True)
            (target / part).write_bytes((source / part).read_bytes())


def setup(app) -> dict[str, bool]:
    """Called by Sphinx."""
    app.config.mathjax_path = "mathjax/tex-chtml.js"
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
