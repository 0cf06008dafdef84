// The plan: an object is dragged, or chosen by a click; a click on the ground moves the chosen one there; arrow keys
// move, too.
let focused = null, dragged = null;
const told = detail => trigger("select", detail);

const place = event => {
  const svg = element.querySelector(".plan");
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  return {right: point.x, front: point.y};
};

element.addEventListener("pointerdown", event => {
  if (event.button || !event.target.closest(".plan")) return;
  event.preventDefault();
  const thing = event.target.closest(".thing");
  if (!thing) return told(place(event));
  const {e, f} = thing.transform.baseVal.getItem(0).matrix;
  const {right, front} = place(event);
  dragged = {thing, index: Number(thing.dataset.index), from: {right, front}, offset: [e - right, f - front], moved: false};
  focused = thing.dataset.index;
  thing.focus();
  element.setPointerCapture(event.pointerId);
});
element.addEventListener("pointermove", event => {
  if (!dragged) return;
  const {right, front} = place(event);
  dragged.moved ||= Math.hypot(right - dragged.from.right, front - dragged.from.front) > 0.08;
  if (!dragged.moved) return;
  dragged.to = {right: right + dragged.offset[0], front: front + dragged.offset[1]};
  dragged.thing.setAttribute("transform", `translate(${dragged.to.right} ${dragged.to.front})`);
});
element.addEventListener("pointerup", () => {
  if (dragged) told({index: dragged.index, ...dragged.to});
  dragged = null;
});
element.addEventListener("pointercancel", () => {
  if (dragged) told({index: dragged.index});
  dragged = null;
});

element.addEventListener("keydown", event => {
  const thing = event.target.closest?.(".thing");
  const step = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
  if (!thing || !(step || event.key === "Enter" || event.key === " ")) return;
  event.preventDefault();
  focused = thing.dataset.index;
  const index = Number(thing.dataset.index);
  const by = event.shiftKey ? 0.5 : 0.1;
  told(step ? {index, by: step.map(part => part * by)} : {index});
});

new MutationObserver(() => {
  if (focused === null || (document.activeElement && document.activeElement !== document.body)) return;
  element.querySelector(`.thing[data-index="${focused}"]`)?.focus();
}).observe(element, {childList: true, subtree: true});
