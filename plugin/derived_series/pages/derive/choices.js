// What can make a result: pipelines in groups, those that do not take the series with the reason, and a file.

import { el } from "../shared/dom.js";

export const FILE = "file"; // the value of the choice that is not a pipeline

/** Groups of pipelines that take the series, by the Python that runs them and the folder that they are in. */
function groupsOf(pipelines) {
  const environments = new Set(pipelines.map(({ Environment }) => Environment));
  const folders = new Set(pipelines.map(({ Folder }) => Folder));
  const titleOf = ({ Environment, Folder }) => {
    const parts = [environments.size > 1 && (Environment ? `in the environment ${Environment}` : "in Orthanc's own Python"), folders.size > 1 && `from ${shortened(Folder)}`];
    return parts.filter(Boolean).join(", ");
  };
  const groups = new Map();
  for (const pipeline of pipelines) {
    const title = titleOf(pipeline);
    if (!groups.has(title)) groups.set(title, []);
    groups.get(title).push(pipeline);
  }
  return [...groups];
}

/** The last two parts of a folder's path. */
const shortened = (folder) => (folder ?? "").split("/").slice(-2).join("/");

/** Names of a pipeline's results, where there are several. */
const resultsOf = ({ Outputs }) => ((Outputs ?? []).length > 1 ? `Makes ${Outputs.map(({ Name }) => Name).join(", ")}. ` : "");

function choice({ id, value, name, text, reason, disabled, choose }) {
  const radio = el("input", { type: "radio", name: "pipeline", value, id, disabled, "aria-describedby": `${id}-text`, on: { change: choose } });
  return el(
    "div",
    { class: reason ? "choice refused" : "choice" },
    radio,
    el("label", { for: id, text: name }),
    el("span", { id: `${id}-text` }, el("span", { class: "dim", text }), reason ? el("span", { class: "reason", text: ` ${reason}` }) : ""),
  );
}

/**
 * Elements that let the user choose.
 * @param {any[]} pipelines as the server lists them for the series
 * @param {(pipeline: any) => void} choose is called with a pipeline, or with null for a file
 * @param {(pipeline: any) => boolean} canBring whether what a pipeline lacks can be brought from another server
 */
export function choices(pipelines, choose, canBring) {
  const node = (pipeline) => choice({
    id: `pipeline-${pipeline.Name}`,
    value: pipeline.Name,
    name: pipeline.Name,
    text: resultsOf(pipeline) + pipeline.Description,
    reason: reasonOf(pipeline, canBring(pipeline)),
    disabled: !pipeline.Fits && !canBring(pipeline),
    choose: () => choose(pipeline),
  });
  const ready = pipelines.filter((pipeline) => pipeline.Fits || canBring(pipeline));
  const refused = pipelines.filter((pipeline) => !ready.includes(pipeline));
  const groups = groupsOf(ready).map(([title, members]) =>
    el("div", { role: "group", "aria-label": `Pipelines that take this series${title && ` ${title}`}` }, ...(title ? [el("h2", { text: `Ready, ${title}` })] : []), ...members.map(node)));
  const file = choice({ id: "pipeline-file-choice", value: FILE, name: "An image file", text: "A result that is there already: drop it anywhere on this page.", reason: "", disabled: false, choose: () => choose(null) });
  const rest = el("details", { id: "refused", open: !ready.length, hidden: !refused.length }, el("summary", { text: `Not for this series (${refused.length})` }), ...refused.map(node));
  return [...groups, file, rest];
}

function reasonOf({ Fits, Reason, Lacking }, canBring) {
  if (Fits) return "";
  return canBring ? `Needs from another server: ${Lacking.join(", ")}` : `Not for this series: ${Reason}`;
}
