// One photo: its prediction, and the heatmaps of several methods side by side.

import { seenAddress } from "./form.js";
import { bars, choice, fill, h, inline, keys, picker, settled, told } from "./h.js";
import { comparison } from "./heat.js";
import { heatPanel, sameAs } from "./result.js";
import { get, over, post, watch } from "./source.js";
import { runner } from "./studio.js";

const USUAL = { unit: "", style: "auto", scale: "one" };

/** @param {HTMLElement} root @param {Object<string, string>} params @param {App} app @param {AbortSignal} left */
export function imagePage(root, params, app, left) {
  const maps = app.methods((one) => one.heatmap && app.only(one, ["images"]));
  const others = app.methods((one) => !one.heatmap && ["where", "view", "what"].includes(one.question)
    && one.needs.includes("images") && app.only(one, ["images", "layer"]));
  let { unit, style, scale } = { ...USUAL, ...params };
  const sides = app.sides();
  const double = sides.length > 1;
  const asked = params.methods?.split(",");
  let shown = maps.filter((one) => (asked ? asked.includes(one.name) : one.usual && !one.long));
  /** @type {any[]} */ let panels = [];
  const classes = h("div", { class: "classes" });
  const photo = h("figure", { class: "panel photo" });
  const grid = h("div", { class: double ? "panels double" : "panels" });
  const scaled = h("p", { class: "note scaled" });
  const judging = h("div", { class: "judging", role: "status" });
  const refused = h("p", { class: "note" });
  const more = h("div", { class: "chips", role: "group", "aria-label": "Methods shown" });
  const split = h("div", { class: "splitter" });
  const tools = h("section", { class: "tools" });
  const name = app.photoName();
  const takenFor = sides.map(() => h("div"));
  const field = h("input", { type: "text", id: "ask", list: "classes", value: unit, placeholder: "the top class",
    spellcheck: "false", autocomplete: "off", onchange: () => about(field.value.trim()) });
  const seer = ` as ${sides.map(app.nameOf).join(" and ")} ${double ? "see" : "sees"} it`;
  fill(root, h("h1", null, name || "No photo", h("span", { class: "soft" }, seer)),
    h("div", { class: double ? "subject double" : "subject" }, photo, h("div", null, h("h2", null, "Prediction"),
      h("div", { class: double ? "taken two-of" : "taken" }, takenFor), classes,
      h("div", { class: "field" }, h("label", { for: "ask" }, "Ask about"), field, h("p", { class: "help" },
        "a class, layer:channel, layer:channel@row,col, or a sum such as tabby - tiger cat")))),
    h("h2", null, "Where it looks"),
    h("div", { class: "controls" },
      choice("Drawn", [["auto", "auto"], ["heat", "map"], ["overlay", "over the photo"]], style, look),
      choice("Scale", [["one", "one for all"], ["own", "each its own"]], scale, (word) => {
        scale = word;
        app.put({ scale }, USUAL);
        rescale();
      }), more),
    scaled, grid, refused, judging, split, others.length > 0 && tools);

  /** @param {string} word */
  function look(word) {
    style = word;
    app.put({ style }, USUAL);
    panels.forEach((panel) => panel.view.look({ style }));
  }

  /** Ask about another unit. @param {string} word */
  function about(word) {
    unit = word;
    field.value = word;
    app.put({ unit });
    drawClasses();
    draw();
  }

  /** The prediction of each network; until it is known, as many empty rows. @type {Scored[][]} */
  const rows = sides.map((network) => app.about.networks[network].classes.slice(0, 10)
    .map(() => ({ index: -1, name: "", score: 0, empty: true })));

  function drawClasses() {
    takenFor.forEach((place, i) => fill(place, double && h("h3", null, app.nameOf(sides[i])),
      h("div", { class: rows[i][0]?.empty && "waiting" }, bars(rows[i], { chosen: unit || rows[0][0]?.name,
        pick: (row) => about(unit === row.name ? "" : row.name) }))));
    fill(classes, h("p", { class: "help" }, "A probability is not the chance of being right: for a photo of none of "
      + "its classes, the network still divides 100% among them."),
    unit && h("a", { class: "button", href: app.link("unit", { u: unit }) }, "More about this unit"));
  }

  /** One pointer for all panels. @param {number} x @param {number} y */
  const point = (x, y) => panels.forEach((panel) => panel.view.read(x, y));

  /** What a network is asked about: two are asked the same, the best class of the first if nothing else is said.
   * @param {number} network */
  const question = (network) => (double ? app.unitIn(network, unit || String(rows[0][0]?.index ?? "")) : unit);

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
    const mine = sides.map((network) => heatPanel(app, { method, photo: app.photo, left, unit: question(network),
      network, point, failed, settled: arrived, title: method.title + (double ? ` · ${app.nameOf(network)}` : "") }));
    panels.push(...mine);
    mine.forEach((panel) => panel.view.look({ style }));
    return double ? h("div", { class: "pair" }, mine.map((panel) => panel.node)) : mine[0].node;
  }

  /** @param {any} panel @param {string} why */
  function failed(panel, why) {
    panel.close();
    panel.node.remove();
    panels = panels.filter((one) => one !== panel);
    const where = double ? ` of ${app.nameOf(panel.network)}` : "";
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
    const mean = told(Number(times.toPrecision(2)));
    scaled.textContent = scale === "own"
      ? "Each map has a scale of its own: the strongest colours of two need not mean the same."
      : times ? `One scale: in every map the strongest colour stands for ${mean} times its mean magnitude.` : "";
  }

  /** The scores of maps, by network and method. @type {Map<string, Judged>} */ const known = new Map();
  /** Of the maps that are being judged. */ let judged = new AbortController();

  /** Leave the jobs that judge these maps. */
  function forget() {
    judged.abort();
    judged = new AbortController();
    fill(judging);
  }

  /** Judge the maps, once all of them are there. */
  function judge() {
    forget();
    const gone = AbortSignal.any([left, judged.signal]);
    for (const network of sides) {
      const mine = panels.filter((panel) => panel.network === network && panel.method.judged);
      const scores = () => mine.forEach((panel) => panel.judge(known.get(`${network} ${panel.method.name}`) || null));
      scores();
      const methods = mine.map((panel) => panel.method.name).filter((method) => !known.has(`${network} ${method}`));
      if (!methods.length) continue;
      const place = h("div");
      judging.append(place);
      const tell = (/** @type {string} */ text) => fill(place, h("p", { class: "note" }, text));
      post("api/judgements", { network, photo: app.photo, unit: question(network) || null, methods })
        .then((job) => watch(job, async (now) => {
          if (now.state === "failed") tell(`These maps could not be judged. ${now.error}`);
          if (!over(now)) tell(`Being judged by numbers: ${now.index} of ${now.total || "…"}`);
          if (now.state !== "done") return;
          const facts = await get(`api/jobs/${now.id}/facts`);
          if (gone.aborted) return;
          for (const [method, found] of Object.entries(facts.judged)) known.set(`${network} ${method}`, found);
          scores();
          fill(place, how(now, facts.notes));
        }, gone, true)).catch((error) => tell(error.message));
    }
  }

  /** @param {Job} job @param {string[]} notes */
  const how = (job, notes) => h("details", null, h("summary", null, "How the maps were judged"),
    h("p", { class: "help" }, "Insertion: how sure the network is as the strongest pixels appear first (higher is "
      + "better). Deletion: as they disappear first (lower is better). The baselines do not depend on the network. On "
      + "a single photo these numbers vary much."),
    notes.map((note) => h("p", { class: "note" }, note)), sameAs(job));

  function drawChips() {
    fill(more, h("span", { class: "label" }, "Methods"), maps.map((one) => h("button", { type: "button",
      title: one.line + (one.long ? " (takes seconds)" : ""), "aria-pressed": String(shown.includes(one)),
      onclick: () => flip(one) }, one.title)));
  }

  /** @param {Method} method */
  function flip(method) {
    const there = shown.includes(method);
    shown = maps.filter((one) => (one === method ? !there : shown.includes(one)));
    app.put({ methods: shown.map((one) => one.name).join(",") });
    forget();
    if (there) {
      for (const panel of panels.filter((one) => one.method === method)) {
        panel.close();
        (panel.node.closest(".pair") || panel.node).remove();
      }
      panels = panels.filter((panel) => panel.method !== method);
      arrived();
    } else grid.append(place(method));
    drawChips();
    drawSplit();
  }

  /** Two panels in one, a line between them. */
  function drawSplit() {
    fill(split, panels.length > 1 && comparison(panels.map((one) => ({ label: one.title, draw: one.view.drawInto }))));
  }

  function drawTools() {
    const place = h("div");
    /** @type {ReturnType<typeof runner> | null} */ let run = null;
    /** @param {string} word */
    function use(word) {
      run?.close();
      const method = others.find((one) => one.name === word);
      const inputs = { images: app.photo, ...(unit && { objective: unit }) };
      run = method ? runner(app, method, left, { inputs }) : null;
      fill(place, run?.node);
    }
    const words = [["", "choose …"], ...others.map((one) => [one.name, one.title])];
    fill(tools, h("h2", null, "More about this photo"),
      h("div", { class: "controls" }, inline("Method", picker(words, "", use, { id: "tool" }))), place);
  }

  if (app.photo) {
    fill(photo, h("div", { class: "stack" },
      h("img", { src: seenAddress(app.photo, app.network), alt: `What the network sees of ${name}` })),
    h("figcaption", null, `What the network sees: ${app.net.size.join(" × ")} pixels.`));
    drawClasses();
    Promise.all(sides.map((network, i) => get("api/predictions", { photo: app.photo, network })
      .then((found) => { rows[i] = found; drawClasses(); })
      .catch((error) => fill(takenFor[i], h("p", { class: "note" }, error.message)))))
      .then(() => { if (double && !left.aborted) draw(); });
    if (!double) draw();
    drawTools();
  } else refused.textContent = "There is no photo yet: add one above, drop one here, or paste one.";
  keys([
    { key: "s", help: "maps alone, or over the photo", run: () => look(style === "overlay" ? "heat" : "overlay") },
    { key: ", ArrowLeft", help: "the previous photo", run: () => app.nextPhoto(-1) },
    { key: ". ArrowRight", help: "the next photo", run: () => app.nextPhoto(1) },
  ], left);
}
