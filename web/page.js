// SPDX-License-Identifier: MIT
// The page: a flame graph and a table of the same tree.  Names come from a program that may be anybody's: they are only
// ever set as text.
import { select } from "d3-selection";
import flamegraph from "d3-flame-graph";
import { baseName, countText, isImport, keyOf, makeRows, makeTree, read, sizeText } from "./model.js";

const ROWS = 100;
const $ = (id) => document.getElementById(id);
const model = read(JSON.parse($("data").textContent));
const hasImports = model.places.some(isImport);
const options = { metric: 0, show: "now", hideImports: hasImports, file: "" };
const state = { search: "", group: "line", sort: model.compares ? "ownChange" : "own", up: false, all: false, chosen: null, zoomed: null };
let tree, chart, rows;

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function numberText(value, sign) {
  return options.metric ? countText(value, sign) : sizeText(value, sign);
}

// ---- theme -------------------------------------------------------------------------------------------------------

const THEMES = ["auto", "light", "dark"];
const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
let theme = "auto";

function isDark() {
  return theme === "dark" || (theme === "auto" && prefersDark.matches);
}

function setTheme(next) {
  theme = next;
  document.documentElement.dataset.theme = isDark() ? "dark" : "light";
  $("theme").textContent = `Colours: ${theme}`;
}

// ---- colours -----------------------------------------------------------------------------------------------------

// Hue, saturation and lightness (light, dark) for each kind of code; the name moves the lightness a little, so that
// neighbours can be told apart.
const KINDS = {
  own: { hue: 28, saturation: [85, 58], light: [68, 40], text: "your code" },
  package: { hue: 165, saturation: [42, 38], light: [68, 33], text: "installed packages" },
  library: { hue: 212, saturation: [42, 30], light: [78, 36], text: "standard library" },
  other: { hue: 220, saturation: [8, 8], light: [84, 30], text: "imports, unknown, small" },
};

function hash(text) {
  let value = 7;
  for (let i = 0; i < text.length; i++) value = (value * 31 + text.charCodeAt(i)) >>> 0;
  return (value % 1000) / 1000;
}

function kindColour(kind, name) {
  const { hue, saturation, light } = KINDS[kind];
  const dark = isDark() ? 1 : 0;
  const shift = name === undefined ? 0 : (hash(name) - 0.5) * 12;
  return `hsl(${hue} ${saturation[dark]}% ${light[dark] + shift}%)`;
}

// share: -1 (all of it is gone) to 1 (all of it is new)
function changeColour(share) {
  const dark = isDark();
  const strength = Math.sqrt(Math.min(1, Math.abs(share)));
  if (strength < 0.04) return dark ? "hsl(220 6% 32%)" : "hsl(220 8% 87%)";
  const hue = share > 0 ? 4 : 214;
  return dark
    ? `hsl(${hue} ${15 + 45 * strength}% ${32 + 10 * strength}%)`
    : `hsl(${hue} ${30 + 52 * strength}% ${88 - 24 * strength}%)`;
}

function changeOf(node) {
  const now = node.total[options.metric];
  const before = node.total[2 + options.metric];
  const most = Math.max(now, before);
  return most > 0 ? (now - before) / most : 0;
}

function frameColour(d) {
  if (d.highlight) return isDark() ? "hsl(285 55% 48%)" : "hsl(290 75% 80%)";
  const node = d.data;
  if (model.compares) return changeColour(changeOf(node));
  return kindColour(node.place ? node.place.kind : "other", node.name);
}

function drawLegend() {
  const entries = model.compares
    ? [[changeColour(1), "grown"], [changeColour(0.15), "grown a little"], [changeColour(0), "as before"], [changeColour(-0.15), "shrunk a little"], [changeColour(-1), "shrunk or gone"]]
    : Object.keys(KINDS).map((kind) => [kindColour(kind), KINDS[kind].text]);
  $("legend").replaceChildren(...entries.map(([colour, text]) => {
    const entry = element("span");
    const box = element("i");
    box.style.background = colour;
    entry.append(box, text);
    return entry;
  }));
}

// ---- details -----------------------------------------------------------------------------------------------------

function part(value, whole) {
  return whole > 0 ? ` (${((100 * value) / whole).toFixed(1)} %)` : "";
}

function numbersOf(node) {
  const [m, parts] = [options.metric, []];
  const whole = tree.total[m];
  const put = (name, text, className) => parts.push([name, text, className]);
  put("total", numberText(node.total[m]) + part(node.total[m], whole));
  put("own", numberText(node.own[m]) + part(node.own[m], whole));
  if (model.compares) {
    const change = node.total[m] - node.total[2 + m];
    put("before", numberText(node.total[2 + m]));
    put("change", numberText(change, true), change > 0 ? "grown" : change < 0 ? "shrunk" : "");
  }
  put(m ? "bytes" : "blocks", m ? sizeText(node.total[0]) : countText(node.total[1]));
  return parts;
}

function showDetails(node) {
  const box = $("details");
  box.replaceChildren();
  if (!node) return;
  const where = element("div");
  if (node.place) {
    where.append(element("span", node.place.name || baseName(node.place.file), "where"), " ");
    where.append(element("span", `${node.place.file}:${node.place.line}`, "path"));
  } else {
    where.append(element("span", node.folded ? `${countText(node.folded)} frames that are too small or too deep to draw` : "All that is shown", "where"));
  }
  box.append(where);
  if (node.place && node.place.source) box.append(element("pre", node.place.source));
  const numbers = element("div", undefined, "numbers");
  for (const [name, text, className] of numbersOf(node)) {
    if (numbers.childNodes.length) numbers.append(" · ");
    numbers.append(`${name} `, element("b", text, className));
  }
  box.append(numbers);
}

// ---- flame graph -------------------------------------------------------------------------------------------------

function matches(place) {
  if (!place) return false;
  if (state.chosen !== null) return keyOf(place, state.group) === state.chosen;
  return state.search !== "" && place.text.includes(state.search);
}

function labelOf(d) {
  return numbersOf(d.data).reduce((text, [name, number]) => `${text}\n${name} ${number}`, d.data.name);
}

function drawGraph() {
  const box = $("graph");
  if (chart) chart.destroy();
  box.replaceChildren();
  chart = null;
  state.zoomed = null;
  $("reset").disabled = true;
  showDetails(tree);
  if (!tree.value) {
    box.append(element("p", "Nothing to draw here.", "empty"));
    return;
  }
  const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  chart = flamegraph()
    .width(Math.max(320, box.clientWidth - 14))
    .cellHeight(20)
    .minFrameSize(1)
    .inverted(!state.up)
    .transitionDuration(still ? 0 : 200)
    .sort((a, b) => b.data.value - a.data.value)
    .setColorMapper(frameColour)
    .setLabelHandler(labelOf)
    .setSearchMatch((d) => matches(d.data.place))
    .setSearchHandler((found, value, whole) => showFound(found.length, value, whole))
    .setDetailsHandler((label) => { if (label === null) showDetails(state.zoomed || tree); })
    .onHover((d) => showDetails(d.data))
    .onClick((d) => {
      state.zoomed = d.parent ? d.data : null;
      $("reset").disabled = !state.zoomed;
      showDetails(d.data);
    });
  select(box).append("div").datum(tree).call(chart);
  if (state.up) box.scrollTop = box.scrollHeight;
  mark();
}

function mark() {
  if (!chart) return;
  if (state.search === "" && state.chosen === null) {
    chart.clear();
    $("legend").classList.remove("searching");
    drawLegend();
  } else {
    chart.search(state.search || "chosen");
  }
}

function showFound(frames, value, whole) {
  drawLegend();
  const text = `${countText(frames)} frames found, ${numberText(value)}${part(value, whole)}`;
  const entry = element("span", undefined, "found");
  const box = element("i");
  box.style.background = frameColour({ highlight: true });
  entry.append(box, text);
  $("legend").append(entry);
}

// ---- table -------------------------------------------------------------------------------------------------------

const COLUMNS = [
  { id: "ownChange", diff: true, text: "Own change", value: (row, m) => row.own[m] - row.own[2 + m], change: true },
  { id: "own", text: "Own", value: (row, m) => row.own[m], bar: true },
  { id: "totalChange", diff: true, text: "Total change", value: (row, m) => row.total[m] - row.total[2 + m], change: true },
  { id: "total", text: "Total", value: (row, m) => row.total[m] },
  { id: "count", text: "Own blocks", value: (row, m) => row.own[1 - m], other: true },
  { id: "totalCount", text: "Total blocks", value: (row, m) => row.total[1 - m], other: true },
  { id: "where", text: "Where" },
];

function columnText(column) {
  return column.other && options.metric ? column.text.replace("blocks", "bytes") : column.text;
}

function cellText(column, value) {
  const counts = (options.metric === 1) !== Boolean(column.other);
  return counts ? countText(value, column.change) : sizeText(value, column.change);
}

function wherePart(row) {
  const cell = element("td");
  const { file, line, name, source } = row.place;
  const path = state.group === "line" ? `${file}:${line}` : file;
  if (state.group !== "file" && name) cell.append(element("span", name), " ");
  cell.append(element("span", path, state.group !== "file" && name ? "path" : ""));
  if (state.group === "line" && source) cell.append(element("code", source, "source"));
  return cell;
}

function makeRow(row, columns, most) {
  const line = element("tr");
  line.tabIndex = 0;
  if (row.key === state.chosen) line.className = "chosen";
  for (const column of columns) {
    if (!column.value) {
      line.append(wherePart(row));
      continue;
    }
    const value = column.value(row, options.metric);
    const cell = element("td", cellText(column, value));
    if (column.change && value) cell.className = value > 0 ? "grown" : "shrunk";
    if (column.bar && most > 0) {
      const bar = element("span", undefined, "bar");
      bar.style.width = `${Math.max(0, (100 * value) / most)}%`;
      cell.append(bar);
    }
    line.append(cell);
  }
  const choose = () => {
    state.chosen = state.chosen === row.key ? null : row.key;
    drawTable();
    mark();
  };
  line.addEventListener("click", choose);
  line.addEventListener("keydown", (event) => { if (event.key === "Enter") choose(); });
  return line;
}

function sorted(found) {
  const column = COLUMNS.find((one) => one.id === state.sort.replace("-", ""));
  const sign = state.sort.startsWith("-") ? -1 : 1;
  const m = options.metric;
  if (!column.value) return found.sort((a, b) => sign * (a.place.file.localeCompare(b.place.file) || a.place.line - b.place.line));
  return found.sort((a, b) => sign * (column.value(b, m) - column.value(a, m)) || b.total[m] - a.total[m]);
}

function drawTable() {
  const columns = COLUMNS.filter((column) => model.compares || !column.diff);
  const head = element("tr");
  for (const column of columns) {
    const cell = element("th");
    const button = element("button", columnText(column));
    button.type = "button";
    cell.dataset.column = column.id;
    if (state.sort.replace("-", "") === column.id)
      cell.setAttribute("aria-sort", state.sort.startsWith("-") === Boolean(column.value) ? "ascending" : "descending");
    button.addEventListener("click", () => {
      state.sort = state.sort === column.id ? `-${column.id}` : column.id;
      drawTable();
    });
    cell.append(button);
    head.append(cell);
  }
  const found = sorted(rows.filter((row) => state.search === "" || matchesRow(row)));
  const shown = state.all ? found : found.slice(0, ROWS);
  const most = Math.max(0, ...rows.map((row) => row.own[options.metric]));
  document.querySelector("#table thead").replaceChildren(head);
  document.querySelector("#table tbody").replaceChildren(...shown.map((row) => makeRow(row, columns, most)));
  $("shown").textContent = `${countText(shown.length)} of ${countText(found.length)}${options.hideImports ? "; what importlib holds counts for the line that imports" : ""}`;
  $("more").hidden = shown.length === found.length;
  $("more").textContent = `Show all ${countText(found.length)}`;
}

function matchesRow(row) {
  if (state.group === "line") return row.place.text.includes(state.search);
  const { file, name } = row.place;
  return (state.group === "file" ? file : `${name} ${file}`).toLowerCase().includes(state.search);
}

// ---- the rest ----------------------------------------------------------------------------------------------------

function draw() {
  tree = makeTree(model, options);
  rows = makeRows(tree, state.group);
  drawTable();
  drawGraph();
}

function fillFiles() {
  const whole = makeRows(makeTree(model, options), "file").sort((a, b) => b.total[0] - a.total[0]);
  const all = element("option", "all files");
  all.value = "";
  $("file").replaceChildren(all, ...whole.slice(0, 500).map((row) => {
    const file = row.place.file;
    const short = file.length > 60 ? `…${file.slice(-59)}` : file;
    const choice = element("option", `${short}  ${sizeText(row.total[0])}`);
    choice.value = file;
    return choice;
  }));
}

function sideFacts(side) {
  const part = side.selected || side.total;
  const facts = element("span");
  facts.append(element("b", `${side.incomplete ? "at least " : ""}${sizeText(part.size)}`), ` in `, element("b", countText(part.count)),
    ` blocks${side.selected ? " (selected by filters)" : ""}, peak ${sizeText(side.total.peak)}`);
  if (side.total.lost) facts.append(`, ${countText(side.total.lost)} allocations lost`);
  return facts;
}

function drawFacts() {
  const [now, before] = model.sides;
  $("title").textContent = model.compares ? `${now.source}, compared with ${before.source}` : now.source;
  document.title = `tm: ${$("title").textContent}`;
  $("facts").append(sideFacts(now), ` · ${now.frame_limit} frame${now.frame_limit === 1 ? "" : "s"} of each traceback`);
  if (before) $("facts").append(element("br"), "before: ", sideFacts(before));
  if (model.folded) $("facts").append(` · ${countText(model.folded)} frames are too small or too deep to draw, and added up`);
  const notes = model.sides.flatMap((side) => side.incomplete || []);
  if (notes.length) {
    const list = element("ul");
    list.append(...notes.map((note) => element("li", note)));
    $("warning").append("These numbers are a lower bound: part of the table is missing.", list);
    $("warning").hidden = false;
  }
}

function later(action, delay) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, delay);
  };
}

function listen() {
  const search = later(() => {
    state.search = $("search").value.trim().toLowerCase();
    state.chosen = null;
    drawTable();
    mark();
  }, 120);
  $("search").addEventListener("input", search);
  $("file").addEventListener("change", (event) => { options.file = event.target.value; draw(); });
  $("metric").addEventListener("change", (event) => { options.metric = Number(event.target.value); draw(); });
  $("show").addEventListener("change", (event) => { options.show = event.target.value; draw(); });
  $("imports").addEventListener("change", (event) => { options.hideImports = event.target.checked; draw(); });
  $("upright").addEventListener("change", (event) => { state.up = event.target.checked; drawGraph(); });
  $("group").addEventListener("change", (event) => { state.group = event.target.value; state.chosen = null; draw(); });
  $("more").addEventListener("click", () => { state.all = true; drawTable(); });
  $("reset").addEventListener("click", () => chart && chart.resetZoom());
  $("theme").addEventListener("click", () => {
    setTheme(THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]);
    drawGraph();
  });
  prefersDark.addEventListener("change", () => { setTheme(theme); drawGraph(); });
  window.addEventListener("resize", later(drawGraph, 150));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && chart) chart.resetZoom();
    if (event.key === "/" && !["INPUT", "SELECT"].includes(document.activeElement.tagName)) {
      event.preventDefault();
      $("search").focus();
    }
  });
}

setTheme("auto");
document.querySelectorAll(".diff").forEach((one) => { one.hidden = !model.compares; });
$("imports").disabled = !hasImports;
$("imports").checked = hasImports;
drawFacts();
fillFiles();
listen();
draw();
