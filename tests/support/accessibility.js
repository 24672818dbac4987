(lowest) => {
  // Returns the serious accessibility faults of a page, as texts "rule: element".
  const found = [];
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const name = (e) => {
    const id = e.id ? `#${e.id}` : "";
    const cls = e.getAttribute("class") ? `.${e.getAttribute("class").trim().split(/\s+/).join(".")}` : "";
    const text = (e.textContent || "").trim().replace(/\s+/g, " ").slice(0, 40);
    return `${e.tagName.toLowerCase()}${id}${cls}${text ? ` "${text}"` : ""}`;
  };
  const fault = (rule, e, more = "") => found.push(`${rule}: ${name(e)}${more && ` ${more}`}`);
  const isShown = (e) => e.checkVisibility({ visibilityProperty: true }) && !e.closest("[aria-hidden=true]");

  for (const closed of all("details:not([open])")) closed.open = true;

  // The document ------------------------------------------------------------------------------

  const root = document.documentElement;
  if (!/^[a-z]{2,3}(-|$)/i.test(root.lang)) fault("html-has-lang", root);
  if (!document.title.trim()) fault("document-title", document.head);
  for (const meta of all("meta[name=viewport]")) {
    if (/user-scalable\s*=\s*(no|0)|maximum-scale\s*=\s*[01]\b/.test(meta.content)) fault("meta-viewport", meta);
  }
  for (const meta of all("meta[http-equiv=refresh i]")) {
    const seconds = parseInt(meta.content, 10);
    if (seconds > 0 && seconds < 72000) fault("meta-refresh", meta);
  }

  // Landmarks and headings --------------------------------------------------------------------

  const mains = all("main, [role=main]").filter(isShown);
  if (mains.length !== 1) fault("landmark-one-main", document.body, `has ${mains.length}`);
  const unnamed = all("nav").filter((e) => isShown(e) && !label(e));
  if (unnamed.length > 1) unnamed.forEach((e) => fault("landmark-unique", e));
  const regions = "main, nav, header, footer, aside, form, [role=search], [role=region]";
  for (const e of document.body.children) {
    if (isShown(e) && e.textContent.trim() && !e.matches(`script, style, template, ${regions}`) && !e.querySelector("main")) fault("region", e);
  }
  const headings = all("h1, h2, h3, h4, h5, h6").filter(isShown);
  if (headings.filter((e) => e.tagName === "H1").length !== 1) fault("page-has-heading-one", document.body);
  let before = 0;
  for (const e of headings) {
    const level = Number(e.tagName[1]);
    if (level > before + 1) fault("heading-order", e, `follows h${before}`);
    if (!e.textContent.trim()) fault("empty-heading", e);
    before = level;
  }

  // Names -------------------------------------------------------------------------------------

  function label(e) {
    const named = (e.getAttribute("aria-labelledby") || "").split(/\s+/).filter(Boolean)
      .map((id) => document.getElementById(id)?.textContent || "").join(" ");
    return (named || e.getAttribute("aria-label") || "").trim();
  }
  const content = (e) => all("img[alt], svg[aria-label], svg > title", e)
    .reduce((text, one) => text + (one.alt || label(one) || one.textContent), visibleText(e)).trim();
  function visibleText(e) {
    return [...e.childNodes].map((n) => n.nodeType === 3 ? n.textContent
      : n.nodeType === 1 && !n.matches("[aria-hidden=true], svg") ? visibleText(n) : "").join("");
  }
  const nameless = (rule, selector, of) => all(selector).filter(isShown)
    .forEach((e) => { if (!label(e) && !of(e) && !e.title.trim()) fault(rule, e); });
  nameless("button-name", "button, [role=button], input[type=submit], input[type=button]", (e) => e.value || content(e));
  nameless("link-name", "a[href]", content);
  nameless("summary-name", "summary", content);
  nameless("label", "input:not([type=hidden], [type=submit], [type=button], [type=reset]), textarea", (e) => [...e.labels].some((l) => l.textContent.trim()));
  nameless("select-name", "select", (e) => [...e.labels].some((l) => l.textContent.trim()));
  nameless("frame-title", "iframe", () => "");
  nameless("region-name", "[role=region], [role=dialog]", () => "");
  for (const e of all("img").filter(isShown)) {
    if (!e.hasAttribute("alt") && !label(e) && e.getAttribute("role") !== "presentation") fault("image-alt", e);
  }
  for (const e of all("svg").filter(isShown)) {
    const title = e.querySelector(":scope > title");
    if (!label(e) && !title?.textContent.trim()) fault("svg-img-alt", e);
    else if (e.getAttribute("role") !== "img") fault("svg-img-role", e);
  }

  // Ids, roles and references -----------------------------------------------------------------

  const ids = new Map();
  for (const e of all("[id]")) {
    if (ids.has(e.id)) fault("duplicate-id", e);
    ids.set(e.id, e);
  }
  for (const attribute of ["aria-labelledby", "aria-describedby", "aria-controls", "for"]) {
    for (const e of all(`[${attribute}]`)) {
      const lost = e.getAttribute(attribute).split(/\s+/).filter((id) => id && !ids.has(id));
      if (lost.length) fault("aria-valid-attr-value", e, `names #${lost.join(" #")}`);
    }
  }
  const plain = "span, div, p, code, em, strong, b, i, pre, sub, sup, small, td > a:not([href])";
  for (const e of all(plain)) {
    if (label(e) && !e.getAttribute("role")) fault("aria-prohibited-attr", e);
  }
  for (const e of all("[tabindex]")) if (e.tabIndex > 0) fault("tabindex", e);
  for (const e of all("[aria-hidden=true]")) {
    if (e.matches("a[href], button, input, [tabindex]") || e.querySelector("a[href], button, input, [tabindex]")) fault("aria-hidden-focus", e);
  }
  for (const e of all("a[href], button, summary, [role=button], [role=img]")) {
    if (e.querySelector("a[href], button, input, select, textarea, [tabindex]")) fault("nested-interactive", e);
  }

  // Structure ---------------------------------------------------------------------------------

  for (const e of all("ul:not([role]), ol:not([role])")) {
    if ([...e.children].some((c) => !c.matches("li, script, template"))) fault("list", e);
  }
  for (const e of all("li")) if (!e.parentElement.matches("ul, ol, menu")) fault("listitem", e);
  for (const e of all("dl")) {
    if ([...e.children].some((c) => !c.matches("dt, dd, div, script, template"))) fault("definition-list", e);
  }
  for (const e of all("table")) {
    if (isShown(e) && !e.querySelector("th")) fault("table-header", e);
    for (const th of all("th", e)) if (!th.textContent.trim() && !label(th)) fault("empty-table-header", th);
  }
  for (const e of all("body *").filter(isShown)) {
    const style = getComputedStyle(e);
    const scrolls = (way, over) => /auto|scroll/.test(way) && over > 1;
    if (!scrolls(style.overflowX, e.scrollWidth - e.clientWidth) && !scrolls(style.overflowY, e.scrollHeight - e.clientHeight)) continue;
    if (e.tabIndex < 0 && !e.querySelector("a[href], button, input, select, textarea, summary, [tabindex='0']")) fault("scrollable-region-focusable", e);
  }

  // Contrast ----------------------------------------------------------------------------------

  const colour = (text) => {
    const parts = (text.match(/-?[\d.]+(e-?\d+)?/g) || [0, 0, 0, 0]).map(Number);
    const scale = text.startsWith("color(") ? 255 : 1;
    return [...parts.slice(0, 3).map((x) => x * scale), parts.length > 3 ? parts[3] : 1];
  };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const light = (c) => c.slice(0, 3).map((x) => x / 255)
    .map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4))
    .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
  const ratio = (one, other) => {
    const both = [light(one), light(other)];
    return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
  };
  const faded = (e) => {
    let opacity = 1;
    for (; e && e.nodeType === 1; e = e.parentElement) opacity *= Number(getComputedStyle(e).opacity);
    return opacity;
  };
  const behind = (e) => {
    const layers = [];
    for (; e && e.nodeType === 1; e = e.parentElement) {
      const c = colour(getComputedStyle(e).backgroundColor);
      if (c[3] > 0) layers.push(c);
      if (c[3] > 0.999) break;
    }
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]);
  };
  const check = (e, ink, papers) => {
    const least = Math.min(...papers.map((paper) => ratio(over(ink, paper), paper)));
    if (least < lowest) fault("color-contrast", e, least.toFixed(2));
  };
  const hasText = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  for (const e of all("body *")) {
    if (e.closest("svg") || e.matches("script, style, option") || !isShown(e) || !hasText(e)) continue;
    if (e.closest(":disabled")) continue;
    const style = getComputedStyle(e);
    const ink = colour(style.color);
    ink[3] *= faded(e);
    check(e, ink, [behind(e)]);
    const block = e.matches("a[href]") && style.display === "inline" ? e.parentElement : null;
    if (!block || !hasText(block) || style.textDecorationLine.includes("underline")) continue;
    const beside = colour(getComputedStyle(block).color);
    const differs = ["fontWeight", "fontStyle", "backgroundColor", "borderBottomWidth"]
      .some((p) => style[p] !== getComputedStyle(block)[p]);
    if (!differs && ratio(ink, beside) < 3) fault("link-in-text-block", e, ratio(ink, beside).toFixed(2));
  }
  for (const svg of all("svg").filter(isShown)) {
    const shapes = [];
    for (const e of all("rect, circle, text", svg)) {
      const box = e.getBoundingClientRect();
      const style = getComputedStyle(e);
      const fill = style.fill === "none" ? [0, 0, 0, 0] : colour(style.fill);
      fill[3] *= Number(style.fillOpacity) * faded(e);
      if (e.tagName !== "text") {
        shapes.push([box, fill]);
      } else if (isShown(e) && hasText(e)) {
        const y = box.top + box.height / 2;
        const at = [0.02, 0.25, 0.5, 0.75, 0.98].map((part) => box.left + box.width * part);
        check(e, fill, at.map((x) => shapes
          .filter(([b]) => b.left <= x && x <= b.right && b.top <= y && y <= b.bottom)
          .reduce((under, [, top]) => over(top, under), behind(svg))));
      }
    }
  }
  return found;
}
