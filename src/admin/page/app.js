// The page: which view is shown, by what stands behind the # of its address, and what keeps it up to date.

import { trouble } from "./ask.js";
import { at, say } from "./element.js";
import { showEvents } from "./events.js";
import { openPast, prepareExplain } from "./explain.js";
import { isLive, known, start } from "./live.js";
import { showRegistries, showStandings } from "./registries.js";
import { openService, prepareService } from "./service.js";
import { prepareServices, showServices } from "./services.js";

const DETAIL_MS = 2000;
const VIEWS = ["services", "service", "registries", "events", "explain"];

const route = () => {
  const [view, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  if (view === "service" && rest.length > 0) {
    try {
      return { view, name: decodeURIComponent(rest.join("/")) };
    } catch {
      return { view: "services" };
    }
  }
  if (view === "explain" && rest.length > 0) {
    try {
      return { view, past: decodeURIComponent(rest.join("/")) };
    } catch {
      return { view };
    }
  }
  return { view: VIEWS.includes(view) && view !== "service" ? view : "services" };
};

const show = async () => {
  const { view, name, past } = route();
  showStandings();
  if (known.proxy) {
    say(at("load"), `${known.proxy.connections_open.toLocaleString()} client connections, ${known.proxy.requests_in_flight.toLocaleString()} requests in flight, ${known.proxy.upstream_connections_open.toLocaleString()} connections to providers.`);
  }
  try {
    if (view === "services") showServices();
    else if (view === "service") await openService(name);
    else if (view === "registries") showRegistries();
    else if (view === "events") await showEvents();
    else if (view === "explain") await openPast(past);
    if (view !== "service") trouble("view", null);
  } catch (error) {
    trouble("view", error);
  }
};

const turnTo = async () => {
  const { view, name } = route();
  if (view !== "service") openService(null);
  for (const other of VIEWS) at(`view-${other}`).hidden = other !== view;
  for (const link of document.querySelectorAll("nav[aria-label=Views] a")) {
    const is = link.hash === `#/${view === "services" ? "" : view}`;
    if (is) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = name === undefined ? "Wayside" : `${name} – Wayside`;
  await show();
};

addEventListener("hashchange", async () => {
  // The link to the content is none to a view.
  if (location.hash !== "" && !location.hash.startsWith("#/")) return;
  await turnTo();
  at(`view-${route().view}`).querySelector("h2").focus();
});

addEventListener("keydown", (event) => {
  const isTyping = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName ?? "");
  if (event.key === "/" && !isTyping && route().view === "services") {
    event.preventDefault();
    at("filter").focus();
  }
});

prepareServices();
prepareService();
prepareExplain();
turnTo();
// What is shown of one service is asked for when something of it changed, and every two seconds.
start(({ changed, isWhole, hasEvents }) => {
  const { view, name } = route();
  const isOfView = {
    services: true,
    registries: true,
    service: isWhole || hasEvents || changed.has(name),
    events: hasEvents || isWhole,
    explain: false,
  };
  if (isOfView[view]) show();
  else showStandings();
});
setInterval(() => {
  if (isLive() && route().view === "service") show();
}, DETAIL_MS);
