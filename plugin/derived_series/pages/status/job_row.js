// One job in the table: what it is, whose, how far it is, what came of it, what its code says, and what can be done.

import { about } from "../shared/about.js";
import { el } from "../shared/dom.js";
import { formatDuration, formatTime, personName, seriesText } from "../shared/format.js";
import { inExplorer, inReview, isOver, problem, stateOf, verdictText } from "../shared/page.js";
import { ask } from "../shared/server.js";

const COLUMNS = ["Accepted", "What", "Patient", "Series", "State", "Took", "User", "Results and actions"];
const [ACCEPTED, WHAT, PATIENT, SERIES, STATE, TOOK, USER, ACTIONS] = COLUMNS.map((_, index) => index);

/** What a job does, in words. */
export function whatOf({ Type, Content: { Request, Rule } }) {
  if (Type === "Rejection") return `Rejection by ${Request.User ?? "a person"}`;
  const name = nameOf(Request);
  const parameters = Object.entries(Request.Parameters ?? {}).map(([key, value]) => `${key} ${JSON.stringify(value)}`);
  return `${name}${parameters.length ? ` (${parameters.join(", ")})` : ""}${Request.DryRun ? ", dry run" : ""}${Rule ? `, by the rule ${Rule}` : ""}`;
}

/** The pipeline that a request runs, or the blueprint that it applies. */
export const nameOf = (request) => request.Pipeline ?? request.Blueprint ?? "";

/** Who asked for a job, as far as anybody knows. */
export function userOf({ Content: { Audit, Request, Rule } }) {
  return Audit?.[0]?.User ?? Request.User ?? (Rule ? `rule ${Rule}` : "");
}

/** The series of a job: [{ID, Output}]; of several, the outputs have names. */
export function seriesOf({ State, Type, Content: { Result } }) {
  if (State !== "Success" || Type === "Rejection") return [];
  return (Result?.Series ?? (Result?.ID ? [Result] : [])).filter(({ ID }) => ID);
}

function sent(result) {
  const states = Object.entries(result?.Destinations ?? {}).map(([name, state]) => `${name}: ${state}`);
  return states.length ? ` (${states.join(", ")})` : "";
}

/** The whole job and its parent's tags, with what is listed of it; what may quote a patient's tags is asked for below
    the series that it is about, so that whoever may not see that sees the rest. */
export class JobDetails {
  constructor() {
    this.stage = ""; // what a change of makes it worth asking again
    this.whole = null;
    /** @type {any} */
    this.parent = {};
  }

  async read(summary) {
    const stage = JSON.stringify([summary.State, summary.Content.Attempt, summary.CompletionTime, summary.Content.Result?.Destinations]);
    if (stage !== this.stage) {
      [this.whole, this.parent] = await Promise.all([ask(summary.Path.slice(1)).catch(() => null), about(summary.Content.ParentSeries)]);
      this.stage = stage;
    }
    return this.of(summary);
  }

  /** What is listed of a job now, with what was read of it. */
  of(summary) {
    if (!this.whole) return summary;
    const { Phase, Text } = summary.Content;
    return { ...this.whole, ...summary, Content: { ...this.whole.Content, Phase, Text: Text ?? this.whole.Content.Text } };
  }
}

/** A row of the table; it stays in the document while its job changes, so that it keeps the focus. */
export class JobRow {
  /**
   * @param {string} id
   * @param {JobDetails} details
   * @param {() => void} refreshSoon
   */
  constructor(id, details, refreshSoon) {
    this.details = details;
    this.refreshSoon = refreshSoon;
    this.path = "";
    this.shown = "";
    this.isOver = false;
    this.cells = COLUMNS.map((label) => el("td", { "data-label": label }));
    this.node = el("tr", { "data-job": id }, ...this.cells);
    this.progress = el("progress", { max: 100, "aria-label": "Progress" });
    this.words = el("span");
    this.trouble = el("div");
    this.cells[STATE].append(this.progress, " ", this.words, this.trouble);
    this.log = new JobLog(this);
    this.actions = {
      cancel: this.#action("Cancel", "POST", "/cancel"),
      resubmit: this.#action("Resubmit", "POST", "/resubmit"),
      forget: this.#action("Forget", "DELETE", ""),
    };
    this.links = el("div", { class: "links" });
    this.cells[ACTIONS].append(this.links, this.log.button, ...Object.values(this.actions));
  }

  /** The row, and the log below it while it is open. */
  get nodes() {
    return this.log.isOpen ? [this.node, this.log.node] : [this.node];
  }

  #action(text, method, path) {
    const button = el("button", { type: "button", text, hidden: true });
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        await ask(`${this.path}${path}`, { method, json: method === "POST" ? {} : undefined });
        this.refreshSoon();
      } catch (error) {
        this.trouble.replaceChildren(problem(error));
      } finally {
        button.disabled = false;
      }
    });
    return button;
  }

  /**
   * @param {any} summary as the list has it
   * @param {Map<string, any>} verdicts by series, of those derived lately
   */
  async show(summary, verdicts) {
    this.path = summary.Path.slice(1);
    await this.#draw(this.details.of(summary), verdicts);
    await this.#draw(await this.details.read(summary), verdicts);
    this.log.follow();
  }

  async #draw(job, verdicts) {
    const { Content, State } = job;
    const { parent } = this.details;
    const derived = await Promise.all(seriesOf(job).map(async (series) => ({ ...series, tags: await about(series.ID), verdict: verdicts.get(series.ID) })));
    const shown = JSON.stringify([State, job.Progress, job.EffectiveRuntime, Content, parent, derived]);
    if (shown === this.shown) return;
    this.shown = shown;
    this.isOver = isOver(job);
    this.node.dataset.state = State;
    this.cells[ACCEPTED].textContent = formatTime(job.CreationTime);
    this.cells[WHAT].textContent = whatOf(job);
    this.cells[PATIENT].textContent = [personName(parent.PatientName), parent.PatientID].filter(Boolean).join(" · ");
    this.cells[SERIES].replaceChildren(el("a", { href: inExplorer(Content.ParentSeries), text: parent.IsThere ? seriesText(parent) : "its series" }));
    Object.assign(this.progress, { value: job.Progress, hidden: State !== "Running" });
    this.words.textContent = stateOf(job) + sent(Content.Result);
    this.words.className = State === "Failure" ? "error" : "";
    const wrong = Content.Error;
    const warnings = (Content.Result?.Warnings ?? []).map((text) => el("p", { class: "warning", text }));
    const folded = warnings.length ? [el("details", {}, el("summary", { class: "warning", text: `${warnings.length} warning${warnings.length > 1 ? "s" : ""}` }), ...warnings)] : [];
    this.trouble.replaceChildren(...(wrong ? [problem({ message: wrong.Message, remedy: wrong.Remedy })] : folded));
    this.cells[TOOK].textContent = State === "Pending" ? "" : formatDuration(job.EffectiveRuntime);
    this.cells[USER].textContent = userOf(job);
    this.actions.cancel.hidden = this.isOver;
    this.actions.resubmit.hidden = State !== "Failure";
    this.actions.forget.hidden = !this.isOver;
    this.links.replaceChildren(...derived.map((series) => resultNode(series, derived.length > 1)));
  }
}

function resultNode({ ID, Output, tags, verdict }, isOneOfSeveral) {
  const link = el("a", { href: inReview(ID), text: isOneOfSeveral ? `Review ${Output}` : "Review" });
  const name = tags.IsThere ? seriesText(tags) : "";
  return el("div", {}, link, " ", el("span", { class: "dim", text: [name, verdict && verdictText(verdict)].filter(Boolean).join(": ") }));
}

/** What a job's code says, below its row: read on while the job runs. */
class JobLog {
  constructor(row) {
    this.row = row;
    this.next = 0;
    this.isOpen = false;
    this.button = el("button", { type: "button", text: "Log", "aria-expanded": "false", on: { click: () => this.#toggle() } });
    this.text = el("pre", { tabindex: 0, role: "region", "aria-label": "What the job's code says" });
    this.node = el("tr", { class: "log-row" }, el("td", { colspan: COLUMNS.length }, this.text));
  }

  #toggle() {
    this.isOpen = !this.isOpen;
    this.button.setAttribute("aria-expanded", String(this.isOpen));
    if (this.isOpen) this.row.node.after(this.node);
    else this.node.remove();
    if (this.isOpen) this.follow();
  }

  /** Read what was added. */
  async follow() {
    if (!this.isOpen || this.isReading) return;
    this.isReading = true;
    try {
      const { Lines, Next } = await ask(`${this.row.path}/log?since=${this.next}`);
      this.next = Next;
      const atEnd = this.text.scrollTop + this.text.clientHeight >= this.text.scrollHeight - 2;
      this.text.append(Lines.map((line) => `${line}\n`).join(""));
      this.text.dataset.empty = this.row.isOver ? "It has printed nothing." : "It has printed nothing yet.";
      if (atEnd) this.text.scrollTop = this.text.scrollHeight;
    } catch (error) {
      this.text.dataset.empty = error.message;
    } finally {
      this.isReading = false;
    }
  }
}
