// The search in transcripts: each word must be somewhere in one, case and accents aside.
"use strict";
const searchable = new WeakMap();
const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
function textOf(one) {
  if (!searchable.has(one)) searchable.set(one, plain(one.textContent));
  return searchable.get(one);
}
function search() {
  const bar = document.querySelector(".search");
  if (!bar) return;
  const all = [...document.querySelectorAll(".transcript")];
  const words = plain(bar.querySelector("input").value).split(/\s+/).filter(Boolean);
  let found = 0;
  for (const one of all) {
    one.hidden = !words.every((word) => textOf(one).includes(word));
    found += !one.hidden;
  }
  bar.hidden = !all.length;
  bar.querySelector("output").textContent = words.length ? `${found} of ${all.length}` : "";
}
document.addEventListener("input", search);
search();
