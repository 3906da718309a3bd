"use strict";
// Steps through a recorded computation and its backpropagation. All numbers come from the data in
// the page; nothing is differentiated or laid out here. Names reach the page as text only.
const page = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
let active = 0, position = 0, chosen = null, timer = 0;
const scale = [];

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "onclick") element.addEventListener("click", value);
    else element.setAttribute(key, value);
  }
  element.append(...children.filter((c) => c !== null && c !== undefined));
  return element;
}

// ---------------------------------------------------------------- what the graphs are

const graphs = page.graphs.map((data, g) => {
  const view = $(`view${g}`);
  // Opened and, if it can be, folded; then the same from top to bottom.
  const depths = data.drawn.length, pictures = [...view.querySelectorAll(".picture")].map((holder, k) => {
    const svg = holder.querySelector("svg.graph"), find = (id) => svg.querySelector(`[id="g${g}v${k}-${id}"]`);
    return { holder, svg, size: svg.viewBox.baseVal, edges: data.edges.map((_, i) => find(`e${i}`)),
             drawn: data.nodes.map((n) => (data.drawn[k % depths][n.id] || []).map(find).filter(Boolean)) };
  });
  const forward = data.nodes.filter((n) => n.op).map((n) => n.id);
  const incoming = data.nodes.map(() => []), outgoing = data.nodes.map(() => []);
  data.edges.forEach((e, i) => { incoming[e.to].push(i); outgoing[e.from].push(i); });
  // When each gradient is complete: after the last of its contributions.
  const done = data.nodes.map(() => Infinity);
  done[data.output] = forward.length + 1;
  data.backward.forEach((s, k) => s.contrib.forEach((c) => { done[c.to] = forward.length + k + 1; }));
  const sent = data.nodes.map(() => Infinity);  // when a node's gradient goes back to its arguments
  data.backward.forEach((s, k) => { sent[s.node] = forward.length + k + 1; });
  const born = data.nodes.map(() => 0);
  forward.forEach((id, k) => { born[id] = k + 1; });
  const owners = new Map();  // of a folded box, the last of its operations
  for (const { drawn } of pictures) data.nodes.forEach((n) => drawn[n.id].forEach((element) => owners.set(element, n)));
  for (const [element, n] of owners) {
    // The gradient is what stands last in a box: from the word on, everything is of it.
    const word = [...element.querySelectorAll("text")].find((text) => /^grad\b/.test(text.textContent));
    for (let part = word; part; part = part.nextElementSibling) part.classList.add("of-gradient");
    element.setAttribute("tabindex", "0");
    element.setAttribute("role", "button");
    const folded = element.classList.contains("folded") ? "folded operations, the last " : "";
    element.setAttribute("aria-label", `${folded}${n.label}: ${n.op || n.kind}, shape ${shape(n.shape)}`);
    element.addEventListener("click", () => { activate(g); choose(n.id); });
    element.addEventListener("keydown", (event) => {
      if (event.key === "Enter") { activate(g); choose(n.id); event.preventDefault(); }
    });
  }
  view.addEventListener("click", () => activate(g));
  return { data, view, pictures, depths, ...pictures[0], forward, incoming, outgoing, done, sent, born,
           steps: forward.length + data.backward.length };
});

// ---------------------------------------------------------------- numbers

function shape(s) {
  if (s.length && Array.isArray(s[0])) return s.map(shape).join(" and ");
  return s.length === 0 ? "scalar" : `(${s.join(", ")}${s.length === 1 ? "," : ""})`;
}

function bytes(n) {
  for (const unit of ["B", "KiB", "MiB"]) {
    if (n < 1024) return `${unit === "B" ? n : n.toFixed(1)} ${unit}`;
    n /= 1024;
  }
  return `${n.toFixed(1)} GiB`;
}

function short(x) {
  if (typeof x !== "number") return x;
  return x !== 0 && Math.abs(x) < 1e-3 ? x.toExponential() : String(x);
}

const most = 32;  // rows and columns of a heat map

// How many columns and rows a figure has, and whether they are numbers that can be read.
function layout(summary) {
  const { shape: dims, data } = summary.preview, wide = dims.length ? dims[dims.length - 1] : 1;
  // A vector, of one row or column, is wrapped.
  const columns = wide === data.length || wide === 1 ? Math.min(data.length, data.length <= 6 ? 6 : 25) : wide;
  const rows = Math.ceil(data.length / columns);
  return { columns, rows, numbers: columns <= 6 && rows <= 8 };
}

// A small array as numbers, a larger one as a heat map, one that is not all here with a histogram.
function figure(summary, what) {
  if (!summary) return make("p", { class: "muted" }, what === "value"
    ? "The value was not kept: compute it under ag.recording()." : "Not computed.");
  const { data, whole } = summary.preview, box = make("div", { class: `figure ${what}` });
  const { columns, rows, numbers } = layout(summary);
  if (data.length === 1) {
    box.append(make("p", { class: "mono" }, short(data[0])));
  } else if (data.length) {
    const top = Math.max(...data.map((x) => typeof x === "number" ? Math.abs(x) : 0)) || 1;
    const across = Math.min(columns, most), down = Math.min(rows, most);
    const grid = make("div", { class: numbers ? "grid numbers" : "grid", role: "img",
      "aria-label": numbers ? `${what}: ${data.join(", ")}` : `heat map of the ${what}, ${down} by ${across}` });
    grid.style.gridTemplateColumns = numbers ? `repeat(${columns}, auto)` : `repeat(${across}, minmax(3px, 14px))`;
    const shown = data.filter((_, i) => i % columns < across && i < down * columns);
    for (const x of shown) {
      const cell = make("span", { title: short(x) }, numbers ? short(x) : "");
      const share = typeof x === "number" ? Math.round(Math.abs(x) / top * (numbers ? 45 : 100)) : 100;
      const colour = typeof x !== "number" ? "#b0005a" : x < 0 ? "var(--minus)" : "var(--plus)";
      cell.style.background = `color-mix(in srgb, ${colour} ${share}%, var(--paper))`;
      grid.append(cell);
    }
    box.append(grid);
    if (!whole || shown.length < data.length) box.append(make("p", { class: "muted" }, "Its first rows and columns."));
  }
  if (summary.hist && data.length > 48) {
    const top = Math.max(...summary.hist.counts);
    const bars = make("div", { class: "hist", role: "img", "aria-label": `histogram: ${summary.hist.counts.join(", ")}` });
    for (const count of summary.hist.counts) {
      const bar = make("span", { title: count });
      bar.style.height = `${100 * count / top}%`;
      bars.append(bar);
    }
    box.append(bars, make("div", { class: "ends" }, make("span", {}, short(summary.hist.low)), make("span", {}, short(summary.hist.high))));
  }
  if (data.length > 1 && !(numbers && whole)) {
    const s = summary.stats, bad = [];
    if (s.zeros) bad.push(`${s.zeros} zero`);
    if (s.nans) bad.push(`${s.nans} nan`);
    if (s.infs) bad.push(`${s.infs} inf`);
    box.append(make("p", { class: "muted" }, `${short(s.min)} to ${short(s.max)}, mean ${short(s.mean)}, std ${short(s.std)}, norm ${short(s.norm)}${bad.length ? ", " + bad.join(", ") : ""}`));
  }
  return box;
}

// Each of several results is a node of its own.
function several(node) {
  return Array.isArray(node.shape[0]);
}

function valueFigure(node) {
  return several(node) ? [] : [make("h3", {}, "Value"), figure(node.value, "value")];
}

// The array that a text stands for, as NumPy or Python write it: its shape and numbers, or what is wrong.
function parse(text) {
  const tokens = text.replaceAll("−", "-").match(/[[\]]|[^\s,[\]]+/g) || [];
  let place = 0;
  const read = () => {
    const token = tokens[place++];
    if (token !== "[") {
      if (token === undefined || token === "]" || Number.isNaN(Number(token))) throw token === undefined ? "A bracket is open." : `${token} is no number.`;
      return { shape: [], data: [Number(token)] };
    }
    const rows = [];
    while (tokens[place] !== "]") rows.push(read());
    place += 1;
    if (rows.some((row) => String(row.shape) !== String(rows[0].shape))) throw "The rows differ in length.";
    return { shape: [rows.length, ...(rows.length ? rows[0].shape : [])], data: rows.flatMap((row) => row.data) };
  };
  try {
    const array = read();
    return place < tokens.length ? { wrong: "Write arrays in brackets, as [1, 2]." } : array;
  } catch (wrong) {
    return { wrong };
  }
}

// What an answer lacks: nothing if each cell is right within 1 %.
function verdictOn(text, truth) {
  const { shape: dims, data, wrong } = parse(text);
  if (wrong) return wrong;
  if (String(dims) !== String(truth.shape)) return `That is ${articled(dims)}; the gradient is ${articled(truth.shape)}.`;
  const off = data.map((x, i) => Math.abs(x - truth.data[i]) <= 0.01 * Math.max(Math.abs(truth.data[i]), 0.01) ? -1 : i).filter((i) => i >= 0);
  if (!off.length) return "";
  if (data.length === 1) return "Not that.";
  const cell = (i) => `[${dims.map((n, axis) => Math.floor(i / dims.slice(axis + 1).reduce((a, b) => a * b, 1)) % n).join(", ")}]`;
  return `${data.length - off.length} of ${data.length} cells are right; not ${off.slice(0, 4).map(cell).join(", ")}${off.length > 4 ? ", …" : "."}`;
}

function articled(dims) {
  return dims.length ? `an array of shape ${shape(dims)}` : "a single number";
}

// The form of an array to fill in: [[·, ·], [·, ·]].
function form([n, ...inner]) {
  return n === undefined ? "·" : `[${Array(n).fill(form(inner)).join(", ")}]`;
}

// In predict mode a gradient shows when it has been asked for; what is shown as numbers can be told first.
function gradientFigure(summary, id) {
  if (!$("predict").checked || !summary) return figure(summary, "gradient");
  const holder = make("div", { class: "hidden-gradient" });
  const reveal = () => holder.replaceChildren(figure(summary, "gradient"));
  const show = make("button", { onclick: reveal }, "Show it");
  if (!(layout(summary).numbers && summary.preview.whole)) { holder.append(show); return holder; }
  const answer = make("input", { type: "text", placeholder: form(summary.preview.shape), "aria-label": "Your answer" });
  const verdict = make("span", { role: "status" });
  const check = () => {
    if (answer.value.trim() === "") return;
    const lacks = verdictOn(answer.value, summary.preview);
    verdict.textContent = lacks || "Right.";
    verdict.className = lacks ? "muted" : "good";
    if (!lacks) { reveal(); holder.append(verdict); }
  };
  answer.addEventListener("keydown", (event) => { if (event.key === "Enter") check(); });
  holder.append(answer, make("button", { onclick: check }, "Check"), show, verdict);
  return holder;
}

// The gradient of an entry held against what moving the entry does.
function checks(graph, node) {
  const { data } = graph, output = data.nodes[data.output];
  if (!node.checks) return make("p", { class: "muted" }, "To check entries by moving them, compute the graph under ag.recording().");
  const name = (c) => node.label + (c.cell.length ? `[${c.cell.join(", ")}]` : "");
  const told = make("p", { id: "told" });
  const choice = make("select", { id: "check" }, ...node.checks.map((c, i) => make("option", { value: i }, name(c))));
  const tell = () => {
    const c = node.checks[choice.value];
    const apart = Math.abs(c.slope - c.gradient) > 0.01 * Math.abs(c.gradient) + 1e-7;
    told.textContent = `Moved up and down by ${short(c.step)}, it changes ${output.shape.length ? `the sum of g * ${output.label}` : output.label} `
      + `by ${short(c.change)}: a slope of ${short(c.slope)}. The gradient there is ${short(c.gradient)}.${apart ? " Is there a kink nearby?" : ""}`;
  };
  choice.addEventListener("change", tell);
  tell();
  return make("div", {}, make("label", {}, "Check", choice), told);
}

// ---------------------------------------------------------------- the current step

function render() {
  const graph = graphs[active], { data, forward } = graph;
  const backwardStep = position > forward.length ? data.backward[position - forward.length - 1] : null;
  const current = position === 0 ? null : backwardStep ? backwardStep.node : forward[position - 1];
  const goals = new Set(backwardStep ? backwardStep.contrib.map((c) => c.to) : []);
  const lit = new Set();  // a folded box is lit when one of its operations is
  data.nodes.forEach((n) => {
    const ready = position === 0 || graph.born[n.id] <= position;
    const known = graph.done[n.id] <= position && !$("predict").checked;
    for (const element of graph.drawn[n.id]) {
      if (!lit.has(element)) element.classList.remove("now", "goal", "todo");
      if (!ready && !lit.has(element)) element.classList.add("todo");
      if (ready) { element.classList.remove("todo"); lit.add(element); }
      if (n.id === current) { element.classList.add("now"); lit.add(element); }
      else if (goals.has(n.id)) { element.classList.add("goal"); lit.add(element); }
      for (const part of element.querySelectorAll(".of-gradient")) part.classList.toggle("unknown", !known);
    }
  });
  graph.edges.forEach((element, i) => {
    if (!element) return;
    const edge = data.edges[i];
    element.classList.toggle("flow", Boolean(backwardStep) && edge.to === current && edge.tracked);
    element.classList.toggle("back", edge.tracked && graph.sent[edge.to] <= position);
    element.classList.toggle("feed", !backwardStep && edge.to === current);
    element.classList.toggle("todo", position > 0 && graph.born[edge.to] > position);
  });
  $("slider").max = graph.steps;
  $("slider").value = position;
  const where = position === 0 ? "Start" : backwardStep
    ? `Backward ${position - forward.length} of ${data.backward.length}: ${data.nodes[current].label}`
    : `Forward ${position} of ${forward.length}: ${data.nodes[current].label}`;
  $("where").textContent = where;
  $("slider").setAttribute("aria-valuetext", where);
  $("step").replaceChildren(...(position === 0 ? start() : backwardStep ? backward(graph, backwardStep) : forwardStep(graph, current)));
  if (chosen !== null) inspect(); else $("node").hidden = true;
  if (current !== null && graph.drawn[current][0]) bring(graph.drawn[current][0], ...[...goals].flatMap((id) => graph.drawn[id].slice(0, 1)));
  history.replaceState(null, "", `#${active}.${position}`);
}

// Scroll the graph, and nothing else, so that an element is in view, with others if there is room.
function bring(element, ...others) {
  const box = element.closest(".scroll"), b = box.getBoundingClientRect();
  const around = (elements) => {
    const all = elements.map((e) => e.getBoundingClientRect());
    return { left: Math.min(...all.map((r) => r.left)), right: Math.max(...all.map((r) => r.right)),
             top: Math.min(...all.map((r) => r.top)), bottom: Math.max(...all.map((r) => r.bottom)) };
  };
  let a = around([element, ...others]);
  if (a.right - a.left > b.width || a.bottom - a.top > b.height) a = around([element]);
  const over = (low, high, from, to) => {
    const room = Math.min(40, Math.max(0, (to - from - (high - low)) / 2));
    return low < from ? low - from - room : high > to ? high - to + room : 0;
  };
  const dx = over(a.left, a.right, b.left, b.right), dy = over(a.top, a.bottom, b.top, b.bottom);
  if (dx || dy) box.scrollBy({ left: dx, top: dy, behavior: still ? "auto" : "smooth" });
}

function start() {
  return [make("p", {}, "Step with ▶: first forward, then backward. Choose a box for its numbers."),
    make("p", { class: "keys" }, "Keys: ", make("code", {}, "→"), " and ", make("code", {}, "←"), " step, ", make("code", {}, "space"),
      " plays, ", make("code", {}, "/"), " finds, ", make("code", {}, "f"), " fits the graph to the window.")];
}

// What stays together where the details stand in columns.
function part(...children) {
  return make("div", { class: "part" }, ...children);
}

function forwardStep(graph, id) {
  const node = graph.data.nodes[id];
  return [part(make("p", { class: "muted" }, `Forward, ${position} of ${graph.forward.length}`),
      make("h2", { class: "mono" }, node.text),
      ...valueFigure(node)),
    part(make("h3", {}, "Kept for backward"),
      make("p", {}, node.kept.length ? `${node.kept.join(", ")}: ${bytes(node.kept_bytes)}` : "nothing")),
    ...insight(node)];
}

function backward(graph, step) {
  const { data, forward } = graph, node = data.nodes[step.node];
  const cards = step.contrib.map((c) => {
    const target = data.nodes[c.to], [n, of] = c.n_of_m;
    const notes = [];
    if (c.summed_axes.length) notes.push(`summed over ${c.summed_axes.length === 1 ? "axis" : "axes"} ${c.summed_axes.join(", ")}, which broadcasting had repeated: ${shape(c.before)} → ${shape(target.shape)}`);
    if (of > 1) notes.push(`${ordinal(n)} of ${of} contributions${n === of ? ": now they are added up" : ""}`);
    return make("div", { class: "card" },
      make("p", {}, "to ", link(target.id), ": ", make("code", {}, c.rule), c.where ? ` where ${c.where}` : ""),
      c.value ? gradientFigure(c.value, c.to) : null, ...notes.map((t) => make("p", { class: "note-line" }, t)));
  });
  return [part(make("p", { class: "muted" }, `Backward, ${position - forward.length} of ${data.backward.length}`),
      make("h2", { class: "mono" }, node.text),
      make("h3", { class: "gradient" }, `g, the gradient of ${data.nodes[data.output].label} in ${node.label}`),
      make("div", { id: "upstream" }, several(node) ? "One for each result." : gradientFigure(node.grad, node.id))),
    part(make("h3", {}, step.contrib.length > 1 ? "What it adds to its arguments' gradients" : "What it adds to its argument's gradient"), ...cards),
    ...insight(node)];
}

function insight(node) {
  if (!node.insight) return [];
  const [sentence, arrays] = node.insight;
  return [part(make("h3", {}, "One fused node"), make("p", {}, make("code", {}, sentence)),
    ...Object.entries(arrays).flatMap(([name, array]) => [make("p", { class: "mono" }, name), figure(array, "value")]))];
}

function ordinal(n) {
  const last = n % 100 > 10 && n % 100 < 14 ? 0 : n % 10;
  return n + (["th", "st", "nd", "rd"][last] || "th");
}

function link(id) {
  return make("button", { class: "link", onclick: () => choose(id) }, graphs[active].data.nodes[id].label);
}

// ---------------------------------------------------------------- the chosen node

function choose(id) {
  chosen = id;
  trace();
  inspect();
  // Not scrollIntoView, which moves the page that this one may be embedded in, too.
  const down = $("node").getBoundingClientRect().top - $("inspector").getBoundingClientRect().top;
  $("inspector").scrollBy({ top: down, behavior: still ? "auto" : "smooth" });
}

// Mark the way from the chosen node to the output, which its gradient takes back.
function trace() {
  for (const graph of graphs) graph.svg.querySelectorAll(".chosen, .path").forEach((e) => e.classList.remove("chosen", "path"));
  if (chosen === null) return;
  const { data, drawn, edges, outgoing } = graphs[active], seen = new Set([chosen]);
  for (const element of drawn[chosen]) element.classList.add("chosen");
  for (const id of seen) for (const i of outgoing[id]) {
    if (edges[i]) edges[i].classList.add("path");
    seen.add(data.edges[i].to);
  }
}

function inspect() {
  const graph = graphs[active], node = graph.data.nodes[chosen];
  const row = (key, ...value) => make("tr", {}, make("th", { scope: "row" }, key), make("td", {}, ...value));
  const list = (ids) => ids.flatMap((id, i) => i ? [", ", link(id)] : [link(id)]);
  const parents = graph.incoming[chosen].map((i) => graph.data.edges[i].from);
  const children = graph.outgoing[chosen].map((i) => graph.data.edges[i].to);
  const complete = graph.done[chosen] <= position;
  const step = graph.data.backward.find((s) => s.node === chosen);
  const rules = step ? step.contrib.map((c) => [graph.data.nodes[c.to].label, c.rule]) : node.rules;
  $("node").replaceChildren(part(
    make("p", { class: "muted" }, `The chosen node: ${node.fused ? "a fused operation" : node.kind}`),
    make("h2", { class: "mono" }, node.text || node.label),
    make("table", {},
      row("shape", `${shape(node.shape)} ${node.dtype}, ${bytes(node.bytes)}`),
      node.scope ? row("module", node.scope) : null,
      node.src ? row("line", node.src) : null,
      node.op ? row("keeps", node.kept.length ? `${node.kept.join(", ")}: ${bytes(node.kept_bytes)}` : "nothing") : null,
      ...rules.map(([argument, rule]) => row(`rule, ${argument}`, make("code", {}, rule))),
      parents.length ? row("from", ...list(parents)) : null,
      children.length ? row("used by", ...list(children)) : null,
      node.born ? row("not finite", make("b", {}, node.birth)) : null)),
    part(...valueFigure(node)),
    part(...(node.kind === "constant" || several(node) ? [] : [make("h3", { class: "gradient" }, "Gradient"),
      make("div", { id: "gradient" }, complete || !node.grad ? gradientFigure(node.grad, chosen)
        : make("p", { class: "muted" }, "Not reached yet. ", make("button", { class: "link", onclick: () => go(graph.done[chosen]) }, "Go there"))),
      complete && node.grad && !$("predict").checked ? checks(graph, node) : null])));
  $("node").hidden = false;
}

// ---------------------------------------------------------------- controls

function go(to) {
  position = Math.min(Math.max(to, 0), graphs[active].steps);
  if (position === graphs[active].steps) stop();
  $("inspector").scrollTop = 0;
  render();
}

function stop() {
  clearInterval(timer);
  timer = 0;
  $("play").textContent = "▶ play";
  $("play").setAttribute("aria-label", "Play");
}

function play() {
  if (timer) { stop(); return; }
  if (position === graphs[active].steps) position = 0;
  $("play").textContent = "❚❚ pause";
  $("play").setAttribute("aria-label", "Pause");
  timer = setInterval(() => go(position + 1), 900);
  go(position + 1);
}

function activate(g) {
  if (g === active) return;
  active = g;
  chosen = null;
  position = Math.min(position, graphs[g].steps);
  graphs.forEach((graph, i) => graph.view.classList.toggle("active", i === g));
  $("caption").textContent = graphs.length > 1 ? "" : graphs[g].data.caption;
  trace();
  render();
}

function zoom(g, factor) {
  scale[g] = Math.min(Math.max(factor, 0.1), 4);
  const { svg, size } = graphs[g];
  svg.setAttribute("width", size.width * scale[g]);
  svg.setAttribute("height", size.height * scale[g]);
}

// Fit the graphs to the window. One that would get smaller than `least` is scrolled along its length
// instead, in its own size if its breadth allows that.
function fit(least = 0) {
  const wide = innerWidth - 24, high = innerHeight - document.querySelector("header").offsetHeight - document.querySelector("footer").offsetHeight - 24;
  const fitted = (size, width, height) => [width / size.width, height / size.height].sort((a, b) => a - b);
  const scaleFor = (size, width, height) => {
    const [along, across] = fitted(size, width, height);
    return Math.min(along < least ? Math.min(1, across) : along, narrow() ? 1.3 : 1.7);
  };
  // Beside a graph the details take 25rem. One that is too long for that has them below.
  const upper = 0.58 * innerHeight - 24, [beside] = fitted(graphs[0].size, wide - 400, high);
  const longer = graphs.length === 1 && beside < 0.9 && fitted(graphs[0].size, wide, upper)[0] > 1.2 * beside;
  const below = !narrow() && (innerWidth <= 960 || longer);
  document.body.classList.toggle("below", below);
  graphs.forEach((graph, g) => {
    const box = graph.view.querySelector(".scroll");
    // At first a narrow screen has little to say below the graph.
    if (narrow() && (least || g !== active)) zoom(g, scaleFor(graph.size, wide, high - 80 - (graphs.length > 1 ? 80 : 0)));
    else if (below) zoom(g, scaleFor(graph.size, wide, upper / graphs.length));
    else zoom(g, scaleFor(graph.size, box.clientWidth - 24, box.clientHeight - 24));
  });
}

function narrow() {
  return innerWidth <= 544;
}

// Show the pictures that are asked for: folded or opened, on a narrow screen from top to bottom.
function show() {
  document.body.classList.toggle("narrow", narrow());
  for (const graph of graphs) {
    const turned = narrow() && graph.pictures.length > graph.depths ? graph.depths : 0;
    const shown = graph.pictures[turned + Math.min(Number($("fold").checked), graph.depths - 1)];
    for (const { holder } of graph.pictures) if (holder !== shown.holder) holder.remove();
    shown.holder.hidden = false;
    graph.view.querySelector(".scroll").append(shown.holder);
    Object.assign(graph, shown);
  }
  fit(readable());
  paint();
  find();
  trace();
  render();
}

// The scale from which on the text of a picture can be read.
function readable() {
  return narrow() ? 0.75 : 0.57;
}

function paint() {
  const by = $("colour").value;
  let low = Infinity, high = -Infinity;
  const amount = (n) => {
    if (by === "bytes") return n.op ? n.kept_bytes : n.kind === "leaf" ? n.bytes : null;
    const norm = n.grad && n.grad.stats.norm / (by === "ratio" ? n.value ? n.value.stats.norm : NaN : 1);
    return norm > 0 && norm < Infinity ? Math.log10(norm) : null;
  };
  const all = graphs.flatMap((graph) => graph.data.nodes.map(amount)).filter((x) => x !== null);
  if (all.length) { low = Math.min(...all); high = Math.max(...all); }
  $("key").hidden = by === "kind";
  $("views").classList.toggle("coloured", by !== "kind");
  $("low").textContent = by === "bytes" ? bytes(low) : Number((10 ** low).toPrecision(2));
  $("high").textContent = by === "bytes" ? bytes(high) : Number((10 ** high).toPrecision(2));
  const largest = new Map();  // of the operations in a box
  for (const graph of graphs) for (const n of graph.data.nodes) for (const element of graph.drawn[n.id]) {
    largest.set(element, Math.max(amount(n) ?? -Infinity, largest.get(element) ?? -Infinity));
  }
  for (const [element, x] of largest) {
    const share = Math.round(8 + 52 * (high > low ? (x - low) / (high - low) : 1));
    element.querySelector("polygon, path").style.fill = by === "kind" ? ""
      : x === -Infinity ? "var(--paper)" : `color-mix(in srgb, var(--plus) ${share}%, var(--paper))`;
  }
}

function find() {
  const wanted = $("find").value.trim().toLowerCase();
  let first = null;
  for (const graph of graphs) {
    graph.svg.querySelectorAll(".found").forEach((e) => e.classList.remove("found"));
    for (const n of graph.data.nodes) {
      if (wanted === "" || !`${n.label} ${n.op} ${n.scope}`.toLowerCase().includes(wanted)) continue;
      for (const element of graph.drawn[n.id]) {
        element.classList.add("found");
        if (!first && graph === graphs[active]) first = [n.id, element];
      }
    }
  }
  return first;
}

// A name may be broken after a dot or underscore.
function breakable(name) {
  return name.split(/(?<=[._])/).flatMap((part) => [part, make("wbr")]);
}

function compare() {
  if (!page.comparison) return;
  const { columns, rows, sentence } = page.comparison, table = make("table", { class: "wide" });
  table.append(make("tr", {}, make("td"), ...columns.map((c) => make("th", { scope: "col" }, ...breakable(c)))));
  for (const [key, ...cells] of rows) table.append(make("tr", {}, make("th", { scope: "row" }, ...breakable(key)), ...cells.map((c) => make("td", {}, c))));
  $("comparison").append(make("h2", {}, "Side by side"), table, make("p", {}, sentence));
  $("comparison").hidden = false;
}

document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== "range" && event.target.type !== "checkbox";
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const actions = {
    ArrowRight: () => go(position + 1), ArrowLeft: () => go(position - 1), Home: () => go(0),
    End: () => go(graphs[active].steps), "/": () => $("find").focus(), f: () => fit(),
    "+": () => zoom(active, scale[active] * 1.25), "-": () => zoom(active, scale[active] / 1.25),
    " ": play,
  };
  if (event.key === " " && /^(BUTTON|INPUT)$/.test(event.target.tagName)) return;
  if (actions[event.key]) { actions[event.key](); event.preventDefault(); }
});
$("first").addEventListener("click", () => go(0));
$("back").addEventListener("click", () => go(position - 1));
$("next").addEventListener("click", () => go(position + 1));
$("last").addEventListener("click", () => go(graphs[active].steps));
$("play").addEventListener("click", play);
$("slider").addEventListener("input", () => go(Number($("slider").value)));
$("predict").addEventListener("change", render);
$("colour").addEventListener("change", paint);
$("fold").addEventListener("change", show);
$("in").addEventListener("click", () => zoom(active, scale[active] * 1.25));
$("out").addEventListener("click", () => zoom(active, scale[active] / 1.25));
$("fit").addEventListener("click", () => fit());
$("more").addEventListener("click", () => {
  const open = document.querySelector("header").classList.toggle("open");
  $("more").setAttribute("aria-expanded", open);
  fit(readable());
});
$("find").addEventListener("input", find);
$("find").addEventListener("keydown", (event) => {
  if (event.key === "Escape") { $("find").value = ""; find(); $("find").blur(); }
  const first = event.key === "Enter" && find();
  if (first) { choose(first[0]); bring(first[1]); }
});
let width = innerWidth;
addEventListener("resize", () => {
  // On a phone the height changes as its bars come and go.
  if (!narrow() || innerWidth !== width) show();
  width = innerWidth;
});

if (graphs.length > 1) $("views").classList.add("views");
graphs[0].view.classList.add("active");
$("caption").textContent = graphs.length > 1 ? "" : graphs[0].data.caption;
$("folding").hidden = graphs.every((graph) => graph.depths === 1);
$("fold").checked = graphs[0].data.folded;
compare();
const [g0, p0] = location.hash.slice(1).split(".").map(Number);
if (graphs[g0] && p0 >= 0) { activate(g0); position = Math.min(p0, graphs[g0].steps); }
show();
