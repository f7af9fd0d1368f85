import { normalize } from 'node:path';
import { type Disposable, DisposableStore } from '../base/disposable';
import type { SessionRef } from './api';
import { Capture } from './capture';
import { CaptureLease } from './captureLease';
import { checkpoint } from './checkpoint';
import type { Host } from './host';
import type { LockFolder } from './locks';
import { type Hearing, SaveNotices } from './saveNotices';
import { defaultAgent, type Sites } from './sites';

/** The captures of this process, each with its lease, and what windows tell each other of saves under way. */
export class Captures implements Disposable {
  readonly #host: Host;
  readonly #locks: LockFolder;
  readonly #sites: Sites;
  readonly #captures = new Set<Capture>();
  readonly #notices = new Map<SessionRef, SaveNotices>();
  readonly #owned = new DisposableStore();

  constructor(host: Host, locks: LockFolder, sites: Sites) {
    this.#host = host;
    this.#locks = locks;
    this.#sites = sites;
  }

  async start(
    ref: SessionRef,
    options: { readonly ownWindow: boolean; readonly isSaving?: () => boolean; readonly hear?: Hearing },
  ): Promise<Capture> {
    const site = await this.#sites.of(ref);
    const { workTree } = site;
    const notices = this.#noticesOf(ref);
    if (options.hear !== undefined) {
      await notices.listen(options.hear);
    }
    const lease = new CaptureLease(this.#host, this.#locks, ref, options);
    const capture = new Capture(
      this.#host,
      {
        session: ref,
        root: workTree.root,
        outsideAgent: defaultAgent(ref),
        isSaving: () => options.isSaving?.() === true || notices.othersAreSaving(),
        stillSaving: (fsPath) => {
          notices.begin(fsPath);
        },
        mayBeTheirs: (paths) => notices.mayBeTheirs(paths.map((path) => normalize(workTree.fsPath(path).toString()))),
        checkpoint: (request, options) => checkpoint(this.#sites, request, options),
      },
      lease,
    );
    this.#captures.add(capture);
    await lease.start();
    return capture;
  }

  willSave(ref: SessionRef, fsPath: string): void {
    this.#noticesOf(ref).begin(fsPath);
  }

  saveEnded(ref: SessionRef, fsPath: string): void {
    this.#notices.get(ref)?.end(fsPath);
  }

  #noticesOf(ref: SessionRef): SaveNotices {
    let notices = this.#notices.get(ref);
    if (notices === undefined) {
      notices = this.#owned.add(new SaveNotices(this.#host, this.#locks.folder, ref));
      this.#notices.set(ref, notices);
    }
    return notices;
  }

  /** Records what is waiting. */
  async shutdown(): Promise<void> {
    await Promise.all([...this.#captures].map((capture) => capture.shutdown()));
  }

  dispose(): void {
    this.#owned.dispose();
  }
}
