// The map: pictures on a canvas, as far in or out as you like, on the map or in the mosaic, and all in between.
// Positions are in the units of the map (x right, y down); pixels are CSS pixels of the canvas.
// A page that was saved has its data in it. One that is served is shown in a frame of the page it belongs to, which hands
// it one piece after the other: places first, so that there is something to move, then names, cells, thumbnails.

const byId = (id) => document.getElementById(id);
const live = !byId("data");
const data = live ? await first() : JSON.parse(byId("data").textContent);
const count = data.sizes.length / 2;
const canvas = byId("canvas");
const stage = byId("stage");
const pen = canvas.getContext("2d");
const still = matchMedia("(prefers-reduced-motion: reduce)");
const dark = matchMedia("(prefers-color-scheme: dark)");
const whole = new Intl.NumberFormat("en");

const POINTS_BELOW = 7; // pixels: smaller pictures are drawn as points of their mean colour,
const SPRITES_MOVING = 1500; // and so are all, as long as they move and more than so many are in sight
const STILL_AFTER = 150; // milliseconds
const CLOSEST = 320; // pixels: a picture on the screen is never larger
const COMPANY = 26; // pixels: the chosen picture and its neighbours are at least so large
const DIM = 0.09;
const MANY = 60; // pictures of a selection that are shown
const UNSEEN = "#a8a299"; // the colour of a picture whose thumbnail is not there yet
const JOURNEY = 500; // milliseconds that pictures take to new places

const state = {
  mosaic: false, blend: 0, // 0 on the map, 1 in the mosaic
  view: { scale: 1, x: 0, y: 0 }, fitted: 1, basic: 32,
  width: 0, height: 0, tween: null,
  hovered: -1, chosen: -1, query: "", field: -1, kept: new Set(), picked: new Set(),
  lasso: null, drawing: false, hurried: false, moved: -Infinity,
};
const lit = new Uint8Array(count).fill(1);
const colors = new Array(count).fill("");
let hay = hayOf();
const inks = new Uint32Array(count); // the colours of points, as pixels: alpha, blue, green, red
const dots = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
let dotted = new ImageData(1, 1);
let levels = []; // levels[n][atlas]: the atlases, halved n times; none until they are decoded
let ink = {};
let asked = false;
let telling = 0;
/** @type {Map<number, [number, number | null][]>} what is nearest to a picture, where it was asked for */
const near = new Map();

/** What can be searched of each picture. */
function hayOf() {
  return data.names.map((name, i) => [name, ...data.fields.map(([, values]) => values[i])].join("\n").toLowerCase());
}

// Where things are

function cellSpan() { return 1 / Math.max(1, ...data.grid); }

function mapAt(i, mosaic) {
  if (!mosaic) return [data.places[2 * i], data.places[2 * i + 1]];
  const side = cellSpan();
  return [(data.cells[2 * i + 1] + 0.5) * side, (data.cells[2 * i] + 0.5) * side];
}

/** The places of all pictures on the map, or in the mosaic once its cells are known. */
function wayOf(mosaic) {
  const way = new Float32Array(2 * count);
  for (let i = 0; i < (mosaic ? data.cells.length / 2 : count); i++) way.set(mapAt(i, mosaic), 2 * i);
  return way;
}

const ways = [wayOf(false), wayOf(true)];
/** Pictures on their way to other places on the map. */
let journey = null;

const mix = (a, b, share) => a + (b - a) * share;
const bounded = (value, low, high) => Math.min(Math.max(value, low), high);

function at(i, axis) {
  return mix(ways[0][2 * i + axis], ways[1][2 * i + axis], state.blend) * state.view.scale
    + (axis ? state.view.y : state.view.x);
}

/** Pixels of a picture's longer side: on the map it grows slower than the distances, in the mosaic it fills its cell. */
function sideAt(scale, blend) {
  const loose = bounded(state.basic * (scale / state.fitted) ** 0.62, 3, CLOSEST);
  const cell = cellSpan() * scale;
  return mix(loose, cell - (cell > 16 ? Math.min(2, cell / 16) : 0), blend);
}

function bounds(mosaic) {
  if (mosaic) return [0, 0, data.grid[1] * cellSpan(), data.grid[0] * cellSpan()];
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (const list of [data.places, data.rest]) {
    for (let i = 0; i < list.length; i++) {
      box[i % 2] = Math.min(box[i % 2], list[i]);
      box[2 + (i % 2)] = Math.max(box[2 + (i % 2)], list[i]);
    }
  }
  return box[0] <= box[2] ? box : [0, 0, 1, 1];
}

let boxes = [bounds(false), bounds(true)];

/** The view that shows all of it. */
function fitView(mosaic) {
  const [left, top, right, bottom] = boxes[Number(mosaic)];
  const margin = mosaic ? 16 : 14 + state.basic / 2;
  const across = Math.max(40, state.width - 2 * margin);
  const down = Math.max(40, state.height - 2 * margin);
  let scale = Math.min(across / Math.max(right - left, 1e-9), down / Math.max(bottom - top, 1e-9));
  scale = Math.min(scale, mosaic ? 160 / cellSpan() : 4 * Math.min(across, down));
  return { scale, x: state.width / 2 - scale * (left + right) / 2, y: state.height / 2 - scale * (top + bottom) / 2 };
}

function resize() {
  const { width, height } = stage.getBoundingClientRect();
  const sharp = window.devicePixelRatio || 1;
  const before = { width: state.width, height: state.height };
  Object.assign(state, { width, height });
  canvas.width = Math.round(width * sharp);
  canvas.height = Math.round(height * sharp);
  dotted = new ImageData(Math.max(1, canvas.width), Math.max(1, canvas.height)); // hidden, it is of no size
  Object.assign(dots.canvas, { width: dotted.width, height: dotted.height });
  const room = Math.sqrt((width * height) / Math.max(1, count + data.rest.length / 20));
  state.basic = bounded(0.8 * room, 6, 96);
  state.fitted = fitView(false).scale;
  if (before.width) {
    state.view.x += (width - before.width) / 2;
    state.view.y += (height - before.height) / 2;
  } else {
    state.view = fitView(state.mosaic);
  }
  draw();
}

// Drawing

function halved(source) {
  const half = document.createElement("canvas");
  half.width = source.width >> 1;
  half.height = source.height >> 1;
  half.getContext("2d").drawImage(source, 0, 0, half.width, half.height);
  return half;
}

function readInk() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["paper", "ink", "soft", "mark", "card"]) ink[name] = style.getPropertyValue(`--${name}`).trim();
}

/** Picture i into a canvas, in the middle of (x, y), its longer side `side` pixels; `square` 1 fills a square. */
function sprite(target, i, x, y, side, square, pixels) {
  const level = bounded(Math.floor(Math.log2(data.tile / Math.max(1, pixels))), 0, Math.max(0, levels.length - 1));
  const shrink = 1 / 2 ** level;
  const full = data.columns * data.rows;
  const place = i % full;
  const sheet = levels[level]?.[Math.floor(i / full)];
  if (!sheet) {
    target.fillStyle = colors[i] || UNSEEN;
    target.fillRect(x - side / 2, y - side / 2, side, side);
    return;
  }
  const [w, h] = [data.sizes[2 * i], data.sizes[2 * i + 1]];
  const [long, short] = [Math.max(w, h), Math.min(w, h)];
  const [sw, sh] = [mix(w, short, square), mix(h, short, square)];
  const sx = (place % data.columns) * data.tile + ((data.tile - w) >> 1) + (w - sw) / 2;
  const sy = Math.floor(place / data.columns) * data.tile + ((data.tile - h) >> 1) + (h - sh) / 2;
  const [dw, dh] = [side * mix(w / long, 1, square), side * mix(h / long, 1, square)];
  target.drawImage(sheet, sx * shrink, sy * shrink, sw * shrink, sh * shrink,
    x - dw / 2, y - dh / 2, dw, dh);
}

function extent(i, side) {
  const [w, h] = [data.sizes[2 * i], data.sizes[2 * i + 1]];
  const long = Math.max(w, h);
  return [side * mix(w / long, 1, state.blend), side * mix(h / long, 1, state.blend)];
}

function frame(i, x, y, side, color, thick) {
  const [w, h] = extent(i, side);
  pen.fillStyle = color;
  pen.fillRect(x - w / 2 - thick, y - h / 2 - thick, w + 2 * thick, h + 2 * thick);
}

function inSight(i, side) {
  const [x, y] = [at(i, 0), at(i, 1)];
  return x >= -side && y >= -side && x <= state.width + side && y <= state.height + side;
}

/** Whether more are in sight than can be drawn while they move. */
function crowded(side) {
  let seen = 0;
  for (let i = 0; i < count && seen <= SPRITES_MOVING; i++) seen += Number(inSight(i, side));
  return seen > SPRITES_MOVING;
}

function drawOne(i, side, sharp) {
  if (!inSight(i, side)) return;
  const [x, y] = [at(i, 0), at(i, 1)];
  const thick = bounded(side / 12, 1.2, 3);
  const inner = side - (colors[i] && lit[i] ? 2 * thick * state.blend : 0); // in a cell the frame takes of the picture
  if (colors[i] && lit[i]) frame(i, x, y, inner, colors[i], thick);
  sprite(pen, i, x, y, inner, state.blend, inner * sharp);
}

function drawSprites(side, sharp) {
  for (const bright of [0, 1]) {
    pen.globalAlpha = shareOf(bright);
    for (let i = 0; i < count; i++) if (lit[i] === bright) drawOne(i, side, sharp);
  }
  pen.globalAlpha = 1;
}

/** How much of its colour a picture keeps: little where it does not match, less than all beside a chosen one. */
function shareOf(bright) {
  if (!bright) return DIM;
  return state.chosen < 0 ? 1 : 0.3;
}

const packed = (hex) => (0xff000000 | (parseInt(hex.slice(5), 16) << 16) | (parseInt(hex.slice(3, 5), 16) << 8)
  | parseInt(hex.slice(1, 3), 16)) >>> 0;

/** A square of one colour in an image of `width` x `height` pixels. */
function stamp(pixels, { width, height }, x, y, dot, color) {
  const [from, to] = [x - dot / 2, x + dot / 2].map((edge) => bounded(Math.round(edge), 0, width));
  const [top, end] = [y - dot / 2, y + dot / 2].map((edge) => bounded(Math.round(edge), 0, height));
  for (let row = top; from < to && row < end; row++) {
    pixels.fill(color, row * width + from, row * width + to);
  }
}

const faded = (color, share) => ((color & 0xffffff) | (Math.round(255 * share) << 24)) >>> 0;

/** What is shown as points, written pixel by pixel: for tens of thousands that is far quicker than shapes. */
function drawPoints(all, side, sharp) {
  const pixels = new Uint32Array(dotted.data.buffer).fill(0);
  const { scale, x, y } = state.view;
  const others = faded(packed(ink.soft), 0.4 * (1 - state.blend));
  for (let i = 0; i < data.rest.length && state.blend < 1; i += 2) {
    const [right, down] = [data.rest[i] * scale + x, data.rest[i + 1] * scale + y];
    stamp(pixels, dotted, right * sharp, down * sharp, 2 * sharp, others);
  }
  const dot = Math.max(2, side * mix(0.8, 1, state.blend)) * sharp;
  for (const bright of all ? [0, 1] : []) {
    const share = shareOf(bright);
    for (let i = 0; i < count; i++) {
      if (lit[i] === bright) stamp(pixels, dotted, at(i, 0) * sharp, at(i, 1) * sharp, dot, faded(inks[i], share));
    }
  }
  dots.putImageData(dotted, 0, 0);
  pen.drawImage(dots.canvas, 0, 0, dotted.width / sharp, dotted.height / sharp);
}

/** The pictures that stand out: the chosen one's neighbours, farthest first, then itself. */
function company() {
  return state.chosen < 0 ? [] : [...neighborsOf(state.chosen).map(([i]) => i).reverse(), state.chosen];
}

function drawCompany(side, sharp) {
  const large = Math.max(side, COMPANY);
  pen.globalAlpha = 0.8;
  pen.strokeStyle = ink.mark;
  pen.lineWidth = 1.5;
  pen.beginPath();
  for (const i of company().slice(0, -1)) {
    pen.moveTo(at(state.chosen, 0), at(state.chosen, 1));
    pen.lineTo(at(i, 0), at(i, 1));
  }
  pen.stroke();
  pen.globalAlpha = 1;
  for (const i of company()) {
    const bold = i === state.chosen ? 4 : 2;
    frame(i, at(i, 0), at(i, 1), large, ink.paper, bold + 1.5);
    frame(i, at(i, 0), at(i, 1), large, ink.mark, bold);
    sprite(pen, i, at(i, 0), at(i, 1), large, state.blend, large * sharp);
  }
}

function drawHovered(side, sharp) {
  const i = state.hovered;
  if (i < 0 || company().includes(i)) return;
  const large = Math.max(side, 12);
  frame(i, at(i, 0), at(i, 1), large, ink.paper, 4);
  frame(i, at(i, 0), at(i, 1), large, colors[i] || ink.ink, 2.5);
  sprite(pen, i, at(i, 0), at(i, 1), large, state.blend, large * sharp);
}

function drawPicked(side) {
  pen.strokeStyle = ink.mark;
  pen.lineWidth = 2;
  for (const i of state.picked) {
    const [w, h] = extent(i, side);
    pen.strokeRect(at(i, 0) - w / 2, at(i, 1) - h / 2, w, h);
  }
}

function drawLasso() {
  if (!state.lasso || state.lasso.length < 2) return;
  pen.beginPath();
  state.lasso.forEach(([x, y], n) => (n ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  pen.closePath();
  pen.globalAlpha = 0.12;
  pen.fillStyle = ink.mark;
  pen.fill();
  pen.globalAlpha = 1;
  pen.strokeStyle = ink.mark;
  pen.lineWidth = 1.5;
  pen.stroke();
}

function paint(now) {
  asked = false;
  advance(now);
  travel(now);
  const sharp = window.devicePixelRatio || 1;
  pen.setTransform(sharp, 0, 0, sharp, 0, 0);
  pen.clearRect(0, 0, state.width, state.height);
  const side = sideAt(state.view.scale, state.blend);
  state.hurried = now - state.moved < STILL_AFTER && crowded(side);
  const points = side < POINTS_BELOW || state.hurried || !levels.length;
  if (points || (data.rest.length && state.blend < 1)) drawPoints(points, side, sharp);
  if (!points) drawSprites(side, sharp);
  drawPicked(side);
  drawCompany(side, sharp);
  drawHovered(side, sharp);
  drawLasso();
  hold();
  if (state.tween || journey || state.hurried) draw();
}

function draw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(paint);
}

// Moving

const ease = (share) => (share < 0.5 ? 4 * share ** 3 : 1 - (2 - 2 * share) ** 3 / 2);

function advance(now) {
  const tween = state.tween;
  if (!tween) return;
  state.moved = now;
  tween.start ??= now;
  const share = tween.time ? Math.min(1, (now - tween.start) / tween.time) : 1;
  const eased = ease(share);
  for (const key of ["scale", "x", "y"]) state.view[key] = mix(tween.from[key], tween.to[key], eased);
  state.blend = mix(tween.blend, Number(state.mosaic), eased);
  if (share === 1) state.tween = null;
}

/** Pictures on their way to their new places on the map. */
function travel(now) {
  if (!journey) return;
  state.moved = now;
  journey.start ??= now;
  const share = still.matches ? 1 : Math.min(1, (now - journey.start) / JOURNEY);
  const eased = ease(share);
  const { from, to } = journey;
  for (let k = 0; k < to.length; k++) ways[0][k] = mix(from[k], to[k], eased);
  if (share === 1) journey = null;
}

function glide(to, time) {
  state.tween = { from: { ...state.view }, to, blend: state.blend, time: still.matches ? 0 : time, start: null };
  hover(-1);
  draw();
}

/** Held: anything under way goes on from where it is, but the arrangement is what was asked for last. */
function held() {
  state.moved = performance.now();
  if (!state.tween) return;
  state.tween = null;
  state.blend = Number(state.mosaic);
}

function zoomed(view, factor, x, y) {
  const least = Math.min(state.fitted, fitView(state.mosaic).scale) / 2;
  const most = Math.max(state.fitted * 60, CLOSEST / cellSpan());
  const scale = bounded(view.scale * factor, least, most);
  const grown = scale / view.scale;
  return { scale, x: x - (x - view.x) * grown, y: y - (y - view.y) * grown };
}

function zoomBy(factor, x = state.width / 2, y = freeHeight() / 2) {
  held();
  state.view = zoomed(state.view, factor, x, y);
  draw();
}

function glideBy(factor, x = state.width / 2, y = freeHeight() / 2) {
  const from = state.tween ? state.tween.to : state.view;
  glide(zoomed(from, factor, x, y), 220);
}

function moveBy(x, y) {
  held();
  state.view.x += x;
  state.view.y += y;
  draw();
}

const fit = () => glide(fitView(state.mosaic), 350);

function arrange(mosaic) {
  state.mosaic = mosaic;
  byId("as-map").setAttribute("aria-pressed", String(!mosaic));
  byId("as-mosaic").setAttribute("aria-pressed", String(mosaic));
  canvas.setAttribute("aria-label", `${mosaic ? "Mosaic" : "Map"} of ${pictures(count)}`);
  glide(fitView(mosaic), 1100);
}

/** The height of the part of the map that no sheet covers. */
function freeHeight() {
  const sheet = [...document.querySelectorAll(".sheet")].find((one) => !one.hidden);
  if (!sheet || getComputedStyle(sheet).position !== "fixed") return state.height;
  const free = sheet.getBoundingClientRect().top - canvas.getBoundingClientRect().top;
  return free > 60 ? Math.min(free, state.height) : state.height;
}

/** Bring a picture into sight if it is out of it, or under a sheet. */
function show(i) {
  const [x, y, height] = [at(i, 0), at(i, 1), freeHeight()];
  if (x > 20 && y > 20 && x < state.width - 20 && y < height - 20) return;
  glide({ ...state.view, x: state.view.x + state.width / 2 - x, y: state.view.y + height / 2 - y }, 400);
}

/** One finger scrolls the page as long as the map is whole; closer by it moves the map. */
function hold() {
  const whole = state.view.scale <= 1.02 * fitView(state.mosaic).scale;
  const way = whole && !state.drawing ? "pan-y" : "none";
  if (canvas.style.touchAction !== way) canvas.style.touchAction = way;
}

// What is under the pointer, and what is chosen

/** The topmost picture there, or -1; with `reach`, the nearest within so many pixels. */
function pictureAt(x, y, reach = 0) {
  const side = Math.max(sideAt(state.view.scale, state.blend), 6);
  const inside = (i, size) => {
    const [w, h] = extent(i, size);
    return Math.abs(at(i, 0) - x) <= w / 2 && Math.abs(at(i, 1) - y) <= h / 2;
  };
  const front = company().reverse().find((i) => inside(i, Math.max(side, COMPANY)));
  if (front !== undefined) return front;
  for (let i = count - 1; i >= 0; i--) if (lit[i] && inside(i, side)) return i;
  let [best, least] = [-1, reach];
  for (let i = 0; reach && i < count; i++) {
    const far = Math.hypot(at(i, 0) - x, at(i, 1) - y);
    if (lit[i] && far < least) [best, least] = [i, far];
  }
  return best;
}

function thumb(i, side) {
  const small = document.createElement("canvas");
  paintThumb(small, i, side);
  return small;
}

function paintThumb(small, i, side) {
  const sharp = window.devicePixelRatio || 1;
  const sizes = [data.sizes[2 * i], data.sizes[2 * i + 1]];
  const [w, h] = sizes.map((size) => (side * size) / Math.max(...sizes));
  small.width = Math.max(1, Math.round(w * sharp));
  small.height = Math.max(1, Math.round(h * sharp));
  small.style.width = `${w}px`;
  small.style.height = `${h}px`;
  const brush = small.getContext("2d");
  brush.imageSmoothingQuality = "high";
  brush.setTransform(small.width / w, 0, 0, small.height / h, 0, 0);
  sprite(brush, i, w / 2, h / 2, side, 0, side * sharp);
}

function element(tag, kind, words) {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  if (words !== undefined) made.textContent = words;
  return made;
}

function facts(i) {
  const list = element("dl");
  for (const [name, values] of data.fields) {
    if (!values[i]) continue;
    const row = element("div");
    row.append(element("dt", "", name), element("dd", "", values[i]));
    list.append(row);
  }
  return list;
}

function hover(i, x = 0, y = 0) {
  const card = byId("card");
  if (i !== state.hovered) {
    state.hovered = i;
    card.hidden = i < 0;
    stage.classList.toggle("over", i >= 0);
    if (i >= 0) {
      paintThumb(card.querySelector("canvas"), i, bounded(2 * data.tile, 128, 192));
      card.querySelector(".name").textContent = data.names[i];
      card.querySelector("dl").replaceWith(facts(i));
    }
    draw();
  }
  if (i < 0) return;
  const { width, height } = card.getBoundingClientRect();
  const left = x + 18 + width < state.width ? x + 18 : x - 18 - width;
  card.style.left = `${bounded(left, 4, Math.max(4, state.width - width - 4))}px`;
  card.style.top = `${bounded(y + 14, 4, Math.max(4, state.height - height - 4))}px`;
}

function neighborsOf(i) {
  if (live) return near.get(i) || [];
  const found = [];
  const nearest = data.neighbors.length / count;
  for (let n = i * nearest; n < (i + 1) * nearest; n++) {
    if (data.neighbors[n] >= 0) found.push([data.neighbors[n], data.scores[n]]);
  }
  return found;
}

function pictureButton(i, side) {
  const button = element("button");
  button.type = "button";
  button.title = data.names[i];
  button.append(thumb(i, side));
  button.addEventListener("click", () => { choose(i); show(i); });
  return button;
}

function nearRow([i, score]) {
  const row = element("li");
  const button = pictureButton(i, 48);
  button.append(element("span", "name", data.names[i]));
  button.append(element("span", "score", score === null ? "" : score.toFixed(3)));
  row.append(button);
  return row;
}

function say(words) { byId("said").textContent = words; }

function sheeted() {
  document.body.classList.toggle("sheeted", state.chosen >= 0 || state.picked.size > 0);
}

function choose(i) {
  state.chosen = i;
  const part = byId("chosen");
  part.hidden = i < 0;
  sheeted();
  byId("help").hidden = i >= 0 || state.picked.size > 0;
  if (i >= 0) {
    tell({ triscope: "chosen", row: data.ids[i] ?? -1, place: i, near: near.has(i) });
    showChosen(i);
    part.scrollTop = 0;
  } else {
    say("");
  }
  draw();
}

/** The chosen picture, and what is nearest to it, as far as it is known. */
function showChosen(i) {
  const [part, found] = [byId("chosen"), neighborsOf(i)];
  part.querySelector(".subject").replaceChildren(thumb(i, 160), element("p", "name", data.names[i]), facts(i));
  part.querySelector("h3").hidden = !found.length;
  const leads = (data.links?.[i] || []).map(([label, address]) => {
    const row = element("li");
    row.append(Object.assign(element("a", "", label), { href: address }));
    return row;
  });
  part.querySelector(".leads").replaceChildren(...leads);
  part.querySelector(".near + h3").hidden = !leads.length;
  part.querySelector(".near").replaceChildren(...found.map(nearRow));
  const told = data.fields.map(([name, values]) => (values[i] ? `, ${name} ${values[i]}` : "")).join("");
  const nearby = found.length ? ` Nearest: ${found.slice(0, 3).map(([n]) => data.names[n]).join(", ")}.` : "";
  say(`Selected: ${data.names[i]}${told}.${nearby}`);
}

/** Tell the page that shows this one in a frame, if there is one. */
function tell(words) {
  if (parent !== window) parent.postMessage(words, "*");
}

/** The picture beside the chosen one in a direction, or -1: near, and rather straight on than aside. */
function beside(right, down) {
  let [best, least] = [-1, Infinity];
  const here = [at(state.chosen, 0), at(state.chosen, 1)];
  for (let i = 0; i < count; i++) {
    if (i === state.chosen || !lit[i]) continue;
    const [x, y] = [at(i, 0) - here[0], at(i, 1) - here[1]];
    const [along, aside] = [x * right + y * down, Math.abs(x * down - y * right)];
    const far = along + 2 * aside;
    if (along > 0.5 && aside <= 1.5 * along && far < least) [best, least] = [i, far];
  }
  return best;
}

const DIRECTIONS = { ArrowLeft: [-1, 0, "left"], ArrowRight: [1, 0, "right"], ArrowUp: [0, -1, "up"], ArrowDown: [0, 1, "down"] };

function walk(key) {
  const [right, down, word] = DIRECTIONS[key];
  const next = beside(right, down);
  if (next < 0) {
    say(`No picture further ${word}.`);
    return;
  }
  choose(next);
  show(next);
}

// Search, colours, filters

const pictures = (number) => `${whole.format(number)} picture${number === 1 ? "" : "s"}`;

function refilter() {
  const wanted = state.query.trim().toLowerCase();
  const places = state.field < 0 ? null : data.fields[state.field][2];
  let found = 0;
  for (let i = 0; i < count; i++) {
    const kept = !state.kept.size || state.kept.has(places[i]);
    lit[i] = Number(kept && (!wanted || hay[i].includes(wanted)));
    found += lit[i];
  }
  const all = whole.format(count);
  const narrowed = wanted || state.kept.size;
  byId("count").textContent = narrowed ? `${whole.format(found)} of ${all} match` : hay.length === count ? pictures(count) : "";
  hover(-1);
  draw();
}

function legendRow([value, number, color], place) {
  const row = element("li");
  const button = element("button");
  button.type = "button";
  button.setAttribute("aria-pressed", "false");
  const dot = element("i");
  dot.style.background = color;
  button.append(dot, element("span", "value", value === "" ? "(none)" : value), element("span", "number", whole.format(number)));
  button.title = value;
  button.addEventListener("click", () => {
    if (!state.kept.delete(place)) state.kept.add(place);
    button.setAttribute("aria-pressed", String(state.kept.has(place)));
    refilter();
  });
  row.append(button);
  return row;
}

function colorBy(field) {
  state.field = field;
  state.kept.clear();
  byId("legend").hidden = field < 0;
  if (field >= 0) {
    const [name, , place, list] = data.fields[field];
    for (let i = 0; i < count; i++) colors[i] = list[place[i]][2];
    byId("legend").querySelector("h2").textContent = name;
    byId("legend").querySelector("ul").replaceChildren(...list.map(legendRow));
  } else {
    colors.fill("");
  }
  paintPoints();
  refilter();
}

/** The colours of points; a picture that was not yet seen is grey. */
function paintPoints() {
  for (let i = 0; i < count; i++) inks[i] = packed(colors[i] || data.tones[i] || UNSEEN);
}

// The lasso and what it picks

function within(x, y, outline) {
  let inside = false;
  for (let n = 0, m = outline.length - 1; n < outline.length; m = n++) {
    const [[ax, ay], [bx, by]] = [outline[n], outline[m]];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) inside = !inside;
  }
  return inside;
}

function pick(indices) {
  state.picked = new Set(indices);
  const part = byId("picked");
  part.hidden = !state.picked.size;
  byId("help").hidden = state.picked.size > 0 || state.chosen >= 0;
  part.querySelector("h2").textContent = `${pictures(state.picked.size)} selected`;
  const shown = [...state.picked].slice(0, MANY).map((i) => {
    const row = element("li");
    row.append(pictureButton(i, 50));
    row.firstChild.setAttribute("aria-label", data.names[i]);
    return row;
  });
  const more = state.picked.size - MANY;
  if (more > 0) shown.push(element("li", "more", `and ${whole.format(more)} more`));
  part.querySelector("ul").replaceChildren(...shown);
  sheeted();
  tellPicked();
  draw();
}

/** A page that shows this one in a frame is told what was picked, once it has not changed for a moment. */
function tellPicked() {
  clearTimeout(telling);
  telling = setTimeout(() => tell({ triscope: "picked", rows: [...state.picked].map((i) => data.ids[i] ?? -1) }), 300);
}

/** Take the chosen picture into the selection, or out of it. */
function takeChosen() {
  if (state.chosen < 0) { say("Choose a picture first: Enter takes the one in the middle."); return; }
  const [i, picked] = [state.chosen, new Set(state.picked)];
  if (!picked.delete(i)) picked.add(i);
  pick(picked);
  say(`${data.names[i]} is ${picked.has(i) ? "in" : "out of"} the selection, which has ${pictures(picked.size)}.`);
}

/** Take all pictures that match the search and the legend. */
function takeMatching() {
  const found = [...lit.keys()].filter((i) => lit[i]);
  choose(-1);
  pick(found);
  say(`${pictures(found.length)} selected.`);
}

function closeLasso() {
  const outline = state.lasso;
  state.lasso = null;
  const found = [];
  for (let i = 0; i < count; i++) if (lit[i] && within(at(i, 0), at(i, 1), outline)) found.push(i);
  choose(-1);
  pick(found);
  drawMode(false);
}

function drawMode(on) {
  state.drawing = on;
  byId("lasso").setAttribute("aria-pressed", String(on));
  stage.classList.toggle("drawing", on);
}

/** The picked pictures as CSV (RFC 4180): name, fields, and x and y on the map. */
function csv() {
  const quoted = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  const head = ["name", ...data.fields.map(([name]) => name), "x", "y"];
  const rows = [...state.picked].map((i) => [data.names[i], ...data.fields.map(([, values]) => values[i]), ...mapAt(i, false)]);
  return [head, ...rows].map((row) => `${row.map((value) => quoted(String(value))).join(",")}\r\n`).join("");
}

function exportPicked() {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = "selection.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function clearAll() {
  state.lasso = null;
  byId("search").value = "";
  state.query = "";
  state.kept.clear();
  for (const button of byId("legend").querySelectorAll("[aria-pressed]")) button.setAttribute("aria-pressed", "false");
  drawMode(false);
  choose(-1);
  pick([]);
  refilter();
}

// Hands: pointer, wheel, keys

const pointers = new Map();
let travelled = 0;

const onCanvas = (event) => {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};

function pointerDown(event) {
  if (event.button > 0) return;
  canvas.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, onCanvas(event));
  if (pointers.size === 1) travelled = 0;
  state.lasso = pointers.size === 1 && (event.shiftKey || state.drawing) ? [onCanvas(event)] : null;
}

function pinch(before, after) {
  const middle = ([[ax, ay], [bx, by]]) => [(ax + bx) / 2, (ay + by) / 2];
  const spread = ([[ax, ay], [bx, by]]) => Math.max(1, Math.hypot(ax - bx, ay - by));
  const [[fromX, fromY], [toX, toY]] = [middle(before), middle(after)];
  moveBy(toX - fromX, toY - fromY);
  zoomBy(spread(after) / spread(before), toX, toY);
}

function pointerMove(event) {
  const [x, y] = onCanvas(event);
  const held = pointers.get(event.pointerId);
  if (!held) {
    if (state.tween || event.pointerType === "touch") return;
    const under = pictureAt(x, y);
    hover(under === state.chosen ? -1 : under, x, y); // the chosen one is large in the panel
    return;
  }
  travelled += Math.hypot(x - held[0], y - held[1]);
  const before = [...pointers.values()];
  pointers.set(event.pointerId, [x, y]);
  if (travelled > 4) hover(-1);
  if (state.lasso) {
    state.lasso.push([x, y]);
    draw();
  } else if (pointers.size === 2) {
    pinch(before, [...pointers.values()]);
  } else if (travelled > 4) {
    stage.classList.add("moving");
    moveBy(x - held[0], y - held[1]);
  }
}

function pointerUp(event) {
  if (!pointers.delete(event.pointerId) || pointers.size) return;
  stage.classList.remove("moving");
  if (state.lasso && travelled > 12) {
    closeLasso();
  } else if (event.type === "pointerup" && travelled <= 4) {
    choose(pictureAt(...onCanvas(event), event.pointerType === "touch" ? 18 : 0));
    hover(-1);
    if (state.chosen >= 0 && freeHeight() < state.height) show(state.chosen);
  }
  state.lasso = null;
  draw();
}

function wheel(event) {
  event.preventDefault();
  const pixels = event.deltaY * (event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1);
  hover(-1);
  zoomBy(Math.exp(bounded(-pixels, -300, 300) * (event.ctrlKey ? 0.01 : 0.0018)), ...onCanvas(event));
}

const KEYS = {
  ArrowLeft: () => moveBy(60, 0),
  ArrowRight: () => moveBy(-60, 0),
  ArrowUp: () => moveBy(0, 60),
  ArrowDown: () => moveBy(0, -60),
  "+": () => glideBy(1.6),
  "=": () => glideBy(1.6),
  "-": () => glideBy(1 / 1.6),
  0: fit,
  m: () => byId("as-mosaic").disabled || arrange(!state.mosaic),
  x: takeChosen,
  a: takeMatching,
  "/": () => byId("search").focus(),
};

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    clearAll();
    if (event.target === byId("search")) canvas.focus({ preventScroll: true });
    return;
  }
  if (event.target.closest("input, select")) return;
  if (event.key.startsWith("Arrow") && event.target !== canvas && event.target !== document.body) return;
  if (event.key === "Enter" && event.target === canvas) {
    const middle = pictureAt(state.width / 2, freeHeight() / 2, Infinity);
    choose(middle);
    if (middle < 0) say("No picture matches.");
    else show(middle);
  } else if (DIRECTIONS[event.key] && state.chosen >= 0 && !event.shiftKey) {
    event.preventDefault();
    walk(event.key);
  } else if (KEYS[event.key]) {
    event.preventDefault();
    KEYS[event.key]();
  }
}

function listen() {
  canvas.addEventListener("pointerdown", pointerDown);
  canvas.addEventListener("pointermove", pointerMove);
  canvas.addEventListener("pointerup", pointerUp);
  canvas.addEventListener("pointercancel", pointerUp);
  canvas.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") hover(-1); });
  canvas.addEventListener("wheel", wheel, { passive: false });
  canvas.addEventListener("dblclick", (event) => glideBy(event.shiftKey ? 0.4 : 2.5, ...onCanvas(event)));
  document.addEventListener("keydown", key);
  byId("search").addEventListener("input", (event) => { state.query = event.target.value; refilter(); });
  byId("color").addEventListener("change", (event) => colorBy(Number(event.target.value)));
  byId("as-map").addEventListener("click", () => arrange(false));
  byId("as-mosaic").addEventListener("click", () => arrange(true));
  byId("closer").addEventListener("click", () => glideBy(1.6));
  byId("farther").addEventListener("click", () => glideBy(1 / 1.6));
  byId("fit").addEventListener("click", fit);
  byId("matching").addEventListener("click", takeMatching);
  byId("lasso").addEventListener("click", () => drawMode(!state.drawing));
  byId("export").addEventListener("click", exportPicked);
  byId("drop").addEventListener("click", () => pick([]));
  byId("close").addEventListener("click", () => { choose(-1); canvas.focus({ preventScroll: true }); });
  dark.addEventListener("change", () => { readInk(); paintPoints(); draw(); });
  new ResizeObserver(resize).observe(stage);
}

// What a page that is served is handed, piece by piece

/** The first piece, and what stands for the others until they come. */
function first() {
  return new Promise((done) => {
    addEventListener("message", function hear({ source, data: told }) {
      if (source !== parent || told?.piece !== "places") return;
      removeEventListener("message", hear);
      const { tile, parts, ...rest } = told;
      const many = parts.places.byteLength / 8;
      done({ ...rest, tile, places: floats(parts.places), rest: floats(parts.rest), ids: integers(parts.rows), names: [], fields: [],
        color: -1, cells: [], grid: [1, 1], neighbors: [], scores: [], tones: [], sizes: new Uint8Array(2 * many).fill(tile) });
    });
    parent.postMessage({ triscope: "ready" }, "*");
  });
}

function floats(bytes) { return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4); }

function integers(bytes) { return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4); }

const PIECES = {
  places({ parts }) {
    if (parts.places.byteLength !== 8 * count) return;
    const whole = !state.tween && Math.abs(state.view.scale - fitView(state.mosaic).scale) < 1e-6 * state.view.scale;
    Object.assign(data, { places: floats(parts.places), rest: floats(parts.rest) });
    near.clear();
    boxes = [bounds(false), boxes[1]];
    journey = { from: ways[0].slice(), to: wayOf(false), start: null };
    state.fitted = fitView(false).scale;
    if (whole) glide(fitView(state.mosaic), JOURNEY);
    draw();
  },
  names({ names, fields, color }) {
    Object.assign(data, { names, fields });
    hay = hayOf();
    offerFields(color);
  },
  cells({ grid, parts }) {
    Object.assign(data, { grid, cells: integers(parts.cells) });
    ways[1] = wayOf(true);
    boxes = [boxes[0], bounds(true)];
    byId("as-mosaic").disabled = false;
    draw();
  },
  async sheet({ number, parts }) {
    const from = number * data.columns * data.rows;
    data.sizes.set(parts.sizes, 2 * from);
    for (let k = 0; k < parts.tones.length / 3; k++) {
      data.tones[from + k] = `#${[...parts.tones.subarray(3 * k, 3 * k + 3)].map((part) => part.toString(16).padStart(2, "0")).join("")}`;
    }
    paintPoints();
    addSheet(number, await createImageBitmap(new Blob([parts.jpeg])));
    if (state.chosen >= 0) showChosen(state.chosen);
    draw();
  },
  near({ place, found }) {
    near.set(place, found);
    if (state.chosen === place) showChosen(place);
    draw();
  },
  note({ text }) { byId("note").textContent = text; },
};

/** A sheet of thumbnails, and the same again and again halved. */
function addSheet(number, image) {
  let [level, side] = [0, data.tile];
  for (let sheet = image; ; sheet = halved(sheet), side /= 2, level++) {
    (levels[level] ??= [])[number] = sheet;
    if (side <= 8) return;
  }
}

function offerFields(color) {
  byId("color").replaceChildren(new Option("nothing", "-1"), ...data.fields.map(([name], n) => new Option(name, String(n))));
  byId("choice").hidden = !data.fields.length;
  byId("color").value = color;
  colorBy(color);
}

async function start() {
  document.body.classList.toggle("bare", location.hash === "#bare"); // in a page that says itself what this is
  canvas.setAttribute("aria-label", `Map of ${pictures(count)}`);
  byId("as-mosaic").disabled = live;
  readInk();
  resize();
  listen();
  offerFields(data.color);
  if (live) addEventListener("message", ({ source, data: told }) => { if (source === parent) PIECES[told?.piece]?.(told); });
  const images = [...document.querySelectorAll("img.atlas")];
  await Promise.all(images.map((image) => image.decode()));
  images.forEach((image, number) => addSheet(number, image));
  draw();
}

// For whoever looks on from outside, tests above all: where picture i is drawn, and what is being shown.
window.triscopeMap = Object.freeze({
  place: (i) => ({ x: at(i, 0), y: at(i, 1), side: sideAt(state.view.scale, state.blend) }),
  get mode() { return state.mosaic ? "mosaic" : "map"; },
  get moving() { return asked || state.hurried || state.tween !== null || journey !== null; },
  get lit() { return lit.reduce((sum, one) => sum + one, 0); },
  get chosen() { return state.chosen; },
  get picked() { return [...state.picked]; },
  get scale() { return state.view.scale; },
  get sheets() { return (levels[0] || []).filter(Boolean).length; },
  ready: start(),
});
