// What did we not see?
import { useMemo } from "preact/hooks";
import { buildBarChart, Chart, colourOfSight, Legend } from "./charts.jsx";
import { count, counted, time } from "./format.js";
import { getSelection } from "./selection.js";
import { useChoice } from "./store.js";
import { Table } from "./table.jsx";

const SIGHTS = ["seen", "failed", "not requested", "expected", "skipped"];
const FAILED = [
  { id: "account", title: "account", of: (s) => s.account.title },
  { id: "region", title: "region", of: (s) => s.region },
  { id: "resource", title: "resource", of: (s) => s.resource },
  { id: "status", title: "status", of: (s) => (s.sight === "not requested" ? s.sight : s.status) },
  { id: "reason", title: "reason", of: (s) => s.reason ?? undefined, show: (s) => s.reason },
  { id: "seen", title: "last seen", isNumber: true, of: (s) => s.observed_at, show: (s) => time(s.observed_at) || "never" },
  { id: "builders", title: "builders shown as last seen", isNumber: true, of: (s) => s.builders, show: (s) => count(s.builders) },
];
const EXPECTED = [
  { id: "region", title: "region", of: (g) => g.region },
  { id: "resource", title: "resource", of: (g) => g.resource },
  { id: "status", title: "status", of: (g) => g.status },
  { id: "accounts", title: "accounts", isNumber: true, of: (g) => g.accounts, show: (g) => count(g.accounts) },
  { id: "reason", title: "such as", of: (g) => g.reason },
];

export function Unseen({ model }) {
  const state = useChoice();
  const selection = getSelection(model, state);
  const { scopes, present } = selection;
  const failed = useMemo(() => listFailed(scopes, present), [selection]);
  const expected = useMemo(() => groupExpected(scopes), [selection]);
  const bars = useMemo(() => countSights(scopes), [selection]);
  const kinds = SIGHTS.filter((sight) => bars.some((bar) => bar.kind === sight));
  return (
    <section id="unseen">
      <h2>What did we not see?</h2>
      <p>A scope is a resource of an account in a region. {counted(scopes.length, "scope")}: {SIGHTS.map((sight) => [sight, scopes.filter((s) => s.sight === sight).length])
        .filter(([, found]) => found).map(([sight, found]) => `${count(found)} ${sight}`).join(", ") || "none"}.
        {" "}Search, state, type and tags do not select scopes.</p>
      {bars.length > 0 && <>
        <Legend entries={kinds.map((kind) => [kind, colourOfSight(kind)])} />
        <Chart label="Chart: scopes by resource and outcome. The numbers are in the text above." deps={[selection]}
          build={(width) => buildBarChart(bars, kinds, kinds.map(colourOfSight), { width, unit: "scopes" })} />
      </>}
      <h3>Not seen: {count(failed.length)}</h3>
      <Table caption="Their rows, if any, are shown as they were last seen" columns={FAILED} rows={failed} page={10}
        sort={{ id: "seen", desc: false }} none="Every requested scope has answered." />
      {expected.length > 0 && <>
        <h3>No answer was expected: {count(scopes.filter((scope) => scope.sight === "expected").length)}</h3>
        <Table caption="Not counted as failures" columns={EXPECTED} rows={expected} page={5} sort={{ id: "accounts", desc: true }} />
      </>}
    </section>
  );
}

function listFailed(scopes, present) {
  const stale = new Map();
  for (const b of present) if (b.is_stale) stale.set(`${b.account_id}/${b.region}`, (stale.get(`${b.account_id}/${b.region}`) ?? 0) + 1);
  return scopes.filter((scope) => scope.sight === "failed" || scope.sight === "not requested").map((scope) => ({
    ...scope, builders: scope.resource === "image_builders" ? stale.get(`${scope.account_id}/${scope.region}`) ?? 0 : 0 }));
}

function groupExpected(scopes) {
  const groups = new Map();
  for (const scope of scopes) {
    if (scope.sight !== "expected") continue;
    const key = `${scope.region}/${scope.resource}/${scope.status}`;
    if (!groups.has(key)) groups.set(key, { region: scope.region, resource: scope.resource, status: scope.status, reason: scope.reason, accounts: 0 });
    groups.get(key).accounts += 1;
  }
  return [...groups.values()];
}

function countSights(scopes) {
  const sums = new Map();
  for (const scope of scopes) {
    const key = `${scope.resource}/${scope.sight}`;
    if (!sums.has(key)) sums.set(key, { name: scope.resource.replaceAll("_", " "), kind: scope.sight, value: 0 });
    sums.get(key).value += 1;
  }
  return [...sums.values()].sort((a, b) => (a.name === "image builders" ? -1 : b.name === "image builders" ? 1 : a.name.localeCompare(b.name)));
}
