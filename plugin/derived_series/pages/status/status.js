// The status page: jobs, what was derived lately, rules, workers, and whether the configuration is well.

import { byId, el } from "../shared/dom.js";
import { formatTime } from "../shared/format.js";
import { inExplorer, inReview, isOver, problem, stateOf, studyInExplorer, table } from "../shared/page.js";
import { ask, pause } from "../shared/server.js";

const PAGE = 20; // jobs of one page of the table
const REMARKS = 3; // of a rule, the newest
const BUSY_MILLISECONDS = 700;
const QUIET_MILLISECONDS = 4000;

/** A row of the table of jobs; it stays in the document while its job changes, so that it keeps the focus. */
class JobRow {
  constructor(id) {
    this.id = id;
    this.stage = ""; // what a change of makes the page ask for the whole job
    this.path = "";
    this.whole = null;
    this.shown = "";
    this.cells = [1, 2, 3, 4].map(() => el("td"));
    this.node = el("tr", { "data-job": id }, ...this.cells);
    this.progress = el("progress", { max: 100, "aria-label": "Progress" });
    this.words = el("span");
    this.trouble = el("div");
    this.cells[2].append(this.progress, " ", this.words, this.trouble);
    this.actions = {
      cancel: this.#action("Cancel", "POST", "/cancel"),
      resubmit: this.#action("Resubmit", "POST", "/resubmit"),
      forget: this.#action("Forget", "DELETE", ""),
    };
    this.links = el("span", { class: "links" });
    this.cells[3].append(...Object.values(this.actions), this.links);
  }

  #action(text, method, path) {
    const button = el("button", { type: "button", text, hidden: true });
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        await ask(`${this.path}${path}`, { method, json: method === "POST" ? {} : undefined });
        refreshSoon();
      } catch (error) {
        this.trouble.replaceChildren(problem(error));
      } finally {
        button.disabled = false;
      }
    });
    return button;
  }

  /** What may quote the parent's tags is below it: whoever may not see it sees the rest. */
  async show(summary) {
    const stage = JSON.stringify([summary.State, summary.Content.Attempt, summary.CompletionTime, summary.Content.Result?.Destinations]);
    if (stage !== this.stage) {
      this.stage = stage;
      this.path = summary.Path.slice(1);
      this.#draw(summary);
      this.whole = await ask(this.path).catch(() => null);
    }
    this.#draw(this.whole ? { ...this.whole, ...summary, Content: { ...this.whole.Content, Phase: summary.Content.Phase } } : summary);
  }

  #draw(job) {
    const { Content, State } = job;
    const shown = JSON.stringify([State, job.Progress, Content, this.whole]);
    if (shown === this.shown) return;
    this.shown = shown;
    this.node.dataset.state = State;
    this.cells[0].textContent = formatTime(job.CreationTime);
    this.cells[1].replaceChildren(what(job), el("br"), el("a", { href: inExplorer(Content.ParentSeries), text: "its series" }));
    Object.assign(this.progress, { value: job.Progress, hidden: State !== "Running" });
    this.words.textContent = stateOf(job) + sent(Content.Result);
    const wrong = Content.Error;
    this.trouble.replaceChildren(...(wrong ? [problem({ message: wrong.Message, remedy: wrong.Remedy })] : []));
    this.actions.cancel.hidden = isOver(job);
    this.actions.resubmit.hidden = State !== "Failure";
    this.actions.forget.hidden = !isOver(job);
    const derived = State === "Success" && job.Type !== "Rejection" ? madeBy(Content.Result) : [];
    this.links.replaceChildren(...derived.flatMap(({ ID, text }) => [el("a", { href: inReview(ID), text }), " "]));
  }
}

/** The series of a job with the texts of their links: of several, the outputs' names. */
function madeBy(result) {
  const series = result?.Series ?? (result?.ID ? [result] : []);
  return series.filter(({ ID }) => ID).map(({ ID, Output }) => ({ ID, text: series.length > 1 ? `Review ${Output}` : "Review" }));
}

function what({ Type, Content: { Request, Rule } }) {
  if (Type === "Rejection") return `Rejection by ${Request.User ?? "a person"}`;
  const name = Request.Pipeline ?? Request.Blueprint;
  const parameters = Object.entries(Request.Parameters ?? {}).map(([key, value]) => `${key} ${JSON.stringify(value)}`);
  return `${name}${parameters.length ? ` (${parameters.join(", ")})` : ""}${Request.DryRun ? ", dry run" : ""}${Rule ? `, by the rule ${Rule}` : ""}`;
}

function sent(result) {
  const states = Object.entries(result?.Destinations ?? {}).map(([name, state]) => `${name}: ${state}`);
  return states.length ? ` (${states.join(", ")})` : "";
}

const rows = new Map();
let newest = 0; // jobs that are passed over, from the newest back
/** @type {(value?: any) => void} */
let wake = () => {};
const refreshSoon = () => wake();

async function showJobs(total) {
  newest = Math.min(newest, Math.max(0, total - 1));
  const since = Math.max(0, total - newest - PAGE);
  const limit = total - newest - since;
  const jobs = limit ? (await ask(`derived-series/jobs?expand&since=${since}&limit=${limit}`)).reverse() : [];
  for (const id of [...rows.keys()]) if (!jobs.some((job) => job.ID === id)) rows.delete(id);
  const nodes = jobs.map((job) => {
    if (!rows.has(job.ID)) rows.set(job.ID, new JobRow(job.ID));
    rows.get(job.ID).show(job);
    return rows.get(job.ID).node;
  });
  const body = byId("jobs");
  if (nodes.length !== body.children.length || nodes.some((node, index) => node !== body.children[index])) body.replaceChildren(...nodes);
  byId("no-jobs").hidden = jobs.length > 0;
  byId("newer").disabled = newest === 0;
  byId("older").disabled = since === 0;
  byId("place").textContent = jobs.length ? `${newest + 1} to ${newest + jobs.length} of ${total}, newest first` : "";
  return jobs.some((job) => !isOver(job));
}

const tagsOf = new Map(); // by series, asked at its own addresses

/** Whose a series is and what it shows; empty for whoever may not see it. */
async function about(id) {
  if (!tagsOf.has(id)) {
    const [series, patient] = await Promise.all([`series/${id}`, `series/${id}/patient`].map((path) => ask(path).catch(() => ({}))));
    tagsOf.set(id, { ...patient.MainDicomTags, ...series.MainDicomTags });
  }
  return tagsOf.get(id);
}

async function showRecent(listed) {
  const all = await Promise.all(listed.map(async (series) => ({ ...series, ...(await about(series.ID)) })));
  const cells = all.map((series) => [
    formatTime(series.Created),
    series.PatientName || series.PatientID,
    [series.Modality, series.SeriesDescription].filter(Boolean).join(" – "),
    series.By,
    el("span", { class: { Accepted: "good", Rejected: "error" }[series.State] ?? "", text: series.State + (series.User ? ` by ${series.User}` : "") }),
    el("span", {}, el("a", { href: inReview(series.ID), text: "Review" }), " ", el("a", { href: inExplorer(series.ID), text: "Explorer" })),
  ]);
  fill("recent", all, () => (all.length ? table(["Made", "Patient", "Series", "By", "Verdict", ""], cells) : none("Nothing has been derived yet.")));
}

function showRules(rules) {
  const cells = (rules ?? []).map((rule) => [
    rule.Name,
    rule.SendTo ? `sends to ${rule.SendTo.join(", ")}` : (rule.Derive?.Pipeline ?? rule.Derive?.Blueprint),
    rule.Fired,
    formatTime(rule.LastTime),
    el("code", { text: JSON.stringify(rule.Match ?? rule.Inputs ?? {}) }),
    el("div", {}, ...(rule.Waiting ?? []).map(awaited), ...(rule.Remarks ?? []).slice(0, REMARKS).map(remark)),
  ]);
  const head = ["Name", "Runs", "Fired", "Last", "On series with", "Waits for, and remarks"];
  fill("rules", rules, () => (cells.length ? table(head, cells) : none("No rules are configured.")));
}

/** A study that a rule waits for, or that is late, with what it lacks. */
function awaited({ Study, State, Until, Missing }) {
  const lacks = Object.entries(Missing).map(([name, { There, Wanted }]) => `${name} (${There} of ${Wanted})`).join(", ");
  const late = State === "Late";
  return el("div", { class: late ? "error" : "" }, el("a", { href: studyInExplorer(Study), text: "A study" }), ` lacks ${lacks}; `, `${late ? "its time was over at" : "its time is over at"} ${formatTime(Until)}`);
}

const remark = ({ Time, Text }) => el("div", { class: "dim", text: `${formatTime(Time)}: ${Text}` });

/** The processes: where they run, what they do, and what they have loaded until they have been idle for long. */
function showWorkers(status) {
  const places = [["Orthanc's own", status], ...Object.entries(status.Environments)];
  const cells = places.flatMap(([name, place]) => {
    const lines = place.Processes.map((process) => [
      name,
      `${process.Worker ? `${process.Worker}: ` : ""}${process.Pid ?? "?"}, since ${process.Started ? formatTime(process.Started) : "?"}`,
      process.Job ? el("a", { href: `../derived-series/jobs/${process.Job}`, text: "a job" }) : process.Problem ?? (process.Idle ? "waits" : "works"),
      el("span", {}, ...process.Prepared.map(({ Pipeline, Seconds, Since }) => el("div", { text: `${Pipeline}: ${Seconds} s, at ${formatTime(Since)}` }))),
      process.Prepared.length ? `after ${place.IdleSeconds} s without a job` : "",
      Object.entries(process.Resources).filter(([, units]) => units.length).map(([resource, units]) => `${resource} ${units.join(", ")}`).join("; "),
    ]);
    return lines.length ? lines : [[name, place.Waiting ?? "none runs", "", "", "", ""]];
  });
  fill("workers", places.map(([name, place]) => [name, place.IdleSeconds, place.Waiting, place.Processes]), () => table(["Environment", "Process", "Runs", "Loaded", "Released", "Claims"], cells));
}

function showHealth(status) {
  const items = {
    Version: status.Version,
    Python: status.Python,
    Workers: status.Workers,
    Jobs: Object.entries(status.Jobs).map(([state, count]) => `${count} ${state}`).join(", "),
    "Blueprint folders": status.BlueprintFolders.join(", "),
    Pipelines: status.Pipelines.join(", "),
    Blueprints: status.Blueprints.join(", "),
  };
  fill("health", status, () => {
    const list = el("dl", {}, ...Object.entries(items).flatMap(([name, text]) => [el("dt", { text: name }), el("dd", { text })]));
    const wrong = status.Problems.map(({ File, Message }) => problem({ message: `${File}: ${Message}` }));
    return el("div", {}, wrong.length ? el("div", { id: "problems" }, el("p", { text: "Files that could not be loaded:" }), ...wrong) : el("p", { class: "good", text: "All files could be loaded." }), list);
  });
}

const none = (text) => el("p", { class: "dim", text });
const last = new Map();

/** Replace a part of the page when what it shows has changed. */
function fill(id, shown, make) {
  const text = JSON.stringify(shown);
  if (last.get(id) === text) return;
  last.set(id, text);
  byId(id).replaceChildren(make());
}

async function refresh() {
  const status = await ask("derived-series/status");
  const total = Object.values(status.Jobs).reduce((sum, count) => sum + count, 0);
  const [active, recent, rules] = await Promise.all([
    showJobs(total),
    ask("derived-series/recent"),
    ask("derived-series/rules"),
  ]);
  await showRecent(recent);
  showRules(rules);
  showWorkers(status);
  showHealth(status);
  return active;
}

function turn(step) {
  newest = Math.max(0, newest + step);
  refreshSoon();
}

byId("newer").addEventListener("click", () => turn(-PAGE));
byId("older").addEventListener("click", () => turn(PAGE));

for (;;) {
  let active = false;
  const woken = new Promise((resolve) => { wake = resolve; });
  try {
    active = await refresh();
    byId("trouble").replaceChildren();
  } catch (error) {
    byId("trouble").replaceChildren(problem({ message: error.message, remedy: error.remedy || "This page asks again." }));
  }
  await Promise.race([pause(active ? BUSY_MILLISECONDS : QUIET_MILLISECONDS), woken]);
}
