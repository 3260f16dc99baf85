// A method at work: its form, run and cancel, the live image, its progress, earlier results; and the studio, which has
// every method of the catalogue, those that make images first.

import { methodForm, upload } from "./form.js";
import { curve, fill, h, keys, say } from "./h.js";
import { two } from "./heat.js";
import { explained, mapStage, result } from "./result.js";
import { act, ask, over, post, watch } from "./source.js";

const FRAMES = 120; // images of earlier steps that are kept

/** @param {App} app @param {Method} method @param {AbortSignal} left
 * @param {{fixed?: Object<string, any>, inputs?: any, options?: any, started?: (said: any) => void, network?: number,
 *   title?: string}} [how] */
export function runner(app, method, left, { started, network = app.network, title = "", ...given } = {}) {
  const form = methodForm(app, method, given);
  const closed = new AbortController();
  const gone = AbortSignal.any([left, closed.signal]);
  /** @type {Job | null} */ let job = null;
  /** @type {string[]} */ let frames = [];
  /** @type {number[]} */ let scores = [];
  let shown = -1;
  const draws = method.picture && !method.page && !method.gallery;
  const run = h("button", { type: "button", class: "main", onclick: begin }, "Run");
  const pause = h("button", { type: "button", disabled: true, onclick: halt }, "Pause");
  const cancel = h("button", { type: "button", disabled: true, onclick: leave }, "Cancel");
  const bar = h("progress", { max: 1, value: 0, "aria-label": "Progress" });
  const state = h("p", { class: "state", role: "status" });
  const live = h("img", { class: "drawn live", alt: "", hidden: true });
  const scrub = h("input", { type: "range", min: 0, max: 0, value: 0, "aria-label": "Go back to an earlier image",
    hidden: true, oninput: () => show(Number(scrub.value)) });
  /** @type {ReturnType<typeof mapStage> | null} */ let stage = null;
  const easel = h("div", { class: "easel" }, live);
  const found = h("div", { class: "outcome" });
  const [course, kept, compared] = [h("div"), h("div", { class: "history" }), h("div")];
  const node = h("div", { class: "run" }, title && h("h3", null, title), form.node,
    h("div", { class: "buttons" }, run, method.long && pause, cancel), method.long && bar, state, easel, scrub, course,
    found, kept, compared, explained(method, "caption"));

  async function begin() {
    const missing = form.missing();
    if (missing.length) {
      state.textContent = `Missing: ${missing.join(", ")}.`;
      return;
    }
    leave();
    frames.forEach((frame) => URL.revokeObjectURL(frame));
    [frames, scores, shown] = [[], [], -1];
    live.hidden = scrub.hidden = true;
    fill(found);
    fill(course);
    if (method.mapped) fill(easel, (stage = mapStage(gone)).node);
    const said = form.read();
    started?.(said);
    try {
      const asked = await ask({ method: method.name, network, again: method.long, ...said });
      watch(asked, (now) => hear(now, said), gone);
    } catch (error) {
      state.textContent = /** @type {Error} */ (error).message;
    }
  }

  function halt() {
    if (job) act(job.id, job.state === "paused" ? "resume" : "pause").catch(() => undefined);
  }

  function leave() {
    if (job && !over(job)) act(job.id, "cancel").then((now) => hear(now, null)).catch(() => undefined);
  }

  /** @param {number} place */
  function show(place) {
    shown = place;
    live.src = frames[place];
    live.alt = `${method.title}, image ${place + 1} of ${frames.length}`;
  }

  /** @param {Job} now @param {any} said */
  async function hear(now, said) {
    const before = job?.id === now.id ? job : null;
    if (before && over(before)) return;
    job = now;
    const running = !over(now);
    run.textContent = running ? "Run again" : "Run";
    pause.disabled = cancel.disabled = !running;
    pause.textContent = now.state === "paused" ? "Go on" : "Pause";
    bar.value = now.total ? now.index / now.total : 0;
    state.textContent = now.words;
    if (now.score !== null && before?.index !== now.index) scores.push(now.score);
    if (now.version && now.version !== before?.version) stage?.show(now);
    if (now.index && now.version !== before?.version && draws) await frame(now);
    if (scores.length > 2) fill(course, curve(scores, "score"));
    if (!running) {
      say(now.words);
      finished(now, said);
    }
  }

  /** @param {Job} now */
  async function frame(now) {
    const answer = await fetch(pictureOf(now));
    if (!answer.ok || job?.id !== now.id) return;
    frames.push(URL.createObjectURL(await answer.blob()));
    if (frames.length > FRAMES) frames.splice(1, 1).forEach((old) => URL.revokeObjectURL(old));
    live.hidden = false;
    scrub.hidden = frames.length < 2;
    scrub.max = String(frames.length - 1);
    if (shown < 0 || shown >= frames.length - 2) {
      scrub.value = scrub.max;
      show(frames.length - 1);
    }
  }

  /** @param {Job} now @param {any} said */
  function finished(now, said) {
    const picture = draws && frames.length > 0;
    if (!now.version) stage?.node.remove(); // there is no map
    const steps = { href: `api/jobs/${now.id}/animation`, download: `${method.name}-way.webp` };
    fill(found, result(app, now), method.long && frames.length > 2
      && h("p", { class: "files" }, "Save ", h("a", steps, "the steps as an animated WebP")));
    found.classList.toggle("told", picture);
    if (now.index && said) {
      app.history.unshift({ job: now, said, picture });
      app.history.splice(24);
      drawHistory();
    }
  }

  function drawHistory() {
    const [latest, ...mine] = app.history.filter((one) => one.job.method === method.name);
    const items = mine.map(({ job, said, picture }) => h("li", null,
      h("button", { type: "button", title: job.python, "aria-label": `Restore the settings of ${job.python}`,
        onclick: () => form.set(said) }, picture ? h("img", { src: pictureOf(job), alt: "" }) : job.method),
      picture && latest.picture && h("button", { type: "button", class: "quiet",
        onclick: () => compare(latest.job, job) }, "beside the latest")));
    fill(kept, items.length > 0 && [h("h4", null, "Before"), h("ol", { class: "gallery small" }, items)]);
    fill(compared);
  }

  /** The latest image and an earlier one, a line between them. @param {Job} latest @param {Job} earlier */
  async function compare(latest, earlier) {
    const images = [earlier, latest].map((one) => h("img", { src: pictureOf(one) }));
    await Promise.all(images.map((image) => image.decode()));
    const pair = two(images.map((image, i) => ({ label: ["the earlier", "the latest"][i],
      draw: (pen, wide, tall) => pen.drawImage(image, 0, 0, wide, tall) })));
    pair.draw();
    fill(compared, pair.node);
  }

  drawHistory();
  gone.addEventListener("abort", leave);
  return { node, form, begin, leave, halt, close: () => closed.abort() };
}

/** The image of a job so far. @param {Job} job */
const pictureOf = (job) => `api/jobs/${job.id}/picture?v=${job.version}`;

/** @param {HTMLElement} root @param {Object<string, string>} params @param {App} app @param {AbortSignal} left */
export function studioPage(root, params, app, left) {
  const all = app.methods((one) => app.collection?.pictures || !one.needs.includes("store"));
  let now = all.find((one) => one.name === params.method) || all.find((one) => one.question === "what") || all[0];
  /** @type {ReturnType<typeof runner> | null} */ let run = null;
  const place = h("div", { class: "studio" });
  const list = h("nav", { class: "methods", "aria-label": "Methods" });
  const title = h("h1");
  const file = h("input", { type: "file", id: "recipe", accept: "image/png,image/jpeg,image/webp",
    onchange: () => restore(file.files?.[0]) });
  root.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    restore(event.dataTransfer?.files[0]);
  }, { signal: left });
  fill(root, title, h("div", { class: "split left" }, list, h("div", null, place, h("div", { class: "dropped" },
    h("label", { for: "recipe" }, "Restore the settings of a saved image: drop it on this page, or "), file))));

  function drawList() {
    const { what, ...others } = app.about.questions;
    fill(list, Object.entries({ what, ...others }).map(([question, words]) => {
      const mine = all.filter((one) => one.question === question);
      return mine.length > 0 && [h("h2", null, words), h("ul", null, mine.map((one) => h("li", null,
        h("a", { href: app.link("studio", { method: one.name }), "aria-current": one === now && "page",
          title: one.line }, one.title))))];
    }));
  }

  /** @param {Method} method @param {Said} said */
  function use(method, said) {
    now = method;
    run?.close();
    title.textContent = method.title;
    run = runner(app, method, left, { ...said, started: (read) =>
      app.put({ method: method.name, said: JSON.stringify(read) }) });
    fill(place, run.node);
    drawList();
  }

  /** @param {File | undefined} picture */
  async function restore(picture) {
    if (!picture) return;
    const found = await post("api/recipe", picture).catch(() => null);
    const method = all.find((one) => one.name === found?.method);
    if (!found) { // an image without a recipe: a photo to ask about
      const [id] = await upload(app, [picture]);
      if (id) app.go("image", { photo: id });
    } else if (!method) {
      app.warn("This image was made by a method that this page does not show.");
    } else {
      use(method, found);
      say(`The settings of ${method.title} are restored`);
    }
  }

  let said = {};
  try { said = JSON.parse(params.said || "{}"); } catch { said = {}; }
  if (now) use(now, said);
  keys([
    { key: "r", help: "run", run: () => run?.begin() },
    { key: "p", help: "pause, go on", run: () => run?.halt() },
    { key: "Escape", help: "cancel", run: () => run?.leave() },
  ], left);
}
