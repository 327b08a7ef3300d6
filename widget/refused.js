// The frame without a panel: it tells the page around that it has arrived, and can be closed.
const { host } = document.querySelector("main").dataset;
const tell = (what) => parent.postMessage({ freeside: what }, host);
if (host) {
  document.querySelector("[data-do=close]").addEventListener("click", () => tell("close"));
  addEventListener("keydown", ({ key }) => key === "Escape" && tell("close"));
  tell("ready");
}
