// A map in a frame of its own, which is handed it piece by piece.

import { h } from "./h.js";
import { address, over, reached, unpacked } from "./source.js";

/** What there is to move first, thumbnails last; a job that goes on moves the pictures to where they are by then. */
export function mapStage() {
  const node = h("iframe", { class: "frame", src: "api/map#bare", title: "The map", sandbox: "allow-scripts allow-downloads" });
  let [closed, busy, named] = [false, false, false];
  const notes = { places: "", sheets: "" };
  /** The job that is shown, and its newest state that is not. @type {any[]} */
  let [now, next] = [null, null];
  let open = () => {};
  /** @type {Promise<void>} */
  const opened = new Promise((done) => { open = done; });

  /** @param {MessageEvent} event */
  function hear({ source, data }) {
    if (source !== node.contentWindow) return;
    if (data?.triscope === "ready") open();
    if (data?.triscope === "chosen" && Number.isInteger(data.place) && !data.near) hand("near", data.place).catch(() => undefined);
  }

  /** @param {string} name @param {number} [number] @returns {Promise<any>} */
  const fetched = async (name, number) => unpacked(await reached(fetch(address(`api/jobs/${now.id}/pieces/${name}`, { number, v: now.version }))));

  /** @param {string} name @param {any} told */
  function give(name, told) {
    const parts = /** @type {Uint8Array[]} */ (Object.values(told.parts || {}));
    if (!closed) node.contentWindow?.postMessage({ ...told, piece: name }, "*", parts.slice(0, 1).map((part) => part.buffer));
  }

  /** @param {string} name @param {number} [number] */
  const hand = async (name, number) => give(name, await fetched(name, number));

  /** @param {"places" | "sheets"} of @param {string} text */
  function note(of, text) {
    notes[of] = text;
    give("note", { text: Object.values(notes).filter(Boolean).join(" ") });
  }

  /** @param {import("./source.js").Snapshot} job */
  async function show(job) {
    next = job;
    if (busy) return;
    busy = true;
    while (next && !closed) {
      [now, next] = [next, null];
      await round().catch((error) => note("places", error.message));
    }
    busy = false;
  }

  async function round() {
    const [places] = await Promise.all([fetched("places"), opened]);
    const { notes: said, sheets } = places;
    give("places", places);
    note("places", said.join(" "));
    if (!named) {
      named = true;
      await hand("names");
      thumbnails(sheets).catch((error) => note("sheets", error.message));
    }
    if (over(now)) await hand("cells");
  }

  /** @param {number} total */
  async function thumbnails(total) {
    for (let number = 0; number < total && !closed;) {
      const told = await fetched("sheet", number);
      if (told.waiting) {
        note("sheets", `Thumbnails are being prepared: ${Math.round((100 * told.made) / total)}%.`);
        await new Promise((done) => { setTimeout(done, 400); });
      } else {
        give("sheet", told);
        number++;
      }
    }
    note("sheets", "");
  }

  addEventListener("message", hear);
  return { node, show, close: () => { closed = true; removeEventListener("message", hear); } };
}
