// What the theme leaves open for readers who do not use a mouse.

document.addEventListener("DOMContentLoaded", () => {
  // The logo stands in the side bar, which the theme makes no landmark.
  const sidebar = document.getElementById("pst-primary-sidebar");
  sidebar?.setAttribute("role", "complementary");
  sidebar?.setAttribute("aria-label", "Book");

  // A box that scrolls sideways is a stop for Tab, so that the arrows move it; the theme asks once,
  // when boxes in closed dropdowns have no width yet. Its edge fades while there is more behind it.
  const stops = new WeakSet();
  const fade = (box) => {
    box.classList.toggle("more", box.scrollWidth - box.clientWidth - box.scrollLeft > 2);
  };
  const watch = new ResizeObserver((changed) => {
    for (const { target: box } of changed) {
      const scrolls = box.scrollWidth > box.clientWidth;
      if (scrolls && box.tabIndex < 0) {
        box.tabIndex = 0;
        stops.add(box);
      } else if (!scrolls && stops.delete(box)) box.removeAttribute("tabindex");
      fade(box);
    }
  });
  const boxes = "pre, table, .cell_output, .output, .bio, div.math, .pst-scrollable-table-container";
  for (const box of document.querySelectorAll(`.bd-article :is(${boxes})`)) {
    watch.observe(box);
    box.addEventListener("scroll", () => fade(box), { passive: true });
  }
});
