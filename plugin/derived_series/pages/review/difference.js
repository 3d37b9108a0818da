// The signed difference derived - parent, on the derived series' grid, with its colour bar.

import { asCanvas, differenceColour, paintDifference, place } from "./draw.js";
import { el } from "../shared/dom.js";
import { formatNumber } from "../shared/format.js";
import { pixelMap } from "./geometry.js";

/** Why there is no difference to show; null when there is one. */
export function refusal({ parent, derived, overlay, parallel }) {
  if (overlay) return "The result is a segmentation: there is no difference of values";
  if (parent.isColour || derived.isColour) return "There is no difference of colours";
  return parallel ? null : "The slices are not parallel: there is no difference to show";
}

/** {values (Float32Array, NaN where the parent has no voxel), rows, columns}; null while a picture is missing. */
export function difference(viewer) {
  const { parent, derived, sameGrid } = viewer.sides;
  if (refusal(viewer.sides)) return null;
  const [parentPicture, derivedPicture] = [viewer.pictureOf(parent), viewer.pictureOf(derived)];
  if (!parentPicture || !derivedPicture) return null;
  const last = derived.difference;
  if (last?.derivedPicture === derivedPicture && last.parentPicture === parentPicture) return last;
  const { rows, columns } = derivedPicture;
  const values = new Float32Array(rows * columns);
  if (sameGrid) {
    for (let i = 0; i < values.length; i++) values[i] = derivedPicture.valueAt(i) - parentPicture.valueAt(i);
  } else {
    const map = pixelMap(derived.stack, viewer.sliceOf(derived), parent.stack, viewer.sliceOf(parent));
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const [parentRow, parentColumn] = [0, 1].map((axis) => Math.round(map.start[axis] + row * map.byRow[axis] + column * map.byColumn[axis]));
        const inside = parentRow >= 0 && parentColumn >= 0 && parentRow < parentPicture.rows && parentColumn < parentPicture.columns;
        values[row * columns + column] = inside ? derivedPicture.value(row, column) - parentPicture.value(parentRow, parentColumn) : NaN;
      }
    }
  }
  derived.difference = { derivedPicture, parentPicture, values, rows, columns, limit: null, canvas: null };
  return derived.difference;
}

/** The size that all but 0.2 % of the differences stay below. */
function usualLimit(values) {
  const sizes = values.filter((value) => !Number.isNaN(value)).map(Math.abs).sort();
  return sizes[Math.floor(0.998 * (sizes.length - 1))] || sizes[sizes.length - 1] || 1;
}

/** Draw the difference; false while a picture is missing. */
export function drawDifference(viewer, pane, view) {
  const why = refusal(viewer.sides);
  const { derived, parent } = viewer.sides;
  const nowhere = viewer.sliceOf(derived) < 0 || viewer.sliceOf(parent) < 0;
  pane.say(why ?? (nowhere ? "Only one of the series has a slice here" : null));
  pane.node.dataset.shown = why || nowhere ? "none" : "";
  if (why || nowhere) return true;
  const current = difference(viewer);
  if (!current) return false;
  viewer.limit ??= usualLimit(current.values);
  if (current.limit !== viewer.limit) {
    current.canvas = asCanvas(paintDifference(current.values, current.rows, current.columns, viewer.limit));
    current.limit = viewer.limit;
  }
  place(pane.context, current.canvas, derived.stack, viewer.sliceOf(derived), view);
  const units = [derived, parent].map((side) => side.units);
  const caption = units[0] === units[1] ? units[0] : `different units: ${units.map((unit) => unit || "none").join(" − ")}`;
  pane.caption.textContent = `${caption}${viewer.sides.sameGrid ? "" : " (nearest voxel of the parent)"}`;
  colourBar(viewer, pane);
  pane.node.dataset.shown = derived.index(viewer.sliceOf(derived), viewer.time);
  pane.node.dataset.limit = viewer.limit;
  return true;
}

function colourBar(viewer, pane) {
  if (!pane.bar) {
    const scale = el("canvas", { width: 128, height: 12, role: "img", "aria-label": "blue: less than the parent, black: the same, orange: more" });
    const context = scale.getContext("2d");
    for (let x = 0; x < 128; x++) {
      context.fillStyle = `rgb(${differenceColour((x - 63.5) / 63.5, 1).join()})`;
      context.fillRect(x, 0, 1, 12);
    }
    pane.limit = el("input", { type: "number", step: "any", min: 0, "aria-label": "largest difference of the colour bar" });
    pane.limit.addEventListener("change", () => {
      viewer.limit = Number(pane.limit.value) > 0 ? Number(pane.limit.value) : null;
      viewer.draw();
    });
    pane.low = el("span", { class: "low" });
    pane.bar = el("span", { class: "bar" }, pane.low, scale, el("label", {}, "± ", pane.limit));
    pane.node.querySelector("header").append(pane.bar);
  }
  pane.low.textContent = `−${formatNumber(viewer.limit)}`;
  if (document.activeElement !== pane.limit) pane.limit.value = Number(viewer.limit.toPrecision(4));
}
