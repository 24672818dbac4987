"use strict";

// Gives every query a button that copies it. Where the clipboard is closed, the query is selected.
for (const query of document.querySelectorAll("pre.query")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy SQL";
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(query.textContent);
      button.textContent = "Copied";
    } catch {
      query.closest("details").open = true;
      getSelection().selectAllChildren(query);
      button.textContent = "Press Ctrl-C";
    }
    setTimeout(() => { button.textContent = "Copy SQL"; }, 1500);
  });
  query.closest("details").before(button);
}
