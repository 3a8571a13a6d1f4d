// What the demo page shows, without knowing why: rows of the talk, badges, the line under the title, numbers in words.

export const $ = (id) => document.getElementById(id);

export function messageRow({ text, name, at }, { isMine, isReplayed }) {
  const row = document.createElement("li");
  row.classList.toggle("mine", isMine);
  row.append(badge(name));
  const by = append(row, "div", "by");
  append(by, "b", "", isMine ? "You" : name);
  const time = new Date(Number.isFinite(at) ? at : Date.now());
  append(by, "time", "", ` · ${time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}`);
  append(by, "span", "took");
  if (isReplayed) append(by, "span", "replayed", " · replayed");
  append(row, "div", "text", text);
  return row;
}

export function note(text, tone = "") {
  const row = document.createElement("li");
  row.className = `note ${tone}`;
  row.textContent = text;
  list(row);
}

/** Puts a row at the end of the talk, or moves it there. Who reads further up is left there, but for what they say. */
export function list(row) {
  const messages = $("messages");
  const isAtEnd = messages.scrollHeight - messages.scrollTop - messages.clientHeight < 60;
  messages.append(row);
  while (messages.children.length > ROWS_MAX) messages.firstElementChild.remove();
  if (isAtEnd || row.classList.contains("mine")) messages.scrollTop = messages.scrollHeight;
}

/** What the line under the title says. The news are read out to who cannot see them, so they are only set where they differ. */
export function tell(tone, news, details) {
  $("line").dataset.tone = tone;
  setText($("news"), news);
  setText($("details"), details);
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function showLatency(times) {
  $("latency").textContent = times.length ? milliseconds(times.at(-1)) : "–";
  const top = Math.max(...times, 1);
  const points = times.map((time, i) => `${63 - (times.length - 1 - i) * LATENCY_STEP},${22 - (20 * time) / top}`);
  $("spark").setAttribute("points", points.join(" "));
}

export function append(parent, tag, className, text = "") {
  const child = document.createElement(tag);
  if (className) child.className = className;
  // Never markup: the text comes from strangers.
  child.textContent = text;
  parent.append(child);
  return child;
}

export function badge(name) {
  const mark = document.createElement("span");
  mark.className = "badge";
  mark.textContent = [...name][0]?.toUpperCase() ?? "?";
  mark.setAttribute("aria-hidden", "true");
  mark.style.setProperty("--hue", hueOf(name));
  return mark;
}

export function count(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

export function milliseconds(ms) {
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}

export function seconds(ms) {
  return ms < 9950 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`;
}

function hueOf(text) {
  return [...text].reduce((sum, char) => (sum * 31 + char.codePointAt(0)) % 360, 7);
}

/** Older ones leave the talk. */
const ROWS_MAX = 300;

/** Latencies that the curve has room for, and how far apart they are in it. */
export const LATENCIES_MAX = 20;
const LATENCY_STEP = 62 / (LATENCIES_MAX - 1);
