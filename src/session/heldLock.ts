import { closeSync, fstatSync, futimesSync, lstatSync, unlinkSync } from 'node:fs';
import type { Disposable } from '../base/disposable';
import { messageOf } from '../base/errors';
import { HEARTBEAT_MS, type Holder, HOLDER_TTL_MS } from '../core/holder';
import { forgetHeld, rememberHeld } from './holders';
import type { Host } from './host';

/** Why a lock is not ours any more. */
export type LockLoss = 'taken-over' | 'too-long' | 'silent';

const LOSSES: Readonly<Record<LockLoss, string>> = {
  'taken-over': 'somebody else took it over',
  'too-long': 'it was held for longer than is allowed',
  silent: 'no sign of life was given for longer than its time to live',
};

/**
 * A lock that this process holds. Its file stays open: signs of life go to that very file, never to one that somebody else
 * has put in its place, and whether it was taken over is seen from it.
 */
export class HeldLock {
  readonly #host: Host;
  readonly #name: string;
  readonly #path: string;
  readonly #fd: number;
  readonly #holder: Holder;
  readonly #capMs: number;
  readonly #onLost: ((loss: LockLoss) => void) | undefined;
  readonly #takeAway: () => void;
  #renewed: number;
  #timer: Disposable | undefined;
  #loss: LockLoss | undefined;
  #released = false;

  /** @param options.takeAway removes the file if it still bears our record, for when that is in doubt */
  constructor(options: {
    readonly host: Host;
    readonly name: string;
    readonly path: string;
    readonly fd: number;
    readonly holder: Holder;
    readonly capMs: number;
    readonly onLost: ((loss: LockLoss) => void) | undefined;
    readonly takeAway: () => void;
  }) {
    this.#host = options.host;
    this.#name = options.name;
    this.#path = options.path;
    this.#fd = options.fd;
    this.#holder = options.holder;
    this.#capMs = options.capMs;
    this.#onLost = options.onLost;
    this.#takeAway = options.takeAway;
    this.#renewed = options.holder.time;
    rememberHeld(options.holder);
    this.#arm();
  }

  /** Looks whether it is still ours, for when there is a reason to doubt it. */
  verify(): boolean {
    if (this.#released || this.#loss !== undefined) {
      return false;
    }
    if (!this.#isOurs()) {
      this.#timer?.dispose();
      this.#lose('taken-over');
      return false;
    }
    return true;
  }

  /** Lets it go. What was taken over in the meantime stays with whoever has it now; a second call does nothing. */
  release(): void {
    if (this.#released) {
      return;
    }
    this.#released = true;
    this.#timer?.dispose();
    const isOurs = this.#isOurs();
    closeSync(this.#fd);
    try {
      if (isOurs && this.#isInDoubt()) {
        this.#takeAway();
      } else if (isOurs) {
        unlinkSync(this.#path);
      }
    } catch (error) {
      // Nobody is kept out for longer: this process says of its own record that it is held no more.
      this.#host.log.warn(`the lock ${this.#name} could not be removed: ${messageOf(error)}`);
    }
    forgetHeld(this.#holder);
  }

  #arm(): void {
    const left = this.#holder.since + this.#capMs - this.#host.clock.now();
    this.#timer = this.#host.clock.schedule(
      Math.max(0, Math.min(HEARTBEAT_MS, left)),
      () => {
        this.#beat();
      },
      { background: true },
    );
  }

  #beat(): void {
    const now = this.#host.clock.now();
    if (!this.#isOurs()) {
      this.#lose('taken-over');
    } else if (now - this.#holder.since >= this.#capMs) {
      this.#lose('too-long');
    } else if (this.#isInDoubt()) {
      // Others may be about to take it. It is taken anew, and not revived.
      this.#lose('silent');
    } else {
      try {
        futimesSync(this.#fd, now / 1000, now / 1000);
        this.#renewed = now;
      } catch (error) {
        this.#host.log.warn(`the lock ${this.#name} could not be renewed: ${messageOf(error)}`);
      }
      this.#arm();
    }
  }

  #lose(loss: LockLoss): void {
    this.#loss = loss;
    this.#host.log.warn(`the lock ${this.#name} is lost: ${LOSSES[loss]}`);
    this.#onLost?.(loss);
  }

  /** Whether others may be judging it right now, so that it is only touched when they cannot. */
  #isInDoubt(): boolean {
    return this.#loss !== undefined || Math.abs(this.#host.clock.now() - this.#renewed) > HOLDER_TTL_MS;
  }

  #isOurs(): boolean {
    try {
      const own = fstatSync(this.#fd, { bigint: true });
      const there = lstatSync(this.#path, { bigint: true });
      return own.nlink > 0n && own.ino === there.ino && own.dev === there.dev;
    } catch {
      // The file is gone, or its folder is.
      return false;
    }
  }
}
