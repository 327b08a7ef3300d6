// Starts the module where a page wants it. The build appends this to wasm-bindgen's glue, so that a page loads one
// script: <script type="module" src=… integrity=…>. Each place says what it is and where the module lies:
//   <div data-freeside="panel|signin" data-wasm=… data-wasm-integrity=… [data-load="intent"]>
// `intent` waits for a touch, a click or the focus: whoever only reads loads no module. What the page itself has drawn
// there can be used at once: a click on one of its buttons is done as soon as the module is there (`data-wanted`).
let ready, pressed;
const start = async (place) => {
  if (place.dataset.started) return;
  place.dataset.started = "1";
  const { wasm, wasmIntegrity, freeside } = place.dataset;
  try {
    await (ready ??= __wbg_init({ module_or_path: fetch(wasm, { integrity: wasmIntegrity ?? "" }) }));
    await pressed;
    (freeside === "signin" ? mount_signin : mount_panel)(place);
  } catch (error) {
    ready = undefined;
    delete place.dataset.started;
    place.textContent = "This part of the page could not be loaded. Check your connection, then reload the page.";
    place.setAttribute("role", "alert");
    throw error;
  }
};
for (const place of document.querySelectorAll("[data-freeside]")) {
  if (place.dataset.load === "intent") {
    // A button must not go away between press and click.
    place.addEventListener("pointerdown", () => {
      pressed = new Promise((done) => {
        for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => setTimeout(done), { once: true });
      });
    }, { once: true });
    place.addEventListener("click", ({ target }) => {
      const deed = target.closest("[data-do]"), entry = place.querySelector("textarea");
      if (!deed || !entry) return;
      if (deed.dataset.do === "suggest") entry.value = deed.textContent;
      place.dataset.wanted = deed.dataset.do;
    }, { once: true });
    for (const sign of ["pointerenter", "pointerdown", "focusin", "click"]) {
      place.addEventListener(sign, () => start(place), { once: true });
    }
  } else {
    start(place);
  }
}
