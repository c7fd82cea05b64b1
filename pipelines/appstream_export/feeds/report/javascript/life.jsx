// The life of one builder: facts, states, cost, errors, network and changes.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { buildDayChart, buildLifeChart, Chart, colourOfState, Legend } from "./charts.jsx";
import { count, hours, period, time, usd } from "./format.js";
import { keyOf, State } from "./find.jsx";
import { listDays, loadLife, missesLastMonth } from "./model.js";
import { choose, useChoice } from "./store.js";
import { Table } from "./table.jsx";
import { Breakable, formatValue } from "./text.jsx";

export function Life({ model }) {
  const state = useChoice();
  const dialog = useRef(null);
  const builder = useMemo(() => model.builders.find((b) => keyOf(b) === state.life), [state.life]);
  useEffect(() => {
    if (builder && !dialog.current.open) dialog.current.showModal();
    if (!builder && dialog.current.open) dialog.current.close();
  }, [builder]);
  const close = () => state.life && choose({ life: undefined });
  return (
    <dialog ref={dialog} id="life" aria-labelledby="life-name" onClose={close}>
      {builder && <Biography model={model} builder={builder} key={state.life} />}
    </dialog>
  );
}

const SORT = [{ id: "at", desc: true }];
const SORT_SPANS = [{ id: "from", desc: true }];
const LABELS = { instance: "instance", disk: "disk above 200 GB" };
const SPAN_COLUMNS = [
  { id: "from", title: "from", isNumber: true, of: (s) => s.at, show: (s) => time(s.at) },
  { id: "state", title: "state", of: (s) => s.after ?? "unknown", show: (s) => <State builder={{ shown_state: s.after ?? "unknown" }} /> },
  { id: "to", title: "to, at least", isNumber: true, of: (s) => s.at + s.lasted, show: (s) => time(s.at + s.lasted) },
  { id: "lasted", title: "lasted at least", isNumber: true, of: (s) => s.lasted, show: (s) => period(s.lasted) },
  { id: "gap", title: "then not seen for", isNumber: true, of: (s) => s.gap, show: (s) => (s.gap === null ? "" : period(s.gap)) },
  { id: "ended", title: "ended by", of: (s) => s.endedBy ?? undefined, show: (s) => (s.endedBy === "changed" ? "another state" : s.endedBy ?? "it lasts") },
];
const CHANGE_COLUMNS = [
  { id: "at", title: "seen at", isNumber: true, of: (c) => c.at, show: (c) => time(c.at) },
  { id: "what", title: "what", of: (c) => c.what, show: (c) => (c.what ?? "").replaceAll("_", " ") },
  { id: "before", title: "before", of: (c) => c.before ?? undefined, show: (c) => <Breakable text={formatValue(c.before)} /> },
  { id: "after", title: "after", of: (c) => c.after ?? undefined, show: (c) => <Breakable text={formatValue(c.after)} /> },
];
const ERROR_COLUMNS = [
  { id: "at", title: "at", isNumber: true, of: (e) => e.at, show: (e) => time(e.at) || "unknown" },
  { id: "code", title: "code", of: (e) => e.code, show: (e) => <Breakable text={e.code} /> },
  { id: "message", title: "message", of: (e) => e.message ?? undefined, show: (e) => e.message },
];

function Biography({ model, builder }) {
  const [life, setLife] = useState(null);
  useEffect(() => {
    loadLife(model, builder).then((loaded) => {
      setLife(loaded);
      document.body.dataset.life = keyOf(builder);
    });
  }, []);
  return (
    <>
      <form method="dialog"><button>Close</button></form>
      <h2 id="life-name">{builder.name}</h2>
      <p><State builder={builder} /> · {builder.account.title} · {builder.region}{builder.display_name ? ` · ${builder.display_name}` : ""}</p>
      <Facts model={model} builder={builder} />
      <h3>States</h3>
      {life ? <States model={model} life={life} /> : <p>…</p>}
      <h3>Cost</h3>
      <CostOfOne model={model} builder={builder} />
      <h3>Errors</h3>
      <Table caption="As AWS reports them now" columns={ERROR_COLUMNS} rows={builder.errors} page={10} sort={SORT} none="AWS reports no error on it." />
      <h3>Network</h3>
      <Network builder={builder} />
      <h3>Changes</h3>
      {life && <Table caption="Changes other than of its state" columns={CHANGE_COLUMNS} rows={life.changes ??= life.events.filter((e) => e.what !== "state")} page={10} none="No other change was seen." />}
      {life?.older > 0 && <p class="note">This page has its newest {count(model.facts.events_per_builder)} periods and changes; {count(life.older)} older ones are left out.
        All of them: <code>appstream-export query builder_life name={builder.name}</code></p>}
    </>
  );
}

function Facts({ model, builder }) {
  const image = builder.image_name;
  const age = builder.image?.isGone ? " (gone)" : builder.image?.age != null ? ` (${count(builder.image.age)} days old)` : "";
  const pairs = (values) => Object.entries(values ?? {}).map(([key, value]) => `${key}=${value}`).join(", ");
  return <Pairs pairs={[
    ["account", builder.account_id], ["instance type", builder.instance_type], ["platform", builder.platform],
    ["created", time(builder.created_time)], ["first seen", time(builder.first_observed_at)], ["last seen", time(builder.last_observed_at)],
    ["in this state since", builder.is_gone ? "" : time(builder.state_since)], ["ended by", builder.ended_by],
    ["image", image && image + age],
    ["agent", builder.appstream_agent_version && builder.appstream_agent_version + (builder.agent_age_days != null ? ` (${count(builder.agent_age_days)} days old)` : "")],
    ["disk", builder.root_volume_size_gb != null && `${count(builder.root_volume_size_gb)} GB`], ["description", builder.description],
    ["labels", pairs(builder.account.labels)],
    ["tags", builder.tags ? pairs(builder.tags) || "none" : model.facts.off.builder_tags ? "not exported: tags are off" : "not known"],
  ]} />;
}

function Network({ builder }) {
  const yes = (value) => (value === null ? "" : value ? "yes" : "no");
  if (builder.is_gone) return <p class="none">It is gone: its network is no longer known.</p>;
  return <Pairs pairs={[
    ["exposed by", builder.ways.join(", ") || "nothing"], ["default internet access", yes(builder.enable_default_internet_access)],
    ["IMDSv1", builder.disable_imdsv1 === null ? "" : builder.disable_imdsv1 ? "off" : "allowed"], ["private address", builder.eni_private_ip_address], ["subnets", builder.subnet_ids],
    ["security groups", builder.security_group_ids], ["VPC endpoints", builder.vpce_ids], ["IPv6 addresses", builder.ipv6_addresses || ""],
    ["IAM role", builder.iam_role_arn], ["domain", builder.directory_name],
  ]} />;
}

const Pairs = ({ pairs }) => (
  <dl class="pairs">{pairs.filter(([, value]) => value).map(([name, value]) => <div key={name} class={String(value).length > 20 ? "long" : undefined}><dt>{name}</dt><dd>{typeof value === "string" ? <Breakable text={value} /> : value}</dd></div>)}</dl>
);

function States({ model, life }) {
  const spans = (life.spans ??= life.events.filter((event) => event.what === "state"));
  if (!spans.length) return <p class="none">No state is known.</p>;
  const drawn = spans.map((span) => ({ state: span.after ?? "unknown", from: new Date(span.at * 1000), to: new Date((span.at + span.lasted) * 1000) }));
  const names = [...new Set(drawn.map((span) => span.state))];
  const from = new Date(Math.min(...drawn.map((span) => +span.from)));
  const to = new Date(Math.max(model.asOf, +from + 60000, ...drawn.map((span) => +span.to)));
  return (
    <>
      <Legend entries={names.map((name) => [name, colourOfState(name)])} />
      <Chart label="Chart: its states in time. The numbers follow." deps={[life]} build={(width) => buildLifeChart(drawn, { width, from, to })} />
      <p class="faint">Blank is what lies between two answers: the state changed at some time in it.</p>
      <Table caption="Periods in one state, in UTC" columns={SPAN_COLUMNS} rows={spans} page={10} sort={SORT_SPANS} />
    </>
  );
}

function CostOfOne({ model, builder }) {
  const { facts, days, dayCount } = model;
  const line = (values) => values.subarray(builder.place * dayCount, (builder.place + 1) * dayCount);
  const lines = facts.is_priced ? [[LABELS.instance, line(days.instance)], [LABELS.disk, line(days.disk)]] : [["hours up", line(days.up)]];
  const rows = listDays(model, lines);
  const names = lines.map(([name]) => name);
  const colours = ["var(--series-1)", "var(--series-2)"];
  return (
    <>
      <Pairs pairs={[
        ["this month", facts.is_priced && usd(builder.month)], ["last month", facts.is_priced && (missesLastMonth(model) ? "not seen" : usd(builder.last_month))],
        ["last 7 days", facts.is_priced && usd(builder.week)], ["a day now", facts.is_priced && usd(builder.usd_per_day)],
        ["an hour while up", facts.is_priced && !builder.is_gone && usd(builder.usd_per_hour)],
        ["hours up this month", hours(builder.month_hours)], ["up, unbroken", builder.is_running && `${hours(builder.running_hours_at_least)} hours${facts.is_priced ? `, ${usd(builder.running_usd_at_least)}` : ""}`],
      ]} />
      {builder.is_unpriced && <p class="note">A price is missing: costs are lower bounds.</p>}
      <Legend entries={names.map((name, place) => [name, colours[place]])} />
      <Chart label={`Chart: ${facts.is_priced ? "its cost" : "its hours up"} per day.`} deps={[builder]}
        build={(width) => buildDayChart(rows, names, colours, { width, isMoney: facts.is_priced, unit: "hours" })} />
    </>
  );
}
