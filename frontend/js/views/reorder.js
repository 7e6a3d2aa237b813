/**
 * Moves items of a list by their grips: dragged with a pointer, or with the arrow keys while a grip has the focus. The list itself is
 * changed by whoever owns it, once an item is let go.
 */

/** Nearer than this to an edge of the scrolled part, dragging scrolls it. */
const EDGE_PX = 36;
const SCROLL_PX = 9;

/**
 * @param {HTMLElement} list its children are the items; those with `data-movable` can be moved, among themselves
 * @param {HTMLElement} scroller
 * @param {(item: HTMLElement, to: number) => void} move `to` is an index among all children
 */
export function reorderable(list, scroller, move) {
  list.addEventListener("keydown", (event) => {
    const item = itemOf(event.target);
    const step = event.key === "ArrowUp" ? -1 : event.key === "ArrowDown" ? 1 : 0;
    if (!item || step === 0) return;
    event.preventDefault();
    const to = [...list.children].indexOf(item) + step;
    if (list.children[to]?.hasAttribute("data-movable")) move(item, to);
  });

  list.addEventListener("pointerdown", (event) => {
    const item = itemOf(event.target);
    const grip = item && gripOf(item);
    if (!item || !grip || event.button !== 0) return;
    event.preventDefault();
    grip.focus();
    grip.setPointerCapture(event.pointerId);
    drag(event, grip, item);
  });

  /** @param {PointerEvent} start @param {HTMLElement} grip @param {HTMLElement} item */
  function drag(start, grip, item) {
    const items = /** @type {HTMLElement[]} */ ([...list.children]);
    const from = items.indexOf(item);
    const tops = items.map((one) => one.offsetTop);
    const heights = items.map((one) => one.offsetHeight);
    const gap = items.length > 1 ? Math.max(0, tops[1] - tops[0] - heights[0]) : 0;
    const first = items.findIndex((one) => one.hasAttribute("data-movable"));
    const scrolled = scroller.scrollTop;
    let to = from;
    let y = start.clientY;
    let frame = 0;

    item.toggleAttribute("data-dragged", true);
    list.toggleAttribute("data-dragging", true);

    // An item makes room once it is covered to its middle.
    /** @param {number} by */
    const placeOf = (by) => {
      const top = tops[from] + by;
      const middle = (/** @type {number} */ index) => tops[index] + heights[index] / 2;
      for (let index = first; index < from; index += 1) if (top < middle(index)) return index;
      for (let index = items.length - 1; index > from; index -= 1) if (top + heights[from] > middle(index)) return index;
      return from;
    };
    const draw = () => {
      const box = scroller.getBoundingClientRect();
      if (y < box.top + EDGE_PX && y < start.clientY) scroller.scrollTop -= SCROLL_PX;
      else if (y > box.bottom - EDGE_PX && y > start.clientY) scroller.scrollTop += SCROLL_PX;
      const by = y - start.clientY + scroller.scrollTop - scrolled;
      to = placeOf(by);
      items.forEach((one, index) => {
        const shift = index === from ? by : index >= to && index < from ? heights[from] + gap : index > from && index <= to ? -heights[from] - gap : 0;
        one.style.translate = shift === 0 ? "" : `0 ${shift}px`;
      });
      frame = requestAnimationFrame(draw);
    };
    /** @param {PointerEvent} event */
    const moved = (event) => {
      y = event.clientY;
    };
    /** @param {boolean} keep */
    const end = (keep) => {
      cancelAnimationFrame(frame);
      grip.removeEventListener("pointermove", moved);
      grip.removeEventListener("pointerup", drop);
      grip.removeEventListener("pointercancel", leave);
      grip.removeEventListener("keydown", escape);
      item.toggleAttribute("data-dragged", false);
      list.toggleAttribute("data-dragging", false);
      for (const one of items) one.style.translate = "";
      if (keep && to !== from) move(item, to);
    };
    const drop = () => end(true);
    const leave = () => end(false);
    /** @param {KeyboardEvent} event */
    const escape = (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      leave();
    };
    grip.addEventListener("pointermove", moved);
    grip.addEventListener("pointerup", drop);
    grip.addEventListener("pointercancel", leave);
    grip.addEventListener("keydown", escape);
    frame = requestAnimationFrame(draw);
  }

  /** @param {EventTarget | null} target @returns {HTMLElement | null} the item whose grip this is */
  function itemOf(target) {
    const grip = target instanceof Element ? target.closest(".scene__grip") : null;
    const item = grip?.closest("li");
    return item instanceof HTMLElement && item.hasAttribute("data-movable") ? item : null;
  }
}

/** @param {HTMLElement} item @returns {HTMLElement | null} */
const gripOf = (item) => item.querySelector(".scene__grip");
