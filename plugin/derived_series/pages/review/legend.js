// The segments of a Segmentation: which are shown, and how much of the parent is seen through them.

import { el } from "../shared/dom.js";

export function legend(viewer, node) {
  const { overlay } = viewer.sides;
  node.append(el("h2", { text: "Segments" }));
  const opacity = el("input", { type: "range", min: 0, max: 1, step: 0.05, value: overlay.opacity });
  opacity.addEventListener("input", () => {
    overlay.opacity = Number(opacity.value);
    viewer.draw();
  });
  node.append(el("label", {}, "Opacity ", opacity));
  const boxes = new Map();
  const showAll = (shown) => {
    for (const [number, box] of boxes) {
      box.checked = shown;
      if (shown) overlay.hidden.delete(number);
      else overlay.hidden.add(number);
    }
    viewer.draw();
  };
  node.append(el("p", {},
    el("button", { type: "button", text: "All", title: "Show all segments", on: { click: () => showAll(true) } }), " ",
    el("button", { type: "button", text: "None", title: "Hide all segments", on: { click: () => showAll(false) } })));
  const list = el("ul", { class: "legend" });
  for (const segment of overlay.series.Segments) {
    const box = el("input", { type: "checkbox", checked: true });
    boxes.set(segment.Number, box);
    box.addEventListener("change", () => {
      if (box.checked) overlay.hidden.delete(segment.Number);
      else overlay.hidden.add(segment.Number);
      viewer.draw();
    });
    const swatch = el("span", { class: "swatch" });
    swatch.style.backgroundColor = segment.Color;
    const name = segment.Label || `Segment ${segment.Number}`;
    const detail = [segment.Type, segment.Algorithm.toLowerCase()].filter(Boolean).join(", ");
    list.append(el("li", { "data-segment": segment.Number, "data-color": segment.Color },
      el("label", {}, box, " ", swatch, ` ${name}`), el("span", { class: "dim", text: detail ? ` (${detail})` : "" })));
  }
  node.append(list);
}
