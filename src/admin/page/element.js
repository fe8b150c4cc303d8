// Elements: made of text and attributes only, never of markup, so that no record can say more than words.

export const at = (id) => document.getElementById(id);

const SVG = new Set(["svg", "polyline", "polygon", "line"]);

export const element = (name, attributes, ...content) => {
  const made = SVG.has(name)
    ? document.createElementNS("http:" + "//www.w3.org/2000/svg", name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...content.filter((it) => it !== undefined && it !== null));
  return made;
};

// Puts nodes in the place of what is there, and leaves those alone that are the same: a screen reader is not told anything
// twice, a selection stays, and what had the focus gets it back where its row has moved.
export const fill = (parent, nodes) => {
  const focused = parent.contains(document.activeElement) ? document.activeElement.dataset.focus : undefined;
  nodes.forEach((node, index) => {
    const present = parent.childNodes[index];
    if (present === undefined) parent.append(node);
    else if (!present.isEqualNode(node)) present.replaceWith(node);
  });
  while (parent.childNodes.length > nodes.length) parent.lastChild.remove();
  if (focused !== undefined && document.activeElement?.dataset.focus !== focused) {
    parent.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
  }
};

// The same with texts among them.
export const say = (parent, ...content) => fill(parent, content.map((it) => (typeof it === "string" ? new Text(it) : it)));

// A cell of a table: `label` is told beside it where the table has become a list of cards.
export const cell = (label, kind, ...content) => element("td", { role: "cell", class: kind, "data-label": label }, ...content);

// Links from page to page of a list; `turn` is called with the number of the one that is wanted.
export const pages = (parent, page, count, turn) => {
  parent.hidden = count <= 1;
  parent.dataset.page = String(page);
  const button = (text, label, step, disabled) => {
    const made = element("button", { type: "button", "aria-label": label, "data-focus": label, disabled }, text);
    // A button outlives the page it was made on.
    made.addEventListener("click", () => turn(Number(parent.dataset.page) + step));
    return made;
  };
  fill(parent, [
    button("‹", "Previous page", -1, page <= 0),
    element("span", {}, `page ${page + 1} of ${count}`),
    button("›", "Next page", 1, page + 1 >= count),
  ]);
};
