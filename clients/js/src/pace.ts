/**
 * How fast commands may go out, so that a full queue after an outage does not look like a flood.
 *
 * Place in the data path: `commands.ts` asks it for each command. The server refuses what comes too fast, and closes a
 * client that goes on for good; so the pace is kept here and refusals are the exception.
 */

import type { WireLimits } from "./protocol.js";
import type { Runtime } from "./runtime.js";

export class Pace {
  readonly #runtime: Runtime;
  readonly #commands = new Schedule();
  readonly #bytes = new Schedule();
  #notBeforeMs = 0;
  #window = IN_FLIGHT_MAX;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** How many commands may be unanswered. */
  get inFlightMax(): number {
    return Math.floor(this.#window);
  }

  /** A new connection, with limits of its own. */
  reset({ messages_per_second, bytes_per_second }: WireLimits): void {
    this.#window = IN_FLIGHT_MAX;
    this.#notBeforeMs = 0;
    this.#commands.reset(messages_per_second);
    this.#bytes.reset(bytes_per_second);
  }

  /** Takes the permission for a command of so many bytes, or says how many milliseconds to wait before asking again. */
  take(bytes: number): number {
    const nowMs = this.#runtime.now();
    const waitMs = Math.max(this.#notBeforeMs, this.#commands.fromMs, this.#bytes.fromMs) - nowMs;
    if (waitMs > 0) return waitMs;
    this.#commands.add(1, nowMs);
    this.#bytes.add(bytes, nowMs);
    return 0;
  }

  /** The server had no room: waits as long as it says, and goes on one by one. */
  handleRefused(retryAfterMs: number): void {
    this.#notBeforeMs = Math.max(this.#notBeforeMs, this.#runtime.now() + retryAfterMs);
    this.#window = 1;
  }

  /** An answer: the window opens again, by one for each windowful of answers. */
  handleAnswered(): void {
    this.#window = Math.min(IN_FLIGHT_MAX, this.#window + 1 / this.#window);
  }
}

/** One rate, kept by the time at which the next unit would be exactly on it (GCRA). */
class Schedule {
  #intervalMs = 0;
  #dueAtMs = 0;

  /** When there is room again. */
  get fromMs(): number {
    return this.#dueAtMs - BURST_MS;
  }

  reset(unitsPerSecond: number | null | undefined): void {
    this.#intervalMs = unitsPerSecond ? 1000 / (unitsPerSecond * RATE_SHARE) : 0;
    this.#dueAtMs = 0;
  }

  add(units: number, nowMs: number): void {
    this.#dueAtMs = Math.max(this.#dueAtMs, nowMs) + units * this.#intervalMs;
  }
}

/** Unanswered commands at most: fewer than the refusals for which a server closes a client, were all of them refused. */
const IN_FLIGHT_MAX = 16;

/** Of the server's rate: the rest is for what its clock and ours differ by. */
const RATE_SHARE = 0.9;

/** How much of a rate may go at once; a server allows a second's worth. */
const BURST_MS = 500;
