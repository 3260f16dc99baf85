// The page as a whole: the part that its address names, the bar above, and the keys of all parts.

import { cameraPage } from "./camera.js";
import { collectionPage } from "./collection.js";
import { useColours } from "./colour.js";
import { photoField, thumbAddress, upload } from "./form.js";
import { fill, h, keys, part, picker, say, useBar } from "./h.js";
import { imagePage } from "./image.js";
import { networkPage } from "./network.js";
import { address, get, post } from "./source.js";
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
const NAMES = Object.keys(PAGES);

const root = part("main", "main");
let visit = new AbortController();
let page = "network";
/** @type {Object<string, string>} */ let params = {};

/** What every page is given: the data, and links to other pages. @type {App} */ const app = {
  about: /** @type {any} */ (null),
  history: [],
  network: 0,
  /** The network beside it, or -1. */
  beside: -1,
  photo: "",
  get net() { return this.about.networks[this.network]; },
  /** The collection that the network has indexed, or null. */
  get collection() { return this.about.collections[this.network]; },
  /** The networks that are shown: one, or two side by side. */
  sides() { return this.beside < 0 ? [this.network] : [this.network, this.beside]; },
  nameOf: (network) => app.about.networks[network].name,
  /** The name of a unit of the first network in another: classes are matched by name. */
  unitIn(network, unit) {
    const [name, others] = [this.className(unit), this.about.networks[network].classes];
    if (network === this.network || !name || others[Number(unit)] === name) return unit;
    return others.includes(name) ? String(others.indexOf(name)) : name;
  },
  methods(fits) { return this.about.methods.filter(fits); },
  /** Whether a method needs nothing but a network and these. */
  only: (method, names) => method.inputs.every((one) => !one.required || ["network", ...names].includes(one.name)),
  /** The layer to begin with, one of the last with maps. */
  goodLayer() {
    const fine = this.net.layers.filter((one) => one.channels > 0 && one.grid[0] > 1);
    return fine[Math.floor(fine.length / 3)] || this.net.layers.find((one) => one.channels > 0) || this.net.layers[0];
  },
  unit() {
    const { length } = this.net.classes;
    return params.u || params.unit || (length > 281 ? "281" : length ? "0" : `${this.goodLayer().name}:0`);
  },
  /** The class that a unit is, or nothing. */
  className(unit) { return /^\d+$/.test(unit) ? this.net.classes[Number(unit)] || "" : ""; },
  /** The receptive field of a layer's position: (top, left, height, width). */
  field(layer, row, col) {
    const along = (/** @type {number[] | null} */ span, /** @type {number} */ at, /** @type {number} */ limit) => {
      const [size, stride, offset] = span || [limit, 0, 0];
      const start = Math.max(0, offset + at * stride);
      return [start, Math.min(limit, offset + at * stride + size) - start];
    };
    const [top, high] = along(layer.field[0], row, this.net.size[0]);
    const [left, across] = along(layer.field[1], col, this.net.size[1]);
    return [top, left, high, across];
  },
  /** An address of a page, of the same photo and network. */
  link(to, how) {
    const photo = this.photo === this.about.photos[0]?.id ? "" : this.photo;
    const beside = this.beside < 0 ? "" : this.beside;
    return address(`#/${to}`, { photo, network: this.network || "", beside, ...how });
  },
  go(to, how) { location.hash = this.link(to, how); },
  /** Keep a state in the address, without leaving it; what is as usual is left out. */
  put(now, usual = {}) {
    const told = Object.entries(now).map(([name, value]) => [name, value === usual[name] ? "" : value]);
    params = { ...params, ...Object.fromEntries(told) };
    const { photo, network, beside, ...rest } = params;
    history.replaceState(null, "", this.link(page, rest));
  },
  photoName() {
    return this.about.photos.find((one) => one.id === this.photo)?.name || this.photo.replace("row-", "image ");
  },
  /** The photo to begin an input with: the current one, or another for a second input. */
  firstPhoto(input) {
    const other = this.about.photos.findLast((one) => one.id !== this.photo);
    return input === "style" && other ? other.id : this.photo;
  },
  nextPhoto(by) {
    const ids = this.about.photos.map((one) => one.id);
    if (ids.length) this.go(page, { ...params, photo: ids[(ids.indexOf(this.photo) + by + ids.length) % ids.length] });
  },
  /** The last change that was sent. */
  keeping: Promise.resolve(),
  /** Save a change of a unit's note, after all earlier ones, and say so. */
  keep(unit, change, done) {
    const kept = { ...(this.about.notes[unit] || { text: "", star: false }), ...change };
    this.about.notes[unit] = kept;
    this.keeping = this.keeping.then(() => post("api/notes", { unit, ...kept }))
      .then(() => say(done)).catch((error) => this.warn(error.message));
    return this.keeping;
  },
  star(unit) {
    const star = !this.about.notes[unit]?.star;
    return this.keep(unit, { star }, star ? "Starred" : "Star removed");
  },
  warn(text) {
    const close = () => box.remove();
    const box = h("div", { class: "warning", role: "alert" }, text,
      h("button", { type: "button", class: "quiet", "aria-label": "Dismiss", onclick: close }, "×"));
    document.body.append(box);
    setTimeout(close, 9000);
  },
};

function show() {
  const [name, query] = location.hash.replace(/^#\/?/, "").split("?");
  page = name in PAGES ? name : "network";
  params = Object.fromEntries(new URLSearchParams(query || ""));
  const known = (/** @type {number} */ number) => Boolean(app.about.networks[number]);
  app.network = known(Number(params.network)) ? Number(params.network) : 0;
  app.beside = known(Number(params.beside || -1)) && Number(params.beside) !== app.network ? Number(params.beside) : -1;
  app.photo = params.photo || app.about.photos[0]?.id || "";
  visit.abort();
  visit = new AbortController();
  drawBar();
  document.title = `${PAGES[page][0]} · triscope`;
  root.className = `page-${page}`;
  PAGES[page][1](root, params, app, visit.signal);
}

function drawBar() {
  const [brand, net, menu, nav, jump] = part("header", "bar").children;
  const names = app.about.networks.map((one, i) => [String(i), one.name]);
  const others = names.filter(([i]) => Number(i) !== app.network).map(([i, name]) => [i, `and ${name}`]);
  /** @param {string} key @param {string} title @param {number} now @param {string[][]} words */
  const networks = (key, title, now, words) => picker(words, now < 0 ? "" : String(now),
    (word) => app.go(page, { ...params, [key]: word }), { "aria-label": title, title });
  fill(net, names.length < 2 ? h("b", null, names[0][1]) : [networks("network", "Network", app.network, names),
    ["unit", "image", "collection"].includes(page)
      && networks("beside", "Beside it", app.beside, [["", "alone"], ...others])]);
  const field = photoField(app, { label: "Photo", value: app.photo ? [app.photo] : [], changed: ([id]) => {
    if (id && id !== app.photo) app.go(page, { ...params, photo: id });
  } });
  fill(menu, h("summary", { "aria-label": `Photo: ${app.photoName() || "none"}`, title: "Photo" },
    app.photo ? h("img", { src: thumbAddress(app.photo), alt: "" }) : "photo"),
  h("div", { class: "sheet" }, field.node));
  menu.removeAttribute("open");
  brand.setAttribute("href", app.link("network"));
  fill(nav, NAMES.map((name) =>
    h("a", { href: app.link(name), "aria-current": name === page ? "page" : null }, PAGES[name][0])));
  /** @type {HTMLInputElement} */ (jump).value = "";
}

function everywhere() {
  keys([
    { key: "c", help: "the camera", run: () => app.go("camera") },
    { key: "l", help: "copy the address of what is shown", run: () =>
      navigator.clipboard.writeText(location.href).then(() => say("copied")) },
    { key: "e", help: "save the image that is shown", run: () =>
      /** @type {HTMLElement | null} */ (root.querySelector(".files a"))?.click() },
    { key: ", .", help: "the previous photo, the next one", run: ({ key }) => app.nextPhoto(key === "," ? -1 : 1) },
    { key: "g", help: "the next page", run: () => app.go(NAMES[(NAMES.indexOf(page) + 1) % NAMES.length]) },
  ]);
  useBar((word) => { // the name of a class, or a unit
    const index = app.net.classes.indexOf(word);
    app.go("unit", { u: index < 0 ? word : index });
  });
  const take = async (/** @type {FileList | undefined} */ files) => {
    const id = (await upload(app, files || [])).at(-1);
    if (id) app.go(page === "collection" || page === "studio" ? "image" : page, { ...params, photo: id });
  };
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => { event.preventDefault(); take(event.dataTransfer?.files); });
  addEventListener("paste", (event) => take(event.clipboardData?.files));
}

try {
  app.about = await get("api/about");
  useColours(app.about.colours);
  fill(part("datalist", "classes"), app.about.networks[0].classes.map((value) => h("option", { value })));
  everywhere();
  addEventListener("hashchange", show);
  show();
} catch (error) {
  fill(root, h("p", { class: "note" }, /** @type {Error} */ (error).message));
}
