// The series of one run: a page of the table, and what is decided about those that were compared.

import { byId, el } from "../shared/dom.js";
import { formatNumber } from "../shared/format.js";
import { inExplorer, inReview, problem, table } from "../shared/page.js";
import { ask } from "../shared/server.js";

const PAGE = 50; // members of one page

export class Members {
  constructor() {
    this.run = "";
    this.since = 0;
    this.total = 0;
    this.shown = "";
    this.ticked = new Set();
    byId("before").addEventListener("click", () => this.#turn(-PAGE));
    byId("after").addEventListener("click", () => this.#turn(PAGE));
    byId("replace-agreeing").addEventListener("click", () => this.#decide("replace", { Agreeing: true }));
    byId("replace").addEventListener("click", () => this.#decide("replace", { Members: [...this.ticked] }));
    byId("discard").addEventListener("click", () => this.#decide("discard", { Members: [...this.ticked] }));
  }

  async show(run) {
    Object.assign(this, { run, since: 0, shown: "" });
    this.ticked.clear();
    await this.refresh();
    byId("members").scrollIntoView();
  }

  hide() {
    this.run = "";
    byId("members").hidden = true;
  }

  #turn(step) {
    this.since = Math.max(0, Math.min(this.since + step, this.total - 1));
    this.refresh();
  }

  async #decide(verb, json) {
    const trouble = byId("trouble");
    try {
      trouble.replaceChildren();
      const answer = await ask(`derived-series/bulk/${this.run}/${verb}`, { method: "POST", json });
      this.ticked.clear();
      await this.refresh();
      const refused = (answer.Refused ?? []).map(({ Number: number, Reason }) => el("p", { text: `${number}: ${Reason}` }));
      trouble.replaceChildren(...refused);
    } catch (error) {
      trouble.replaceChildren(problem(error));
    }
  }

  async refresh() {
    if (!this.run) return;
    const path = `derived-series/bulk/${this.run}`;
    const [run, page] = await Promise.all([ask(path), ask(`${path}/table?since=${this.since}&limit=${PAGE}`)]);
    const shown = JSON.stringify([page, run.Asked]);
    if (shown === this.shown) return;
    this.shown = shown;
    this.total = page.Total;
    const compares = Boolean(run.Compared);
    const head = ["No.", "Parent", "State", "Made", ...(compares ? ["Figures", "Agrees", "Decide"] : [])];
    byId("table").replaceChildren(table(head, page.Members.map((member) => this.#cells(member, compares))));
    byId("members").hidden = false;
    byId("decisions").hidden = !compares;
    byId("replace-agreeing").hidden = byId("replace").hidden = !run.Asked.Again;
    byId("before").disabled = this.since === 0;
    byId("after").disabled = this.since + page.Members.length >= page.Total;
    byId("place").textContent = page.Total ? `${this.since + 1} to ${this.since + page.Members.length} of ${page.Total}` : "";
  }

  #cells(member, compares) {
    const reviews = member.Derived.flatMap((id) => [el("a", { href: inReview(id), text: "Review" }), " "]);
    const cells = [member.Number, el("a", { href: inExplorer(member.Series), text: "series" }), state(member), el("span", {}, ...reviews)];
    if (!compares) return cells;
    const agrees = { true: el("span", { class: "good", text: "yes" }), false: el("span", { class: "error", text: `no: ${member.Disagreement}` }) };
    return [...cells, figures(member), agrees[String(member.Agrees)] ?? "", this.#decision(member)];
  }

  #decision(member) {
    if (member.Decision) return member.Decision;
    if (member.Agrees === null) return "";
    const box = el("input", { type: "checkbox", "aria-label": `Series ${member.Number}` });
    box.checked = this.ticked.has(member.Number);
    box.addEventListener("change", () => {
      if (box.checked) this.ticked.add(member.Number);
      else this.ticked.delete(member.Number);
    });
    return box;
  }
}

const state = ({ State, Reason }) => (Reason ? `${State}: ${Reason}` : State);

function figures({ Correlation, RelativeDifference, LargestDifference, Dice }) {
  const named = Object.entries({ correlation: Correlation, "relative difference": RelativeDifference, "largest difference": LargestDifference, Dice });
  return named.filter(([, value]) => value !== null).map(([name, value]) => `${name} ${formatNumber(value)}`).join(", ");
}
