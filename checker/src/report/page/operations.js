"use strict";
// Operations over time, one lane a client: processes that retire and those that take their place
// share one.

const operations = run.operations;
const KINDS = ["read", "write", "cas", "delete"];
const [OK, FAIL, INDETERMINATE] = [0, 1, 2];

const core = new Set(run.core);
const coreLanes = new Set(run.core.map((index) => operations.lane[index]));

// No operation took longer: one that began earlier than that before a moment is over.
const longest = operations.took.reduce((a, b) => Math.max(a, b), 0);

// The first operation that began at this moment or later: they are ordered.
function firstFrom(us) {
  let [low, high] = [0, operations.begun.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (operations.begun[middle] < us) low = middle + 1;
    else high = middle;
  }
  return low;
}

// Calls `take` with each operation that is shown, or partly so.
function eachShown(take) {
  for (let index = firstFrom(view.from - longest); index < operations.begun.length; index++) {
    if (operations.begun[index] > view.to) return;
    if (operations.begun[index] + operations.took[index] >= view.from) take(index);
  }
}

// Faults that last at the same time are told in several rows.
const faultRows = [];
for (const fault of faults) {
  let row = faultRows.findIndex((end) => end <= fault.from);
  if (row < 0) row = faultRows.length;
  faultRows[row] = fault.to;
  fault.row = row;
}

const FAULT_PX = 17;
const lanesTop = 4 + faultRows.length * FAULT_PX;
const lanePx = Math.max(4, Math.min(24, Math.floor(380 / run.lanes.length)));
const lanesBottom = lanesTop + run.lanes.length * lanePx;

function paintOperations(context, place, size) {
  const colour = colours();
  context.font = "11px system-ui, sans-serif";
  drawBands(context, colour, place, lanesTop, lanesBottom - lanesTop);
  drawLanes(context, colour, size);
  context.save();
  context.beginPath();
  context.rect(LEFT_PX, 0, size.right - LEFT_PX, lanesBottom);
  context.clip();
  drawFaultNames(context, colour, place);
  const shown = [];
  eachShown((index) =>
    core.has(index) ? shown.push(index) : drawOperation(context, colour, place, index),
  );
  // Over all others, however many there are.
  for (const index of shown) drawOperation(context, colour, place, index);
  context.restore();
  drawAxis(context, colour, place, size, lanesBottom);
}

function drawLanes(context, colour, size) {
  const every = Math.ceil(13 / lanePx);
  context.textAlign = "right";
  context.textBaseline = "middle";
  run.lanes.forEach((name, lane) => {
    const y = lanesTop + lane * lanePx;
    context.fillStyle = colour("line");
    if (lane % every === 0) context.fillRect(LEFT_PX, y, size.right - LEFT_PX, 0.5);
    const isCore = coreLanes.has(lane);
    if (lane % every !== 0 && !isCore) return;
    context.fillStyle = colour(isCore ? "core" : "faint");
    context.fillText(name, LEFT_PX - 6, y + lanePx / 2);
  });
}

function drawFaultNames(context, colour, place) {
  context.textAlign = "left";
  context.textBaseline = "middle";
  for (const fault of faults) {
    if (fault.to < view.from || fault.from > view.to) continue;
    const left = place(Math.max(fault.from, view.from));
    const width = Math.max(place(Math.min(fault.to, view.to)) - left, 2);
    const top = 2 + fault.row * FAULT_PX;
    context.fillStyle = colour("band-edge");
    context.fillRect(left, top, width, FAULT_PX - 3);
    context.save();
    context.beginPath();
    context.rect(left, top, width - 3, FAULT_PX - 3);
    context.clip();
    context.fillStyle = colour("ink");
    context.fillText(fault.what, left + 4, top + (FAULT_PX - 3) / 2 + 0.5);
    context.restore();
  }
}

function drawOperation(context, colour, place, index) {
  const isCore = core.has(index);
  const left = place(operations.begun[index]);
  const right = place(operations.begun[index] + operations.took[index]);
  // What is impossible is seen from afar, and fills its lane.
  const width = Math.max(right - left, isCore ? 5 : 1);
  const gap = isCore ? 0 : lanePx > 8 ? 2 : 0.5;
  const top = lanesTop + operations.lane[index] * lanePx + gap;
  const height = lanePx - 2 * gap;
  const fill = colour(isCore ? "core" : KINDS[operations.kind[index]]);
  context.fillStyle = fill;
  const outcome = operations.outcome[index];
  if (outcome === OK || width < 6) {
    context.fillRect(left, top, width, height);
  } else if (outcome === FAIL) {
    context.strokeStyle = fill;
    context.lineWidth = 1.5;
    context.strokeRect(left + 0.75, top + 0.75, width - 1.5, height - 1.5);
  } else {
    stripe(context, left, top, width, height);
  }
  if (width > 60 && height > 9) name(context, colour, index, left, top, width, height);
}

// Stripes are anchored to the page and not to the operation, so that they stand still. They are
// pale, as they mean little and last long.
function stripe(context, left, top, width, height) {
  const right = Math.min(left + width, innerWidth);
  context.globalAlpha = 0.45;
  for (let x = Math.max(left, 0) - (Math.max(left, 0) % 4); x < right; x += 4) {
    context.fillRect(Math.max(x, left), top, Math.min(2, right - x), height);
  }
  context.globalAlpha = 1;
  context.fillRect(left, top, 1.5, height);
}

function name(context, colour, index, left, top, width, height) {
  context.save();
  context.beginPath();
  context.rect(left, top, width - 2, height);
  context.clip();
  const isFilled = operations.outcome[index] === OK;
  const text = `${operations.call[index]} → ${operations.answer[index]}`;
  const from = Math.max(left, LEFT_PX) + 4;
  if (!isFilled) {
    context.fillStyle = colour("paper");
    context.fillRect(from - 2, top, context.measureText(text).width + 4, height);
  }
  context.fillStyle = isFilled ? colour("on-colour") : colour("ink");
  context.textAlign = "left";
  context.textBaseline = "middle";
  context.fillText(text, from, top + height / 2 + 0.5);
  context.restore();
}

const OUTCOMES = ["ok", "did not happen", "nobody knows whether it happened"];

function describe(index) {
  const [begun, took] = [operations.begun[index], operations.took[index]];
  const seconds = (us) => (us / 1e6).toFixed(6);
  const lines = [
    `${operations.call[index]} → ${operations.answer[index]}`,
    `process ${operations.process[index]}: ${OUTCOMES[operations.outcome[index]]}`,
    `${seconds(begun)} to ${seconds(begun + took)} s, ${duration(took)}`,
  ];
  if (index === run.accused) lines.push("does not fit");
  else if (core.has(index)) lines.push("part of what is impossible");
  return lines.join("\n");
}

function operationAt(us, y) {
  if (y < lanesTop) {
    const row = Math.floor((y - 2) / FAULT_PX);
    const there = faults.find((one) => one.row === row && one.from <= us && us <= one.to);
    return there ? `${there.what}\n${duration(there.to - there.from)}` : "";
  }
  const lane = Math.floor((y - lanesTop) / lanePx);
  // As far as four pixels from the pointer.
  let distance = ((view.to - view.from) / innerWidth) * 4;
  let found = null;
  eachShown((index) => {
    if (operations.lane[index] !== lane) return;
    const begun = operations.begun[index];
    const away = Math.max(begun - us, us - begun - operations.took[index], 0);
    // Of two that are there, the one in the core, or the later.
    if (away < distance || (away === distance && !core.has(found)))
      [distance, found] = [away, index];
  });
  return found === null ? "" : describe(found);
}

picture(document.getElementById("operations"), lanesBottom + 24, paintOperations, operationAt);
