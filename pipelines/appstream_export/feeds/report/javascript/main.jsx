// Starts the page: unpacks the data, draws the sections, and warns if the page is old.
import { render } from "preact";
import { Changes } from "./changes.jsx";
import { Cost } from "./cost.jsx";
import { Bar, Filters } from "./filters.jsx";
import { Find } from "./find.jsx";
import { Life } from "./life.jsx";
import { loadModel, pause } from "./model.js";
import { choose, state } from "./store.js";
import { Tiles } from "./tiles.jsx";
import { Todo } from "./todo.jsx";
import { Unseen } from "./unseen.jsx";

const SECTIONS = [["filters", Filters], ["bar", Bar], ["tiles", Tiles], ["cost", Cost], ["find", Find], ["todo", Todo], ["changes", Changes], ["unseen", Unseen], ["life", Life]];

const goTo = (id) => (event) => {
  event.preventDefault();
  choose({ to: id });
  scrollTo(id);
};

function scrollTo(id) {
  // A list without builders is not there: its section is.
  const section = document.getElementById(id) ?? document.getElementById(id.split("-")[0]);
  section?.scrollIntoView();
  const heading = section?.querySelector("h2, h3");
  if (!heading) return;
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
}

// Each section in a task of its own, so that the first is there before the last is computed.
async function start() {
  const model = await loadModel();
  await pause();
  for (const [id, Section] of SECTIONS) {
    drawSection(id, <Section model={model} goTo={goTo} />);
    await pause();
  }
  for (const link of document.querySelectorAll("a[data-to]")) link.addEventListener("click", goTo(link.dataset.to));
  if (state.to) scrollTo(state.to);
  document.body.dataset.drawn = "0";
  warnIfOld(model);
}

// A part that fails says so, and the others are drawn.
function drawSection(id, section) {
  const place = document.getElementById(`place-${id}`);
  try {
    render(section, place);
  } catch (error) {
    place.textContent = `This part could not be drawn: ${error.message}`;
    reportError(error);
  }
}

function warnIfOld({ asOf, facts }) {
  const ageS = (Date.now() - asOf) / 1000;
  if (ageS <= facts.old_after_s) return;
  const hours = Math.floor(ageS / 3600);
  const age = hours < 48 ? `${hours} hours` : `${Math.floor(hours / 24)} days`;
  const banner = document.getElementById("old");
  banner.textContent = `This page is ${age} old. A run is overdue, or you are looking at an old copy.`;
  banner.hidden = false;
}

start();
