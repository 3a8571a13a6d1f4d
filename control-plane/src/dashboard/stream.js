// The stream of the cluster's health: server-sent events, read by `fetch`, since an `EventSource` could send no token.

import { Problem, ask } from "./api.js";

/** Keeps one stream open, with back-off between the attempts, until it is stopped or refused. */
export class Stream {
  #path;
  #handle;
  #abort;
  #attempt = 0;
  #timer = 0;

  /**
   * `handle` has `document(data)` for each event, `open()` once an attempt is answered, `lost(problem, retryMs)` whenever it
   * ends and is tried again, `refused(problem)` where trying again is of no use without another token.
   */
  constructor(path, handle) {
    this.#path = path;
    this.#handle = handle;
  }

  /** Begins, or begins again at once. */
  start() {
    this.stop();
    const abort = (this.#abort = new AbortController());
    this.#read(abort).catch((error) => {
      if (abort.signal.aborted && this.#abort !== abort) return;
      this.stop();
      const problem = error instanceof Problem ? error : new Problem(0, { detail: error.message || "the stream ended" });
      if (problem.status === 401 || problem.status === 403) this.#handle.refused(problem);
      else this.#waitAfter(problem);
    });
  }

  stop() {
    clearTimeout(this.#timer);
    const abort = this.#abort;
    this.#abort = undefined;
    abort?.abort();
  }

  async #read(abort) {
    // A connection that is silent for longer than its heartbeats are apart is none.
    let watchdog = 0;
    const heard = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => abort.abort(), SILENCE_MS);
    };
    try {
      heard();
      const response = await ask(this.#path, { signal: abort.signal, headers: { accept: "text/event-stream" } });
      if (!response.ok) throw await Problem.of(response);
      this.#handle.open();
      const parser = new EventParser((event) => {
        this.#attempt = 0;
        this.#handle.document(JSON.parse(event.data), event.name);
      });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        heard();
        parser.push(part.value);
      }
      throw new Problem(0, { detail: "the control plane ended the stream" });
    } catch (error) {
      if (error.name !== "AbortError") throw error;
      throw new Problem(0, { detail: `nothing was heard for ${SILENCE_MS / 1000} s` });
    } finally {
      clearTimeout(watchdog);
    }
  }

  #waitAfter(problem) {
    // Random, so that the pages of all operators do not come back at the same moment.
    const waitMs = Math.min(FIRST_WAIT_MS * 2 ** this.#attempt, LONGEST_WAIT_MS) * (0.5 + Math.random() / 2);
    this.#attempt = Math.min(this.#attempt + 1, ATTEMPTS_COUNTED);
    this.#timer = setTimeout(() => this.start(), waitMs);
    this.#handle.lost(problem, waitMs);
  }
}

/** The format of server-sent events (HTML, section 9.2.6), from text that is cut anywhere. */
export class EventParser {
  #handleEvent;
  #rest = "";
  #name = "";
  #data = [];

  constructor(handleEvent) {
    this.#handleEvent = handleEvent;
  }

  push(text) {
    this.#rest += text;
    // A carriage return at the end may be the first half of a line's end.
    const lines = this.#rest.split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    if (this.#rest.length > LINE_MAX) throw new Error("a line of the stream is too long");
    for (const line of lines) this.#handleLine(line);
  }

  #handleLine(line) {
    if (line === "") {
      if (this.#data.length) this.#handleEvent({ name: this.#name || "message", data: this.#data.join("\n") });
      this.#name = "";
      this.#data = [];
      return;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#name = value;
  }
}

/** Longer than the control plane's heartbeats are apart. */
const SILENCE_MS = 20_000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
const ATTEMPTS_COUNTED = 10;
/** Characters; a thousand nodes are about one million. */
const LINE_MAX = 16 * 1024 * 1024;
