// Events: what happened to whom, when, and why, the newest first.

import { ask } from "./ask.js";
import { at, element, fill } from "./element.js";
import { serviceLink } from "./services.js";
import { moment, word } from "./words.js";

const ALL = 200;
const OF_ONE = 50;

// What happens to one provider again and again is told once, with how often and since when.
const together = (events) => {
  const newest = new Map();
  const told = [];
  for (const event of events) {
    const key = `${event.service} ${event.address}`;
    const known = newest.get(key);
    if (known?.event === event.event) {
      known.times += 1;
      known.since_ms = event.at_ms;
    } else {
      const first = { ...event, times: 1 };
      newest.set(key, first);
      told.push(first);
    }
  }
  return told;
};

const often = (event) =>
  event.times === 1 ? [] : [element("span", { class: "quiet" }, ` ${event.times} times since `, moment(event.since_ms))];

const item = (event, isOfOne) =>
  element(
    "li",
    {},
    moment(event.at_ms),
    element(
      "span",
      {},
      word(event.event),
      " ",
      ...(isOfOne ? [] : [serviceLink(event.service), " "]),
      element("code", {}, event.address),
      event.id === event.address ? "" : element("span", { class: "quiet" }, ` ${event.id}`),
      ...often(event),
      event.cause ? element("span", { class: "line" }, event.cause) : "",
    ),
  );

const show = (parent, events, isOfOne) => {
  const items = together(events).map((event) => item(event, isOfOne));
  fill(parent, items.length > 0 ? items : [element("li", { class: "quiet" }, "Nothing yet.")]);
};

export const showEvents = async () => show(at("events"), (await ask(`/events?limit=${ALL}`)).events, false);

export const showEventsOf = async (name) => {
  const { events } = await ask(`/events?limit=${OF_ONE}&service=${encodeURIComponent(name)}`);
  show(at("detail-events"), events, true);
};
