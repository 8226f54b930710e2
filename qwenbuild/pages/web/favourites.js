// The favourites of this project, which the browser keeps; they can be copied as commands and as TOML for a spec.
"use strict";
qb.favourites = (() => {
  let kept = new Set();
  const place = () => `qwenbuild-favourites:${qb.model.data.project}`;

  function load() {
    try {
      kept = new Set(JSON.parse(localStorage.getItem(place()) || "[]"));
    } catch {
      kept = new Set();
    }
  }

  function save() {
    try {
      localStorage.setItem(place(), JSON.stringify([...kept]));
    } catch { /* the browser stores nothing: the favourites last until the page is closed */ }
    qb.app.favouritesChanged();
  }

  function toggle(path) {
    if (!kept.delete(path)) kept.add(path);
    save();
    qb.announce(`${qb.model.cell(path).name} ${kept.has(path) ? "is a favourite" : "is no longer a favourite"}`);
    qb.grid.repaint();
  }

  const cells = () => [...kept].map((path) => qb.model.cell(path)).filter(Boolean);

  const declared = (cell) => qb.model.data.axes.filter((axis, i) => axis.name !== "image" && cell.at[i] >= 0 && qb.model.declares(cell, axis.name));

  const quoted = (text) => (/^[\w./:=@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

  // One command for an image if its favourites are all combinations of their values, else one command for each cell.
  function commands() {
    const images = new Map();
    for (const cell of cells()) {
      const image = qb.model.value(cell, "image");
      if (!images.has(image)) images.set(image, []);
      images.get(image).push(cell);
    }
    const lines = [];
    for (const [image, members] of images) {
      const axes = declared(members[0]);
      const values = axes.map((axis) => [...new Set(members.map((cell) => qb.model.value(cell, axis.name)))]);
      const product = values.reduce((count, list) => count * list.length, 1);
      const groups = product === members.length ? [values] : members.map((cell) => axes.map((axis) => [qb.model.value(cell, axis.name)]));
      for (const group of groups) {
        const where = group.flatMap((list, i) => list.map((value) => `-w ${quoted(`${axes[i].name}=${value}`)}`));
        lines.push(["qwenbuild build", quoted(image), ...where].join(" "));
      }
    }
    return lines.join("\n");
  }

  const toml = (text) => JSON.stringify(text).replaceAll("\u007f", "\\u007f");
  const key = (name) => (/^[A-Za-z0-9_-]+$/.test(name) ? name : toml(name));

  // An `[[image.….include]]` table for each favourite; it names every axis.
  function includes() {
    return cells().map((cell) => {
      const image = qb.model.value(cell, "image");
      const literals = qb.model.data.literals[image] || {};
      const lines = declared(cell).map((axis) => {
        const value = qb.model.value(cell, axis.name);
        return `${key(axis.name)} = ${literals[axis.name]?.[value] ?? toml(value)}`;
      });
      return [`[[image.${key(image.slice(image.lastIndexOf("/") + 1))}.include]]`, ...lines].join("\n");
    }).join("\n\n");
  }

  function text(title, value, what) {
    return qb.el("section", {}, qb.el("div", { class: "copyable" }, qb.el("h3", {}, title), qb.button("Copy", () => qb.copy(value, what))),
      qb.el("pre", { tabindex: 0, dir: "ltr", "aria-label": title }, value));
  }

  function open() {
    const found = cells();
    const body = found.length
      ? [text("For the command line", commands(), "the commands"), text("For a spec", includes(), "the TOML"),
        qb.el("div", { class: "bar" }, qb.button("Forget all favourites", () => { kept.clear(); save(); qb.grid.repaint(); dialog.close(); }))]
      : [qb.el("p", {}, "No favourites yet. Press f on a cell, or use the star in its detail view.")];
    const dialog = qb.dialog("favourites", qb.plural(found.length, "favourite"), qb.el("div", { class: "sheets" }, body));
  }

  return {
    load, toggle, open, commands, includes,
    add: (paths) => { for (const path of paths) kept.add(path); save(); },
    has: (path) => kept.has(path),
    get count() { return cells().length; },
  };
})();
