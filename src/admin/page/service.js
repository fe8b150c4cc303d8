// Service: one in full: how requests go, its providers, what failed, what happened.

import { ask, servicePath, trouble } from "./ask.js";
import { chart } from "./chart.js";
import { at, element, fill, say } from "./element.js";
import { firstPage, part, prepareEndpoints, showEndpoints } from "./endpoints.js";
import { showEventsOf } from "./events.js";
import { known } from "./live.js";
import { coarse, count, freshness, health, millis, moment, percent, rate, word } from "./words.js";

const POINTS = 90;
const DIFFERENCES_MAX = 20;

const PARTS = [
  "detail-summary",
  "detail-about",
  "detail-charts",
  "providers-count",
  "provider-rows",
  "provider-pages",
  "detail-failures",
  "detail-events",
];

let shown = null;

const summary = (name) => {
  const service = known.services.get(name);
  if (service === undefined) return [];
  const told = [word(health(service)), ", list ", ...freshness(service.freshness)];
  const { traffic } = service;
  if (traffic === undefined) return [...told, ", no requests in the last minute"];
  return [
    ...told,
    `, ${rate(traffic.rate)} requests/s, `,
    element("span", { class: traffic.failed_share > 0 ? "bad" : "quiet" }, `${percent(traffic.failed_share)} failed`),
    `, p50 ${millis(traffic.p50_ms)}, p99 ${millis(traffic.p99_ms)}`,
  ];
};

const claimItem = (claim) => {
  const conditions = Object.entries(claim.metadata ?? {}).map(([key, value]) => `${key}=${value}`);
  if (claim.version) conditions.unshift(`version ${claim.version}`);
  const whom = conditions.length > 0 ? `providers with ${conditions.join(", ")}` : "all providers";
  const tiers = claim.tiers.map((tier) => {
    const panic = tier.panic ? ", in panic" : "";
    return `${tier.name} ${tier.available} of ${tier.endpoints} available, ${percent(tier.share)} of requests${panic}`;
  });
  return element("li", {}, `${claim.raw ? "raw connections, " : ""}${claim.policy} over ${whom}: ${tiers.join("; ") || "none"}`);
};

// What one of several registries says of the service.
const heardItem = (heard) => {
  const role = heard.role === "use" || heard.used ? "" : `, ${heard.role}`;
  const item = element("li", {}, `${heard.name}${role}: `, ...freshness(heard.freshness), `, ${count(heard.providers, "provider", "providers")}`);
  if (heard.differences) {
    const { count: total, only_used, only_shadow, different } = heard.differences;
    item.append(total === 0 ? ", the same as is used" : `, ${total} different: `);
    const parts = [
      ...only_used.map((address) => `${address} not there`),
      ...only_shadow.map((address) => `${address} only there`),
      ...different.map((it) => `${it.address} in ${it.aspects.join(", ")}`),
    ];
    item.append(parts.slice(0, DIFFERENCES_MAX).join("; "));
  }
  return item;
};

const about = (service) => {
  const facts = [];
  if (service.freshness.cause) facts.push(element("li", { class: "bad" }, service.freshness.cause));
  const version = service.revision === null ? "" : `, version ${service.revision}`;
  const changed = service.changed_ms_ago === null ? "never" : `${coarse(service.changed_ms_ago)} ago`;
  const listed = service.listed_ms_ago === null ? "never listed" : `listed ${coarse(service.listed_ms_ago)} ago`;
  facts.push(element("li", {}, `last change ${changed}, ${listed}${version}`));
  return [...facts, ...(service.registries ?? []).map(heardItem), ...service.claims.map(claimItem)];
};

const figure = (title, label, lines) => {
  const heading = Array.isArray(title) ? title : [title];
  const told = element("figcaption", {}, ...heading, element("span", { class: "quiet" }, ` ${label}`));
  return element("figure", {}, told, chart(told.textContent, lines, POINTS));
};

const named = (name) => element("span", { class: name }, name);

const charts = (course) => {
  if (course === undefined) return [element("p", { class: "note" }, "There was no request in the last 15 minutes.")];
  const failed = course.rate.map((rate, index) => rate * course.failed_share[index]);
  const most = (values) => Math.max(...values);
  return [
    figure("Requests/s", `at most ${rate(most(course.rate))}`, [{ name: "rate", values: course.rate }, { name: "failed", values: failed }]),
    figure("Failed", `at most ${percent(most(course.failed_share))}`, [{ name: "failed", values: course.failed_share }]),
    figure([named("p50"), " ", named("p99")], `at most ${millis(most(course.p99_ms))}`, [{ name: "p50", values: course.p50_ms }, { name: "p99", values: course.p99_ms }]),
  ];
};

const failureItem = (failure) => {
  const told = [element("strong", { class: "bad" }, failure.status === 0 ? "connection" : String(failure.status)), ` ${failure.reason ?? "from its provider"}`];
  if (failure.endpoint) told.push(" at ", element("code", {}, failure.endpoint));
  told.push(element("span", { class: "quiet" }, `, ${count(failure.attempts, "attempt", "attempts")}, ${millis(failure.took_ms)}`));
  if (failure.request_id) {
    const past = element("a", { href: `#/explain/${encodeURIComponent(failure.request_id)}` }, failure.request_id);
    told.push(element("span", { class: "line quiet" }, "request ", past));
  }
  return element("li", {}, moment(failure.at_ms), element("span", {}, ...told));
};

const showSkipped = (service) => {
  at("skipped").hidden = service.skipped_count === 0;
  const records = service.skipped.map((it) => element("li", {}, element("code", {}, it.record), ` ${it.reason}: ${it.detail}`));
  const unseen = service.skipped_count - service.skipped.length;
  if (unseen > 0) records.push(element("li", {}, `and ${unseen.toLocaleString()} more`));
  fill(at("skipped-records"), records);
};

const showFailures = (failures) => {
  const items = failures.map(failureItem);
  fill(at("detail-failures"), items.length > 0 ? items : [element("li", { class: "quiet" }, "None.")]);
};

const show = async () => {
  const name = shown;
  if (name === null) return;
  try {
    const [service, history] = await Promise.all([
      ask(`${servicePath(name)}?${part()}`),
      ask(`/history?points=${POINTS}&service=${encodeURIComponent(name)}`),
      showEventsOf(name),
    ]);
    if (shown !== name) return;
    say(at("detail-title"), name);
    say(at("detail-summary"), ...summary(name));
    fill(at("detail-about"), about(service));
    fill(at("detail-charts"), charts(history.services[name]));
    const registries = known.registries.filter((it) => it.role !== "shadow").map((it) => it.name);
    showEndpoints(service, registries, show);
    showFailures(service.failures);
    showSkipped(service);
    trouble("view", null);
  } catch (error) {
    if (shown === name) trouble("view", error);
  }
};

// What is shown belongs to another service from now on, or to none.
export const openService = (name) => {
  if (name !== shown) {
    firstPage();
    say(at("detail-title"), name ?? "");
    for (const part of PARTS) at(part).replaceChildren();
    at("skipped").hidden = true;
  }
  shown = name;
  return show();
};

export const prepareService = () => prepareEndpoints(show);
