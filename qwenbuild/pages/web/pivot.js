// The arrangement: the user's choice, which the address holds, the cells that match it, and the position of each tile.
"use strict";
qb.pivot = (() => {
  const GAP = 16;
  const CAPTION = 42;
  const HEAD = 44;
  const TILES = { small: 132, medium: 208, large: 320, huge: 480 };

  // Reads the choice from the address.
  function read() {
    const found = new URLSearchParams(location.hash.slice(1));
    const filters = {};
    for (const [name, value] of found) if (name.startsWith("f.")) filters[name.slice(2)] = value;
    const list = (name) => (found.has(name) ? found.get(name).split(",").filter(Boolean) : null);
    return {
      rows: list("rows"), columns: list("cols"), text: found.get("q") || "", verdict: found.get("verdict") || "", stars: found.get("show") || "",
      filters, tile: TILES[found.get("tile")] ? found.get("tile") : "medium", cell: found.get("cell") || "",
    };
  }

  function write(choice, push = false) {
    const parameters = new URLSearchParams();
    if (choice.rows) parameters.set("rows", choice.rows.join(","));
    if (choice.columns && choice.columns.length) parameters.set("cols", choice.columns.join(","));
    if (choice.text) parameters.set("q", choice.text);
    if (choice.verdict) parameters.set("verdict", choice.verdict);
    if (choice.stars) parameters.set("show", choice.stars);
    for (const [axis, value] of Object.entries(choice.filters)) parameters.set(`f.${axis}`, value);
    if (choice.tile !== "medium") parameters.set("tile", choice.tile);
    if (choice.cell) parameters.set("cell", choice.cell);
    const hash = `#${parameters}`;
    if (hash !== location.hash && !(hash === "#" && !location.hash)) history[push ? "pushState" : "replaceState"](null, "", hash);
  }

  // The chosen axes that exist. By default, images are rows.
  function axesOf(choice, data) {
    const known = new Set(data.axes.map((axis) => axis.name));
    const images = data.axes.find((axis) => axis.name === "image");
    const rows = choice.rows ?? (images && images.values.length > 1 ? ["image"] : []);
    return { rows: rows.filter((name) => known.has(name)), columns: (choice.columns || []).filter((name) => known.has(name)) };
  }

  function visible(choice, data) {
    const words = choice.text.toLocaleLowerCase().split(/\s+/).filter(Boolean);
    const wanted = Object.entries(choice.filters).map(([axis, value]) => {
      const at = data.axes.findIndex((one) => one.name === axis);
      return [at, at < 0 ? -2 : data.axes[at].values.indexOf(value)];
    }).filter(([at]) => at >= 0);
    return data.cells.filter((cell) => {
      if (choice.verdict === "failed" ? !qb.hasFailed(cell) : choice.verdict === "draft" ? cell.kind !== "draft"
        : choice.verdict && cell.verdict !== choice.verdict) return false;
      if (!wanted.every(([at, value]) => cell.at[at] === value)) return false;
      if (!words.length) return true;
      const text = `${cell.name} ${cell.prompt}`.toLocaleLowerCase();
      return words.every((word) => text.includes(word));
    });
  }

  // Groups cells by their values on some axes: the key of a cell, the order of keys, and the label of a key.
  function grouping(names, data) {
    const at = names.map((name) => data.axes.findIndex((axis) => axis.name === name));
    return {
      of: at.length ? (cell) => at.map((number) => cell.at[number]).join(",") : () => "",
      order: (a, b) => {
        const left = a.split(",").map(Number), right = b.split(",").map(Number);
        for (let i = 0; i < left.length; i += 1) if (left[i] !== right[i]) return (left[i] < 0) - (right[i] < 0) || left[i] - right[i];
        return 0;
      },
      label: (key) => key === "" ? "" : key.split(",").map((value, i) => (Number(value) < 0 ? "—" : qb.captions.worded(names[i], data.axes[at[i]].values[value]))).join(" · "),
    };
  }

  // The positions: lines from top to bottom; each is a heading or has tiles side by side.
  function layout(choice, data, cells, room) {
    const { rows, columns } = axesOf(choice, data);
    const padding = room < 720 ? 16 : 24;
    const wide = Math.max(200, room - 2 * padding);
    const least = Math.min(TILES[choice.tile], TILES[choice.tile] >= TILES.large ? wide : (wide - GAP) / 2);
    const byRow = grouping(rows, data), byColumn = grouping(columns, data);
    const groups = new Map();
    const columnKeys = new Set();
    for (const cell of cells) {
      const key = byRow.of(cell), column = byColumn.of(cell);
      columnKeys.add(column);
      if (!groups.has(key)) groups.set(key, new Map());
      const row = groups.get(key);
      if (!row.has(column)) row.set(column, []);
      row.get(column).push(cell);
    }
    const heads = columns.length ? [...columnKeys].sort(byColumn.order) : [];
    const place = columns.length ? inColumns([...groups.values()], heads, wide, least, padding) : inRuns(wide, least, padding);
    const lines = [];
    let top = 8;
    for (const key of [...groups.keys()].sort(byRow.order)) {
      const row = groups.get(key);
      if (rows.length) {
        let count = 0;
        for (const bucket of row.values()) count += bucket.length;
        lines.push({ kind: "head", top, height: HEAD, label: byRow.label(key), count });
        top += HEAD;
      }
      for (const { tiles, mat } of place.lines(row)) {
        lines.push({ kind: "tiles", top, height: mat + CAPTION, mat, tiles });
        top += mat + CAPTION + GAP;
      }
    }
    return {
      lines, height: top + 8, width: columns.length ? 2 * padding + heads.length * place.step - GAP : room, rows, columns,
      heads: heads.map((head, column) => ({ label: byColumn.label(head), x: padding + column * place.step, width: place.step - GAP })),
    };
  }

  // Tiles of equal width below the head of their column, several side by side if there is room.
  function inColumns(rows, heads, wide, least, padding) {
    const most = Math.max(1, ...rows.flatMap((row) => [...row.values()].map((bucket) => bucket.length)));
    const share = (wide - GAP * (heads.length - 1)) / Math.max(1, heads.length);
    const per = Math.max(1, Math.min(most, Math.floor((share + GAP) / (least + GAP))));
    const tile = share >= least ? Math.min((share - GAP * (per - 1)) / per, least * 1.5) : least;
    const step = per * (tile + GAP);
    function lines(row) {
      const depth = Math.max(...[...row.values()].map((bucket) => Math.ceil(bucket.length / per)));
      return Array.from({ length: depth }, (_, line) => {
        const tiles = heads.flatMap((head, column) => (row.get(head) || []).slice(line * per, (line + 1) * per).map((cell, i) =>
          ({ cell, width: tile, x: padding + column * step + i * (tile + GAP), column: column * per + i })));
        const tall = Math.max(...tiles.map(({ cell }) => cell.size[1] / cell.size[0]));
        return { tiles, mat: Math.round(tile * Math.min(1.3, Math.max(0.5, tall))) };
      });
    }
    return { lines, step };
  }

  // Lines that fill the width. The tiles of a line have one height, and the width of their aspect ratio.
  function inRuns(wide, least, padding) {
    const aspect = (cell) => Math.min(2.6, Math.max(0.5, cell.size[0] / cell.size[1]));
    function lines(row) {
      const found = [];
      let run = [], sum = 0, scale = least;
      const close = (height) => {
        let x = padding;
        found.push({ mat: Math.round(height), tiles: run.map((cell, column) => {
          const width = aspect(cell) * height;
          x += width + GAP;
          return { cell, width, x: x - width - GAP, column };
        }) });
        run = [];
        sum = 0;
      };
      for (const bucket of row.values()) {
        for (const cell of bucket) {
          run.push(cell);
          sum += aspect(cell);
          const height = (wide - GAP * (run.length - 1)) / sum;
          if (height <= least * 1.12) { scale = height; close(height); }
        }
      }
      if (run.length) close(Math.min(Math.max(scale, least * 0.85), (wide - GAP * (run.length - 1)) / sum));
      return found;
    }
    return { lines, step: 0 };
  }

  return { read, write, axesOf, visible, layout, TILES };
})();
