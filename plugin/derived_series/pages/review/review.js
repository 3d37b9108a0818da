// The review page: a parent and what was derived from it, side by side. Addresses are relative to
// /derived-series/review/{id}, wherever Orthanc is mounted.

import { el, getJson } from "../shared/dom.js";
import { Histograms } from "./histogram.js";
import { HELP, listen } from "./input.js";
import { legend } from "./legend.js";
import { Readout } from "./readout.js";
import { sidesOf } from "./sides.js";
import { Tags } from "./tags.js";
import { Viewer } from "./viewer.js";

const SHOWN = 2; // warnings that are unfolded from the start
const at = (id) => document.getElementById(id);
const SERIES = decodeURIComponent(location.pathname.replace(/\/+$/, "").split("/").pop());

/** Patient, study and both series, in words. */
function heading(manifest) {
  const { Derived, Parent } = manifest;
  const patient = [Derived.PatientName.replaceAll("^", " ").trim(), Derived.PatientID, Derived.PatientBirthDate].filter(Boolean).join(" · ");
  const study = [Derived.StudyDate, Derived.StudyDescription].filter(Boolean).join(" · ");
  at("patient").textContent = patient;
  at("study").textContent = study;
  document.title = `Review: ${Derived.SeriesDescription || Derived.SeriesInstanceUID} · ${Derived.PatientID}`;
  for (const [id, label, series] of [["of-parent", "Parent", Parent], ["of-derived", "Derived", Derived]]) {
    const text = [series.SeriesNumber, series.Modality, series.SeriesDescription].filter(Boolean).join(" · ");
    at(id).replaceChildren(`${label}: `, el("a", { href: `../../app/explorer.html#series?uuid=${encodeURIComponent(series.ID)}`, text: text || series.SeriesInstanceUID }));
  }
  const values = Object.entries(manifest.Provenance?.Values ?? {});
  if (values.length) {
    const texts = values.map(([name, { Value, Unit }]) => `${name} ${Value}${Unit === "1" ? "" : ` ${Unit}`}`);
    at("of-derived").append(el("span", { id: "values", class: "dim", text: ` ${texts.join(", ")}` }));
  }
  if (manifest.Parents.length > 1) {
    const choice = el("select", { "aria-label": "input to compare with", on: { change: (event) => location.assign(`?parent=${encodeURIComponent(event.target.value)}`) } });
    for (const { Input, ID } of manifest.Parents) choice.append(el("option", { value: ID, text: Input, selected: ID === Parent.ID }));
    at("of-parent").append(" ", choice);
  }
}

function warn(texts) {
  const count = `${texts.length} warning${texts.length === 1 ? "" : "s"}`;
  const list = el("ul", {}, ...texts.map((text) => el("li", { text })));
  at("warnings").replaceChildren(el("details", { open: texts.length <= SHOWN }, el("summary", { text: count }), list));
  at("warnings").hidden = texts.length === 0;
}

/** A button with its key, which shows whether it is on. */
function button(text, key, action, isOn = null) {
  const made = el("button", { type: "button", title: `${text} (${key})`, "aria-keyshortcuts": key, text, on: { click: action } });
  if (isOn) made.isOn = isOn;
  return made;
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
    button("Histograms", "H", () => toggle("histograms"), () => !at("histograms").hidden),
    button("Tags", "T", () => toggle("tags"), () => !at("tags").hidden),
    button("−", "-", () => viewer.zoomBy(0.8)),
    button("+", "+", () => viewer.zoomBy(1.25)),
    button("Invert", "I", () => { viewer.inverted = !viewer.inverted; viewer.draw(); }, () => viewer.inverted),
    button("Reset", "R", () => viewer.reset()),
    button("Help", "?", () => toggle("help"), () => !at("help").hidden),
  ];
  at("tools").append(
    el("label", {}, "Slice ", slice),
    el("label", { hidden: viewer.times < 2 }, "Volume ", time),
    ...buttons,
    el("label", {}, "Fade ", fade),
  );
  viewer.addEventListener("drawn", () => {
    for (const made of buttons) if (made.isOn) made.setAttribute("aria-pressed", made.isOn());
    const { derived } = viewer.sides;
    Object.assign(slice, { max: derived.stack.count, value: viewer.sliceOf(derived) + 1 });
    [time.value, fade.value] = [viewer.time + 1, viewer.fade];
  });
}

/** A result that is no image: where it can be opened. */
function showDocument(series) {
  const isPdf = series.SOPClass.includes("PDF");
  at("panes").append(el("p", {}, `The result is no image but a ${series.SOPClass}. `,
    el("a", { href: `../../instances/${series.Instance}/${isPdf ? "pdf" : "file"}`, text: isPdf ? "Open the PDF file" : "Download it" })));
}

/** Both series, what the one was derived from and how; each is asked for at its own address. */
async function read(busy) {
  const address = (series, name) => `../../series/${encodeURIComponent(series)}/${name}`;
  const derived = getJson(address(SERIES, "manifest"), busy);
  derived.catch(() => {}); // it is said below
  const { Parents, Provenance } = await getJson(address(SERIES, "sources"), busy);
  const chosen = new URLSearchParams(location.search).get("parent") ?? Parents.find((each) => each.IsThere)?.ID;
  if (!chosen) {
    const text = "Nothing tells what this series was derived from, or its parent is no longer there";
    throw new Error(`${text} (name a series to compare it with: ?parent= and its Orthanc identifier)`);
  }
  const { Orientation, Part } = chosen === Parents[0]?.ID ? Provenance.Request : {};
  const query = new URLSearchParams({ ...(Orientation && { orientation: Orientation }), ...(Part && { part: Part }) });
  const [Parent, Derived] = await Promise.all([getJson(address(chosen, `manifest?${query}`), busy), derived]);
  return { Derived, Parent, Parents, Provenance };
}

async function start() {
  const status = at("status");
  const manifest = await read((text) => { status.textContent = `${text}: waiting`; });
  heading(manifest);
  if (manifest.Provenance) import("./verdict.js"); // fills #verdict
  const sides = sidesOf(manifest);
  warn([...sides.warnings, ...(manifest.Provenance?.Warnings ?? [])]);
  status.textContent = "";
  if (sides.document) return showDocument(sides.document);
  const viewer = new Viewer(sides, at("panes"));
  const toggle = (id) => {
    at(id).hidden = !at(id).hidden;
    at("aside").hidden = ["histograms", "tags", "help", "segments"].every((each) => at(each).hidden);
    viewer.draw();
  };
  at("help").append(el("h2", { text: "Keys" }), el("table", {}, ...HELP.map(([key, text]) => el("tr", {}, el("th", { scope: "row", text: key }), el("td", { text })))));
  toolbar(viewer, toggle);
  new Readout(viewer, at("readout"));
  new Histograms(viewer, at("histograms"));
  new Tags(viewer, manifest, at("tags"));
  if (sides.overlay) {
    legend(viewer, at("segments"));
    toggle("segments");
  }
  listen(viewer, { h: () => toggle("histograms"), t: () => toggle("tags"), "?": () => toggle("help") });
  window.review = viewer; // for the console, and for tests
  viewer.panes.derived.canvas.focus({ preventScroll: true });
  viewer.addEventListener("drawn", function first() {
    if (at("panes").dataset.complete !== "true") return;
    viewer.removeEventListener("drawn", first);
    Object.assign(document.body.dataset, { ready: "true", firstPictureMs: Math.round(performance.now()) });
    for (const side of new Map(viewer.both.map((each) => [each.frames, each])).values()) viewer.prefetch(side);
    if (sides.overlay) viewer.prefetchSegments();
  });
}

start().catch((error) => {
  at("status").textContent = error.message;
  at("status").classList.add("error");
  document.body.dataset.ready = "failed";
});
