// The visit: its address holds example, question and tab; the browser keeps what was asked for a reload; Back goes a
// tab back; a file whose upload began before an example or an earlier question was chosen comes late.
const KEPT = "vqa-visit";
const tabs = () => [...document.querySelectorAll(".tab-container:not(.visually-hidden) button[role=tab]")];
const nameOf = tab => tab.textContent.trim().toLowerCase();
const link = () => new URLSearchParams(location.search);
const address = parameters => `${location.pathname}${parameters.size ? `?${parameters}` : ""}`;
let clock = 0, uploading = 0, choosing = 0;

window.vqaVisit = {
  restore: () => {
    const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "{}");
    const same = ["example", "question"].every(name => (link().get(name) ?? "") === String(kept.newest?.[name] ?? ""));
    return JSON.stringify({visit: kept.visit ?? [], link: same ? "" : location.search});
  },
  isLate: () => {
    const late = uploading > 0 && uploading < choosing;
    uploading = 0;
    return late;
  },
  openTab: () => openTab(),
  ask: () => { tabs()[0].click(); document.getElementById("ask").click(); },
};

const keep = () => {
  const visit = JSON.parse(element.querySelector(".history").dataset.visit);
  const newest = JSON.parse(element.querySelector(".history").dataset.link);
  if (!visit.length) return;
  const parameters = link();
  for (const name of ["example", "question"]) parameters.delete(name);
  for (const [name, value] of Object.entries(newest)) parameters.set(name, value);
  history.replaceState(history.state, "", address(parameters));
  sessionStorage.setItem(KEPT, JSON.stringify({visit, newest}));
};
new MutationObserver(keep).observe(element, {childList: true, subtree: true});

let stepping = false;
const openTab = () => {
  const wanted = link().get("tab") ?? "ask";
  const tab = tabs().find(some => nameOf(some) === wanted);
  if (!tab || tab.getAttribute("aria-selected") === "true") return;
  stepping = true;
  tab.click();
  stepping = false;
};
document.addEventListener("click", event => {
  if (event.target.closest?.("#gallery button, #history button")) choosing = ++clock;
  const tab = event.target.closest?.("button[role=tab]");
  if (!tab || stepping) return;
  const parameters = link();
  if (nameOf(tab) === "ask") parameters.delete("tab");
  else parameters.set("tab", nameOf(tab));
  if (address(parameters) === address(link())) return;
  history.pushState(null, "", address(parameters));
}, true);
window.addEventListener("popstate", openTab);

// One Tab stop for all tabs, between which the arrow keys go.
const list = document.querySelector("[role=tablist]");
const rove = () => tabs().forEach(tab => { tab.tabIndex = tab.getAttribute("aria-selected") === "true" ? 0 : -1; });
list.addEventListener("keydown", event => {
  const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
  const all = tabs(), at = all.indexOf(event.target);
  if (!step || at < 0) return;
  event.preventDefault();
  const next = all[(at + step + all.length) % all.length];
  next.click();
  next.focus();
});
new MutationObserver(rove).observe(list, {attributeFilter: ["aria-selected"], subtree: true});
rove();
for (const kind of ["change", "drop", "paste"])
  document.addEventListener(kind, event => {
    if (event.target.closest?.("#picture")) uploading = ++clock;
  }, true);
