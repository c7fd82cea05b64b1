// Bundles main.jsx with its npm packages into ../page.js, and their licences into ../page.licenses.txt.
// The first line of the bundle holds the digest of its sources, so that a test without npm can say when it is stale.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const SOURCES = readdirSync(".").filter((name) => /\.(mjs|js|jsx)$|^package-lock\.json$/.test(name)).sort();
const ALLOWED = new Set(["0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT"]);

const digest = createHash("sha256");
for (const name of SOURCES) digest.update(readFileSync(name));

const { outputFiles, metafile } = await build({
  entryPoints: ["main.jsx"],
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

// Only packages with a file in the bundle are shipped, so only their licences are.
const inputs = Object.entries(metafile.outputs).flatMap(([, output]) =>
  Object.entries(output.inputs).filter(([, part]) => part.bytesInOutput > 0).map(([path]) => path));
const folders = [...new Set(inputs.map((path) => path.match(/^.*node_modules\/(?:@[^/]+\/)?[^/]+/)?.[0]))];
const notices = folders.filter(Boolean).sort().map(describeLicense);

// "</script" ends a script element wherever it stands, in a string of JavaScript too; "<!--" begins a comment there.
const code = outputFiles[0].text.replaceAll("</script", "<\\/script").replaceAll("<!--", "<\\!--").trimEnd();
writeFileSync("../page.js", `/* sources: sha256 ${digest.digest("hex")}; licenses: page.licenses.txt */\n${code}\n`);
writeFileSync("../page.licenses.txt", notices.join(`\n${"-".repeat(80)}\n\n`));

function describeLicense(folder) {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  if (!ALLOWED.has(license)) throw new Error(`${name} ${version}: license ${license} is not one of ${[...ALLOWED].join(", ")}`);
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  const text = file ? readFileSync(join(folder, file), "utf8").trim() : "(the package contains no license file)";
  return `${name} ${version} (${license})\n\n${text}\n`;
}
