"""Draws the pipeline picture: three cards in a row for wide screens, two for narrow ones.

    python book/_tools/pipeline_picture.py     # writes pipeline*.svg in book/_static

Plain SVG text, a light panel of its own (so it reads the same in dark mode) and the
colour-blind-safe colours of Okabe and Ito. ``draw(here=4)`` marks one stage.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

BLUE, SKY, GREEN = "#0072b2", "#56b4e9", "#009e73"
ORANGE, RED, PURPLE = "#e69f00", "#c8520a", "#a8467f"
INK, SOFT, LINE, PANEL = "#1f2a37", "#4b5a6b", "#d5dde6", "#f4f7fa"
WIDTH, HEIGHT, GAP, MARGIN, ROW_GAP = 288, 272, 28, 26, 56

SANS = "font-family='Helvetica Neue,Helvetica,Arial,sans-serif'"
MONO = "font-family='Menlo,Consolas,DejaVu Sans Mono,monospace'"


def text(x, y, words, size, *, fill=INK, font=SANS, weight="400", anchor="start") -> str:
    return (
        f"<text x='{x}' y='{y}' font-size='{size}' {font} font-weight='{weight}' "
        f"fill='{fill}' text-anchor='{anchor}'>{escape(words)}</text>"
    )


def box(x, y, width, height, *, fill, stroke="none", radius=6, opacity=1.0) -> str:
    return (
        f"<rect x='{x}' y='{y}' width='{width}' height='{height}' rx='{radius}' "
        f"fill='{fill}' stroke='{stroke}' stroke-width='1.5' opacity='{opacity}'/>"
    )


def chip(x, y, words, width, colour, *, size=17) -> str:
    """A token: rounded box with monospaced text in its middle."""
    return box(x, y, width, 27, fill="#fff", stroke=colour, radius=7) + text(
        x + width / 2, y + 19, words, size, fill=INK, font=MONO, anchor="middle"
    )


def corpus() -> str:
    pages = []
    for shift, opacity in ((32, 0.35), (16, 0.6), (0, 1.0)):
        pages.append(
            box(74 + shift, 96 - shift / 2, 108, 100, fill="#fff", stroke=BLUE, opacity=opacity)
        )
    lines = [
        box(86, 110 + 15 * row, width, 6, fill=SKY if row else BLUE, radius=3)
        for row, width in enumerate((58, 84, 76, 84, 80, 40))
    ]
    return "".join(pages + lines)


def scan() -> str:
    rows = []
    for row, (before, after) in enumerate(((44, 46), (18, 72), (62, 28))):
        y = 90 + 32 * row
        rows.append(box(24, y + 7, before, 7, fill=LINE, radius=3))
        rows.append(box(30 + before, y, 112, 21, fill=ORANGE, radius=5, opacity=0.9))
        rows.append(text(86 + before, y + 15, "bronchoconstr…", 12.5, font=MONO, anchor="middle"))
        rows.append(box(148 + before, y + 7, after, 7, fill=LINE, radius=3))
    glass = (
        f"<g fill='none' stroke='{RED}' stroke-width='5' stroke-linecap='round'>"
        "<circle cx='228' cy='160' r='25' fill='#fff' fill-opacity='0.35'/>"
        "<path d='M247 179 L263 195'/></g>"
    )
    return "".join(rows) + glass


def vocabulary() -> str:
    pieces = (
        ("bro", 24, 48),
        ("##nch", 78, 66),
        ("##oco", 150, 66),
        ("##nst", 24, 66),
        ("##ric", 96, 66),
        ("##tion", 168, 76),
    )
    drawn = [
        chip(x, 82 if row < 3 else 114, words, width, SOFT, size=16)
        for row, (words, x, width) in enumerate(pieces)
    ]
    arrow = (
        f"<path d='M144 147 v13 m-7 -7 l7 8 l7 -8' fill='none' stroke='{GREEN}' stroke-width='3'/>"
    )
    whole = box(24, 168, 240, 32, fill=GREEN, radius=8) + text(
        144, 190, "bronchoconstriction", 18.5, fill="#fff", font=MONO, weight="700", anchor="middle"
    )
    return "".join(drawn) + arrow + whole


def distillation() -> str:
    drawn = []
    shades = ((0.9, 0.3, 0.6, 0.15), (0.7, 0.5, 0.8, 0.3), (0.95, 0.2, 0.5, 0.2))
    for row, values in enumerate(shades):
        for column, value in enumerate(values):
            drawn.append(
                box(24 + 25 * column, 86 + 38 * row, 22, 22, fill=PURPLE, radius=4, opacity=value)
            )
        drawn.append(f"<path d='M130 {97 + 38 * row} L168 135' stroke='{SOFT}' stroke-width='2'/>")
    drawn.append(f"<circle cx='180' cy='135' r='16' fill='#fff' stroke='{SOFT}' stroke-width='2'/>")
    drawn.append(text(180, 141, "x̄", 20, anchor="middle"))
    drawn.append(
        f"<path d='M198 135 h15 m-7 -6 l7 6 l-7 6' fill='none' stroke='{SOFT}' stroke-width='2.5'/>"
    )
    for row, value in enumerate((0.85, 0.33, 0.63, 0.22)):
        drawn.append(box(226, 85 + 26 * row, 24, 23, fill=PURPLE, radius=4, opacity=value))
    return "".join(drawn)


def phases() -> str:
    drawn = []
    steps = (
        ("v0.1", "15 %", SKY),
        ("v0.2", "15 %", SKY),
        ("v0.3", "20 %", BLUE),
        ("v0.4", "20 %", BLUE),
    )
    for step, (name, rate, colour) in enumerate(steps):
        height = 42 + 22 * step
        x, y = 22 + 62 * step, 200 - height
        drawn.append(box(x, y, 58, height, fill=colour, radius=7, opacity=0.55 + 0.15 * step))
        drawn.append(text(x + 29, y - 7, name, 18, weight="700", anchor="middle"))
        drawn.append(text(x + 29, 191, rate, 17, fill="#fff" if step > 1 else INK, anchor="middle"))
    return "".join(drawn)


def ner() -> str:
    def entity(x, y, words, width, colour, kind) -> str:
        return (
            box(x, y, width, 30, fill=colour, radius=6, opacity=0.22)
            + box(x, y + 27, width, 4, fill=colour, radius=2)
            + text(x + width / 2, y + 21, words, 19, anchor="middle")
            + text(x + width / 2, y + 48, kind, 14, fill=colour, weight="700", anchor="middle")
        )

    return (
        entity(24, 84, "Salbutamol", 112, BLUE, "DRUG")
        + text(148, 105, "relieves", 19)
        + entity(24, 146, "bronchoconstriction", 186, RED, "DISEASE")
        + text(216, 167, ".", 19)
    )


#: title, caption in two lines, colour, illustration
STAGES = (
    ("Corpus", "PubMed abstracts", "as clean sentences", BLUE, corpus),
    ("Scan", "each new word in", "its own sentences", RED, scan),
    ("Vocabulary", "six pieces become", "one token", GREEN, vocabulary),
    ("Distillation", "first embedding: mean", "over the contexts", PURPLE, distillation),
    ("Four phases", "masking gets harder", "step by step", BLUE, phases),
    ("NER", "genes, drugs, diseases:", "entity F1", RED, ner),
)

TITLE = "The BIOptimus pipeline in six stages"
DESCRIPTION = (
    "Corpus, scan, vocabulary, distillation, four masking phases from version 0.1 to 0.4, and "
    "named entity recognition, joined by arrows in this order."
)


def card(number: int, x: float, y: float, *, here: bool) -> str:
    """One stage at (x, y)."""
    title, first, second, colour, illustration = STAGES[number]
    frame = box(0, 0, WIDTH, HEIGHT, fill="#fff", stroke=LINE, radius=16)
    if here:
        frame = (
            f"<rect width='{WIDTH}' height='{HEIGHT}' rx='16' fill='#fff' stroke='{ORANGE}' "
            "stroke-width='6'/>"
            + box(74, -17, 140, 32, fill=ORANGE, radius=16)
            + text(144, 5, "you are here", 19, weight="700", anchor="middle")
        )
    badge = f"<circle cx='40' cy='43' r='19' fill='{colour}'/>" + text(
        40, 51, str(number + 1), 22, fill="#fff", weight="700", anchor="middle"
    )
    words = text(70, 53, title, 29, weight="700") + "".join(
        text(144, 230 + 26 * row, line, 21, fill=SOFT, anchor="middle")
        for row, line in enumerate((first, second))
    )
    return f"<g transform='translate({x} {y})'>{frame}{badge}{words}{illustration()}</g>"


def draw(*, columns: int = 3, here: int | None = None) -> str:
    """The picture as SVG text; ``here`` counts the stages from 1."""
    rows = len(STAGES) // columns
    width = 2 * MARGIN + columns * WIDTH + (columns - 1) * GAP
    height = 2 * MARGIN + rows * HEIGHT + (rows - 1) * ROW_GAP
    parts, arrows = [], []
    for number in range(len(STAGES)):
        row, column = divmod(number, columns)
        x, y = MARGIN + column * (WIDTH + GAP), MARGIN + row * (HEIGHT + ROW_GAP)
        parts.append(card(number, x, y, here=here == number + 1))
        if column:
            arrows.append(f"M{x - GAP + 4} {y + HEIGHT / 2} h{GAP - 9} m-8 -8 l8 8 l-8 8")
        elif row:
            start = MARGIN + (columns - 1) * (WIDTH + GAP) + WIDTH / 2
            middle = y - ROW_GAP / 2
            arrows.append(
                f"M{start} {y - ROW_GAP + 3} V{middle - 12} q0 12 -12 12 H{x + WIDTH / 2 + 12} "
                f"q-12 0 -12 12 V{y - 5} m-8 -8 l8 8 l8 -8"
            )
    path = (
        f"<path d='{' '.join(arrows)}' fill='none' stroke='{SOFT}' stroke-width='4' "
        "stroke-linecap='round' stroke-linejoin='round'/>"
    )
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' role='img' "
        f"aria-labelledby='t d'>\n<title id='t'>{TITLE}</title>\n"
        f"<desc id='d'>{DESCRIPTION}</desc>\n"
        f"{box(0, 0, width, height, fill=PANEL, radius=22)}\n{path}\n"
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def main() -> None:
    static = Path(__file__).resolve().parents[1] / "_static"
    (static / "pipeline.svg").write_text(draw(), encoding="utf-8")
    (static / "pipeline-narrow.svg").write_text(draw(columns=2), encoding="utf-8")


if __name__ == "__main__":
    main()
