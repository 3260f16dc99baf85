// The camera: the network's answer to each frame, live.

import { legendBar, numbersOfLevels, paint } from "./colour.js";
import { upload } from "./form.js";
import { bars, fill, h, inline, keys, penOf, picker, seenAs, told } from "./h.js";
import { address, post } from "./source.js";
import { tileCanvas } from "./tiles.js";

/** @param {HTMLElement} root @param {Object<string, string>} params @param {App} app @param {AbortSignal} left */
export function cameraPage(root, params, app, left) {
  const layers = app.net.layers.filter((one) => one.channels > 0 && one.grid[0] > 1);
  const maps = app.methods((one) => one.heatmap && app.only(one, ["images"]));
  let { layer, method } = { layer: app.goodLayer().name, method: "", ...params };
  let [frozen, rate] = [false, 0];
  /** The frame whose answer is shown. @type {CameraFrame | null} */ let last = null;
  const video = h("video", { playsinline: true, muted: true, class: "unseen", "aria-hidden": "true" });
  const [rows, cols] = app.net.size;
  const seen = h("canvas", { width: cols, height: rows, role: "img",
    "aria-label": "What the network sees of the camera" });
  const heat = h("canvas", { class: "heat", width: 1, height: 1, role: "img", "aria-label": "The map of the method" });
  const stack = h("div", { class: "stack" }, seen, heat);
  const classes = h("div", { class: "classes" });
  const state = h("p", { class: "note" }, "Asking for the camera …");
  const legend = legendBar("legend wide");
  const tiles = tileCanvas({ hover: () => undefined, star: () => undefined, name: (unit) => `${layer}:${unit}`,
    open: (unit) => freeze().then((id) => app.go("unit", { u: `${layer}:${unit}`, photo: id })) });
  const pickLayer = picker(layers.map((one) => [one.name, one.name]), layer,
    (word) => { layer = word; app.put({ layer, method }); }, { id: "cam-layer" });
  const words = maps.map((one) => [one.name, one.title + (one.long ? " (slower)" : "")]);
  const pickMethod = picker([["", "none"], ...words], method,
    (word) => { method = word; app.put({ layer, method }); }, { id: "cam-method" });
  const hold = h("button", { type: "button", class: "main", "aria-pressed": "false", onclick: toggle }, "Freeze");
  fill(root, h("h1", null, "Camera"), h("div", { class: "controls" },
    inline("Layer", pickLayer), inline("Where it looks", pickMethod), hold, state),
  h("div", { class: "split left" }, h("figure", { class: "panel" }, stack, classes),
    h("section", { "aria-label": "Units" }, h("div", { class: "stage" }, tiles.node), legend.node,
      h("p", { class: "files" }, "Save ", seenAs(() => tiles.node, "layer.png", "the maps"),
        seenAs(() => seen, "frame.png", "the frame")))), video,
  h("p", { class: "caption" },
    "Frames go to triscope on this machine and nowhere else, and none is kept unless you freeze it."));

  if (layers.length) tiles.keep(layers.find((one) => one.name === layer) || layers[0]);
  const first = app.net.classes.slice(0, 5).map((name, index) => ({ index, name, score: 0 }));
  fill(classes, h("div", { class: "waiting" }, bars(first)));

  /** @param {boolean} now */
  function setFrozen(now) {
    frozen = now;
    hold.setAttribute("aria-pressed", String(frozen));
    hold.textContent = frozen ? "Go on" : "Freeze";
  }

  async function toggle() {
    if (frozen) {
      setFrozen(false);
      return loop();
    }
    const id = await freeze();
    const to = app.link("image", { photo: id });
    if (id) fill(state, "Frozen. ", h("a", { class: "button", href: to }, "Ask about this frame"));
  }

  /** Keep the last frame as a photo. */
  async function freeze() {
    setFrozen(true);
    if (!last) return "";
    const name = `camera ${new Date().toTimeString().slice(0, 8)}.jpg`;
    const [id] = await upload(app, [new File([/** @type {Blob} */ (last.jpeg)], name, { type: "image/jpeg" })]);
    return id || "";
  }

  const spare = [1, 2, 3].map(() => h("canvas", { width: cols, height: rows })); // one shown, two under way

  /** Send the centre of the camera's current frame, in the network's size. @returns {CameraFrame} */
  function asked() {
    const canvas = /** @type {HTMLCanvasElement} */ (spare.shift());
    spare.push(canvas);
    const pen = penOf(canvas, { willReadFrequently: true });
    const [wide, tall] = [video.videoWidth, video.videoHeight];
    const scale = Math.max(cols / wide, rows / tall);
    const [w, high] = [cols / scale, rows / scale];
    pen.drawImage(video, (wide - w) / 2, (tall - high) / 2, w, high, 0, 0, cols, rows);
    /** @type {CameraFrame} */ const mine = { canvas, jpeg: null, answer: Promise.resolve() };
    const to = address("api/camera", { layer, method, network: app.network, fit: "keep" });
    mine.answer = new Promise((done) => { canvas.toBlob(done, "image/jpeg", 0.9); })
      .then((jpeg) => post(to, mine.jpeg = jpeg));
    mine.answer.catch(() => undefined);
    return mine;
  }

  /** Two frames are under way, so that triscope looks at one while the other is sent, or its answer is drawn. */
  async function loop() {
    let before = performance.now();
    let refused = "";
    /** @type {CameraFrame[]} */ let waiting = [];
    while (!frozen && !left.aborted) {
      if (document.hidden || !video.videoWidth) {
        waiting = [];
        await new Promise((done) => { setTimeout(done, 100); });
        continue;
      }
      try {
        while (waiting.length < 2) waiting.push(asked());
        const [mine] = waiting;
        const found = await mine.answer;
        waiting.shift();
        if (left.aborted || frozen) break;
        last = mine;
        penOf(seen).drawImage(mine.canvas, 0, 0);
        waiting.push(asked());
        draw(found);
        refused = "";
      } catch (error) {
        waiting = [];
        refused = /** @type {Error} */ (error).message;
        await new Promise((done) => { setTimeout(done, 500); });
      }
      const now = performance.now();
      rate = 0.8 * rate + 0.2 * (1000 / Math.max(1, now - before));
      before = now;
      state.textContent = refused || `${rate.toFixed(0)} frames a second`;
      state.dataset.rate = rate.toFixed(1);
      state.dataset.frames = String(Number(state.dataset.frames || 0) + 1);
    }
  }

  /** @param {any} found */
  function draw(found) {
    fill(classes, bars(found.classes));
    stack.classList.toggle("over", Boolean(found.heatmap));
    if (found.heatmap) paint(heat, numbersOfLevels(found.heatmap, found.parts.heatmap), { clear: true });
    else Object.assign(heat, { width: 1, height: 1 });
    if (!found.parts.levels) return;
    tiles.use(new Uint8Array(found.parts.levels), found.maps, true);
    tiles.arrange([...Array(found.maps.count).keys()]);
    legend.paint(found.maps.signed, [found.maps.signed ? told(-found.maps.scale) : "0", told(found.maps.scale)]);
  }

  async function begin() {
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 } }, audio: false });
      const stop = () => stream.getTracks().forEach((track) => track.stop());
      if (left.aborted) return stop();
      left.addEventListener("abort", stop);
      video.srcObject = stream;
      await video.play();
      loop();
    } catch (error) {
      state.textContent = `No camera is available (${/** @type {Error} */ (error).message || "it was refused"}).`;
    }
  }

  keys([{ key: "f", help: "freeze this frame, or resume", run: toggle }], left);
  begin();
}
