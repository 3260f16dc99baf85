// A method at work: its form, run and cancel, the live image, its progress, and earlier results.

import { curve } from "./charts.js";
import { methodForm } from "./form.js";
import { fill, h, say, told } from "./h.js";
import { two } from "./heat.js";
import { capital, mapStage, result } from "./result.js";
import { act, ask, over, watch } from "./source.js";

const FRAMES = 120; // images of earlier steps that are kept

/** @param {App} app @param {Method} method
 * @param {{fixed?: Object<string, any>, inputs?: any, options?: any, history?: Kept[], started?: (said: any) => void, network?: number, title?: string}}
 * [how] */
export function runner(app, method, { fixed = {}, inputs = {}, options = {}, history = [], started, network = app.network, title = "" } = {}) {
  const form = methodForm(app, method, { fixed, inputs, options });
  /** @type {Job | null} */ let job = null;
  let stop = () => {};
  /** @type {string[]} */ let frames = [];
  /** @type {number[]} */ let scores = [];
  let shown = -1;
  const draws = method.picture && !method.page && !method.gallery;
  const run = h("button", { type: "button", class: "main", onclick: begin }, "Run");
  const pause = h("button", { type: "button", disabled: true, onclick: halt }, "Pause");
  const cancel = h("button", { type: "button", disabled: true, onclick: leave }, "Cancel");
  const bar = h("progress", { max: 1, "aria-label": "Progress" });
  bar.value = 0;
  const state = h("p", { class: "state", role: "status" });
  const live = h("img", { class: "drawn live", alt: "", hidden: true });
  const scrub = h("input", { type: "range", min: 0, max: 0, value: 0, "aria-label": "Go back to an earlier image",
    hidden: true, oninput: () => show(Number(scrub.value)) });
  const course = h("div");
  /** @type {any} */ let stage = null;
  const easel = h("div", { class: "easel" }, live);
  const found = h("div", { class: "outcome" });
  const same = h("div", { class: "same" });
  const kept = h("div", { class: "history" });
  const compared = h("div");
  const node = h("div", { class: "run" }, title && h("h3", null, title), form.node, h("div", { class: "buttons" }, run, method.long && pause, cancel),
    method.long && bar, state, easel, scrub, course, found, same, kept, compared,
    h("p", { class: "caption" }, capital(method.line), "."),
    method.misleads && h("details", null, h("summary", null, "When it misleads"), h("p", null, method.misleads)));

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
    stage?.close();
    if (method.mapped) fill(easel, (stage = mapStage()).node);
    const said = form.read();
    started?.(said);
    try {
      const asked = await ask({ method: method.name, network, again: method.long, ...said });
      stop = watch(asked, (now) => hear(now, said));
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
    if (job?.id === now.id && over(job)) return;
    const before = job?.id === now.id ? job : null;
    job = now;
    const running = !over(now);
    run.textContent = running ? "Run again" : "Run";
    pause.disabled = cancel.disabled = !running;
    pause.textContent = now.state === "paused" ? "Go on" : "Pause";
    bar.value = now.total ? now.index / now.total : 0;
    state.textContent = words(now);
    if (now.score !== null && before?.index !== now.index) scores.push(now.score);
    if (now.version && now.version !== before?.version) stage?.show(now);
    if (now.index && now.version !== before?.version && draws) await frame(now);
    if (scores.length > 2) fill(course, curve(scores, "score"));
    if (!running) {
      say(words(now));
      finished(now, said);
    }
  }

  /** @param {Job} now */
  async function frame(now) {
    const answer = await fetch(`api/jobs/${now.id}/picture?v=${now.version}`);
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
    const drawn = draws && frames.length > 0;
    if (!now.version) stage?.node.remove(); // there is no map
    fill(found, result(app, now), method.long && frames.length > 2 && h("p", { class: "files" }, "Save ",
      h("a", { href: `api/jobs/${now.id}/animation`, download: `${method.name}-way.webp` }, "the steps as an animated WebP")));
    found.classList.toggle("told", drawn);
    fill(same);
    if (now.index && said) {
      history.unshift({ job: now, said, picture: drawn });
      history.splice(24);
      drawHistory();
    }
  }

  function drawHistory() {
    const mine = history.filter((one) => one.job.method === method.name);
    fill(kept, mine.length > 1 && [h("h4", null, "Before"), h("ol", { class: "gallery small" }, mine.slice(1).map((one) =>
      h("li", null, h("button", { type: "button", title: one.job.python, "aria-label": `Restore the settings of ${one.job.python}`,
        onclick: () => form.set(one.said) },
      one.picture ? h("img", { src: pictureOf(one.job), alt: "" }) : one.job.method),
      one.picture && mine[0].picture && h("button", { type: "button", class: "quiet", onclick: () => compare(mine[0], one) }, "beside the latest"))))]);
    fill(compared);
  }

  const pictureOf = (/** @type {Job} */ of) => `api/jobs/${of.id}/picture?v=${of.version}`;

  /** The latest image and an earlier one, a line between them. @param {any} latest @param {any} earlier */
  async function compare(latest, earlier) {
    const images = [earlier, latest].map((one) => Object.assign(new Image(), { src: pictureOf(one.job) }));
    await Promise.all(images.map((image) => image.decode()));
    const pair = two(images.map((image, i) => ({ label: ["the earlier", "the latest"][i], draw: (pen, wide, tall) => pen.drawImage(image, 0, 0, wide, tall) })));
    pair.draw();
    fill(compared, pair.node);
  }

  drawHistory();
  return { node, form, begin, leave, halt, close: () => { leave(); stop(); stage?.close(); } };

  /** @param {Job} now */
  function words(now) {
    const where = now.total > 1 ? `step ${now.index} of ${now.total}` : "";
    const score = now.score === null ? "" : `, score ${told(now.score)}`;
    const rate = now.index && now.seconds ? `, ${(now.index / now.seconds).toFixed(1)} steps a second` : "";
    switch (now.state) {
      case "waiting": return now.ahead ? `waiting: ${now.ahead} before it` : "starting …";
      case "running": return where ? `${where}${score}${rate}` : "working …";
      case "paused": return `paused at ${where}${score}`;
      case "cancelled": return `cancelled${where ? ` at ${where}; the latest result is kept` : ""}`;
      case "failed": return now.error || "failed";
      default: return `done${where ? `, ${where}` : ""}${score}, ${now.seconds.toFixed(1)} s`;
    }
  }
}
