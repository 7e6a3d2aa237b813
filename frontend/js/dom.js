/** The few DOM helpers that views share. */

/**
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} Kind
 * @returns {T} the element of the page with this id
 */
export function byId(id, Kind) {
  const element = document.getElementById(id);
  if (!(element instanceof Kind)) throw new TypeError(`expected a ${Kind.name} with the id "${id}" in index.html`);
  return element;
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | number | boolean | null>} [attributes] null and false leave an attribute out
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** @param {string} name of a symbol in index.html, without `icon-` */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  setIcon(use, name);
  svg.append(use);
  return svg;
}

/** @param {Element} use @param {string} name */
export function setIcon(use, name) {
  const address = `#icon-${name}`;
  if (use.getAttribute("href") !== address) use.setAttribute("href", address);
}

/** @param {Element} element @param {string} text */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @param {Element} element @param {string} name @param {string} value */
export function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/**
 * Draws a list whose items keep their elements, and so focus and what is being typed, while others come, go and change places.
 * @template T
 * @template {{element: HTMLElement}} V
 * @param {HTMLElement} list
 * @param {Map<string, V>} drawn what is in the list now, by key
 * @param {T[]} items
 * @param {object} parts
 * @param {(item: T) => string} parts.key
 * @param {(item: T) => V} parts.create
 * @param {(view: V, item: T, index: number) => void} parts.draw
 */
export function drawList(list, drawn, items, { key, create, draw }) {
  const focused = list.contains(document.activeElement) ? document.activeElement : null;
  const keys = new Set(items.map(key));
  for (const [one, view] of drawn) {
    if (keys.has(one)) continue;
    view.element.remove();
    drawn.delete(one);
  }
  items.forEach((item, index) => {
    const view = drawn.get(key(item)) ?? create(item);
    drawn.set(key(item), view);
    const there = list.children[index] ?? null;
    if (there !== view.element) list.insertBefore(view.element, there);
    draw(view, item, index);
  });
  // What is put elsewhere loses the focus; before the next key it is back.
  if (focused instanceof HTMLElement && focused !== document.activeElement) focused.focus({ preventScroll: true });
}

/** @param {Element} element @param {string} name @param {boolean} on */
export const setFlag = (element, name, on) => void element.toggleAttribute(name, on);
