"use strict";
// Draws charts with plotly.js in the colours of the page, and again when its theme changes or it is printed.

function themed(value, style) {
  if (typeof value === "string") return /^--\w+$/.test(value) ? style.getPropertyValue(value).trim() : value;
  if (Array.isArray(value)) return value.map((one) => themed(one, style));
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, themed(one, style)]));
  }
  return value;
}

function axisOf(given) {
  return { gridcolor: "--grid", linecolor: "--grid", zerolinecolor: "--grid", automargin: true, fixedrange: true, ...given };
}

// spec: {data, layout} of plotly.js; strings such as "--c0" are colours of the page
function drawChart(element, spec) {
  element.spec = spec;
  const layout = {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: 12, color: "--muted" },
    margin: { l: 50, r: 16, t: 12, b: 40 }, dragmode: false,
    legend: { orientation: "h", y: 1, yanchor: "bottom", x: 0 },
    hoverlabel: { bgcolor: "--panel", bordercolor: "--grid", font: { color: "--ink" } },
    ...spec.layout, xaxis: axisOf(spec.layout.xaxis), yaxis: axisOf(spec.layout.yaxis),
  };
  const style = getComputedStyle(document.documentElement);
  return Plotly.react(element, themed(spec.data, style), themed(layout, style),
    { responsive: true, displayModeBar: false, ...spec.config });
}

function drawAgain() {
  for (const element of document.querySelectorAll(".chart")) if (element.spec) drawChart(element, element.spec);
}

for (const element of document.querySelectorAll(".chart")) {
  const given = element.querySelector("script");
  if (given) {
    const spec = JSON.parse(given.textContent);
    given.remove();
    drawChart(element, spec);
  }
}
// what is folded has no width until it is opened
document.addEventListener("toggle", drawAgain, true);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAgain);
matchMedia("print").addEventListener("change", drawAgain);
