// Plotly.js once per page and version, for whoever asks first: a page that knows that it will be needed, or a pane.
const PLOTLY = (globalThis[Symbol.for("lrp_explorer.plotly")] ??= {});

async function loadPlotly(version, fetchCompressed) {
  // Somebody else's attempt may have failed; then it is tried once more in our own way.
  if (PLOTLY[version]) await PLOTLY[version].catch(() => delete PLOTLY[version]);
  PLOTLY[version] ??= Promise.resolve(fetchCompressed()).then(evaluate);
  return PLOTLY[version];
}

async function evaluate(compressed) {
  const stream = new Blob([compressed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const code = await new Response(stream).blob();
  // As parameters, so that the bundle sees no `define` of require.js and takes the way of a plain script.
  const url = URL.createObjectURL(
    new Blob(["(function (define, module, exports) {\n", code, "\n}).call(window);"], { type: "text/javascript" }),
  );
  const before = window.Plotly; // someone else's, perhaps of another version
  const script = Object.assign(document.createElement("script"), { src: url });
  try {
    await new Promise((resolve, reject) => {
      script.onload = resolve;
      script.onerror = () => reject(new Error("the browser refused to run Plotly.js"));
      document.head.append(script);
    });
    const ours = window.Plotly;
    if (!ours || ours === before) throw new Error("Plotly.js did not start");
    if (before) window.Plotly = before;
    return ours;
  } finally {
    script.remove();
    URL.revokeObjectURL(url);
  }
}
