/**
 * A save that has not ended by then was cancelled, or failed, or its window is gone; what formatters and fixes do on save takes
 * seconds. In milliseconds.
 */
export const LONGEST_SAVE_MS = 15_000;

/** What one window tells the others of its saves in a session. */
export interface SaveNotice {
  /** When the last save began that has not ended, in milliseconds since 1970; null: none is under way. */
  readonly saving: number | null;
  /** Names the process when this window answers questions; null: it does not. */
  readonly owner: string | null;
  /** The question that was answered last. */
  readonly answer: string | null;
  /** Files, by their absolute path, that had unsaved text when it was answered. */
  readonly unsaved: readonly string[];
}

export function formatNotice(notice: SaveNotice): string {
  return JSON.stringify(notice);
}

/** @returns undefined for anything else, also what a later version may write there */
export function parseNotice(text: string): SaveNotice | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Half of one, or none.
    return undefined;
  }
  if (typeof value !== 'object' || value === null) {
    return undefined;
  }
  const { saving, owner, answer, unsaved } = value as Record<string, unknown>;
  const isNotice =
    (saving === null || (typeof saving === 'number' && Number.isFinite(saving))) &&
    (owner === null || typeof owner === 'string') &&
    (answer === null || typeof answer === 'string') &&
    Array.isArray(unsaved) &&
    unsaved.every((path) => typeof path === 'string');
  return isNotice ? { saving, owner, answer, unsaved } : undefined;
}
