// Operations: those under way with their progress, node by node, and a table of those that ended.

import { $, append, button, clock, count, duration, rate, setShare, setText, setTone, shareBar, showList, whole } from "./view.js";

/** Remembers how far each operation is, of each document: those that come while nobody looks tell of the pace, too. */
export function noteProgress({ operations, at }) {
  for (const id of paces.keys()) if (operations.every((operation) => operation.id !== id)) paces.delete(id);
  for (const { id, counters } of operations) {
    if (!paces.has(id)) paces.set(id, new Pace());
    paces.get(id).note(at, counters.moved);
  }
}

/** Shows the last document that was noted. `act` is told what an operator wants done: `{ id, is: "change" | "pause" | "resume" | "abort" | "force" | "retry" }`; `details` has what `GET /v1/operations/{id}` said last, by id. */
export function showRunning({ operations, nodes, at }, details, act) {
  showList($("running"), operations, ({ id }) => id, (operation) => makeCard(operation, act), (card, operation) =>
    fillCard(card, operation, details.get(operation.id), nodes, at));
}

function makeCard({ id }, act) {
  const card = document.createElement("li");
  const head = append(card, "div", "op-head");
  const parts = { id: append(head, "h3", "id"), kind: append(head, "span", "tag"), state: append(head, "span", "quiet") };
  const buttons = append(head, "div", "op-buttons");
  for (const is of ["change", "pause", "resume", "force", "abort"]) {
    parts[is] = button(buttons, COMMANDS[is], is === "abort" || is === "force" ? "small danger" : "small", () => act({ id, is }));
    parts[is].dataset.needs = is === "force" ? "admin" : "operate";
    parts[is].setAttribute("aria-label", `${COMMANDS[is]} ${id}`);
  }
  parts.bar = shareBar(card);
  parts.words = append(card, "div", "op-words");
  parts.about = append(card, "p", "quiet");
  parts.conditions = append(card, "ul", "conditions");
  parts.steps = append(card, "ul", "steps");
  parts.steps.setAttribute("aria-label", `Nodes of ${id}`);
  cardParts.set(card, parts);
  return card;
}

function fillCard(card, operation, detail, nodes, now) {
  const parts = cardParts.get(card);
  const { counters, conditions, source } = operation;
  const isPaused = conditions.some(({ type }) => type === "Paused");
  const isAborting = conditions.some(({ type }) => type === "Aborting");
  setText(parts.id, operation.id);
  setText(parts.kind, FOREIGN[source] ? `${operation.kind}: ${FOREIGN[source]}` : operation.kind);
  setText(parts.state, [operation.state, operation.phase, isPaused && "paused", isAborting && "aborting"].filter(Boolean).join(" · "));

  // Nodes whose turn has not come count with what they have now.
  const waiting = (detail?.steps ?? []).filter(({ phase }) => phase === "Waiting").map(({ node }) => node);
  const later = nodes.reduce((sum, { name, report }) => sum + (waiting.includes(name) ? (report?.connections ?? 0) : 0), 0);
  const left = counters.remaining + (operation.kind === "rebalance" ? 0 : later);
  const perSecond = paces.get(operation.id).perSecond();
  setShare(parts.bar, counters.moved, counters.moved + left, isPaused || isAborting ? "wait" : "");
  showWords(parts.words, [
    [`${whole(counters.moved)} of ${whole(counters.moved + left)} moved`],
    [`${whole(counters.resumed)} back`],
    [`${whole(counters.displaced)} away`],
    [`${whole(counters.lost)} not back in time`, counters.lost > 0 ? "bad" : ""],
    counters.forced > 0 && [`${whole(counters.forced)} forced`, "wait"],
    counters.repeats > 0 && [`${whole(counters.repeats)} moved twice`, "wait"],
    [`nodes ${whole(counters.nodesOver)} of ${whole(counters.nodes)}`],
    [rate(perSecond)],
    !isPaused && left > 0 && perSecond > 0 && [`about ${duration(left / perSecond)} left`],
    detail?.deadlineAt > now && [`deadline in ${duration((detail.deadlineAt - now) / 1000)}`],
  ].filter(Boolean));
  setText(parts.about, [detail?.message, detail?.spec.reason, detail?.requestedBy && `asked for by ${detail.requestedBy}`].filter(Boolean).join(" · "));

  showList(parts.conditions, conditions, ({ type }) => type, makeCondition, (row, { type, reason, message, since }) => {
    setText(row.children[0], reason && reason !== type ? `${type} (${reason})` : type);
    setText(row.children[1], ` ${message || ""} since ${clock(new Date(since))}`);
  });
  showList(parts.steps, detail?.steps ?? [], ({ node }) => node, makeStep, fillStep);

  const isOurs = !FOREIGN[source];
  parts.change.hidden = !detail || isAborting;
  parts.pause.hidden = !isOurs || isPaused || isAborting;
  parts.resume.hidden = !isOurs || !isPaused || isAborting;
  parts.abort.hidden = !isOurs || isAborting;
  parts.force.hidden = !conditions.some(({ type }) => type === "Blocked" || type === "AgentUnreachable");
}

function makeCondition() {
  const row = document.createElement("li");
  append(row, "b");
  append(row, "span");
  return row;
}

function makeStep() {
  const row = document.createElement("li");
  const line = append(row, "div", "line");
  append(line, "span", "who");
  append(line, "span", "quiet");
  shareBar(row);
  return row;
}

function fillStep(row, { node, wave, phase, moved, remaining }) {
  const [who, what] = row.firstElementChild.children;
  setText(who, node);
  setText(what, phase === "Waiting" ? `waits: wave ${wave}` : `${phase.toLowerCase()} · ${whole(moved)}${remaining ? ` of ${whole(moved + remaining)}` : ""} moved`);
  const isOver = phase === "Done" || phase === "Drained" || phase === "Replacing";
  setShare(row.lastElementChild, isOver ? 1 : moved, isOver ? 1 : moved + remaining, phase === "Lost" ? "bad" : isOver ? "good" : "");
}

/** Parts of a line, each with a tone. */
function showWords(line, words) {
  showList(line, words.map((word, place) => ({ place, word })), ({ place }) => place, () => document.createElement("span"), (part, { word: [text, tone = ""] }) => {
    setText(part, text);
    setTone(part, tone);
  });
}

export function showEnded(ended, act) {
  $("past").hidden = ended.length === 0;
  const make = ({ id }) => {
    const row = document.createElement("tr");
    for (let column = 0; column < 6; column++) append(row, "td");
    row.firstElementChild.className = "id";
    const retry = button(append(row, "td"), "Retry", "small", () => act({ id, is: "retry" }));
    retry.dataset.needs = "operate";
    retry.setAttribute("aria-label", `Retry ${id}`);
    return row;
  };
  showList($("ended"), ended, ({ id }) => id, make, (row, operation) => {
    const { id, spec, state, message, counters, source } = operation;
    const finished = new Date(operation.finishedAt);
    const seconds = (operation.finishedAt - (operation.startedAt ?? operation.createdAt)) / 1000;
    const cells = [
      id, spec.kind, [state, message].filter(Boolean).join(": "), `${finished.toLocaleDateString()} ${clock(finished)}, took ${duration(seconds)}`,
      `${count(counters.moved, "client")}, ${whole(counters.resumed)} back`, [operation.requestedBy, FOREIGN[source] && source].filter(Boolean).join(", "),
    ];
    cells.forEach((text, column) => setText(row.children[column], text));
    setTone(row.children[2], ENDING_TONES[state] ?? "");
    row.querySelector("button").hidden = state === "Succeeded" || Boolean(FOREIGN[source]);
  });
}

/** How fast a count grows, over the last seconds. */
class Pace {
  #points = [];

  note(at, value) {
    const points = this.#points;
    if (points.at(-1)?.at === at) points.pop();
    points.push({ at, value });
    while (points.length > 2 && points[0].at < at - PACE_SPAN_MS) points.shift();
  }

  perSecond() {
    const [first, last] = [this.#points[0], this.#points.at(-1)];
    return last.at > first.at ? Math.max((1000 * (last.value - first.value)) / (last.at - first.at), 0) : 0;
  }
}

export const COMMANDS = { change: "Change…", pause: "Pause", resume: "Resume", force: "Force…", abort: "Abort…", retry: "Retry" };
/** Where an operation comes from that was not asked for here. */
const FOREIGN = {
  kubectl: "a pod was deleted", hpa: "scaled down", rollout: "by its Deployment", node: "its machine is emptied", signal: "told to end",
};
const ENDING_TONES = { Succeeded: "good", Failed: "bad", Aborted: "wait" };
const PACE_SPAN_MS = 15_000;
/** How fast each of those under way moves clients, by id. */
const paces = new Map();
/** The parts of each card that change. */
const cardParts = new WeakMap();
