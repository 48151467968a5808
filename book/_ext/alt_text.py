"""Takes a figure's alt text from the output into the page.

``display(Image(png, alt="..."))`` stores the words beside the picture, and notebooks read them out;
MyST-NB 1.4 passes only width and height on, and names the picture by its file. Cell metadata
(``mystnb: {image: {alt: ...}}``) works there, but would stand far from the code that draws.
"""

from __future__ import annotations

from functools import wraps

from myst_nb.core.render import NbElementRenderer


def with_alt(render_image):
    """``NbElementRenderer.render_image``, and the alt text of the output on its picture."""

    @wraps(render_image)
    def render(self, data):
        pictures = render_image(self, data)
        words = data.output_metadata.get(data.mime_type, {}).get("alt")
        for picture in pictures:
            if words and "alt" not in picture:
                picture["alt"] = str(words)
        return pictures

    return render


def setup(app) -> dict[str, bool]:
    """Called by Sphinx."""
    if not hasattr(NbElementRenderer.render_image, "__wrapped__"):
        NbElementRenderer.render_image = with_alt(NbElementRenderer.render_image)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
