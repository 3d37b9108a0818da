// What several pages show alike: links between them, errors, tables, the state of a job.

import { el } from "./dom.js";
import { at } from "./server.js";

/** Addresses of the pages for a series. */
export const inExplorer = (series) => at(`app/explorer.html#series?uuid=${encodeURIComponent(series)}`);
export const studyInExplorer = (study) => at(`app/explorer.html#study?uuid=${encodeURIComponent(study)}`);
export const inReview = (series) => at(`derived-series/review/${encodeURIComponent(series)}`);
export const toDerive = (series) => at(`derived-series/derive.html?series=${encodeURIComponent(series)}`);
/** The page of jobs, with this one alone. */
export const toJob = (job) => at(`derived-series/?text=${encodeURIComponent(job)}`);

/** An error with what can be done about it. */
export function problem({ message, remedy = "" }) {
  const lines = [el("p", { class: "error", text: message }), ...(remedy ? [el("p", { class: "dim", text: remedy })] : [])];
  return el("div", { class: "problem" }, ...lines);
}

/** A table: `head` are texts, `rows` are arrays of texts and elements. On narrow screens each row is a card. */
export function table(head, rows) {
  const cell = (content, column) => el("td", { "data-label": head[column] }, content instanceof Node ? content : String(content ?? ""));
  return el(
    "table",
    { class: "cards" },
    el("thead", {}, el("tr", {}, ...head.map((text) => (text ? el("th", { scope: "col", text }) : el("td"))))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map(cell)))),
  );
}

/** The state of a job, in words. */
export function stateOf(job) {
  const { State, Progress, Content } = job;
  if (State === "Running") return `${Content.Phase ?? "Running"}${Content.Text ? `: ${Content.Text}` : ""}, ${Progress} %`;
  if (State === "Retry" && Content.Error) return `Is tried again: ${Content.Error.Message}`;
  return { Pending: "Waits for a worker", Retry: "Is tried again", Success: "Succeeded", Failure: "Failed" }[State] ?? State;
}

export const isOver = (job) => job.State === "Success" || job.State === "Failure";

/** The verdict on a series, in words: its state, and who gave it. */
export function verdictText({ State, User }) {
  const states = { Unreviewed: "Waiting for review", Rejecting: "Is being rejected" };
  return `${states[State] ?? State}${User ? ` by ${User}` : ""}`;
}
