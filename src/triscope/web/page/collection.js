// The collection: its maps and tables, and the neighbours of a photo.

import { rowId, seenAddress, thumbAddress } from "./form.js";
import { fill, h } from "./h.js";
import { answer } from "./result.js";
import { runner } from "./run.js";
import { get } from "./source.js";

/** @param {HTMLElement} root @param {Object<string, string>} params @param {App} app */
export function collectionPage(root, params, app) {
  const all = app.methods((one) => one.question === "which" && !one.selects && app.only(one, ["store", "layer"]) && one.needs.includes("store"))
    .sort((a, b) => Number(b.page) - Number(a.page));
  const near = app.methods((one) => one.question === "which" && one.needs.includes("query"));
  const stops = /** @type {(() => void)[]} */ ([]);
  let timer = 0;
  /** @type {any} */ let run = null;
  const place = h("div", { class: "wide-run" });
  const beside = h("aside", { class: "near", "aria-label": "The photo that was chosen" });
  const split = h("div", { class: "split wide" }, place, beside);
  const state = h("p", { class: "note", role: "status" });
  let now = all.find((one) => one.name === params.method) || all[0];
  const select = h("select", { id: "view", onchange: () => use(select.value) }, all.map((one) =>
    h("option", { value: one.name, selected: one === now }, one.title)));
  const title = h("h1");

  /** @param {string} word */
  function use(word) {
    now = all.find((one) => one.name === word) || now;
    app.put({ method: now.name });
    split.classList.toggle("mapped", now.mapped); // before the map is there: what stands beside it must not jump
    run?.close();
    run = runner(app, now, { history: app.history });
    fill(place, run.node);
    run.begin();
  }

  /** The neighbours of a photo, for each network that is shown. @param {number} row */
  function show(row) {
    const id = rowId(row, app.network);
    app.put({ row, rows: "" });
    const photo = h("img", { src: seenAddress(id, app.network), alt: "The photo that was chosen", class: "chosen" });
    photo.addEventListener("error", () => { photo.src = thumbAddress(id); }, { once: true }); // its file is not there any more
    fill(beside, h("h2", null, "Chosen"), photo, h("p", null, h("a", { class: "button", href: app.link("image", { photo: id }) }, "Ask about it")));
    const sides = app.sides();
    near.forEach((one) => beside.append(...sides.map((network) => answer(app, { method: one.name, network, inputs: { query: id } },
      h("h3", null, one.title, sides.length > 1 && h("span", { class: "soft" }, ` by ${app.nameOf(network)}`)), stops))));
  }

  const selects = app.methods((one) => one.selects)[0];

  /** What some photos have in common. @param {number[]} rows */
  function gather(rows) {
    app.put({ row: "", rows: rows.length > 1 && rows.length <= 100 ? rows.join(",") : "" });
    if (!rows.length || !selects) return;
    fill(beside, h("h2", null, "Selected"), answer(app, { method: selects.name, network: app.network, options: { [selects.selects || ""]: rows } }, null, stops));
  }

  /** A map in its frame tells which photo was chosen, or which several. @param {MessageEvent} event */
  function hear(event) {
    const frame = /** @type {HTMLIFrameElement | null} */ (place.querySelector("iframe"));
    if (!frame || event.source !== frame.contentWindow) return;
    const row = event.data?.triscope === "chosen" ? event.data.row : null;
    if (Number.isInteger(row) && row >= 0) show(row);
    const rows = event.data?.triscope === "picked" ? event.data.rows : null;
    if (Array.isArray(rows) && rows.every((one) => Number.isInteger(one) && one >= 0)) gather(rows);
  }

  function draw() {
    const known = app.collection;
    title.textContent = known ? known.name || "Collection" : "No collection is open";
    if (known) title.append(h("span", { class: "soft" }, ` ${known.pictures.toLocaleString("en")} photos`));
    const busy = known?.indexing;
    state.textContent = busy ? (busy.error || `Being indexed: ${busy.text}`) : "";
    clearTimeout(timer);
    if (busy && !busy.error) timer = setTimeout(refresh, 1000);
  }

  async function refresh() {
    const before = app.collection?.pictures || 0;
    app.about.collections[app.network] = await get("api/collection", { network: app.network }).catch(() => app.collection);
    draw();
    if (!before && app.collection?.pictures) use(now.name);
  }

  if (!app.collection) {
    fill(root, title, h("p", null, "Start the page with a folder of photos; it is indexed while you look:"),
      h("div", { class: "line" }, h("code", null, "triscope app ~/photos")),
      h("p", { class: "caption" }, "The photos stay where they are. The network's activations are stored in the subfolder .triscope."));
  } else {
    fill(root, title, state, h("div", { class: "controls" }, h("label", { class: "inline", for: "view" }, h("span", { class: "label" }, "View"), select)),
      split);
    fill(beside, h("p", { class: "note" }, "Choose a photo on the map to see its neighbours here, or draw around some (Lasso) to see what they have in common."));
    addEventListener("message", hear);
    if (app.collection.pictures && now) use(now.name);
    if (/^\d+$/.test(params.row || "")) show(Number(params.row));
    else if (/^\d+(,\d+)+$/.test(params.rows || "")) gather(params.rows.split(",").map(Number));
  }
  draw();
  return () => {
    clearTimeout(timer);
    removeEventListener("message", hear);
    run?.close();
    stops.forEach((stop) => stop());
  };
}
