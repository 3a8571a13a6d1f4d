import assert from "node:assert/strict";
import { test } from "node:test";
import { MessageQueue } from "../src/queue.js";

type Item = { n: number; gap?: true };

test("items come out in order, to readers before and after them", async () => {
  const queue = new MessageQueue<Item>(10);
  const early = [queue.next(), queue.next()];
  for (const n of [1, 2, 3]) queue.push({ n });

  assert.deepEqual([...(await Promise.all(early)), await queue.next()].map(({ value }) => value?.n), [1, 2, 3]);
});

test("a full queue drops what comes, says so once, and marks the next that fits", async () => {
  const queue = new MessageQueue<Item>(2);
  const accepted = [1, 2, 3, 4].map((n) => queue.push({ n }));
  assert.deepEqual(accepted, [true, true, false, true]);

  assert.deepEqual([(await queue.next()).value, (await queue.next()).value], [{ n: 1 }, { n: 2 }]);
  queue.push({ n: 5 });
  queue.push({ n: 6 });
  assert.deepEqual([(await queue.next()).value, (await queue.next()).value], [{ n: 5, gap: true }, { n: 6 }]);
});

test("a loop gets what is left before the end, and the reason of the end", async () => {
  const queue = new MessageQueue<Item>(10);
  queue.push({ n: 1 });
  queue.end(new Error("over"));
  queue.push({ n: 2 });

  const seen: number[] = [];
  await assert.rejects(async () => {
    for await (const { n } of queue) seen.push(n);
  }, /over/);
  assert.deepEqual(seen, [1]);
  assert.equal((await queue.next()).done, true);
});

test("readers that wait at the end are all released, one of them with the reason", async () => {
  const queue = new MessageQueue<Item>(10);
  const readers = [queue.next(), queue.next(), queue.next()];
  queue.end(new Error("over"));

  const [first, ...others] = await Promise.allSettled(readers);
  assert.equal(first?.status, "rejected");
  assert.deepEqual(others.map((other) => other.status === "fulfilled" && other.value.done), [true, true]);
});

test("a break tells the owner and forgets what was waiting", async () => {
  let returned = 0;
  const queue = new MessageQueue<Item>(10, () => returned++);
  queue.push({ n: 1 });
  queue.push({ n: 2 });
  for await (const { n } of queue) {
    assert.equal(n, 1);
    break;
  }
  assert.equal(returned, 1);
  assert.equal((await queue.next()).done, true);
});
