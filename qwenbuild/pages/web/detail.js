// The detail view of one cell: its picture, its prompt with the origin of each part, earlier images, and all facts.
"use strict";
qb.detail = (() => {
  const HUES = 8;
  let dialog = null;
  let path = "";
  let shown = ""; // the cell as the dialog shows it, in JSON
  let beside = ""; // digest of the earlier image that the slider compares with
  let closed = () => {};

  function open(target, onclose) {
    path = target;
    beside = "";
    closed = onclose || closed;
    if (!dialog) {
      dialog = qb.dialog("detail", "", qb.el("div", { class: "detail-body" }), () => { dialog = null; shown = ""; closed(path); });
      const steps = qb.el("div", { class: "steps" }, qb.button("‹", () => step(-1), { title: "Previous (←)", "aria-label": "Previous cell" }),
        qb.button("›", () => step(1), { title: "Next (→)", "aria-label": "Next cell" }));
      dialog.querySelector(".dialog-head").insertBefore(steps, dialog.querySelector(".close"));
      dialog.addEventListener("keydown", keys);
    }
    show();
  }

  function keys(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea")) return;
    if (event.key === "ArrowLeft") step(-1);
    else if (event.key === "ArrowRight") step(1);
    else if (event.key === "f") { qb.favourites.toggle(path); show(true); }
    else return;
    event.preventDefault();
  }

  function step(by) {
    const order = qb.grid.order;
    const next = order[order.indexOf(path) + by];
    if (!next) return;
    path = next;
    beside = "";
    qb.app.opened(path);
    show();
  }

  async function show(keep = false) {
    const cell = qb.model.cell(path);
    if (!cell) { dialog.close(); return; }
    const asked = path;
    shown = JSON.stringify(cell);
    dialog.querySelector("h2").replaceChildren(qb.name(cell.name));
    const body = dialog.querySelector(".detail-body");
    body.setAttribute("aria-busy", "true");
    let detail = null, failure = "";
    try {
      detail = await qb.model.details(path);
    } catch (error) {
      failure = error.message;
    }
    if (!dialog || path !== asked) return;
    body.removeAttribute("aria-busy");
    const scroll = keep ? body.querySelector(".facts")?.scrollTop : 0;
    const facts = qb.el("div", { class: "facts", tabindex: 0, role: "region", "aria-label": "About this cell" }, failure ? qb.el("p", { class: "failure" }, failure) : about(cell, detail));
    const before = keep && body.querySelector(".picture");
    const picture = before && before.dataset.of === look(cell) ? before : view(cell, detail);
    const held = document.activeElement && dialog.contains(document.activeElement) ? document.activeElement.dataset.act : "";
    body.replaceChildren(picture, facts);
    if (scroll) facts.scrollTop = scroll;
    const again = held && body.querySelector(`[data-act="${held}"]`);
    if (again) again.focus();
  }

  const look = (cell) => `${cell.image}|${cell.kind}|${beside}`;

  function view(cell, detail) {
    const picture = qb.el("div", { class: `picture ${cell.kind}`, "data-of": look(cell) });
    picture.style.setProperty("--ratio", String(cell.size[0] / cell.size[1]));
    if (!cell.image) {
      const blank = qb.el("div", { class: "blank", dir: "auto" }, qb.el("span", {}, cell.why || "not rendered yet"));
      blank.style.aspectRatio = `${cell.size[0]} / ${cell.size[1]}`;
      picture.append(blank);
    } else {
      const sources = beside ? [qb.model.image(beside), qb.model.image(cell.image)] : [qb.model.image(cell.image)];
      picture.append(qb.viewer.make(sources, cell.size, cell.name));
    }
    const past = (detail ? detail.history : []).filter((one) => one.image !== cell.image);
    if (past.length && cell.image) picture.append(strip(cell, past));
    return picture;
  }

  // The cell's earlier images, the newest first. Choosing one compares it with the present image.
  function strip(cell, past) {
    const choose = (digest) => { beside = beside === digest ? "" : digest; show(true); };
    return qb.el("div", { class: "history", role: "group", "aria-label": "Earlier images" }, qb.el("span", {}, "Earlier"),
      past.map((one, i) => qb.el("button", {
        type: "button", "aria-pressed": String(beside === one.image), "data-act": `past-${i}`, title: when(one.at_s),
        "aria-label": `Compare with the image of ${when(one.at_s)}`, onclick: () => choose(one.image),
      }, qb.el("img", { src: qb.model.thumbnail(one.image), alt: "", loading: "lazy" }))));
  }

  function about(cell, detail) {
    const standing = qb.standing(cell);
    const past = detail.history.find((one) => one.image === beside) || null;
    const replaced = past?.request?.prompt ?? detail.before?.prompt ?? earlier(cell, detail);
    const parts = [
      qb.el("p", { class: `verdict is-${standing.tone}` }, qb.el("span", { class: "dot", "aria-hidden": "true" }), qb.el("strong", {}, standing.word),
        cell.kind === "draft" || cell.kind === "old" ? qb.el("span", { class: "badge" }, { draft: "a draft is shown", old: "the image to be replaced is shown" }[cell.kind]) : null,
        cell.reason && cell.reason !== standing.word ? qb.el("span", { dir: "auto" }, cell.reason) : null),
      cell.problems && cell.problems.length ? qb.app.frames(cell.problems) : cell.why ? qb.el("p", { class: "failure", dir: "auto" }, cell.why) : null,
      cell.activity === "waiting" ? qb.el("p", { class: "hint", dir: "auto" }, `Tried again at ${qb.clock(cell.again_at_s)}. The service said: ${cell.said}`) : null,
      actions(cell, detail),
      qb.model.live && qb.kept[cell.verdict] ? qb.el("p", { class: "hint" }, qb.kept[cell.verdict]) : null,
      qb.el("h3", {}, "Prompt"), prompt(detail.segments),
    ];
    if (detail.request.negative_prompt) parts.push(qb.el("h3", {}, "Negative prompt"), qb.el("p", { class: "prompt quiet", dir: "auto" }, detail.request.negative_prompt));
    if (replaced !== null && replaced !== undefined && replaced !== cell.prompt) {
      parts.push(qb.el("h3", {}, "Changed words"), qb.diff.element(replaced, cell.prompt));
    }
    parts.push(qb.el("h3", {}, "Cell"), facts(cell, detail));
    if (detail.provenance) parts.push(qb.el("h3", {}, cell.kind === "draft" ? "Provenance of the real image" : "Provenance"), provenance(detail.provenance));
    return parts;
  }

  const earlier = (cell, detail) => detail.history.find((one) => one.image !== cell.image)?.request?.prompt;

  function actions(cell, detail) {
    const price = qb.money(detail.price);
    const bar = qb.el("div", { class: "bar" });
    if (qb.model.live) {
      const fresh = cell.verdict !== "up_to_date";
      const busy = { running: "Rendering…", queued: "Queued", waiting: "Waiting…" }[cell.activity];
      const text = busy || `${fresh ? "Render" : "Re-render"}${price ? ` · ${price}` : ""}`;
      const disabled = !qb.model.mayRender || Boolean(busy) || cell.verdict in qb.kept;
      bar.append(qb.button(text, () => qb.app.render([cell], !fresh), { class: "primary", disabled, "data-act": "render",
        title: qb.model.mayRender ? null : "To render, open the address that the terminal shows" }));
    }
    const favourite = qb.favourites.has(path);
    bar.append(
      qb.button(favourite ? "★ Favourite" : "☆ Favourite", () => { qb.favourites.toggle(path); show(true); }, { "aria-pressed": String(favourite), "data-act": "favourite", title: "f" }),
      qb.button("Copy name", () => qb.copy(cell.name, "the cell’s name"), { "data-act": "copy" }));
    if (cell.image && !qb.model.data.small) bar.append(qb.el("a", { class: "button", href: qb.model.image(cell.image), target: "_blank", rel: "noopener", "data-act": "open" }, "Open file"));
    return bar;
  }

  // The prompt with coloured parts, one colour for each axis or variable that they come from, and a legend.
  function prompt(segments) {
    const names = [...new Set(segments.flatMap(([, from]) => from))];
    const hue = (from) => `from h${names.indexOf(from[0]) % HUES}`;
    const text = qb.el("p", { class: "prompt", dir: "auto" }, segments.map(([part, from]) =>
      from.length ? qb.el("mark", { class: hue(from), title: from.join(", ") }, part) : part));
    const key = names.length ? qb.el("ul", { class: "legend", "aria-label": "Where highlighted text comes from" },
      names.map((name) => qb.el("li", {}, qb.el("span", { class: hue([name]), dir: "auto" }, name),
        qb.model.declares(qb.model.cell(path), name) ? " axis" : " variable"))) : null;
    return qb.el("div", {}, text, key);
  }

  function facts(cell, detail) {
    const { request } = detail;
    return list([
      ["file", cell.path], ...qb.model.data.axes.filter((axis, i) => cell.at[i] >= 0).map((axis) => [axis.name, qb.model.value(cell, axis.name)]),
      ["model", request.model], ["size", request.size.replace("*", " × ")], ["seed", String(request.seed)],
      ["prompt extension", request.prompt_extend ? "on" : "off"],
      ...Object.entries(request.parameters || {}).map(([name, value]) => [`parameter ${name}`, JSON.stringify(value)]), ["price", qb.money(detail.price) || "free"], ["action key", cell.key],
    ]);
  }

  function provenance(facts) {
    const rows = [];
    for (const [name, value] of Object.entries(facts)) {
      if (name === "request" || name === "generator" || name === "action_key") continue;
      rows.push([name === "actual_prompt" ? "rewritten prompt" : name.replaceAll("_", " "), /_at(_s)?$/.test(name) && typeof value === "number" ? when(value)
        : typeof value === "object" ? JSON.stringify(value) : String(value)]);
    }
    return list(rows);
  }

  function list(rows) {
    const seen = new Set();
    return qb.el("dl", {}, rows.filter(([name]) => !seen.has(name) && seen.add(name)).flatMap(([name, value]) =>
      [qb.el("dt", {}, name), qb.el("dd", { dir: "auto" }, value)]));
  }

  const when = (seconds) => new Date(seconds * 1000).toLocaleString();

  function update() {
    if (!dialog) return;
    const cell = qb.model.cell(path);
    if (!cell || JSON.stringify(cell) !== shown) show(true);
  }

  return { open, update, close: () => dialog && dialog.close(), get path() { return dialog ? path : ""; } };
})();
