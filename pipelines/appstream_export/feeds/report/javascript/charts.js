// The browser's side of the charts: what page.js calls.
export { default as vegaEmbed } from "vega-embed";
