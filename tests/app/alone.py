"""Panes on a page of their own, without a kernel: the widget's own code in a browser, fed with what a kernel sends."""

from __future__ import annotations

import base64
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from lrp_explorer.panels.channel import source, split
from lrp_explorer.panels.pane import PlotlyPane

SCRIPT = """
class Model {
  constructor(traits) { Object.assign(this, { traits, heard: {} }); }
  get(name) { return this.traits[name]; }
  set(name, value) { this.traits[name] = value; }
  save_changes() {}
  on(event, callback) { (this.heard[event] ??= []).push(callback); }
  off() {}
  send(message) { if (message.kind === "click") clicks.push(message.point); }
  tell(event, ...what) { for (const callback of this.heard[event] ?? []) callback(...what); }
}
const bytes = (text) => new DataView(Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0)).buffer);
const whole = (item, buffers) => {
  if (Array.isArray(item)) return item.map((part) => whole(part, buffers));
  if (item === null || typeof item !== "object") return item;
  if (typeof item.buffer === "number") return buffers[item.buffer];
  return Object.fromEntries(Object.entries(item).map(([key, part]) => [key, whole(part, buffers)]));
};
const clicks = [];
const channels = {};
globalThis[Symbol.for("lrp_explorer.plotly")] = { here: Promise.resolve(Plotly) };
async function mount(id, [state, buffers], address) {
  const channel = (channels[id] = new Model({ state: whole(state, buffers.map(bytes)), painted: 0 }));
  const model = new Model({ _channel: "channel", _asset: "asset" });
  const models = { channel, asset: new Model({ version: "here" }) };
  model.widget_manager = { get_model: async (name) => models[name] };
  const el = document.body.appendChild(document.createElement("div"));
  Object.assign(el, { id }).style.width = "720px";
  const widget = (await import(address)).default();
  widget.initialize({ model });
  await widget.render({ model, el });
}
function show(id, [state, buffers]) {
  channels[id].set("state", whole(state, buffers.map(bytes)));
  channels[id].tell("change:state");
}
function amend(id, [content, buffers]) {
  channels[id].tell("msg:custom", content, buffers.map(bytes));
}
// What Plotly.js has made of a figure: every axis and every trace, all that it chose itself included.
function made(id) {
  const { _fullLayout: layout, _fullData: data } = document.querySelector(`#${id} .js-plotly-plot`);
  const public_ = (value) => {
    if (ArrayBuffer.isView(value)) return Array.from(value);
    if (Array.isArray(value)) return value.map(public_);
    if (value === null || typeof value !== "object") return typeof value === "function" ? undefined : value;
    const kept = Object.entries(value).filter(([key, part]) => !/^_|^uid$/.test(key) && typeof part !== "function");
    return Object.fromEntries(kept.sort().map(([key, part]) => [key, public_(part)]));
  };
  const axes = Object.entries(layout).filter(([key]) => /^[xy]axis\\d*$/.test(key));
  const told = axes.map(([key, axis]) => [key, public_(axis)]);
  return { axes: Object.fromEntries(told), traces: data.map(public_), annotations: public_(layout.annotations) };
}
"""


class Sheet:
    """A page with panes.

    Parameters
    ----------
    page : playwright Page
        An empty one.
    """

    def __init__(self, page: Any) -> None:
        self.page = page
        page.set_content('<!doctype html><html lang="en"><body style="margin: 0"></body></html>')
        page.add_style_tag(content=source("pane.css"))
        page.add_script_tag(content=get_plotlyjs())
        page.add_script_tag(content=SCRIPT)
        code = PlotlyPane._esm if isinstance(PlotlyPane._esm, str) else source("channel.js", "plotly.js", "pane.js")
        script = "(code) => URL.createObjectURL(new Blob([code], { type: 'text/javascript' }))"
        self._address = page.evaluate(script, code)
        self._panes: dict[str, PlotlyPane] = {}

    def mount(self, name: str, figure: go.Figure, height: int) -> PlotlyPane:
        """Put a pane on the page; what it is told from then on is passed on by `follow`."""
        pane = self._panes[name] = PlotlyPane(figure, height=height)
        pane._channel._send = lambda message, buffers=None: None  # type: ignore[method-assign]
        self.page.evaluate("([id, state, address]) => mount(id, state, address)", [name, _sent(pane), self._address])
        self.page.wait_for_function("(id) => document.getElementById(id).dataset.painted", arg=name)
        return pane

    def show(self, name: str, figure: go.Figure) -> None:
        """Show another figure, and wait until it is painted."""
        pane = self._panes[name]
        pane.show(figure)
        self.page.evaluate("([id, state]) => show(id, state)", [name, _sent(pane)])
        script = "([id, revision]) => document.getElementById(id).dataset.revision === String(revision)"
        self.page.wait_for_function(script, arg=[name, pane._state["revision"]])

    def made(self, name: str) -> Any:
        """Give all axes and traces as Plotly.js has made them."""
        return self.page.evaluate("(id) => made(id)", name)


def _sent(pane: PlotlyPane) -> list[Any]:
    plain, buffers = split(pane._state)
    return [plain, [base64.b64encode(buffer).decode() for buffer in buffers]]
