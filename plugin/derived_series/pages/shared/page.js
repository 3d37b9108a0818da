// What several pages show alike: links between them, errors, tables, the state of a job.

import { el } from "./dom.js";
import { at } from "./server.js";

/** Addresses of the pages for a series. */
export const inExplorer = (series) => at(`app/explorer.html#series?uuid=${encodeURIComponent(series)}`);
export const studyInExplorer = (study) => at(`app/explorer.html#study?uuid=${encodeURIComponent(study)}`);
export const inReview = (series) => at(`derived-series/review/${encodeURIComponent(series)}`);
export const toDerive = (series) => at(`derived-series/derive.html?series=${encodeURIComponent(series)}`);

/** An error with what can be done about it. */
export function problem({ message, remedy = "" }) {
  const lines = [el("p", { class: "error", text: message }), ...(remedy ? [el("p", { class: "dim", text: remedy })] : [])];
  return el("div", { class: "problem" }, ...lines);
}

/** A table: `head` are texts, `rows` are arrays of texts and elements. */
export function table(head, rows) {
  const cells = (row) => row.map((cell) => (cell instanceof Node ? el("td", {}, cell) : el("td", { text: cell ?? "" })));
  return el(
    "table",
    {},
    el("thead", {}, el("tr", {}, ...head.map((text) => el("th", { scope: "col", text })))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...cells(row)))),
  );
}

/** The state of a job, in words. */
export function stateOf(job) {
  const { State, Progress, Content } = job;
  if (State === "Running") return `${Content.Phase ?? "Running"}${Content.Text ? `: ${Content.Text}` : ""}, ${Progress} %`;
  return { Pending: "Waits for a worker", Retry: "Is tried again" }[State] ?? State;
}

export const isOver = (job) => job.State === "Success" || job.State === "Failure";
