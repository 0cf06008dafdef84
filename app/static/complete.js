// Completion of the question as it is typed: questions that fit the picture, then the words that CLEVR goes on with.
// Arrow keys choose, Tab or Enter take, Escape closes; without a choice Enter asks, as ever.
const list = element.querySelector("[role=listbox]");
const unknown = element.querySelector(".unknown-words");
const {known, followers} = element.querySelector(".completion").dataset;
const words = new Set(JSON.parse(known));
const follows = JSON.parse(followers);
const box = () => document.querySelector("#question textarea");
let chosen = -1;

const tokens = text => text.toLowerCase().replaceAll("’", "'").replace(/\b(what|there|that|it)'s\b/g, "$1 is")
  .match(/[\p{L}\p{N}]+(?:'[\p{L}\p{N}]+)*/gu) ?? [];

const complete = text => {
  const start = text.trimStart().toLowerCase();
  if (!start || text.length > 300 || /[?.!]\s*$/.test(text)) return [];
  const fitting = JSON.parse(document.querySelector("#suggestions .suggestions")?.dataset.fitting ?? "[]");
  const whole = fitting.filter(question => question.toLowerCase().startsWith(start) && question.length > start.length);
  const said = tokens(text);
  const part = /[\p{L}\p{N}']$/u.test(text) ? said.pop() ?? "" : "";
  const next = follows[said.slice(-2).join(" ")] ?? follows[said.at(-1) ?? ""] ?? [];
  const stem = part ? text.slice(0, -part.length) : `${text.trimEnd()} `;
  const longer = next.filter(word => word !== "?" && word !== part && word.startsWith(part)).map(word => stem + word + " ");
  const ends = next.includes("?") && !part && said.length > 3 ? [text.trimEnd() + "?"] : [];
  return [...whole.slice(0, 3), ...ends, ...longer.slice(0, 4)];
};

const close = () => {
  list.hidden = true;
  chosen = -1;
  box()?.removeAttribute("aria-activedescendant");
};

const choose = to => {
  const items = [...list.children];
  chosen = (to + items.length + 1) % (items.length + 1);
  if (chosen === items.length) chosen = -1;
  items.forEach((item, i) => item.setAttribute("aria-selected", i === chosen));
  if (chosen < 0) box().removeAttribute("aria-activedescendant");
  else box().setAttribute("aria-activedescendant", items[chosen].id);
};

const show = () => {
  const typed = box().value;
  list.replaceChildren(...complete(typed).map((text, i) => {
    const item = document.createElement("li");
    Object.assign(item, {id: `completion-${i}`, role: "option"});
    const same = text.toLowerCase().startsWith(typed.toLowerCase()) ? typed.length : 0;
    const rest = document.createElement("b");
    rest.textContent = text.slice(same);
    item.append(text.slice(0, same), rest);
    item.dataset.text = text;
    return item;
  }));
  list.hidden = !list.children.length;
  choose(-1);
};

const mark = () => {
  const typed = box().value;
  const said = tokens(typed);
  if (/[\p{L}\p{N}']$/u.test(typed)) said.pop();
  const strange = [...new Set(said.filter(word => !words.has(word)))].slice(0, 5).map(word => word.slice(0, 30));
  unknown.textContent = strange.length ? `The model does not know: ${strange.join(", ")}` : "";
};

const take = item => {
  const area = box();
  area.value = item.dataset.text;
  area.dispatchEvent(new Event("input", {bubbles: true}));
  area.focus();
  if (area.value.endsWith("?")) close();
};

document.addEventListener("input", event => {
  if (event.target !== box()) return;
  event.target.setAttribute("aria-autocomplete", "list");
  event.target.setAttribute("aria-controls", list.id);
  show();
  mark();
});
document.addEventListener("keydown", event => {
  if (event.target !== box()) return;
  const open = !list.hidden;
  if (event.key === "Escape" || (event.key === "Enter" && chosen < 0)) return close();
  if (open && event.key === "ArrowDown") choose(chosen + 1);
  else if (open && event.key === "ArrowUp" && chosen >= 0) choose(chosen - 1);
  else if (open && chosen >= 0 && (event.key === "Enter" || event.key === "Tab")) take(list.children[chosen]);
  else return;
  event.preventDefault();
  event.stopPropagation();
}, true);
document.addEventListener("focusout", event => event.target === box() && setTimeout(close, 150));
list.addEventListener("pointerdown", event => {
  const item = event.target.closest("li");
  if (!item) return;
  event.preventDefault();
  take(item);
});
