// What stands around the canvas of a map: the card under the pointer, the chosen image, a selection, search and legend.

import { bounded, fill, h, part, save, say, settled, terms } from "./h.js";
import { neighborsOf, readColours, thumb } from "./map_drawing.js";
import { at, canvas, data, draw, fitView, glide, marks, stage, state } from "./map_view.js";

const MANY = 60; // images of a selection that are shown
const number = new Intl.NumberFormat("en");
/** What can be searched of each image. @type {string[]} */ let texts = [];
/** The values of the legend that are asked for. @type {Set<number>} */ const kept = new Set();

const card = part("div", "card");
const [chosen, picked, legend] = [part("section", "chosen"), part("section", "picked"), part("section", "legend")];
export const search = part("input", "search");
const color = part("select", "color");

/** @param {number} count */
export const pictures = (count) => `${number.format(count)} image${count === 1 ? "" : "s"}`;

/** Tell the page that shows this one in a frame, if there is one. @param {any} words */
export function tell(words) {
  if (parent !== window) parent.postMessage(words, "*");
}

/** Go to a view; the card under the pointer stays behind. @param {MapView} view @param {number} time milliseconds */
export function go(view, time) {
  hover(-1);
  glide(view, time);
}

/** Show the map, or the mosaic. @param {boolean} mosaic */
export function arrange(mosaic) {
  state.mosaic = mosaic;
  part("button", "as-map").setAttribute("aria-pressed", String(!mosaic));
  part("button", "as-mosaic").setAttribute("aria-pressed", String(mosaic));
  canvas.setAttribute("aria-label", `${mosaic ? "Mosaic" : "Map"} of ${pictures(data.count)}`);
  go(fitView(), 1100);
}

/** The height of the part of the map that no sheet covers. */
export function freeHeight() {
  const sheet = [chosen, picked].find((one) => !one.hidden);
  if (!sheet || getComputedStyle(sheet).position !== "fixed") return state.height;
  const free = sheet.getBoundingClientRect().top - canvas.getBoundingClientRect().top;
  return free > 60 ? Math.min(free, state.height) : state.height;
}

/** Bring an image into sight if it is out of it, or under a sheet. @param {number} i */
export function show(i) {
  const { view, width } = state;
  const [x, y, height] = [at(i, 0), at(i, 1), freeHeight()];
  if (x > 20 && y > 20 && x < width - 20 && y < height - 20) return;
  go({ ...view, x: view.x + width / 2 - x, y: view.y + height / 2 - y }, 400);
}

/** An image, and what is known of it. @param {number} i @param {number} side */
const described = (i, side) => [thumb(i, side), h("p", { class: "name" }, data.names[i]),
  h("dl", null, terms(data.fields.map(([name, values]) => [name, values[i]]).filter(([, value]) => value)))];

/** The image under the pointer, or -1. @param {number} i @param {number} [x] @param {number} [y] */
export function hover(i, x = 0, y = 0) {
  if (i !== state.hovered) {
    state.hovered = i;
    card.hidden = i < 0;
    stage.classList.toggle("over", i >= 0);
    if (i >= 0) fill(card, described(i, bounded(2 * data.tile, 128, 192)));
    draw();
  }
  if (i < 0) return;
  const { width, height } = card.getBoundingClientRect();
  const left = x + 18 + width < state.width ? x + 18 : x - 18 - width;
  card.style.left = `${bounded(left, 4, Math.max(4, state.width - width - 4))}px`;
  card.style.top = `${bounded(y + 14, 4, Math.max(4, state.height - height - 4))}px`;
}

/** @param {number} i @param {number} side @param {...any} more */
const pictureButton = (i, side, ...more) => h("button", { type: "button", title: data.names[i],
  "aria-label": !more.length && data.names[i], onclick: () => { choose(i); show(i); } }, thumb(i, side), more);

/** What is open beside the map, or over it on a phone. */
function sheets() {
  chosen.hidden = state.chosen < 0;
  picked.hidden = !state.picked.size;
  const open = !chosen.hidden || !picked.hidden;
  document.body.classList.toggle("sheeted", open);
  part("section", "help").hidden = open;
  draw();
}

/** @param {number} i  -1 is none */
export function choose(i) {
  state.chosen = i;
  sheets();
  if (i < 0) return say("");
  tell({ triscope: "chosen", row: data.ids[i] ?? -1, place: i, near: i in data.near });
  showChosen();
  chosen.scrollTop = 0;
}

/** The chosen image, what is nearest to it as far as that is known, and the pages it leads to. */
export function showChosen() {
  const i = state.chosen;
  if (i < 0) return;
  const [found, leads] = [neighborsOf(i), data.links[i] || []];
  fill(part("div", "found"), h("div", { class: "subject" }, described(i, 160)),
    found.length > 0 && [h("h3", null, "Nearest neighbours"), h("ol", { class: "near" }, found.map(([other, score]) =>
      h("li", null, pictureButton(other, 48, h("span", { class: "name" }, data.names[other]),
        h("span", { class: "score" }, score?.toFixed(3))))))],
    leads.length > 0 && [h("h3", null, "Units it activates most"), h("ul", { class: "leads" },
      leads.map(([label, href]) => h("li", null, h("a", { href }, label))))]);
  const known = data.fields.map(([name, values]) => (values[i] ? `, ${name} ${values[i]}` : "")).join("");
  const nearby = found.length ? ` Nearest: ${found.slice(0, 3).map(([n]) => data.names[n]).join(", ")}.` : "";
  say(`Selected: ${data.names[i]}${known}.${nearby}`);
}

/** @param {Iterable<number>} indices */
export function pick(indices) {
  state.picked = new Set(indices);
  const all = [...state.picked];
  fill(part("h2", "selected"), `${pictures(all.length)} selected`);
  fill(part("ul", "many"), all.slice(0, MANY).map((i) => h("li", null, pictureButton(i, 50))),
    all.length > MANY && h("li", { class: "more" }, `and ${number.format(all.length - MANY)} more`));
  sheets();
  tellPicked();
}

/** A page that shows this one in a frame is told what was picked, once it has not changed for a moment. */
const tellPicked = settled(() =>
  tell({ triscope: "picked", rows: [...state.picked].map((i) => data.ids[i] ?? -1) }), 300);

/** Take the chosen image into the selection, or out of it. */
export function takeChosen() {
  const i = state.chosen;
  if (i < 0) return say("Choose an image first: Enter takes the one in the middle.");
  const there = state.picked.delete(i);
  pick(there ? state.picked : [...state.picked, i]);
  say(`${data.names[i]} is ${there ? "out of" : "in"} the selection, which has ${pictures(state.picked.size)}.`);
}

/** Take all images that match the search and the legend. */
export function takeMatching() {
  choose(-1);
  pick([...marks.lit.keys()].filter((i) => marks.lit[i]));
  say(`${pictures(state.picked.size)} selected.`);
}

/** Save the selection as CSV (RFC 4180): name, fields, and x and y on the map. */
export function exportPicked() {
  const rows = [["name", ...data.fields.map(([name]) => name), "x", "y"], ...[...state.picked].map((i) =>
    [data.names[i], ...data.fields.map(([, values]) => values[i]), data.places[2 * i], data.places[2 * i + 1]])];
  const quoted = (/** @type {unknown} */ value) =>
    (/[",\r\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : value);
  const lines = rows.map((row) => `${row.map(quoted).join(",")}\r\n`);
  save(new Blob(lines, { type: "text/csv" }), "selection.csv");
}

/** Find out which images match the search and the legend. */
export function refilter() {
  const wanted = search.value.trim().toLowerCase();
  const places = data.fields[Number(color.value)]?.[2];
  let found = 0;
  for (let i = 0; i < data.count; i++) {
    marks.lit[i] = Number((!kept.size || kept.has(places[i])) && (!wanted || texts[i]?.includes(wanted)));
    found += marks.lit[i];
  }
  part("p", "count").textContent = wanted || kept.size ? `${number.format(found)} of ${number.format(data.count)} match`
    : texts.length === data.count ? pictures(data.count) : "";
  hover(-1);
  draw();
}

/** A value of a field: how many have it, in which colour; pressed, only those match. @param {MapColour} value
 * @param {number} place */
function legendRow([value, count, shade], place) {
  const button = h("button", { type: "button", "aria-pressed": "false", title: value, onclick: () => {
    if (!kept.delete(place)) kept.add(place);
    button.setAttribute("aria-pressed", String(kept.has(place)));
    refilter();
  } }, h("i", { style: { background: shade } }), h("span", { class: "value" }, value || "(none)"),
  h("span", { class: "number" }, number.format(count)));
  return h("li", null, button);
}

/** Colour the images by the field that is chosen. */
export function recolour() {
  kept.clear();
  const field = data.fields[Number(color.value)];
  legend.hidden = !field;
  marks.colors = field ? Array.from(field[2], (place) => field[3][place][2]) : [];
  if (field) fill(legend, h("h2", null, field[0]), h("ul", null, field[3].map(legendRow)));
  readColours();
  refilter();
}

/** The names of the images, and the fields that they can be coloured by. */
export function useNames() {
  texts = data.names.map((name, i) => [name, ...data.fields.map(([, values]) => values[i])].join("\n").toLowerCase());
  fill(color, ["nothing", ...data.fields.map(([name]) => name)].map((name, n) =>
    h("option", { value: n - 1, selected: n - 1 === data.color }, name)));
  part("label", "choice").hidden = !data.fields.length;
  recolour();
}

/** Without a search, a selection, or anything chosen. */
export function clearAll() {
  search.value = "";
  kept.clear();
  for (const button of legend.querySelectorAll("[aria-pressed]")) button.setAttribute("aria-pressed", "false");
  choose(-1);
  pick([]);
  refilter();
}
