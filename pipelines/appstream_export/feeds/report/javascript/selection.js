// The builders and scopes that the reader has selected, computed once per choice.
import { listDimensions, selectBuilders, selectScopes, summarize } from "./model.js";

let last = {};

export function getSelection(model, state) {
  if (last.model === model && last.state === state) return last;
  const dimensions = last.model === model ? last.dimensions : listDimensions(model);
  const over = Math.max(0, Number(state.over) || 0);
  const builders = selectBuilders(model, dimensions, state, over);
  const present = builders.filter((builder) => !builder.is_gone);
  last = { model, state, dimensions, over, builders, present, scopes: selectScopes(model, dimensions, state),
    sums: summarize(model, builders, over), isFiltered: builders.length < model.builders.length };
  return last;
}
