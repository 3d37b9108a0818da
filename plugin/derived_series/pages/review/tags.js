// The tags in which the two instances shown differ, and who set each.

import { breakable, el } from "../shared/dom.js";
import { quantity } from "../shared/format.js";
import { ask, inOneLine } from "../shared/server.js";

const PIXELS = new Set(["7fe0,0010", "7fe0,0008", "7fe0,0009"]);

/** Rows of what two headers have: {tag, name, parent, derived, kind: "same" | "changed" | "added" | "left out"}. */
export function compare(parent, derived) {
  const tags = [...new Set([...Object.keys(parent), ...Object.keys(derived)])].sort().filter((tag) => !PIXELS.has(tag));
  return tags.map((tag) => {
    const [was, is] = [parent[tag], derived[tag]];
    let kind = "changed";
    if (!is) kind = "left out";
    else if (!was) kind = "added";
    else if (JSON.stringify(was.Value) === JSON.stringify(is.Value)) kind = "same";
    return { tag, name: (is ?? was).Name, parent: text(was), derived: text(is), kind };
  });
}

/** A value as Orthanc's /instances/{id}/tags has it. */
function text(element) {
  if (!element) return "";
  const { Type, Value } = element;
  if (Type === "Sequence") {
    const inner = Value.map((item) => Object.values(item).map((one) => `${one.Name}: ${text(one)}`).join("; "));
    return `${quantity(Value.length, "item")} ${inner.map((one) => `{${one}}`).join(" ")}`.slice(0, 400);
  }
  return Type === "String" ? String(Value).slice(0, 400) : Type === "TooLong" ? "(long)" : "";
}

/** Tag -> what set it, of the explained header: "0008,103e" -> "StaticElement(...) of denoised". */
export function setters(header) {
  return new Map(
    (header ?? []).map((row) => {
      const overrode = row.Overrode?.length ? `; overrode ${row.Overrode.join(", ")}` : "";
      return [row.Tag.replace(/[()]/g, "").toLowerCase(), `${row.Blueprint}: ${row.Element}${overrode}`];
    }),
  );
}

export class Tags {
  constructor(viewer, manifest, node) {
    this.viewer = viewer;
    this.manifest = manifest;
    this.node = node;
    /** @type {(string | null)[]} the instances that are compared */
    this.instances = [];
    /** @type {Map<string, string> | null} what set each tag */
    this.header = null;
    /** @type {any[]} */
    this.rows = [];
    this.all = el("input", { type: "checkbox", on: { change: () => this.#fill() } });
    this.body = el("tbody");
    const head = el("tr", {}, ...["Tag", "Parent", "Derived", "Set by"].map((title) => el("th", { scope: "col", text: title })));
    this.status = el("p", { class: "dim", role: "status" });
    node.append(el("h2", { text: "Tags of the instances shown" }), el("label", {}, this.all, " also those that are the same"), this.status,
      el("div", { class: "scroll", tabindex: 0 }, el("table", {}, el("thead", {}, head), this.body)));
    viewer.addEventListener("drawn", () => this.show());
  }

  /** The instances that the two sides show. */
  #instances() {
    const { viewer, manifest } = this;
    const [parent, derived] = viewer.both.map((side) => {
      const slice = viewer.sliceOf(side);
      return slice < 0 ? null : side.series.Slices.Instance[side.index(slice, viewer.time)];
    });
    return [parent, manifest.Derived.Instance ?? derived];
  }

  async show() {
    if (this.node.hidden) return;
    const instances = this.#instances();
    if (this.instances.join() === instances.join()) return;
    this.instances = instances;
    this.status.textContent = "…";
    const busy = () => {}; // it waits
    try {
      this.header ??= setters(this.manifest.Provenance ? (await ask(`series/${this.manifest.Derived.ID}/provenance`, { busy })).Header?.Tags : null);
      const [parent, derived] = await Promise.all(instances.map((id) => (id ? ask(`instances/${id}/tags`, { busy }) : {})));
      if (this.instances !== instances) return; // scrolled on meanwhile
      this.rows = compare(parent, derived);
      this.#fill();
    } catch (error) {
      this.status.textContent = inOneLine(error);
    }
  }

  #fill() {
    const rows = this.rows.filter((row) => this.all.checked || row.kind !== "same");
    const count = (kind) => this.rows.filter((row) => row.kind === kind).length;
    this.status.textContent = `${count("changed")} changed, ${count("added")} added, ${count("left out")} left out, ${count("same")} the same`;
    this.body.replaceChildren(...rows.map((row) => {
      const by = this.header?.get(row.tag) ?? (row.kind === "left out" ? "no element of the blueprint names it" : "");
      const cells = [`${row.tag} ${row.name}`, row.parent, row.derived, by].map((value) => el("td", {}, breakable(value)));
      return el("tr", { "data-kind": row.kind.replace(" ", "-"), "data-tag": row.tag }, ...cells);
    }));
    this.node.dataset.rows = String(rows.length);
  }
}
