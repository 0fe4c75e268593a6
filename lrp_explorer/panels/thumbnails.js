// Small canvases in a row; the kernel sends bytes, the colours are looked up here.

function pixels({ bytes, shape: [height, width, channels] }, table) {
  const values = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const colours = new Uint8Array(table.buffer, table.byteOffset, table.byteLength);
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let channel = 0; channel < 3; channel++) {
      image.data[4 * i + channel] = channels ? values[3 * i + channel] : colours[3 * values[i] + channel];
    }
    image.data[4 * i + 3] = 255;
  }
  return image;
}

function makeOption(choose) {
  const option = document.createElement("div");
  option.className = "lrp-thumbnail";
  option.id = `lrp-thumbnail-${Math.random().toString(36).slice(2)}`;
  option.setAttribute("role", "option");
  const frame = option.appendChild(document.createElement("div"));
  frame.appendChild(document.createElement("canvas"));
  for (const name of ["label", "caption"]) option.appendChild(document.createElement("span")).className = name;
  option.addEventListener("click", choose);
  return option;
}

function fill(option, { label, short, caption, picture }, table) {
  const [height, width] = picture.shape;
  const canvas = option.querySelector("canvas");
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  canvas.style.aspectRatio = `${width} / ${height}`;
  canvas.classList.toggle("wide", width >= height);
  canvas.getContext("2d").putImageData(pixels(picture, table), 0, 0);
  option.querySelector(".label").textContent = short;
  option.querySelector(".caption").textContent = caption;
  option.title = label;
  option.setAttribute("aria-label", caption ? `${label}, ${caption}` : label);
}

function draw(feed, model, el) {
  el.classList.add("lrp-thumbnails");
  el.setAttribute("role", "listbox");
  el.setAttribute("aria-orientation", "horizontal");
  el.tabIndex = 0;
  let state = null;
  let selected = -1;
  const view = Math.random().toString(36).slice(2);
  let turn = 0; // how often something was chosen here
  let answered = 0;
  let waiting = false;
  let closed = false;

  const choose = (index) => {
    if (index === selected || index < 0 || index >= el.children.length) return;
    mark(index);
    feed.channel.send({ kind: "select", index, view, turn: ++turn });
  };

  function mark(index) {
    selected = index;
    Array.from(el.children).forEach((option, i) => option.setAttribute("aria-selected", String(i === index)));
    const option = el.children[index];
    if (!option) return el.removeAttribute("aria-activedescendant");
    el.setAttribute("aria-activedescendant", option.id);
    // Only the strip scrolls, never the page.
    const left = option.offsetLeft - 8;
    const right = option.offsetLeft + option.offsetWidth + 8 - el.clientWidth;
    if (el.scrollLeft > left) el.scrollLeft = left;
    else if (el.scrollLeft < right) el.scrollLeft = right;
  }

  async function paint() {
    if (waiting) return;
    waiting = true;
    await nextFrame();
    waiting = false;
    if (closed) return;
    const { items, table, size, description } = state;
    const revision = feed.revision();
    el.style.setProperty("--size", `${size}px`);
    el.setAttribute("aria-label", description);
    while (el.children.length > items.length) el.lastChild.remove();
    while (el.children.length < items.length) {
      const index = el.children.length;
      el.appendChild(makeOption(() => choose(index)));
    }
    items.forEach((item, i) => fill(el.children[i], item, table));
    if (answered === turn) mark(state.selected);
    feed.painted(el, revision);
  }

  el.addEventListener("keydown", (event) => {
    const last = el.children.length - 1;
    const next = { ArrowRight: Math.min(selected + 1, last), ArrowLeft: Math.max(selected - 1, 0), Home: 0, End: last };
    if (!(event.key in next) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    choose(next[event.key]);
  });

  return {
    whole(whole) {
      state = whole;
      if (state.view === view) answered = state.turn;
      paint();
    },
    amend(change) {
      state = { ...state, ...change };
      if (state.view === view) answered = state.turn;
      paint();
    },
    close() {
      closed = true;
    },
  };
}

export default liveWidget(draw);
