// Two results of a comparison over each other and a divider between them. Without this script only the crops are seen.
for (const slider of document.querySelectorAll(".slider")) {
  const views = [...slider.querySelectorAll("img[data-view]")];
  const stage = slider.querySelector(".stage");
  const range = slider.querySelector("input[type=range]");
  const selects = [...slider.querySelectorAll("select")];

  const divide = () => {
    const names = selects.map((select) => views[select.selectedIndex].alt);
    range.setAttribute("aria-valuetext", `${range.value}% ${names[0]}, ${100 - range.value}% ${names[1]}`);
    stage.style.setProperty("--divide", `${range.value}%`);
  };
  const show = () => {
    stage.replaceChildren(...selects.map((select) => views[select.selectedIndex].cloneNode()));
    const most = `${2 * views[0].getAttribute("width")}px`; // two screen pixels for each
    for (const element of [stage, range]) element.style.setProperty("max-width", most);
    divide();
  };
  const drag = (event) => {
    if (!(event.buttons & 1)) return;
    event.preventDefault();
    const box = stage.getBoundingClientRect();
    range.value = Math.round((100 * (event.clientX - box.left)) / box.width);
    divide();
  };

  selects.forEach((select) => select.addEventListener("change", show));
  range.addEventListener("input", divide);
  stage.addEventListener("pointerdown", drag);
  stage.addEventListener("pointermove", drag);
  show();
  slider.hidden = false;
}
