// A press on a column's title sorts the rows by it, a second one the other way round; a press on a row chooses it.
const value = (row, column) => {
  const text = row.cells[column].textContent.trim();
  const number = parseFloat(text);
  return Number.isNaN(number) ? text : number;
};
const compare = (a, b) => (typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1);

element.addEventListener("click", event => {
  const title = event.target.closest?.("th");
  if (title) {
    const down = title.getAttribute("aria-sort") === "ascending";
    title.parentElement.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
    title.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = title.closest("table").tBodies[0];
    const rows = [...body.rows].sort((a, b) => compare(value(a, title.cellIndex), value(b, title.cellIndex)));
    body.append(...(down ? rows.reverse() : rows));
    return;
  }
  const row = event.target.closest?.("tr[data-block]");
  if (!row) return;
  trigger("select", {block: Number(row.dataset.block), channel: Number(row.dataset.channel)});
  document.getElementById("channels-card")?.scrollIntoView({block: "nearest"});
});
