"use strict";
// Latency and rate over time, drawn by uPlot. Lines are of all operations; dots are of those that the
// page has one by one.

const PLOT_PX = 260;
const rates = run.rates;
const stretches = rates.fail.map((_, index) => (index * rates.width_ms) / 1e3);

// A plot that shows `view`. `series`, `axis`: as uPlot has them; `points` draws over the lines.
function plot(id, scale, axis, series, lists, points) {
  const target = document.getElementById(id);
  const colour = () => colours()("faint");
  const options = {
    width: target.clientWidth,
    height: PLOT_PX,
    padding: [8, RIGHT_PX, 0, 0],
    legend: { live: true },
    cursor: {
      drag: { x: true, y: false, setScale: false },
      sync: { key: "run" },
      points: { show: false },
      bind: { dblclick: () => () => view.show(0, run.end_us) },
    },
    scales: { x: { time: false, auto: false, range: () => [view.from / 1e6, view.to / 1e6] }, y: scale },
    axes: [
      { stroke: colour, size: 26, grid: { show: false }, ticks: { show: false }, values: (_, at) => at.map((s) => `${s} s`) },
      { stroke: colour, size: LEFT_PX, grid: { stroke: () => colours()("line"), width: 0.5 }, ...axis },
    ],
    series: [{ label: "at", value: (_, s) => (s === null ? "" : `${s.toFixed(1)} s`) }, ...series],
    hooks: {
      drawClear: [(u) => drawBands(u.ctx, colours(), (us) => u.valToPos(us / 1e6, "x", true), u.bbox.top, u.bbox.height)],
      draw: points ? [points] : [],
      setSelect: [
        (u) => {
          const { left, width } = u.select;
          if (width <= 4) return;
          const [from, to] = [left, left + width].map((x) => u.posToVal(x, "x") * 1e6);
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          view.show(from, to);
        },
      ],
    },
  };
  const drawn = new uPlot(options, [stretches, ...lists], target);
  drawn.over.addEventListener("wheel", (event) => onWheel(event, drawn.posToVal(event.offsetX, "x") * 1e6), { passive: false });
  view.pictures.push(() => {
    if (drawn.width !== target.clientWidth) drawn.setSize({ width: target.clientWidth, height: PLOT_PX });
    drawn.setScale("x", { min: view.from / 1e6, max: view.to / 1e6 });
    drawn.redraw(false);
  });
}

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

function drawPoints(u) {
  const colour = colours();
  const ratio = devicePixelRatio || 1;
  const context = u.ctx;
  context.save();
  context.beginPath();
  context.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
  context.clip();
  // The lines before may have been dashed.
  context.setLineDash([]);
  context.lineWidth = 1.2 * ratio;
  eachShown((index) => {
    const x = u.valToPos((operations.begun[index] + operations.took[index]) / 1e6, "x", true);
    const y = u.valToPos(Math.max(operations.took[index], 1) / 1e3, "y", true);
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

const line = (label, stroke, more) => ({ label, stroke, width: 1.5, points: { show: false }, ...more });
const inkOf = (name) => () => colours()(name);
const [lowest, highest] = latencyRange();
plot(
  "latency",
  { distr: 3, range: [lowest, highest] },
  { values: (_, at) => at.map((ms) => (ms === null ? null : `${ms}`)) },
  [
    line("median", inkOf("ink"), { value: (_, ms) => shownMs(ms) }),
    line("99 of 100 within", inkOf("ink"), { dash: [4, 3], value: (_, ms) => shownMs(ms) }),
  ],
  [milliseconds(rates.median_us), milliseconds(rates.p99_us)],
  drawPoints,
);

const perSecond = (list) => list.map((count) => (count * 1e3) / rates.width_ms);
const happened = (list) => list.some((count) => count > 0);
const stepped = { paths: uPlot.paths.stepped({ align: 1 }), value: (_, rate) => (rate === null ? "" : `${Math.round(rate)}/s`) };
const counted = [
  ...KINDS.map((kind, index) => [rates.ok[index], line(`${kind} ok`, inkOf(kind), stepped)]),
  [rates.fail, line("did not happen", inkOf("faint"), { ...stepped, dash: [4, 3] })],
  [rates.indeterminate, line("nobody knows", inkOf("ink"), { ...stepped, dash: [2, 2] })],
].filter(([list]) => happened(list));
plot("rate", { range: (_, __, max) => [0, Math.max(max ?? 0, 1) * 1.05] }, {}, counted.map(([, series]) => series), counted.map(([list]) => perSecond(list)));
