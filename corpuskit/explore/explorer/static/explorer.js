"use strict";
// The explorer's page. Whatever comes from the run is put in as text: no HTML is made of strings.

const byId = (id) => document.getElementById(id);
const count = (n) => Number(n).toLocaleString("en");
const percent = (part, whole) => (whole ? `${(100 * part / whole).toPrecision(3)} %` : "");
let run = null;

function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value != null) made.setAttribute(key, value);
  }
  made.append(...children.filter((one) => one != null).map((one) => (one instanceof Node ? one : String(one))));
  return made;
}

async function asked(name, body = {}, signal) {
  return fetch(`ask/${name}`, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal,
  });
}

async function ask(name, body, signal) {
  const reply = await asked(name, body, signal);
  const found = await reply.json();
  if (!reply.ok) throw new Error(found.hint ? `${found.error}\n${found.hint}` : found.error);
  return found;
}

// what fails is said above the view
function guarded(action) {
  return async (event) => {
    event?.preventDefault();
    byId("failed").hidden = true;
    try {
      return await action(event);
    } catch (error) {
      if (error.name !== "AbortError") fail(error);
    }
  };
}

// of questions whose answers take each other's place only the last one is answered: it gives up the one before
function latest() {
  let running = null;
  return () => {
    running?.abort();
    running = new AbortController();
    return running;
  };
}

function fail(error) {
  byId("failed").textContent = error.message;
  byId("failed").hidden = false;
}

function table(head, rows, right = () => false) {
  const cells = (tag, row) => row.map((cell, k) => el(tag, { class: right(k) ? "right" : "cell" }, cell ?? ""));
  return el("div", { class: "scroll" }, el("table", {},
    el("thead", {}, el("tr", {}, ...cells("th", head))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...cells("td", row))))));
}

const link = (text, hash) => el("a", { href: `#${hash}` }, text);
const documentLink = (doc) => link(String(doc), `document/${doc}`);
const text = (content, short) => el("div", { class: short ? "text short" : "text" }, content ?? "(its text is not kept)");
const labelled = (name, input, style) => el("label", { class: style }, name, input);

function choice(values, selected, none) {
  const shown = values.map((one) => el("option", { value: one, selected: one === selected }, one));
  return el("select", {}, ...(none == null ? [] : [el("option", { value: "" }, none)]), ...shown);
}

const number = (input) => (input.value === "" ? null : Number(input.value));
const domains = () => run.domains.map((one) => one.domain);

function pages(found, offset, go) {
  const last = offset + found.rows.length;
  return el("p", { class: "pages muted" }, `${found.rows.length ? count(offset + 1) : 0} to ${count(last)} of ${count(found.count)} `,
    offset > 0 ? el("button", { type: "button", onclick: () => go(Math.max(0, offset - found.page)) }, "before") : null, " ",
    last < found.count ? el("button", { type: "button", onclick: () => go(last) }, "next") : null);
}

// -- run ---------------------------------------------------------------------------------------------------------------

function showRun(view) {
  const outcomes = ["read", "unreadable", "empty", "dropped", "exact", "near", "contaminated", "held_out", "kept"];
  const rows = run.domains.map((one) => [one.domain, ...outcomes.map((name) => count(one[name])), percent(one.kept, one.read)]);
  const progress = el("div", {});
  view.append(
    ...run.warnings.map((one) => el("p", { class: "warning" }, one)),
    el("h2", {}, "Domains"),
    table(["domain", ...outcomes.map((name) => name.replace("_", " ")), ""], rows, (k) => k > 0),
    el("h2", {}, "Dropped, by rule"),
    table(["rule", "documents"], Object.entries(run.rules).map(([rule, n]) => [rule, count(n)]), (k) => k > 0),
    progress);
  let before = null;
  const watch = async () => {
    if (!progress.isConnected) return;
    const found = await ask("status");
    if (!progress.isConnected) return;
    if (before !== null && found.last_activity !== before) run = await ask("overview");
    before = found.last_activity;
    const complete = found.stages.reduce((sum, one) => sum + one.complete, 0);
    const units = found.stages.reduce((sum, one) => sum + one.units, 0);
    progress.replaceChildren(
      el("h2", {}, `Progress: ${count(complete)} of ${count(units)} units`),
      el("p", { class: "muted" }, found.last_activity ? `run ${found.run}; last activity ${new Date(1000 * found.last_activity).toLocaleString()}` : ""),
      ...found.failures.map((one) => el("pre", {}, `${one.stage}:${one.unit} (${one.label})\n${one.error}`)),
      table(["stage", "units", "", "at work", "rows", "seconds"], found.stages.map((one) => [one.stage,
        `${count(one.complete)} / ${count(one.units)}`, el("progress", { max: one.units || 1, value: one.complete, "aria-label": one.stage }),
        one.at_work || "", count(one.rows), one.seconds.toFixed(1)]), (k) => k === 1 || k > 2));
    setTimeout(guarded(watch), 2000);
  };
  return watch();
}

// -- documents ---------------------------------------------------------------------------------------------------------

function showDocuments(view) {
  const fate = choice(["kept", "dropped", "held_out"], "kept");
  const domain = choice(domains(), null, "all");
  const rule = choice(Object.keys(run.rules), null, "any");
  const signal = choice(run.signals, null, "none");
  const [low, high] = [0, 1].map(() => el("input", { type: "number", step: "any", size: 8 }));
  const down = el("input", { type: "checkbox" });
  const wanted = el("input", { type: "search", placeholder: "words in the text" });
  const blind = el("input", { type: "checkbox", checked: true });
  const result = el("div", { id: "documents" });
  const begin = latest();

  const browse = async (offset) => {
    const found = await ask("documents", { fate: fate.value, domain: domain.value, rule: rule.value, signal: signal.value,
      low: number(low), high: number(high), descending: down.checked, offset }, begin().signal);
    result.replaceChildren(pages(found, offset, (to) => guarded(() => browse(to))()), ...found.rows.map((row) => documentItem(row, signal.value)));
  };
  const seek = async () => {
    const mine = begin();
    const said = el("span", { class: "muted", id: "searched" }, "searching");
    const cancel = el("button", { type: "button", id: "cancel", onclick: () => mine.abort() }, "cancel");
    result.replaceChildren(el("p", { class: "pages" }, said, " ", cancel));
    mine.signal.addEventListener("abort", () => { said.textContent += ", cancelled"; cancel.remove(); });
    const reply = await asked("search", { text: wanted.value, fate: fate.value, domain: domain.value, blind: blind.checked }, mine.signal);
    if (!reply.ok) throw new Error((await reply.json()).error);
    let hits = 0;
    for await (const one of lines(reply.body)) {
      if (one.doc !== undefined) {
        hits += 1;
        result.append(el("article", {}, documentLink(one.doc), ` ${one.domain}`,
          el("div", { class: "text short" }, one.before, el("mark", {}, one.match), one.after)));
      } else if (one.done) {
        said.textContent = `${count(hits)} documents${one.more ? ", and more" : ""}`;
        cancel.remove();
      } else said.textContent = `${count(hits)} documents in ${count(one.read)} of ${count(one.of)}`;
    }
  };
  view.append(
    el("form", { onsubmit: guarded(() => (wanted.value ? seek() : browse(0))) },
      labelled("documents", fate), labelled("domain", domain), labelled("rule", rule), labelled("signal", signal),
      labelled("from", low), labelled("to", high), labelled("largest first", down, "row"), labelled("text", wanted),
      labelled("any case", blind, "row"), el("button", {}, "show")),
    result);
  rule.addEventListener("change", () => { if (rule.value) fate.value = "dropped"; });
  return browse(0);
}

async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const found = (rest + value).split("\n");
    rest = found.pop();
    for (const line of found) yield JSON.parse(line);
  }
}

function documentItem(row, signal) {
  const value = row.value == null ? null : ` ${signal} ${row.value}`;
  const why = row.rule ? ` dropped by ${row.rule}${row.reason ? `: ${row.reason}` : ""}` : null;
  return el("article", {}, documentLink(row.doc), ` ${row.domain}`, value, why, text(row.text, true));
}

async function showDocument(view, doc) {
  const found = await ask("document", { doc });
  const fields = [["domain", found.raw.domain], ["fate", found.fate], ["reason", found.reason],
    ["raw record", `${found.raw.path} #${found.raw.record}`], ...Object.entries(found.columns)];
  view.append(el("h2", {}, `Document ${found.doc}`),
    table(["", ""], fields.filter(([, value]) => value != null).map(([name, value]) => [name, said(value)])));
  if (found.duplicate_of) {
    const pair = found.duplicate_of;
    view.append(el("p", {}, `${pair.kind} duplicate of `, documentLink(pair.kept_doc), " ",
      pair.kept_root ? `in ${pair.kept_root}` : link("beside it", `compare/${pair.kept_doc}/${found.doc}`)));
  }
  if (found.copies.length) {
    view.append(el("p", {}, `${count(found.copies.length)} removed for it: `,
      ...found.copies.slice(0, 20).flatMap((one) => [link(`${one.doc} (${one.kind})`, `compare/${found.doc}/${one.doc}`), " "])));
  }
  view.append(el("h2", {}, "Text"), text(found.text), el("h2", {}, "Steps"),
    table(["step", "outcome", "values"], found.steps.map((one) => [one.step, one.outcome,
      [one.expr, said(one.values), one.found && said(one.found), one.lines && `${one.lines} lines cut`].filter(Boolean).join("\n")])),
    el("p", {}, link("tokens, shards and training", `trace/${found.doc}`)));
}

function said(value) {
  if (value == null) return "";
  if (typeof value !== "object") return String(value);
  if (Array.isArray(value)) return value.map(said).join("; ");
  return Object.entries(value).map(([name, one]) => `${name} ${said(one)}`).join(", ");
}

// -- duplicates --------------------------------------------------------------------------------------------------------

function showDuplicates(view) {
  const domain = choice(domains(), null, "all");
  const kind = choice(["near", "exact"], "near", "any");
  const below = el("input", { type: "number", min: 0, max: 1, step: 0.01 });
  const result = el("div", { id: "pairs" });
  const begin = latest();
  const browse = async (offset) => {
    const found = await ask("duplicates", { domain: domain.value, kind: kind.value, below: number(below), offset }, begin().signal);
    result.replaceChildren(pages(found, offset, (to) => guarded(() => browse(to))()),
      table(["removed", "domain", "kept", "domain", "kind", "similarity", ""], found.rows.map((row) => [documentLink(row.doc), row.domain,
        row.kept_root ? `${row.kept_doc} in ${row.kept_root}` : documentLink(row.kept_doc), row.kept_domain, row.kind,
        row.jaccard == null ? "" : row.jaccard.toFixed(3), row.kept_root ? "" : link("compare", `compare/${row.kept_doc}/${row.doc}`)])));
  };
  view.append(el("form", { onsubmit: guarded(() => browse(0)) }, labelled("domain of the removed", domain), labelled("kind", kind),
    labelled("similarity at most", below), el("button", {}, "show")), result);
  return browse(0);
}

async function showCompare(view, doc, other) {
  const found = await ask("compare", { doc, other });
  const side = (life, own, tag) => el("div", {},
    el("h2", {}, documentLink(life.doc), ` ${life.fate === "kept" ? "kept" : life.fate}`),
    el("p", { class: "muted" }, `${life.raw.domain}, ${life.raw.path} #${life.raw.record}`),
    el("div", { class: "text" }, ...found.pieces.filter(([what]) => what === "same" || what === own)
      .map(([what, piece]) => (what === "same" ? piece : el(tag, {}, piece)))));
  view.append(el("div", { class: "pair" }, side(found.one, "one", "del"), side(found.two, "two", "ins")));
  if (found.uncompared) view.append(el("p", { class: "muted" }, `${count(found.uncompared)} words are neither compared nor shown`));
}

// -- thresholds --------------------------------------------------------------------------------------------------------

function showThresholds(view, first) {
  const limited = run.limits.map((one) => one.column);
  const signal = choice([...new Set([...limited, ...run.signals])], first);
  const result = el("div", { id: "threshold" });
  const begin = latest();
  const show = async () => {
    const { histogram, limits } = await ask("histogram", { signal: signal.value }, begin().signal);
    result.replaceChildren();
    if (!histogram) result.append(el("p", {}, "no document has a value"));
    else await threshold(result, signal.value, histogram, limits);
  };
  signal.addEventListener("change", guarded(show));
  view.append(el("form", { onsubmit: guarded(show) }, labelled("signal", signal)), result);
  return run.signals.length ? show() : result.append("the documents of this run have no signals of numbers");
}

async function threshold(view, signal, histogram, limits) {
  const { edges, log, kept } = histogram;
  const place = (value) => (log ? Math.log10(value) : value);
  const value = (at) => (log ? 10 ** at : at);
  const places = edges.map(place);
  const [low, high] = [places[0], places[places.length - 1]];
  const operator = choice([">=", ">", "<=", "<"], limits[0]?.operator ?? ">=");
  const rule = el("select", {}, el("option", { value: -1 }, "all domains"),
    ...limits.map((one, k) => el("option", { value: k, selected: k === 0 }, `${one.rule}: ${one.domains.join(", ")}`)));
  const exact = el("input", { type: "number", step: "any", id: "limit" });
  const slider = el("input", { type: "range", min: low, max: high, step: (high - low) / 1000, id: "slider", "aria-label": "threshold" });
  const drops = el("p", { id: "drops", "aria-live": "polite" });
  const chart = el("div", { class: "chart", style: "height:280px" });
  const examples = el("div", {});
  const whole = kept.reduce((sum, n) => sum + n, 0);
  const begin = latest();
  let timer = null;

  const draw = (at) => {
    const bars = (name, counts, colour) => ({ type: "bar", name, x: places.slice(0, -1), y: counts.slice(1, -1), offset: 0,
      width: places.slice(1).map((one, k) => one - places[k]), marker: { color: colour, line: { width: 0 } },
      text: edges.slice(1).map((one, k) => `${edges[k].toPrecision(4)} to ${one.toPrecision(4)}`), textposition: "none",
      hovertemplate: "%{text}: %{y:,}<extra>%{fullData.name}</extra>" });
    const line = (x, colour, dash) => ({ type: "line", x0: x, x1: x, y0: 0, y1: 1, yref: "paper", line: { color: colour, width: 2, dash } });
    const ticks = [];
    if (log) for (let p = Math.floor(low); p <= high; p += 1) for (const k of high - low > 4 ? [1] : [1, 2, 5]) ticks.push(k * 10 ** p);
    return drawChart(chart, {
      data: [bars("kept", kept, "--c0"), bars("dropped by a rule on this signal", histogram.here, "--c2"), bars("dropped by other rules", histogram.elsewhere, "--grid")],
      layout: { barmode: "stack", bargap: 0, showlegend: true, yaxis: { title: { text: "documents" } },
        xaxis: { title: { text: signal.replaceAll("&", "&amp;").replaceAll("<", "&lt;") }, range: [low, high],
          ...(log ? { tickvals: ticks.map(place), ticktext: ticks.map((one) => one.toLocaleString("en")) } : {}) },
        shapes: [...limits.map((one) => line(place(one.value), "--muted", "dot")), line(at, "--c4", "solid")] },
    });
  };
  // at once, from the bins; what is exact follows
  const estimate = (at) => {
    const below = kept.reduce((sum, n, k) => {
      const [from, to] = [k === 0 ? -Infinity : places[k - 1], k === kept.length - 1 ? Infinity : places[k]];
      return sum + (to <= at ? n : from >= at ? 0 : n * (Number.isFinite(to - from) ? (at - from) / (to - from) : 0));
    }, 0);
    return operator.value.startsWith(">") ? below : whole - below;
  };
  const moved = () => {
    const at = Number(slider.value);
    drops.textContent = `moving it to ${exact.value} drops about ${count(Math.round(estimate(at)))} documents, ${percent(estimate(at), whole)} of those kept`;
    draw(at);
    clearTimeout(timer);
    timer = setTimeout(guarded(settle), 250);
  };
  const settle = async () => {
    const limit = limits[Number(rule.value)];
    const found = await ask("threshold", { signal, operator: operator.value, value: Number(exact.value), rule: limit?.rule, domains: limit?.domains },
      begin().signal);
    const [dropped, all] = ["drops", "kept"].map((name) => found.domains.reduce((sum, one) => sum + one[name], 0));
    drops.textContent = `moving it to ${exact.value} drops ${count(dropped)} documents, ${percent(dropped, all) || "0 %"} of those kept`
      + (found.returns == null ? "" : `; ${count(found.returns)} that ${limit.rule} dropped would pass`);
    examples.replaceChildren(
      table(["domain", "kept", "would be dropped", ""], found.domains.map((one) => [one.domain, count(one.kept), count(one.drops), percent(one.drops, one.kept)]), (k) => k > 0),
      el("div", { class: "pair" }, ...[["drops", "Just dropped"], ["keeps", "Just kept"]].map(([side, name]) => el("div", { id: side },
        el("h2", {}, name), ...found.examples[side].map((row) => documentItem(row, signal))))));
  };
  slider.addEventListener("input", () => { exact.value = Number(value(Number(slider.value)).toPrecision(4)); moved(); });
  exact.addEventListener("change", () => { if (exact.value !== "") { slider.value = place(Number(exact.value)); moved(); } });
  operator.addEventListener("change", moved);
  rule.addEventListener("change", () => { const limit = limits[Number(rule.value)]; if (limit) { operator.value = limit.operator; start(limit.value); } moved(); });
  const start = (at) => { exact.value = at; slider.value = place(at); };
  start(limits[0]?.value ?? Number(value((low + high) / 2).toPrecision(4)));
  view.append(el("form", { onsubmit: guarded(settle) }, labelled("keep what is", operator), labelled("threshold", exact), labelled("as in", rule),
    labelled("drag", slider, "wide")), drops, chart, examples);
  if (histogram.missing) view.append(el("p", { class: "muted" }, `${count(histogram.missing)} kept documents have no value`));
  moved();
}

// -- SQL and trace -----------------------------------------------------------------------------------------------------

function showSql(view) {
  const query = el("textarea", { spellcheck: "false", id: "sql" }, "SELECT domain, rule, count(*) AS documents FROM signals GROUP BY ALL ORDER BY documents DESC");
  const result = el("div", { id: "answer" });
  const begin = latest();
  const answer = async () => {
    const name = crypto.getRandomValues(new Uint32Array(2)).join("");
    const halt = guarded(() => ask("stop", { name }));
    const { signal } = begin();
    signal.addEventListener("abort", halt);
    result.replaceChildren(el("p", { class: "pages muted" }, "running ", el("button", { type: "button", onclick: halt }, "stop")));
    try {
      const found = await ask("sql", { sql: query.value, name }, signal);
      result.replaceChildren(el("p", { class: "muted" }, `${count(found.rows.length)} rows${found.more ? ", and more" : ""}`),
        table(found.columns, found.rows.map((row) => row.map((cell, k) => (/^(kept_)?doc$/.test(found.columns[k]) && cell != null ? documentLink(cell) : said(cell))))));
    } catch (error) {
      if (!signal.aborted) result.replaceChildren();
      throw error;
    }
  };
  view.append(el("form", { onsubmit: guarded(answer) }, labelled("DuckDB SQL over the views, one SELECT", query, "wide"), el("button", {}, "run")), result,
    el("h2", {}, "Views"), table(["view", "columns"], Object.entries(run.views).map(([name, columns]) => [name, columns.join(", ")])));
  query.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) guarded(answer)(event); });
}

function showTrace(view, given) {
  const what = el("input", { type: "text", size: 48, value: given ?? "", placeholder: "id, FILE#RECORD, shards/FILE.bin:TOKEN or step:N" });
  const result = el("div", { id: "traced" });
  const begin = latest();
  const follow = async () => {
    const found = await ask("trace", { what: what.value }, begin().signal);
    const doc = found.found.document?.doc ?? found.found.doc;
    result.replaceChildren(...(doc == null ? [] : [el("p", {}, "document ", documentLink(doc))]), el("pre", {}, found.text));
  };
  view.append(el("form", { onsubmit: guarded(follow) }, labelled("what to follow", what), el("button", {}, "follow")), result);
  return given ? follow() : null;
}

// -- tabs --------------------------------------------------------------------------------------------------------------

const TABS = { run: showRun, documents: showDocuments, thresholds: showThresholds, duplicates: showDuplicates, sql: showSql, trace: showTrace };
const VIEWS = { ...TABS, document: showDocument, compare: showCompare };

const show = guarded(async () => {
  const [name, ...given] = location.hash.slice(1).split("/").map(decodeURIComponent);
  const view = el("main", { id: "view" });
  byId("view").replaceWith(view);
  const shown = VIEWS[name] ? name : "run";
  for (const tab of byId("tabs").children) tab.setAttribute("aria-selected", String(tab.hash === `#${shown}`));
  await VIEWS[shown](view, ...given);
});

guarded(async () => {
  run = await ask("overview");
  document.title = `${run.recipe}: corpuskit explore`;
  byId("title").textContent = run.recipe;
  byId("where").textContent = run.root;
  byId("tabs").append(...Object.keys(TABS).map((name) => el("a", { href: `#${name}`, role: "tab" }, name)));
  addEventListener("hashchange", show);
  await show();
})();
