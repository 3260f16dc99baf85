// Requests to the server of this page, by relative addresses.

/** Whether a job has ended. @param {Job} job */
export const over = (job) => ["done", "cancelled", "failed"].includes(job.state);

/** An address with its query. @param {string} path @param {Object<string, any>} [query] */
export function address(path, query = {}) {
  const words = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const text = new URLSearchParams(words.map(([name, value]) => [name, String(value)])).toString();
  return text ? `${path}?${text}` : path;
}

/** What the server answers: JSON, or JSON and raw bytes after it; `parts` has the bytes by their names.
 * @param {Promise<Response>} asked @returns {Promise<any>} */
async function answered(asked) {
  const answer = await asked.catch(() => {
    throw new Error("triscope does not answer: is it still running in its terminal?");
  });
  if (answer.ok && answer.headers.get("Content-Type") === "application/octet-stream") {
    return unpacked(await answer.arrayBuffer());
  }
  const data = await answer.json().catch(() => null);
  if (!answer.ok) throw new Error(data?.error || `The request failed (${answer.status}).`);
  return data;
}

/** @param {ArrayBuffer} buffer */
function unpacked(buffer) {
  let place = 4 + new DataView(buffer).getUint32(0, true);
  const told = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, place - 4)));
  for (const [name, length] of Object.entries(told.parts)) {
    place += -place & 3;
    told.parts[name] = buffer.slice(place, place += length);
  }
  return told;
}

/** @param {string} path @param {Object<string, any>} [query] */
export const get = (path, query) => answered(fetch(address(path, query)));

/** @param {string} path @param {any} [body]  a Blob, or what JSON can hold @param {Object<string, string>} [headers] */
export const post = (path, body = {}, headers = {}) =>
  answered(fetch(path, { method: "POST", body: body instanceof Blob ? body : JSON.stringify(body), headers }));

// All jobs of a tab are watched by one stream: a browser has six connections to a host, for all its tabs.

/** @type {Map<string, Set<(job: Job) => void>>} */ const watched = new Map();
/** @type {EventSource | null} */ let stream = null;
let reopening = 0;

/** Watch the progress of a job until it ends or the page is left, as a signal tells. @param {Job} job
 * @param {(job: Job) => void} hear @param {AbortSignal} left @param {boolean} [drop]  whether it is not wanted then */
export function watch(job, hear, left, drop = false) {
  const ears = watched.get(job.id) || new Set();
  const hears = (/** @type {Job} */ now) => hear(job = now);
  const leave = () => {
    if (ears.delete(hears) && !ears.size && watched.delete(job.id)) reopen();
    if (drop && !over(job)) act(job.id, "drop").catch(() => undefined);
  };
  if (left.aborted) return leave();
  hear(job);
  if (over(job)) return;
  left.addEventListener("abort", leave);
  watched.set(job.id, ears.add(hears));
  reopen();
}

function reopen() {
  clearTimeout(reopening);
  reopening = setTimeout(open, 10);
}

function open() {
  stream?.close();
  stream = null;
  if (!watched.size || document.hidden) return;
  stream = new EventSource(address("api/events", { jobs: [...watched.keys()].join(",") }));
  stream.onmessage = (message) => {
    const job = /** @type {Job} */ (JSON.parse(message.data));
    const ears = watched.get(job.id);
    if (over(job)) watched.delete(job.id);
    for (const hear of [...(ears || [])]) hear(job);
    if (!watched.size) { stream?.close(); stream = null; }
  };
}

document.addEventListener("visibilitychange", open);

/** Start the job of a method. @param {Object<string, any>} question @returns {Promise<Job>} */
export const ask = (question) => post("api/jobs", question);

/** Do something to a job: cancel, pause or resume. @param {string} id @param {string} act @returns {Promise<Job>} */
export const act = (id, act) => post(`api/jobs/${id}/${act}`);
