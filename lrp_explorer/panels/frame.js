// Sliders of ipywidgets have a label beside them and icons a title, but no name of their own for a screen reader.

function nameControls(root) {
  for (const slider of root.querySelectorAll(".widget-slider, .jupyter-widget-slider")) {
    const label = slider.querySelector("label, .widget-label");
    const handle = slider.querySelector(".noUi-handle");
    if (label && handle) handle.setAttribute("aria-label", label.textContent);
  }
  // The glyph of an icon is a character without meaning, and would be read instead of the title.
  for (const button of root.querySelectorAll("button[title]:not([aria-label])")) {
    if (!button.textContent.trim()) button.setAttribute("aria-label", button.title);
  }
}

function render({ model, el }) {
  el.style.display = "none";
  // Every widget of the page listens by now: the kernel may say again what it said before.
  model.send({ kind: "shown" });
  let observer;
  // A widget is rendered before it is put into the page.
  const timer = setTimeout(() => {
    const home = el.closest(".lrp-panel, .lrp-explorer");
    const roots = home?.querySelectorAll(".lrp-controls, .lrp-path-controls, .lrp-theta, .lrp-effect") ?? [];
    observer = new MutationObserver(() => roots.forEach(nameControls));
    for (const root of roots) {
      nameControls(root);
      observer.observe(root, { childList: true, subtree: true });
    }
  }, 500);
  return () => {
    clearTimeout(timer);
    observer?.disconnect();
  };
}

export default { render };
