// The form: choose what makes the result of a series, see what would be stored, start it, watch it.

import { about } from "../shared/about.js";
import { byId, el } from "../shared/dom.js";
import { personName, quantity, seriesText, unitText } from "../shared/format.js";
import { inExplorer, inReview, isOver, problem, stateOf, table, toDerive, toJob } from "../shared/page.js";
import { ask, at, isPassing, pause, upload } from "../shared/server.js";
import { choices, FILE } from "./choices.js";
import { Fields } from "./form.js";
import { Inputs, servers } from "./inputs.js";
import { previewOf } from "./preview.js";
import { onDrop, UploadForm } from "./upload_form.js";

const POLL_MILLISECONDS = 300;
const SILENT_MILLISECONDS = 1000; // between two questions to a server that does not answer
const SILENT_TIMES = 60; // so often it is asked again
const WATCHED_PRIORITY = 1000; // the highest priority: a person looks at the page
const parts = Object.fromEntries(
  ["parent", "trouble", "failure", "form", "pipelines", "file", "inputs", "parameters", "run", "progress", "state", "cancel", "done", "preview", "back", "log"].map((id) => [id, byId(id)]),
);
const buttons = [byId("preview-button"), byId("start-button")];

/** What becomes of files that are dropped anywhere on the page. @type {(files: File[]) => void} */
let takeDropped = () => refuse({ message: "Drop the file onto the series that it was made from.", remedy: "" });

/** Say on top of the page what keeps it from being used. */
function refuse(error) {
  parts.trouble.replaceChildren(problem(error));
}

/** Say beside the buttons why what they have started came to nothing. @param {Node[]} more */
function fail(error, ...more) {
  parts.failure.replaceChildren(problem(error), ...more);
  parts.failure.scrollIntoView({ block: "nearest" });
}

const patientText = ({ PatientName, PatientID }) => `${personName(PatientName) || "Patient without a name"} (${PatientID || "without an ID"})`;

/** The numbers that a run has given beside its series. */
function valuesOf({ Values }) {
  if (!Values) return [];
  const rows = Object.entries(Values).map(([name, { Value, Unit }]) => [name, String(Value), unitText(Unit)]);
  return [el("div", { class: "values" }, table(["Name", "Value", "Unit"], rows))];
}

/** The page for a study: which series? A file may be dropped onto one. */
async function chooseSeries(study) {
  const [answer, all] = await Promise.all([ask(`studies/${study}`), ask(`studies/${study}/series`)]);
  parts.back.href = at(`app/explorer.html#study?uuid=${encodeURIComponent(study)}`);
  parts.parent.textContent = `${patientText(answer.PatientMainDicomTags)}: choose the series to derive from, or drop an image file onto its parent`;
  const byNumber = all.sort((one, other) => Number(one.MainDicomTags.SeriesNumber ?? Infinity) - Number(other.MainDicomTags.SeriesNumber ?? Infinity));
  const list = el("ul", { id: "choice" });
  for (const series of byNumber) {
    const item = el("li", {}, el("a", { href: toDerive(series.ID), text: seriesText(series.MainDicomTags) }), el("span", { class: "dim", text: ` ${quantity(series.Instances.length, "instance")}` }));
    onDrop(item, "over", (files) => {
      list.remove();
      history.pushState(null, "", toDerive(series.ID));
      open(new Derivation(series.ID).open(files));
    });
    list.append(item);
  }
  addEventListener("popstate", () => location.reload());
  parts.trouble.before(list);
}

/** The page for a series. */
class Derivation {
  constructor(series) {
    this.series = series;
  }

  /** @param {File[]} files that were dropped onto the series */
  async open(files = []) {
    const path = `series/${this.series}`;
    parts.back.href = inExplorer(this.series);
    const [whole, tags] = await Promise.all([ask(path), about(this.series)]);
    const title = `${patientText(tags)}: ${seriesText(tags)}, ${quantity(whole.Instances.length, "instance")}`;
    document.title = `Derive from ${seriesText(tags)}`;
    parts.parent.textContent = title;
    const busy = (why) => { parts.parent.textContent = `${title}. Waiting: ${why}`; };
    this.pipelines = await ask(`${path}/pipelines`, { busy });
    this.servers = this.pipelines.some(({ Inputs: all }) => all.length > 1) ? await servers() : [];
    parts.parent.textContent = title;
    parts.pipelines.append(...choices(this.pipelines, (pipeline) => this.#choose(pipeline), (pipeline) => this.#canBring(pipeline)));
    this.upload = new UploadForm(this.series, tags.Modality, () => { if (parts.run.hidden) this.#clear(); });
    parts.file.append(...this.upload.nodes);
    const first = this.pipelines.find((pipeline) => pipeline.Fits);
    this.#choose(files.length ? null : (first ?? null));
    if (!first && !files.length) {
      const why = this.pipelines.length ? "No pipeline takes this series: the reasons are below." : "There are no pipelines.";
      refuse({ message: why, remedy: "A result that is there already can be stored from its file." });
    }
    parts.form.hidden = false;
    parts.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#start();
    });
    byId("preview-button").addEventListener("click", () => this.#preview());
    parts.cancel.addEventListener("click", () => this.#cancel());
    takeDropped = (dropped) => this.#take(dropped);
    if (files.length) await this.upload.take(files);
  }

  #take(files) {
    if (!parts.run.hidden) return; // a job runs
    this.#choose(null);
    this.upload.take(files);
  }

  /** Whether all that a pipeline lacks could be brought from another server. */
  #canBring({ Fits, Lacking }) {
    return !Fits && Lacking?.length > 0 && this.servers.length > 0;
  }

  /** @param {any} pipeline null: an image file */
  #choose(pipeline) {
    this.pipeline = pipeline;
    const value = pipeline ? pipeline.Name : FILE;
    for (const radio of parts.form.querySelectorAll("[name=pipeline]")) radio.checked = radio.value === value;
    parts.file.hidden = Boolean(pipeline);
    parts.parameters.hidden = !pipeline;
    this.#clear();
    this.fields = new Fields(pipeline?.Parameters ?? {});
    this.inputs = pipeline ? new Inputs(pipeline, this.servers) : null;
    parts.inputs.hidden = !this.inputs?.nodes.length;
    if (!pipeline) {
      this.upload.open().catch(refuse);
      return;
    }
    parts.parameters.replaceChildren(el("legend", { text: "Parameters" }), ...this.fields.nodes);
    if (!this.fields.fields.length) parts.parameters.append(el("p", { class: "dim", text: "This pipeline has none." }));
    parts.inputs.replaceChildren(el("legend", { text: "Other inputs" }), ...this.inputs.nodes);
  }

  #clear() {
    for (const section of [parts.run, parts.done, parts.preview, parts.log]) section.hidden = true;
    for (const errors of [parts.trouble, parts.failure]) errors.replaceChildren();
  }

  /** What sends the request, with more keys; null when something of it is wrong: the page says what. */
  async #request() {
    if (!this.pipeline) {
      const sent = await this.upload.read();
      return sent && ((more) => this.#send(sent, { ...sent.options, ...more }));
    }
    const parameters = this.fields.read();
    if (parameters === null) return null;
    const request = { Pipeline: this.pipeline.Name, Parameters: parameters, ...this.inputs.read() };
    return (more) => ask(`series/${this.series}/derive`, { method: "POST", json: { ...request, ...more } });
  }

  /** Send a file, showing how far it is. */
  #send({ path, file }, details) {
    this.sending = new AbortController();
    const sent = (part) => {
      parts.progress.value = 100 * part;
      parts.state.textContent = part < 1 ? `Sending the file, ${Math.floor(100 * part)} %` : "Sent; waiting for the server";
    };
    return upload(path, file, { details, sent, signal: this.sending.signal }).finally(() => { this.sending = null; });
  }

  /** Run a request to its end: the job, or null when it failed; then the page says why. What the code said stays. */
  async #run(send, more) {
    this.#clear();
    for (const button of buttons) button.disabled = true;
    Object.assign(parts.progress, { value: 0 });
    parts.state.textContent = "";
    parts.cancel.disabled = false;
    parts.log.replaceChildren();
    this.heard = 0;
    this.job = null;
    parts.run.hidden = false;
    parts.run.scrollIntoView({ block: "nearest" });
    let answer = null;
    try {
      const { Path } = await send({ ...more, Asynchronous: true });
      this.job = Path.slice(1);
      const job = await this.#end();
      if (job.State === "Success") answer = job;
      else this.#failed(job.Content.Error, !more.DryRun);
    } catch (error) {
      this.#failed({ Message: error.message, Remedy: error.remedy, Details: error.details, Kind: error.status === 400 ? "InvalidRequest" : "" }, !more.DryRun);
    } finally {
      parts.run.hidden = true;
      for (const button of buttons) button.disabled = false;
    }
    return answer;
  }

  /** The job when it is over; until then its progress is shown. */
  async #end() {
    for (let silent = 0; ; ) {
      let job;
      try {
        job = await ask(this.job);
        silent = 0;
      } catch (error) {
        if (!isPassing(error) || ++silent > SILENT_TIMES) throw error; // it restarts: the job goes on after that
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

  #failed({ Message, Remedy, Details, Kind }, isKept) {
    const byParameter = Kind === "InvalidRequest" && Details; // a line each: all of them find their fields
    if (byParameter && !this.fields.refuse(byParameter).length) return;
    const link = isKept && this.job ? [el("p", {}, el("a", { id: "job-link", href: toJob(this.job.split("/").pop()), text: "The job, among all of them" }))] : [];
    fail({ message: Message, remedy: Remedy }, ...link);
  }

  async #cancel() {
    parts.cancel.disabled = true;
    if (this.sending) this.sending.abort(new DOMException("The file was not sent: you cancelled it.", "AbortError"));
    else if (this.job) await ask(`${this.job}/cancel`, { method: "POST", json: {} }).catch(fail);
  }

  async #preview() {
    const send = await this.#request();
    if (!send) return;
    const job = await this.#run(send, { DryRun: true, Preview: true, Priority: WATCHED_PRIORITY });
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
    const send = await this.#request();
    if (!send) return;
    const job = await this.#run(send, {});
    if (!job) return;
    const { Result } = job.Content;
    const { InstancesCount, Warnings, Series } = Result;
    const all = await Promise.all(Series.map(({ ID }) => about(ID)));
    const links = Series.map(({ ID, Output }, index) => {
      const [review, explorer] = index ? [`review-link-${Output}`, `explorer-link-${Output}`] : ["review-link", "explorer-link"];
      const what = Series.length > 1 ? `${Output}: review it` : "Review it";
      return el(
        "p",
        { class: "links" },
        el("a", { id: review, href: inReview(ID), text: `${what} beside its parent` }),
        el("a", { id: explorer, href: inExplorer(ID), text: "Open it in Orthanc Explorer" }),
        el("span", { class: "dim", text: all[index].IsThere ? seriesText(all[index]) : "" }),
      );
    });
    parts.done.replaceChildren(
      el("p", { class: "good", text: `Stored: ${Series.length > 1 ? `${Series.length} series, ` : ""}${quantity(InstancesCount, "instance")}.` }),
      ...valuesOf(Result),
      ...(Warnings.length ? [el("ul", { class: "warning" }, ...Warnings.map((text) => el("li", { text })))] : []),
      ...links,
    );
    parts.done.hidden = false;
    byId("review-link").focus();
  }
}

/** Say what keeps the page from being shown. */
function open(page) {
  page.catch((error) => {
    parts.parent.textContent = "";
    refuse(error);
  });
}

onDrop(document, "dragging", (files) => takeDropped(files));
const query = new URLSearchParams(location.search);
const [series, study] = ["series", "study"].map((level) => query.get(level));
if (series) open(new Derivation(encodeURIComponent(series)).open());
else if (study) open(chooseSeries(encodeURIComponent(study)));
else {
  parts.parent.textContent = "";
  refuse({ message: "The address names no series.", remedy: "Open this page with the button of a series or a study in Orthanc Explorer." });
}
