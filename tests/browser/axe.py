"""What axe-core finds on a page: contrast, names, headings, landmarks, reach by keyboard.

The page is looked at with everything opened that a reader can open. Wide and light all rules are
asked; in the dark those of colour, and at 400 px, where more boxes scroll, the one of boxes that
scroll: what the others ask for is the same in all three.
"""

from __future__ import annotations

from dataclasses import dataclass

from axe_playwright_python.sync_playwright import Axe

#: How a page is looked at → the rules that are asked; None asks all but those of level AAA.
LOOKS: dict[str, list[str] | None] = {
    "wide": None,
    "dark": ["color-contrast", "link-in-text-block"],
    "narrow": ["scrollable-region-focusable"],
}
#: What looks as something above it on the page does: rows of a long table, and a word of a listing
#: if one before it had the same classes, and so had all the boxes around it. Half of the elements
#: of a chapter are such words, the ledger has a thousand rows, and each contrast takes a while.
LOOKS_ALIKE = """() => {
  for (const row of document.querySelectorAll('tbody > tr:nth-child(n+9)')) row.remove();
  const seen = new Set();
  for (const word of document.querySelectorAll('pre span[class]')) {
    let look = '';
    for (let box = word; box; box = box.parentElement) look += `${box.className} in `;
    if (seen.has(look)) word.replaceWith(word.textContent); else seen.add(look);
  }
}"""
FAILS = ("critical", "serious")
#: What was closed fades in when it is opened; half faded in, its contrast is not what is read.
OPEN = """async () => {
  for (const details of document.querySelectorAll('details')) details.open = true;
  for (const button of document.querySelectorAll('button.toggle-button-hidden')) button.click();
  await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
  for (const fade of document.getAnimations()) try { fade.finish(); } catch { fade.cancel(); }
}"""


@dataclass(frozen=True)
class Finding:
    """A rule that a page breaks: how gravely, how often, and where for the first time."""

    rule: str
    impact: str
    look: str
    count: int
    says: str

    @property
    def fails(self) -> bool:
        """Whether a book with it is not good enough."""
        return self.impact in FAILS

    def __str__(self) -> str:
        return f"{self.look}, {self.impact}: {self.rule} × {self.count}, {self.says}"


def findings(page, look: str) -> list[Finding]:
    """What axe says of the page as it is shown now; ``look`` is a key of ``LOOKS``."""
    rules = LOOKS[look]
    only = {"runOnly": {"type": "rule", "values": rules}} if rules else {}
    page.evaluate(OPEN)
    if look != "narrow":  # there it matters what a box holds: does it scroll?
        page.evaluate(LOOKS_ALIKE)
    # Without preload axe asks for no style sheets by itself, which it looks for in wrong folders.
    options = {"resultTypes": ["violations"], "preload": False, **only}
    answer = Axe().run(page, options=options).response
    return [_finding(rule, look) for rule in answer["violations"]]


def _finding(rule: dict, look: str) -> Finding:
    first = rule["nodes"][0]
    checks = [*first["any"], *first["all"], *first["none"]]
    why = checks[0]["message"] if checks else rule["help"]
    where = " ".join(map(str, first["target"]))
    says = f"{rule['help']}; first at {where}: {why}"
    return Finding(rule["id"], rule["impact"] or "minor", look, len(rule["nodes"]), says)
