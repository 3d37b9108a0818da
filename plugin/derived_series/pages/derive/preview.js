// What a dry run would store: one slice, and every tag with who set it.

import { breakable, el } from "../shared/dom.js";
import { table } from "../shared/page.js";

const GROUPS = [
  ["Set", "Set by the blueprint or the request"],
  ["Copied", "Copied from the parent"],
  ["Computed", "Computed"],
];
const LARGEST_PIXELS = 400;

/** Elements for the answer of a dry run. */
export function previewOf({ Header, Dropped, Preview, InstancesCount, Warnings }) {
  return [
    ...(Warnings.length ? [el("ul", { class: "warning" }, ...Warnings.map((text) => el("li", { text })))] : []),
    el("div", { class: "preview" }, picture(Preview, InstancesCount), el("div", { class: "tags" }, ...GROUPS.map(([origin, title]) => group(title, Header, origin)), dropped(Dropped))),
  ];
}

function picture(preview, count) {
  if (!preview) return el("p", { class: "dim", text: "The result is not an image that can be drawn here." });
  const image = el("img", { alt: "The middle slice of the result" });
  image.addEventListener("load", () => {
    const scale = LARGEST_PIXELS / Math.max(image.naturalWidth, image.naturalHeight * preview.Aspect);
    const [width, height] = [image.naturalWidth * scale, image.naturalHeight * preview.Aspect * scale].map(Math.round);
    Object.assign(image, { width, height });
    image.style.aspectRatio = `${width} / ${height}`; // pixels need not be square
  });
  image.src = `data:image/png;base64,${preview.PNG}`;
  return el("figure", {}, image, el("figcaption", { class: "dim", text: `Instance ${preview.Instance} of ${count}, frame ${preview.Frame}` }));
}

function group(title, header, origin) {
  const rows = header
    .filter((row) => row.Origin === origin)
    .map((row) => [row.Tag, breakable(row.Keyword), row.VR, value(row), who(row)]);
  return folded(title, origin.toLowerCase(), rows.length, table(["Tag", "Name", "VR", "Value", "Who"], rows), origin === "Set");
}

function dropped(rows) {
  const cells = rows.map((row) => [row.Tag, breakable(row.Keyword), row.VR, breakable(row.Value)]);
  return folded("Of the parent, not in the result", "dropped", rows.length, table(["Tag", "Name", "VR", "Parent's value"], cells));
}

function folded(title, kind, count, content, open = false) {
  return el("details", { "data-group": kind, open }, el("summary", { text: `${title} (${count})` }), content);
}

function value(row) {
  const text = breakable(row.Value);
  return row.VariesByInstance ? el("span", {}, text, el("span", { class: "dim", text: " (differs by instance)" })) : text;
}

function who(row) {
  const setter = breakable(`${row.Blueprint}: ${row.Element}`);
  return row.Overrode.length ? el("span", {}, setter, el("span", { class: "dim" }, breakable(`; instead of ${row.Overrode.join(", ")}`))) : setter;
}
