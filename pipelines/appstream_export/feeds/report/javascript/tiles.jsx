// The key figures of the selection, each with what it was a week ago and where it is explained.
import { change, count, counted, dollars } from "./format.js";
import { getSelection } from "./selection.js";
import { useChoice } from "./store.js";

export function Tiles({ model, goTo }) {
  const state = useChoice();
  const { sums, scopes } = getSelection(model, state);
  const priced = model.facts.is_priced;
  const unseen = scopes.filter((scope) => scope.sight === "failed" || scope.sight === "not requested").length;
  const expected = scopes.filter((scope) => scope.sight === "expected").length;
  const ago = (now, before) => (before === undefined ? "no data of a week ago" :
    now === before ? "as a week ago" : `${now > before ? "+" : "−"}${count(Math.abs(now - before))} since last week`);
  return (
    <ul class="tiles">
      <Tile to="find" goTo={goTo} figure={count(sums.builders)} name={sums.builders === 1 ? "builder" : "builders"} note={ago(sums.builders, sums.before?.builders)} />
      <Tile to="todo-up" goTo={goTo} figure={count(sums.up)} name="up now" note={ago(sums.up, sums.before?.up)} />
      <Tile to="cost" goTo={goTo} figure={priced ? dollars(sums.rate) : "?"} name="a day now"
        note={!priced ? "no price list: see [feeds] prices" : sums.unrated ? `at least: ${count(sums.unrated)} have no price` : "run rate: as builders are now"} />
      <Tile to="cost" goTo={goTo} figure={priced ? dollars(sums.month) : "?"} name="this month"
        note={!priced ? "no price list: see [feeds] prices" : sums.week_before ? `last 7 days ${change(sums.week, sums.week_before) || "as"} against the 7 before` : `at this rate ${dollars(sums.forecast)} at its end`} />
      <Tile to="todo-exposed" goTo={goTo} figure={count(sums.exposed)} name="exposed" note="in at least one way" />
      <Tile to="unseen" goTo={goTo} isBad={unseen > 0} figure={count(unseen)} name="not seen" note={`of ${counted(scopes.length, "scope")}; ${count(expected)} expected`} />
    </ul>
  );
}

function Tile({ to, goTo, figure, name, note, isBad }) {
  return (
    <li class={isBad ? "bad" : undefined}>
      <a href={`#to=${to}`} onClick={goTo(to)}><b>{figure}</b> {name}</a>
      <span class="faint">{note}</span>
    </li>
  );
}
