const root = document.documentElement;
const dark = () => root.dataset.theme === "dark";
const system = matchMedia("(prefers-color-scheme: dark)");
let themeChosen = false;
root.dataset.theme = system.matches ? "dark" : "light";

// A chart is drawn when it is about to scroll into view, and again when the theme changes.
const views = new Map();
async function draw(element) {
  const ink = dark() ? "#c9ced3" : "#333a41", line = dark() ? "#3a4047" : "#dfe3e7";
  const axis = { labelColor: ink, titleColor: ink, gridColor: line, domainColor: line, tickColor: line };
  const text = { titleColor: ink, labelColor: ink };
  const config = {
    background: "transparent", axis, legend: text, header: text, title: { color: ink },
    view: { stroke: line }, text: { color: ink }, font: "system-ui, sans-serif",
  };
  views.get(element)?.finalize();
  const spec = JSON.parse(element.parentElement.querySelector("script.spec").textContent);
  views.set(element, await vegaEmbed(element, spec, { config, actions: false, renderer: "svg" }));
  element.dataset.drawn = root.dataset.theme;
}
const charts = [...document.querySelectorAll(".chart")];
const watcher = new IntersectionObserver(
  (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
    watcher.unobserve(entry.target);
    draw(entry.target);
  }),
  { rootMargin: "800px" },
);
charts.forEach((element) => watcher.observe(element));
addEventListener("beforeprint", () => charts.filter((element) => !views.has(element)).forEach(draw));

function setTheme(theme) {
  root.dataset.theme = theme;
  [...views.keys()].forEach(draw);
}
system.addEventListener("change", () => themeChosen || setTheme(system.matches ? "dark" : "light"));
document.getElementById("theme").addEventListener("click", () => {
  themeChosen = true;
  setTheme(dark() ? "light" : "dark");
});

// Sort a table by the numbers of a column, or its text if it has none; cells without a number come last.
function sort(table, column, ascending) {
  const body = table.tBodies[0];
  const key = (row) => {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? null : Number(cell.dataset.value.replace("inf", "Infinity"));
  };
  const rows = [...body.rows];
  const numeric = rows.some((row) => key(row) !== null);
  rows.sort((a, b) => {
    if (!numeric) return a.cells[column].textContent.localeCompare(b.cells[column].textContent) * (ascending ? 1 : -1);
    const [x, y] = [key(a), key(b)];
    if (x === null || y === null) return (x === null) - (y === null);
    return (x - y) * (ascending ? 1 : -1);
  });
  body.append(...rows);
}
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const ascending = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach((other) => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    sort(table, column, ascending);
  }));
}

// tooltips with the details of a number
const tooltip = document.getElementById("tooltip");
function show(cell) {
  tooltip.textContent = cell.dataset.tooltip;
  tooltip.hidden = false;
  cell.setAttribute("aria-describedby", "tooltip");
  const place = cell.getBoundingClientRect(), size = tooltip.getBoundingClientRect();
  tooltip.style.left = `${Math.max(8, Math.min(place.left, innerWidth - size.width - 8))}px`;
  const below = place.bottom + 6;
  tooltip.style.top = `${below + size.height < innerHeight ? below : Math.max(8, place.top - size.height - 6)}px`;
}
function hide(cell) {
  tooltip.hidden = true;
  cell?.removeAttribute("aria-describedby");
}
const cellOf = (event) => event.target.closest?.("[data-tooltip]");
for (const kind of ["mouseover", "focusin"]) addEventListener(kind, (event) => cellOf(event) && show(cellOf(event)));
for (const kind of ["mouseout", "focusout"]) addEventListener(kind, (event) => cellOf(event) && hide(cellOf(event)));
addEventListener("keydown", (event) => event.key === "Escape" && hide(document.activeElement));

for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    const text = button.parentElement.querySelector(".command").textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // A page opened from disk may not use the clipboard, so the text is selected and copied by command.
      getSelection().selectAllChildren(button.parentElement.querySelector(".command"));
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
}
