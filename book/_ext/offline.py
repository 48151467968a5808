"""Makes the built book complete without a network.

Two things stand in the way. First, mathematics: the scripts and fonts come from the package
``sphinx-mathjax-offline``; only the parts that a page can ask for are copied (2 MB instead of 24).
Second, Thebe: Jupyter Book adds its loader to every page, twice, which is an error on the console,
and it would run cells on somebody else's server; it is taken out. That widgets load no scripts is
a setting in ``_config.yml``; ``tests/browser/check.py`` proves that no page asks another host.
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


def mathjax_to(target: Path) -> None:
    """Copy the parts of MathJax that pages use into a folder."""
    target.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        source = mathjax_folder() / part
        if source.is_dir():
            copytree(source, target / part, dirs_exist_ok=True)
        else:
            (target / part).write_bytes(source.read_bytes())


def copy_mathjax(app, error: Exception | None) -> None:
    """MathJax beside the pages of a book; nothing after a failed build."""
    if error is None and app.builder.format == "html":
        mathjax_to(Path(app.outdir) / "_static" / "mathjax")


def drop_thebe(app, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Take the scripts of Thebe out of a page."""
    scripts = context.get("script_files", [])
    context["script_files"] = [
        script
        for script in scripts
        if "thebe" not in str(script).lower()
        and "thebe" not in str(getattr(script, "attributes", {}).get("body", "")).lower()
    ]


def drop_mathjax(app, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Take MathJax off a page without mathematics: it is a megabyte."""
    if 'class="math' not in context.get("body", ""):
        scripts = context.get("script_files", [])
        context["script_files"] = [one for one in scripts if "mathjax" not in str(one).lower()]


INDEX = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<link rel="icon" href="data:,"><meta http-equiv="refresh" content="0; url={page}"></head>
<body><p><a href="{page}">{title}</a></p></body></html>
"""


def write_index(app, error: Exception | None) -> None:
    """The folder's first page leads to the book's; its empty icon keeps browsers from asking."""
    if error is None and app.builder.format == "html":
        page = INDEX.format(
            title=app.config.html_title,
            page=f"{app.config.root_doc}.html",
        )
        (Path(app.outdir) / "index.html").write_text(page, encoding="utf-8")


def setup(app) -> dict[str, bool]:
    """Called by Sphinx."""
    app.config.mathjax_path = "mathjax/tex-chtml.js"
    app.connect("html-page-context", drop_thebe, priority=900)
    app.connect("html-page-context", drop_mathjax, priority=900)
    app.connect("build-finished", copy_mathjax)
    app.connect("build-finished", write_index, priority=900)  # in place of etoc's
    return {"parallel_read_safe": True, "parallel_write_safe": True}
