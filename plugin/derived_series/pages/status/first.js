// What nobody must miss, before all else: series that wait for a person's verdict, failures, files that do not load.

import { about } from "../shared/about.js";
import { el } from "../shared/dom.js";
import { formatTime, personName, quantity, seriesText } from "../shared/format.js";
import { inReview } from "../shared/page.js";
import { whatOf } from "./job_row.js";

const LISTED = 8; // of each sort; how many there are is said
const RECENT = 50; // so many the server lists at most

const patientOf = ({ PatientName, PatientID }) => personName(PatientName) || PatientID || "";

function line(sort, ...content) {
  return el("li", { class: sort }, ...content.filter(Boolean));
}

/** A heading with its lines; nothing without lines. */
function group(id, title, lines, rest = []) {
  if (!lines.length) return [];
  return [el("div", { id }, el("h3", { text: title }), el("ul", {}, ...lines), ...rest)];
}

const more = (number, what) => (number > LISTED ? [el("p", { class: "dim", text: `and ${number - LISTED} more${what}` })] : []);

function waitingLine(series) {
  const warnings = series.Warnings ? el("span", { class: "warning", text: quantity(series.Warnings, "warning") }) : null;
  return line(
    series.Warnings ? "doubtful" : "",
    el("a", { href: inReview(series.ID), text: series.IsThere ? seriesText(series) : `${series.By}: ${series.Output}` }),
    el("span", { text: patientOf(series) }),
    el("span", { class: "dim", text: `by ${series.By}, ${formatTime(series.Created)}` }),
    warnings,
  );
}

async function failureLine(job, search) {
  const details = search.detailsOf(job.ID);
  const whole = await details.read(job);
  const parent = await about(job.Content.ParentSeries);
  return line(
    "urgent",
    el("a", { href: `#job-${job.ID}`, "data-failed": job.ID, text: whatOf(whole) }),
    el("span", { text: patientOf(parent) }),
    el("span", { class: "dim", text: formatTime(job.CreationTime) }),
    el("span", { class: "error", text: whole.Content.Error?.Message ?? job.ErrorDescription }),
  );
}

/**
 * @param {any} status of the server
 * @param {any[]} recent the series derived lately, with their tags
 * @param {any[]} failures jobs as they are listed, the newest
 * @param {import("./job_search.js").JobSearch} search
 * @param {(filter: object) => void} filterBy shows the jobs that a filter lets through
 */
export async function first(status, recent, failures, search, filterBy) {
  const waiting = recent.filter(({ State }) => State === "Unreviewed").sort((one, other) => Math.sign(other.Warnings) - Math.sign(one.Warnings));
  const among = recent.length < RECENT ? "" : ` of the ${recent.length} derived last`; // older ones are not looked at
  const failed = status.Jobs.Failure ?? 0;
  const all = el("button", { type: "button", text: `Show all ${failed} failed jobs`, on: { click: () => filterBy({ state: "Failure" }) } });
  const wrong = status.Problems.map(({ File, Message }) => line("urgent", el("span", { class: "error", text: `${File}: ${Message}` })));
  const stopped = status.Deriving === false ? [line("urgent", el("span", { class: "error", text: "Nothing is derived: the disk of the jobs folder was full at the start." }))] : [];
  const groups = [
    ...group("stopped", "Standstill", stopped),
    ...group("failed", `Failed: ${quantity(failed, "job")}`, await Promise.all(failures.slice(0, LISTED).map((job) => failureLine(job, search))), failed > 1 ? [all] : []),
    ...group("waiting", `Waiting for review: ${quantity(waiting.length, "series", "series")}${among}`, waiting.slice(0, LISTED).map(waitingLine), more(waiting.length, ", below under Derived lately")),
    ...group("problems", "Files that could not be loaded", wrong),
  ];
  return el("div", {}, ...(groups.length ? groups : [el("p", { class: "good", text: "Nothing waits: no failure, and no series of the last ones without a verdict." })]));
}
