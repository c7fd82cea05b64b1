// What did we not see?
import { useMemo } from "preact/hooks";
import { count, counted, time } from "./format.js";
import { getSelection } from "./selection.js";
import { useChoice } from "./store.js";
import { Table } from "./table.jsx";
import { Breakable } from "./text.jsx";

const SIGHTS = ["seen", "failed", "not requested", "expected", "skipped"];
const RESOURCE = { id: "resource", title: "resource", of: (row) => row.resource, show: (row) => <Breakable text={row.resource} /> };
const NUMBERS = SIGHTS.map((sight) => ({ id: sight.replace(" ", "_"), title: sight, isNumber: true, of: (row) => row[sight], show: (row) => count(row[sight]) }));
const FAILED = [
  { id: "account", title: "account", of: (s) => s.account.title },
  { id: "region", title: "region", of: (s) => s.region },
  RESOURCE,
  { id: "status", title: "status", of: (s) => (s.sight === "not requested" ? s.sight : s.status) },
  { id: "reason", title: "reason", of: (s) => s.reason ?? undefined, show: (s) => <Breakable text={s.reason} /> },
  { id: "seen", title: "last seen", isNumber: true, of: (s) => s.observed_at, show: (s) => time(s.observed_at) || "never" },
  { id: "builders", title: "builders shown as last seen", isNumber: true, of: (s) => s.builders, show: (s) => count(s.builders) },
];
const EXPECTED = [
  { id: "region", title: "region", of: (g) => g.region },
  RESOURCE,
  { id: "status", title: "status", of: (g) => g.status },
  { id: "accounts", title: "accounts", isNumber: true, of: (g) => g.accounts, show: (g) => count(g.accounts) },
  { id: "reason", title: "such as", of: (g) => g.reason ?? undefined, show: (g) => <Breakable text={g.reason} /> },
];

const LONGEST = [{ id: "seen", desc: false }];
const MOST_ACCOUNTS = [{ id: "accounts", desc: true }];

export function Unseen({ model }) {
  const state = useChoice();
  const selection = getSelection(model, state);
  const { scopes, present } = selection;
  const failed = useMemo(() => listFailed(scopes, present), [selection]);
  const expected = useMemo(() => groupExpected(scopes), [selection]);
  const resources = useMemo(() => countSights(scopes), [selection]);
  const incomplete = useMemo(() => resources.filter((row) => row.seen + row.expected < row.scopes), [resources]);
  const columns = useMemo(() => [RESOURCE, { id: "scopes", title: "scopes", isNumber: true, of: (row) => row.scopes, show: (row) => count(row.scopes) },
    ...NUMBERS.filter((column) => incomplete.some((row) => row[column.title]))], [incomplete]);
  return (
    <section id="unseen">
      <h2>What did we not see?</h2>
      <p>A scope is a resource of an account in a region. {counted(scopes.length, "scope")}: {SIGHTS.map((sight) => [sight, scopes.filter((s) => s.sight === sight).length])
        .filter(([, found]) => found).map(([sight, found]) => `${count(found)} ${sight}`).join(", ") || "none"}.
        {" "}Filters by account, label and region select scopes; others do not.</p>
      {resources.length > 1 && incomplete.length > 0 && <Table caption={`${counted(incomplete.length, "resource")} that did not answer wherever an answer was expected; ${count(resources.length - incomplete.length)} did`}
        columns={columns} rows={incomplete} page={5} />}
      <h3>Not seen: {count(failed.length)}</h3>
      <Table caption="Their rows, if any, are shown as they were last seen" columns={FAILED} rows={failed} page={10}
        sort={LONGEST} none="Every requested scope has answered." />
      {expected.length > 0 && <>
        <h3>No answer was expected: {count(scopes.filter((scope) => scope.sight === "expected").length)}</h3>
        <Table caption="Not counted as failures" columns={EXPECTED} rows={expected} page={5} sort={MOST_ACCOUNTS} />
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

// Scopes of each resource, by what was seen of them.
function countSights(scopes) {
  const sums = new Map();
  for (const { resource, sight } of scopes) {
    if (!sums.has(resource)) sums.set(resource, { resource, scopes: 0, ...Object.fromEntries(SIGHTS.map((known) => [known, 0])) });
    const row = sums.get(resource);
    row.scopes += 1;
    row[sight] += 1;
  }
  return [...sums.values()].sort((a, b) => b.failed - a.failed || b["not requested"] - a["not requested"] || a.resource.localeCompare(b.resource));
}
