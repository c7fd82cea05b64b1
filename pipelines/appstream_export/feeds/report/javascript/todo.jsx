// What needs doing: lists of builders, each with the reason and what acting on it brings.
import { useMemo } from "preact/hooks";
import { count, counted, hours, time, usd } from "./format.js";
import { isKnown } from "./filters.jsx";
import { ACCOUNT, NAME, REGION, STATE } from "./find.jsx";
import { countBuilders, NEEDS } from "./model.js";
import { getSelection } from "./selection.js";
import { choose, useChoice } from "./store.js";
import { SwitchOn } from "./switch_on.jsx";
import { Table } from "./table.jsx";
import { Breakable } from "./text.jsx";

const number = (id, title, of, show = hours) => ({ id, title, isNumber: true, of, show: (b) => show(of(b)) });
const text = (id, title, of, show) => ({ id, title, of: (b) => of(b) || undefined, show: show ?? ((b) => of(b)) });
const code = (id, title, of) => text(id, title, of, (b) => <Breakable text={of(b)} />);
const sum = (rows, of) => rows.reduce((total, b) => total + (of(b) ?? 0) * b.number, 0);

// Of each list: what acting on it brings, what its builders have in common, and its columns.
const DETAILS = {
  up: { brings: (rows) => `stopping them saves ${usd(sum(rows, (b) => b.usd_per_hour * 24))} a day`, isPriced: true,
    columns: [number("hours", "hours up, at least", (b) => b.running_hours_at_least), number("usd", "cost so far", (b) => b.running_usd_at_least, usd), number("rate", "cost an hour", (b) => b.usd_per_hour, usd)] },
  disk: { brings: (rows) => `deleting them saves ${usd(sum(rows, (b) => b.disk_usd_per_month))} a month`, isPriced: true,
    columns: [number("gb", "disk, GB", (b) => b.root_volume_size_gb, count), number("usd", "cost a month", (b) => b.disk_usd_per_month, usd),
      text("since", "last seen up", (b) => time(b.last_up_at) || "not seen up")] },
  exposed: { brings: (rows) => `${count(sum(rows, (b) => b.is_running))} of them are up`, common: (b) => b.ways,
    columns: [number("number", "ways", (b) => b.ways.length, count), text("ways", "in or out by", (b) => b.ways.join(", "))] },
  image: { common: (b) => [b.image_name],
    columns: [number("age", "days old", (b) => b.image?.age, count), text("gone", "image", (b) => (b.image?.isGone ? "is gone" : b.image?.owner)), code("image", "its name", (b) => b.image_name)] },
  agent: { common: (b) => [b.appstream_agent_version],
    columns: [number("age", "days old", (b) => b.agent_age_days, count), text("version", "agent", (b) => b.appstream_agent_version)] },
  stuck: { common: (b) => [b.state],
    columns: [number("hours", "hours in it, at least", (b) => b.state_hours), text("since", "since", (b) => time(b.state_since))] },
  failing: { common: (b) => [...new Set(b.errors.map((error) => error.code))],
    columns: [number("times", "times failed", (b) => b.times_failed, count), code("codes", "error codes", (b) => [...new Set(b.errors.map((error) => error.code))].join(", ")),
      text("message", "newest message", (b) => b.errors.at(-1)?.message)] },
  price: { brings: () => "their cost is counted as far as it is known", common: (b) => [`${b.instance_type ?? "unknown type"} in ${b.region}`],
    columns: [text("type", "instance type", (b) => b.instance_type), text("platform", "platform", (b) => b.platform), number("gb", "disk, GB", (b) => b.root_volume_size_gb, count)] },
};
const COMMON_MAX = 6;

export function Todo({ model }) {
  const state = useChoice();
  const { present, over } = getSelection(model, state);
  const lists = NEEDS.filter((need) => isKnown(model, need))
    .map((need) => ({ ...need, ...DETAILS[need.id], found: present.filter((builder) => need.test(builder, over)) }));
  const empty = lists.filter((list) => !list.found.length);
  return (
    <section id="todo">
      <h2>What needs doing</h2>
      <label class="inline">Idle means up for at least{" "}
        <input type="number" min="1" max="10000" value={state.over} onInput={(event) => event.currentTarget.value > 0 && choose({ over: event.currentTarget.value })} /> hours
      </label>
      {model.facts.off.builder_images && <SwitchOn model={model} needs={model.facts.off.builder_images} what="Age of images" />}
      {lists.filter((list) => list.found.length).map((list) => <List key={list.id} model={model} list={list} over={over} chosen={state.needs} />)}
      {empty.length > 0 && <p class="none">No builder is {empty.map((list) => list.none).join(", ")}.</p>}
    </section>
  );
}

function List({ model, list, over, chosen }) {
  const columns = useMemo(() => [NAME, ACCOUNT, REGION, STATE, ...list.columns], [list.id]);
  const sort = useMemo(() => [{ id: columns[4].id, desc: true }, ...(list.id === "up" ? [{ id: "rate", desc: true }] : [])], [list.id]);
  const rows = list.found.filter((builder) => !builder.isLeftOut);
  const number = countBuilders(list.found);
  const brings = list.brings && (model.facts.is_priced || !list.isPriced) ? `; ${list.brings(list.found)}` : "";
  return (
    <div class="todo" id={`todo-${list.id}`}>
      <div class="heading">
        <h3>{list.title(over)}: {count(number)}</h3>
        {chosen !== list.id && <button type="button" class="link" onClick={() => choose({ needs: list.id, to: undefined })}
          aria-label={`Show only these: ${list.title(over)}`}>Show only these</button>}
      </div>
      {list.common && <p class="common">{countCommon(list)}</p>}
      <Table caption={counted(number, "builder") + brings} columns={columns} rows={rows} page={5} sort={sort} leftOut={number - countBuilders(rows)} />
    </div>
  );
}

// What most of them have in common: error codes, images, ways in.
function countCommon({ found, common }) {
  const counts = new Map();
  for (const builder of found) for (const value of common(builder)) if (value) counts.set(value, (counts.get(value) ?? 0) + builder.number);
  const most = [...counts].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
  const rest = most.length - COMMON_MAX;
  return <>{most.slice(0, COMMON_MAX).map(([value, number], place) => (
    <span key={value}>{place > 0 && ", "}<Breakable text={value} /> <strong>{count(number)}</strong></span>
  ))}{rest > 0 && `, and ${count(rest)} others`}</>;
}
