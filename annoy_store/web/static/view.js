"use strict";

// Keyboard navigation: pages declare where they lead (rel=next, rel=prev, rel=up).

const rows = () => [...document.querySelectorAll("a.row")];

function go(way) {
  const link = document.querySelector(`main a[rel="${way}"]`);
  if (link) link.click();
  return Boolean(link);
}

function step(by) {
  const all = rows();
  const at = all.indexOf(document.activeElement);
  const next = at < 0 ? (by > 0 ? 0 : -1) : at + by;
  if (all[next]) all[next].focus();
  else go(by > 0 ? "next" : "prev");
}

const keys = {
  j: () => (rows().length ? step(1) : go("next")),
  k: () => (rows().length ? step(-1) : go("prev")),
  ArrowRight: () => go("next"),
  ArrowLeft: () => go("prev"),
  u: () => go("up"),
  o: () => document.activeElement.matches("a.row") && document.activeElement.click(),
  "/": () => (document.querySelector("main input[type=search]") || document.querySelector("input[type=search]")).focus(),
};

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented) return;
  const typing = event.target.matches("input, textarea, select");
  if (typing && event.key === "Enter" && event.ctrlKey && event.target.form) {
    event.target.form.requestSubmit();
  }
  if (typing && event.key === "Escape") event.target.blur();
  if (typing || event.ctrlKey || event.altKey || event.metaKey || !keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
});

// Every block has a button that copies it; a rendered text has one that shows it raw.

function button(label, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = label;
  made.addEventListener("click", () => act(made));
  return made;
}

async function copy(pre, made) {
  try {
    await navigator.clipboard.writeText(pre.textContent);
    made.textContent = "copied";
  } catch {
    getSelection().selectAllChildren(pre);
    made.textContent = "press Ctrl-C";
  }
  setTimeout(() => { made.textContent = "copy"; }, 1500);
}

for (const pre of document.querySelectorAll("main pre")) {
  if (pre.closest(".markdown")) continue;
  const text = pre.closest(".text");
  const tools = document.createElement("div");
  tools.className = "tools";
  if (text && text.querySelector(".markdown")?.childNodes.length) {
    const name = () => (text.classList.contains("rendered") ? "raw" : "rendered");
    tools.append(button(name(), (made) => {
      text.classList.toggle("rendered");
      made.textContent = name();
      reach();
    }));
  }
  tools.append(button("copy", (made) => copy(pre, made)));
  (text || pre).before(tools);
}

// What scrolls can be reached by keyboard; inside of something folded, that is not known yet.

function reach() {
  for (const box of document.querySelectorAll("main pre, .markdown, .scroll, .plot")) {
    const scrolls = box.scrollHeight > box.clientHeight + 1 || box.scrollWidth > box.clientWidth + 1;
    if (scrolls || box.closest("details:not([open])")) box.tabIndex = 0;
    else if (!box.hasAttribute("role")) box.removeAttribute("tabindex");
  }
}

reach();
addEventListener("resize", reach);

// The SQL page completes names with Tab, and keeps the last queries in this browser.

const editor = document.querySelector("textarea[data-names]");

function matching() {
  const before = editor.value.slice(0, editor.selectionStart);
  const word = before.match(/\w*$/)[0];
  const names = [...new Set(editor.dataset.names.trim().split(/\s+/))];
  return [word, word.length < 2 ? [] : names.filter((n) => n.startsWith(word) && n !== word).slice(0, 12)];
}

function showNames() {
  const [, names] = matching();
  const shown = document.querySelector(".names");
  shown.replaceChildren(...names.map((name, i) => {
    const made = document.createElement(i ? "span" : "b");
    made.textContent = `${name} `;
    return made;
  }));
}

function complete(event) {
  const [word, names] = matching();
  if (event.key !== "Tab" || event.shiftKey || !names.length) return;
  event.preventDefault();
  editor.setRangeText(names[0].slice(word.length), editor.selectionStart, editor.selectionEnd, "end");
  showNames();
}

function remember() {
  const key = `annoy sql ${editor.dataset.store}`;
  let kept = [];
  try { kept = JSON.parse(localStorage.getItem(key)) || []; } catch { kept = []; }
  editor.form.addEventListener("submit", () => {
    const next = [editor.value, ...kept.filter((one) => one !== editor.value)].slice(0, 20);
    try { localStorage.setItem(key, JSON.stringify(next)); } catch { /* storage is off or full */ }
  });
  const box = document.querySelector(".history");
  box.hidden = !kept.length;
  box.querySelector("ul").replaceChildren(...kept.map((text) => {
    const item = document.createElement("li");
    const link = document.createElement("a");
    link.textContent = text;
    link.href = `/sql?q=${encodeURIComponent(text)}`;
    item.append(link);
    return item;
  }));
}

if (editor) {
  editor.addEventListener("input", showNames);
  editor.addEventListener("keydown", complete);
  remember();
}
