// Events: what happened to whom, when, and why, the newest first.

import { ask } from "./ask.js";
import { at, element, fill } from "./element.js";
import { serviceLink } from "./services.js";
import { moment, word } from "./words.js";

const ALL = 200;
const OF_ONE = 50;

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
      event.cause ? element("span", { class: "line" }, event.cause) : "",
    ),
  );

const show = (parent, events, isOfOne) => {
  const items = events.map((event) => item(event, isOfOne));
  fill(parent, items.length > 0 ? items : [element("li", { class: "quiet" }, "Nothing yet.")]);
};

export const showEvents = async () => show(at("events"), (await ask(`/events?limit=${ALL}`)).events, false);

export const showEventsOf = async (name) => {
  const { events } = await ask(`/events?limit=${OF_ONE}&service=${encodeURIComponent(name)}`);
  show(at("detail-events"), events, true);
};
