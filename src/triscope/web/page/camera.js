// The camera: the network's answer to each frame, live.

import { bars } from "./charts.js";
import { legendBar, numbersOfLevels, paint } from "./colour.js";
import { upload } from "./form.js";
import { fill, h, keys, penOf, seenAs, told } from "./h.js";
import { address, reached, unpacked } from "./source.js";
import { tileCanvas } from "./tiles.js";

/** @param {HTMLElement} root @param {Object<string, string>} params @param {App} app */
export function cameraPage(root, params, app) {
  const layers = app.net.layers.filter((one) => one.channels > 0 && one.grid[0] > 1);
  const maps = app.methods((one) => one.heatmap && app.only(one, ["images"]));
  let layer = params.layer || app.goodLayer().name;
  let method = params.method || "";
  let [frozen, gone, rate] = [false, false, 0];
  /** @type {MediaStream | null} */ let stream = null;
  /** The frame whose answer is shown. @type {CameraFrame | null} */ let last = null;
  const video = h("video", { playsinline: true, muted: true, class: "unseen", "aria-hidden": "true" });
  const [rows, cols] = app.net.size;
  const seen = h("canvas", { width: cols, height: rows, role: "img", "aria-label": "What the network sees of the camera" });
  const heat = h("canvas", { class: "heat", width: 1, height: 1, role: "img", "aria-label": "The map of the method" });
  const stack = h("div", { class: "stack" }, seen, heat);
  const classes = h("div", { class: "classes" });
  const state = h("p", { class: "note" }, "Asking for the camera …");
  const legend = legendBar("legend wide");
  const tiles = tileCanvas({ hover: () => undefined, star: () => undefined, name: (unit) => `${layer}:${unit}`,
    open: (unit) => freeze().then((id) => app.go("unit", { u: `${layer}:${unit}`, photo: id })) });
  const pickLayer = h("select", { id: "cam-layer", onchange: () => { layer = pickLayer.value; app.put({ layer, method }); } },
    layers.map((one) => h("option", { value: one.name, selected: one.name === layer }, one.name)));
  const pickMethod = h("select", { id: "cam-method", onchange: () => { method = pickMethod.value; app.put({ layer, method }); } },
    h("option", { value: "" }, "none"), maps.map((one) => h("option", { value: one.name, selected: one.name === method },
      one.title + (one.long ? " (slower)" : ""))));
  const hold = h("button", { type: "button", class: "main", "aria-pressed": "false", onclick: toggle }, "Freeze");
  fill(root, h("h1", null, "Camera"), h("div", { class: "controls" },
    h("label", { class: "inline", for: "cam-layer" }, h("span", { class: "label" }, "Layer"), pickLayer),
    h("label", { class: "inline", for: "cam-method" }, h("span", { class: "label" }, "Where it looks"), pickMethod), hold, state),
  h("div", { class: "split left" }, h("figure", { class: "panel" }, stack, classes), h("section", { "aria-label": "Units" }, h("div", { class: "stage" }, tiles.node),
    legend.node, h("p", { class: "files" }, "Save ", seenAs(() => tiles.node, "layer.png", "the maps"),
      seenAs(() => seen, "frame.png", "the frame")))), video,
  h("p", { class: "caption" }, "Frames go to triscope on this machine and nowhere else, and none is kept unless you freeze it."));

  if (layers.length) tiles.keep(layers.find((one) => one.name === layer) || layers[0]);
  fill(classes, h("div", { class: "waiting" }, bars(app.net.classes.slice(0, 5).map((name, index) => ({ index, name, score: 0 })))));
  async function toggle() {
    if (frozen) {
      frozen = false;
      hold.setAttribute("aria-pressed", "false");
      hold.textContent = "Freeze";
      loop();
      return;
    }
    const id = await freeze();
    if (id) fill(state, "Frozen. ", h("a", { class: "button", href: app.link("image", { photo: id }) }, "Ask about this frame"));
  }

  /** Keep the last frame as a photo. */
  async function freeze() {
    frozen = true;
    hold.setAttribute("aria-pressed", "true");
    hold.textContent = "Go on";
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
    mine.answer = new Promise((done) => { canvas.toBlob(done, "image/jpeg", 0.9); }).then((/** @type {Blob} */ jpeg) => {
      mine.jpeg = jpeg;
      return reached(fetch(address("api/camera", { layer, method, network: app.network, fit: "keep" }), { method: "POST", body: jpeg }));
    }).then(unpacked);
    mine.answer.catch(() => undefined);
    return mine;
  }

  /** Two frames are under way, so that triscope looks at one while the other is sent, or its answer is drawn. */
  async function loop() {
    let before = performance.now();
    let refused = "";
    /** @type {CameraFrame[]} */ let waiting = [];
    while (!frozen && !gone) {
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
        if (gone || frozen) break;
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
    tiles.use(found.parts.levels, found.maps, { whole: true, plain: false });
    tiles.arrange([...Array(found.maps.count).keys()], new Set());
    legend.paint(found.maps.signed, [found.maps.signed ? told(-found.maps.scale) : "0", told(found.maps.scale)]);
  }

  async function begin() {
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 } }, audio: false });
      if (gone) { stop(); return; }
      video.srcObject = stream;
      await video.play();
      loop();
    } catch (error) {
      state.textContent = `No camera is available (${/** @type {Error} */ (error).message || "it was refused"}).`;
    }
  }

  const stop = () => stream?.getTracks().forEach((track) => track.stop());
  const release = keys([{ key: "f", help: "freeze this frame, or resume", run: toggle }]);
  begin();
  return () => {
    gone = true;
    release();
    stop();
  };
}
