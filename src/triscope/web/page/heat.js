// A heatmap over its photo: asked, coloured, read under the pointer, kept as a file.

import { meanOf, numbersOf, paint, paintLegend, valueAt } from "./colour.js";
import { copyable, fill, h, told } from "./h.js";
import { seenAddress } from "./photos.js";
import { act, ask, get, over, watch } from "./source.js";

/**
 * A panel that asks one method about one photo and unit.
 * @param {any} app
 * @param {{method: any, photo: string, unit?: string, network?: number, point?: (x: number, y: number) => void,
 *   failed?: (panel: any, why: string) => void, settled?: (panel: any) => void, title?: string}} how
 */
export function heatPanel(app, { method, photo, unit = "", network = app.network, point, failed, settled, title = method.title }) {
  /** @type {import("./colour.js").Numbers | null} */
  let numbers = null;
  let look = { style: "auto", opacity: 1, times: 0 };
  let stop = () => {};
  let gone = false;
  let mean = 0; // of the map's magnitudes
  /** @type {import("./source.js").Snapshot | null} */
  let job = null;
  const canvas = h("canvas", { class: "heat", width: 1, height: 1, role: "img", "aria-label": title || method.title });
  const cross = h("span", { class: "cross", hidden: true });
  const box = h("span", { class: "box", hidden: true });
  const image = h("img", { src: seenAddress(photo, network), alt: "", class: "under" });
  const stack = h("div", { class: "stack", onpointermove: moved, onpointerleave: () => read(null, null) },
    image, canvas, box, cross);
  const value = h("p", { class: "value" }, "…");
  const judged = h("p", { class: "judged", hidden: true });
  const legend = h("canvas", { class: "scale", width: 1, height: 1, "aria-hidden": "true" });
  const ends = h("p", { class: "ends" });
  const below = h("figcaption", null, h("p", null, capital(method.line), "."),
    method.misleads && h("details", null, h("summary", null, "When it misleads"), h("p", null, method.misleads)));
  const foot = h("div", { class: "foot" });
  const node = h("figure", { class: "panel", "data-method": method.name, "data-network": network },
    title && h("h3", null, title), stack, h("div", { class: "legend" }, legend, ends), value, judged, below, foot);

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
      fill(value, summary());
      return;
    }
    cross.style.left = `${100 * x}%`;
    cross.style.top = `${100 * y}%`;
    const at = valueAt(numbers, x, y);
    const times = look.times && mean ? `, ${told(Number((Math.abs(at.value) / mean).toPrecision(2)))} × the mean` : "";
    fill(value, `${told(at.value)} at row ${at.row}, column ${at.col}${times}`);
  }

  let words = "";
  const summary = () => words;

  function draw() {
    if (!numbers) return;
    const rgb = numbers.shape[0] === 3;
    const clear = look.style === "overlay" || (look.style === "auto" && !rgb);
    const scale = look.times && mean ? look.times * mean : numbers.scale;
    paint(canvas, numbers, { clear, scale });
    canvas.style.opacity = String(look.opacity);
    stack.classList.toggle("over", clear);
    paintLegend(legend, numbers.signed, rgb);
    fill(ends, h("span", null, numbers.signed ? told(-scale) : "0"), numbers.signed && h("span", null, "0"),
      h("span", null, told(scale)));
  }

  /** @param {import("./source.js").Snapshot} now */
  async function hear(now) {
    if (gone) return;
    job = now;
    if (!over(job)) {
      fill(value, job.state === "waiting" && job.ahead ? `waiting behind ${job.ahead}` : job.total > 1
        ? `${job.index} of ${job.total}` : "asking …");
      return;
    }
    if (!job.index) {
      refused(job.error || "It was stopped before there was anything to show.");
      return;
    }
    try {
      const [sent, facts] = await Promise.all([get(`api/jobs/${job.id}/numbers`), get(`api/jobs/${job.id}/facts`)]);
      if (gone) return;
      numbers = numbersOf(sent);
      mean = meanOf(numbers);
      words = `${facts.asked}: score ${told(facts.score)}, ${job.seconds.toFixed(2)} s`;
      canvas.setAttribute("aria-label", `${title || method.title}. ${words}. ${method.line}`);
      draw();
      fill(value, summary());
      fill(foot, ...foots(job, facts));
      panel.ready = true;
      node.classList.add("ready");
      settled?.(panel);
    } catch (error) {
      refused(/** @type {Error} */ (error).message);
    }
  }

  /** @param {string} why */
  function refused(why) {
    if (failed) failed(panel, why);
    else fill(value, why);
    settled?.(panel);
  }

  const panel = {
    node, method, network, read, ready: false,
    /** What is seen, without box and cross. @param {CanvasRenderingContext2D} pen @param {number} wide @param {number} tall */
    drawInto(pen, wide, tall) {
      pen.filter = stack.classList.contains("over") ? "grayscale(1) opacity(.5)" : "none";
      if (image.complete && image.naturalWidth) pen.drawImage(image, 0, 0, wide, tall);
      pen.filter = "none";
      pen.globalAlpha = look.opacity;
      if (canvas.width > 1) pen.drawImage(canvas, 0, 0, wide, tall);
      pen.globalAlpha = 1;
    },
    /** How many times the mean magnitude gets the strongest colour, if the map has a scale of its own. */
    get times() { return numbers && mean ? numbers.scale / mean : 0; },
    /** What numbers say of the map. @param {{sentence: string, doubt: boolean} | null} found */
    judge(found) {
      judged.hidden = !found;
      judged.classList.toggle("doubt", Boolean(found?.doubt));
      judged.textContent = found ? found.sentence : "";
    },
    /** How it is drawn; `times` the mean magnitude gets the strongest colour, or 0: the map's own scale.
     * @param {Object<string, any>} now */
    look(now) { look = { ...look, ...now }; draw(); },
    /** Show a box, in pixels of the picture; none without. @param {number[] | null} found @param {number[]} size */
    box(found, size) {
      box.hidden = !found;
      if (!found) return;
      const [top, left, tall, wide] = found;
      Object.assign(box.style, { top: `${(100 * top) / size[0]}%`, left: `${(100 * left) / size[1]}%`,
        height: `${(100 * tall) / size[0]}%`, width: `${(100 * wide) / size[1]}%` });
    },
    close() {
      gone = true;
      stop();
      if (job && !over(job)) act(job.id, "drop").catch(() => undefined);
    },
  };
  const inputs = { images: photo, ...(unit && method.inputs.some((/** @type {any} */ one) => one.name === "objective")
    ? { objective: unit } : {}) };
  ask({ method: method.name, network, inputs }).then((asked) => {
    job = asked;
    if (gone) panel.close();
    else stop = watch(asked, hear);
  }).catch((error) => { if (!gone) refused(error.message); });
  return panel;
}

/** What stands under a result: the same as, files. @param {any} job @param {any} facts */
export function foots(job, facts) {
  const notes = facts.notes.map((/** @type {string} */ note) => h("p", { class: "note" }, note));
  const files = facts.forms.filter((/** @type {string} */ form) => form !== ".jpeg" && form !== ".html");
  return [
    notes.length > 0 && h("div", { class: "notes" }, notes),
    h("details", { class: "same" }, h("summary", null, "The same as"), sameAs(job)),
    files.length > 0 && h("p", { class: "files" }, "Save ", files.map((/** @type {string} */ form) =>
      h("a", { href: `api/jobs/${job.id}/file?form=${form}`, download: `${job.method}${form}` }, form.slice(1))),
    facts.heatmap && h("a", { href: `api/jobs/${job.id}/file?form=.png&style=overlay`, download: `${job.method}.png` },
      "over the photo")),
  ];
}

/** The command and the line of Python that ask the same. @param {any} job */
export function sameAs(job) {
  return [job.command ? copyable("the command", job.command)
    : h("p", { class: "note" }, "No command can ask this: the network or the photo was made in Python."),
  copyable("the line of Python", job.python)];
}

/** @param {string} text */
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1).replace(/\.$/, "");
