import assert from "node:assert/strict";
import { test } from "node:test";
import { TidegateError } from "../src/index.js";
import { Scene, settle } from "./kit.js";

test("each command is sent as the protocol names it, and resolves with its reply", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  const { client } = scene;

  const published = client.publish("chat:1", { text: "hi" }, { key: "k", conflate: "c", trace: "00-a-b-01" });
  assert.deepEqual(await socket.answer("publish", { epoch: "e", offset: 18 }), {
    channel: "chat:1", data: { text: "hi" }, conflate: "c", trace: "00-a-b-01", key: "k",
  });
  assert.deepEqual(await published, { epoch: "e", offset: 18 });

  const sent = client.send({ user: "ben" }, 1, { key: "k" });
  assert.deepEqual(await socket.answer("send", { sessions: 2 }), { user: "ben", data: 1, key: "k" });
  assert.equal(await sent, 2);

  const members = client.presence("chat:1");
  const member = { user: "ben", session: "s2", info: { a: 1 } };
  assert.deepEqual(await socket.answer("presence", { members: [{ ...member, since_ms: 5 }] }), { channel: "chat:1" });
  assert.deepEqual(await members, [{ ...member, sinceMs: 5 }]);

  const page = client.history("chat:1", { after: { epoch: "e", offset: 3 }, limit: 2, newestFirst: true });
  assert.deepEqual(await socket.answer("history", { epoch: "e", offset: 9, messages: [{ data: 1, offset: 9, at_ms: 7 }] }), {
    channel: "chat:1", after: { epoch: "e", offset: 3 }, limit: 2, newest_first: true,
  });
  assert.deepEqual(await page, { epoch: "e", offset: 9, messages: [{ data: 1, offset: 9, atMs: 7 }] });
});

test("replies find their commands in any order", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  const [first, second] = [scene.client.publish("a", 1), scene.client.publish("a", 2)];
  const [one, two] = [await socket.expect("publish"), await socket.expect("publish")];
  socket.say({ id: two.id, publish: { offset: 2 } }, { id: one.id, publish: { offset: 1 } });
  assert.deepEqual([(await first).offset, (await second).offset], [1, 2]);
});

test("a refusal rejects with the server's code, advice and words", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  const refused = assert.rejects(scene.client.publish("chat:1", 1), (error) => {
    assert.ok(error instanceof TidegateError);
    assert.deepEqual([error.name, error.code, error.retry, error.retryAfterMs], ["TidegateError", "unavailable", true, 250]);
    assert.match(error.message, /no: unavailable/);
    return true;
  });
  await socket.refuse("publish", "unavailable", { retry: true, retry_after_ms: 250 });
  await refused;
});

test("commands of one microtask share a frame, later ones do not wait for them", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  const before = socket.frames.length;
  const all = [scene.client.publish("a", 1), scene.client.publish("a", 2), scene.client.presence("a")];
  await settle();
  all.push(scene.client.presence("b"));
  await settle();
  assert.deepEqual(socket.frames.slice(before).map((frame) => frame.split("\n").length), [3, 1]);
  void Promise.allSettled(all);
});

test("a frame stays within the server's limit, to the byte", async () => {
  const scene = new Scene();
  const object = (data: string) => JSON.stringify({ id: 2, publish: { channel: "a", data, key: "k" } }).length;
  // Two of these and the line break between them fit exactly.
  const socket = await scene.connected({ limits: { message_bytes: 2 * object("x".repeat(40)) + 1 } });
  const publish = (text: string) => void scene.client.publish("a", text, { key: "k" }).catch(() => {});
  const framed = async (...texts: string[]) => {
    const before = socket.frames.length;
    texts.forEach(publish);
    await settle();
    return socket.frames.slice(before).map((frame) => frame.split("\n").length);
  };
  const full = "x".repeat(40);

  assert.deepEqual(await framed(full, full, full), [2, 1]);
  assert.deepEqual(await framed(full, full + "x"), [1, 1]);
  // The limit counts bytes: "é" is one character and two bytes.
  assert.deepEqual(await framed(full, "x".repeat(39) + "é"), [1, 1]);
});

test("a command over the server's limit is refused here, and the others go on", async () => {
  const scene = new Scene();
  const socket = await scene.connected({ limits: { message_bytes: 1_000 } });
  const [large, small] = [scene.client.publish("a", "x".repeat(1_000)), scene.client.publish("a", "x")];
  await assert.rejects(large, { code: "too_large", retry: false });
  await socket.answer("publish", { offset: 1 });
  assert.equal((await small).offset, 1);
});

test("without an answer in time a command is rejected, and a late answer does no harm", async () => {
  const scene = new Scene({ commandTimeoutMs: 3_000 });
  const socket = await scene.connected();
  const [patient, hasty] = [scene.client.presence("a"), scene.client.presence("a", { timeoutMs: 1_000 })];
  const [, asked] = [await socket.expect("presence"), await socket.expect("presence")];
  const outcomes = Promise.allSettled([patient, hasty]);

  await scene.runtime.advance(1_000);
  await assert.rejects(hasty, { code: "timeout", retry: true });
  socket.say({ id: asked.id, presence: { members: [] } });
  await scene.runtime.advance(2_000);
  assert.deepEqual((await outcomes).map(({ status }) => status), ["rejected", "rejected"]);
});

test("a command that waits for a connection is subject to the same time", async () => {
  const scene = new Scene({ commandTimeoutMs: 3_000 });
  void scene.client.connect();
  const publishing = assert.rejects(scene.client.publish("a", 1), { code: "timeout" });
  await scene.runtime.advance(3_000);
  await publishing;
});

test("a queue is full at its number of commands, and at its number of characters", async () => {
  const scene = new Scene({ queueMax: 2 });
  void scene.client.connect();
  const waiting = [scene.client.publish("a", 1), scene.client.publish("a", 2)];
  await assert.rejects(scene.client.publish("a", 3), { code: "queue_full", retry: true });
  const { socket } = await scene.welcome(1);
  await socket.answer("publish");
  await socket.answer("publish");
  await Promise.all(waiting);
  void scene.client.publish("a", 4);
  await socket.answer("publish");

  const small = new Scene({ queueCharsMax: 200 });
  void small.client.connect();
  void small.client.publish("a", "x".repeat(100)).catch(() => {});
  await assert.rejects(small.client.publish("a", "x".repeat(100)), { code: "queue_full" });
});

test("no more than sixteen commands are unanswered, and each answer lets the next one go", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  const all = Array.from({ length: 40 }, (_, n) => scene.client.publish("a", n));
  const sent = await socket.unread();
  assert.deepEqual(sent.map((command) => command["publish"]!["data"]), Array.from({ length: 16 }, (_, n) => n));

  socket.say(...sent.slice(0, 5).map(({ id }) => ({ id, publish: {} })));
  assert.deepEqual((await socket.unread()).map((command) => command["publish"]!["data"]), [16, 17, 18, 19, 20]);
  void Promise.allSettled(all);
});

test("a full queue goes out at the server's rate, not faster", async () => {
  const scene = new Scene();
  const socket = await scene.connected({ limits: { messages_per_second: 10 } });
  for (let n = 0; n < 30; n++) scene.client.publish("a", n).catch(() => {});
  let sent = 0;
  const answerAll = async () => {
    for (let round = 0; round < 40; round++) {
      const commands = await socket.unread();
      if (commands.length === 0) return;
      sent += commands.length;
      socket.say(...commands.map(({ id }) => ({ id, publish: {} })));
    }
  };
  await answerAll();
  assert.ok(sent >= 4 && sent <= 10, `${sent} went at once`);
  for (let second = 1; second <= 2; second++) {
    for (let step = 0; step < 10; step++) {
      await scene.runtime.advance(100);
      await answerAll();
    }
    assert.ok(sent <= 10 + 10 * second, `${sent} went within ${second} s`);
  }
  assert.ok(sent >= 20, `only ${sent} went within 2 s`);
});

test("large commands are held back by the server's rate of bytes", async () => {
  const scene = new Scene();
  const socket = await scene.connected({ limits: { messages_per_second: 1_000, bytes_per_second: 10_000 } });
  for (let n = 0; n < 5; n++) scene.client.publish("a", "x".repeat(9_000)).catch(() => {});
  assert.equal((await socket.unread()).length, 1);
  await scene.runtime.advance(400);
  assert.equal((await socket.unread()).length, 0);
  await scene.runtime.advance(200);
  assert.equal((await socket.unread()).length, 1);
});

test("what is refused as too fast goes again when the server has room, one by one", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  const all = [1, 2, 3].map((n) => scene.client.publish("a", n));
  const sent = await socket.unread();
  socket.say(...sent.map(({ id }) => ({ id, error: { code: "limit", message: "slower", retry: true, retry_after_ms: 300 } })));

  await scene.runtime.advance(299);
  assert.deepEqual(await socket.unread(), []);
  await scene.runtime.advance(1);
  for (const n of [1, 2]) {
    const [again, ...more] = await socket.unread();
    assert.deepEqual([again?.["publish"]?.["data"], n === 1 ? more : []], [n, []]);
    socket.say({ id: again?.id, publish: { offset: n } });
    if (n === 2) socket.say({ id: more[0]?.id, publish: { offset: 3 } });
  }
  assert.deepEqual((await Promise.all(all)).map(({ offset }) => offset), [1, 2, 3]);
});

test("a limit that no waiting helps against rejects at once", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  const refused = assert.rejects(scene.client.publish("a", 1), { code: "limit", retryAfterMs: null });
  await socket.refuse("publish", "limit");
  await refused;
});

test("a publish without acknowledgement has no id, and is refused while there is no connection or no room", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  assert.deepEqual(await scene.client.publish("a", 1, { acknowledge: false }), {});
  assert.deepEqual(await socket.unread(), [{ publish: { channel: "a", data: 1 } }]);

  socket.bufferedAmount = (1 << 20) + 1;
  await assert.rejects(scene.client.publish("a", 2, { acknowledge: false }), { code: "queue_full", retry: true });
  socket.end();
  await assert.rejects(scene.client.publish("a", 3, { acknowledge: false }), { code: "not_connected", retry: true });
});

test("data that is undefined is null, and data that is no JSON rejects its own command only", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  void scene.client.publish("a", undefined);
  await assert.rejects(scene.client.publish("a", 1n), TypeError);
  assert.equal((await socket.answer("publish"))["data"], null);
});
