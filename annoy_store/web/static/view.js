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
    tools.append(button(name(), (made) => { text.classList.toggle("rendered"); made.textContent = name(); }));
  }
  tools.append(button("copy", (made) => copy(pre, made)));
  (text || pre).before(tools);
}
