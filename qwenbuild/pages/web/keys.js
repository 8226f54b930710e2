// The keys. One table says what each key does in each view; the list that `?` shows is this table.
"use strict";
qb.keys = (() => {
  const ARROWS = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"];
  const VIEWS = ["grid", "detail", "compare", "*"];
  const groups = [];
  let held = null; // the entry whose key is down, if the entry has a `release`
  let clicked = false; // whether the last use was a pointer's, so that a button in focus was clicked

  // Adds the keys of a view: "grid", the class of a dialog, or "*" for all. Each entry has `keys` (as in KeyboardEvent), `shown` (as on
  // the keyboard, separated by spaces), `what` (what they do) and `act`. If `act` returns false, the browser handles the key.
  const add = (view, title, entries) => groups.push({ view, title, entries });

  // The view that the user sees: the dialog that was opened last, or the grid.
  const view = () => [...document.querySelectorAll("dialog[open]")].pop()?.classList[0] ?? "grid";

  // Whether the element in focus uses the key itself.
  function isTaken(event) {
    const { key, target } = event;
    if (!target.matches) return false;
    if (target.matches("select, textarea, input:not([type=checkbox], [type=range])")) return true;
    if (target.matches("input[type=range]")) return [...ARROWS, "Home", "End", "PageUp", "PageDown"].includes(key);
    if (key === "Enter") return target.matches("button, a[href]") && !(clicked && view() === "grid");
    return target.matches("pre, .facts") && [...ARROWS, "Home", "End", "PageUp", "PageDown"].includes(key);
  }

  function entryOf(event) {
    const name = event.shiftKey && ARROWS.includes(event.key) ? `Shift+${event.key}` : event.key;
    return groups.filter((group) => group.view === view() || group.view === "*").flatMap((group) => group.entries).find(({ keys }) => keys.includes(name));
  }

  document.addEventListener("keydown", (event) => {
    if (event.key === "Tab") clicked = false;
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || !qb.model.data) return;
    if (event.key === "Enter" && event.repeat) {
      event.preventDefault(); // the key that opened a view does not press a button in it
      return;
    }
    if (event.target.matches?.("#text") && event.key === "Escape") qb.grid.focus();
    if (isTaken(event)) return;
    const entry = entryOf(event);
    if (!entry || entry.act(event) === false) return;
    event.preventDefault();
    if (entry.release) held = entry;
  });
  document.addEventListener("keyup", (event) => {
    if (!held?.keys.includes(event.key)) return;
    held.release(event);
    held = null;
  });
  document.addEventListener("pointerdown", () => { clicked = true; }, true);

  function help() {
    if (view() === "help") return;
    const table = (group) => qb.el("section", {}, qb.el("h3", {}, group.title), qb.el("dl", {}, group.entries.flatMap(({ shown, what }) =>
      [qb.el("dt", {}, shown.split(" ").flatMap((key) => [qb.el("kbd", {}, key), " "])), qb.el("dd", {}, what)])));
    qb.dialog("help", "Keys", qb.el("div", { class: "sheets", tabindex: 0, role: "region", "aria-label": "Keys" }, VIEWS.flatMap((name) => groups.filter((group) => group.view === name)).map(table)));
  }

  // Gives the focus to a dialog as a whole, so that no button in it looks chosen.
  function focus(dialog) {
    dialog.tabIndex = -1;
    dialog.focus();
  }

  add("*", "Everywhere", [{ keys: ["?"], shown: "?", what: "these keys", act: help }]);

  return { add, help, focus, ARROWS };
})();
