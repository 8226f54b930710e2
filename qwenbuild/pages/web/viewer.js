// A picture that can be zoomed and moved. Viewers that share a view do so together.
"use strict";
qb.viewer = (() => {
  const MOST = 32;
  const STEP = 1.4; // a key's factor
  const limited = (value, low, high) => Math.min(high, Math.max(low, value));

  // The visible part of a picture: the scale (1 shows all of it), and the point in the middle (x and y from 0 to 1).
  // `pointer` is the place of the pointer over the picture, from the middle (-0.5 to 0.5), or null.
  // `pixels` is the scale at which a pixel of the picture is a pixel of the screen.
  function view() {
    return { scale: 1, x: 0.5, y: 0.5, pointer: null, pixels: () => 1, viewers: [] };
  }

  const isZoomed = (shared) => shared.scale > 1.001;

  function change(shared, scale, x, y) {
    shared.scale = limited(scale, 1, MOST);
    const half = 0.5 / shared.scale;
    shared.x = limited(x, half, 1 - half);
    shared.y = limited(y, half, 1 - half);
    shared.viewers = shared.viewers.filter(({ box }) => box.isConnected);
    shared.viewers.forEach(({ draw }) => draw());
  }

  // Zooms so that the given point of the picture stays where it is.
  function zoom(shared, factor, at = shared.pointer || { u: 0, v: 0 }) {
    const scale = limited(shared.scale * factor, 1, MOST);
    change(shared, scale, shared.x + at.u / shared.scale - at.u / scale, shared.y + at.v / shared.scale - at.v / scale);
  }

  // Moves by a part of what is visible.
  const move = (shared, u, v) => change(shared, shared.scale, shared.x + u / shared.scale, shared.y + v / shared.scale);

  // Shows the actual pixels, at least twice as large as the whole; if zoomed already, the whole picture.
  const toggle = (shared, at) => (isZoomed(shared) ? change(shared, 1, 0.5, 0.5) : zoom(shared, Math.max(2, shared.pixels()), at));

  // `media` are images or canvases that lie on each other. `size` is the picture's, in pixels.
  function make(media, size, name, shared = view()) {
    const [width, height] = size;
    const layers = media.map((medium) => {
      medium.addEventListener("error", () => frame.classList.add("broken"));
      return qb.el("div", { class: "layer" }, medium);
    });
    const frame = qb.el("div", { class: "frame" }, layers);
    frame.style.aspectRatio = `${width} / ${height}`;
    frame.style.setProperty("--ratio", String(width / height));
    const stage = qb.el("div", { class: "stage", tabindex: 0, role: "group", "aria-label": `${name}. Press ? for the keys.`, "data-act": "stage" }, frame);
    const level = qb.el("output", { class: "level", "aria-label": "Zoom" });
    const box = qb.el("div", { class: "viewer" }, stage, level);
    const pixels = () => width / Math.max(1, frame.clientWidth * window.devicePixelRatio);

    function draw() {
      const real = pixels();
      for (const medium of media) {
        medium.style.transform = `scale(${shared.scale}) translate(${(0.5 - shared.x) * 100}%, ${(0.5 - shared.y) * 100}%)`;
        medium.classList.toggle("pixels", shared.scale > real * 3);
      }
      level.textContent = isZoomed(shared) ? `${shared.scale.toFixed(1)}×${Math.abs(shared.scale - real) < 0.01 ? " · actual pixels" : ""}` : "";
      stage.classList.toggle("zoomed", isZoomed(shared));
    }
    shared.pixels = pixels;
    shared.viewers.push({ box, draw });
    draw();

    const place = (x, y) => {
      const area = frame.getBoundingClientRect();
      return { u: limited((x - area.left) / area.width - 0.5, -0.5, 0.5), v: limited((y - area.top) / area.height - 0.5, -0.5, 0.5) };
    };
    // A pinch on a trackpad is a wheel with Ctrl and small steps. A mouse's wheel has large ones, which Ctrl must not make larger.
    stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      const unit = event.deltaMode === 1 ? 0.05 : event.deltaMode ? 1 : 0.002;
      const power = limited(-(event.deltaY || event.deltaX) * unit * (event.ctrlKey ? 8 : 1), -0.6, 0.6);
      zoom(shared, 2 ** power, place(event.clientX, event.clientY));
    }, { passive: false });
    stage.addEventListener("dblclick", (event) => toggle(shared, place(event.clientX, event.clientY)));
    drags(stage, frame, shared, place);
    return box;
  }

  // One pointer moves the picture. Two zoom it around the point between them, and move it.
  function drags(stage, frame, shared, place) {
    const pointers = new Map();
    stage.addEventListener("pointerdown", (event) => {
      pointers.set(event.pointerId, event);
      stage.setPointerCapture(event.pointerId);
    });
    stage.addEventListener("pointermove", (event) => {
      if (event.pointerType === "mouse") shared.pointer = place(event.clientX, event.clientY);
      const before = pointers.get(event.pointerId);
      if (!before) return;
      const [other] = [...pointers.values()].filter((one) => one.pointerId !== event.pointerId);
      pointers.set(event.pointerId, event);
      const area = frame.getBoundingClientRect(), share = other ? 2 : 1;
      if (other) {
        const apart = (one) => Math.max(1, Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY));
        zoom(shared, apart(event) / apart(before), place((event.clientX + other.clientX) / 2, (event.clientY + other.clientY) / 2));
      }
      move(shared, -(event.clientX - before.clientX) / area.width / share, -(event.clientY - before.clientY) / area.height / share);
    });
    stage.addEventListener("pointerleave", () => { shared.pointer = null; });
    for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, (event) => pointers.delete(event.pointerId));
    stage.addEventListener("touchstart", (event) => { if (event.touches.length > 1) event.preventDefault(); }, { passive: false });
  }

  // The keys of a view that shows a picture. `shared` returns its view; `moves` are the shown names of the keys that move it.
  function keys(shared, shift) {
    const prefix = shift ? "Shift+" : "";
    const steps = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] };
    return [
      { keys: ["+", "="], shown: "+", what: "zoom in, around the pointer", act: () => zoom(shared(), STEP) },
      { keys: ["-", "_"], shown: "−", what: "zoom out", act: () => zoom(shared(), 1 / STEP) },
      { keys: ["0"], shown: "0", what: "the whole image", act: () => change(shared(), 1, 0.5, 0.5) },
      { keys: ["z"], shown: "z", what: "actual pixels, or the whole image", act: () => toggle(shared()) },
      { keys: qb.keys.ARROWS.map((key) => prefix + key), shown: `${shift ? "Shift " : ""}← → ↑ ↓`, what: "move a zoomed image",
        act: (event) => isZoomed(shared()) && move(shared(), ...steps[event.key]) },
    ];
  }

  const image = (source, alt, size) => qb.el("img", { src: source, alt, draggable: "false", width: size[0], height: size[1] });

  return { make, view, keys, image };
})();
