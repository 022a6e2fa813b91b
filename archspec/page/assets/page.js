const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const state = { task: null, node: null, shade: "", full: false };

// -- small helpers over the DOM: text only, so that nothing in a spec can become markup --------------------------------

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "onclick") made.addEventListener("click", value);
    else if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const words = (text) => (text ? text.split(" ").filter(Boolean) : []);
const members = (group) => words(group.dataset.members || group.dataset.node);
const shown = (count) => (count === null || count === undefined ? "unknown" : count.toLocaleString("en-US"));
const figure = () => $(state.full ? "figure-full" : "figure-paper");

// -- the graph ---------------------------------------------------------------------------------------------------------

const above = new Map(), below = new Map();
for (const edge of data.edges) {
  const [tail, head] = edge;
  if (!above.has(tail)) above.set(tail, []);
  if (!below.has(head)) below.set(head, []);
  above.get(tail).push(edge);
  below.get(head).push(edge);
}

function cone(start, edges, next) {
  const found = new Set([start]), waiting = [start];
  while (waiting.length) {
    for (const edge of edges.get(waiting.pop()) || []) {
      if (!found.has(edge[next])) { found.add(edge[next]); waiting.push(edge[next]); }
    }
  }
  return found;
}

const trains = (task, name) => {
  const node = data.nodes[name];
  return node !== undefined && (node.category === "task" ? name === `tasks.${task}` : node.tasks.includes(task));
};

// -- what is lit -------------------------------------------------------------------------------------------------------

function lit() {
  if (state.node) {
    const up = cone(state.node, above, 1), down = cone(state.node, below, 0);
    return {
      node: (name) => up.has(name) || down.has(name),
      wire: (tail, head) => (up.has(tail) && up.has(head)) || (down.has(tail) && down.has(head)),
    };
  }
  if (state.task) {
    const flows = new Set(data.edges.filter((edge) => !edge[3]).map((edge) => `${edge[0]} ${edge[1]} ${edge[2]}`));
    return {
      node: (name) => trains(state.task, name),
      wire: (tail, head, role) =>
        flows.has(`${tail} ${head} ${role}`) && trains(state.task, tail) && trains(state.task, head),
    };
  }
  return null;
}

function paint() {
  const light = lit();
  for (const group of figure() ? figure().querySelectorAll(".node, .part") : []) {
    const own = members(group);
    group.classList.toggle("dim", light !== null && !own.some(light.node));
    group.classList.toggle("chosen", state.node !== null && own.includes(state.node));
  }
  for (const wire of figure() ? figure().querySelectorAll(".wire") : []) {
    const role = wire.dataset.role;
    const on = light === null || words(wire.dataset.tails).some((tail) =>
      words(wire.dataset.heads).some((head) => light.wire(tail, head, role)));
    wire.classList.toggle("dim", !on);
  }
  for (const chip of $("tasks").children) chip.setAttribute("aria-pressed", String(chip.dataset.task === state.task));
  shade();
  describe();
  const parts = Object.entries(state).filter(([, value]) => value).map(([key, value]) => `${key}=${encodeURIComponent(value)}`);
  history.replaceState(null, "", parts.length ? `#${parts.join("&")}` : location.pathname + location.search);
}

function shade() {
  for (const old of document.querySelectorAll(".shade")) old.remove();
  if (!state.shade || !figure()) return;
  const groups = [...figure().querySelectorAll(".node")];
  const cost = (group) => members(group).reduce((sum, name) => sum + ((data.nodes[name] || {})[state.shade] || 0), 0);
  const most = Math.max(1, ...groups.map(cost));
  for (const group of groups) {
    const box = group.getBBox(), rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const key of ["x", "y", "width", "height"]) rect.setAttribute(key, box[key]);
    rect.setAttribute("class", "shade");
    rect.setAttribute("rx", 5);
    rect.setAttribute("fill-opacity", (0.55 * cost(group)) / most);
    group.append(rect);
  }
}

function weigh() {
  for (const wire of document.querySelectorAll(".wire.sees")) {
    for (const gate of words(wire.dataset.heads)) {
      const own = (data.gates[gate] || []).filter(([expert]) => words(wire.dataset.tails).includes(expert));
      if (!own.length) continue;
      const mean = own.reduce((sum, row) => sum + Math.abs(row[1]), 0);
      for (const line of wire.querySelectorAll("path[stroke]")) line.setAttribute("stroke-width", 0.4 + 5 * mean);
      wire.dataset.weight = mean.toFixed(4);
    }
  }
}

// -- the panel ---------------------------------------------------------------------------------------------------------

const link = (name) => element("button", { className: "link", onclick: () => choose(name) }, name);

function describe() {
  const panel = $("panel"), node = data.nodes[state.node];
  if (!node) {
    panel.replaceChildren(
      element("h2", {}, data.name), element("p", { className: "soft" }, data.about),
      element("p", {}, `${shown(data.parameters)} parameters, ${shown(data.flops)} FLOPs per row`),
      state.task ? trained() : element("p", { className: "soft" },
        "Click a box to see what it reads and who reads it; a task to see what its loss trains."));
    return;
  }
  panel.replaceChildren(...[
    element("h2", { id: "chosen" }, state.node),
    element("p", { className: "soft" }, `${node.category.replace("_", " ")} of kind ${node.kind}`),
    node.about ? element("p", {}, node.about) : null,
    node.formula ? element("pre", {}, node.formula) : null,
    node.paper ? element("p", { className: "soft" }, node.paper) : null,
    element("p", {}, [
      node.width ? `width ${node.width}` : "", node.tokens ? `${node.tokens} tokens` : "",
      node.category === "task" ? "" : `${shown(node.parameters)} parameters, ${shown(node.flops)} FLOPs per row`,
    ].filter(Boolean).join(", ")),
    node.category === "task" ? null
      : element("p", {}, node.tasks.length ? `trained by ${node.tasks.join(", ")}` : "trained by no task"),
    weights(state.node), settings(node),
    ...reading("reads", below.get(state.node), 0), ...reading("read by", above.get(state.node), 1), source(node),
  ].filter(Boolean));
}

function trained() {
  const names = Object.keys(data.nodes).filter((name) => data.nodes[name].category !== "task" && trains(state.task, name));
  const alone = names.filter((name) => data.nodes[name].tasks.length === 1);
  return element("p", {}, `The loss of ${state.task} trains ${names.length} nodes, ${alone.length} of them alone.`);
}

function weights(name) {
  const rows = data.gates[name];
  if (!rows) return null;
  return element("div", {}, element("h3", {}, "mean weight (deviation)"), element("table", {}, ...rows.map(([expert, mean, deviation]) =>
    element("tr", {}, element("td", {}, link(expert)),
      element("td", {}, bar(mean, deviation)), element("td", {}, `${mean.toFixed(3)} (${deviation.toFixed(3)})`)))));
}

function bar(mean, deviation) {
  const fill = element("i"), whisker = element("b"), share = (value) => `${100 * Math.min(1, Math.max(0, value))}%`;
  fill.style.width = share(mean);
  whisker.style.left = share(mean - deviation);
  whisker.style.right = `${100 - 100 * Math.min(1, mean + deviation)}%`;
  return element("div", { className: "bar" }, fill, whisker);
}

function settings(node) {
  const rows = Object.entries(node.settings).filter(([key]) => key !== "kind");
  if (!rows.length) return null;
  const value = (item) => (typeof item === "string" ? item : JSON.stringify(item));
  return element("div", {}, element("h3", {}, "settings"), element("table", {}, ...rows.map(([key, item]) =>
    element("tr", {}, element("td", {}, key),
      element("td", {}, element(key in node.changed ? "strong" : "span", {}, value(item)))))));
}

function reading(title, edges, end) {
  if (!edges || !edges.length) return [];
  const byRole = new Map();
  for (const edge of edges) {
    const role = edge[2] + (edge[3] ? ", no gradient" : "");
    byRole.set(role, [...(byRole.get(role) || []), edge[end]]);
  }
  return [...byRole].map(([role, names]) => element("div", {}, element("h3", {}, `${title} (${role})`),
    ...names.map((name) => element("div", {}, link(name)))));
}

function source(node) {
  const lines = data.source[node.file];
  if (!lines) return null;
  const pre = element("pre", { id: "yaml" }), last = Math.min(node.last, node.line + 30);
  for (let line = node.line; line <= last && line <= lines.length; line += 1) {
    const text = `${String(line).padStart(4)}  ${lines[line - 1]}\n`;
    pre.append(line === node.line ? element("mark", {}, text) : text);
  }
  return element("div", {}, element("h3", {}, `${node.file}:${node.line}`), pre);
}

// -- gestures ----------------------------------------------------------------------------------------------------------

function choose(name) {
  state.node = name;
  if (name && figure() && !groupOf(name) && $("figure-full")) unfold(true);
  paint();
}

const groupOf = (name) => [...figure().querySelectorAll(".part, .node")].find((group) => members(group).includes(name));

function pressed(group) {
  const own = members(group).filter((name) => data.nodes[name]);
  if (!own.length) return;
  const next = own[(own.indexOf(state.node) + 1) % own.length];  // clicking a box again goes through its members
  choose(own.length === 1 && state.node === own[0] ? null : next);
}

function unfold(full) {
  if (!$("figure-full")) return;
  state.full = full;
  for (const each of document.querySelectorAll(".figure")) each.hidden = each !== figure();
  $("unfold").textContent = full ? "fold" : "unfold";
}

function neighbour(key) {
  const edges = key === "ArrowUp" ? above.get(state.node) : below.get(state.node);
  if (edges && edges.length) return edges[0][key === "ArrowUp" ? 1 : 0];
  return state.node;
}

function beside(step) {
  const groups = [...figure().querySelectorAll(".node")].filter((group) => members(group).some((name) => data.nodes[name]));
  const at = groups.findIndex((group) => members(group).includes(state.node));
  const next = groups[(at + step + groups.length) % groups.length];
  return members(next).find((name) => data.nodes[name]);
}

document.addEventListener("keydown", (event) => {
  if (event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const group = event.target.closest && event.target.closest(".node, .part");
  if ((event.key === "Enter" || event.key === " ") && group) pressed(group);
  else if (event.key === "Escape") { state.node = state.task = null; paint(); }
  else if (event.key === "/") $("search").focus();
  else if (event.key === "0") fit();
  else if (event.key === "+" || event.key === "-") zoom(event.key === "+" ? 0.8 : 1.25);
  else if (state.node && (event.key === "ArrowUp" || event.key === "ArrowDown")) choose(neighbour(event.key));
  else if (state.node && (event.key === "ArrowLeft" || event.key === "ArrowRight")) choose(beside(event.key === "ArrowLeft" ? -1 : 1));
  else return;
  event.preventDefault();
});

// -- pan and zoom ------------------------------------------------------------------------------------------------------

const svgOf = () => figure() && figure().querySelector("svg");
const boxOf = () => svgOf().getAttribute("viewBox").split(" ").map(Number);
const whole = new Map();

function fit() {
  if (svgOf()) svgOf().setAttribute("viewBox", whole.get(svgOf()));
}

function zoom(factor, x = 0.5, y = 0.5) {
  if (!svgOf()) return;
  const [left, top, width, height] = boxOf();
  svgOf().setAttribute("viewBox", [left + width * (1 - factor) * x, top + height * (1 - factor) * y, width * factor, height * factor].join(" "));
}

function pan() {
  const stage = $("stage");
  let held = null;
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    const box = stage.getBoundingClientRect();
    zoom(event.deltaY > 0 ? 1.1 : 0.9, (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  }, { passive: false });
  stage.addEventListener("pointerdown", (event) => { held = { x: event.clientX, y: event.clientY, moved: false }; });
  window.addEventListener("pointermove", (event) => {
    if (!held || !svgOf()) return;
    const [left, top, width, height] = boxOf(), stretch = Math.max(width / stage.clientWidth, height / stage.clientHeight);
    const across = event.clientX - held.x, down = event.clientY - held.y;
    if (Math.abs(across) + Math.abs(down) > 3 || held.moved) {
      held = { x: event.clientX, y: event.clientY, moved: true };
      stage.classList.add("dragged");
      svgOf().setAttribute("viewBox", [left - across * stretch, top - down * stretch, width, height].join(" "));
    }
  });
  window.addEventListener("pointerup", (event) => {
    const clicked = held && !held.moved && event.target.closest && stage.contains(event.target);
    held = null;
    stage.classList.remove("dragged");
    if (!clicked) return;
    const group = event.target.closest(".node, .part");
    if (group) pressed(group);
    else choose(null);
  });
}

// -- the beginning -----------------------------------------------------------------------------------------------------

function theme(name) {
  document.documentElement.dataset.theme = name;
}

function restore() {
  const given = new URLSearchParams(location.hash.slice(1)), task = given.get("task"), node = given.get("node");
  state.task = data.tasks.includes(task) ? task : null;
  state.node = node in data.nodes ? node : null;
  state.shade = ["parameters", "flops"].includes(given.get("shade")) ? given.get("shade") : "";
  $("shade").value = state.shade;
  unfold(given.get("full") === "true" && $("figure-full") !== null);
  paint();
}

function begin() {
  $("name").textContent = data.name;
  for (const task of data.tasks) {
    const chip = element("button", { onclick: () => { state.task = state.task === task ? null : task; state.node = null; paint(); } }, task);
    chip.dataset.task = task;
    chip.title = `What does the loss of ${task} train?`;
    $("tasks").append(chip);
  }
  for (const name of Object.keys(data.nodes)) $("names").append(element("option", { value: name }));
  for (const svg of document.querySelectorAll("svg.archspec")) whole.set(svg, svg.getAttribute("viewBox"));
  for (const group of document.querySelectorAll(".node, .part")) {
    group.setAttribute("tabindex", "0");
    group.setAttribute("role", "button");
    group.setAttribute("aria-label", members(group).join(", "));
  }
  $("shade").addEventListener("change", (event) => { state.shade = event.target.value; paint(); });
  $("search").addEventListener("change", (event) => {
    const asked = event.target.value.trim();
    const found = asked in data.nodes ? asked : Object.keys(data.nodes).find((name) => name.includes(asked));
    if (asked && found) choose(found);
  });
  $("fit").addEventListener("click", fit);
  $("unfold").hidden = $("figure-full") === null;
  $("unfold").addEventListener("click", () => { unfold(!state.full); paint(); });
  $("theme").addEventListener("click", () => theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  theme(window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  $("problems").hidden = !data.problems;
  $("problems").textContent = data.problems;
  window.addEventListener("hashchange", restore);
  pan();
  weigh();
  restore();
  if (LIVE) watch();
}

async function watch() {
  let known = null;
  for (;;) {
    try {
      const version = await (await fetch("version")).text();
      if (known !== null && version !== known) location.reload();
      known = version;
    } catch { /* the server has ended; the page stays */ }
    await new Promise((done) => setTimeout(done, 400));
  }
}

begin();
