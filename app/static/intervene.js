// Whatever can be pressed, by pointer or keyboard, tells what it does by its data.
const press = event => {
  const pressed = event.target.closest?.("[data-do]");
  if (!pressed) return;
  event.preventDefault();
  trigger("select", {...pressed.dataset, value: pressed.dataset.value ?? (pressed.getAttribute("aria-pressed") === "true" ? "0" : "1")});
};
element.addEventListener("click", press);
element.addEventListener("keydown", event => {
  if ((event.key === "Enter" || event.key === " ") && event.target.matches("g[data-do]")) press(event);
});
