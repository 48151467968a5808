"""The launch button stands on chapters only: Colab cannot open a page that is no notebook."""

from __future__ import annotations


def drop_launch(app, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Take the launch button off the pages outside ``notebooks/``."""
    if not pagename.startswith("notebooks/"):
        context["header_buttons"] = [
            button
            for button in context.get("header_buttons", [])
            if button.get("label") != "launch-buttons"
        ]


def setup(app) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("html-page-context", drop_launch, priority=900)  # after the theme has added it
    return {"parallel_read_safe": True, "parallel_write_safe": True}
