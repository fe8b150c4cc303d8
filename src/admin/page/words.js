// Words: how numbers and states are told to people.

import { element } from "./element.js";

const GOOD = new Set(["up", "live", "available", "well", "back", "added", "returned", "revived"]);
const QUIET = new Set(["idle", "changed", "replaced", "absent"]);
const FAIR = new Set(["limbo", "aside", "connecting", "pending", "stale", "from disk", "impaired", "waiting", "kept", "empty"]);

const kind = (state) => (GOOD.has(state) ? "good" : FAIR.has(state) ? "fair" : QUIET.has(state) ? "quiet" : "bad");

// The word itself says the state; its colour only repeats it.
export const word = (state) => element("span", { class: `word ${kind(state)}` }, state.replaceAll("_", " "));

export const age = (ms) => {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} days`;
};

// An age that changes every second would have its whole row drawn anew each time.
export const coarse = (ms) => age(ms < 60000 ? Math.floor(ms / 5000) * 5000 : ms);

export const rate = (number) => number.toLocaleString(undefined, { maximumFractionDigits: number < 10 ? 1 : 0 });

export const percent = (share) => {
  if (share === 0) return "0 %";
  if (share < 0.001) return "< 0.1 %";
  return `${(share * 100).toLocaleString(undefined, { maximumFractionDigits: share < 0.1 ? 1 : 0 })} %`;
};

export const millis = (ms) => {
  if (ms >= 9950) return `${(ms / 1000).toFixed(0)} s`;
  if (ms >= 995) return `${(ms / 1000).toFixed(1)} s`;
  return ms >= 9.95 ? `${ms.toFixed(0)} ms` : `${ms.toFixed(1)} ms`;
};

export const count = (number, one, many) => `${number.toLocaleString()} ${number === 1 ? one : many}`;

const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
const DAY = { year: "numeric", month: "short", day: "numeric" };

// A moment; with its day where that is not today.
export const moment = (ms) => {
  const at = new Date(ms);
  const isToday = at.toDateString() === new Date().toDateString();
  const text = isToday ? at.toLocaleTimeString([], CLOCK) : at.toLocaleString([], { ...CLOCK, ...DAY });
  return element("time", { datetime: at.toISOString() }, text);
};

export const freshness = (list) => {
  const told = [word(list.state)];
  if (list.for_ms !== undefined) told.push(` for ${coarse(list.for_ms)}`);
  return told;
};

// How a service is, in one word, the worst first.
export const HEALTH = ["down", "failing", "impaired", "stale", "empty", "waiting", "absent", "idle", "well"];
const FAILING = 0.05;

export const health = (service) => {
  const { freshness: list, traffic, trouble = {} } = service;
  if (service.endpoints > 0 && service.available === 0) return "down";
  if (traffic && traffic.failed_share >= FAILING) return "failing";
  if (Object.keys(trouble).some((state) => state !== "limbo")) return "impaired";
  if (list.state === "stale" || list.state === "from disk") return "stale";
  if (list.state === "pending") return "waiting";
  if (list.state === "absent") return "absent";
  if (service.endpoints === 0) return "empty";
  return traffic ? "well" : "idle";
};

export const isIll = (service) => HEALTH.indexOf(health(service)) <= HEALTH.indexOf("empty");
