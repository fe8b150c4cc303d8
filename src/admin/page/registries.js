// Registries: how each stands, in a line at the top of the page, and in full.

import { at, element, fill, say } from "./element.js";
import { known } from "./live.js";
import { coarse, count, word } from "./words.js";

const title = (registry) => (registry.name === registry.kind ? registry.kind : `${registry.name} (${registry.kind})`);

// Only what is not as it should be is told in full on every page.
export const showStandings = () => {
  const lines = known.registries.map((registry) => {
    const told = [`${title(registry)} `, word(registry.state)];
    if (registry.state !== "up") told.push(` for ${coarse(registry.for_ms)}`);
    if (registry.cause) told.push(element("span", { class: "bad" }, ` ${registry.cause};`), " known providers stay in use");
    return element("span", { class: "line" }, ...told);
  });
  say(at("registry"), ...(lines.length > 0 || !known.isThere ? lines : ["No registry is followed."]));
};

const audit = (registry) =>
  registry.healed === 0
    ? `nothing was missed in ${count(registry.lists, "list", "lists")}`
    : `${count(registry.healed, "list", "lists")} of ${registry.lists.toLocaleString()} showed what had not been told`;

const facts = (registry) => {
  const role = { use: "its providers are used", fallback: "used where no other knows a provider", shadow: "compared, never used" };
  const fresh = registry.services - registry.stale;
  return [
    ["State", [word(registry.state), ` for ${coarse(registry.for_ms)}`]],
    ["Cause", registry.cause ? [element("span", { class: "bad" }, registry.cause)] : []],
    ["Where", [element("code", {}, registry.location)]],
    ["Role", [role[registry.role] ?? registry.role]],
    ["Session", registry.detail ? [registry.detail] : []],
    ["Freshness", [`${fresh.toLocaleString()} of ${count(registry.services, "service", "services")} fresh`]],
    ["Version", registry.revision === undefined ? [] : [element("code", {}, String(registry.revision))]],
    ["Audit", [audit(registry)]],
    ["Connections lost", [registry.disconnects.toLocaleString()]],
  ].filter(([, content]) => content.length > 0);
};

export const showRegistries = () => {
  const cards = known.registries.map((registry) =>
    element(
      "article",
      { class: "card" },
      element("h3", {}, title(registry)),
      element("dl", {}, ...facts(registry).flatMap(([name, content]) => [element("dt", {}, name), element("dd", {}, ...content)])),
    ),
  );
  fill(at("registries"), cards);
};
