"use strict";
const figures = JSON.parse(document.getElementById("figures").textContent);

function draw(element) {
  if (element.dataset.drawn) return;
  element.dataset.drawn = "yes";
  const { data, layout } = figures[element.dataset.figure];
  Plotly.newPlot(element, data, layout, { responsive: true, displayModeBar: false });
}

// What is folded away has no width yet: it is drawn when it is opened.
for (const element of document.querySelectorAll(".chart")) {
  const folded = element.closest("details.lazy");
  if (!folded) draw(element);
  else folded.addEventListener("toggle", () => folded.open && draw(element));
}

function value(row, column) {
  const text = row.cells[column].dataset.value;
  const number = Number(text);
  return text !== "" && !Number.isNaN(number) ? number : text;
}

function compare(a, b, sign) {
  // What is empty comes last, either way.
  if (a === "" || b === "") return a === b ? 0 : a === "" ? 1 : -1;
  return sign * order(a, b);
}

function order(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return a.localeCompare(b);
}

function sort(button) {
  const heading = button.parentElement;
  const body = button.closest("table").tBodies[0];
  const ascending = heading.getAttribute("aria-sort") !== "ascending";
  for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const sign = ascending ? 1 : -1;
  const rows = [...body.rows];
  const column = heading.cellIndex;
  rows.sort((a, b) => compare(value(a, column), value(b, column), sign));
  body.append(...rows);
}

function filter(input) {
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = [...document.querySelectorAll(`#${input.dataset.section} tbody tr`)];
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
  }
  const shown = rows.filter((row) => !row.hidden).length;
  const count = document.querySelector(`[data-count="${input.dataset.section}"]`);
  count.textContent = `${shown} of ${rows.length} rows`;
}

function csv(table) {
  // A spreadsheet would run what begins like a formula.
  const safe = (text) => (/^[=+@\t\r-]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text);
  const quoted = (text) => `"${safe(text).replaceAll('"', '""')}"`;
  const lines = [[...table.tHead.rows[0].cells].map((cell) => cell.dataset.savedAs)];
  const shown = [...table.tBodies[0].rows].filter((row) => !row.hidden);
  for (const row of shown) lines.push([...row.cells].map((cell) => cell.dataset.value));
  // The mark at the beginning tells spreadsheets that this is UTF-8.
  return "\ufeff" + lines.map((line) => line.map(quoted).join(",")).join("\r\n") + "\r\n";
}

function save(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = `${name}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-show]");
  if (link) {
    const input = document.querySelector(".filter");
    input.value = link.dataset.show;
    filter(input);
  }
  const button = event.target.closest("button");
  if (!button) return;
  if (button.classList.contains("sort")) sort(button);
  if (button.classList.contains("csv")) {
    save(button.dataset.table, csv(document.getElementById(button.dataset.table)));
  }
});
for (const input of document.querySelectorAll(".filter")) {
  input.addEventListener("input", () => filter(input));
}
