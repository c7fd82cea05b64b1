// Find my builder: every builder of the selection; its name opens its life.
import { useMemo } from "preact/hooks";
import { count, counted, hours, usd } from "./format.js";
import { colourOfState } from "./charts.jsx";
import { countBuilders, missesLastMonth } from "./model.js";
import { getSelection } from "./selection.js";
import { choose, useChoice } from "./store.js";
import { Table } from "./table.jsx";
import { Breakable } from "./text.jsx";

export function Find({ model }) {
  const state = useChoice();
  const { builders, present } = getSelection(model, state);
  const columns = useMemo(() => listColumns(model), [model]);
  const found = state.state === "gone" ? builders : present;
  const rows = found.filter((builder) => !builder.isLeftOut);
  const gone = countBuilders(builders) - countBuilders(found);
  return (
    <section id="find">
      <h2>Find a builder</h2>
      {model.facts.left_out > 0 && <p class="note">This page lists {count(model.facts.listed)} builders: those that are up, then those that cost the
        most. {counted(model.facts.left_out, "other")} are in every sum, count and chart, but in no list, and the search finds only their account, region,
        state and type. Find them with <code>appstream-export query what_we_have</code>.</p>}
      <Table caption={`${counted(countBuilders(found), "builder")}; the name opens its states, cost, errors, network and changes`} columns={columns}
        rows={rows} leftOut={countBuilders(found) - rows.length} sort={[{ id: model.facts.is_priced ? "month" : "running_hours_at_least", desc: true }]} none="No builder matches these filters." />
      {gone > 0 && <p><button type="button" class="link" onClick={() => choose({ state: "gone" })}>{counted(gone, "builder")} that {gone === 1 ? "is" : "are"} gone</button>{" "}
        {gone === 1 ? "is" : "are"} not listed. {gone === 1 ? "Its" : "Their"} cost is counted.</p>}
    </section>
  );
}

export const State = ({ builder }) => (
  <span class="state"><svg width="10" height="10" aria-hidden="true"><circle cx="5" cy="5" r="5" fill={colourOfState(builder.shown_state)} /></svg>
    {builder.shown_state}{builder.is_stale ? " (as last seen)" : ""}</span>
);

export const Name = ({ builder }) => (
  <button type="button" class="link name" onClick={() => choose({ life: builder.image_builder_key ?? keyOf(builder) })}>{builder.name}</button>
);

export const keyOf = (builder) => `${builder.account_id}/${builder.region}/${builder.name}`;

export const NAME = { id: "name", title: "name", of: (b) => b.name, show: (b) => <Name builder={b} /> };
export const ACCOUNT = { id: "account", title: "account", of: (b) => b.account.title };
export const REGION = { id: "region", title: "region", of: (b) => b.region };
export const STATE = { id: "state", title: "state", of: (b) => b.shown_state, show: (b) => <State builder={b} /> };

function listColumns(model) {
  const { facts } = model;
  const money = (id, title) => ({ id, title, isNumber: true, of: (b) => b[id], show: (b) => usd(b[id]) });
  return [NAME, ACCOUNT, REGION, STATE,
    { id: "type", title: "instance type", of: (b) => b.instance_type ?? undefined, show: (b) => <Breakable text={b.instance_type} /> },
    { id: "running_hours_at_least", title: "hours up, unbroken", isNumber: true, of: (b) => b.running_hours_at_least, show: (b) => hours(b.running_hours_at_least) },
    ...(facts.is_priced ? [money("usd_per_day", "a day now"), money("month", "this month"), ...(missesLastMonth(model) ? [] : [money("last_month", "last month")])] : []),
    { id: "errors", title: "errors", isNumber: true, of: (b) => b.errors.length || undefined },
    { id: "exposed", title: "exposed by", of: (b) => b.ways.join(", ") || undefined }];
}
