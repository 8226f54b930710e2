// The stars. A preview reads and writes them in the project's picks.toml; a report shows them, and says which commands change them.
"use strict";
qb.picks = (() => {
  const LOOK = "To star images, open the address that the terminal shows";
  const wanted = new Map(); // by path: whether the cell is to be starred, until the data says so; in a report, for good
  let dialog = null;

  const store = (use) => {
    try {
      return use(localStorage);
    } catch {
      return null; // the browser stores nothing: the page forgets when it is closed
    }
  };
  const place = (what) => `qwenbuild-${what}:${qb.model.data.project}`;
  const read = (what) => {
    try {
      const found = JSON.parse(store((kept) => kept.getItem(place(what))) || "[]");
      return Array.isArray(found) ? found : [];
    } catch {
      return [];
    }
  };
  const forget = (what) => store((kept) => kept.removeItem(place(what)));

  const starred = (cell) => wanted.get(cell.path) ?? Boolean(cell.star);
  const cells = () => qb.model.data.cells.filter(starred);
  const has = (path) => Boolean(qb.model.cell(path)) && starred(qb.model.cell(path));
  const some = (paths) => [...paths].map((path) => qb.model.cell(path)).filter(Boolean);

  function start() {
    if (qb.model.live) return;
    for (const change of read("stars")) if (Array.isArray(change) && qb.model.cell(change[0])) wanted.set(change[0], change[1] === true);
    save();
  }

  // Keeps the changes of a report in this browser, until its picks.toml says the same.
  function save() {
    for (const [path, is] of wanted) if (Boolean(qb.model.cell(path).star) === is) wanted.delete(path);
    store((kept) => kept.setItem(place("stars"), JSON.stringify([...wanted])));
  }

  // Stars cells, or removes their stars.
  async function set(paths, is) {
    const changed = some(paths).filter((cell) => starred(cell) !== is);
    if (!changed.length) return true;
    if (qb.model.live && !qb.access.may) {
      qb.toast(LOOK);
      return false;
    }
    for (const { path } of changed) wanted.set(path, is);
    const what = changed.length === 1 ? changed[0].name : qb.plural(changed.length, "cell");
    qb.announce(`${what} ${is ? "starred" : "no longer starred"}`);
    if (!qb.model.live) save();
    qb.app.starsChanged();
    if (!qb.model.live) return true;
    let failure = "";
    try {
      await qb.model.act("pick", { names: changed.map((cell) => cell.name), drop: !is });
      await qb.model.refresh();
    } catch (error) {
      failure = error.message;
    }
    for (const { path } of changed) if (wanted.get(path) === is) wanted.delete(path);
    qb.app.starsChanged();
    if (failure) qb.toast(failure);
    return !failure;
  }

  // The older favourites of this browser, which can become stars.
  const favourites = () => some(read("favourites")).map((cell) => cell.path);

  function offer() {
    const paths = favourites();
    if (!paths.length) return null;
    const done = (text) => { forget("favourites"); qb.app.starsChanged(); qb.toast(text); qb.grid.focus(); };
    return qb.el("div", { class: "offer" }, qb.el("span", {}, `This browser has ${qb.plural(paths.length, "favourite")} of an earlier version.`),
      qb.button("Keep them as stars", async () => { if (await set(paths, true)) done(`${qb.plural(paths.length, "star")} kept`); }, { "data-act": "adopt" }),
      qb.button("Forget them", () => done("Forgotten"), { "data-act": "forget" }));
  }

  // --- texts ---

  const quoted = (text) => (/^[\w./:=@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
  const command = (words, list) => ["qwenbuild", words, ...list.map((cell) => quoted(cell.name))].join(" ");

  // The commands that make picks.toml say what a report shows.
  function commands() {
    const added = some(wanted.keys()).filter((cell) => wanted.get(cell.path) && !cell.star);
    const dropped = some(wanted.keys()).filter((cell) => !wanted.get(cell.path) && cell.star);
    return [added.length ? command("pick", added) : "", dropped.length ? command("pick --drop", dropped) : ""].filter(Boolean).join("\n");
  }

  function text(title, value, what) {
    return qb.el("section", {}, qb.el("div", { class: "copyable" }, qb.el("h3", {}, title), qb.button("Copy", () => qb.copy(value, what))),
      qb.el("pre", { tabindex: 0, dir: "ltr", "aria-label": title }, value));
  }

  const changedText = "changed since the star";

  function line(cell) {
    const star = cell.star || {};
    const note = qb.model.live
      ? qb.el("input", { value: star.note || "", placeholder: "Note", "aria-label": `Note on ${cell.name}`, "data-act": `note ${cell.path}`, disabled: !qb.access.may, dir: "auto",
        onchange: (event) => annotate(cell, event.target.value) })
      : star.note ? qb.el("span", { class: "hint", dir: "auto" }, star.note) : null;
    return qb.el("li", {}, cell.image ? qb.el("img", { src: qb.model.thumbnail(cell.image), alt: "" }) : qb.el("span", { class: "nothing" }),
      qb.el("div", {}, qb.name(cell.name), star.rank ? qb.el("span", { class: "hint" }, ` rank ${star.rank}`) : null,
        star.changed ? qb.el("span", { class: "badge" }, changedText) : null, note),
      qb.button("★", () => set([cell.path], false).then(() => dialog && refill()), { "aria-label": `Remove the star of ${cell.name}`, title: "Remove the star", "data-act": `drop ${cell.path}` }));
  }

  async function annotate(cell, note) {
    try {
      await qb.model.act("pick", { names: [cell.name], note });
    } catch (error) {
      qb.toast(error.message);
    }
  }

  function body() {
    const found = cells(), change = qb.model.live ? "" : commands();
    if (!found.length && !change) return [qb.el("p", {}, "No stars yet. Press f on an image, or use the star in its detail view.")];
    return [
      found.length ? qb.el("ul", { class: "stars" }, found.map(line)) : null,
      change ? text("To star them in the project", change, "the commands") : null,
      found.length ? text("For the command line", qb.model.live ? "qwenbuild build --picked" : command("build", found), "the command") : null,
      found.length ? qb.el("div", { class: "bar" }, qb.button("Keep only these", () => { dialog.close(); keep(found.map((cell) => cell.path)); }, { class: "primary", "data-act": "keep" })) : null,
    ];
  }

  function refill() {
    dialog.querySelector("h2").replaceChildren(qb.plural(cells().length, "star"));
    qb.refill(dialog.querySelector(".sheets"), body().filter(Boolean));
  }

  function open() {
    dialog = qb.dialog("stars", "", qb.el("div", { class: "sheets", tabindex: 0, role: "region", "aria-label": "Stars" }), () => { dialog = null; });
    refill();
  }

  // --- keeping ---

  const diff = (value) => qb.el("pre", { class: "patch", tabindex: 0, dir: "ltr", "aria-label": "Changes to the specs" }, value.split(/(?<=\n)/).map((part) =>
    qb.el("span", { class: { "+": "added", "-": "removed", "@": "at" }[part[0]] || "" }, part)));

  // Shows what keeping only these cells changes in the specs, and writes it on demand.
  async function keep(paths) {
    const chosen = some(paths);
    if (!chosen.length) return;
    const title = `Keep only ${chosen.length === 1 ? "this cell" : `these ${qb.plural(chosen.length, "cell")}`}`;
    if (!qb.model.live) {
      qb.dialog("keep", title, qb.el("div", { class: "sheets" }, text("For the command line", command("keep", chosen), "the command")));
      return;
    }
    const names = chosen.map((cell) => cell.name);
    let found;
    try {
      found = await qb.model.act("keep", { names });
    } catch (error) {
      const view = qb.dialog("keep", title, qb.el("div", { class: "sheets" }, qb.el("pre", { class: "failure", tabindex: 0, dir: "ltr" }, error.message)));
      view.querySelector(".close").focus();
      return;
    }
    const write = async () => {
      try {
        await qb.model.act("keep", { names, shown: found.shown });
        view.close();
        qb.toast("Written into the specs");
      } catch (error) {
        view.close();
        qb.toast(error.message);
      }
    };
    const view = qb.dialog("keep", title, qb.el("div", { class: "sheets" },
      found.diff ? diff(found.diff) : qb.el("p", {}, "The specs declare just these cells already."),
      found.said.map((one) => qb.el("p", { class: "hint", dir: "auto" }, one)),
      found.diff ? qb.el("div", { class: "bar" }, qb.button("Write it", write, { class: "primary" }), qb.button("Copy", () => qb.copy(found.diff, "the diff")), qb.button("Cancel", () => view.close())) : null));
    view.querySelector(".primary")?.focus();
  }

  return {
    start, set, open, keep, offer, commands, has,
    toggle: (path) => set([path], !has(path)),
    add: (paths) => set(paths, true),
    changed: (cell) => Boolean(cell.star?.changed),
    get count() { return cells().length; },
    get note() { return changedText; },
  };
})();
