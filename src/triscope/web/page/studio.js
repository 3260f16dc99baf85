// The studio: every method of the catalogue by its form, those that make images first.

import { upload } from "./form.js";
import { fill, h, keys, say } from "./h.js";
import { runner } from "./run.js";
import { post } from "./source.js";

/** @param {HTMLElement} root @param {Object<string, string>} params @param {App} app */
export function studioPage(root, params, app) {
  const all = app.methods((one) => app.collection?.pictures || !one.needs.includes("store"));
  const first = all.find((one) => one.question === "what") || all[0];
  let now = all.find((one) => one.name === params.method) || first;
  /** @type {any} */ let run = null;
  const place = h("div", { class: "studio" });
  const list = h("nav", { class: "methods", "aria-label": "Methods" });
  const title = h("h1");
  const file = h("input", { type: "file", id: "recipe", accept: "image/png,image/jpeg,image/webp", onchange: () => restore(file.files?.[0]) });
  const drop = h("div", { class: "dropped" }, h("label", { for: "recipe" }, "Restore the settings of a saved image: drop it on this page, or "), file);
  /** @param {DragEvent} event */
  function dropped(event) {
    event.preventDefault();
    event.stopPropagation();
    restore(event.dataTransfer?.files[0]);
  }
  root.addEventListener("drop", dropped);
  fill(root, title, h("div", { class: "split left" }, list, h("div", null, place, drop)));

  function drawList() {
    const order = ["what", ...Object.keys(app.about.questions).filter((one) => one !== "what")];
    fill(list, order.map((question) => {
      const mine = all.filter((one) => one.question === question);
      return mine.length > 0 && [h("h2", null, app.about.questions[question]), h("ul", null, mine.map((one) =>
        h("li", null, h("a", { href: app.link("studio", { method: one.name }), "aria-current": one === now ? "page" : null, title: one.line }, one.title))))];
    }));
  }

  /** @param {Method} method @param {{inputs?: any, options?: any}} said */
  function use(method, said) {
    now = method;
    run?.close();
    title.textContent = method.title;
    run = runner(app, method, { ...said, history: app.history, started: (read) =>
      app.put({ method: method.name, said: JSON.stringify(read) }) });
    fill(place, run.node);
    drawList();
  }

  /** @param {File | undefined} picture */
  async function restore(picture) {
    if (!picture) return;
    const found = await post("api/recipe", picture).catch(() => null);
    if (!found) { // an image without a recipe: a photo to ask about
      const [id] = await upload(app, [picture]);
      if (id) app.go("image", { photo: id });
      return;
    }
    try {
      const method = all.find((one) => one.name === found.method);
      if (!method) throw new Error("This image was made by a method that this page does not show.");
      use(method, found);
      say(`The settings of ${method.title} are restored`);
    } catch (error) {
      app.warn(/** @type {Error} */ (error).message);
    }
  }

  let said = {};
  try { said = params.said ? JSON.parse(params.said) : {}; } catch { said = {}; }
  if (now) use(now, said);
  const release = keys([
    { key: "r", help: "run", run: () => run?.begin() },
    { key: "p", help: "pause, go on", run: () => run?.halt() },
    { key: "Escape", help: "cancel", run: () => run?.leave() },
  ]);
  return () => {
    release();
    root.removeEventListener("drop", dropped);
    run?.close();
  };
}
