// Charts: lines over the last quarter of an hour, drawn as SVG.

import { element } from "./element.js";

const WIDTH = 100;
const HEIGHT = 24;

// The points of a line, the latest at the right edge whatever their number.
const line = (values, all, highest) => {
  const step = WIDTH / Math.max(all - 1, 1);
  const top = highest || 1;
  const x = (index) => WIDTH - (values.length - 1 - index) * step;
  const y = (value) => HEIGHT - 1 - (value / top) * (HEIGHT - 2);
  // Where there was no request there is no latency: the line goes on to the next point.
  const points = values.map((value, index) => (value === null ? "" : `${x(index).toFixed(1)},${y(value).toFixed(1)}`));
  return points.filter((point) => point !== "").join(" ");
};

// `lines` are the values of each and its name; all are of one scale. What is drawn is said in `label`.
export const chart = (label, lines, all) => {
  const highest = Math.max(0, ...lines.flatMap((it) => it.values));
  const drawn = lines.map(({ name, values }) =>
    element("polyline", { class: name, points: line(values, all, highest), "vector-effect": "non-scaling-stroke" }),
  );
  return element(
    "svg",
    { role: "img", "aria-label": label, viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none" },
    element("line", { x1: "0", x2: String(WIDTH), y1: String(HEIGHT - 1), y2: String(HEIGHT - 1), class: "base" }),
    ...drawn,
  );
};
