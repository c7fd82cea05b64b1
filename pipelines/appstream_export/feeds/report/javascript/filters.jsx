// The bar of filters: what they leave applies to the whole page.
import { useRef } from "preact/hooks";
import { count, counted } from "./format.js";

import { getSelection } from "./selection.js";
import { choose, useChoice } from "./store.js";

const OPTIONS_MAX = 300; // of one list; the search finds the others

export function Filters({ model }) {
  const state = useChoice();
  const { dimensions, sums, isFiltered } = getSelection(model, state);
  const lists = useRef(null);
  lists.current ??= new Map(dimensions.map((dimension) => [dimension.key, listOptions(model, dimension)]));
  const plain = dimensions.filter((dimension) => !dimension.key.startsWith("tag:"));
  const tags = dimensions.filter((dimension) => dimension.key.startsWith("tag:"));
  const chosen = dimensions.filter((dimension) => state[dimension.key] !== undefined);
  return (
    <search class="filters" aria-label="Filter the page">
      <label class="wide">Search
        <input type="search" value={state.q ?? ""} placeholder="name, account, region, state, tag …" autocomplete="off"
          onInput={(event) => choose({ q: event.currentTarget.value })} />
      </label>
      {plain.map((dimension) => <Choice key={dimension.key} dimension={dimension} options={lists.current.get(dimension.key)} state={state} />)}
      {tags.length > 0 && <TagChoice dimensions={tags} lists={lists.current} state={state} />}
      <p class="result" role="status">
        {isFiltered ? <>{count(sums.builders)} of {counted(model.builders.filter((b) => !b.is_gone).length, "builder")} </> : <>All {counted(sums.builders, "builder")} </>}
        {chosen.map((dimension) => (
          <button type="button" key={dimension.key} onClick={() => choose({ [dimension.key]: undefined })}
            aria-label={`Remove the filter ${dimension.title}`}>
            {dimension.title}: {dimension.show?.(state[dimension.key]) ?? state[dimension.key]} ✕
          </button>
        ))}
        {(chosen.length > 0 || state.q) && <button type="button" onClick={() => choose({
          q: undefined, ...Object.fromEntries(chosen.map((dimension) => [dimension.key, undefined])) })}>Show all</button>}
      </p>
    </search>
  );
}

function listOptions(model, dimension) {
  const found = new Map();
  for (const builder of model.builders) {
    const value = dimension.of(builder);
    found.set(value, (found.get(value) ?? 0) + 1);
  }
  if (dimension.ofScope) for (const scope of model.scopes) if (!found.has(dimension.ofScope(scope))) found.set(dimension.ofScope(scope), 0);
  const all = [...found].map(([value, builders]) => ({ value, builders, title: dimension.show?.(value) ?? value }));
  const most = all.sort((a, b) => b.builders - a.builders).slice(0, OPTIONS_MAX);
  return { options: most.sort((a, b) => a.title.localeCompare(b.title, "en", { numeric: true })), older: all.length - most.length };
}

function Choice({ dimension, options: { options, older }, state }) {
  const value = state[dimension.key];
  return (
    <label>{dimension.title[0].toUpperCase() + dimension.title.slice(1)}
      <select value={value ?? ""} onChange={(event) => choose({ [dimension.key]: event.currentTarget.value || undefined })}>
        <option value="">All</option>
        {value !== undefined && !options.some((option) => option.value === value) && <option value={value}>{value}</option>}
        {options.map((option) => <option key={option.value} value={option.value}>{option.title} ({count(option.builders)})</option>)}
        {older > 0 && <option disabled>{count(older)} more: use the search</option>}
      </select>
    </label>
  );
}

function TagChoice({ dimensions, lists, state }) {
  const chosen = dimensions.find((dimension) => state[dimension.key] !== undefined);
  const pick = (text) => {
    const cleared = Object.fromEntries(dimensions.map((dimension) => [dimension.key, undefined]));
    const [key, value] = text ? JSON.parse(text) : [];
    choose(key ? { ...cleared, [key]: value } : cleared);
  };
  return (
    <label>Tag
      <select value={chosen ? JSON.stringify([chosen.key, state[chosen.key]]) : ""} onChange={(event) => pick(event.currentTarget.value)}>
        <option value="">All</option>
        {dimensions.slice(0, 20).map((dimension) => {
          const { options, older } = lists.get(dimension.key);
          return (
            <optgroup key={dimension.key} label={dimension.key.slice(4)}>
              {options.slice(0, 50).map((option) => (
                <option key={option.value} value={JSON.stringify([dimension.key, option.value])}>{dimension.key.slice(4)}={option.title} ({count(option.builders)})</option>
              ))}
              {older + Math.max(0, options.length - 50) > 0 && <option disabled>{count(older + Math.max(0, options.length - 50))} more: use the search</option>}
            </optgroup>
          );
        })}
      </select>
    </label>
  );
}

