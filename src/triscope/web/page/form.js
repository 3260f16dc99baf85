// Photos to choose from, and the form of a method, made from what it declares: no method is known by its name.

import { choice, fill, h, picker, say } from "./h.js";
import { address, post } from "./source.js";

/** The form of a method. `fixed` are inputs that the page gives itself. @param {App} app @param {Method} method
 * @param {{fixed?: Object<string, any>, inputs?: any, options?: any}} [how] @returns {MethodForm} */
export function methodForm(app, method, { fixed = {}, inputs = {}, options = {} } = {}) {
  const asked = method.inputs.filter(({ name }) =>
    !(name in fixed) && !["network", "store"].includes(method.kinds[name]));
  const fields = asked.map((one) => inputField(app, method, one, inputs[one.name]));
  const settings = method.options.map((one) =>
    (one.offered.length ? offeredField : optionField)(one, options[one.name]));
  const all = [...fields, ...settings];
  const [shown, hidden] = [true, false].map((wanted) => all.filter((one) => one.shown === wanted));
  const [inputsHidden, optionsHidden] = [fields, settings].map((some) => hidden.filter((one) => some.includes(one)));
  const nodes = (/** @type {FormField[]} */ some) => some.map((one) => one.node);
  const gathered = (/** @type {FormField[]} */ some) => Object.fromEntries(
    some.map((one) => [one.name, one.read()]).filter(([, value]) => value !== undefined));
  return {
    node: h("div", { class: "form" }, nodes(shown), hidden.length > 0 && h("details",
      { class: "options", open: optionsHidden.some((one) => one.read() !== undefined) },
      h("summary", null, hidden.length === 1 ? "1 option" : `${hidden.length} options`),
      nodes(inputsHidden), h("div", { class: "grid" }, nodes(optionsHidden)))),
    read: () => ({ inputs: { ...fixed, ...gathered(fields) }, options: gathered(settings) }),
    set: (said) => {
      for (const one of fields) if (said.inputs && one.name in said.inputs) one.set(said.inputs[one.name]);
      for (const one of settings) one.set(said.options?.[one.name]);
    },
    missing: () => fields.filter((one) => one.shown && one.read() === undefined).map((one) => one.name),
  };
}

/** @param {App} app @param {Method} method @param {Input} input @param {any} value @returns {FormField} */
function inputField(app, method, { name, required, many, words = [], help }, value) {
  const kind = method.kinds[name];
  const label = kind === "unit" ? "Unit" : name[0].toUpperCase() + name.slice(1);
  const about = { name, shown: required };
  if (kind === "images" || kind === "query") {
    const first = value ?? (required ? app.firstPhoto(name) : []);
    const field = photoField(app, { label, words, many: many && kind === "images",
      value: [first].flat().filter(Boolean) });
    const read = () => {
      const ids = field.read();
      return ids.length > 1 && !ids.some((id) => words.includes(id)) ? ids : ids[0];
    };
    return { ...about, node: field.node, read, set: (ids) => field.set([ids ?? []].flat()) };
  }
  const id = `in-${method.name}-${name}`;
  const layers = kind === "layer" ? app.net.layers.filter((one) => one.channels > 0).map((one) => one.name)
    : app.collection?.layers || [];
  const control = kind === "layer" || kind === "stored layer"
    ? picker([["", "default"], ...layers.map((layer) => [layer, layer])], value, () => undefined, { id })
    : h("input", { id, type: "text", list: "classes", value: value ?? (required ? app.unit() : ""), spellcheck: "false",
      placeholder: required ? "a class, layer:channel, ..." : "the top class", autocomplete: "off" });
  return { ...about, node: labelled(label, id, control, help), read: () => control.value.trim() || undefined,
    set: (now) => { control.value = [now ?? ""].flat()[0]; } };
}

/** @param {Setting} option @param {any} value @returns {FormField} */
function optionField({ name, type, many, choices, words: others, range, help, default: usual }, value) {
  const id = `opt-${name}-${Math.random().toString(36).slice(2, 7)}`;
  const text = (/** @type {any} */ one) => (Array.isArray(one) ? one.join(",") : String(one ?? ""));
  const numeric = ["int", "float"].includes(type) && !many && !others.length;
  const [least, most] = (numeric && range) || [];
  const words = [...(usual === null ? [["", "default"]] : []), ...choices.map((one) => [one, one])];
  const box = type === "bool" && h("input", { id, type: "checkbox" });
  const control = box || (choices.length ? picker(words, "", () => undefined, { id })
    : h("input", { id, type: numeric ? "number" : "text", min: least, max: most, step: type === "int" ? 1 : "any",
      placeholder: usual === null && "default", autocomplete: "off" }));
  const set = (/** @type {any} */ now) => {
    if (box) box.checked = Boolean(now ?? usual);
    else control.value = text(now ?? usual);
  };
  const read = () => {
    if (box) return box.checked === usual ? undefined : box.checked;
    const word = control.value.trim();
    const number = !many && !choices.length && !["str", "bytes"].includes(type) && !Number.isNaN(Number(word));
    const found = number ? Number(word) : word;
    return word === "" || String(found) === text(usual) ? undefined : found;
  };
  set(value);
  return { name, shown: false, node: labelled(name.replaceAll("_", " "), id, control, help), read, set };
}

/** An option whose usual values are shown at once. @param {Setting} option @param {any} value @returns {FormField} */
function offeredField({ name, offered, help, default: usual }, value) {
  let now = value ?? usual;
  const node = h("div", { class: "offered", title: help });
  const draw = () => {
    const words = [...new Set([...offered, now])].map((one) => [String(one), String(one)]);
    fill(node, choice(name.replaceAll("_", " "), words, String(now), (word) => { now = Number(word); }));
  };
  draw();
  return { name, node, shown: true, read: () => (now === usual ? undefined : now),
    set: (next) => { now = next ?? usual; draw(); } };
}

/** @param {string} label @param {string} id @param {HTMLElement} control @param {string} [help] */
function labelled(label, id, control, help) {
  if (help) control.setAttribute("aria-describedby", `${id}-help`);
  return h("div", { class: "field" }, h("label", { for: id }, label), control,
    help && h("p", { id: `${id}-help`, class: "help" }, help));
}

/** @param {string} id @param {number} [network] */
export const seenAddress = (id, network = 0) => `api/photos/${id}/seen?network=${network}`;

/** The id of a photo of a network's collection. @param {number} row @param {number} network */
export const rowId = (row, network) => `row-${row}${network ? `.${network}` : ""}`;

/** @param {string} id */
export const thumbAddress = (id) => (id.startsWith("row-")
  ? address(`api/rows/${parseInt(id.slice(4), 10)}/thumbnail`, { network: id.split(".")[1] })
  : `api/photos/${id}/thumbnail`);

/** Upload images; those that the server takes can be chosen then. @param {App} app @param {Iterable<File>} files */
export async function upload(app, files) {
  const taken = [];
  for (const file of files) {
    try {
      const photo = await post("api/photos", file, { "X-Name": encodeURIComponent(file.name || "photo.png") });
      if (!app.about.photos.some((one) => one.id === photo.id)) app.about.photos.push(photo);
      taken.push(photo.id);
    } catch (error) {
      app.warn(/** @type {Error} */ (error).message);
    }
  }
  if (taken.length) say(`${taken.length} added`);
  return taken;
}

/** A field for one photo or several. @param {App} app
 * @param {{label: string, many?: boolean, value?: string[], words?: string[], changed?: (ids: string[]) => void}}
 * how */
export function photoField(app, { label, many = false, value = [], words = [], changed }) {
  let chosen = value;
  const list = h("div", { class: "thumbs", role: "group", "aria-label": label });
  const file = h("input", { type: "file", accept: "image/png,image/jpeg,image/webp,image/gif", multiple: many,
    class: "unseen", tabindex: "-1", "aria-hidden": "true", onchange: () => add(file.files) });
  /** @param {FileList | null | undefined} files */
  async function add(files) {
    const ids = await upload(app, files || []);
    if (ids.length) take(many ? [...chosen, ...ids] : ids.slice(-1));
  }
  /** @param {string[]} ids */
  function take(ids) {
    chosen = ids;
    draw();
    changed?.(chosen);
  }
  /** @param {string} id */
  function pick(id) {
    const there = chosen.includes(id);
    if (many) take(there ? chosen.filter((one) => one !== id) : [...chosen, id]);
    else take(there && !words.length ? chosen : [id]);
  }
  function draw() {
    const known = new Map(app.about.photos.map((one) => [one.id, one.name]));
    for (const id of chosen) if (!known.has(id) && !words.includes(id)) known.set(id, id.replace("row-", "image "));
    /** @param {string} id @param {Object<string, any>} how @param {any} inside */
    const button = (id, how, inside) => h("button", { type: "button", "aria-pressed": String(chosen.includes(id)),
      onclick: () => pick(id), ...how }, inside);
    fill(list, words.map((word) => button(word, { class: "word" }, word)),
      [...known].map(([id, name]) => button(id, { class: "thumb", title: name, "aria-label": name },
        h("img", { src: thumbAddress(id), alt: "", loading: "lazy" }))),
      h("button", { type: "button", class: "thumb add", title: "Add from disk; images can also be dropped or pasted",
        "aria-label": "Add an image from disk", onclick: () => file.click() }, "+"));
  }
  draw();
  const node = h("div", { class: "photos", ondrop: (/** @type {DragEvent} */ event) => {
    event.preventDefault();
    event.stopPropagation();
    add(event.dataTransfer?.files);
  } }, h("span", { class: "label" }, label), list, file);
  return { node, read: () => chosen, set: take };
}
