// A heatmap over its photo: coloured, read under the pointer; and two images in one.

import { legendBar, meanOf, paint, valueAt } from "./colour.js";
import { fill, h, inline, penOf, picker, seenAs, told } from "./h.js";

/** The view of one map: `stack` is the photo and the map over it, `legend` its colours, `value` the text below them.
 * @param {{label: string, photo: string, size?: number[], point?: (x: number, y: number) => void, left?: () =>
 * void}} how
 * the photo's address, its rows and columns; `point` is told where the pointer is, in shares, instead of the view
 * itself */
export function heatView({ label, photo, size, point, left = () => read(null, null) }) {
  /** @type {Numbers | null} */ let numbers = null;
  let now = { style: "auto", opacity: 1, times: 0 };
  let mean = 0; // of the map's magnitudes
  let words = "";
  const canvas = h("canvas", { class: "heat", width: 1, height: 1, role: "img", "aria-label": label });
  const cross = h("span", { class: "cross", hidden: true });
  const frame = h("span", { class: "box", hidden: true });
  const image = h("img", { src: photo, alt: "", class: "under" });
  const stack = h("div", { class: "stack", style: size && { "aspect-ratio": `${size[1]} / ${size[0]}` },
    onpointermove: moved, onpointerleave: () => left() }, image, canvas, frame, cross);
  const legend = legendBar();
  const value = h("p", { class: "value" }, "…");

  /** @param {PointerEvent} event */
  function moved(event) {
    const place = stack.getBoundingClientRect();
    const [x, y] = [(event.clientX - place.left) / place.width, (event.clientY - place.top) / place.height];
    if (x < 0 || y < 0 || x >= 1 || y >= 1) return;
    (point || read)(x, y);
  }

  /** The value at a place, given as shares. @param {number | null} x @param {number | null} y */
  function read(x, y) {
    cross.hidden = x === null;
    if (!numbers) return;
    if (x === null || y === null) {
      fill(value, words);
      return;
    }
    cross.style.left = `${100 * x}%`;
    cross.style.top = `${100 * y}%`;
    const at = valueAt(numbers, x, y);
    const times = now.times && mean ? `, ${told(Number((Math.abs(at.value) / mean).toPrecision(2)))} × the mean` : "";
    fill(value, `${told(at.value)} at row ${at.row}, column ${at.col}${times}`);
  }

  function draw() {
    if (!numbers) return;
    const rgb = numbers.shape[0] === 3;
    const clear = now.style === "overlay" || (now.style === "auto" && !rgb);
    const scale = now.times && mean ? now.times * mean : numbers.scale;
    paint(canvas, numbers, { clear, scale });
    canvas.style.opacity = String(now.opacity);
    stack.classList.toggle("over", clear);
    legend.paint(numbers.signed, numbers.signed ? [told(-scale), "0", told(scale)] : ["0", told(scale)], rgb);
  }

  return {
    stack, legend: legend.node, value, read,
    /** The numbers, and what is said of them while nothing is pointed at. @param {Numbers} found
     * @param {string} said @param {string} [name] */
    show(found, said, name) {
      [numbers, mean, words] = [found, meanOf(found), said];
      if (name) canvas.setAttribute("aria-label", name);
      draw();
      fill(value, words);
    },
    /** How it is drawn; `times` the mean magnitude gets the strongest colour, or 0: the map's own scale.
     * @param {{style?: string, opacity?: number, times?: number}} wanted */
    look(wanted) { now = { ...now, ...wanted }; draw(); },
    /** Show a box, in pixels of the image; none without. @param {number[] | null} found @param {number[]} of */
    box(found, of) {
      frame.hidden = !found;
      if (found) boxOn(frame, found, of);
    },
    /** Draw what is shown, without box and cross. @param {CanvasRenderingContext2D} pen @param {number} wide
     * @param {number} tall */
    drawInto(pen, wide, tall) {
      pen.filter = stack.classList.contains("over") ? "grayscale(1) opacity(.5)" : "none";
      if (image.complete && image.naturalWidth) pen.drawImage(image, 0, 0, wide, tall);
      pen.filter = "none";
      pen.globalAlpha = now.opacity;
      if (canvas.width > 1) pen.drawImage(canvas, 0, 0, wide, tall);
      pen.globalAlpha = 1;
    },
    /** How many times the mean magnitude gets the strongest colour, if the map has a scale of its own. */
    get times() { return numbers && mean ? numbers.scale / mean : 0; },
  };
}

/** Lay a frame around a part (top, left, height, width) of an image of that size. @param {HTMLElement} frame
 * @param {number[]} part @param {number[]} size */
export function boxOn(frame, part, size) {
  const [top, left, height, width] = part.map((pixels, i) => `${(100 * pixels) / size[i % 2]}%`);
  Object.assign(frame.style, { top, left, height, width });
}

/** Two images in one, with a line between them that is moved by a slider.
 * @param {Drawer[]} all */
export function two(all) {
  const words = all.map((one, i) => [String(i), one.label]);
  const selects = ["Left", "Right"].map((label, i) => picker(words, String(i), draw, { "aria-label": label }));
  const range = h("input", { type: "range", min: 0, max: 100, value: 50, oninput: draw,
    "aria-label": "Position of the dividing line" });
  const canvas = h("canvas", { width: 448, height: 448, role: "img" });
  function draw() {
    const pen = penOf(canvas);
    const cut = (canvas.width * Number(range.value)) / 100;
    pen.clearRect(0, 0, canvas.width, canvas.height);
    selects.forEach((select, i) => {
      pen.save();
      pen.beginPath();
      pen.rect(i ? cut : 0, 0, i ? canvas.width - cut : cut, canvas.height);
      pen.clip();
      all[Number(select.value)].draw(pen, canvas.width, canvas.height);
      pen.restore();
    });
    pen.fillStyle = "#000";
    pen.fillRect(cut - 2, 0, 4, canvas.height);
    pen.fillStyle = "#fff";
    pen.fillRect(cut - 1, 0, 2, canvas.height);
    canvas.setAttribute("aria-label", selects.map((select) => select.selectedOptions[0].textContent).join(" | "));
  }
  const node = h("div", { class: "two" },
    h("div", { class: "controls" }, inline("Left", selects[0]), inline("Right", selects[1])),
    h("div", { class: "stack" }, canvas), range,
    h("p", { class: "files" }, "Save ", seenAs(() => canvas, "compared.png")));
  return { node, draw };
}

/** The same, to be opened. @param {Drawer[]} all */
export function comparison(all) {
  const { node, draw } = two(all);
  return h("details", { ontoggle: draw }, h("summary", null, "Compare two, with a line between them"), node);
}
