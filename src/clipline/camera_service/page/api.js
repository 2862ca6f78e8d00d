/** The camera service over HTTP. Every failure is an Error whose message is a sentence for people. */

export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function call(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Problem(0, "Clipline does not answer. Is it running?");
  }
  if (response.status === 401 && location.pathname !== "/login") {
    location.assign("/login");
  }
  if (!response.ok) {
    const problem = await response.json().catch(() => ({}));
    throw new Problem(response.status, problem.detail || `the answer was ${response.status} ${response.statusText}`);
  }
  return response;
}

const json = async (path, options) => (await call(path, options)).json();

const send = (method, path, body) => call(path, {
  method, headers: { "Content-Type": "application/json" }, body: body === undefined ? undefined : JSON.stringify(body),
});

const id = encodeURIComponent;
const query = (values) => new URLSearchParams(
  Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined),
).toString();

export const status = () => json("/status");
export const cameras = () => json("/cameras");
export const addCamera = async (alias, title) => (await send("POST", "/cameras", { alias, title })).json();
export const renameCamera = async (camera, title) => (await send("PATCH", `/cameras/${id(camera)}`, { title })).json();
export const timeline = (camera, from, to) =>
  json(`/cameras/${id(camera)}/timeline?${query({ startDate: Math.floor(from), endDate: Math.ceil(to) })}`);
export const equivalents = (camera, start, end, clipId) =>
  json(`/cameras/${id(camera)}/equivalents?${query({ startDate: start, endDate: end, clipId })}`);

/** The picture at an instant: {blob, shownMs, recording}. */
export async function frame(camera, at, width, exact) {
  const response = await call(`/cameras/${id(camera)}/frame?${query({ at: Math.floor(at), width, exact: exact ? 1 : "" })}`);
  return {
    blob: await response.blob(),
    shownMs: Number(response.headers.get("X-Frame-Timestamp-In-Ms")),
    recording: response.headers.get("X-Recording"),
  };
}

export const clips = (wanted) => json(`/cameras/clips?${query(wanted)}`);
export const clip = (clipId) => json(`/cameras/clips/${id(clipId)}/state`);
export const clipFrames = (clipId) => json(`/cameras/clips/${id(clipId)}/frames`);
export const requestClip = async (camera, start, end) =>
  (await send("POST", "/cameras/clips", { cameraId: camera, startTimestampInMs: start, endTimestampInMs: end })).json();
export const cancelClip = async (clipId) => (await send("POST", `/cameras/clips/${id(clipId)}/cancel`)).json();
export const retryClip = async (clipId) => (await send("POST", `/cameras/clips/${id(clipId)}/retry`)).json();
export const deleteClip = (clipId) => send("DELETE", `/cameras/clips/${id(clipId)}`);
export const shareClip = async (clipId, hours) => (await send("POST", `/cameras/clips/${id(clipId)}/share`, { hours })).json();
export const login = (token) => send("POST", "/login", { token });
export const shared = (path) => json(`${path}/clip`);

export const downloadUrl = (clipId) => `/cameras/clips/${id(clipId)}/download`;
export const videoUrl = (clip) => `/clips${clip.clip.key}`;
export const thumbnailUrl = (clip, size) => `/clips${clip.thumbnail.key.replace("{size}", size)}`;
