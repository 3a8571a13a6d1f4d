// The dialog for a new operation: what it is to do, what that would mean, and its start.

import { call } from "./api.js";
import { showProblem } from "./dialogs.js";
import { $, append, count, rate, setText, showFacts, showList, whole } from "./view.js";

const dialog = $("compose");
const form = dialog.querySelector("form");

/** Whether the operator chose the name; until then it follows the kind. */
let isNamed = false;

/** Opens the dialog; `handleStart` is told once an operation was begun. */
export function compose(handleStart) {
  form.reset();
  isNamed = false;
  showKind();
  forget();
  form.onsubmit = (event) => {
    event.preventDefault();
    void submit(event.submitter?.value === "start", handleStart);
  };
  dialog.showModal();
}

/** Offers the nodes that there are; what is chosen stays chosen. */
export function showChoices({ nodes }) {
  const make = ({ name }) => {
    const label = document.createElement("label");
    const box = append(label, "input");
    box.type = "checkbox";
    box.value = name;
    append(label, "span", "", name);
    append(label, "span", "quiet");
    return label;
  };
  showList($("op-nodes"), nodes, ({ name }) => name, make, (label, { report }) => setText(label.lastElementChild, whole(report?.connections)));
}

async function submit(isStart, handleStart) {
  showProblem(dialog, "");
  const buttons = [$("op-plan"), $("op-start")];
  for (const button of buttons) button.disabled = true;
  try {
    const spec = specOf();
    if (isStart) {
      await call("PUT", `v1/operations/${encodeURIComponent($("op-id").value)}`, spec);
      dialog.close();
      handleStart();
    } else {
      showForecast(await call("POST", "v1/operations:plan", spec));
    }
  } catch (problem) {
    showProblem(dialog, problem.message);
    // What can be overridden is overridden by `force`; what cannot is refused again.
    $("op-force-line").hidden &&= !FORCEABLE.includes(problem.code);
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

/** The body of the call: only what was filled in, so that the rest has its defaults. */
function specOf() {
  const kind = $("op-kind").value;
  const pods = [...$("op-nodes").querySelectorAll(":checked")].map((box) => box.value);
  const text = (id) => (isAsked($(id)) && $(id).value.trim()) || undefined;
  const number = (id) => (text(id) === undefined ? undefined : Number(text(id)));
  const replicas = number("op-replicas");
  return {
    kind,
    targets: kind !== "rebalance" && pods.length ? { pods } : undefined,
    mode: text("op-mode"),
    target: replicas === undefined ? undefined : "scaleDown",
    replicas,
    then: text("op-then"),
    maxParallel: text("op-max-parallel"),
    maxRate: number("op-max-rate"),
    maxMoves: number("op-max-moves"),
    deadline: text("op-deadline"),
    reason: text("op-reason"),
    force: $("op-force").value.trim() === "force" || undefined,
  };
}

function showForecast({ waves, eta, moves, peakReconnectRate, headroom, nodes, guards, warnings }) {
  const place = $("forecast");
  place.hidden = false;
  place.replaceChildren();
  showFacts(append(place, "dl", "facts"), [
    ["Clients that move", whole(moves)],
    ["Takes at least", eta],
    ["Peak", rate(peakReconnectRate)],
    ["Waves", whole(waves.length)],
    ...Object.entries(headroom).map(([zone, { connections, capacity }]) => [
      zone ? `Room in ${zone}` : "Room afterwards", whole(capacity - connections), `of ${whole(capacity)}`,
    ]),
  ]);
  const warned = [...warnings, ...guards.filter(({ holds }) => !holds).map(({ guard, reading, bound }) => `Guard ${guard} does not hold: ${reading}, bound ${bound}`)];
  if (warned.length) {
    const list = append(place, "ul", "warnings");
    for (const warning of warned) append(list, "li", "", warning);
  }
  if (waves.length) {
    table(place, ["Wave", "Nodes", "Clients", "At least"], waves.map(({ wave, nodes: names, moves: clients, eta: takes }) => [whole(wave), names.join(", "), whole(clients), takes]));
  }
  const fuller = nodes.filter(({ connections, expected }) => expected !== connections);
  if (fuller.length) {
    table(place, ["Stays", "Clients now", "Then", "Takes"], fuller.map(({ node, connections, expected, capacity }) => [node, whole(connections), whole(expected), whole(capacity)]));
  }
  if (!moves) append(place, "p", "quiet", `Nothing would move: ${count(waves.length, "wave")}.`);
  place.scrollIntoView({ block: "nearest" });
}

function table(place, columns, rows) {
  const made = append(append(place, "div", "wide"), "table");
  const head = append(append(made, "thead"), "tr");
  for (const column of columns) append(head, "th", "", column).scope = "col";
  const body = append(made, "tbody");
  for (const row of rows) {
    const line = append(body, "tr");
    for (const cell of row) append(line, "td", "", cell);
  }
}

function showKind() {
  const kind = $("op-kind").value;
  for (const part of form.querySelectorAll("[data-for]")) part.hidden = !part.dataset.for.split(" ").includes(kind);
  if (!isNamed) $("op-id").value = `${kind}-${new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, "").replace("T", "-")}`;
}

/** What was planned or refused was about other values. */
function forget() {
  $("forecast").hidden = true;
  $("op-force-line").hidden = true;
  $("op-force").value = "";
  showProblem(dialog, "");
}

function isAsked(field) {
  return !field.closest("[data-for][hidden]");
}

$("op-kind").addEventListener("change", showKind);
$("op-id").addEventListener("input", () => (isNamed = true));
form.addEventListener("input", ({ target }) => target !== $("op-force") && forget());

/** Codes of refusals that `force` overrides. */
const FORCEABLE = ["min_serving", "no_headroom"];
