// Frames as typed arrays: fetched, cleaned of bits without meaning, kept up to a bound.

import { request } from "../shared/server.js";

const BUDGET = 192 << 20; // bytes of one series that are kept
/** So many slices on either side of the one that is shown are loaded though others must go. */
export const NEAR = 3;
const CHUNK = 16 << 20; // bytes of a multi-frame instance that are decoded at once
const KINDS = {
  uint8: Uint8Array, int8: Int8Array, uint16: Uint16Array, int16: Int16Array,
  uint32: Uint32Array, int32: Int32Array, float32: Float32Array,
};

/** Bytes of one frame as they come. */
export function frameBytes(format) {
  const values = format.Rows * format.Columns * format.Samples;
  return format.Type === "bits" ? Math.ceil(values / 8) : values * KINDS[format.Type].BYTES_PER_ELEMENT;
}

/** Bytes to keep of slices of a size: there is always room for the one that is shown and those near it. */
export const budgetFor = (bytes) => Math.max(BUDGET, (2 * NEAR + 2) * bytes);

/** The values of a frame; raw ones sign-extended and cleared above BitsStored (PS3.5 8.1.1). */
export function valuesOf(buffer, format, offset = 0) {
  const count = format.Rows * format.Columns * format.Samples;
  if (format.Type === "bits") {
    const bytes = new Uint8Array(buffer, offset, Math.ceil(count / 8));
    const unpacked = new Uint8Array(count);
    for (let i = 0; i < count; i++) unpacked[i] = (bytes[i >> 3] >> (i & 7)) & 1;
    return unpacked;
  }
  const Kind = KINDS[format.Type];
  const aligned = offset % Kind.BYTES_PER_ELEMENT === 0 ? buffer : buffer.slice(offset);
  const values = new Kind(aligned, aligned === buffer ? offset : 0, count);
  const bits = 8 * Kind.BYTES_PER_ELEMENT;
  if (!format.Raw || format.BitsStored >= bits || format.Above < 0) return values;
  const up = 32 - bits + format.Above; // to the top of the 32 bits that JavaScript shifts
  const down = 32 - format.BitsStored;
  const signed = format.Type.startsWith("int");
  for (let i = 0; i < count; i++) values[i] = signed ? (values[i] << up) >> down : (values[i] << up) >>> down;
  return values;
}

/** A slice ready to be drawn and read: `value(row, column)` is real-world. */
export class Picture {
  constructor(values, rows, columns, samples, slope = 1, intercept = 0, inverted = false) {
    this.values = values;
    this.rows = rows;
    this.columns = columns;
    this.samples = samples;
    this.slope = slope;
    this.intercept = intercept;
    this.inverted = inverted;
  }

  /** The real-world value of a pixel, by its number in the rows. */
  valueAt(index) {
    return this.values[index] * this.slope + this.intercept;
  }

  value(row, column) {
    return this.valueAt(row * this.columns + column);
  }

  /** Red, green, blue. */
  colour(row, column) {
    return Array.from(this.values.subarray(3 * (row * this.columns + column), 3 * (row * this.columns + column) + 3));
  }
}

/** Buffers by key: the one used longest ago goes first, the one used last stays, since it is what is shown. */
export class Cache {
  constructor(budget = BUDGET) {
    this.budget = budget;
    this.bytes = 0;
    this.held = new Map();
    /** @type {any} the key that was used last */
    this.shown = undefined;
  }

  /** Without counting as use. */
  peek(key) {
    return this.held.get(key);
  }

  get(key) {
    this.shown = key;
    const value = this.held.get(key);
    if (value !== undefined) {
      this.held.delete(key);
      this.held.set(key, value);
    }
    return value;
  }

  set(key, value, bytes) {
    if (this.held.has(key)) return;
    this.held.set(key, value);
    value.cost = bytes;
    this.bytes += bytes;
    this.#shrink(key);
  }

  /** Whether there is room for one more without one less. */
  get hasRoom() {
    return this.bytes < 0.9 * this.budget;
  }

  #shrink(key) {
    for (const [old, held] of this.held) {
      if (this.bytes <= this.budget) break;
      if (old === key || old === this.shown) continue;
      this.held.delete(old);
      this.bytes -= held.cost;
    }
  }
}

/** The frames of one series, by the number of the slice in its document. */
export class Frames {
  constructor(series, cache = new Cache(budgetFor(Math.max(0, ...series.Formats.map(frameBytes))))) {
    this.series = series;
    this.cache = cache;
    this.loading = new Map();
  }

  /** The picture of a slice, if it is loaded; this does not count as use. */
  peek(index) {
    return this.cache.peek(index);
  }

  /** The same, to be shown: it counts as use. */
  show(index) {
    return this.cache.get(index);
  }

  /** The picture of a slice. */
  async load(index) {
    const started = this.peek(index) ?? this.loading.get(index);
    if (started) return started;
    const promise = this.#load(index).finally(() => this.loading.delete(index));
    this.loading.set(index, promise);
    return promise;
  }

  async #load(index) {
    const { Slices, Formats } = this.series;
    const format = Formats[Slices.Format[index]];
    const [instance, frame] = [Slices.Instance[index], Slices.Frame[index]];
    let values = null;
    if (format.Raw) values = await raw(instance, frame, format);
    values ??= await this.#chunk(instance, frame, format);
    const picture = this.#picture(index, values, format);
    this.cache.set(index, picture, picture.values.byteLength);
    return picture;
  }

  /** A frame that the server decodes; of a multi-frame instance several come at once. */
  async #chunk(instance, frame, format) {
    const { Slices } = this.series;
    const last = Slices.Frame.reduce((most, other, index) => (Slices.Instance[index] === instance ? Math.max(most, other) : most), 0);
    const size = Math.max(1, Math.floor(CHUNK / frameBytes(format)));
    const first = frame - (frame % size);
    const count = Math.min(size, last + 1 - first);
    const key = `${instance}/${first}`;
    if (!this.loading.has(key)) {
      this.loading.set(key, decoded(instance, first, count).finally(() => setTimeout(() => this.loading.delete(key), 5000)));
    }
    return valuesOf(await this.loading.get(key), { ...format, Raw: false }, (frame - first) * frameBytes(format));
  }

  #picture(index, values, format) {
    const { Slices, Rows, Columns } = this.series;
    const box = Slices.Box[index];
    const shown = box ? cropped(values, format.Columns, box, Rows, Columns) : values;
    const [rows, columns] = box ? [Rows, Columns] : [format.Rows, format.Columns];
    return new Picture(shown, rows, columns, format.Samples, Slices.Slope[index], Slices.Intercept[index], format.Inverted);
  }
}

function cropped(values, width, [top, left], rows, columns) {
  const part = new values.constructor(rows * columns);
  for (let row = 0; row < rows; row++) {
    const start = (top + row) * width + left;
    part.set(values.subarray(start, start + columns), row * columns);
  }
  return part;
}

/** A frame as it is stored; null when it is not what the header says (a compressed one among others). */
async function raw(instance, frame, format) {
  const answer = await request(`instances/${instance}/frames/${frame}/raw`);
  const buffer = await answer.arrayBuffer();
  const needed = frameBytes(format);
  return buffer.byteLength === needed || buffer.byteLength === needed + 1 ? valuesOf(buffer, format) : null;
}

/** Frames decoded by the server: `count` from each of `firsts` (a number, or several) on. */
export async function decoded(instance, firsts, count = 1) {
  const answer = await request(`instances/${instance}/pixels/${firsts}/${count}`, { busy: () => {}, retrySeconds: 0.5 });
  return answer.arrayBuffer();
}
