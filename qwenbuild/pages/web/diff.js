// Compares two texts word by word. In scripts without spaces, the browser finds the words.
"use strict";
qb.diff = (() => {
  const segmenter = window.Intl && Intl.Segmenter ? new Intl.Segmenter(undefined, { granularity: "word" }) : null;

  const split = (text) => (segmenter ? [...segmenter.segment(text)].map((part) => part.segment) : text.split(/(\s+|\b)/).filter(Boolean));

  // Returns pairs of a kind ("same", "gone" or "new") and a text.
  function parts(before, after) {
    const a = split(before), b = split(after);
    const length = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
    for (let i = a.length - 1; i >= 0; i -= 1) {
      for (let j = b.length - 1; j >= 0; j -= 1) {
        length[i][j] = a[i] === b[j] ? length[i + 1][j + 1] + 1 : Math.max(length[i + 1][j], length[i][j + 1]);
      }
    }
    const found = [];
    const add = (kind, text) => {
      const last = found[found.length - 1];
      if (last && last[0] === kind) last[1] += text;
      else found.push([kind, text]);
    };
    let i = 0, j = 0;
    while (i < a.length || j < b.length) {
      if (i < a.length && j < b.length && a[i] === b[j]) { add("same", a[i]); i += 1; j += 1; }
      else if (j >= b.length || (i < a.length && length[i + 1][j] >= length[i][j + 1])) { add("gone", a[i]); i += 1; }
      else { add("new", b[j]); j += 1; }
    }
    return joined(found);
  }

  // Adds white space between two changes to both, because whole phrases are easier to read than single words.
  function joined(pairs) {
    const found = [];
    let gone = "", added = "";
    const flush = () => {
      if (gone) found.push(["gone", gone]);
      if (added) found.push(["new", added]);
      gone = added = "";
    };
    pairs.forEach(([kind, text], i) => {
      if (kind === "gone") gone += text;
      else if (kind === "new") added += text;
      else if (!text.trim() && (gone || added) && i + 1 < pairs.length) { gone += text; added += text; }
      else { flush(); found.push(["same", text]); }
    });
    flush();
    return found;
  }

  function element(before, after) {
    return qb.el("p", { class: "prompt diff", dir: "auto" }, parts(before, after).map(([kind, text]) =>
      kind === "same" ? text : qb.el(kind === "gone" ? "del" : "ins", {}, text)));
  }

  return { parts, element };
})();
