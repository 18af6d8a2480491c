// Making and changing elements. Styles are set through the CSSOM: the policy of the page forbids style attributes.

const SVG = "http://www.w3.org/2000/svg";

// Makes an element. A property that begins with "on" is a listener, one that is null or false is left out.
export function element(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

// Makes an element of an SVG graphic.
export function graphic(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

function fill(made, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

// Changes a text only if it differs, so that a selection in it survives, and screen readers have nothing to say.
export function write(target, text) {
  if (target.firstChild?.nodeType === Node.TEXT_NODE && target.childNodes.length === 1) {
    if (target.firstChild.data !== text) target.firstChild.data = text;
  } else if (target.textContent !== text) {
    target.textContent = text;
  }
}

// Brings the children of an element into an order, and moves only those that are elsewhere.
export function arrange(parent, children) {
  let place = parent.firstChild;
  for (const child of children) {
    if (child === place) place = place.nextSibling;
    else parent.insertBefore(child, place);
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

export const movesLess = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
