// The form: choose a pipeline for a series, see what it would store, start it, watch it.

import { byId, el } from "../shared/dom.js";
import { inExplorer, inReview, isOver, problem, stateOf, table, toDerive } from "../shared/page.js";
import { ask, at, pause } from "../shared/server.js";
import { Fields } from "./form.js";
import { previewOf } from "./preview.js";

const POLL_MILLISECONDS = 300;
const SILENT_MILLISECONDS = 1000; // between two questions to a server that does not answer
const SILENT_TIMES = 60; // so often it is asked again
const WATCHED_PRIORITY = 1000; // the highest priority: a person looks at the page
const parts = Object.fromEntries(
  ["parent", "trouble", "form", "pipelines", "inputs", "parameters", "run", "progress", "state", "cancel", "done", "preview", "back", "log"].map((id) => [id, byId(id)]),
);
const buttons = [byId("preview-button"), byId("start-button")];

function refuse(error) {
  parts.trouble.replaceChildren(problem(error));
}

const describe = (tags) => [tags.Modality, tags.SeriesDescription || "series without description"].filter(Boolean).join(" – ");

/** The numbers that a run has given beside its series. */
function valuesOf({ Values }) {
  if (!Values) return [];
  const rows = Object.entries(Values).map(([name, { Value, Unit }]) => [name, String(Value), Unit === "1" ? "" : Unit]);
  return [el("div", { class: "values" }, table(["Value", "", "Unit"], rows))];
}

/** The page for a study: which series? */
async function chooseSeries(study) {
  const [answer, all] = await Promise.all([ask(`studies/${study}`), ask(`studies/${study}/series`)]);
  parts.back.href = at(`app/explorer.html#study?uuid=${encodeURIComponent(study)}`);
  const { PatientName, PatientID } = answer.PatientMainDicomTags;
  parts.parent.textContent = `${PatientName ?? ""} (${PatientID ?? ""}): choose the series to derive from`;
  const items = all.map((series) =>
    el("li", {}, el("a", { href: toDerive(series.ID), text: describe(series.MainDicomTags) }), el("span", { class: "dim", text: ` ${series.Instances.length} instance(s)` })),
  );
  parts.trouble.before(el("ul", { id: "choice" }, ...items));
}

/** The page for a series. */
class Derivation {
  constructor(series) {
    this.series = series;
  }

  async open() {
    const path = `series/${this.series}`;
    parts.back.href = inExplorer(this.series);
    const [series, patient] = await Promise.all([ask(path), ask(`${path}/patient`)]);
    const { PatientName, PatientID } = patient.MainDicomTags;
    const title = `${PatientName ?? ""} (${PatientID ?? ""}): ${describe(series.MainDicomTags)}, ${series.Instances.length} instance(s)`;
    document.title = `Derive from ${describe(series.MainDicomTags)}`;
    parts.parent.textContent = title;
    const busy = (why) => { parts.parent.textContent = `${title}. Waiting: ${why}`; };
    this.pipelines = await ask(`${path}/pipelines`, { busy });
    parts.parent.textContent = title;
    parts.pipelines.append(...this.pipelines.map((pipeline) => this.#choice(pipeline)));
    const first = this.pipelines.find((pipeline) => pipeline.Fits);
    if (first) this.#choose(first);
    else {
      parts.parameters.hidden = true;
      refuse({ message: this.pipelines.length ? "No pipeline takes this series." : "There are no pipelines.", remedy: "Put one into a blueprint folder and restart Orthanc." });
    }
    for (const button of buttons) button.disabled = !first;
    parts.form.hidden = false;
    parts.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#start();
    });
    byId("preview-button").addEventListener("click", () => this.#preview());
    parts.cancel.addEventListener("click", () => this.#cancel());
  }

  #choice(pipeline) {
    const id = `pipeline-${pipeline.Name}`;
    const radio = el("input", { type: "radio", name: "pipeline", value: pipeline.Name, id, disabled: !pipeline.Fits, "aria-describedby": `${id}-text` });
    radio.addEventListener("change", () => this.#choose(pipeline));
    return el(
      "div",
      { class: pipeline.Fits ? "choice" : "choice refused" },
      radio,
      el("label", { for: id, text: pipeline.Name }),
      el("span", { id: `${id}-text` }, el("span", { class: "dim", text: pipeline.Description }), pipeline.Fits ? "" : el("span", { class: "reason", text: ` Not for this series: ${pipeline.Reason}` })),
    );
  }

  #choose(pipeline) {
    this.pipeline = pipeline;
    byId(`pipeline-${pipeline.Name}`).checked = true;
    this.fields = new Fields(pipeline.Parameters);
    parts.parameters.replaceChildren(el("legend", { text: "Parameters" }), ...this.fields.nodes);
    if (!this.fields.fields.length) parts.parameters.append(el("p", { class: "dim", text: "This pipeline has none." }));
    this.inputs = Object.entries(pipeline.Others).map(([name, all]) => this.#input(name, all, pipeline.OptionalInputs.includes(name)));
    parts.inputs.replaceChildren(el("legend", { text: "Other inputs" }), ...this.inputs.map(({ node }) => node));
    parts.inputs.hidden = !this.inputs.length;
    this.#clear();
  }

  #input(name, all, isOptional) {
    const id = `input-${name}`;
    const none = isOptional ? [el("option", { value: "", text: "none" })] : [];
    const select = el("select", { id }, ...none, ...all.map((series) => this.#option(series)));
    select.selectedIndex = isOptional ? 0 : all.findIndex((series) => series.Fits);
    return { name, select, node: el("div", { class: "field" }, el("label", { for: id, text: name }), select) };
  }

  #option(series) {
    const text = describe({ Modality: series.Modality, SeriesDescription: series.Description });
    return el("option", { value: series.ID, disabled: !series.Fits, text: series.Fits ? text : `${text} (${series.Reason})` });
  }

  #clear() {
    for (const section of [parts.run, parts.done, parts.preview]) section.hidden = true;
    parts.trouble.replaceChildren();
  }

  /** The request, or null when a parameter is wrong. */
  #request() {
    const parameters = this.fields.read();
    if (parameters === null) return null;
    const inputs = Object.fromEntries(this.inputs.filter(({ select }) => select.value).map(({ name, select }) => [name, select.value]));
    return { Pipeline: this.pipeline.Name, Parameters: parameters, Inputs: inputs, Asynchronous: true };
  }

  /** Run a request to its end: the job, or null when it failed; then the page says why. */
  async #run(request) {
    this.#clear();
    for (const button of buttons) button.disabled = true;
    Object.assign(parts.progress, { value: 0 });
    parts.state.textContent = "";
    parts.cancel.disabled = false;
    parts.log.replaceChildren();
    parts.log.hidden = true;
    this.heard = 0;
    parts.run.hidden = false;
    try {
      const { Path } = await ask(`series/${this.series}/derive`, { method: "POST", json: request });
      this.job = Path.slice(1);
      const job = await this.#end();
      if (job.State === "Success") return job;
      this.#failed(job.Content.Error);
    } catch (error) {
      this.#failed({ Message: error.message, Remedy: error.remedy, Details: error.details, Kind: error.status === 400 ? "InvalidRequest" : "" });
    } finally {
      parts.run.hidden = true;
      for (const button of buttons) button.disabled = false;
    }
    return null;
  }

  /** The job when it is over; until then its progress is shown. */
  async #end() {
    for (let silent = 0; ; ) {
      let job;
      try {
        job = await ask(this.job);
        silent = 0;
      } catch (error) {
        if (error.status < 500 || ++silent > SILENT_TIMES) throw error; // it restarts: the job goes on after that
        parts.state.textContent = "Orthanc does not answer; asking again";
        await pause(SILENT_MILLISECONDS);
        continue;
      }
      parts.progress.value = job.Progress;
      parts.state.textContent = stateOf(job);
      await this.#hear();
      if (isOver(job)) return job;
      await pause(POLL_MILLISECONDS);
    }
  }

  /** What the pipeline has said since the last time. */
  async #hear() {
    const { Lines, Next } = await ask(`${this.job}/log?since=${this.heard}`).catch(() => ({ Lines: [], Next: this.heard }));
    this.heard = Next;
    if (!Lines.length) return;
    const atEnd = parts.log.scrollTop + parts.log.clientHeight >= parts.log.scrollHeight - 2;
    parts.log.append(Lines.map((line) => `${line}\n`).join(""));
    parts.log.hidden = false;
    if (atEnd) parts.log.scrollTop = parts.log.scrollHeight;
  }

  #failed({ Message, Remedy, Details, Kind }) {
    const byParameter = Kind === "InvalidRequest" && Details; // a line each: all of them find their fields
    if (!byParameter || this.fields.refuse(byParameter).length) refuse({ message: Message, remedy: Remedy });
  }

  async #cancel() {
    parts.cancel.disabled = true;
    await ask(`${this.job}/cancel`, { method: "POST", json: {} }).catch(refuse);
  }

  async #preview() {
    const request = this.#request();
    if (!request) return;
    const job = await this.#run({ ...request, DryRun: true, Preview: true, Priority: WATCHED_PRIORITY });
    if (this.job) await ask(this.job, { method: "DELETE" }).catch(() => {}); // nobody looks for it among the jobs
    if (!job) return;
    const { Result } = job.Content;
    const shown = Result.Series
      ? Result.Series.flatMap((each) => [el("h3", { text: each.Output }), ...previewOf(each)])
      : previewOf(Result);
    parts.preview.replaceChildren(el("h2", { text: "Preview: nothing is stored yet" }), ...valuesOf(Result), ...shown);
    parts.preview.hidden = false;
  }

  async #start() {
    const request = this.#request();
    if (!request) return;
    const job = await this.#run(request);
    if (!job) return;
    const { Result } = job.Content;
    const { InstancesCount, Warnings, Series } = Result;
    const links = Series.map(({ ID, Output }, index) => {
      const [review, explorer] = index ? [`review-link-${Output}`, `explorer-link-${Output}`] : ["review-link", "explorer-link"];
      const what = Series.length > 1 ? `${Output}: review it` : "Review it";
      return el(
        "p",
        { class: "links" },
        el("a", { id: review, href: inReview(ID), text: `${what} beside its parent` }),
        el("a", { id: explorer, href: inExplorer(ID), text: "Open it in Orthanc Explorer" }),
      );
    });
    parts.done.replaceChildren(
      el("p", { class: "good", text: `Stored: ${Series.length > 1 ? `${Series.length} series, ` : ""}${InstancesCount} instance(s).` }),
      ...valuesOf(Result),
      ...(Warnings.length ? [el("ul", { class: "warning" }, ...Warnings.map((text) => el("li", { text })))] : []),
      ...links,
    );
    parts.done.hidden = false;
    byId("review-link").focus();
  }
}

const query = new URLSearchParams(location.search);
const [series, study] = ["series", "study"].map((level) => query.get(level));
const opened = series ? new Derivation(encodeURIComponent(series)).open() : study ? chooseSeries(encodeURIComponent(study)) : null;
if (opened === null) {
  parts.parent.textContent = "";
  refuse({ message: "The address names no series.", remedy: "Open this page with the button of a series or a study in Orthanc Explorer." });
} else {
  opened.catch((error) => {
    parts.parent.textContent = "";
    refuse(error);
  });
}
