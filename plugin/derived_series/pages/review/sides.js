// Parent and derived, each with its slices, its place and its windows; and how they belong together.

import { unitText } from "../shared/format.js";
import { areParallel, bySequence, differences, Stack } from "./geometry.js";
import { budgetFor, Cache, decoded, Frames, frameBytes, valuesOf } from "./images.js";

const AT_ONCE = 8 << 20; // bytes of frames that are asked for at once, of one slice at least

/** One of the two series that are compared. */
export class Side {
  constructor(role, series, stack) {
    this.role = role;
    this.series = series;
    this.stack = stack;
    this.frames = new Frames(series);
    this.volumes = series.Volumes;
    this.units = unitText(series.Units); // as both sides are compared, and as they are read
    this.group = `${series.Modality} ${this.units}`; // what shares a window
    /** @type {any} the last difference from the parent, see difference.js */
    this.difference = null;
    /** @type {any} the picture as it was painted last */
    this.painted = null;
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

/** The segments of a Segmentation, drawn over the parent. Bits stay packed: thousands of frames have room so.
    Of a label map the one frame of a slice has all segments. */
export class Overlay {
  constructor(series) {
    this.series = series;
    this.stack = new Stack(series.Grid, series.Format.Rows, series.Format.Columns);
    this.hidden = new Set();
    this.opacity = 0.5;
    this.loading = new Map();
    /** @type {any} the masks as they were painted last */
    this.painted = null;
    const segments = new Map(series.Segments.map((segment, order) => [segment.Number, { segment, order, color: parts(segment.Color) }]));
    this.isLabelMap = series.IsLabelMap;
    this.segments = segments;
    this.frames = Array.from({ length: this.stack.count }, () => []); // of each slice, in the order of the segments
    series.Frames.Slice.forEach((slice, number) => {
      const segment = this.isLabelMap ? { order: 0 } : segments.get(series.Frames.Segment[number]);
      if (segment) this.frames[slice].push({ number, ...segment });
    });
    for (const frames of this.frames) frames.sort((a, b) => a.order - b.order);
    const largest = Math.max(...this.frames.map((frames) => frames.length)) * frameBytes(series.Format);
    this.cache = new Cache(budgetFor(largest));
  }

  /** Whether the frames of a slice are loaded. */
  has(slice) {
    return this.cache.peek(slice) !== undefined;
  }

  /** Mark a slice as used: it is shown. */
  show(slice) {
    this.cache.get(slice);
  }

  /** The visible masks of a slice: [{values, packed, maximum, color, segment}]; null while they are not loaded.
      Of a label map: [{values, colors}], the colours by label. */
  masks(slice) {
    const frames = this.cache.peek(slice);
    if (!frames) return null;
    const { Maximum, Format } = this.series;
    if (this.isLabelMap) {
      const shown = [...this.segments].filter(([number]) => !this.hidden.has(number));
      const colors = new Map(shown.map(([number, { color }]) => [number, color]));
      return frames.map(({ values }) => ({ values, colors }));
    }
    return frames.filter(({ segment }) => !this.hidden.has(segment.Number))
      .map((frame) => ({ ...frame, packed: Format.Type === "bits", maximum: Maximum }));
  }

  /** Load the frames of a slice, and of those next to it that are missing and go into one answer. */
  async load(slice) {
    if (this.loading.has(slice)) return this.loading.get(slice);
    const slices = this.#together(slice);
    const promise = this.#load(slices).finally(() => slices.forEach((number) => this.loading.delete(number)));
    for (const number of slices) this.loading.set(number, promise);
    return promise;
  }

  #together(slice) {
    const size = frameBytes(this.series.Format);
    const slices = [slice];
    let bytes = this.frames[slice].length * size;
    for (const by of this.loading.size || !this.cache.bytes ? [] : [1, -1, 2, -2, 3, -3, 4, -4]) { // the first one comes alone
      const other = slice + by;
      if (!this.frames[other] || this.has(other) || this.loading.has(other)) continue;
      bytes += this.frames[other].length * size;
      if (bytes > Math.min(AT_ONCE, this.cache.budget / 4)) break;
      slices.push(other);
    }
    return slices;
  }

  async #load(slices) {
    const { Instance, Format } = this.series;
    const size = frameBytes(Format);
    const wanted = slices.flatMap((slice) => this.frames[slice]);
    const buffer = wanted.length ? await decoded(Instance, wanted.map(({ number }) => number)) : new ArrayBuffer(0);
    let offset = 0;
    for (const slice of slices) {
      const frames = this.frames[slice].map((frame) => {
        const bytes = buffer.slice(offset, offset + size);
        offset += size;
        return { ...frame, values: Format.Type === "bits" ? new Uint8Array(bytes) : valuesOf(bytes, { ...Format, Raw: false }) };
      });
      this.cache.set(slice, frames, frames.length * size + 1);
    }
  }

  /** The segments at a voxel, by what has been loaded. */
  labelsAt({ slice, row, column }) {
    const index = row * this.stack.columns + column;
    if (this.isLabelMap) {
      const numbers = (this.cache.peek(slice) ?? []).map(({ values }) => values[index]).filter((number) => number > 0);
      return numbers.map((number) => this.segments.get(number)?.segment.Label || `segment ${number}`);
    }
    const isBits = this.series.Format.Type === "bits";
    return (this.cache.peek(slice) ?? [])
      .filter(({ values }) => (isBits ? (values[index >> 3] >> (index & 7)) & 1 : values[index] > 0))
      .map(({ segment }) => segment.Label || `segment ${segment.Number}`);
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
  if (Parent.Kind !== "Image") throw new Error(`The parent is not an image: ${Parent.SOPClass}`);
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
    warnings.push(
      Parent.Grid || Derived.Grid
        ? "One of the series has no positions: slices are matched by their order."
        : "These images have no positions: they are matched by their order.",
    );
  }
  const [parent, derived] = [new Side("parent", Parent, stacks[0]), new Side("derived", Derived, stacks[1])];
  const other = differences(stacks[0], stacks[1]);
  const parallel = areParallel(stacks[0], stacks[1]);
  if (placed && other.length) warnings.push(`The grids differ (${other.join(", ")}): slices and pixels are matched by their position in mm.`);
  if (placed && !parallel) warnings.push("The slices are not parallel: each side shows its own slice through the middle of the view.");
  if (placed && Parent.FrameOfReferenceUID && Parent.FrameOfReferenceUID !== Derived.FrameOfReferenceUID) {
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
