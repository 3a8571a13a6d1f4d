// Starts the real programs on free ports for one test, and knows how to end them.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const START_MS = 20_000;

/** Resolves when a gateway on config/dev.toml listens: `{ client, admin, url, child, exited }`. `t.after` ends it if the test has not. */
export async function startGateway(t, settings = {}) {
  const started = await start(t, "tidegate-gateway", path.join(ROOT, "config/dev.toml"), {
    TIDEGATE_CLIENT__LISTEN: "127.0.0.1:0",
    // A silent network is noticed after two of these.
    TIDEGATE_LIMITS__PING_INTERVAL: "1s",
    TIDEGATE_NODE__WORKERS: "1",
    ...settings,
  });
  return { ...started, url: `http://${started.client}/` };
}

/** Resolves when a control plane with this configuration (TOML) listens: `{ api, admin, url, child, exited }`. */
export async function startControlPlane(t, configuration) {
  const folder = mkdtempSync(path.join(tmpdir(), "tidegate-browser-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, "control-plane.toml");
  writeFileSync(file, configuration);
  const started = await start(t, "tidegate-control-plane", file, {});
  return { ...started, url: `http://${started.api}/` };
}

async function start(t, program, configuration, settings) {
  const env = {
    ...withoutSettings(process.env),
    TIDEGATE_ADMIN__LISTEN: "127.0.0.1:0",
    TIDEGATE_API__LISTEN: "127.0.0.1:0",
    TIDEGATE_TELEMETRY__LOG_FORMAT: "json",
    ...settings,
  };
  const child = spawn(binary(program), ["--config", configuration], { env, stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  t.after(async () => {
    child.kill("SIGKILL");
    await exited;
  });
  return { ...(await listening(program, child, exited)), child, exited };
}

async function listening(program, child, exited) {
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
    throw new Error(`${program} ended before it listened (exit status ${code ?? signal})`);
  });
  // Somebody has to look at the later rejection, too: the one at the end of each test.
  early.catch(() => {});
  const slow = new Promise((_, reject) => {
    const timer = setTimeout(() => reject(new Error(`${program} did not listen within ${START_MS} ms`)), START_MS);
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

/** `GATEWAY_BINARY`, `CONTROL_PLANE_BINARY`, else the release build in cargo's target directory. */
function binary(program) {
  const given = process.env[`${program.replace("tidegate-", "").replace("-", "_").toUpperCase()}_BINARY`];
  if (given) return given;
  const metadata = execFileSync("cargo", ["metadata", "--format-version", "1", "--no-deps"], { cwd: ROOT, encoding: "utf8" });
  return path.join(JSON.parse(metadata).target_directory, "release", program);
}
