// What changed since last week.
import { useMemo } from "preact/hooks";
import { count, counted, time } from "./format.js";
import { ACCOUNT, NAME, REGION } from "./find.jsx";
import { getSelection } from "./selection.js";
import { choose, useChoice } from "./store.js";
import { Table } from "./table.jsx";
import { Breakable, formatValue } from "./text.jsx";

const of = (name) => (row) => row.builder[name];
const COLUMNS = [
  { id: "at", title: "seen at", isNumber: true, of: (row) => row.at, show: (row) => time(row.at) },
  { ...NAME, of: of("name"), show: (row) => NAME.show(row.builder) },
  { ...ACCOUNT, of: (row) => row.builder.account.title },
  { ...REGION, of: of("region") },
  { id: "change", title: "change", of: (row) => row.kind },
  { id: "before", title: "before", of: (row) => row.before ?? undefined, show: (row) => <Breakable text={formatValue(row.before)} /> },
  { id: "after", title: "after", of: (row) => row.after ?? undefined, show: (row) => <Breakable text={formatValue(row.after)} /> },
];

const SORT = [{ id: "at", desc: true }];

export function Changes({ model }) {
  const state = useChoice();
  const { builders } = getSelection(model, state);
  const all = useMemo(() => listChanges(model), [model]);
  const chosen = new Set(builders);
  const found = all.filter((row) => chosen.has(row.builder));
  const counts = new Map();
  for (const row of found) counts.set(row.kind, (counts.get(row.kind) ?? 0) + 1);
  const rows = state.change ? found.filter((row) => row.kind === state.change) : found;
  const older = (model.changes.found[0] ?? 0) - model.changes.rows;
  const kinds = ["created", "deleted", "changed", "ended"].map((kind) => [kind, new Set(found.filter((row) => row.change === kind).map((row) => row.builder)).size])
    .filter(([, builders]) => builders);
  return (
    <section id="changes">
      <h2>What changed since last week</h2>
      <p>{kinds.length ? kinds.map(([kind, number]) => `${counted(number, "builder")} ${kind}`).join(", ") : older > 0 ? "None of these builders" : "Nothing"} in
        the {older > 0 ? `newest ${count(model.changes.rows)} changes` : "last 8 days"}.{older > 0 && <> {count(older)} more of the last 8 days are
        left out here: open a builder to see its own.</>}</p>
      {(counts.size > 1 || state.change) && <label class="inline">Change{" "}
        <select value={state.change ?? ""} onChange={(event) => choose({ change: event.currentTarget.value || undefined })}>
          <option value="">All ({count(found.length)})</option>
          {state.change && !counts.has(state.change) && <option value={state.change}>{state.change} (0)</option>}
          {[...counts].sort((a, b) => b[1] - a[1]).map(([kind, number]) => <option key={kind} value={kind}>{kind} ({count(number)})</option>)}
        </select>
      </label>}
      <Table caption={counted(rows.length, "change")} columns={COLUMNS} rows={rows} page={10} sort={SORT} none={older > 0 ? "Changes of these builders, if any, are among those that are left out." : "Nothing has changed."} />
    </section>
  );
}

function listChanges({ changes, builders }) {
  return Array.from({ length: changes.rows }, (_, row) => ({
    builder: builders[changes.builder[row]], at: changes.observed_at[row], change: changes.change[row],
    kind: changes.column_name[row]?.replaceAll("_", " ") ?? changes.change[row],
    before: changes.old_value[row], after: changes.new_value[row],
  }));
}
