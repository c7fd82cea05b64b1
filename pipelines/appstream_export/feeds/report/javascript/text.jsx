// Texts of AWS that are long and have no blanks, and values of the change log, as a person reads them.

// Breaks a line after the signs that part the words of a code, an ARN or a path, never within a word.
export function Breakable({ text }) {
  if (text === null || text === undefined) return null;
  return String(text).split(/(?<=[_/=,])(?=\w)|(?<=[.:])(?=[a-zA-Z])/).flatMap((part, place) => (place ? [<wbr key={place} />, part] : [part]));
}

export const CUT = 120; // the statements of the page cut values there

// A list of the change log is JSON, perhaps cut: its signs go, its keys and values stay.
export function formatValue(value) {
  if (value === null || value === undefined) return "";
  const isCut = value.length >= CUT;
  if (value === "[]" || value === "{}") return "none";
  if (!/^[[{]/.test(value)) return isCut ? `${value}…` : value;
  const plain = value
    .replace(isCut ? /,"[^"]*$/ : /$^/, "") // a key or text that is cut
    .replace(/"[^"\\]*":null,?/g, "")
    .replace(/,(?=[}\]])/g, "")
    .replace(/"([^"\\]*)":/g, (_, key) => `${key.replaceAll("_", " ")} `)
    .replace(/\},\s*\{/g, "; ")
    .replace(/[[\]{}"]/g, "")
    .replace(/,(?=\S)/g, ", ")
    .replace(/[,;\s]+$/, "");
  return isCut ? `${plain}…` : plain;
}
