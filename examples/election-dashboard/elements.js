/** Short ways to find, make and fill elements. All texts of a document become text, never HTML. */

/** Gives the element with an id. */
export const at = (id) => document.getElementById(id);

/** Sets the text of an element, if it is another one: screen readers read out each text that is set. */
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Makes an element with children, which are elements or texts. */
export function make(tag, { className = "", ...attributes } = {}, ...children) {
  const element = document.createElement(tag);
  element.className = className;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Writes a number with separators, for example 12,345.6. */
export const number = (value, digits = 0) =>
  value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** Writes a difference with its sign; ±0 if there is none. */
export function signed(value, digits = 0) {
  const text = number(Math.abs(value), digits);
  if (Number(text.replaceAll(",", "")) === 0) return "±0";
  return (value > 0 ? "+" : "−") + text;
}

/** Gives a colour of a document, or a grey if it is none: it becomes a part of a style. */
export const color = (text) => (/^#[0-9a-f]{6}$/i.test(text) ? text : "#888888");

/** Lights an element up for a moment. */
export function flash(element) {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  element.animate([{ backgroundColor: "var(--flash)" }, { backgroundColor: "transparent" }], 1500);
}
