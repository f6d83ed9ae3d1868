"use strict";
// The stretch of time that all pictures show, and what changes it. Times are microseconds since the
// run began. `run` is what `embedded.rs` wrote; nothing in it is ever taken for HTML.

const run = JSON.parse(document.getElementById("run").textContent);

// Where pictures begin and end on the page, so that the same moment is at the same place in each.
const LEFT_PX = 84;
const RIGHT_PX = 16;

// Fewer are no stretch of time any more.
const SHOWN_MIN_US = 100;

const view = {
  from: 0,
  to: run.end_us,
  // Called when what is shown has changed.
  pictures: [],

  // Shows a stretch, as much of it as there is.
  show(from, to) {
    const length = Math.min(Math.max(to - from, SHOWN_MIN_US), run.end_us);
    view.from = Math.min(Math.max(from, 0), run.end_us - length);
    view.to = view.from + length;
    view.draw();
  },

  // Shows a stretch with some of what is around it.
  showAround(from, to) {
    const margin = Math.max((to - from) * 0.25, 20_000);
    view.show(from - margin, to + margin);
  },

  // Shows so many times as much, around this moment.
  scale(factor, middle = (view.from + view.to) / 2) {
    view.show(middle - (middle - view.from) * factor, middle + (view.to - middle) * factor);
  },

  // Shows what is this share of the stretch later.
  move(share) {
    const by = (view.to - view.from) * share;
    // At an end it stays, and does not become shorter.
    const clamped = Math.min(Math.max(by, -view.from), run.end_us - view.to);
    view.show(view.from + clamped, view.to + clamped);
  },

  draw() {
    if (view.isDue) return;
    view.isDue = true;
    requestAnimationFrame(() => {
      view.isDue = false;
      const digits = view.to - view.from < 100_000 ? 6 : 3;
      const seconds = (us) => (us / 1e6).toFixed(digits);
      document.getElementById("shown").textContent =
        `${seconds(view.from)} to ${seconds(view.to)} s`;
      for (const draw of view.pictures) draw();
    });
  },
};

// The colours of the page as they are now: in the dark, or on paper, they are others.
function colours() {
  const style = getComputedStyle(document.documentElement);
  return (name) => style.getPropertyValue(`--${name}`).trim();
}

// A time in the unit that suits it.
function duration(us) {
  if (us < 1_000) return `${us} µs`;
  if (us < 10_000) return `${(us / 1_000).toFixed(2)} ms`;
  if (us < 10_000_000) return `${Math.round(us / 1_000)} ms`;
  return `${(us / 1e6).toFixed(1)} s`;
}

// A fault lasts to the end if it was never healed.
const faults = run.faults.map((fault) => ({ ...fault, to: fault.to ?? run.end_us }));

// Draws a band for each fault that is shown. `place`: a moment to a place in pixels.
function drawBands(context, colour, place, top, height) {
  for (const fault of faults) {
    if (fault.to < view.from || fault.from > view.to) continue;
    const left = place(Math.max(fault.from, view.from));
    const right = place(Math.min(fault.to, view.to));
    context.fillStyle = colour("band");
    context.fillRect(left, top, Math.max(right - left, 1), height);
    context.fillStyle = colour("band-edge");
    if (fault.from >= view.from) context.fillRect(left, top, 1, height);
    if (fault.to <= view.to) context.fillRect(right, top, 1, height);
  }
}

// Shows a text beside the pointer; nothing if there is none.
function tell(event, text) {
  const tooltip = document.getElementById("tooltip");
  tooltip.hidden = !text;
  if (!text) return;
  tooltip.textContent = text;
  const { offsetWidth: width, offsetHeight: height } = tooltip;
  tooltip.style.left = `${Math.min(event.clientX + 14, innerWidth - width - 8)}px`;
  const below = event.clientY + 16;
  tooltip.style.top = `${below + height > innerHeight ? event.clientY - height - 10 : below}px`;
}

// A canvas of our own that shows `view`: as wide as the page, and with its pointer.
// `height`: in pixels. `paint(context, place, size)` draws all; `at(time, y)` says what is there.
function picture(canvas, height, paint, at) {
  let drag = null;
  const width = () => canvas.parentElement.clientWidth;
  const inner = () => width() - LEFT_PX - RIGHT_PX;
  const place = (us) => LEFT_PX + ((us - view.from) / (view.to - view.from)) * inner();
  const moment = (x) => view.from + ((x - LEFT_PX) / inner()) * (view.to - view.from);

  const draw = () => {
    const ratio = devicePixelRatio || 1;
    canvas.width = Math.round(width() * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.width = `${width()}px`;
    canvas.style.height = `${height}px`;
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    paint(context, place, { width: width(), height, right: width() - RIGHT_PX });
    if (drag && !drag.moves) {
      context.fillStyle = colours()("band-edge");
      const [from, to] = [drag.start, drag.now].sort((a, b) => a - b);
      context.fillRect(from, 0, to - from, height);
    }
  };
  view.pictures.push(draw);

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    drag = { start: event.offsetX, now: event.offsetX, moves: event.shiftKey };
    canvas.setPointerCapture(event.pointerId);
    tell(event, "");
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) return tell(event, at(moment(event.offsetX), event.offsetY));
    if (drag.moves) view.move((drag.now - event.offsetX) / inner());
    drag.now = event.offsetX;
    view.draw();
  });
  canvas.addEventListener("pointerup", () => {
    if (!drag) return;
    const { start, now, moves } = drag;
    drag = null;
    const [from, to] = [moment(Math.min(start, now)), moment(Math.max(start, now))];
    // A click, and a hand that shook, select nothing.
    if (!moves && Math.abs(now - start) > 4) view.show(from, to);
    else view.draw();
  });
  canvas.addEventListener("pointerleave", (event) => tell(event, ""));
  canvas.addEventListener("dblclick", () => view.show(0, run.end_us));
  canvas.addEventListener("wheel", (event) => onWheel(event, moment(event.offsetX)), {
    passive: false,
  });
}

// The wheel alone scrolls the page, as everywhere.
function onWheel(event, middle) {
  if (event.ctrlKey) {
    event.preventDefault();
    view.scale(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 100)) * 0.5), middle);
  } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
    event.preventDefault();
    view.move(event.deltaX / 1000);
  }
}

// Moments that are round numbers, about as many as fit.
function ticks(pixels) {
  const rough = (view.to - view.from) / Math.max(pixels / 110, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const first = Math.ceil(view.from / step);
  const count = Math.floor(view.to / step) - first + 1;
  const digits = Math.max(0, 6 - Math.floor(Math.log10(step)));
  const label = (us) => `${(us / 1e6).toFixed(Math.min(digits, 6))} s`;
  return Array.from({ length: count }, (_, index) => (first + index) * step).map((us) => [
    us,
    label(us),
  ]);
}

// Draws the moments below a picture of our own.
function drawAxis(context, colour, place, size, top) {
  context.fillStyle = colour("faint");
  context.textAlign = "center";
  context.textBaseline = "top";
  for (const [us, label] of ticks(size.right - LEFT_PX)) {
    const x = place(us);
    context.fillRect(x, top, 1, 4);
    if (x < size.right - 20) context.fillText(label, x, top + 6);
  }
}
