// The review page: a parent and what was derived from it, side by side. Its address is /derived-series/review/{id}.

import { byId, el } from "../shared/dom.js";
import { formatDate, personName, unitText } from "../shared/format.js";
import { inExplorer, toDerive } from "../shared/page.js";
import { ask, at, inOneLine } from "../shared/server.js";
import { Histograms } from "./histogram.js";
import { HELP, listen } from "./input.js";
import { legend } from "./legend.js";
import { Readout } from "./readout.js";
import { sidesOf } from "./sides.js";
import { Tags } from "./tags.js";
import { Viewer } from "./viewer.js";

const UNFOLDED = 2; // so many warnings are unfolded from the start
const SERIES = decodeURIComponent(location.pathname.replace(/\/+$/, "").split("/").pop());

/** Patient, study and both series, in words. */
function heading(manifest) {
  const { Derived, Parent } = manifest;
  const patient = [personName(Derived.PatientName), Derived.PatientID, formatDate(Derived.PatientBirthDate)].filter(Boolean).join(" · ");
  const study = [formatDate(Derived.StudyDate), Derived.StudyDescription].filter(Boolean).join(" · ");
  byId("patient").textContent = patient;
  byId("study").textContent = study;
  document.title = `Review: ${Derived.SeriesDescription || Derived.SeriesInstanceUID} · ${Derived.PatientID}`;
  for (const [id, label, series] of [["of-parent", "Parent", Parent], ["of-derived", "Derived", Derived]]) {
    const text = [series.SeriesNumber, series.Modality, series.SeriesDescription].filter(Boolean).join(" · ");
    byId(id).replaceChildren(`${label}: `, el("a", { href: inExplorer(series.ID), text: text || series.SeriesInstanceUID }));
  }
  const values = Object.entries(manifest.Provenance?.Values ?? {});
  if (values.length) {
    const readable = (number) => (Number.isInteger(number) ? number : Number(number.toPrecision(8)));
    const texts = values.map(([name, { Value, Unit }]) => `${name} ${readable(Value)} ${unitText(Unit)}`.trim());
    byId("of-derived").append(el("span", { id: "values", class: "dim", text: ` ${texts.join(", ")}` }));
  }
  byId("to-derive").href = toDerive(Parent.ID);
  byId("to-derive").hidden = false;
  if (manifest.Parents.length > 1) {
    const choice = el("select", { "aria-label": "input to compare with", on: { change: (event) => location.assign(`?parent=${encodeURIComponent(event.target.value)}`) } });
    for (const { Input, ID } of manifest.Parents) choice.append(el("option", { value: ID, text: Input, selected: ID === Parent.ID }));
    byId("of-parent").append(" ", choice);
  }
}

function warn(texts) {
  const count = `${texts.length} warning${texts.length === 1 ? "" : "s"}`;
  const list = el("ul", {}, ...texts.map((text) => el("li", { text })));
  byId("warnings").replaceChildren(el("details", { open: texts.length <= UNFOLDED }, el("summary", { text: count }), list));
  byId("warnings").hidden = texts.length === 0;
}

/** {node, isOn}: a button with its key, and the function that tells whether it is on. */
function button(text, key, action, isOn = null) {
  const node = el("button", { type: "button", title: `${text} (${key})`, "aria-keyshortcuts": key, text, on: { click: action } });
  return { node, isOn };
}

function toolbar(viewer, toggle) {
  const fade = el("input", { type: "range", min: 0, max: 1, step: 0.05, "aria-label": "fade from parent to derived" });
  fade.addEventListener("input", () => viewer.setFade(Number(fade.value)));
  const time = el("input", { type: "range", min: 1, max: viewer.times, step: 1, "aria-label": "volume" });
  time.addEventListener("input", () => viewer.setTime(Number(time.value) - 1));
  const slice = el("input", { type: "range", min: 1, step: 1, "aria-label": "slice" });
  slice.addEventListener("input", () => viewer.scroll(Number(slice.value) - 1 - Math.max(viewer.sliceOf(viewer.sides.derived), 0), viewer.sides.derived));
  const buttons = [
    button("Fade", "F", () => viewer.setMode("fade"), () => viewer.mode === "fade"),
    button("Flicker", "Space", () => viewer.flicker()),
    button("Difference", "D", () => viewer.setMode("difference"), () => viewer.mode === "difference"),
    button("Histograms", "H", () => toggle("histograms"), () => !byId("histograms").hidden),
    button("Tags", "T", () => toggle("tags"), () => !byId("tags").hidden),
    button("−", "-", () => viewer.zoomBy(0.8)),
    button("+", "+", () => viewer.zoomBy(1.25)),
    button("Invert", "I", () => { viewer.inverted = !viewer.inverted; viewer.draw(); }, () => viewer.inverted),
    button("Reset", "R", () => viewer.reset()),
    button("Help", "?", () => toggle("help"), () => !byId("help").hidden),
  ];
  byId("tools").append(
    el("label", {}, "Slice ", slice),
    el("label", { hidden: viewer.times < 2 }, "Volume ", time),
    ...buttons.map(({ node }) => node),
    el("label", {}, "Fade ", fade),
  );
  viewer.addEventListener("drawn", () => {
    for (const { node, isOn } of buttons) if (isOn) node.setAttribute("aria-pressed", isOn());
    const { derived } = viewer.sides;
    Object.assign(slice, { max: derived.stack.count, value: viewer.sliceOf(derived) + 1 });
    [time.value, fade.value] = [viewer.time + 1, viewer.fade];
  });
}

/** A result that is not an image: where it can be opened. */
function showDocument(series) {
  const isPdf = series.SOPClass.includes("PDF");
  byId("panes").append(el("p", {}, `The result is not an image: ${series.SOPClass}. `,
    el("a", { href: at(`instances/${series.Instance}/${isPdf ? "pdf" : "file"}`), text: isPdf ? "Open the PDF file" : "Download it" })));
}

/** Both series, what the one was derived from and how; each is asked for at its own address. */
async function read(busy) {
  const address = (series, name) => `series/${encodeURIComponent(series)}/${name}`;
  const derived = ask(address(SERIES, "manifest"), { busy });
  derived.catch(() => {}); // it is awaited below
  const { Parents, Provenance } = await ask(address(SERIES, "sources"), { busy });
  const chosen = new URLSearchParams(location.search).get("parent") ?? Parents.find((parent) => parent.IsThere)?.ID;
  if (!chosen) {
    const text = "Nothing tells what this series was derived from, or its parent is no longer there";
    throw Object.assign(new Error(text), { remedy: "name a series to compare it with: ?parent= and its Orthanc identifier" });
  }
  const { Orientation, Part } = chosen === Parents[0]?.ID ? Provenance.Request : {};
  const query = new URLSearchParams({ ...(Orientation && { orientation: Orientation }), ...(Part && { part: Part }) });
  const [Parent, Derived] = await Promise.all([ask(address(chosen, `manifest?${query}`), { busy }), derived]);
  return { Derived, Parent, Parents, Provenance };
}

async function start() {
  const status = byId("status");
  const manifest = await read((text) => { status.textContent = `${text}: waiting`; });
  heading(manifest);
  if (manifest.Provenance) import("./verdict.js"); // fills #verdict
  const sides = sidesOf(manifest);
  warn([...sides.warnings, ...(manifest.Provenance?.Warnings ?? [])]);
  status.textContent = "";
  if (sides.document) return showDocument(sides.document);
  const viewer = new Viewer(sides, byId("panes"));
  const toggle = (id) => {
    byId(id).hidden = !byId(id).hidden;
    byId("aside").hidden = ["histograms", "tags", "help", "segments"].every((section) => byId(section).hidden);
    viewer.draw();
    if (!byId(id).hidden) byId(id).scrollIntoView({ block: "start" }); // others may be open above it
  };
  byId("help").append(el("h2", { text: "Keys" }), el("table", {}, ...HELP.map(([key, text]) => el("tr", {}, el("th", { scope: "row", text: key }), el("td", { text })))));
  toolbar(viewer, toggle);
  new Readout(viewer, byId("readout"));
  new Histograms(viewer, byId("histograms"));
  new Tags(viewer, manifest, byId("tags"));
  if (sides.overlay) {
    legend(viewer, byId("segments"));
    toggle("segments");
  }
  listen(viewer, { h: () => toggle("histograms"), t: () => toggle("tags"), "?": () => toggle("help") });
  Object.assign(window, { review: viewer }); // for the console, and for tests
  viewer.panes.derived.canvas.focus({ preventScroll: true });
  viewer.addEventListener("drawn", function first() {
    if (byId("panes").dataset.complete !== "true") return;
    viewer.removeEventListener("drawn", first);
    Object.assign(document.body.dataset, { ready: "true", firstPictureMs: Math.round(performance.now()) });
    for (const side of new Map(viewer.both.map((one) => [one.frames, one])).values()) viewer.prefetch(side);
    if (sides.overlay) viewer.prefetchSegments();
  });
}

/** The page has an error: what it shows then, or does not show, is not to be judged. */
function tell(error) {
  byId("status").textContent = inOneLine(error);
  byId("status").classList.add("error");
  document.body.dataset.ready = "failed";
}

/** A fault of the script itself, wherever it is met: a pane that it could not draw is black, as an image may be. */
function tellFault(error) {
  if (!error) return; // of the browser's own, such as a ResizeObserver that is asked again
  const remedy = "this is a fault of the page: what it shows is not to be judged. Load it again; the browser's console has more";
  tell(Object.assign(new Error(`The page cannot go on: ${error.message ?? error}`), { remedy }));
}

addEventListener("error", ({ error }) => tellFault(error));
addEventListener("unhandledrejection", ({ reason }) => tellFault(reason));
start().catch(tell);
