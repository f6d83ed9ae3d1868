"use strict";
// What can be pressed, and the first picture.

// The fault that begins next behind, or before, the middle of what is shown.
function showFault(isLater) {
  const middle = (view.from + view.to) / 2;
  const centre = (fault) => (fault.from + fault.to) / 2;
  const others = faults.filter((fault) =>
    isLater ? centre(fault) > middle + 1 : centre(fault) < middle - 1,
  );
  others.sort((a, b) => centre(a) - centre(b));
  const next = isLater ? others[0] : others[others.length - 1];
  if (next) view.showAround(next.from, next.to);
}

const DOES = {
  whole: () => view.show(0, run.end_us),
  in: () => view.scale(0.5),
  out: () => view.scale(2),
  left: () => view.move(-0.5),
  right: () => view.move(0.5),
  "fault-before": () => showFault(false),
  "fault-after": () => showFault(true),
};

for (const button of document.querySelectorAll("button[data-does]")) {
  button.addEventListener("click", DOES[button.dataset.does]);
}

for (const button of document.querySelectorAll("button[data-from]")) {
  button.addEventListener("click", () => {
    view.showAround(button.dataset.from / 1e3, button.dataset.to / 1e3);
    document.getElementById("pictures").scrollIntoView();
  });
}

for (const button of document.querySelectorAll("button[data-copies]")) {
  const source = document.getElementById(button.dataset.copies);
  button.addEventListener("click", () => {
    // From a file, browsers may refuse the clipboard; what is selected can be copied by hand.
    getSelection().selectAllChildren(source);
    navigator.clipboard?.writeText(source.textContent).catch(() => {});
  });
}

const KEYS = {
  "+": "in",
  "=": "in",
  "-": "out",
  ArrowLeft: "left",
  ArrowRight: "right",
  0: "whole",
};
document.addEventListener("keydown", (event) => {
  const does = KEYS[event.key];
  if (!does || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  DOES[does]();
});

new ResizeObserver(view.draw).observe(document.body);
for (const media of ["(prefers-color-scheme: dark)", "print"]) {
  matchMedia(media).addEventListener("change", view.draw);
}
view.draw();
