// Two crops of a comparison over each other and a divider between them. Without this script they stand side by side.
for (const slider of document.querySelectorAll(".slider")) {
  const crops = [...slider.closest(".comparison").querySelectorAll("img[data-label]")];
  const stage = slider.querySelector(".stage");
  const range = slider.querySelector("input[type=range]");
  const selects = [...slider.querySelectorAll("select")];

  const divide = () => {
    const names = selects.map((select) => crops[select.selectedIndex].dataset.label);
    range.setAttribute("aria-valuetext", `${range.value}% ${names[0]}, ${100 - range.value}% ${names[1]}`);
    stage.style.setProperty("--divide", `${range.value}%`);
  };
  const show = () => {
    const images = selects.map((select) => crops[select.selectedIndex].cloneNode());
    images.forEach((image) => image.removeAttribute("data-label"));
    stage.replaceChildren(...images);
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
