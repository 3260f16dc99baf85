// The units of a layer as a page without a server: all of them, or the one that its address names.

import { curve } from "./charts.js";
import { copyable, fill, h, keys, say, settled, showKeys, told } from "./h.js";

const data = JSON.parse(/** @type {HTMLElement} */ (document.getElementById("data")).textContent || "");
/** @type {FrozenUnit[]} */ const units = data.units;
/** @type {FrozenLayer[]} */ const layers = data.layers;
const here = layers.findIndex((one) => one.name === data.layer);
const root = /** @type {HTMLElement} */ (document.getElementById("main"));
const bar = /** @type {HTMLElement} */ (document.getElementById("bar"));
const state = { sort: "index", search: "", hide: false };
let release = () => {};

/** What a unit is called on the page. @param {FrozenUnit} unit */
const nameOf = (unit) => unit.title || unit.unit;

/** @param {FrozenUnit} unit */
const addressOf = (unit) => `#${unit.channel}`;

function order() {
  const word = state.search.toLowerCase();
  const fits = (/** @type {FrozenUnit} */ one) => !word || String(one.channel) === word || one.unit === state.search
    || one.title.toLowerCase().includes(word) || (one.patches || []).some((patch) => patch.name.toLowerCase().includes(word));
  const shown = units.filter((one) => fits(one) && !(state.hide && one.score === null));
  const most = (/** @type {FrozenUnit} */ one) => one.score ?? -Infinity;
  const best = (/** @type {FrozenUnit} */ one) => one.patches?.[0]?.score ?? -Infinity;
  if (state.sort === "score") shown.sort((a, b) => most(b) - most(a) || a.channel - b.channel);
  if (state.sort === "photo") shown.sort((a, b) => best(b) - best(a) || a.channel - b.channel);
  return shown;
}

function drawBar() {
  const jump = h("input", { type: "search", id: "jump", placeholder: "number or name  /", "aria-label": "Jump to a unit", list: "names",
    spellcheck: "false", autocomplete: "off", onkeydown: (/** @type {KeyboardEvent} */ event) => {
      const found = units.find((one) => [String(one.channel), one.unit, one.title].includes(jump.value.trim()));
      if (event.key === "Enter" && found) location.hash = addressOf(found);
    } });
  fill(bar, h("a", { class: "brand", href: data.front }, "triscope"), h("span", { class: "net" }, h("b", null, data.network)),
    h("nav", { "aria-label": "Pages" }, layers.filter((one) => one.made).map((one) => h("a", { href: one.page,
      "aria-current": one.name === data.layer ? "page" : null }, one.name)), mapLinks()), jump,
    h("button", { type: "button", class: "quiet", "aria-label": "Keys", title: "Keys (?)", onclick: showKeys }, "?"));
  const titled = units.filter((one) => one.title);
  document.body.append(h("datalist", { id: "names" }, titled.map((one) => h("option", { value: one.title }))));
}

/** The image of a unit, or a note that there is none. @param {FrozenUnit} unit @param {boolean} [large] */
function pictureOf(unit, large = false) {
  if (!unit.picture) return h("span", { class: "none" }, large ? "no image" : "silent");
  return h("img", { src: unit.picture, alt: large ? `What activates ${nameOf(unit)} most` : "", loading: large ? "eager" : "lazy" });
}

function wall() {
  const list = h("ul", { class: "wall", "aria-label": "Units" });
  const note = h("p", { class: "note", role: "status" });
  const silent = units.filter((one) => one.score === null).length;
  const find = h("input", { type: "search", id: "find", value: state.search, placeholder: "number, name or photo", spellcheck: "false",
    oninput: settled(() => { state.search = find.value.trim(); draw(); }) });
  const sorts = h("select", { id: "sort", onchange: () => { state.sort = sorts.value; draw(); } },
    [["index", "number"], ["score", "score of its image"], ["photo", "best photo"]].filter(([word]) => word !== "photo" || data.store)
      .map(([word, text]) => h("option", { value: word, selected: word === state.sort }, text)));
  const box = h("input", { type: "checkbox", id: "hide", checked: state.hide, onchange: () => { state.hide = box.checked; draw(); } });
  function draw() {
    const shown = order();
    fill(list, shown.map((one) => h("li", null, h("a", { href: addressOf(one), "data-unit": String(one.channel), "aria-label": `${nameOf(one)}${one.score === null ? ", silent" : `, score ${told(one.score)}`}` },
      pictureOf(one), h("span", { class: "under", "aria-hidden": "true" }, one.title || String(one.channel))))));
    note.textContent = shown.length === units.length ? "" : shown.length ? `${shown.length} of ${units.length}` : "No unit matches: clear the search, or show the silent units.";
    list.dataset.drawn = String(shown.length);
  }
  const layer = layers[here];
  fill(root, h("h1", null, layer.name, h("span", { class: "soft" }, ` ${layer.type}, ${units.length} of ${layer.channels} units, each sees ${layer.sees} pixels`)),
    h("div", { class: "controls" }, h("label", { class: "inline", for: "sort" }, h("span", { class: "label" }, "Sort by"), sorts),
      h("label", { class: "inline", for: "find" }, h("span", { class: "label" }, "Find"), find),
      silent > 0 && h("label", { class: "inline", for: "hide" }, box, ` hide the silent (${silent})`)), list, note,
    h("p", { class: "caption" }, data.misleads), about());
  draw();
  return walkKeys(list);
}

/** The arrows walk through the wall. @param {HTMLElement} list */
function walkKeys(list) {
  const walk = (/** @type {KeyboardEvent} */ event) => {
    const links = [...list.querySelectorAll("a")];
    if (!links.length) return;
    const top = links[0].getBoundingClientRect().top;
    const across = links.filter((one) => one.getBoundingClientRect().top === top).length || 1;
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across }[event.key] || 0;
    const now = links.indexOf(/** @type {any} */ (document.activeElement));
    links[now < 0 ? 0 : Math.min(links.length - 1, Math.max(0, now + step))].focus();
  };
  return keys([{ key: "ArrowLeft ArrowRight ArrowUp ArrowDown", help: "walk through the units", run: walk }]);
}

/** @param {FrozenUnit} unit */
function single(unit) {
  const place = units.indexOf(unit);
  const beside = (/** @type {number} */ by) => units[(place + by + units.length) % units.length];
  const facts = [["score", unit.score === null ? "none: its gradient is zero" : told(unit.score)], ["steps", String(unit.steps)],
    ["layer", `${data.layer}, ${layers[here].type}`], ["sees", `${layers[here].sees} pixels`]];
  fill(root, h("div", { class: "head" },
    h("h1", null, nameOf(unit), unit.title && h("span", { class: "soft" }, ` class ${unit.unit}`)),
    h("div", { class: "walker", role: "group", "aria-label": "Neighbouring units" },
      h("a", { href: addressOf(beside(-1)), class: "button", "aria-label": "Previous unit" }, "‹"),
      h("a", { href: "#", class: "button" }, "layer"),
      h("a", { href: addressOf(beside(1)), class: "button", "aria-label": "Next unit" }, "›"))),
  h("div", { class: "columns" },
    h("section", { class: "column" }, h("h2", null, "What activates it", h("span", { class: "soft" }, " made from noise")),
      h("div", { class: "large" }, pictureOf(unit, true)),
      h("dl", { class: "numbers" }, facts.map(([word, text]) => h("div", null, h("dt", null, word), h("dd", null, text)))),
      unit.notes.map((note) => h("p", { class: "note" }, note)),
      h("h3", null, "The same as"), copyable("the command", unit.command)),
    h("section", { class: "column which" }, h("h2", null, "Photos that activate it most", data.store && h("span", { class: "soft" }, ` of ${data.store.pictures}`)),
      photosOf(unit))));
  const to = (/** @type {number} */ by) => { location.hash = addressOf(beside(by)); };
  return keys([
    { key: "ArrowLeft", help: "the previous unit", run: () => to(-1) },
    { key: "ArrowRight", help: "the next unit", run: () => to(1) },
    { key: "Escape", help: "all units of the layer", run: () => { location.hash = ""; } },
  ]);
}

/** @param {FrozenUnit} unit */
function photosOf(unit) {
  if (!unit.patches) return h("p", { class: "note" }, data.store ? "The collection does not keep this layer." : "No collection was asked.");
  const count = unit.patches.length;
  const cut = (/** @type {number} */ i) => ({ "background-image": `url("${unit.strip}")`, "background-size": `${100 * count}% 100%`,
    "background-position": `${count > 1 ? (100 * i) / (count - 1) : 0}% 0` });
  return [h("ol", { class: "gallery patches" }, unit.patches.map((patch, i) => h("li", null,
    h("span", { class: "patch", role: "img", "aria-label": patch.name, title: patch.name, style: cut(i) }),
    h("span", { class: "value" }, told(patch.score))))),
  count > 2 && curve(unit.patches.map((patch) => patch.score), "Scores, best first"),
  h("p", { class: "detail" }, data.layer === "output" ? "Whole photos, each with the score of the class." : "Each patch is what the unit sees where it is most active, with its value there.")];
}

/** The layers of the network, with a few images of each. */
function front() {
  const left = layers.filter((one) => !one.made).map((one) => one.name);
  fill(root, h("h1", null, data.network, h("span", { class: "soft" }, ` ${data.total} units of ${layers.length - left.length} layer${layers.length - left.length === 1 ? "" : "s"}`)),
    h("ul", { class: "layers" }, layers.filter((one) => one.made).map((one) => h("li", null, h("a", { href: one.page },
      h("h2", null, one.name), h("span", { class: "soft" }, `${one.type}, ${one.made} of ${one.channels} units, each sees ${one.sees} pixels`),
      h("span", { class: "few", "aria-hidden": "true" }, data.few[one.name].map((/** @type {string} */ src) => h("img", { src, alt: "", loading: "lazy" }))))))),
    data.maps.length > 0 && h("p", { class: "photo-maps" }, `Maps of the ${data.maps[0].pictures.toLocaleString("en")} photos: `, mapLinks()),
    left.length > 0 && h("p", { class: "note" }, `Not in this copy: ${left.join(", ")}.`),
    h("p", { class: "caption" }, data.misleads), about());
  return () => {};
}

const mapLinks = () => data.maps.map((/** @type {FrozenMap} */ one) => h("a", { href: one.page }, one.title));

const about = () => h("p", { class: "caption" }, `${data.options}.${data.store ? ` Patches are of the ${data.store.pictures} photos of ${data.store.name}.` : ""} Made by ${data.made_by}.`);

function show() {
  release();
  const unit = units.find((one) => addressOf(one) === location.hash);
  root.className = unit ? "one" : "all";
  release = here < 0 ? front() : unit ? single(unit) : wall();
  const title = unit ? nameOf(unit) : data.layer;
  document.title = `${title ? `${title} · ` : ""}${data.network} · triscope`;
  if (unit) { scrollTo(0, 0); say(nameOf(unit)); }
}

/** @param {number} by */
function layerAt(by) {
  const made = layers.filter((one) => one.made);
  const next = made[made.findIndex((one) => one.name === data.layer) + by];
  if (next) location.href = next.page;
}

keys([
  { key: "?", help: "these keys", run: showKeys },
  { key: "/", help: "jump to a unit", run: () => document.getElementById("jump")?.focus() },
  { key: "[", help: "the previous layer", run: () => layerAt(-1) },
  { key: "]", help: "the next layer", run: () => layerAt(1) },
]);
drawBar();
addEventListener("hashchange", show);
show();
