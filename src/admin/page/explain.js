// Explain: where a request would go, asked of /explain and shown as it is answered, whatever that has in it.

import { ask } from "./ask.js";
import { at, element, fill } from "./element.js";

const DEEPEST = 12;

const isPlain = (value) => value === null || typeof value !== "object";

const plain = (value) => {
  if (value === null || value === "") return element("span", { class: "quiet" }, "–");
  if (typeof value === "boolean") return element("span", {}, value ? "yes" : "no");
  return element("code", {}, typeof value === "number" ? value.toLocaleString() : String(value));
};

const list = (value, depth) => {
  if (isPlain(value)) return plain(value);
  if (depth > DEEPEST) return element("code", {}, JSON.stringify(value));
  if (Array.isArray(value)) {
    if (value.length === 0) return element("span", { class: "quiet" }, "none");
    return element("ol", {}, ...value.map((it) => element("li", {}, list(it, depth + 1))));
  }
  const entries = Object.entries(value);
  if (entries.length === 0) return element("span", { class: "quiet" }, "none");
  const pair = ([key, it]) => [element("dt", {}, key.replaceAll("_", " ")), element("dd", {}, list(it, depth + 1))];
  return element("dl", {}, ...entries.flatMap(pair));
};

const query = () => {
  const asked = new URLSearchParams({ method: at("explain-method").value.trim() || "GET", url: at("explain-url").value.trim() });
  for (const header of at("explain-headers").value.split("\n")) {
    if (header.trim() !== "") asked.append("header", header.trim());
  }
  return asked;
};

const explain = async () => {
  try {
    fill(at("explained"), [list(await ask(`/explain?${query()}`), 0)]);
  } catch (error) {
    const cure = error.cure ? [element("span", { class: "line quiet" }, error.cure)] : [];
    fill(at("explained"), [element("p", { class: "bad" }, error.message), ...cure]);
  }
};

export const prepareExplain = () => {
  at("explain").addEventListener("submit", (event) => {
    event.preventDefault();
    explain();
  });
};
