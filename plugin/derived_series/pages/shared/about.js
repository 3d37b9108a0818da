// Whose a series is and what it shows, asked at the series' own addresses: whoever may not see it gets nothing.

import { ask, isPassing } from "./server.js";

const SIGNED_OUT = 401;

const known = new Map();

/**
 * The patient's and the series' main tags; empty for whoever may not see the series, and when it is gone.
 * @param {string} series Orthanc's identifier
 * @returns {Promise<any>} with ID of the series, and IsThere
 */
export function about(series) {
  if (!known.has(series)) known.set(series, read(series));
  return known.get(series);
}

async function read(series) {
  const path = `series/${encodeURIComponent(series)}`;
  const [whole, patient] = await Promise.all([path, `${path}/patient`].map((each) => ask(each).catch((error) => {
    if (isPassing(error) || error.status === SIGNED_OUT) known.delete(series); // it is asked again
    return null;
  })));
  return { ID: series, IsThere: Boolean(whole), ...patient?.MainDicomTags, ...whole?.MainDicomTags };
}
