// Photos to choose from, and the form of a method, made from the inputs and options that it declares. No method is treated
// by name.

import { choice, fill, h, say } from "./h.js";
import { address, post } from "./source.js";

/** The form of a method. `fixed` are inputs that the page gives itself. @param {App} app @param {Method} method
 * @param {{fixed?: Object<string, any>, inputs?: any, options?: any}} [how] @returns {MethodForm} */
export function methodForm(app, method, { fixed = {}, inputs = {}, options = {} } = {}) {
  const asked = method.inputs.filter((one) =>
    !(one.name in fixed) && !["network", "store"].includes(method.kinds[one.name]));
  const fields = asked.map((one) => inputField(app, method, one, inputs[one.name]));
  const settings = method.options.map((one) => optionField(one, options[one.name]));
  const [shown, hidden] = [true, false].map((wanted) => settings.filter((one) => Boolean(one.shown) === wanted));
  const changed = hidden.some((one) => one.read() !== undefined);
  const [needed, further] = [true, false].map((wanted) => fields.filter((one) => one.required === wanted));
  const count = further.length + hidden.length;
  const node = h("div", { class: "form" },
    needed.map((one) => one.node), shown.map((one) => one.node),
    count > 0 && h("details", { class: "options", open: changed },
      h("summary", null, count === 1 ? "1 option" : `${count} options`),
      further.map((one) => one.node),
      h("div", { class: "grid" }, hidden.map((one) => one.node))));
  const gathered = (/** @type {any[]} */ list) => Object.fromEntries(
    list.map((one) => [one.name, one.read()]).filter(([, value]) => value !== undefined));
  return {
    node,
    read: () => ({ inputs: { ...fixed, ...gathered(fields) }, options: gathered(settings) }),
    set: (said) => {
      for (const one of fields) if (said.inputs && one.name in said.inputs) one.set(said.inputs[one.name]);
      for (const one of settings) one.set(said.options?.[one.name]);
    },
    missing: () => fields.filter((one) => one.required && one.read() === undefined)
      .map((one) => one.name),
  };
}

/** @param {App} app @param {Method} method @param {Input} input @param {any} value */
function inputField(app, method, input, value) {
  const kind = method.kinds[input.name];
  const label = input.name[0].toUpperCase() + input.name.slice(1);
  const about = { name: input.name, required: input.required };
  if (kind === "images" || kind === "query") {
    const first = value ?? (input.required ? app.firstPhoto(input.name) : []);
    const field = photoField(app, { label, many: input.many && kind === "images", words: input.words || [],
      value: [first].flat().filter(Boolean) });
    const read = () => {
      const ids = field.read();
      if (!ids.length) return undefined;
      return ids.length > 1 && !ids.some((id) => (input.words || []).includes(id)) ? ids : ids[0];
    };
    return { ...about, node: field.node, read, set: (/** @type {any} */ ids) => field.set([ids ?? []].flat()) };
  }
  const id = `in-${method.name}-${input.name}`;
  if (kind === "layer" || kind === "stored layer") {
    const names = kind === "layer" ? app.net.layers.filter((one) => one.channels > 0)
      .map((one) => one.name) : app.collection?.layers || [];
    const select = h("select", { id }, h("option", { value: "" }, "default"),
      names.map((/** @type {string} */ name) => h("option", { value: name, selected: name === value }, name)));
    return { ...about, node: labelled(label, id, select, input.help), read: () => select.value || undefined,
      set: (/** @type {any} */ layer) => { select.value = [layer ?? ""].flat()[0]; } };
  }
  const text = h("input", { id, type: "text", list: "classes", value: value ?? (input.required ? app.unit() : ""),
    placeholder: input.required ? "a class, layer:channel, ..." : "the top class", spellcheck: "false", autocomplete: "off" });
  return { ...about, node: labelled(kind === "unit" ? "Unit" : label, id, text, input.help),
    read: () => text.value.trim() || undefined, set: (/** @type {any} */ word) => { text.value = word ?? ""; } };
}

/** @param {Setting} option @param {any} value */
function optionField(option, value) {
  if (option.offered.length) return offeredField(option, value);
  const id = `opt-${option.name}-${Math.random().toString(36).slice(2, 7)}`;
  const shown = value ?? option.default;
  const text = Array.isArray(shown) ? shown.join(",") : shown ?? "";
  const same = (/** @type {any} */ read) => (read === "" || read === null || String(read) === String(
    Array.isArray(option.default) ? option.default.join(",") : option.default) ? undefined : read);
  if (option.type === "bool") {
    const box = h("input", { id, type: "checkbox", checked: Boolean(shown) });
    return field(option, id, box, () => (box.checked === option.default ? undefined : box.checked),
      (now) => { box.checked = Boolean(now ?? option.default); });
  }
  if (option.choices.length) {
    const select = h("select", { id }, option.default === null && h("option", { value: "" }, "default"),
      option.choices.map((/** @type {string} */ word) => h("option", { value: word, selected: word === shown }, word)));
    return field(option, id, select, () => same(select.value), (now) => { select.value = now ?? option.default ?? ""; });
  }
  const numeric = ["int", "float"].includes(option.type) && !option.many && !option.words.length;
  const [least, most] = option.range || [];
  const input = h("input", { id, type: numeric ? "number" : "text", step: option.type === "int" ? 1 : "any",
    min: numeric ? least : null, max: numeric ? most : null, value: text, autocomplete: "off",
    placeholder: option.default === null ? "default" : "" });
  const read = () => {
    const word = input.value.trim();
    const number = !option.many && option.type !== "str" && option.type !== "bytes" && word !== "" && !Number.isNaN(Number(word));
    return same(number ? Number(word) : word);
  };
  return field(option, id, input, read, (now) => {
    input.value = Array.isArray(now) ? now.join(",") : now ?? (option.default === null ? "" : text);
  });
}

/** An option whose usual values are shown at once. @param {Setting} option @param {any} value */
function offeredField(option, value) {
  let now = value ?? option.default;
  const label = option.name.replaceAll("_", " ");
  const node = h("div", { class: "offered", title: option.help });
  const draw = () => fill(node, choice(label, [...new Set([...option.offered, now])].map((one) => [String(one), String(one)]),
    String(now), (word) => { now = Number(word); }));
  draw();
  return { name: option.name, node, shown: true, read: () => (now === option.default ? undefined : now),
    set: (/** @type {any} */ next) => { now = next ?? option.default; draw(); } };
}

/** @param {Setting} option @param {string} id @param {any} control @param {() => any} read @param {(now: any) => void} set */
function field(option, id, control, read, set) {
  return { name: option.name, shown: false, node: labelled(option.name.replaceAll("_", " "), id, control, option.help), read, set };
}

/** @param {string} label @param {string} id @param {any} control @param {string} [help] */
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
export const thumbAddress = (id) =>
  id.startsWith("row-") ? address(`api/rows/${parseInt(id.slice(4), 10)}/thumbnail`, { network: id.split(".")[1] }) : `api/photos/${id}/thumbnail`;

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
 * @param {{label: string, many?: boolean, value?: string[], words?: string[], changed?: (ids: string[]) => void}} how */
export function photoField(app, { label, many = false, value = [], words = [], changed = () => undefined }) {
  let chosen = [...value];
  const list = h("div", { class: "thumbs", role: "group", "aria-label": label });
  const file = h("input", { type: "file", accept: "image/png,image/jpeg,image/webp,image/gif", multiple: many,
    class: "unseen", tabindex: "-1", "aria-hidden": "true", onchange: () => add(file.files || []) });
  /** @param {Iterable<File>} files */
  async function add(files) {
    const ids = await upload(app, files);
    if (ids.length) take(many ? [...chosen, ...ids] : ids.slice(-1));
  }
  /** @param {string[]} ids */
  function take(ids) {
    chosen = ids;
    draw();
    changed(chosen);
  }
  /** @param {string} id */
  function pick(id) {
    const there = chosen.includes(id);
    take(many ? (there ? chosen.filter((one) => one !== id) : [...chosen, id]) : there && !words.length ? chosen : [id]);
  }
  function draw() {
    const known = new Map(app.about.photos.map((one) => [one.id, one.name]));
    for (const id of chosen) if (!known.has(id) && !words.includes(id)) known.set(id, id.replace("row-", "image "));
    fill(list,
      words.map((word) => h("button", { type: "button", class: "word", "aria-pressed": String(chosen.includes(word)),
        onclick: () => pick(word) }, word)),
      [...known].map(([id, name]) => h("button", { type: "button", class: "thumb", title: name, "aria-label": name,
        "aria-pressed": String(chosen.includes(id)), onclick: () => pick(id) },
      h("img", { src: thumbAddress(id), alt: "", loading: "lazy" }))),
      h("button", { type: "button", class: "thumb add", title: "Add from disk; images can also be dropped or pasted",
        "aria-label": "Add an image from disk", onclick: () => file.click() }, "+"));
  }
  draw();
  const node = h("div", { class: "photos", ondragover: (/** @type {DragEvent} */ event) => event.preventDefault(),
    ondrop: (/** @type {DragEvent} */ event) => {
      event.preventDefault();
      event.stopPropagation();
      add(event.dataTransfer?.files || []);
    } }, h("span", { class: "label" }, label), list, file);
  return { node, read: () => [...chosen], set: take };
}
