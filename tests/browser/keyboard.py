"""A walk through a page with the keyboard alone: Tab, Enter and the space bar.

The first stop must lead past the side bars; every stop must look different from how it looks
without the focus; all that can be clicked must be a stop; and what can be opened or answered must
do so when its key is pressed.
"""

from __future__ import annotations

STOPS = 2000  # a page with more has a trap for the focus
SKIP = "a[href='#main-content']"
#: What it is → where it is, the key, and how one sees that the key did something.
PRESSED = {
    "a dropdown": ("details > summary", "Enter", "e => e.parentElement.open"),
    "a solution": (
        "button.toggle-button",
        "Enter",
        "e => e.getAttribute('aria-expanded') === 'true' && !e.closest('.toggle-hidden')",
    ),
    "an answer of the quiz": (
        ".Quiz input[type=radio]",
        "Space",
        "e => e.closest('.Quiz').querySelector('.Feedback').textContent.trim() !== ''",
    ),
}
# What a reader sees of an element, or of the label around it where the element itself is hidden.
PREPARE = """() => {
  const seen = e => (e.getBoundingClientRect().width < 3 && e.closest('label')) || e;
  const looks = e => { const s = getComputedStyle(seen(e));
    return [s.outlineStyle === 'none' ? '' : s.outlineWidth + s.outlineColor, s.boxShadow,
            s.borderColor, s.backgroundColor, s.textDecoration].join(); };
  const wanted = 'a[href], button, summary, input, select, textarea, [tabindex="0"]';
  const name = e => e.tagName.toLowerCase() + [...e.classList].map(c => '.' + c).join('');
  const all = [...document.querySelectorAll(wanted)]
    .filter(e => e.tabIndex >= 0 && !e.disabled && e.checkVisibility({visibilityProperty: true}));
  const before = new Map(all.map(e => [e, looks(e)])), reached = new Set(), radios = new Set();
  window.walk = {
    stop() {
      const e = document.activeElement;
      if (!e || e === document.body) return null;
      if (reached.has(e)) return {again: true, name: name(e)};
      reached.add(e);
      if (e.type === 'radio') radios.add(e.name);
      return {name: name(e), plain: before.has(e) && before.get(e) === looks(e)};
    },
    missed: () => all.filter(e => e.isConnected && e.closest('main'))
      .filter(e => !reached.has(e) && !radios.has(e.name)).map(name),
  };
}"""


def walk(page) -> list[str]:
    """What goes wrong on the page as it was just loaded, in words."""
    page.evaluate(PREPARE)
    problems = skip_link(page)
    stops = 0
    while (stop := page.evaluate("() => walk.stop()")) and not stop.get("again"):
        if stop["plain"]:
            problems.append(f"keyboard: one cannot see the focus on {stop['name']}")
        stops += 1
        if stops > STOPS:
            return [*problems, f"keyboard: more than {STOPS} stops, the last on {stop['name']}"]
        page.keyboard.press("Tab")
    missed = page.evaluate("() => walk.missed()")
    problems += [f"keyboard: Tab does not stop at {name}" for name in missed]
    return list(dict.fromkeys([*problems, *pressed(page)]))


def skip_link(page) -> list[str]:
    """The first stop must be the link to the text, and it must lead there."""
    page.keyboard.press("Tab")
    if not page.evaluate("skip => document.activeElement.matches(skip)", SKIP):
        return ["keyboard: the first stop is no link to the text"]
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    inside = page.evaluate("() => !!document.activeElement.closest('#main-content')")
    page.evaluate("skip => document.querySelector(skip).focus()", SKIP)
    return [] if inside else ["keyboard: the link to the text does not lead there"]


def pressed(page) -> list[str]:
    """Each kind of thing must be on the page, and each of them must answer to its key."""
    problems = []
    for kind, (where, key, done) in PRESSED.items():
        here = page.query_selector_all(where)
        if not here:
            problems.append(f"keyboard: the page has not got {kind}")
        for element in here:
            element.focus()
            page.keyboard.press(key)
            if not element.evaluate(done):
                problems.append(f"keyboard: {key} does nothing on {kind}")
    return problems
