// Draws an answer: bars by time or by name, and a table that sorts. The table is the report's.
import * as Plot from "@observablehq/plot";
import { render } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Table } from "../../report/javascript/table.jsx";

const BARS_MAX = 60; // more names cannot be read
const DAY_MS = 86400000;
const NONE = "-";
const WHOLE = new Intl.NumberFormat("en-US", { maximumFractionDigits: 2 });
const USD = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD" });
const SERIES = [1, 2, 3, 4, 5, 6].map((number) => `var(--series-${number})`);

const answer = JSON.parse(document.getElementById("answer").textContent);
const places = new Map(answer.columns.map((column, place) => [column.name, place]));
const kinds = new Map(answer.columns.map((column) => [column.name, column.kind]));
const read = (row, name) => row[places.get(name)];
const isTime = (name) => kinds.get(name) === "day" || kinds.get(name) === "time";
const isNumber = (kind) => kind === "number" || kind === "money";

function show(kind, value) {
  if (value === null) return NONE;
  if (kind === "money") return USD.format(value);
  if (kind === "number") return WHOLE.format(value);
  if (kind === "time") return value.replace("T", " ");
  return String(value);
}

function Rows() {
  const columns = answer.columns.map(({ name, kind }, place) => ({
    id: name, title: name.replaceAll("_", " "), isNumber: isNumber(kind),
    of: (row) => (typeof row[place] === "boolean" ? String(row[place]) : row[place]),
    show: (row) => show(kind, row[place]),
  }));
  return <Table caption={`${WHOLE.format(answer.rows.length)} rows`} columns={columns} rows={answer.rows} page={100} none="No rows." />;
}

function Chart() {
  const place = useRef(null);
  const [width, setWidth] = useState(0);
  const { value, labels } = answer.chart;
  const timed = isTime(labels[0]);
  const rows = answer.rows.filter((row) => read(row, value) !== null && (!timed || read(row, labels[0]) !== null));
  const series = timed && labels.length > 1 ? listSeries(rows, labels.slice(1)) : [];
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.round(entry.contentRect.width)));
    observer.observe(place.current);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    if (!width || !rows.length) return;
    const drawn = timed ? buildTimeChart(rows, series, width) : buildNameChart(rows.slice(0, BARS_MAX), width);
    drawn.setAttribute("aria-hidden", "true");
    place.current.replaceChildren(drawn);
    document.body.dataset.drawn = "1";
  }, [width]);
  if (!rows.length) return <p class="none">Nothing to draw.</p>;
  return (
    <>
      {series.length > 0 && (
        <ul class="legend">{series.map((name, number) => (
          <li key={name}><svg width="12" height="12" aria-hidden="true"><rect width="12" height="12" fill={SERIES[number % SERIES.length]} /></svg> {name}</li>
        ))}</ul>
      )}
      <div class="chart" role="img" aria-label={`Chart: ${value} by ${labels.join(", ")}. The rows follow.`} ref={place} />
      {!timed && rows.length > BARS_MAX && <p class="faint">The first {BARS_MAX} of {rows.length} rows; the table has the rest.</p>}
      {rows.length < answer.rows.length && <p class="faint">{WHOLE.format(answer.rows.length - rows.length)} rows without {value} are in the table only.</p>}
    </>
  );
}

const nameOf = (row, labels) => labels.map((label) => show(kinds.get(label), read(row, label))).join(", ");
const listSeries = (rows, labels) => [...new Set(rows.map((row) => nameOf(row, labels)))];

// A bar lasts as long as its period: a day, a week or a month. Moments have a dot each.
function buildTimeChart(rows, series, width) {
  const { value, labels } = answer.chart;
  const [time, ...rest] = labels;
  const y = (row) => Number(read(row, value));
  const fill = (row) => (series.length ? SERIES[series.indexOf(nameOf(row, rest)) % SERIES.length] : SERIES[0]);
  const title = (row) => `${nameOf(row, labels)}\n${value.replaceAll("_", " ")}: ${show(kinds.get(value), y(row))}`;
  const from = (row) => new Date(read(row, time));
  const until = kinds.get(time) === "day" ? findPeriod(rows.map(from)) : null;
  const mark = until
    ? Plot.rectY(rows, Plot.stackY({ x1: from, x2: (row) => until(from(row)), y, fill, title, insetLeft: 0.5, insetRight: 0.5 }))
    : Plot.dot(rows, { x: from, y, fill, title });
  return Plot.plot({ ...common(width), height: 300, x: { type: "utc", label: null, ...listTicks(rows.map(from)) }, y: yAxis(value), marks: [mark, Plot.ruleY([0])] });
}

// Few days have a tick each; else a tick would stand at noon.
const listTicks = (times) => {
  const days = (Math.max(...times) - Math.min(...times)) / DAY_MS;
  return kinds.get(answer.chart.labels[0]) === "day" && days < 8 ? { ticks: "day", tickFormat: "%b %-d" } : {};
};

function findPeriod(times) {
  if (times.every((time) => time.getUTCDate() === 1)) {
    return (time) => new Date(Date.UTC(time.getUTCFullYear(), time.getUTCMonth() + 1, 1));
  }
  const days = times.every((time) => (time - times[0]) % (7 * DAY_MS) === 0) && times.length > 1 && new Set(times.map(Number)).size > 1 ? 7 : 1;
  return (time) => new Date(+time + days * DAY_MS);
}

function buildNameChart(rows, width) {
  const { value, labels } = answer.chart;
  // Names may repeat, so that each row has its own place.
  const names = rows.map((row) => nameOf(row, labels));
  const longest = Math.max(...names.map((name) => name.length));
  const room = Math.min(Math.round(width * 0.45), 20 + 7 * longest);
  const letters = Math.max(8, Math.floor(room / 7));
  const shorten = (name) => (name.length > letters ? `${name.slice(0, letters - 1)}…` : name);
  return Plot.plot({
    ...common(width),
    height: 50 + 22 * rows.length,
    marginLeft: room,
    x: { ...yAxis(value), axis: "both", ticks: Math.max(2, Math.floor(width / 140)) },
    y: { label: null, domain: rows.map((_, place) => place), tickFormat: (place) => shorten(names[place]) },
    marks: [
      Plot.barX(rows, {
        x: (row) => Number(read(row, value)), y: (_, place) => place, fill: SERIES[0],
        title: (row, place) => `${names[place]}\n${value.replaceAll("_", " ")}: ${show(kinds.get(value), read(row, value))}`,
      }),
      Plot.ruleX([0]),
    ],
  });
}

const yAxis = (value) => ({ label: null, grid: true, zero: true,
  tickFormat: kinds.get(value) === "money" ? (number) => `$${WHOLE.format(number)}` : undefined });
const common = (width) => ({ width, marginLeft: 64, marginTop: 24, style: { background: "none", color: "inherit", fontSize: "12px",
  fontFamily: "inherit", overflow: "visible" } });

render(<Chart />, document.getElementById("place-chart"));
render(<Rows />, document.getElementById("place-rows"));
