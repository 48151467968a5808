"""Controls above a picture that follows them: what every widget of the course is made of.

The picture is a pure function of the controls' values, so that the book shows the same picture as a
static twin. Only what ipywidgets 7.7 and 8 share is used, since Colab has 7.7: widgets by keyword,
``interactive_output``, and outputs by ``display``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any


def above_picture(
    controls: Mapping[str, Any], picture: Callable[..., str], *, first: Sequence[Any] = ()
) -> Any:
    """Controls below each other, and under them the HTML that a function makes of their values.

    Args:
        controls: argument of the function → the control that gives it.
        picture: takes these arguments by name.
        first: controls above the others that the function does not see.

    Returns:
        The widget; the last expression of a cell shows it.
    """
    import ipywidgets
    from IPython.display import HTML, display

    def draw(**values: Any) -> None:
        display(HTML(picture(**values)))

    all_controls = [*first, *controls.values()]
    for control in all_controls:  # 8 shows "null" on the label of a slider else; 7.7 ignores it
        control.tooltip = control.description
    return ipywidgets.VBox([*all_controls, ipywidgets.interactive_output(draw, controls)])
