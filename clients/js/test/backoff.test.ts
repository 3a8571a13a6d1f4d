import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "../src/backoff.js";
import { VirtualRuntime } from "./kit.js";

function backoffs(chance: number): Backoff {
  const runtime = new VirtualRuntime();
  runtime.chance = chance;
  return new Backoff(runtime, 1_000, 30_000);
}

test("the window doubles with each failure up to the widest", () => {
  const backoff = backoffs(1);
  const delays = Array.from({ length: 7 }, () => backoff.next("now"));
  assert.deepEqual(delays, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
});

test("a delay is anywhere in its window", () => {
  assert.deepEqual([0, 0.25, 1].map((chance) => backoffs(chance).next("now")), [0, 250, 1_000]);
});

test("who is told to back off begins with a wider window", () => {
  const backoff = backoffs(1);
  assert.deepEqual([backoff.next("later"), backoff.next("later")], [4_000, 4_000]);
  assert.equal(backoff.next("later"), 4_000);
  assert.equal(backoff.next("later"), 8_000);
});

test("what the server names is waited for in any case, with the jitter on top", () => {
  assert.equal(backoffs(0).next("later", 700), 700);
  assert.equal(backoffs(0.5).next("now", 700), 1_200);
});

test("after a success it begins anew", () => {
  const backoff = backoffs(1);
  backoff.next("now");
  backoff.next("now");
  backoff.reset();
  assert.equal(backoff.next("now"), 1_000);
});

test("a thousand failures do not overflow the window", () => {
  const backoff = backoffs(1);
  for (let failure = 0; failure < 1_100; failure++) backoff.next("now");
  assert.equal(backoff.next("now"), 30_000);
});
