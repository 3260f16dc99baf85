// The result of a job: a heatmap over its photo, an image, a table, a gallery, a page of its own.

import { numbersOf } from "./colour.js";
import { rowId, seenAddress, thumbAddress } from "./form.js";
import { copyable, fill, h, say, told } from "./h.js";
import { heatView } from "./heat.js";
import { act, address, ask, get, over, reached, unpacked, watch } from "./source.js";

/** The result of a job. @param {App} app @param {Job} job */
export function result(app, job) {
  const node = h("div", { class: "result" });
  show().catch((error) => fill(node, h("p", { class: "note" }, error.message)));
  async function show() {
    if (!job.index) {
      fill(node, h("p", { class: "note" }, job.error || "It was stopped before there was anything to show."));
      return;
    }
    const facts = await get(`api/jobs/${job.id}/facts`);
    fill(node, body(app, job, facts), facts.details.map((/** @type {string} */ line) =>
      h("p", { class: "detail" }, line)), foots(job, facts));
  }
  return node;
}

/** A job for a question, and its result once it is there. @param {App} app @param {any} question @param {any} title @param {(() => void)[]} stops
 * @param {(why: string) => void} [refused] */
export function answer(app, question, title, stops, refused) {
  const node = h("div", { class: "found" });
  const failed = refused || ((/** @type {string} */ why) => fill(node, title, h("p", { class: "note" }, why)));
  ask(question).then((job) => stops.push(watch(job, (now) => {
    if (now.state === "done") fill(node, title, result(app, now));
    else if (now.state === "failed") failed(now.error || "");
  }))).catch((error) => failed(error.message));
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
  return [h("ol", { class: "gallery" }, facts.parts.map(card)), h("p", { class: "detail" }, `Number: ${facts.measure}.`)];
}

/** What some photos have in common. @param {App} app @param {Job} job @param {Found} facts */
function selection(app, job, facts) {
  const units = facts.units || [];
  const most = Math.max(...units.map((one) => Math.max(Math.abs(one.low), Math.abs(one.high))));
  const at = (/** @type {number} */ value) => 50 + (50 * value) / most;
  const row = (/** @type {Telling} */ one) => h("tr", null,
    h("th", { scope: "row" }, h("a", { href: app.link("unit", { u: one.unit.replace(/^output:/, "") }) }, one.name || one.unit)),
    h("td", null, h("span", { class: "interval", "aria-hidden": "true" },
      h("i", { style: { left: `${at(one.low)}%`, width: `${at(one.high) - at(one.low)}%` } }), h("b", { style: { left: `${at(one.difference)}%` } }))),
    h("td", { class: "value" }, `${told(Number(one.difference.toFixed(2)))} [${told(Number(one.low.toFixed(1)))}, ${told(Number(one.high.toFixed(1)))}]`));
  return [
    h("figure", { class: "mean" }, h("img", { src: `api/jobs/${job.id}/parts/${facts.mean}`, alt: `The mean image of ${facts.pictures} photos` }),
      h("figcaption", { class: "detail" }, `The mean image of ${facts.pictures.toLocaleString("en")} photos.`)),
    units.length > 0 && [h("h3", null, "Units that differ most from the rest"), h("table", { class: "units" }, h("tbody", null, units.map(row))),
      h("p", { class: "detail" }, "The difference of the means in standard deviations (Hedges' g), with the interval that holds with a chance of 95% for all units at once. Photos that were selected on a map of these units differ in them by construction.")],
    h("h3", null, "Nearest of the rest"), gallery(app, job, facts),
  ];
}

/** A table of counts, and the photos of the cell that is chosen. @param {App} app @param {Matrix} table @param {number} network */
function matrix(app, table, network) {
  const place = h("section", { class: "cell", "aria-label": "The photos of a cell" }, h("p", { class: "note" }, "Choose a number to see its photos here."));
  const cells = new Map(table.cells.map((cell) => [`${cell[0]},${cell[1]}`, cell]));

  /** The unit to ask about: this answer, minus the right one where it differs. @param {number} row @param {number} col */
  function why(row, col) {
    const [right, given] = [table.labelled[row], table.answered[col]];
    if (given === null) return "";
    return right === null || right === given ? String(given) : `${given} - ${right}`;
  }

  /** @param {Event} event @param {Matrix["cells"][0]} cell */
  function open(event, [row, col, count, rows]) {
    node.querySelectorAll("button[aria-pressed='true']").forEach((one) => one.setAttribute("aria-pressed", "false"));
    /** @type {Element} */ (event.target).setAttribute("aria-pressed", "true");
    const asked = why(row, col);
    const right = asked.includes("-") ? app.net.classes[table.labelled[row] ?? -1] : "";
    const question = `Why ${table.answers[col]}${right ? `, and not ${right}` : ""}?`;
    fill(place, h("h3", null, `${table.axes[0]} ${table.labels[row]}, ${table.axes[1]} ${table.answers[col]}`),
      h("p", { class: "detail" }, `${count.toLocaleString("en")} photos${count > rows.length ? `, of which ${rows.length} are shown` : ""}, the most confident first. Choose a photo to ask: ${question}`),
      h("ol", { class: "gallery" }, rows.map((one) => h("li", null,
        h("a", { href: app.link("image", { photo: rowId(one, network), unit: asked }), title: question },
          h("img", { src: thumbAddress(rowId(one, network)), alt: `${question} Photo ${one}`, loading: "lazy" }))))));
    say(`${count} photos`);
  }

  /** @param {string} label @param {number} row */
  const line = (label, row) => h("tr", null, h("th", { scope: "row", title: label }, label), h("td", { class: "value" }, String(table.totals[row])),
    table.answers.map((answer, col) => {
      const cell = cells.get(`${row},${col}`);
      const share = cell ? Math.max(8, Math.round((100 * cell[2]) / table.totals[row])) : 0;
      return h("td", { class: table.right[row] === col ? "right" : null }, cell && h("button", { type: "button", "aria-pressed": "false",
        style: { "--share": `${share}%` }, "aria-label": `${label}, ${answer}: ${cell[2]}`, title: `${label}, ${answer}: ${cell[2]}`,
        onclick: (/** @type {Event} */ event) => open(event, cell) }, String(cell[2])));
    }));
  const node = h("div", { class: "matrix" }, h("div", { class: "sheet-of-counts", tabindex: "0", role: "region", "aria-label": "Counts" }, h("table", null,
    h("thead", null, h("tr", null, h("td"), h("th", { scope: "col" }, "all"), table.answers.map((answer) =>
      h("th", { scope: "col", title: answer }, h("span", null, answer))))), h("tbody", null, table.labels.map(line)))), place);
  return node;
}

/** A panel that asks one method about one photo and unit. @param {App} app
 * @param {{method: any, photo: string, unit?: string, network?: number, point?: (x: number, y: number) => void, failed?: (panel: any, why: string) => void, settled?: (panel: any) => void, title?: string}}
 * how */
export function heatPanel(app, { method, photo, unit = "", network = app.network, point, failed, settled, title = method.title }) {
  let stop = () => {};
  let gone = false;
  /** @type {Job | null} */ let job = null;
  const view = heatView({ label: title || method.title, photo: seenAddress(photo, network), size: app.about.networks[network].size, point });
  const judged = h("p", { class: "judged", hidden: true });
  const below = h("figcaption", null, h("p", null, capital(method.line), "."),
    method.misleads && h("details", null, h("summary", null, "When it misleads"), h("p", null, method.misleads)));
  const foot = h("div", { class: "foot" });
  const node = h("figure", { class: "panel", "data-method": method.name, "data-network": network },
    title && h("h3", null, title), view.stack, view.legend, view.value, judged, below, foot);

  /** @param {Job} now */
  async function hear(now) {
    if (gone) return;
    job = now;
    if (!over(job)) {
      fill(view.value, job.state === "waiting" && job.ahead ? `waiting behind ${job.ahead}` : job.total > 1
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
      const words = `${facts.asked}: score ${told(facts.score)}, ${job.seconds.toFixed(2)}\u00a0s`;
      view.show(numbersOf(sent), words, `${title || method.title}. ${words}. ${method.line}`);
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
    else fill(view.value, why);
    settled?.(panel);
  }

  const panel = {
    node, method, network, view, ready: false,
    /** The scores of the map, as one sentence. @param {{sentence: string, doubt: boolean} | null} found */
    judge(found) {
      judged.hidden = !found;
      judged.classList.toggle("doubt", Boolean(found?.doubt));
      judged.textContent = found ? found.sentence : "";
    },
    close() {
      gone = true;
      stop();
      if (job && !over(job)) act(job.id, "drop").catch(() => undefined);
    },
  };
  const inputs = { images: photo, ...(unit && method.inputs.some((/** @type {Input} */ one) => one.name === "objective") ? { objective: unit } : {}) };
  ask({ method: method.name, network, inputs }).then((asked) => {
    job = asked;
    if (gone) panel.close();
    else stop = watch(asked, hear);
  }).catch((error) => { if (!gone) refused(error.message); });
  return panel;
}

/** What is below a result: its commands and its files. @param {Job} job @param {Found} facts */
export function foots(job, facts) {
  const notes = facts.notes.map((/** @type {string} */ note) => h("p", { class: "note" }, note));
  const files = facts.forms.filter((/** @type {string} */ form) => form !== ".jpeg");
  return [
    notes.length > 0 && h("div", { class: "notes" }, notes),
    h("details", { class: "same" }, h("summary", null, "The same as"), sameAs(job)),
    files.length > 0 && h("p", { class: "files" }, "Save ", files.map((/** @type {string} */ form) =>
      h("a", { href: `api/jobs/${job.id}/file?form=${form}`, download: `${job.method}${form}` }, form.slice(1))),
    facts.heatmap && h("a", { href: `api/jobs/${job.id}/file?form=.png&style=overlay`, download: `${job.method}.png` },
      "over the photo")),
  ];
}

/** The command and the line of Python that do the same. @param {Job} job */
export function sameAs(job) {
  return [job.command ? copyable("the command", job.command)
    : h("p", { class: "note" }, "No command can do this: the network or the photo was made in Python."),
  copyable("the line of Python", job.python)];
}

/** @param {string} text */
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1).replace(/\.$/, "");

/** A map in a frame of its own, to which it is sent piece by piece: places first, thumbnails last; a job that goes on
 * moves the images to their latest places. */
export function mapStage() {
  const node = h("iframe", { class: "frame", src: "api/map#bare", title: "The map", sandbox: "allow-scripts allow-downloads" });
  let [closed, busy, named] = [false, false, false];
  const notes = { places: "", sheets: "" };
  /** The job that is shown, and its newest state that is not. @type {any[]} */ let [now, next] = [null, null];
  let open = () => {};
  /** @type {Promise<void>} */ const opened = new Promise((done) => { open = done; });

  /** @param {MessageEvent} event */
  function hear({ source, data }) {
    if (source !== node.contentWindow) return;
    if (data?.triscope === "ready") open();
    if (data?.triscope === "chosen" && Number.isInteger(data.place) && !data.near) hand("near", data.place).catch(() => undefined);
  }

  /** @param {string} name @param {number} [number] @returns {Promise<any>} */
  const fetched = async (name, number) => unpacked(await reached(fetch(address(`api/jobs/${now.id}/pieces/${name}`, { number, v: now.version }))));

  /** @param {string} name @param {any} told */
  function give(name, told) {
    const parts = /** @type {Uint8Array[]} */ (Object.values(told.parts || {}));
    if (!closed) node.contentWindow?.postMessage({ ...told, piece: name }, "*", parts.slice(0, 1).map((part) => part.buffer));
  }

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
    while (next && !closed) {
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
    for (let number = 0; number < total && !closed;) {
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

  addEventListener("message", hear);
  return { node, show, close: () => { closed = true; removeEventListener("message", hear); } };
}
