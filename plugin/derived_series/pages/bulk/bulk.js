// The page of runs over many series: begin one, watch them, decide about what was compared.

import { byId, el } from "../shared/dom.js";
import { inExplorer, problem, table } from "../shared/page.js";
import { ask, pause } from "../shared/server.js";
import { Members } from "./members.js";
import { RunForm } from "./request.js";
import { RunRow, drawRuns, isOpen } from "./runs.js";

const BUSY_MILLISECONDS = 1000;
const QUIET_MILLISECONDS = 5000;
const LOOKED_AT = 50; // series that one dry run looks at

const rows = new Map();
const members = new Members();
/** @type {(value?: any) => void} */
let wake = () => {};

const refuse = (error) => byId("trouble").replaceChildren(problem(error));

async function refresh() {
  const runs = await ask("derived-series/bulk?expand&limit=20");
  drawRuns(runs, rows, (id) => new RunRow(id, () => wake(), (run) => members.show(run).catch(refuse)));
  if (members.run && !rows.has(members.run)) members.hide();
  await members.refresh();
  return runs.some(isOpen);
}

async function begin(form) {
  const request = form.read();
  if (request === null) return;
  byId("trouble").replaceChildren();
  byId("start").disabled = true;
  try {
    await ask("derived-series/bulk", { method: "POST", json: request });
    byId("dry").hidden = true;
    wake();
    byId("runs").scrollIntoView();
  } catch (error) {
    refuse(error);
  } finally {
    byId("start").disabled = false;
  }
}

/** Show which series a run would derive from, from a place in their list on. */
async function look(form, since) {
  const request = form.read();
  if (request === null) return;
  byId("trouble").replaceChildren();
  byId("dry-run").disabled = true;
  byId("dry").hidden = false;
  byId("dry-words").textContent = "Looking…";
  try {
    const answer = await ask("derived-series/bulk", { method: "POST", json: { ...request, DryRun: true, Since: since, Limit: LOOKED_AT }, busy: () => {} });
    showLook(form, answer);
  } catch (error) {
    byId("dry").hidden = true;
    refuse(error);
  } finally {
    byId("dry-run").disabled = false;
  }
}

function showLook(form, { Since, WouldRun, Members: looked, More, Stopped }) {
  const place = looked.length ? `series ${Since + 1} to ${Since + looked.length}` : "no series";
  byId("dry-words").textContent = `${place}: ${WouldRun} would be derived from, ${looked.length - WouldRun} would not. ${Stopped ? `It was given up ${Stopped}.` : ""}`;
  const cells = looked.map(({ Number, Series, Runs, Reason }) => [
    Number,
    el("a", { href: inExplorer(Series), text: "series" }),
    el("span", { class: Runs ? "good" : "reason", text: Runs ? "yes" : `no: ${Reason}` }),
  ]);
  byId("dry-table").replaceChildren(table(["No.", "Series", "Would be derived from"], cells));
  const more = byId("dry-more");
  more.hidden = !More;
  more.onclick = () => look(form, Since + looked.length);
}

async function open() {
  const query = new URLSearchParams(window.location.search);
  const listed = ["studies", "series"].flatMap((name) => (query.get(name) ?? "").split(",")).filter(Boolean);
  const form = new RunForm(await ask("derived-series/pipelines?expand", { busy: () => {} }), listed);
  byId("form").addEventListener("submit", (event) => {
    event.preventDefault();
    begin(form);
  });
  byId("dry-run").addEventListener("click", () => look(form, 0));
}

open().catch(refuse);
for (;;) {
  let active = false;
  const woken = new Promise((resolve) => { wake = resolve; });
  try {
    active = await refresh();
  } catch (error) {
    refuse({ message: error.message, remedy: error.remedy || "This page asks again." });
  }
  await Promise.race([pause(active ? BUSY_MILLISECONDS : QUIET_MILLISECONDS), woken]);
}
