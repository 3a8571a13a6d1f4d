/**
 * One channel as the application holds it.
 *
 * Place in the data path: `subscriptions.ts` brings what the server says about the channel, in order; from here it goes
 * to callbacks and loops. Keeps the position, and drops what has been seen.
 */

import { TidegateError } from "./errors.js";
import { Emitter } from "./events.js";
import type { WireSubscribed } from "./protocol.js";
import { MessageQueue } from "./queue.js";
import type {
  CommandOptions, Gap, HistoryOptions, HistoryPage, Member, Message, Position, Presence, Published, PublishOptions,
  SubscribeOptions, SubscriptionEvents,
} from "./types.js";

/** What a subscription needs of its client. @internal */
export interface SubscriptionHost {
  readonly bufferMax: number;
  unsubscribe(subscription: Subscription): Promise<void>;
  publish(channel: string, data: unknown, options?: PublishOptions): Promise<Published>;
  presence(channel: string, options?: CommandOptions): Promise<Member[]>;
  history<Data>(channel: string, options?: HistoryOptions): Promise<HistoryPage<Data>>;
  /** Tells the client's own listeners; whether there are any. */
  emitMessage(message: Message): boolean;
}

/**
 * A subscription: made by `TidegateClient.subscribe`, alive until `unsubscribe`, `close`, or the server's refusal.
 *
 * Messages come to `on("message", …)` and to every `for await (const message of subscription)`. Those that come before
 * there is either are kept for the first.
 */
export class Subscription<Data = unknown> implements AsyncIterable<Message<Data>> {
  readonly channel: string;
  /** Resolves when the server has confirmed the subscription, rejects when it refuses. */
  readonly ready: Promise<void>;
  /** @internal */
  readonly options: SubscribeOptions;
  readonly #host: SubscriptionHost;
  readonly #events = new Emitter<SubscriptionEvents>();
  readonly #loops = new Set<MessageQueue<Message<Data>>>();
  /** What came before anybody listened. */
  #early: MessageQueue<Message<Data>> | undefined;
  #position: Position | undefined;
  #gap = false;
  #ended = false;
  #settleReady!: { resolve: () => void; reject: (error: TidegateError) => void };

  /** @internal */
  constructor(host: SubscriptionHost, channel: string, options: SubscribeOptions) {
    this.#host = host;
    this.channel = channel;
    this.options = options;
    this.#position = options.position;
    this.#early = this.#newQueue();
    this.ready = new Promise((resolve, reject) => (this.#settleReady = { resolve, reject }));
    // Who does not wait for it hears of a refusal by `unsubscribed`.
    this.ready.catch(() => {});
  }

  /** The last message seen; what `subscribe` takes to go on from here in another life of the program. */
  get position(): Position | undefined {
    return this.#position && { ...this.#position };
  }

  /** Adds a listener; the function that comes back removes it. */
  on<Name extends keyof SubscriptionEvents>(
    name: Name,
    listener: (event: Name extends "message" ? Message<Data> : SubscriptionEvents[Name]) => void,
  ): () => void {
    const remove = this.#events.on(name, listener as (event: SubscriptionEvents[Name]) => void);
    if (name === "message") {
      const early = this.#early?.drain() ?? [];
      this.#early = undefined;
      for (const message of early) this.#events.emit("message", message);
    }
    return remove;
  }

  /** Messages from here on. Ends with the subscription, and throws where the server ended it. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Message<Data>> {
    const queue = this.#early ?? this.#newQueue();
    this.#early = undefined;
    if (this.#ended) queue.end();
    else this.#loops.add(queue);
    return queue;
  }

  /** Publishes on this channel. */
  publish(data: Data, options?: PublishOptions): Promise<Published> {
    return this.#host.publish(this.channel, data, options);
  }

  /** Who is on this channel. */
  presence(options?: CommandOptions): Promise<Member[]> {
    return this.#host.presence(this.channel, options);
  }

  /** What was said on this channel. */
  history(options?: HistoryOptions): Promise<HistoryPage<Data>> {
    return this.#host.history<Data>(this.channel, options);
  }

  /** Leaves the channel. Nothing of it is delivered from now on; resolves when the server knows. */
  unsubscribe(): Promise<void> {
    return this.#host.unsubscribe(this as Subscription);
  }

  /** The server says where the channel is: after `subscribe`, or after `connect` on a resumed session. @internal */
  handleSubscribed({ epoch, offset, recovered }: WireSubscribed): void {
    const before = this.#position;
    const goesOn = before !== undefined && recovered !== false && before.epoch === epoch;
    if (epoch === undefined || offset === undefined) this.#position = undefined;
    // What we are told of is before all that follows: replayed messages are newer than it.
    else if (!goesOn) this.#position = { epoch, offset };

    this.#settleReady.resolve();
    this.#events.emit("subscribed", { channel: this.channel, recovered: before && goesOn });
    if (before && !goesOn) this.#handleGap("recovery");
  }

  /** @internal */
  handleMessage(message: Message): void {
    if (message.offset !== undefined && this.#position) {
      if (message.offset <= this.#position.offset) return;
      this.#position.offset = message.offset;
    }
    if (this.#gap) message.gap = true;
    this.#gap = false;

    const heardByClient = this.#host.emitMessage(message);
    const heard = this.#events.emit("message", message);
    let dropped = false;
    for (const loop of this.#loops) dropped = !loop.push(message as Message<Data>) || dropped;
    if (this.#early && !heardByClient && !heard) dropped = !this.#early.push(message as Message<Data>);
    if (dropped) this.#events.emit("gap", { channel: this.channel, reason: "buffer" });
  }

  /** Messages before this position were lost; a channel without history has none. @internal */
  handleServerGap({ epoch, offset }: Partial<Position>): void {
    const before = this.#position;
    if (epoch !== undefined && offset !== undefined) {
      this.#position = { epoch, offset: Math.max(offset - 1, before?.epoch === epoch ? before.offset : 0) };
    }
    this.#handleGap("server");
  }

  /** @internal */
  handlePresence(name: "join" | "leave", presence: Presence): void {
    this.#events.emit(name, presence);
  }

  /** Nothing more will come. @internal */
  end(error?: TidegateError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#settleReady.reject(error ?? new TidegateError("closed", `${this.channel} was left before the server confirmed it`));
    for (const loop of this.#loops) loop.end(error);
    this.#early?.end(error);
    this.#loops.clear();
    this.#events.emit("unsubscribed", error ? { channel: this.channel, error } : { channel: this.channel });
  }

  #handleGap(reason: Gap["reason"]): void {
    this.#gap = true;
    this.#events.emit("gap", { channel: this.channel, reason });
  }

  #newQueue(): MessageQueue<Message<Data>> {
    return new MessageQueue(this.#host.bufferMax, (queue) => this.#loops.delete(queue));
  }
}
