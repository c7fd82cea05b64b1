// The page's data in memory, and everything that is computed from it for a selection of builders.
import { hasBlock, readBlock, readTable } from "./data.js";

const DAY_S = 86400;
const HOURS_PER_MONTH = 730;
export const UP = new Set(["PENDING", "UPDATING_AGENT", "RUNNING", "REBOOTING"]);
const PASSING = new Set(["PENDING", "UPDATING_AGENT", "SNAPSHOTTING"]);
const STUCK_HOURS = 25 / 60;
export const OLD_DAYS = 180;
export const NONE = "(none)";
const LEFT_OUT = "(left out)";
const WAYS = { internet: "internet", imdsv1: "IMDSv1", agents: "AI agents", ipv6: "IPv6" };

export async function loadModel() {
  const facts = await readBlock("facts");
  const accounts = indexAccounts(await readTable("accounts_shown"));
  const shown = listBuilders(await readTable("builders"), accounts);
  const leftOut = hasBlock("left_out") ? listBuilders(await readTable("left_out"), accounts, shown.length) : [];
  const builders = [...shown, ...leftOut];
  const model = { facts, accounts, builders, asOf: Date.parse(facts.as_of.replace(" ", "T")) };
  addCalendar(model);
  await pause();
  addDays(model, await readTable("days"));
  if (leftOut.length) addDays(model, await readTable("left_out_days"));
  await pause();
  for (const builder of builders) addSums(model, builder);
  addErrors(model, await readTable("errors"));
  if (hasBlock("builder_tags")) addTags(model, await readTable("builder_tags"));
  if (hasBlock("builder_images")) addImages(model, await readTable("builder_images"));
  model.scopes = listScopes(await readTable("scopes"), accounts);
  model.changes = await readTable("changes");
  await pause();
  for (const builder of builders) builder.text = buildText(builder);
  return model;
}

// Ends a task, so that the page answers in between.
export const pause = () => new Promise((resolve) => setTimeout(resolve));

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

// Rows of `left_out` are several builders that are alike: `number` says how many. They are counted, but in no list.
function listBuilders(table, accounts, first = 0) {
  const { rows, ...columns } = table;
  const names = Object.keys(columns);
  return Array.from({ length: rows }, (_, row) => {
    const builder = { place: first + row, number: 1, tags: null, errors: [], image: null };
    for (const name of names) builder[name] = columns[name][row];
    builder.isLeftOut = builder.name === undefined;
    if (builder.has_errors) builder.errors = [{ code: LEFT_OUT, message: null, at: null }];
    if (builder.has_old_image) builder.image = { owner: null, age: null, isGone: true };
    builder.account = findAccount(accounts, builder.account_id);
    builder.shown_state = builder.is_gone ? "gone" : builder.state ?? "unknown";
    builder.usd_per_day = computeRate(builder);
    builder.ways = (builder.exposed_by ?? "").split(", ").filter(Boolean).map((way) => WAYS[way] ?? way.replaceAll("_", " "));
    builder.image_name = builder.image_arn?.split("/").pop() ?? null;
    return builder;
  });
}

// What it costs per day as it is now: null if a price is missing.
function computeRate(builder) {
  if (builder.is_gone) return 0;
  const instance = builder.is_running ? builder.usd_per_hour : 0;
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

// Per builder and day: hours up, cost of instance and disk, and the state at the day's end. Builders that are left out
// are in several states: `groups` counts them.
function addDays(model, table) {
  const { builders, dayCount } = model;
  const cells = builders.length * dayCount;
  const days = (model.days ??= { up: new Float64Array(cells), instance: new Float64Array(cells), disk: new Float64Array(cells),
    state: new Uint8Array(cells), states: [null], groups: [] });
  const codes = new Map(days.states.map((state, code) => [state, code]));
  model.firstSeen ??= findFirstRunDay(model) ?? model.today;
  for (let row = 0; row < table.rows; row++) {
    const builder = builders[table.builder[row]];
    const state = table.state[row] ?? "unknown";
    if (!codes.has(state)) codes.set(state, days.states.push(state) - 1);
    const start = table.first_day[row] - model.firstDay;
    model.firstSeen = Math.min(model.firstSeen, table.first_day[row]);
    const [instance, disk] = [table.instance_usd_at_least[row], table.disk_usd_at_least[row]];
    if (instance === null || disk === null) builder.is_unpriced = true;
    const end = Math.min(start + table.days[row], dayCount);
    if (builder.isLeftOut) days.groups.push({ place: builder.place, start, end, code: codes.get(state), number: table.number[row] });
    for (let cell = builder.place * dayCount + start; cell < builder.place * dayCount + end; cell++) {
      days.up[cell] += table.running_hours_at_least[row];
      days.instance[cell] += instance ?? 0;
      days.disk[cell] += disk ?? 0;
      if (!builder.isLeftOut) days.state[cell] = codes.get(state);
    }
  }
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
    builder.account.unit, builder.region, builder.shown_state, builder.instance_type, builder.platform, builder.image_name,
    builder.iam_role_arn, builder.directory_name, builder.eni_private_ip_address, builder.subnet_ids, builder.security_group_ids,
    builder.vpce_ids, ...builder.ways, ...builder.errors.map((error) => error.code),
    ...pairs(builder.account.labels), ...pairs(builder.tags)].filter(Boolean).join(" ").toLowerCase();
}

// What builders can be selected by, and costs grouped by: a key, its title, and a builder's value, or its values.
// `isRare` ones are below "More filters"; cost is not grouped by those with several values.
export function listDimensions(model) {
  const labels = new Set([...model.accounts.values()].flatMap((account) => Object.keys(account.labels)));
  const tags = new Map();
  for (const builder of model.builders) for (const key of Object.keys(builder.tags ?? {})) tags.set(key, (tags.get(key) ?? 0) + 1);
  const tagKeys = [...tags].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])).map(([key]) => key);
  const units = model.builders.some((builder) => builder.account.unit !== null);
  const images = model.builders.some((builder) => builder.image_name);
  return [
    { key: "account", title: "account", of: (b) => b.account_id, show: (id) => findAccount(model.accounts, id).title, ofScope: (s) => s.account_id },
    ...(units ? [{ key: "ou", title: "organizational unit", isRare: true, of: (b) => b.account.unit ?? NONE, ofScope: (s) => s.account.unit ?? NONE }] : []),
    ...[...labels].sort().map((label) => ({ key: `label:${label}`, title: `label ${label}`,
      of: (b) => b.account.labels[label] ?? NONE, ofScope: (s) => s.account.labels[label] ?? NONE })),
    { key: "region", title: "region", of: (b) => b.region, ofScope: (s) => s.region },
    { key: "state", title: "state", of: (b) => b.shown_state },
    { key: "type", title: "instance type", of: (b) => b.instance_type ?? "unknown" },
    { key: "platform", title: "platform", isRare: true, of: (b) => b.platform ?? "unknown" },
    ...(images ? [{ key: "image", title: "image", isRare: true, of: (b) => (b.isLeftOut ? LEFT_OUT : b.image_name ?? NONE) }] : []),
    { key: "exposed", title: "exposed by", isRare: true, hasSeveral: true, of: (b) => (b.ways.length ? b.ways : [NONE]) },
    ...tagKeys.map((tag) => ({ key: `tag:${tag}`, title: `tag ${tag}`,
      of: (b) => (b.isLeftOut ? LEFT_OUT : b.tags === null ? "(not known)" : b.tags[tag] ?? NONE) })),
  ];
}

export function selectBuilders(model, dimensions, state, over) {
  const tests = dimensions.filter((dimension) => state[dimension.key] !== undefined)
    .map(({ hasSeveral, of, key }) => (builder) => (hasSeveral ? of(builder).includes(state[key]) : of(builder) === state[key]));
  const need = NEEDS.find((known) => known.id === state.needs);
  if (need) tests.push((builder) => need.test(builder, over));
  const words = (state.q ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  return model.builders.filter((builder) =>
    tests.every((test) => test(builder)) && words.every((word) => builder.text.includes(word)));
}

// Scopes know an account and a region only: other filters leave all of them.
export function selectScopes(model, dimensions, state) {
  const tests = dimensions.filter((dimension) => dimension.ofScope && state[dimension.key] !== undefined);
  return model.scopes.filter((scope) => tests.every((dimension) => dimension.ofScope(scope) === state[dimension.key]));
}

const isIdle = (builder, over) => builder.is_running === 1 && builder.running_hours_at_least >= over;
const paysForDiskOnly = (builder) => !builder.is_gone && !builder.is_running && builder.root_volume_size_gb > 200;
const hasNoPrice = (builder) => !builder.is_gone && (builder.usd_per_day === null || builder.is_unpriced === true);
const isStuck = (builder) => PASSING.has(builder.state) && builder.state_hours >= STUCK_HOURS;
const isFailing = (builder) => !builder.is_gone && (builder.state === "FAILED" || builder.errors.length > 0);
const hasOldAgent = (builder) =>
  !builder.is_gone && (builder.is_latest_agent === 0 || builder.agent_age_days >= OLD_DAYS);
const hasOldImage = (builder) =>
  !builder.is_gone && builder.image !== null && (builder.image.isGone || builder.image.age >= OLD_DAYS);

// What needs doing: the title of each list, and which builders it has.
export const NEEDS = [
  { id: "up", title: (over) => `Up for ${over} hours or more`, test: isIdle, none: "up for long" },
  { id: "disk", title: () => "Stopped, but paying for disk", test: paysForDiskOnly, none: "stopped and paying for disk" },
  { id: "exposed", title: () => "Exposed", test: (builder) => builder.ways.length > 0, none: "exposed" },
  { id: "image", title: () => `Made from an image that is gone or older than ${OLD_DAYS} days`, test: hasOldImage, none: "made from an old image", needs: "builder_images" },
  { id: "agent", title: () => `Agent is not the newest, or older than ${OLD_DAYS} days`, test: hasOldAgent, none: "with an old agent" },
  { id: "stuck", title: () => "Stuck in a state that passes within minutes", test: isStuck, none: "stuck" },
  { id: "failing", title: () => "Failing", test: isFailing, none: "failing" },
  { id: "price", title: () => "Without a price", test: hasNoPrice, none: "without a price", isPriced: true },
];

export const countBuilders = (builders) => builders.reduce((sum, builder) => sum + builder.number, 0);

const startSums = () => ({ builders: 0, up: 0, exposed: 0, unpriced: 0, unpriced_gone: 0, unrated: 0, rate: 0, month: 0, last_month: 0, week: 0,
  week_before: 0, month_hours: 0, idle: 0, idle_rate: 0, disks: 0, disk_month: 0, stale: 0, gone: 0 });

export function summarize(model, builders, over) {
  const sums = startSums();
  for (const builder of builders) addToSums(sums, builder, over);
  sums.forecast = sums.month + sums.rate * model.daysLeft;
  sums.idle_month = (sums.idle_rate / 24) * HOURS_PER_MONTH;
  sums.before = countWeekAgo(model, builders);
  return sums;
}

function addToSums(sums, builder, over) {
  const { number } = builder;
  for (const name of ["month", "last_month", "week", "week_before", "month_hours"]) sums[name] += builder[name];
  if (builder.is_gone) {
    sums.gone += number;
    if (builder.is_unpriced) sums.unpriced_gone += number;
    return;
  }
  sums.builders += number;
  sums.up += builder.is_running * number;
  sums.stale += builder.is_stale * number;
  sums.exposed += (builder.ways.length > 0) * number;
  sums.unpriced += hasNoPrice(builder) * number;
  sums.unrated += (builder.usd_per_day === null) * number;
  sums.rate += (builder.usd_per_day ?? 0) * number;
  if (isIdle(builder, over)) {
    sums.idle += number;
    sums.idle_rate += (builder.usd_per_hour ?? 0) * 24 * number;
  }
  if (paysForDiskOnly(builder)) {
    sums.disks += number;
    sums.disk_month += (builder.disk_usd_per_month ?? 0) * number;
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
  for (const { start, end, code, number } of listGroups(days, builders)) {
    if (place < start || place >= end) continue;
    found += number;
    up += UP.has(days.states[code]) * number;
  }
  return { builders: found, up };
}

function listGroups({ groups }, builders) {
  if (!groups.length) return groups;
  const places = new Set(builders.map((builder) => builder.place));
  return groups.filter((group) => places.has(group.place));
}

export function groupBuilders(builders, dimension, over) {
  const groups = new Map();
  for (const builder of builders) {
    const value = dimension.of(builder);
    let sums = groups.get(value);
    if (!sums) {
      sums = { value, title: dimension.show?.(value) ?? value, ...startSums() };
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
  for (const { start, end, code, number } of listGroups(days, builders)) {
    for (let place = start; place < end; place++) lines[code][place] += number;
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
        value: line[day - model.firstDay], isPartial: day === model.today || day === findFirstRunDay(model) };
    }));
}

// The day of the first snapshot that is kept; null if none is.
function findFirstRunDay({ facts }) {
  const first = facts.first_run_at;
  return first === null ? null : Math.floor(Date.parse(first.replace(" ", "T")) / 1000 / DAY_S);
}

export const missesLastMonth = (model) => model.firstSeen >= model.monthStart;

export async function loadLife(model, builder) {
  const table = await readTable(`events-${Math.floor(builder.place / model.facts.builders_per_chunk)}`);
  const rows = [];
  for (let row = 0; row < table.rows; row++) {
    if (table.builder[row] !== builder.place) continue;
    rows.push({ at: table.observed_at[row], what: table.column_name[row], before: table.old_value[row], after: table.new_value[row],
      lasted: table.lasted_s[row], gap: table.gap_s[row], endedBy: table.ended_by[row], older: table.older[row] });
  }
  return { events: rows, older: rows[0]?.older ?? 0 };
}
