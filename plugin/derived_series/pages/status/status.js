// The status page: what to look at first, jobs, what was derived lately, rules, workers, and whether all is well.

import { about } from "../shared/about.js";
import { byId, el } from "../shared/dom.js";
import { formatTime, personName, seriesText } from "../shared/format.js";
import { inExplorer, inReview, isOver, problem, studyInExplorer, table, verdictText } from "../shared/page.js";
import { ask, pause } from "../shared/server.js";
import { first } from "./first.js";
import { JobRow } from "./job_row.js";
import { isEmpty, JobSearch } from "./job_search.js";

const PAGE_JOBS = 20; // of one page of the table
const REMARKS = 3; // of a rule, the newest
const FAILURES = 8; // that are listed first
const BUSY_MILLISECONDS = 700;
const QUIET_MILLISECONDS = 4000;
const SEARCH_MILLISECONDS = 8000; // a search asks for many jobs
const TYPING_MILLISECONDS = 300;

const JOB_STATES = { Pending: "waiting", Running: "running", Retry: "to be tried again", Success: "succeeded", Failure: "failed" };

const search = new JobSearch();
/** @type {Map<string, JobRow>} */
const rows = new Map();
const filters = byId("filters");
let newest = 0; // jobs that are passed over, from the newest back
/** @type {(value?: any) => void} */
let wake = () => {};
const refreshSoon = () => wake();

/** What the form says. @returns {import("./job_search.js").Filter} */
function filter() {
  const entry = (name) => filters.elements[name].value.trim();
  return { state: entry("state"), pipeline: entry("pipeline"), patient: entry("patient"), text: entry("text") };
}

/** Fill the form, and with it the address: a link leads to what is shown. */
function setFilter(entries) {
  for (const name of ["state", "pipeline", "patient", "text"]) {
    const control = filters.elements[name];
    const value = entries[name] ?? "";
    if (name === "pipeline" && value && ![...control.options].some((option) => option.value === value)) control.append(el("option", { text: value }));
    control.value = value;
  }
}

function filterBy(entries) {
  setFilter(entries);
  filtered();
  byId("jobs-title").scrollIntoView();
}

function filtered() {
  newest = 0;
  const set = Object.entries(filter()).filter(([, value]) => value);
  history.replaceState(null, "", set.length ? `?${new URLSearchParams(set)}` : location.pathname);
  refreshSoon();
}

/** The pipelines that jobs can be chosen by: those there are, and the blueprints. */
function offer(status) {
  const control = filters.elements.pipeline;
  const there = new Set([...control.options].map(({ value }) => value));
  for (const name of [...status.Pipelines, ...status.Blueprints]) if (!there.has(name)) control.append(el("option", { text: name }));
}

async function showJobs(total, verdicts) {
  newest = Math.min(newest, Math.max(0, total - 1));
  const shown = filter();
  const { jobs, isLast, isCut } = await search.page(shown, total, newest, PAGE_JOBS);
  for (const id of [...rows.keys()]) if (!jobs.some((job) => job.ID === id)) rows.delete(id);
  const nodes = jobs.flatMap((job) => {
    if (!rows.has(job.ID)) rows.set(job.ID, new JobRow(job.ID, search.detailsOf(job.ID), refreshSoon));
    const row = rows.get(job.ID);
    row.show(job, verdicts);
    return row.nodes;
  });
  const body = byId("jobs");
  if (nodes.length !== body.children.length || nodes.some((node, index) => node !== body.children[index])) body.replaceChildren(...nodes);
  const all = isEmpty(shown);
  byId("no-jobs").hidden = jobs.length > 0;
  byId("no-jobs").textContent = all ? "No job is remembered." : isCut ? "None of the newest jobs matches." : "No job matches.";
  byId("newer").disabled = newest === 0;
  byId("older").disabled = isLast;
  const range = `${newest + 1} to ${newest + jobs.length}`;
  const cut = isCut ? "; older ones were not looked at: choose a state or a pipeline, too" : "";
  byId("place").textContent = jobs.length ? `${range} of ${all ? total : "those that match"}, newest first${cut}` : "";
  return jobs.some((job) => !isOver(job));
}

async function showRecent(all) {
  const cells = all.map((series) => [
    formatTime(series.Created),
    [personName(series.PatientName), series.PatientID].filter(Boolean).join(" · "),
    series.IsThere ? seriesText(series) : "",
    series.By,
    el("span", { class: { Accepted: "good", Rejected: "error", Unreviewed: "warning" }[series.State] ?? "", text: verdictText(series) }),
    el("span", {}, el("a", { href: inReview(series.ID), text: "Review" }), " ", el("a", { href: inExplorer(series.ID), text: "Explorer" })),
  ]);
  fill("recent", all, () => (all.length ? table(["Derived", "Patient", "Series", "By", "Verdict", ""], cells) : none("Nothing has been derived yet.")));
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
    Jobs: Object.entries(status.Jobs).map(([state, number]) => `${number} ${JOB_STATES[state] ?? state}`).join(", "),
    "Blueprint folders": status.BlueprintFolders.join(", "),
    Pipelines: status.Pipelines.join(", "),
    Blueprints: status.Blueprints.join(", "),
  };
  fill("health", status, () => {
    const list = el("dl", {}, ...Object.entries(items).flatMap(([name, text]) => [el("dt", { text: name }), el("dd", { text })]));
    const files = status.Problems.length ? el("p", { class: "error", text: "Some files could not be loaded: see above." }) : el("p", { class: "good", text: "All files could be loaded." });
    return el("div", {}, files, list);
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
  offer(status);
  const total = Object.values(status.Jobs).reduce((sum, number) => sum + number, 0);
  const [listed, rules, failures] = await Promise.all([
    ask("derived-series/recent"),
    ask("derived-series/rules"),
    search.failures(total, status.Jobs.Failure, FAILURES),
  ]);
  const verdicts = new Map(listed.map((series) => [series.ID, series]));
  const active = await showJobs(total, verdicts);
  const recent = await Promise.all(listed.map(async (series) => ({ ...series, ...(await about(series.ID)) })));
  const node = await first(status, recent, failures, search, filterBy);
  fill("first", [node.textContent], () => node);
  showRecent(recent);
  showRules(rules);
  showWorkers(status);
  showHealth(status);
  return active;
}

function turn(step) {
  newest = Math.max(0, newest + step);
  refreshSoon();
}

byId("newer").addEventListener("click", () => turn(-PAGE_JOBS));
byId("older").addEventListener("click", () => turn(PAGE_JOBS));
let typing = 0;
filters.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(filtered, TYPING_MILLISECONDS);
});
filters.addEventListener("submit", (event) => event.preventDefault());
filters.addEventListener("reset", () => setTimeout(filtered));
byId("first").addEventListener("click", (event) => {
  const failed = event.target.closest("[data-failed]");
  if (!failed) return;
  event.preventDefault();
  filterBy({ text: failed.dataset.failed });
});
setFilter(Object.fromEntries(new URLSearchParams(location.search)));

for (;;) {
  let active = false;
  const woken = new Promise((resolve) => { wake = resolve; });
  try {
    active = await refresh();
    byId("trouble").replaceChildren();
  } catch (error) {
    byId("trouble").replaceChildren(problem({ message: error.message, remedy: [error.remedy, "This page asks again."].filter(Boolean).join(" ") }));
  }
  const { patient, text } = filter();
  const milliseconds = patient || text ? SEARCH_MILLISECONDS : active ? BUSY_MILLISECONDS : QUIET_MILLISECONDS;
  await Promise.race([pause(milliseconds), woken]);
}
