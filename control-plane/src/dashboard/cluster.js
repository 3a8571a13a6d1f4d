// The cluster in numbers: whether clients are well served, who leads, how full it is, and what of the reconnect budget is in use.

import { $, bytes, count, percent, rate, setText, setTone, showFacts, showList, whole } from "./view.js";

export function showCluster(health) {
  const { servesWell, complaints, leader, nodes } = health;
  setText($("verdict"), servesWell ? "Clients are well served" : "Clients are not well served");
  setTone($("verdict"), servesWell ? "good" : "bad");
  const bySeverity = [...complaints].sort((one, other) => other.severe - one.severe);
  showList($("reasons"), bySeverity, (complaint) => complaint.code + complaint.message, () => document.createElement("li"), (row, { message, severe }) => {
    setText(row, message);
    setTone(row, severe ? "bad" : "wait");
  });

  const load = (key) => nodes.reduce((sum, { report }) => sum + (report?.load[key] ?? 0), 0);
  showFacts($("facts"), [
    ["Connections", whole(health.connections), `of ${whole(health.capacity)} · ${percent(health.connections, health.capacity)}`],
    ["Nodes ready", `${whole(health.nodesReady)} of ${whole(nodes.length)}`],
    ["Handshakes open", whole(load("handshaking")), `${rate(load("handshakes_per_second"))} done`],
    ["Messages in", rate(load("messages_in_per_second"))],
    ["Messages out", rate(load("messages_out_per_second")), `${bytes(load("outbox_bytes"))} waiting`],
    ["Store", health.store, "", BACKEND_TONES[health.store]],
    ["Bus", health.bus, "", BACKEND_TONES[health.bus]],
    ["Leader", leader.name ?? "none", `epoch ${leader.epoch}${leader.isSelf ? " · this replica" : ""}`, leader.name ? "" : "bad"],
  ]);
}

/** Remembers a point of the curve, of each document: those that come while nobody looks are part of it, too. */
export function noteBudget({ at, budget }) {
  points.push({ at, used: budget.used });
  while (points[0].at < at - SPAN_MS || points.length > POINTS_MAX) points.shift();
}

/** Shows the last document that was noted. */
export function showBudget({ at, budget }) {
  setText($("budget-words"), budget.slowed ? "Slowed: the nodes that take clients are busy" : "How many clients may be moved a second, in the whole cluster");
  showFacts($("budget-facts"), [
    ["Moving now", rate(budget.used), `${rate(budget.allowed)} allowed`],
    ["Budget", rate(budget.rate), budget.slowed ? `of ${rate(budget.maxRate)}` : "", budget.slowed ? "wait" : ""],
    ["Away, not yet back", whole(budget.displaced), `of ${whole(budget.maxDisplaced)}`, budget.displaced >= budget.maxDisplaced ? "wait" : ""],
  ]);

  const peak = Math.max(...points.map(({ used }) => used));
  const top = Math.max(peak, budget.rate, 1) * 1.08;
  const x = (then) => (WIDTH * (1 - (at - then) / SPAN_MS)).toFixed(1);
  const y = (value) => (HEIGHT * (1 - value / top)).toFixed(1);
  const curve = points.map((point) => `${x(point.at)},${y(point.used)}`).join(" ");
  $("spark-line").setAttribute("points", curve);
  $("spark-area").setAttribute("points", `${x(points[0].at)},${HEIGHT} ${curve} ${WIDTH},${HEIGHT}`);
  for (const end of ["y1", "y2"]) $("spark-limit").setAttribute(end, y(budget.rate));
  setText($("spark-words"), `Clients moved a second, last ${SPAN_MS / 60_000} minutes. Peak: ${rate(peak)}. Dashed: the budget.`);
}

/** What the words in a list's head say of how many nodes are in which phase. */
export function phasesInWords(nodes) {
  const phases = new Map();
  for (const { report, reachable } of nodes) {
    const phase = reachable && report ? report.phase : "unreachable";
    phases.set(phase, (phases.get(phase) ?? 0) + 1);
  }
  return [count(nodes.length, "node"), ...[...phases].map(([phase, number]) => `${number} ${phase}`)].join(" · ");
}

const BACKEND_TONES = { up: "", slow: "wait", down: "bad", unknown: "wait" };

/** The curve's points, oldest first. */
const points = [];
const SPAN_MS = 120_000;
const POINTS_MAX = 600;
/** Of the `viewBox` in dashboard.html. */
const WIDTH = 240;
const HEIGHT = 56;
