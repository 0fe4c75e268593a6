// A Plotly figure: `react` for a whole one, `update` for what changed; the newest wins when they come faster than paints.

const CONFIG = {
  displaylogo: false,
  responsive: false,
  // Nothing leaves the machine.
  showSendToCloud: false,
  plotlyServerURL: "",
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
  toImageButtonOptions: { format: "png", scale: 2, filename: "relevance" },
};

function covers(newer, older) {
  const within = (a, b) => Object.keys(a).every((key) => key in b);
  return newer.trace === older.trace && within(older.data, newer.data) && within(older.layout, newer.layout);
}

// Changes of the same attributes in several traces go into one call.
function batches(changes) {
  const groups = new Map();
  for (const { trace, data, layout } of changes) {
    const keys = Object.keys(data).sort().join();
    if (!groups.has(keys)) groups.set(keys, { data: {}, layout: {}, traces: [] });
    const group = groups.get(keys);
    if (keys) group.traces.push(trace);
    for (const [key, value] of Object.entries(data)) (group.data[key] ??= []).push(unpacked(value));
    Object.assign(group.layout, unpacked(layout));
  }
  return groups.values();
}

// All that is said of a figure's axes. Where two figures differ in it, nothing may be left of the first: under one
// `uirevision` Plotly.js keeps axes that zoom together coupled, and takes a range that it chose itself for the user's.
function axesOf(layout) {
  const axes = Object.entries(layout).filter(([key]) => /^[xy]axis\d*$/.test(key));
  return JSON.stringify(axes.sort(([a], [b]) => (a < b ? -1 : 1)));
}

// Plotly.js looks up what lies under a click, but at most every 50 ms: while the mouse moves, it would tell what lay under
// an earlier place. It keeps that time under the figure's own name; under another name it looks at once.
function freshly(plot) {
  const name = plot._fullLayout?._uid;
  if (!name || name.endsWith("-click")) return;
  plot._fullLayout._uid = `${name}-click`;
  setTimeout(() => {
    // Another one by now, if the click has led to a change.
    if (plot._fullLayout) plot._fullLayout._uid = name;
  });
}

const plain = (value) => (ArrayBuffer.isView(value) ? Array.from(value) : value);

function clicked({ points: [point] }) {
  const { curveNumber, pointIndex, pointNumber, x, y, z, customdata, label, value } = point;
  return { curveNumber, pointIndex: plain(pointIndex ?? pointNumber), x, y, z, customdata: plain(customdata), label, value };
}

function draw(feed, model, el) {
  const plotly = modelOf(model, "_asset").then((asset) => loadPlotly(asset.get("version"), () => asset.get("code")));
  const plot = el.appendChild(document.createElement("div"));
  el.classList.add("lrp-pane");
  el.setAttribute("role", "figure");
  let figure = null; // the whole one to paint next
  let changes = []; // what to change in the one painted
  let shown = false;
  let size = {}; // as it was painted last
  let axes = ""; // of the figure that was painted last as a whole
  let busy = false;
  let closed = false;

  // The element's own size, so that a style sheet of the page can set it.
  const measured = () => ({ width: el.clientWidth, height: el.clientHeight });
  const resized = () => size.width !== el.clientWidth || size.height !== el.clientHeight;
  const visible = () => el.clientWidth > 0 && el.clientHeight > 0;
  const waiting = () => !closed && visible() && (figure || (shown && (changes.length || resized())));

  async function react(Plotly) {
    const data = unpacked(figure.data);
    const layout = { ...unpacked(figure.layout), ...measured(), autosize: false };
    figure = null;
    size = measured();
    if (shown && axesOf(layout) !== axes) {
      Plotly.purge(plot);
      shown = false;
    }
    axes = axesOf(layout);
    await Plotly.react(plot, data, layout, CONFIG);
    if (!shown) plot.on("plotly_click", (event) => feed.channel.send({ kind: "click", point: clicked(event) }));
    shown = true;
  }

  async function update(Plotly) {
    const pending = changes;
    changes = [];
    for (const { data, layout, traces } of batches(pending)) {
      if (traces.length) await Plotly.update(plot, data, layout, traces);
      else if (Object.keys(layout).length) await Plotly.relayout(plot, layout);
    }
    if (resized()) {
      size = measured();
      await Plotly.relayout(plot, { ...size });
    }
  }

  async function paint() {
    if (busy) return;
    busy = true;
    try {
      const Plotly = await plotly;
      while (waiting()) {
        const revision = feed.revision();
        await (figure ? react(Plotly) : update(Plotly));
        await nextFrame();
        delete el.dataset.error;
        if (!closed) feed.painted(el, revision);
      }
    } catch (error) {
      console.error("lrp-explorer: a figure could not be painted", error);
      el.dataset.error = `This figure could not be painted: ${error.message}`;
    } finally {
      busy = false;
    }
  }

  // Before Plotly.js, which hears of the end of a click on the document.
  const clicking = () => freshly(plot);
  const press = () => {
    for (const end of ["mouseup", "touchend"]) window.addEventListener(end, clicking, { capture: true, once: true });
  };
  el.addEventListener("pointerdown", press, { capture: true });

  const observer = new ResizeObserver(() => paint());
  observer.observe(el);
  return {
    whole(state) {
      figure = state;
      changes = [];
      el.style.setProperty("--height", `${state.height}px`);
      el.setAttribute("aria-label", state.description);
      paint();
    },
    amend(content) {
      if (content.kind === "describe") el.setAttribute("aria-label", content.description);
      else {
        changes = [...changes.filter((older) => !covers(content, older)), content];
        paint();
      }
    },
    async close() {
      closed = true;
      observer.disconnect();
      if (shown) (await plotly).purge(plot);
    },
  };
}

export default liveWidget(draw);
