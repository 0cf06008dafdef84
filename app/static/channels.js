// Beside page.js: a press on a strip, or Enter, chooses the channel that is being read.
const pick = channels => {
  const at = Number(channels.getAttribute("aria-valuenow"));
  const channel = Number(channels.dataset.order.split(" ")[at]);
  trigger("select", {block: Number(channels.dataset.block), channel});
  document.getElementById("channels-card")?.scrollIntoView({block: "nearest"});
};
element.addEventListener("click", event => {
  const channels = event.target.closest?.(".channels.pick");
  if (channels && event.target.closest("svg")) pick(channels);
});
element.addEventListener("keydown", event => {
  if (!event.target.matches?.(".channels.pick") || (event.key !== "Enter" && event.key !== " ")) return;
  event.preventDefault();
  pick(event.target);
});
