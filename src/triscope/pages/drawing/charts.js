// Small charts: bars, a curve, a histogram. Each has its numbers beside it as text.

import { h, percent, s, told } from "./h.js";

/** Bars of classes; a click asks about one. @param {Scored[]} rows @param {{chosen?: string, pick?: (row: Scored) => void}} [how] */
export function bars(rows, { chosen, pick } = {}) {
  const item = (/** @type {Scored} */ row) => {
    const inside = [
      h("span", { class: "name" }, row.name),
      h("span", { class: "track" }, h("span", { style: { width: `${100 * Math.min(1, Math.max(0, row.score))}%` } })),
      h("span", { class: "value" }, percent(row.score)),
    ];
    const pressed = String(chosen === row.name || chosen === String(row.index));
    return h("li", null, pick
      ? h("button", { type: "button", "aria-pressed": pressed, onclick: () => pick(row) }, inside)
      : h("div", null, inside));
  };
  return h("ol", { class: "bars" }, rows.map(item));
}

/** A curve of numbers in their order. @param {number[]} values @param {string} label */
export function curve(values, label) {
  const shown = values.filter(Number.isFinite);
  if (shown.length < 2) return h("div", { class: "curve" });
  const [least, most] = [Math.min(...shown), Math.max(...shown)];
  const span = most - least || 1;
  const points = shown.map((value, i) => `${(100 * i) / (shown.length - 1)},${29 - (28 * (value - least)) / span}`);
  return h("div", { class: "curve" },
    s("svg", { viewBox: "0 0 100 30", preserveAspectRatio: "none", role: "img",
      "aria-label": `${label}: from ${told(shown[0])} to ${told(shown[shown.length - 1])}` },
    s("polyline", { points: points.join(" ") })),
    h("p", { class: "ends" }, h("span", null, `${label} ${told(shown[0])}`), h("span", null, told(shown[shown.length - 1]))));
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
  const mark = here === null ? null : s("line", { x1: at(here), x2: at(here), y1: 0, y2: 30, class: "here" });
  const words = `Scores of ${all.pictures} photos, from ${told(all.least)} to ${told(all.most)}`;
  const below = here === null ? "" : `; this photo ${told(here)}`;
  return h("figure", { class: "histogram" },
    s("svg", { viewBox: "0 0 100 30", preserveAspectRatio: "none", role: "img", "aria-label": words + below }, columns, mark),
    h("figcaption", null, `${words}${below}. Heights are square roots of counts.`));
}
