import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

/** What a page has to load at most, in bytes. */
const GZIP_BYTES_MAX = 8 * 1024;

test("the bundle is smaller than 8 KiB when it is compressed", async () => {
  const bytes = gzipSync(await readFile("dist/tidegate.min.js")).length;
  assert.ok(bytes < GZIP_BYTES_MAX, `${bytes} bytes, at most ${GZIP_BYTES_MAX - 1}`);
});

test("the demo page carries the bundle of this source", async () => {
  const [built, carried] = await Promise.all([
    readFile("dist/tidegate.min.js", "utf8"),
    readFile("../../gateway/src/http/demo/tidegate.min.js", "utf8"),
  ]);
  // Not compared as texts: the difference of two minified lines tells nobody anything.
  assert.ok(built === carried, "gateway/src/http/demo/tidegate.min.js is out of date: run `make bundle`, and commit what it changes");
});

test("the bundle runs on its own and exports what the package does", async () => {
  const [bundle, source] = await Promise.all([import(bundleUrl.href) as Promise<object>, import("../src/index.js")]);
  assert.deepEqual(Object.keys(bundle).sort(), Object.keys(source).sort());
});

const bundleUrl = new URL("../../dist/tidegate.min.js", import.meta.url);
