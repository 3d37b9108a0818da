// From values to colours, and from images to their place on a canvas.

import { along, dot, minus } from "./geometry.js";

const OPAQUE = 0xff000000; // ImageData is red, green, blue, alpha: little endian in a Uint32Array

/** The brightness, 0 to 255, of a value under a window: its centre, width and function (PS3.3 C.11.2.1.2 and C.11.2.1.3).
 *
 * A step is what the formula of LINEAR takes for 1: 1, or the slope from what the window is of to what is shown. */
export function brightness(value, [centre, width, shape = "LINEAR_EXACT", step = 1], inverted) {
  const grey = Math.round(255 * Math.min(Math.max(partOf(value, centre, width, shape, step), 0), 1));
  return inverted ? 255 - grey : grey;
}

function partOf(value, centre, width, shape, step) {
  if (shape === "SIGMOID") return 1 / (1 + Math.exp((-4 * (value - centre)) / width));
  if (shape !== "LINEAR") return (value - centre) / Math.max(width, 1e-9) + 0.5;
  if (width <= step) return value > centre - step / 2 ? 1 : 0;
  return (value - (centre - step / 2)) / (width - step) + 0.5;
}

const grey = (level) => OPAQUE | (level << 16) | (level << 8) | level;

/** A picture as ImageData, through a window where it is grey. */
export function paint(picture, window, inverted = false) {
  const image = new ImageData(picture.columns, picture.rows);
  const out = new Uint32Array(image.data.buffer);
  const { values, slope, intercept } = picture;
  if (picture.samples === 3) {
    for (let i = 0; i < out.length; i++) out[i] = OPAQUE | (values[3 * i + 2] << 16) | (values[3 * i + 1] << 8) | values[3 * i];
    return image;
  }
  const flipped = inverted !== picture.inverted;
  const bytes = values.BYTES_PER_ELEMENT;
  if (values instanceof Float32Array || bytes > 2) {
    for (let i = 0; i < out.length; i++) out[i] = grey(brightness(values[i] * slope + intercept, window, flipped));
    return image;
  }
  const size = 1 << (8 * bytes);
  const lowest = values instanceof Int8Array || values instanceof Int16Array ? -size / 2 : 0;
  const table = new Uint32Array(size);
  for (let i = 0; i < size; i++) table[i] = grey(brightness((i + lowest) * slope + intercept, window, flipped));
  for (let i = 0; i < out.length; i++) out[i] = table[values[i] - lowest];
  return image;
}

/** The colour of a signed difference: blue below zero, black at it, orange above; dark grey where there is none. */
export function differenceColour(value, limit) {
  if (Number.isNaN(value)) return [40, 40, 40];
  const part = Math.min(Math.max(value / limit, -1), 1);
  const strong = Math.round(255 * Math.sqrt(Math.abs(part)));
  return part < 0 ? [strong >> 2, strong >> 1, strong] : [strong, strong >> 1, strong >> 3];
}

export function paintDifference(values, rows, columns, limit) {
  const image = new ImageData(columns, rows);
  for (let i = 0; i < values.length; i++) {
    const [red, green, blue] = differenceColour(values[i], limit);
    image.data.set([red, green, blue, 255], 4 * i);
  }
  return image;
}

/** Segments of one slice as ImageData. `masks`: {values, packed, maximum, color: [r, g, b]}; later ones lie above.
    Of a label map: {values, colors: Map of label to [r, g, b]}. */
export function paintSegments(masks, rows, columns) {
  const image = new ImageData(columns, rows);
  const out = new Uint32Array(image.data.buffer);
  for (const { values, packed, maximum, color, colors } of masks) {
    if (colors) {
      paintLabels(out, values, colors);
      continue;
    }
    const [red, green, blue] = color;
    const opaque = (blue << 16) | (green << 8) | red;
    if (packed) paintBits(out, values, opaque | OPAQUE);
    else for (let i = 0; i < out.length; i++) if (values[i]) out[i] = opaque | (Math.round((255 * values[i]) / maximum) << 24);
  }
  return image;
}

/** Labels, each in its colour; those without one are not shown. */
function paintLabels(out, values, colors) {
  const table = new Uint32Array(1 << (8 * values.BYTES_PER_ELEMENT));
  for (const [number, [red, green, blue]] of colors) table[number] = OPAQUE | (blue << 16) | (green << 8) | red;
  for (let i = 0; i < out.length; i++) out[i] = table[values[i]];
}

/** Bits, the lowest one first; most bytes have none. */
function paintBits(out, bytes, colour) {
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === 0) continue;
    const end = Math.min(8, out.length - 8 * at);
    for (let bit = 0; bit < end; bit++) if ((byte >> bit) & 1) out[8 * at + bit] = colour;
  }
}

/** ImageData on a canvas of its own, which can be placed. */
export function asCanvas(image) {
  const canvas = document.createElement("canvas");
  canvas.width = image.width;
  canvas.height = image.height;
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

/** The part of a plane that a pane shows: directions of its screen, the point in its middle, CSS pixels per mm. */
export class View {
  constructor(stack, centre, scale, width, height) {
    this.across = stack.rowDirection;
    this.down = stack.columnDirection;
    this.centre = centre;
    this.scale = scale;
    this.width = width;
    this.height = height;
  }

  /** Where a point is on the screen: [x, y]. */
  toScreen(point) {
    const from = minus(point, this.centre);
    return [this.width / 2 + this.scale * dot(from, this.across), this.height / 2 + this.scale * dot(from, this.down)];
  }

  /** The point under a place of the screen, in the plane through the middle. */
  toPoint(x, y) {
    const right = along(this.centre, this.across, (x - this.width / 2) / this.scale);
    return along(right, this.down, (y - this.height / 2) / this.scale);
  }
}

/** Draw an image of a stack's slice where it is. */
export function place(context, image, stack, index, view) {
  const [x0, y0] = view.toScreen(stack.pointOf(index, -0.5, -0.5));
  const [x1, y1] = view.toScreen(stack.pointOf(index, -0.5, 0.5));
  const [x2, y2] = view.toScreen(stack.pointOf(index, 0.5, -0.5));
  const ratio = context.canvas.width / view.width;
  context.save();
  context.setTransform(ratio * (x1 - x0), ratio * (y1 - y0), ratio * (x2 - x0), ratio * (y2 - y0), ratio * x0, ratio * y0);
  context.imageSmoothingEnabled = ratio * view.scale * Math.min(stack.rowSpacing, stack.columnSpacing) < 1;
  context.drawImage(image, 0, 0);
  context.restore();
}

/** Centre and width of the window from one quantile of the values to another; about 20 000 of them are looked at.
    @returns {[number, number]} */
export function windowOfQuantiles(picture, low = 0.01, high = 0.995) {
  const step = Math.max(1, Math.floor(picture.values.length / 20000));
  const sample = [];
  for (let i = 0; i < picture.values.length; i += step) {
    const value = picture.values[i] * picture.slope + picture.intercept;
    if (Number.isFinite(value)) sample.push(value);
  }
  if (sample.length === 0) return [0.5, 1];
  sample.sort((a, b) => a - b);
  const quantile = (part) => sample[Math.round(part * (sample.length - 1))];
  const [from, to] = quantile(high) > quantile(low) ? [quantile(low), quantile(high)] : [sample[0], sample[sample.length - 1]];
  return to > from ? [(from + to) / 2, to - from] : [from, 1];
}
