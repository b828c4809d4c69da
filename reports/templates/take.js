// Copy buttons for texts that the page holds. Without this script, or where a browser refuses, the text can be selected.
for (const take of document.querySelectorAll(".take")) {
  const bar = document.createElement("div");
  bar.className = "copies";
  const told = document.createElement("output");
  for (const source of take.querySelectorAll("details.source")) {
    const text = source.querySelector("pre");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `Copy ${source.dataset.copy}`;
    button.setAttribute("aria-label", `Copy ${text.getAttribute("aria-label")}`);
    button.addEventListener("click", async () => {
      told.textContent = "";
      try {
        await navigator.clipboard.writeText(text.textContent);
        told.textContent = `${source.dataset.copy} copied.`;
      } catch {
        source.open = true;
        getSelection().selectAllChildren(text);
        text.focus();
        told.textContent = "This browser does not let the page copy. The text is selected: press Ctrl+C, or ⌘C on a Mac.";
      }
    });
    bar.append(button);
  }
  bar.append(told);
  take.prepend(bar);
}
