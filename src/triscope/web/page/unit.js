// One unit: where it looks in a photo, what activates it, and which photos of the collection do.

import { histogram } from "./charts.js";
import { numbersOf } from "./colour.js";
import { choice, fill, h, keys, settled, told } from "./h.js";
import { answer, heatPanel } from "./result.js";
import { runner } from "./run.js";
import { get } from "./source.js";

/** @param {HTMLElement} root @param {Object<string, string>} params @param {App} app */
export function unitPage(root, params, app) {
  const unit = params.u || app.unit();
  if (!params.u && app.photo && app.net.classes.length) {
    get("api/predictions", { photo: app.photo, network: app.network }).then(([best]) => {
      if (best && String(best.index) !== unit && root.classList.contains("page-unit") && !location.hash.includes("u=")) {
        location.replace(app.link("unit", { u: best.index }));
      }
    }).catch(() => undefined);
  }
  const maps = app.methods((one) => one.heatmap && app.only(one, ["images"]) && takes(one, "objective"));
  const makers = app.methods((one) => one.question === "what" && app.only(one, ["objective"]));
  const finders = app.methods((one) => one.question === "which" && app.only(one, ["store", "objective"]) && one.needs.includes("objective"));
  let method = maps.find((one) => one.name === params.where) || maps[0];
  let [style, opacity] = [params.style || "auto", 1];
  /** One for each network that is shown. @type {any[]} */ let panels = [];
  /** @type {any[]} */ let runs = [];
  const sides = app.sides();
  let toggle = () => {};
  const stops = /** @type {(() => void)[]} */ ([]);
  const parts = read(unit);
  const channel = parts ? `${parts.layer}:${parts.channel}` : unit; // collections keep no single positions
  const layer = parts && app.net.layers.find((one) => one.name === parts.layer);

  const where = h("div");
  const select = h("select", { id: "where", onchange: () => use(select.value) }, maps.map((one) =>
    h("option", { value: one.name, selected: one === method }, one.title)));
  const slider = h("input", { type: "range", id: "opacity", min: 0, max: 1, step: 0.05, value: 1,
    oninput: () => { opacity = Number(slider.value); look(); } });
  const what = h("div");
  const which = h("div");
  const columns = [
    column("Where it looks", "in this photo", h("div", { class: "controls" },
      h("label", { class: "inline", for: "where" }, h("span", { class: "label" }, "Method"), select),
      h("label", { class: "inline", for: "opacity" }, h("span", { class: "label" }, "Map"), slider),
      choice("Drawn", [["auto", "auto"], ["heat", "map"], ["overlay", "over"]], style, (word) => {
        style = word;
        app.put({ style: word === "auto" ? "" : word });
        look();
      })), where),
    column("What activates it", "made from noise", what),
    column("Photos that activate it most", app.collection?.name ? `in ${app.collection.name}${parts?.at ? ", by the whole channel" : ""}` : "in a collection", which),
  ];
  const head = h("div", { class: "head" }, h("h1", null, title()), walker(), noteField());
  fill(root, head, h("div", { class: "columns" }, columns));

  /** @param {string} heading @param {string} sub @param {...any} inside */
  function column(heading, sub, ...inside) {
    return h("section", { class: "column", tabindex: "-1" }, h("h2", null, heading, h("span", { class: "soft" }, ` ${sub}`)), inside);
  }

  function title() {
    const known = app.className(unit);
    return [known || unit, known && known !== unit ? h("span", { class: "soft" }, ` class ${unit}`) : null,
      layer ? h("span", { class: "soft" }, ` ${layer.type}, sees ${layer.sees} pixels`) : null];
  }

  function walker() {
    if (!parts || !layer) return null;
    const to = (/** @type {number} */ by) => `${parts.layer}:${(parts.channel + by + layer.channels) % layer.channels}${parts.at ? `@${parts.at}` : ""}`;
    return h("div", { class: "walker", role: "group", "aria-label": "Neighbouring units" },
      h("a", { href: app.link("unit", { u: to(-1) }), class: "button", "aria-label": "Previous unit" }, "‹"),
      h("a", { href: app.link("network", { layer: parts.layer }), class: "button" }, "layer"),
      h("a", { href: app.link("unit", { u: to(1) }), class: "button", "aria-label": "Next unit" }, "›"),
      parts.at && h("a", { href: app.link("unit", { u: `${parts.layer}:${parts.channel}` }), class: "button" }, "whole channel"));
  }

  function noteField() {
    const key = parts ? `${parts.layer}:${parts.channel}` : unit;
    const known = app.about.notes[key] || { text: "", star: false };
    const star = h("button", { type: "button", class: "star", "aria-pressed": String(known.star), "aria-label": "Star",
      title: "Star (*)", onclick: () => app.star(key).then(draw) }, known.star ? "★" : "☆");
    const text = h("input", { type: "text", value: known.text, placeholder: "a note: what does it see?", "aria-label": "Note on this unit",
      maxlength: 2000, onchange: () => app.note(key, text.value) });
    function draw() {
      const on = Boolean(app.about.notes[key]?.star);
      star.setAttribute("aria-pressed", String(on));
      star.textContent = on ? "★" : "☆";
    }
    toggle = () => { app.star(key).then(draw); };
    return h("div", { class: "note-field" }, star, text);
  }

  /** @param {string} name */
  function use(name) {
    method = maps.find((one) => one.name === name) || method;
    select.value = method.name;
    app.put({ where: method === maps[0] ? "" : method.name });
    panels.forEach((panel) => panel.close());
    if (!app.photo) {
      fill(where, h("p", { class: "note" }, "There is no photo yet: add one above."));
      return;
    }
    panels = sides.map((network) => heatPanel(app, { method, photo: app.photo, unit: app.unitIn(network, unit), network, point,
      title: sides.length > 1 ? app.nameOf(network) : "" }));
    look();
    fill(where, panels.map((panel) => panel.node));
    if (parts?.at && layer) {
      const [row, col] = parts.at.split(",").map(Number);
      panels[0].view.box(app.field(layer, row, col), app.net.size);
    }
  }

  const look = () => panels.forEach((panel) => panel.view.look({ style, opacity }));

  /** @param {number} x @param {number} y */
  function point(x, y) {
    panels.forEach((panel) => panel.view.read(x, y));
    if (!layer || parts?.at || layer.grid[0] === 1) return;
    const [row, col] = [Math.floor(y * layer.grid[0]), Math.floor(x * layer.grid[1])];
    panels[0].view.box(app.field(layer, row, col), app.net.size);
    tellHere(row, col);
  }

  const here = h("p", { class: "value" });
  /** @type {any} */ let exact = null;
  async function loadExact() {
    if (!layer || !app.photo || !parts) return;
    const sent = await get("api/layer/map", { layer: layer.name, channel: parts.channel, photo: app.photo, network: app.network }).catch(() => null);
    exact = sent && numbersOf(sent);
    if (exact && parts.at) tellHere(...(/** @type {[number, number]} */ (parts.at.split(",").map(Number))));
  }

  /** @param {number} row @param {number} col */
  function tellHere(row, col) {
    if (!exact) return;
    const wide = exact.shape[exact.shape.length - 1];
    fill(here, `${unit}: ${told(exact.values[row * wide + col])} at row ${row}, column ${col}`);
    if (!here.isConnected) where.after(here);
  }

  function maker() {
    if (!makers.length) return;
    let now = makers[0];
    const place = h("div");
    const start = () => {
      end();
      runs = sides.map((network) => runner(app, now, { fixed: { objective: app.unitIn(network, unit) }, history: app.history, network,
        title: sides.length > 1 ? app.nameOf(network) : "" }));
      fill(place, runs.map((run) => run.node));
    };
    const words = h("select", { id: "maker", onchange: () => { now = makers[words.selectedIndex]; start(); } },
      makers.map((one) => h("option", { value: one.name }, one.title)));
    fill(what, makers.length > 1 && h("div", { class: "controls" }, h("label", { class: "inline", for: "maker" }, h("span", { class: "label" }, "Method"), words)), place);
    start();
  }

  /** Photos that activate it most, by one network. @param {number} network */
  function finder(network) {
    const objective = app.unitIn(network, channel);
    const [state, scores, list] = [h("p", { class: "note", role: "status" }), h("div"), h("div")];
    which.append(h("div", null, sides.length > 1 && h("h3", null, app.nameOf(network)), state, scores, list));
    const refused = /** @type {string[]} */ ([]);
    const without = (/** @type {string} */ why) => { // some methods take classes, some channels alone
      refused.push(why);
      if (refused.length === finders.length) list.append(h("p", { class: "note" }, refused[0]));
    };
    const find = (/** @type {Method} */ one) => list.append(answer(app, { method: one.name, network, inputs: { objective } }, h("h3", null, one.title), stops, without));
    async function begin() {
      const known = app.about.collections[network];
      const busy = known?.indexing;
      fill(state, !known ? ["No collection is open. Start with a folder of photos: ", h("code", null, "triscope app FOLDER")]
        : busy ? busy.error || `Being indexed${busy.text ? `: ${busy.text}` : " after the other network"}. ${known.pictures ? "" : "Photos appear here when there are some."}` : "");
      if (known?.pictures) finders.forEach(find);
      else if (busy && !busy.error) {
        const timer = setTimeout(() => get("api/collection", { network }).catch(() => known).then((now) => { app.about.collections[network] = now; begin(); }), 1500);
        stops.push(() => clearTimeout(timer));
      }
      scores.className = known?.pictures ? "scores" : "";
      const found = await get("api/scores", { unit: objective, photo: app.photo, network }).catch(() => null);
      scores.className = found?.histogram ? "scores" : "";
      fill(scores, !found ? null : found.histogram ? histogram(found.histogram, found.here)
        : found.here !== null && h("p", { class: "value" }, `This photo scores ${told(found.here)}.`));
    }
    begin();
  }

  const end = () => runs.forEach((run) => run.close());
  const cycle = () => use(maps[(maps.indexOf(method) + 1) % maps.length].name);
  const release = keys([
    { key: "b", help: "the next method of where", run: cycle },
    { key: "1 2 3", help: "to a column", run: (event) => columns[Number(event.key) - 1]?.focus() },
    { key: "s", help: "the map alone, or over the photo", run: () => { style = style === "overlay" ? "heat" : "overlay"; look(); } },
    { key: "r", help: "run the method that makes an image", run: () => runs.forEach((run) => run.begin()) },
    { key: "Escape", help: "cancel", run: () => runs.forEach((run) => run.leave()) },
    { key: "*", help: "star", run: () => toggle() },
  ]);
  if (maps.length) use(method.name);
  settled(loadExact, 0)();
  maker();
  sides.forEach(finder);
  return () => {
    release();
    panels.forEach((panel) => panel.close());
    end();
    stops.forEach((stop) => stop());
  };
}

/** @param {Method} method @param {string} name */
const takes = (method, name) => method.inputs.some((one) => one.name === name);

/** The layer, channel and position that a unit's name has. @param {string} unit */
function read(unit) {
  const found = /^(.+):(\d+)(?:@(\d+,\d+))?$/.exec(unit);
  return found && { layer: found[1], channel: Number(found[2]), at: found[3] || "" };
}
