// Shows what /services says, and one service in full when its name is in the fragment of the address.

const REFRESH_MS = 2000;
// A service may have ten thousand endpoints; a page that long helps nobody. /services/<name> has them all.
const ROWS_MAX = 500;
const DIFFERENCES_MAX = 20;
const GOOD = new Set(["up", "live", "available"]);
const FAIR = new Set(["limbo", "connecting", "pending", "stale", "from disk"]);

const at = (id) => document.getElementById(id);

const element = (name, text, kind) => {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
};

// The word itself says the state; its colour only repeats it.
const word = (state) =>
  element("span", state, `word ${GOOD.has(state) ? "good" : FAIR.has(state) ? "fair" : "bad"}`);

const since = (ms) => {
  const seconds = Math.round(ms / 1000);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
};

const cell = (content, kind) => {
  const made = element("td", undefined, kind);
  made.append(content);
  return made;
};

const number = (value) => cell(value.toLocaleString(), "number");

// Writes only what changed, so that a screen reader is not told the same thing every two seconds.
const replace = (target, ...content) => {
  const holder = element(target.tagName);
  holder.append(...content);
  if (holder.innerHTML !== target.innerHTML) target.replaceChildren(...holder.childNodes);
};

const registryLine = (registry) => {
  const line = element("span", undefined, "line");
  if (registry.name !== registry.kind) line.append(`${registry.name}: `);
  line.append(word(registry.state), ` ${registry.kind} `, element("code", registry.location));
  if (registry.role !== "use") line.append(`, ${registry.role}`);
  if (registry.cause) line.append(element("span", ` ${registry.cause};`, "bad"), " known providers stay in use");
  return line;
};

const showRegistries = (registries) => {
  const lines = registries.length > 0 ? registries.map(registryLine) : [element("span", "none is followed", "word")];
  replace(at("registry"), ...lines);
};

const freshness = (list) => {
  const made = document.createDocumentFragment();
  made.append(word(list.state));
  if (list.for_ms !== undefined) made.append(` for ${since(list.for_ms)}`);
  return made;
};

const serviceRow = (service) => {
  const row = element("tr");
  const name = element("th");
  name.scope = "row";
  const link = element("a", service.name);
  link.href = `#/${encodeURIComponent(service.name)}`;
  name.append(link);
  row.append(
    name,
    cell(freshness(service.freshness)),
    cell(`${service.available} of ${service.endpoints}`, "number"),
    number(service.in_flight),
    number(service.attempts),
    number(service.failures),
    number(service.skipped),
  );
  return row;
};

const showServices = (services) => {
  const wanted = at("filter").value.trim().toLowerCase();
  const shown = services.filter((service) => service.name.toLowerCase().includes(wanted));
  const all = shown.length === services.length;
  replace(at("services-count"), `(${all ? services.length : `${shown.length} of ${services.length}`})`);
  keepFocus(() => replace(at("service-rows"), ...shown.map(serviceRow)));
  at("nothing").hidden = services.length > 0;
};

// Rows are made anew at each refresh; the link that had the focus gets it back.
const keepFocus = (change) => {
  const focused = document.activeElement?.getAttribute("href");
  change();
  if (focused?.startsWith("#/")) {
    [...document.querySelectorAll("#service-rows a")].find((it) => it.getAttribute("href") === focused)?.focus();
  }
};

const endpointRow = (endpoint) => {
  const row = element("tr");
  const address = element("th");
  address.scope = "row";
  address.append(element("code", endpoint.address));
  const state = element("td");
  state.append(word(endpoint.state));
  if (endpoint.pause_ms !== undefined) state.append(` next try in ${since(endpoint.pause_ms)}`);
  if (endpoint.why) state.title = `${endpoint.why}${endpoint.record ? ` (${endpoint.record})` : ""}`;
  const id = cell(element("code", endpoint.id));
  if (endpoint.registries) id.append(` in ${endpoint.registries.join(", ")}`);
  row.append(
    address,
    state,
    cell(endpoint.version || "–"),
    cell(endpoint.protocol),
    number(endpoint.weight),
    number(endpoint.in_flight),
    number(endpoint.attempts),
    number(endpoint.failures),
    id,
  );
  return row;
};

const claimItem = (claim) => {
  const conditions = Object.entries(claim.metadata ?? {}).map(([key, value]) => `${key}=${value}`);
  if (claim.version) conditions.unshift(`version ${claim.version}`);
  const whom = conditions.length > 0 ? `those with ${conditions.join(", ")}` : "all";
  const count = claim.endpoints === 1 ? "1 endpoint" : `${claim.endpoints} endpoints`;
  return element("li", `${claim.policy} over ${whom}: ${count}`);
};

// What one of several registries says of the service.
const heardItem = (heard) => {
  const item = element("li");
  const role = heard.role === "use" || heard.used ? "" : `, ${heard.role}`;
  const count = heard.providers === 1 ? "1 provider" : `${heard.providers} providers`;
  item.append(`${heard.name}${role}: `, freshness(heard.freshness), `, ${count}`);
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

const showDetail = (service) => {
  replace(at("detail-title"), service.name);
  const list = element("span");
  list.append("List: ", freshness(service.freshness));
  if (service.freshness.cause) list.append(`: ${service.freshness.cause}`);
  replace(at("detail-list"), list);
  replace(at("detail-registries"), ...(service.registries ?? []).map(heardItem));
  replace(at("detail-claims"), ...service.claims.map(claimItem));
  replace(at("endpoint-rows"), ...service.endpoints.slice(0, ROWS_MAX).map(endpointRow));
  const unshown = service.endpoints.length - ROWS_MAX;
  replace(at("unshown"), unshown > 0 ? `and ${unshown} more` : "");
  at("skipped").hidden = service.skipped_count === 0;
  const records = service.skipped.map((it) => {
    const item = element("li");
    item.append(element("code", it.record), ` ${it.detail}`);
    return item;
  });
  const unseen = service.skipped_count - service.skipped.length;
  if (unseen > 0) records.push(element("li", `and ${unseen} more`));
  replace(at("skipped-records"), ...records);
};

const chosen = () => (location.hash.startsWith("#/") ? decodeURIComponent(location.hash.slice(2)) : null);

const ask = async (path) => {
  const response = await fetch(path, { headers: { accept: "application/json" } });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error ?? `status ${response.status}`);
  return answer;
};

const trouble = (text) => {
  at("trouble").hidden = !text;
  replace(at("trouble"), text ?? "");
};

const refresh = async () => {
  try {
    const { registries, services } = await ask("/services");
    showRegistries(registries);
    showServices(services);
    const name = chosen();
    if (name !== null) {
      const path = name.split("/").map(encodeURIComponent).join("/");
      showDetail(await ask(`/services/${path}`));
    }
    at("detail").hidden = name === null;
    trouble(null);
  } catch (error) {
    trouble(`What is shown may be old: ${error.message}`);
  }
};

let timer;
const again = async () => {
  clearTimeout(timer);
  await refresh();
  if (at("refresh").checked) timer = setTimeout(again, REFRESH_MS);
};

addEventListener("hashchange", async () => {
  await again();
  if (chosen() !== null && !at("detail").hidden) at("detail").focus();
});
at("refresh").addEventListener("change", again);
at("filter").addEventListener("input", refresh);
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : again()));
again();
