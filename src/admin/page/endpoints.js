// Endpoints: the providers of one service, a page of them at a time, as /services/<name> has them.

import { at, cell, element, fill, pages, say } from "./element.js";
import { age, coarse, millis, word } from "./words.js";

export const PAGE = 100;

let page = 0;

// What of the service is asked for.
export const part = () => {
  const query = new URLSearchParams({
    order: at("order").value,
    offset: String(page * PAGE),
    limit: String(PAGE),
  });
  const find = at("find").value.trim();
  if (find !== "") query.set("find", find);
  return query;
};

const dash = () => element("span", { class: "quiet" }, "–");
const line = (...content) => element("span", { class: "line quiet" }, ...content);

const stateCell = (endpoint) => {
  const told = [word(endpoint.state)];
  if (endpoint.for_ms !== undefined) told.push(element("span", { class: "quiet" }, ` for ${coarse(endpoint.for_ms)}`));
  if (endpoint.why !== undefined) told.push(element("span", { class: "line why" }, endpoint.why));
  if (endpoint.state === "unreachable" && endpoint.pause_ms > 0) told.push(line(`next try in ${coarse(endpoint.pause_ms)}`));
  const { check, ramp } = endpoint;
  if (check !== undefined) {
    told.push(line(`last check ${check.result} ${coarse(check.ms_ago)} ago`, check.reason ? `: ${check.reason}` : ""));
  }
  if (ramp !== undefined) told.push(line(`begins slowly: ${ramp} at a time`));
  return told;
};

const whereCell = (endpoint) => {
  const told = [endpoint.zone ?? dash()];
  if (endpoint.tier !== undefined) told.push(line(`tier ${endpoint.tier}`));
  return told;
};

const failedCell = (endpoint) => {
  const told = [`${endpoint.failures.toLocaleString()} of ${endpoint.attempts.toLocaleString()}`];
  const { lately } = endpoint;
  if (lately?.failed > 0) {
    const all = lately.failed + lately.well;
    told.push(element("span", { class: "line bad" }, `${lately.failed} of ${all} in ${age(lately.within_ms)}`));
  }
  if (endpoint.last_failure !== undefined) told.push(line(`last: ${endpoint.last_failure}`));
  return told;
};

const recordCell = (endpoint, registries) => {
  const told = [element("code", {}, endpoint.record || endpoint.id)];
  const of = endpoint.registries ?? registries;
  const listed = endpoint.listed_for_ms === undefined ? "" : `, listed for ${coarse(endpoint.listed_for_ms)}`;
  told.push(line(`in ${of.join(", ")}, ${endpoint.tenure}${listed}`));
  return told;
};

const row = (endpoint, registries) => {
  const about = [endpoint.version && `version ${endpoint.version}`, endpoint.protocol, endpoint.tls && "TLS"];
  return element(
    "tr",
    { role: "row" },
    element(
      "th",
      { role: "rowheader", scope: "row" },
      element("code", {}, endpoint.address),
      (endpoint.record ?? endpoint.id).endsWith(endpoint.id) ? "" : line(endpoint.id),
      line(about.filter(Boolean).join(", ")),
    ),
    cell("State", "state", ...stateCell(endpoint)),
    cell("Where", undefined, ...whereCell(endpoint)),
    cell("Weight", "number", endpoint.weight.toLocaleString()),
    cell("In flight", "number", `${endpoint.in_flight.toLocaleString()} of ${endpoint.in_flight_max.toLocaleString()}`),
    cell("Latency", "number", endpoint.latency_ms === undefined ? dash() : millis(endpoint.latency_ms)),
    cell("Failed", "number", ...failedCell(endpoint)),
    cell("Ejected", "number", endpoint.ejections === undefined ? "0" : endpoint.ejections.toLocaleString()),
    cell("Record", "record", ...recordCell(endpoint, registries)),
  );
};

export const showEndpoints = (service, registries, turn) => {
  const found = service.endpoints_found;
  const states = Object.entries(service.states).map(([state, number]) => `${number.toLocaleString()} ${state}`);
  const some = found === service.endpoints_count ? "" : `, ${found.toLocaleString()} found`;
  say(at("providers-count"), `${service.endpoints_count.toLocaleString()}${some}${states.length > 0 ? `: ${states.join(", ")}` : ""}`);
  fill(at("provider-rows"), service.endpoints.map((endpoint) => row(endpoint, registries)));
  pages(at("provider-pages"), page, Math.ceil(found / PAGE), (to) => {
    page = to;
    turn();
  });
};

export const firstPage = () => {
  page = 0;
};

export const prepareEndpoints = (turn) => {
  const anew = () => {
    firstPage();
    turn();
  };
  at("find").addEventListener("input", anew);
  at("order").addEventListener("change", anew);
};
