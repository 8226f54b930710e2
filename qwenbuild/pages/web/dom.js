// Helpers for elements, dialogs and numbers. Texts become text nodes only: this page never parses markup.
"use strict";
const qb = {};

qb.el = (tag, properties = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
};

qb.byId = (id) => document.getElementById(id);

qb.button = (text, act, properties = {}) => qb.el("button", { type: "button", onclick: act, ...properties }, text);

// Replaces the children of an element, unless they are equal. The focus stays on the button with the same `data-act`.
qb.refill = (parent, children) => {
  const fresh = children.filter(Boolean);
  if (fresh.length === parent.childNodes.length && fresh.every((child, i) => child.isEqualNode(parent.childNodes[i]))) return;
  const held = parent.contains(document.activeElement) ? document.activeElement.dataset.act : "";
  parent.replaceChildren(...fresh);
  if (held) parent.querySelector(`[data-act="${held}"]`)?.focus();
};

// A cell's name that may be broken between its parts. Each part is written in the direction of its script.
qb.name = (text) => qb.el("span", { dir: "ltr" }, text.split(/([[\],=/])/).map((part, i) => (i % 2 ? [part, qb.el("wbr")] : qb.el("bdi", {}, part))));

qb.dotted = (parts) => parts.flatMap((part, i) => [i ? " · " : "", qb.el("bdi", {}, part)]);

// Lets a screen reader say a text.
qb.announce = (text) => { qb.byId("announce").textContent = text; };

qb.copy = async (text, what) => {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = qb.el("textarea", { class: "hidden", value: text });
    (document.querySelector("dialog[open]") || document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  qb.toast(`Copied ${what}`);
};

let toastTimer = 0;
qb.toast = (text) => {
  let toast = qb.byId("toast");
  if (!toast) toast = qb.el("div", { id: "toast", role: "status" });
  (document.querySelector("dialog[open]") || document.body).append(toast);
  toast.textContent = text;
  toast.classList.add("shown");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => toast.classList.remove("shown"), 2400);
};

// Opens a modal dialog with a heading and a close button. `kind` is its class.
qb.dialog = (kind, title, content, onclose = () => {}) => {
  const back = document.activeElement;
  const heading = qb.el("h2", { id: `${kind}-title`, dir: "auto" }, title);
  const dialog = qb.el("dialog", { class: kind, "aria-labelledby": `${kind}-title` },
    qb.el("div", { class: "dialog-head" }, heading, qb.button("Close", () => dialog.close(), { class: "close", title: "Close (Esc)" })),
    content);
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (back && back.isConnected) back.focus();
    onclose();
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
};

qb.money = (amounts) => Object.entries(amounts || {}).map(([currency, amount]) => `${Number(amount).toFixed(2)} ${currency}`).join(" + ");

qb.number = (count) => count.toLocaleString("en");

qb.plural = (count, one, many = `${one}s`) => `${qb.number(count)} ${count === 1 ? one : many}`;

// The time of day, in the reader's own way. `seconds` are since the epoch.
qb.clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString();

qb.duration = (seconds) => {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
};
