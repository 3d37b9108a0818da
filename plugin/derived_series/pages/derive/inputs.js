// A pipeline's other inputs: series of the study, or one that is brought here from another server.

import { el } from "../shared/dom.js";
import { seriesText } from "../shared/format.js";
import { ask } from "../shared/server.js";

const ELSEWHERE = "*"; // no identifier of a series
/** What a series is looked for by: key, label, example. */
const QUERY = [
  ["SeriesDescription", "Description", "Thorax*"],
  ["Modality", "Modality", "CT"],
  ["StudyDate", "Study date", "20260101-20261231"],
];

/** The names of the servers that Orthanc knows; none for whoever may not ask. */
export async function servers() {
  const lists = await Promise.all(["modalities", "dicom-web/servers"].map((path) => ask(path).catch(() => [])));
  return lists.flatMap((names) => (Array.isArray(names) ? names : []));
}

/** One input: which series of those that are here, or where to look for it. */
class OtherInput {
  constructor(name, { candidates, isOptional, isPrior, servers: names }) {
    this.name = name;
    const id = `input-${name}`;
    const none = isOptional ? [el("option", { value: "", text: "none" })] : [];
    const prior = isPrior && !isOptional ? [el("option", { value: "", text: "the latest that is here of the studies before" })] : [];
    const elsewhere = names.length ? [el("option", { value: ELSEWHERE, text: "from another server…" })] : [];
    this.select = el("select", { id, on: { change: () => this.#show() } }, ...none, ...prior, ...candidates.map(option), ...elsewhere);
    this.select.selectedIndex = Math.max(0, [...this.select.options].findIndex((each) => !each.disabled));
    this.server = el("select", { id: `${id}-server` }, ...names.map((each) => el("option", { text: each })));
    this.query = QUERY.map(([key, label, example]) => ({ key, label, input: el("input", { id: `${id}-${key}`, placeholder: example, maxlength: 64 }) }));
    this.retrieval = el(
      "fieldset",
      { "data-retrieve": name },
      el("legend", { text: `${name}: exactly one series of this patient must match` }),
      el("div", { class: "field" }, el("label", { for: `${id}-server`, text: "Server" }), this.server),
      ...this.query.map(({ label, input }) => el("div", { class: "field" }, el("label", { for: input.id, text: label }), input)),
      el("p", { class: "dim", text: "* and ? stand for any characters. What is brought here stays here. A preview brings nothing." }),
    );
    this.node = el("div", {}, el("div", { class: "field wide" }, el("label", { for: id, text: name }), this.select), this.retrieval);
    this.#show();
  }

  #show() {
    this.retrieval.hidden = this.select.value !== ELSEWHERE;
  }

  /** What a request says of it: [key of the request, value]; null when it says nothing. */
  read() {
    const { value } = this.select;
    if (value === "") return null;
    if (value !== ELSEWHERE) return ["Inputs", value];
    const query = this.query.map(({ key, input }) => [key, input.value.trim()]).filter(([, text]) => text);
    return ["Retrieve", { From: this.server.value, Query: Object.fromEntries(query) }];
  }
}

function option({ ID, Number: SeriesNumber, Modality, Description, Fits, Reason }) {
  const text = seriesText({ SeriesNumber, Modality, SeriesDescription: Description });
  return el("option", { value: ID, disabled: !Fits, text: Fits ? text : `${text} (${Reason})` });
}

/** The other inputs of a pipeline. */
export class Inputs {
  constructor({ Others, OptionalInputs, PriorInputs, ParentInput }, names) {
    const priors = names.length ? PriorInputs.filter((name) => name !== ParentInput && !(name in Others)) : [];
    const all = [...Object.entries(Others), ...priors.map((name) => [name, []])];
    this.inputs = all.map(([name, candidates]) =>
      new OtherInput(name, { candidates, isOptional: OptionalInputs.includes(name), isPrior: PriorInputs.includes(name), servers: names }));
  }

  get nodes() {
    return this.inputs.map(({ node }) => node);
  }

  /** The keys Inputs and Retrieve of a request. */
  read() {
    const keys = { Inputs: {}, Retrieve: {} };
    for (const input of this.inputs) {
      const [key, value] = input.read() ?? [];
      if (key) keys[key][input.name] = value;
    }
    return Object.keys(keys.Retrieve).length ? keys : { Inputs: keys.Inputs };
  }
}
