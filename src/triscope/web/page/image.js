// One photo: what it is taken for, and every method that says where, side by side.

import { bars } from "./charts.js";
import { choice, fill, h } from "./h.js";
import { heatPanel } from "./heat.js";
import { keys } from "./keys.js";
import { seenAddress } from "./photos.js";
import { runner } from "./run.js";
import { get } from "./source.js";

/** @param {HTMLElement} root @param {Object<string, string>} params @param {any} app */
export function imagePage(root, params, app) {
  const maps = app.methods((/** @type {any} */ one) => one.heatmap && app.only(one, ["images"]));
  const others = app.methods((/** @type {any} */ one) => !one.heatmap && ["where", "view"].includes(one.question)
    && one.needs.includes("images") && app.only(one, ["images", "layer"]));
  let unit = params.unit || "";
  let style = params.style || "auto";
  const asked = params.methods ? params.methods.split(",") : maps.filter((/** @type {any} */ one) => one.usual && !one.long)
    .map((/** @type {any} */ one) => one.name);
  let shown = maps.filter((/** @type {any} */ one) => asked.includes(one.name));
  /** @type {any[]} */
  let panels = [];
  /** @type {any} */
  let run = null;
  /** @type {any} */
  let field;
  const classes = h("div", { class: "classes" });
  const photo = h("figure", { class: "panel photo" });
  const grid = h("div", { class: "panels" });
  const refused = h("p", { class: "note" });
  const more = h("div", { class: "chips", role: "group", "aria-label": "Methods shown" });
  const split = h("div", { class: "splitter" });
  const tools = h("section", { class: "tools" });
  const name = app.photoName();
  fill(root, h("h1", null, name || "No photo", h("span", { class: "soft" }, ` as ${app.net.name} sees it`)),
    h("div", { class: "subject" }, photo, h("div", null, h("h2", null, "Taken for"), classes, unitField())),
    h("h2", null, "Where it looks"),
    h("div", { class: "controls" }, choice("Drawn", [["auto", "as fits"], ["heat", "map"], ["overlay", "over the photo"]], style, look), more),
    grid, refused, split, others.length > 0 && tools);

  /** @param {string} word */
  function look(word) {
    style = word;
    app.put({ style: word === "auto" ? "" : word });
    panels.forEach((panel) => panel.look({ style }));
  }

  function unitField() {
    const text = h("input", { type: "text", id: "ask", list: "classes", value: unit, placeholder: "the top class", spellcheck: "false",
      autocomplete: "off", onchange: () => about(text.value.trim()) });
    field = text;
    return h("div", { class: "field" }, h("label", { for: "ask" }, "Ask about"), text,
      h("p", { class: "help" }, "a class, layer:channel, layer:channel@row,col, or a sum such as tabby - tiger cat"));
  }
  /** Ask about another unit. @param {string} word */
  function about(word) {
    unit = word;
    field.value = word;
    app.put({ unit });
    drawClasses();
    draw();
  }

  /** @type {any[]} */
  let rows = [];
  function drawClasses() {
    fill(classes, bars(rows, { chosen: unit || rows[0]?.name, pick: (row) => about(unit === row.name ? "" : row.name) }),
      h("p", { class: "help" }, "A share is not the chance of being right: shown something that is none of its classes, a network divides the same 100% over them."),
      unit && h("a", { class: "button", href: app.link("unit", { u: unit }) }, "More about this unit"));
  }

  /** One pointer for all panels. @param {number} x @param {number} y */
  const point = (x, y) => panels.forEach((panel) => panel.read(x, y));

  function draw() {
    panels.forEach((panel) => panel.close());
    refused.textContent = "";
    panels = shown.map((/** @type {any} */ method) => heatPanel(app, { method, photo: app.photo, unit, point, failed }));
    panels.forEach((panel) => panel.look({ style }));
    fill(grid, panels.map((panel) => panel.node));
    drawChips();
    drawSplit();
  }

  /** @param {any} panel @param {string} why */
  function failed(panel, why) {
    panel.close();
    panel.node.remove();
    panels = panels.filter((one) => one !== panel);
    refused.append(h("span", null, h("b", null, `Without ${panel.method.title}`), `: ${why} `));
  }

  function drawChips() {
    fill(more, h("span", { class: "label" }, "Methods"), maps.map((/** @type {any} */ one) => h("button", { type: "button",
      title: one.line + (one.long ? " (takes seconds)" : ""), "aria-pressed": String(shown.includes(one)), onclick: () => flip(one) }, one.title)));
  }

  /** @param {any} method */
  function flip(method) {
    const there = shown.includes(method);
    shown = maps.filter((/** @type {any} */ one) => (one === method ? !there : shown.includes(one)));
    app.put({ methods: shown.map((/** @type {any} */ one) => one.name).join(",") });
    if (there) {
      panels.filter((panel) => panel.method === method).forEach((panel) => { panel.close(); panel.node.remove(); });
      panels = panels.filter((panel) => panel.method !== method);
    } else {
      const panel = heatPanel(app, { method, photo: app.photo, unit, point, failed });
      panel.look({ style });
      panels.push(panel);
      grid.append(panel.node);
    }
    drawChips();
    drawSplit();
  }

  /** Two panels in one, a line between them. */
  function drawSplit() {
    if (panels.length < 2) { fill(split); return; }
    const options = (/** @type {number} */ chosen) => panels.map((panel, i) => h("option", { value: String(i), selected: i === chosen }, panel.method.title));
    const pick = (/** @type {string} */ id, /** @type {number} */ chosen) => h("select", { id, onchange: lay }, options(chosen));
    const [left, right] = [pick("left", 0), pick("right", 1)];
    const range = h("input", { type: "range", min: 0, max: 100, value: 50, "aria-label": "Where the line lies", oninput: lay });
    const stage = h("div", { class: "stack two" });
    function lay() {
      const cut = Number(range.value);
      const copies = [left, right].map((select, i) => {
        const from = panels[Number(select.value)]?.node.querySelector(".stack");
        const copy = h("canvas", { width: 448, height: 448, role: "img", "aria-label": `${select.selectedOptions[0]?.textContent}` });
        const pen = copy.getContext("2d");
        const [image, canvas] = [from?.querySelector("img"), from?.querySelector("canvas")];
        if (image?.complete) { pen.filter = from.classList.contains("over") ? "grayscale(1) opacity(.55)" : "none"; pen.drawImage(image, 0, 0, 448, 448); }
        pen.filter = "none";
        if (canvas?.width > 1) pen.drawImage(canvas, 0, 0, 448, 448);
        copy.style.setProperty("clip-path", i ? `inset(0 0 0 ${cut}%)` : `inset(0 ${100 - cut}% 0 0)`);
        return copy;
      });
      fill(stage, copies, h("span", { class: "cut", style: { left: `${cut}%` } }));
    }
    fill(split, h("details", { ontoggle: lay }, h("summary", null, "Compare two, with a line between them"),
      h("div", { class: "controls" }, h("label", { class: "inline", for: "left" }, h("span", { class: "label" }, "Left"), left),
        h("label", { class: "inline", for: "right" }, h("span", { class: "label" }, "Right"), right)), stage, range));
  }

  function drawTools() {
    const place = h("div");
    const select = h("select", { id: "tool", onchange: () => use(select.value) }, h("option", { value: "" }, "choose …"),
      others.map((/** @type {any} */ one) => h("option", { value: one.name }, one.title)));
    /** @param {string} word */
    function use(word) {
      run?.leave();
      run?.close();
      const method = others.find((/** @type {any} */ one) => one.name === word);
      if (!method) { fill(place); return; }
      run = runner(app, method, { inputs: { images: app.photo, ...(unit ? { objective: unit } : {}) }, history: app.history });
      fill(place, run.node);
    }
    fill(tools, h("h2", null, "More about this photo"), h("div", { class: "controls" },
      h("label", { class: "inline", for: "tool" }, h("span", { class: "label" }, "Method"), select)), place);
  }

  if (app.photo) {
    fill(photo, h("div", { class: "stack" }, h("img", { src: seenAddress(app.photo, app.network), alt: `What the network sees of ${name}` })),
      h("figcaption", null, `What the network sees: ${app.net.size.join(" × ")} pixels.`));
    get("api/predictions", { photo: app.photo, network: app.network }).then((found) => { rows = found; drawClasses(); })
      .catch((error) => fill(classes, h("p", { class: "note" }, error.message)));
    draw();
    drawTools();
  } else {
    refused.textContent = "There is no photo yet: add one above, drop one here, or paste one.";
  }
  const release = keys([
    { key: "s", help: "maps alone, or over the photo", run: () => look(style === "overlay" ? "heat" : "overlay") },
    { key: ", ArrowLeft", help: "the photo before", run: () => app.nextPhoto(-1) },
    { key: ". ArrowRight", help: "the next photo", run: () => app.nextPhoto(1) },
  ]);
  return () => {
    release();
    panels.forEach((panel) => panel.close());
    run?.leave();
    run?.close();
  };
}
