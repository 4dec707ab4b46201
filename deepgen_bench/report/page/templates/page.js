const root = document.documentElement;
const dark = () => root.dataset.theme === "dark";
const system = matchMedia("(prefers-color-scheme: dark)");
let chosen = false;
root.dataset.theme = system.matches ? "dark" : "light";

// charts are drawn when they come near, and anew in another theme
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
system.addEventListener("change", () => chosen || setTheme(system.matches ? "dark" : "light"));
document.getElementById("theme").addEventListener("click", () => {
  chosen = true;
  setTheme(dark() ? "light" : "dark");
});

// tables: by a column's numbers, or its text; what has no number stands last
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

// what is behind a number
const about = document.getElementById("about");
function tell(cell) {
  about.textContent = cell.dataset.about;
  about.hidden = false;
  cell.setAttribute("aria-describedby", "about");
  const place = cell.getBoundingClientRect(), own = about.getBoundingClientRect();
  about.style.left = `${Math.max(8, Math.min(place.left, innerWidth - own.width - 8))}px`;
  const below = place.bottom + 6;
  about.style.top = `${below + own.height < innerHeight ? below : Math.max(8, place.top - own.height - 6)}px`;
}
function hide(cell) {
  about.hidden = true;
  cell?.removeAttribute("aria-describedby");
}
const toldOf = (event) => event.target.closest?.("[data-about]");
for (const kind of ["mouseover", "focusin"]) addEventListener(kind, (event) => toldOf(event) && tell(toldOf(event)));
for (const kind of ["mouseout", "focusout"]) addEventListener(kind, (event) => toldOf(event) && hide(toldOf(event)));
addEventListener("keydown", (event) => event.key === "Escape" && hide(document.activeElement));

for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    const text = button.parentElement.querySelector(".command").textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // a file on disk may not use the clipboard: select the text, to be copied by hand
      getSelection().selectAllChildren(button.parentElement.querySelector(".command"));
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
}
