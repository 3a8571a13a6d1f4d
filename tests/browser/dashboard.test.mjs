// The dashboard as operators see it: in Chromium, against a control plane that says what the test wants it to say.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { FakeControlPlane, countersOf, healthOf, nodeOf, operationOf, shortOf, stepOf } from "./control-plane.mjs";
import { WAIT, live, openDashboard, startBrowser } from "./kit.mjs";

const TEST = { timeout: 60_000 };

let browser;

before(async () => {
  browser = await startBrowser();
});

after(() => browser?.close());

test("whoever comes without a token is asked for one, and it is kept by their tab only", TEST, async (t) => {
  const fake = await FakeControlPlane.start(t);
  const page = await open(t, fake, null);
  await page.waitForSelector("#sign-in[open]", WAIT);
  assert.equal(await page.isVisible("#sign-in .problem"), false, "nothing is wrong yet");

  await page.fill("#token", "wrong");
  await page.press("#token", "Enter");
  await page.waitForFunction(() => /not known/.test(document.querySelector("#sign-in .problem").textContent), null, WAIT);
  await page.fill("#token", "may-act");
  await page.press("#token", "Enter");
  await live(page);

  assert.deepEqual(await page.evaluate(() => [sessionStorage.length, localStorage.length, document.cookie]), [1, 0, ""]);
  const other = await page.context().newPage();
  await other.goto(fake.url);
  await other.waitForSelector("#sign-in[open]", WAIT);

  await page.click("#sign");
  await page.waitForSelector("#sign-in[open]", WAIT);
  assert.deepEqual(await page.evaluate(() => [sessionStorage.length, document.getElementById("nodes").children.length]), [0, 0]);
});

test("a token that is no longer good is told, and asked for again", TEST, async (t) => {
  const fake = await FakeControlPlane.start(t);
  const page = await open(t, fake, "was-good-once");
  await page.waitForSelector("#sign-in[open]", WAIT);
  assert.match(await page.textContent("#sign-in .problem"), /this token is not known.+\nSign in/);
  assert.equal(await page.textContent("#live"), "signed out");
});

test("it shows the cluster as it is, and as it becomes", TEST, async (t) => {
  const fake = await FakeControlPlane.start(t);
  const page = await open(t, fake);
  assert.equal(await page.textContent("#verdict"), "Clients are well served");
  assert.deepEqual(await facts(page, "#facts", "Connections", "Nodes ready", "Store", "Leader"), [
    "12,000 of 30,000 · 40 %", "3 of 3", "up", "cp-1 epoch 7 · this replica",
  ]);

  const [slow, silent] = [nodeOf("gw-2", { store: "slow", modes: ["store_slow"], ready: false, reasons: ["draining (paused): new clients shall go elsewhere", "overloaded"] }), nodeOf("gw-10", {}, { reachable: false, reportAgeMs: 12_000 })];
  fake.tell(healthOf([nodeOf("gw-1"), slow, silent], {
    servesWell: false, store: "slow", leader: { name: null, epoch: 7, isSelf: false },
    complaints: [{ code: "slow", message: "the store is slow", severe: false }, { code: "silent", message: "gw-10 does not answer", severe: true }],
    budget: { maxRate: 200, rate: 50, allowed: 40, used: 38, maxDisplaced: 2000, displaced: 120, slowed: true },
  }));
  await page.waitForFunction(() => document.getElementById("verdict").textContent === "Clients are not well served", null, WAIT);
  assert.deepEqual(await page.locator("#reasons li").allTextContents(), ["gw-10 does not answer", "the store is slow"]);
  assert.deepEqual(await facts(page, "#facts", "Store", "Leader"), ["slow", "none epoch 7"]);
  assert.deepEqual(await facts(page, "#budget-facts", "Moving now", "Budget", "Away, not yet back"), ["38/s 40/s allowed", "50/s of 200/s", "120 of 2,000"]);
  assert.equal(await page.textContent("#spark-words"), "Clients moved a second, last 2 minutes. Peak: 38/s. Dashed: the budget.");

  assert.deepEqual(await page.locator("#nodes .who").allTextContents(), ["gw-1", "gw-2", "gw-10"]);
  assert.equal(await page.textContent("#nodes-words"), "3 nodes · 2 serving · 1 unreachable");
  assert.match(await node(page, "gw-1"), /0\.1\.0 · up 2\.0 h.*serving.*4,000 of 10,000.*2 open 12\/s · p99 3 ms idle 3,990 · reading payload 8 · reading mask 2.*310\/s \/ 2,900\/s.*3\.0 MiB 5\.0 MiB free.*39 KiB/);
  assert.match(await node(page, "gw-2"), /serving overloaded store slow/);
  assert.match(await node(page, "gw-10"), /unreachable silent for 12 s/);
});

test("a document that comes byte by byte is read whole", TEST, async (t) => {
  const fake = await FakeControlPlane.start(t);
  const page = await open(t, fake);
  fake.tell(healthOf([nodeOf("gw-1")], { complaints: [{ code: "odd", message: "Wände → 潮汐 🌊", severe: false }] }), 1);
  await page.waitForFunction(() => document.getElementById("reasons").textContent === "Wände → 潮汐 🌊", null, WAIT);
});

test("when the control plane is gone it says since when the page is stale, and comes back by itself", TEST, async (t) => {
  const fake = await FakeControlPlane.start(t);
  const page = await open(t, fake);
  await fake.stop();
  await page.waitForFunction(() => /^stale since \d/.test(document.getElementById("live").textContent), null, WAIT);
  assert.match(await page.textContent("#notice"), /\nTrying again in \d+ s\.$/);
  assert.equal(await page.getAttribute("body", "data-fresh"), "no");
  assert.equal(await page.locator("main [data-needs]:visible").count(), 0);
  // What was known is still there to read.
  assert.equal(await page.locator("#nodes tr").count(), 3);

  fake.health = healthOf([nodeOf("gw-1")]);
  await fake.listen();
  await live(page);
  await page.waitForFunction(() => document.getElementById("nodes").children.length === 1, null, WAIT);
  assert.equal(await page.isVisible("#notice"), false);
});

test("a stream that falls silent makes the page stale, too", TEST, async (t) => {
  const fake = await FakeControlPlane.start(t);
  const page = await open(t, fake);
  await page.waitForFunction(() => /^stale since \d/.test(document.getElementById("live").textContent), null, WAIT);
  assert.equal(fake.streams, 1, "the stream is still open");
  fake.tell(healthOf([nodeOf("gw-1")]));
  await live(page);
});

test("names and reasons never become markup", TEST, async (t) => {
  const fake = await FakeControlPlane.start(t);
  const evil = `<img src=x onerror="document.title='owned'">`;
  const operation = operationOf("op-1", { spec: { kind: "drain", reason: evil }, requestedBy: evil, message: evil, steps: [stepOf(evil)], conditions: [
    { type: "Blocked", reason: evil, message: evil, since: Date.now() },
  ] });
  fake.operations.set("op-1", operation);
  fake.operations.set("op-0", operationOf("op-0", { state: "Failed", message: evil, finishedAt: Date.now() }));
  fake.health = healthOf([nodeOf(evil, { phase: evil, version: evil, modes: [evil], ready: false, reasons: [evil], load: { parser_states: { [evil]: 1 } } }, { zone: evil })], {
    complaints: [{ code: "x", message: evil, severe: true }], leader: { name: evil, epoch: 1, isSelf: false }, operations: [shortOf(operation)],
  });
  fake.answers.set("POST /v1/operations:plan", [200, forecastOf({ warnings: [evil], waves: [{ wave: 1, nodes: [evil], moves: 1, eta: evil }] })]);
  const page = await open(t, fake);
  await page.waitForFunction(() => document.querySelector(".steps .who") && document.querySelector("#ended tr"), null, WAIT);
  await page.click("#begin");
  await page.click("#op-plan");
  await page.waitForSelector("#forecast .warnings", WAIT);

  assert.equal(await page.locator("img").count(), 0);
  assert.equal(await page.title(), "Tidegate");
  assert.ok((await page.textContent("main")).includes(evil));
});

test("an operation shows how far it is, node by node, and what holds it up", TEST, async (t) => {
  const fake = await FakeControlPlane.start(t);
  const operation = operationOf("deploy-42", { deadlineAt: Date.now() + 600_500 });
  fake.operations.set("deploy-42", operation);
  const at = Date.now();
  fake.health = healthOf([nodeOf("gw-1", { phase: "evicting" }), nodeOf("gw-2")], { at, operations: [shortOf(operation)] });
  const page = await open(t, fake);
  await page.waitForSelector(".steps li", WAIT);
  assert.match(await page.textContent("#running li"), /deploy-42drainRunning · Draining/);
  assert.deepEqual(await page.locator(".op-words span").allTextContents(), [
    "1,500 of 8,000 moved", "1,410 back", "90 away", "0 not back in time", "nodes 0 of 2", "0/s", "deadline in 10 min",
  ]);
  assert.deepEqual(await page.locator(".steps .line").allTextContents(), ["gw-1draining · 1,500 of 4,000 moved", "gw-2waits: wave 2"]);
  assert.match(await page.textContent("#running"), /kernel update · asked for by ada/);

  // Ten seconds later.
  operation.revision++;
  operation.counters = countersOf({ ...operation.counters, moved: 2500, remaining: 1500, lost: 2 });
  operation.conditions = [{ type: "Paused", reason: "Guard", message: "gw-2's handshakes take 3 s", since: at }];
  fake.tell(healthOf([nodeOf("gw-1", { phase: "paused" }), nodeOf("gw-2")], { at: at + 10_000, operations: [shortOf(operation)] }));
  await page.waitForFunction(() => document.querySelector(".conditions li"), null, WAIT);
  assert.match(await page.textContent(".conditions"), /^Paused \(Guard\) gw-2's handshakes take 3 s since /);
  assert.ok((await page.locator(".op-words span").allTextContents()).includes("100/s"));
  assert.equal(await page.getAttribute(".op-words [data-tone=bad]", "data-tone"), "bad");
  assert.deepEqual(await page.locator("#running button:visible").allTextContents(), ["Change…", "Resume", "Abort…"]);

  operation.state = "Succeeded";
  operation.finishedAt = at + 60_000;
  fake.tell(healthOf([nodeOf("gw-1", { phase: "drained" }), nodeOf("gw-2")], { at: at + 60_000 }));
  await page.click("#past summary");
  assert.match(await page.textContent("#ended"), /deploy-42drainSucceeded.*2,500 clients, 1,410 backada/);
  assert.equal(await page.locator("#running li").count(), 0);
});

test("an ETA is what is left by what was moved in the last seconds", TEST, async (t) => {
  const fake = await FakeControlPlane.start(t);
  const page = await open(t, fake);
  const operation = operationOf("d", { steps: [stepOf("gw-1", { phase: "Draining" })] });
  fake.operations.set("d", operation);
  const at = Date.now();
  for (const second of [0, 1, 2]) {
    operation.counters = countersOf({ nodes: 1, total: 1000, moved: 50 * second, remaining: 1000 - 50 * second });
    fake.tell(healthOf([nodeOf("gw-1")], { at: at + 1000 * second, operations: [shortOf(operation)] }));
  }
  await page.waitForFunction(() => /about 18 s left/.test(document.querySelector(".op-words")?.textContent), null, WAIT);
});

test("everyone has the buttons that their role allows", TEST, async (t) => {
  const fake = await FakeControlPlane.start(t);
  const operation = operationOf("op-1", { conditions: [{ type: "Blocked", reason: "NoHeadroom", message: "no room", since: Date.now() }] });
  fake.operations.set("op-1", operation);
  fake.health = healthOf([nodeOf("gw-1")], { operations: [shortOf(operation)] });
  const buttons = { "may-look": [], "may-act": ["New operation…", "Change…", "Pause", "Abort…", "Cordon"], "may-force": ["New operation…", "Change…", "Pause", "Force…", "Abort…", "Cordon"] };
  for (const [secret, seen] of Object.entries(buttons)) {
    const page = await open(t, fake, secret);
    await page.waitForSelector("#running .steps li", WAIT);
    assert.deepEqual(await page.locator("button:visible").allTextContents(), ["Sign out", ...seen]);
  }
});

test("a drain is planned, its forecast is read, and it is started with just what was filled in", TEST, async (t) => {
  const fake = await FakeControlPlane.start(t);
  const page = await open(t, fake);
  fake.answers.set("POST /v1/operations:plan", [200, forecastOf({})]);
  await page.click("#begin");
  await page.check("#op-nodes input[value=gw-2]");
  await page.fill("#op-max-rate", "150");
  await page.fill("#op-reason", "kernel update");
  await page.press("#op-reason", "Enter");
  await page.waitForSelector("#forecast:visible", WAIT);
  assert.deepEqual(await facts(page, "#forecast dl", "Clients that move", "Takes at least", "Peak", "Room afterwards"), ["4,000", "1m 20s", "150/s", "8,000 of 20,000"]);
  assert.match(await page.textContent("#forecast"), /the grace is shorter.*Guard busLag does not hold: slow, bound 2s.*1gw-24,0001m 20s.*gw-14,0006,00010,000/);

  // A forecast is about what was asked for; with another value it is none.
  await page.fill("#op-max-rate", "100");
  assert.equal(await page.isVisible("#forecast"), false);
  await page.fill("#op-id", "kernel-1");
  fake.answers.set("PUT /v1/operations/kernel-1", [201, operationOf("kernel-1")]);
  await page.click("#op-start");
  await page.waitForSelector("#compose:not([open])", { ...WAIT, state: "attached" });

  const spec = { kind: "drain", targets: { pods: ["gw-2"] }, then: "hold", maxRate: 150, reason: "kernel update" };
  assert.deepEqual(bodies(fake, "POST /v1/operations:plan"), [spec]);
  assert.deepEqual(bodies(fake, "PUT /v1/operations/kernel-1"), [{ ...spec, maxRate: 100 }]);
  assert.ok(fake.asked.every(({ headers }) => headers.authorization === "Bearer may-act"));
});

test("each kind is asked for with its own parameters", TEST, async (t) => {
  const fake = await FakeControlPlane.start(t);
  const page = await open(t, fake);
  fake.answers.set("POST /v1/operations:plan", [200, forecastOf({})]);
  await page.click("#begin");
  await page.check("#op-nodes input[value=gw-1]");
  await page.selectOption("#op-kind", "rebalance");
  assert.match(await page.inputValue("#op-id"), /^rebalance-\d{8}-\d{6}$/);
  await page.fill("#op-max-moves", "500");
  await page.click("#op-plan");
  await page.waitForSelector("#forecast:visible", WAIT);
  await page.selectOption("#op-kind", "rollout");
  await page.uncheck("#op-nodes input[value=gw-1]");
  await page.selectOption("#op-mode", "steer");
  await page.fill("#op-max-parallel", "50%");
  await page.fill("#op-deadline", "10m");
  await page.click("#op-plan");
  await page.waitForSelector("#forecast:visible", WAIT);
  await page.selectOption("#op-mode", "rolling");
  await page.fill("#op-max-parallel", "");
  await page.fill("#op-deadline", "");
  await page.fill("#op-replicas", "2");
  await page.click("#op-plan");
  await page.waitForSelector("#forecast:visible", WAIT);
  assert.deepEqual(bodies(fake, "POST /v1/operations:plan"), [
    { kind: "rebalance", maxMoves: 500 },
    { kind: "rollout", mode: "steer", maxParallel: "50%", deadline: "10m" },
    { kind: "rollout", mode: "rolling", target: "scaleDown", replicas: 2 },
  ]);
});

test("what does not fit is refused with the numbers, and only who types it starts it all the same", TEST, async (t) => {
  const fake = await FakeControlPlane.start(t);
  const refusal = { title: "Unprocessable Content", code: "no_headroom", detail: "12000 clients would move: drain fewer nodes", details: { freeConnections: 8000, nodes: [] } };
  fake.answers.set("PUT /v1/operations/too-much", [422, refusal]);
  const page = await open(t, fake, "may-force");
  await page.click("#begin");
  await page.fill("#op-id", "too-much");
  assert.equal(await page.isVisible("#op-force"), false);
  await page.click("#op-start");
  await page.waitForSelector("#op-force:visible", WAIT);
  assert.equal(await page.textContent("#compose .problem"), "Unprocessable Content: 12000 clients would move: drain fewer nodes\nfree connections: 8000");
  assert.equal(await page.isVisible("#compose"), true);

  await page.fill("#op-force", "force");
  fake.answers.set("PUT /v1/operations/too-much", [201, operationOf("too-much")]);
  await page.click("#op-start");
  await page.waitForSelector("#compose:not([open])", { ...WAIT, state: "attached" });
  assert.deepEqual(bodies(fake, "PUT /v1/operations/too-much").map(({ force }) => force), [undefined, true]);
});

test("pause and cordon are one click, abort is asked once more, force has to be typed", TEST, async (t) => {
  const fake = await FakeControlPlane.start(t);
  const operation = operationOf("op-1", { conditions: [{ type: "Blocked", reason: "MinServing", message: "one node has to stay", since: Date.now() }] });
  fake.operations.set("op-1", operation);
  fake.health = healthOf([nodeOf("gw-1"), nodeOf("gw-2", { phase: "announcing", ready: false, reasons: ["draining"] })], { operations: [shortOf(operation)] });
  for (const is of ["pause", "abort", "force"]) fake.answers.set(`POST /v1/operations/op-1:${is}`, [200, operation]);
  for (const call of ["gw-1:cordon", "gw-2:uncordon"]) fake.answers.set(`POST /v1/nodes/${call}`, [200, {}]);
  const page = await open(t, fake, "may-force");
  await page.click("text=Pause");
  await page.click("[aria-label='Cordon gw-1']");
  await page.click("[aria-label='Uncordon gw-2']");

  await page.click("text=Abort…");
  assert.match(await page.textContent("#confirm"), /Abort op-1\?\s+Its nodes serve again/);
  await page.keyboard.press("Escape");
  await page.click("text=Abort…");
  await page.click("#confirm-go");
  await page.waitForSelector("#confirm:not([open])", { ...WAIT, state: "attached" });

  await page.click("text=Force…");
  assert.equal(await page.isDisabled("#confirm-go"), true);
  await page.fill("#confirm-text", "op-");
  assert.equal(await page.isDisabled("#confirm-go"), true);
  await page.fill("#confirm-text", "op-1");
  await page.click("#confirm-go");
  await page.waitForSelector("#confirm:not([open])", { ...WAIT, state: "attached" });
  assert.deepEqual(fake.asked.map(({ call }) => call).filter((call) => call.startsWith("POST")), [
    "POST /v1/operations/op-1:pause", "POST /v1/nodes/gw-1:cordon", "POST /v1/nodes/gw-2:uncordon", "POST /v1/operations/op-1:abort", "POST /v1/operations/op-1:force",
  ]);
});

test("bounds are changed while it runs, but not over what someone else changed", TEST, async (t) => {
  const fake = await FakeControlPlane.start(t);
  const operation = operationOf("op-1", { revision: 12, spec: { kind: "drain", maxRate: 50, deadline: "8m" } });
  fake.operations.set("op-1", operation);
  fake.health = healthOf([nodeOf("gw-1")], { operations: [shortOf(operation)] });
  fake.answers.set("PATCH /v1/operations/op-1", [409, { title: "Conflict", code: "wrong_state", detail: "it is over" }]);
  const page = await open(t, fake);
  await page.click("text=Change…");
  assert.deepEqual([await page.inputValue("#change-max-rate"), await page.inputValue("#change-deadline")], ["50", "8m"]);
  await page.fill("#change-max-rate", "20");
  await page.press("#change-max-rate", "Enter");
  await page.waitForSelector("#change .problem:visible", WAIT);
  assert.equal(await page.textContent("#change .problem"), "Conflict: it is over");

  // A node has sent someone away between the look and the change.
  const stale = [412, { title: "Precondition Failed", code: "stale_revision", detail: "it is at revision 13" }];
  fake.answers.set("PATCH /v1/operations/op-1", stale);
  fake.handle = (call) => {
    if (!call.startsWith("PATCH")) return;
    operation.revision++;
    fake.answers.set(call, operation.revision < 15 ? stale : [200, operation]);
  };
  await page.fill("#change-deadline", "");
  await page.click("#change .main");
  await page.waitForSelector("#change:not([open])", { ...WAIT, state: "attached" });
  const both = { maxRate: 20, deadline: null };
  assert.deepEqual(bodies(fake, "PATCH /v1/operations/op-1"), [{ maxRate: 20 }, both, both, both]);
  assert.deepEqual(fake.asked.filter(({ call }) => call.startsWith("PATCH")).map(({ headers }) => headers["if-match"]), ['"12"', '"12"', '"13"', '"14"']);

  await page.click("text=Change…");
  operation.spec = { ...operation.spec, maxRate: 70 };
  await page.fill("#change-max-rate", "10");
  await page.click("#change .main");
  await page.waitForSelector("#change .problem:visible", WAIT);
  assert.match(await page.textContent("#change .problem"), /^Someone else has changed it meanwhile/);
  assert.equal(bodies(fake, "PATCH /v1/operations/op-1").length, 4);
});

test("what is refused is told in words, with what to do", TEST, async (t) => {
  const fake = await FakeControlPlane.start(t);
  const operation = operationOf("op-1");
  fake.operations.set("op-1", operation);
  fake.health = healthOf([nodeOf("gw-1")], { operations: [shortOf(operation)] });
  fake.answers.set("POST /v1/operations/op-1:pause", [409, { title: "Conflict", code: "wrong_state", detail: "it is over: begin another one" }]);
  fake.answers.set("POST /v1/operations/op-1:abort", [503, { title: "Service Unavailable", code: "unavailable", detail: "the store does not answer" }]);
  const page = await open(t, fake);
  await page.click("text=Pause");
  await page.waitForSelector("#refused:visible", WAIT);
  assert.equal(await page.textContent("#refused-words"), "Conflict: it is over: begin another one");
  await page.click("#dismiss");
  assert.equal(await page.isVisible("#refused"), false);

  await page.click("text=Abort…");
  await page.click("#confirm-go");
  await page.waitForSelector("#confirm .problem:visible", WAIT);
  assert.equal(await page.textContent("#confirm .problem"), "Service Unavailable: the store does not answer\nWait a moment, then try again.");
  assert.equal(await page.isEnabled("#confirm-go"), true);
});

test("a termination that was not asked for here is shown as what it is, without buttons that could not keep it", TEST, async (t) => {
  const fake = await FakeControlPlane.start(t);
  const operation = operationOf("foreign-1", { source: "kubectl" });
  fake.operations.set("foreign-1", operation);
  fake.health = healthOf([nodeOf("gw-1", { phase: "evicting", shutting_down: true })], { operations: [shortOf(operation)] });
  const page = await open(t, fake);
  await page.waitForSelector("#running .steps li", WAIT);
  assert.match(await page.textContent("#running"), /drain: a pod was deleted/);
  assert.deepEqual(await page.locator("#running button:visible").allTextContents(), ["Change…"]);
  assert.equal(await page.isDisabled("#nodes button"), true);
});

test("it asks no other server for anything, and nothing in it is an error or against its content policy", TEST, async (t) => {
  const fake = await FakeControlPlane.start(t);
  const [asked, complaints] = [[], []];
  const page = await open(t, fake, "may-act", {}, (opened) => {
    opened.on("request", (request) => asked.push(new URL(request.url())));
    opened.on("console", (message) => complaints.push(message.text()));
    opened.on("pageerror", (error) => complaints.push(String(error)));
  });
  fake.answers.set("POST /v1/operations:plan", [200, forecastOf({})]);
  await page.click("#begin");
  await page.click("#op-plan");
  await page.waitForSelector("#forecast:visible", WAIT);

  assert.deepEqual([...new Set(asked.filter((url) => url.protocol !== "data:").map((url) => url.origin))], [new URL(fake.url).origin]);
  assert.deepEqual(complaints, []);
  // That the policy is in force.
  const isBlocked = await page.evaluate(() => {
    try {
      document.createElement("div").innerHTML = "<b>markup</b>";
      return false;
    } catch (error) {
      return error instanceof TypeError;
    }
  });
  assert.equal(isBlocked, true);
});

for (const [where, options] of Object.entries({
  "on a phone": { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true },
  "at twice the size of text": { viewport: { width: 640, height: 480 }, colorScheme: "dark" },
})) {
  test(`${where} nothing sticks out, the dialogs fit, and the table is still a table`, TEST, async (t) => {
    const fake = await FakeControlPlane.start(t);
    const name = "gateway-7d9f8b6c54-x2x9q.europe-west-4a.compute.internal";
    const operation = operationOf("a-name-as-long-as-a-name-of-an-operation-may-be-0123456789-abcdef", { steps: [stepOf(name, { phase: "Draining" })] });
    fake.operations.set(operation.id, operation);
    fake.operations.set("ended", operationOf("ended", { state: "Aborted", finishedAt: Date.now() }));
    fake.health = healthOf([nodeOf(name, { modes: ["store_slow", "overloaded"] })], { operations: [shortOf(operation)] });
    fake.answers.set("POST /v1/operations:plan", [200, forecastOf({ waves: [{ wave: 1, nodes: [name, name], moves: 1, eta: "1m" }] })]);
    const page = await open(t, fake, "may-act", options);
    await page.waitForSelector(".steps li", WAIT);
    await page.click("#past summary");
    const sticksOut = () => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(await sticksOut(), 0);

    await page.click("#begin");
    await page.click("#op-plan");
    await page.waitForSelector("#forecast:visible", WAIT);
    const box = await page.locator("#compose").boundingBox();
    assert.ok(box.x >= 0 && box.x + box.width <= options.viewport.width && box.height <= options.viewport.height, JSON.stringify(box));
    assert.equal(await page.evaluate(() => document.getElementById("compose").scrollWidth - document.getElementById("compose").clientWidth), 0);
    await page.click("#compose .cancel");

    const table = page.getByRole("table", { name: "Nodes" });
    assert.equal(await table.getByRole("columnheader").count(), 8);
    assert.equal(await table.getByRole("row").count(), 2);
    assert.equal(await table.getByRole("cell").count(), 8);
  });
}

test("who does not see the page finds their way by landmarks, headings and labels", TEST, async (t) => {
  const fake = await FakeControlPlane.start(t);
  const page = await open(t, fake);
  for (const landmark of ["banner", "main", "contentinfo"]) assert.equal(await page.getByRole(landmark).count(), 1, landmark);
  for (const name of ["Cluster", "Reconnect budget", "Operations", "Nodes"]) assert.equal(await page.getByRole("region", { name, exact: true }).count(), 1, name);
  assert.deepEqual(await page.getByRole("heading", { level: 2 }).allTextContents(), ["Cluster", "Reconnect budget", "Operations", "Nodes"]);
  assert.deepEqual(await page.$$eval("[role=status], [aria-live]", (live) => live.map(({ id }) => id)), ["live", "verdict", "forecast"]);
  // What is told once a second would be read out once a second.
  fake.tell(healthOf([nodeOf("gw-1")]));
  await page.evaluate(() => {
    window.changes = 0;
    new MutationObserver((changes) => (window.changes += changes.length)).observe(document.getElementById("verdict"), { childList: true, characterData: true, subtree: true });
  });
  fake.tell(healthOf([nodeOf("gw-1"), nodeOf("gw-2")]));
  await page.waitForFunction(() => document.getElementById("nodes").children.length === 2, null, WAIT);
  assert.equal(await page.evaluate(() => window.changes), 0);

  await page.click("#begin");
  const nameless = await page.$$eval("dialog :is(input, select, button)", (fields) =>
    fields.filter((field) => !field.labels?.length && !field.textContent.trim() && !field.ariaLabel && field.id !== "confirm-go").map(({ id, className }) => id || className));
  assert.deepEqual(nameless, []);
});

test("all of it can be done with the keyboard", TEST, async (t) => {
  const fake = await FakeControlPlane.start(t);
  const page = await open(t, fake);
  const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.ariaLabel || document.activeElement.textContent);
  const onto = async (wanted) => {
    for (let presses = 0; (await focused()) !== wanted; presses++) {
      assert.ok(presses < 25, `the Tab key does not lead to ${wanted}`);
      await page.keyboard.press("Tab");
    }
  };
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  assert.equal(await focused(), "cluster-title");

  fake.answers.set("POST /v1/operations:plan", [200, forecastOf({})]);
  await onto("begin");
  await page.keyboard.press("Enter");
  assert.equal(await focused(), "op-kind");
  await onto("op-max-rate");
  await page.keyboard.type("20");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#forecast:visible", WAIT);
  await page.keyboard.press("Escape");
  assert.equal(await focused(), "begin", "the focus goes back to where it was");

  // A new document must not take it away.
  await onto("Cordon gw-2");
  fake.tell(healthOf([nodeOf("gw-1"), nodeOf("gw-2"), nodeOf("gw-0")]));
  await page.waitForFunction(() => document.querySelector("#nodes .who").textContent === "gw-0", null, WAIT);
  assert.equal(await focused(), "Cordon gw-2");
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  assert.equal(outline, "solid");
});

for (const colorScheme of ["light", "dark"]) {
  test(`every text has a contrast of 4.5 to what is behind it (${colorScheme})`, TEST, async (t) => {
    const fake = await FakeControlPlane.start(t);
    const operation = operationOf("op-1", { conditions: [{ type: "Blocked", reason: "PDB", message: "no", since: Date.now() }], counters: countersOf({ lost: 1, repeats: 1, forced: 1 }) });
    fake.operations.set("op-1", operation);
    fake.operations.set("op-0", operationOf("op-0", { state: "Failed", finishedAt: Date.now() }));
    fake.health = healthOf([nodeOf("gw-1"), nodeOf("gw-2", { phase: "evicting" }), nodeOf("gw-3", { phase: "drained" }), nodeOf("gw-4", {}, { reachable: false })], {
      servesWell: false, store: "down", bus: "slow", operations: [shortOf(operation)],
      complaints: [{ code: "a", message: "severe", severe: true }, { code: "b", message: "not so", severe: false }],
    });
    fake.answers.set("POST /v1/operations/op-1:pause", [409, { code: "wrong_state", detail: "no" }]);
    fake.answers.set("POST /v1/operations:plan", [200, forecastOf({})]);
    const page = await open(t, fake, "may-act", { colorScheme });
    await page.waitForSelector(".steps li", WAIT);
    await page.click("#past summary");
    await page.click("text=Pause");
    await page.waitForSelector("#refused:visible", WAIT);
    assert.deepEqual(await page.evaluate(faintTexts), []);
    await page.click("#begin");
    await page.click("#op-plan");
    await page.waitForSelector("#forecast:visible", WAIT);
    assert.deepEqual(await page.evaluate(faintTexts), []);
  });
}

test("who wants no motion gets none", TEST, async (t) => {
  const fake = await FakeControlPlane.start(t);
  const page = await open(t, fake, "may-act", { reducedMotion: "reduce" });
  await fake.stop();
  await page.waitForFunction(() => /^stale/.test(document.getElementById("live").textContent), null, WAIT);
  const moving = await page.evaluate(() => document.getAnimations().length);
  assert.equal(moving, 0);
});

function forecastOf(given) {
  return {
    waves: [{ wave: 1, nodes: ["gw-2"], moves: 4000, eta: "1m 20s" }], eta: "1m 20s", moves: 4000, peakReconnectRate: 150,
    headroom: { "": { nodes: 2, capacity: 20_000, connections: 12_000 } },
    nodes: [{ node: "gw-1", connections: 4000, expected: 6000, capacity: 10_000 }, { node: "gw-3", connections: 4000, expected: 4000, capacity: 10_000 }],
    guards: [{ guard: "busLag", reading: "slow", bound: "2s", holds: false }, { guard: "storeP99", reading: "up", bound: "500ms", holds: true }],
    warnings: ["the grace is shorter than the plan"], ...given,
  };
}

/** The page in a window of its own, live unless nobody is signed in. */
async function open(t, fake, secret = "may-act", options = {}, prepare = () => {}) {
  const page = await openDashboard(t, browser, fake.url, secret, options, prepare);
  if (secret?.startsWith("may-")) await live(page);
  return page;
}

/** Values of a list of facts, each with its small print. */
function facts(page, list, ...names) {
  return page.$eval(list, (found, wanted) => wanted.map((name) => {
    const pair = [...found.children].find((child) => child.firstElementChild.textContent === name);
    return [...pair.querySelectorAll("dd > *")].map((part) => part.textContent).filter(Boolean).join(" ");
  }), names);
}

/** The words in a node's row. */
async function node(page, name) {
  const row = page.locator("#nodes tr").filter({ has: page.getByText(name, { exact: true }) });
  return (await row.locator("span, small").allTextContents()).filter(Boolean).join(" ");
}

function bodies(fake, call) {
  return fake.asked.filter((asked) => asked.call === call).map(({ body }) => body);
}

/** In the page: texts that WCAG 2.2, section 1.4.3, would call too faint, with their contrast. */
function faintTexts() {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  // Colours come as `rgb()`, `color()` and others, some of them translucent: the canvas knows all of them.
  const over = (colors) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const color of colors) {
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
    }
    return [...canvas.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  };
  const light = (rgb) => {
    const [red, green, blue] = rgb.map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const faint = [];
  const root = document.querySelector("dialog[open]") ?? document.body;
  for (const element of root.querySelectorAll("*")) {
    const hasText = [...element.childNodes].some((child) => child.nodeType === Node.TEXT_NODE && child.textContent.trim());
    if (!hasText || !element.checkVisibility() || element.matches(":disabled, :disabled *, option, .unseen, .skip")) continue;
    const behind = [];
    for (let at = element; at; at = at.parentElement) behind.unshift(getComputedStyle(at).backgroundColor);
    const [back, front] = [over(behind), over([...behind, getComputedStyle(element).color])].map(light);
    const contrast = (Math.max(back, front) + 0.05) / (Math.min(back, front) + 0.05);
    if (contrast < 4.5) faint.push(`${element.textContent.trim().slice(0, 30)}: ${contrast.toFixed(2)}`);
  }
  return faint;
}
