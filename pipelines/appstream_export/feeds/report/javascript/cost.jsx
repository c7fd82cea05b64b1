// What does it cost, and who pays?
import { useMemo } from "preact/hooks";
import { buildDayChart, Chart, colourOfSeries, colourOfState, Legend } from "./charts.jsx";
import { change, count, counted, day, hours, month, usd } from "./format.js";
import { countStates, groupBuilders, listDays, sumDays } from "./model.js";
import { getSelection } from "./selection.js";
import { choose, useChoice } from "./store.js";
import { SwitchOn } from "./switch_on.jsx";
import { Table } from "./table.jsx";

const SERIES_MAX = 6; // more colours look alike

export function Cost({ model }) {
  const state = useChoice();
  const selection = getSelection(model, state);
  const dimension = selection.dimensions.find((known) => known.key === state.by) ?? selection.dimensions[0];
  const priced = model.facts.is_priced;
  const groups = groupBuilders(selection.builders, dimension, selection.over);
  const columns = useMemo(() => listColumns(dimension, priced), [dimension.key]);
  return (
    <section id="cost">
      <h2>What does it cost, and who pays?</h2>
      {!priced && <p class="note">There is no price list, so hours up are shown instead of dollars. Add one: <code>[feeds] prices = "prices.csv"</code></p>}
      <Explained model={model} selection={selection} />
      <div class="pair">
        <CostByDay model={model} selection={selection} dimension={dimension} groups={groups} />
        <StatesByDay model={model} selection={selection} />
      </div>
      <h3>Who pays</h3>
      <label class="inline">Group by{" "}
        <select value={dimension.key} onChange={(event) => choose({ by: event.currentTarget.value })}>
          {selection.dimensions.map((known) => <option key={known.key} value={known.key}>{known.title}</option>)}
        </select>
      </label>
      {model.facts.off.builder_tags && <SwitchOn model={model} needs={model.facts.off.builder_tags} what="Cost per tag" />}
      <Table caption={`${counted(groups.length, "group")} by ${dimension.title}`} columns={columns} rows={groups} page={12} />
    </section>
  );
}

function Explained({ model, selection: { sums, over } }) {
  const { facts } = model;
  if (!facts.is_priced) return <p>{hours(sums.month_hours)} hours up this month so far; {count(sums.up)} builders are up.</p>;
  const now = new Date(model.asOf);
  const last = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - 1, 1));
  const missesLast = model.firstSeen > model.monthStart - 1;
  return (
    <dl class="figures">
      <div><dt>{month(now)} so far</dt><dd>{usd(sums.month)}</dd><dd class="faint">{model.firstSeen > model.monthStart ? `seen since ${day(new Date(model.firstSeen * 864e5))}` : "up to the newest snapshot"}</dd></div>
      <div><dt>{month(last)}</dt><dd>{missesLast ? "not seen" : usd(sums.last_month)}</dd><dd class="faint">{missesLast ? "the first run was later" : model.firstSeen > model.firstDay ? `seen since ${day(new Date(model.firstSeen * 864e5))}` : "the whole month"}</dd></div>
      <div><dt>Run rate</dt><dd>{usd(sums.rate)} a day</dd><dd class="faint">the {counted(sums.up, "builder")} up now for 24 hours, and all disks above 200 GB</dd></div>
      <div><dt>At this rate, the month ends at</dt><dd>{usd(sums.forecast)}</dd><dd class="faint">if nothing starts or stops in the {hours(model.daysLeft)} days left</dd></div>
      <div><dt>Stopping what is idle saves</dt><dd>{usd(sums.idle_rate)} a day</dd><dd class="faint">{counted(sums.idle, "builder")} up for {over} hours or more; {usd(sums.idle_month)} in a month of 730 hours</dd></div>
      <div><dt>Deleting what is stopped saves</dt><dd>{usd(sums.disk_month)} a month</dd><dd class="faint">disks above 200 GB of {counted(sums.disks, "builder")} that {sums.disks === 1 ? "is" : "are"} not up</dd></div>
      <div><dt>Last 7 days</dt><dd>{usd(sums.week)}</dd><dd class="faint">{sums.week_before ? `${change(sums.week, sums.week_before)} against ${usd(sums.week_before)} in the 7 days before` : "the 7 days before were not seen"}; whole days only</dd></div>
    </dl>
  );
}

function CostByDay({ model, selection, dimension, groups }) {
  const { days, facts } = model;
  const isMoney = facts.is_priced;
  const top = groups.slice(0, SERIES_MAX).filter((group) => (isMoney ? group.month + group.last_month : group.month_hours) > 0 || groups.length <= SERIES_MAX);
  const named = new Map(top.map((group) => [group.value, group.title]));
  const rest = groups.length - top.length;
  const other = `${counted(rest, "other")}`;
  const cost = isMoney ? (cell) => days.instance[cell] + days.disk[cell] : (cell) => days.up[cell];
  const lines = sumDays(model, selection.builders, (builder) => named.get(dimension.of(builder)) ?? other, cost);
  const names = [...top.map((group) => group.title), ...(lines.has(other) ? [other] : [])];
  const colours = names.map((name, place) => (name === other ? colourOfSeries(SERIES_MAX) : colourOfSeries(place)));
  const rows = listDays(model, lines);
  const label = `Chart: ${isMoney ? "cost" : "hours up"} per day by ${dimension.title}. The numbers follow.`;
  if (!rows.length) return <div><h3>By day</h3><p class="none">No builder is selected.</p></div>;
  return (
    <div>
      <h3>{isMoney ? "Dollars" : "Hours up"} a day, at least</h3>
      <Legend entries={names.map((name, place) => [name, colours[place]])} />
      <Chart label={label} deps={[selection, dimension.key]} build={(width) => buildDayChart(rows, names, colours, { width, isMoney, unit: "hours" })} />
      <p class="faint">Pale bars are days of which only a part was seen. Today's bar grows until midnight, UTC. The run rate is not
        a bar: it is what one day costs if all stays as it is now.</p>
      <Numbers rows={rows} show={isMoney ? usd : hours} />
    </div>
  );
}

function StatesByDay({ model, selection }) {
  const lines = countStates(model, selection.builders);
  const rows = listDays(model, lines);
  const names = [...lines.keys()].sort((a, b) => rankState(a) - rankState(b));
  const colours = names.map(colourOfState);
  if (!rows.length) return <div><h3>Builders by state</h3><p class="none">No builder is selected.</p></div>;
  return (
    <div>
      <h3>Builders by state, at the end of each day</h3>
      <Legend entries={names.map((name, place) => [name, colours[place]])} />
      <Chart label="Chart: builders by state per day. The numbers follow." deps={[selection]}
        build={(width) => buildDayChart(rows, names, colours, { width, unit: "builders" })} />
      <p class="faint">Today's bar is as of the newest snapshot.</p>
      <Numbers rows={rows} show={count} />
    </div>
  );
}

const ORDER = ["RUNNING", "PENDING", "UPDATING_AGENT", "REBOOTING", "SNAPSHOTTING", "STOPPING", "STOPPED", "FAILED"];
const rankState = (state) => (ORDER.includes(state) ? ORDER.indexOf(state) : ORDER.length);

// The numbers of a chart, for those who do not see it: drawn when they are opened.
function Numbers({ rows, show }) {
  const names = [...new Set(rows.map((row) => row.name))];
  const dates = [...new Set(rows.map((row) => +row.from))].sort((a, b) => b - a);
  const values = new Map(rows.map((row) => [`${+row.from} ${row.name}`, row]));
  return (
    <details class="numbers"><summary>Numbers</summary>
      <div class="scroll" tabindex="0" role="region" aria-label="Numbers of the chart">
        <table><thead><tr><th scope="col">Day</th>{names.map((name) => <th scope="col" key={name} class="number">{name}</th>)}</tr></thead>
          <tbody>{dates.map((date) => (
            <tr key={date}><th scope="row">{day(new Date(date))}{values.get(`${date} ${names[0]}`).isPartial ? " (part)" : ""}</th>
              {names.map((name) => <td key={name} class="number">{show(values.get(`${date} ${name}`).value)}</td>)}</tr>
          ))}</tbody></table>
      </div>
    </details>
  );
}

function listColumns(dimension, priced) {
  const money = (id, title) => ({ id, title, isNumber: true, of: (group) => group[id], show: (group) => usd(group[id]) });
  const all = [
    { id: "title", title: dimension.title, of: (group) => group.title, show: (group) => (
      <button type="button" class="link" onClick={() => choose({ [dimension.key]: group.value })}
        aria-label={`Show only ${dimension.title} ${group.title}`}>{group.title}</button>) },
    { id: "builders", title: "builders", isNumber: true, of: (group) => group.builders, show: (group) => count(group.builders) },
    { id: "up", title: "up now", isNumber: true, of: (group) => group.up, show: (group) => count(group.up) },
    { id: "month_hours", title: "hours up this month", isNumber: true, of: (group) => group.month_hours, show: (group) => hours(group.month_hours) },
  ];
  if (!priced) return all;
  return [...all, money("month", "this month"), money("last_month", "last month"), money("rate", "a day now"),
    { id: "week", title: "last 7 days", isNumber: true, of: (group) => group.week,
      show: (group) => <>{usd(group.week)}{group.week_before > 0 && <> <small>{change(group.week, group.week_before)}</small></>}</> },
    money("idle_rate", "idle, a day"),
    { id: "unpriced", title: "no price", isNumber: true, of: (group) => group.unpriced, show: (group) => count(group.unpriced) }];
}
