// What does it cost, and who pays?
import { useMemo } from "preact/hooks";
import { buildDayChart, Chart, colourOfSeries, colourOfState, Legend, STATE_COLOURS } from "./charts.jsx";
import { change, count, counted, day, hours, month, percent, usd } from "./format.js";
import { countStates, groupBuilders, listDays, missesLastMonth, sumDays } from "./model.js";
import { getSelection } from "./selection.js";
import { choose, useChoice } from "./store.js";
import { SwitchOn } from "./switch_on.jsx";
import { Table } from "./table.jsx";

const SERIES_MAX = 6; // more colours look alike
const STATES_MAX = 8;

export function Cost({ model, goTo }) {
  const state = useChoice();
  const selection = getSelection(model, state);
  const dimensions = selection.dimensions.filter((known) => !known.hasSeveral);
  const dimension = dimensions.find((known) => known.key === state.by) ?? dimensions[0];
  const priced = model.facts.is_priced;
  const { sums } = selection;
  const groups = groupBuilders(selection.builders, dimension, selection.over);
  const columns = useMemo(() => listColumns(model, dimension, sums), [dimension.key, sums]);
  return (
    <section id="cost">
      <h2>What does it cost, and who pays?</h2>
      {!priced && <p class="note">There is no price list, so hours up are shown instead of dollars. Add one: <code>[feeds] prices = "prices.csv"</code></p>}
      <Explained model={model} selection={selection} goTo={goTo} />
      <div class="pair">
        <CostByDay model={model} selection={selection} {...chooseSeries(model, selection, dimensions, dimension, groups)} />
        <StatesByDay model={model} selection={selection} />
      </div>
      <h3>Who pays</h3>
      <label class="inline">Group by{" "}
        <select value={dimension.key} onChange={(event) => choose({ by: event.currentTarget.value })}>
          {dimensions.map((known) => <option key={known.key} value={known.key}>{known.title}</option>)}
        </select>
      </label>
      {model.facts.off.builder_tags && <SwitchOn model={model} needs={model.facts.off.builder_tags} what="Cost per tag" />}
      <Table caption={`${counted(groups.length, "group")} by ${dimension.title}`} columns={columns} rows={groups} page={12}
        total={groups.length > 1 ? { ...sums, title: `all ${count(groups.length)}`, isTotal: true } : undefined} />
    </section>
  );
}

// What the chart is coloured by: the groups of the table, unless they are so many that all would be "others".
function chooseSeries(model, selection, dimensions, dimension, groups) {
  const isClear = (found) => {
    const sizes = found.map((group) => (model.facts.is_priced ? group.month + group.last_month : group.month_hours));
    const all = sizes.reduce((sum, size) => sum + size, 0);
    return found.length <= SERIES_MAX + 1 || sizes.slice(0, SERIES_MAX).reduce((sum, size) => sum + size, 0) >= all / 3;
  };
  if (isClear(groups)) return { dimension, groups };
  for (const other of dimensions.filter(({ key }) => key !== dimension.key && key !== "image" && !key.startsWith("tag:"))) {
    const found = groupBuilders(selection.builders, other, selection.over);
    if (found.length > 1 && isClear(found)) return { dimension: other, groups: found, instead: dimension };
  }
  return { dimension, groups };
}

function Explained({ model, selection: { sums, over }, goTo }) {
  const { facts } = model;
  if (!facts.is_priced) return <p>{hours(sums.month_hours)} hours up this month so far; {count(sums.up)} builders are up.</p>;
  const now = new Date(model.asOf);
  const last = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - 1, 1));
  const missesLast = missesLastMonth(model);
  const firstSeen = day(new Date(model.firstSeen * 864e5));
  const isPart = model.firstSeen > model.firstDay;
  const comparison = missesLast || isPart || !sums.last_month ? "" : `; ${change(sums.forecast, sums.last_month) || "as much as"} against ${month(last)}`;
  return (
    <dl class="figures">
      <Figure name={`${month(now)} so far`} value={usd(sums.month)} note={model.firstSeen > model.monthStart ? `seen since ${firstSeen}` : "up to the newest snapshot"} />
      <Figure name={month(last)} value={missesLast ? "not seen" : usd(sums.last_month)} note={missesLast ? `the first day seen is ${firstSeen}` : isPart ? `seen since ${firstSeen}` : "the whole month"} />
      <Figure name="Run rate" value={`${usd(sums.rate)} a day`} note={`the ${counted(sums.up, "builder")} up now for 24 hours, and all disks above 200 GB`} />
      <Figure name="At this rate, the month ends at" value={usd(sums.forecast)} note={`if nothing starts or stops in the ${hours(model.daysLeft)} days left${comparison}`} />
      <Figure name="Last 7 days" value={usd(sums.week)} note={describeWeek(model, sums)} />
      <Figure name="Stopping what is idle saves" value={`${usd(sums.idle_rate)} a day`} note={<>{usd(sums.idle_month)} in a month of 730 hours; <a href="#to=todo-up" onClick={goTo("todo-up")}>{counted(sums.idle, "builder")} up for {over} hours or more</a></>} />
      <Figure name="Deleting what is stopped saves" value={`${usd(sums.disk_month)} a month`} note={<>disks above 200 GB of <a href="#to=todo-disk" onClick={goTo("todo-disk")}>{counted(sums.disks, "builder")} not up</a></>} />
      {sums.unpriced > 0 && <Figure name="Without a price" value={counted(sums.unpriced, "builder")} note={<>{sums.unpriced_gone > 0 && `and ${count(sums.unpriced_gone)} that are gone; `}costs are lower bounds; <a href="#to=todo-price" onClick={goTo("todo-price")}>which builders</a></>} />}
    </dl>
  );
}

// Both weeks end with yesterday. A warehouse that is younger than they are saw only a part of them.
function describeWeek({ today, firstSeen }, sums) {
  const seen = `seen since ${day(new Date(firstSeen * 864e5))}`;
  if (firstSeen > today - 7) return `the 7 days before today, ${seen}`;
  if (firstSeen === today - 7) return "up to yesterday; the 7 days before were not seen";
  const part = firstSeen > today - 14 ? `, ${seen}` : "";
  const changed = sums.week_before ? `${change(sums.week, sums.week_before)} against ` : "";
  return `up to yesterday; ${changed}${usd(sums.week_before)} in the 7 days before${part}`;
}

const Figure = ({ name, value, note }) => <div><dt>{name}</dt><dd>{value}</dd><dd class="faint">{note}</dd></div>;

function CostByDay({ model, selection, dimension, groups, instead }) {
  const { days, facts } = model;
  const isMoney = facts.is_priced;
  const top = groups.slice(0, SERIES_MAX).filter((group) => (isMoney ? group.month + group.last_month : group.month_hours) > 0 || groups.length <= SERIES_MAX);
  const named = new Map(top.map((group) => [group.value, group.title]));
  const rest = groups.length - top.length;
  const other = `${counted(rest, "other")}`;
  const cost = isMoney ? (cell) => days.instance[cell] + days.disk[cell] : (cell) => days.up[cell];
  const lines = sumDays(model, selection.builders, (builder) => named.get(dimension.of(builder)) ?? other, cost);
  const rate = isMoney ? selection.sums.rate : undefined;
  const names = [...top.map((group) => group.title), ...(lines.has(other) ? [other] : [])];
  const colours = names.map((name, place) => (name === other ? colourOfSeries(SERIES_MAX) : colourOfSeries(place)));
  const rows = listDays(model, lines);
  const label = `Chart: ${isMoney ? "cost" : "hours up"} per day by ${dimension.title}. The numbers follow.`;
  if (!rows.length) return <div><h3>By day</h3><p class="none">No builder is selected.</p></div>;
  return (
    <div>
      <h3>{isMoney ? "Dollars" : "Hours up"} a day by {dimension.title}, at least</h3>
      <Legend entries={names.map((name, place) => [name, colours[place]])} rate={rate > 0 && `run rate: ${usd(rate)} a day`} />
      <Chart label={label} deps={[selection, dimension.key]} build={(width) => buildDayChart(rows, names, colours, { width, isMoney, unit: "hours", rate })} />
      <p class="faint">Pale bars are days of which only a part was seen. Today's bar grows until midnight, UTC.
        {isMoney && " The dashed line is the run rate: what one whole day costs if all stays as it is now. Whole days below it had fewer builders up, or cheaper ones."}
        {instead && ` By ${instead.title}, the ${SERIES_MAX} largest of ${count(countGroups(selection, instead))} are less than a third: see the table.`}</p>
      <Numbers rows={rows} names={names} show={isMoney ? usd : hours} />
    </div>
  );
}

const countGroups = ({ builders }, dimension) => new Set(builders.map(dimension.of)).size;

function StatesByDay({ model, selection }) {
  const lines = mergeRare(countStates(model, selection.builders));
  const rows = listDays(model, lines);
  const names = [...lines.keys()].sort((a, b) => rankState(a) - rankState(b));
  const colours = names.map((name) => (STATES.has(name) ? colourOfState(name) : "var(--other)"));
  if (!rows.length) return <div><h3>Builders by state</h3><p class="none">No builder is selected.</p></div>;
  return (
    <div>
      <h3>Builders by state, at the end of each day</h3>
      <Legend entries={names.map((name, place) => [name, colours[place]])} />
      <Chart label="Chart: builders by state per day. The numbers follow." deps={[selection]}
        build={(width) => buildDayChart(rows, names, colours, { width, unit: "builders" })} />
      <p class="faint">Today's bar is as of the newest snapshot.</p>
      <Numbers rows={rows} names={names} show={count} />
    </div>
  );
}

// Lines of a few builders look alike: all but the largest are one.
function mergeRare(lines) {
  if (lines.size <= STATES_MAX + 1) return lines;
  const total = ([, line]) => line.reduce((sum, value) => sum + value, 0);
  const sorted = [...lines].sort((a, b) => total(b) - total(a));
  const rare = sorted.slice(STATES_MAX);
  const merged = rare[0][1].map((_, place) => rare.reduce((sum, [, line]) => sum + line[place], 0));
  return new Map([...sorted.slice(0, STATES_MAX), [`${rare.length} other states`, merged]]);
}

const ORDER = ["RUNNING", "PENDING", "UPDATING_AGENT", "REBOOTING", "SNAPSHOTTING", "STOPPING", "STOPPED", "FAILED"];
const STATES = new Set(Object.keys(STATE_COLOURS));
const rankState = (state) => (ORDER.includes(state) ? ORDER.indexOf(state) : ORDER.length);

// The numbers of a chart, for those who do not see it: drawn when they are opened.
function Numbers({ rows, names, show }) {
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

function listColumns(model, dimension, sums) {
  const { facts } = model;
  const money = (id, title) => ({ id, title, isNumber: true, of: (group) => group[id], show: (group) => usd(group[id]) });
  const all = [
    { id: "title", title: dimension.title, of: (group) => group.title, show: (group) => (group.isTotal ? group.title :
      <button type="button" class="link" onClick={() => choose({ [dimension.key]: group.value })}
        aria-label={`Show only ${dimension.title} ${group.title}`}>{group.title}</button>) },
    { id: "builders", title: "builders", isNumber: true, of: (group) => group.builders, show: (group) => count(group.builders) },
    { id: "up", title: "up now", isNumber: true, of: (group) => group.up, show: (group) => count(group.up) },
    { id: "month_hours", title: "hours up this month", isNumber: true, of: (group) => group.month_hours, show: (group) => hours(group.month_hours) },
  ];
  if (!facts.is_priced) return all;
  return [...all, money("month", "this month"),
    { id: "share", title: "share", isNumber: true, of: (group) => group.month, show: (group) => <Share part={sums.month ? group.month / sums.month : 0} /> },
    ...(missesLastMonth(model) ? [] : [money("last_month", "last month")]), money("rate", "a day now"),
    { id: "week", title: "last 7 days", isNumber: true, of: (group) => group.week,
      show: (group) => <>{usd(group.week)}{group.week_before > 0 && <> <small>{change(group.week, group.week_before)}</small></>}</> },
    ...(sums.idle ? [money("idle_rate", "idle, a day")] : []),
    ...(sums.unpriced ? [{ id: "unpriced", title: "no price", isNumber: true, of: (group) => group.unpriced, show: (group) => count(group.unpriced) }] : [])];
}

const Share = ({ part }) => (
  <><svg class="share" width="40" height="8" aria-hidden="true"><rect width={40 * part} height="8" fill="var(--series-2)" /></svg> {percent(part)}</>
);
