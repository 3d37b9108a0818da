// Parent and derived, each with its slices, its place and its windows; and how they belong together.

import { areParallel, bySequence, differences, Stack } from "./geometry.js";
import { Cache, decoded, Frames, frameBytes, valuesOf } from "./images.js";

/** One of the two series that are compared. */
export class Side {
  constructor(role, series, stack) {
    Object.assign(this, { role, series, stack });
    this.frames = new Frames(series);
    this.volumes = series.Volumes;
    this.group = `${series.Modality} ${series.Units}`; // what shares a window
    this.isColour = series.Formats.some((format) => format.Samples > 1);
  }

  /** The number of a slice of a volume in the series' document. */
  index(slice, time) {
    return Math.min(time, this.volumes - 1) * this.stack.count + slice;
  }

  get name() {
    return this.role === "parent" ? "Parent" : "Derived";
  }
}

/** The segments of a Segmentation, drawn over the parent. */
export class Overlay {
  constructor(series) {
    this.series = series;
    this.stack = new Stack(series.Grid, series.Format.Rows, series.Format.Columns);
    this.hidden = new Set();
    this.opacity = 0.5;
    this.cache = new Cache();
  }

  /** The visible masks of a slice: [{values, maximum, color, segment}]. */
  async masks(slice) {
    const { Frames: frames, Segments } = this.series;
    const wanted = Segments.filter((segment) => !this.hidden.has(segment.Number));
    const found = [];
    for (const segment of wanted) {
      const number = frames.Slice.findIndex((at, i) => at === slice && frames.Segment[i] === segment.Number);
      if (number >= 0) found.push({ segment, values: await this.#frame(number), maximum: this.series.Maximum, color: parts(segment.Color) });
    }
    return found;
  }

  async #frame(number) {
    const there = this.cache.get(number);
    if (there) return there;
    const { Instance, Format, Frames: frames } = this.series;
    const size = Math.max(1, Math.floor((4 << 20) / frameBytes(Format)));
    const first = number - (number % size);
    const count = Math.min(size, frames.Slice.length - first);
    const buffer = await decoded(Instance, first, count);
    for (let i = 0; i < count; i++) {
      const values = valuesOf(buffer, { ...Format, Raw: false }, i * frameBytes(Format));
      this.cache.set(first + i, values, values.byteLength);
    }
    return this.cache.get(number);
  }

  /** The segments at a voxel, by what has been loaded. */
  labelsAt({ slice, row, column }) {
    const { Frames: frames, Segments } = this.series;
    return Segments.filter((segment) => {
      const number = frames.Slice.findIndex((at, i) => at === slice && frames.Segment[i] === segment.Number);
      const values = number < 0 ? null : this.cache.get(number);
      return values && values[row * this.stack.columns + column] > 0;
    }).map((segment) => segment.Label || `segment ${segment.Number}`);
  }
}

/** [r, g, b] of "#rrggbb". */
const parts = (color) => [1, 3, 5].map((start) => parseInt(color.slice(start, start + 2), 16));

/** The sides of a manifest: {parent, derived, overlay, warnings, sameGrid, parallel}. */
export function sidesOf(manifest) {
  const { Parent, Derived } = manifest;
  const warnings = [];
  for (const [name, series] of [["parent", Parent], ["derived series", Derived]]) {
    if (series.Problem) warnings.push(`The ${name} is shown in the order of its numbers: ${series.Problem}`);
  }
  if (Parent.Kind !== "Image") throw new Error(`The parent is no image: ${Parent.SOPClass}`);
  if (Derived.Kind === "Segmentation") {
    const parent = new Side("parent", Parent, stackOf(Parent));
    const derived = new Side("derived", Parent, parent.stack);
    derived.frames = parent.frames;
    const overlay = Derived.Grid && Parent.Grid ? new Overlay(Derived) : null;
    if (overlay && !areParallel(overlay.stack, parent.stack)) warnings.push("The segments are in other planes than the parent's slices.");
    return { parent, derived, overlay, warnings, sameGrid: true, parallel: true };
  }
  if (Derived.Kind !== "Image") return { document: Derived, warnings };
  let stacks = [Parent, Derived].map(stackOf);
  const placed = Boolean(Parent.Grid && Derived.Grid);
  if (!placed) {
    const alike = Parent.Rows === Derived.Rows && Parent.Columns === Derived.Columns;
    const spacing = (Parent.Grid ?? Derived.Grid)?.PixelSpacing ?? [1, 1];
    stacks = [Parent, Derived].map((series) => bySequence(countOf(series), series.Rows, series.Columns, alike ? spacing : [1, 1]));
    warnings.push("One of the series has no positions: slices are matched by their order.");
  }
  const [parent, derived] = [new Side("parent", Parent, stacks[0]), new Side("derived", Derived, stacks[1])];
  const other = differences(stacks[0], stacks[1]);
  const parallel = areParallel(stacks[0], stacks[1]);
  if (placed && other.length) warnings.push(`The grids differ (${other.join(", ")}): slices and pixels are matched by their position in mm.`);
  if (placed && !parallel) warnings.push("The slices are not parallel: each side shows its own slice through the middle of the view.");
  if (placed && Parent.FrameOfReferenceUID !== Derived.FrameOfReferenceUID) {
    warnings.push("The frames of reference differ: the same position in mm need not be the same place in the patient.");
  }
  if (parent.volumes !== derived.volumes && Math.min(parent.volumes, derived.volumes) > 1) {
    warnings.push(`The parent has ${parent.volumes} volumes, the derived series ${derived.volumes}: they are matched by their number.`);
  }
  return { parent, derived, overlay: null, warnings, sameGrid: other.length === 0, parallel };
}

const countOf = (series) => series.Slices.Instance.length / series.Volumes;

function stackOf(series) {
  return series.Grid ? new Stack(series.Grid, series.Rows, series.Columns) : bySequence(countOf(series), series.Rows, series.Columns);
}
