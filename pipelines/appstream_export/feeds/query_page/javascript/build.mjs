// Bundles main.jsx with the npm packages of the report into ../page.js, and their licences into ../page.licenses.txt.
// Run it in ../../report/javascript, which pins the packages: `just javascript` does.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
const REPORT = join(HERE, "../../report/javascript");
const SOURCES = [join(HERE, "build.mjs"), join(HERE, "main.jsx"), join(REPORT, "package-lock.json"), join(REPORT, "table.jsx"), join(REPORT, "format.js")];
const ALLOWED = new Set(["0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT"]);
const { build } = createRequire(join(REPORT, "package.json"))("esbuild");

const digest = createHash("sha256");
for (const name of SOURCES) digest.update(readFileSync(name));

const { outputFiles, metafile } = await build({
  absWorkingDir: REPORT,
  entryPoints: [join(HERE, "main.jsx")],
  nodePaths: [join(REPORT, "node_modules")],
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

const inputs = Object.values(metafile.outputs).flatMap((output) =>
  Object.entries(output.inputs).filter(([, part]) => part.bytesInOutput > 0).map(([path]) => path));
const unlisted = inputs.filter((path) => !path.includes("node_modules") && !SOURCES.includes(join(REPORT, path)));
if (unlisted.length) throw new Error(`add to SOURCES: ${unlisted}`);
const folders = [...new Set(inputs.map((path) => path.match(/^.*node_modules\/(?:@[^/]+\/)?[^/]+/)?.[0]))];
const notices = folders.filter(Boolean).sort().map(describeLicense);

// "</script" ends a script element wherever it stands, in a string of JavaScript too; "<!--" begins a comment there.
const code = outputFiles[0].text.replaceAll("</script", "<\\/script").replaceAll("<!--", "<\\!--").trimEnd();
writeFileSync(join(HERE, "../page.js"), `/* sources: sha256 ${digest.digest("hex")}; licenses: page.licenses.txt */\n${code}\n`);
writeFileSync(join(HERE, "../page.licenses.txt"), notices.join(`\n${"-".repeat(80)}\n\n`));

function describeLicense(folder) {
  const { name, version, license } = JSON.parse(readFileSync(join(REPORT, folder, "package.json"), "utf8"));
  if (!ALLOWED.has(license)) throw new Error(`${name} ${version}: license ${license} is not one of ${[...ALLOWED].join(", ")}`);
  const file = readdirSync(join(REPORT, folder)).find((entry) => /^licen[cs]e/i.test(entry));
  const text = file ? readFileSync(join(REPORT, folder, file), "utf8").trim() : "(the package contains no license file)";
  return `${name} ${version} (${license})\n\n${text}\n`;
}
