// Interaction with the page. Without this script, all content is visible.
"use strict";

// Colours: the reader's choice holds while the page is open.
{
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "theme";
  button.textContent = "Dark";
  const show = () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : system.matches;
    button.setAttribute("aria-pressed", dark);
    return dark;
  };
  button.addEventListener("click", () => {
    root.dataset.theme = show() ? "light" : "dark";
    show();
  });
  system.addEventListener("change", show);
  show();
  document.querySelector("nav").append(button);
}

// Details: open where a link leads into them or to their section, and on paper.
{
  const open = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let place = target.closest("details"); place; place = place.parentElement.closest("details")) place.open = true;
    if (target.matches("h2")) target.closest("section").querySelectorAll(":scope > details").forEach((details) => (details.open = true));
    target.scrollIntoView();
  };
  addEventListener("hashchange", open);
  for (const link of document.querySelectorAll("a[href^='#']")) {
    link.addEventListener("click", () => link.hash === location.hash && open());
  }
  open();

  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((details) => (details.open = true));
  });
  addEventListener("afterprint", () => closed.forEach((details) => (details.open = false)));
}

// Tables sort by a click on a heading: up, down, as they were. Groups of rows stay together.
{
  const MISSING = new Set(["", "–", "– to –", "running", "failed", "stale", "damaged", "pending"]);
  const NUMBER = /^[×+−-]?(?:∞|[\d,]*\.?\d+)(?=K?$|\s)/;

  // The first text of a cell: of PSNR above SSIM it is the PSNR, and neither marks nor footnotes count.
  const text = (cell) => {
    const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT, (node) =>
      node.data.trim() ? NodeFilter.FILTER_ACCEPT : NodeFilter.FILTER_SKIP);
    return texts.nextNode() ? texts.currentNode.data.trim() : "";
  };
  const number = (words) => {
    const found = NUMBER.exec(words);
    return found ? Number(found[0].replace(/[×+,]/g, "").replace("−", "-").replace("∞", "Infinity")) : NaN;
  };

  // The heading of each column: the lowest cell of the head that spans this column alone.
  const headings = (table) => {
    const grid = [...table.tHead.rows].map(() => []);
    [...table.tHead.rows].forEach((row, y) => {
      let x = 0;
      for (const cell of row.cells) {
        while (grid[y][x]) x += 1;
        for (let down = 0; down < cell.rowSpan; down += 1)
          for (let right = 0; right < cell.colSpan; right += 1) grid[y + down][x + right] = cell;
        x += cell.colSpan;
      }
    });
    return grid.at(-1);
  };

  const sort = (table, column, direction) => {
    for (const body of table.tBodies) {
      const rows = [...body.rows].sort((one, other) => one.position - other.position);
      const keys = new Map(rows.map((row) => [row, text(row.cells[column])]));
      const numeric = [...keys.values()].every((key) => MISSING.has(key) || !isNaN(number(key)));
      const compare = (one, other) => {
        const [a, b] = [keys.get(one), keys.get(other)];
        if (MISSING.has(a) || MISSING.has(b)) return MISSING.has(a) - MISSING.has(b); // missing ones last, both ways
        if (!numeric) return direction * a.localeCompare(b, "en", { numeric: true });
        return number(a) === number(b) ? 0 : direction * (number(a) - number(b));
      };
      body.append(...(direction ? rows.sort(compare) : rows));
    }
  };

  for (const table of document.querySelectorAll("main table")) {
    if (!table.tHead || [...table.tBodies].every((body) => body.rows.length < 2)) continue;
    for (const body of table.tBodies) [...body.rows].forEach((row, position) => (row.position = position));
    const heads = headings(table);
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const next = { ascending: "descending", descending: "none" }[head.getAttribute("aria-sort")] ?? "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        if (next !== "none") head.setAttribute("aria-sort", next);
        sort(table, column, { ascending: 1, descending: -1, none: 0 }[next]);
      });
    });
  }
}

// Headings of a table stick to the window, unless it is wider than its frame: then they stick to the frame, which scrolls.
{
  const watch = new ResizeObserver((changes) => {
    for (const { target: frame } of changes) frame.classList.toggle("fits", frame.firstElementChild.offsetWidth <= frame.clientWidth);
  });
  document.querySelectorAll(".scroll:has(> table)").forEach((frame) => watch.observe(frame));
}

// Large tables can be filtered by words, all of which a row must hold.
{
  const LARGE = 8;
  for (const table of document.querySelectorAll("main table")) {
    const rows = [...table.tBodies].flatMap((body) => [...body.rows]);
    const frame = table.closest(".scroll");
    if (!frame || rows.length < LARGE) continue;
    const label = document.createElement("label");
    label.className = "filter";
    const input = document.createElement("input");
    input.type = "search";
    input.setAttribute("aria-label", `Filter rows: ${frame.getAttribute("aria-label")}`);
    const left = document.createElement("output");
    label.append("Filter rows ", input);
    const line = document.createElement("div");
    line.className = "filter-line";
    line.append(label, left);
    frame.before(line);
    const content = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/);
      for (const row of rows) row.hidden = !words.every((word) => content.get(row).includes(word));
      const count = rows.filter((row) => !row.hidden).length;
      left.textContent = input.value.trim() ? `${count} of ${rows.length} rows` : "";
    });
  }
}

// Points of a figure show their names on hover and on keyboard focus: Tab stops once, arrows move between points.
{
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  tip.setAttribute("aria-hidden", "true"); // readers have the point's own name
  document.body.append(tip);
  let shown = [];
  const hide = () => {
    tip.hidden = true;
    shown = [];
  };
  const show = (...points) => {
    const [point] = (shown = points);
    if (!point) return hide();
    tip.textContent = points.map((one) => one.getAttribute("aria-label")).join("\n");
    tip.hidden = false;
    const box = point.getBoundingClientRect();
    const left = box.left + box.width / 2 - tip.offsetWidth / 2;
    tip.style.left = `${Math.max(4, Math.min(left, document.documentElement.clientWidth - tip.offsetWidth - 4))}px`;
    const above = box.top - tip.offsetHeight - 8;
    tip.style.top = `${above < 0 ? box.bottom + 8 : above}px`;
  };
  for (const figure of document.querySelectorAll("figure svg")) {
    const titles = [...figure.querySelectorAll("g[role=img] > title")];
    const points = titles.map((title) => {
      const point = title.parentElement;
      point.setAttribute("aria-label", title.textContent);
      title.remove(); // else the browser shows a second one
      return point;
    });
    figure.addEventListener("pointerleave", hide);
    figure.addEventListener("pointermove", (event) => {
      const below = document.elementsFromPoint(event.clientX, event.clientY).map((part) => part.closest("[aria-label]"));
      show(...new Set(below.filter((part) => points.includes(part)))); // where points overlap, all of them
    });
    points.sort((one, other) => one.getBoundingClientRect().left - other.getBoundingClientRect().left);
    points.forEach((point, position) => {
      point.setAttribute("tabindex", position ? -1 : 0);
      point.addEventListener("focus", () => show(point));
      point.addEventListener("blur", hide);
      point.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
        const next = step && points[position + step];
        if (step) event.preventDefault();
        if (!next) return;
        point.setAttribute("tabindex", -1);
        next.setAttribute("tabindex", 0);
        next.focus();
      });
    });
  }
  addEventListener("keydown", (event) => event.key === "Escape" && hide());
  addEventListener("scroll", () => show(...shown), { passive: true, capture: true });
}
