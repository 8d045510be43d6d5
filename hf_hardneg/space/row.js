// One row: buttons and keys. `element`, `trigger`, `watch` are given by Gradio.
const typing = (target) => target && (target.isContentEditable ||
  /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
const cards = () => Array.from(element.querySelectorAll("[data-hn-card]"));
const shown = () => element.offsetParent !== null;
const number = () => element.querySelector("[data-hn-row]")?.dataset.hnRow;
const folds = () => Array.from(element.querySelectorAll("details"));
let last = null, drawn = number(), unfolded = [];

const say = (card, label) => {
  last = Number(card.dataset.hnCard);
  const note = card.querySelector("[data-hn-note]");
  const row = element.querySelector("[data-hn-row]");
  unfolded = folds().map((one) => one.open);
  trigger("click", { row: Number(row.dataset.hnRow), place: last, label, note: note ? note.value : "" });
};
const written = (card) => {  // whether the note of a card is another than the one that is kept
  const note = card.querySelector("[data-hn-note]");
  return note !== null && note.value !== note.defaultValue;
};
const choose = (card, label) => {  // what was said is taken back by saying it again
  const button = card.querySelector(`[data-hn-label="${label}"]`);
  say(card, button.getAttribute("aria-pressed") === "true" && !written(card) ? "" : label);
};
const press = (name) => {
  const button = document.getElementById(name);
  if (button) (button.tagName === "BUTTON" ? button : button.querySelector("button"))?.click();
};
const focus = (place) => {
  const all = cards();
  if (all.length) all[Math.max(0, Math.min(place, all.length - 1))].focus();
};
const address = () => {
  const row = element.querySelector("[data-hn-link]");
  if (!row || !shown()) return;
  const parts = new URLSearchParams(row.dataset.hnLink);
  const theme = new URLSearchParams(location.search).get("__theme");  // Gradio's light or dark
  if (theme) parts.set("__theme", theme);
  history.replaceState(null, "", "?" + parts);
};

element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-hn-label]");
  if (button) choose(button.closest("[data-hn-card]"), button.dataset.hnLabel);
});
let choosing = null;  // the card of the button that takes the focus from a note: that one says it
element.addEventListener("pointerdown", (event) => {
  const button = event.target.closest("[data-hn-label]");
  choosing = button ? button.closest("[data-hn-card]") : null;
}, true);
element.addEventListener("change", (event) => {  // a note written after the label goes with it
  const note = event.target.closest("[data-hn-note]");
  if (!note) return;
  const card = note.closest("[data-hn-card]");
  if (card === choosing) return;
  const pressed = card.querySelector('[data-hn-label][aria-pressed="true"]');
  if (pressed) say(card, pressed.dataset.hnLabel);
});

const KEYS = { f: "false_negative", t: "true_negative", u: "unsure", b: "bad_query" };
document.addEventListener("keydown", (event) => {
  choosing = null;
  if (!element.isConnected || !shown() || event.ctrlKey || event.metaKey || event.altKey) return;
  if (typing(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.target.closest?.("[role=tablist]")) return;
  const inside = document.activeElement?.closest?.("[data-hn-card]");
  const place = inside ? Number(inside.dataset.hnCard) : -1;
  if (event.key === "n" || event.key === "ArrowRight") press("hn-next");
  else if (event.key === "p" || event.key === "ArrowLeft") press("hn-previous");
  else if (event.key === "j") focus(place + 1);
  else if (event.key === "k") focus(place - 1);
  else if (/^[1-9]$/.test(event.key)) focus(Number(event.key) - 1);
  else if (KEYS[event.key]) {
    const card = inside || cards()[0];
    if (card) choose(card, KEYS[event.key]);
  } else return;
  event.preventDefault();
});
// Gradio changes the page in place: fields keep what was written into them, folds lose it.
const settle = () => {
  if (drawn === number()) {
    folds().forEach((one, place) => { if (unfolded[place]) one.open = true; });
    return;
  }
  drawn = number();
  unfolded = [];
  element.querySelectorAll("[data-hn-note]").forEach((note) => { note.value = note.defaultValue; });
};
watch("value", () => {
  address();
  settle();
  if (last !== null) focus(last);
  last = null;
});
address();
