/**
 * How long to stay away: exponential back-off with full jitter.
 *
 * Place in the data path: `link.ts` asks it each time it has lost a connection or failed to make one.
 */

import type { Runtime } from "./runtime.js";

/** The window doubles with each failure; the delay is anywhere in it, so that clients lost together come back apart. */
export class Backoff {
  readonly #runtime: Runtime;
  readonly #baseMs: number;
  readonly #maxMs: number;
  #failures = 0;

  constructor(runtime: Runtime, baseMs: number, maxMs: number) {
    this.#runtime = runtime;
    this.#baseMs = baseMs;
    this.#maxMs = maxMs;
  }

  /** Counts a failure, and says how many milliseconds to wait: `atLeastMs` and something random on top. */
  next(advice: "now" | "later", atLeastMs = 0): number {
    // "At once" is the smallest window. It grows with repeated failures like any other: the advice was for the first.
    const exponent = advice === "later" ? Math.max(this.#failures, LATER_EXPONENT) : this.#failures;
    this.#failures++;
    return atLeastMs + this.#runtime.random() * Math.min(this.#maxMs, this.#baseMs * 2 ** exponent);
  }

  /** The connection has proved itself. */
  reset(): void {
    this.#failures = 0;
  }
}

/** Who is told to back off begins where two failures would have led. */
const LATER_EXPONENT = 2;
