// What is said about the cells in the grid: once above all, what all share; beside a heading, what its cells share; below each
// picture, what remains.
"use strict";
qb.captions = (() => {
  let shared = null; // what all visible cells share: { badge, word }

  // The name of a cell's size: "16:9" where the catalogue has a name for it that no other size of the project has, else pixels.
  function size(text) {
    const names = qb.model.data.ratios || {};
    const name = names[text];
    return name && Object.values(names).filter((other) => other === name).length === 1 ? name : text;
  }

  // A value as people read it. A number needs the name of its axis.
  function worded(name, value) {
    if (name === "size") return size(value);
    return /^(true|false|random|-?\d[\d.,]*)$/.test(value) ? `${name} ${value}` : value;
  }

  const text = (cell, axis, i) => (cell.at[i] < 0 ? "" : worded(axis.name, axis.values[cell.at[i]]));

  // Decides where each axis is said. Sets `shared` of each heading, and `axes` of each line of tiles: the axes of its captions.
  function arrange(plan) {
    const { axes } = qb.model.data;
    const said = new Set([...plan.rows, ...plan.columns]);
    const open = axes.map((axis, i) => [axis, i]).filter(([axis]) => !said.has(axis.name));
    const groups = [];
    for (const line of plan.lines) {
      if (line.kind === "head" || !groups.length) groups.push({ head: line.kind === "head" ? line : null, lines: [], cells: [] });
      if (line.kind !== "tiles") continue;
      groups[groups.length - 1].lines.push(line);
      for (const { cell } of line.tiles) groups[groups.length - 1].cells.push(cell);
    }
    const cells = groups.flatMap((group) => group.cells);
    const isSame = (some, i) => some.every((cell) => cell.at[i] === some[0].at[i]);
    const everywhere = new Set(cells.length > 1 ? open.filter(([, i]) => isSame(cells, i)).map(([, i]) => i) : []);
    const texts = (some, cell) => some.map(([axis, i]) => text(cell, axis, i)).filter(Boolean);
    for (const group of groups) {
      const rest = open.filter(([, i]) => !everywhere.has(i));
      const same = group.head && group.cells.length > 1 ? rest.filter(([, i]) => isSame(group.cells, i)) : [];
      if (group.head) group.head.shared = group.cells.length ? texts(same, group.cells[0]) : [];
      const own = rest.filter((one) => !same.includes(one));
      for (const line of group.lines) line.axes = own;
    }
    plan.cells = cells;
    plan.shared = cells.length > 1 ? [...texts(open.filter(([, i]) => everywhere.has(i)), cells[0]),
      ...Object.entries(qb.model.data.shared || {}).map(([name, value]) => worded(name, value))] : [];
  }

  const amounts = (cell) => Object.entries(cell.price || {}).join();

  // What all visible cells share, as texts; null if there is nothing to say. Called anew when cells change.
  function common(plan) {
    const { cells } = plan;
    shared = { badge: false, word: false };
    if (cells.length < 2) return null;
    const [first] = cells, standing = qb.standing(first);
    const parts = [...plan.shared];
    if (qb.kinds[first.kind] && cells.every((cell) => cell.kind === first.kind)) {
      shared.badge = true;
      parts.push(first.kind === "draft" ? "drafts" : qb.kinds[first.kind]);
    }
    if (["render", "restore", "reattach"].includes(standing.tone) && cells.every((cell) => !cell.why && qb.standing(cell).tone === standing.tone)) {
      const price = amounts(first);
      if (cells.every((cell) => amounts(cell) === price)) {
        shared.word = true;
        const word = cells.length < qb.model.data.cells.length ? standing.word : ""; // the header says it of all cells
        const said = [word, standing.tone === "render" && first.price ? `${qb.money(first.price)} each` : ""].filter(Boolean).join(", ");
        if (said) parts.push(said);
      }
    }
    return parts.length ? [`All ${qb.plural(cells.length, "cell")}: `, ...qb.dotted(parts)] : null;
  }

  // The caption's first line: the values that no heading says.
  function values(cell, line) {
    const parts = line.axes.map(([axis, i]) => text(cell, axis, i)).filter(Boolean);
    return qb.dotted(parts.length ? parts : [qb.model.value(cell, "image") || cell.name]);
  }

  // The caption's second line: a badge, the status and the price, unless they are said above.
  function state(cell) {
    const standing = qb.standing(cell);
    const badge = shared?.badge ? "" : qb.kinds[cell.kind];
    const quiet = shared?.word || standing.tone === "up_to_date" || standing.tone === "edited";
    const word = quiet ? cell.why || "" : cell.why ? `${standing.word}: ${cell.why}` : standing.word;
    return { badge, word, price: standing.tone === "render" && !shared?.word ? qb.money(cell.price) : "" };
  }

  const tip = (cell) => `${cell.name}\n${cell.size.join(" × ")} pixels`;

  return { arrange, common, values, state, size, worded, tip };
})();
