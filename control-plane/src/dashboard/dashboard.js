// The dashboard: shows the cluster's health as it streams in, and asks the API for what an operator wants done.

import { Problem, call, role, token } from "./api.js";
import { noteBudget, showBudget, showCluster } from "./cluster.js";
import { compose, showChoices } from "./compose.js";
import { askForChange, askForToken, confirm } from "./dialogs.js";
import { showNodes } from "./nodes.js";
import { COMMANDS, noteProgress, showEnded, showRunning } from "./operations.js";
import { Stream } from "./stream.js";
import { $, clock, setText, setTone } from "./view.js";

/** The document shown, and when it came; `undefined` before the first. */
let health;
let heardAt;
/** `live`, `connecting`, or `out` where the token does not suffice. */
let state = "connecting";
let frame;
/** What `GET /v1/operations/{id}` said last of those under way, by id. */
const details = new Map();
let isRefreshing = false;
/** A document came meanwhile. */
let isOutdated = false;
/** Names of those under way when the ended ones were asked for, and when that was. */
let endedBeside;
let endedAskedAt = 0;

const stream = new Stream("v1/health/events", {
  open() {
    state = "live";
    $("notice").hidden = true;
    showState();
  },
  document(document) {
    health = document;
    heardAt = new Date();
    noteBudget(document);
    noteProgress(document);
    showState();
    // Not before the next frame, and not at all while nobody looks at the tab.
    frame ??= requestAnimationFrame(show);
  },
  lost(problem, waitMs) {
    state = "connecting";
    notice(`${problem.message}\nTrying again in ${Math.ceil(waitMs / 1000)} s.`);
    showState();
  },
  refused(problem) {
    state = "out";
    showState();
    if (problem.status === 403) notice(problem.message);
    // Where there was no token nothing is wrong yet.
    else signIn(token.get() ? problem.message : "");
  },
});

function show() {
  frame = undefined;
  if (health.version !== VERSION) notice("The control plane was upgraded. Reload this page.");
  document.body.dataset.role = role();
  showCluster(health);
  showBudget(health);
  showRunning(health, details, act);
  showNodes(health, act);
  if ($("compose").open) showChoices(health);
  refresh().catch((problem) => problem instanceof Problem || reportError(problem));
}

/** Gets what the health document has only in short: an operation's nodes, and what ended. One call at a time. */
async function refresh() {
  isOutdated = isRefreshing;
  if (isRefreshing) return;
  isRefreshing = true;
  try {
    const { operations } = health;
    for (const id of [...details.keys()].filter((known) => operations.every((operation) => operation.id !== known))) details.delete(id);
    for (const { id, revision } of operations.slice(0, DETAILS_MAX)) {
      if (details.get(id)?.revision >= revision) continue;
      details.set(id, await call("GET", `v1/operations/${encodeURIComponent(id)}`));
      showRunning(health, details, act);
    }
    const beside = operations.map(({ id }) => id).join();
    // Some begin and end between two documents.
    if (beside !== endedBeside || Date.now() - endedAskedAt > ENDED_EVERY_MS) {
      const page = await call("GET", `v1/operations?state=finished&limit=${ENDED_MAX}`);
      showEnded(page.operations, act);
      endedBeside = beside;
      endedAskedAt = Date.now();
    }
  } finally {
    isRefreshing = false;
  }
  if (isOutdated) await refresh();
}

// What operators do

function act({ name, id, is }) {
  if (is === "change") return change(details.get(id));
  const run = () => call("POST", id === undefined ? `v1/nodes/${encodeURIComponent(name)}:${is}` : `v1/operations/${encodeURIComponent(id)}:${is}`);
  const question = QUESTIONS[is]?.(id);
  if (question) confirm({ ...question, go: COMMANDS[is].replace("…", ""), run });
  else {
    refused("");
    run().catch((problem) => refused(problem.message));
  }
}

/** What someone else changed since the operator looked is not overwritten; progress alone makes revisions, too, and is no reason. */
function change(seen) {
  const path = `v1/operations/${encodeURIComponent(seen.id)}`;
  askForChange(seen, async (patch) => {
    for (let attempt = 1; ; attempt++) {
      const { spec, revision } = await call("GET", path);
      if (Object.keys(patch).some((key) => spec[key] !== seen.spec[key])) throw new Error("Someone else has changed it meanwhile. Cancel, and look again.");
      try {
        return await call("PATCH", path, patch, { "if-match": `"${revision}"` });
      } catch (problem) {
        if (problem.status !== 412 || attempt === CHANGE_ATTEMPTS) throw problem;
      }
    }
  });
}

const QUESTIONS = {
  abort: (id) => ({ title: `Abort ${id}?`, words: "Its nodes serve again. Clients that have moved stay where they are; its record says how many." }),
  force: (id) => ({
    title: `Force ${id}?`,
    words: "It goes on although a safeguard holds it: the nodes that stay may be overloaded, and a node that does not answer is evicted with its clients.",
    typed: id,
  }),
};

function signIn(problem) {
  askForToken(problem, (secret) => {
    token.set(secret);
    state = "connecting";
    showState();
    stream.start();
  });
}

$("begin").addEventListener("click", () => {
  showChoices(health);
  compose(() => {
    refused("");
    endedBeside = undefined;
  });
});
$("dismiss").addEventListener("click", () => refused(""));
$("sign").addEventListener("click", () => {
  if (!token.get()) return signIn("");
  token.forget();
  // The next one who sits here should not see what the last one was allowed to.
  location.reload();
});

// What the frame of the page says

function showState() {
  const isFresh = state === "live" && heardAt !== undefined && Date.now() - heardAt < STALE_MS;
  const since = heardAt ? `stale since ${clock(heardAt)}` : "connecting";
  setText($("live"), isFresh ? "live" : state === "out" ? "signed out" : since);
  setTone($("live"), isFresh ? "good" : state === "out" ? "quiet" : "wait");
  document.body.dataset.fresh = isFresh || !heardAt ? "yes" : "no";
  setText($("sign"), token.get() ? "Sign out" : "Sign in");
  $("begin").hidden = !isFresh;
}

function notice(text) {
  $("notice").hidden = false;
  setText($("notice"), text);
}

function refused(text) {
  $("refused").hidden = !text;
  setText($("refused-words"), text);
}

/** Of the health document. */
const VERSION = 1;
/** Documents come once a second. */
const STALE_MS = 6_000;
const DETAILS_MAX = 20;
const CHANGE_ATTEMPTS = 5;
const ENDED_MAX = 50;
const ENDED_EVERY_MS = 30_000;

setInterval(showState, 1_000);
showState();
stream.start();
