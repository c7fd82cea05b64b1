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
const SIGHT_COLOURS = { seen: "var(--running)", failed: "var(--failed)", "not requested": "var(--deleting)",
  expected: "var(--stopped)", skipped: "var(--pending)" };
const SERIES = [1, 2, 3, 4, 5, 6].map((number) => `var(--series-${number})`);
const OTHER = "var(--stopped)";

export const colourOfState = (state) => STATE_COLOURS[state] ?? "var(--other)";
export const colourOfSight = (sight) => SIGHT_COLOURS[sight];
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

export function Legend({ entries }) {
  return (
    <ul class="legend">{entries.map(([name, colour]) => (
      <li key={name}><svg width="12" height="12" aria-hidden="true"><rect width="12" height="12" fill={colour} /></svg> {name}</li>
    ))}</ul>
  );
}

// Bars from midnight to midnight, stacked by name. Days that are not whole are pale.
export function buildDayChart(rows, names, colours, { width, isMoney, unit }) {
  const fill = new Map(names.map((name, place) => [name, colours[place]]));
  const dates = [...new Set(rows.map((row) => +row.from))];
  const partial = rows.filter((row) => row.isPartial && row.name === names[0]);
  const show = isMoney ? usd : (value) => `${hours(value)}${unit ? ` ${unit}` : ""}`;
  return Plot.plot({
    ...common(width),
    height: 220,
    x: { type: "utc", label: null, domain: [new Date(Math.min(...dates)), new Date(Math.max(...dates) + 86400000)],
      ...(dates.length < 8 ? { ticks: "day", tickFormat: "%b %-d" } : {}) },
    y: { label: null, grid: true, ticks: 4, tickFormat: isMoney ? (value) => `$${count(value)}` : undefined, zero: true },
    marks: [
      Plot.rectY(rows, Plot.stackY({ order: names }, {
        x1: "from", x2: "to", y: "value", z: "name", fill: (row) => fill.get(row.name), insetLeft: 0.5, insetRight: 0.5,
        fillOpacity: (row) => (row.isPartial ? 0.5 : 1),
        title: (row) => `${day(row.from)}${row.isPartial ? " (part of the day)" : ""}\n${row.name}: ${show(row.value)}`,
      })),
      Plot.text(partial, { x: (row) => new Date((+row.from + +row.to) / 2), frameAnchor: "top", dy: -12, text: () => "part", fontSize: 11 }),
      Plot.ruleY([0]),
    ],
  });
}

// Bars of names, stacked by kind.
export function buildBarChart(rows, kinds, colours, { width, unit }) {
  const fill = new Map(kinds.map((kind, place) => [kind, colours[place]]));
  const names = [...new Set(rows.map((row) => row.name))];
  return Plot.plot({
    ...common(width),
    height: 50 + 22 * names.length,
    marginLeft: Math.min(200, 24 + 7 * Math.max(...names.map((name) => name.length))),
    x: { label: unit, grid: true, ticks: Math.max(2, Math.floor(width / 120)) },
    y: { label: null, domain: names },
    marks: [
      Plot.barX(rows, Plot.stackX({ order: kinds }, {
        x: "value", y: "name", z: "kind", fill: (row) => fill.get(row.kind),
        title: (row) => `${row.name}\n${row.kind}: ${count(row.value)}`,
      })),
      Plot.ruleX([0]),
    ],
  });
}

// One builder's states, in time: what is between two answers is not known, and is left blank.
export function buildLifeChart(spans, { width, from, to }) {
  return Plot.plot({
    ...common(width),
    height: 76,
    marginLeft: 10,
    x: { type: "utc", label: null, domain: [from, to], grid: true },
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

const common = (width) => ({ width, marginLeft: 56, marginTop: 22, style: { background: "none", color: "inherit", fontSize: "12px",
  fontFamily: "inherit", overflow: "visible" } });
