// What changed since last week.
import { useMemo } from "preact/hooks";
import { count, counted, time } from "./format.js";
import { ACCOUNT, NAME, REGION } from "./find.jsx";
import { getSelection } from "./selection.js";
import { useChoice } from "./store.js";
import { Table } from "./table.jsx";

const of = (name) => (row) => row.builder[name];
const COLUMNS = [
  { id: "at", title: "seen at", isNumber: true, of: (row) => row.at, show: (row) => time(row.at) },
  { ...NAME, of: of("name"), show: (row) => NAME.show(row.builder) },
  { ...ACCOUNT, of: (row) => row.builder.account.title },
  { ...REGION, of: of("region") },
  { id: "change", title: "change", of: (row) => row.change, show: (row) => (row.what ? row.what.replaceAll("_", " ") : row.change) },
  { id: "before", title: "before", of: (row) => row.before ?? undefined, show: (row) => row.before },
  { id: "after", title: "after", of: (row) => row.after ?? undefined, show: (row) => row.after },
];

export function Changes({ model }) {
  const state = useChoice();
  const { builders } = getSelection(model, state);
  const all = useMemo(() => listChanges(model), [model]);
  const chosen = new Set(builders);
  const rows = all.filter((row) => chosen.has(row.builder));
  const older = (model.changes.found[0] ?? 0) - model.changes.rows;
  const kinds = ["created", "deleted", "changed", "ended"].map((kind) => [kind, rows.filter((row) => row.change === kind)])
    .filter(([, found]) => found.length);
  return (
    <section id="changes">
      <h2>What changed since last week</h2>
      <p>{kinds.length ? kinds.map(([kind, found]) => `${counted(new Set(found.map((row) => row.builder)).size, "builder")} ${kind}`).join(", ") : "Nothing"} in
        the last 8 days.{older > 0 && <> {count(older)} older changes are left out here: open a builder to see its own.</>}</p>
      <Table caption={counted(rows.length, "change")} columns={COLUMNS} rows={rows} page={10} sort={{ id: "at", desc: true }} none="Nothing has changed." />
    </section>
  );
}

function listChanges({ changes, builders }) {
  return Array.from({ length: changes.rows }, (_, row) => ({
    builder: builders[changes.builder[row]], at: changes.seen_at[row], change: changes.change[row], what: changes.what[row],
    before: changes.old_value[row], after: changes.new_value[row],
  }));
}
