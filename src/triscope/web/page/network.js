// The network: its layers from the first to the last, and all units of one of them for a photo.

import { legendBar, numbersOf, paint, valueAt } from "./colour.js";
import { seenAddress } from "./form.js";
import { choice, fill, finding, h, keys, seenAs, settled, terms, told } from "./h.js";
import { boxOn } from "./heat.js";
import { get } from "./source.js";
import { tileCanvas } from "./tiles.js";

const USUAL = { show: "map", scale: "unit", sort: "index", search: "", hide: "" };
const SORTS = [["index", "number"], ["max", "largest value"], ["mean", "mean"], ["star", "stars and notes first"]];

/** @param {HTMLElement} root @param {Object<string, string>} params @param {App} app @param {AbortSignal} left */
export function networkPage(root, params, app, left) {
  const layers = app.net.layers.filter((one) => one.channels > 0);
  let layer = layers.find((one) => one.name === params.layer) || app.goodLayer();
  const { show, scale, sort, search, hide } = { ...USUAL, ...params };
  const state = { show, scale, sort, search, hide };
  /** What is known of the units, once it is. @type {Tiles | null} */ let facts = null;
  /** @type {number[]} */ let all = [];
  let asked = 0;
  const name = (/** @type {number} */ unit) => `${layer.name}:${unit}`;
  const noteOn = (/** @type {number} */ unit) => app.about.notes[name(unit)];
  const strip = h("nav", { class: "strip", "aria-label": "Layers" });
  const tiles = tileCanvas({ hover, open, star: (unit) => app.star(name(unit)).then(arrange), name });
  const note = h("p", { class: "note", role: "status" });
  const legend = legendBar("legend wide");
  const title = h("h1");
  const lens = h("aside", { class: "lens", "aria-label": "The unit under the pointer" });
  const controls = h("div", { class: "controls" });
  fill(root, title, strip, controls, h("div", { class: "split" }, h("section", { "aria-label": "Units" },
    h("div", { class: "stage" }, tiles.node), note, legend.node,
    h("p", { class: "files" }, "Save ", seenAs(() => tiles.node, "layer.png"))), lens),
  h("p", { class: "caption" }, "A map shows where a channel is active, not what it detects. Colours have 8 bits; the "
    + "numbers beside them are exact."));

  /** @param {number} unit @param {number} x @param {number} y */
  function open(unit, x, y) {
    const at = facts && facts.height * facts.width > 1 && state.show === "map"
      ? `@${Math.floor(y * facts.height)},${Math.floor(x * facts.width)}` : "";
    app.go("unit", { u: layer.name === "output" ? String(unit) : name(unit) + at });
  }

  function drawStrip() {
    const widest = Math.max(...layers.map((one) => one.channels));
    const tallest = Math.max(1, ...layers.map((one) => one.grid[0]));
    fill(strip, layers.map((one) => h("button", { type: "button", "aria-current": one === layer ? "true" : null,
      title: `${one.type}: ${one.channels} × ${one.grid.join(" × ")}, sees ${one.sees}`, onclick: () => choose(one) },
    h("span", { class: "volume", "aria-hidden": "true", style: {
      height: `${6 + 38 * Math.sqrt(one.grid[0] / tallest)}px`,
      width: `${8 + 30 * (Math.log2(one.channels + 1) / Math.log2(widest + 1))}px` } }),
    h("span", { class: "name" }, one.name))));
    strip.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  }

  function drawControls() {
    const words = [["map", "map"]];
    if (layer.filters) words.push(["filter", "filter"]);
    if (app.collection?.layers.includes(layer.name)) words.push(["best", "best photo"]);
    if (!words.some(([word]) => word === state.show)) state.show = "map";
    fill(controls, words.length > 1 && choice("Show", words, state.show, (show) => load({ show })),
      choice("Scale", [["unit", "each unit"], ["layer", "layer"]], state.scale, (scale) => load({ scale })),
      finding(state, SORTS, "number or note", all.filter(silent).length, () => { put(); arrange(); }));
  }

  const put = () => app.put({ layer: layer.name, ...state }, USUAL);

  /** @param {Layer} one */
  function choose(one) {
    layer = one;
    load({});
  }

  /** @param {Partial<typeof USUAL>} [change] */
  async function load(change) {
    const mine = ++asked;
    Object.assign(state, change);
    if (change) put();
    fill(title, layer.name,
      h("span", { class: "soft" }, ` ${layer.type}, ${layer.channels} × ${layer.grid.join(" × ")}`));
    drawStrip();
    note.textContent = "";
    if (!controls.children.length) drawControls();
    if (!facts) tiles.keep(layer);
    const query = { layer: layer.name, photo: app.photo, network: app.network };
    try {
      if (!app.photo) throw new Error("There is no photo yet: add one above, or drop one here.");
      const [found, others] = await Promise.all([get("api/layer", query),
        state.show !== "map" && get(`api/layer/${state.show}`, query)]);
      const source = others ? await createImageBitmap(new Blob([others.parts.image]))
        : new Uint8Array(found.parts.levels);
      if (mine !== asked || left.aborted) return;
      facts = found;
      all = [...Array((others || found).count).keys()];
      tiles.use(source, { ...found, ...others }, state.scale === "layer");
      drawControls();
      drawLegend(found);
      arrange();
      const [row, col] = found.peak[0];
      if (getComputedStyle(lens).display !== "none") hover(0, (col + 0.5) / found.width, (row + 0.5) / found.height);
    } catch (error) {
      if (mine !== asked) return;
      [facts, all] = [null, []];
      tiles.arrange([]);
      note.textContent = /** @type {Error} */ (error).message;
      drawControls();
    }
  }

  /** @param {Tiles} facts */
  function drawLegend({ signed, scale }) {
    legend.node.hidden = state.show !== "map";
    const [least, most] = state.scale === "layer" ? [told(-scale), told(scale)]
      : ["its negative", "each unit's largest"];
    legend.paint(signed, signed ? [least, "0", most] : ["0", most]);
  }

  /** Whether a unit is zero everywhere. @param {number} unit */
  const silent = (unit) => facts?.max[unit] === 0 && facts.min[unit] === 0;

  function arrange() {
    if (!facts) return;
    const { search, sort } = state;
    const matches = (/** @type {number} */ unit) => !search || String(unit) === search
      || (noteOn(unit)?.text || classOf(unit)).toLowerCase().includes(search.toLowerCase());
    const rank = { max: facts.max, mean: facts.mean, star: all.map((unit) => Number(Boolean(noteOn(unit)))) }[
      /** @type {"max"} */ (sort)];
    const units = all.filter((unit) => matches(unit) && !(state.hide && silent(unit)));
    if (rank) units.sort((a, b) => rank[b] - rank[a] || a - b);
    tiles.arrange(units, new Set(all.filter((unit) => noteOn(unit)?.star)));
    note.textContent = units.length ? "" : "No unit matches: clear the search, or show the silent units.";
    tiles.node.setAttribute("aria-label", `${units.length} units of ${layer.name}. Arrows move, Enter opens, * stars.`);
  }

  const classOf = (/** @type {number} */ unit) => (layer.channels === app.net.classes.length && layer.grid[0] === 1
    ? app.net.classes[unit] || "" : "");

  const magnified = h("canvas", { class: "large", width: 1, height: 1, role: "img",
    "aria-label": "The unit's map, enlarged" });
  const box = h("span", { class: "box", hidden: true });
  const values = h("dl", { class: "numbers" });
  fill(lens, magnified, app.photo && h("div", { class: "stack small" },
    h("img", { src: seenAddress(app.photo, app.network), alt: "" }), box), values);
  /** The exact numbers of one unit's map. @type {{unit: string, numbers: Numbers} | null} */ let exact = null;
  const fetchExact = settled(async (/** @type {number} */ unit, /** @type {number} */ x, /** @type {number} */ y) => {
    const of = name(unit);
    const query = { layer: layer.name, photo: app.photo, network: app.network, channel: unit };
    const sent = await get("api/layer/map", query).catch(() => null);
    if (!sent || of !== name(unit) || !facts) return;
    const scale = Math.max(Math.abs(facts.max[unit]), Math.abs(facts.min[unit])) || 1;
    exact = { unit: of, numbers: numbersOf({ ...sent, shape: [1, ...sent.shape], signed: facts.signed, scale }) };
    paint(magnified, exact.numbers, { scale: state.scale === "layer" ? facts.scale : scale });
    tell(unit, x, y);
  }, 30);

  /** @param {number} unit @param {number} x @param {number} y */
  function hover(unit, x, y) {
    tell(unit, x, y);
    if (facts && exact?.unit !== name(unit)) fetchExact(unit, x, y);
  }

  /** What is known of a unit, and what its position sees of the photo. @param {number} unit @param {number} x
   * @param {number} y */
  function tell(unit, x, y) {
    if (!facts) return;
    const [row, col] = facts.peak[unit];
    const mine = exact?.unit === name(unit) ? valueAt(exact.numbers, x, y) : null;
    const entries = [["largest", `${told(facts.max[unit])} at ${row}, ${col}`], ["mean", told(facts.mean[unit])],
      ["here", mine ? `${told(mine.value)} at ${mine.row}, ${mine.col}` : "…"], ["sees", `${layer.sees} pixels`],
      ["note", noteOn(unit)?.text]];
    fill(values, terms([[name(unit), classOf(unit)], ...entries.filter(([, text]) => text)]));
    box.hidden = facts.height * facts.width === 1;
    boxOn(box, app.field(layer, mine?.row ?? row, mine?.col ?? col), app.net.size);
  }

  /** @param {number} by */
  function walk(by) {
    const next = layers[layers.indexOf(layer) + by];
    if (next) choose(next);
  }

  keys([
    { key: "[", help: "the previous layer", run: () => walk(-1) },
    { key: "]", help: "the next layer", run: () => walk(1) },
    { key: "ArrowLeft ArrowRight ArrowUp ArrowDown", help: "walk through the units", run: () => {
      tiles.node.focus();
      if (facts) tiles.stand(Math.max(0, tiles.at));
    } },
    { key: "n", help: "scale: each unit, or the layer", run: () =>
      load({ scale: state.scale === "unit" ? "layer" : "unit" }) },
  ], left);
  addEventListener("resize", settled(() => tiles.draw(), 100), { signal: left });
  load();
}
