// Search in transcripts: each word must be somewhere in one, case and accents aside. Of many only
// the first are shown until a reader asks for all.
"use strict";
const FIRST = 20;
const searchable = new WeakMap();
let allShown = false;
const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
function textOf(one) {
  if (!searchable.has(one)) searchable.set(one, plain(one.textContent));
  return searchable.get(one);
}
function search() {
  const bar = document.querySelector(".search"), more = document.querySelector(".more");
  if (!bar) return;
  const all = [...document.querySelectorAll(".transcript")];
  const words = plain(bar.querySelector("input").value).split(/\s+/).filter(Boolean);
  const found = all.filter((one) => words.every((word) => textOf(one).includes(word)));
  const shown = new Set(words.length || allShown ? found : found.slice(0, FIRST));
  for (const one of all) one.hidden = !shown.has(one);
  bar.hidden = !all.length;
  bar.querySelector("output").textContent = words.length ? `${found.length} of ${all.length}` : "";
  more.hidden = shown.size === found.length;
  more.textContent = `Show all ${all.length}`;
}
document.addEventListener("input", search);
document.addEventListener("click", (event) => {
  if (!event.target.closest(".more")) return;
  allShown = true;
  search();
});
search();
