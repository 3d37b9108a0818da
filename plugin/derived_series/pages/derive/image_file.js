// What a file is, told from its first bytes before it is sent: its type, its shape, and what speaks against it.

import { formatSize } from "../shared/format.js";
import { Refusal } from "../shared/server.js";

const HEAD_BYTES = 4096;
const NPY_HEADER_BYTES = 1 << 16;
const DICOM_PREFIX_BYTES = 128;
const NIFTI_TYPES = { 2: "uint8", 4: "int16", 8: "int32", 16: "float32", 64: "float64", 128: "RGB24", 256: "int8", 512: "uint16", 768: "uint32", 1024: "int64", 1280: "uint64" };

const refuse = (message, remedy = "") => new Refusal(400, message, remedy);

/**
 * A file that a result may come in.
 * @typedef {object} ImageFile
 * @property {File} file
 * @property {any} type as the server lists them for a kind of object: Name, Suffix, Starts, Factory, Remedy
 * @property {number[] | null} shape in the order of its axes: of .npy (slice, row, column), of NIfTI (i, j, k, ...)
 * @property {string} values the type of its values; "" when it is not an image
 * @property {string} text all of it in words
 */

/**
 * Look at a file. Throws a Refusal that says what is wrong with it.
 * @param {File} file
 * @param {any[]} types of files, as the server lists them
 * @returns {Promise<ImageFile>}
 */
export async function look(file, types) {
  if (!file.size) throw refuse(`${file.name} is empty, or is a folder.`, "Choose one file.");
  const head = await bytesOf(file, HEAD_BYTES);
  const hex = [...head.subarray(0, 16)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const type = types.find(({ Starts }) => Starts.some((start) => hex.startsWith(start)));
  if (!type && ascii(head, DICOM_PREFIX_BYTES, 4) === "DICM") {
    throw refuse(`${file.name} is a DICOM file.`, "Upload it to Orthanc. A result to derive from is a NIfTI or .npy file.");
  }
  if (!type) {
    const names = types.filter(({ Factory }) => Factory).map(({ Name, Suffix }) => `${Name} (${Suffix})`);
    throw refuse(`${file.name} is not a file that a series can be made from.`, `It can be made from: ${names.join(", ")}.`);
  }
  if (!type.Factory) throw refuse(`${file.name} is not taken: ${type.Name}.`, `Instead, ${type.Remedy}.`);
  const { shape, values } = await shapeOf(file, head, type);
  const image = shape ? [`${shape.join(" × ")} voxels`, values] : [];
  return { file, type, shape, values, text: [type.Name, ...image, formatSize(file.size)].filter(Boolean).join(", ") };
}

async function bytesOf(file, count) {
  try {
    return new Uint8Array(await file.slice(0, count).arrayBuffer());
  } catch {
    throw refuse(`${file.name} cannot be read.`, "It may have been moved or changed: choose it again.");
  }
}

const ascii = (bytes, start, count) => String.fromCharCode(...bytes.subarray(start, start + count));

async function shapeOf(file, head, type) {
  if (type.Suffix === ".npy") return npyShape(file);
  if (type.Suffix === ".nii") return niftiShape(file, head);
  if (type.Suffix === ".nii.gz") return niftiShape(file, await unpacked(file), type.Suffix);
  return { shape: null, values: "" };
}

/** The header of a .npy file, as numpy.lib.format documents it. */
async function npyShape(file) {
  const bytes = await bytesOf(file, NPY_HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  const [start, length] = bytes[6] === 1 ? [10, view.getUint16(8, true)] : [12, bytes.length < 12 ? 0 : view.getUint32(8, true)];
  const header = ascii(bytes, start, length);
  const [, tuple] = /'shape':\s*\(([\d,\s]*)\)/.exec(header) ?? [];
  const [, descr] = /'descr':\s*'([<>|=]?[a-zA-Z]\d*)'/.exec(header) ?? [];
  if (tuple === undefined) throw refuse(`The header of ${file.name} cannot be read.`, "Write it with numpy.save.");
  if (!descr || descr.includes("O")) throw refuse(`${file.name} holds Python objects or records, not numbers.`, "Write one array of numbers with numpy.save.");
  const shape = tuple.split(",").map((part) => part.trim()).filter(Boolean).map(Number);
  const itemBytes = Number(/\d+$/.exec(descr)?.[0] ?? 1);
  const needed = start + length + itemBytes * shape.reduce((product, size) => product * size, 1);
  if (file.size < needed) throw refuse(`${file.name} is cut short: it has ${formatSize(file.size)} of ${formatSize(needed)}.`, "Write or copy it again.");
  const kind = { f: "float", i: "int", u: "uint", b: "bool", c: "complex" }[/[a-zA-Z]/.exec(descr)[0]] ?? "";
  return { shape, values: kind === "bool" ? kind : `${kind}${8 * itemBytes}` };
}

/** The first bytes of what a .gz file holds. */
async function unpacked(file) {
  const chunks = [];
  let count = 0;
  const reader = file.stream().pipeThrough(new DecompressionStream("gzip")).getReader();
  try {
    while (count < HEAD_BYTES) {
      const { done, value } = await reader.read();
      if (done) break;
      chunks.push(value);
      count += value.length;
    }
  } catch {
    if (!count) throw refuse(`${file.name} is damaged: it cannot be unpacked.`, "Compress or copy it again.");
  } finally {
    reader.cancel().catch(() => {});
  }
  const bytes = new Uint8Array(count);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

/** dim and datatype of NIfTI-1 and NIfTI-2, as nifti1.h and nifti2.h have them. */
function niftiShape(file, bytes, suffix = "") {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (const isLittle of [true, false]) {
    const size = bytes.length < 80 ? 0 : view.getInt32(0, isLittle);
    if (size !== 348 && size !== 540) continue;
    const dim = (index) => (size === 348 ? view.getInt16(40 + 2 * index, isLittle) : Number(view.getBigInt64(16 + 8 * index, isLittle)));
    const datatype = size === 348 ? view.getInt16(70, isLittle) : view.getInt16(12, isLittle);
    const axes = dim(0);
    if (axes < 1 || axes > 7) break;
    const shape = Array.from({ length: axes }, (_, index) => dim(index + 1));
    while (shape.length > 3 && shape.at(-1) === 1) shape.pop();
    return { shape, values: NIFTI_TYPES[datatype] ?? "" };
  }
  throw refuse(`${file.name} is not a NIfTI file${suffix ? ", compressed or not" : ""}: it lacks the header of one.`, "Write it with nibabel.save, ITK or the like.");
}

/**
 * What speaks against an array of this shape on the parent's slices; "" for nothing.
 * @param {ImageFile} image
 * @param {any} manifest of the parent: Rows, Columns, Volumes, and Slices with a column Instance
 */
export function shapeProblem({ type, shape, values }, manifest) {
  if (type.Suffix !== ".npy" || !shape || !manifest?.Rows) return "";
  const { Rows, Columns, Volumes = 1 } = manifest;
  const slices = manifest.Slices.Instance.length / Volumes;
  const grey = values === "uint8" && shape.length > 3 && shape.at(-1) === 3 && shape.at(-2) === Columns ? shape.slice(0, -1) : shape;
  const [rows, columns] = grey.slice(-2);
  const deep = grey.length > 2 ? grey.at(-3) : 1;
  if (rows === Rows && columns === Columns && deep === slices && grey.length >= 2 && grey.length <= 4) return "";
  return `The array is ${shape.join(" × ")}; on the slices of this series it has to be ${Volumes > 1 ? `${Volumes} × ` : ""}${slices} × ${Rows} × ${Columns} (${Volumes > 1 ? "volume, " : ""}slice, row, column).`;
}
