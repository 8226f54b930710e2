// Which images this browser has shown: those that were opened, and those that stayed in view for a moment.
"use strict";
qb.seen = (() => {
  const MOMENT_MS = 700;
  const MOST = 50_000; // images that are remembered
  const SHORT = 12; // digits of a digest
  let known = null; // short digests, in the order in which they were seen
  let before = new Set(); // what was known when the filter was chosen: an image stays in view while it is looked at
  let timer = 0;

  const place = () => `qwenbuild-seen:${qb.model.data.project}`;

  function load() {
    if (known) return known;
    try {
      known = new Set(JSON.parse(localStorage.getItem(place()) || "[]"));
    } catch {
      known = new Set();
    }
    return known;
  }

  function note(digests) {
    const fresh = digests.filter(Boolean).map((digest) => digest.slice(0, SHORT)).filter((digest) => !load().has(digest));
    if (!fresh.length) return;
    for (const digest of fresh) known.add(digest);
    if (known.size > MOST) known = new Set([...known].slice(-MOST));
    try {
      localStorage.setItem(place(), JSON.stringify([...known]));
    } catch { /* the browser stores nothing: the images are forgotten when the page is closed */ }
  }

  function look() {
    if (document.hidden || !qb.model.data) return;
    const area = qb.byId("grid").getBoundingClientRect();
    const inView = [...document.querySelectorAll("#grid .tile")].filter((tile) => {
      const { top, bottom, left, right } = tile.getBoundingClientRect();
      return top < area.bottom && bottom > area.top && left < area.right && right > area.left;
    });
    note(inView.map((tile) => qb.model.cell(tile.dataset.path)?.image));
  }

  // Notes what is in view, once it has stayed there.
  function soon() {
    clearTimeout(timer);
    timer = setTimeout(look, MOMENT_MS);
  }

  return {
    soon,
    open: (cell) => note([cell?.image]),
    begin: () => { before = new Set(load()); },
    unseen: (cell) => Boolean(cell.image) && !before.has(cell.image.slice(0, SHORT)),
  };
})();
