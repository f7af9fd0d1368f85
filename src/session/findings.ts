import type { Finding, SessionRef, Severity } from './api';

/** What a check collects. Words are put together here, so that every finding says all four things. */
export class Findings {
  readonly all: Finding[] = [];

  add(
    severity: Severity,
    code: string,
    about: { readonly session?: SessionRef | null; readonly subject?: string | null },
    text: { readonly message: string; readonly safe: string; readonly advice: string; readonly repairable?: boolean },
  ): void {
    this.all.push({
      severity,
      code,
      session: about.session ?? null,
      subject: about.subject ?? null,
      message: text.message,
      safe: text.safe,
      advice: text.advice,
      repairable: text.repairable ?? false,
    });
  }
}

/** Infos are no problems. */
export function isHealthy(findings: readonly Finding[]): boolean {
  return findings.every(({ severity }) => severity === 'info');
}

export const NOTHING_LOST = 'No snapshot and no file is affected.';
export const REPAIR = '"bulkhead doctor --repair" does it.';
