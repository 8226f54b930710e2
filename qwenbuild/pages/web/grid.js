// The grid of tiles. Only visible tiles have elements; the keyboard moves among all cells.
"use strict";
qb.grid = (() => {
  const MARGIN = 600; // pixels beyond the visible area in which tiles exist, too
  const root = qb.byId("grid");
  const sheet = qb.el("div", { class: "sheet" });
  const heads = qb.el("div", { class: "heads", role: "row", "aria-rowindex": 1 });
  const table = qb.el("div", { class: "table", role: "grid", "aria-label": "Images" }, heads, sheet);
  const above = qb.el("p", { class: "shared", dir: "auto", hidden: true });
  let isDrawing = false;
  let plan = null; // the result of pivot.layout
  let origin = 0; // pixels from the top of what scrolls to the first line
  let active = ""; // path of the cell that has the focus, or had it last
  let places = new Map(); // by path: [number of the line, number in the line, number among all]
  let order = []; // paths, in reading order
  let seen = []; // the data that `say` has read
  const shown = new Map(); // elements, by the number of the line
  const tiles = new Map(); // elements, by path
  let handlers = { open() {}, resize() {}, mark() {}, marked: () => false, starred: () => false };

  root.append(above, table);
  root.addEventListener("scroll", () => {
    if (isDrawing) return;
    isDrawing = true;
    requestAnimationFrame(() => { isDrawing = false; draw(); });
  }, { passive: true });

  // A pinch on a trackpad, or the wheel with Ctrl, changes the size of the tiles; the page itself keeps its size.
  let pinched = 0;
  root.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    pinched += event.deltaY * (event.deltaMode ? 20 : 1);
    if (Math.abs(pinched) < 60) return;
    handlers.resize(-Math.sign(pinched));
    pinched = 0;
  }, { passive: false });

  function set(layout) {
    const anchor = plan && plan.lines.length ? anchored() : null;
    plan = layout;
    qb.captions.arrange(plan);
    places = new Map();
    layout.lines.forEach((line, number) => line.tiles?.forEach(({ cell }, i) => places.set(cell.path, [number, i, places.size])));
    order = [...places.keys()];
    if (!places.has(active)) active = order[0] || "";
    const focused = sheet.contains(document.activeElement);
    for (const element of shown.values()) element.remove();
    shown.clear();
    tiles.clear();
    sheet.style.height = `${layout.height}px`;
    sheet.style.width = layout.width > root.clientWidth ? `${layout.width}px` : "";
    heads.hidden = !layout.heads.length;
    heads.style.width = sheet.style.width;
    heads.replaceChildren(...layout.heads.map((head, i) => {
      const element = qb.el("div", { role: "columnheader", "aria-colindex": i + 1, dir: "auto", title: head.label }, head.label);
      element.style.left = `${head.x}px`;
      element.style.width = `${head.width}px`;
      return element;
    }));
    table.setAttribute("aria-rowcount", layout.lines.length + 1);
    say();
    origin = sheet.offsetTop;
    const place = anchor && places.get(anchor.path);
    if (place) root.scrollTop = origin + plan.lines[place[0]].top - anchor.offset;
    draw();
    if (focused) focus();
  }

  // Says above the grid what all cells share.
  function say() {
    seen = [qb.model.data, qb.model.data.cells];
    const parts = qb.captions.common(plan);
    above.hidden = !parts;
    qb.refill(above, parts ? [qb.el("span", {}, parts)] : []);
    above.title = above.textContent;
  }

  // The cell that stays where it is when the arrangement changes, and its distance from the top of the visible area.
  function anchored() {
    if (!root.scrollTop) return null;
    const path = inView(active) ? active : firstInView();
    const place = places.get(path);
    return place ? { path, offset: origin + plan.lines[place[0]].top - root.scrollTop } : null;
  }

  function inView(path) {
    const place = places.get(path);
    if (!place) return false;
    const top = origin + plan.lines[place[0]].top;
    return top + plan.lines[place[0]].height > root.scrollTop + (heads.hidden ? 0 : heads.offsetHeight) && top < root.scrollTop + root.clientHeight;
  }

  function firstInView() {
    for (let number = first(root.scrollTop - origin); number < plan.lines.length; number += 1) {
      if (plan.lines[number].tiles) return plan.lines[number].tiles[0].cell.path;
    }
    return active;
  }

  // Makes the active cell one that the user sees, so that a key does not act on a cell that was scrolled away.
  function wake() {
    if (plan && !inView(active)) move(firstInView(), false);
    return active;
  }

  function draw() {
    if (!plan) return;
    const from = root.scrollTop - origin - MARGIN, to = root.scrollTop - origin + root.clientHeight + MARGIN;
    const left = root.scrollLeft - MARGIN, right = root.scrollLeft + root.clientWidth + MARGIN;
    const wanted = new Set();
    for (let number = first(from); number < plan.lines.length && plan.lines[number].top < to; number += 1) wanted.add(number);
    const kept = places.get(active);
    if (kept && sheet.contains(document.activeElement)) wanted.add(kept[0]);
    for (const [number, element] of shown) {
      if (!wanted.has(number)) {
        element.remove();
        shown.delete(number);
        plan.lines[number].tiles?.forEach(({ cell }) => tiles.delete(cell.path));
      }
    }
    for (const number of [...wanted].sort((a, b) => a - b)) {
      const line = plan.lines[number];
      if (!shown.has(number)) shown.set(number, row(line, number));
      const element = shown.get(number);
      if (line.tiles) fill(element, line, left, right);
    }
  }

  // The number of the first line whose end is below this height.
  function first(height) {
    let low = 0, high = plan.lines.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (plan.lines[middle].top + plan.lines[middle].height < height) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  function row(line, number) {
    const element = qb.el("div", { role: "row", class: line.kind, "aria-rowindex": number + 2 });
    element.style.top = `${line.top}px`;
    element.style.height = `${line.height}px`;
    if (line.kind === "head") {
      element.append(qb.el("div", { role: "rowheader", dir: "auto" }, qb.el("bdi", {}, line.label),
        qb.el("span", { class: "count" }, qb.number(line.count))));
      if (line.shared?.length) element.append(qb.el("div", { role: "gridcell", class: "common", dir: "auto" }, qb.dotted(line.shared)));
    }
    // Screen readers need the elements in the order of the lines.
    const after = [...shown.keys()].filter((other) => other > number).sort((a, b) => a - b)[0];
    sheet.insertBefore(element, after === undefined ? null : shown.get(after));
    return element;
  }

  function fill(element, line, left, right) {
    for (const tile of line.tiles) {
      const { cell, x } = tile;
      const near = x + tile.width > left && x < right;
      const present = tiles.get(cell.path);
      if (near && !present) {
        const made = make(cell, line);
        made.setAttribute("aria-colindex", tile.column + 1);
        made.style.left = `${x}px`;
        made.style.width = `${tile.width}px`;
        tiles.set(cell.path, made);
        element.append(made);
      } else if (!near && present && !present.contains(document.activeElement)) {
        present.remove();
        tiles.delete(cell.path);
      }
    }
  }

  function make(cell, line) {
    const mat = qb.el("div", { class: "mat" });
    mat.style.height = `${line.mat}px`;
    const check = qb.el("input", { type: "checkbox", tabindex: -1, title: "Select (x)", onclick: (event) => event.stopPropagation(),
      onchange: () => handlers.mark(cell.path) });
    const number = qb.model.number(cell.path);
    const element = qb.el("div", { role: "gridcell", "data-path": cell.path, "aria-labelledby": `caption-${number}`,
      onclick: () => { active = cell.path; handlers.open(cell.path); }, onfocus: () => move(cell.path, false) },
    mat, qb.el("div", { class: "caption", id: `caption-${number}` }), check);
    paint(element, cell);
    return element;
  }

  // Updates a tile. A picture that has not changed is not loaded again.
  function paint(element, cell) {
    const standing = qb.standing(cell);
    const [mat, caption, check] = element.children;
    const marked = handlers.marked(cell.path), starred = handlers.starred(cell.path);
    element.className = `tile ${cell.kind} is-${standing.tone}${marked ? " marked" : ""}`;
    element.tabIndex = cell.path === active ? 0 : -1;
    element.setAttribute("aria-selected", marked);
    check.checked = marked;
    check.setAttribute("aria-label", `Select ${cell.name}`);
    picture(mat, cell);
    const { badge, word, price } = qb.captions.state(cell);
    const name = qb.captions.values(cell, plan.lines[places.get(cell.path)[0]]);
    qb.refill(caption, [
      qb.el("div", { class: "values", title: qb.captions.tip(cell) }, starred ? qb.el("span", { class: "star", "aria-hidden": "true" }, "★ ") : null, name),
      qb.el("div", { class: "state" }, badge ? [qb.el("span", { class: "badge" }, badge), " "] : null,
        word ? [qb.el("span", { class: "standing", title: cell.why || null }, word), " "] : null, price ? qb.el("span", { class: "price" }, price) : null),
      qb.el("div", { class: "hidden" }, [word ? "" : standing.word, starred ? "starred" : "", cell.name].filter(Boolean).join(", "))]);
  }

  function picture(mat, cell) {
    const before = mat.querySelector("img");
    const source = cell.image ? qb.model.thumbnail(cell.image) : "";
    if (before && before.getAttribute("src") === source) return;
    if (!source) {
      mat.replaceChildren(blank(cell, cell.why || (cell.activity === "failed" ? "failed" : "not rendered yet")));
      return;
    }
    const image = qb.el("img", { alt: "", loading: "lazy", decoding: "async", draggable: "false", width: cell.size[0], height: cell.size[1] });
    image.addEventListener("error", () => image.replaceWith(blank(cell, "the image can't be shown")));
    image.src = source;
    fit(image, cell, mat);
    mat.replaceChildren(image);
  }

  function blank(cell, text) {
    const element = qb.el("div", { class: "blank", dir: "auto" }, qb.el("span", {}, text));
    fit(element, cell);
    return element;
  }

  // Gives an element the aspect ratio of the cell's picture.
  function fit(element, cell) {
    element.style.aspectRatio = `${cell.size[0]} / ${cell.size[1]}`;
    element.classList.toggle("tall", cell.size[1] > cell.size[0] * 1.3);
  }

  function repaint() {
    if (!plan) return;
    if (seen[0] !== qb.model.data || seen[1] !== qb.model.data.cells) {
      plan.cells = plan.cells.map((cell) => qb.model.cell(cell.path) || cell);
      say();
    }
    for (const [path, element] of tiles) {
      const cell = qb.model.cell(path);
      if (cell) paint(element, cell);
    }
  }

  function move(path, scroll = true) {
    if (!places.has(path)) return;
    const before = tiles.get(active);
    if (before) before.tabIndex = -1;
    active = path;
    if (scroll) focus();
    else if (tiles.get(path)) tiles.get(path).tabIndex = 0;
  }

  function focus() {
    const place = places.get(active);
    if (!place) { root.focus(); return; }
    const line = plan.lines[place[0]];
    const headroom = plan.heads.length ? 36 : 8, top = origin + line.top;
    if (top - headroom < root.scrollTop) root.scrollTop = top - headroom - (plan.rows.length ? 44 : 0);
    else if (top + line.height > root.scrollTop + root.clientHeight - 8) root.scrollTop = top + line.height - root.clientHeight + 16;
    const { x, width } = line.tiles[place[1]];
    if (x < root.scrollLeft) root.scrollLeft = x - 24;
    else if (x + width > root.scrollLeft + root.clientWidth) root.scrollLeft = x + width - root.clientWidth + 24;
    draw();
    const element = tiles.get(active);
    if (element) {
      element.tabIndex = 0;
      element.focus({ preventScroll: true });
    }
  }

  // The path of the cell that a key leads to; null for other keys.
  function beside(key, from = active) {
    const place = places.get(from);
    if (!place) return from;
    const at = place[2];
    const line = plan.lines[place[0]], x = line.tiles[place[1]].x;
    const page = Math.max(1, Math.floor(root.clientHeight / (line.height + 16)));
    const vertical = (steps) => {
      let number = place[0], left = Math.abs(steps), found = number;
      while (left > 0) {
        number += Math.sign(steps);
        if (number < 0 || number >= plan.lines.length) break;
        if (plan.lines[number].tiles) { found = number; left -= 1; }
      }
      return plan.lines[found].tiles.reduce((a, b) => (Math.abs(b.x - x) < Math.abs(a.x - x) ? b : a)).cell.path;
    };
    switch (key) {
      case "ArrowRight": return order[Math.min(order.length - 1, at + 1)];
      case "ArrowLeft": return order[Math.max(0, at - 1)];
      case "ArrowDown": return vertical(1);
      case "ArrowUp": return vertical(-1);
      case "PageDown": return vertical(page);
      case "PageUp": return vertical(-page);
      case "Home": return order[0];
      case "End": return order[order.length - 1];
      default: return null;
    }
  }

  // Moves to the cell that a key leads to.
  function go(event) {
    wake();
    const next = beside(event.key);
    if (next) move(next);
  }

  // Opens the active cell.
  function enter() {
    if (wake()) handlers.open(active);
  }

  return {
    set, draw, repaint, focus, move, wake, go, enter, beside,
    get active() { return active; },
    get order() { return order; },
    get room() { return root.clientWidth; },
    use: (given) => { handlers = given; },
  };
})();
