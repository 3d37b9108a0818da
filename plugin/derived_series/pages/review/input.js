// Mouse and keyboard. Everything that the mouse can do has a key.

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }; // row, column

export const HELP = [
  ["↑ ↓, wheel", "slice by slice, both sides"],
  ["Page Up, Page Down", "ten slices"],
  ["Home, End", "first, last slice"],
  ["← →", "volume by volume (4D)"],
  ["Shift + arrows", "move the cursor pixel by pixel and read the values"],
  ["+ −, Ctrl + wheel", "zoom"],
  ["Ctrl + arrows, drag", "pan"],
  ["W + arrows, W + drag, right drag", "window: up and down the centre, left and right the width"],
  ["1 to 8", "window presets"],
  ["I", "invert"],
  ["F, Space", "fade, flicker between parent and derived"],
  ["D", "signed difference"],
  ["H, T", "histograms, tags"],
  ["R", "reset"],
  ["?", "this list"],
];

/** Bind mouse and keyboard. `actions`: key -> function, for what is beside the pictures. */
export function listen(viewer, actions) {
  const heldKeys = new Set();
  window.addEventListener("keyup", (event) => heldKeys.delete(event.key.toLowerCase()));
  window.addEventListener("blur", () => heldKeys.clear());
  document.addEventListener("keydown", (event) => {
    const { key } = event;
    const target = /** @type {Element} */ (event.target);
    if (target.closest("input:not([type=range]):not([type=checkbox]), select, textarea")) return;
    if (target.closest("input") && key.startsWith("Arrow")) return;
    if (target.closest("button, a, summary, input") && [" ", "Enter"].includes(key)) return;
    if (event.altKey || event.metaKey || (event.ctrlKey && !key.startsWith("Arrow"))) return;
    heldKeys.add(key.toLowerCase());
    if (pressed(viewer, event, heldKeys, actions)) event.preventDefault();
  });
  for (const pane of Object.values(viewer.panes)) mouse(viewer, pane, heldKeys);
}

function pressed(viewer, event, heldKeys, actions) {
  const { key } = event;
  const step = STEPS[key];
  if (step && event.shiftKey) return moveCursor(viewer, step);
  if (step && event.ctrlKey) return viewer.pan(viewer.active, -40 * step[1], -40 * step[0]) ?? true;
  if (step && heldKeys.has("w")) return viewer.nudgeWindow(viewer.active, -0.05 * step[0], 0.1 * step[1]) ?? true;
  const count = viewer.active.stack.count;
  const keys = {
    ArrowUp: () => viewer.scroll(1), ArrowDown: () => viewer.scroll(-1),
    PageUp: () => viewer.scroll(10), PageDown: () => viewer.scroll(-10),
    Home: () => viewer.scroll(-count), End: () => viewer.scroll(count),
    ArrowLeft: () => viewer.setTime(viewer.time - 1), ArrowRight: () => viewer.setTime(viewer.time + 1),
    "+": () => viewer.zoomBy(1.25), "=": () => viewer.zoomBy(1.25), "-": () => viewer.zoomBy(0.8),
    r: () => viewer.reset(), f: () => viewer.setMode("fade"), d: () => viewer.setMode("difference"), " ": () => viewer.flicker(),
    i: () => { viewer.inverted = !viewer.inverted; viewer.draw(); },
    Escape: () => { if (viewer.mode !== "side") viewer.setMode("side"); },
    ...actions,
  };
  if (/^[1-8]$/.test(key)) {
    const names = [...viewer.panes[viewer.active.role].presets.options].map((option) => option.value).filter(Boolean);
    if (names[key - 1]) viewer.preset(viewer.active, names[key - 1]);
    return true;
  }
  const action = keys[key] ?? keys[key.toLowerCase()];
  if (!action) return false;
  action();
  return true;
}

/** The cursor to the next pixel of the active side; it starts in the middle of the view. */
function moveCursor(viewer, [down, across]) {
  const { stack } = viewer.active;
  const slice = Math.max(viewer.sliceOf(viewer.active), 0);
  const [row, column] = stack.pixelAt(viewer.cursor ?? viewer.point, slice).map(Math.round);
  const first = viewer.cursor === null;
  const within = (value, count) => Math.min(Math.max(value, 0), count - 1);
  viewer.cursor = stack.pointOf(slice, within(row + (first ? 0 : down), stack.rows), within(column + (first ? 0 : across), stack.columns));
  viewer.draw();
  return true;
}

function mouse(viewer, pane, heldKeys) {
  const { canvas, side } = pane;
  let from = null;
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("pointerdown", (event) => {
    canvas.focus({ preventScroll: true });
    viewer.active = side;
    canvas.setPointerCapture(event.pointerId);
    from = { x: event.clientX, y: event.clientY, windowing: event.button === 2 || heldKeys.has("w") };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (from) {
      const [dx, dy] = [event.clientX - from.x, event.clientY - from.y];
      Object.assign(from, { x: event.clientX, y: event.clientY });
      if (from.windowing) viewer.nudgeWindow(side, -dy / 200, dx / 200);
      else viewer.pan(side, dx, dy);
    }
    point(event);
  });
  const point = (event) => {
    const box = canvas.getBoundingClientRect();
    const at = viewer.viewOf(pane).toPoint(event.clientX - box.left, event.clientY - box.top);
    const slice = viewer.sliceOf(side);
    viewer.cursor = slice < 0 ? at : side.stack.moved(at, slice);
    viewer.draw();
  };
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { from = null; });
  canvas.addEventListener("pointerleave", () => {
    if (from) return;
    viewer.cursor = null;
    viewer.draw();
  });
  let turned = 0;
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.ctrlKey) return viewer.zoomBy(event.deltaY < 0 ? 1.1 : 1 / 1.1);
    turned += event.deltaMode === 1 ? event.deltaY * 40 : event.deltaY;
    const steps = Math.trunc(turned / 80);
    if (steps) viewer.scroll(-Math.sign(steps) * Math.min(Math.abs(steps), 5), side);
    turned -= steps * 80;
  }, { passive: false });
}
