// Live: what is known of all services, kept as it changes. Told by /live; asked of /services where that is not to be had.

import { ask, trouble } from "./ask.js";
import { at, say } from "./element.js";

const POLL_MS = 2000;
const TRY_AGAIN_MS = 15000;

export const known = { services: new Map(), registries: [], proxy: undefined, event: 0, isThere: false };

let stream;
let poll;
let again;
let isPaused = false;
let told = () => {};

const state = (text, kind) => {
  const shown = at("live-state");
  shown.className = `word ${kind}`;
  say(shown, text);
};

const take = (change, isWhole) => {
  const changed = new Set(change.services.map((service) => service.name));
  const gone = change.gone ?? [];
  if (isWhole) {
    known.services = new Map(change.services.map((service) => [service.name, service]));
  } else {
    for (const service of change.services) known.services.set(service.name, service);
    for (const name of gone) known.services.delete(name);
  }
  const hasEvents = change.event !== known.event;
  Object.assign(known, { registries: change.registries, proxy: change.proxy, event: change.event, isThere: true });
  trouble("live", null);
  told({ changed, isWhole, hasEvents });
};

const pollOnce = async () => {
  try {
    take(await ask("/services"), true);
    state("asking every 2 s", "quiet");
  } catch (error) {
    state("no answer", "bad");
    trouble("live", error);
  }
};

const stop = () => {
  stream?.close();
  stream = undefined;
  clearInterval(poll);
  clearTimeout(again);
  poll = undefined;
};

const startPolling = () => {
  if (poll !== undefined) return;
  poll = setInterval(pollOnce, POLL_MS);
  pollOnce();
};

const listen = () => {
  stream?.close();
  stream = new EventSource("/live");
  stream.addEventListener("change", (message) => {
    clearInterval(poll);
    poll = undefined;
    const change = JSON.parse(message.data);
    take(change, change.whole);
    state("live", "good");
  });
  // The connection of a stream ends every few minutes, and comes back by itself; one that was refused does not.
  stream.addEventListener("error", (event) => {
    startPolling();
    if (event.target.readyState === EventSource.CLOSED) again = setTimeout(listen, TRY_AGAIN_MS);
  });
};

const resume = () => {
  stop();
  if (isPaused || document.hidden) state(isPaused ? "paused" : "hidden", "fair");
  else listen();
};

export const start = (onChange) => {
  told = onChange;
  document.addEventListener("visibilitychange", resume);
  at("live-pause").addEventListener("click", () => {
    isPaused = !isPaused;
    at("live-pause").setAttribute("aria-pressed", String(isPaused));
    resume();
  });
  resume();
};

export const isLive = () => !isPaused && !document.hidden;
