// SPDX-License-Identifier: MIT
// node web/build.mjs FOLDER: makes FOLDER/page.html out of what lies here and of FOLDER/node_modules.  See tools/web.
import { createHash } from "node:crypto";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const out = path.resolve(process.argv[2]);
const packages = path.join(out, "node_modules");
const esbuild = createRequire(path.join(out, "package.json"))("esbuild");

const bundle = esbuild.buildSync({
  entryPoints: [path.join(here, "page.js")],
  nodePaths: [packages],
  bundle: true,
  minify: true,
  keepNames: true, // d3-flame-graph asks whether a constructor's name is "Node"
  format: "iife",
  target: "es2020",
  charset: "utf8",
  loader: { ".css": "empty" }, // it is in the style
  legalComments: "none", // all licences are in the page, in full
  metafile: true,
  write: false,
});
const script = bundle.outputFiles[0].text;

const style = esbuild.transformSync(
  readFileSync(path.join(packages, "d3-flame-graph/dist/d3-flamegraph.css"), "utf8") + readFileSync(path.join(here, "page.css"), "utf8"),
  { loader: "css", minify: true, charset: "utf8" },
).code;

// Each text once, with the packages that it is for.
function licences() {
  const names = new Set(Object.keys(bundle.metafile.inputs).map((file) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1]).filter(Boolean));
  const texts = new Map();
  for (const name of [...names].sort()) {
    const { version } = JSON.parse(readFileSync(path.join(packages, name, "package.json"), "utf8"));
    const text = readFileSync(path.join(packages, name, "LICENSE"), "utf8").trim();
    texts.set(text, [...(texts.get(text) ?? []), `${name} ${version}`]);
  }
  return [...texts].map(([text, of]) => `${of.join(", ")}\n\n${text}`).join("\n\n----\n\n");
}

const escape = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;");
const digest = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
// Nothing is loaded, nothing is sent, and no script runs but the one that was built here.
const policy = `default-src 'none'; script-src ${digest(script)}; style-src ${digest(style)}; base-uri 'none'; form-action 'none'`;

const parts = { CSP: policy, STYLE: style, LICENCES: escape(licences()), SCRIPT: script };
const page = readFileSync(path.join(here, "page.html"), "utf8").replace(/@(CSP|STYLE|LICENCES|SCRIPT)@/g, (_, name) => parts[name]);
if (page.split("@TM-DATA@").length !== 2 || /<\/script/i.test(script) || /<\/style/i.test(style)) throw new Error("the page cannot be put together");
writeFileSync(path.join(out, "page.html.new"), page);
renameSync(path.join(out, "page.html.new"), path.join(out, "page.html"));
