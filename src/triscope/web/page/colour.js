// Numbers to colours, as the library draws them: its colour maps come with the page's first answer.

/** @typedef {{shape: number[], values: Float32Array, scale: number, signed: boolean}} Numbers */

/** @type {{signed: number[][], unsigned: number[][]}} */
let maps = { signed: [], unsigned: [] };

/** @param {{signed: number[][], unsigned: number[][]}} colours */
export function useColours(colours) { maps = colours; }

/** @param {boolean} signed */
export const coloursOf = (signed) => (signed ? maps.signed : maps.unsigned);

/** Numbers as the server sends them. @param {any} sent @returns {Numbers} */
export function numbersOf(sent) {
  const bytes = Uint8Array.from(atob(sent.data), (letter) => letter.charCodeAt(0));
  const { shape, scale, signed } = sent;
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

/** The colour of a share in [-1, 1]. @param {number[][]} colours @param {boolean} signed @param {number} share */
export function colourAt(colours, signed, share) {
  const place = signed ? (share + 1) * 127.5 : share * 255;
  return colours[Math.min(255, Math.max(0, Math.round(place)))];
}

/**
 * A heatmap (C, h, w) into a canvas of its size. `clear`: as clear as it is weak, to lie over a photo.
 * @param {HTMLCanvasElement} canvas @param {Numbers} numbers @param {{clear?: boolean, scale?: number}} [how]
 */
export function paint(canvas, numbers, { clear = false, scale = numbers.scale } = {}) {
  const [channels, height, width] = numbers.shape;
  Object.assign(canvas, { width, height });
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = pen.createImageData(width, height);
  const colours = coloursOf(numbers.signed);
  const count = width * height;
  for (let i = 0; i < count; i++) {
    let strength = 0;
    if (channels === 3) {
      for (let c = 0; c < 3; c++) {
        const value = numbers.values[c * count + i];
        image.data[4 * i + c] = 255 * (0.5 + value / (2 * scale));
        strength = Math.max(strength, Math.abs(value));
      }
    } else {
      const value = numbers.values[i];
      image.data.set(colourAt(colours, numbers.signed, value / scale), 4 * i);
      strength = Math.abs(value);
    }
    image.data[4 * i + 3] = clear ? 255 * 0.92 * Math.sqrt(Math.min(1, strength / scale)) : 255;
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
