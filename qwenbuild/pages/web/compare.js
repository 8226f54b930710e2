// The selected cells, and the comparison of two to four of them: side by side, or two of them in one frame.
"use strict";
qb.compare = (() => {
  const MOST = 4;
  const chosen = new Set();
  const tray = qb.byId("tray");
  let dialog = null;
  let paths = []; // of the cells in the open comparison
  let current = 0; // number of the cell that was looked at last
  let other = 1; // number of the one before
  let mode = "side";
  let settings = qb.pair.fresh();
  let view = qb.viewer.view();
  let pair = null; // the open pair, and the numbers of its cells
  let looks = ""; // the pictures as the dialog shows them

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
    if (dialog) refresh();
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
      qb.button("Star", () => qb.picks.add(chosen), { "data-act": "star" }),
      qb.button("Keep only these", () => qb.picks.keep(chosen), { "data-act": "keep" }),
      qb.button("Clear", clear, { title: "Clear the selection (Esc)", "data-act": "clear" }),
    ]);
  }

  // --- the comparison ---

  const allDrafts = (cells) => cells.every((cell) => cell.kind === "draft");

  const cellsShown = () => paths.map((path) => qb.model.cell(path));

  function open() {
    if (chosen.size < 2 || chosen.size > MOST || dialog) return;
    paths = [...chosen];
    [current, other, mode] = [0, 1, "side"];
    settings = qb.pair.fresh();
    view = qb.viewer.view();
    looks = "";
    dialog = qb.dialog("compare", "", qb.el("div", { class: "compared" }), () => { dialog = null; pair = null; });
    dialog.querySelector(".dialog-head").insertBefore(qb.el("div", { class: "modes-place" }), dialog.querySelector(".close"));
    refresh();
    qb.keys.focus(dialog);
  }

  // Shows what has changed: the pictures only if others are shown than before.
  function refresh() {
    if (paths.some((path) => !qb.model.cell(path))) { dialog.close(); return; }
    const cells = cellsShown();
    const now = JSON.stringify([mode === "side", mode === "side" ? 0 : [current, other].sort(), cells.map((cell) => [cell.image, cell.kind])]);
    const body = dialog.querySelector(".compared");
    dialog.querySelector("h2").textContent = `Compare ${cells.length} ${allDrafts(cells) ? "drafts" : "images"}`;
    if (now !== looks) {
      looks = now;
      const isHeld = body.contains(document.activeElement);
      pair = null;
      body.replaceChildren(...(mode === "side" ? side(cells) : together(cells)));
      if (isHeld && !body.contains(document.activeElement)) body.querySelector(".stage")?.focus();
    }
    if (pair) {
      settings.mode = mode;
      settings.after = current === pair.numbers[1];
      pair.draw();
    }
    qb.refill(dialog.querySelector(".modes-place"), [qb.pair.buttons(mode, choose, [["side", "Side by side", "s"]])]);
    body.querySelectorAll(".label").forEach((place) => qb.refill(place, label(Number(place.dataset.number), cells)));
  }

  // A picture's number, what differs from the others, and its star.
  function label(number, cells) {
    const cell = cells[number], isStarred = qb.picks.has(cell.path), badge = allDrafts(cells) ? "" : qb.kinds[cell.kind];
    return [
      qb.button([qb.el("kbd", {}, String(number + 1)), badge ? qb.el("span", { class: "badge" }, badge) : null, differing(cell, cells)],
        () => show(number), { class: "choice", "aria-pressed": String(number === current), "data-act": `show-${number}` }),
      qb.button(isStarred ? "★" : "☆", () => star(cell.path), { class: "star-button", title: isStarred ? "Remove the star (f)" : "Star (f)",
        "aria-pressed": String(isStarred), "aria-label": `Star ${cell.name}`, "data-act": `star-${number}` }),
    ];
  }

  async function star(path) {
    const done = qb.picks.toggle(path);
    refresh();
    await done;
    if (dialog) refresh();
  }

  const place = (number) => qb.el("figcaption", { class: "label", "data-number": number });

  const picture = (cell) => (cell.image ? qb.viewer.make([qb.viewer.image(qb.model.image(cell.image), cell.name, cell.size)], cell.size, cell.name, view)
    : qb.el("div", { class: "blank" }, qb.el("span", {}, "not rendered yet")));

  function side(cells) {
    return [qb.el("div", { class: `side n${cells.length}` }, cells.map((cell, number) =>
      qb.el("figure", { class: cell.kind, onpointerenter: () => look(number), onfocusin: () => look(number) }, picture(cell), place(number))))];
  }

  function together(cells) {
    const numbers = [current, other].sort();
    const [before, after] = numbers.map((number) => ({ source: qb.model.image(cells[number].image), size: cells[number].size,
      label: [String(number + 1), ...values(cells[number], cells)] }));
    const name = numbers.map((number) => cells[number].name).join(", ");
    settings.mode = mode;
    pair = { ...qb.pair.make(before, after, name, settings, view), numbers };
    const isDraft = numbers.some((number) => cells[number].kind === "draft");
    return [qb.el("div", { class: `picture${isDraft ? " draft" : ""}` }, pair.box), qb.el("div", { class: "labels" }, cells.map((_, number) => qb.el("div", { class: "label", "data-number": number })))];
  }

  // Makes a cell the current one.
  function look(number) {
    if (number === current) return;
    [current, other] = [number, current];
    refresh();
  }

  function show(number) {
    if (number >= paths.length) return false;
    if (mode === "side") {
      look(number);
      dialog.querySelectorAll(".side > figure")[number].querySelector(".stage")?.focus();
    } else if (qb.model.cell(paths[number]).image) look(number);
    return true;
  }

  function choose(next) {
    if (next !== "side" && !qb.model.cell(paths[other]).image) other = paths.findIndex((path, number) => number !== current && qb.model.cell(path).image);
    if (next !== "side" && (other < 0 || !qb.model.cell(paths[current]).image)) {
      other = current ? 0 : 1;
      qb.toast("This needs two images; render the missing one first");
      return true;
    }
    mode = next;
    refresh();
    return true;
  }

  // The first press shows the current image in the one frame, each other press shows the other one.
  function flip() {
    if (mode === "blink") look(other);
    else choose("blink");
    return true;
  }

  // The values in which a cell differs from the others.
  function values(cell, cells) {
    const { axes } = qb.model.data;
    const found = axes.filter((_, i) => new Set(cells.map((one) => one.at[i])).size > 1);
    return found.length ? found.map((axis) => qb.captions.worded(axis.name, qb.model.value(cell, axis.name) ?? "—")) : [cell.name];
  }

  const differing = (cell, cells) => qb.el("span", {}, qb.dotted(values(cell, cells)));

  qb.keys.add("compare", "Compare", [
    { keys: ["1", "2", "3", "4"], shown: "1 2 3 4", what: "look at this image", act: (event) => show(Number(event.key) - 1) },
    { keys: ["s"], shown: "s", what: "side by side", act: () => choose("side") },
    ...qb.pair.keys(choose, flip),
    { keys: ["f"], shown: "f", what: "star the image", act: () => star(paths[current]) },
    ...qb.viewer.keys(() => view, false),
    { keys: ["Escape"], shown: "Esc", what: "back to the grid", act: () => false },
  ]);

  return { toggle, clear, draw, open, has: (path) => chosen.has(path), get paths() { return [...chosen]; } };
})();
