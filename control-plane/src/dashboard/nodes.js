// The table of nodes: phase, how full, handshakes in progress, buffers and traffic of each.

import { phasesInWords } from "./cluster.js";
import { $, append, button, bytes, count, duration, rate, setShare, setText, setTone, shareBar, showList, whole } from "./view.js";

/** `act` is told what an operator wants done: `{ name, is: "cordon" | "uncordon" }`. */
export function showNodes({ nodes, at }, act) {
  setText($("nodes-words"), nodes.length ? phasesInWords(nodes) : "");
  const byName = [...nodes].sort((one, other) => ORDER.compare(one.name, other.name));
  showList($("nodes"), byName, (node) => node.name, (node) => makeRow(node, act), (row, node) => fillRow(row, node, at));
}

function makeRow({ name }, act) {
  const row = document.createElement("tr");
  row.setAttribute("role", "row");
  const columns = [...document.querySelectorAll("#fleet thead th")].map((column) => column.textContent);
  const cells = columns.map((column, i) => {
    const cell = append(row, "td");
    cell.setAttribute("role", "cell");
    // Where the table is folded these stand in for the head.
    if (i > 0 && i < columns.length - 1) cell.dataset.column = column;
    return cell;
  });
  const [node, phase, connections, handshakes, messages, buffers, outboxes, actions] = cells;
  const parts = {
    name: append(node, "span", "who"), about: append(node, "small"),
    phase: append(phase, "span", "tag"), why: append(phase, "small"), modes: append(phase, "small", "modes"),
    connections: append(connections, "span"), of: append(connections, "small"), share: shareBar(connections),
    handshakes: append(handshakes, "span"), pace: append(handshakes, "small"), states: append(handshakes, "small"),
    messages: append(messages, "span"),
    buffers: append(buffers, "span"), free: append(buffers, "small"),
    outboxes: append(outboxes, "span"),
    cordon: button(actions, "Cordon", "small", () => act({ name, is: parts.cordon.value })),
  };
  parts.cordon.dataset.needs = "operate";
  rowParts.set(row, parts);
  return row;
}

function fillRow(row, node, now) {
  const parts = rowParts.get(row);
  const { report, reachable, operation, zone, revision, startedAt } = node;
  const load = report?.load ?? {};
  const version = report?.version ?? "";
  setText(parts.name, node.name);
  setText(parts.about, [version, revision !== version && revision, zone, startedAt && `up ${duration((now - startedAt) / 1000)}`].filter(Boolean).join(" · "));

  setText(parts.phase, reachable ? (report?.phase ?? "unknown") : "unreachable");
  setTone(parts.phase, reachable ? (PHASE_TONES[report?.phase] ?? "wait") : "bad");
  const silence = report ? `silent for ${duration(node.reportAgeMs / 1000)}` : "never answered";
  setText(parts.why, reachable ? whyNotReady(report, operation) : silence);
  setText(parts.modes, (report?.modes ?? []).map((mode) => mode.replaceAll("_", " ")).join(" · "));

  setText(parts.connections, whole(report?.connections));
  setText(parts.of, report ? `of ${whole(report.capacity)}` : "");
  const fullness = report ? report.connections / report.capacity : 0;
  setShare(parts.share, report?.connections ?? 0, report?.capacity ?? 0, fullness > 0.95 ? "bad" : fullness > 0.8 ? "wait" : "");
  setText(parts.handshakes, `${whole(load.handshaking)} open`);
  setText(parts.pace, `${rate(load.handshakes_per_second)} · p99 ${duration(load.handshake_p99_ms / 1000)}`);
  setText(parts.states, statesInWords(load.parser_states));
  setText(parts.messages, `${rate(load.messages_in_per_second)} / ${rate(load.messages_out_per_second)}`);
  setText(parts.buffers, bytes(load.buffer_pool_in_use_bytes));
  setText(parts.free, report ? `${bytes(load.buffer_pool_free_bytes)} free` : "");
  setText(parts.outboxes, bytes(load.outbox_bytes));

  const serves = report?.phase === "serving";
  parts.cordon.value = serves ? "cordon" : "uncordon";
  setText(parts.cordon, serves ? "Cordon" : "Uncordon");
  parts.cordon.setAttribute("aria-label", `${serves ? "Cordon" : "Uncordon"} ${node.name}`);
  // What an operation has taken out is given back by that operation.
  parts.cordon.disabled = !reachable || !report || report.shutting_down || (!serves && Boolean(operation) && !operation.startsWith("cordon"));
}

function whyNotReady(report, operation) {
  const away = report?.phase === "serving" ? "" : `${count(report?.remaining ?? 0, "client")} left`;
  // That it drains is said by its phase.
  const reasons = report?.ready === false ? report.reasons.filter((reason) => !reason.startsWith("draining")).join(", ") : "";
  return [operation, away, report?.shutting_down && "shutting down", reasons].filter(Boolean).join(" · ");
}

/** Most first; what nobody rests in is left out. */
function statesInWords(states = {}) {
  const present = Object.entries(states).filter(([, number]) => number > 0).sort(([, one], [, other]) => other - one);
  return present.map(([state, number]) => `${state.replaceAll("_", " ")} ${whole(number)}`).join(" · ");
}

const PHASE_TONES = { serving: "good", drained: "quiet" };
const ORDER = new Intl.Collator("en", { numeric: true });
/** The parts of each row that change. */
const rowParts = new WeakMap();
