// Scales as tabs. Without this script, and on paper, the tables of all scales stand below each other.
document.querySelectorAll(".tabs").forEach((tabs, number) => {
  const panels = [...tabs.querySelectorAll(":scope > .panel")];
  const list = document.createElement("div");
  list.className = "tab-list";
  list.setAttribute("role", "tablist");
  list.setAttribute("aria-label", tabs.dataset.label);
  const choose = (index, focus) => {
    panels.forEach((panel, position) => {
      const [button, chosen] = [list.children[position], position === index];
      panel.hidden = !chosen;
      button.setAttribute("aria-selected", chosen);
      button.tabIndex = chosen ? 0 : -1;
      if (chosen && focus) button.focus();
    });
  };
  panels.forEach((panel, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.id = `tab-${number}-${index}`;
    button.textContent = panel.dataset.tab;
    button.setAttribute("role", "tab");
    button.setAttribute("aria-controls", (panel.id = `panel-${number}-${index}`));
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", button.id);
    button.addEventListener("click", () => choose(index));
    button.addEventListener("keydown", (event) => {
      const last = panels.length - 1;
      const next = {
        ArrowRight: index === last ? 0 : index + 1, ArrowLeft: index ? index - 1 : last, Home: 0, End: last,
      }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      choose(next, true);
    });
    list.append(button);
  });
  tabs.prepend(list);
  choose(panels.length - 1);
});
