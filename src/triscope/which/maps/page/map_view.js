// Where the images of a map are on the screen: on the map, in the mosaic, or between them; and what moves the view.
// Positions are in the units of the map (x right, y down); pixels are CSS pixels of the canvas.

import { bounded, part, penOf } from "./h.js";

const CLOSEST = 320; // pixels: an image on the screen is never larger
const still = matchMedia("(prefers-reduced-motion: reduce)");

export const stage = part("div", "stage");
export const canvas = part("canvas", "canvas");
export const pen = penOf(canvas);

/** What is shown; most of it comes later where a page is served. @type {MapData} */
export const data = { count: 0, names: [], fields: [], color: -1, places: [], rest: [], cells: [], grid: [1, 1],
  near: {}, ids: [], links: {}, tile: 32, columns: 1, rows: 1, sizes: [], tones: [] };

export const state = {
  mosaic: false, // what was asked for last,
  blend: 0, // and what is seen: 0 the map, 1 the mosaic
  /** @type {MapView} */ view: { scale: 1, x: 0, y: 0 },
  fitted: 1, // the scale at which the whole map is seen,
  basic: 32, // and the pixels of an image there
  width: 0, height: 0, // of the canvas
  moved: -Infinity, // when the view moved last
  hurried: false, // whether points stand for images as long as it moves
  hovered: -1, chosen: -1,
  /** @type {Set<number>} */ picked: new Set(),
  /** The outline that is being drawn, and whether dragging draws one. @type {[number, number][] | null} */ lasso: null,
  drawing: false,
};

/** For each image: whether it matches search and legend, and its colour there. */
export const marks = { lit: new Uint8Array(0), colors: /** @type {string[]} */ ([]) };

/** Places of all images, and what they span (left, top, right, bottom): on the map, and in the mosaic. */
const spots = [new Float32Array(0), new Float32Array(0)];
const boxes = [[0, 0, 1, 1], [0, 0, 1, 1]];

/** @param {number} a @param {number} b @param {number} share */
export const mix = (a, b, share) => a + (b - a) * share;

/** The side of a cell of the mosaic. */
const cellSide = () => 1 / Math.max(1, ...data.grid);

/** Images at their places on the map; with a `time` (milliseconds) they go there from where they are.
 * @param {number} [time] */
export function usePlaces(time = 0) {
  boxes[0] = spanned(data.places, data.rest);
  const [from, to] = [spots[0], Float32Array.from(data.places)];
  if (spots[1].length !== to.length) spots[1] = new Float32Array(to.length);
  if (!time) spots[0] = to;
  else start("places", time, (share) => { spots[0] = to.map((end, k) => mix(from[k], end, share)); });
}

/** Images in the middles of their cells, which are told as row and column. */
export function useCells() {
  const [rows, columns] = data.grid;
  boxes[1] = [0, 0, columns * cellSide(), rows * cellSide()];
  for (let k = 0; k < data.cells.length; k += 2) {
    spots[1].set([(data.cells[k + 1] + 0.5) * cellSide(), (data.cells[k] + 0.5) * cellSide()], k);
  }
}

/** The box around points. @param {...ArrayLike<number>} lists */
function spanned(...lists) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (const list of lists) {
    for (let k = 0; k < list.length; k++) {
      box[k % 2] = Math.min(box[k % 2], list[k]);
      box[2 + (k % 2)] = Math.max(box[2 + (k % 2)], list[k]);
    }
  }
  return box[0] <= box[2] ? box : [0, 0, 1, 1];
}

/** Where the middle of an image is on the canvas. @param {number} i @param {0 | 1} axis */
export function at(i, axis) {
  const { view, blend } = state;
  return mix(spots[0][2 * i + axis], spots[1][2 * i + axis], blend) * view.scale + (axis ? view.y : view.x);
}

/** Pixels of an image's longer side: on the map it grows slower than the distances, in the mosaic it fills its cell. */
export function sideNow() {
  const loose = bounded(state.basic * (state.view.scale / state.fitted) ** 0.62, 3, CLOSEST);
  const cell = cellSide() * state.view.scale;
  return mix(loose, cell - (cell > 16 ? Math.min(2, cell / 16) : 0), state.blend);
}

/** Pixels of an image across and down; `square` 1 is a square, which it fills in the mosaic.
 * @param {number} i @param {number} side @param {number} [square] */
export function extent(i, side, square = state.blend) {
  const [w, h] = [data.sizes[2 * i], data.sizes[2 * i + 1]];
  const long = Math.max(w, h);
  return [side * mix(w / long, 1, square), side * mix(h / long, 1, square)];
}

/** @param {number} i @param {number} side */
export function inSight(i, side) {
  const [x, y] = [at(i, 0), at(i, 1)];
  return x >= -side && y >= -side && x <= state.width + side && y <= state.height + side;
}

/** The view that shows all of the map, or of the mosaic. @returns {MapView} */
export function fitView(mosaic = state.mosaic) {
  const [left, top, right, bottom] = boxes[Number(mosaic)];
  const margin = mosaic ? 16 : 14 + state.basic / 2;
  const across = Math.max(40, state.width - 2 * margin);
  const down = Math.max(40, state.height - 2 * margin);
  const scale = Math.min(across / Math.max(right - left, 1e-9), down / Math.max(bottom - top, 1e-9),
    mosaic ? 160 / cellSide() : 4 * Math.min(across, down));
  return { scale, x: state.width / 2 - scale * (left + right) / 2, y: state.height / 2 - scale * (top + bottom) / 2 };
}

/** Whether the view is as it was fitted, or farther away. */
export const whole = () => state.view.scale <= 1.02 * fitView().scale;

/** The canvas is as large as its place; what was in the middle stays there. */
export function resize() {
  const { width, height } = stage.getBoundingClientRect();
  const { view, width: before, height: tall } = state;
  Object.assign(state, { width, height });
  const sharp = devicePixelRatio || 1;
  Object.assign(canvas, { width: Math.round(width * sharp), height: Math.round(height * sharp) });
  state.basic = bounded(0.8 * Math.sqrt((width * height) / Math.max(1, data.count + data.rest.length / 20)), 6, 96);
  state.fitted = fitView(false).scale;
  state.view = before ? { ...view, x: view.x + (width - before) / 2, y: view.y + (height - tall) / 2 } : fitView();
  frames.paint(performance.now()); // at once: a canvas of a new size is empty
}

// Moving

/** What is under way.
 * @type {Record<string, {step: (share: number) => void, time: number, begun: number, to?: MapView} | undefined>} */
export const moves = {};

/** Let something change from now on; `step` is told how far it is. @param {"view" | "places"} what @param {number} time
 * @param {(share: number) => void} step @param {MapView} [to] */
function start(what, time, step, to) {
  moves[what] = { step, time, begun: 0, to };
  draw();
}

/** Let everything under way go on; returns whether anything is not yet where it goes. @param {number} now */
export function advance(now) {
  for (const [what, move] of Object.entries(moves)) {
    if (!move) continue;
    state.moved = now;
    move.begun ||= now;
    const share = still.matches ? 1 : Math.min(1, (now - move.begun) / move.time);
    move.step(share < 0.5 ? 4 * share ** 3 : 1 - (2 - 2 * share) ** 3 / 2);
    if (share === 1) delete moves[what];
  }
  return Boolean(moves.view || moves.places);
}

/** Go to a view, and to the arrangement that was asked for last. @param {MapView} to
 * @param {number} time milliseconds */
export function glide(to, time) {
  const { view, blend } = state;
  start("view", time, (share) => {
    state.view = { scale: mix(view.scale, to.scale, share), x: mix(view.x, to.x, share), y: mix(view.y, to.y, share) };
    state.blend = mix(blend, Number(state.mosaic), share);
  }, to);
}

/** Change the view at once: what was under way goes on from where it is.
 * @param {number} x @param {number} y @param {number} [factor] closer by so much, around the point (x, y) */
export function moveBy(x, y, factor) {
  state.moved = performance.now();
  if (moves.view) {
    delete moves.view;
    state.blend = Number(state.mosaic);
  }
  const { view } = state;
  state.view = factor ? zoomed(view, factor, x, y) : { ...view, x: view.x + x, y: view.y + y };
  draw();
}

/** Go closer, around a point of the canvas. @param {number} factor @param {number} x @param {number} y */
export const glideBy = (factor, x, y) => glide(zoomed(moves.view?.to || state.view, factor, x, y), 220);

/** @param {MapView} view @param {number} factor @param {number} x @param {number} y @returns {MapView} */
function zoomed(view, factor, x, y) {
  const least = Math.min(state.fitted, fitView().scale) / 2;
  const scale = bounded(view.scale * factor, least, Math.max(state.fitted * 60, CLOSEST / cellSide()));
  const grown = scale / view.scale;
  return { scale, x: x - (x - view.x) * grown, y: y - (y - view.y) * grown };
}

/** Who draws the next frame, and whether it was asked for. */
export const frames = { asked: false, paint: (/** @type {number} */ _now) => {} };

export function draw() {
  if (frames.asked) return;
  frames.asked = true;
  requestAnimationFrame((now) => {
    frames.asked = false;
    frames.paint(now);
  });
}
