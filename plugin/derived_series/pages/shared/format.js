// Numbers and times as a reader wants them.

/** Whole numbers as they are, others with about four significant digits. */
export function formatNumber(value) {
  if (!Number.isFinite(value)) return "–";
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(3);
  return String(Number(value.toFixed(size >= 100 ? 1 : size >= 1 ? 2 : 4)));
}

/** A time of Orthanc, "20261124T221653.290098" in UTC, or of ISO 8601, by the reader's clock; "" if it is neither. */
export function formatTime(text) {
  const [year, month, day, hour, minute, second] = (/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)/.exec(text ?? "") ?? []).slice(1).map(Number);
  const date = year === undefined ? new Date(text) : new Date(Date.UTC(year, month - 1, day, hour, minute, second));
  return Number.isNaN(date.getTime()) ? "" : date.toLocaleString();
}
