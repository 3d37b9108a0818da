// The bar in which a derived series is accepted or rejected. It fills the element #verdict of the page that loads it.

import { byId, el } from "../shared/dom.js";
import { formatTime } from "../shared/format.js";
import { ask, at, inOneLine } from "../shared/server.js";

const STATES = {
  Unreviewed: "Not reviewed",
  Accepted: "Accepted",
  Rejecting: "Is being rejected…",
  Rejected: "Rejected",
};
const REMEMBERED = "derived-series-user";
const POLL_MILLISECONDS = 1000;

/** Who judged, when and why; one sentence. */
function sentence(verdict) {
  if (!verdict.User) return "";
  const parts = [`by ${verdict.User}`];
  const time = formatTime(verdict.Time);
  if (time) parts.push(`on ${time}`);
  const why = [verdict.Meaning, verdict.Reason].filter(Boolean).join(": ");
  return parts.join(" ") + (why ? `. ${why}` : "");
}

function destinations(states) {
  const lines = Object.entries(states ?? {}).map(([name, state]) => `${name}: ${state.toLowerCase()}`);
  return lines.length ? `Destinations: ${lines.join(", ")}` : "";
}

/** Links to the other series of the same job, each with its state; this one is among them. */
function siblingLinks(series, siblings) {
  return siblings.map(({ Output, ID, State }) => {
    const text = `${Output}: ${(STATES[State] ?? State).toLowerCase()}`;
    if (ID === series) return el("span", { text, "aria-current": "page" });
    return el("a", { text, href: encodeURIComponent(ID) });
  });
}

/**
 * Show the verdict on a series, and let the user give one.
 * @param {HTMLElement} place is filled
 * @param {string} series Orthanc's identifier
 */
export function showVerdict(place, series) {
  const address = `series/${encodeURIComponent(series)}/review`;
  const state = el("p", { class: "verdict-state", role: "status" });
  const who = el("p", { class: "dim" });
  const sent = el("p", { class: "dim verdict-destinations" });
  const trouble = el("p", { class: "error note", role: "alert", hidden: true });
  const accept = el("button", { type: "button", text: "Accept…", "aria-expanded": "false" });
  const reject = el("button", { type: "button", text: "Reject…", "aria-expanded": "false" });
  const viewer = el("a", { text: "Open in OHIF", target: "_blank", rel: "noopener", hidden: true });
  const siblings = el("nav", { class: "dim verdict-siblings", "aria-label": "Series of the same job", hidden: true });
  const form = el("form", { hidden: true });
  const bar = el("section", { class: "verdict", "aria-label": "Verdict" });
  bar.append(state, accept, reject, viewer, siblings, who, sent, form, trouble);
  place.replaceChildren(bar);
  /** @type {any} the verdict as the server gave it last */
  let current = { Reasons: [] };

  /** Show an error; null takes it away. */
  function showError(error) {
    trouble.textContent = error ? inOneLine(error) : "";
    trouble.hidden = !error;
  }

  function show(verdict) {
    const changed = current.State !== undefined && current.State !== verdict.State;
    current = verdict;
    if (changed) close(); // the form asks for what is no longer to be decided
    state.textContent = STATES[verdict.State] ?? verdict.State;
    state.dataset.state = verdict.State;
    who.textContent = sentence(verdict);
    sent.textContent = [destinations(verdict.Destinations), ...(verdict.Warnings ?? [])].filter(Boolean).join(". ");
    siblings.replaceChildren(...siblingLinks(series, verdict.Siblings ?? []).flatMap((each) => [each, " "]));
    siblings.hidden = (verdict.Siblings ?? []).length < 2;
    accept.hidden = verdict.State !== "Unreviewed";
    reject.hidden = verdict.State === "Rejected" || verdict.State === "Rejecting";
    viewer.hidden = !verdict.Viewer;
    if (verdict.Viewer) viewer.href = at(verdict.Viewer);
    const rejecting = [verdict, ...(verdict.Siblings ?? [])].some(({ State }) => State === "Rejecting");
    const waiting = rejecting || Object.values(verdict.Destinations ?? {}).includes("Pending");
    if (waiting) setTimeout(refresh, POLL_MILLISECONDS);
  }

  async function refresh() {
    try {
      const before = current.State;
      show(await ask(address));
      const elsewhere = before !== undefined && before !== "Rejecting" && before !== current.State;
      if (elsewhere) showError(new Error(`${STATES[current.State] ?? current.State} in another window ${sentence(current)}`.trim()));
      else if (before === undefined) showError(null);
    } catch (error) {
      showError(error);
    }
  }

  function close() {
    form.hidden = true;
    for (const button of [accept, reject]) button.setAttribute("aria-expanded", "false");
  }

  function open(button, word) {
    showError(null);
    close();
    button.setAttribute("aria-expanded", "true");
    const code = el("select", { name: "code", required: true },
      el("option", { value: "", text: "Choose a reason" }),
      ...current.Reasons.map((reason) => el("option", { value: reason.Code, text: reason.Meaning })));
    const text = el("textarea", { name: "reason", rows: 2, maxlength: 4096 });
    const user = el("input", {
      name: "user",
      required: true,
      maxlength: 64,
      pattern: "[^\\\\=]*", // as a person name of DICOM
      autocomplete: "name",
      readonly: Boolean(current.AuthenticatedUser),
      value: current.AuthenticatedUser ?? localStorage.getItem(REMEMBERED) ?? "",
    });
    const send = el("button", { type: "submit", text: word });
    const cancel = el("button", { type: "button", text: "Cancel" });
    /** @type {HTMLElement[]} */
    const rows = word === "Reject" ? [el("label", { text: "Reason" }, code)] : [];
    rows.push(
      el("label", { text: word === "Reject" ? "What is wrong" : "Remark" }, text),
      el("label", { text: "Your name" }, user),
      send,
      cancel,
    );
    if (word === "Reject") {
      const note = "A rejection is final. It is written into the study as a Key Object Selection document.";
      rows.push(el("p", { class: "dim note", text: note }));
    }
    const all = el("input", { type: "checkbox", name: "all" });
    if ((current.Siblings ?? []).length > 1) rows.splice(-2, 0, el("label", { class: "verdict-all" }, all, ` All ${current.Siblings.length} series of the job`));
    form.replaceChildren(...rows);
    form.hidden = false;
    cancel.addEventListener("click", () => {
      close();
      button.focus();
    });
    form.onkeydown = (event) => {
      event.stopPropagation(); // the viewer's keys are letters
      if (event.key === "Escape") cancel.click();
    };
    form.onsubmit = (event) => {
      event.preventDefault();
      judge(word, code, text, user, send, all);
    };
    (word === "Reject" ? code : text).focus();
  }

  async function judge(word, code, text, user, send, all) {
    send.disabled = true;
    /** @type {Record<string, string | boolean>} */
    const verdict = { Verdict: word, User: user.value.trim(), Known: current.State };
    if (word === "Reject") verdict.Code = code.value;
    if (all.checked) verdict.All = true;
    if (text.value.trim()) verdict.Reason = text.value.trim();
    try {
      show(await ask(address, { method: "POST", json: verdict }));
      others.postMessage(series);
      if (!user.readOnly) localStorage.setItem(REMEMBERED, user.value.trim());
      showError(null);
      close();
      state.tabIndex = -1;
      state.focus();
    } catch (error) {
      send.disabled = false;
      if (error.status === 409) await refresh(); // the buttons follow
      showError(error);
    }
  }

  const others = new BroadcastChannel("derived-series-verdict"); // this browser's other windows
  others.addEventListener("message", ({ data }) => { if (data === series) refresh(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  accept.addEventListener("click", () => open(accept, "Accept"));
  reject.addEventListener("click", () => open(reject, "Reject"));
  return refresh();
}

document.head.append(el("link", { rel: "stylesheet", href: new URL("verdict.css", import.meta.url).href }));
const place = byId("verdict");
if (place) showVerdict(place, decodeURIComponent(location.pathname.split("/").pop()));
