// Draw each chart next to its specification, and show a banner if the page is old.
const specs = [...document.querySelectorAll('script[type="application/json"]')];
Promise.all(specs.map((spec) =>
  vegaEmbed(spec.previousElementSibling, JSON.parse(spec.textContent), { actions: false, renderer: "svg" })
)).then(() => { document.body.dataset.drawn = specs.length; });

const { asOf, oldAfterS } = document.body.dataset;
const ageS = (Date.now() - Date.parse(asOf.replace(" ", "T"))) / 1000;
if (ageS > Number(oldAfterS)) {
  const banner = document.getElementById("old");
  banner.hidden = false;
  const hours = Math.floor(ageS / 3600);
  const age = hours < 48 ? `${hours} hours` : `${Math.floor(hours / 24)} days`;
  banner.textContent = `This page is ${age} old. A run is overdue, or you are looking at an old copy.`;
}
