// What the canvas of a map shows: images from sheets of thumbnails, points of their mean colours, what stands out.

import { bounded, h, penOf } from "./h.js";
import { advance, at, canvas, data, draw, extent, frames, inSight, marks, mix, pen, sideNow, state,
  whole } from "./map_view.js";

const POINTS_BELOW = 7; // pixels: smaller images are drawn as points of their mean colour,
const SPRITES_MOVING = 1500; // and so are all, as long as they move and more than so many are in sight
const STILL_AFTER = 150; // milliseconds
export const COMPANY = 26; // pixels: the chosen image and its neighbours are at least so large
const DIM = 0.09;
const UNSEEN = "#a8a299"; // the colour of an image whose thumbnail is not there yet

/** The sheets, halved so many times: levels[n][number].
 * @type {(HTMLImageElement | ImageBitmap | HTMLCanvasElement)[][]} */
export const levels = [];
/** Colours of the page, by their names. @type {Record<string, string>} */
const ink = {};
/** Points are written as pixels: alpha, blue, green, red. */
let inks = new Uint32Array(0);
const dots = penOf(h("canvas"), { willReadFrequently: true });
let dotted = new ImageData(1, 1);

/** A sheet of thumbnails, and the same again and again halved.
 * @param {number} number @param {HTMLImageElement | ImageBitmap | HTMLCanvasElement} sheet */
export function addSheet(number, sheet) {
  for (let [level, side] = [0, data.tile]; ; level++, side /= 2) {
    (levels[level] ??= [])[number] = sheet;
    if (side <= 8) return;
    const half = h("canvas", { width: sheet.width >> 1, height: sheet.height >> 1 });
    penOf(half).drawImage(sheet, 0, 0, half.width, half.height);
    sheet = half;
  }
}

/** The colours of the page, and of points. */
export function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["paper", "ink", "soft", "mark"]) ink[name] = style.getPropertyValue(`--${name}`).trim();
  inks = Uint32Array.from({ length: data.count }, (_, i) => packed(marks.colors[i] || data.tones[i] || UNSEEN, 1));
}

/** A colour as a pixel, so opaque. @param {string} hex @param {number} share */
function packed(hex, share) {
  const [red, green, blue] = [1, 3, 5].map((place) => parseInt(hex.slice(place, place + 2), 16));
  return faded((blue << 16) | (green << 8) | red, share);
}

/** @param {number} color @param {number} share */
const faded = (color, share) => ((color & 0xffffff) | (Math.round(255 * share) << 24)) >>> 0;

/** Image i into a canvas, its middle at (x, y), its longer side `side` pixels; `square` 1 fills a square.
 * @param {CanvasRenderingContext2D} target @param {number} i @param {number} x @param {number} y
 * @param {number} side @param {number} square */
function sprite(target, i, x, y, side, square) {
  const { tile, columns, rows, sizes } = data;
  const halved = Math.floor(Math.log2(tile / Math.max(1, side * devicePixelRatio)));
  const level = bounded(halved, 0, Math.max(0, levels.length - 1));
  const place = i % (columns * rows);
  const sheet = levels[level]?.[Math.floor(i / (columns * rows))];
  if (!sheet) {
    target.fillStyle = marks.colors[i] || UNSEEN;
    target.fillRect(x - side / 2, y - side / 2, side, side);
    return;
  }
  const [w, h] = [sizes[2 * i], sizes[2 * i + 1]];
  const short = Math.min(w, h);
  const [sw, sh] = [mix(w, short, square), mix(h, short, square)];
  const sx = (place % columns) * tile + ((tile - w) >> 1) + (w - sw) / 2;
  const sy = Math.floor(place / columns) * tile + ((tile - h) >> 1) + (h - sh) / 2;
  const [dw, dh] = extent(i, side, square);
  const shrink = 1 / 2 ** level;
  target.drawImage(sheet, sx * shrink, sy * shrink, sw * shrink, sh * shrink, x - dw / 2, y - dh / 2, dw, dh);
}

/** A canvas that shows one image. @param {number} i @param {number} side */
export function thumb(i, side) {
  const [w, h_] = extent(i, side, 0);
  const [width, height] = [w, h_].map((size) => Math.max(1, Math.round(size * devicePixelRatio)));
  const small = h("canvas", { width, height, style: { width: `${w}px`, height: `${h_}px` } });
  const brush = penOf(small);
  brush.imageSmoothingQuality = "high";
  brush.setTransform(width / w, 0, 0, height / h_, 0, 0);
  sprite(brush, i, w / 2, h_ / 2, side, 0);
  return small;
}

/** @param {number} i @param {number} side @param {string} color @param {number} thick */
function frame(i, side, color, thick) {
  const [w, h] = extent(i, side);
  pen.fillStyle = color;
  pen.fillRect(at(i, 0) - w / 2 - thick, at(i, 1) - h / 2 - thick, w + 2 * thick, h + 2 * thick);
}

/** How much of its colour an image keeps: little where it does not match, less than all beside a chosen one.
 * @param {number} bright */
const shareOf = (bright) => (!bright ? DIM : state.chosen < 0 ? 1 : 0.3);

/** @param {number} side */
function drawSprites(side) {
  const { lit, colors } = marks;
  const thick = bounded(side / 12, 1.2, 3);
  for (const bright of [0, 1]) {
    pen.globalAlpha = shareOf(bright);
    for (let i = 0; i < data.count; i++) {
      if (lit[i] !== bright || !inSight(i, side)) continue;
      const framed = bright && colors[i];
      const inner = framed ? side - 2 * thick * state.blend : side; // in a cell the frame takes of the image
      if (framed) frame(i, inner, colors[i], thick);
      sprite(pen, i, at(i, 0), at(i, 1), inner, state.blend);
    }
  }
  pen.globalAlpha = 1;
}

/** A square of one colour. @param {Uint32Array} pixels @param {number} x @param {number} y @param {number} dot
 * @param {number} color */
function stamp(pixels, x, y, dot, color) {
  const { width, height } = dotted;
  const [from, to] = [bounded(Math.round(x - dot / 2), 0, width), bounded(Math.round(x + dot / 2), 0, width)];
  const [top, end] = [bounded(Math.round(y - dot / 2), 0, height), bounded(Math.round(y + dot / 2), 0, height)];
  for (let row = top; from < to && row < end; row++) pixels.fill(color, row * width + from, row * width + to);
}

/** What is shown as points, written pixel by pixel: for tens of thousands that is far quicker than shapes.
 * @param {boolean} all @param {number} side @param {number} sharp */
function drawPoints(all, side, sharp) {
  if (dotted.width !== canvas.width || dotted.height !== canvas.height) {
    dotted = new ImageData(Math.max(1, canvas.width), Math.max(1, canvas.height)); // hidden, it is of no size
    Object.assign(dots.canvas, { width: dotted.width, height: dotted.height });
  }
  const pixels = new Uint32Array(dotted.data.buffer).fill(0);
  const { view: { scale, x, y }, blend } = state;
  const others = packed(ink.soft, 0.4 * (1 - blend));
  for (let i = 0; i < data.rest.length && blend < 1; i += 2) {
    stamp(pixels, (data.rest[i] * scale + x) * sharp, (data.rest[i + 1] * scale + y) * sharp, 2 * sharp, others);
  }
  const dot = Math.max(2, side * mix(0.8, 1, blend)) * sharp;
  for (const bright of all ? [0, 1] : []) {
    const share = shareOf(bright);
    for (let i = 0; i < data.count; i++) {
      if (marks.lit[i] === bright) stamp(pixels, at(i, 0) * sharp, at(i, 1) * sharp, dot, faded(inks[i], share));
    }
  }
  dots.putImageData(dotted, 0, 0);
  pen.drawImage(dots.canvas, 0, 0, dotted.width / sharp, dotted.height / sharp);
}

/** The neighbours of an image, nearest first, as far as they are known. @param {number} i */
export const neighborsOf = (i) => data.near[i] || [];

/** The images that stand out: the chosen one's neighbours, farthest first, then itself. */
export const company = () =>
  (state.chosen < 0 ? [] : [...neighborsOf(state.chosen).map(([i]) => i).reverse(), state.chosen]);

/** An image that stands out, in a frame. @param {number} i @param {number} side @param {string} color
 * @param {number} thick */
function drawFramed(i, side, color, thick) {
  frame(i, side, ink.paper, thick + 1.5);
  frame(i, side, color, thick);
  sprite(pen, i, at(i, 0), at(i, 1), side, state.blend);
}

/** The images that are picked, the chosen one with its neighbours, and the one under the pointer.
 * @param {number} side */
function drawOutstanding(side) {
  pen.strokeStyle = ink.mark;
  pen.lineWidth = 2;
  for (const i of state.picked) {
    const [w, h] = extent(i, side);
    pen.strokeRect(at(i, 0) - w / 2, at(i, 1) - h / 2, w, h);
  }
  const together = company();
  pen.globalAlpha = 0.8;
  pen.lineWidth = 1.5;
  pen.beginPath();
  for (const i of together) {
    pen.moveTo(at(state.chosen, 0), at(state.chosen, 1));
    pen.lineTo(at(i, 0), at(i, 1));
  }
  pen.stroke();
  pen.globalAlpha = 1;
  for (const i of together) drawFramed(i, Math.max(side, COMPANY), ink.mark, i === state.chosen ? 4 : 2);
  const { hovered } = state;
  if (hovered < 0 || together.includes(hovered)) return;
  drawFramed(hovered, Math.max(side, 12), marks.colors[hovered] || ink.ink, 2.5);
}

/** The lasso as a closed path. @param {[number, number][]} points */
const outline = (points) => new Path2D(`M${points.map((point) => point.join(" ")).join("L")}Z`);

/** The images that match and whose middles lie in the lasso. @param {[number, number][]} points */
export function inside(points) {
  const path = outline(points);
  return [...marks.lit.keys()].filter((i) => marks.lit[i] && dots.isPointInPath(path, at(i, 0), at(i, 1), "evenodd"));
}

/** @param {[number, number][]} points */
function drawLasso(points) {
  const path = outline(points);
  pen.globalAlpha = 0.12;
  pen.fillStyle = ink.mark;
  pen.fill(path);
  pen.globalAlpha = 1;
  pen.strokeStyle = ink.mark;
  pen.lineWidth = 1.5;
  pen.stroke(path);
}

/** Whether more are in sight than can be drawn while they move. @param {number} side */
function crowded(side) {
  let seen = 0;
  for (let i = 0; i < data.count && seen <= SPRITES_MOVING; i++) seen += Number(inSight(i, side));
  return seen > SPRITES_MOVING;
}

frames.paint = (now) => {
  const going = advance(now);
  const sharp = devicePixelRatio || 1;
  pen.setTransform(sharp, 0, 0, sharp, 0, 0);
  pen.clearRect(0, 0, state.width, state.height);
  const side = sideNow();
  state.hurried = now - state.moved < STILL_AFTER && crowded(side);
  const points = side < POINTS_BELOW || state.hurried || !levels.length;
  if (points || (data.rest.length && state.blend < 1)) drawPoints(points, side, sharp);
  if (!points) drawSprites(side);
  drawOutstanding(side);
  if (state.lasso) drawLasso(state.lasso);
  const touch = whole() && !state.drawing ? "pan-y" : "none"; // of the whole map, one finger scrolls the page
  if (canvas.style.touchAction !== touch) canvas.style.touchAction = touch;
  if (going || state.hurried) draw();
};
