// The whole page: the bar above the grid, the status, the dialogs, and the keys that work everywhere.
"use strict";
qb.app = (() => {
  const { model, pivot, grid } = qb;
  let choice = pivot.read();
  let cells = [];
  let offline = false;
  let filtering = false; // whether the filters by axis are shown
  let hidden = ""; // the errors that the user has hidden, in JSON
  let building = false;

  const SHOWN = { starred: (cell) => qb.picks.has(cell.path), changed: (cell) => qb.picks.changed(cell), unseen: (cell) => qb.seen.unseen(cell) };

  // --- arranging ---

  function arrange() {
    if (!model.data) return;
    cells = pivot.visible(choice, model.data).filter(SHOWN[choice.stars] || (() => true));
    grid.set(pivot.layout(choice, model.data, cells, grid.room));
    status();
    emptiness();
  }

  function choose(change, push = false) {
    if (change.stars === "unseen") qb.seen.begin();
    choice = { ...choice, ...change };
    pivot.write(choice, push);
    arrange();
    controls();
    qb.announce(`${qb.plural(cells.length, "cell")} shown`);
  }

  function select(label, options, value, act, properties = {}) {
    const element = qb.el("select", { "aria-label": label, onchange: () => act(element.value), ...properties },
      options.map(([key, text]) => qb.el("option", { value: key }, text)));
    element.value = value;
    return qb.el("label", {}, qb.el("span", {}, label), element);
  }

  function controls() {
    const { data } = model;
    const { rows, columns } = pivot.axesOf(choice, data);
    const names = data.axes.filter((axis) => axis.values.length > 1).map((axis) => axis.name);
    const options = (taken) => [["", "none"], ...names.filter((name) => !taken.includes(name)).map((name) => [name, name])];
    const held = document.activeElement?.closest("#choices") ? document.activeElement.getAttribute("aria-label") : "";
    const axes = data.axes.filter((axis) => axis.values.length > 1);
    const set = axes.filter((axis) => choice.filters[axis.name]).length;
    if (set) filtering = true;
    const list = [
      select("Rows", options([...rows.slice(1), ...columns]), rows[0] || "", (name) => choose({ rows: name ? [name, ...rows.slice(1)] : [] })),
      rows.length ? select("then by", options([rows[0], ...columns]), rows[1] || "", (name) => choose({ rows: name ? [rows[0], name] : [rows[0]] })) : null,
      select("Columns", options(rows), columns[0] || "", (name) => choose({ columns: name ? [name] : [] })),
      select("Status", [["", "any"], ...Object.entries(qb.verdicts), ["failed", "failed"], ["draft", "drafts"]]
        .filter(([key]) => !key || key === choice.verdict || count(key)), choice.verdict, (verdict) => choose({ verdict }), { class: choice.verdict ? "set" : "" }),
      select("Show", [["", "all"], ["starred", "starred"], ["changed", qb.picks.note], ["unseen", "unseen"]], choice.stars, (stars) => choose({ stars }), { class: choice.stars ? "set" : "" }),
      select("Tiles", Object.keys(pivot.TILES).map((name) => [name, name]), choice.tile, (tile) => choose({ tile })),
      axes.length ? qb.button(set ? `Filters · ${set}` : "Filters", () => { filtering = !filtering; controls(); arrange(); },
        { "aria-expanded": String(filtering), "aria-label": "Filters" }) : null,
      narrowed() ? qb.button("Clear filters", clear, { class: "clear" }) : null,
      filtering ? qb.el("div", { class: "filters", role: "group", "aria-label": "Filter by axis" }, axes.map((axis) => select(axis.name,
        [["", "all"], ...axis.values.slice(0, 500).map((value) => [value, value])], choice.filters[axis.name] || "", (value) => {
          const filters = { ...choice.filters };
          if (value) filters[axis.name] = value;
          else delete filters[axis.name];
          choose({ filters });
        }, { class: choice.filters[axis.name] ? "set" : "" }))) : null,
    ];
    qb.byId("choices").replaceChildren(...list.filter(Boolean));
    if (held) qb.byId("choices").querySelector(`[aria-label="${CSS.escape(held)}"]`)?.focus();
  }

  function clear() {
    qb.byId("text").value = "";
    filtering = false;
    choose({ text: "", verdict: "", stars: "", filters: {} });
  }

  const count = (key) => (key === "failed" ? model.data.cells.some((cell) => cell.activity === "failed")
    : key === "draft" ? model.data.cells.some((cell) => cell.kind === "draft") : model.data.counts[key] > 0);

  const narrowed = () => choice.text || choice.verdict || choice.stars || Object.keys(choice.filters).length > 0;

  function emptiness() {
    qb.byId("nothing")?.remove();
    if (cells.length) return;
    const { data } = model;
    const waiting = model.live && !data.planned;
    const [title, hint] = data.cells.length ? ["No cell matches", "Remove a filter to see more."]
      : waiting && data.problems?.length ? ["Nothing to show yet", "The project’s files have the errors below. They are read again after each save."]
        : ["No images yet", "Specs in specs/*.toml declare them."];
    qb.byId("grid").append(qb.el("div", { id: "nothing" }, qb.el("strong", {}, title), qb.el("p", {}, hint),
      data.cells.length ? qb.button("Clear filters", clear) : null));
  }

  // --- status ---

  function status() {
    const { data } = model;
    document.title = `${data.project || "qwenbuild"} · qwenbuild`;
    qb.byId("project").textContent = data.project || "qwenbuild";
    const shown = cells.length === data.cells.length ? qb.plural(cells.length, "cell") : `${qb.number(cells.length)} of ${qb.plural(data.cells.length, "cell")}`;
    const parts = Object.entries(qb.verdicts).filter(([key]) => data.counts[key] && data.counts[key] < data.cells.length)
      .map(([key, word]) => `${qb.number(data.counts[key])} ${word}`);
    const all = Object.entries(qb.verdicts).find(([key]) => data.cells.length && data.counts[key] === data.cells.length);
    const failed = data.cells.filter(qb.hasFailed).length;
    const drafts = data.cells.filter((cell) => cell.kind === "draft").length, old = data.cells.filter((cell) => cell.kind === "old"), drawn = old.some((cell) => cell.draft);
    qb.refill(qb.byId("counts"), [...[shown, ...(all ? [`all ${all[1]}`] : parts), drafts ? qb.plural(drafts, "draft") : "",
      old.length ? `${qb.plural(old.length, "old image")}${drawn ? ": d shows drafts" : ""}` : "", data.orphans?.length ? qb.plural(data.orphans.length, "orphan") : ""]
      .filter(Boolean).map((text) => qb.el("span", {}, text)), failed ? qb.el("span", { class: "bad" }, `${qb.number(failed)} failed`) : null]);
    qb.refill(qb.byId("run"), run());
    progress(data.progress);
    actions();
    notice();
    problems(data.problems || []);
  }

  // Shows how far the build is. Screen readers say when it begins and ends.
  function progress(now) {
    const bar = qb.byId("progress");
    bar.hidden = !now;
    if (now) { bar.max = now.total; bar.value = now.done; }
    if (Boolean(now) === building) return;
    building = Boolean(now);
    qb.announce(building ? `Rendering ${qb.plural(now.total, "image")}` : `Build finished: ${[...qb.byId("counts").children].map((part) => part.textContent).join(", ")}`);
  }

  // What to know about prices if an emulator made images.
  const emulated = (data) => (data.emulated === data.cells.length ? "an emulator made the images: nothing was paid for them"
    : `an emulator made ${qb.plural(data.emulated, "image")}: nothing was paid for ${data.emulated === 1 ? "it" : "them"}`);

  // The texts about the running build and its cost; in a report, about the last build.
  function run() {
    const { data } = model;
    const said = [];
    if (data.summary) {
      const last = data.summary.last_run;
      if (last && last.summary) {
        const ends = Object.entries(last.summary).filter(([key, value]) => typeof value === "number" && value && key !== "up_to_date").map(([key, value]) => `${qb.number(value)} ${key.replaceAll("_", " ")}`);
        said.push(`last build: ${ends.join(", ") || "nothing to do"} in ${qb.duration((last.finished_at_s || last.started_at_s) - last.started_at_s)}`);
        if (Object.keys(last.summary.cost || {}).length) said.push(qb.money(last.summary.cost));
      }
      said.push(new Date(data.made_at_s * 1000).toLocaleString());
      if (data.compared) said.push(`compared with ${data.compared.label}${data.compared.dropped ? `, which has ${qb.number(data.compared.dropped)} more` : ""}`);
    }
    if (data.progress) {
      const { done, total, running, seconds } = data.progress;
      said.push(running ? `rendering ${running}` : "building", `${qb.number(done)} of ${qb.number(total)}`);
      if (done && seconds > 2) said.push(`${qb.duration(seconds / done * (total - done))} left`);
    }
    if (qb.money(data.spent)) said.push(`spent ${qb.money(data.spent)}`);
    if (data.cost_left) said.push(`${Number(data.cost_left).toFixed(2)} CNY left`);
    if (data.emulated) said.push(emulated(data));
    return said.filter(Boolean).map((text) => qb.el("span", {}, text));
  }

  // The cells among `some` that a click can render: not those that are being rendered, or have just been.
  const BUSY = ["queued", "running", "waiting", "rendered", "restored", "reattached", "submitted"];
  const asked = new Set(); // names that this page has sent, until the server's answer shows them
  const renderable = (some) => (model.live ? some.filter((cell) => cell.verdict === "render" && !BUSY.includes(cell.activity) && !asked.has(cell.name)) : []);

  // Equal requests are rendered, and paid for, once.
  function cost(some) {
    const sums = {};
    for (const { price } of new Map(some.map((cell) => [cell.key, cell])).values()) {
      for (const [currency, amount] of Object.entries(price || {})) sums[currency] = (sums[currency] || 0) + Number(amount);
    }
    return qb.money(sums);
  }

  const priced = (some) => [`Render ${qb.number(some.length)}`, cost(some)].filter(Boolean).join(" · ");

  function actions() {
    const all = () => renderable(model.data.cells);
    const { mayRender } = model;
    qb.refill(qb.byId("actions"), [
      all().length ? qb.button(priced(all()), () => render(all(), false), { class: "primary", "data-act": "render", disabled: !mayRender,
        title: mayRender ? null : "To render, open the address that the terminal shows" }) : null,
      qb.button(`★ ${qb.picks.count}`, qb.picks.open, { "aria-label": `★ ${qb.plural(qb.picks.count, "star")}`, title: "Stars", "data-act": "stars" }),
      qb.button("?", qb.keys.help, { "aria-label": "? Keys", title: "Keys (?)", "data-act": "help" }),
    ]);
  }

  // What to know about the server, and the offer of what an earlier version kept in this browser.
  function notice() {
    const element = qb.byId("notice");
    const said = offline ? [qb.el("span", {}, "The preview has stopped, and this page shows its last state. `qwenbuild watch` starts it again, and the page goes on.")]
      : model.isForeign ? [qb.el("span", {}, "Another project, or another version of qwenbuild, is served at this address now. This page shows its last state."),
        qb.button("Reload", () => location.reload(), { "data-act": "reload" })]
        : [qb.picks.offer()];
    element.hidden = !said[0];
    qb.refill(element, said);
  }

  function frames(found) {
    return qb.el("div", { class: "frames" }, found.map((lines) => qb.el("pre", { tabindex: 0, dir: "ltr" },
      lines.flatMap(([role, text]) => [qb.el("span", { class: `line-${role}` }, text), "\n"]))));
  }

  function problems(found) {
    const section = qb.byId("problems"), text = JSON.stringify(found);
    section.hidden = !found.length || text === hidden;
    if (section.hidden || section.dataset.of === text) return;
    section.dataset.of = text;
    const planned = model.data.cells.length;
    section.replaceChildren(qb.el("div", { class: "problems-head" },
      qb.el("h2", {}, qb.plural(found.length, "error")), qb.el("p", {}, planned ? "The page shows the last state without errors. The files are read again after each save." : "The files are read again after each save."),
      qb.button("Hide", () => { hidden = text; section.hidden = true; grid.focus(); })), frames(found));
  }

  // --- rendering ---

  // One image whose price is on the button is rendered at once. Several, or one that is up to date, need a confirmation.
  async function render(some, force) {
    const names = some.map((cell) => cell.name);
    let amounts = {};
    try {
      amounts = (await model.price(names, force)).price;
    } catch (error) {
      qb.toast(error.message);
      return;
    }
    const price = qb.money(amounts), { cost_left: left } = model.data;
    if (!price || (names.length === 1 && !force)) {
      queue(names, force);
      return;
    }
    const short = left !== null && Number(amounts.CNY || 0) > Number(left);
    const act = force ? "Re-render" : "Render";
    const dialog = qb.dialog("confirm", names.length > 1 ? `${act} ${qb.plural(names.length, "image")}?` : `${act} this image?`, qb.el("div", { class: "sheets" },
      qb.el("p", {}, `${force ? "It is up to date. Rendering it again costs" : "This costs"} ${price}.`),
      short ? qb.el("p", { class: "warning" }, `${Number(left).toFixed(2)} CNY of the budget are left. Rendering stops before it would cost more.`) : null,
      qb.el("div", { class: "bar" }, qb.button(`${act} for ${price}`, () => { dialog.close(); queue(names, force); }, { class: "primary" }), qb.button("Cancel", () => dialog.close()))));
    dialog.querySelector(".close").remove();
    dialog.querySelector(".primary").focus();
  }

  async function queue(names, force) {
    for (const name of names) asked.add(name);
    actions();
    try {
      await model.render(names, force);
      qb.toast(`${qb.plural(names.length, "image")} queued`);
      await model.refresh();
    } catch (error) {
      qb.toast(error.message);
    }
    for (const name of names) asked.delete(name);
    changed();
  }

  // --- keys in the grid ---

  const act = (name) => () => { if (grid.wake()) qb[name].toggle(grid.active); };

  // Makes the tiles larger or smaller by one size; by none: the usual size.
  function resize(by) {
    const sizes = Object.keys(pivot.TILES);
    const tile = by ? sizes[Math.min(sizes.length - 1, Math.max(0, sizes.indexOf(choice.tile) + by))] : "medium";
    if (tile === choice.tile) return;
    choice = { ...choice, tile };
    pivot.write(choice);
    grid.set(pivot.layout(choice, model.data, cells, grid.room));
    qb.byId("choices").querySelector("[aria-label=Tiles]").value = tile;
    qb.announce(`${tile} tiles`);
  }

  qb.keys.add("grid", "Grid", [
    { keys: [...qb.keys.ARROWS, "Home", "End", "PageUp", "PageDown"], shown: "← → ↑ ↓ Home End PgUp PgDn", what: "move among the images", act: grid.go },
    { keys: ["Enter"], shown: "Enter", what: "open the image", act: grid.enter },
    { keys: ["x"], shown: "x", what: "select the image", act: act("compare") },
    { keys: ["f"], shown: "f", what: "star the image", act: act("picks") },
    { keys: ["d"], shown: "d", what: "show drafts, or the last images", act: toggleDrafts },
    { keys: ["c"], shown: "c", what: "compare two to four selected images", act: qb.compare.open },
    { keys: ["+", "="], shown: "+", what: "larger tiles", act: () => resize(1) },
    { keys: ["-", "_"], shown: "−", what: "smaller tiles", act: () => resize(-1) },
    { keys: ["0"], shown: "0", what: "tiles of the usual size", act: () => resize(0) },
    { keys: ["/"], shown: "/", what: "filter by name or prompt", act: () => qb.byId("text").focus() },
    { keys: ["Escape"], shown: "Esc", what: "clear the selection", act: qb.compare.clear },
  ]);

  // --- address ---

  function open(path) {
    qb.seen.open(model.cell(path));
    const from = choice.cell;
    choice.cell = path;
    pivot.write(choice, !from);
    qb.detail.open(path, closed);
  }

  function closed(path) {
    choice.cell = "";
    pivot.write(choice);
    grid.move(path);
  }

  function follow() {
    choice = pivot.read();
    qb.byId("text").value = choice.text;
    controls();
    arrange();
    if (choice.cell && model.cell(choice.cell)) {
      if (qb.detail.path !== choice.cell) qb.detail.open(choice.cell, closed);
    } else qb.detail.close();
  }

  // --- start ---

  let first = true;
  model.listen((what) => {
    const was = offline;
    if (["offline", "online", "foreign"].includes(what)) {
      offline = what === "foreign" ? offline : what === "offline";
      if (model.data) notice();
      if (was && !offline) mend();
      if (!model.data) qb.byId("counts").textContent = "waiting for the preview…";
      return;
    }
    if (first) {
      first = false;
      qb.picks.start();
      if (pivot.read().stars === "unseen") qb.seen.begin();
      follow();
      qb.seen.soon();
      return;
    }
    if (what === "shape") arrange();
    changed();
    qb.seen.soon();
  });

  // Draws what may have changed. A filter by status, text or star may match other cells now.
  function changed() {
    if (choice.verdict || choice.text || choice.stars) {
      controls();
      arrange();
    } else {
      grid.repaint();
      status();
    }
    qb.compare.draw();
    qb.detail.update();
  }

  // Loads the pictures again that could not be loaded while the server was away.
  function mend() {
    for (const image of document.querySelectorAll(".broken img")) {
      image.closest(".broken").classList.remove("broken");
      image.src = image.getAttribute("src");
    }
  }

  // --- drafts behind images ---

  // While the pointer is on a tile, its draft is shown.
  function peek(event) {
    const tile = event.target.closest?.(".tile"), cell = tile && model.cell(tile.dataset.path);
    const image = tile?.querySelector(".mat img");
    if (!image || !cell?.draft || model.drafting) return;
    const over = event.type === "pointerover";
    tile.classList.toggle("peek", over);
    image.src = qb.model.thumbnail(over ? cell.draft : cell.image);
  }
  for (const type of ["pointerover", "pointerout"]) qb.byId("grid").addEventListener(type, peek);
  qb.byId("grid").addEventListener("scroll", qb.seen.soon, { passive: true });

  function toggleDrafts() {
    if (!model.data.cells.some((cell) => cell.draft)) return;
    model.showDrafts(!model.drafting);
    qb.announce(model.drafting ? "Drafts are shown" : "The last images are shown");
  }
  grid.use({ open, resize, mark: qb.compare.toggle, marked: qb.compare.has, starred: qb.picks.has });

  let typing = 0;
  qb.byId("text").addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => choose({ text: qb.byId("text").value }), 120);
  });
  qb.byId("more").addEventListener("click", () => {
    const open = document.body.classList.toggle("arranging");
    qb.byId("more").setAttribute("aria-expanded", String(open));
  });
  qb.byId("skip").addEventListener("click", (event) => { event.preventDefault(); grid.focus(); });
  window.addEventListener("popstate", () => model.data && follow());
  let width = grid.room;
  new ResizeObserver(() => {
    if (grid.room !== width) { width = grid.room; arrange(); } else grid.draw();
  }).observe(qb.byId("grid"));

  return {
    frames, render, renderable, priced, starsChanged: () => { if (model.data) changed(); }, toggleDrafts, start: model.start,
    opened: (path) => { choice.cell = path; pivot.write(choice); grid.move(path, false); },
  };
})();
qb.app.start();
