// Starts the real gateway on config/dev.toml and free ports for one test, and knows how to end it.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const START_MS = 20_000;

/** Resolves when the gateway listens: `{ client, admin, url, child, exited }`. `t.after` ends it if the test has not. */
export async function startGateway(t, settings = {}) {
  const env = {
    ...withoutSettings(process.env),
    TIDEGATE_CLIENT__LISTEN: "127.0.0.1:0",
    TIDEGATE_ADMIN__LISTEN: "127.0.0.1:0",
    TIDEGATE_API__LISTEN: "127.0.0.1:0",
    TIDEGATE_TELEMETRY__LOG_FORMAT: "json",
    // A silent network is noticed after two of these.
    TIDEGATE_LIMITS__PING_INTERVAL: "1s",
    TIDEGATE_NODE__WORKERS: "1",
    ...settings,
  };
  const child = spawn(binary(), ["--config", path.join(ROOT, "config/dev.toml")], { env, stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  t.after(async () => {
    child.kill("SIGKILL");
    await exited;
  });

  const { client, admin } = await listening(child, exited);
  return { client, admin, url: `http://${client}/`, child, exited };
}

async function listening(child, exited) {
  const lines = createInterface({ input: child.stdout });
  const announced = new Promise((resolve) => {
    // Goes on reading for as long as the gateway runs: a full pipe must not block it.
    lines.on("line", (line) => {
      const entry = parse(line);
      const fields = entry?.fields ?? entry;
      if (fields?.message === "listening") resolve(fields);
    });
  });
  const early = exited.then(([code, signal]) => {
    throw new Error(`the gateway ended before it listened (exit status ${code ?? signal})`);
  });
  // Somebody has to look at the later rejection, too: the one at the end of each test.
  early.catch(() => {});
  const slow = new Promise((_, reject) => {
    const timer = setTimeout(() => reject(new Error(`the gateway did not listen within ${START_MS} ms`)), START_MS);
    announced.then(() => clearTimeout(timer));
    timer.unref();
  });
  return Promise.race([announced, early, slow]);
}

function parse(line) {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

function withoutSettings(env) {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith("TIDEGATE_")));
}

/** `GATEWAY_BINARY`, else the release build in cargo's target directory. */
function binary() {
  if (process.env.GATEWAY_BINARY) return process.env.GATEWAY_BINARY;
  const metadata = execFileSync("cargo", ["metadata", "--format-version", "1", "--no-deps"], { cwd: ROOT, encoding: "utf8" });
  return path.join(JSON.parse(metadata).target_directory, "release", "tidegate-gateway");
}
