// Any result: a picture, a table, a gallery, a page of its own.

import { fill, h, told } from "./h.js";
import { foots } from "./heat.js";
import { get } from "./source.js";

/**
 * What a job found.
 * @param {any} app @param {import("./source.js").Snapshot} job
 * @param {{frame?: boolean}} [how]
 */
export function result(app, job, { frame = true } = {}) {
  const node = h("div", { class: "result" });
  show().catch((error) => fill(node, h("p", { class: "note" }, error.message)));
  async function show() {
    if (!job.index) {
      fill(node, h("p", { class: "note" }, job.error || "It was stopped before there was anything to show."));
      return;
    }
    const facts = await get(`api/jobs/${job.id}/facts`);
    fill(node, body(app, job, facts, frame), facts.details.map((/** @type {string} */ line) =>
      h("p", { class: "detail" }, line)), foots(job, facts));
  }
  return node;
}

/** @param {any} app @param {any} job @param {any} facts @param {boolean} frame */
function body(app, job, facts, frame) {
  if (facts.page && frame) {
    return h("iframe", { class: "frame", src: `api/jobs/${job.id}/page`, title: "The result, as a page of its own",
      sandbox: "allow-scripts allow-downloads" });
  }
  if (facts.parts.length) return gallery(app, job, facts);
  if (facts.text !== null) return h("pre", { class: "text", tabindex: "0" }, facts.text);
  if (!facts.drawn) return h("p", { class: "note" }, "There is nothing to draw.");
  return h("img", { class: "drawn", src: `api/jobs/${job.id}/picture?v=${job.version}`,
    alt: `${job.method}: ${facts.details.join("; ") || "the picture that was made"}` });
}

/** Pictures of the collection, each with its score. @param {any} app @param {any} job @param {any} facts */
function gallery(app, job, facts) {
  const card = (/** @type {any} */ entry, /** @type {number} */ i) => h("li", null,
    h("a", { href: app.link("image", { photo: `row-${entry.row}` }), title: entry.name },
      h("img", { src: `api/jobs/${job.id}/parts/${i}`, alt: entry.name, loading: "lazy" }),
      h("span", { class: "value" }, told(entry.score))));
  return [h("ol", { class: "gallery" }, facts.parts.map(card)), h("p", { class: "detail" }, `Number: ${facts.measure}.`)];
}
