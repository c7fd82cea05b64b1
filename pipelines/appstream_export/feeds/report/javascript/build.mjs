// Bundles a page's entry with its npm packages, and writes their licences beside it: node build.mjs ENTRY OUTPUT.
// The first line of the bundle names its sources with their digest, so that a test without npm can say when it is stale.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { build } from "esbuild";

const ALLOWED = new Set(["0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT"]);
const [entry, output] = process.argv.slice(2);

const { outputFiles, metafile } = await build({
  entryPoints: [entry],
  nodePaths: [resolve("node_modules")], // for entries of other folders
  bundle: true,
  charset: "utf8",
  format: "iife",
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
  metafile: true,
  minify: true,
  target: "es2022",
  write: false,
});

const isPackaged = (path) => path.includes("node_modules/");
const sources = ["build.mjs", "package-lock.json", ...Object.keys(metafile.inputs).filter((path) => !isPackaged(path))].sort();
const digest = createHash("sha256");
for (const path of sources) digest.update(readFileSync(path));

// Only packages with a file in the bundle are shipped, so only their licences are.
const shipped = Object.values(metafile.outputs).flatMap(({ inputs }) =>
  Object.entries(inputs).filter(([path, part]) => isPackaged(path) && part.bytesInOutput > 0).map(([path]) => path));
const folders = [...new Set(shipped.map((path) => path.match(/^.*node_modules\/(?:@[^/]+\/)?[^/]+/)[0]))].sort();

// "</script" ends a script element wherever it stands, in a string of JavaScript too; "<!--" begins a comment there.
const code = outputFiles[0].text.replaceAll("</script", "<\\/script").replaceAll("<!--", "<\\!--").trimEnd();
const licenses = output.replace(/\.js$/, ".licenses.txt");
const head = `/* sources: sha256 ${digest.digest("hex")} of ${sources.join(", ")}; licenses: page.licenses.txt */`;
writeFileSync(output, `${head}\n${code}\n`);
writeFileSync(licenses, folders.map(describeLicense).join(`\n${"-".repeat(80)}\n\n`));

function describeLicense(folder) {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  if (!ALLOWED.has(license)) throw new Error(`${name} ${version}: license ${license} is not one of ${[...ALLOWED].join(", ")}`);
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  const text = file ? readFileSync(join(folder, file), "utf8").trim() : "(the package contains no license file)";
  return `${name} ${version} (${license})\n\n${text}\n`;
}
