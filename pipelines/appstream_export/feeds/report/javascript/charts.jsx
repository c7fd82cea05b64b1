// Charts with a time axis: SVG, in the page's colours, with a legend that wraps and their numbers in words.
import * as Plot from "@observablehq/plot";
import { useEffect, useRef, useState } from "preact/hooks";
import { count, day, hours, period, time, usd } from "./format.js";

export const STATE_COLOURS = {
  RUNNING: "var(--running)", PENDING: "var(--pending)", UPDATING_AGENT: "var(--updating)", REBOOTING: "var(--rebooting)",
  SNAPSHOTTING: "var(--snapshotting)", STOPPING: "var(--stopping)", STOPPED: "var(--stopped)", DELETING: "var(--deleting)",
  FAILED: "var(--failed)", UPDATING: "var(--series-6)", SYNCING_APPS: "var(--rare-1)", PENDING_SYNCING_APPS: "var(--rare-2)",
  PENDING_QUALIFICATION: "var(--rare-3)", PENDING_IMAGE_IMPORT: "var(--rare-4)",
};
const SERIES = [1, 2, 3, 4, 5, 6].map((number) => `var(--series-${number})`);
const OTHER = "var(--stopped)";

export const colourOfState = (state) => STATE_COLOURS[state] ?? "var(--other)";
export const colourOfSeries = (place) => SERIES[place] ?? OTHER;

// Draws again if its data or its width change.
export function Chart({ label, build, deps }) {
  const place = useRef(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.round(entry.contentRect.width)));
    observer.observe(place.current);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    if (!width) return;
    const drawn = build(width);
    drawn.setAttribute("aria-hidden", "true");
    place.current.replaceChildren(drawn);
  }, [width, ...deps]);
  return <div class="chart" role="img" aria-label={label} ref={place} />;
}

export function Legend({ entries, rate }) {
  return (
    <ul class="legend">{entries.map(([name, colour]) => (
      <li key={name}><svg width="12" height="12" aria-hidden="true"><rect width="12" height="12" fill={colour} /></svg> {name}</li>
    ))}
      {rate && <li><svg width="22" height="12" aria-hidden="true"><line x1="0" x2="22" y1="6" y2="6" stroke="currentColor" stroke-width="1.5" stroke-dasharray="5 4" /></svg> {rate}</li>}
    </ul>
  );
}

// Bars from midnight to midnight, stacked by name. Days that are not whole are pale, and marked. `rate` is a line across.
export function buildDayChart(rows, names, colours, { width, isMoney, unit, rate }) {
  const fill = new Map(names.map((name, place) => [name, colours[place]]));
  const dates = [...new Set(rows.map((row) => +row.from))];
  const partial = rows.filter((row) => row.isPartial && row.name === names[0]);
  const show = isMoney ? usd : (value) => `${hours(value)}${unit ? ` ${unit}` : ""}`;
  const isShort = dates.length < 8;
  return Plot.plot({
    ...common(width),
    height: 220,
    x: { type: "utc", label: null, domain: [new Date(Math.min(...dates)), new Date(Math.max(...dates) + DAY_MS)],
      // Few days: the name of each below its middle.
      ...(isShort ? { ticks: dates.map((date) => new Date(date + DAY_MS / 2)), tickFormat: "%b %-d", tickSize: 0 } : {}) },
    y: { label: null, grid: true, ticks: 4, tickFormat: isMoney ? (value) => `$${count(value)}` : undefined,
      domain: [0, Math.max(findHighest(rows), rate ?? 0) * 1.1 || 1] },
    marks: [
      Plot.rectY(rows, Plot.stackY({ order: names }, {
        x1: "from", x2: "to", y: "value", z: "name", fill: (row) => fill.get(row.name), insetLeft: 0.5, insetRight: 0.5,
        fillOpacity: (row) => (row.isPartial ? 0.5 : 1),
        title: (row) => `${day(row.from)}${row.isPartial ? " (part of the day)" : ""}\n${row.name}: ${show(row.value)}`,
      })),
      Plot.text(partial, { x: (row) => new Date((+row.from + +row.to) / 2), frameAnchor: "top", dy: -14, text: () => "part", fontSize: 11 }),
      ...(rate ? [Plot.ruleY([rate], { stroke: "currentColor", strokeWidth: 1.5, strokeDasharray: "5 4", title: () => `Run rate: ${usd(rate)} a day` })] : []),
      Plot.ruleY([0]),
    ],
  });
}

const DAY_MS = 86400000;

function findHighest(rows) {
  const sums = new Map();
  for (const row of rows) sums.set(+row.from, (sums.get(+row.from) ?? 0) + row.value);
  return Math.max(0, ...sums.values());
}

// One builder's states, in time: what is between two answers is not known, and is left blank.
export function buildLifeChart(spans, { width, from, to }) {
  return Plot.plot({
    ...common(width),
    height: 76,
    marginLeft: 26, // half of the first day
    marginRight: 26,
    x: { type: "utc", label: null, domain: [from, to], grid: true, ...(to - from < 4 * DAY_MS ? { ticks: Math.max(2, Math.floor(width / 90)), tickFormat: "%H:%M\n%b %-d" } : {}) },
    y: { axis: null },
    marks: [
      Plot.rect(spans, {
        x1: "from", x2: "to", y1: 0, y2: 1, fill: (span) => colourOfState(span.state),
        title: (span) => `${span.state}\n${time(+span.from / 1000)} to ${time(+span.to / 1000)} (${period((span.to - span.from) / 1000)})`,
      }),
      Plot.ruleX(spans, { x: "from", stroke: (span) => colourOfState(span.state), strokeWidth: 2 }),
    ],
  });
}

const common = (width) => ({ width, marginLeft: 56, marginTop: 26, style: { background: "none", color: "inherit", fontSize: "12px",
  fontFamily: "inherit", overflow: "visible" } });
