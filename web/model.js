// SPDX-License-Identifier: MIT
// What the page computes, without a page: trees and tables out of the data that tm has put there.

const IMPORTS = /^<frozen (importlib|zipimport)|[\\/]importlib[\\/](__init__|_bootstrap|_bootstrap_external)\.py$|^<frozen runpy>$/;
const LIBRARY = /^<frozen |[\\/]lib(64)?[\\/]python\d[\d.]*t?[\\/](?!(site|dist)-packages[\\/])/;
const PACKAGES = /[\\/](site|dist)-packages[\\/]/;

// Frames of the import system say how a module was found, not who wants the memory.
export function isImport(place) {
  return IMPORTS.test(place.file);
}

export function kindOf(place) {
  if (!place || place.file === "<unknown>") return "other";
  if (isImport(place)) return "other";
  if (PACKAGES.test(place.file)) return "package";
  return LIBRARY.test(place.file) ? "library" : "own";
}

export function baseName(file) {
  return file.slice(Math.max(file.lastIndexOf("/"), file.lastIndexOf("\\")) + 1);
}

// Data as tm writes it: places are [file, line, function, source], nodes [parent, place, size, count, and both before].
export function read(data) {
  const places = data.places.map(([file, line, name, source]) => ({ file, line, name, source: source || "" }));
  for (const place of places) {
    const where = `${baseName(place.file)}:${place.line}`;
    place.label = place.name ? `${place.name} (${where})` : where;
    place.text = `${place.name} ${place.file}:${place.line} ${place.source}`.toLowerCase();
    place.kind = kindOf(place);
  }
  const compares = data.sides.length > 1;
  const nodes = data.nodes.map(([parent, place, ...own]) => ({ parent, place, own: compares ? own : [own[0], own[1], 0, 0] }));
  return { version: data.tm, sides: data.sides, folded: data.folded, compares, places, nodes };
}

function sum(into, from) {
  for (let i = 0; i < 4; i++) into[i] += from[i];
}

// The part of a node's own numbers that is drawn.
export function shownOf(own, { metric = 0, show = "now" }) {
  const now = own[metric];
  const before = own[2 + metric];
  switch (show) {
    case "before": return Math.max(0, before);
    case "grown": return Math.max(0, now - before);
    case "shrunk": return Math.max(0, before - now);
    default: return Math.max(0, now);
  }
}

// The tree to draw.  options: metric (0 bytes, 1 blocks), show, hideImports, file (only stacks that pass through it).
export function makeTree(model, options) {
  const make = (place, folded) => ({ place, folded, own: [0, 0, 0, 0], total: [0, 0, 0, 0], value: 0, children: [], byPlace: new Map() });
  const root = make(null, 0);
  const drawn = []; // per node of the model
  const inside = [];
  model.nodes.forEach((node, i) => {
    const place = node.place >= 0 && i ? model.places[node.place] : null;
    if (!i) {
      drawn.push(root);
      inside.push(!options.file);
      return;
    }
    let into = drawn[node.parent];
    inside.push(inside[node.parent] || (place !== null && place.file === options.file));
    if (!(place && options.hideImports && isImport(place))) {
      const key = place ? KEYS.line(place) : "";
      let child = into.byPlace.get(key);
      if (!child) {
        child = make(place, 0);
        into.byPlace.set(key, child);
        into.children.push(child);
      }
      if (!place) child.folded -= node.place;
      into = child;
    }
    drawn.push(into);
    if (inside[i]) sum(into.own, node.own);
  });
  if (inside[0]) sum(root.own, model.nodes[0].own);
  finish(root, options);
  return root;
}

function finish(root, options) {
  const order = [root];
  for (let i = 0; i < order.length; i++) order.push(...order[i].children);
  for (const node of order.reverse()) {
    node.value = shownOf(node.own, options);
    node.total = node.own.slice();
    for (const child of node.children) {
      sum(node.total, child.total);
      node.value += child.value;
    }
    node.children = node.children.filter((child) => child.value > 0).sort((a, b) => b.value - a.value);
    node.name = node.place ? node.place.label : node.folded ? `${node.folded} more` : "all";
  }
}

const KEYS = {
  line: (place) => `${place.file}\n${place.line}`,
  function: (place) => `${place.file}\n${place.name}`,
  file: (place) => place.file,
};

// Rows of the table: own numbers, and totals in which a block counts once for each place of its stack, however often a
// recursion passes there.
export function makeRows(root, group) {
  const rows = new Map();
  const active = new Map();
  const visit = (node) => {
    let row = null;
    if (node.place) {
      const key = KEYS[group](node.place);
      row = rows.get(key);
      if (!row) {
        row = { key, place: node.place, own: [0, 0, 0, 0], total: [0, 0, 0, 0] };
        rows.set(key, row);
      }
      sum(row.own, node.own);
      const depth = active.get(key) || 0;
      if (!depth) sum(row.total, node.total);
      active.set(key, depth + 1);
    }
    for (const child of node.byPlace.values()) visit(child);
    if (row) active.set(row.key, active.get(row.key) - 1);
  };
  visit(root);
  return [...rows.values()];
}

export function keyOf(place, group) {
  return KEYS[group](place);
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

// As tm and tracemalloc write sizes.
export function sizeText(size, sign = false) {
  let unit = 0;
  let value = size;
  while (Math.abs(value) >= (unit ? 10 * 1024 : 10 * 1024) && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  const text = unit && Math.abs(value) < 100 ? value.toFixed(1) : Math.round(value).toString();
  return `${sign && size > 0 ? "+" : ""}${text.replace("-", "−")} ${UNITS[unit]}`;
}

export function countText(count, sign = false) {
  const text = Math.abs(count).toString().replace(/\B(?=(\d{3})+$)/g, " ");
  return `${count < 0 ? "−" : sign && count > 0 ? "+" : ""}${text}`;
}
