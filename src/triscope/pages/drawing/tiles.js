// All maps of a layer on one canvas, from one atlas, for pointer and keyboard.

import { inksOf, placeOf } from "./colour.js";
import { h, penOf, say, told } from "./h.js";

/** @param {{hover: (unit: number, x: number, y: number) => void, open: (unit: number, x: number, y: number) => void,
 *   star: (unit: number) => void, name: (unit: number) => string, largest?: number}} hands  pixels of the largest tile */
export function tileCanvas(hands) {
  const canvas = h("canvas", { tabindex: "0", role: "application", class: "tiles", "aria-label": "Units of the layer" });
  /** @type {Tiles | null} */ let facts = null;
  /** @type {HTMLCanvasElement | null} */ let painted = null;
  /** @type {Uint8Array | null} */ let levels = null;
  /** What the canvas shows, except stars and the frame. @type {ImageData | null} */ let composed = null;
  let whole = false;
  /** @type {number[]} */ let order = [];
  let stars = new Set();
  let at = -1;
  let [side, gap] = [64, 4];
  let [wide, tall, across] = [64, 64, 1];

  /** The maps in colours: from their levels, or from an atlas of them.
   * @param {Uint8Array | HTMLImageElement | null} source @param {Tiles} about @param {{whole: boolean, plain: boolean}} how */
  function use(source, about, how) {
    whole = how.whole;
    composed = null;
    levels = source instanceof Uint8Array ? source : null;
    facts = about;
    painted = null;
    if (!source || source instanceof Uint8Array) return;
    painted = document.createElement("canvas");
    Object.assign(painted, { width: source.naturalWidth, height: source.naturalHeight });
    const pen = penOf(painted, { willReadFrequently: true });
    pen.drawImage(source, 0, 0);
    if (how.plain) return;
    const image = pen.getImageData(0, 0, painted.width, painted.height);
    const pixels = new Uint32Array(image.data.buffer);
    const [rows, cols] = about.tile;
    for (let unit = 0; unit < about.count; unit++) {
      const table = tableOf(about, unit);
      const [left, top] = [(unit % about.columns) * cols, Math.floor(unit / about.columns) * rows];
      for (let y = top; y < top + rows; y++) {
        for (let i = y * image.width + left; i < y * image.width + left + cols; i++) pixels[i] = table[pixels[i] & 255];
      }
    }
    pen.putImageData(image, 0, 0);
  }

  /** All tiles in their places, from levels: a pixel is the mean of what lies under it. Returns what the canvas shows. */
  function compose() {
    const about = /** @type {Tiles} */ (facts);
    const source = /** @type {Uint8Array} */ (levels);
    const { width, height } = about;
    const sharp = devicePixelRatio || 1;
    const image = new ImageData(canvas.width, canvas.height);
    const pixels = new Uint32Array(image.data.buffer);
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
        else if (enlarged) for (let over = 0; over < most; over++) pixels[to + over] = table[source[first + lefts[over]]];
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
    return image;
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
  function tableOf(about, unit) {
    const inks = inksOf(about.signed);
    const own = Math.max(Math.abs(about.max[unit]), Math.abs(about.min[unit]));
    const gain = whole ? own / about.scale : 1;
    const table = new Uint32Array(256);
    for (let level = 0; level < 256; level++) {
      table[level] = inks[placeOf(about.signed, gain * (about.signed ? (level - 128) / 127 : level / 255))];
    }
    return table;
  }

  function place() {
    if (!facts) return;
    const room = canvas.parentElement?.clientWidth || 600;
    const single = facts.height * facts.width === 1;
    gap = single ? 1 : 4;
    const fitting = Math.round(Math.sqrt((room * 560) / Math.max(1, order.length))) - gap;
    side = single ? Math.max(7, Math.min(18, fitting)) : Math.max(44, Math.min(hands.largest || 96, fitting));
    const stretch = Math.min(3, facts.width / facts.height || 1);
    [wide, tall] = stretch >= 1 ? [Math.round(side * stretch), side] : [side, side];
    across = Math.max(1, Math.floor((room + gap) / (wide + gap)));
    const down = Math.ceil(order.length / across);
    const sharp = devicePixelRatio || 1;
    const high = Math.max(1, down * (tall + gap));
    const [pixels, lines] = [Math.round(room * sharp), Math.max(1, Math.min(16000, Math.round(high * sharp)))];
    if (canvas.width === pixels && canvas.height === lines) return;
    Object.assign(canvas.style, { width: `${room}px`, height: `${high}px` });
    Object.assign(canvas, { width: pixels, height: lines });
  }

  function draw() {
    if (!facts) return;
    place();
    if (!(painted || levels)) return;
    const pen = penOf(canvas, { willReadFrequently: true });
    const sharp = devicePixelRatio || 1;
    pen.setTransform(sharp, 0, 0, sharp, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    if (levels) {
      if (composed?.width !== canvas.width || composed?.height !== canvas.height) composed = null;
      composed ||= compose();
      pen.putImageData(composed, 0, 0);
    }
    pen.imageSmoothingEnabled = facts.width > wide;
    order.forEach((unit, i) => {
      const { x, y } = corner(i);
      if (!levels) pen.drawImage(/** @type {HTMLCanvasElement} */ (painted), ...within(unit), x, y, wide, tall);
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

  const corner = (/** @type {number} */ i) => ({ x: 2 + (i % across) * (wide + gap), y: 2 + Math.floor(i / across) * (tall + gap) });

  /** Where a unit's tile is in the atlas. @param {number} unit @returns {[number, number, number, number]} */
  function within(unit) {
    const about = /** @type {Tiles} */ (facts);
    if (about.places) return about.places[unit];
    const [rows, cols] = about.tile;
    return [(unit % about.columns) * cols, Math.floor(unit / about.columns) * rows, about.width, about.height];
  }

  /** The unit under a pointer, and where in its map. @param {PointerEvent | MouseEvent} event */
  function under(event) {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left - 2, event.clientY - box.top - 2];
    const [col, row] = [Math.floor(x / (wide + gap)), Math.floor(y / (tall + gap))];
    const unit = col >= 0 && col < across && row >= 0 ? order[row * across + col] : undefined;
    const inside = (/** @type {number} */ share) => Math.min(0.999, Math.max(0, share));
    return unit === undefined ? null : { unit, x: inside((x - col * (wide + gap)) / wide), y: inside((y - row * (tall + gap)) / tall) };
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
    /** Reserve the space of a layer's units until they arrive. @param {Layer} layer */
    keep({ channels, grid: [height, width] }) {
      use(null, /** @type {any} */ ({ height, width, max: [], peak: [] }), { whole, plain: true });
      this.arrange([...Array(channels).keys()], new Set());
    },
    /** @param {number[]} units @param {Set<number>} starred */
    arrange(units, starred) { order = units; stars = starred; composed = null; if (!units.includes(at)) at = -1; draw(); },
    get at() { return at; },
    set at(unit) { at = unit; },
  };
}
