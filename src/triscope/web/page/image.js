// One photo: its prediction, and the heatmaps of several methods side by side.

import { bars } from "./charts.js";
import { seenAddress } from "./form.js";
import { choice, fill, h, keys, settled, told } from "./h.js";
import { two } from "./heat.js";
import { heatPanel, sameAs } from "./result.js";
import { runner } from "./run.js";
import { act, get, over, post, watch } from "./source.js";

/** @param {HTMLElement} root @param {Object<string, string>} params @param {App} app */
export function imagePage(root, params, app) {
  const maps = app.methods((one) => one.heatmap && app.only(one, ["images"]));
  const others = app.methods((one) => !one.heatmap && ["where", "view", "what"].includes(one.question)
    && one.needs.includes("images") && app.only(one, ["images", "layer"]));
  let unit = params.unit || "";
  let style = params.style || "auto";
  let scale = params.scale || "one";
  const sides = app.sides();
  const asked = params.methods ? params.methods.split(",") : maps.filter((one) => one.usual && !one.long)
    .map((one) => one.name);
  let shown = maps.filter((one) => asked.includes(one.name));
  /** @type {any[]} */ let panels = [];
  /** @type {any} */ let run = null;
  let gone = false;
  /** @type {any} */ let field;
  const classes = h("div", { class: "classes" });
  const photo = h("figure", { class: "panel photo" });
  const grid = h("div", { class: sides.length > 1 ? "panels double" : "panels" });
  const scaled = h("p", { class: "note scaled" });
  const judging = h("div", { class: "judging", role: "status" });
  const refused = h("p", { class: "note" });
  const more = h("div", { class: "chips", role: "group", "aria-label": "Methods shown" });
  const split = h("div", { class: "splitter" });
  const tools = h("section", { class: "tools" });
  const name = app.photoName();
  const takenFor = sides.map(() => h("div"));
  fill(root, h("h1", null, name || "No photo", h("span", { class: "soft" }, ` as ${sides.map(app.nameOf).join(" and ")} ${sides.length > 1 ? "see" : "sees"} it`)),
    h("div", { class: sides.length > 1 ? "subject double" : "subject" }, photo, h("div", null, h("h2", null, "Prediction"), h("div", { class: sides.length > 1 ? "taken two-of" : "taken" }, takenFor), classes, unitField())),
    h("h2", null, "Where it looks"),
    h("div", { class: "controls" }, choice("Drawn", [["auto", "auto"], ["heat", "map"], ["overlay", "over the photo"]], style, look),
      choice("Scale", [["one", "one for all"], ["own", "each its own"]], scale, (word) => {
        scale = word;
        app.put({ scale: word === "one" ? "" : word });
        rescale();
      }), more),
    scaled, grid, refused, judging, split, others.length > 0 && tools);

  /** @param {string} word */
  function look(word) {
    style = word;
    app.put({ style: word === "auto" ? "" : word });
    panels.forEach((panel) => panel.view.look({ style }));
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

  /** The prediction of each network; until it is known, as many empty rows. @type {any[][]} */ const rows = sides.map((network) => [...Array(Math.min(10, app.about.networks[network].classes.length)).keys()].map(() => ({ name: "", score: 0, empty: true })));
  function drawClasses() {
    takenFor.forEach((place, i) => fill(place, sides.length > 1 && h("h3", null, app.nameOf(sides[i])),
      h("div", { class: rows[i][0]?.empty ? "waiting" : null }, bars(rows[i], { chosen: unit || rows[0][0]?.name, pick: (row) => about(unit === row.name ? "" : row.name) }))));
    fill(classes, h("p", { class: "help" }, "A probability is not the chance of being right: for a photo of none of its classes, the network still divides 100% among them."),
      unit && h("a", { class: "button", href: app.link("unit", { u: unit }) }, "More about this unit"));
  }

  /** One pointer for all panels. @param {number} x @param {number} y */
  const point = (x, y) => panels.forEach((panel) => panel.view.read(x, y));

  /** What a network is asked about: two are asked the same, the best class of the first if nothing else is said. @param {number} network */
  const question = (network) => (sides.length > 1 ? app.unitIn(network, unit || String(rows[0][0]?.index ?? "")) : unit);

  function draw() {
    panels.forEach((panel) => panel.close());
    forget();
    known.clear();
    refused.textContent = "";
    panels = [];
    fill(grid, shown.map(place));
    drawChips();
    drawSplit();
  }

  /** A method's panel, or one for each of two networks. @param {Method} method */
  function place(method) {
    const mine = sides.map((network) => heatPanel(app, { method, photo: app.photo, unit: question(network), network, point, failed, settled: arrived,
      title: sides.length > 1 ? `${method.title} · ${app.nameOf(network)}` : method.title }));
    panels.push(...mine);
    mine.forEach((panel) => panel.view.look({ style }));
    return sides.length > 1 ? h("div", { class: "pair" }, mine.map((panel) => panel.node)) : mine[0].node;
  }

  /** @param {any} panel @param {string} why */
  function failed(panel, why) {
    panel.close();
    panel.node.remove();
    panels = panels.filter((one) => one !== panel);
    const where = sides.length > 1 ? ` of ${app.nameOf(panel.network)}` : "";
    refused.append(h("span", null, h("b", null, `Without ${panel.method.title}${where}`), `: ${why} `));
  }

  const arrived = settled(() => {
    rescale();
    if (panels.every((panel) => panel.ready)) judge();
  }, 40);

  /** One scale for all maps: a multiple of their mean magnitudes, since they are in different units. */
  function rescale() {
    const times = scale === "one" ? Math.max(0, ...panels.map((panel) => panel.view.times)) : 0;
    panels.forEach((panel) => panel.view.look({ style, times }));
    scaled.textContent = scale === "own" ? "Each map has a scale of its own: the strongest colours of two need not mean the same."
      : times ? `One scale: in every map the strongest colour stands for ${told(Number(times.toPrecision(2)))} times its mean magnitude.` : "";
  }

  /** The scores of maps, by network and method. @type {Map<string, any>} */ const known = new Map();
  /** @type {{job: any, stop: () => any}[]} */ let judgements = [];

  /** Leave the jobs that judge these maps. */
  function forget() {
    for (const one of judgements) {
      one.stop();
      if (!over(one.job)) act(one.job.id, "drop").catch(() => undefined);
    }
    judgements = [];
    fill(judging);
  }

  /** Judge the maps, once all of them are there. */
  function judge() {
    forget();
    for (const network of sides) {
      const key = (/** @type {string} */ method) => `${network} ${method}`;
      const mine = panels.filter((panel) => panel.network === network && panel.method.judged);
      mine.forEach((panel) => panel.judge(known.get(key(panel.method.name)) || null));
      const methods = mine.map((panel) => panel.method.name).filter((method) => !known.has(key(method)));
      if (!methods.length) continue;
      const place = h("div");
      judging.append(place);
      const started = panels;
      post("api/judgements", { network, photo: app.photo, unit: question(network) || null, methods }).then((job) => {
        /** @type {{job: any, stop: () => any}} */ const one = { job, stop: () => undefined };
        if (gone || panels !== started) { act(job.id, "drop").catch(() => undefined); return; }
        judgements.push(one);
        one.stop = watch(job, async (now) => {
          one.job = now;
          if (now.state === "failed") fill(place, h("p", { class: "note" }, `These maps could not be judged. ${now.error}`));
          else if (now.state === "done") await tell(now, place, (method, found) => { known.set(key(method), found); mine.find((panel) => panel.method.name === method)?.judge(found); });
          else if (!over(now)) fill(place, h("p", { class: "note" }, `Being judged by numbers: ${now.index} of ${now.total || "…"}`));
        });
      }).catch((error) => fill(place, h("p", { class: "note" }, error.message)));
    }
  }

  /** @param {Job} job @param {Element} place @param {(method: string, found: any) => void} each */
  async function tell(job, place, each) {
    const { judged, notes } = await get(`api/jobs/${job.id}/facts`);
    if (gone) return;
    Object.entries(judged).forEach(([method, found]) => each(method, found));
    fill(place, h("details", null, h("summary", null, "How the maps were judged"),
      h("p", { class: "help" }, "Insertion: how sure the network is as the strongest pixels appear first (higher is better). Deletion: as they disappear first (lower is better). The baselines do not depend on the network. On a single photo these numbers vary much."),
      notes.map((/** @type {string} */ note) => h("p", { class: "note" }, note)), sameAs(job)));
  }

  function drawChips() {
    fill(more, h("span", { class: "label" }, "Methods"), maps.map((one) => h("button", { type: "button",
      title: one.line + (one.long ? " (takes seconds)" : ""), "aria-pressed": String(shown.includes(one)), onclick: () => flip(one) }, one.title)));
  }

  /** @param {Method} method */
  function flip(method) {
    const there = shown.includes(method);
    shown = maps.filter((one) => (one === method ? !there : shown.includes(one)));
    app.put({ methods: shown.map((one) => one.name).join(",") });
    forget();
    if (there) {
      panels.filter((panel) => panel.method === method).forEach((panel) => { panel.close(); (panel.node.closest(".pair") || panel.node).remove(); });
      panels = panels.filter((panel) => panel.method !== method);
      arrived();
    } else grid.append(place(method));
    drawChips();
    drawSplit();
  }

  /** Two panels in one, a line between them. */
  function drawSplit() {
    if (panels.length < 2) { fill(split); return; }
    const pair = two(panels.map((panel) => ({ label: panel.node.querySelector("h3")?.textContent, draw: panel.view.drawInto })));
    fill(split, h("details", { ontoggle: pair.draw }, h("summary", null, "Compare two, with a line between them"), pair.node));
  }

  function drawTools() {
    const place = h("div");
    const select = h("select", { id: "tool", onchange: () => use(select.value) }, h("option", { value: "" }, "choose …"),
      others.map((one) => h("option", { value: one.name }, one.title)));
    /** @param {string} word */
    function use(word) {
      run?.close();
      const method = others.find((one) => one.name === word);
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
    drawClasses();
    Promise.all(sides.map((network, i) => get("api/predictions", { photo: app.photo, network }).then((found) => { rows[i] = found; drawClasses(); })
      .catch((error) => fill(takenFor[i], h("p", { class: "note" }, error.message))))).then(() => { if (sides.length > 1 && !gone) draw(); });
    if (sides.length < 2) draw();
    drawTools();
  } else {
    refused.textContent = "There is no photo yet: add one above, drop one here, or paste one.";
  }
  const release = keys([
    { key: "s", help: "maps alone, or over the photo", run: () => look(style === "overlay" ? "heat" : "overlay") },
    { key: ", ArrowLeft", help: "the previous photo", run: () => app.nextPhoto(-1) },
    { key: ". ArrowRight", help: "the next photo", run: () => app.nextPhoto(1) },
  ]);
  return () => {
    gone = true;
    release();
    forget();
    panels.forEach((panel) => panel.close());
    run?.close();
  };
}
