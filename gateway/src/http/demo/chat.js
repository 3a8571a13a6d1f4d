// The demo page: a small chat on the TypeScript client (clients/js), which does all of the connecting, resuming and
// catching up. What is here shows it: rooms, people, messages, and a button that cuts the connection.

import { Line } from "./line.js";
import { showJoin, showLeave, showMembers } from "./people.js";
import { TidegateClient } from "./tidegate.min.js";
import { $, LATENCIES_MAX, append, count, list, messageRow, milliseconds, note, seconds, setText, showLatency, tell } from "./view.js";

const ROOMS = ["lobby", "harbour", "tea"];
const NAMES = ["Avocet", "Curlew", "Dunlin", "Eider", "Fulmar", "Gannet", "Heron", "Kittiwake", "Osprey", "Petrel", "Plover", "Puffin", "Tern"];
const HISTORY_SHOWN = 50;
const PROBE_EVERY_MS = 2_000;
const REFUSALS = {
  unauthorized: "This gateway lets in only people with a token. The demo needs “[auth] anonymous = true”, as in config/dev.toml.",
  forbidden: "This gateway does not let anonymous people into its rooms; config/dev.toml shows how it would.",
  unknown_channel: "This gateway has no rooms: the demo needs a section “[namespaces.room]”, as in config/dev.toml.",
};

/** Tells this window's messages from those of namesakes: to the gateway all anonymous people are the same user. */
const me = crypto.getRandomValues(new Uint32Array(2)).join("-");
/** Links to the rooms that this window knows, by name. */
const links = new Map();
/** Own messages that have not come back yet, by their number: `{ row, sentAt }`. */
const underway = new Map();
let lastNumber = 0;
let client;
let room;
/** While the past of the room comes in: `{ isReturn, messages }`. */
let past;
/** When the connection was lost, and how; until it is back. */
let loss;
let latencies = [];
let countDown = 0;

const line = new Line((leftMs) => {
  if (leftMs === undefined) client.reconnect();
  else $("cut").textContent = `Plug it in again (${Math.ceil(leftMs / 1000)} s)`;
});

// Sessions and rooms

/** Begins a session. Its name is what others see, and is told when it begins: a new name needs a new one. */
function begin() {
  const previous = client;
  const begun = (client = new TidegateClient("ws", { info: { name: ownName() }, name: "tidegate-demo", webSocket: line.Socket }));
  room = loss = undefined;
  void previous?.close();
  begun.on("state", (change) => begun === client && showState(change));
  // A failure is told by the state.
  begun.connect().catch(() => {});
  enter();
}

function enter() {
  const name = roomName();
  const left = room;
  const entered = client.subscribe(`room:${name}`, { last: HISTORY_SHOWN });
  if (entered === left) return;
  room = entered;
  past = undefined;
  underway.clear();
  // Where the connection is lost meanwhile, the next one begins without the room.
  left?.unsubscribe().catch(() => {});
  $("messages").replaceChildren();
  showRoom(name);
  showMembers([]);

  let visits = 0;
  const whileHere = (handle) => (event) => entered === room && handle(event);
  entered.on("message", whileHere(receive));
  entered.on("join", whileHere((who) => showJoin(who, client.session?.session)));
  entered.on("leave", whileHere(showLeave));
  entered.on("subscribed", whileHere(({ recovered }) => void catchUp(visits++ > 0, recovered)));
  entered.on("gap", whileHere(({ reason }) => {
    // A gap in what a return brings is told with the return.
    if (reason !== "recovery") note("this window was too slow: messages are missing here", "wait");
  }));
  entered.on("unsubscribed", whileHere(({ error }) => {
    if (error && client.state !== "closed") tell("bad", "Not in this room.", REFUSALS[error.code] ?? error.message);
  }));
}

/** The past of the room comes in, all of it before the answer to a later command. */
async function catchUp(isReturn, recovered) {
  const [entered, mine, lost] = [room, (past = { isReturn, messages: 0 }), loss];
  loss = undefined;
  try {
    const found = await entered.presence();
    if (mine === past) showMembers(found, client.session?.session);
  } catch (error) {
    if (mine === past) note(`Who is here is not known: ${error.message}`, "wait");
  }
  if (mine !== past) return;
  past = undefined;
  if (!isReturn) note(`You are in # ${roomName()} as ${ownName()}${mine.messages ? ` · ${count(mine.messages, "message")} from before` : ""}`);
  if (lost) showReturn(lost, isReturn ? recovered : undefined, mine.messages);
  else showSession();
}

function showReturn({ at, ending }, recovered, replayed) {
  const counted = `${count(replayed, "message")} replayed`;
  const session = client.session?.resumed ? "Session resumed" : "New session";
  const back = `Back after ${seconds(performance.now() - at)}; it had ended with ${ending}.`;
  if (recovered === true) {
    note(counted, "good");
    tell("good", `${session}: ${counted}, none lost.`, back);
  } else if (recovered === false) {
    note("the gateway no longer knows what was said before", "wait");
    tell("wait", `${session}: the room begins anew.`, back);
  } else {
    tell("good", `${session}.`, back);
  }
}

// Messages

function say(text) {
  const body = { text, name: ownName(), at: Date.now(), by: me, n: ++lastNumber };
  const row = messageRow(body, { isMine: true });
  row.classList.add("waiting");
  underway.set(body.n, { row, sentAt: performance.now() });
  list(row);
  showWaiting();
  room.publish(body).catch((error) => {
    if (!underway.delete(body.n)) return;
    row.classList.replace("waiting", "failed");
    row.querySelector(".took").textContent = ` · not delivered: ${error.message}`;
  });
}

function receive({ data, from }) {
  // Others may publish here too, a server for one: what is not ours is shown as it came.
  const isOurs = typeof data?.text === "string" && typeof data.name === "string";
  const body = isOurs ? data : { text: JSON.stringify(data, null, 1), name: from || "someone" };
  const isMine = body.by === me;
  const sent = isMine ? underway.get(body.n) : undefined;
  if (sent) {
    underway.delete(body.n);
    sent.row.classList.remove("waiting");
    sent.row.querySelector(".took").textContent = ` · ${milliseconds(performance.now() - sent.sentAt)}`;
    // To the place that the gateway gave it: all windows show the same order.
    list(sent.row);
    return;
  }
  if (past) past.messages++;
  list(messageRow(body, { isMine, isReplayed: past?.isReturn }));
}

function showWaiting() {
  const waits = client.state === "connected" ? "" : " · waits for the connection";
  for (const { row } of underway.values()) row.querySelector(".took").textContent = waits;
}

// The connection

function showState({ state, previous, error, retryInMs = 0 }) {
  clearInterval(countDown);
  $("state").dataset.state = state;
  setText($("state"), state);
  if (previous === "connected") {
    const ending = error ? `${error.closeCode ?? "no code"} (${error.code})` : "no code";
    loss = { at: performance.now(), ending };
    $("line").dataset.code = error?.closeCode ?? "";
  }
  if (state !== "connected") showLatency((latencies = []));
  showWaiting();
  showButton(state);
  if (state === "closed") {
    tell("bad", `Closed: ${error?.closeCode ?? "for good"}${error ? ` (${error.code}).` : "."}`, REFUSALS[error?.code] ?? error?.message ?? "");
  } else if (line.isCut) {
    tell("wait", "The connection is cut.", "What others say waits at the gateway, what you say waits here.");
  } else if (state !== "connected" && error) {
    showNextTry(error, performance.now() + retryInMs);
  } else if (!loss) {
    showSession();
  }
}

function showNextTry(error, due) {
  const show = () => {
    const leftMs = due - performance.now();
    const when = leftMs > 1000 ? `Next try in ${Math.ceil(leftMs / 1000)} s.` : "Trying again…";
    tell("wait", loss ? `Ended with ${loss.ending}.` : `No connection: ${error.code}.`, when);
  };
  countDown = setInterval(show, 500);
  show();
}

function showSession() {
  const { session, node } = client.session ?? {};
  tell("calm", "", session ? `Session ${session.slice(0, 8)}… on ${node}` : "Connecting…");
}

function showButton(state) {
  if (line.isCut) return;
  $("cut").textContent = { connected: "Cut the connection", closed: "Connect again" }[state] ?? "Try now";
  $("cut").disabled = false;
}

/** Asks who is here: tells how long an answer takes, and puts right what was told of comings and goings. */
async function probe() {
  const [askedAt, entered, { session }] = [performance.now(), room, client];
  if (document.hidden || client.state !== "connected" || past) return;
  let found;
  try {
    found = await entered.presence({ timeoutMs: PROBE_EVERY_MS });
  } catch {
    // Not worth a word: where it matters, the state tells.
    return;
  }
  if (entered !== room || session !== client.session) return;
  showMembers(found, session.session);
  showLatency((latencies = [...latencies, performance.now() - askedAt].slice(-LATENCIES_MAX)));
}

// The room's name lives in the address, so that a copied link leads to the same room.

function roomName() {
  let wanted = "";
  try {
    wanted = decodeURIComponent(location.hash.slice(1));
  } catch {
    // Half an escape: as if none were given.
  }
  // A channel's name has no white space, no control characters, and at most 255 bytes.
  return wanted.trim().replace(/[\s\p{Cc}]+/gu, "-").replace(/^(.{0,60}).*$/u, "$1") || ROOMS[0];
}

function showRoom(name) {
  $("room").textContent = name;
  $("channel").textContent = `room:${name}`;
  $("second").href = `#${encodeURIComponent(name)}`;
  document.title = `${name} · Tidegate demo`;
  for (const each of [...ROOMS, name]) {
    if (links.has(each)) continue;
    const link = append(append($("rooms"), "li"), "a", "", each);
    link.href = `#${encodeURIComponent(each)}`;
    links.set(each, link);
  }
  // Changed, not made anew: the keyboard's focus may be on one of them.
  for (const [each, link] of links) link.ariaCurrent = each === name ? "page" : null;
  links.get(name).scrollIntoView({ block: "nearest", inline: "nearest" });
}

function ownName() {
  return $("name").value.trim() || "someone";
}

$("say").onsubmit = (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text || client.state === "closed") return;
  say(text);
  $("text").value = "";
};
$("other").onsubmit = (event) => {
  event.preventDefault();
  location.hash = encodeURIComponent($("other-room").value.trim());
  $("other-room").value = "";
};
$("cut").onclick = () => {
  if (line.isCut) line.mend();
  else if (client.state === "connected") line.cut();
  else if (client.state === "closed") begin();
  else client.reconnect();
};
$("name").onchange = () => {
  sessionStorage.setItem("name", $("name").value);
  begin();
};
$("name").value = sessionStorage.getItem("name") ?? NAMES[Math.floor(Math.random() * NAMES.length)];
addEventListener("hashchange", enter);
setInterval(() => void probe(), PROBE_EVERY_MS);
begin();
