import assert from "node:assert/strict";
import { test } from "node:test";
import { Scene, message, settle } from "./kit.js";

test("messages in the same frame as the answer reach a loop that begins after it", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  const room = scene.client.subscribe<string>("room");
  const { id } = await socket.expect("subscribe");
  socket.say({ id, subscribe: { epoch: "e", offset: 0 } }, message("room", 1), message("room", 2));
  await room.ready;

  const seen: string[] = [];
  for await (const { data } of room) if (seen.push(data) === 2) break;
  assert.deepEqual(seen, ["m1", "m2"]);
});

test("messages before any listener go to the first callback", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  const room = scene.client.subscribe("room");
  await socket.answer("subscribe", { epoch: "e", offset: 0 });
  socket.say(message("room", 1));
  const [first, second]: unknown[][] = [[], []];
  room.on("message", ({ data }) => first!.push(data));
  room.on("message", ({ data }) => second!.push(data));
  socket.say(message("room", 2));
  assert.deepEqual([first, second], [["m1", "m2"], ["m2"]]);
});

test("callbacks and several loops all get every message", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  const room = scene.client.subscribe("room");
  await socket.answer("subscribe");
  const [one, two] = [room[Symbol.asyncIterator](), room[Symbol.asyncIterator]()];
  const called: unknown[] = [];
  room.on("message", ({ data }) => called.push(data));
  for (const data of [1, 2]) socket.say(message("room", undefined, data));

  for (const loop of [one, two]) assert.deepEqual([(await loop.next()).value?.data, (await loop.next()).value?.data], [1, 2]);
  assert.deepEqual(called, [1, 2]);
});

test("a loop that is too slow loses messages, is told so, and goes on", async () => {
  const scene = new Scene({ bufferMax: 2 });
  const socket = await scene.connected();
  const room = scene.client.subscribe("room");
  const gaps: string[] = [];
  room.on("gap", ({ reason }) => gaps.push(reason));
  await socket.answer("subscribe");
  const loop = room[Symbol.asyncIterator]();
  for (const n of [1, 2, 3, 4]) socket.say(message("room", undefined, n));
  assert.deepEqual([(await loop.next()).value?.data, (await loop.next()).value?.data], [1, 2]);
  socket.say(message("room", undefined, 5));
  assert.deepEqual((await loop.next()).value, { channel: "room", data: 5, gap: true });
  assert.deepEqual(gaps, ["buffer"]);
});

test("the newest of the history are asked for once, and their offsets are no repetition", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  const room = scene.client.subscribe("room", { last: 2 });
  const seen: unknown[] = [];
  room.on("message", ({ data }) => seen.push(data));
  const { id, body } = await socket.expect("subscribe");
  assert.deepEqual(body, { channel: "room", last: 2 });
  socket.say({ id, subscribe: { epoch: "e", offset: 7 } });
  assert.deepEqual(room.position, { epoch: "e", offset: 7 });
  socket.say(message("room", 8));
  assert.deepEqual(room.position, { epoch: "e", offset: 8 });

  // Lost in between: the rest is asked for by position.
  socket.end(1006);
  await scene.runtime.advance(500);
  const { socket: next } = await scene.welcome(2);
  assert.deepEqual((await next.expect("subscribe")).body, { channel: "room", position: { epoch: "e", offset: 8 } });
  assert.deepEqual(seen, ["m8"]);
});

test("a position of an earlier life is gone on from", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  const room = scene.client.subscribe("room", { position: { epoch: "e", offset: 3 } });
  const told: unknown[] = [];
  room.on("subscribed", ({ recovered }) => told.push(recovered));
  assert.deepEqual(await socket.answer("subscribe", { epoch: "e", offset: 3, recovered: true }), {
    channel: "room", position: { epoch: "e", offset: 3 },
  });
  assert.deepEqual([told, room.position], [[true], { epoch: "e", offset: 3 }]);
});

test("a channel that is held already is not asked for again", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  const room = scene.client.subscribe("room");
  assert.equal(scene.client.subscribe("room"), room);
  await socket.answer("subscribe");
  assert.deepEqual(await socket.unread(), []);
});

test("a refusal ends the subscription, its loops and its promise", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  const room = scene.client.subscribe("secret");
  const ended: unknown[] = [];
  room.on("unsubscribed", ({ error }) => ended.push(error?.code));
  const loop = room[Symbol.asyncIterator]();
  const outcomes = [assert.rejects(room.ready, { code: "forbidden" }), assert.rejects(loop.next(), { code: "forbidden" })];
  await socket.refuse("subscribe", "forbidden");
  await Promise.all(outcomes);
  assert.deepEqual(ended, ["forbidden"]);
  assert.equal((await room[Symbol.asyncIterator]().next()).done, true);

  // It can be tried again.
  const again = scene.client.subscribe("secret");
  await socket.answer("subscribe");
  await again.ready;
});

test("a subscription that the server cannot make now is asked for again after what it says", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  const room = scene.client.subscribe("room");
  await socket.refuse("subscribe", "unavailable", { retry: true, retry_after_ms: 2_000 });
  await scene.runtime.advance(2_499);
  assert.deepEqual(await socket.unread(), []);
  await scene.runtime.advance(1);
  await socket.answer("subscribe");
  await room.ready;
});

test("a wait for another try ends with the subscription", async () => {
  const scene = new Scene();
  const socket = await scene.connected({ ping_ms: 1_000_000 });
  const room = scene.client.subscribe("room");
  await socket.refuse("subscribe", "unavailable", { retry: true });
  void room.unsubscribe();
  await socket.answer("unsubscribe");
  await scene.runtime.advance(60_000);
  assert.deepEqual(await socket.unread(), []);
});

test("what the server unsubscribes has ended, unless it only cannot for now", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  const [kicked, moved] = [scene.client.subscribe("kicked"), scene.client.subscribe("moved")];
  await socket.answer("subscribe", { epoch: "e", offset: 1 });
  await socket.answer("subscribe", { epoch: "e", offset: 1 });
  const loop = kicked[Symbol.asyncIterator]();
  const rejected = assert.rejects(loop.next(), { code: "forbidden", message: "go" });
  socket.say({ unsubscribed: { channel: "kicked", code: "forbidden", message: "go" } });
  socket.say({ unsubscribed: { channel: "moved", code: "unavailable", message: "wait" } });
  await rejected;
  await scene.runtime.advance(500);
  assert.deepEqual((await socket.expect("subscribe")).body, { channel: "moved", position: { epoch: "e", offset: 1 } });
  assert.deepEqual(await socket.unread(), []);
  void moved;
});

test("after unsubscribe nothing more is told, whatever is still on its way", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  const room = scene.client.subscribe("room");
  await socket.answer("subscribe");
  const seen: unknown[] = [];
  room.on("message", ({ data }) => seen.push(data));
  scene.client.on("message", ({ data }) => seen.push(data));
  const leaving = room.unsubscribe();
  socket.say(message("room", undefined, "late"));
  await socket.answer("unsubscribe");
  await leaving;
  await room.unsubscribe();
  assert.deepEqual([seen, await socket.unread()], [[], []]);
});

test("a channel left and taken again hears nothing of the first time", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  const first = scene.client.subscribe("room");
  await socket.answer("subscribe", { epoch: "e", offset: 3 });
  void first.unsubscribe();
  const second = scene.client.subscribe("room");
  assert.notEqual(second, first);
  const seen: unknown[] = [];
  second.on("message", ({ data }) => seen.push(data));
  socket.say(message("room", 4));
  await socket.answer("unsubscribe");
  await socket.answer("subscribe", { epoch: "e", offset: 4 });
  socket.say(message("room", 5));
  assert.deepEqual(seen, ["m5"]);
});

test("who comes and who leaves is told by callback", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  const room = scene.client.subscribe("room");
  await socket.answer("subscribe");
  const seen: string[] = [];
  room.on("join", ({ user, info }) => seen.push(`+${user} ${JSON.stringify(info)}`));
  room.on("leave", ({ user, session }) => seen.push(`-${user} ${session}`));
  const who = { channel: "room", user: "ben", session: "s9" };
  socket.say({ join: { ...who, info: { age: 7 } } }, { leave: who });
  assert.deepEqual(seen, ['+ben {"age":7}', "-ben s9"]);
});

test("direct messages come by callback and to loops, which end with the client", async () => {
  const scene = new Scene({ bufferMax: 1 });
  const socket = await scene.connected();
  const called: unknown[] = [];
  scene.client.on("direct", ({ data, from }) => called.push([data, from]));
  const loop = scene.client.directs();
  for (const data of [1, 2]) socket.say({ direct: { data, from: "ben" } });
  assert.deepEqual(called, [[1, "ben"], [2, "ben"]]);
  assert.deepEqual((await loop.next()).value, { data: 1, from: "ben" });
  socket.say({ direct: { data: 3 } });
  assert.deepEqual((await loop.next()).value, { data: 3, gap: true });
  await scene.client.close();
  assert.equal((await loop.next()).done, true);
});

test("a subscription's own commands name its channel", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  const room = scene.client.subscribe("room");
  await socket.answer("subscribe");
  void room.publish("hi");
  assert.equal((await socket.answer("publish"))["channel"], "room");
  void room.presence();
  assert.deepEqual(await socket.answer("presence", { members: [] }), { channel: "room" });
  void room.history({ limit: 5 });
  assert.deepEqual(await socket.answer("history", { epoch: "e", offset: 0, messages: [] }), { channel: "room", limit: 5 });
});

test("a listener's mistake shows, and stops neither the others nor the connection", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  const thrown: unknown[] = [];
  const standing = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  process.once("uncaughtException", (error) => thrown.push(error.message));
  const seen: unknown[] = [];
  scene.client.on("message", () => {
    throw new Error("mine");
  });
  scene.client.on("message", ({ data }) => seen.push(data));
  socket.say(message("room", undefined, 1));
  await settle();
  for (const listener of standing) process.on("uncaughtException", listener);
  assert.deepEqual([seen, thrown, scene.client.state], [[1], ["mine"], "connected"]);
});
