"use strict";
// Latency and rate over time, drawn by uPlot. Lines are of all operations; dots are of those that the
// page has one by one.

const PLOT_PX = 260;
const rates = run.rates;
const stretches = rates.fail.map((_, index) => (index * rates.width_ms) / 1e3);

// A plot that shows `view`, in the element of this id. `scale`, `axis`: of the latencies or rates, as
// uPlot has them; `lines`: each with its `list`, one number a stretch; `paint`: what is below them.
function plot(id, { scale, axis, lines, paint }) {
  const target = document.getElementById(id);
  const colour = (name) => () => colours()(name);
  const stroke = colour("faint");
  const moments = {
    stroke,
    size: 26,
    grid: { show: false },
    ticks: { show: false },
    values: (_, at) => at.map((s) => `${s} s`),
  };
  const options = {
    width: target.clientWidth,
    height: PLOT_PX,
    padding: [8, RIGHT_PX, 0, 0],
    cursor: {
      drag: { x: true, y: false, setScale: false },
      sync: { key: "run" },
      points: { show: false },
      bind: { dblclick: () => () => view.show(0, run.end_us) },
    },
    scales: {
      x: { time: false, auto: false, range: () => [view.from / 1e6, view.to / 1e6] },
      y: scale,
    },
    axes: [
      moments,
      { stroke, size: LEFT_PX, grid: { stroke: colour("line"), width: 0.5 }, ...axis },
    ],
    series: [{ label: "at", value: (_, s) => (s === null ? "" : `${s.toFixed(1)} s`) }, ...lines],
    hooks: { drawClear: [paintBands], drawAxes: paint ? [paint] : [], setSelect: [showSelected] },
  };
  const drawn = new uPlot(options, [stretches, ...lines.map((line) => line.list)], target);
  const onPlotWheel = (event) => onWheel(event, drawn.posToVal(event.offsetX, "x") * 1e6);
  drawn.over.addEventListener("wheel", onPlotWheel, { passive: false });
  view.pictures.push(() => {
    const width = target.clientWidth;
    if (drawn.width !== width) drawn.setSize({ width, height: PLOT_PX });
    drawn.setScale("x", { min: view.from / 1e6, max: view.to / 1e6 });
    drawn.redraw(false);
  });
}

function paintBands(drawn) {
  const place = (us) => drawn.valToPos(us / 1e6, "x", true);
  drawBands(drawn.ctx, colours(), place, drawn.bbox.top, drawn.bbox.height);
}

// What was selected by dragging is shown in all pictures.
function showSelected(drawn) {
  const { left, width } = drawn.select;
  if (width <= 4) return;
  const [from, to] = [left, left + width].map((x) => drawn.posToVal(x, "x") * 1e6);
  drawn.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  view.show(from, to);
}

// A line, with its numbers.
const line = (list, label, name, more) => ({
  list,
  label,
  stroke: () => colours()(name),
  width: 1.5,
  points: { show: false },
  ...more,
});

const milliseconds = (list) => list.map((us) => (us === null ? null : Math.max(us, 1) / 1e3));
const shownMs = (ms) => (ms === null ? "" : `${ms >= 10 ? Math.round(ms) : ms.toPrecision(2)} ms`);

// From the fastest to the slowest, at least a power of ten each way.
function latencyRange() {
  const all = operations.took.map((us) => Math.max(us, 1) / 1e3);
  const lines = milliseconds(rates.p99_us).filter((ms) => ms !== null);
  let [low, high] = [1, 1];
  for (const ms of [all, lines].flat()) [low, high] = [Math.min(low, ms), Math.max(high, ms)];
  return [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(high * 1.01))];
}

function paintPoints(drawn) {
  const colour = colours();
  const ratio = devicePixelRatio || 1;
  const context = drawn.ctx;
  context.save();
  context.beginPath();
  context.rect(drawn.bbox.left, drawn.bbox.top, drawn.bbox.width, drawn.bbox.height);
  context.clip();
  context.setLineDash([]);
  context.lineWidth = 1.2 * ratio;
  eachShown((index) => {
    const x = drawn.valToPos((operations.begun[index] + operations.took[index]) / 1e6, "x", true);
    const y = drawn.valToPos(Math.max(operations.took[index], 1) / 1e3, "y", true);
    const isCore = core.has(index);
    const ink = colour(isCore ? "core" : KINDS[operations.kind[index]]);
    drawPoint(context, ink, operations.outcome[index], x, y, (isCore ? 4 : 1.7) * ratio);
  });
  context.restore();
}

function drawPoint(context, ink, outcome, x, y, radius) {
  context.fillStyle = context.strokeStyle = ink;
  context.beginPath();
  if (outcome === OK) {
    context.arc(x, y, radius, 0, 2 * Math.PI);
    return context.fill();
  }
  const arm = radius * 1.7;
  if (outcome === FAIL) {
    context.moveTo(x - arm, y - arm);
    context.lineTo(x + arm, y + arm);
    context.moveTo(x + arm, y - arm);
    context.lineTo(x - arm, y + arm);
  } else {
    context.moveTo(x, y - 1.3 * arm);
    context.lineTo(x + 1.3 * arm, y + arm);
    context.lineTo(x - 1.3 * arm, y + arm);
    context.closePath();
  }
  context.stroke();
}

const [lowest, highest] = latencyRange();
const latency = { value: (_, ms) => shownMs(ms) };
plot("latency", {
  scale: { distr: 3, range: [lowest, highest] },
  axis: { values: (_, at) => at.map((ms) => (ms === null ? null : `${ms}`)) },
  lines: [
    line(milliseconds(rates.median_us), "median", "ink", latency),
    line(milliseconds(rates.p99_us), "99 of 100 within", "ink", { ...latency, dash: [4, 3] }),
  ],
  paint: paintPoints,
});

const perSecond = (list) => list.map((count) => (count * 1e3) / rates.width_ms);
const stepped = {
  paths: uPlot.paths.stepped({ align: 1 }),
  value: (_, rate) => (rate === null ? "" : `${Math.round(rate)}/s`),
};
const counted = [
  ...KINDS.map((kind, index) => line(rates.ok[index], `${kind} ok`, kind, stepped)),
  line(rates.fail, "did not happen", "faint", { ...stepped, dash: [4, 3] }),
  line(rates.indeterminate, "nobody knows", "ink", { ...stepped, dash: [2, 2] }),
];
plot("rate", {
  scale: { range: (_, __, max) => [0, Math.max(max ?? 0, 1) * 1.05] },
  axis: {},
  // What never happened needs no line.
  lines: counted
    .filter(({ list }) => list.some((count) => count > 0))
    .map((one) => ({ ...one, list: perSecond(one.list) })),
});
