// The table of runs: how far each is, and what can be done to it.

import { byId, el } from "../shared/dom.js";
import { formatNumber, formatTime } from "../shared/format.js";
import { problem } from "../shared/page.js";
import { ask, at } from "../shared/server.js";

const OVER = ["Success", "Failure", "Skipped", "Cancelled"];

export const isOpen = (run) => !["Done", "Cancelled", "Failed"].includes(run.State);

/** A row; it stays in the document while its run changes, so that it keeps the focus. */
export class RunRow {
  constructor(id, changed, show) {
    this.path = `derived-series/bulk/${id}`;
    this.changed = changed;
    this.shown = "";
    this.cells = [1, 2, 3, 4].map(() => el("td"));
    this.node = el("tr", { "data-run": id }, ...this.cells);
    this.progress = el("progress", { max: 1, "aria-label": "Progress" });
    this.words = el("div");
    this.trouble = el("div");
    this.cells[2].append(this.progress, this.words, this.trouble);
    this.actions = {
      pause: this.#action("Pause", "POST", "/pause"),
      resume: this.#action("Resume", "POST", "/resume"),
      cancel: this.#action("Cancel", "POST", "/cancel"),
      retry: this.#action("Try failed ones again", "POST", "/retry"),
      forget: this.#action("Forget", "DELETE", ""),
    };
    const series = el("button", { type: "button", text: "Series" });
    series.addEventListener("click", () => show(id));
    this.links = el("span", { class: "links" });
    this.cells[3].append(...Object.values(this.actions), series, this.links);
  }

  #action(text, method, path) {
    const button = el("button", { type: "button", text, hidden: true });
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        await ask(`${this.path}${path}`, { method, json: method === "POST" ? {} : undefined });
        this.trouble.replaceChildren();
        this.changed();
      } catch (error) {
        this.trouble.replaceChildren(problem(error));
      } finally {
        button.disabled = false;
      }
    });
    return button;
  }

  draw(run) {
    const shown = JSON.stringify(run);
    if (shown === this.shown) return;
    this.shown = shown;
    this.node.dataset.state = run.State;
    const over = OVER.reduce((sum, state) => sum + run.Counts[state], 0);
    this.cells[0].textContent = formatTime(run.CreationTime);
    this.cells[1].replaceChildren(el("div", { text: run.Name }), el("div", { text: what(run) }));
    Object.assign(this.progress, { max: Math.max(1, run.Series), value: over, hidden: !run.Series });
    this.words.textContent = words(run, over);
    this.actions.pause.hidden = !["Finding", "Running"].includes(run.State);
    this.actions.resume.hidden = !["Paused", "Failed"].includes(run.State);
    this.actions.cancel.hidden = !isOpen(run) || run.State === "Cancelling";
    this.actions.retry.hidden = !run.Counts.Failure || run.State === "Failed" || run.State.startsWith("Cancel");
    this.actions.forget.hidden = isOpen(run);
    const files = [["CSV", `${this.path}/table.csv`], ...(run.Report ? [["Report", `${this.path}/report`]] : [])];
    this.links.replaceChildren(...files.map(([text, path]) => el("a", { href: at(path), download: true, text })));
  }
}

function what({ Asked, Versions }) {
  if (Asked.Again) return `${Versions.Name}, made again and compared`;
  if (Asked.Compare) return `${Versions.Name}, compared with references`;
  return Versions.Name;
}

/** How far a run is, in words. */
function words(run, over) {
  const counts = OVER.filter((state) => run.Counts[state]).map((state) => `${run.Counts[state]} ${state}`);
  const waits = { Hours: "waits for its hours", PerHour: "has begun as many as it may in an hour" };
  const parts = [
    run.State,
    run.Series ? `${over} of ${run.Series}${counts.length ? ` (${counts.join(", ")})` : ""}` : "",
    run.Compared ? `${run.Compared.Agree} agree, ${run.Compared.Disagree} do not` : "",
    run.PerHour && isOpen(run) ? `${formatNumber(run.PerHour)} an hour` : "",
    run.Waits ? `${waits[run.Waits.For]}, until ${formatTime(run.Waits.Until)}` : "",
    run.ExpectedEnd && run.Counts.Waiting ? `done at about ${formatTime(run.ExpectedEnd)}` : "",
    run.Problem ?? "",
  ];
  return parts.filter(Boolean).join("; ");
}

/** Put the rows into the page, in the order of the list. */
export function drawRuns(list, rows, make) {
  for (const id of [...rows.keys()]) if (!list.some((run) => run.ID === id)) rows.delete(id);
  const nodes = list.map((run) => {
    if (!rows.has(run.ID)) rows.set(run.ID, make(run.ID));
    rows.get(run.ID).draw(run);
    return rows.get(run.ID).node;
  });
  const body = byId("runs");
  if (nodes.length !== body.children.length || nodes.some((node, index) => node !== body.children[index])) body.replaceChildren(...nodes);
  byId("no-runs").hidden = list.length > 0;
}
