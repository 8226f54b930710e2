// The page's data: the cells, from a report's data.js or from a running preview, and the changes that the preview sends.
"use strict";
qb.model = (() => {
  const source = window.qwenbuildData || {};
  const live = Boolean(source.live);
  const listeners = [];
  const waiting = new Map(); // details being fetched, by path
  let data = null;
  let byPath = new Map();
  let token = "";
  let fetching = null;
  let again = false;

  const tell = (what) => listeners.forEach((listener) => listener(what));

  function index() {
    byPath = new Map(data.cells.map((cell, number) => [cell.path, number]));
  }

  // Moves the token from the address to the session, so that no bookmark and no screenshot shows it.
  function takeToken() {
    const parameters = new URLSearchParams(location.hash.slice(1));
    if (parameters.has("token")) {
      sessionStorage.setItem("qwenbuild-token", parameters.get("token"));
      parameters.delete("token");
      history.replaceState(null, "", `#${parameters}`);
    }
    token = sessionStorage.getItem("qwenbuild-token") || "";
  }

  async function refresh() {
    if (fetching) {
      again = true;
      return fetching;
    }
    fetching = (async () => {
      do {
        again = false;
        const since = data && data.number !== undefined ? `?since=${data.number}` : "";
        const answer = await fetch(`model.json${since}`);
        if (!answer.ok) throw new Error(`the preview answered ${answer.status}`);
        take(await answer.json());
      } while (again);
    })();
    try {
      await fetching;
    } finally {
      fetching = null;
    }
  }

  function take(fresh) {
    if (!fresh.changed) {
      data = fresh;
      data.axes ||= [];
      index();
      tell("shape");
      return;
    }
    const cells = data.cells;
    for (const [number, cell] of fresh.changed) cells[number] = cell;
    const changed = fresh.changed.length;
    data = { ...data, ...fresh, cells, axes: data.axes, literals: data.literals };
    tell(changed ? "cells" : "status");
  }

  function follow() {
    const events = new EventSource("events");
    events.onmessage = () => refresh().then(() => tell("online"), () => tell("offline"));
    events.onerror = () => tell("offline");
  }

  async function start() {
    if (!live) {
      data = { counts: {}, axes: [], cells: [], literals: {}, problems: [], ...source.model };
      index();
      tell("shape");
      return;
    }
    takeToken();
    follow();
  }

  function chunk(number) {
    return new Promise((resolve, reject) => {
      if (source.details[number]) { resolve(source.details[number]); return; }
      const script = qb.el("script", { src: `details/${number}.js` });
      script.onload = () => resolve(source.details[number]);
      script.onerror = () => reject(new Error(`details/${number}.js is missing`));
      document.head.append(script);
    });
  }

  async function details(path) {
    if (!live) return (await chunk(Math.floor(byPath.get(path) / data.chunk)))[path];
    if (!waiting.has(path)) {
      waiting.set(path, fetch(`details.json?path=${encodeURIComponent(path)}`).then(async (answer) => {
        waiting.delete(path);
        if (!answer.ok) throw new Error(await answer.text());
        return answer.json();
      }));
    }
    return waiting.get(path);
  }

  async function post(path, body) {
    const answer = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Qwenbuild-Token": token },
      body: JSON.stringify(body),
    }).catch(() => { throw new Error("the preview does not answer"); });
    if (!answer.ok) throw new Error((await answer.text()).trim());
    return answer.json();
  }

  return {
    live,
    get data() { return data; },
    get mayRender() { return live && token !== ""; },
    start,
    details,
    listen: (listener) => listeners.push(listener),
    cell: (path) => data.cells[byPath.get(path)],
    number: (path) => byPath.get(path),
    thumbnail: (digest) => `thumbnails/${digest}.webp`,
    image: (digest) => (data.small ? `thumbnails/${digest}.webp` : `images/${digest}.png`),
    price: (names, force) => post("price", { names, force }),
    render: (names, force = false) => post("render", { names, force }),
    // Whether the axis is part of the cell's own matrix. Every cell has a model, a size and a seed besides.
    declares: (cell, axis) => cell.name.includes(`[${axis}=`) || cell.name.includes(`,${axis}=`),
    value: (cell, axis) => {
      const at = data.axes.findIndex((one) => one.name === axis);
      return at < 0 || cell.at[at] < 0 ? null : data.axes[at].values[cell.at[at]];
    },
  };
})();

qb.verdicts = {
  up_to_date: "up to date", restore: "to restore", reattach: "to collect", render: "to render",
  edited: "edited by hand", unknown: "may have been billed", missing: "missing",
};

// Why a click does not render a cell with this verdict, and the command that does.
qb.kept = {
  edited: "Edited files are kept; build --overwrite replaces them.",
  unknown: "It may have been billed, so it is not sent again; build --resubmit sends it.",
  missing: "The lock pins an image that is not here. Whoever has it can run cache push; build --relock renders another one.",
  failed: "The request is not sent again unchanged; build --retry-failed sends it.",
};

qb.kinds = { image: "", draft: "draft", old: "old image", edited: "edited", none: "" };

// Whether the cell's image failed in this build, or in an earlier one after which it is not sent again.
qb.hasFailed = (cell) => cell.activity === "failed" || cell.verdict === "failed";

// A cell's status: one to four words, and a class that colours them.
qb.standing = (cell) => {
  if (cell.activity === "running") return { word: "rendering…", tone: "running" };
  if (cell.activity === "waiting") return { word: `waiting until ${qb.clock(cell.again_at_s)}`, tone: "waiting" };
  if (cell.activity === "queued") return { word: "queued", tone: "queued" };
  if (qb.hasFailed(cell)) return { word: "failed", tone: "failed" };
  if (cell.activity === "rendered" && cell.verdict === "render") return { word: "rendered", tone: "done" };
  return { word: qb.verdicts[cell.verdict], tone: cell.verdict };
};
