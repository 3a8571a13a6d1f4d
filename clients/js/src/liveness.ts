/**
 * Notices a connection that is open and dead.
 *
 * Place in the data path: `link.ts` tells it of each thing heard. The server says `{}` when it has been silent for a
 * while, so a longer silence means that nothing gets through, which a socket may not notice for many minutes.
 */

import type { Runtime } from "./runtime.js";

export class Liveness {
  readonly #runtime: Runtime;
  readonly #handleSilence: () => void;
  #timer: unknown;
  #heardAtMs = 0;
  #silenceMsMax = 0;

  constructor(runtime: Runtime, handleSilence: () => void) {
    this.#runtime = runtime;
    this.#handleSilence = handleSilence;
  }

  /** Watches from now on. `pingMs`: the server breaks its silence after this long. */
  start(pingMs: number): void {
    this.stop();
    this.#silenceMsMax = pingMs * INTERVALS;
    this.heard();
    this.#arm(this.#silenceMsMax);
  }

  /** Something came. Only notes the time: a timer set anew for each message would cost more than the message. */
  heard(): void {
    this.#heardAtMs = this.#runtime.now();
  }

  /** Nothing came for a while, though not for too long. */
  get isQuiet(): boolean {
    return this.#runtime.now() - this.#heardAtMs > this.#silenceMsMax / (2 * INTERVALS);
  }

  stop(): void {
    this.#runtime.clearTimeout(this.#timer);
  }

  #arm(ms: number): void {
    this.#timer = this.#runtime.setTimeout(() => {
      const restMs = this.#heardAtMs + this.#silenceMsMax - this.#runtime.now();
      if (restMs > 0) this.#arm(restMs);
      else this.#handleSilence();
    }, ms);
  }
}

/** Intervals of silence that are too many: one sign of life may be late, two are not. */
const INTERVALS = 2;
