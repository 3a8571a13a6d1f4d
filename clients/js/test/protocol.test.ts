import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { VERSION, endingOf, endingOfClosing, parseObjects } from "../src/protocol.js";

test("each close code asks for what the protocol says", () => {
  const advised = (...codes: number[]) => codes.map((code) => endingOf(code, "").advice).join(" ");

  assert.equal(advised(4000, 4001, 4002, 4003, 4004, 4049, 4100, 4449), "now now now now now now now now");
  assert.equal(advised(4050, 4051, 4052, 4053, 4099, 4150, 4499), "later later later later later later later");
  assert.equal(advised(4500, 4501, 4503, 4506, 4508, 4550, 4999), "never never never never never never never");
  assert.equal(advised(1001, 1005, 1006, 1012), "now now now now");
  assert.equal(advised(1000, 1011, 1013, 1014, 3000), "later later later later later");
  assert.equal(advised(1002, 1003, 1007, 1008, 1009, 1010), "never never never never never never");
});

test("a closing object says more than its code", () => {
  const closing = (code: number, reconnect: boolean) => endingOfClosing({ code, name: "x", reconnect }).advice;

  assert.deepEqual([closing(4000, true), closing(4051, true), closing(4503, false)], ["now", "later", "never"]);
  assert.deepEqual([closing(4000, false), closing(4503, true)], ["never", "later"]);
  assert.equal(endingOfClosing({ code: 4051, name: "overloaded", reconnect: true, after_ms: 900 }).afterMs, 900);
});

test("a code has a name, and one that nobody knows has its number", () => {
  assert.deepEqual([4503, 4004, 1006, 4321].map((code) => endingOf(code, "").name), ["taken_over", "token_expired", "lost", "close_4321"]);
  assert.equal(endingOf(4503, "in another tab").message, "in another tab");
});

test("a message holds objects, one a line", () => {
  assert.deepEqual(parseObjects('{"a":1}\n{}\n\n{"id":2}\n'), [{ a: 1 }, {}, { id: 2 }]);
  for (const bad of ["{", "[1]", "null", "3", '{"a":1}{"b":2}', new ArrayBuffer(2)]) assert.throws(() => parseObjects(bad), SyntaxError);
});

test("the version told to the server is the package's", async () => {
  const { version } = JSON.parse(await readFile("package.json", "utf8")) as { version: string };
  assert.equal(VERSION, version);
});
