// Figures that hold their own numbers: drawn from them where scripts run; elsewhere their images stay.

import { legendBar, numbersIn, useColours, valueOfColour } from "./colour.js";
import { bars, choice, fill, h, inline, penOf, settled, told } from "./h.js";
import { comparison, heatView } from "./heat.js";
import { tileCanvas } from "./tiles.js";

const photo = document.getElementById("photo")?.getAttribute("href") || "";
const framed = self !== top; // in a notebook, where nothing may be saved
/** Views of one photo, which share a pointer. @type {Map<string, any[]>} */ const linked = new Map();

/** Show a drawing in place of the content, which is still printed. @param {Element} place @param {...any} inside */
function put(place, ...inside) {
  for (const one of place.children) /** @type {HTMLElement} */ (one).hidden = true;
  place.append(h("div", { class: "drawn" }, inside));
}

/** The pixels of an image. @param {HTMLImageElement} image */
async function pixelsOf(image) {
  await image.decode();
  const canvas = h("canvas", { width: image.naturalWidth, height: image.naturalHeight });
  const pen = penOf(canvas, { willReadFrequently: true });
  pen.drawImage(image, 0, 0);
  return pen.getImageData(0, 0, canvas.width, canvas.height);
}

/** The image as its command writes it. @param {HTMLImageElement} image @param {string} name */
const saved = (image, name) => !framed && h("p", { class: "files" }, "Save ",
  h("a", { href: image.src, download: `${name}.png` }, "PNG"), " with its recipe");

/** @param {Element} place @param {MapsDrawing} drawing */
async function maps(place, drawing) {
  const own = /** @type {HTMLImageElement} */ (place.querySelector("img"));
  const views = drawing.maps.map((one, i) => {
    const under = drawing.photos?.[i] || drawing.photos?.[0] || photo;
    const others = linked.get(under) || [];
    linked.set(under, others);
    const view = heatView({ label: one.title, photo: under, size: drawing.size,
      point: (x, y) => others.forEach((other) => other.read(x, y)),
      left: () => others.forEach((other) => other.read(null, null)) });
    others.push(view);
    return view;
  });
  /** @param {{style?: string, opacity?: number}} now */
  const look = (now) => views.forEach((view) => view.look(now));
  const slider = h("input", { type: "range", min: 0, max: 1, step: 0.05, value: 1,
    "aria-label": `How much of the map is seen: ${drawing.name}`,
    oninput: () => look({ opacity: Number(slider.value) }) });
  const several = views.length > 1;
  put(place, h("div", { class: several && "maps" }, views.map((view, i) => h("div", { class: "panel" },
    several && h("h4", null, drawing.maps[i].title), view.stack, view.legend, view.value))),
  h("div", { class: "controls" }, choice("Drawn", [["heat", "map"], ["overlay", "over the photo"]], drawing.style,
    (style) => look({ style })), inline("Opacity", slider)),
  several && !framed && comparison(views.map((view, i) => ({ label: drawing.maps[i].title, draw: view.drawInto }))),
  saved(own, drawing.name));
  const pixels = await pixelsOf(drawing.levels ? h("img", { src: drawing.levels }) : own);
  look({ style: drawing.style });
  drawing.maps.forEach((one, i) => views[i].show(numbersIn(one, pixels), one.says, `${one.title}. ${one.says}`));
}

/** A drawing of tiles, also where it says no more of a vector than its numbers. @param {any} told
 * @returns {TilesDrawing} */
function whole(told) {
  if (!told.vector) return told;
  const { max, vector: { name, numbers, side, columns } } = /** @type {VectorDrawing} */ (told);
  return { ...told, min: max, mean: max, peak: max.map(() => [0, 0]), titles: numbers.map((one) => name + one),
    places: max.map((_, i) => [(i % columns) * side, Math.floor(i / columns) * side, side, side]) };
}

/** @param {Element} place @param {TilesDrawing} drawing */
async function tiles(place, drawing) {
  const own = /** @type {HTMLImageElement} */ (place.querySelector("img"));
  const value = h("p", { class: "value" }, drawing.says);
  const legend = legendBar();
  const { max, min, mean, peak, titles, height, width } = drawing;
  const all = titles.map((_, i) => i);
  /** @type {ImageData | null} */ let pixels = null;
  /** @param {number} unit @param {number} x @param {number} y */
  function tell(unit, x, y) {
    const [left, top, wide, tall] = drawing.places[unit];
    const [row, col] = [Math.floor(y * height), Math.floor(x * width)];
    const middle = [left + ((col + 0.5) * wide) / width, top + ((row + 0.5) * tall) / height].map(Math.floor);
    const here = drawing.read && pixels
      ? `; here ${told(Number(valueOfColour(drawing, pixels, middle).toPrecision(2)))} at ${row}, ${col}` : "";
    fill(value, `${titles[unit]}: ${height * width === 1 ? told(max[unit]) : drawing.read
      ? `largest ${told(max[unit])} at ${peak[unit].join(", ")}; mean ${told(mean[unit])}${here}`
      : `from ${told(min[unit])} to ${told(max[unit])}`}`);
  }
  const name = (/** @type {number} */ unit) => titles[unit];
  const canvas = tileCanvas({ hover: tell, open: tell, star: () => undefined, name, largest: 150 });
  const by = { as: all, max: all.toSorted((a, b) => max[b] - max[a]), mean: all.toSorted((a, b) => mean[b] - mean[a]) };
  const sort = choice("Sort by", [["as", "as drawn"], ["max", "largest"], ["mean", "mean"]], "as",
    (word) => canvas.arrange(by[/** @type {"as"} */ (word)]));
  put(place, h("div", { class: "stage" }, canvas.node), drawing.read && legend.node, value,
    h("div", { class: "controls" }, drawing.read && sort, saved(own, drawing.name)));
  canvas.node.setAttribute("aria-label", drawing.name);
  canvas.node.addEventListener("pointerleave", () => fill(value, drawing.says));
  legend.paint(drawing.signed, [drawing.signed ? told(-drawing.scale) : "0", told(drawing.scale)]);
  canvas.use(null, drawing, true);
  canvas.arrange(all);
  pixels = await pixelsOf(own);
  canvas.use(own, drawing);
  canvas.draw();
  addEventListener("resize", settled(() => canvas.draw(), 100));
}

for (const place of document.querySelectorAll("[data-drawing]")) {
  const { colours } = /** @type {HTMLElement} */ (document.body).dataset;
  if (colours) useColours(JSON.parse(colours));
  const drawing = JSON.parse(/** @type {HTMLElement} */ (place).dataset.drawing || "");
  const drawn = drawing.kind === "maps" ? maps(place, drawing) : drawing.kind === "tiles" ? tiles(place, whole(drawing))
    : put(place, /** @type {BarsDrawing} */ (drawing).rows.map((rows, i) =>
      [drawing.rows.length > 1 && h("h4", null, drawing.titles[i]), bars(rows)]));
  drawn?.catch(() => { // what cannot be drawn is shown as it was
    place.lastElementChild?.remove();
    for (const one of place.children) /** @type {HTMLElement} */ (one).hidden = false;
  });
}
