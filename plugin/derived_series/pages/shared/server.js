// Questions to Orthanc and the plugin: addresses, answers, and refusals with what can be done about them.

/** The root of Orthanc's REST API, wherever a proxy has put it: this is {root}/derived-series/app/shared/server.js. */
const ROOT = new URL("../../../", import.meta.url);

const RETRY_SECONDS = 2; // where the server does not say when to ask again
const LONGEST_WAIT_SECONDS = 200;
const BUSY = 503;

/** The address of a path below the root. */
export const at = (path) => new URL(path, ROOT).href;

export const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** An answer that is an error. `remedy` and `details` are the server's. */
export class Refusal extends Error {
  constructor(status, message, remedy = "", details = "") {
    super(message);
    this.status = status;
    this.remedy = remedy;
    this.details = details;
  }
}

/** An error and its remedy in one line. */
export const inOneLine = ({ message, remedy = "" }) => (remedy ? `${message} (${remedy})` : message);

/**
 * The answer to a request. Throws a Refusal.
 * @param {string} path below the root
 * @param {object} [options]
 * @param {string} [options.method]
 * @param {any} [options.json] the body
 * @param {(reason: string) => void} [options.busy] waits while the server is busy (503), and is called with why;
 *   without it, a busy server is an error
 * @param {number} [options.retrySeconds] waits so long between two questions, whatever the server proposes
 * @returns {Promise<Response>}
 */
export async function request(path, { method = "GET", json, busy, retrySeconds } = {}) {
  const headers = json === undefined ? undefined : { "Content-Type": "application/json" };
  for (let waited = 0; ; ) {
    const answer = await fetch(at(path), { method, headers, body: json === undefined ? undefined : JSON.stringify(json) });
    if (answer.ok) return answer;
    const { Message, Remedy, Details } = await answer.json().catch(() => ({}));
    const refusal = new Refusal(answer.status, Message || `${path}: ${answer.status} ${answer.statusText}`, Remedy, Details);
    const seconds = retrySeconds ?? Number(answer.headers.get("Retry-After") ?? RETRY_SECONDS);
    waited += seconds;
    if (answer.status !== BUSY || !busy || waited > LONGEST_WAIT_SECONDS) throw refusal;
    busy(refusal.message);
    await pause(1000 * seconds);
  }
}

/** The JSON of an answer; the options are those of `request`. An answer that is not JSON, as Orthanc gives to a DELETE,
    is an empty object. */
export async function ask(path, options = {}) {
  const answer = await request(path, options);
  return answer.json().catch(() => ({}));
}
