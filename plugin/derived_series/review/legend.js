// The segments of a Segmentation: which are shown, and how much of the parent is seen through them.

import { el } from "./dom.js";

export function legend(viewer, node) {
  const { overlay } = viewer.sides;
  node.append(el("h2", { text: "Segments" }));
  const opacity = el("input", { type: "range", min: 0, max: 1, step: 0.05, value: overlay.opacity });
  opacity.addEventListener("input", () => {
    overlay.opacity = Number(opacity.value);
    viewer.draw();
  });
  node.append(el("label", {}, "Opacity ", opacity));
  const list = el("ul", { class: "legend" });
  for (const segment of overlay.series.Segments) {
    const box = el("input", { type: "checkbox", checked: true });
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
