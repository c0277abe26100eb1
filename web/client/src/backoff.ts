/** How long to wait between attempts to connect. */
export interface BackoffOptions {
  /** The first delay, in milliseconds. */
  min: number;
  /** The longest delay, in milliseconds. */
  max: number;
  /** The part of a delay that is random, from 0 to 1. Values outside count as 0. */
  jitter: number;
}

/** The delays between attempts to connect: each is twice the one before, up to a limit, with a random part. */
export class Backoff implements BackoffOptions {
  min: number;
  max: number;
  jitter: number;
  _step = 0;

  constructor({ min, max, jitter }: BackoffOptions) {
    this.min = min;
    this.max = max;
    this.jitter = jitter;
  }

  /** Returns the next delay in milliseconds. `random` is at least 0 and less than 1. */
  _next(random = Math.random()): number {
    const delay = this.min * 2 ** this._step++;
    const jitter = this.jitter > 0 && this.jitter <= 1 ? this.jitter : 0;
    // The random part comes before the limit, as in the official client. The delays below the limit are therefore spread
    // in both directions, and those at the limit downwards.
    return Math.trunc(Math.min(delay * (1 + jitter * (2 * random - 1)), this.max));
  }

  /** Begins again with the first delay. */
  _reset(): void {
    this._step = 0;
  }
}
