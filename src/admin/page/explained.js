// Explained: answers of /explain as people read them, the outcome first.

import { cell, element } from "./element.js";
import { count, millis, moment, percent, word } from "./words.js";

const code = (text) => element("code", {}, text);
const quiet = (text) => element("span", { class: "quiet" }, text);

const outcome = (kind, ...content) => element("p", { class: `outcome ${kind}` }, ...content);

// Pairs of what is told and its name; what is not there is left out.
const facts = (pairs) => {
  const there = pairs.filter(([, ...told]) => told.some((it) => it !== undefined && it !== null && it !== ""));
  return element("dl", { class: "facts" }, ...there.flatMap(([name, ...told]) => [element("dt", {}, name), element("dd", {}, ...told)]));
};

const sentences = (list) => element("ol", { class: "course" }, ...list.map((it) => element("li", {}, it)));

const course = (choice) => {
  if (choice === undefined) return undefined;
  const told = [...choice.course];
  if (choice.detour) told.unshift(`led away from the usual choice: ${choice.detour}`);
  if (choice.not_kept) told.push(choice.not_kept);
  return element("div", {}, quiet(`draw ${choice.draw}`), sentences(told));
};

const routes = (list) =>
  list.map((route) => (route.why_not ? `${route.name} is not for it: ${route.why_not}` : `${route.name} is for it`));

const limits = ({ request_timeout_ms: whole, attempt_timeout_ms: attempt, hedge, rate_limit: rate, failover = [], mirror, sticky, fault }) =>
  [
    `${millis(whole)} in all`,
    attempt && `${millis(attempt)} an attempt`,
    hedge && `a second provider is asked ${hedge}`,
    rate && `at most ${rate}`,
    failover.length > 0 && `${failover.join(", ")} would stand in`,
    mirror && `copies go to ${mirror}`,
    sticky && `its session is held by the cookie ${sticky}`,
    fault && "requests are disturbed on purpose",
  ]
    .filter(Boolean)
    .join("; ");

const tiers = (list) =>
  list.map((tier) => {
    const panic = tier.panic ? ", in panic: all of it is used" : "";
    return `${tier.name}: ${tier.available} of ${tier.endpoints} available, ${percent(tier.share)} of requests${panic}`;
  });

const candidates = (list) => {
  const row = (it) =>
    element(
      "tr",
      { role: "row", class: it.picked && "picked" },
      element("th", { role: "rowheader", scope: "row" }, code(it.address), it.picked ? element("span", { class: "line good" }, "picked") : undefined),
      cell("State", "state", word(it.state), it.why_not ? element("span", { class: "line why" }, it.why_not) : ""),
      cell("Tier", undefined, it.tier ?? quiet("–")),
      cell("Weight", "number", it.weight.toLocaleString()),
      cell("In flight", "number", `${it.in_flight.toLocaleString()} of ${it.in_flight_max.toLocaleString()}`),
      cell("Latency", "number", it.latency_ms === undefined ? quiet("–") : millis(it.latency_ms)),
    );
  const head = (name, kind) => element("th", { role: "columnheader", scope: "col", class: kind }, name);
  const heads = [head("Candidate"), head("State"), head("Tier"), head("Weight", "number"), head("In flight", "number"), head("Latency", "number")];
  return element(
    "table",
    { role: "table", class: "cards" },
    element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...heads)),
    element("tbody", { role: "rowgroup" }, ...list.map(row)),
  );
};

const destination = (it) => {
  if (it.picked) return outcome("good", "It would go to ", code(it.picked), ` of ${it.stands_in ?? it.service}`, it.stands_in ? `, which stands in for ${it.service}.` : ".");
  const why = it.refused ?? it.nothing;
  return outcome("bad", "It would go nowhere: ", why ? `${why.error} (${why.reason})` : "nobody is there.");
};

// Where a request would go.
export const explained = (it) => {
  const choice = it.choices.at(-1);
  const subset = Object.entries(it.subset ?? {}).map(([key, value]) => `${key}=${value}`);
  const told = [
    destination(it),
    facts([
      ["Request", code(`${it.method} ${it.host ?? ""}${it.path}`)],
      ["Routes", it.routes.length > 0 ? sentences(routes(it.routes)) : undefined],
      ["Service", it.service && `${it.service}, by ${it.via}${it.part ? `, the part ${it.part}` : ""}`, it.freshness && `; its list is ${it.freshness}`],
      ["Only those with", subset.join(", ")],
      ["It wishes for", it.wish],
      ["Policy", it.policy && `${it.policy}${it.key_of ? `, by ${it.key_of}` : ""}`],
      ["Choice", course(choice)],
      ["Tiers", it.tiers.length > 1 || it.tiers.some((tier) => tier.panic) ? sentences(tiers(it.tiers)) : undefined],
      ["Limits", it.rules && limits(it.rules)],
      ["If it fails", it.retries],
    ]),
  ];
  if (it.candidates.length > 0) told.push(element("h3", {}, `Candidates ${it.candidates.length.toLocaleString()}`), candidates(it.candidates));
  if (it.left_out.length > 0) {
    const out = it.left_out.map((one) => element("li", {}, code(one.name), ` ${one.why}`));
    told.push(element("h3", {}, `Left out ${it.left_out.length.toLocaleString()}`), element("ul", {}, ...out));
  }
  return told;
};

const attempt = (it) => {
  const end = it.status ?? it.reason;
  const took = it.took_ms === undefined ? "" : ` after ${millis(it.took_ms)}`;
  const kind = it.outcome === "answered" && it.status < 500 ? "good" : "bad";
  return element(
    "li",
    {},
    element("span", { class: kind }, `${it.outcome}${end === undefined ? "" : ` ${end}`}`),
    ` by `,
    code(it.endpoint),
    ` of ${it.service}${took}, begun at ${millis(it.begun_ms)}`,
    course(it.choice),
    it.unknown && element("span", { class: "line quiet" }, `How it was chosen is not known: ${it.unknown}`),
  );
};

// Where a request went that is over.
export const remembered = (it) => [
  outcome(it.status < 500 && !it.reason ? "good" : "bad", `It was answered with ${it.status}${it.reason ? ` (${it.reason})` : ""} after ${millis(it.took_ms)}.`),
  facts([
    ["Request", it.method && code(`${it.method} ${it.host ?? ""}${it.path}`)],
    ["Began", moment(it.at_ms)],
    ["Service", it.service && `${it.service}${it.via ? `, by ${it.via}` : ""}${it.route ? `, the route ${it.route}` : ""}${it.part ? `, the part ${it.part}` : ""}`],
    ["Remembered", `since it ${{ sampled: "was of the sample", failed: "failed", slow: "was slow", retried: "was tried again" }[it.remembered] ?? it.remembered}`],
  ]),
  element("h3", {}, count(it.attempts.length, "attempt", "attempts")),
  element("ol", { class: "attempts" }, ...it.attempts.map(attempt)),
];
