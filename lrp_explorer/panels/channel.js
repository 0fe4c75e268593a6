// Shared by our widgets: find a model by its reference, follow its state, never miss an amendment.

// Messages that build a page do not arrive in a promised order, so a model may be asked for before it exists.
async function modelOf(model, name) {
  const id = model.get(name).replace(/^IPY_MODEL_/, "");
  const manager = model.widget_manager;
  for (let tries = 0; ; tries++) {
    try {
      return await manager.get_model(id);
    } catch (error) {
      if (tries >= 30) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

// Put the buffers back where `split` took them out.
function joined(value, buffers) {
  if (Array.isArray(value)) return value.map((item) => joined(item, buffers));
  if (value === null || typeof value !== "object" || ArrayBuffer.isView(value)) return value;
  if (typeof value.buffer === "number") return buffers[value.buffer];
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, joined(item, buffers)]));
}

const ARRAYS = {
  f4: Float32Array, f8: Float64Array, i1: Int8Array, i2: Int16Array, i4: Int32Array,
  u1: Uint8Array, u2: Uint16Array, u4: Uint32Array,
};

function nested(flat, shape) {
  if (shape.length < 2) return flat;
  const [rows, ...rest] = shape;
  const size = rest.reduce((product, n) => product * n, 1);
  return Array.from({ length: rows }, (_, i) => nested(flat.subarray(i * size, (i + 1) * size), rest));
}

// Arrays as `pack` sends them become typed arrays; all else is copied, for Plotly writes into what it is given.
function unpacked(value) {
  if (Array.isArray(value)) return value.map(unpacked);
  if (value === null || typeof value !== "object") return value;
  if (value.dtype && value.bytes) {
    const { buffer, byteOffset, byteLength } = value.bytes;
    return nested(new ARRAYS[value.dtype](buffer.slice(byteOffset, byteOffset + byteLength)), value.shape);
  }
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unpacked(item)]));
}

// Follow the state of a widget, for all its views on this page. A view has `whole(state)` and `amend(content)`.
async function openFeed(model) {
  const channel = await modelOf(model, "_channel");
  const views = new Set();
  let revision = channel.get("state").revision;
  const resync = () => channel.send({ kind: "resync", revision: channel.get("state").revision });
  const whole = () => {
    revision = channel.get("state").revision;
    views.forEach((view) => view.whole(channel.get("state")));
  };
  const amend = (content, buffers) => {
    if (content.revision <= revision) return;
    if (content.revision > revision + 1) return resync();
    revision = content.revision;
    const amendment = joined(content, buffers);
    views.forEach((view) => view.amend(amendment));
  };
  channel.on("change:state", whole);
  channel.on("msg:custom", amend);
  resync(); // what was said before these lines ran was heard by nobody
  return {
    channel,
    join(view) {
      views.add(view);
      // The model keeps whole states only: after an amendment, a new view waits for the next one.
      if (channel.get("state").revision === revision) view.whole(channel.get("state"));
      else resync();
      return () => views.delete(view);
    },
    revision: () => revision,
    painted(el, upTo) {
      el.dataset.painted = String(Number(el.dataset.painted ?? 0) + 1);
      el.dataset.revision = String(upTo);
      channel.set("painted", channel.get("painted") + 1);
      channel.save_changes();
    },
    close() {
      channel.off("change:state", whole);
      channel.off("msg:custom", amend);
    },
  };
}

// One widget of ours: `draw(feed, model, el)` makes a view and gives {whole, amend, close}.
function liveWidget(draw) {
  return () => {
    let feed;
    return {
      initialize({ model }) {
        // Not awaited: views wait for it, and anywidget allows little time here.
        feed = openFeed(model);
        feed.catch((error) => console.error("lrp-explorer: a widget found no channel to its kernel", error));
        return async () => (await feed).close();
      },
      async render({ model, el }) {
        const live = await feed;
        const view = draw(live, model, el);
        const leave = live.join(view);
        return () => {
          leave();
          view.close();
        };
      },
    };
  };
}

// The next frame, or a little later in a tab that nobody looks at, where frames never come.
function nextFrame() {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, 200);
    requestAnimationFrame(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
