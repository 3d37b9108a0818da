// Where slices and pixels are. Points are [x, y, z] in the patient's space, LPS mm. Slices ascend along the normal.

export const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
export const minus = (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
export const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
/** a + s * b */
export const along = (a, b, s) => [a[0] + s * b[0], a[1] + s * b[1], a[2] + s * b[2]];

/** Directions may differ by this, as the plugin has it. */
const SAME_ANGLE_RADIANS = 2e-3;

/** The slices of one volume: of the `Grid` of a series' document. */
export class Stack {
  constructor(grid, rows, columns) {
    this.rows = rows;
    this.columns = columns;
    this.rowDirection = grid.RowCosines;
    this.columnDirection = grid.ColumnCosines;
    this.normal = cross(grid.RowCosines, grid.ColumnCosines);
    this.rowSpacing = grid.PixelSpacing[0]; // between rows
    this.columnSpacing = grid.PixelSpacing[1]; // between columns
    this.positions = grid.Positions;
    this.distances = grid.Positions.map((position) => dot(position, this.normal));
    this.thickness = grid.SliceThickness ?? 0;
    this.isPlaced = true;
  }

  get count() {
    return this.positions.length;
  }

  /** The slice nearest to a distance along the normal. */
  nearest(distance) {
    let best = 0;
    this.distances.forEach((other, index) => {
      if (Math.abs(other - distance) < Math.abs(this.distances[best] - distance)) best = index;
    });
    return best;
  }

  /** The slice that a point is in: not further away than half the gap to the next one. -1: there is none. */
  sliceAt(point) {
    const distance = dot(point, this.normal);
    const index = this.nearest(distance);
    const off = distance - this.distances[index];
    return Math.abs(off) <= this.reach(index, off) + 1e-3 ? index : -1;
  }

  /** How far a slice reaches on the side of `off`, in mm. */
  reach(index, off) {
    if (this.count === 1) return Math.max(this.thickness, this.rowSpacing, this.columnSpacing) / 2;
    const { distances } = this;
    const up = distances[index + 1] - distances[index];
    const down = distances[index] - distances[index - 1];
    const gap = off > 0 ? up : down;
    return (Number.isFinite(gap) ? gap : Number.isFinite(up) ? up : down) / 2;
  }

  /** Row and column of a point in the plane of a slice, with fractions. */
  pixelAt(point, index) {
    const from = minus(point, this.positions[index]);
    return [dot(from, this.columnDirection) / this.rowSpacing, dot(from, this.rowDirection) / this.columnSpacing];
  }

  /** The centre of a pixel. */
  pointOf(index, row, column) {
    const down = along(this.positions[index], this.columnDirection, row * this.rowSpacing);
    return along(down, this.rowDirection, column * this.columnSpacing);
  }

  /** The nearest voxel of a point: {slice, row, column}, or null outside. */
  voxelAt(point) {
    const slice = this.sliceAt(point);
    if (slice < 0) return null;
    const [row, column] = this.pixelAt(point, slice).map(Math.round);
    const inside = row >= 0 && column >= 0 && row < this.rows && column < this.columns;
    return inside ? { slice, row, column } : null;
  }

  get centre() {
    return this.pointOf(Math.floor((this.count - 1) / 2), (this.rows - 1) / 2, (this.columns - 1) / 2);
  }

  /** The point moved along the normal to a slice. */
  moved(point, index) {
    return along(point, this.normal, this.distances[index] - dot(point, this.normal));
  }
}

/** Whether two unit vectors lie along one line, in whichever direction. */
const onOneLine = (a, b) => Math.hypot(...cross(a, b)) <= SAME_ANGLE_RADIANS;

/** Whether slices of both are in parallel planes. */
export function areParallel(a, b) {
  return onOneLine(a.normal, b.normal);
}

/** In what two grids differ, in words; empty when each voxel of one is at a voxel of the other. */
export function differences(a, b) {
  const words = [];
  if (!areParallel(a, b)) words.push("orientation of the slices");
  else if (dot(a.normal, b.normal) < 0 || dot(a.rowDirection, b.rowDirection) < 0 || !onOneLine(a.rowDirection, b.rowDirection)) words.push("orientation in the plane");
  const near = (x, y) => Math.abs(x - y) <= 1e-3 * Math.max(x, y);
  if (!near(a.rowSpacing, b.rowSpacing) || !near(a.columnSpacing, b.columnSpacing)) words.push("pixel spacing");
  if (a.rows !== b.rows || a.columns !== b.columns) words.push("rows and columns");
  if (a.count !== b.count) words.push("number of slices");
  if (words.length === 0) {
    const apart = a.positions.map((position, index) => Math.hypot(...minus(position, b.positions[index])));
    if (Math.max(...apart) > 0.05 * Math.min(a.rowSpacing, a.columnSpacing)) words.push("position");
  }
  return words;
}

/** For slice `index` of `from`, where its pixels are in slice `other` of a parallel stack: row and column there are
    start + row * byRow + column * byColumn, each [row, column]. */
export function pixelMap(from, index, to, other) {
  const at = (row, column) => to.pixelAt(from.pointOf(index, row, column), other);
  const start = at(0, 0);
  const by = (end) => [end[0] - start[0], end[1] - start[1]];
  return { start, byRow: by(at(1, 0)), byColumn: by(at(0, 1)) };
}

/** A stack for series of which one has no positions: slices follow each other by 1, whatever they are. */
export function bySequence(count, rows, columns, spacing = [1, 1]) {
  const positions = Array.from({ length: count }, (_, index) => [0, 0, index]);
  const grid = { RowCosines: [1, 0, 0], ColumnCosines: [0, 1, 0], PixelSpacing: spacing, Positions: positions };
  return Object.assign(new Stack(grid, rows, columns), { isPlaced: false });
}

/** The side of the patient that a direction points to: up to two of L/R, P/A, H/F, the strongest first. */
export function letters(direction) {
  const names = [["L", "R"], ["P", "A"], ["H", "F"]];
  return [0, 1, 2]
    .filter((axis) => Math.abs(direction[axis]) > 0.2)
    .sort((a, b) => Math.abs(direction[b]) - Math.abs(direction[a]))
    .slice(0, 2)
    .map((axis) => names[axis][direction[axis] > 0 ? 0 : 1])
    .join("");
}
