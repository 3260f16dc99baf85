// The keyboard: what each key does now, and the list of them.

import { h } from "./h.js";

/** @typedef {{key: string, help: string, run: (event: KeyboardEvent) => void}} Key */

/** @type {Key[][]} */
const layers = [];

/** Let keys do something until the function that comes back is called. @param {Key[]} keys @returns {() => void} */
export function keys(keys) {
  layers.push(keys);
  return () => { layers.splice(layers.indexOf(keys), 1); };
}

/** Whether a key is being typed into something. @param {Event} event */
function typing(event) {
  const node = /** @type {HTMLElement} */ (event.target);
  return ["INPUT", "SELECT", "TEXTAREA"].includes(node.tagName) && node.getAttribute("type") !== "range"
    && node.getAttribute("type") !== "checkbox";
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (typing(event) && event.key !== "Escape") return;
  const found = layers.toReversed().flat().find((one) => one.key.split(" ").includes(event.key));
  if (!found) return;
  event.preventDefault();
  found.run(event);
});

/** Show the list of keys. */
export function showKeys() {
  const rows = layers.toReversed().flat().filter((one) => one.help);
  const dialog = h("dialog", { class: "keys", "aria-labelledby": "keys-title", onclose: () => dialog.remove() },
    h("h2", { id: "keys-title" }, "Keys"),
    h("dl", null, rows.map((one) => h("div", null,
      h("dt", null, one.key.split(" ").map((name) => h("kbd", null, name.replace("Arrow", "")))), h("dd", null, one.help)))),
    h("form", { method: "dialog" }, h("button", null, "Close")));
  document.body.append(dialog);
  dialog.showModal();
}
