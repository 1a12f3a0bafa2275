// What a reader of a page would stumble over, in words; see browser.py.
const short = (s) => JSON.stringify(s.trim().replace(/\s+/g, " ").slice(0, 40));
// Visible pieces of text, a line each: {text, node, left, right, top, bottom}.
function pieces() {
  const out = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) {
    const e = node.parentElement;
    if (!node.data.trim() || e.closest("script, style, .unseen, [hidden]") || !e.checkVisibility())
      continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const svg = e instanceof SVGElement;
    const boxes = svg ? [e.closest("text").getBoundingClientRect()] : range.getClientRects();
    for (const b of boxes) {
      if (b.width < 1 || b.height < 1) continue;
      const upright = svg && b.height > 2 * b.width;
      const h = upright ? 0 : b.height * 0.22; // a line's box is higher than its letters
      out.push({ text: node.data, node: e, left: b.left + 0.5, right: b.right - 0.5, top: b.top + h, bottom: b.bottom - h });
    }
  }
  return out;
}
function scrolls() {
  const out = [], page = document.documentElement, width = page.clientWidth;
  if (page.scrollWidth > width) {
    out.push(`scrolls sideways: ${page.scrollWidth} pixels in ${width}`);
    for (const e of document.body.querySelectorAll("*"))
      if (e.getBoundingClientRect().right > width + 1 && !e.closest(".scroll, svg"))
        out.push(`too wide: <${e.tagName.toLowerCase()} class="${e.className}"> ${short(e.textContent)}`);
  }
  for (const p of pieces()) {
    const frame = p.node.closest("svg")?.getBoundingClientRect();
    if (frame && (p.left < frame.left - 1 || p.right > frame.right + 1 || p.top < frame.top - 1 || p.bottom > frame.bottom + 1))
      out.push(`cut off at a figure's edge: ${short(p.text)}`);
  }
  return out;
}
function overlaps() {
  const out = [], all = pieces().sort((a, b) => a.top - b.top);
  all.forEach((a, i) => {
    for (let j = i + 1; j < all.length && all[j].top < a.bottom - 1; j++) {
      const b = all[j];
      if (Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && a.node !== b.node)
        out.push(`overlap: ${short(a.text)} and ${short(b.text)}`);
    }
  });
  return out;
}
// Ink against its ground: at least 4.5 to 1 (WCAG 2, AA).
function rgba(text) {
  const n = text.match(/[\d.]+(e-?\d+)?/g).map(Number), scale = text.startsWith("color(") ? 1 : 255;
  return [n[0] / scale, n[1] / scale, n[2] / scale, n.length > 3 ? n[3] : 1];
}
function light([r, g, b]) {
  const [x, y, z] = [r, g, b].map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
}
function ground(e) {
  const layers = [];
  for (; e; e = e.parentElement) {
    const c = rgba(getComputedStyle(e).backgroundColor);
    layers.push(c);
    if (c[3] === 1) break;
  }
  return layers.reverse().reduce((below, c) => below.map((v, i) => v * (1 - c[3]) + c[i] * c[3]), [1, 1, 1]);
}
function faint() {
  const out = new Set();
  for (const p of pieces()) {
    if (p.node.ariaHidden) continue; // a swatch, no text
    const style = getComputedStyle(p.node);
    const ink = light(rgba(p.node instanceof SVGElement ? style.fill : style.color)), back = light(ground(p.node));
    const ratio = (Math.max(ink, back) + 0.05) / (Math.min(ink, back) + 0.05);
    if (ratio < 4.5) out.add(`faint, ${ratio.toFixed(1)} to 1: ${short(p.text)}`);
    const size = p.node instanceof SVGElement ? parseFloat(style.fontSize) * p.node.getScreenCTM().a : parseFloat(style.fontSize);
    const tilted = p.node instanceof SVGElement && Math.abs(p.node.getScreenCTM().b) > 0.1;
    if (!tilted && size < 9.5) out.add(`small, ${size.toFixed(1)} pixels: ${short(p.text)}`);
  }
  return [...out];
}
function faults() {
  return [...scrolls(), ...overlaps(), ...faint()];
}
