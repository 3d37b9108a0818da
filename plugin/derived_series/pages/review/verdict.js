// The bar in which a derived series is accepted or rejected. It fills the element #verdict of the page that loads it.

const STATES = {
  Unreviewed: "Not reviewed",
  Accepted: "Accepted",
  Rejecting: "Is being rejected…",
  Rejected: "Rejected",
};
const REMEMBERED = "derived-series-user";
const POLL_MILLISECONDS = 1000;

function made(name, properties = {}, children = []) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in element && key !== "form") element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

/** The JSON of an answer. Throws an Error that says what the server says. */
async function asked(address, options) {
  const answer = await fetch(address, options);
  const found = await answer.json().catch(() => ({}));
  if (answer.ok) return found;
  const message = found.Message ?? `${answer.status} ${answer.statusText}`;
  throw Object.assign(new Error(found.Remedy ? `${message} (${found.Remedy})` : message), { status: answer.status });
}

/** Who judged, when and why; one sentence. */
function sentence(verdict) {
  if (!verdict.User) return "";
  const parts = [`by ${verdict.User}`];
  const time = new Date(verdict.Time);
  if (!Number.isNaN(time.getTime())) parts.push(`on ${time.toLocaleString()}`);
  const why = [verdict.Meaning, verdict.Reason].filter(Boolean).join(": ");
  return parts.join(" ") + (why ? `. ${why}` : "");
}

function destinations(states) {
  const said = Object.entries(states ?? {}).map(([name, state]) => `${name}: ${state.toLowerCase()}`);
  return said.length ? `Destinations: ${said.join(", ")}` : "";
}

/** Links to the other series of the same job, each with its state; this one is among them. */
function siblingLinks(series, siblings) {
  return siblings.map(({ Output, ID, State }) => {
    const text = `${Output}: ${(STATES[State] ?? State).toLowerCase()}`;
    if (ID === series) return made("span", { textContent: text, "aria-current": "page" });
    return made("a", { textContent: text, href: encodeURIComponent(ID) });
  });
}

/**
 * Shows the verdict on a series, and lets the user give one.
 * @param {HTMLElement} place is filled. @param {string} series Orthanc's identifier.
 */
export function showVerdict(place, series) {
  const address = new URL(`../../../series/${encodeURIComponent(series)}/review`, import.meta.url);
  const state = made("p", { className: "verdict-state", role: "status" });
  const who = made("p", { className: "dim" });
  const sent = made("p", { className: "dim verdict-destinations" });
  const trouble = made("p", { className: "error note", role: "alert", hidden: true });
  const accept = made("button", { type: "button", textContent: "Accept…", "aria-expanded": "false" });
  const reject = made("button", { type: "button", textContent: "Reject…", "aria-expanded": "false" });
  const viewer = made("a", { textContent: "Open in OHIF", target: "_blank", rel: "noopener", hidden: true });
  const siblings = made("nav", { className: "dim verdict-siblings", "aria-label": "Series of the same job", hidden: true });
  const form = made("form", { hidden: true });
  const bar = made("section", { className: "verdict", "aria-label": "Verdict" });
  bar.append(state, accept, reject, viewer, siblings, who, sent, form, trouble);
  place.replaceChildren(bar);
  let known = { Reasons: [] };

  function tell(error) {
    trouble.textContent = error ? error.message : "";
    trouble.hidden = !error;
  }

  function show(verdict) {
    const changed = known.State !== undefined && known.State !== verdict.State;
    known = verdict;
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
    if (verdict.Viewer) viewer.href = new URL(`../../../${verdict.Viewer}`, import.meta.url).href;
    const rejecting = [verdict, ...(verdict.Siblings ?? [])].some(({ State }) => State === "Rejecting");
    const waiting = rejecting || Object.values(verdict.Destinations ?? {}).includes("Pending");
    if (waiting) setTimeout(refresh, POLL_MILLISECONDS);
  }

  async function refresh() {
    try {
      const before = known.State;
      show(await asked(address));
      const elsewhere = before !== undefined && before !== "Rejecting" && before !== known.State;
      if (elsewhere) tell(new Error(`${STATES[known.State] ?? known.State} in another window ${sentence(known)}`.trim()));
      else if (before === undefined) tell(null);
    } catch (error) {
      tell(error);
    }
  }

  function close() {
    form.hidden = true;
    for (const button of [accept, reject]) button.setAttribute("aria-expanded", "false");
  }

  function open(button, word) {
    tell(null);
    close();
    button.setAttribute("aria-expanded", "true");
    const code = made("select", { name: "code", required: true }, [
      made("option", { value: "", textContent: "Choose a reason" }),
      ...known.Reasons.map((reason) => made("option", { value: reason.Code, textContent: reason.Meaning })),
    ]);
    const text = made("textarea", { name: "reason", rows: 2, maxLength: 4096 });
    const user = made("input", {
      name: "user",
      required: true,
      maxLength: 64,
      pattern: "[^\\\\=]*", // as a person name of DICOM
      autocomplete: "name",
      readOnly: Boolean(known.AuthenticatedUser),
      value: known.AuthenticatedUser ?? localStorage.getItem(REMEMBERED) ?? "",
    });
    const send = made("button", { type: "submit", textContent: word });
    const cancel = made("button", { type: "button", textContent: "Cancel" });
    const rows = word === "Reject" ? [made("label", { textContent: "Reason" }, [code])] : [];
    rows.push(
      made("label", { textContent: word === "Reject" ? "What is wrong" : "Remark" }, [text]),
      made("label", { textContent: "Your name" }, [user]),
      send,
      cancel,
    );
    if (word === "Reject") {
      const note = "A rejection is final. It is written into the study as a Key Object Selection document.";
      rows.push(made("p", { className: "dim note", textContent: note }));
    }
    const all = made("input", { type: "checkbox", name: "all" });
    if ((known.Siblings ?? []).length > 1) rows.splice(-2, 0, made("label", { className: "verdict-all" }, [all, ` All ${known.Siblings.length} series of the job`]));
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
    const verdict = { Verdict: word, User: user.value.trim(), Known: known.State };
    if (word === "Reject") verdict.Code = code.value;
    if (all.checked) verdict.All = true;
    if (text.value.trim()) verdict.Reason = text.value.trim();
    try {
      const body = JSON.stringify(verdict);
      show(await asked(address, { method: "POST", headers: { "Content-Type": "application/json" }, body }));
      others.postMessage(series);
      if (!user.readOnly) localStorage.setItem(REMEMBERED, verdict.User);
      tell(null);
      close();
      state.tabIndex = -1;
      state.focus();
    } catch (error) {
      send.disabled = false;
      if (error.status === 409) await refresh(); // the buttons follow
      tell(error);
    }
  }

  const others = new BroadcastChannel("derived-series-verdict"); // this browser's other windows
  others.addEventListener("message", ({ data }) => { if (data === series) refresh(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  accept.addEventListener("click", () => open(accept, "Accept"));
  reject.addEventListener("click", () => open(reject, "Reject"));
  return refresh();
}

const style = made("link", { rel: "stylesheet", href: new URL("verdict.css", import.meta.url).href });
document.head.append(style);
const place = document.getElementById("verdict");
if (place) showVerdict(place, decodeURIComponent(location.pathname.split("/").pop()));
