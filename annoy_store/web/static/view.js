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
