// One pair to be judged: buttons and keys. `element`, `trigger`, `watch` are given by Gradio.
const writing = (target) => target && (target.isContentEditable ||
  /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
const here = () => element.offsetParent !== null && element.querySelector("[data-hn-item]");

const answer = (label) => {
  const item = here();
  if (!item) return;
  const note = item.querySelector("[data-hn-note]");
  trigger("click", { item: Number(item.dataset.hnItem), label, note: note ? note.value : "" });
};

element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.hnLabel) answer(button.dataset.hnLabel);
  if (button.dataset.hnGo) trigger("click", { go: Number(button.dataset.hnGo) });
});

const ANSWERS = { r: "false_negative", i: "true_negative", u: "unsure", b: "bad_query" };
document.addEventListener("keydown", (event) => {
  if (!element.isConnected || !here() || event.ctrlKey || event.metaKey || event.altKey) return;
  if (writing(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.target.closest?.("[role=tablist]")) return;
  if (ANSWERS[event.key]) answer(ANSWERS[event.key]);
  else if (event.key === "n" || event.key === "ArrowRight") trigger("click", { go: 1 });
  else if (event.key === "p" || event.key === "ArrowLeft") trigger("click", { go: -1 });
  else return;
  event.preventDefault();
});

// Gradio changes the page in place: what was written for one pair would stand at the next.
const shown = () => element.querySelector("[data-hn-item]")?.dataset.hnItem;
let drawn = shown();
watch("value", () => {
  if (drawn === shown()) return;
  drawn = shown();
  const note = element.querySelector("[data-hn-note]");
  if (note) note.value = note.defaultValue;
  const text = element.querySelector(".hn-tall");
  if (text) text.scrollTop = 0;
});
