// Elements made from text and attributes; text is never read as markup.

/** An element. `properties`: class, text, on (event -> listener), anything else is an attribute (false: left out). */
export function el(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") made.className = value;
    else if (key === "text") made.textContent = value;
    else if (key === "on") for (const [event, listener] of Object.entries(value)) made.addEventListener(event, listener);
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value === true ? "" : String(value));
  }
  made.append(...children);
  return made;
}

/** A number as a reader wants it: whole ones as they are, others with about four digits that count. */
export function said(value) {
  if (!Number.isFinite(value)) return "–";
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(3);
  return String(Number(value.toFixed(size >= 100 ? 1 : size >= 1 ? 2 : 4)));
}

/** JSON of an address; waits while the server is busy. Throws an Error that says what the server says. */
export async function getJson(address, busy = () => {}) {
  for (let attempt = 0; ; attempt++) {
    const answer = await fetch(address);
    if (answer.ok) return answer.json();
    const problem = await answer.json().catch(() => ({}));
    if (answer.status === 503 && attempt < 100) {
      busy(problem.Message ?? "the server is busy");
      await new Promise((resolve) => setTimeout(resolve, 1000 * Number(answer.headers.get("Retry-After") ?? 2)));
      continue;
    }
    const remedy = problem.Remedy ? ` (${problem.Remedy})` : "";
    throw new Error(`${problem.Message ?? `${address}: ${answer.status} ${answer.statusText}`}${remedy}`);
  }
}
