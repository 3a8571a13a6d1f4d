// The client in Node against the real gateway: what the scripted server of the other tests cannot prove.

import assert from "node:assert/strict";
import { test } from "node:test";
import WebSocket from "ws";
import type { Message } from "../../src/index.js";
import { newClient, reached, startGateway, told, tokenFor, within } from "./gateway.js";
import { startProxy } from "./proxy.js";

const TEST = { timeout: 60_000 };

/** Collects the data of a subscription's messages; `until` resolves when one of them is this. */
function collect(subscription: { on(name: "message", listener: (message: Message) => void): unknown }) {
  const seen: unknown[] = [];
  const waiting = new Map<unknown, () => void>();
  subscription.on("message", ({ data }) => {
    seen.push(data);
    waiting.get(data)?.();
  });
  return {
    seen,
    until: (data: unknown) =>
      within(seen.includes(data) ? Promise.resolve() : new Promise<void>((resolve) => waiting.set(data, resolve)), `message ${String(data)}`),
  };
}

function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

test("what one client publishes another one hears, and both can read it again", TEST, async (t) => {
  const gateway = await startGateway(t);
  const [ada, ben] = [newClient(t, gateway.address, { token: tokenFor("ada", 60) }), newClient(t, gateway.address)];
  const [session, anonymous] = await Promise.all([ada.connect(), ben.connect()]);
  assert.deepEqual([session.user, session.resumed, anonymous.user], ["ada", false, ""]);

  const room = ben.subscribe<{ text: string }>("room:tea");
  await room.ready;
  const loop = room[Symbol.asyncIterator]();
  const published = await ada.publish("room:tea", { text: "grüße 雨" });
  assert.equal(published.offset, 1);
  const { value } = await within(loop.next(), "the message");
  assert.deepEqual([value?.data, value?.from, value?.offset, value?.channel], [{ text: "grüße 雨" }, "ada", 1, "room:tea"]);

  const page = await room.history();
  assert.deepEqual([page.epoch, page.offset, page.messages[0]?.data], [published.epoch, 1, { text: "grüße 雨" }]);
});

test("a publish with the same key is delivered once", TEST, async (t) => {
  const gateway = await startGateway(t);
  const client = newClient(t, gateway.address);
  await client.connect();
  const first = await client.publish("room:tea", 1, { key: "same" });
  const second = await client.publish("room:tea", 1, { key: "same" });
  assert.deepEqual([second.duplicate, second.offset], [true, first.offset]);
  assert.equal((await client.history("room:tea")).messages.length, 1);
});

test("the newest messages come first to who asks for them", TEST, async (t) => {
  const gateway = await startGateway(t);
  const client = newClient(t, gateway.address);
  await client.connect();
  for (const n of numbers(1, 5)) await client.publish("room:tea", n);
  const room = client.subscribe("room:tea", { last: 2 });
  const { seen, until } = collect(room);
  const begins: (number | undefined)[] = [];
  room.on("subscribed", () => begins.push(room.position?.offset));
  await client.publish("room:tea", 6);
  await until(6);
  assert.deepEqual([begins, seen], [[3], [4, 5, 6]]);
});

test("who is there, who comes and who leaves is known", TEST, async (t) => {
  const gateway = await startGateway(t);
  const [ada, ben] = [
    newClient(t, gateway.address, { token: tokenFor("ada", 60) }),
    newClient(t, gateway.address, { token: tokenFor("ben", 60), info: { hat: "red" } }),
  ];
  await ada.connect();
  const room = ada.subscribe("room:tea");
  await room.ready;

  const joined = told<{ user: string }>((listener) => room.on("join", (who) => who.user === "ben" && listener(who)), "ben to come");
  await ben.connect();
  await ben.subscribe("room:tea").ready;
  await joined;
  const members = (await room.presence()).sort((left, right) => left.user.localeCompare(right.user));
  assert.deepEqual(members.map(({ user, info }) => [user, info]), [["ada", undefined], ["ben", { hat: "red" }]]);
  assert.ok(Math.abs((members[0]?.sinceMs ?? 0) - Date.now()) < 60_000);

  const left = told<{ user: string }>((listener) => room.on("leave", listener), "ben to leave");
  await ben.close();
  assert.equal((await left).user, "ben");
});

test("direct messages reach a user's sessions, and one session by its name", TEST, async (t) => {
  const gateway = await startGateway(t);
  const [one, two, sender] = [1, 2, 3].map((n) => newClient(t, gateway.address, { token: tokenFor(n < 3 ? "ada" : "ben", 60) }));
  const [, session] = await Promise.all([one!.connect(), two!.connect(), sender!.connect()]);
  const loops = [one!.directs(), two!.directs()];

  assert.equal(await sender!.send({ user: "ada" }, "to all"), 2);
  for (const loop of loops) assert.deepEqual((await within(loop.next(), "a direct message")).value, { data: "to all", from: "ben" });
  assert.equal(await sender!.send({ session: session.session }, "to one"), 1);
  assert.equal((await within(loops[1]!.next(), "a direct message")).value?.data, "to one");
});

test("what a client may not do is refused by name, and nothing else suffers", TEST, async (t) => {
  const gateway = await startGateway(t);
  const client = newClient(t, gateway.address);
  await client.connect();
  await assert.rejects(client.subscribe("members:only").ready, { name: "TidegateError", code: "forbidden", retry: false });
  await assert.rejects(client.publish("members:only", 1), { code: "forbidden" });
  await client.publish("room:tea", 1);
});

test("a token that is wrong closes the client", TEST, async (t) => {
  const gateway = await startGateway(t);
  const client = newClient(t, gateway.address, { token: `${tokenFor("ada", 60)}x` });
  await assert.rejects(client.connect(), { code: "unauthorized" });
  assert.equal(client.state, "closed");
});

test("a connection cut again and again loses nothing, repeats nothing and keeps the order", TEST, async (t) => {
  const gateway = await startGateway(t);
  const proxy = await startProxy(t, gateway.address);
  const [reader, writer] = [newClient(t, proxy.address), newClient(t, gateway.address)];
  const { session } = await reader.connect();
  await writer.connect();
  const room = reader.subscribe("room:tea");
  const { seen, until } = collect(room);
  await room.ready;

  for (const round of numbers(0, 4)) {
    const back = reached(reader, "connected");
    await Promise.all(numbers(round * 40 + 1, round * 40 + 40).map((n) => {
      if (n % 40 === 20) proxy.cut();
      return writer.publish("room:tea", n);
    }));
    await back;
    assert.deepEqual([reader.session?.session, reader.session?.resumed], [session, true]);
  }
  await writer.publish("room:tea", "end");
  await until("end");
  assert.deepEqual(seen, [...numbers(1, 200), "end"]);
});

test("publishes over a connection that is cut arrive once each", TEST, async (t) => {
  const gateway = await startGateway(t);
  const proxy = await startProxy(t, gateway.address);
  const [writer, reader] = [newClient(t, proxy.address), newClient(t, gateway.address)];
  await Promise.all([writer.connect(), reader.connect()]);
  const all: Promise<{ offset?: number }>[] = [];
  for (const round of numbers(0, 4)) {
    const back = reached(writer, "connected");
    // Half of them on their way, half of them given while there is no connection.
    all.push(...numbers(round * 20 + 1, round * 20 + 10).map((n) => writer.publish("room:tea", n)));
    await new Promise((resolve) => setImmediate(resolve));
    proxy.cut();
    all.push(...numbers(round * 20 + 11, round * 20 + 20).map((n) => writer.publish("room:tea", n)));
    await back;
  }
  const offsets = (await within(Promise.all(all), "all acknowledgements")).map(({ offset }) => offset);
  assert.equal(new Set(offsets).size, 100);
  const { messages } = await reader.history("room:tea", { limit: 200 });
  assert.deepEqual(messages.map(({ data }) => data as number).sort((left, right) => left - right), numbers(1, 100));
});

test("a connection that is open and dead is noticed, and what was missed is caught up", TEST, async (t) => {
  const gateway = await startGateway(t);
  const proxy = await startProxy(t, gateway.address);
  const [reader, writer] = [newClient(t, proxy.address), newClient(t, gateway.address)];
  const { session } = await reader.connect();
  await writer.connect();
  const room = reader.subscribe("room:tea");
  const { seen, until } = collect(room);
  await room.ready;
  await writer.publish("room:tea", 1);
  await until(1);

  const back = reached(reader, "connected");
  const recovered = told((listener) => room.on("subscribed", listener), "the subscription to be recovered");
  proxy.stall();
  for (const n of numbers(2, 10)) await writer.publish("room:tea", n);
  await back;
  assert.deepEqual(await recovered, { channel: "room:tea", recovered: true });
  // Its answer comes behind what is replayed.
  await within(reader.presence("room:tea"), "who is there");
  assert.deepEqual(seen, numbers(1, 10));
  assert.deepEqual([reader.session?.session, proxy.connections], [session, 2]);
});

test("an idle connection stays open", TEST, async (t) => {
  const gateway = await startGateway(t);
  // More signs of life asked for than the gateway would let pass unanswered.
  let asked = 0;
  let handleEnough: () => void;
  const enough = new Promise<void>((resolve) => (handleEnough = resolve));
  const webSocket = class extends WebSocket {
    constructor(url: string, protocol: string) {
      super(url, protocol);
      this.on("message", (data) => String(data) === "{}" && ++asked === 4 && handleEnough());
    }
  };
  const client = newClient(t, gateway.address, { webSocket });
  await client.connect();
  const states: string[] = [];
  client.on("state", ({ state }) => states.push(state));
  await within(enough, "four signs of life");
  await client.publish("quiet:x", 1);
  assert.deepEqual(states, []);
});

test("a gateway killed and started again is found again, and what was lost is told", TEST, async (t) => {
  const gateway = await startGateway(t);
  const client = newClient(t, gateway.address);
  const { session } = await client.connect();
  const room = client.subscribe("room:tea");
  const { seen, until } = collect(room);
  await room.ready;
  await client.publish("room:tea", "before");
  await until("before");

  const [lost, gap] = [reached(client, "recovering"), told<{ reason: string }>((listener) => room.on("gap", listener), "a gap")];
  await gateway.kill();
  await lost;
  const waiting = client.publish("room:tea", "meanwhile");
  await startGateway(t, gateway.address);
  await within(waiting, "the publish that waited");
  await until("meanwhile");
  // Memory is gone with the process: another session, another epoch, and the client knows.
  assert.equal((await gap).reason, "recovery");
  assert.deepEqual([client.session?.resumed, client.session?.session === session], [false, false]);
  assert.deepEqual(seen, ["before", "meanwhile"]);
});

test("a gateway that is asked to stop sends its clients away, and they come back to the next one", TEST, async (t) => {
  const gateway = await startGateway(t);
  const client = newClient(t, gateway.address);
  await client.connect();
  const causes: (string | undefined)[] = [];
  client.on("state", ({ error }) => error && causes.push(error.code));
  const lost = reached(client, "recovering");
  await gateway.stop();
  await lost;
  const back = reached(client, "connected");
  await startGateway(t, gateway.address);
  await back;
  assert.equal(causes[0], "drain");
});

test("a short-lived token is refreshed in time, and the connection never notices", TEST, async (t) => {
  const gateway = await startGateway(t);
  const reasons: string[] = [];
  let handleRenewed: () => void;
  const renewed = new Promise<void>((resolve) => (handleRenewed = resolve));
  const client = newClient(t, gateway.address, {
    token: (reason) => {
      // By the third renewal the first token has ended.
      if (reasons.push(reason) === 4) handleRenewed();
      return tokenFor("ada", 2);
    },
  });
  await client.connect();
  const states: string[] = [];
  client.on("state", ({ state }) => states.push(state));
  await within(renewed, "three refreshes");
  await client.publish("members:only", 1);
  assert.deepEqual([states, [...new Set(reasons)]], [[], ["connect", "expiring"]]);
});

test("a token that was not refreshed costs a reconnect, not the session", TEST, async (t) => {
  const gateway = await startGateway(t);
  const client = newClient(t, gateway.address, {
    token: (reason) => {
      if (reason === "expiring") throw new Error("the login server is down");
      return tokenFor("ada", 2);
    },
  });
  const { session } = await client.connect();
  const causes: (string | undefined)[] = [];
  client.on("state", ({ error }) => error && causes.push(error.code));
  const [lost, back] = [reached(client, "recovering"), reached(client, "connected")];
  await lost;
  await back;
  assert.deepEqual([causes, client.session?.session, client.session?.resumed], [["token_expired"], session, true]);
});

test("three hundred publishes at once keep within the gateway's limits and all arrive in order", TEST, async (t) => {
  const gateway = await startGateway(t);
  const client = newClient(t, gateway.address);
  await client.connect();
  const room = client.subscribe("room:tea");
  const { seen, until } = collect(room);
  await room.ready;
  const all = numbers(1, 300).map((n) => client.publish("room:tea", n));
  await within(Promise.all(all), "all acknowledgements");
  await until(300);
  assert.deepEqual(seen, numbers(1, 300));
  assert.equal(client.state, "connected");
});
