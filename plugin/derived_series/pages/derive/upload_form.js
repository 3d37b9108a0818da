// The form for a result that is there already, as a file: which file, and what kind of series it becomes.

import { el } from "../shared/dom.js";
import { formatSize } from "../shared/format.js";
import { problem } from "../shared/page.js";
import { ask, Refusal } from "../shared/server.js";
import { look, shapeProblem } from "./image_file.js";

const MEGABYTE = 1 << 20;
const TABLES = ["totalsegmentator", "freesurfer"]; // of names of labels that the server has

/** How many bytes the server takes as one body: the plugin's bound and Orthanc's, where it has one. */
async function largestBody() {
  const [status, system] = await Promise.all(["derived-series/status", "system"].map((path) => ask(path).catch(() => ({}))));
  const bounds = [status.MaxImageMB, system.MaximumRequestBodySizeMB].filter((megabytes) => megabytes > 0);
  return bounds.length ? Math.min(...bounds) * MEGABYTE : Infinity;
}

/** Groups of blueprints in the order in which a person looks for them. */
function groupOf({ Kind }) {
  if (!Kind) return "Others";
  if (Kind.Files.some(({ Suffix }) => Suffix === ".pdf" || Suffix === ".json")) return "Documents";
  if (Kind.Keys.includes("Segments")) return "Labels";
  return Kind.Modality ? "Images like the parent" : "Maps and other images";
}

export class UploadForm {
  /**
   * @param {string} series the parent's identifier
   * @param {string} modality the parent's
   * @param {() => void} changed is called when another file or blueprint is chosen
   */
  constructor(series, modality, changed) {
    this.series = series;
    this.modality = modality;
    this.changed = changed;
    /** @type {import("./image_file.js").ImageFile | null} */
    this.image = null;
    /** @type {Promise<void> | null} */
    this.opened = null;
    /** @type {Promise<any> | null} the parent's slices */
    this.manifest = null;
    this.picker = el("input", { type: "file", id: "image-file", "aria-describedby": "image-about image-error", on: { change: () => this.take([...this.picker.files]) } });
    this.about = el("p", { id: "image-about", class: "dim", role: "status" });
    this.trouble = el("div", { id: "image-error", role: "alert" });
    this.blueprint = el("select", { id: "image-blueprint", on: { change: () => this.#check() } });
    this.description = el("input", { id: "image-description", maxlength: 64 });
    this.grid = el("select", { id: "image-grid" }, el("option", { value: "Own", text: "leave it where it is" }), el("option", { value: "Parent", text: "resample it to the parent's grid" }));
    this.units = el("input", { id: "image-units", maxlength: 16, placeholder: "mm2/s" });
    this.table = el("select", { id: "image-table" }, el("option", { value: "", text: "as the blueprint says" }), ...TABLES.map((name) => el("option", { text: name })));
    const field = (control, text, help = "") => el("div", { class: "field" }, el("label", { for: control.id, text }), control, el("span", { class: "dim", text: help }));
    this.unitsField = field(this.units, "Unit", "in UCUM; 1 for none");
    this.tableField = field(this.table, "Names of the labels");
    this.nodes = [
      el("div", { class: "drop" }, el("label", { for: "image-file", text: "Drop a NIfTI or .npy file here, or choose one: " }), this.picker, this.about, this.trouble),
      el("div", { class: "field wide" }, el("label", { for: "image-blueprint", text: "Blueprint" }), this.blueprint),
      field(this.description, "Series description", "if it is to have one of its own"),
      field(this.grid, "On another grid"),
      this.unitsField,
      this.tableField,
    ];
  }

  /** Ask the server once what there is. */
  async open() {
    this.opened ??= this.#open();
    return this.opened;
  }

  async #open() {
    const [blueprints, largest] = await Promise.all([ask("derived-series/blueprints?expand"), largestBody()]);
    this.largest = largest;
    this.blueprints = new Map(blueprints.map((each) => [each.Name, each]));
    const all = blueprints.flatMap(({ Kind }) => Kind?.Files ?? []);
    this.types = [...new Map(all.map((type) => [type.Name, type])).values()];
    const groups = new Map(["Images like the parent", "Labels", "Maps and other images", "Documents", "Others"].map((name) => [name, []]));
    for (const each of blueprints) {
      if (each.Kind?.Modality && each.Kind.Modality !== this.modality) continue; // of another modality than the parent
      groups.get(groupOf(each)).push(el("option", { value: each.Name, text: `${each.Name}: ${each.Description}` }));
    }
    this.blueprint.replaceChildren(...[...groups].filter(([, options]) => options.length).map(([label, options]) => el("optgroup", { label }, ...options)));
    this.#check();
  }

  get #kind() {
    return this.blueprints?.get(this.blueprint.value)?.Kind ?? null;
  }

  /** Take the files that were dropped or chosen: one. */
  async take(files) {
    this.image = null;
    this.about.textContent = "";
    this.trouble.replaceChildren();
    this.changed();
    if (!files.length) return;
    try {
      await this.open();
      if (files.length > 1) throw new Refusal(400, `These are ${files.length} files.`, "Take one: all slices of a result are in one NIfTI or .npy file.");
      const [file] = files;
      if (file.size > this.largest) {
        throw new Refusal(413, `${file.name} has ${formatSize(file.size)}; this server takes ${formatSize(this.largest)} at most.`, "MaxImageMB of the plugin, or MaximumRequestBodySizeMB of Orthanc, is its bound.");
      }
      this.image = await look(file, this.types);
      this.about.textContent = `${file.name}: ${this.image.text}`;
      this.#choose();
      await this.#check();
    } catch (error) {
      this.#refuse(error);
    }
  }

  #refuse(error) {
    this.trouble.replaceChildren(problem(error));
    this.picker.toggleAttribute("aria-invalid", true);
  }

  /** A blueprint that is made from such a file, unless the one that is chosen is. */
  #choose() {
    const isReadBy = (Kind) => !Kind || Kind.Files.some(({ Name }) => Name === this.image.type.Name);
    if (isReadBy(this.#kind)) return;
    const fitting = [...this.blueprint.options].find(({ value }) => isReadBy(this.blueprints.get(value).Kind));
    if (fitting) this.blueprint.value = fitting.value;
  }

  /** Show what speaks against the file, as far as it can be known before it is sent. */
  async #check() {
    const kind = this.#kind;
    this.unitsField.hidden = !kind?.Keys.includes("Units");
    this.tableField.hidden = !kind?.Keys.includes("Segments");
    this.picker.removeAttribute("aria-invalid");
    this.trouble.replaceChildren();
    this.changed();
    if (!this.image) return "";
    const wrong = this.#wrongType(kind) || (await this.#wrongShape(kind));
    if (wrong) this.#refuse(wrong);
    return wrong;
  }

  #wrongType(kind) {
    if (!kind || kind.Files.some(({ Name, Factory }) => Factory && Name === this.image.type.Name)) return null;
    const names = kind.Files.filter(({ Factory }) => Factory).map(({ Suffix }) => Suffix);
    return { message: `The blueprint ${this.blueprint.value} is not made from a ${this.image.type.Name}.`, remedy: `It is made from: ${names.join(", ")}. Choose another blueprint or another file.` };
  }

  async #wrongShape(kind) {
    if (!kind?.OnParent || this.image.type.Suffix !== ".npy") return null;
    this.manifest ??= ask(`series/${this.series}/manifest`).catch(() => null); // where it cannot be read, the server judges
    const message = shapeProblem(this.image, await this.manifest);
    return message ? { message, remedy: "A NIfTI file with an affine may have another grid than its parent." } : null;
  }

  /** The file and where it is sent; null when something is wrong: the page says what. */
  async read() {
    if (!this.image) {
      if (!this.trouble.childNodes.length) this.#refuse({ message: "Choose a file first." });
      this.picker.focus();
      return null;
    }
    if (await this.#check()) {
      this.picker.focus();
      return null;
    }
    const kind = this.#kind;
    const factory = kind ? kind.Factory : this.image.type.Factory;
    const options = {
      ...(this.description.value.trim() && { SeriesDescription: this.description.value.trim() }),
      ...(this.grid.value === "Parent" && { Grid: "Parent" }),
      ...(!this.unitsField.hidden && this.units.value.trim() && { Units: this.units.value.trim() }),
      ...(!this.tableField.hidden && this.table.value && { Segments: this.table.value }),
    };
    return { path: `series/${this.series}/derive/${encodeURIComponent(this.blueprint.value)}/${encodeURIComponent(factory)}`, file: this.image.file, options };
  }
}

/**
 * Have files that are dropped onto an element taken; `dragging` marks the element while one is over it.
 * @param {EventTarget & {classList?: DOMTokenList}} place
 * @param {string} mark
 * @param {(files: File[]) => void} take
 */
export function onDrop(place, mark, take) {
  const element = place instanceof Document ? place.body : /** @type {HTMLElement} */ (place);
  const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  place.addEventListener("dragover", (/** @type {DragEvent} */ event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    element.classList.add(mark);
  });
  place.addEventListener("dragleave", (/** @type {DragEvent} */ event) => {
    if (!element.contains(/** @type {Node} */ (event.relatedTarget))) element.classList.remove(mark);
  });
  place.addEventListener("drop", (/** @type {DragEvent} */ event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    event.stopPropagation();
    element.classList.remove(mark);
    take([...event.dataTransfer.files]);
  });
}
