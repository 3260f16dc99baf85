// The collection: its maps and tables, and the neighbours of a photo.

import { rowId, seenAddress, thumbAddress } from "./form.js";
import { fill, h, inline, picker } from "./h.js";
import { answer } from "./result.js";
import { get } from "./source.js";
import { runner } from "./studio.js";

/** @param {HTMLElement} root @param {Object<string, string>} params @param {App} app @param {AbortSignal} left */
export function collectionPage(root, params, app, left) {
  const all = app.methods((one) => one.question === "which" && !one.selects && app.only(one, ["store", "layer"])
    && one.needs.includes("store")).toSorted((a, b) => Number(b.page) - Number(a.page));
  const near = app.methods((one) => one.question === "which" && one.needs.includes("query"));
  const [selects] = app.methods((one) => one.selects);
  /** @type {ReturnType<typeof runner> | null} */ let run = null;
  const place = h("div", { class: "wide-run" });
  const beside = h("aside", { class: "near", "aria-label": "The photo that was chosen" });
  const split = h("div", { class: "split wide" }, place, beside);
  const state = h("p", { class: "note", role: "status" });
  let now = all.find((one) => one.name === params.method) || all[0];
  const select = picker(all.map((one) => [one.name, one.title]), now?.name, use, { id: "view" });
  const title = h("h1");

  /** @param {string} word */
  function use(word) {
    now = all.find((one) => one.name === word) || now;
    app.put({ method: now.name });
    split.classList.toggle("mapped", now.mapped); // before the map is there: what stands beside it must not jump
    run?.close();
    run = runner(app, now, left);
    fill(place, run.node);
    run.begin();
  }

  /** The neighbours of a photo, for each network that is shown. @param {number} row */
  function show(row) {
    const id = rowId(row, app.network);
    app.put({ row, rows: "" });
    const photo = h("img", { src: seenAddress(id, app.network), alt: "The photo that was chosen", class: "chosen" });
    photo.addEventListener("error", () => { photo.src = thumbAddress(id); }, { once: true }); // its file is gone
    const sides = app.sides();
    const by = (/** @type {number} */ network) =>
      sides.length > 1 && h("span", { class: "soft" }, ` by ${app.nameOf(network)}`);
    fill(beside, h("h2", null, "Chosen"), photo,
      h("p", null, h("a", { class: "button", href: app.link("image", { photo: id }) }, "Ask about it")),
      near.map((one) => sides.map((network) => answer(app, { method: one.name, network, inputs: { query: id } },
        h("h3", null, one.title, by(network)), left))));
  }

  /** What some photos have in common. @param {number[]} rows */
  function gather(rows) {
    app.put({ row: "", rows: rows.length > 1 && rows.length <= 100 ? rows.join(",") : "" });
    if (!rows.length || !selects) return;
    const question = { method: selects.name, network: app.network, options: { [selects.selects || ""]: rows } };
    fill(beside, h("h2", null, "Selected"), answer(app, question, null, left));
  }

  /** A map in its frame tells which photo was chosen, or which several. @param {MessageEvent} event */
  function hear({ source, data }) {
    const isRow = (/** @type {any} */ one) => Number.isInteger(one) && one >= 0;
    if (!source || source !== place.querySelector("iframe")?.contentWindow) return;
    if (data?.triscope === "chosen" && isRow(data.row)) show(data.row);
    if (data?.triscope === "picked" && Array.isArray(data.rows) && data.rows.every(isRow)) gather(data.rows);
  }

  function draw() {
    const known = app.collection;
    fill(title, known ? known.name || "Collection" : "No collection is open",
      known && h("span", { class: "soft" }, ` ${known.pictures.toLocaleString("en")} photos`));
    const busy = known?.indexing;
    state.textContent = busy ? (busy.error || `Being indexed: ${busy.text}`) : "";
    if (busy && !busy.error) setTimeout(refresh, 1000);
  }

  async function refresh() {
    if (left.aborted) return;
    const before = app.collection?.pictures;
    const now = await get("api/collection", { network: app.network }).catch(() => app.collection);
    if (left.aborted) return;
    app.about.collections[app.network] = now;
    draw();
    if (!before && app.collection?.pictures) use(now.name);
  }

  draw();
  if (!app.collection) {
    fill(root, title, h("p", null, "Start the page with a folder of photos; it is indexed while you look:"),
      h("div", { class: "line" }, h("code", null, "triscope app ~/photos")), h("p", { class: "caption" },
        "The photos stay where they are. The network's activations are stored in the subfolder .triscope."));
    return;
  }
  fill(root, title, state, h("div", { class: "controls" }, inline("View", select)), split);
  fill(beside, h("p", { class: "note" }, "Choose a photo on the map to see its neighbours here, or draw around some "
    + "(Lasso) to see what they have in common."));
  addEventListener("message", hear, { signal: left });
  if (app.collection.pictures && now) use(now.name);
  if (/^\d+$/.test(params.row || "")) show(Number(params.row));
  else if (/^\d+(,\d+)+$/.test(params.rows || "")) gather(params.rows.split(",").map(Number));
}
