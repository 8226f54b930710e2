// The selected cells, and the comparison of two to four of them side by side, which zoom together.
"use strict";
qb.compare = (() => {
  const MOST = 4;
  const chosen = new Set();
  const tray = qb.byId("tray");
  let dialog = null;

  function toggle(path) {
    if (!chosen.delete(path)) chosen.add(path);
    const cell = qb.model.cell(path);
    qb.announce(`${cell.name} ${chosen.has(path) ? "selected" : "no longer selected"}; ${qb.plural(chosen.size, "cell")} selected`);
    draw();
    qb.grid.repaint();
  }

  function clear() {
    chosen.clear();
    draw();
    qb.grid.repaint();
    qb.grid.focus();
  }

  function draw() {
    for (const path of chosen) if (!qb.model.cell(path)) chosen.delete(path);
    tray.hidden = !chosen.size;
    if (!chosen.size) return;
    const cells = [...chosen].map((path) => qb.model.cell(path));
    const fits = cells.length >= 2 && cells.length <= MOST;
    const stale = () => qb.app.renderable([...chosen].map((path) => qb.model.cell(path)));
    qb.refill(tray, [
      qb.el("div", { class: "chosen" }, cells.slice(0, 6).map((cell) => (cell.image
        ? qb.el("img", { src: qb.model.thumbnail(cell.image), alt: "" }) : qb.el("span", { class: "nothing" })))),
      qb.el("strong", {}, qb.plural(cells.length, "cell")), qb.el("span", { class: "hint" }, fits ? "" : `${cells.length < 2 ? "select another one" : `select at most ${MOST}`} to compare`),
      qb.button("Compare", open, { class: "primary", disabled: !fits, title: "c", "data-act": "compare" }),
      stale().length ? qb.button(qb.app.priced(stale()), () => qb.app.render(stale(), false), { disabled: !qb.model.mayRender, "data-act": "render" }) : null,
      qb.button("Favourite", () => { qb.favourites.add(chosen); qb.toast("Added to favourites"); qb.grid.repaint(); }, { "data-act": "favourite" }),
      qb.button("Clear", clear, { title: "Clear the selection (Esc)", "data-act": "clear" }),
    ]);
  }

  function open() {
    if (chosen.size < 2 || chosen.size > MOST || dialog) return;
    const cells = [...chosen].map((path) => qb.model.cell(path));
    const shared = qb.viewer.view();
    dialog = qb.dialog("compare", `Compare ${cells.length}`, qb.el("div", { class: `side n${cells.length}` }, cells.map((cell) =>
      qb.el("figure", { class: cell.kind },
        cell.image ? qb.viewer.make([qb.model.image(cell.image)], cell.size, cell.name, shared) : qb.el("div", { class: "blank" }, qb.el("span", {}, "not rendered yet")),
        qb.el("figcaption", {}, qb.kinds[cell.kind] ? qb.el("span", { class: "badge" }, qb.kinds[cell.kind]) : null, differing(cell, cells))))),
    () => { dialog = null; });
  }

  // The values in which a cell differs from the others.
  function differing(cell, cells) {
    const axes = qb.model.data.axes.filter((_, i) => new Set(cells.map((one) => one.at[i])).size > 1);
    return qb.el("span", {}, qb.dotted(axes.length ? axes.map((axis) => `${axis.name} ${qb.model.value(cell, axis.name) ?? "—"}`) : [cell.name]));
  }

  return { toggle, clear, draw, open, has: (path) => chosen.has(path) };
})();
