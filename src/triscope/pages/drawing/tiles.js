// All maps of a layer on one canvas, from their levels or from one image of them, for pointer and keyboard.

import { inksOfLevels } from "./colour.js";
import { bounded, h, penOf, say, told } from "./h.js";

/** @param {{hover: (unit: number, x: number, y: number) => void, open: (unit: number, x: number, y: number) => void,
 *   star: (unit: number) => void, name: (unit: number) => string, largest?: number}} hands  pixels of the largest
 * tile */
export function tileCanvas(hands) {
  const canvas = h("canvas", { tabindex: 0, role: "application", class: "tiles", "aria-label": "Units of the layer" });
  /** @type {Tiles | null} */ let facts = null;
  /** @type {HTMLImageElement | ImageBitmap | null} */ let image = null;
  /** @type {Uint8Array | null} */ let levels = null;
  /** What the canvas shows, except stars and the frame. @type {ImageData | null} */ let composed = null;
  let whole = false;
  /** @type {number[]} */ let order = [];
  let stars = new Set();
  let at = -1;
  let [wide, tall, gap, across] = [64, 64, 4, 1];

  /** What is drawn: the levels of all maps, or an image of all tiles; nothing yet without.
   * @param {Uint8Array | HTMLImageElement | ImageBitmap | null} source @param {Tiles} about
   * @param {boolean} [shared]  whether all units are drawn in the scale of the layer */
  function use(source, about, shared = whole) {
    [facts, whole, composed] = [about, shared, null];
    [levels, image] = source instanceof Uint8Array ? [source, null] : [null, source];
  }

  /** All tiles in their places, from levels: a pixel is the mean of what lies under it. Returns what the canvas
   * shows. */
  function compose() {
    const about = /** @type {Tiles} */ (facts);
    const source = /** @type {Uint8Array} */ (levels);
    const { width, height } = about;
    const sharp = devicePixelRatio || 1;
    const made = new ImageData(canvas.width, canvas.height);
    const pixels = new Uint32Array(made.data.buffer);
    const [acrossTile, downTile] = [Math.round(wide * sharp), Math.round(tall * sharp)];
    const [lefts, rights] = spans(acrossTile, width);
    const [tops, ends] = spans(downTile, height);
    const line = canvas.width;
    const enlarged = acrossTile >= width && downTile >= height;
    let table = tableOf(about, 0);
    for (let i = 0; i < order.length; i++) {
      const unit = order[i];
      if (whole) table = tableOf(about, unit);
      const start = unit * width * height;
      const { x, y } = corner(i);
      const [left, top] = [Math.round(x * sharp), Math.round(y * sharp)];
      const [most, lines] = [Math.min(acrossTile, canvas.width - left), Math.min(downTile, canvas.height - top)];
      for (let down = 0; down < lines; down++) {
        const first = start + tops[down] * width;
        const end = start + ends[down] * width;
        const to = (top + down) * line + left;
        if (down && enlarged && tops[down] === tops[down - 1]) pixels.copyWithin(to, to - line, to - line + most);
        else if (enlarged) for (let i = 0; i < most; i++) pixels[to + i] = table[source[first + lefts[i]]];
        else {
          for (let over = 0; over < most; over++) {
            const from = lefts[over];
            const until = rights[over];
            let sum = 0;
            for (let row = first; row < end; row += width) for (let x = from; x < until; x++) sum += source[row + x];
            pixels[to + over] = table[(sum / ((ends[down] - tops[down]) * (until - from)) + 0.5) | 0];
          }
        }
      }
    }
    return made;
  }

  /** The range of `of` numbers under each of `count` pixels: from, to. @param {number} count @param {number} of */
  function spans(count, of) {
    const [from, to] = [new Int32Array(count), new Int32Array(count)];
    for (let i = 0; i < count; i++) {
      from[i] = Math.floor((i * of) / count);
      to[i] = Math.max(from[i] + 1, Math.floor(((i + 1) * of) / count));
    }
    return [from, to];
  }

  /** The colours of a map's levels. @param {Tiles} about @param {number} unit */
  const tableOf = ({ signed, max, min, scale }, unit) =>
    inksOfLevels(signed, whole ? Math.max(Math.abs(max[unit]), Math.abs(min[unit])) / scale : 1);

  function place() {
    if (!facts) return;
    const room = canvas.parentElement?.clientWidth || 600;
    const single = facts.height * facts.width === 1;
    gap = single ? 1 : 4;
    const fitting = Math.round(Math.sqrt((room * 560) / Math.max(1, order.length))) - gap;
    const side = single ? bounded(fitting, 7, 18) : bounded(fitting, 44, hands.largest || 96);
    [wide, tall] = [Math.round(side * bounded(facts.width / facts.height || 1, 1, 3)), side];
    across = Math.max(1, Math.floor((room + gap) / (wide + gap)));
    const down = Math.ceil(order.length / across);
    const sharp = devicePixelRatio || 1;
    const high = Math.max(1, down * (tall + gap));
    const [pixels, lines] = [Math.round(room * sharp), bounded(Math.round(high * sharp), 1, 16000)];
    if (canvas.width === pixels && canvas.height === lines) return;
    Object.assign(canvas.style, { width: `${room}px`, height: `${high}px` });
    Object.assign(canvas, { width: pixels, height: lines });
  }

  function draw() {
    if (!facts) return;
    place();
    if (!(image || levels)) return;
    const pen = penOf(canvas, { willReadFrequently: true });
    const sharp = devicePixelRatio || 1;
    pen.setTransform(sharp, 0, 0, sharp, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    if (levels) {
      if (composed?.width !== canvas.width || composed?.height !== canvas.height) composed = null;
      composed ||= compose();
      pen.putImageData(composed, 0, 0);
    }
    const { places } = facts;
    pen.imageSmoothingEnabled = facts.width > wide;
    pen.lineWidth = 3;
    order.forEach((unit, i) => {
      const { x, y } = corner(i);
      if (image && places) pen.drawImage(image, ...places[unit], x, y, wide, tall);
      if (stars.has(unit)) {
        Object.assign(pen, { fillStyle: "#fff", strokeStyle: "#000", font: "15px sans-serif" });
        pen.strokeText("★", x + 3, y + 15);
        pen.fillText("★", x + 3, y + 15);
      }
    });
    if (order.includes(at)) {
      const { x, y } = corner(order.indexOf(at));
      pen.strokeStyle = getComputedStyle(canvas).getPropertyValue("--mark");
      pen.strokeRect(x - 0.5, y - 0.5, wide + 1, tall + 1);
    }
    canvas.dataset.drawn = String(order.length);
    canvas.dataset.layer = facts.layer;
  }

  /** Where the tile in a place of the order begins. @param {number} i */
  const corner = (i) => ({ x: 2 + (i % across) * (wide + gap), y: 2 + Math.floor(i / across) * (tall + gap) });

  /** The unit under a pointer, and where in its map. @param {MouseEvent} event
   * @returns {[number, number, number] | null} */
  function under(event) {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left - 2, event.clientY - box.top - 2];
    const [col, row] = [Math.floor(x / (wide + gap)), Math.floor(y / (tall + gap))];
    const unit = col >= 0 && col < across && row >= 0 ? order[row * across + col] : undefined;
    const share = (/** @type {number} */ from, /** @type {number} */ size) => bounded(from / size, 0, 0.999);
    return unit === undefined ? null : [unit, share(x - col * (wide + gap), wide), share(y - row * (tall + gap), tall)];
  }

  /** Where a unit's map is largest, in shares. @param {number} unit @returns {[number, number]} */
  function peakOf(unit) {
    const { peak, width, height } = /** @type {Tiles} */ (facts);
    const [row, col] = peak[unit] || [0, 0];
    return [(col + 0.5) / width, (row + 0.5) / height];
  }

  /** Let the keyboard be at a unit. @param {number} unit */
  function stand(unit) {
    if (!facts) return;
    at = unit;
    draw();
    const [row, col] = facts.peak[unit] || [0, 0];
    hands.hover(unit, ...peakOf(unit));
    const top = canvas.getBoundingClientRect().top + corner(order.indexOf(unit)).y;
    if (top < 60 || top + tall > innerHeight) scrollBy({ top: top - innerHeight / 2 });
    say(`${hands.name(unit)}, largest ${told(facts.max[unit])} at row ${row}, column ${col}`);
  }

  canvas.addEventListener("pointermove", (event) => {
    const found = under(event);
    if (!found) return;
    if (found[0] !== at) { at = found[0]; draw(); }
    hands.hover(...found);
  });
  canvas.addEventListener("click", (event) => {
    const found = under(event);
    if (found) hands.open(...found);
  });
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    /** @type {Record<string, number>} */
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across, Home: -1e9, End: 1e9 };
    const step = steps[event.key];
    if (step !== undefined && order.length) {
      stand(order[at < 0 ? 0 : bounded(order.indexOf(at) + step, 0, order.length - 1)]);
    } else if (event.key === "Enter" && at >= 0 && facts) hands.open(at, ...peakOf(at));
    else if (event.key === "*" && at >= 0) hands.star(at);
    else return;
    event.preventDefault();
  });

  /** @param {number[]} units @param {Set<number>} [starred] */
  function arrange(units, starred = new Set()) {
    [order, stars, composed] = [units, starred, null];
    if (!units.includes(at)) at = -1;
    draw();
  }

  return {
    node: canvas, use, draw, stand, arrange,
    /** Reserve the space of a layer's units until they arrive. @param {Layer} layer */
    keep({ channels, grid: [height, width] }) {
      use(null, /** @type {any} */ ({ height, width, max: [], peak: [] }));
      arrange([...Array(channels).keys()]);
    },
    get at() { return at; },
  };
}
