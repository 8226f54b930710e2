// Whether this page may act. It keeps the key of its address so that scripts can sign with it, but nobody can read it.
"use strict";
qb.access = (() => {
  const HMAC = { name: "HMAC", hash: "SHA-256" };
  const bytes = (text) => new TextEncoder().encode(text);
  let key = null;
  let challenge = ""; // of the server that answers now
  let may = false; // whether that server has accepted the key

  const result = (asked) => new Promise((resolve, reject) => {
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });

  // The key that the browser keeps for this address. With `fresh`, keeps that one instead.
  async function kept(fresh) {
    const opening = indexedDB.open("qwenbuild", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("keys");
    const database = await result(opening);
    try {
      const keys = database.transaction("keys", fresh ? "readwrite" : "readonly").objectStore("keys");
      return await result(fresh ? keys.put(fresh, "key") : keys.get("key"));
    } finally {
      database.close();
    }
  }

  // Takes the key out of the address, so that no bookmark and no screenshot shows it. Without one, the kept key is taken.
  async function start() {
    const parameters = new URLSearchParams(location.hash.slice(1));
    const given = parameters.get("token");
    if (given !== null) {
      parameters.delete("token");
      history.replaceState(null, "", `#${parameters}`);
      if (given) key = await crypto.subtle.importKey("raw", bytes(given), HMAC, false, ["sign"]);
    }
    try {
      if (key) await kept(key);
      else key = await kept() || null;
    } catch { /* the browser keeps nothing: after a reload the page only looks */ }
  }

  async function proof(act, body) {
    if (!key) return "";
    const signed = await crypto.subtle.sign("HMAC", key, bytes(`${challenge}\n/${act}\n${body}`));
    return [...new Uint8Array(signed)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  const send = async (act, body) => fetch(act, {
    method: "POST", body, headers: { "Content-Type": "application/json", "X-Qwenbuild-Proof": await proof(act, body) },
  });

  // Learns whether the server that sent this challenge accepts the key. With `anew`, the key is another one than before.
  async function greet(sent, anew = false) {
    if (sent === challenge && !anew) return;
    challenge = sent;
    may = false;
    if (!key) return;
    const answer = await send("session", "{}");
    may = answer.ok && (await answer.json()).may;
  }

  return { start, greet, send, get may() { return may; } };
})();
