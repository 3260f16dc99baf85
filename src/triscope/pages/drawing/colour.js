// Numbers to colours, as the library draws them: its colour maps come with the page's first answer.

import { fill, h, penOf } from "./h.js";

/** @type {Colours} */ let maps = { signed: [], unsigned: [] };

/** The same as pixels: alpha, blue, green, red. */
const inks = { signed: new Uint32Array(256), unsigned: new Uint32Array(256) };

/** @param {{signed: number[][], unsigned: number[][]}} colours */
export function useColours(colours) {
  maps = colours;
  for (const name of /** @type {("signed" | "unsigned")[]} */ (["signed", "unsigned"])) {
    inks[name].set(colours[name].map(([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0));
  }
}

/** @param {boolean} signed */
export const inksOf = (signed) => (signed ? inks.signed : inks.unsigned);

/** @param {boolean} signed */
export const coloursOf = (signed) => (signed ? maps.signed : maps.unsigned);

/** Numbers as the server sends them. @param {any} sent @returns {Numbers} */
export function numbersOf(sent) {
  const { shape, scale, signed } = sent;
  if (sent.bytes) return { shape, scale, signed, values: new Float32Array(sent.bytes.buffer, sent.bytes.byteOffset, sent.bytes.length / 4) };
  const text = atob(sent.data);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return { shape, scale, signed, values: new Float32Array(bytes.buffer) };
}

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

/** Numbers that came in 8 bits, as shares of their scale. @param {any} sent @param {Uint8Array} levels @returns {Numbers} */
export function numbersOfLevels({ shape, scale, signed }, levels) {
  return { shape, scale, signed, values: Float32Array.from(levels, (level) => scale * (signed ? (level - 128) / 127 : level / 255)) };
}

/** The value of each colour that was looked up, as a share of the scale. */
const shares = { signed: new Map(), unsigned: new Map() };

/** The share of the scale that a colour stands for: that of the nearest of 511 colours. @param {boolean} signed
 * @param {ArrayLike<number>} pixels @param {number} at */
function shareOf(signed, pixels, at) {
  const [r, g, b] = [pixels[at], pixels[at + 1], pixels[at + 2]];
  const known = signed ? shares.signed : shares.unsigned;
  const found = known.get((r << 16) | (g << 8) | b);
  if (found !== undefined) return found;
  const colours = coloursOf(signed);
  let [best, nearest] = [0, Infinity];
  for (let i = 0; i < 511; i++) {
    const [low, high] = [colours[i >> 1], colours[(i + 1) >> 1]];
    const far = (low[0] + high[0] - 2 * r) ** 2 + (low[1] + high[1] - 2 * g) ** 2 + (low[2] + high[2] - 2 * b) ** 2;
    if (far < nearest) [best, nearest] = [i, far];
  }
  const share = signed ? best / 255 - 1 : best / 510;
  known.set((r << 16) | (g << 8) | b, share);
  return share;
}

/** The value that a pixel's colour stands for. @param {{scale: number, signed: boolean}} how @param {ImageData} image
 * @param {number} x @param {number} y */
export const valueOfColour = ({ scale, signed }, image, x, y) => scale * shareOf(signed, image.data, 4 * (y * image.width + x));

/** A map read back from a part of an image: from its colours, from three channels around grey, or from grey levels.
 * @param {{place: number[], scale: number, signed: boolean, read: "colours" | "rgb" | "levels"}} how @param {ImageData} image
 * @returns {Numbers} */
export function numbersIn({ place: [left, top, width, height], scale, signed, read }, image) {
  const [count, channels] = [width * height, read === "rgb" ? 3 : 1];
  const values = new Float32Array(channels * count);
  for (let i = 0; i < count; i++) {
    const at = 4 * ((top + Math.floor(i / width)) * image.width + left + (i % width));
    if (read === "rgb") for (let c = 0; c < 3; c++) values[c * count + i] = 2 * scale * (image.data[at + c] / 255 - 0.5);
    else values[i] = scale * (read === "colours" ? shareOf(signed, image.data, at) : signed ? (image.data[at] - 128) / 127 : image.data[at] / 255);
  }
  return { shape: [channels, height, width], scale, signed, values };
}

/** The place in its colours of a share in [-1, 1]. @param {boolean} signed @param {number} share */
export const placeOf = (signed, share) => Math.min(255, Math.max(0, Math.round(signed ? (share + 1) * 127.5 : share * 255)));

/** A heatmap (C, h, w) into a canvas of its size. `clear`: more transparent where it is weaker, to lie over a photo.
 * @param {HTMLCanvasElement} canvas @param {Numbers} numbers @param {{clear?: boolean, scale?: number}} [how] */
export function paint(canvas, numbers, { clear = false, scale = numbers.scale } = {}) {
  const [channels, height, width] = numbers.shape;
  Object.assign(canvas, { width, height });
  const pen = penOf(canvas);
  const image = pen.createImageData(width, height);
  const [colours, pixels] = [inksOf(numbers.signed), new Uint32Array(image.data.buffer)];
  const { values, signed } = numbers;
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
      pixels[i] = colours[placeOf(signed, values[i] / scale)];
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
    for (let i = 0; i < 256; i++) image.data.set([...(rgb ? [i, i, i] : coloursOf(signed)[i]), 255], 4 * i);
    pen.putImageData(image, 0, 0);
    fill(ends, words.map((word) => h("span", null, word)));
  }
  return { node: h("div", { class: kind }, bar, ends), paint };
}
