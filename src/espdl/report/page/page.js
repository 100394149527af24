"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = id => document.getElementById(id);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const panel = byId("details"), content = byId("content"), canvas = byId("canvas"), tip = byId("tip");
const drawing = canvas.querySelector("svg"), box = drawing.viewBox.baseVal;
let chosen = -1;

function make(tag, text, style) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (style) element.className = style;
  return element;
}

// Details of a node

function nodeLink(index) {
  const node = data.nodes[index], button = make("button", node.op + " " + node.name, "link");
  button.type = "button";
  button.dataset.node = index;
  return button;
}

function definitions(rows) {
  const list = make("dl");
  for (const [name, text] of rows) list.append(make("dt", name), make("dd", text));
  return list;
}

function tensorView(number, around) {
  const tensor = data.tensors[number], view = make("div", undefined, "tensor");
  view.append(make("b", tensor.name), make("p", tensor.facts.join(", ")));
  if (tensor.place) view.append(make("p", tensor.place));
  const others = around === "from" ? (tensor.maker === null ? [] : [tensor.maker]) : tensor.readers;
  for (const index of others) {
    const line = make("p", around === "from" ? "from " : "to ");
    line.append(nodeLink(index));
    view.append(line);
  }
  const figure = byId("hist-" + number);
  if (figure) {
    const copy = figure.cloneNode(true);
    copy.removeAttribute("id");
    copy.removeAttribute("data-node");
    copy.classList.remove("later");
    copy.querySelector("figcaption").remove();
    view.append(copy);
  }
  return view;
}

function openNode(index, scroll) {
  const node = data.nodes[index];
  if (!node) return;
  chosen = index;
  content.replaceChildren(make("h2", node.title), make("p", node.name, "explain"));
  content.append(definitions([["step", String(index)], ...node.facts]));
  for (const number of node.findings) {
    const finding = byId("finding-" + number).cloneNode(true);
    finding.removeAttribute("id");
    finding.classList.remove("later");
    content.append(finding);
  }
  for (const [name, numbers, around] of [["Inputs", node.in, "from"], ["Outputs", node.out, "to"]]) {
    content.append(make("h3", name));
    for (const number of numbers) if (number !== null) content.append(tensorView(number, around));
  }
  if (node.attributes.length) content.append(make("h3", "Attributes"), definitions(node.attributes));
  panel.hidden = false;
  document.body.classList.add("open");
  panel.scrollTop = 0;
  for (const element of all(".chosen", canvas)) element.classList.remove("chosen");
  const vertex = vertexOf(index);
  if (vertex) vertex.classList.add("chosen");
  for (const edge of all(`.e[data-from="${index}"], .e[data-to="${index}"]`, canvas)) edge.classList.add("chosen");
  history.replaceState(null, "", "#node-" + index);
  if (scroll) showInGraph();
}

const vertexOf = index => canvas.querySelector(`.n[data-node="${index}"]`);

function centre(vertex) {
  const around = canvas.getBoundingClientRect(), at = vertex.getBoundingClientRect();
  const covered = panel.hidden ? 0 : Math.max(0, around.right - panel.getBoundingClientRect().left);
  const beside = window.innerWidth > 640 ? Math.min(covered, around.width / 2) : 0;
  canvas.scrollLeft += at.left + at.width / 2 - around.left - (around.width - beside) / 2;
  canvas.scrollTop += at.top + at.height / 2 - around.top - (beside || panel.hidden ? around.height / 2 : around.height / 5);
}

function showInGraph() {
  const vertex = vertexOf(chosen);
  if (!vertex) return;
  canvas.scrollIntoView({block: "start"});
  if (scale < 0.6) zoom(0.8);
  centre(vertex);
}

function closePanel() {
  panel.hidden = true;
  document.body.classList.remove("open");
  chosen = -1;
  for (const element of all(".chosen", canvas)) element.classList.remove("chosen");
  history.replaceState(null, "", location.pathname + location.search);
}

byId("close").onclick = closePanel;
byId("show").onclick = showInGraph;
document.addEventListener("keydown", event => { if (event.key === "Escape") { closePanel(); hits.hidden = true; tip.hidden = true; } });
let dragged = false;
document.addEventListener("click", event => {
  const hook = event.target.closest("[data-node]");
  if (hook && !dragged) openNode(Number(hook.dataset.node), Boolean(event.target.closest("#hits")));
  if (!event.target.closest(".find")) hits.hidden = true;
});
canvas.addEventListener("keydown", event => {
  const vertex = event.target.closest(".n[data-node]");
  if (vertex && (event.key === "Enter" || event.key === " ")) { event.preventDefault(); openNode(Number(vertex.dataset.node)); }
});

// The graph: zoom, drag, colours

let scale = 1;
function zoom(to) {
  const x = (canvas.scrollLeft + canvas.clientWidth / 2) / scale, y = (canvas.scrollTop + canvas.clientHeight / 2) / scale;
  scale = Math.min(Math.max(to, 0.04), 3);
  drawing.style.width = box.width * scale + "px";
  drawing.style.height = box.height * scale + "px";
  canvas.scrollLeft = x * scale - canvas.clientWidth / 2;
  canvas.scrollTop = y * scale - canvas.clientHeight / 2;
}
const ways = {in: () => scale * 1.3, out: () => scale / 1.3, one: () => 1, fit: () => Math.min(canvas.clientWidth / box.width, canvas.clientHeight / box.height)};
for (const button of all("[data-zoom]")) button.onclick = () => zoom(ways[button.dataset.zoom]());
canvas.addEventListener("wheel", event => {
  if (event.ctrlKey || event.metaKey) { event.preventDefault(); zoom(scale * Math.exp(-event.deltaY / 300)); }
}, {passive: false});
let grip = null;
canvas.addEventListener("pointerdown", event => {
  dragged = false;
  if (event.pointerType === "mouse" && event.button === 0) grip = [event.clientX, event.clientY, canvas.scrollLeft, canvas.scrollTop];
});
window.addEventListener("pointermove", event => {
  if (!grip) return;
  const [x, y, left, top] = grip;
  if (!dragged && Math.hypot(event.clientX - x, event.clientY - y) < 5) return;
  dragged = true;
  canvas.classList.add("dragging");
  canvas.scrollLeft = left + x - event.clientX;
  canvas.scrollTop = top + y - event.clientY;
});
window.addEventListener("pointerup", () => { grip = null; canvas.classList.remove("dragging"); setTimeout(() => { dragged = false; }); });

byId("colours").onchange = event => {
  const by = event.target.value, heat = by !== "kind";
  const values = data.nodes.map(node => heat ? node[by] || 0 : 0), most = Math.max(...values, 1e-30);
  canvas.classList.toggle("heat", heat);
  for (const vertex of all(".n[data-node]", canvas)) {
    const part = Math.sqrt(values[vertex.dataset.node] / most);
    vertex.querySelector("rect").style.fill = heat ? `color-mix(in oklab, #e5484d ${Math.round(part * 85)}%, var(--sheet))` : "";
  }
};

// Search

const search = byId("search"), hits = byId("hits"), MOST = 40;
const texts = data.nodes.map(node => [node.op, node.name, ...node.out.concat(node.in).map(n => n === null ? "" : data.tensors[n].name)].join(" ").toLowerCase());
search.oninput = () => {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  hits.hidden = !words.length;
  if (!words.length) return;
  const found = texts.map((_, index) => index).filter(index => words.every(word => texts[index].includes(word)));
  const named = index => words.every(word => (data.nodes[index].op + " " + data.nodes[index].name).toLowerCase().includes(word));
  found.sort((a, b) => named(b) - named(a) || a - b);
  hits.replaceChildren(...found.slice(0, MOST).map(index => { const line = make("li"); line.append(nodeLink(index)); return line; }));
  if (!found.length) hits.append(make("li", "nothing found"));
  if (found.length > MOST) hits.append(make("li", `and ${found.length - MOST} more`));
};
search.onfocus = search.oninput;
search.onkeydown = event => {
  const first = hits.querySelector("button");
  if (event.key === "Enter" && first) first.click();
  if (event.key === "ArrowDown" && first) { event.preventDefault(); first.focus(); }
};
hits.addEventListener("click", event => { if (event.target.closest("button")) hits.hidden = true; });

// The memory timeline

function showTip(rectangle, x, y) {
  const tensor = data.tensors[rectangle.dataset.tensor];
  if (!tensor) return;
  for (const other of all(".b.chosen")) other.classList.remove("chosen");
  rectangle.classList.add("chosen");
  tip.replaceChildren(make("b", tensor.name), make("span", [...tensor.facts, tensor.place].join(", ")));
  if (tensor.maker !== null) tip.append(make("span", "; made by " + data.nodes[tensor.maker].op));
  tip.hidden = false;
  const size = tip.getBoundingClientRect();
  tip.style.left = Math.max(4, Math.min(x + 12, window.innerWidth - size.width - 4)) + "px";
  tip.style.top = (y + 16 + size.height > window.innerHeight ? Math.max(4, y - size.height - 12) : y + 16) + "px";
}
function hideTip() {
  tip.hidden = true;
  for (const other of all(".b.chosen")) other.classList.remove("chosen");
}
for (const title of all(".time title")) title.remove();  // the tooltip says more
for (const timeline of all(".time")) {
  timeline.addEventListener("pointermove", event => {
    const rectangle = event.target.closest(".b");
    if (rectangle) showTip(rectangle, event.clientX, event.clientY);
    else if (event.pointerType === "mouse") hideTip();
  });
  timeline.addEventListener("pointerleave", event => { if (event.pointerType === "mouse") hideTip(); });
  timeline.addEventListener("focusin", event => {
    const at = event.target.getBoundingClientRect();
    if (event.target.matches(".b:focus-visible")) showTip(event.target, at.left, at.bottom);
  });
  timeline.addEventListener("click", event => {
    const rectangle = event.target.closest(".b");
    if (!rectangle) { hideTip(); return; }
    showTip(rectangle, event.clientX, event.clientY);
    const tensor = data.tensors[rectangle.dataset.tensor];
    if (tensor && tensor.maker !== null && event.detail === 2) openNode(tensor.maker);
  });
}
window.addEventListener("scroll", hideTip, {passive: true});

// Lists: order, how many, which kind

for (const list of all(".rows, .hists, .findings")) list.dataset.limited = "";
for (const button of all("[data-all]")) button.onclick = () => {
  const more = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", more);
  byId(button.dataset.all + "-rows").toggleAttribute("data-limited", !more);
};
for (const button of all("[data-order]")) button.onclick = () => {
  const list = byId(button.dataset.order + "-rows"), by = button.dataset.by, sign = by === "ends" ? -1 : 1;
  for (const other of all(`[data-order="${button.dataset.order}"]`)) other.setAttribute("aria-pressed", other === button);
  list.append(...[...list.children].sort((a, b) => sign * (a.dataset[by] - b.dataset[by]) || a.dataset.step - b.dataset.step));
  const limit = list.dataset.first;
  [...list.children].forEach((row, place) => row.classList.toggle("later", place >= limit));
};
for (const list of all(".rows, .hists, .findings")) list.dataset.first = all(":scope > :not(.later)", list).length;
for (const button of all("[data-only]:not(.hists)")) button.onclick = () => {
  const list = byId("hists-rows"), on = button.getAttribute("aria-pressed") !== "true";
  for (const other of all("button[data-only]")) other.setAttribute("aria-pressed", on && other === button);
  if (on) list.dataset.only = button.dataset.only; else delete list.dataset.only;
  let place = 0;
  for (const row of list.children) row.classList.toggle("later", (!on || row.dataset.kind === button.dataset.only) && place++ >= list.dataset.first);
};

zoom(Math.min(1, Math.max(0.55, canvas.clientWidth / box.width)));
canvas.scrollLeft = (canvas.scrollWidth - canvas.clientWidth) / 2;
canvas.scrollTop = 0;
function openAsked() {
  const asked = /^#node-(\d+)$/.exec(location.hash);
  if (asked) openNode(Number(asked[1]), true);
}
window.addEventListener("hashchange", openAsked);
openAsked();
