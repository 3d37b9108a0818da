// Numbers, sizes, times and names as a reader wants them: dates and times by the reader's clock, in the reader's language.

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
  return Number.isNaN(date.getTime()) ? "" : date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

/** A date of DICOM, "20261124", in the reader's language; as it is if it is not one. */
export function formatDate(text) {
  const [year, month, day] = (/^(\d{4})(\d\d)(\d\d)$/.exec(text ?? "") ?? []).slice(1).map(Number);
  if (year === undefined) return text ?? "";
  const date = new Date(Date.UTC(year, month - 1, day));
  return date.getUTCDate() === day ? date.toLocaleDateString(undefined, { dateStyle: "medium", timeZone: "UTC" }) : text;
}

/** How long something took: "0.4 s", "12 s", "3 min 5 s", "2 h 10 min". */
export function formatDuration(seconds) {
  if (!Number.isFinite(seconds) || seconds < 0) return "";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** Units of UCUM that are written in another way where people read them; "1" is that of a number without one. */
const READ_UNITS = Object.entries({
  "[hnsf'U]": "HU", "[arb'U]": "a.u.", "mm[Hg]": "mmHg", "Cel": "°C", "{SUVbw}g/ml": "g/ml (SUVbw)", "g/ml{SUVbw}": "g/ml (SUVbw)",
  "mm2": "mm²", "cm2": "cm²", "mm3": "mm³", "cm3": "cm³", "um": "µm",
});

/** A unit of UCUM as people read it: "HU" for "[hnsf'U]", "" for none. */
export function unitText(unit) {
  if (!unit || unit === "1") return "";
  const whole = READ_UNITS.find(([code]) => code === unit);
  if (whole) return whole[1];
  return unit.split(/([./])/).map((part) => READ_UNITS.find(([code]) => code === part)?.[1] ?? part).join("");
}

/** A number of bytes: "512 bytes", "3.4 MB". */
export function formatSize(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  const power = Math.min(3, Math.floor(Math.log10(bytes) / 3));
  return `${formatNumber(Number((bytes / 1000 ** power).toPrecision(3)))} ${["", "kB", "MB", "GB"][power]}`;
}

/** A person name of DICOM, "Doe^Jane", without its carets. */
export const personName = (text) => (text ?? "").replace(/[\^=\s]+/g, " ").trim();

/** A series in a few words: its number, modality and description. */
export function seriesText({ SeriesNumber, Modality, SeriesDescription }) {
  return [SeriesNumber, Modality, SeriesDescription || "series without a description"].filter((part) => part || part === 0).join(" · ");
}

/** "1 series" and "2 series"; "1 instance" and "2 instances". */
export const quantity = (number, noun, nouns = `${noun}s`) => `${number.toLocaleString()} ${number === 1 ? noun : nouns}`;
