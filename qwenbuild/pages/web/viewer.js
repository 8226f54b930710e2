// A picture that can be zoomed and moved. Viewers that share a view do so together.
"use strict";
qb.viewer = (() => {
  const MOST = 16;

  // The visible part of a picture: the scale (1 shows all of it), and the point in the middle (x and y from 0 to 1).
  function view() {
    return { scale: 1, x: 0.5, y: 0.5, listeners: [] };
  }

  function change(shared, scale, x, y) {
    shared.scale = Math.min(MOST, Math.max(1, scale));
    const half = 0.5 / shared.scale;
    shared.x = Math.min(1 - half, Math.max(half, x));
    shared.y = Math.min(1 - half, Math.max(half, y));
    shared.listeners.forEach((listener) => listener());
  }

  // `sources` is one picture, or two (before and after) with a slider between them.
  function make(sources, size, name, shared = view()) {
    const [width, height] = size;
    const layers = sources.map((source, i) => {
      const image = qb.el("img", { src: source, alt: sources.length > 1 ? `${i ? "After" : "Before"}: ${name}` : name, draggable: "false", width, height });
      image.addEventListener("error", () => frame.classList.add("broken"));
      return qb.el("div", { class: `layer${i ? " after" : ""}` }, image);
    });
    const frame = qb.el("div", { class: "frame" }, layers);
    frame.style.aspectRatio = `${width} / ${height}`;
    frame.style.setProperty("--ratio", String(width / height));
    const stage = qb.el("div", {
      class: "stage", tabindex: 0, role: "group",
      "aria-label": `${name}. Plus and minus zoom, arrow keys move, 0 shows the whole image.`,
    }, frame);
    const level = qb.el("output", { class: "level", "aria-label": "Zoom" });
    const box = qb.el("div", { class: "viewer" }, stage, level);
    if (sources.length > 1) box.append(slider(frame, layers[1]));

    function draw() {
      for (const layer of layers) {
        const image = layer.firstChild;
        image.style.transform = `scale(${shared.scale}) translate(${(0.5 - shared.x) * 100}%, ${(0.5 - shared.y) * 100}%)`;
        image.classList.toggle("pixels", shared.scale > 6);
      }
      level.textContent = shared.scale > 1.001 ? `${shared.scale.toFixed(1)}×` : "";
      stage.classList.toggle("zoomed", shared.scale > 1.001);
    }
    shared.listeners.push(draw);
    draw();

    // Zooms so that the point of the picture under the pointer stays there.
    function zoomAt(event, factor) {
      const area = frame.getBoundingClientRect();
      const u = (event.clientX - area.left) / area.width - 0.5, v = (event.clientY - area.top) / area.height - 0.5;
      const scale = Math.min(MOST, Math.max(1, shared.scale * factor));
      change(shared, scale, shared.x + u / shared.scale - u / scale, shared.y + v / shared.scale - v / scale);
    }
    stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      zoomAt(event, Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)));
    }, { passive: false });
    stage.addEventListener("dblclick", (event) => zoomAt(event, shared.scale > 1.001 ? 1 / MOST : 3));

    const pointers = new Map();
    stage.addEventListener("pointerdown", (event) => {
      pointers.set(event.pointerId, event);
      stage.setPointerCapture(event.pointerId);
    });
    stage.addEventListener("pointermove", (event) => {
      const before = pointers.get(event.pointerId);
      if (!before) return;
      const others = [...pointers.values()].filter((one) => one.pointerId !== event.pointerId);
      pointers.set(event.pointerId, event);
      if (others.length) {
        const apart = (one) => Math.hypot(one.clientX - others[0].clientX, one.clientY - others[0].clientY);
        zoomAt(event, apart(event) / Math.max(1, apart(before)));
        return;
      }
      const area = frame.getBoundingClientRect();
      change(shared, shared.scale, shared.x - (event.clientX - before.clientX) / area.width / shared.scale,
        shared.y - (event.clientY - before.clientY) / area.height / shared.scale);
    });
    for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, (event) => pointers.delete(event.pointerId));

    stage.addEventListener("keydown", (event) => {
      const step = 0.1 / shared.scale;
      const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
      if (event.key === "+" || event.key === "=") change(shared, shared.scale * 1.4, shared.x, shared.y);
      else if (event.key === "-") change(shared, shared.scale / 1.4, shared.x, shared.y);
      else if (event.key === "0") change(shared, 1, 0.5, 0.5);
      else if (moves[event.key] && shared.scale > 1.001) change(shared, shared.scale, shared.x + moves[event.key][0], shared.y + moves[event.key][1]);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    return box;
  }

  function slider(frame, after) {
    const divider = qb.el("div", { class: "divider" });
    frame.append(divider);
    const range = qb.el("input", { type: "range", min: 0, max: 100, value: "50", class: "slider", "aria-label": "Before and after" });
    const show = () => { after.style.clipPath = `inset(0 0 0 ${range.value}%)`; divider.style.left = `${range.value}%`; range.setAttribute("aria-valuetext", `${range.value}% before`); };
    range.addEventListener("input", show);
    range.addEventListener("keydown", (event) => event.stopPropagation());
    show();
    return qb.el("div", { class: "slide" }, qb.el("span", {}, "before"), range, qb.el("span", {}, "after"));
  }

  return { make, view, change };
})();
