// The bar of filters: what they leave applies to the whole page.
import { useRef } from "preact/hooks";
import { count, counted } from "./format.js";
import { countBuilders, NEEDS } from "./model.js";
import { getSelection } from "./selection.js";
import { choose, useChoice } from "./store.js";

const OPTIONS_MAX = 300; // of one list; the search finds the others

export function Filters({ model }) {
  const state = useChoice();
  const { dimensions } = getSelection(model, state);
  const lists = useRef(null);
  lists.current ??= new Map(dimensions.map((dimension) => [dimension.key, listOptions(model, dimension)]));
  const isTag = (dimension) => dimension.key.startsWith("tag:");
  const rare = dimensions.filter((dimension) => dimension.isRare);
  const tags = dimensions.filter(isTag);
  const choices = (found) => found.map((dimension) => <Choice key={dimension.key} dimension={dimension} options={lists.current.get(dimension.key)} state={state} />);
  return (
    <search class="filters" aria-label="Filter the page">
      <label class="wide">Search
        <input type="search" value={state.q ?? ""} placeholder="name, account, tag, image, address, error …" autocomplete="off"
          onInput={(event) => choose({ q: event.currentTarget.value })} />
      </label>
      {choices(dimensions.filter((dimension) => !dimension.isRare && !isTag(dimension)))}
      {tags.length > 0 && <TagChoice dimensions={tags} lists={lists.current} state={state} />}
      <details open={rare.some((dimension) => state[dimension.key] !== undefined) || state.needs !== undefined}>
        <summary>More filters</summary>
        <div class="filters">{choices(rare)}<NeedChoice model={model} state={state} /></div>
      </details>
    </search>
  );
}

// Stays in sight: where to go, and what is selected.
export function Bar({ model, goTo }) {
  const state = useChoice();
  const { dimensions, sums, over, isFiltered } = getSelection(model, state);
  const need = NEEDS.find((known) => known.id === state.needs);
  const chosen = [
    ...(state.q ? [{ key: "q", title: "search", value: state.q }] : []),
    ...dimensions.filter((dimension) => state[dimension.key] !== undefined)
      .map(({ key, title, show }) => ({ key, title, value: show?.(state[key]) ?? state[key] })),
    ...(need ? [{ key: "needs", title: "needs doing", value: need.title(over) }] : []),
  ];
  const clear = (keys) => choose(Object.fromEntries(keys.map((key) => [key, undefined])));
  return (
    <div class="bar">
      <nav aria-label="Sections">{LINKS.map(([id, title]) => <a key={id} href={`#to=${id}`} onClick={goTo(id)}>{title}</a>)}</nav>
      <p role="status">{isFiltered ? <strong>{count(sums.builders)} of {counted(countBuilders(model.builders.filter((b) => !b.is_gone)), "builder")}</strong>
        : `All ${counted(sums.builders, "builder")}`}{sums.gone > 0 && <span class="faint"> and {count(sums.gone)} gone</span>}</p>
      {chosen.map(({ key, title, value }) => (
        <button type="button" key={key} onClick={() => clear([key])} aria-label={`${title}: ${value}. Remove this filter`}>{title}: {value} ✕</button>
      ))}
      {chosen.length > 1 && <button type="button" onClick={() => clear(chosen.map(({ key }) => key))}>Show all</button>}
    </div>
  );
}

const LINKS = [["filters", "Filter"], ["cost", "Cost"], ["find", "Builders"], ["todo", "To do"], ["changes", "Changes"],
  ["unseen", "Not seen"], ["sql", "SQL"]];

function listOptions(model, dimension) {
  const found = new Map();
  for (const builder of model.builders) {
    for (const value of [dimension.of(builder)].flat()) found.set(value, (found.get(value) ?? 0) + builder.number);
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

function NeedChoice({ model, state }) {
  const { over } = getSelection(model, state);
  return (
    <label>Needs doing
      <select value={state.needs ?? ""} onChange={(event) => choose({ needs: event.currentTarget.value || undefined })}>
        <option value="">All</option>
        {NEEDS.filter((need) => isKnown(model, need)).map((need) => <option key={need.id} value={need.id}>{need.title(over)}</option>)}
      </select>
    </label>
  );
}

// Whether what the list needs is exported.
export const isKnown = ({ facts }, need) => !(need.needs && facts.off[need.needs]) && (facts.is_priced || !need.isPriced);

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

