// What the reader has chosen: it lives in the address after #, so that a link shows the same.
import { useEffect, useReducer } from "preact/hooks";

const listeners = [];
export const DEFAULTS = { over: "12", by: "account" };
export let state = readAddress();
let turn = 0;

function readAddress() {
  return { ...DEFAULTS, ...Object.fromEntries(new URLSearchParams(location.hash.slice(1))) };
}

export function formatAddress(chosen) {
  const changed = Object.entries(chosen).filter(([key, value]) => value !== undefined && value !== "" && DEFAULTS[key] !== value);
  return `#${new URLSearchParams(changed)}`;
}

// Change what is chosen; `undefined` or "" takes a choice back. Opening a builder is a step that "back" undoes.
export function choose(patch, isStep = "life" in patch) {
  const next = { ...state, ...patch };
  for (const key of Object.keys(next)) if (next[key] === undefined || next[key] === "") delete next[key];
  state = { ...DEFAULTS, ...next };
  history[isStep ? "pushState" : "replaceState"](null, "", formatAddress(state));
  notify();
}

addEventListener("hashchange", () => {
  state = readAddress();
  notify();
});
addEventListener("popstate", () => {
  state = readAddress();
  notify();
});

// Sections are drawn one after the other, each in a task of its own: a key that is pressed meanwhile is not kept waiting.
function notify() {
  const mine = ++turn;
  document.body.dataset.drawn = "";
  const queue = [...listeners];
  const step = () => {
    if (mine !== turn) return;
    const listener = queue.shift();
    if (!listener) {
      document.body.dataset.drawn = mine;
      return;
    }
    listener();
    setTimeout(step);
  };
  setTimeout(step);
}

export function useChoice() {
  const [, draw] = useReducer((number) => number + 1, 0);
  useEffect(() => {
    listeners.push(draw);
    return () => listeners.splice(listeners.indexOf(draw), 1);
  }, []);
  return state;
}
