// Elements, the keyboard, and small parts that several pages have: choices, links that save, bars, curves.

/** The children that are there. @param {any[]} children */
const there = (children) => children.flat(Infinity).filter((child) => child != null && child !== false);

/** Give an element its attributes, styles, listeners and children.
 * @template {Element} E @param {E} node @param {Object<string, any> | null | undefined} props
 * @param {any[]} children */
function built(node, props, children) {
  const { style } = /** @type {any} */ (node);
  for (const [name, value] of Object.entries(props || {})) {
    if (value === false || value == null) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, text] of Object.entries(value)) style.setProperty(key, text);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...there(children));
  return node;
}

/** An element. `props` are attributes, listeners (`onclick`), or a `style` object; false, null and undefined leave one
 * out. Children are nodes, text, arrays of these, or nothing. Text is never markup.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag @param {Object<string, any> | null} [props] @param {...any} children */
export const h = (tag, props, ...children) => built(document.createElement(tag), props, children);

/** The same for drawings. @param {string} tag @param {Object<string, any>} props @param {...any} children */
const s = (tag, props, ...children) =>
  built(document.createElementNS("http://www.w3.org/2000/svg", tag), props, children);

/** The 2D context of a canvas. @param {HTMLCanvasElement} canvas @param {CanvasRenderingContext2DSettings} [how] */
export const penOf = (canvas, how) => /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", how));

/** Replace what an element holds. @param {Element} node @param {...any} children */
export const fill = (node, ...children) => node.replaceChildren(...there(children));

/** The element of a kind that has that id. @template {keyof HTMLElementTagNameMap} K @param {K} tag
 * @param {string} id */
export const part = (tag, id) => /** @type {HTMLElementTagNameMap[K]} */ (document.querySelector(`${tag}#${id}`));

/** @param {number} value @param {number} low @param {number} high */
export const bounded = (value, low, high) => Math.min(Math.max(value, low), high);

/** A number as a person reads it: four digits. @param {number | null | undefined} value @returns {string} */
export function told(value) {
  if (value == null || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1e5 || size < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(4)));
  return text.replaceAll("-", "−");
}

/** A share in percent, which is never rounded to 0 % or 100 %. @param {number} share */
export function percent(share) {
  if (share > 0.999) return "over 99.9%";
  if (share < 0.001) return "under 0.1%";
  return share < 0.1 || share > 0.99 ? `${(100 * share).toFixed(1)}%` : `${Math.round(100 * share)}%`;
}

/** A debounced function: it runs when no call has come for `wait` ms.
 * @template {any[]} A @param {(...args: A) => void} run @param {number} wait */
export function settled(run, wait = 60) {
  let timer = 0;
  return (/** @type {A} */ ...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => run(...args), wait);
  };
}

/** Announce a text to screen readers. @param {string} text */
export function say(text) {
  const place = document.getElementById("said");
  if (place) place.textContent = text;
}

/** A choice of a few words. @param {string} label @param {string[][]} words  each with its text @param {string} now
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

/** A list to choose one word from. @param {string[][]} words  each with its text @param {string} now
 * @param {(word: string) => void} chosen @param {Object<string, any>} [props] */
export function picker(words, now, chosen, props) {
  const node = h("select", { ...props, onchange: () => chosen(node.value) },
    words.map(([value, text]) => h("option", { value, selected: value === now }, text)));
  return node;
}

/** A control, and its name before it. @param {string} name @param {HTMLElement} control */
export const inline = (name, control) =>
  h("label", { class: "inline", for: control.id || null }, h("span", { class: "label" }, name), control);

/** The entries of a list of terms: each a term, and what is said of it. @param {any[][]} entries */
export const terms = (entries) =>
  entries.map(([term, text]) => h("div", null, h("dt", null, term), h("dd", null, text)));

/** Controls that sort, find and hide units: they change a state.
 * @param {{sort: string, search: string, hide: string}} state
 * @param {string[][]} sorts @param {string} hint @param {number | null} silent  how many are, where they can be hidden
 * @param {() => void} changed */
export function finding(state, sorts, hint, silent, changed) {
  const change = (/** @type {Partial<typeof state>} */ to) => { Object.assign(state, to); changed(); };
  const find = h("input", { type: "search", id: "find", value: state.search, placeholder: hint, spellcheck: "false",
    oninput: settled(() => change({ search: find.value.trim() })) });
  const box = h("input", { type: "checkbox", id: "hide", checked: Boolean(state.hide),
    onchange: () => change({ hide: box.checked ? "1" : "" }) });
  const list = picker(sorts, state.sort, (sort) => change({ sort }), { id: "sort" });
  return [inline("Sort by", list), inline("Find", find),
    silent !== null && h("label", { class: "inline", for: "hide" }, box, ` hide the silent (${silent})`)];
}

/** Links to the units before and after one, and to its layer. @param {string} before @param {string} layer
 * @param {string} after
 * @param {...any} more */
export const walker = (before, layer, after, ...more) =>
  h("div", { class: "walker", role: "group", "aria-label": "Neighbouring units" },
    h("a", { href: before, class: "button", "aria-label": "Previous unit" }, "‹"),
    h("a", { href: layer, class: "button" }, "layer"),
    h("a", { href: after, class: "button", "aria-label": "Next unit" }, "›"), more);

/** Let a file be saved. @param {Blob} blob @param {string} name */
export function save(blob, name) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** A link that saves a canvas as it is seen. @param {() => HTMLCanvasElement} canvas @param {string} name
 * @param {string} [words] */
export const seenAs = (canvas, name, words = "png") =>
  h("a", { href: "#", role: "button", onclick: (/** @type {Event} */ event) => {
    event.preventDefault();
    canvas().toBlob((blob) => blob && save(blob, name));
  } }, words);

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

// Small charts. Each has its numbers beside it as text.

/** Bars of classes; a click asks about one. @param {Scored[]} rows
 * @param {{chosen?: string, pick?: (row: Scored) => void}} [how] */
export const bars = (rows, { chosen, pick } = {}) => h("ol", { class: "bars" }, rows.map((row) => h("li", null,
  h(pick ? "button" : "div", pick && { type: "button", onclick: () => pick(row),
    "aria-pressed": String(chosen === row.name || chosen === String(row.index)) },
  h("span", { class: "name" }, row.name),
  h("span", { class: "track" }, h("span", { style: { width: `${100 * bounded(row.score, 0, 1)}%` } })),
  h("span", { class: "value" }, percent(row.score))))));

/** A drawing 100 wide and 30 high, as wide as there is room. @param {string} label @param {...any} inside */
const chart = (label, ...inside) =>
  s("svg", { viewBox: "0 0 100 30", preserveAspectRatio: "none", role: "img", "aria-label": label }, inside);

/** A curve of numbers in their order. @param {number[]} values @param {string} label */
export function curve(values, label) {
  const shown = values.filter(Number.isFinite);
  if (shown.length < 2) return h("div", { class: "curve" });
  const [least, most] = [Math.min(...shown), Math.max(...shown)];
  const points = shown.map((value, i) =>
    `${(100 * i) / (shown.length - 1)},${29 - (28 * (value - least)) / (most - least || 1)}`);
  const [first, last] = [told(shown[0]), told(shown[shown.length - 1])];
  return h("div", { class: "curve" },
    chart(`${label}: from ${first} to ${last}`, s("polyline", { points: points.join(" ") })),
    h("p", { class: "ends" }, h("span", null, `${label} ${first}`), h("span", null, last)));
}

/** A histogram of scores, with a mark at one of them.
 * @param {{counts: number[], least: number, most: number, pictures: number}} all @param {number | null} here */
export function histogram(all, here) {
  if (!all.counts.length) return h("div");
  const top = Math.max(...all.counts);
  const [left, right] = [Math.min(all.least, here ?? all.least), Math.max(all.most, here ?? all.most)];
  const at = (/** @type {number} */ value) => (100 * (value - left)) / (right - left || 1);
  const step = (at(all.most) - at(all.least)) / all.counts.length;
  const columns = all.counts.map((count, i) => {
    const tall = count ? Math.max(1, 28 * Math.sqrt(count / top)) : 0;
    return s("rect", { x: at(all.least) + i * step, y: 30 - tall, width: Math.max(0.2, step * 0.86), height: tall });
  });
  const mark = here !== null && s("line", { x1: at(here), x2: at(here), y1: 0, y2: 30, class: "here" });
  const words = `Scores of ${all.pictures} photos, from ${told(all.least)} to ${told(all.most)}${
    here === null ? "" : `; this photo ${told(here)}`}`;
  return h("figure", { class: "histogram" }, chart(words, columns, mark),
    h("figcaption", null, `${words}. Heights are square roots of counts.`));
}

// The keyboard: what each key does now, and the list of them.

/** @type {Key[][]} */ const layers = [];

/** The keys that are bound now, the latest first. */
const bound = () => layers.toReversed().flat();

/** Bind keys, until a signal tells that the page is left. @param {Key[]} keys @param {AbortSignal} [left] */
export function keys(keys, left) {
  layers.push(keys);
  left?.addEventListener("abort", () => layers.splice(layers.indexOf(keys), 1));
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const typed = 'input:not([type="range"], [type="checkbox"]), select, textarea';
  if (event.key !== "Escape" && /** @type {Element} */ (event.target).matches(typed)) return;
  const found = bound().find((one) => one.key.split(" ").includes(event.key));
  if (!found) return;
  event.preventDefault();
  found.run(event);
});

/** @type {Record<string, string>} */
const ARROWS = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓" };

/** Show the list of keys. */
function showKeys() {
  const names = (/** @type {Key} */ { key }) => key.split(" ").map((name) => h("kbd", null, ARROWS[name] || name));
  const dialog = h("dialog", { class: "keys", "aria-labelledby": "keys-title", onclose: () => dialog.remove() },
    h("h2", { id: "keys-title" }, "Keys"),
    h("dl", null, terms(bound().filter((one) => one.help).map((one) => [names(one), one.help]))),
    h("form", { method: "dialog" }, h("button", null, "Close")));
  document.body.append(dialog);
  dialog.showModal();
}

/** The bar above a page: a field that jumps to what is typed, and a button that lists the keys.
 * @param {(word: string) => void} jump */
export function useBar(jump) {
  const field = part("input", "jump");
  field.addEventListener("keydown", ({ key }) => {
    const word = field.value.trim();
    if (key === "Enter" && word) jump(word);
  });
  part("button", "keys").addEventListener("click", showKeys);
  keys([
    { key: "?", help: "these keys", run: showKeys },
    { key: "/", help: "jump to a unit", run: () => field.focus() },
  ]);
}
