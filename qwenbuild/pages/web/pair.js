// Two pictures in one frame: with a slider between them, one after the other, one over the other, or their difference.
"use strict";
qb.pair = (() => {
  const MODES = [["slider", "Slider", "w"], ["blink", "Blink", "b"], ["overlay", "Overlay", "o"], ["difference", "Difference", "m"]];

  const said = (one) => one.label.join(" · ");

  // `before` and `after` are { source, size, label }; a label is a list of texts. `settings` belongs to the caller, and outlives the pair:
  // { mode, after: whether blink shows the second picture, at, opacity, gain }.
  function make(before, after, name, settings, shared) {
    const [first, second] = [before, after].map((one, i) => qb.viewer.image(one.source, `${i ? "After" : "Before"}: ${said(one) || name}`, one.size));
    const canvas = qb.el("canvas", { "aria-hidden": "true" });
    const viewer = qb.viewer.make([first, second, canvas], before.size, name, shared);
    const divider = qb.el("div", { class: "divider" });
    const which = qb.el("output", { class: "which", "aria-label": "Shown" });
    const bar = qb.el("div", { class: "slide" });
    const found = qb.el("output", { class: "found" });
    const [under, over, top] = viewer.querySelectorAll(".layer");
    over.classList.add("after");
    viewer.querySelector(".frame").append(divider);
    viewer.append(which, bar);
    let isMeasured = false;
    const scaled = before.size.join() === after.size.join() ? "" : `The second image has ${after.size.join(" × ")} pixels; it is scaled to fit the first.`;

    function range(label, key, [least, most, step], unit, ends, show) {
      const input = qb.el("input", { type: "range", min: least, max: most, step, value: String(settings[key]), class: "slider", "aria-label": label });
      const value = qb.el("output", { class: "amount" });
      const update = () => {
        settings[key] = Number(input.value);
        value.textContent = unit(settings[key]);
        input.setAttribute("aria-valuetext", value.textContent);
        show(settings[key]);
      };
      input.addEventListener("input", update);
      update();
      return [qb.el("span", {}, ends[0]), input, qb.el("span", {}, ends[1]), ends[1] ? null : value];
    }

    // Shows the pictures as `settings` says.
    function draw() {
      const { mode } = settings;
      const isBlink = mode === "blink", isDifference = mode === "difference";
      under.style.opacity = isDifference || (isBlink && settings.after) ? "0" : "1";
      over.style.opacity = isDifference || (isBlink && !settings.after) ? "0" : "1";
      top.style.opacity = isDifference ? "1" : "0";
      over.style.clipPath = "";
      divider.hidden = mode !== "slider";
      which.replaceChildren(...(isBlink ? qb.dotted((settings.after ? after : before).label) : []));
      if (isDifference) measure();
      const controls = {
        slider: () => range("Before and after", "at", [0, 100, 1], (at) => `${at}% ${said(before)}`, [qb.dotted(before.label), qb.dotted(after.label)], (at) => {
          over.style.clipPath = `inset(0px 0px 0px ${at}%)`;
          divider.style.left = `${at}%`;
        }),
        blink: () => [qb.button("Show the other", flip, { "data-act": "flip", title: "b; hold it to see the other for a moment" })],
        overlay: () => range("Opacity", "opacity", [0, 100, 1], (opacity) => `${opacity}% ${said(after)}`, [qb.dotted(before.label), qb.dotted(after.label)],
          (opacity) => { over.style.opacity = String(opacity / 100); }),
        difference: () => [...range("Amplification", "gain", [1, 32, 1], (gain) => `× ${gain}`, ["Amplification", null],
          (gain) => { canvas.style.filter = `brightness(${gain})`; }), found],
      }[mode]();
      if (scaled) controls.push(qb.el("span", { class: "scaled" }, scaled));
      qb.refill(bar, controls);
      if (bar.dataset.mode !== mode) bar.dataset.mode = mode;
    }

    // Draws the difference of each pixel. Where the browser lets a page read pixels (not on a disk), also says how large it is.
    async function measure() {
      if (isMeasured) return;
      isMeasured = true;
      try {
        await Promise.all([first.decode(), second.decode()]);
      } catch { return; /* the frame says that an image can't be shown */ }
      const [width, height] = [first.naturalWidth, first.naturalHeight];
      Object.assign(canvas, { width, height });
      const context = canvas.getContext("2d", { willReadFrequently: false });
      const share = Math.min(width / second.naturalWidth, height / second.naturalHeight);
      const [w, h] = [second.naturalWidth * share, second.naturalHeight * share];
      context.drawImage(first, 0, 0, width, height);
      context.globalCompositeOperation = "difference";
      context.drawImage(second, (width - w) / 2, (height - h) / 2, w, h);
      try {
        found.textContent = amount(context.getImageData(0, 0, width, height).data);
      } catch { found.textContent = ""; }
    }

    function flip() {
      settings.after = !settings.after;
      draw();
    }

    draw();
    return { box: viewer, draw, flip };
  }

  function amount(bytes) {
    let differing = 0, most = 0;
    for (let i = 0; i < bytes.length; i += 4) {
      const value = Math.max(bytes[i], bytes[i + 1], bytes[i + 2]);
      if (value) differing += 1;
      if (value > most) most = value;
    }
    if (!differing) return "All pixels are equal.";
    const percent = differing / bytes.length * 400;
    return `${percent < 0.1 ? "Less than 0.1" : percent.toFixed(1)}% of the pixels differ, by at most ${most} of 255.`;
  }

  const fresh = (mode = "slider") => ({ mode, after: true, at: 50, opacity: 50, gain: 4 });

  // The buttons that choose a mode. `more` are modes of the caller.
  const buttons = (mode, choose, more = []) => qb.el("div", { class: "modes", role: "group", "aria-label": "How to compare" },
    [...more, ...MODES].map(([key, text, letter]) => qb.button(text, () => choose(key), { "aria-pressed": String(mode === key), title: letter, "data-act": `mode-${key}` })));

  // The keys of a view that may show a pair. `choose` takes a mode, `flip` shows the other picture; false if there is no pair.
  function keys(choose, flip) {
    let isHeld = false; // whether the keyboard has repeated the key
    return [
      { keys: ["b"], shown: "b", what: "blink: show the other image; hold it to see the other for a moment",
        act: (event) => {
          isHeld = event.repeat;
          return isHeld || flip();
        },
        release: () => { if (isHeld) flip(); } },
      { keys: ["w"], shown: "w", what: "a slider between two images", act: () => choose("slider") },
      { keys: ["o"], shown: "o", what: "one image over the other", act: () => choose("overlay") },
      { keys: ["m"], shown: "m", what: "the difference of two images (one minus the other)", act: () => choose("difference") },
    ];
  }

  return { make, fresh, buttons, keys };
})();
