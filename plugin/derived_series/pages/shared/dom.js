// Elements made from text and attributes; text is never read as markup.

/** The element of the page with an id; of whatever kind it is. @returns {any} */
export const byId = (id) => document.getElementById(id);

/**
 * A new element.
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {Record<string, any>} [properties] class, text, on (event -> listener); anything else is an attribute (false:
 *   left out)
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[Name]}
 */
export function el(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") element.className = value;
    else if (key === "text") element.textContent = value;
    else if (key === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children);
  return element;
}

/** After these a line may be broken: within a keyword, a name, a UID and several values. */
const BREAKS = /[a-z](?=[A-Z])|[_(.\\](?=\w)/g;

/** A text whose long words may be broken where a reader would: Instance|Creation|Date, 1.2.|840, ORIGINAL\|PRIMARY. */
export function breakable(text) {
  const parts = String(text ?? "").replace(BREAKS, "$&\0").split("\0");
  return el("span", {}, ...parts.flatMap((part, index) => (index ? [el("wbr"), part] : [part])));
}
