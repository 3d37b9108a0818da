// Histograms of the two slices that are shown, on one axis where they are measured in the same unit.

import { el } from "../shared/dom.js";
import { formatNumber } from "../shared/format.js";

const BINS = 128;

/** {counts, low, high, minimum, maximum, mean, deviation, number} of a picture's real-world values. */
export function histogram(picture, range = null) {
  const { values, slope, intercept } = picture;
  let [minimum, maximum, sum, squares, number] = [Infinity, -Infinity, 0, 0, 0];
  for (const stored of values) {
    const value = stored * slope + intercept;
    if (!Number.isFinite(value)) continue;
    minimum = Math.min(minimum, value);
    maximum = Math.max(maximum, value);
    sum += value;
    squares += value * value;
    number += 1;
  }
  const mean = sum / number;
  const deviation = Math.sqrt(Math.max(squares / number - mean * mean, 0));
  const [low, high] = range ?? [minimum, maximum];
  const counts = new Array(BINS).fill(0);
  const scale = high > low ? BINS / (high - low) : 0;
  for (const stored of values) {
    const bin = Math.floor((stored * slope + intercept - low) * scale);
    if (Number.isFinite(bin)) counts[Math.min(Math.max(bin, 0), BINS - 1)] += 1;
  }
  return { counts, low, high, minimum, maximum, mean, deviation, number };
}

export class Histograms {
  constructor(viewer, node) {
    this.viewer = viewer;
    this.node = node;
    /** @type {Record<string, {canvas: HTMLCanvasElement, text: HTMLElement}>} by the side's role */
    this.charts = {};
    /** @type {any[] | null} */
    this.shown = null;
    node.append(el("h2", { text: "Histograms of the slices shown" }));
    for (const side of viewer.both) {
      const canvas = el("canvas", { width: 400, height: 110, role: "img" });
      const text = el("p", { class: "dim" });
      this.charts[side.role] = { canvas, text };
      node.append(el("h3", { text: side.name }), canvas, text);
    }
    viewer.addEventListener("drawn", () => this.show());
  }

  show() {
    if (this.node.hidden) return;
    const { viewer } = this;
    const pictures = viewer.both.map((side) => (side.isColour ? null : viewer.pictureOf(side)));
    if (this.shown && pictures.every((picture, index) => picture === this.shown[index])) return;
    this.shown = pictures;
    const each = pictures.map((picture) => picture && histogram(picture));
    const sameUnits = viewer.sides.parent.units === viewer.sides.derived.units;
    const range = sameUnits && each.every(Boolean) ? [Math.min(...each.map(({ minimum }) => minimum)), Math.max(...each.map(({ maximum }) => maximum))] : null;
    viewer.both.forEach((side, index) => {
      const { canvas, text } = this.charts[side.role];
      const one = pictures[index] && histogram(pictures[index], range);
      bars(canvas, one);
      const { units } = side;
      text.textContent = one
        ? `${formatNumber(one.minimum)} to ${formatNumber(one.maximum)} ${units}, mean ${formatNumber(one.mean)} ± ${formatNumber(one.deviation)}; counts on a logarithmic scale`
        : side.isColour ? "colour: no values" : "no slice here";
      canvas.setAttribute("aria-label", `${side.name}: ${text.textContent}`);
      Object.assign(canvas.dataset, one ? { minimum: one.minimum, maximum: one.maximum, mean: one.mean, counts: one.counts.join(" ") } : { counts: "" });
    });
  }
}

function bars(canvas, shown) {
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (!shown) return;
  const highest = Math.log1p(Math.max(...shown.counts));
  const width = canvas.width / BINS;
  context.fillStyle = "#5fb3ff";
  shown.counts.forEach((count, bin) => {
    const height = (Math.log1p(count) / highest) * (canvas.height - 14);
    context.fillRect(bin * width, canvas.height - 14 - height, width, height);
  });
  context.fillStyle = "#a9b1ba";
  context.font = "11px sans-serif";
  context.fillText(formatNumber(shown.low), 0, canvas.height - 2);
  context.textAlign = "right";
  context.fillText(formatNumber(shown.high), canvas.width, canvas.height - 2);
  context.textAlign = "left";
}
