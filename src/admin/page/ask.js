// Asking: JSON of this port, and where what is shown could not be had, the cause.

import { at, say } from "./element.js";

export const ask = async (path) => {
  const response = await fetch(path, { headers: { accept: "application/json" } });
  let answer;
  try {
    answer = await response.json();
  } catch {
    throw new Error(`${path.split("?")[0]} answered ${response.status} without JSON`);
  }
  if (!response.ok) {
    const error = new Error(answer.error ?? `status ${response.status}`);
    error.cure = answer.cure;
    error.isAnswer = true;
    throw error;
  }
  return answer;
};

export const servicePath = (name) => `/services/${name.split("/").map(encodeURIComponent).join("/")}`;

const troubles = new Map();

// Says that something could not be had, or that it was; `of` is what it is about.
export const trouble = (of, error) => {
  if (error) troubles.set(of, error.isAnswer ? error.message : `what is shown may be old: ${error.message}`);
  else troubles.delete(of);
  at("trouble").hidden = troubles.size === 0;
  say(at("trouble"), [...new Set(troubles.values())].join("; "));
};
