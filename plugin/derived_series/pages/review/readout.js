// The values of both sides under the cursor, and where it is.

import { el } from "../shared/dom.js";
import { formatNumber } from "../shared/format.js";

export class Readout {
  constructor(viewer, node) {
    this.viewer = viewer;
    this.node = node;
    this.parts = {};
    for (const [key, title] of [["mm", "Position (LPS)"], ["parent", "Parent"], ["derived", "Derived"], ["difference", "Difference"]]) {
      this.parts[key] = el("output", { text: "–" });
      node.append(el("span", {}, el("span", { class: "dim", text: `${title} ` }), this.parts[key]));
    }
    viewer.addEventListener("drawn", () => this.show());
  }

  show() {
    const { viewer, parts, node } = this;
    const { parent, derived, overlay } = viewer.sides;
    const { cursor } = viewer;
    const texts = { mm: "–", parent: "–", derived: "–", difference: "–" };
    const data = { mm: "", parentValue: "", derivedValue: "", differenceValue: "" };
    if (cursor) {
      const values = viewer.valuesAt(cursor);
      data.mm = cursor.map((part) => part.toFixed(3)).join(" ");
      texts.mm = `${cursor.map((part) => part.toFixed(1)).join(", ")} mm`;
      for (const side of [parent, derived]) {
        texts[side.role] = describe(values[side.role], side.units);
        data[`${side.role}Value`] = values[side.role]?.value ?? values[side.role]?.colour?.join(" ") ?? "";
      }
      const gap = values.derived?.value - values.parent?.value;
      if (overlay) {
        const voxel = overlay.stack.voxelAt(cursor);
        const labels = voxel ? overlay.labelsAt(voxel) : [];
        texts.derived = labels.join(", ") || "no segment";
        data.derivedValue = labels.join(", ");
      } else if (!Number.isNaN(gap)) {
        const units = parent.units === derived.units ? ` ${derived.units}` : "";
        texts.difference = `${gap > 0 ? "+" : ""}${formatNumber(gap)}${units}`;
        data.differenceValue = String(gap);
      }
    }
    for (const [key, text] of Object.entries(texts)) parts[key].textContent = text;
    Object.assign(node.dataset, data);
  }
}

function describe(voxel, units) {
  if (!voxel) return "outside";
  const place = `(slice ${voxel.slice + 1}, row ${voxel.row + 1}, column ${voxel.column + 1})`;
  if (voxel.colour) return `red ${voxel.colour[0]}, green ${voxel.colour[1]}, blue ${voxel.colour[2]} ${place}`;
  return voxel.value === undefined ? `… ${place}` : `${formatNumber(voxel.value)} ${units} ${place}`;
}
