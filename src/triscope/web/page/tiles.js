// All maps of a layer on one canvas, from one atlas; walked through by pointer and by keys.

import { colourAt, coloursOf } from "./colour.js";
import { h, say, told } from "./h.js";

const GAP = 4;

/**
 * @typedef {{count: number, height: number, width: number, tile: number[], columns: number, signed: boolean,
 *   max: number[], min: number[], mean: number[], peak: number[][], scale: number, layer: string}} Facts
 */

/** @param {{hover: (unit: number, x: number, y: number) => void, open: (unit: number, x: number, y: number) => void,
 *   star: (unit: number) => void, name: (unit: number) => string}} hands */
export function tileCanvas(hands) {
  const canvas = h("canvas", { tabindex: "0", role: "application", class: "tiles", "aria-label": "Units of the layer" });
  /** @type {Facts | null} */
  let facts = null;
  /** @type {HTMLCanvasElement | null} */
  let painted = null;
  /** @type {number[]} */
  let order = [];
  let stars = new Set();
  let at = -1;
  let side = 64;
  let [wide, tall, across] = [64, 64, 1];

  /** The atlas in colours. @param {HTMLImageElement} image @param {Facts} about @param {{whole: boolean, plain: boolean}} how */
  function use(image, about, { whole, plain }) {
    facts = about;
    const sheet = document.createElement("canvas");
    Object.assign(sheet, { width: image.naturalWidth, height: image.naturalHeight });
    const pen = /** @type {CanvasRenderingContext2D} */ (sheet.getContext("2d", { willReadFrequently: true }));
    pen.drawImage(image, 0, 0);
    if (!plain) colour(pen, about, whole);
    painted = sheet;
  }

  /** @param {CanvasRenderingContext2D} pen @param {Facts} about @param {boolean} whole */
  function colour(pen, about, whole) {
    const { width, height } = pen.canvas;
    const image = pen.getImageData(0, 0, width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const colours = coloursOf(about.signed);
    const [rows, cols] = about.tile;
    for (let unit = 0; unit < about.count; unit++) {
      const own = Math.max(Math.abs(about.max[unit]), Math.abs(about.min[unit]));
      const gain = whole ? own / about.scale : 1;
      const table = new Uint32Array(256);
      for (let level = 0; level < 256; level++) {
        const share = about.signed ? (level - 128) / 127 : level / 255;
        const [r, g, b] = colourAt(colours, about.signed, share * gain);
        table[level] = (255 << 24) | (b << 16) | (g << 8) | r;
      }
      const [left, top] = [(unit % about.columns) * cols, Math.floor(unit / about.columns) * rows];
      for (let y = top; y < top + rows; y++) {
        for (let i = y * width + left; i < y * width + left + cols; i++) pixels[i] = table[pixels[i] & 255];
      }
    }
    pen.putImageData(image, 0, 0);
  }

  function place() {
    if (!facts) return;
    const room = canvas.parentElement?.clientWidth || 600;
    const single = facts.height * facts.width === 1;
    side = single ? 18 : Math.max(44, Math.min(96, Math.round(Math.sqrt((room * 560) / Math.max(1, order.length))) - GAP));
    const stretch = Math.min(3, facts.width / facts.height || 1);
    [wide, tall] = stretch >= 1 ? [Math.round(side * stretch), side] : [side, side];
    across = Math.max(1, Math.floor((room + GAP) / (wide + GAP)));
    const down = Math.ceil(order.length / across);
    const sharp = devicePixelRatio || 1;
    canvas.style.width = `${room}px`;
    canvas.style.height = `${Math.max(1, down * (tall + GAP))}px`;
    canvas.width = Math.round(room * sharp);
    canvas.height = Math.max(1, Math.min(16000, Math.round(down * (tall + GAP) * sharp)));
  }

  function draw() {
    if (!facts || !painted) return;
    place();
    const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    const sharp = devicePixelRatio || 1;
    pen.setTransform(sharp, 0, 0, sharp, 0, 0);
    pen.imageSmoothingEnabled = facts.width > wide;
    order.forEach((unit, i) => {
      const { x, y } = corner(i);
      pen.drawImage(/** @type {HTMLCanvasElement} */ (painted), ...within(unit), x, y, wide, tall);
      if (stars.has(unit)) mark(pen, x, y);
    });
    frame(pen);
    canvas.dataset.drawn = String(order.length);
    canvas.dataset.layer = facts.layer;
  }

  /** @param {CanvasRenderingContext2D} pen @param {number} x @param {number} y */
  function mark(pen, x, y) {
    pen.fillStyle = "#fff";
    pen.strokeStyle = "#000";
    pen.font = "15px sans-serif";
    pen.lineWidth = 3;
    pen.strokeText("★", x + 3, y + 15);
    pen.fillText("★", x + 3, y + 15);
  }

  /** @param {CanvasRenderingContext2D} pen */
  function frame(pen) {
    const i = order.indexOf(at);
    if (i < 0) return;
    const { x, y } = corner(i);
    const style = getComputedStyle(canvas);
    pen.lineWidth = 3;
    pen.strokeStyle = style.getPropertyValue("--mark");
    pen.strokeRect(x - 0.5, y - 0.5, wide + 1, tall + 1);
  }

  const corner = (/** @type {number} */ i) => ({ x: 2 + (i % across) * (wide + GAP), y: 2 + Math.floor(i / across) * (tall + GAP) });

  /** Where a unit's tile is in the atlas. @param {number} unit @returns {[number, number, number, number]} */
  function within(unit) {
    const about = /** @type {Facts} */ (facts);
    const [rows, cols] = about.tile;
    return [(unit % about.columns) * cols, Math.floor(unit / about.columns) * rows, about.width, about.height];
  }

  /** The unit under a pointer, and where in its map. @param {PointerEvent | MouseEvent} event */
  function under(event) {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left - 2, event.clientY - box.top - 2];
    const [col, row] = [Math.floor(x / (wide + GAP)), Math.floor(y / (tall + GAP))];
    const unit = col >= 0 && col < across && row >= 0 ? order[row * across + col] : undefined;
    const inside = (/** @type {number} */ share) => Math.min(0.999, Math.max(0, share));
    return unit === undefined ? null : { unit, x: inside((x - col * (wide + GAP)) / wide), y: inside((y - row * (tall + GAP)) / tall) };
  }

  /** @param {number} unit */
  function stand(unit) {
    at = unit;
    draw();
    if (!facts || unit < 0) return;
    const [row, col] = facts.peak[unit] || [0, 0];
    hands.hover(unit, (col + 0.5) / facts.width, (row + 0.5) / facts.height);
    const i = order.indexOf(unit);
    const box = canvas.getBoundingClientRect();
    const top = box.top + corner(i).y;
    if (top < 60 || top + tall > innerHeight) scrollBy({ top: top - innerHeight / 2 });
    say(`${hands.name(unit)}, largest ${told(facts.max[unit])} at row ${row}, column ${col}`);
  }

  canvas.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
    const found = under(event);
    if (!found) return;
    if (found.unit !== at) { at = found.unit; draw(); }
    hands.hover(found.unit, found.x, found.y);
  });
  canvas.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const found = under(event);
    if (found) hands.open(found.unit, found.x, found.y);
  });
  canvas.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across, Home: -1e9, End: 1e9 };
    const step = steps[/** @type {keyof typeof steps} */ (event.key)];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (step !== undefined && order.length) {
      const now = order.indexOf(at);
      stand(order[now < 0 ? 0 : Math.min(order.length - 1, Math.max(0, now + step))]);
    } else if (event.key === "Enter" && at >= 0 && facts) {
      const [row, col] = facts.peak[at] || [0, 0];
      hands.open(at, (col + 0.5) / facts.width, (row + 0.5) / facts.height);
    } else if (event.key === "*" && at >= 0) hands.star(at);
    else return;
    event.preventDefault();
  });

  return {
    node: canvas, use, draw, stand,
    /** @param {number[]} units @param {Set<number>} starred */
    arrange(units, starred) { order = units; stars = starred; if (!units.includes(at)) at = -1; draw(); },
    get at() { return at; },
    set at(unit) { at = unit; },
  };
}
