"use strict";
// Who claimed to lead: one row for each node of each group. Two bars above each other are two that
// claimed it at the same time.

const ROW_PX = 20;
const rows = run.leaders.rows;
const hasGroups = new Set(rows.map((row) => row.group)).size > 1;
const rowName = (row) => (hasGroups ? `group ${row.group} n${row.node}` : `n${row.node}`);

// The colour of a node, told apart by any eye; a leader's ballot is written beside it as well.
const NODE_COLOURS = ["#2f8fd0", "#d98a00", "#00936a", "#b8679a", "#8a7fd4", "#7a8794", "#a88b00"];

function paintLeaders(context, place, size) {
  const colour = colours();
  context.font = "11px system-ui, sans-serif";
  const bottom = rows.length * ROW_PX;
  drawBands(context, colour, place, 0, bottom);
  rows.forEach((row, index) => {
    const top = index * ROW_PX;
    const isFirst = index > 0 && row.group !== rows[index - 1].group;
    context.fillStyle = colour(isFirst ? "faint" : "line");
    context.fillRect(isFirst ? 0 : LEFT_PX, top, size.right, isFirst ? 1 : 0.5);
    context.fillStyle = colour("faint");
    context.textAlign = "right";
    context.textBaseline = "middle";
    context.fillText(rowName(row), LEFT_PX - 6, top + ROW_PX / 2);
    context.save();
    context.beginPath();
    context.rect(LEFT_PX, top, size.right - LEFT_PX, ROW_PX);
    context.clip();
    for (const interval of row.intervals) drawInterval(context, colour, place, row, interval, top);
    context.restore();
  });
  drawAxis(context, colour, place, size, bottom);
}

function drawInterval(context, colour, place, row, interval, top) {
  if (interval.to < view.from || interval.from > view.to) return;
  const left = place(interval.from);
  const width = Math.max(place(interval.to) - left, 1);
  if (interval.state === "follows") {
    context.fillStyle = colour("faint");
    context.fillRect(left, top + ROW_PX / 2, width, 1);
    return;
  }
  if (interval.state === "silent") {
    context.fillStyle = colour("faint");
    const right = Math.min(left + width, innerWidth);
    for (let x = Math.max(left, 0); x < right; x += 5) {
      context.fillRect(x, top + ROW_PX / 2 - 2, 1, 5);
    }
    return;
  }
  context.fillStyle = NODE_COLOURS[(row.node - 1) % NODE_COLOURS.length];
  context.fillRect(left, top + 2, width, ROW_PX - 4);
  context.save();
  context.beginPath();
  context.rect(left, top, width - 2, ROW_PX);
  context.clip();
  context.fillStyle = "#ffffff";
  context.textAlign = "left";
  context.fillText(interval.ballot, Math.max(left, LEFT_PX) + 4, top + ROW_PX / 2 + 0.5);
  context.restore();
}

const STATES = { leads: "claims to lead", follows: "does not lead", silent: "does not answer" };

function intervalAt(us, y) {
  const row = rows[Math.floor(y / ROW_PX)];
  const interval = row?.intervals.find((one) => one.from <= us && us <= one.to);
  if (!interval) return "";
  const ballot = interval.ballot ? `, ballot ${interval.ballot}` : "";
  const seconds = (time) => (time / 1e6).toFixed(3);
  const what = `${rowName(row)} ${STATES[interval.state]}${ballot}`;
  return `${what}\n${seconds(interval.from)} to ${seconds(interval.to)} s`;
}

if (rows.length) {
  picture(document.getElementById("leaders"), rows.length * ROW_PX + 24, paintLeaders, intervalAt);
}
