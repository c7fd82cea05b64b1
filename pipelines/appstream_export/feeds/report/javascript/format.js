// Texts for people. All times are UTC.
const WHOLE = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const TENTHS = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 });
const USD = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD" });
const MONTH = new Intl.DateTimeFormat("en-US", { month: "long", year: "numeric", timeZone: "UTC" });

export const count = (number) => (number === null || number === undefined ? "" : WHOLE.format(number));
export const counted = (number, noun, plural = `${noun}s`) => `${count(number)} ${number === 1 ? noun : plural}`;
export const hours = (number) => (number === null || number === undefined ? "" : TENTHS.format(number));
export const usd = (number) => (number === null || number === undefined ? "unknown" : USD.format(number));
// As a headline: cents do not matter above ten thousand.
export const dollars = (number) => (number >= 10000 ? `$${WHOLE.format(number)}` : usd(number));
export const percent = (part) => `${TENTHS.format(part * 100)}%`;
export const month = (date) => MONTH.format(date);
export const day = (date) => date.toISOString().slice(0, 10);
export const time = (seconds) =>
  seconds === null || seconds === undefined ? "" : new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ");

export function change(now, before) {
  if (!before) return now ? "new" : "";
  const percent = ((now - before) / before) * 100;
  return `${percent > 0 ? "+" : percent < 0 ? "−" : ""}${TENTHS.format(Math.abs(percent))}%`;
}

// A period as its two largest units.
export function period(seconds) {
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.floor(minutes / 1440)} d ${Math.floor((minutes % 1440) / 60)} h`;
}
