// Requests to the server of this page, by relative addresses.

/** Whether a job has ended. @param {Job} job */
export const over = (job) => ["done", "cancelled", "failed"].includes(job.state);

/** An address with its query. @param {string} path @param {Object<string, any>} [query] */
export function address(path, query = {}) {
  const words = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const text = new URLSearchParams(words.map(([name, value]) => [name, String(value)])).toString();
  return text ? `${path}?${text}` : path;
}

/** @param {Response} answer */
async function read(answer) {
  const data = await answer.json().catch(() => null);
  if (!answer.ok) throw new Error((data && data.error) || `The request failed (${answer.status}).`);
  return data;
}

/** @param {string} path @param {Object<string, any>} [query] @param {AbortSignal} [signal] @returns {Promise<any>} */
export async function get(path, query, signal) {
  return read(await reached(fetch(address(path, query), { signal })));
}

/** An answer of JSON and the raw bytes after it; `parts` has the bytes by their names. @param {Response} answer
 * @returns {Promise<any>} */
export async function unpacked(answer) {
  if (!answer.ok) return read(answer);
  const buffer = await answer.arrayBuffer();
  let place = 4 + new DataView(buffer).getUint32(0, true);
  const told = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, place - 4)));
  for (const [name, length] of Object.entries(told.parts)) {
    place += (4 - (place % 4)) % 4;
    told.parts[name] = new Uint8Array(buffer, place, length);
    place += length;
  }
  return told;
}

/** @param {string} path @param {any} [body] @param {Object<string, string>} [headers] @returns {Promise<any>} */
export async function post(path, body, headers) {
  const raw = body instanceof Blob;
  const said = { method: "POST", body: raw ? body : JSON.stringify(body ?? {}), headers };
  return read(await reached(fetch(path, said)));
}

/** @param {Promise<Response>} asked */
export async function reached(asked) {
  try {
    return await asked;
  } catch (error) {
    if (/** @type {Error} */ (error).name === "AbortError") throw error;
    throw new Error("triscope does not answer: is it still running in its terminal?");
  }
}

// All jobs of a tab are watched by one stream: a browser has six connections to a host, for all its tabs.

/** @type {Map<string, Set<(job: Job) => void>>} */ const watched = new Map();
/** @type {EventSource | null} */ let stream = null;
let reopening = 0;

/** Watch the progress of a job until it ends or the function that is returned is called. @param {Job} job
 * @param {(job: Job) => void} hear @returns {() => void} */
export function watch(job, hear) {
  hear(job);
  if (over(job)) return () => undefined;
  const ears = watched.get(job.id) || new Set();
  ears.add(hear);
  watched.set(job.id, ears);
  reopen();
  return () => {
    ears.delete(hear);
    if (!ears.size && watched.delete(job.id)) reopen();
  };
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
