// The result of a job: a heatmap over its photo, an image, a table, a gallery, a page of its own.

import { numbersOf } from "./colour.js";
import { rowId, seenAddress, thumbAddress } from "./form.js";
import { copyable, fill, h, say, told } from "./h.js";
import { heatView } from "./heat.js";
import { ask, get, over, watch } from "./source.js";

const STOPPED = "It was stopped before there was anything to show.";

/** The result of a job. @param {App} app @param {Job} job */
export function result(app, job) {
  const node = h("div", { class: "result" });
  show().catch((error) => fill(node, h("p", { class: "note" }, error.message)));
  async function show() {
    if (!job.index) {
      fill(node, h("p", { class: "note" }, job.error || STOPPED));
      return;
    }
    const facts = await get(`api/jobs/${job.id}/facts`);
    fill(node, body(app, job, facts), facts.details.map((/** @type {string} */ line) =>
      h("p", { class: "detail" }, line)), foots(job, facts));
  }
  return node;
}

/** A job for a question, and its result once it is there. @param {App} app @param {any} question @param {any} title
 * @param {AbortSignal} left @param {(why: string) => void} [refused] */
export function answer(app, question, title, left, refused) {
  const node = h("div", { class: "found" });
  const failed = refused || ((/** @type {string} */ why) => fill(node, title, h("p", { class: "note" }, why)));
  ask(question).then((job) => watch(job, (now) => {
    if (now.state === "done") fill(node, title, result(app, now));
    else if (now.state === "failed") failed(now.error || "");
  }, left)).catch((error) => failed(error.message));
  return node;
}

/** @param {App} app @param {Job} job @param {Found} facts */
function body(app, job, facts) {
  if (facts.matrix) return matrix(app, facts.matrix, job.network);
  if (facts.units) return selection(app, job, facts);
  if (facts.page) return null; // a map is in its frame already
  if (facts.parts.length) return gallery(app, job, facts);
  if (facts.text !== null) return h("pre", { class: "text", tabindex: "0" }, facts.text);
  if (!facts.drawn) return h("p", { class: "note" }, "There is nothing to draw.");
  return h("img", { class: "drawn", src: `api/jobs/${job.id}/picture?v=${job.version}`,
    alt: `${job.method}: ${facts.details.join("; ") || "the image that was made"}` });
}

/** Images of the collection, each with its score. @param {App} app @param {Job} job @param {Found} facts */
function gallery(app, job, facts) {
  const card = (/** @type {Entry} */ entry, /** @type {number} */ i) => h("li", null,
    h("a", { href: app.link("image", { photo: rowId(entry.row, job.network) }), title: entry.name },
      h("img", { src: `api/jobs/${job.id}/parts/${i}`, alt: entry.name, loading: "lazy" }),
      h("span", { class: "value" }, told(entry.score))));
  return [h("ol", { class: "gallery" }, facts.parts.map(card)),
    h("p", { class: "detail" }, `Number: ${facts.measure}.`)];
}

/** What some photos have in common. @param {App} app @param {Job} job @param {Found} facts */
function selection(app, job, facts) {
  const units = facts.units || [];
  const most = Math.max(...units.map((one) => Math.max(Math.abs(one.low), Math.abs(one.high))));
  const at = (/** @type {number} */ value) => 50 + (50 * value) / most;
  const short = (/** @type {number} */ value, /** @type {number} */ digits) => told(Number(value.toFixed(digits)));
  const row = (/** @type {Telling} */ one) => h("tr", null,
    h("th", { scope: "row" },
      h("a", { href: app.link("unit", { u: one.unit.replace(/^output:/, "") }) }, one.name || one.unit)),
    h("td", null, h("span", { class: "interval", "aria-hidden": "true" },
      h("i", { style: { left: `${at(one.low)}%`, width: `${at(one.high) - at(one.low)}%` } }),
      h("b", { style: { left: `${at(one.difference)}%` } }))),
    h("td", { class: "value" }, `${short(one.difference, 2)} [${short(one.low, 1)}, ${short(one.high, 1)}]`));
  const mean = `The mean image of ${facts.pictures.toLocaleString("en")} photos`;
  return [
    h("figure", { class: "mean" }, h("img", { src: `api/jobs/${job.id}/parts/${facts.mean}`, alt: mean }),
      h("figcaption", { class: "detail" }, `${mean}.`)),
    units.length > 0 && [h("h3", null, "Units that differ most from the rest"),
      h("table", { class: "units" }, h("tbody", null, units.map(row))),
      h("p", { class: "detail" }, "The difference of the means in standard deviations (Hedges' g), with the interval "
        + "that holds with a chance of 95% for all units at once. Photos that were selected on a map of these units "
        + "differ in them by construction.")],
    h("h3", null, "Nearest of the rest"), gallery(app, job, facts),
  ];
}

/** A table of counts, and the photos of the cell that is chosen. @param {App} app @param {Matrix} table
 * @param {number} network */
function matrix(app, { axes, answers, lines }, network) {
  const place = h("section", { class: "cell", "aria-label": "The photos of a cell" },
    h("p", { class: "note" }, "Choose a number to see its photos here."));

  /** @param {Element} button @param {string} heading @param {Cell} cell */
  function open(button, heading, { count, rows, unit, question }) {
    node.querySelector("button[aria-pressed='true']")?.setAttribute("aria-pressed", "false");
    button.setAttribute("aria-pressed", "true");
    const shown = count > rows.length ? `, of which ${rows.length} are shown` : "";
    fill(place, h("h3", null, heading), h("p", { class: "detail" },
      `${count.toLocaleString("en")} photos${shown}, the most confident first. Choose a photo to ask: ${question}`),
    h("ol", { class: "gallery" }, rows.map((row) => h("li", null,
      h("a", { href: app.link("image", { photo: rowId(row, network), unit }), title: question },
        h("img", { src: thumbAddress(rowId(row, network)), alt: `${question} Photo ${row}`, loading: "lazy" }))))));
    say(`${count} photos`);
  }

  /** @param {Matrix["lines"][0]} line */
  const row = ({ label, total, right, cells }) => h("tr", null, h("th", { scope: "row", title: label }, label),
    h("td", { class: "value" }, String(total)), answers.map((answer, col) => {
      const cell = cells[col];
      const title = `${label}, ${answer}: ${cell?.count}`;
      return h("td", { class: right === col && "right" }, cell && h("button", { type: "button", "aria-pressed": "false",
        style: { "--share": `${Math.max(8, Math.round((100 * cell.count) / total))}%` }, "aria-label": title, title,
        onclick: (/** @type {any} */ event) =>
          open(event.currentTarget, `${axes[0]} ${label}, ${axes[1]} ${answer}`, cell) }, String(cell.count)));
    }));
  const heads = answers.map((answer) => h("th", { scope: "col", title: answer }, h("span", null, answer)));
  const node = h("div", { class: "matrix" },
    h("div", { class: "sheet-of-counts", tabindex: "0", role: "region", "aria-label": "Counts" }, h("table", null,
      h("thead", null, h("tr", null, h("td"), h("th", { scope: "col" }, "all"), heads)),
      h("tbody", null, lines.map(row)))), place);
  return node;
}

/** A panel that asks one method about one photo and unit. @param {App} app
 * @param {{method: Method, photo: string, left: AbortSignal, unit?: string, network?: number, title?: string,
 *   point?: (x: number, y: number) => void, failed?: (panel: any, why: string) => void, settled?: (panel: any) =>
 * void}} how */
export function heatPanel(app, how) {
  const { method, photo, left, unit, network = app.network, point, failed, settled, title = method.title } = how;
  const closed = new AbortController();
  const gone = AbortSignal.any([left, closed.signal]);
  const { size } = app.about.networks[network];
  const view = heatView({ label: title || method.title, photo: seenAddress(photo, network), size, point });
  const judged = h("p", { class: "judged", hidden: true });
  const foot = h("div", { class: "foot" });
  const node = h("figure", { class: "panel", "data-method": method.name, "data-network": network },
    title && h("h3", null, title), view.stack, view.legend, view.value, judged,
    h("figcaption", null, explained(method)), foot);

  /** @param {Job} job */
  function hear(job) {
    if (!over(job)) {
      fill(view.value, job.state === "waiting" && job.ahead ? `waiting behind ${job.ahead}` : job.total > 1
        ? `${job.index} of ${job.total}` : "asking …");
    } else if (job.index) show(job).catch(refused);
    else refused(new Error(job.error || STOPPED));
  }

  /** @param {Job} job */
  async function show(job) {
    const [sent, facts] = await Promise.all(["numbers", "facts"].map((what) => get(`api/jobs/${job.id}/${what}`)));
    if (gone.aborted) return;
    const words = `${facts.asked}: score ${told(facts.score)}, ${job.seconds.toFixed(2)}\u00a0s`;
    view.show(numbersOf(sent), words, `${title || method.title}. ${words}. ${method.line}`);
    fill(foot, foots(job, facts));
    panel.ready = true;
    node.classList.add("ready");
    settled?.(panel);
  }

  /** @param {Error} why */
  function refused({ message }) {
    if (gone.aborted) return;
    if (failed) failed(panel, message);
    else fill(view.value, message);
    settled?.(panel);
  }

  const panel = {
    node, method, network, title, view, ready: false,
    /** The scores of the map, as one sentence. @param {Judged | null} found */
    judge(found) {
      judged.hidden = !found;
      judged.classList.toggle("doubt", Boolean(found?.doubt));
      judged.textContent = found ? found.sentence : "";
    },
    close: () => closed.abort(),
  };
  const about = unit && method.inputs.some((one) => one.name === "objective") && { objective: unit };
  const inputs = { images: photo, ...about };
  ask({ method: method.name, network, inputs }).then((job) => watch(job, hear, gone, true)).catch(refused);
  return panel;
}

/** What a method shows, and when it misleads. @param {Method} method @param {string} [kind] */
export const explained = ({ sentence, misleads }, kind) => [h("p", { class: kind }, sentence),
  misleads && h("details", null, h("summary", null, "When it misleads"), h("p", null, misleads))];

/** What is below a result: its commands and its files. @param {Job} job @param {Found} facts */
function foots(job, facts) {
  const link = (/** @type {string} */ form, /** @type {string} */ words, style = "") =>
    h("a", { href: `api/jobs/${job.id}/file?form=${form}${style}`, download: `${job.method}${form}` }, words);
  const files = facts.forms.filter((form) => form !== ".jpeg").map((form) => link(form, form.slice(1)));
  return [
    facts.notes.length > 0 && h("div", { class: "notes" }, facts.notes.map((note) => h("p", { class: "note" }, note))),
    h("details", { class: "same" }, h("summary", null, "The same as"), sameAs(job)),
    files.length > 0 && h("p", { class: "files" }, "Save ", files,
      facts.heatmap && link(".png", "over the photo", "&style=overlay")),
  ];
}

/** The command and the line of Python that do the same. @param {Job} job */
export const sameAs = (job) => [job.command ? copyable("the command", job.command)
  : h("p", { class: "note" }, "No command can do this: the network or the photo was made in Python."),
copyable("the line of Python", job.python)];

/** A map in a frame of its own, to which it is sent piece by piece: places first, thumbnails last; a job that goes on
 * moves the images to their latest places. @param {AbortSignal} left */
export function mapStage(left) {
  const node = h("iframe", { class: "frame", src: "api/map#bare", title: "The map",
    sandbox: "allow-scripts allow-downloads" });
  let [busy, named] = [false, false];
  const notes = { places: "", sheets: "" };
  /** The job that is shown, and its newest state that is not. @type {any[]} */ let [now, next] = [null, null];
  const { promise: opened, resolve: open } = Promise.withResolvers();

  addEventListener("message", ({ source, data }) => {
    if (source !== node.contentWindow) return;
    if (data?.triscope === "ready") open(null);
    if (data?.triscope !== "chosen" || !Number.isInteger(data.place) || data.near) return;
    hand("near", data.place).catch(() => undefined);
  }, { signal: left });

  /** @param {string} name @param {number} [number] */
  const fetched = (name, number) => get(`api/jobs/${now.id}/pieces/${name}`, { number, v: now.version });

  /** @param {string} name @param {any} told */
  const give = (name, told) =>
    node.contentWindow?.postMessage({ ...told, piece: name }, "*", Object.values(told.parts || {}));

  /** @param {string} name @param {number} [number] */
  const hand = async (name, number) => give(name, await fetched(name, number));

  /** @param {"places" | "sheets"} of @param {string} text */
  function note(of, text) {
    notes[of] = text;
    give("note", { text: Object.values(notes).filter(Boolean).join(" ") });
  }

  /** @param {Job} job */
  async function show(job) {
    next = job;
    if (busy) return;
    busy = true;
    while (next && node.isConnected) {
      [now, next] = [next, null];
      await round().catch((error) => note("places", error.message));
    }
    busy = false;
  }

  async function round() {
    const [places] = await Promise.all([fetched("places"), opened]);
    const { notes: said, sheets } = places;
    give("places", places);
    note("places", said.join(" "));
    if (!named) {
      named = true;
      await hand("names");
      thumbnails(sheets).catch((error) => note("sheets", error.message));
    }
    if (over(now)) await hand("cells");
  }

  /** @param {number} total */
  async function thumbnails(total) {
    for (let number = 0; number < total && node.isConnected;) {
      const told = await fetched("sheet", number);
      if (told.waiting) {
        note("sheets", `Thumbnails are being prepared: ${Math.round((100 * told.made) / total)}%.`);
        await new Promise((done) => { setTimeout(done, 400); });
      } else {
        give("sheet", told);
        number++;
      }
    }
    note("sheets", "");
  }

  return { node, show };
}
