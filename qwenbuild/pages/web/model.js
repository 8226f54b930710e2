// The page's data: the cells, from a report's data.js or from a running preview, and the changes that the preview sends.
"use strict";
qb.model = (() => {
  const source = window.qwenbuildData || {};
  const live = Boolean(source.live);
  const listeners = [];
  const RETRY_MS = 1000;
  let data = null;
  let byPath = new Map();
  let drafting = false; // whether drafts are shown in place of the images that they would replace
  let isForeign = false; // whether the server at this address is now that of another project or version
  let fetching = null;
  let again = false;

  const tell = (what) => listeners.forEach((listener) => listener(what));

  function index() {
    byPath = new Map(data.cells.map((cell, number) => [cell.path, number]));
  }

  // The cell as it is shown. `kept` is its last real image while its draft is shown.
  function dressed(cell) {
    const { kept, ...rest } = cell;
    const plain = kept === undefined ? cell : { ...rest, image: kept, kind: "old" };
    return drafting && plain.draft ? { ...plain, image: plain.draft, kind: "draft", kept: plain.image } : plain;
  }

  function showDrafts(is) {
    drafting = is;
    data.cells = data.cells.map(dressed);
    tell("cells");
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
        const fresh = await answer.json();
        const was = isForeign;
        isForeign = Boolean(data) && data.identity !== fresh.identity;
        if (isForeign !== was) tell("foreign");
        if (isForeign) return;
        await qb.access.greet(fresh.challenge);
        take(fresh);
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
      data = { ...fresh, axes: fresh.axes || [], cells: fresh.cells.map(dressed) };
      index();
      tell("shape");
      return;
    }
    const cells = data.cells;
    for (const [number, cell] of fresh.changed) cells[number] = dressed(cell);
    const changed = fresh.changed.length;
    data = { ...data, ...fresh, cells, axes: data.axes };
    tell(changed ? "cells" : "status");
  }

  // Follows the server's changes. The browser connects again by itself, unless it was answered by another server.
  function follow() {
    const events = new EventSource("events");
    events.onmessage = () => refresh().then(() => tell("online"), () => tell("offline"));
    events.onerror = () => {
      tell("offline");
      if (events.readyState === EventSource.CLOSED) setTimeout(follow, RETRY_MS);
    };
  }

  // Takes the key of an address that was opened in this tab, in which the page stands already.
  async function renew() {
    if (!new URLSearchParams(location.hash.slice(1)).has("token") || !data) return;
    await qb.access.start();
    await qb.access.greet(data.challenge, true);
    tell("status");
  }

  async function start() {
    if (live) {
      await qb.access.start();
      window.addEventListener("hashchange", renew);
      follow();
      return;
    }
    data = { counts: {}, axes: [], cells: [], problems: [], ...source.model };
    index();
    tell("shape");
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
    const answer = await fetch(`details.json?path=${encodeURIComponent(path)}`).catch(away);
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  }

  const away = () => { throw new Error("the preview does not answer"); };

  // Acts at the server. A server that has just started has another challenge, and refuses the first proof.
  async function act(name, body, again = true) {
    const answer = await qb.access.send(name, JSON.stringify(body)).catch(away);
    if (answer.status === 403 && again && qb.access.may) {
      await refresh();
      return act(name, body, false);
    }
    if (!answer.ok) throw new Error((await answer.text()).trim());
    return answer.json();
  }

  return {
    live,
    get data() { return data; },
    get mayRender() { return live && qb.access.may; },
    get isForeign() { return isForeign; },
    get drafting() { return drafting; },
    showDrafts,
    refresh,
    act,
    start,
    details,
    listen: (listener) => listeners.push(listener),
    cell: (path) => data.cells[byPath.get(path)],
    number: (path) => byPath.get(path),
    thumbnail: (digest) => `thumbnails/${digest}.webp`,
    image: (digest) => (data.small ? `thumbnails/${digest}.webp` : `images/${digest}.png`),
    price: (names, force) => act("price", { names, force }),
    render: (names, force = false) => act("render", { names, force }),
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
