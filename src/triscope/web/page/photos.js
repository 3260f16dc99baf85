// Choosing photos: those at hand, dropped, pasted or picked from a disk.

import { fill, h, say } from "./h.js";
import { post } from "./source.js";

/** @param {string} id @param {number} [network] */
export const seenAddress = (id, network = 0) => `api/photos/${id}/seen?network=${network}`;

/** @param {string} id */
export const thumbAddress = (id) =>
  id.startsWith("row-") ? `api/rows/${id.slice(4)}/thumbnail` : `api/photos/${id}/thumbnail`;

/** Give the server pictures; those that it takes are at hand then. @param {any} app @param {Iterable<File>} files */
export async function upload(app, files) {
  const taken = [];
  for (const file of files) {
    try {
      const photo = await post("api/photos", file, { "X-Name": encodeURIComponent(file.name || "photo.png") });
      if (!app.about.photos.some((/** @type {any} */ one) => one.id === photo.id)) app.about.photos.push(photo);
      taken.push(photo.id);
    } catch (error) {
      app.warn(/** @type {Error} */ (error).message);
    }
  }
  if (taken.length) say(`${taken.length} added`);
  return taken;
}

/**
 * A field for one photo or several.
 * @param {any} app
 * @param {{label: string, many?: boolean, value?: string[], words?: string[], changed?: (ids: string[]) => void}} how
 */
export function photoField(app, { label, many = false, value = [], words = [], changed = () => undefined }) {
  let chosen = [...value];
  const list = h("div", { class: "thumbs", role: "group", "aria-label": label });
  const file = h("input", { type: "file", accept: "image/png,image/jpeg,image/webp,image/gif", multiple: many,
    class: "unseen", tabindex: "-1", "aria-hidden": "true", onchange: () => add(file.files) });
  /** @param {Iterable<File>} files */
  async function add(files) {
    const ids = await upload(app, files);
    if (ids.length) take(many ? [...chosen, ...ids] : ids.slice(-1));
  }
  /** @param {string[]} ids */
  function take(ids) {
    chosen = ids;
    draw();
    changed(chosen);
  }
  /** @param {string} id */
  function pick(id) {
    const there = chosen.includes(id);
    take(many ? (there ? chosen.filter((one) => one !== id) : [...chosen, id]) : there && !words.length ? chosen : [id]);
  }
  function draw() {
    const known = new Map(app.about.photos.map((/** @type {any} */ one) => [one.id, one.name]));
    for (const id of chosen) if (!known.has(id) && !words.includes(id)) known.set(id, id.replace("row-", "picture "));
    fill(list,
      words.map((word) => h("button", { type: "button", class: "word", "aria-pressed": String(chosen.includes(word)),
        onclick: () => pick(word) }, word)),
      [...known].map(([id, name]) => h("button", { type: "button", class: "thumb", title: name, "aria-label": name,
        "aria-pressed": String(chosen.includes(id)), onclick: () => pick(id) },
      h("img", { src: thumbAddress(id), alt: "", loading: "lazy" }))),
      h("button", { type: "button", class: "thumb add", title: "Add from disk; pictures can also be dropped or pasted",
        "aria-label": "Add a picture from disk", onclick: () => file.click() }, "+"));
  }
  draw();
  const node = h("div", { class: "photos", ondragover: (/** @type {DragEvent} */ event) => event.preventDefault(),
    ondrop: (/** @type {DragEvent} */ event) => {
      event.preventDefault();
      event.stopPropagation();
      add(event.dataTransfer?.files || []);
    } }, h("span", { class: "label" }, label), list, file);
  return { node, read: () => [...chosen], set: take };
}
