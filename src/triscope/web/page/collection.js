// The collection: its maps and tables, and what is near a photo.

import { fill, h } from "./h.js";
import { result } from "./result.js";
import { runner } from "./run.js";
import { ask, get, watch } from "./source.js";

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
    split.classList.toggle("mapped", now.page); // before the map is there: what stands beside it must not jump
    run?.leave();
    run?.close();
    run = runner(app, now, { history: app.history });
    fill(place, run.node);
    run.begin();
  }

  /** What is near a photo. @param {string} id */
  function show(id) {
    app.put({ row: id.replace("row-", ""), rows: "" });
    fill(beside, h("h2", null, "Chosen"), h("img", { src: `api/photos/${id}/seen`, alt: "The photo that was chosen", class: "chosen",
      onerror: (/** @type {any} */ event) => { if (!event.target.src.endsWith("thumbnail")) event.target.src = `api/rows/${id.replace("row-", "")}/thumbnail`; } }),
      h("p", null, h("a", { class: "button", href: app.link("image", { photo: id }) }, "Ask about it")));
    for (const one of near) {
      const part = h("div", { class: "found" });
      beside.append(part);
      ask({ method: one.name, network: app.network, inputs: { query: id } }).then((job) => {
        stops.push(watch(job, (told) => { if (told.state === "done" || told.state === "failed") fill(part, h("h3", null, one.title), result(app, told)); }));
      }).catch((error) => fill(part, h("p", { class: "note" }, error.message)));
    }
  }

  const selects = app.methods((one) => one.selects)[0];

  /** What some photos have in common. @param {number[]} rows */
  function gather(rows) {
    app.put({ row: "", rows: rows.length > 1 && rows.length <= 100 ? rows.join(",") : "" });
    if (!rows.length || !selects) return;
    const part = h("div", { class: "found" }, h("p", { class: "note" }, "Looking at them …"));
    fill(beside, h("h2", null, "Selected"), part);
    ask({ method: selects.name, network: app.network, options: { [selects.selects || ""]: rows } }).then((job) => {
      stops.push(watch(job, (told) => { if (told.state === "done" || told.state === "failed") fill(part, result(app, told)); }));
    }).catch((error) => fill(part, h("p", { class: "note" }, error.message)));
  }

  /** A map in its frame tells which picture was chosen, or which several. @param {MessageEvent} event */
  function hear(event) {
    const frame = /** @type {HTMLIFrameElement | null} */ (place.querySelector("iframe"));
    if (!frame || event.source !== frame.contentWindow) return;
    const row = event.data?.triscope === "chosen" ? event.data.row : null;
    if (Number.isInteger(row) && row >= 0) show(`row-${row}`);
    const rows = event.data?.triscope === "picked" ? event.data.rows : null;
    if (Array.isArray(rows) && rows.every((one) => Number.isInteger(one) && one >= 0)) gather(rows);
  }

  function draw() {
    const known = app.about.collection;
    title.textContent = known ? known.name || "Collection" : "No collection is open";
    if (known) title.append(h("span", { class: "soft" }, ` ${known.pictures.toLocaleString("en")} photos`));
    const busy = known?.indexing;
    state.textContent = busy ? (busy.error || `Being indexed: ${busy.text}`) : "";
    clearTimeout(timer);
    if (busy && !busy.error) timer = setTimeout(refresh, 1000);
  }

  async function refresh() {
    const before = app.about.collection?.pictures || 0;
    app.about.collection = await get("api/collection").catch(() => app.about.collection);
    draw();
    if (!before && app.about.collection?.pictures) use(now.name);
  }

  if (!app.about.collection) {
    fill(root, title, h("p", null, "Start the page with a folder of photos; it is indexed while you look:"),
      h("div", { class: "line" }, h("code", null, "triscope app ~/photos")),
      h("p", { class: "caption" }, "The photos stay where they are. What the network says of each is kept in a folder .triscope among them."));
  } else {
    fill(root, title, state, h("div", { class: "controls" }, h("label", { class: "inline", for: "view" }, h("span", { class: "label" }, "View"), select)),
      split);
    fill(beside, h("p", { class: "note" }, "Choose a photo on a map, and what is near it stands here; draw around some (Lasso), and what they have in common does."));
    addEventListener("message", hear);
    if (app.about.collection.pictures && now) use(now.name);
    if (params.row) show(`row-${params.row}`);
    else if (/^\d+(,\d+)+$/.test(params.rows || "")) gather(params.rows.split(",").map(Number));
  }
  draw();
  return () => {
    clearTimeout(timer);
    removeEventListener("message", hear);
    run?.leave();
    run?.close();
    stops.forEach((stop) => stop());
  };
}
