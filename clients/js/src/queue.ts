/**
 * A bounded queue that is read with `for await`.
 *
 * Place in the data path: between a subscription (or the direct messages) and one loop of the application.
 */

/** Items in order. When it is full new ones are dropped, and the next that fits says so with `gap: true`. */
export class MessageQueue<T extends { gap?: true }> implements AsyncIterableIterator<T> {
  readonly #itemsMax: number;
  readonly #onReturn: (queue: MessageQueue<T>) => void;
  readonly #items: T[] = [];
  readonly #readers: { resolve: (result: IteratorResult<T, undefined>) => void; reject: (error: Error) => void }[] = [];
  #dropped = false;
  #ended = false;
  #error: Error | undefined;

  constructor(itemsMax: number, onReturn: (queue: MessageQueue<T>) => void = () => {}) {
    this.#itemsMax = itemsMax;
    this.#onReturn = onReturn;
  }

  /** Adds an item, or drops it: then false, the first time of a row. */
  push(item: T): boolean {
    if (this.#ended) return true;
    const reader = this.#readers.shift();
    if (!reader && this.#items.length >= this.#itemsMax) {
      const first = !this.#dropped;
      this.#dropped = true;
      return !first;
    }

    const value = this.#dropped ? { ...item, gap: true as const } : item;
    this.#dropped = false;
    if (reader) reader.resolve({ value, done: false });
    else this.#items.push(value);
    return true;
  }

  /** No more items: the loop ends after those that are here, with `error` if there is one. */
  end(error?: Error): void {
    this.#ended = true;
    const reader = this.#readers.shift();
    if (error && reader) reader.reject(error);
    else {
      this.#error = error;
      reader?.resolve(DONE);
    }
    for (const other of this.#readers.splice(0)) other.resolve(DONE);
  }

  /** Takes all that is here. */
  drain(): T[] {
    return this.#items.splice(0);
  }

  /** The next item, as soon as there is one. */
  async next(): Promise<IteratorResult<T, undefined>> {
    const value = this.#items.shift();
    if (value !== undefined) return { value, done: false };
    if (!this.#ended) return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }));
    const error = this.#error;
    this.#error = undefined;
    if (error) throw error;
    return DONE;
  }

  /** Called by `break`: nobody reads any more. */
  async return(): Promise<IteratorResult<T, undefined>> {
    this.#items.length = 0;
    this.end();
    this.#onReturn(this);
    return DONE;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

const DONE: IteratorResult<never, undefined> = { value: undefined, done: true };
