// The network: its layers from the first to the last, and all units of one of them for a photo.

import { legendBar, numbersOf, paint, valueAt } from "./colour.js";
import { seenAddress } from "./form.js";
import { choice, fill, h, keys, seenAs, settled, told } from "./h.js";
import { boxOn } from "./heat.js";
import { address, get, reached, unpacked } from "./source.js";
import { tileCanvas } from "./tiles.js";

/** @param {HTMLElement} root @param {Object<string, string>} params @param {App} app */
export function networkPage(root, params, app) {
  const layers = app.net.layers.filter((one) => one.channels > 0);
  let layer = layers.find((one) => one.name === params.layer) || app.goodLayer();
  let [show, scale, sort, search] = [params.show || "map", params.scale || "unit", params.sort || "index", params.search || ""];
  let hide = params.hide === "1";
  /** @type {any} */ let facts = null;
  /** @type {any} */ let laid = null;
  let asked = 0;
  const name = (/** @type {number} */ unit) => `${layer.name}:${unit}`;
  const strip = h("nav", { class: "strip", "aria-label": "Layers" });
  const tiles = tileCanvas({ hover, open: (unit, x, y) => open(unit, x, y), star: (unit) => app.star(name(unit)).then(arrange), name });
  const stage = h("div", { class: "stage" }, tiles.node);
  const note = h("p", { class: "note", role: "status" });
  const legend = legendBar("legend wide");
  const title = h("h1");
  const lens = h("aside", { class: "lens", "aria-label": "The unit under the pointer" });
  const controls = h("div", { class: "controls" });
  fill(root, title, strip, controls, h("div", { class: "split" }, h("section", { "aria-label": "Units" }, stage, note,
    legend.node, h("p", { class: "files" }, "Save ", seenAs(() => tiles.node, "layer.png"))), lens),
  h("p", { class: "caption" }, "A map shows where a channel is active, not what it detects. Colours have 8 bits; the numbers beside them are exact."));

  /** @param {number} unit @param {number} x @param {number} y */
  function open(unit, x, y) {
    const at = facts && facts.height * facts.width > 1 && show === "map"
      ? `@${Math.floor(y * facts.height)},${Math.floor(x * facts.width)}` : "";
    app.go("unit", { u: layer.name === "output" ? String(unit) : name(unit) + at });
  }

  function drawStrip() {
    const widest = Math.max(...layers.map((one) => one.channels));
    fill(strip, layers.map((one) => {
      const tall = 6 + 38 * Math.sqrt(one.grid[0] / Math.max(1, ...layers.map((other) => other.grid[0])));
      const wide = 8 + 30 * (Math.log2(one.channels + 1) / Math.log2(widest + 1));
      return h("button", { type: "button", "aria-current": one === layer ? "true" : null, onclick: () => choose(one),
        title: `${one.type}: ${one.channels} × ${one.grid.join(" × ")}, sees ${one.sees}` },
      h("span", { class: "volume", style: { height: `${tall}px`, width: `${wide}px` }, "aria-hidden": "true" }),
      h("span", { class: "name" }, one.name));
    }));
    strip.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  }

  function drawControls() {
    const words = /** @type {[string, string][]} */ ([["map", "map"]]);
    if (layer.filters) words.push(["filter", "filter"]);
    if (app.collection?.layers.includes(layer.name)) words.push(["best", "best photo"]);
    if (!words.some(([word]) => word === show)) show = "map";
    const find = h("input", { type: "search", id: "find", value: search, placeholder: "number or note", spellcheck: "false",
      oninput: settled(() => { search = find.value.trim(); put(); arrange(); }) });
    const sorts = h("select", { id: "sort", onchange: () => { sort = sorts.value; put(); arrange(); } },
      [["index", "number"], ["max", "largest value"], ["mean", "mean"], ["star", "stars and notes first"]].map(([word, text]) =>
        h("option", { value: word, selected: word === sort }, text)));
    const silent = facts ? facts.max.filter((/** @type {number} */ top, /** @type {number} */ i) => top === 0 && facts.min[i] === 0).length : 0;
    const box = h("input", { type: "checkbox", id: "hide", checked: hide, onchange: () => { hide = box.checked; put(); arrange(); } });
    fill(controls, words.length > 1 && choice("Show", words, show, (word) => { show = word; put(); load(); }),
      choice("Scale", [["unit", "each unit"], ["layer", "layer"]], scale, (word) => { scale = word; put(); load(); }),
      h("label", { class: "inline", for: "sort" }, h("span", { class: "label" }, "Sort by"), sorts),
      h("label", { class: "inline", for: "find" }, h("span", { class: "label" }, "Find"), find),
      h("label", { class: "inline", for: "hide" }, box, ` hide the silent (${silent})`));
  }

  const put = () => app.put({ layer: layer.name, show: show === "map" ? "" : show, scale: scale === "unit" ? "" : scale,
    sort: sort === "index" ? "" : sort, search, hide: hide ? "1" : "" });

  /** @param {any} one */
  function choose(one) {
    layer = one;
    put();
    load();
  }

  async function load() {
    const mine = ++asked;
    title.textContent = layer.name;
    title.append(h("span", { class: "soft" }, ` ${layer.type}, ${layer.channels} × ${layer.grid.join(" × ")}`));
    drawStrip();
    note.textContent = "";
    if (!controls.children.length) drawControls();
    if (!facts) tiles.keep(layer);
    const query = { layer: layer.name, photo: app.photo, network: app.network };
    try {
      if (!app.photo) throw new Error("There is no photo yet: add one above, or drop one here.");
      const ways = { map: ["api/layer", "api/layer/atlas"], filter: ["api/filters", "api/filters/atlas"], best: ["api/best", "api/best/atlas"] };
      const [about, sheet] = ways[/** @type {"map"} */ (show)] || ways.map;
      const [found, other, drawn] = await Promise.all([fetchTiles(query), show === "map" ? null : get(about, query),
        show === "map" ? null : picture(address(sheet, query))]);
      const image = drawn || found.parts.levels || await picture(address("api/layer/atlas", query));
      if (mine !== asked) return;
      facts = found;
      laid = other ? { ...found, ...other } : found;
      tiles.use(image, laid, { whole: scale === "layer", plain: show !== "map" });
      drawControls();
      drawLegend();
      arrange();
      if (getComputedStyle(lens).display !== "none") hover(0, (facts.peak[0][1] + 0.5) / facts.width, (facts.peak[0][0] + 0.5) / facts.height);
    } catch (error) {
      if (mine !== asked) return;
      facts = laid = null;
      tiles.arrange([], new Set());
      note.textContent = /** @type {Error} */ (error).message;
      drawControls();
    }
  }

  function drawLegend() {
    legend.node.hidden = show !== "map";
    const [least, most] = scale === "layer" ? [told(-facts.scale), told(facts.scale)] : ["its negative", "each unit's largest"];
    legend.paint(facts.signed, facts.signed ? [least, "0", most] : ["0", most]);
  }

  function arrange() {
    if (!facts) return;
    const notes = app.about.notes;
    const starred = new Set();
    let units = [...Array(laid.count).keys()];
    for (const unit of units) if (notes[name(unit)]?.star) starred.add(unit);
    if (hide) units = units.filter((unit) => facts.max[unit] !== 0 || facts.min[unit] !== 0);
    if (search) units = units.filter((unit) => String(unit) === search || (notes[name(unit)]?.text || classOf(unit)).toLowerCase().includes(search.toLowerCase()));
    const rank = { max: facts.max, mean: facts.mean, star: units.map(() => 0) }[/** @type {"max"} */ (sort)];
    if (sort === "star") units.sort((a, b) => Number(Boolean(notes[name(b)])) - Number(Boolean(notes[name(a)])) || a - b);
    else if (rank) units.sort((a, b) => rank[b] - rank[a] || a - b);
    tiles.arrange(units, starred);
    note.textContent = units.length ? "" : "No unit matches: clear the search, or show the silent units.";
    tiles.node.setAttribute("aria-label", `${units.length} units of ${layer.name}. Arrows move, Enter opens, * stars.`);
  }

  const classOf = (/** @type {number} */ unit) => (layer.channels === app.net.classes.length && layer.grid[0] === 1
    ? app.net.classes[unit] || "" : "");

  const magnified = h("canvas", { class: "large", width: 1, height: 1, role: "img", "aria-label": "The unit's map, enlarged" });
  const under = h("div", { class: "stack small" }, h("img", { src: app.photo ? seenAddress(app.photo, app.network) : "data:,", alt: "" }),
    h("span", { class: "box", hidden: true }));
  const values = h("dl", { class: "numbers" });
  fill(lens, magnified, app.photo && under, values);
  /** @type {{unit: number, layer: string, numbers: Numbers} | null} */ let exact = null;
  const fetchExact = settled(async (/** @type {number} */ unit, /** @type {number} */ x, /** @type {number} */ y) => {
    const of = layer.name;
    const sent = await get("api/layer/map", { layer: of, photo: app.photo, network: app.network, channel: unit }).catch(() => null);
    if (!sent || of !== layer.name || !facts) return;
    const numbers = numbersOf({ ...sent, signed: facts.signed, scale: Math.max(Math.abs(facts.max[unit]), Math.abs(facts.min[unit])) || 1 });
    exact = { unit, layer: of, numbers: { ...numbers, shape: [1, ...numbers.shape] } };
    paint(magnified, exact.numbers, { scale: scale === "layer" ? facts.scale : numbers.scale });
    tell(unit, x, y);
  }, 30);

  /** @param {number} unit @param {number} x @param {number} y */
  function hover(unit, x, y) {
    if (!facts) return;
    tell(unit, x, y);
    if (!exact || exact.unit !== unit || exact.layer !== layer.name) fetchExact(unit, x, y);
  }

  /** @param {number} unit @param {number} x @param {number} y */
  function tell(unit, x, y) {
    const [row, col] = facts.peak[unit];
    const mine = exact && exact.unit === unit && exact.layer === layer.name ? valueAt(exact.numbers, x, y) : null;
    const written = app.about.notes[name(unit)]?.text;
    const pairs = [[name(unit), classOf(unit)], ["largest", `${told(facts.max[unit])} at ${row}, ${col}`], ["mean", told(facts.mean[unit])],
      ["here", mine ? `${told(mine.value)} at ${mine.row}, ${mine.col}` : "…"], ["sees", `${layer.sees} pixels`], ["note", written || ""]];
    fill(values, pairs.filter(([, text], i) => i === 0 || text).map(([word, text]) => h("div", null, h("dt", null, word), h("dd", null, text))));
    frame(mine || { row, col });
  }

  /** The receptive field of a position, on the photo. @param {{row: number, col: number}} at */
  function frame(at) {
    const box = /** @type {HTMLElement} */ (under.querySelector(".box"));
    const found = app.field(layer, at.row, at.col);
    box.hidden = !facts || facts.height * facts.width === 1;
    boxOn(box, found, app.net.size);
  }

  /** @param {number} by */
  function walk(by) {
    const next = layers[layers.indexOf(layer) + by];
    if (next) choose(next);
  }

  const release = keys([
    { key: "[", help: "the previous layer", run: () => walk(-1) },
    { key: "]", help: "the next layer", run: () => walk(1) },
    { key: "ArrowLeft ArrowRight ArrowUp ArrowDown", help: "walk through the units", run: () => {
      tiles.node.focus();
      if (facts) tiles.stand(tiles.at >= 0 ? tiles.at : 0);
    } },
    { key: "n", help: "scale: each unit, or the layer", run: () => { scale = scale === "unit" ? "layer" : "unit"; put(); load(); } },
  ]);
  const resized = settled(() => tiles.draw(), 100);
  addEventListener("resize", resized);
  load();
  return () => {
    release();
    removeEventListener("resize", resized);
    asked = -1;
  };
}

/** @param {any} query */
const fetchTiles = async (query) => unpacked(await reached(fetch(address("api/layer/tiles", query))));

/** @param {string} from @returns {Promise<HTMLImageElement>} */
async function picture(from) {
  const answer = await fetch(from);
  if (!answer.ok) throw new Error((await answer.json()).error);
  const image = new Image();
  image.src = URL.createObjectURL(await answer.blob());
  await image.decode();
  URL.revokeObjectURL(image.src);
  return image;
}
