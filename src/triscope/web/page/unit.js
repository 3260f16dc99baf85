// One unit: where it looks in a photo, what activates it, and which photos of the collection do.

import { numbersOf } from "./colour.js";
import { choice, fill, h, histogram, inline, keys, picker, told, walker } from "./h.js";
import { answer, heatPanel } from "./result.js";
import { get } from "./source.js";
import { runner } from "./studio.js";

/** @param {HTMLElement} root @param {Object<string, string>} params @param {App} app @param {AbortSignal} left */
export function unitPage(root, params, app, left) {
  const unit = params.u || app.unit();
  if (!params.u && app.photo && app.net.classes.length) {
    get("api/predictions", { photo: app.photo, network: app.network }).then(([best]) => {
      if (best && String(best.index) !== unit && !left.aborted && !location.hash.includes("u=")) {
        location.replace(app.link("unit", { u: best.index }));
      }
    }).catch(() => undefined);
  }
  const takes = (/** @type {Method} */ method) => method.inputs.some((one) => one.name === "objective");
  const maps = app.methods((one) => one.heatmap && app.only(one, ["images"]) && takes(one));
  const makers = app.methods((one) => one.question === "what" && app.only(one, ["objective"]));
  const finders = app.methods((one) => one.question === "which" && app.only(one, ["store", "objective"])
    && one.needs.includes("objective"));
  let method = maps.find((one) => one.name === params.where) || maps[0];
  let [style, opacity] = [params.style || "auto", 1];
  /** One for each network that is shown. @type {any[]} */ let panels = [];
  /** @type {ReturnType<typeof runner>[]} */ let runs = [];
  const sides = app.sides();
  const double = sides.length > 1;
  const parts = /^(.+):(\d+)(?:@(\d+),(\d+))?$/.exec(unit);
  const [channel, row, col] = (parts || []).slice(2).map(Number);
  const whole = parts ? `${parts[1]}:${channel}` : unit; // collections keep no single positions, nor do notes
  const at = parts?.[3] !== undefined && `@${row},${col}`;
  const layer = parts && app.net.layers.find((one) => one.name === parts[1]);

  const where = h("div");
  const select = picker(maps.map((one) => [one.name, one.title]), method?.name, use, { id: "where" });
  const slider = h("input", { type: "range", id: "opacity", min: 0, max: 1, step: 0.05, value: 1,
    oninput: () => { opacity = Number(slider.value); look(); } });
  const what = h("div");
  const which = h("div");
  const known = app.className(unit);
  const soft = (/** @type {string} */ text) => h("span", { class: "soft" }, ` ${text}`);
  const to = (/** @type {string} */ u) => app.link("unit", { u });
  const columns = [
    column("Where it looks", "in this photo", h("div", { class: "controls" },
      inline("Method", select), inline("Map", slider),
      choice("Drawn", [["auto", "auto"], ["heat", "map"], ["overlay", "over"]], style, (word) => {
        style = word;
        app.put({ style }, { style: "auto" });
        look();
      })), where),
    column("What activates it", "made from noise", what),
    column("Photos that activate it most", app.collection?.name
      ? `in ${app.collection.name}${at ? ", by the whole channel" : ""}` : "in a collection", which),
  ];
  fill(root, h("div", { class: "head" }, h("h1", null, known || unit, known && known !== unit && soft(`class ${unit}`),
    layer && soft(`${layer.type}, sees ${layer.sees} pixels`)), neighbours(), noteField()),
  h("div", { class: "columns" }, columns));

  function neighbours() {
    if (!layer) return null;
    const beside = (/** @type {number} */ by) =>
      to(`${layer.name}:${(channel + by + layer.channels) % layer.channels}${at || ""}`);
    return walker(beside(-1), app.link("network", { layer: layer.name }), beside(1),
      at && h("a", { href: to(whole), class: "button" }, "whole channel"));
  }

  /** @param {string} heading @param {string} sub @param {...any} inside */
  function column(heading, sub, ...inside) {
    return h("section", { class: "column", tabindex: "-1" }, h("h2", null, heading, soft(sub)), inside);
  }

  function noteField() {
    const star = h("button", { type: "button", class: "star", "aria-label": "Star", title: "Star (*)",
      onclick: toggle });
    const text = h("input", { type: "text", value: app.about.notes[whole]?.text, maxlength: 2000,
      placeholder: "a note: what does it see?", "aria-label": "Note on this unit",
      onchange: () => app.keep(whole, { text: text.value }, "Note saved") });
    function draw() {
      const on = Boolean(app.about.notes[whole]?.star);
      star.setAttribute("aria-pressed", String(on));
      star.textContent = on ? "★" : "☆";
    }
    function toggle() { app.star(whole).then(draw); }
    draw();
    keys([{ key: "*", help: "star", run: toggle }], left);
    return h("div", { class: "note-field" }, star, text);
  }

  /** @param {string} name */
  function use(name) {
    method = maps.find((one) => one.name === name) || method;
    select.value = method.name;
    app.put({ where: method === maps[0] ? "" : method.name });
    panels.forEach((panel) => panel.close());
    if (!app.photo) return fill(where, h("p", { class: "note" }, "There is no photo yet: add one above."));
    panels = sides.map((network) => heatPanel(app, { method, photo: app.photo, left, network, point,
      unit: app.unitIn(network, unit), title: double ? app.nameOf(network) : "" }));
    look();
    fill(where, panels.map((panel) => panel.node));
    if (at) box(row, col);
  }

  const look = () => panels.forEach((panel) => panel.view.look({ style, opacity }));

  /** Show what a position of the layer sees. @param {number} row @param {number} col */
  function box(row, col) {
    if (layer) panels[0].view.box(app.field(layer, row, col), app.net.size);
  }

  /** @param {number} x @param {number} y */
  function point(x, y) {
    panels.forEach((panel) => panel.view.read(x, y));
    if (!layer || at || layer.grid[0] === 1) return;
    const [row, col] = [Math.floor(y * layer.grid[0]), Math.floor(x * layer.grid[1])];
    box(row, col);
    tellHere(row, col);
  }

  const here = h("p", { class: "value" });
  /** @type {Numbers | null} */ let exact = null;
  async function loadExact() {
    if (!layer || !app.photo) return;
    const query = { layer: layer.name, channel, photo: app.photo, network: app.network };
    exact = await get("api/layer/map", query).then(numbersOf, () => null);
    if (at) tellHere(row, col);
  }

  /** @param {number} row @param {number} col */
  function tellHere(row, col) {
    if (!exact) return;
    fill(here, `${unit}: ${told(exact.values[row * (exact.shape.at(-1) || 1) + col])} at row ${row}, column ${col}`);
    if (!here.isConnected) where.after(here);
  }

  function maker() {
    const place = h("div");
    const start = (/** @type {string} */ name) => {
      const now = makers.find((one) => one.name === name) || makers[0];
      runs.forEach((run) => run.close());
      runs = sides.map((network) => runner(app, now, left, { fixed: { objective: app.unitIn(network, unit) }, network,
        title: double ? app.nameOf(network) : "" }));
      fill(place, runs.map((run) => run.node));
    };
    const words = picker(makers.map((one) => [one.name, one.title]), makers[0].name, start, { id: "maker" });
    fill(what, makers.length > 1 && h("div", { class: "controls" }, inline("Method", words)), place);
    start(makers[0].name);
  }

  /** Photos that activate it most, by one network. @param {number} network */
  function finder(network) {
    const objective = app.unitIn(network, whole);
    const [state, scores, list] = [h("p", { class: "note", role: "status" }), h("div"), h("div")];
    which.append(h("div", null, double && h("h3", null, app.nameOf(network)), state, scores, list));
    /** @type {string[]} */ const refused = []; // some methods take classes, some channels alone
    const without = (/** @type {string} */ why) => {
      if (refused.push(why) === finders.length) list.append(h("p", { class: "note" }, refused[0]));
    };
    async function begin() {
      const known = app.about.collections[network];
      const busy = known?.indexing;
      const how = busy?.text ? `: ${busy.text}` : " after the other network";
      const soon = known?.pictures ? "" : "Photos appear here when there are some.";
      fill(state, known ? busy && (busy.error || `Being indexed${how}. ${soon}`)
        : ["No collection is open. Start with a folder of photos: ", h("code", null, "triscope app FOLDER")]);
      if (known?.pictures) {
        list.append(...finders.map((one) => answer(app, { method: one.name, network, inputs: { objective } },
          h("h3", null, one.title), left, without)));
      } else if (busy && !busy.error) {
        setTimeout(async () => {
          if (left.aborted) return;
          app.about.collections[network] = await get("api/collection", { network }).catch(() => known);
          begin();
        }, 1500);
      }
      scores.className = known?.pictures ? "scores" : "";
      const found = await get("api/scores", { unit: objective, photo: app.photo, network }).catch(() => null);
      scores.className = found?.histogram ? "scores" : "";
      fill(scores, found && (found.histogram ? histogram(found.histogram, found.here)
        : found.here !== null && h("p", { class: "value" }, `This photo scores ${told(found.here)}.`)));
    }
    begin();
  }

  const cycle = () => use(maps[(maps.indexOf(method) + 1) % maps.length].name);
  keys([
    { key: "b", help: "the next method of where", run: cycle },
    { key: "1 2 3", help: "to a column", run: ({ key }) => columns[Number(key) - 1].focus() },
    { key: "s", help: "the map alone, or over the photo", run: () => {
      style = style === "overlay" ? "heat" : "overlay";
      look();
    } },
    { key: "r", help: "run the method that makes an image", run: () => runs.forEach((run) => run.begin()) },
    { key: "Escape", help: "cancel", run: () => runs.forEach((run) => run.leave()) },
  ], left);
  if (maps.length) use(method.name);
  loadExact();
  if (makers.length) maker();
  sides.forEach(finder);
}
