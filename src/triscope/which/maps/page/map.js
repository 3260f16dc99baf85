// A map of images: as far in or out as you like, on the map or in the mosaic. Pointers and keys, and the page's data. A
// page that was saved has them in it. One that is served is shown in a frame of the page it belongs to, which hands it
// one piece after the other: places first, so that there is something to move, then names, cells, thumbnails.

import { bounded, keys, part, say } from "./h.js";
import { addSheet, COMPANY, company, inside, levels, readColours } from "./map_drawing.js";
import { arrange, choose, clearAll, exportPicked, freeHeight, go, hover, pick, pictures, recolour, refilter, search,
  show, showChosen, takeChosen, takeMatching, tell, useNames } from "./map_panel.js";
import { at, canvas, data, draw, extent, fitView, frames, glideBy, marks, moveBy, moves, resize, sideNow, stage,
  state, useCells, usePlaces, whole } from "./map_view.js";

const JOURNEY = 500; // milliseconds that images take to new places

const fit = () => go(fitView(), 350);

/** @param {number} factor @param {number} [x] @param {number} [y] */
function closer(factor, x = state.width / 2, y = freeHeight() / 2) {
  hover(-1);
  glideBy(factor, x, y);
}

/** The matching image for which a number is least, if it is below `least`; else -1.
 * @param {(i: number) => number} of @param {number} least */
function nearest(of, least) {
  let best = -1;
  for (let i = 0; i < data.count; i++) {
    const far = marks.lit[i] ? of(i) : Infinity;
    if (far < least) [best, least] = [i, far];
  }
  return best;
}

/** The topmost image there, or -1; with `reach`, the nearest within so many pixels. @param {number} x
 * @param {number} y @param {number} [reach] */
function pictureAt(x, y, reach = 0) {
  const side = Math.max(sideNow(), 6);
  const covers = (/** @type {number} */ i, /** @type {number} */ size) => {
    const [w, h] = extent(i, size);
    return Math.abs(at(i, 0) - x) <= w / 2 && Math.abs(at(i, 1) - y) <= h / 2;
  };
  const front = company().findLast((i) => covers(i, Math.max(side, COMPANY)));
  if (front !== undefined) return front;
  for (let i = data.count - 1; i >= 0; i--) if (marks.lit[i] && covers(i, side)) return i;
  return reach ? nearest((i) => Math.hypot(at(i, 0) - x, at(i, 1) - y), reach) : -1;
}

/** The image beside the chosen one in a direction, or -1: near, and rather straight on than aside.
 * @param {number} right @param {number} down */
function beside(right, down) {
  const [x, y] = [at(state.chosen, 0), at(state.chosen, 1)];
  return nearest((i) => {
    const along = (at(i, 0) - x) * right + (at(i, 1) - y) * down;
    const aside = Math.abs((at(i, 0) - x) * down - (at(i, 1) - y) * right);
    return i !== state.chosen && along > 0.5 && aside <= 1.5 * along ? along + 2 * aside : Infinity;
  }, Infinity);
}

/** @param {number} i @param {string} none  what to say where there is no such image */
function take(i, none) {
  if (i < 0) return say(none);
  choose(i);
  show(i);
}

/** Whether dragging draws around images. @param {boolean} on */
function drawMode(on) {
  state.drawing = on;
  part("button", "lasso").setAttribute("aria-pressed", String(on));
  stage.classList.toggle("drawing", on);
}

// Pointers and keys

/** @typedef {[x: number, y: number]} Point */
/** Pointers that are held down, and how far they went. @type {Map<number, Point>} */ const pointers = new Map();
let travelled = 0;

/** Where a pointer is on the canvas. @param {MouseEvent} event @returns {Point} */
function onCanvas(event) {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

/** @param {PointerEvent} event */
function pointerDown(event) {
  if (event.button > 0) return;
  canvas.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, onCanvas(event));
  const first = pointers.size === 1;
  if (first) travelled = 0;
  state.lasso = first && (event.shiftKey || state.drawing) ? [onCanvas(event)] : null;
}

/** Two pointers moved. @param {Point[]} before @param {Point[]} after */
function pinch(before, after) {
  const [from, to] = [before, after].map(([[ax, ay], [bx, by]]) =>
    ({ x: (ax + bx) / 2, y: (ay + by) / 2, spread: Math.max(1, Math.hypot(ax - bx, ay - by)) }));
  moveBy(to.x - from.x, to.y - from.y);
  moveBy(to.x, to.y, to.spread / from.spread);
}

/** @param {PointerEvent} event */
function pointerMove(event) {
  const [x, y] = onCanvas(event);
  const before = [...pointers.values()];
  const last = pointers.get(event.pointerId);
  if (!last) {
    if (moves.view || event.pointerType === "touch") return;
    const under = pictureAt(x, y);
    hover(under === state.chosen ? -1 : under, x, y); // the chosen one is large in the panel
    return;
  }
  travelled += Math.hypot(x - last[0], y - last[1]);
  pointers.set(event.pointerId, [x, y]);
  if (travelled > 4) hover(-1);
  if (state.lasso) {
    state.lasso.push([x, y]);
    draw();
  } else if (pointers.size === 2) {
    pinch(before, [...pointers.values()]);
  } else if (travelled > 4) {
    stage.classList.add("moving");
    moveBy(x - last[0], y - last[1]);
  }
}

/** @param {PointerEvent} event */
function pointerUp(event) {
  if (!pointers.delete(event.pointerId) || pointers.size) return;
  stage.classList.remove("moving");
  if (state.lasso && travelled > 12) {
    const found = inside(state.lasso);
    choose(-1);
    pick(found);
    drawMode(false);
  } else if (event.type === "pointerup" && travelled <= 4) {
    choose(pictureAt(...onCanvas(event), event.pointerType === "touch" ? 18 : 0));
    hover(-1);
    if (state.chosen >= 0 && freeHeight() < state.height) show(state.chosen);
  }
  state.lasso = null;
  draw();
}

/** @param {WheelEvent} event */
function wheel(event) {
  event.preventDefault();
  const pixels = event.deltaY * (event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1);
  hover(-1);
  moveBy(...onCanvas(event), Math.exp(bounded(-pixels, -300, 300) * (event.ctrlKey ? 0.01 : 0.0018)));
}

/** @type {Record<string, [right: number, down: number, word: string]>} */
const DIRECTIONS = { ArrowLeft: [-1, 0, "left"], ArrowRight: [1, 0, "right"], ArrowUp: [0, -1, "up"],
  ArrowDown: [0, 1, "down"] };

/** Keys that hold for the map alone: from the chosen image arrows lead to the next, else they move the map.
 * @param {KeyboardEvent} event */
function canvasKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target !== canvas && event.target !== document.body) return;
  const [right, down, word] = DIRECTIONS[event.key] || [];
  if (event.key === "Enter" && event.target === canvas) {
    take(pictureAt(state.width / 2, freeHeight() / 2, Infinity), "No image matches.");
  } else if (right !== undefined) {
    event.preventDefault();
    if (state.chosen >= 0 && !event.shiftKey) take(beside(right, down), `No image further ${word}.`);
    else moveBy(-60 * right, -60 * down);
  }
}

function listen() {
  /** @type {Record<string, any>} */
  const heard = { pointerdown: pointerDown, pointermove: pointerMove, pointerup: pointerUp, pointercancel: pointerUp,
    pointerleave: (/** @type {PointerEvent} */ event) => { if (event.pointerType !== "touch") hover(-1); },
    dblclick: (/** @type {MouseEvent} */ event) => closer(event.shiftKey ? 0.4 : 2.5, ...onCanvas(event)) };
  for (const [kind, run] of Object.entries(heard)) canvas.addEventListener(kind, run);
  canvas.addEventListener("wheel", wheel, { passive: false });
  document.addEventListener("keydown", canvasKey);
  /** @type {Record<string, () => void>} */
  const pressed = { "as-map": () => arrange(false), "as-mosaic": () => arrange(true), closer: () => closer(1.6),
    farther: () => closer(1 / 1.6), fit, matching: takeMatching, lasso: () => drawMode(!state.drawing),
    export: exportPicked, drop: () => pick([]),
    close: () => { choose(-1); canvas.focus({ preventScroll: true }); } };
  for (const [id, run] of Object.entries(pressed)) part("button", id).addEventListener("click", run);
  search.addEventListener("input", refilter);
  part("select", "color").addEventListener("change", recolour);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); draw(); });
  new ResizeObserver(resize).observe(stage);
  keys([
    { key: "+ =", help: "closer", run: () => closer(1.6) },
    { key: "-", help: "farther", run: () => closer(1 / 1.6) },
    { key: "0", help: "all of it", run: fit },
    { key: "m", help: "map or mosaic", run: () => part("button", "as-mosaic").disabled || arrange(!state.mosaic) },
    { key: "x", help: "take the chosen image into the selection, or out of it", run: takeChosen },
    { key: "a", help: "select all that match", run: takeMatching },
    { key: "/", help: "search", run: () => search.focus() },
    { key: "Escape", help: "clear", run: ({ target }) => {
      state.lasso = null;
      drawMode(false);
      clearAll();
      if (target === search) canvas.focus({ preventScroll: true });
    } },
  ]);
}

// What the page is given: at once, or piece by piece

/** @type {Record<string, (told: any) => void>} */
const PIECES = {
  places({ parts, tile, columns, rows }) {
    const [places, rest] = [new Float32Array(parts.places), new Float32Array(parts.rest)];
    if (!begun) {
      const [ids, sizes] = [new Int32Array(parts.rows), Array(places.length).fill(tile)];
      Object.assign(data, { tile, columns, rows, places, rest, ids, sizes });
      return begin();
    }
    if (places.length !== 2 * data.count) return;
    const fitted = whole() && !moves.view;
    Object.assign(data, { places, rest, near: {} });
    usePlaces(JOURNEY);
    state.fitted = fitView(false).scale;
    if (fitted) go(fitView(), JOURNEY);
  },
  names({ names, fields, color }) {
    Object.assign(data, { names, fields, color });
    useNames();
  },
  cells({ grid, parts }) {
    Object.assign(data, { grid, cells: new Int32Array(parts.cells) });
    useCells();
    part("button", "as-mosaic").disabled = false;
    draw();
  },
  async sheet({ number, sizes, tones, parts }) {
    const from = number * data.columns * data.rows;
    data.sizes.splice(2 * from, sizes.length, ...sizes);
    tones.forEach((/** @type {string} */ tone, /** @type {number} */ k) => { data.tones[from + k] = tone; });
    readColours();
    addSheet(number, await createImageBitmap(new Blob([parts.jpeg])));
    showChosen();
    draw();
  },
  near({ place, found }) {
    data.near[place] = found;
    if (state.chosen === place) showChosen();
    draw();
  },
  note({ text }) { part("p", "note").textContent = text; },
};

let begun = false;

function begin() {
  begun = true;
  data.count = data.places.length / 2;
  marks.lit = new Uint8Array(data.count).fill(1);
  canvas.setAttribute("aria-label", `Map of ${pictures(data.count)}`);
  part("button", "as-mosaic").disabled = !data.cells.length;
  usePlaces();
  useCells();
  useNames();
  resize();
  listen();
}

async function start() {
  document.body.classList.toggle("bare", location.hash === "#bare"); // in a page that says itself what this is
  const saved = document.getElementById("data")?.textContent;
  if (!saved) {
    addEventListener("message", ({ source, data: told }) => { if (source === parent) PIECES[told?.piece]?.(told); });
    tell({ triscope: "ready" });
    return;
  }
  Object.assign(data, JSON.parse(saved));
  begin();
  const sheets = /** @type {HTMLImageElement[]} */ ([...document.querySelectorAll("img.atlas")]);
  await Promise.all(sheets.map((image) => image.decode()));
  sheets.forEach((image, place) => addSheet(place, image));
  draw();
}

// For whoever looks on from outside, tests above all: where image i is drawn, and what is being shown.
Object.assign(window, { triscopeMap: Object.freeze({
  place: (/** @type {number} */ i) => ({ x: at(i, 0), y: at(i, 1), side: sideNow() }),
  get mode() { return state.mosaic ? "mosaic" : "map"; },
  get moving() { return frames.asked || state.hurried || Boolean(moves.view || moves.places); },
  get lit() { return marks.lit.reduce((sum, one) => sum + one, 0); },
  get chosen() { return state.chosen; },
  get picked() { return [...state.picked]; },
  get scale() { return state.view.scale; },
  get sheets() { return (levels[0] || []).filter(Boolean).length; },
  ready: start(),
}) });
