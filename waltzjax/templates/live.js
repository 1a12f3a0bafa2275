// A page that follows a run: every few seconds it asks for itself and takes over what is new. The
// reader's place, search and opened transcripts stay.
const EVERY = 5000, WAIT = 20000; // milliseconds
let version = "";
function anchor() {
  const seen = [...document.querySelectorAll("main [data-key], main h2")];
  const one = seen.find((e) => !e.hidden && e.getBoundingClientRect().bottom > 0);
  if (!one || scrollY === 0) return () => {};
  const key = one.dataset.key, top = one.getBoundingClientRect().top;
  const again = () => [...document.querySelectorAll("main [data-key]")].find((e) => e.dataset.key === key);
  return () => { const now = again(); if (now) scrollBy(0, now.getBoundingClientRect().top - top); };
}
function take(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html"), settle = anchor();
  document.title = fresh.title;
  const opened = new Map([...document.querySelectorAll("details[data-key]")].map((d) => [d.dataset.key, d.open]));
  for (const part of document.querySelectorAll("[data-part]")) {
    const other = fresh.querySelector(`[data-part="${part.dataset.part}"]`);
    if (!other) continue;
    for (const d of other.querySelectorAll("details[data-key]")) if (opened.has(d.dataset.key)) d.open = opened.get(d.dataset.key);
    if (part.innerHTML !== other.innerHTML) part.replaceChildren(...other.childNodes);
  }
  search();
  settle();
}
function say(text, bad) {
  const line = document.querySelector("#live");
  line.textContent = text;
  line.className = bad ? "missed" : "soft";
}
async function refresh() {
  const now = () => new Date().toLocaleTimeString();
  try {
    const headers = version ? { "If-None-Match": version } : {};
    const answer = await fetch(location.pathname, { headers, cache: "no-store", signal: AbortSignal.timeout(WAIT) });
    if (answer.status === 200) {
      take(await answer.text());
      version = answer.headers.get("ETag") || "";
    } else if (answer.status !== 304) throw new Error(answer.status);
    say(`Live: as of ${now()}`, false);
  } catch {
    say(`The monitor does not answer (${now()}); shown is what was known before`, true);
  }
  setTimeout(refresh, EVERY);
}
setTimeout(refresh, EVERY);
