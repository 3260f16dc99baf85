// The page as a whole: the part that its address names, the bar above, and the keys of all parts.

import { cameraPage } from "./camera.js";
import { collectionPage } from "./collection.js";
import { useColours } from "./colour.js";
import { photoField, thumbAddress, upload } from "./form.js";
import { fill, h, keys, say, showKeys } from "./h.js";
import { imagePage } from "./image.js";
import { networkPage } from "./network.js";
import { get, post } from "./source.js";
import { studioPage } from "./studio.js";
import { unitPage } from "./unit.js";

/** @type {Object<string, [string, Page]>} */ const PAGES = {
  network: ["Network", networkPage],
  unit: ["Unit", unitPage],
  image: ["Image", imagePage],
  collection: ["Collection", collectionPage],
  studio: ["Studio", studioPage],
  camera: ["Camera", cameraPage],
};

const root = /** @type {HTMLElement} */ (document.getElementById("main"));
const bar = /** @type {HTMLElement} */ (document.getElementById("bar"));
let leave = () => {};
let page = "network";
/** @type {Object<string, string>} */ let params = {};

/** What every page is given: the data, and links to other pages. @type {App} */ const app = {
  about: /** @type {any} */ (null),
  history: /** @type {any[]} */ ([]),
  network: 0,
  /** The network beside it, or -1. */
  beside: -1,
  photo: "",
  get net() { return this.about.networks[this.network]; },
  /** The collection that the network has indexed, or null. */ get collection() { return this.about.collections[this.network]; },
  /** The networks that are shown: one, or two side by side. */
  sides() { return this.beside < 0 ? [this.network] : [this.network, this.beside]; },
  nameOf: (/** @type {number} */ network) => app.about.networks[network].name,
  /** The name of a unit of the first network in another: classes are matched by name. @param {number} network @param {string} unit */
  unitIn(network, unit) {
    const [name, others] = [this.className(unit), this.about.networks[network].classes];
    if (network === this.network || !name || others[Number(unit)] === name) return unit;
    return others.includes(name) ? String(others.indexOf(name)) : name;
  },
  /** @param {(method: any) => boolean} [fits] */
  methods(fits = () => true) { return this.about.methods.filter(fits); },
  /** Whether a method needs nothing but a network and these. @param {Method} method @param {string[]} names */
  only(method, names) {
    return method.inputs.every((one) => !one.required || ["network", ...names].includes(one.name));
  },
  /** The layer to begin with, one of the last with maps. */
  goodLayer() {
    const fine = this.net.layers.filter((one) => one.channels > 0 && one.grid[0] > 1);
    return fine[Math.floor(fine.length / 3)] || this.net.layers.find((one) => one.channels > 0) || this.net.layers[0];
  },
  unit() { return params.u || params.unit || (this.net.classes.length > 281 ? "281" : this.net.classes.length ? "0" : `${this.goodLayer().name}:0`); },
  /** The class that a unit is, or nothing. @param {string} unit */
  className(unit) { return /^\d+$/.test(unit) ? this.net.classes[Number(unit)] || "" : ""; },
  /** The receptive field of a layer's position: (top, left, height, width). @param {Layer} layer @param {number} row @param {number} col */
  field(layer, row, col) {
    const [tall, wide] = this.net.size;
    const along = (/** @type {any} */ span, /** @type {number} */ at, /** @type {number} */ limit) => {
      if (!span) return [0, limit];
      const start = span[2] + at * span[1];
      const [from, to] = [Math.max(0, start), Math.min(limit, start + span[0])];
      return [from, to - from];
    };
    const [top, high] = along(layer.field[0], row, tall);
    const [left, across] = along(layer.field[1], col, wide);
    return [top, left, high, across];
  },
  /** An address of a page, of the same photo and network. @param {string} to @param {Object<string, any>} [how] */
  link(to, how = {}) {
    const kept = { photo: this.photo === this.about.photos[0]?.id ? "" : this.photo, network: this.network || "", beside: this.beside < 0 ? "" : this.beside, ...how };
    const words = Object.entries(kept).filter(([, value]) => value !== "" && value != null);
    const query = new URLSearchParams(words.map(([name, value]) => [name, String(value)])).toString();
    return `#/${to}${query ? `?${query}` : ""}`;
  },
  /** @param {string} to @param {Object<string, any>} [how] */
  go(to, how) { location.hash = this.link(to, how); },
  /** Keep a state in the address, without leaving it. @param {Object<string, any>} now */
  put(now) {
    params = { ...params, ...now };
    const { photo, network, beside, ...rest } = params;
    history.replaceState(null, "", this.link(page, rest));
  },
  photoName() { return this.about.photos.find((one) => one.id === this.photo)?.name || this.photo.replace("row-", "image "); },
  /** The photo to begin an input with: the current one, or another for a second input. @param {string} input */
  firstPhoto(input) {
    const others = this.about.photos.filter((one) => one.id !== this.photo);
    return input === "style" && others.length ? others[others.length - 1].id : this.photo;
  },
  /** @param {number} by */
  nextPhoto(by) {
    const ids = this.about.photos.map((one) => one.id);
    if (ids.length) this.go(page, { ...params, photo: ids[(ids.indexOf(this.photo) + by + ids.length) % ids.length] });
  },
  /** The last change that was sent. @type {Promise<any>} */
  keeping: Promise.resolve(),
  /** Save a change of a unit's note, after all earlier ones. @param {string} unit @param {any} change */
  keep(unit, change) {
    const kept = { ...(this.about.notes[unit] || { text: "", star: false }), ...change };
    this.about.notes[unit] = kept;
    this.keeping = this.keeping.then(() => post("api/notes", { unit, ...kept })).catch((error) => app.warn(error.message));
    return this.keeping;
  },
  /** @param {string} unit @param {string} text */
  async note(unit, text) {
    if (await this.keep(unit, { text })) say("Note saved");
  },
  /** @param {string} unit */
  async star(unit) {
    const star = !this.about.notes[unit]?.star;
    if (await this.keep(unit, { star })) say(star ? "Starred" : "Star removed");
  },
  /** @param {string} text */
  warn(text) {
    const box = h("div", { class: "warning", role: "alert" }, text, h("button", { type: "button", class: "quiet", "aria-label": "Dismiss", onclick: () => box.remove() }, "×"));
    document.body.append(box);
    setTimeout(() => box.remove(), 9000);
  },
};

function show() {
  const [name, query] = location.hash.replace(/^#\/?/, "").split("?");
  page = name in PAGES ? name : "network";
  params = Object.fromEntries(new URLSearchParams(query || ""));
  const network = Number(params.network || 0);
  app.network = app.about.networks[network] ? network : 0;
  const beside = Number(params.beside || -1);
  app.beside = app.about.networks[beside] && beside !== app.network ? beside : -1;
  app.photo = params.photo || app.about.photos[0]?.id || "";
  leave();
  drawBar();
  document.title = `${PAGES[page][0]} · triscope`;
  root.className = `page-${page}`;
  leave = PAGES[page][1](root, params, app);
}

function drawBar() {
  const names = app.about.networks.map((one) => one.name);
  const pick = (/** @type {string} */ key, /** @type {string} */ label, /** @type {number} */ chosen, /** @type {[number, string][]} */ options) =>
    h("select", { "aria-label": label, title: label, onchange: (/** @type {Event} */ event) => app.go(page, { ...params, [key]: /** @type {any} */ (event.target).value }) },
      options.map(([value, name]) => h("option", { value: value < 0 ? "" : String(value), selected: value === chosen }, name)));
  const all = names.map((name, i) => /** @type {[number, string]} */ ([i, name]));
  const net = names.length < 2 ? h("b", null, names[0]) : [pick("network", "Network", app.network, all),
    ["unit", "image", "collection"].includes(page) && pick("beside", "Beside it", app.beside,
      [[-1, "alone"], ...all.filter(([i]) => i !== app.network).map(([i, name]) => /** @type {[number, string]} */ ([i, `and ${name}`]))])];
  const field = photoField(app, { label: "Photo", value: app.photo ? [app.photo] : [], changed: (ids) => {
    if (ids[0] && ids[0] !== app.photo) app.go(page, { ...params, photo: ids[0] });
  } });
  const menu = h("details", { class: "menu" }, h("summary", { "aria-label": `Photo: ${app.photoName() || "none"}`, title: "Photo" },
    app.photo ? h("img", { src: thumbAddress(app.photo), alt: "" }) : "photo"), h("div", { class: "sheet" }, field.node));
  const jump = h("input", { type: "search", id: "jump", list: "classes", placeholder: "jump to a unit  /", "aria-label": "Jump to a unit", spellcheck: "false",
    autocomplete: "off", onkeydown: (/** @type {KeyboardEvent} */ event) => { if (event.key === "Enter" && jump.value.trim()) app.go("unit", { u: unitOf(jump.value.trim()) }); } });
  fill(bar, h("a", { class: "brand", href: app.link("network") }, "triscope"), h("span", { class: "net" }, net), menu,
    h("nav", { "aria-label": "Pages" }, Object.entries(PAGES).map(([name, [title]]) => h("a", { href: app.link(name),
      "aria-current": name === page ? "page" : null }, title))), jump,
    h("button", { type: "button", class: "quiet", "aria-label": "Keys", title: "Keys (?)", onclick: showKeys }, "?"));
}

/** The number of a class if the word is its name. @param {string} word */
function unitOf(word) {
  const index = app.net.classes.indexOf(word);
  return index < 0 ? word : String(index);
}

function everywhere() {
  const names = Object.keys(PAGES);
  keys([
    { key: "?", help: "these keys", run: showKeys },
    { key: "/", help: "jump to a unit", run: () => document.getElementById("jump")?.focus() },
    { key: "c", help: "the camera", run: () => app.go("camera") },
    { key: "l", help: "copy the address of what is shown", run: () => navigator.clipboard.writeText(location.href).then(() => say("copied")) },
    { key: "e", help: "save the image that is shown", run: () => /** @type {any} */ (root.querySelector(".files a"))?.click() },
    { key: ", .", help: "the previous photo, the next one", run: (event) => app.nextPhoto(event.key === "," ? -1 : 1) },
    { key: "g", help: "the next page", run: () => app.go(names[(names.indexOf(page) + 1) % names.length]) },
  ]);
  const take = async (/** @type {Iterable<File>} */ files) => {
    const ids = await upload(app, files);
    if (ids.length) app.go(page === "collection" || page === "studio" ? "image" : page, { ...params, photo: ids[ids.length - 1] });
  };
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => { event.preventDefault(); take(event.dataTransfer?.files || []); });
  addEventListener("paste", (event) => { if (event.clipboardData?.files.length) take(event.clipboardData.files); });
}

async function begin() {
  try {
    app.about = await get("api/about");
    useColours(app.about.colours);
    document.body.append(h("datalist", { id: "classes" }, app.about.networks[0].classes.map((/** @type {string} */ name) => h("option", { value: name }))));
    everywhere();
    addEventListener("hashchange", show);
    show();
  } catch (error) {
    fill(root, h("p", { class: "note" }, /** @type {Error} */ (error).message));
  }
}

begin();
