// Channel strips: the pointer or the arrow keys choose a channel, and every strip of that block tells its number.
const read = (channels, channel) => {
  const strips = [...channels.querySelectorAll(".strip")];
  const count = Number(channels.getAttribute("aria-valuemax")) + 1;
  channel = Math.max(0, Math.min(count - 1, channel));
  channels.style.setProperty("--at", (channel + 0.5) / count);
  channels.classList.add("reading");
  const number = channels.dataset.order ? channels.dataset.order.split(" ")[channel] : channel;
  const said = strips.map(strip => {
    const output = strip.querySelector("output");
    output.dataset.rest ??= output.textContent;
    const value = strip.dataset.values.split(" ")[channel];
    output.textContent = `${value} in channel ${number}`;
    return `${strip.firstElementChild.textContent} ${value}`;
  });
  channels.setAttribute("aria-valuenow", channel);
  channels.setAttribute("aria-valuetext", `channel ${number}: ${said.join(", ")}`);
};

const rest = channels => {
  channels.classList.remove("reading");
  channels.querySelectorAll("output").forEach(output => {
    if (output.dataset.rest) output.textContent = output.dataset.rest;
  });
};

const point = event => {
  const channels = event.target.closest?.(".channels");
  if (!channels) return;
  const box = channels.querySelector("svg").getBoundingClientRect();
  const count = Number(channels.getAttribute("aria-valuemax")) + 1;
  if (event.clientX < box.left || event.clientX > box.right) return rest(channels);
  read(channels, Math.floor(((event.clientX - box.left) / box.width) * count));
};

element.addEventListener("pointermove", point);
element.addEventListener("pointerdown", point);
element.addEventListener("pointerout", event => {
  const channels = event.target.closest?.(".channels");
  if (channels && event.pointerType === "mouse" && !channels.contains(event.relatedTarget)) rest(channels);
});
element.addEventListener("focusout", event => event.target.matches?.(".channels") && rest(event.target));
element.addEventListener("keydown", event => {
  const channels = event.target;
  if (!channels.matches?.(".channels")) return;
  const now = Number(channels.getAttribute("aria-valuenow"));
  const last = Number(channels.getAttribute("aria-valuemax"));
  const to = {
    ArrowRight: now + 1, ArrowUp: now + 1, ArrowLeft: now - 1, ArrowDown: now - 1,
    PageUp: now + 8, PageDown: now - 8, Home: 0, End: last,
  }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  read(channels, channels.classList.contains("reading") || event.key === "Home" || event.key === "End" ? to : now);
});
