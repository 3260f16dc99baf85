// Numbers to colours, as the library draws them: its colour maps come with the page's first answer.

import { bounded, fill, h, penOf } from "./h.js";

/** A colour map: its colours, the same as pixels (alpha, blue, green, red), and the share of the scale that each colour
 * stands for, once it was looked up. @param {number[][]} colours */
const readable = (colours) => ({ colours, shares: new Map(),
  inks: Uint32Array.from(colours, ([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0) });
let maps = { signed: readable([]), unsigned: readable([]) };

/** @param {Colours} colours */
export function useColours({ signed, unsigned }) {
  maps = { signed: readable(signed), unsigned: readable(unsigned) };
}

/** @param {boolean} signed */
const mapOf = (signed) => (signed ? maps.signed : maps.unsigned);

/** The share of the scale that a level of 8 bits stands for. @param {boolean} signed @param {number} level */
const shareOfLevel = (signed, level) => (signed ? (level - 128) / 127 : level / 255);

/** Numbers as the server sends them. @param {any} sent @returns {Numbers} */
export const numbersOf = ({ shape, scale, signed, parts }) =>
  ({ shape, scale, signed, values: new Float32Array(parts.values) });

/** The mean magnitude; of three channels that of the largest. @param {Numbers} numbers */
export function meanOf({ shape, values }) {
  const count = shape[1] * shape[2];
  let sum = 0;
  for (let i = 0; i < count; i++) {
    let size = 0;
    for (let c = 0; c < shape[0]; c++) size = Math.max(size, Math.abs(values[c * count + i]));
    sum += size;
  }
  return sum / count;
}

/** Numbers that came in 8 bits, as shares of their scale. @param {any} sent @returns {Numbers} */
export const numbersOfLevels = ({ shape, scale, signed }, /** @type {ArrayBuffer} */ levels) =>
  ({ shape, scale, signed,
    values: Float32Array.from(new Uint8Array(levels), (level) => scale * shareOfLevel(signed, level)) });

/** The share of the scale that a colour stands for: that of the nearest of 511 colours. @param {boolean} signed
 * @param {ArrayLike<number>} pixels @param {number} at */
function shareOf(signed, pixels, at) {
  const [r, g, b] = [pixels[at], pixels[at + 1], pixels[at + 2]];
  const { colours, shares } = mapOf(signed);
  const found = shares.get((r << 16) | (g << 8) | b);
  if (found !== undefined) return found;
  let [best, nearest] = [0, Infinity];
  for (let i = 0; i < 511; i++) {
    const [low, high] = [colours[i >> 1], colours[(i + 1) >> 1]];
    const far = (low[0] + high[0] - 2 * r) ** 2 + (low[1] + high[1] - 2 * g) ** 2 + (low[2] + high[2] - 2 * b) ** 2;
    if (far < nearest) [best, nearest] = [i, far];
  }
  const share = signed ? best / 255 - 1 : best / 510;
  shares.set((r << 16) | (g << 8) | b, share);
  return share;
}

/** The value that a pixel's colour stands for. @param {{scale: number, signed: boolean}} how @param {ImageData} image
 * @param {number[]} place */
export const valueOfColour = ({ scale, signed }, { data, width }, [x, y]) =>
  scale * shareOf(signed, data, 4 * (y * width + x));

/** A map read back from a part of an image: from its colours, from three channels around grey, or from grey levels.
 * @param {{place: number[], scale: number, signed: boolean, read: "colours" | "rgb" | "levels"}} how
 * @param {ImageData} image
 * @returns {Numbers} */
export function numbersIn({ place: [left, top, width, height], scale, signed, read }, { data, width: line }) {
  const [count, channels] = [width * height, read === "rgb" ? 3 : 1];
  const values = new Float32Array(channels * count);
  for (let i = 0; i < count; i++) {
    const at = 4 * ((top + Math.floor(i / width)) * line + left + (i % width));
    if (read === "rgb") for (let c = 0; c < 3; c++) values[c * count + i] = 2 * scale * (data[at + c] / 255 - 0.5);
    else values[i] = scale * (read === "colours" ? shareOf(signed, data, at) : shareOfLevel(signed, data[at]));
  }
  return { shape: [channels, height, width], scale, signed, values };
}

/** The place in its colours of a share in [-1, 1]. @param {boolean} signed @param {number} share */
const placeOf = (signed, share) => bounded(Math.round(signed ? (share + 1) * 127.5 : share * 255), 0, 255);

/** The colours of the levels of a map in 8 bits, as pixels. @param {boolean} signed @param {number} gain */
export function inksOfLevels(signed, gain) {
  const [{ inks }, found] = [mapOf(signed), new Uint32Array(256)];
  for (let level = 0; level < 256; level++) found[level] = inks[placeOf(signed, gain * shareOfLevel(signed, level))];
  return found;
}

/** A heatmap (C, h, w) into a canvas of its size. `clear`: more transparent where it is weaker, to lie over a photo.
 * @param {HTMLCanvasElement} canvas @param {Numbers} numbers @param {{clear?: boolean, scale?: number}} [how] */
export function paint(canvas, numbers, { clear = false, scale = numbers.scale } = {}) {
  const [channels, height, width] = numbers.shape;
  Object.assign(canvas, { width, height });
  const pen = penOf(canvas);
  const image = pen.createImageData(width, height);
  const { values, signed } = numbers;
  const [{ inks }, pixels] = [mapOf(signed), new Uint32Array(image.data.buffer)];
  const count = width * height;
  for (let i = 0; i < count; i++) {
    let strength = 0;
    if (channels === 3) {
      for (let c = 0; c < 3; c++) {
        const value = values[c * count + i];
        image.data[4 * i + c] = 255 * (0.5 + value / (2 * scale));
        strength = Math.max(strength, Math.abs(value));
      }
      image.data[4 * i + 3] = 255;
    } else {
      pixels[i] = inks[placeOf(signed, values[i] / scale)];
      strength = Math.abs(values[i]);
    }
    if (clear) image.data[4 * i + 3] = 255 * 0.92 * Math.sqrt(Math.min(1, strength / scale));
  }
  pen.putImageData(image, 0, 0);
}

/** The value at a share of the width and height; the largest of three channels. @param {Numbers} numbers
 * @param {number} x @param {number} y */
export function valueAt(numbers, x, y) {
  const [channels, height, width] = numbers.shape;
  const row = Math.min(height - 1, Math.floor(y * height));
  const col = Math.min(width - 1, Math.floor(x * width));
  let found = 0;
  for (let c = 0; c < channels; c++) {
    const value = numbers.values[(c * height + row) * width + col];
    if (Math.abs(value) > Math.abs(found)) found = value;
  }
  return { value: found, row, col };
}

/** The legend of a map: its colours, and the words below them. @param {string} [kind] */
export function legendBar(kind = "legend") {
  const bar = h("canvas", { class: "scale", width: 256, height: 1, "aria-hidden": "true" });
  const ends = h("p", { class: "ends" });
  /** @param {boolean} signed @param {string[]} words  from left to right @param {boolean} [rgb] */
  function paint(signed, words, rgb = false) {
    const pen = penOf(bar);
    const image = pen.createImageData(256, 1);
    for (let i = 0; i < 256; i++) image.data.set([...(rgb ? [i, i, i] : mapOf(signed).colours[i]), 255], 4 * i);
    pen.putImageData(image, 0, 0);
    fill(ends, words.map((word) => h("span", null, word)));
  }
  return { node: h("div", { class: kind }, bar, ends), paint };
}
