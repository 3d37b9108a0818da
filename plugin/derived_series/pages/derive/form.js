// A form from the JSON schema of a pipeline's parameters.

import { el } from "../shared/dom.js";

/** What a schema says with its references followed and "or null" taken off. */
function plain(schema, definitions) {
  const { $ref, allOf, anyOf, ...rest } = schema;
  const inner = [$ref && definitions[$ref.split("/").pop()], ...(allOf ?? [])].filter(Boolean);
  const choices = (anyOf ?? []).filter((choice) => choice.type !== "null");
  if (choices.length === 1) inner.push(choices[0]);
  const merged = Object.assign({}, ...inner.map((part) => plain(part, definitions)), rest);
  if (choices.length > 1) merged.type = undefined; // of several types: as JSON
  return merged;
}

function control(schema, properties) {
  const { type, default: preset } = schema;
  if (schema.enum) {
    const select = el("select", properties, ...schema.enum.map((value) => el("option", { text: String(value) })));
    select.selectedIndex = schema.enum.indexOf(preset);
    return select;
  }
  if (type === "boolean") {
    const box = el("input", { ...properties, type: "checkbox" });
    box.checked = preset === true;
    return box;
  }
  if (type === "number" || type === "integer") {
    const { minimum, exclusiveMinimum, maximum, exclusiveMaximum, multipleOf } = schema;
    const bounds = { min: minimum ?? exclusiveMinimum, max: maximum ?? exclusiveMaximum };
    const step = multipleOf ?? (type === "integer" ? 1 : "any");
    return el("input", { ...properties, type: "number", ...bounds, step, value: preset });
  }
  if (type === "string") {
    const { minLength, maxLength, pattern } = schema;
    return el("input", { ...properties, type: "text", minlength: minLength, maxlength: maxLength, pattern, value: preset });
  }
  const area = el("textarea", { ...properties, rows: 3, spellcheck: false });
  area.value = preset === undefined ? "" : JSON.stringify(preset);
  return area;
}

/** One parameter: a label, a control, what it means, and what is wrong with it. */
class Field {
  constructor(name, schema, required) {
    this.name = name;
    this.schema = schema;
    this.required = required;
    const id = `parameter-${name}`;
    this.trouble = el("span", { class: "error", id: `${id}-error`, role: "alert" });
    const bounds = range(schema);
    const help = [schema.description, bounds && (schema.description ? `(${bounds})` : bounds)].filter(Boolean).join(" ");
    this.control = control(schema, { id, name, "aria-describedby": `${id}-help ${id}-error`, required: required && schema.type !== "boolean" });
    this.control.addEventListener("input", () => this.show(""));
    this.node = el(
      "div",
      { class: "field" },
      el("label", { for: id, text: name }),
      this.control,
      el("span", { class: "dim", id: `${id}-help`, text: help }),
      this.trouble,
    );
  }

  /** Say what is wrong; nothing for "". */
  show(text) {
    this.trouble.textContent = text;
    this.control.toggleAttribute("aria-invalid", Boolean(text));
  }

  /** The value, undefined to leave it to the pipeline. Throws what is wrong with it. */
  read() {
    const { schema } = this;
    /** @type {any} */
    const input = this.control;
    if (schema.enum) return input.selectedIndex < 0 ? undefined : schema.enum[input.selectedIndex];
    if (schema.type === "boolean") return input.checked;
    const isNumber = schema.type === "number" || schema.type === "integer";
    if (isNumber && input.value !== "") this.#number(Number(input.value)); // the browser knows no open bounds
    if (!input.checkValidity()) throw new Error(input.validationMessage);
    if (input.value === "" && !(schema.type === "string" && this.required)) return undefined;
    if (isNumber) return Number(input.value);
    return schema.type === "string" ? input.value : JSON.parse(input.value);
  }

  #number(value) {
    const { exclusiveMinimum, exclusiveMaximum } = this.schema;
    if (value <= exclusiveMinimum) throw new Error(`must be greater than ${exclusiveMinimum}`);
    if (value >= exclusiveMaximum) throw new Error(`must be less than ${exclusiveMaximum}`);
  }
}

function range({ minimum, exclusiveMinimum, maximum, exclusiveMaximum }) {
  const low = minimum !== undefined ? `at least ${minimum}` : exclusiveMinimum !== undefined ? `more than ${exclusiveMinimum}` : "";
  const high = maximum !== undefined ? `at most ${maximum}` : exclusiveMaximum !== undefined ? `less than ${exclusiveMaximum}` : "";
  return [low, high].filter(Boolean).join(", ");
}

/** The parameters of a pipeline. */
export class Fields {
  constructor(schema) {
    const required = schema.required ?? [];
    const definitions = schema.$defs ?? {};
    this.fields = Object.entries(schema.properties ?? {}).map(
      ([name, property]) => new Field(name, plain(property, definitions), required.includes(name)),
    );
  }

  get nodes() {
    return this.fields.map((field) => field.node);
  }

  /** {name: value}; null when something is wrong; what, is shown beside its field. */
  read() {
    const values = {};
    const wrong = [];
    for (const field of this.fields) {
      try {
        field.show("");
        const value = field.read();
        if (value !== undefined) values[field.name] = value;
      } catch (error) {
        field.show(error.message);
        wrong.push(field);
      }
    }
    wrong[0]?.control.focus();
    return wrong.length ? null : values;
  }

  /** Show what the server says, a line a parameter: "SigmaMm: too large"; what belongs to no field is returned. */
  refuse(details) {
    const wrong = [];
    const rest = (details ?? "").split("\n").filter((line) => {
      const field = this.fields.find(({ name }) => line.startsWith(`${name}: `) || line.startsWith(`${name}.`));
      field?.show(line.slice(field.name.length + 1).trim());
      if (field) wrong.push(field);
      return !field;
    });
    wrong[0]?.control.focus();
    return rest.filter(Boolean);
  }
}
