// Shows what the server says every two seconds, in the reader's language. Plain DOM; every text is set as text.

const POLL_MS = 2000;
const CHARTS_MS = 60000;
const LIMIT_MS = 8000;
const RANGES = [3, 12, 48];
const LANGUAGES = ["nb", "en"];
const DASHES = [[], [6, 4], [2, 3], [10, 4, 2, 4]];

const $ = (id) => document.getElementById(id);

let texts = {};
let language = "en";
let hours = RANGES[0];
let state = null;
let heardAt = 0; // performance.now() of the last answer
let lostAt = null; // Date of the last answer before the server was lost
const charts = new Map(); // by part: times and charts as the server laid them out, and how to take each plot away

// Words, numbers, times

function t(key, values = {}) {
  return (texts[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? t("unknown"));
}

function locale() {
  return language === "nb" ? "nb-NO" : "en-GB";
}

function number(value, unit = "") {
  if (value === null || value === undefined) return "–";
  const text = new Intl.NumberFormat(locale(), { maximumFractionDigits: 2 }).format(value);
  return unit ? `${text} ${unit}` : text;
}

function clock(ms) {
  if (ms === null || ms === undefined) return t("unknown");
  const at = new Date(ms);
  const today = at.toDateString() === new Date(now()).toDateString();
  const day = today ? {} : { day: "numeric", month: "short" };
  return new Intl.DateTimeFormat(locale(), { hour: "2-digit", minute: "2-digit", ...day }).format(at);
}

function duration(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 100) return t("duration.seconds", { count: seconds });
  const minutes = Math.round(seconds / 60);
  if (minutes < 100) return t("duration.minutes", { count: minutes });
  if (minutes < 48 * 60) return t("duration.hours", { count: Math.floor(minutes / 60), minutes: minutes % 60 });
  return t("duration.days", { count: Math.round(minutes / 1440) });
}

// By the server's clock: the reader's may be wrong, and an age goes on when the server is away.
function now() {
  return state ? state.now + performance.now() - heardAt : Date.now();
}

function quantityName(name) {
  const words = name.replaceAll("_", " ");
  return texts[`quantity.${name}`] ?? words.charAt(0).toUpperCase() + words.slice(1);
}

// Elements

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

function symbol(text) {
  return element("span", { className: "symbol", "aria-hidden": "true" }, text);
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// Makes `parent` hold one child for each item, kept by its key while the item stays: what a reader holds is not torn away.
function keep(parent, items, keyOf, make, update) {
  const children = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, place) => {
    const key = keyOf(item);
    let child = children.get(key);
    if (!child) {
      child = make(item);
      child.dataset.key = key;
    }
    children.delete(key);
    if (parent.children[place] !== child) parent.insertBefore(child, parent.children[place] ?? null);
    update(child, item);
  });
  for (const gone of children.values()) gone.remove();
}

// Alarms

function alarmTitle(alarm) {
  const limit = number(alarm.limit, alarm.unit ?? "");
  const values = {
    quantity: alarm.quantity ? quantityName(alarm.quantity) : "",
    sensor: alarm.sensor ?? "",
    limit,
    value: number(alarm.value),
  };
  if (alarm.rule === "silent" && alarm.quantity) return t("silent.part", values);
  return t(`rule.${alarm.rule}`, values);
}

function penName(pen) {
  return pen === "node" ? t("node") : pen;
}

function where(alarm) {
  return alarm.sensor ? `${penName(alarm.pen)} · ${alarm.sensor}` : penName(alarm.pen);
}

function makeAlarm() {
  return element(
    "article",
    { className: "alarm" },
    element("h2", {}, symbol(""), element("span", { className: "title" })),
    element("p", { className: "where" }),
    element("p", { className: "facts" }),
    element("p", { className: "acknowledged" }),
    element("details", {}, element("summary"), element("ol", { className: "before" })),
    element("button", { type: "button", className: "strong" }),
  );
}

function updateAlarm(node, alarm) {
  const done = alarm.acknowledged !== null;
  node.classList.toggle("done", done);
  setText(node.querySelector(".symbol"), done ? "✓" : "⚠");
  setText(node.querySelector(".title"), `${t("alarm")}: ${alarmTitle(alarm)}`);
  setText(node.querySelector(".where"), where(alarm));
  const facts = [t("alarm.since", { time: clock(alarm.since), duration: duration(now() - alarm.since) })];
  if (alarm.sensor && alarm.value !== null) {
    facts.unshift(t("alarm.value", { value: number(alarm.value, alarm.unit ?? "") }));
    facts.unshift(t("alarm.limit", { limit: number(alarm.limit, alarm.unit ?? "") }));
  }
  setText(node.querySelector(".facts"), facts.join(" · "));
  setText(node.querySelector(".acknowledged"), done ? t("acknowledged", { time: clock(alarm.acknowledged) }) : "");
  const details = node.querySelector("details");
  details.hidden = alarm.before.length === 0;
  setText(details.querySelector("summary"), t("alarm.before"));
  const lines = [...alarm.before].reverse().map(([time, value]) => ({ time, value }));
  keep(
    details.querySelector("ol"),
    lines,
    (line) => String(line.time),
    () => element("li"),
    (item, line) => {
      const at = new Intl.DateTimeFormat(locale(), { timeStyle: "medium" }).format(new Date(line.time));
      setText(item, t("alarm.at", { time: at, value: number(line.value, alarm.unit ?? "") }));
    },
  );
  const button = node.querySelector("button");
  button.hidden = done;
  setText(button, t("acknowledge"));
  button.setAttribute("aria-label", `${t("acknowledge")}: ${alarmTitle(alarm)}, ${where(alarm)}`);
  button.onclick = () => ask(alarm);
}

// Acknowledgement

let asked = null;

function ask(alarm) {
  asked = alarm.topic;
  setText($("acknowledge-title"), t("acknowledge"));
  setText($("acknowledge-what"), `${alarmTitle(alarm)} – ${where(alarm)}`);
  setText($("pin-label"), t("acknowledge.pin"));
  setText($("acknowledge-send"), t("acknowledge.send"));
  setText($("acknowledge-cancel"), t("acknowledge.cancel"));
  setText($("acknowledge-error"), "");
  $("pin").value = "";
  $("acknowledge").showModal();
  $("pin").focus();
}

async function send(event) {
  event.preventDefault();
  const button = $("acknowledge-send");
  button.disabled = true;
  try {
    const answer = await fetch("api/acknowledge", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ topic: asked, pin: $("pin").value.trim() }),
      signal: AbortSignal.timeout(LIMIT_MS),
    });
    if (answer.ok) {
      $("acknowledge").close();
      return;
    }
    const said = await answer.json();
    const key = `acknowledge.error.${answer.status}`;
    const words = { duration: duration((said.seconds ?? 0) * 1000) };
    setText($("acknowledge-error"), key in texts ? t(key, words) : t("acknowledge.error.other"));
  } catch {
    setText($("acknowledge-error"), t("acknowledge.error.other"));
  } finally {
    button.disabled = false;
    $("pin").value = "";
    $("pin").focus();
  }
}

// How the services do

function notes() {
  const { broker, alarmService, uplink, webhook, alarms } = state;
  const found = [];
  const say = (key, good, text) => found.push({ key, good, text });
  if (broker.state !== "up") say("broker", false, t("broker.away", { time: clock(broker.since) }));
  if (alarms.length === 0) say("alarms", true, t("alarm.none"));
  const watching = { up: "alarms.up", stopped: "alarms.stopped" }[alarmService.state] ?? "alarms.unknown";
  say("service", alarmService.state === "up", t(watching, { time: clock(alarmService.since) }));
  say("uplink", uplink.state === "up", uplinkText(uplink));
  if (uplink.withheld) say("withheld", true, t("uplink.withheld", { count: number(uplink.withheld) }));
  if (webhook) say("webhook", false, webhookText(webhook));
  const ours = new Set(state.pens.flatMap((pen) => pen.sensors).map((sensor) => sensor.id));
  return found.concat(rejectedNotes((sensor) => !ours.has(sensor)));
}

// What sensors sent that was no reading.
function rejectedNotes(isShown) {
  return state.rejected
    .filter(({ sensor }) => isShown(sensor))
    .map(({ sensor, reason, count }) => ({
      key: JSON.stringify([sensor, reason]),
      good: false,
      text: t("rejected", { sensor, count: number(count), reason: t(`reason.${reason}`) }),
    }));
}

function webhookText(webhook) {
  const values = { time: clock(webhook.since), waiting: number(webhook.waiting), dropped: number(webhook.dropped) };
  return t(webhook.dropped ? "webhook.dropped" : "webhook.waiting", values);
}

function uplinkText(uplink) {
  const values = {
    time: clock(uplink.since),
    waiting: uplink.waiting === null ? t("unknown") : number(uplink.waiting),
    kept: uplink.kept ? t("uplink.kept") : t("uplink.over"),
  };
  if (uplink.state === "away" && uplink.since === null) return t("uplink.away.never", values);
  return t({ up: "uplink.up", away: "uplink.away", stopped: "uplink.stopped" }[uplink.state] ?? "uplink.unknown", values);
}

function updateNote(node, note) {
  node.className = note.good ? "note good" : "note bad";
  setText(node.firstChild, note.good ? "✓" : "!");
  setText(node.lastChild, note.text);
}

function showNotes(parent, found) {
  keep(parent, found, (note) => note.key, () => element("p", {}, symbol(""), element("span")), updateNote);
}

// A farm's pens

function makePart(part) {
  return element(
    "article",
    { className: "part" },
    element("h2", {}, part.name),
    element("div", { className: "values" }),
    element("div", { className: "rejected" }),
    element("div", { className: "charts" }),
  );
}

function makeValue() {
  return element(
    "div",
    { className: "value" },
    element("p", { className: "what" }),
    element("p", { className: "number" }),
    element("p", { className: "age" }),
    element("p", { className: "sensor" }),
  );
}

function updateValue(node, item) {
  const { sensor, quantity } = item;
  const age = quantity.time === null ? null : duration(now() - quantity.time);
  let beyond = "";
  if (quantity.low !== null && quantity.value !== null && quantity.value < quantity.low) beyond = "low";
  if (quantity.high !== null && quantity.value !== null && quantity.value > quantity.high) beyond = "high";
  const silent = quantity.silent || quantity.value === null;
  node.classList.toggle("silent", silent);
  node.classList.toggle("beyond", !silent && beyond !== "");
  setText(node.querySelector(".what"), quantityName(quantity.name));
  const big = node.querySelector(".number");
  if (silent) {
    setText(big, quantity.silent ? t("silent") : "–");
  } else {
    const mark = { low: "▼ ", high: "▲ " }[beyond] ?? "";
    const limit = beyond ? ` (${t(`limit.${beyond}`, { limit: number(quantity[beyond]) })})` : "";
    setText(big, `${mark}${number(quantity.value, quantity.unit)}${limit}`);
  }
  let said = t("silent.never");
  if (age !== null) {
    said = silent
      ? t("silent.last", { value: number(quantity.value, quantity.unit), duration: age })
      : t("age", { duration: age });
  }
  setText(node.querySelector(".age"), said);
  setText(node.querySelector(".sensor"), sensor.id);
}

function updatePen(node, pen) {
  const items = pen.sensors.flatMap((sensor) => sensor.quantities.map((quantity) => ({ sensor, quantity })));
  const keyOf = (item) => `${item.sensor.id}/${item.quantity.name}`;
  keep(node.querySelector(".values"), items, keyOf, makeValue, updateValue);
  const ours = new Set(pen.sensors.map((sensor) => sensor.id));
  showNotes(node.querySelector(".rejected"), rejectedNotes((sensor) => ours.has(sensor)));
}

// Headquarters' sites

function siteLines(site) {
  if (!site.answered) return [{ key: "store", good: false, text: t("site.answered") }];
  const lines = [];
  const heard = site.heard === null ? "" : duration(now() - site.heard);
  let text = t("site.heard", { duration: heard });
  if (site.silent) text = site.heard === null ? t("site.silent.never") : t("site.silent", { time: clock(site.heard), duration: heard });
  lines.push({ key: "heard", good: !site.silent, text });
  if (site.waiting !== null) lines.push({ key: "waiting", good: true, text: t("site.waiting", { count: number(site.waiting) }) });
  if (site.withheld) lines.push({ key: "withheld", good: true, text: t("site.withheld", { count: number(site.withheld) }) });
  for (const alarm of site.alarms) {
    const values = {
      rule: t(`short.${alarm.rule}`),
      quantity: alarm.quantity ? quantityName(alarm.quantity) : "",
      pen: alarm.pen ? penName(alarm.pen) : "",
      raised: number(alarm.raised),
      acknowledged: number(alarm.acknowledged ?? 0),
    };
    lines.push({ key: JSON.stringify([alarm.rule, alarm.quantity, alarm.pen]), good: false, text: t("site.alarm", values) });
  }
  if (site.alarms.length === 0 && !site.silent) lines.push({ key: "alarms", good: true, text: t("alarm.none") });
  return lines;
}

function updateSite(node, site) {
  showNotes(node.querySelector(".values"), siteLines(site));
}

// Charts

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function lineColours() {
  return ["--line-1", "--line-2", "--line-3", "--line-4"].map(colour);
}

function unitOf(part, quantity) {
  const pen = state.pens?.find((each) => each.name === part);
  const found = pen?.sensors.flatMap((sensor) => sensor.quantities).filter((each) => each.name === quantity) ?? [];
  return { unit: found[0]?.unit ?? "", limits: found.flatMap((each) => [each.low, each.high]).filter((each) => each !== null) };
}

function drawLimits(limits) {
  return (plot) => {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = colour("--alarm");
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
    for (const limit of new Set(limits)) {
      const y = plot.valToPos(limit, "y", true);
      if (y < bbox.top || y > bbox.top + bbox.height) continue;
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
    }
    ctx.restore();
  };
}

function shortTime(seconds) {
  return new Intl.DateTimeFormat(locale(), { hour: "2-digit", minute: "2-digit" }).format(new Date(seconds * 1000));
}

function plot(target, part, times, chart) {
  const { unit, limits } = unitOf(part, chart.quantity);
  const colours = lineColours();
  const data = [times.map((time) => time / 1000)];
  const series = [{ value: (_, seconds) => (seconds === null ? "–" : clock(seconds * 1000)), label: "" }];
  const bands = [];
  chart.lines.forEach((line, place) => {
    const stroke = colours[place % colours.length];
    const dash = DASHES[Math.floor(place / colours.length) % DASHES.length];
    const at = series.length;
    series.push({ label: line.name, stroke, width: 2, dash, spanGaps: false, value: (_, value) => number(value, unit) });
    series.push({ label: "", class: "band", stroke: "transparent", points: { show: false } });
    series.push({ label: "", class: "band", stroke: "transparent", points: { show: false } });
    bands.push({ series: [at + 1, at + 2], fill: `${stroke}33` });
    data.push(line.mean, line.max, line.min);
  });
  const ink = colour("--ink");
  const grid = { stroke: colour("--grid"), width: 1 };
  const size = () => ({ width: Math.max(200, target.clientWidth), height: 200 });
  const made = new uPlot(
    {
      ...size(),
      series,
      bands,
      axes: [
        { stroke: ink, grid, values: (_, splits) => splits.map(shortTime) },
        { stroke: ink, grid, size: 56, values: (_, splits) => splits.map((value) => number(value)) },
      ],
      scales: { x: { min: data[0][0], max: data[0][data[0].length - 1] } },
      cursor: { drag: { x: false, y: false } },
      hooks: { draw: [drawLimits(limits)] },
    },
    data,
    target,
  );
  const observer = new ResizeObserver(() => made.setSize(size()));
  observer.observe(target);
  return () => {
    observer.disconnect();
    made.destroy();
  };
}

function describe(part, chart) {
  const { unit } = unitOf(part, chart.quantity);
  const all = (name) => chart.lines.flatMap((line) => line[name]).filter((value) => value !== null);
  const means = all("mean");
  const lows = all("min").concat(means);
  const highs = all("max").concat(means);
  return t("chart.label", {
    quantity: quantityName(chart.quantity),
    min: number(Math.min(...lows), unit),
    max: number(Math.max(...highs), unit),
    last: number(means.at(-1), unit),
  });
}

function showCharts(part, node) {
  const place = node.querySelector(".charts");
  const drawn = charts.get(part);
  if (!drawn) return;
  drawn.ends.forEach((end) => end());
  drawn.ends = [];
  place.replaceChildren();
  if (drawn.failed) {
    place.append(element("p", { className: "note bad", role: "status" }, symbol("!"), t("chart.unavailable")));
    return;
  }
  if (drawn.charts.length === 0) place.append(element("p", {}, t("chart.none")));
  for (const chart of drawn.charts) {
    const { unit } = unitOf(part, chart.quantity);
    const target = element("div", { className: "plot", role: "img", "aria-label": describe(part, chart) });
    const title = unit ? `${quantityName(chart.quantity)}, ${unit}` : quantityName(chart.quantity);
    place.append(element("figure", {}, element("figcaption", {}, title), target));
    drawn.ends.push(plot(target, part, drawn.times, chart));
  }
}

async function loadCharts() {
  for (const node of [...$("parts").children]) {
    const part = node.dataset.key;
    const ends = charts.get(part)?.ends ?? [];
    const wanted = hours;
    try {
      const answer = await fetch(`api/history/${part}?hours=${wanted}`, { signal: AbortSignal.timeout(20000) });
      if (!answer.ok) throw new Error(String(answer.status));
      const { times, charts: found } = await answer.json();
      charts.set(part, { times, charts: found, ends, failed: false });
    } catch {
      charts.set(part, { times: [], charts: [], ends, failed: true });
    }
    if (wanted !== hours) return;
    if (node.isConnected) showCharts(part, node);
  }
}

let chartsTimer = 0;

async function keepCharts() {
  clearTimeout(chartsTimer);
  await loadCharts();
  clearTimeout(chartsTimer);
  const failed = [...charts.values()].some((each) => each.failed);
  chartsTimer = setTimeout(keepCharts, failed ? CHARTS_MS / 6 : CHARTS_MS);
}

// The whole

function show() {
  $("offline").hidden = lostAt === null;
  if (lostAt !== null) setText($("offline"), t("offline", { time: clock(lostAt) }));
  document.body.classList.toggle("offline", lostAt !== null);
  if (!state) return;
  setText($("name"), state.name);
  if (state.mode === "farm") {
    keep($("alarms"), state.alarms, (alarm) => alarm.topic, makeAlarm, updateAlarm);
    showNotes($("notes"), notes());
    keep($("parts"), state.pens, (pen) => pen.name, makePart, updatePen);
    setTitle(state.alarms.filter((alarm) => alarm.acknowledged === null).length);
  } else {
    showNotes($("notes"), state.sites.length ? [] : [{ key: "none", good: true, text: t("site.none") }]);
    keep($("parts"), state.sites, (site) => site.name, makePart, updateSite);
    const raised = state.sites.flatMap((site) => site.alarms).reduce((sum, alarm) => sum + alarm.raised, 0);
    setTitle(raised + state.sites.filter((site) => site.silent).length);
  }
}

function setTitle(count) {
  const words = count === 1 ? t("alarm.one") : t("alarm.many", { count });
  document.title = count ? `⚠ ${words} · ${state.name}` : state.name;
}

async function poll() {
  try {
    const answer = await fetch("api/state", { signal: AbortSignal.timeout(LIMIT_MS) });
    if (!answer.ok) throw new Error(String(answer.status));
    const first = state === null;
    state = await answer.json();
    heardAt = performance.now();
    lostAt = null;
    show();
    if (first) keepCharts();
  } catch {
    lostAt ??= now();
    show();
  }
  setTimeout(poll, POLL_MS);
}

function showRanges() {
  $("ranges").setAttribute("aria-label", t("ranges"));
  $("ranges").replaceChildren(
    element("span", { "aria-hidden": "true" }, `${t("pens.charts")}: `),
    ...RANGES.map((range) =>
      element(
        "button",
        {
          type: "button",
          "aria-pressed": String(range === hours),
          onclick: () => {
            hours = range;
            showRanges();
            keepCharts();
          },
        },
        t("range.hours", { count: range }),
      ),
    ),
  );
}

function preferred() {
  const kept = localStorage.getItem("language");
  if (LANGUAGES.includes(kept)) return kept;
  const first = navigator.languages.map((tag) => tag.toLowerCase().split("-")[0]);
  return first.map((tag) => ({ nb: "nb", nn: "nb", no: "nb", en: "en" })[tag]).find(Boolean) ?? "en";
}

async function speak(chosen) {
  const answer = await fetch(`texts/${chosen}.json`);
  texts = await answer.json();
  language = chosen;
  document.documentElement.lang = chosen;
  for (const button of $("languages").children) {
    button.setAttribute("aria-pressed", String(button.dataset.language === chosen));
  }
  showRanges();
  show();
  for (const node of $("parts").children) showCharts(node.dataset.key, node);
}

for (const button of $("languages").children) {
  button.onclick = () => {
    localStorage.setItem("language", button.dataset.language);
    speak(button.dataset.language);
  };
}
$("acknowledge").querySelector("form").onsubmit = send;
$("acknowledge-cancel").onclick = () => $("acknowledge").close();
matchMedia("(prefers-color-scheme: dark)").onchange = () => {
  for (const node of $("parts").children) showCharts(node.dataset.key, node);
};

await speak(preferred());
poll();
