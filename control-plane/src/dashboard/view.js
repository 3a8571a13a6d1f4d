// How things are shown, without knowing what they are: elements, lists that keep their rows, numbers in words.

export const $ = (id) => document.getElementById(id);

/** A new element at the end of its parent. Never markup: names and reasons come from strangers. */
export function append(parent, tag, className = "", text = "") {
  const child = document.createElement(tag);
  if (className) child.className = className;
  if (text) child.textContent = text;
  parent.append(child);
  return child;
}

/** Sets what differs only: what is in a live region would be read out again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setTone(element, tone) {
  if (element.dataset.tone !== tone) element.dataset.tone = tone;
}

/**
 * Makes the children of `parent` those of `items`, in their order. Whoever was there before stays the same element, so that
 * focus, open details and transitions survive. `make(item)` gives a new child, `update(child, item)` fills it.
 */
export function showList(parent, items, keyOf, make, update) {
  const before = (rows.get(parent) ?? rows.set(parent, new Map()).get(parent));
  const after = new Map();
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const row = before.get(key) ?? make(item);
    before.delete(key);
    after.set(key, row);
    update(row, item);
    if (row === place) place = place.nextElementSibling;
    else parent.insertBefore(row, place);
  }
  for (const row of before.values()) row.remove();
  rows.set(parent, after);
}

/** Pairs of name and value in a `<dl>`; `facts` are `[name, value, small?, tone?]`. */
export function showFacts(list, facts) {
  const make = () => {
    const pair = document.createElement("div");
    append(pair, "dt");
    const value = append(pair, "dd");
    append(value, "span");
    append(value, "small");
    return pair;
  };
  showList(list, facts, ([name]) => name, make, (pair, [name, value, small = "", tone = ""]) => {
    setText(pair.querySelector("dt"), name);
    setText(pair.querySelector("dd span"), value);
    setText(pair.querySelector("dd small"), small);
    setTone(pair.querySelector("dd"), tone);
  });
}

/** A bar as long as a share of 0 to 1. What it says is said in words beside it. */
export function shareBar(parent) {
  const bar = append(parent, "div", "share");
  bar.setAttribute("aria-hidden", "true");
  return bar;
}

export function setShare(bar, part, whole, tone = "") {
  const share = whole > 0 ? Math.min(Math.max(part / whole, 0), 1) : 0;
  bar.style.setProperty("--share", share.toFixed(4));
  setTone(bar, tone);
}

export function button(parent, label, className, handleClick) {
  const made = append(parent, "button", className, label);
  made.type = "button";
  made.addEventListener("click", handleClick);
  return made;
}

// Numbers in words

export function count(number, noun) {
  return `${whole(number)} ${noun}${number === 1 ? "" : "s"}`;
}

export function whole(number) {
  return Number.isFinite(number) ? WHOLE.format(number) : "–";
}

/** A rate: with a decimal where that says something. */
export function rate(number) {
  if (!Number.isFinite(number)) return "–";
  // A sum of nothing may be -0.
  number += 0;
  return `${number < 10 && !Number.isInteger(number) ? number.toFixed(1) : whole(Math.round(number))}/s`;
}

export function bytes(number) {
  if (!Number.isFinite(number)) return "–";
  let unit = 0;
  for (; number >= 1024 && unit < BYTES.length - 1; unit++) number /= 1024;
  return `${unit && number < 10 ? number.toFixed(1) : Math.round(number)} ${BYTES[unit]}`;
}

/** Of seconds. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  const hours = minutes / 60;
  return hours < 48 ? `${hours.toFixed(1)} h` : `${Math.round(hours / 24)} d`;
}

export function clock(date) {
  return date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

export function percent(part, of) {
  return of > 0 ? `${Math.round((100 * part) / of)} %` : "–";
}

/** The rows of each list, by key. */
const rows = new WeakMap();
const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const BYTES = ["B", "KiB", "MiB", "GiB", "TiB"];
