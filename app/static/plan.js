// The plan: a click on an object chooses it, a click elsewhere moves the chosen one there; arrow keys move, too.
let focused = null;
const told = detail => trigger("select", detail);

const place = event => {
  const svg = element.querySelector(".plan");
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  return {right: point.x, front: point.y};
};

element.addEventListener("click", event => {
  if (!event.target.closest(".plan")) return;
  const thing = event.target.closest(".thing");
  if (thing) {
    focused = thing.dataset.index;
    told({index: Number(thing.dataset.index)});
  } else told(place(event));
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
