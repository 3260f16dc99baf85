// Numbers to colours, as the library draws them: its colour maps come with the page's first answer.

/** @typedef {{shape: number[], values: Float32Array, scale: number, signed: boolean}} Numbers */

/** @type {{signed: number[][], unsigned: number[][]}} */
let maps = { signed: [], unsigned: [] };

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

/** The place in its colours of a share in [-1, 1]. @param {boolean} signed @param {number} share */
export const placeOf = (signed, share) => Math.min(255, Math.max(0, Math.round(signed ? (share + 1) * 127.5 : share * 255)));

/**
 * A heatmap (C, h, w) into a canvas of its size. `clear`: as clear as it is weak, to lie over a photo.
 * @param {HTMLCanvasElement} canvas @param {Numbers} numbers @param {{clear?: boolean, scale?: number}} [how]
 */
export function paint(canvas, numbers, { clear = false, scale = numbers.scale } = {}) {
  const [channels, height, width] = numbers.shape;
  Object.assign(canvas, { width, height });
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
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

/** The legend: a bar of colours. @param {HTMLCanvasElement} canvas @param {boolean} signed @param {boolean} rgb */
export function paintLegend(canvas, signed, rgb = false) {
  Object.assign(canvas, { width: 256, height: 1 });
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = pen.createImageData(256, 1);
  for (let i = 0; i < 256; i++) image.data.set([...(rgb ? [i, i, i] : coloursOf(signed)[i]), 255], 4 * i);
  pen.putImageData(image, 0, 0);
}
