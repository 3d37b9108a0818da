// Viewer state: one point in the patient for both sides, one time, a window for each kind of values.

import { asCanvas, paint, paintSegments, place, View, windowOfQuantiles } from "./draw.js";
import { difference, drawDifference } from "./difference.js";
import { dot } from "./geometry.js";
import { NEAR } from "./images.js";
import { Pane, PRESETS } from "./pane.js";
import { pause } from "../shared/server.js";

const IDLE_MILLISECONDS = 500; // between two looks for slices to load
const AFTER_ERROR_MILLISECONDS = 2000;

/**
 * The window of a series' header, with its function; null where it has none.
 * @returns {[number, number, string, number] | null}
 */
function storedWindow({ Window, WindowFunction, WindowStep }) {
  return Window ? [Window[0], Window[1], WindowFunction, WindowStep] : null;
}

/** Quantiles of the values that an automatic window goes from and to, by modality. */
const AUTOMATIC = { CT: [0.005, 0.995], MR: [0.01, 0.995], PT: [0, 0.999] };

/** Centre and width by the values of a picture. @returns {[number, number]} */
function automaticWindow(series, picture) {
  const [low, high] = AUTOMATIC[series.Modality] ?? AUTOMATIC.CT;
  return windowOfQuantiles(picture, low, high);
}

export class Viewer extends EventTarget {
  constructor(sides, root) {
    super();
    this.sides = sides;
    this.root = root;
    this.active = sides.derived; // the side that keys are for
    this.zoom = 1;
    this.time = 0;
    this.mode = "side"; // "side", "fade" or "difference"
    this.fade = 0.5; // of the derived side over the parent
    this.inverted = false;
    /** @type {number[] | null} where the mouse is in the patient */
    this.cursor = null;
    /** @type {number | null} the largest difference of the colour bar; null: by the values */
    this.limit = null;
    /** @type {number[] | null} what both sides show: a point in the patient */
    this.point = null;
    this.scheduled = false;
    /** @type {Record<string, Pane>} */
    this.panes = {};
    for (const [id, title, side] of [
      ["parent", "Parent", sides.parent],
      ["derived", sides.overlay ? "Parent with segments" : "Derived", sides.derived],
      ["combined", "Parent and derived", sides.derived],
      ["difference", "Derived − parent", sides.derived],
    ]) {
      const pane = new Pane(id, title, side, {
        presets: ["Automatic", "As stored", ...Object.keys(PRESETS[side.series.Modality] ?? {})],
        colour: side.isColour || id === "combined" || id === "difference",
        onWindow: ([centre, width]) => {
          const [, , shape, step] = this.windows.get(side.group) ?? [0, 0];
          this.setWindow(side, [centre, width, shape, step]);
        },
        onPreset: (name) => this.preset(side, name),
      });
      this.panes[id] = pane;
      root.append(pane.node);
      pane.canvas.addEventListener("focus", () => { this.active = side; });
    }
    /** @type {Map<string, [number, number, string?, number?]>} centre, width, function and step, by what shares a window */
    this.windows = new Map();
    /** @type {Map<string, string>} why a slice cannot be shown */
    this.errors = new Map();
    this.reset();
    const sizes = new ResizeObserver(() => this.draw());
    for (const pane of Object.values(this.panes)) sizes.observe(pane.stage);
  }

  /** Everything as at the start, except the slice. */
  reset() {
    const point = this.point;
    const { stack } = this.sides.derived;
    Object.assign(this, { zoom: 1, cursor: null, inverted: false, mode: "side", fade: 0.5, limit: null });
    this.point = point ? stack.moved(stack.centre, stack.nearest(dot(point, stack.normal))) : stack.centre;
    this.windows.clear();
    this.draw();
  }

  /** Draw before the next frame of the screen, once. */
  draw() {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      this.#drawNow();
    });
  }

  get both() {
    return [this.sides.parent, this.sides.derived];
  }

  get times() {
    return Math.max(...this.both.map((side) => side.volumes));
  }

  /** The slice of a side at the point; -1 where it has none. */
  sliceOf(side) {
    return side.stack.sliceAt(this.point);
  }

  /** The picture of a side at the point; null while it is loaded, after which the viewer draws again. */
  pictureOf(side) {
    const slice = this.sliceOf(side);
    if (slice < 0) return null;
    const index = side.index(slice, this.time);
    const picture = side.frames.show(index);
    if (picture) return picture;
    if (!this.errors.has(index + side.role)) {
      side.frames.load(index).then(() => this.draw(), (error) => {
        this.errors.set(index + side.role, error.message);
        this.draw();
      });
    }
    return null;
  }

  /** The window of a side: the one that was set, else the one it starts with, which is then kept. */
  windowOf(side, picture) {
    const { group } = side;
    const window = this.windows.get(group) ?? this.#firstWindow(side, picture);
    this.windows.set(group, window);
    return window;
  }

  /** For CT the window of the header, else one by the values of the picture. */
  #firstWindow({ group, series }, picture) {
    const first = this.both.find((side) => side.group === group)?.series;
    return (series.Modality === "CT" && first && storedWindow(first)) || automaticWindow(series, picture);
  }

  /** @param {[number, number, string?, number?]} window centre, width, function and step */
  setWindow(side, window) {
    const [centre, width, shape, step] = window;
    if (!Number.isFinite(centre) || !Number.isFinite(width) || side.isColour) return;
    this.windows.set(side.group, [centre, Math.max(width, 1e-6), shape, step]);
    this.draw();
  }

  preset(side, name) {
    const picture = this.pictureOf(side);
    const { series } = side;
    if (name === "As stored" && series.Window) this.setWindow(side, storedWindow(series));
    else if (name === "Automatic" && picture) this.setWindow(side, automaticWindow(series, picture));
    else if (PRESETS[series.Modality]?.[name]) this.setWindow(side, PRESETS[series.Modality][name]);
  }

  /** Change centre and width by parts of the width. */
  nudgeWindow(side, byCentre, byWidth) {
    const picture = this.pictureOf(side);
    if (!picture || side.isColour) return;
    const [centre, width, shape, step] = this.windowOf(side, picture);
    this.setWindow(side, [centre + byCentre * width, width * Math.exp(byWidth), shape, step]);
  }

  /** Go to the slice so many further on, of a side; both follow. */
  scroll(by, side = this.active) {
    const { stack } = side;
    const current = stack.sliceAt(this.point);
    const from = current < 0 ? stack.nearest(dot(this.point, stack.normal)) : current;
    const slice = Math.min(Math.max(from + by, 0), stack.count - 1);
    this.point = stack.moved(this.point, slice);
    if (this.cursor) this.cursor = stack.moved(this.cursor, slice);
    this.draw();
  }

  setTime(time) {
    this.time = Math.min(Math.max(Math.round(time), 0), this.times - 1);
    this.draw();
  }

  zoomBy(factor) {
    this.zoom = Math.min(Math.max(this.zoom * factor, 0.2), 40);
    this.draw();
  }

  /** Move the picture in the plane of a side by CSS pixels. */
  pan(side, dx, dy) {
    const view = this.viewOf(this.paneOf(side));
    this.point = view.toPoint(view.width / 2 - dx, view.height / 2 - dy);
    this.draw();
  }

  setMode(mode) {
    this.mode = this.mode === mode ? "side" : mode;
    this.draw();
  }

  /** Parent, derived, parent, ... in one pane. */
  flicker() {
    this.fade = this.mode === "fade" && this.fade >= 0.5 ? 0 : 1;
    this.mode = "fade";
    this.draw();
  }

  setFade(part) {
    this.fade = part;
    this.mode = "fade";
    this.draw();
  }

  /** The pane in which a side is seen now. */
  paneOf(side) {
    return this.mode === "fade" ? this.panes.combined : this.panes[side.role];
  }

  viewOf(pane) {
    const [width, height] = pane.size;
    const stacks = this.sides.parallel ? this.both.map((side) => side.stack) : [pane.side.stack];
    const across = Math.max(...stacks.map((stack) => stack.columns * stack.columnSpacing));
    const down = Math.max(...stacks.map((stack) => stack.rows * stack.rowSpacing));
    return new View(pane.side.stack, this.point, this.zoom * Math.min(width / across, height / down), width, height);
  }

  #drawNow() {
    const { panes, mode } = this;
    this.root.dataset.mode = mode;
    panes.parent.node.hidden = panes.derived.node.hidden = mode === "fade";
    panes.combined.node.hidden = mode !== "fade";
    panes.difference.node.hidden = mode !== "difference";
    const shown = Object.values(panes).filter((pane) => !pane.node.hidden);
    let complete = true;
    for (const pane of shown) {
      pane.fit();
      pane.clear();
      const view = this.viewOf(pane);
      pane.showEdges(pane.side.stack);
      if (pane === panes.combined) {
        complete = this.#drawCombined(pane, view) && complete;
      } else if (pane === panes.difference) {
        complete = drawDifference(this, pane, view) && complete;
      } else {
        complete = this.#drawSide(pane, pane.side, view, 1) && complete;
      }
      if (this.cursor) pane.cross(...view.toScreen(this.cursor));
    }
    this.root.dataset.complete = complete;
    this.dispatchEvent(new Event("drawn"));
  }

  /** Both sides in one pane, the derived one above; one of them where their slices are not parallel. */
  #drawCombined(pane, view) {
    const { parent, derived, parallel } = this.sides;
    if (parallel) {
      const below = this.#drawSide(pane, parent, view, 1);
      return this.#drawSide(pane, derived, view, this.fade) && below;
    }
    const side = this.fade < 0.5 ? parent : derived;
    pane.showEdges(side.stack);
    return this.#drawSide(pane, side, new View(side.stack, this.point, view.scale, view.width, view.height), 1);
  }

  /** Draw one side; false while something that belongs into the pane is missing. */
  #drawSide(pane, side, view, alpha) {
    const slice = this.sliceOf(side);
    const index = slice < 0 ? -1 : side.index(slice, this.time);
    Object.assign(pane.node.dataset, { slice, time: Math.min(this.time, side.volumes - 1), positionMm: slice < 0 ? "" : side.stack.distances[slice].toFixed(3) });
    const { count } = side.stack;
    const volume = side.volumes > 1 ? `, volume ${Math.min(this.time, side.volumes - 1) + 1} of ${side.volumes}` : "";
    const where = slice >= 0 && side.stack.isPlaced ? ` at ${side.stack.distances[slice].toFixed(2)} mm` : "";
    pane.caption.textContent = slice < 0 ? "no slice here" : `slice ${slice + 1} of ${count}${where}${volume}`;
    if (alpha > 0) pane.say(slice < 0 ? `The ${side.role === "parent" ? "parent" : "derived series"} has no slice here` : this.errors.get(index + side.role));
    if (slice < 0) {
      pane.node.dataset.shown = "none";
      return true;
    }
    const picture = this.pictureOf(side);
    if (!picture) {
      pane.node.dataset.shown = "";
      return this.errors.has(index + side.role);
    }
    const window = side.isColour ? [128, 256] : this.windowOf(side, picture);
    const key = `${window} ${this.inverted}`;
    if (side.painted?.picture !== picture || side.painted.key !== key) {
      side.painted = { picture, key, canvas: asCanvas(paint(picture, window, this.inverted)) };
    }
    const { context } = pane;
    context.globalAlpha = alpha;
    place(context, side.painted.canvas, side.stack, slice, view);
    let complete = true;
    if (side === this.sides.derived && this.sides.overlay) complete = this.#drawSegments(pane, view, alpha);
    context.globalAlpha = 1;
    if (complete) pane.node.dataset.shown = index;
    if (!side.isColour) pane.showWindow(window);
    return complete;
  }

  #drawSegments(pane, view, alpha) {
    const { context } = pane;
    const { overlay } = this.sides;
    const slice = overlay.stack.sliceAt(this.point);
    if (slice < 0) return true;
    const key = `${slice} ${[...overlay.hidden]}`;
    overlay.show(slice);
    if (overlay.painted?.key !== key) {
      const masks = overlay.masks(slice);
      if (!masks) {
        const error = `overlay ${slice}`;
        if (!this.errors.has(error)) overlay.load(slice).catch(({ message }) => this.errors.set(error, message)).then(() => this.draw());
        pane.say(this.errors.get(error));
        return this.errors.has(error);
      }
      overlay.painted = { key, masks, canvas: asCanvas(paintSegments(masks, overlay.stack.rows, overlay.stack.columns)) };
    }
    context.globalAlpha = alpha * overlay.opacity;
    place(context, overlay.painted.canvas, overlay.stack, slice, view);
    return true;
  }

  /** What both sides have at a point: {parent, derived}, each {slice, row, column, value | colour} or null. */
  valuesAt(point) {
    const read = (side) => {
      const voxel = side.stack.voxelAt(point);
      if (!voxel) return null;
      const picture = side.frames.peek(side.index(voxel.slice, this.time));
      if (!picture) return voxel;
      const { row, column } = voxel;
      return side.isColour ? { ...voxel, colour: picture.colour(row, column) } : { ...voxel, value: picture.value(row, column) };
    };
    return { parent: read(this.sides.parent), derived: read(this.sides.derived) };
  }

  /** The signed difference at the point's slice; null while a picture is missing. */
  difference() {
    return difference(this);
  }

  /** The same for the segments. */
  async prefetchSegments() {
    const { overlay } = this.sides;
    for (;;) {
      const from = Math.max(overlay.stack.sliceAt(this.point), 0);
      const missing = overlay.frames.map((_, slice) => slice).filter((slice) => !overlay.has(slice)).sort((a, b) => Math.abs(a - from) - Math.abs(b - from));
      if (missing.length && (overlay.cache.hasRoom || Math.abs(missing[0] - from) <= NEAR)) await overlay.load(missing[0]).catch(() => pause(AFTER_ERROR_MILLISECONDS));
      else await pause(IDLE_MILLISECONDS);
    }
  }

  /** Load the slices around the point, the nearest first, as long as there is room; never ends. */
  async prefetch(side) {
    for (;;) {
      const from = Math.max(this.sliceOf(side), 0);
      const missing = Array.from({ length: side.stack.count }, (_, slice) => slice)
        .filter((slice) => !side.frames.peek(side.index(slice, this.time)))
        .sort((a, b) => Math.abs(a - from) - Math.abs(b - from));
      if (missing.length && (side.frames.cache.hasRoom || Math.abs(missing[0] - from) <= NEAR)) await side.frames.load(side.index(missing[0], this.time)).catch(() => pause(AFTER_ERROR_MILLISECONDS));
      else await pause(IDLE_MILLISECONDS);
    }
  }
}
