"""Mends what Sphinx and MyST write into the text of a page and screen readers stumble over.

The bibliography is a list of ``doc-biblioentry``, a role that ARIA 1.2 has withdrawn, so that the
list has no items; and the empty corner of a table is a heading without a word.
"""

from __future__ import annotations

import re

CORNER = re.compile(r"<th\b([^>]*)>(\s*(?:<p>\s*</p>)?\s*)</th>")


def mended(body: str) -> str:
    """
    >>> mended('<tr><th class="head"><p></p></th><th>loss</th></tr>')
    '<tr><td class="head"></td><th>loss</th></tr>'
    >>> mended('<div class="citation" id="id1" role="doc-biblioentry">')
    '<div class="citation" id="id1" role="listitem">'
    """
    return CORNER.sub(r"<td\1></td>", body.replace('role="doc-biblioentry"', 'role="listitem"'))


def mend(app, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Mend the text of a page before it is written."""
    if "body" in context:
        context["body"] = mended(context["body"])


def setup(app) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("html-page-context", mend)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
