// What the form and the status page share: addresses, questions to the server, errors and tables.

import { el } from "./dom.js";

/** The root of Orthanc's REST API, wherever a proxy has put it: this file is {root}/derived-series/app/shared/page.js. */
const ROOT = new URL("../../../", import.meta.url);
const LONGEST_WAIT = 60;

/** The address of a path below the root. */
export const at = (path) => new URL(path, ROOT).href;

/** Addresses of the pages for a series. */
export const inExplorer = (series) => at(`app/explorer.html#series?uuid=${encodeURIComponent(series)}`);
export const inReview = (series) => at(`derived-series/review/${encodeURIComponent(series)}`);
export const toDerive = (series) => at(`derived-series/derive.html?series=${encodeURIComponent(series)}`);

export const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** An answer that is an error. `remedy` and `details` are the server's. */
export class Refusal extends Error {
  constructor(status, message, remedy = "", details = "") {
    super(message);
    Object.assign(this, { status, remedy, details });
  }
}

/** The JSON of an answer. Throws a Refusal; `busy` is told why it waits while the server has no time (503). */
export async function ask(path, { method = "GET", json, busy } = {}) {
  for (let waited = 0; ; ) {
    const answer = await fetch(at(path), { method, body: json === undefined ? undefined : JSON.stringify(json) });
    const found = await answer.json().catch(() => ({}));
    if (answer.ok) return found;
    const refusal = new Refusal(answer.status, found.Message || `${answer.status} ${answer.statusText}`, found.Remedy, found.Details);
    const seconds = Number(answer.headers.get("Retry-After") ?? 2);
    waited += seconds;
    if (answer.status !== 503 || !busy || waited > LONGEST_WAIT) throw refusal;
    busy(refusal.message);
    await pause(1000 * seconds);
  }
}

/** An error with what can be done about it. */
export function problem({ message, remedy }) {
  const said = [el("p", { class: "error", text: message }), ...(remedy ? [el("p", { class: "dim", text: remedy })] : [])];
  return el("div", { class: "problem" }, ...said);
}

/** A table: `head` are texts, `rows` are arrays of texts and elements. */
export function table(head, rows) {
  const cells = (name, row) => row.map((cell) => (cell instanceof Node ? el(name, {}, cell) : el(name, { text: cell ?? "" })));
  return el(
    "table",
    {},
    el("thead", {}, el("tr", {}, ...head.map((text) => el("th", { scope: "col", text })))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...cells("td", row)))),
  );
}

/** A time as Orthanc writes it, "20261124T221653.290098" in UTC, or ISO 8601; as the reader's clock shows it. */
export function time(text) {
  const parts = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)/.exec(text ?? "");
  const date = parts ? new Date(Date.UTC(parts[1], parts[2] - 1, parts[3], parts[4], parts[5], parts[6])) : new Date(text);
  return Number.isNaN(date.getTime()) ? "" : date.toLocaleString();
}

/** What a job is at, in words. */
export function stateOf(job) {
  const { State, Progress, Content } = job;
  if (State === "Running") return `${Content.Phase ?? "Running"}${Content.Text ? `: ${Content.Text}` : ""}, ${Progress} %`;
  return { Pending: "Waits for a worker", Retry: "Is tried again" }[State] ?? State;
}

export const isOver = (job) => job.State === "Success" || job.State === "Failure";
