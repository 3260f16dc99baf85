// The units of a layer as a page without a server: all, which are in its HTML, or the one that its address names.

import { copyable, curve, fill, finding, h, keys, part, say, terms, told, useBar, walker } from "./h.js";

/** @type {FrozenData} */ const data = JSON.parse(part("script", "data").textContent || "");
const { units } = data;
const root = part("main", "main");
/** What the page has in its HTML. */ const all = /** @type {HTMLElement[]} */ ([...root.children]);
const title = document.title;
const state = { sort: "index", search: "", hide: "" };
let left = new AbortController();

/** What a unit is called on the page. @param {FrozenUnit} unit */
const nameOf = (unit) => unit.title || unit.unit;

/** @param {FrozenUnit} unit */
const addressOf = (unit) => `#${unit.channel}`;

/** The units that match, in order. */
function order() {
  const { sort, search, hide } = state;
  const word = search.toLowerCase();
  const fits = (/** @type {FrozenUnit} */ { channel, unit, title, patches }) => !word || String(channel) === word
    || unit === search || [{ name: title }, ...(patches || [])].some(({ name }) => name.toLowerCase().includes(word));
  const rank = (/** @type {FrozenUnit} */ { score, patches }) =>
    (sort === "score" ? score : sort === "photo" ? patches?.[0]?.score : 0) ?? -Infinity;
  return units.filter((one) => fits(one) && !(hide && one.score === null))
    .sort((a, b) => rank(b) - rank(a) || a.channel - b.channel);
}

/** Let all units be sorted and found. */
function useWall() {
  const [, controls, list, note] = all;
  const items = new Map([...list.children].map((item, i) => [units[i], item]));
  const sorts = [["index", "number"], ["score", "score of its image"]];
  if (data.photos !== null) sorts.push(["photo", "best photo"]);
  const silent = units.filter((one) => one.score === null).length;
  fill(controls, finding(state, sorts, "number, name or photo", silent || null, () => {
    const shown = order();
    fill(list, shown.map((one) => items.get(one)));
    note.textContent = shown.length === units.length ? "" : shown.length ? `${shown.length} of ${units.length}`
      : "No unit matches: clear the search, or show the silent units.";
    list.dataset.drawn = String(shown.length);
  }));
}

/** The arrows walk through all units. @param {KeyboardEvent} event */
function walk({ key }) {
  const links = [...root.querySelectorAll(".wall a")].map((one) => /** @type {HTMLElement} */ (one));
  const across = links.filter((one) => one.offsetTop === links[0].offsetTop).length;
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across }[key] || 0;
  const now = links.findIndex((one) => one === document.activeElement);
  links[now < 0 ? 0 : Math.min(links.length - 1, Math.max(0, now + step))]?.focus();
}

/** One unit. @param {FrozenUnit} unit */
function single(unit) {
  const beside = (/** @type {number} */ by) =>
    addressOf(units[(units.indexOf(unit) + by + units.length) % units.length]);
  const facts = [["score", unit.score === null ? "none: its gradient is zero" : told(unit.score)],
    ["steps", unit.steps], ["layer", `${data.name}, ${data.type}`], ["sees", `${data.sees} pixels`]];
  const image = unit.picture ? h("img", { src: unit.picture, alt: `What activates ${nameOf(unit)} most` })
    : h("span", { class: "none" }, "no image");
  fill(root, h("div", { class: "head" },
    h("h1", null, nameOf(unit), unit.title && h("span", { class: "soft" }, ` class ${unit.unit}`)),
    walker(beside(-1), "#", beside(1))),
  h("div", { class: "columns" },
    h("section", { class: "column" },
      h("h2", null, "What activates it", h("span", { class: "soft" }, " made from noise")),
      h("div", { class: "large" }, image),
      h("dl", { class: "numbers" }, terms(facts)), unit.notes.map((note) => h("p", { class: "note" }, note)),
      h("h3", null, "The same as"), copyable("the command", unit.command)),
    h("section", { class: "column which" }, h("h2", null, "Photos that activate it most",
      data.photos !== null && h("span", { class: "soft" }, ` of ${data.photos}`)), photosOf(unit))));
  keys([
    { key: "ArrowLeft", help: "the previous unit", run: () => { location.hash = beside(-1); } },
    { key: "ArrowRight", help: "the next unit", run: () => { location.hash = beside(1); } },
    { key: "Escape", help: "all units of the layer", run: () => { location.hash = ""; } },
  ], left.signal);
  scrollTo(0, 0);
  say(nameOf(unit));
}

/** @param {FrozenUnit} unit */
function photosOf({ patches, strip }) {
  const none = data.photos === null ? "No collection was asked." : "The collection does not keep this layer.";
  if (!patches) return h("p", { class: "note" }, none);
  const cut = (/** @type {number} */ i) => ({
    "background-image": `url("${strip}")`, "background-size": `${100 * patches.length}% 100%`,
    "background-position": `${patches.length > 1 ? (100 * i) / (patches.length - 1) : 0}% 0` });
  return [h("ol", { class: "gallery patches" }, patches.map(({ name, score }, i) => h("li", null,
    h("span", { class: "patch", role: "img", "aria-label": name, title: name, style: cut(i) }),
    h("span", { class: "value" }, told(score))))),
  patches.length > 2 && curve(patches.map((patch) => patch.score), "Scores, best first"),
  h("p", { class: "detail" }, data.name === "output" ? "Whole photos, each with the score of the class."
    : "Each patch is what the unit sees where it is most active, with its value there.")];
}

function show() {
  const unit = units.find((one) => addressOf(one) === location.hash);
  left.abort();
  left = new AbortController();
  root.className = unit ? "one" : "all";
  document.title = unit ? title.replace(data.name, () => nameOf(unit)) : title;
  if (unit) return single(unit);
  fill(root, all);
  const arrows = { key: "ArrowLeft ArrowRight ArrowUp ArrowDown", help: "walk through the units", run: walk };
  if (units.length) keys([arrows], left.signal);
}

keys([
  { key: "[", help: "the previous layer", run: () => { if (data.before) location.href = data.before; } },
  { key: "]", help: "the next layer", run: () => { if (data.after) location.href = data.after; } },
]);
useBar((word) => {
  const found = units.find((one) => [String(one.channel), one.unit, one.title].includes(word));
  if (found) location.hash = addressOf(found);
});
if (units.length) useWall();
addEventListener("hashchange", show);
show();
