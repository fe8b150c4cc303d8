// Services: all in a table, filtered, sorted and in pages, each with its rate, failures and latency.

import { ask } from "./ask.js";
import { chart } from "./chart.js";
import { at, cell, element, fill, pages, say } from "./element.js";
import { known } from "./live.js";
import { HEALTH, freshness, health, isIll, millis, percent, rate, word } from "./words.js";

const PAGE = 50;
const POINTS = 60;
const HISTORY_MS = 5000;

let page = 0;
let sort = { by: "health", isDown: false };
let courses = {};
let asked = "";
let askedAt = 0;

const TRAFFIC = { rate: "rate", errors: "failed_share", p50: "p50_ms", p99: "p99_ms" };

// What is sorted by: numbers the larger first, words in their order.
const ORDERS = {
  name: () => 0,
  health: (service) => HEALTH.indexOf(health(service)),
  in_flight: (service) => -service.in_flight,
  ...Object.fromEntries(
    Object.entries(TRAFFIC).map(([by, key]) => [by, (service) => -(service.traffic?.[key] ?? -1)]),
  ),
};

const sorted = (services) => {
  const order = ORDERS[sort.by];
  const turn = sort.isDown ? -1 : 1;
  const keyed = services.map((service) => ({ service, key: order(service) }));
  const byName = (a, b) => (a.service.name < b.service.name ? -1 : a.service.name > b.service.name ? 1 : 0);
  keyed.sort((a, b) => turn * (a.key - b.key || byName(a, b)));
  return keyed.map((it) => it.service);
};

const wanted = () => {
  const text = at("filter").value.trim().toLowerCase();
  const kind = at("health").value;
  return [...known.services.values()].filter(
    (service) =>
      service.name.toLowerCase().includes(text) &&
      (kind !== "ill" || isIll(service)) &&
      (kind !== "used" || service.traffic !== undefined),
  );
};

export const serviceLink = (name) =>
  element("a", { href: `#/service/${encodeURIComponent(name)}`, "data-focus": `service ${name}` }, name);

const providers = (service) => {
  const told = [`${service.available.toLocaleString()} of ${service.endpoints.toLocaleString()}`];
  const states = Object.entries(service.trouble ?? {}).flatMap(([state, number], index) => [
    `${index > 0 ? ", " : ""}${number.toLocaleString()} `,
    word(state),
  ]);
  if (states.length > 0) told.push(element("span", { class: "line" }, ...states));
  return told;
};

const sparkline = (service) => {
  const course = courses[service.name];
  if (course === undefined) return element("span", { class: "quiet" }, "–");
  const failed = course.rate.map((rate, index) => rate * course.failed_share[index]);
  const label = `Requests of the last 15 minutes: at most ${rate(Math.max(...course.rate))} a second`;
  return chart(label, [{ name: "rate", values: course.rate }, { name: "failed", values: failed }], POINTS);
};

const row = (service) => {
  const { traffic } = service;
  const state = health(service);
  const told = [word(state)];
  if (state !== service.freshness.state && service.freshness.state !== "live") {
    told.push(element("span", { class: "line quiet" }, "list ", ...freshness(service.freshness)));
  }
  const shown = (text) => text ?? element("span", { class: "quiet" }, "–");
  const failing = traffic && traffic.failed_share > 0 ? "number bad" : "number";
  return element(
    "tr",
    { role: "row" },
    element("th", { role: "rowheader", scope: "row" }, serviceLink(service.name)),
    cell("Health", undefined, ...told),
    cell("Providers", undefined, ...providers(service)),
    cell("Requests/s", "number", shown(traffic && rate(traffic.rate))),
    cell("15 minutes", "chart", sparkline(service)),
    cell("Failed", failing, shown(traffic && percent(traffic.failed_share))),
    cell("p50", "number", shown(traffic && millis(traffic.p50_ms))),
    cell("p99", "number", shown(traffic && millis(traffic.p99_ms))),
    cell("In flight", "number", service.in_flight.toLocaleString()),
  );
};

const showHeads = () => {
  for (const button of document.querySelectorAll("#services [data-sort]")) {
    const is = button.dataset.sort === sort.by;
    const head = button.closest("th");
    if (is) head.setAttribute("aria-sort", sort.isDown ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  }
};

export const showServices = () => {
  const found = wanted();
  const count = Math.max(1, Math.ceil(found.length / PAGE));
  page = Math.min(Math.max(page, 0), count - 1);
  const shown = sorted(found).slice(page * PAGE, (page + 1) * PAGE);
  const all = known.services.size;
  const text = found.length === all ? all.toLocaleString() : `${found.length.toLocaleString()} of ${all.toLocaleString()}`;
  say(at("services-count"), text);
  fill(at("service-rows"), shown.map(row));
  pages(at("service-pages"), page, count, (to) => {
    page = to;
    showServices();
    at("services-title").focus();
  });
  at("nothing").hidden = all > 0 || !known.isThere;
  at("nothing-found").hidden = all === 0 || found.length > 0;
  askCourses(shown);
};

// The courses of those that are shown, each five seconds: that is how often there is something new.
const askCourses = async (shown) => {
  const names = shown.filter((service) => service.attempts > 0 || service.traffic).map((service) => service.name);
  const query = names.map((name) => `service=${encodeURIComponent(name)}`).join("&");
  if (names.length === 0 || (query === asked && Date.now() - askedAt < HISTORY_MS)) return;
  [asked, askedAt] = [query, Date.now()];
  try {
    courses = (await ask(`/history?points=${POINTS}&${query}`)).services;
    showServices();
  } catch {
    // The table says the same without.
  }
};

export const prepareServices = () => {
  const anew = () => {
    page = 0;
    showServices();
  };
  at("filter").addEventListener("input", anew);
  at("health").addEventListener("change", anew);
  for (const button of document.querySelectorAll("#services [data-sort]")) {
    button.addEventListener("click", () => {
      const by = button.dataset.sort;
      sort = { by, isDown: sort.by === by && !sort.isDown };
      showHeads();
      anew();
    });
  }
  showHeads();
};
