// The form of a new run: which series, which pipeline, how fast; and the request that it stands for.

import { byId, el } from "../shared/dom.js";
import { Fields } from "../derive/form.js";

const TAGS = ["PatientID", "StudyDate", "StudyDescription", "Modality", "SeriesDescription"];

const whole = (id) => (byId(id).value === "" ? undefined : Number(byId(id).value));
const words = (text) => text.split(/[\s,]+/).filter(Boolean);

/** The form; `pipelines` is the list of the server. */
export class RunForm {
  constructor(pipelines, listed) {
    this.pipelines = pipelines;
    byId("query").append(...TAGS.map((tag) => el("div", { class: "field" }, el("label", { for: `tag-${tag}`, text: tag }), el("input", { id: `tag-${tag}` }))));
    byId("pipeline").append(...pipelines.map(({ Name }) => el("option", { text: Name })));
    byId("pipeline").addEventListener("change", () => this.#choose());
    byId("form").addEventListener("change", () => this.#show());
    if (listed.length) {
      byId("list").value = listed.join("\n");
      byId("which-list").checked = true;
    }
    this.#choose();
  }

  get which() {
    return /** @type {any} */ (document.querySelector('input[name="which"]:checked')).value;
  }

  get #compares() {
    return this.which === "again" || this.which === "compare";
  }

  #choose() {
    const pipeline = this.pipelines[byId("pipeline").selectedIndex];
    this.fields = new Fields(pipeline?.Parameters ?? {});
    byId("description").textContent = pipeline?.Description ?? "";
    byId("parameters").replaceChildren(el("legend", { text: "Parameters" }), ...this.fields.nodes);
    this.#show();
  }

  #show() {
    byId("query").hidden = this.which !== "query";
    byId("list").parentNode.hidden = this.which !== "list";
    byId("pairs").parentNode.hidden = this.which !== "compare";
    byId("limits").hidden = !this.#compares;
    byId("parameters").hidden = this.which === "again" || !this.fields.fields.length;
  }

  #series() {
    if (this.which === "list") return { Resources: words(byId("list").value) };
    if (this.which === "again") return { Again: { Pipeline: byId("pipeline").value } };
    if (this.which === "compare") return { Compare: this.#references() };
    const filled = TAGS.map((tag) => [tag, byId(`tag-${tag}`).value.trim()]).filter(([, value]) => value);
    return { Query: { Level: "Series", Query: Object.fromEntries(filled) } };
  }

  #references() {
    const lines = byId("pairs").value.split("\n").map(words).filter((line) => line.length);
    if (!lines.length) return { Accepted: byId("pipeline").value };
    return { Pairs: lines.map(([Parent, Reference = ""]) => ({ Parent, Reference })) };
  }

  #limits() {
    const bound = (id) => (byId(id).value === "" ? null : Number(byId(id).value));
    return { Correlation: bound("correlation"), RelativeDifference: bound("relative-difference"), LargestDifference: bound("largest-difference"), Dice: bound("dice") };
  }

  /** The request; null where something is wrong, which is shown beside it. */
  read() {
    if (!byId("form").reportValidity()) return null;
    const parameters = this.which === "again" ? {} : this.fields.read();
    if (parameters === null) return null;
    return {
      ...this.#series(),
      ...(this.which === "again" ? {} : { Pipeline: byId("pipeline").value, Parameters: parameters }),
      ...(this.#compares ? { Limits: this.#limits() } : {}),
      Throttle: { AtOnce: whole("at-once"), PerHour: whole("per-hour") },
      Hours: words(byId("hours").value),
      Name: byId("name").value,
    };
  }
}
