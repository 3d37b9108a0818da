// The jobs that the filters let through, newest first. The state and the pipeline are in the list of all jobs; patients,
// series, users and errors are asked for job by job, at addresses that show them to whoever may see them.

import { formatTime, personName, seriesText } from "../shared/format.js";
import { isOver } from "../shared/page.js";
import { ask } from "../shared/server.js";
import { JobDetails, nameOf, userOf, whatOf } from "./job_row.js";

const CHUNK_JOBS = 100; // of one question
const TOGETHER_JOBS = 10; // whose details are asked for at once
const FARTHEST_JOBS = 2000; // that are looked through before the user is asked to narrow the search

/** What the reader looks for. @typedef {{state: string, pipeline: string, patient: string, text: string}} Filter */

export const isEmpty = (/** @type {Filter} */ filter) => !Object.values(filter).some(Boolean);

const JOB_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

const matches = (text, words) => words.toLowerCase().split(/\s+/).every((word) => text.toLowerCase().includes(word));

/** Whether the list alone lets a job through. */
function fitsList({ state, pipeline }, job) {
  if (state === "Open" ? isOver(job) : state && job.State !== state) return false;
  return !pipeline || nameOf(job.Content.Request) === pipeline;
}

/** Whether what was read of a job lets it through. */
function fitsDetails({ patient, text }, job, parent) {
  const person = [personName(parent.PatientName), parent.PatientName, parent.PatientID].filter(Boolean).join(" ");
  if (patient && !matches(person, patient)) return false;
  const { Error: wrong, Result } = job.Content;
  const all = [job.ID, whatOf(job), userOf(job), formatTime(job.CreationTime), parent.IsThere && seriesText(parent), wrong?.Message, ...(Result?.Warnings ?? [])];
  return !text || matches(all.filter(Boolean).join(" "), text);
}

/** Jobs with what was read of them, kept while the page is open. */
export class JobSearch {
  constructor() {
    /** @type {Map<string, JobDetails>} */
    this.details = new Map();
    this.failuresKey = "";
    /** @type {any[]} */
    this.newestFailures = [];
  }

  detailsOf(id) {
    if (!this.details.has(id)) this.details.set(id, new JobDetails());
    return this.details.get(id);
  }

  /**
   * A part of the jobs that a filter lets through.
   * @param {Filter} filter
   * @param {number} total how many jobs there are
   * @param {number} skip so many of the newest are passed over
   * @param {number} most
   * @returns {Promise<{jobs: any[], isLast: boolean, isCut: boolean}>} `isCut`: older jobs were not looked at
   */
  async page(filter, total, skip, most) {
    if (isEmpty(filter)) {
      const jobs = await chunk(total - skip, most);
      return { jobs, isLast: skip + jobs.length >= total, isCut: false };
    }
    if (JOB_ID.test(filter.text)) return { jobs: await named(filter), isLast: true, isCut: false };
    const { through, end } = await this.#collect(filter, total, skip + most + 1); // one more tells whether there are more
    const isLast = through.length <= skip + most;
    return { jobs: through.slice(skip, skip + most), isLast, isCut: isLast && end > 0 };
  }

  /** The newest jobs that a filter lets through, so many of them; `end`: so many of the oldest were not looked at. */
  async #collect(filter, total, wanted) {
    const through = [];
    let end = total;
    for (; end > 0 && through.length < wanted && total - end < FARTHEST_JOBS; end -= CHUNK_JOBS) {
      const listed = (await chunk(end, CHUNK_JOBS)).filter((job) => fitsList(filter, job));
      for (let index = 0; index < listed.length && through.length < wanted; index += TOGETHER_JOBS) {
        through.push(...(await this.#judged(filter, listed.slice(index, index + TOGETHER_JOBS))));
      }
    }
    return { through, end };
  }

  async #judged(filter, listed) {
    if (!filter.patient && !filter.text) return listed;
    const fits = await Promise.all(listed.map(async (job) => {
      const details = this.detailsOf(job.ID);
      const whole = await details.read(job);
      return fitsDetails(filter, whole, details.parent);
    }));
    return listed.filter((_, index) => fits[index]);
  }

  /** The newest failures, as they are listed; looked for again when the numbers of jobs have changed. */
  async failures(total, there, most) {
    const key = `${total} ${there}`;
    if (this.failuresKey !== key) {
      const filter = { state: "Failure", pipeline: "", patient: "", text: "" };
      this.newestFailures = there ? (await this.#collect(filter, total, Math.min(most, there))).through : [];
      this.failuresKey = key;
    }
    return this.newestFailures;
  }
}

/** The job whose identifier is the text of a filter, however old it is, if there is one and the rest lets it through. */
async function named(filter) {
  const job = await ask(`derived-series/jobs/${filter.text}`).catch((error) => {
    if (error.status === 404) return null;
    throw error;
  });
  return job && fitsList(filter, job) ? [job] : [];
}

/** Jobs before the one with this number, counted from the oldest; newest first. */
async function chunk(end, most) {
  const since = Math.max(0, end - most);
  const limit = end - since;
  return limit > 0 ? (await ask(`derived-series/jobs?expand&since=${since}&limit=${limit}`)).reverse() : [];
}
