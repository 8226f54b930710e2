// The detail view of one cell: its picture, its prompt with the origin of each part, earlier images, and all facts.
"use strict";
qb.detail = (() => {
  const HUES = 8;
  let dialog = null;
  let path = "";
  let shown = ""; // the cell as the dialog shows it, in JSON
  let beside = ""; // digest of the picture that the present one is compared with: an earlier image, or a draft
  let settings = qb.pair.fresh();
  let sight = qb.viewer.view(); // what of the picture is visible; it stays while the user goes from cell to cell
  let pair = null;
  let others = []; // the pictures that the present one can be compared with: the draft, then earlier images, the newest first
  let closed = () => {};
  let turns = 0; // how often details were asked for: an answer that a later question has overtaken is dropped
  let drawn = ""; // path of the cell whose picture and facts stand in the dialog

  function open(target, onclose) {
    path = target;
    beside = compared();
    closed = onclose || closed;
    if (!dialog) {
      sight = qb.viewer.view();
      dialog = qb.dialog("detail", "", qb.el("div", { class: "detail-body" }), () => { dialog = null; pair = null; shown = ""; drawn = ""; closed(path); });
      const steps = qb.el("div", { class: "steps" }, qb.button("‹", () => step("ArrowLeft"), { title: "Previous (←)", "aria-label": "Previous cell" }),
        qb.button("›", () => step("ArrowRight"), { title: "Next (→)", "aria-label": "Next cell" }));
      dialog.querySelector(".dialog-head").insertBefore(steps, dialog.querySelector(".close"));
      qb.keys.focus(dialog);
    }
    show();
  }

  // The image that a report of differences compares the cell with.
  const compared = () => qb.model.cell(path)?.before || "";

  // Goes to the cell that the key leads to in the grid.
  function step(key) {
    const next = qb.grid.beside(key, path);
    if (!next || next === path) return;
    path = next;
    beside = compared();
    qb.app.opened(path);
    show();
  }

  async function show() {
    const turn = ++turns;
    const cell = qb.model.cell(path);
    if (!cell) { dialog.close(); return; }
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
    if (!dialog || turn !== turns) return;
    body.removeAttribute("aria-busy");
    const keep = drawn === path;
    const scroll = keep ? body.querySelector(".facts")?.scrollTop : 0;
    const facts = qb.el("div", { class: "facts", tabindex: 0, role: "region", "aria-label": "About this cell" }, failure ? qb.el("p", { class: "failure" }, failure) : about(cell, detail));
    const before = keep && body.querySelector(".picture");
    const picture = before && before.dataset.of === look(cell) ? before : view(cell, detail);
    const focused = document.activeElement;
    const held = focused && dialog.contains(focused) ? focused.dataset.act : "";
    body.replaceChildren(picture, facts);
    drawn = path;
    if (scroll) facts.scrollTop = scroll;
    const again = held && body.querySelector(`[data-act="${held}"]`);
    if (again) again.focus();
  }

  const look = (cell) => [cell.image, cell.kind, cell.draft, beside, beside && settings.mode].join("|");

  function view(cell, detail) {
    const picture = qb.el("div", { class: `picture ${cell.kind}`, "data-of": look(cell) });
    [pair, others] = [null, []];
    picture.style.setProperty("--ratio", String(cell.size[0] / cell.size[1]));
    if (!cell.image) {
      const blank = qb.el("div", { class: "blank", dir: "auto" }, qb.el("span", {}, cell.why || "not rendered yet"));
      blank.style.aspectRatio = `${cell.size[0]} / ${cell.size[1]}`;
      picture.append(blank);
    } else {
      pair = beside ? qb.pair.make({ source: qb.model.image(beside), size: cell.size, label: beside === cell.draft ? ["draft"] : beside === cell.kept ? ["last image"] : ["before"] },
        { source: qb.model.image(cell.image), size: cell.size, label: beside === cell.draft ? ["last image"] : beside === cell.kept ? ["draft"] : ["after"] }, cell.name, settings, sight) : null;
      picture.append(pair ? pair.box : qb.viewer.make([qb.viewer.image(qb.model.image(cell.image), cell.name, cell.size)], cell.size, cell.name, sight));
      others = [...(cell.draft ? [{ image: cell.kept ?? cell.draft }] : []), ...(detail ? detail.history : []).filter((one) => one.image !== cell.image)];
      if (others.length) picture.append(strip(others));
    }
    return picture;
  }

  // The pictures that the present one can be compared with.
  function strip(found) {
    const named = (one) => (one.label ? `image of ${one.label}` : one.at_s ? `image of ${when(one.at_s)}` : qb.model.cell(path).kept ? "last image" : "draft");
    const buttons = qb.el("div", { class: "earlier", role: "group", "aria-label": "Earlier images" }, qb.el("span", {}, found[0].at_s ? "Earlier" : "Compare"),
      found.map((one, i) => qb.el("button", {
        type: "button", "aria-pressed": String(beside === one.image), "data-act": `past-${i}`, title: named(one),
        "aria-label": `Compare with the ${named(one)}`, onclick: () => against(beside === one.image ? "" : one.image),
      }, qb.el("img", { src: qb.model.thumbnail(one.image), alt: "", loading: "lazy" }))));
    return qb.el("div", { class: "history" }, buttons, beside ? qb.pair.buttons(settings.mode, choose) : null);
  }

  function against(digest) {
    beside = digest;
    settings.after = true;
    show();
  }

  // Compares in this way with the chosen picture, else with the first one.
  function choose(mode) {
    if (!others.length) {
      qb.toast("There is no earlier image to compare with");
      return true;
    }
    settings.mode = mode;
    against(beside || others[0].image);
    return true;
  }

  // The first press shows the earlier image, the next one the present image.
  function flip() {
    if (pair && settings.mode === "blink") pair.flip();
    else {
      choose("blink");
      settings.after = false;
    }
    return true;
  }

  async function star() {
    const done = qb.picks.toggle(path);
    show();
    await done;
    if (dialog) show();
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
    const isStarred = qb.picks.has(path);
    bar.append(
      qb.button(isStarred ? "★ Starred" : "☆ Star", star, { "aria-pressed": String(isStarred), "data-act": "star", title: "f" }),
      qb.button("Copy name", () => qb.copy(cell.name, "the cell’s name"), { "data-act": "copy" }),
      ...qb.edit.buttons(cell, detail));
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

  // A size as people read it: "16:9 · 1664 × 928", or the pixels alone.
  function sized(wire) {
    const text = wire.replace("*", "x"), name = qb.captions.size(text), pixels = text.replace("x", " × ");
    return name === text ? pixels : `${name} · ${pixels}`;
  }

  function facts(cell, detail) {
    const { request } = detail;
    return list([
      ["file", cell.path], ...qb.model.data.axes.filter((axis, i) => cell.at[i] >= 0 && axis.name !== "size").map((axis) => [axis.name, qb.model.value(cell, axis.name)]),
      ["model", request.model], ["size", sized(request.size)], ["seed", String(request.seed)],
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
    if (!cell || JSON.stringify(cell) !== shown) show();
  }

  qb.keys.add("detail", "Open image", [
    { keys: ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"], shown: "← → ↑ ↓", what: "the images beside it in the grid", act: (event) => step(event.key) },
    { keys: ["f"], shown: "f", what: "star the image", act: star },
    { keys: ["d"], shown: "d", what: "show drafts, or the last images", act: () => qb.app.toggleDrafts() },
    { keys: ["e"], shown: "e", what: "edit the template, else the spec", act: () => dialog.querySelector("[data-act^=edit-]")?.click() },
    ...qb.viewer.keys(() => sight, true),
    ...qb.pair.keys(choose, flip).map((entry) => ({ ...entry, what: entry.what.replace("the other image", "the earlier image").replace("two images", "the image and an earlier one") })),
    { keys: ["Escape"], shown: "Esc", what: "back to the grid", act: () => false },
  ]);

  return { open, update, close: () => dialog && dialog.close(), get path() { return dialog ? path : ""; } };
})();
