// One canvas with its caption and window controls.

import { el } from "../shared/dom.js";
import { letters } from "./geometry.js";

/** @type {Record<string, Record<string, [number, number]>>} by modality and name: centre and width */
export const PRESETS = {
  CT: { Brain: [40, 80], "Soft tissue": [40, 400], Lung: [-600, 1500], Bone: [500, 2000], Stroke: [32, 8], Angio: [300, 600] },
};

/** A pane of the viewer, which draws a side on its `canvas`; it draws nothing itself. */
export class Pane {
  constructor(id, title, side, { onWindow, onPreset, presets = [], colour = false }) {
    this.side = side;
    this.canvas = el("canvas", { tabindex: 0, role: "img", "aria-label": `${title}: use the arrow keys` });
    this.caption = el("span", { class: "caption" });
    this.message = el("p", { class: "message", hidden: true });
    this.edges = Object.fromEntries(["left", "right", "top", "bottom"].map((edge) => [edge, el("span", { class: `edge ${edge}` })]));
    this.title = el("h2", { text: title });
    this.centre = el("input", { type: "number", step: "any", "aria-label": `${title}: window centre` });
    this.width = el("input", { type: "number", step: "any", min: 0, "aria-label": `${title}: window width` });
    for (const input of [this.centre, this.width]) {
      input.addEventListener("change", () => onWindow([Number(this.centre.value), Number(this.width.value)]));
    }
    this.presets = el("select", { "aria-label": `${title}: window preset`, on: { change: () => this.#chosen(onPreset) } });
    this.presets.append(el("option", { value: "", text: "Window" }), ...presets.map((name) => el("option", { value: name, text: name })));
    this.controls = el("span", { class: "window", hidden: colour }, this.presets, el("label", {}, "Centre ", this.centre), el("label", {}, "Width ", this.width));
    this.node = el(
      "section", { class: "pane", id, "aria-label": title },
      el("header", {}, this.title, this.controls),
      el("div", { class: "stage" }, this.canvas, this.message, ...Object.values(this.edges)),
      el("footer", {}, this.caption),
    );
    this.stage = this.canvas.parentElement;
    this.size = [1, 1];
  }

  #chosen(onPreset) {
    const name = this.presets.value;
    this.presets.value = "";
    if (name) onPreset(name);
    this.canvas.focus();
  }

  /** Give the canvas the pixels of its place on the screen; `size` is [width, height] in CSS pixels. */
  fit() {
    const { width, height } = this.stage.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    const [pixelWidth, pixelHeight] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))];
    if (this.canvas.width !== pixelWidth) this.canvas.width = pixelWidth;
    if (this.canvas.height !== pixelHeight) this.canvas.height = pixelHeight;
    this.size = [Math.max(1, width), Math.max(1, height)];
  }

  get context() {
    return this.canvas.getContext("2d");
  }

  clear() {
    this.context.setTransform(1, 0, 0, 1, 0, 0);
    this.context.fillStyle = "#000";
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
  }

  /** Show a text over the picture; none takes it away. */
  say(text) {
    this.message.textContent = text ?? "";
    this.message.hidden = !text;
  }

  showWindow([centre, width]) {
    for (const [input, value] of [[this.centre, centre], [this.width, width]]) {
      if (document.activeElement !== input) input.value = Number.isFinite(value) ? String(Number(value.toPrecision(6))) : "";
    }
    Object.assign(this.node.dataset, { windowCentre: centre, windowWidth: width });
  }

  /** Which side of the patient is where; nothing for a stack that is nowhere. */
  showEdges({ rowDirection, columnDirection, isPlaced }) {
    const opposite = (direction) => direction.map((part) => -part);
    const at = { left: opposite(rowDirection), right: rowDirection, top: opposite(columnDirection), bottom: columnDirection };
    for (const [edge, direction] of Object.entries(at)) this.edges[edge].textContent = isPlaced ? letters(direction) : "";
  }

  /** A cross where the cursor is. */
  cross(x, y) {
    const { context } = this;
    const ratio = this.canvas.width / this.size[0];
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.strokeStyle = "#5fb3ff";
    context.lineWidth = 1;
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(x + 3 * dx, y + 3 * dy);
      context.lineTo(x + 11 * dx, y + 11 * dy);
    }
    context.stroke();
  }
}
