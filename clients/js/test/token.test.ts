import assert from "node:assert/strict";
import { test } from "node:test";
import { TidegateError, type TokenReason } from "../src/index.js";
import { Scene, settle } from "./kit.js";

/** A scene whose tokens are t1, t2, …, and why each was asked for. */
function withTokens(options: object = {}): { scene: Scene; reasons: TokenReason[] } {
  const reasons: TokenReason[] = [];
  const scene = new Scene({ ...options, token: async (reason) => `t${reasons.push(reason)}` });
  return { scene, reasons };
}

test("a token is asked for once, and used as long as it lasts", async () => {
  const { scene, reasons } = withTokens();
  await scene.connected({ token_expires_in_ms: 600_000 });
  scene.sockets[0]!.end(1006);
  await scene.runtime.advance(500);
  const { connect } = await scene.welcome(2, { resumed: true, token_expires_in_ms: 599_500 });
  assert.deepEqual([connect["token"], reasons], ["t1", ["connect"]]);
});

test("a token that has ended meanwhile is replaced before the connect", async () => {
  const { scene, reasons } = withTokens({ backoffMs: 20_000 });
  await scene.connected({ token_expires_in_ms: 9_000 });
  scene.sockets[0]!.end(1006);
  await scene.runtime.advance(10_000);
  const { connect } = await scene.welcome(2, { resumed: true });
  assert.deepEqual([connect["token"], reasons], ["t2", ["connect", "connect"]]);
});

test("well before its end a token is refreshed on the open connection, again and again", async () => {
  const { scene, reasons } = withTokens();
  const socket = await scene.connected({ token_expires_in_ms: 100_000, ping_ms: 1_000_000 });
  await scene.runtime.advance(74_999);
  assert.deepEqual(await socket.unread(), []);
  await scene.runtime.advance(1);
  assert.deepEqual(await socket.answer("refresh", { token_expires_in_ms: 200_000 }), { token: "t2" });
  await scene.runtime.advance(150_000);
  assert.deepEqual(await socket.answer("refresh", {}), { token: "t3" });
  await scene.runtime.advance(500_000);
  assert.deepEqual([await socket.unread(), reasons], [[], ["connect", "expiring", "expiring"]]);
});

test("when the server says that a token expires it is refreshed at once, and only once", async () => {
  const { scene, reasons } = withTokens();
  const socket = await scene.connected({ token_expires_in_ms: 100_000 });
  await scene.runtime.advance(10_000);
  socket.say({ expiring: { in_ms: 60_000 } }, { expiring: { in_ms: 60_000 } });
  await socket.answer("refresh", { token_expires_in_ms: 100_000 });
  assert.deepEqual([await socket.unread(), reasons], [[], ["connect", "expiring"]]);
});

test("tokens that live shorter than the server's notice are not refreshed without end", async () => {
  const { scene, reasons } = withTokens();
  const socket = await scene.connected({ token_expires_in_ms: 8_000 });
  socket.say({ expiring: { in_ms: 8_000 } });
  for (let round = 0; round < 4; round++) {
    await scene.runtime.advance(5_999);
    assert.deepEqual(await socket.unread(), []);
    await scene.runtime.advance(1);
    await socket.answer("refresh", { token_expires_in_ms: 8_000 });
    socket.say({ expiring: { in_ms: 8_000 } });
  }
  assert.equal(reasons.length, 5);
});

test("a refresh that fails is told, and tried again while the old token lasts", async () => {
  let calls = 0;
  const scene = new Scene({
    token: () => {
      if (++calls === 2) throw new Error("the login page is down");
      return `t${calls}`;
    },
  });
  const errors: string[] = [];
  scene.client.on("error", ({ code, message }) => errors.push(`${code}: ${message}`));
  const socket = await scene.connected({ token_expires_in_ms: 100_000, ping_ms: 1_000_000 });
  await scene.runtime.advance(75_000);
  assert.match(errors[0] ?? "", /^unavailable: .*the login page is down/);
  await scene.runtime.advance(5_000);
  assert.deepEqual(await socket.answer("refresh"), { token: "t3" });
  assert.deepEqual([scene.client.state, errors.length], ["connected", 1]);
});

test("a refresh that the server refuses is told and not repeated", async () => {
  const { scene, reasons } = withTokens();
  const errors: string[] = [];
  scene.client.on("error", ({ code }) => errors.push(code));
  const socket = await scene.connected({ token_expires_in_ms: 100_000, ping_ms: 1_000_000 });
  await scene.runtime.advance(75_000);
  await socket.refuse("refresh", "unauthorized");
  await scene.runtime.advance(20_000);
  assert.deepEqual([errors, reasons.length, scene.client.state], [["unauthorized"], 2, "connected"]);
});

test("closed with 4004 it comes back with another token", async () => {
  const { scene, reasons } = withTokens();
  await scene.connected({ token_expires_in_ms: 600_000 });
  scene.sockets[0]!.end(4004);
  await scene.runtime.advance(500);
  const { connect } = await scene.welcome(2, { resumed: true });
  assert.deepEqual([connect["token"], connect["session"], reasons], ["t2", "s1", ["connect", "refused"]]);
});

test("a token refused after it had been good is replaced once; a new one refused is the end", async () => {
  const { scene, reasons } = withTokens();
  await scene.connected();
  scene.sockets[0]!.end(4500);
  assert.equal(scene.client.state, "recovering");
  await scene.runtime.advance(500);
  const socket = await scene.socket(2);
  socket.open();
  assert.equal((await socket.refuse("connect", "unauthorized"))["token"], "t2");
  socket.end(4500);
  assert.deepEqual([scene.client.state, scene.states.at(-1)?.error?.code, reasons.length], ["closed", "unauthorized", 2]);
});

test("a fixed token that is refused closes the client", async () => {
  const scene = new Scene({ token: "fixed" });
  const connecting = assert.rejects(scene.client.connect(), { code: "unauthorized" });
  const socket = await scene.socket(1);
  socket.open();
  await socket.refuse("connect", "unauthorized");
  socket.end(4500);
  await connecting;
});

test("a token got long before it could be shown is not taken for a new one", async () => {
  const { scene, reasons } = withTokens({ backoffMs: 40_000, backoffMaxMs: 40_000 });
  scene.runtime.chance = 0.99;
  void scene.client.connect();
  (await scene.socket(1)).end(1006);
  await scene.runtime.advance(39_600);
  const { connect } = await scene.welcome(2);
  assert.deepEqual([connect["token"], reasons], ["t2", ["connect", "connect"]]);
});

test("a provider that fails is asked again later, unless it says that it is no use", async () => {
  let calls = 0;
  const scene = new Scene({
    token: () => {
      if (++calls === 1) throw new Error("offline");
      throw new TidegateError("logged_out", "please log in");
    },
  });
  const connecting = assert.rejects(scene.client.connect(), { code: "logged_out" });
  await settle();
  assert.deepEqual([scene.client.state, scene.states.at(-1)?.retryInMs], ["connecting", 2_000]);
  await scene.runtime.advance(2_000);
  await connecting;
  assert.deepEqual([scene.client.state, scene.sockets.length], ["closed", 0]);
});

test("a provider that hangs counts as failed, and what it says later is not used", async () => {
  const answers: ((token: string) => void)[] = [];
  const scene = new Scene({ connectTimeoutMs: 3_000, token: () => new Promise((resolve) => answers.push(resolve)) });
  void scene.client.connect();
  await scene.runtime.advance(3_000);
  assert.deepEqual([scene.states.at(-1)?.error?.code, scene.sockets.length], ["timeout", 0]);
  answers[0]?.("late");
  await scene.runtime.advance(2_000);
  answers[1]?.("good");
  const { connect } = await scene.welcome(1);
  assert.equal(connect["token"], "good");
});

test("a token that comes when the client is closed is not refreshed with", async () => {
  let give: (token: string) => void = () => {};
  const scene = new Scene({ token: (reason) => (reason === "connect" ? "t1" : new Promise((resolve) => (give = resolve))) });
  const socket = await scene.connected({ token_expires_in_ms: 100_000 });
  await scene.runtime.advance(10_000);
  socket.say({ expiring: { in_ms: 60_000 } });
  await settle();
  await scene.client.close();
  give("late");
  await settle();
  assert.deepEqual([scene.runtime.timers, scene.client.state], [0, "closed"]);
});

test("a client closed while it waits for a token makes no connection", async () => {
  let give: (token: string) => void = () => {};
  const scene = new Scene({ token: () => new Promise((resolve) => (give = resolve)) });
  void scene.client.connect();
  await settle();
  await scene.client.close();
  give("late");
  await scene.runtime.advance(60_000);
  assert.deepEqual([scene.sockets.length, scene.runtime.timers], [0, 0]);
});
