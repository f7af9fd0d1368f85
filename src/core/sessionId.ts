import type { Random } from '../base/random';

/** Stands for the user's own checkout wherever a session's id is asked for. It has 9 letters, so no session can have it. */
export const WORKSPACE_ID = 'workspace';

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';
const LENGTH = 12;

/** 60 random bits, in letters and digits that survive file systems without case and being read aloud. */
export function newSessionId(random: Random): string {
  // 256 is a multiple of 32: taking five bits of each byte favours no letter.
  return Array.from(random.bytes(LENGTH), (byte) => ALPHABET.charAt(byte & 31)).join('');
}

export function isSessionId(text: string): boolean {
  return /^[a-z2-7]{12}$/.test(text);
}

/** What people may type for an id. The whole id is a prefix too; so is `workspace`, which callers look for first. */
export function isSessionIdPrefix(text: string): boolean {
  return /^[a-z2-7]{4,12}$/.test(text);
}

/** A session, or the user's own checkout. */
export function isSessionRef(text: string): boolean {
  return text === WORKSPACE_ID || isSessionId(text);
}
