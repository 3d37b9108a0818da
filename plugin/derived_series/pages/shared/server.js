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

/** Status of a Refusal for a server that gives no answer at all. */
const AWAY = 0;

/** Whether the same question may well be answered a little later: the server restarts, is busy or out of reach. */
export const isPassing = ({ status }) => status === AWAY || status >= 500;

/** What is wrong with a request, where the server does not say it in words of its own. */
const PLAIN = {
  [AWAY]: ["Orthanc does not answer.", "It may be restarting, or the connection to it is lost."],
  401: ["You are not signed in to Orthanc, or your session is over.", "Sign in again: in another tab, or by reloading this page."],
  403: ["You do not have the permission for this.", "Whoever administers this Orthanc can give it to you."],
  413: ["What was sent is larger than Orthanc, or a proxy in front of it, takes.", "MaximumRequestBodySizeMB in Orthanc's configuration is its bound."],
};

function refusalOf(path, status, text, { Message, Remedy, Details } = /** @type {any} */ ({})) {
  const [message, remedy] = PLAIN[status] ?? [`${path}: ${status} ${text}`, ""];
  return new Refusal(status, Message || message, Remedy ?? (Message ? "" : remedy), Details);
}

/** An answer to a question, or a Refusal when there is none; where a proxy leads to its page for signing in, that. */
async function answerTo(path, options) {
  const answer = await fetch(at(path), options).catch(() => { throw refusalOf(path, AWAY, ""); });
  const isPage = (answer.headers.get("Content-Type") ?? "").startsWith("text/html");
  if (answer.redirected && isPage) throw refusalOf(path, 401, "");
  return answer;
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
    const answer = await answerTo(path, { method, headers, body: json === undefined ? undefined : JSON.stringify(json) });
    if (answer.ok) return answer;
    const refusal = refusalOf(path, answer.status, answer.statusText, await answer.json().catch(() => ({})));
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

/**
 * POST a file as the body itself: Orthanc takes forms of several parts apart. Throws a Refusal.
 * @param {string} path below the root
 * @param {Blob} file
 * @param {object} options
 * @param {object} options.details sent along as JSON in the header X-Derived-Series-Options
 * @param {(part: number) => void} options.sent is called with the part that is on its way, from 0 to 1
 * @param {AbortSignal} options.signal ends it; a DOMException is thrown then
 * @returns {Promise<any>} the JSON of the answer
 */
export function upload(path, file, { details, sent, signal }) {
  const ascii = JSON.stringify(details).replace(/[^\x20-\x7e]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`);
  return new Promise((resolve, reject) => {
    const asked = new XMLHttpRequest(); // fetch does not tell how much was sent
    asked.open("POST", at(path));
    asked.responseType = "text";
    asked.setRequestHeader("Content-Type", "application/octet-stream");
    asked.setRequestHeader("X-Derived-Series-Options", ascii);
    asked.upload.addEventListener("progress", ({ loaded, total }) => sent(total ? loaded / total : 0));
    asked.addEventListener("load", () => {
      const document = parsed(asked.responseText);
      if (asked.status >= 200 && asked.status < 300) resolve(document);
      else reject(refusalOf(path, asked.status, asked.statusText, document));
    });
    asked.addEventListener("error", () => reject(refusalOf(path, AWAY, "")));
    asked.addEventListener("abort", () => reject(signal.reason));
    signal.addEventListener("abort", () => asked.abort());
    asked.send(file);
  });
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
