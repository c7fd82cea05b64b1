// What needs doing: lists of builders, each with the reason and what acting on it brings.
import { useMemo } from "preact/hooks";
import { count, counted, hours, time, usd } from "./format.js";
import { ACCOUNT, NAME, REGION, STATE } from "./find.jsx";
import { hasOldAgent, hasOldImage, isFailing, isIdle, isStuck, OLD_DAYS, paysForDiskOnly } from "./model.js";
import { getSelection } from "./selection.js";
import { choose, useChoice } from "./store.js";
import { SwitchOn } from "./switch_on.jsx";
import { Table } from "./table.jsx";

const number = (id, title, of, show = hours) => ({ id, title, isNumber: true, of, show: (b) => show(of(b)) });
const text = (id, title, of) => ({ id, title, of: (b) => of(b) || undefined, show: (b) => of(b) });

const LISTS = [
  { id: "up", title: (over) => `Up for ${over} hours or more`, test: isIdle, none: "up for long",
    sum: (rows) => `stopping them saves ${usd(rows.reduce((sum, b) => sum + (b.usd_per_hour ?? 0) * 24, 0))} a day`,
    columns: [number("hours", "hours up, at least", (b) => b.up_hours), number("usd", "cost so far", (b) => b.up_usd, usd), number("rate", "an hour", (b) => b.usd_per_hour, usd)] },
  { id: "disk", title: () => "Stopped, but paying for disk", test: paysForDiskOnly, none: "stopped and paying for disk",
    sum: (rows) => `deleting them saves ${usd(rows.reduce((sum, b) => sum + (b.disk_usd_per_month ?? 0), 0))} a month`,
    columns: [number("gb", "disk, GB", (b) => b.root_volume_size_gb, count), number("usd", "a month", (b) => b.disk_usd_per_month, usd),
      text("since", "last seen up", (b) => time(b.last_up_at) || "not seen up")] },
  { id: "exposed", title: () => "Exposed", test: (b) => Boolean(b.exposed_by), none: "exposed", sum: (rows) => `${count(rows.filter((b) => b.is_up).length)} of them are up`,
    sort: "number", columns: [number("number", "ways", (b) => (b.exposed_by ? b.exposed_by.split(",").length : 0), count), text("ways", "in or out by", (b) => (b.exposed_by ?? "").replaceAll("_", " "))] },
  { id: "image", title: () => `Made from an image that is gone or older than ${OLD_DAYS} days`, test: hasOldImage, none: "made from an old image", needs: "builder_images",
    columns: [number("age", "days old", (b) => b.image?.age, count), text("gone", "image", (b) => (b.image?.isGone ? "is gone" : b.image?.owner)), text("arn", "name", (b) => (b.image_arn ?? "").split("/").pop())] },
  { id: "agent", title: () => `Agent is not the newest, or older than ${OLD_DAYS} days`, test: hasOldAgent, none: "with an old agent",
    sort: "age", columns: [text("version", "agent", (b) => b.appstream_agent_version), number("age", "days old", (b) => b.agent_age_days, count)] },
  { id: "stuck", title: () => "Stuck in a state that passes within minutes", test: isStuck, none: "stuck",
    columns: [number("hours", "hours in it, at least", (b) => b.state_hours), text("since", "since", (b) => time(b.state_since))] },
  { id: "failing", title: () => "Failing", test: isFailing, none: "failing",
    columns: [number("times", "times failed", (b) => b.times_failed, count), text("codes", "error codes", (b) => [...new Set(b.errors.map((error) => error.code))].join(", ")),
      text("message", "newest message", (b) => b.errors.at(-1)?.message)] },
];

export function Todo({ model }) {
  const state = useChoice();
  const { present, over } = getSelection(model, state);
  const lists = LISTS.filter((list) => !list.needs || !model.facts.off[list.needs])
    .map((list) => ({ ...list, rows: present.filter((builder) => list.test(builder, over)) }));
  const empty = lists.filter((list) => !list.rows.length);
  return (
    <section id="todo">
      <h2>What needs doing</h2>
      <label class="inline">Idle means up for at least{" "}
        <input type="number" min="1" max="10000" value={state.over} onChange={(event) => choose({ over: event.currentTarget.value })} /> hours
      </label>
      {model.facts.off.builder_images && <SwitchOn model={model} needs={model.facts.off.builder_images} what="Age of images" />}
      {lists.filter((list) => list.rows.length).map((list) => <List key={list.id} list={list} over={over} />)}
      {empty.length > 0 && <p class="none">No builder is {empty.map((list) => list.none).join(", ")}.</p>}
    </section>
  );
}

function List({ list, over }) {
  const columns = useMemo(() => [NAME, ACCOUNT, REGION, STATE, ...list.columns], [list.id]);
  return (
    <div class="todo">
      <h3>{list.title(over)}: {count(list.rows.length)}</h3>
      <Table caption={list.sum ? `${counted(list.rows.length, "builder")}; ${list.sum(list.rows)}` : counted(list.rows.length, "builder")}
        columns={columns} rows={list.rows} page={5} sort={{ id: list.sort ?? columns[4].id, desc: true }} />
    </div>
  );
}
