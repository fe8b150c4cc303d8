// Explain: what is asked of /explain, where a request would go or where one went.

import { ask } from "./ask.js";
import { at, element, fill } from "./element.js";
import { explained, remembered } from "./explained.js";

const query = () => {
  const asked = new URLSearchParams({ method: at("explain-method").value.trim() || "GET", url: at("explain-url").value.trim() });
  for (const header of at("explain-headers").value.split("\n")) {
    if (header.trim() !== "") asked.append("header", header.trim());
  }
  return asked;
};

const answer = async (path, told) => {
  try {
    fill(at("explained"), told(await ask(path)));
  } catch (error) {
    const cure = error.cure ? [element("p", { class: "quiet" }, error.cure)] : [];
    fill(at("explained"), [element("p", { class: "bad" }, error.message), ...cure]);
  }
};

let shown;

// What is remembered of a request, by its id; nothing new where that is shown already.
export const openPast = async (id) => {
  if (id === undefined || id === shown) return;
  shown = id;
  at("past-id").value = id;
  await answer(`/explain/${encodeURIComponent(id)}`, remembered);
};

export const prepareExplain = () => {
  at("explain").addEventListener("submit", (event) => {
    event.preventDefault();
    shown = undefined;
    answer(`/explain?${query()}`, explained);
  });
  at("past").addEventListener("submit", (event) => {
    event.preventDefault();
    const id = at("past-id").value.trim();
    shown = undefined;
    const hash = `#/explain/${encodeURIComponent(id)}`;
    if (location.hash === hash) openPast(id);
    else location.hash = hash;
  });
};
