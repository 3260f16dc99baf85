// Elements, the keyboard, and the few things that every module needs.

/** An element. `props` are attributes, properties (`value`, `checked`), listeners (`onclick`), or a `style` object; false,
 * null and undefined leave one out. Children are nodes, text, arrays of these, or nothing. Text is never markup.
 * @template {keyof HTMLElementTagNameMap} K @param {K} tag @param {Object<string, any> | null} [props] @param {...any} children */
export function h(tag, props, ...children) {
  const node = document.createElement(tag);
  set(node, props || {});
  node.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return node;
}

/** The same for drawings. @param {string} tag @param {Object<string, any>} [props] @param {...any} children @returns {any} */
export function s(tag, props, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(props || {})) node.setAttribute(name, String(value));
  node.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return node;
}

/** @param {any} node @param {Object<string, any>} props */
function set(node, props) {
  for (const [name, value] of Object.entries(props)) {
    if (value === false || value == null) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, text] of Object.entries(value)) node.style.setProperty(key, text);
    else if (name === "class") node.className = value;
    else if (["value", "checked", "selected", "disabled", "hidden", "open"].includes(name)) node[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
}

/** The 2D context of a canvas. @param {HTMLCanvasElement} canvas @param {CanvasRenderingContext2DSettings} [how] */
export const penOf = (canvas, how) => /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", how));

/** Replace what an element holds. @param {Element} node @param {...any} children */
export function fill(node, ...children) {
  node.replaceChildren(...children.flat(Infinity).filter((child) => child != null && child !== false));
}

/** A number as a person reads it: four digits. @param {number | null | undefined} value @returns {string} */
export function told(value) {
  if (value == null || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1e5 || size < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(4)));
  return text.replace("-", "−");
}

/** A share in percent, which is never rounded to 0 % or 100 %. @param {number} share */
export function percent(share) {
  if (share > 0.999) return "over 99.9%";
  if (share < 0.001) return "under 0.1%";
  return share < 0.1 || share > 0.99 ? `${(100 * share).toFixed(1)}%` : `${Math.round(100 * share)}%`;
}

/** A debounced function: it runs when no call has come for `wait` ms. @param {(...args: any[]) => void} run @param {number} wait */
export function settled(run, wait = 60) {
  let timer = 0;
  return (/** @type {any[]} */ ...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => run(...args), wait);
  };
}

/** Announce a text to screen readers. @param {string} text */
export function say(text) {
  const place = document.getElementById("said");
  if (place) place.textContent = text;
}

/** A choice of a few words. @param {string} label @param {[string, string][]} words @param {string} now
 * @param {(word: string) => void} chosen */
export function choice(label, words, now, chosen) {
  const buttons = words.map(([word, text]) =>
    h("button", { type: "button", "aria-pressed": String(word === now), onclick: () => take(word) }, text));
  /** @param {string} word */
  function take(word) {
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(words[i][0] === word)));
    chosen(word);
  }
  return h("div", { class: "choice", role: "group", "aria-label": label }, h("span", { class: "label" }, label),
    h("span", { class: "switch" }, buttons));
}

/** A link that saves a canvas as it is seen. @param {() => HTMLCanvasElement} canvas @param {string} name @param {string} [words] */
export function seenAs(canvas, name, words = "png") {
  const link = h("a", { href: "#", download: name, role: "button", onclick: save }, words);
  /** @param {Event} event */
  function save(event) {
    if (link.href.startsWith("blob:")) return;
    event.preventDefault();
    canvas().toBlob((blob) => {
      if (!blob) return;
      link.href = URL.createObjectURL(blob);
      link.click();
      setTimeout(() => { URL.revokeObjectURL(link.href); link.href = "#"; }, 1000);
    });
  }
  return link;
}

/** A text to be copied. @param {string} what @param {string} text */
export function copyable(what, text) {
  const button = h("button", { type: "button", class: "quiet", "aria-label": `Copy ${what}`, onclick: copy }, "copy");
  async function copy() {
    await navigator.clipboard.writeText(text).catch(() => undefined);
    button.textContent = "copied";
    setTimeout(() => { button.textContent = "copy"; }, 1200);
  }
  return h("div", { class: "line" }, h("code", null, text), button);
}

// The keyboard: what each key does now, and the list of them.

/** @type {Key[][]} */ const layers = [];

/** Bind keys until the function that is returned is called. @param {Key[]} keys @returns {() => void} */
export function keys(keys) {
  layers.push(keys);
  return () => { layers.splice(layers.indexOf(keys), 1); };
}

/** Whether a key is typed into a field. @param {Event} event */
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

/** @type {Record<string, string>} */ const ARROWS = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓" };

/** Show the list of keys. */
export function showKeys() {
  const rows = layers.toReversed().flat().filter((one) => one.help);
  const dialog = h("dialog", { class: "keys", "aria-labelledby": "keys-title", onclose: () => dialog.remove() },
    h("h2", { id: "keys-title" }, "Keys"),
    h("dl", null, rows.map((one) => h("div", null,
      h("dt", null, one.key.split(" ").map((name) => h("kbd", null, ARROWS[name] || name))), h("dd", null, one.help)))),
    h("form", { method: "dialog" }, h("button", null, "Close")));
  document.body.append(dialog);
  dialog.showModal();
}
