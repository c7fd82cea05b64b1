// The page's data in memory, and everything that is computed from it for a selection of builders.
import { hasBlock, readBlock, readTable } from "./data.js";

const DAY_S = 86400;
const HOURS_PER_MONTH = 730;
export const UP = new Set(["PENDING", "UPDATING_AGENT", "RUNNING", "REBOOTING"]);
const PASSING = new Set(["PENDING", "UPDATING_AGENT", "SNAPSHOTTING"]);
const STUCK_HOURS = 25 / 60;
export const OLD_DAYS = 180;
export const NONE = "(none)";

export async function loadModel() {
  const facts = await readBlock("facts");
  const accounts = indexAccounts(await readTable("accounts_shown"));
  const builders = listBuilders(await readTable("builders"), accounts);
  const model = { facts, accounts, builders, asOf: Date.parse(facts.as_of.replace(" ", "T")) };
  addCalendar(model);
  addDays(model, await readTable("days"));
  addErrors(model, await readTable("errors"));
  if (hasBlock("builder_tags")) addTags(model, await readTable("builder_tags"));
  if (hasBlock("builder_images")) addImages(model, await readTable("builder_images"));
  model.scopes = listScopes(await readTable("scopes"), accounts);
  model.changes = await readTable("changes");
  for (const builder of builders) builder.text = buildText(builder);
  return model;
}

function indexAccounts(table) {
  const names = new Map();
  for (const name of table.account_name) names.set(name, (names.get(name) ?? 0) + 1);
  return new Map(table.account_id.map((id, row) => {
    const name = table.account_name[row];
    const title = name === null ? id : names.get(name) > 1 ? `${name} ${id}` : name;
    return [id, { id, title, unit: table.ou_path[row], labels: JSON.parse(table.labels_json[row] ?? "{}") }];
  }));
}

const findAccount = (accounts, id) => accounts.get(id) ?? { id, title: id, unit: null, labels: {} };

function listBuilders(table, accounts) {
  const { rows, ...columns } = table;
  const names = Object.keys(columns);
  return Array.from({ length: rows }, (_, row) => {
    const builder = { place: row, tags: null, errors: [], image: null };
    for (const name of names) builder[name] = columns[name][row];
    builder.account = findAccount(accounts, builder.account_id);
    builder.shown_state = builder.is_gone ? "gone" : builder.state ?? "unknown";
    builder.usd_per_day = computeRate(builder);
    return builder;
  });
}

// What it costs per day as it is now: null if a price is missing.
function computeRate(builder) {
  if (builder.is_gone) return 0;
  const instance = builder.is_up ? builder.usd_per_hour : 0;
  if (instance === null || builder.disk_usd_per_month === null) return null;
  return instance * 24 + (builder.disk_usd_per_month * 12) / 365;
}

function addCalendar(model) {
  const today = Math.floor(model.asOf / 1000 / DAY_S);
  const date = new Date(model.asOf);
  const first = Date.UTC(date.getUTCFullYear(), date.getUTCMonth() - 1, 1) / 1000 / DAY_S;
  const monthStart = Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1) / 1000 / DAY_S;
  const monthEnd = Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1) / 1000 / DAY_S;
  Object.assign(model, { today, firstDay: first, monthStart, monthEnd, dayCount: today - first + 1 });
  model.daysLeft = monthEnd - model.asOf / 1000 / DAY_S;
}

// Per builder and day: hours up, cost of instance and disk, and the state at the day's end.
function addDays(model, table) {
  const { builders, dayCount } = model;
  const cells = builders.length * dayCount;
  const days = { up: new Float64Array(cells), instance: new Float64Array(cells), disk: new Float64Array(cells),
    state: new Uint8Array(cells), states: [null] };
  const codes = new Map();
  let firstSeen = model.today;
  for (let row = 0; row < table.rows; row++) {
    const builder = builders[table.builder[row]];
    const state = table.state[row] ?? "unknown";
    if (!codes.has(state)) codes.set(state, days.states.push(state) - 1);
    const start = table.first_day[row] - model.firstDay;
    firstSeen = Math.min(firstSeen, table.first_day[row]);
    const [instance, disk] = [table.instance_usd[row], table.disk_usd[row]];
    if (instance === null || disk === null) builder.is_unpriced = true;
    for (let place = start; place < Math.min(start + table.days[row], dayCount); place++) {
      const cell = builder.place * dayCount + place;
      days.up[cell] += table.up_hours[row];
      days.instance[cell] += instance ?? 0;
      days.disk[cell] += disk ?? 0;
      days.state[cell] = codes.get(state);
    }
  }
  Object.assign(model, { days, firstSeen });
  for (const builder of builders) addSums(model, builder);
}

function addSums(model, builder) {
  const { days, dayCount, monthStart, firstDay, today } = model;
  const sums = { month: 0, last_month: 0, week: 0, week_before: 0, month_hours: 0 };
  for (let place = 0; place < dayCount; place++) {
    const cell = builder.place * dayCount + place;
    const cost = days.instance[cell] + days.disk[cell];
    const day = firstDay + place;
    if (day >= monthStart) {
      sums.month += cost;
      sums.month_hours += days.up[cell];
    } else sums.last_month += cost;
    // Weeks are of complete days: today is not over.
    if (day >= today - 7 && day < today) sums.week += cost;
    else if (day >= today - 14 && day < today - 7) sums.week_before += cost;
  }
  Object.assign(builder, sums);
}

function addErrors(model, table) {
  for (let row = 0; row < table.rows; row++) {
    model.builders[table.builder[row]].errors.push({
      code: table.error_code[row] ?? "unknown", message: table.error_message[row], at: table.error_timestamp[row],
    });
  }
}

function addTags(model, table) {
  for (let row = 0; row < table.rows; row++) {
    const builder = model.builders[table.builder[row]];
    builder.tags ??= {};
    if (table.tag_key[row] !== null) builder.tags[table.tag_key[row]] = table.tag_value[row] ?? "";
  }
}

function addImages(model, table) {
  for (let row = 0; row < table.rows; row++) {
    model.builders[table.builder[row]].image = {
      owner: table.source_image_owner[row], age: table.source_image_age_days[row], isGone: table.is_source_gone[row],
    };
  }
}

function listScopes(table, accounts) {
  return Array.from({ length: table.rows }, (_, row) => {
    const scope = Object.fromEntries(Object.keys(table).filter((name) => name !== "rows").map((name) => [name, table[name][row]]));
    scope.account = accounts.get(scope.account_id) ??
      { id: scope.account_id, title: scope.account_name ?? scope.account_id, unit: null, labels: {} };
    scope.sight = findSight(scope);
    return scope;
  });
}

function findSight(scope) {
  if (scope.attempted_at === null) return "not requested";
  if (scope.status === "ok" || scope.status === "filtered") return "seen";
  if (scope.status === "skipped") return "skipped";
  return scope.is_expected ? "expected" : "failed";
}

function buildText(builder) {
  const pairs = (values) => Object.entries(values ?? {}).map(([key, value]) => `${key}=${value}`);
  return [builder.name, builder.display_name, builder.description, builder.account.title, builder.account_id,
    builder.account.unit, builder.region, builder.shown_state, builder.instance_type, builder.platform,
    ...pairs(builder.account.labels), ...pairs(builder.tags)].filter(Boolean).join(" ").toLowerCase();
}

// What builders can be selected by, and costs grouped by: a key, its title, and a builder's value.
export function listDimensions(model) {
  const labels = new Set([...model.accounts.values()].flatMap((account) => Object.keys(account.labels)));
  const tags = new Map();
  for (const builder of model.builders) for (const key of Object.keys(builder.tags ?? {})) tags.set(key, (tags.get(key) ?? 0) + 1);
  const tagKeys = [...tags].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])).map(([key]) => key);
  const units = model.builders.some((builder) => builder.account.unit !== null);
  return [
    { key: "account", title: "account", of: (b) => b.account_id, show: (id) => findAccount(model.accounts, id).title, ofScope: (s) => s.account_id },
    ...(units ? [{ key: "ou", title: "organizational unit", of: (b) => b.account.unit ?? NONE, ofScope: (s) => s.account.unit ?? NONE }] : []),
    ...[...labels].sort().map((label) => ({ key: `label:${label}`, title: `label ${label}`,
      of: (b) => b.account.labels[label] ?? NONE, ofScope: (s) => s.account.labels[label] ?? NONE })),
    { key: "region", title: "region", of: (b) => b.region, ofScope: (s) => s.region },
    { key: "state", title: "state", of: (b) => b.shown_state },
    { key: "type", title: "instance type", of: (b) => b.instance_type ?? "unknown" },
    { key: "platform", title: "platform", of: (b) => b.platform ?? "unknown" },
    ...tagKeys.map((tag) => ({ key: `tag:${tag}`, title: `tag ${tag}`,
      of: (b) => (b.tags === null ? "(not known)" : b.tags[tag] ?? NONE) })),
  ];
}

export function selectBuilders(model, dimensions, state) {
  const tests = dimensions.filter((dimension) => state[dimension.key] !== undefined);
  const words = (state.q ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  return model.builders.filter((builder) =>
    tests.every((dimension) => dimension.of(builder) === state[dimension.key]) &&
    words.every((word) => builder.text.includes(word)));
}

// Scopes know an account and a region only: other filters leave all of them.
export function selectScopes(model, dimensions, state) {
  const tests = dimensions.filter((dimension) => dimension.ofScope && state[dimension.key] !== undefined);
  return model.scopes.filter((scope) => tests.every((dimension) => dimension.ofScope(scope) === state[dimension.key]));
}

export const isIdle = (builder, over) => builder.is_up && builder.up_hours >= over;
export const paysForDiskOnly = (builder) => !builder.is_gone && !builder.is_up && builder.root_volume_size_gb > 200;
export const isStuck = (builder) => PASSING.has(builder.state) && builder.state_hours >= STUCK_HOURS;
export const isFailing = (builder) => !builder.is_gone && (builder.state === "FAILED" || builder.errors.length > 0);
export const hasOldAgent = (builder) =>
  !builder.is_gone && (builder.is_latest_agent === false || builder.agent_age_days >= OLD_DAYS);
export const hasOldImage = (builder) =>
  !builder.is_gone && builder.image !== null && (builder.image.isGone === true || builder.image.age >= OLD_DAYS);

export function summarize(model, builders, over) {
  const sums = { builders: 0, up: 0, exposed: 0, unpriced: 0, rate: 0, month: 0, last_month: 0, week: 0,
    week_before: 0, month_hours: 0, idle: 0, idle_rate: 0, disks: 0, disk_month: 0, stale: 0, gone: 0 };
  for (const builder of builders) addToSums(sums, builder, over);
  sums.forecast = sums.month + sums.rate * model.daysLeft;
  sums.idle_month = (sums.idle_rate / 24) * HOURS_PER_MONTH;
  sums.before = countWeekAgo(model, builders);
  return sums;
}

export function addToSums(sums, builder, over) {
  for (const name of ["month", "last_month", "week", "week_before", "month_hours"]) sums[name] += builder[name];
  if (builder.is_gone) {
    sums.gone += 1;
    if (builder.is_unpriced) sums.unpriced += 1;
    return;
  }
  sums.builders += 1;
  sums.up += builder.is_up;
  sums.stale += builder.is_stale;
  sums.exposed += Boolean(builder.exposed_by);
  sums.unpriced += builder.usd_per_day === null || builder.is_unpriced === true;
  sums.rate += builder.usd_per_day ?? 0;
  if (isIdle(builder, over)) {
    sums.idle += 1;
    sums.idle_rate += (builder.usd_per_hour ?? 0) * 24;
  }
  if (paysForDiskOnly(builder)) {
    sums.disks += 1;
    sums.disk_month += builder.disk_usd_per_month ?? 0;
  }
}

// Builders, and those up, at the end of the day a week ago; null if that was before the first run.
function countWeekAgo(model, builders) {
  const place = model.today - 7 - model.firstDay;
  if (model.today - 7 < model.firstSeen) return null;
  const { days, dayCount } = model;
  let [found, up] = [0, 0];
  for (const builder of builders) {
    const state = days.state[builder.place * dayCount + place];
    if (!state) continue;
    found += 1;
    up += UP.has(days.states[state]);
  }
  return { builders: found, up };
}

export function groupBuilders(builders, dimension, over) {
  const groups = new Map();
  for (const builder of builders) {
    const value = dimension.of(builder);
    let sums = groups.get(value);
    if (!sums) {
      sums = { value, title: dimension.show?.(value) ?? value, builders: 0, up: 0, exposed: 0, unpriced: 0, rate: 0, month: 0,
        last_month: 0, week: 0, week_before: 0, month_hours: 0, idle: 0, idle_rate: 0, disks: 0, disk_month: 0, stale: 0, gone: 0 };
      groups.set(value, sums);
    }
    addToSums(sums, builder, over);
  }
  return [...groups.values()].sort((a, b) => b.month - a.month || b.month_hours - a.month_hours || b.builders - a.builders ||
    a.title.localeCompare(b.title));
}

// Sums per day and series: `series` gives a builder's series, `cost` what of a cell is added.
export function sumDays(model, builders, series, cost) {
  const { dayCount } = model;
  const sums = new Map();
  for (const builder of builders) {
    const name = series(builder);
    let line = sums.get(name);
    if (!line) sums.set(name, (line = new Float64Array(dayCount)));
    for (let place = 0, cell = builder.place * dayCount; place < dayCount; place++, cell++) line[place] += cost(cell);
  }
  return sums;
}

export function countStates(model, builders) {
  const { days, dayCount } = model;
  const lines = days.states.map(() => new Float64Array(dayCount));
  for (const builder of builders) {
    for (let place = 0, cell = builder.place * dayCount; place < dayCount; place++, cell++) lines[days.state[cell]][place] += 1;
  }
  return new Map(days.states.map((state, code) => [state, lines[code]]).slice(1).filter(([, line]) => line.some(Boolean)));
}

// From lines to rows of a chart: no day before the first that was seen.
export function listDays(model, lines) {
  const start = Math.max(model.firstDay, model.firstSeen);
  return [...lines].flatMap(([name, line]) =>
    Array.from({ length: model.today - start + 1 }, (_, place) => {
      const day = start + place;
      return { name, from: new Date(day * DAY_S * 1000), to: new Date((day + 1) * DAY_S * 1000),
        value: line[day - model.firstDay], isPartial: day === model.today || day === model.firstSeen && isFirstRun(model, day) };
    }));
}

const isFirstRun = (model, day) => {
  const first = model.facts.first_run_at;
  return first !== null && Math.floor(Date.parse(first.replace(" ", "T")) / 1000 / DAY_S) === day;
};

export async function loadLife(model, builder) {
  const table = await readTable(`events-${Math.floor(builder.place / model.facts.builders_per_chunk)}`);
  const rows = [];
  for (let row = 0; row < table.rows; row++) {
    if (table.builder[row] !== builder.place) continue;
    rows.push({ at: table.seen_at[row], what: table.what[row], before: table.old_value[row], after: table.new_value[row],
      lasted: table.lasted_s[row], gap: table.gap_s[row], endedBy: table.ended_by[row], older: table.older[row] });
  }
  return { events: rows, older: rows[0]?.older ?? 0 };
}
