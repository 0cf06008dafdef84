// Over the picture: outlines that can be hidden, and a rectangle to crop by.
let start = null;
const drawing = () => element.querySelector(".outlines");
const place = event => {
  const {x, y} = new DOMPoint(event.clientX, event.clientY).matrixTransform(drawing().getScreenCTM().inverse());
  const {width, height} = drawing().viewBox.baseVal;
  return [Math.min(1, Math.max(0, x / width)), Math.min(1, Math.max(0, y / height))];
};
const between = (one, other) => [0, 1].map(i => Math.min(one[i], other[i])).concat([0, 1].map(i => Math.max(one[i], other[i])));

const root = document.getElementById("seen");
const sync = () => element.querySelectorAll(".tools button").forEach(button => {
  button.setAttribute("aria-pressed", root.classList.contains(button.className));
});
new MutationObserver(sync).observe(element, {childList: true, subtree: true});

element.addEventListener("click", event => {
  const button = event.target.closest(".tools button");
  if (!button) return;
  root.classList.toggle(button.className);
  sync();
});
element.addEventListener("pointerdown", event => {
  if (!root.classList.contains("to-crop") || !event.target.closest(".outlines")) return;
  event.preventDefault();
  start = place(event);
  element.setPointerCapture(event.pointerId);
});
element.addEventListener("pointermove", event => {
  if (!start) return;
  const {width, height} = drawing().viewBox.baseVal;
  const [left, top, right, bottom] = between(start, place(event));
  const rect = drawing().querySelector(".crop");
  for (const [name, value] of [["x", left * width], ["y", top * height], ["width", (right - left) * width], ["height", (bottom - top) * height]])
    rect.setAttribute(name, value);
  rect.removeAttribute("hidden");
});
element.addEventListener("pointerup", event => {
  if (!start) return;
  const box = between(start, place(event));
  start = null;
  drawing().querySelector(".crop").setAttribute("hidden", "");
  if (box[2] - box[0] < 0.03 || box[3] - box[1] < 0.03) return;
  root.classList.remove("to-crop");
  trigger("select", {box});
});
